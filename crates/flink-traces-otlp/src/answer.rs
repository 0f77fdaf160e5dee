//! What a collector's answer means for the chunk that was sent.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use tonic::{Code, Status};

use crate::json;
use crate::wire::Fields;

/// An answer, or the lack of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// For people, as the collector wrote it.
    pub(crate) reason: String,
}

/// What to do with the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: it was taken, but for `rejected` records, which must not be sent again.
    Taken { rejected: u64 },
    /// Send it in parts, to find out which of its records is refused.
    Invalid,
    /// Nothing: it was refused for good.
    Refused,
    /// Send it in smaller parts.
    TooLarge,
    /// Send it in two parts: it may be too large, or there may be no room for it.
    Exhausted,
    /// Send it again, after `delay` if the collector says so.
    Later { delay: Option<Duration> },
    /// Send it again, less and less often: the collector does not know or allow the sender, whose credentials may be replaced.
    Unauthorized,
    /// Send it again: the connection failed, perhaps only because it was idle for long.
    Unanswered,
    /// Send it again: no encrypted connection can be had.
    Unencrypted,
    /// Nothing: it cannot be sent, or nobody can tell what became of it.
    Lost,
}

impl Answer {
    pub(crate) fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into() }
    }

    /// No answer came.
    pub(crate) fn unanswered(error: &(dyn Error + 'static)) -> Self {
        let verdict = if is_tls(error) { Verdict::Unencrypted } else { Verdict::Unanswered };
        Self::new(verdict, chain(error))
    }

    /// The message of a success. One that is empty, damaged or something else still is a success.
    pub(crate) fn taken(message: &[u8]) -> Self {
        let partial = Fields::all(message, 1).last().unwrap_or_default();
        let rejected = u64::try_from(Fields::number(partial, 1).cast_signed()).unwrap_or(0);
        Self::taken_but(rejected, Fields::text(partial, 2))
    }

    /// The message of a success, in JSON.
    pub(crate) fn taken_json(message: &[u8]) -> Self {
        let (rejected, reason) = json::rejected(message);
        Self::taken_but(rejected, reason)
    }

    fn taken_but(rejected: u64, reason: String) -> Self {
        match (rejected, reason.as_str()) {
            (1.., "") => Self::new(Verdict::Taken { rejected }, "no reason given"),
            _ => Self::new(Verdict::Taken { rejected }, reason),
        }
    }

    /// A gRPC status that is not OK.
    pub(crate) fn of_grpc(status: &Status) -> Self {
        let delay = retry_delay(status.details());
        let verdict = match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => Verdict::Later { delay },
            Code::Unauthenticated | Code::PermissionDenied => Verdict::Unauthorized,
            Code::ResourceExhausted if delay.is_some() => Verdict::Later { delay },
            Code::ResourceExhausted => Verdict::Exhausted,
            Code::InvalidArgument => Verdict::Invalid,
            _ => Verdict::Refused,
        };
        Self::new(verdict, with_detail(format!("gRPC {:?}", status.code()), status.message()))
    }

    /// An HTTP status that is not a success.
    pub(crate) fn of_http(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Self {
        let verdict = match status.as_u16() {
            429 | 503 => Verdict::Later { delay: retry_after(headers, now) },
            502 | 504 => Verdict::Later { delay: None },
            401 | 403 => Verdict::Unauthorized,
            400 => Verdict::Invalid,
            413 => Verdict::TooLarge,
            _ => Verdict::Refused,
        };
        let header = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let text = match (header(LOCATION), header(CONTENT_TYPE)) {
            (Some(location), _) if status.is_redirection() => {
                format!("redirects, which are not followed, to {location}")
            }
            (_, Some(kind)) if kind.starts_with("application/x-protobuf") => Fields::text(body, 2),
            _ => String::from_utf8_lossy(body).into_owned(),
        };
        Self::new(verdict, with_detail(format!("HTTP {status}"), &text))
    }
}

fn with_detail(status: String, detail: &str) -> String {
    match detail.trim() {
        "" => status,
        detail => format!("{status}: {detail}"),
    }
}

/// The delay of a `google.rpc.RetryInfo` in an encoded `google.rpc.Status`.
fn retry_delay(status: &[u8]) -> Option<Duration> {
    let is_retry_info = |detail: &&[u8]| Fields::text(detail, 1).ends_with("/google.rpc.RetryInfo");
    let detail = Fields::all(status, 3).find(is_retry_info)?;
    let delay = Fields::all(Fields::all(detail, 2).last()?, 1).last()?;
    let [seconds, nanos] = [1, 2].map(|field| u64::try_from(Fields::number(delay, field).cast_signed()));
    Duration::from_secs(seconds.ok()?).checked_add(Duration::from_nanos(nanos.ok()?))
}

/// The delay of a `Retry-After`: seconds or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

/// Whether the error comes from TLS.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        let inner = cause.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        if cause.is::<rustls::Error>() || inner.is_some_and(|inner| is_tls(inner)) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// An error and what caused it, in one line, without repeating what is said already.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(784_111_777);

    #[test]
    fn http_answers_mean_what_otlp_says() {
        let check = |status: u16, headers: &[(&'static str, &str)], body: &[u8], verdict: Verdict, reason: &str| {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer::of_http(status, &headers, body, SystemTime::UNIX_EPOCH + NOW);
            assert_eq!(answer, Answer::new(verdict, format!("HTTP {status}{reason}")));
        };
        let later = |seconds| Verdict::Later { delay: Some(Duration::from_secs(seconds)) };
        let some_time = Verdict::Later { delay: None };
        for (statuses, verdict) in
            [(&[401, 403][..], Verdict::Unauthorized), (&[502, 504], some_time), (&[400], Verdict::Invalid)]
        {
            for status in statuses {
                check(*status, &[("retry-after", "7")], b" no ", verdict, ": no");
            }
        }
        for status in [404, 405, 408, 422, 500, 501] {
            check(status, &[("retry-after", "7")], b"no", Verdict::Refused, ": no");
        }
        check(413, &[], b"", Verdict::TooLarge, "");
        for status in [429, 503] {
            for (text, verdict) in [
                ("7", later(7)),
                (" 0 ", later(0)),
                ("315360000", later(315_360_000)),
                ("Sun, 06 Nov 1994 08:49:39 GMT", later(2)),
                ("Sun, 06 Nov 1994 08:49:30 GMT", later(0)),
                ("soon", some_time),
                ("-1", some_time),
                ("1.5", some_time),
                ("99999999999999999999", some_time),
            ] {
                check(status, &[("retry-after", text)], b"", verdict, "");
            }
            check(status, &[], b"", some_time, "");
        }
        let location = [("location", "http://elsewhere/")];
        let reason = ": redirects, which are not followed, to http://elsewhere/";
        check(308, &location, b"body", Verdict::Refused, reason);
        let protobuf = [("content-type", "application/x-protobuf")];
        check(400, &protobuf, b"\x08\x03\x12\x03bad", Verdict::Invalid, ": bad");
        check(400, &protobuf, b"\xff", Verdict::Invalid, "");
    }

    #[test]
    fn grpc_answers_mean_what_otlp_says() {
        let retry_info = |delay: &[u8]| {
            let mut detail = b"\x0a\x28type.googleapis.com/google.rpc.RetryInfo".to_vec();
            detail.extend([0x12, delay.len() as u8 + 2, 0x0a, delay.len() as u8]);
            detail.extend(delay);
            let mut status = vec![0x08, 0x08, 0x1a, detail.len() as u8];
            status.extend(detail);
            status
        };
        let later = |millis| Verdict::Later { delay: Some(Duration::from_millis(millis)) };
        let some_time = Verdict::Later { delay: None };
        let check = |codes: &[i32], details: &[u8], verdict: Verdict| {
            for code in codes.iter().map(|code| Code::from(*code)) {
                let status = Status::with_details(code, "m", details.to_vec().into());
                assert_eq!(Answer::of_grpc(&status), Answer::new(verdict, format!("gRPC {code:?}: m")));
            }
        };
        check(&[1, 4, 10, 11, 14, 15], b"", some_time);
        check(&[7, 16], b"", Verdict::Unauthorized);
        check(&[2, 5, 6, 9, 12, 13], b"", Verdict::Refused);
        check(&[3], b"", Verdict::Invalid);
        check(&[8], b"", Verdict::Exhausted);
        // 1 s and 500,000,000 ns; nothing; -1 s; garbage.
        check(&[8, 14], &retry_info(b"\x08\x01\x10\x80\xca\xb5\xee\x01"), later(1500));
        check(&[8, 14], &retry_info(b""), later(0));
        check(&[14], &retry_info(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), some_time);
        check(&[14], b"\x1a\x7fgarbage", some_time);
    }

    #[test]
    fn any_success_is_one() {
        let cases: [(&[u8], u64, &str); 7] = [
            (b"", 0, ""),
            (b"\x0a\x00", 0, ""),
            (b"\x0a\x04\x08\x03\x12\x00", 3, "no reason given"),
            (b"\x0a\x06\x08\x03\x12\x02no", 3, "no"),
            (b"\x0a\x04\x12\x02hm", 0, "hm"),
            (b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, ""),
            (b"<html>not OTLP", 0, ""),
        ];
        for (message, rejected, reason) in cases {
            assert_eq!(Answer::taken(message), Answer::new(Verdict::Taken { rejected }, reason), "{message:?}");
        }
    }

    #[test]
    fn any_success_in_json_is_one() {
        let cases = [
            ("", 0, ""),
            ("{}", 0, ""),
            ("null", 0, ""),
            (r#"{"partialSuccess":null}"#, 0, ""),
            (r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}"#, 3, "no"),
            (r#"{"partialSuccess":{"rejectedLogRecords":2}}"#, 2, "no reason given"),
            (r#"{"partialSuccess":{"rejectedSpans":-1,"errorMessage":"hm"}}"#, 0, "hm"),
            ("<html>", 0, ""),
        ];
        for (message, rejected, reason) in cases {
            assert_eq!(
                Answer::taken_json(message.as_bytes()),
                Answer::new(Verdict::Taken { rejected }, reason),
                "{message}"
            );
        }
    }
}
