//! The meaning of a collector's response for the chunk that was sent.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use tonic::{Code, Status};

use crate::json;
use crate::wire::Fields;

/// A response, or the lack of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) verdict: Verdict,
    /// The text for logs and errors, as the collector wrote it.
    pub(crate) reason: String,
}

/// The consequence for the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Done. The collector accepted all records but `rejected`, which must not be sent again.
    Accepted { rejected: u64 },
    /// Send it in sub-batches, to find the invalid record.
    Invalid,
    /// Done. The collector rejected the chunk for good.
    Rejected,
    /// Send it in smaller sub-batches.
    TooLarge,
    /// Send it in two sub-batches. It may be too large, or the collector may be out of resources.
    Exhausted,
    /// Send it again, after `delay` if the collector requested one.
    Later { delay: Option<Duration> },
    /// Send it again, with backoff. The collector rejects the credentials, which may be replaced.
    Unauthorized,
    /// Send it again. The connection failed, perhaps only because it was idle for long.
    NoResponse,
    /// Send it again. The TLS handshake failed.
    TlsFailed,
    /// Done. The chunk cannot be sent, or its outcome is unknown.
    Dropped,
}

impl Response {
    pub(crate) fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into() }
    }

    /// Creates the result of a request without a response.
    pub(crate) fn none(error: &(dyn Error + 'static)) -> Self {
        let verdict = if is_tls(error) { Verdict::TlsFailed } else { Verdict::NoResponse };
        Self::new(verdict, with_causes(error))
    }

    /// Reads the message of a success. An empty, damaged or foreign message still is a success.
    pub(crate) fn accepted(message: &[u8]) -> Self {
        let partial = Fields::all(message, 1).last().unwrap_or_default();
        let rejected = u64::try_from(Fields::number(partial, 1).cast_signed()).unwrap_or(0);
        Self::accepted_but(rejected, Fields::text(partial, 2))
    }

    /// Reads the JSON message of a success.
    pub(crate) fn accepted_json(message: &[u8]) -> Self {
        let (rejected, reason) = json::rejected(message);
        Self::accepted_but(rejected, reason)
    }

    fn accepted_but(rejected: u64, reason: String) -> Self {
        match (rejected, reason.as_str()) {
            (1.., "") => Self::new(Verdict::Accepted { rejected }, "no reason given"),
            _ => Self::new(Verdict::Accepted { rejected }, reason),
        }
    }

    /// Interprets a gRPC status that is not OK.
    pub(crate) fn from_grpc_status(status: &Status) -> Self {
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
            _ => Verdict::Rejected,
        };
        Self::new(verdict, with_detail(format!("gRPC {:?}", status.code()), status.message()))
    }

    /// Interprets an HTTP status that is not a success.
    pub(crate) fn from_http(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Self {
        let verdict = match status.as_u16() {
            429 | 503 => Verdict::Later { delay: retry_after(headers, now) },
            502 | 504 => Verdict::Later { delay: None },
            401 | 403 => Verdict::Unauthorized,
            400 => Verdict::Invalid,
            413 => Verdict::TooLarge,
            _ => Verdict::Rejected,
        };
        let header = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let text = match (header(LOCATION), header(CONTENT_TYPE)) {
            (Some(location), _) if status.is_redirection() => {
                format!("redirect to {location} not followed")
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

/// Returns the delay of a `google.rpc.RetryInfo` in an encoded `google.rpc.Status`.
fn retry_delay(status: &[u8]) -> Option<Duration> {
    let is_retry_info = |detail: &&[u8]| Fields::text(detail, 1).ends_with("/google.rpc.RetryInfo");
    let detail = Fields::all(status, 3).find(is_retry_info)?;
    let delay = Fields::all(Fields::all(detail, 2).last()?, 1).last()?;
    let [seconds, nanos] = [1, 2].map(|field| u64::try_from(Fields::number(delay, field).cast_signed()));
    Duration::from_secs(seconds.ok()?).checked_add(Duration::from_nanos(nanos.ok()?))
}

/// Returns the delay of a `Retry-After` header, which holds seconds or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

/// Returns `true` if the error comes from TLS.
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

/// Formats an error and its causes in one line, without repeated texts.
fn with_causes(error: &dyn Error) -> String {
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
    fn http_status_means_what_otlp_specifies() {
        let check = |status: u16, headers: &[(&'static str, &str)], body: &[u8], verdict: Verdict, reason: &str| {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let status = StatusCode::from_u16(status).unwrap();
            let response = Response::from_http(status, &headers, body, SystemTime::UNIX_EPOCH + NOW);
            assert_eq!(response, Response::new(verdict, format!("HTTP {status}{reason}")));
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
            check(status, &[("retry-after", "7")], b"no", Verdict::Rejected, ": no");
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
        let reason = ": redirect to http://elsewhere/ not followed";
        check(308, &location, b"body", Verdict::Rejected, reason);
        let protobuf = [("content-type", "application/x-protobuf")];
        check(400, &protobuf, b"\x08\x03\x12\x03bad", Verdict::Invalid, ": bad");
        check(400, &protobuf, b"\xff", Verdict::Invalid, "");
    }

    #[test]
    fn grpc_status_means_what_otlp_specifies() {
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
                assert_eq!(Response::from_grpc_status(&status), Response::new(verdict, format!("gRPC {code:?}: m")));
            }
        };
        check(&[1, 4, 10, 11, 14, 15], b"", some_time);
        check(&[7, 16], b"", Verdict::Unauthorized);
        check(&[2, 5, 6, 9, 12, 13], b"", Verdict::Rejected);
        check(&[3], b"", Verdict::Invalid);
        check(&[8], b"", Verdict::Exhausted);
        // 1 s and 500,000,000 ns; nothing; -1 s; garbage.
        check(&[8, 14], &retry_info(b"\x08\x01\x10\x80\xca\xb5\xee\x01"), later(1500));
        check(&[8, 14], &retry_info(b""), later(0));
        check(&[14], &retry_info(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), some_time);
        check(&[14], b"\x1a\x7fgarbage", some_time);
    }

    #[test]
    fn any_protobuf_success_is_accepted() {
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
            assert_eq!(
                Response::accepted(message),
                Response::new(Verdict::Accepted { rejected }, reason),
                "{message:?}"
            );
        }
    }

    #[test]
    fn any_json_success_is_accepted() {
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
                Response::accepted_json(message.as_bytes()),
                Response::new(Verdict::Accepted { rejected }, reason),
                "{message}"
            );
        }
    }
}
