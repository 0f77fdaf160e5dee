//! The meaning of a collector's response for the chunk that was sent.

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, Read as _};
use std::time::{Duration, SystemTime};

use flate2::read::MultiGzDecoder;
use flink_traces_api::proto::Fields;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use tonic::{Code, Status};

use crate::hint::Hint;
use crate::json;

/// The maximum size of the text of an error after decompression.
const MAX_UNPACKED_BYTES: u64 = 64 << 10;

/// The media types of OTLP over HTTP.
pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";
/// The verdict about a request that may succeed later.
const LATER: Verdict = Verdict::Later { delay: None };

/// A response, or the lack of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) verdict: Verdict,
    /// The text for logs and errors, as the collector wrote it.
    pub(crate) reason: String,
    /// The likely cause of a failure.
    pub(crate) hint: Option<Hint>,
    /// `true` for a success whose content is not what OTLP specifies.
    pub(crate) is_odd: bool,
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
    /// Send it again, with backoff. The destination refuses every request, for a reason that
    /// concerns no single record.
    Refused(Refusal),
    /// Send it again. The connection failed, perhaps only because it was idle for long.
    NoResponse,
    /// Send it again. The TLS handshake failed.
    TlsFailed,
    /// Done. The chunk cannot be sent, or its outcome is unknown.
    Dropped,
}

/// The reason why a destination refuses every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The collector or a proxy rejects the credentials.
    Credentials,
    /// The address or the protocol is wrong, or the destination takes no such requests.
    Address,
}

impl Response {
    pub(crate) fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into(), hint: None, is_odd: false }
    }

    fn with_hint(self, hint: Hint) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// Creates the result of a request whose response did not come within `limit`.
    pub(crate) fn unanswered(limit: Duration) -> Self {
        Self::new(LATER, format!("no response within {limit:?}"))
    }

    /// Interprets a success over gRPC that has no gRPC status.
    pub(crate) fn without_grpc_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let is_grpc = media_type(headers).starts_with("application/grpc");
        let text = if is_grpc { "".into() } else { String::from_utf8_lossy(body) };
        let response = Self::new(LATER, with_detail(format!("HTTP {status} without a gRPC status"), &text));
        if is_grpc { response } else { response.with_hint(Hint::WebPage) }
    }

    /// Creates the result of a request without a response.
    pub(crate) fn none(error: &(dyn Error + 'static)) -> Self {
        let causes: Vec<_> = causes(error).collect();
        let is = |known: fn(&(dyn Error + 'static)) -> bool| causes.iter().any(|cause| known(*cause));
        let tls = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>());
        let (verdict, hint) = match () {
            () if is(is_proxy_refusal) => (Verdict::Refused(Refusal::Credentials), Some(Hint::ProxyCredentials)),
            () if is(is_other_protocol) => (Verdict::TlsFailed, Some(Hint::OtherProtocol)),
            () => tls.map_or((Verdict::NoResponse, None), |error| (Verdict::TlsFailed, Hint::of_tls(error))),
        };
        Self { hint, ..Self::new(verdict, with_causes(&causes)) }
    }

    /// Interprets the body of an HTTP success. `expected` is the media type of the request.
    ///
    /// Servers label and fill the body as they like, so all but a web page is a success.
    pub(crate) fn from_http_success(status: StatusCode, headers: &HeaderMap, body: &[u8], expected: &str) -> Self {
        let kind = media_type(headers);
        if is_page(&kind, body) {
            let reason = with_detail(format!("HTTP {status} with a web page"), &String::from_utf8_lossy(body));
            return Self::new(LATER, reason).with_hint(Hint::WebPage);
        }
        let response = match kind.as_str() {
            PROTOBUF => Self::accepted(body),
            JSON => Self::accepted_json(body),
            _ => Self::accepted(&[]),
        };
        Self { is_odd: response.is_odd || kind != expected, ..response }
    }

    /// Reads the message of a success. A damaged or foreign message is an odd success.
    pub(crate) fn accepted(message: &[u8]) -> Self {
        let partial = Fields::all(message, 1).last().unwrap_or_default();
        let rejected = u64::try_from(Fields::number(partial, 1).cast_signed()).unwrap_or(0);
        let is_odd = !Fields::new(message).is_whole() || !Fields::new(partial).is_whole();
        Self { is_odd, ..Self::accepted_but(rejected, Fields::text(partial, 2)) }
    }

    /// Reads the JSON message of a success. Anything but an object is an odd success.
    pub(crate) fn accepted_json(message: &[u8]) -> Self {
        match json::rejected(message) {
            Some((rejected, reason)) => Self::accepted_but(rejected, reason),
            None => Self { is_odd: true, ..Self::accepted_but(0, String::new()) },
        }
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
            Code::Unauthenticated | Code::PermissionDenied => Verdict::Refused(Refusal::Credentials),
            Code::Unimplemented => Verdict::Refused(Refusal::Address),
            Code::ResourceExhausted if delay.is_some() => Verdict::Later { delay },
            Code::ResourceExhausted => Verdict::Exhausted,
            Code::InvalidArgument => Verdict::Invalid,
            _ => Verdict::Rejected,
        };
        let response = Self::new(verdict, with_detail(format!("gRPC {:?}", status.code()), status.message()));
        match verdict {
            Verdict::Refused(Refusal::Address) => response.with_hint(Hint::NoService),
            _ => response,
        }
    }

    /// Interprets an HTTP status that is not a success.
    pub(crate) fn from_http(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Self {
        let body = &*unpacked(headers, body);
        let (verdict, hint) = match status.as_u16() {
            429 | 503 => (Verdict::Later { delay: retry_after(headers, now) }, None),
            502 | 504 => (LATER, None),
            407 => (Verdict::Refused(Refusal::Credentials), Some(Hint::ProxyCredentials)),
            401 | 403 | 511 => (Verdict::Refused(Refusal::Credentials), None),
            300..=399 => (Verdict::Refused(Refusal::Address), Some(Hint::Redirect)),
            404 | 405 | 410 => (Verdict::Refused(Refusal::Address), Some(Hint::NoPath)),
            406 | 415 | 421 | 426 | 501 | 505 => (Verdict::Refused(Refusal::Address), Some(Hint::OtherProtocol)),
            400 if is_plain_to_tls(body) => (Verdict::Refused(Refusal::Address), Some(Hint::PlainToTls)),
            400 => (Verdict::Invalid, None),
            413 => (Verdict::TooLarge, None),
            _ => (Verdict::Rejected, None),
        };
        let location = headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let text = match location {
            Some(location) if status.is_redirection() => format!("redirect to {location} not followed"),
            _ if media_type(headers) == PROTOBUF => Fields::text(body, 2),
            _ => String::from_utf8_lossy(body).into_owned(),
        };
        Self { hint, ..Self::new(verdict, with_detail(format!("HTTP {status}"), &text)) }
    }
}

/// Returns the media type in lower case, without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()));
    kind.and_then(|kind| kind.split(';').next().map(|kind| kind.trim().to_ascii_lowercase())).unwrap_or_default()
}

/// Returns `true` if a body is a web page.
fn is_page(kind: &str, body: &[u8]) -> bool {
    // In protobuf, a line feed begins a field, and `<` is not valid.
    let start = match kind {
        PROTOBUF => body,
        _ => body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start(),
    };
    matches!(kind, "text/html" | "application/xhtml+xml") || start.starts_with(b"<")
}

/// Returns `true` if the body of HTTP 400 is that of a TLS port that got plain HTTP.
fn is_plain_to_tls(body: &[u8]) -> bool {
    // The texts of Go, nginx, Apache, and Tomcat.
    const TEXTS: [&str; 4] =
        ["to an https server", "sent to https port", "to an ssl-enabled server port", "requires tls"];
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    TEXTS.iter().any(|known| text.contains(known))
}

/// Returns the beginning of a body that a proxy may have compressed; what cannot be decompressed is
/// left out.
fn unpacked<'a>(headers: &HeaderMap, body: &'a [u8]) -> Cow<'a, [u8]> {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|encoding| encoding.to_str().ok()).unwrap_or_default();
    if !["gzip", "x-gzip"].iter().any(|known| encoding.trim().eq_ignore_ascii_case(known)) {
        return Cow::Borrowed(body);
    }
    let mut text = Vec::new();
    // The part before damage is kept.
    let _ = MultiGzDecoder::new(body).take(MAX_UNPACKED_BYTES).read_to_end(&mut text);
    Cow::Owned(text)
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

/// Returns `true` for a proxy that opens no tunnel without other credentials.
fn is_proxy_refusal(cause: &(dyn Error + 'static)) -> bool {
    // The type of this error is private.
    cause.to_string().ends_with("proxy authorization required")
}

/// Returns `true` for a TLS port that offers HTTP/1 or HTTP/2 only, and not the one that is needed.
fn is_other_protocol(cause: &(dyn Error + 'static)) -> bool {
    let alert = rustls::AlertDescription::NoApplicationProtocol;
    let is_alert = cause.downcast_ref() == Some(&rustls::Error::AlertReceived(alert));
    // The type of this error is private.
    is_alert || cause.to_string() == "HTTP/2 was not negotiated."
}

/// Returns an error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| cause_of(*cause))
}

/// Returns the cause of an error, or what an I/O error contains.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

/// Formats an error and its causes in one line, without repeated texts.
fn with_causes(causes: &[&(dyn Error + 'static)]) -> String {
    causes.iter().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.is_empty() => cause,
        cause if text.contains(&cause) => text,
        cause => format!("{text}: {cause}"),
    })
}

#[cfg(test)]
mod tests;
