//! The requests and responses of OTLP over gRPC and HTTP.

use std::future::ready;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::Bytes;
use flink_traces_api::Signal;
use flink_traces_api::proto::Writer;
use http_body_util::{BodyExt as _, Full};

/// The length of the prefix of a gRPC message.
pub(super) const GRPC_PREFIX: usize = 5;
/// The methods for traces and logs.
pub(super) const GRPC_PATHS: [&str; 2] = [
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
];
/// The paths for traces and logs.
pub(super) const HTTP_PATHS: [&str; 2] = ["/v1/traces", "/v1/logs"];

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// The encoding and the protocol of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Grpc,
    Protobuf,
    Json,
}

impl Encoding {
    /// Returns the encoding that the headers of an HTTP request name.
    pub(super) fn of_http(headers: &HeaderMap) -> Result<Self, Refusal> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        match &*kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase() {
            PROTOBUF => Ok(Self::Protobuf),
            JSON => Ok(Self::Json),
            other => {
                let reason = format!("expected {PROTOBUF} or {JSON}, found {other:.40}");
                Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason))
            }
        }
    }
}

/// The refusal of a whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    reason: String,
    /// The pause after which the client may send the request again, in seconds.
    retry_after: Option<u64>,
}

impl Refusal {
    /// Creates a refusal for good.
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), retry_after: None }
    }

    /// Creates a refusal of a request that may be sent again after some seconds.
    pub(super) fn retryable(status: StatusCode, reason: impl Into<String>, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(status, reason) }
    }

    /// Returns the code of gRPC.
    fn code(&self) -> u8 {
        match self.status {
            StatusCode::UNAUTHORIZED => 16,
            StatusCode::SERVICE_UNAVAILABLE => 14,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE => 12,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE => 8,
            StatusCode::MISDIRECTED_REQUEST => 7,
            StatusCode::REQUEST_TIMEOUT => 4,
            StatusCode::BAD_REQUEST => 3,
            _ => 13,
        }
    }

    /// Returns a `google.rpc.Status`, with a `RetryInfo` if the request may be sent again.
    fn to_protobuf(&self) -> Vec<u8> {
        let mut status = Writer::new();
        status.varint(1, self.code().into());
        status.bytes(2, self.reason.as_bytes());
        if let Some(seconds) = self.retry_after {
            let mut delay = Writer::new();
            delay.varint(1, seconds);
            let mut info = Writer::new();
            info.bytes(1, delay.as_slice());
            let mut any = Writer::new();
            any.bytes(1, b"type.googleapis.com/google.rpc.RetryInfo");
            any.bytes(2, info.as_slice());
            status.bytes(3, any.as_slice());
        }
        status.into_vec()
    }
}

/// Returns the message in a body with exactly one, and `true` if it is compressed.
pub(super) fn unframed(body: &Bytes) -> Option<(bool, Bytes)> {
    let [flag @ 0..=1, length @ ..] = *body.first_chunk::<GRPC_PREFIX>()? else { return None };
    let message = body.slice(GRPC_PREFIX..);
    (u32::from_be_bytes(length) as usize == message.len()).then_some((flag == 1, message))
}

/// Returns the response to a request that was taken, but for a number of its records.
pub(super) fn accepted(encoding: Encoding, signal: Signal, refused: &Option<(usize, String)>) -> Response {
    if encoding == Encoding::Json {
        let key = match signal {
            Signal::Traces => "rejectedSpans",
            Signal::Events => "rejectedLogRecords",
        };
        let body = match refused {
            Some((count, reason)) => {
                serde_json::json!({ "partialSuccess": { key: count.to_string(), "errorMessage": reason } })
            }
            None => serde_json::json!({}),
        };
        return response(StatusCode::OK, JSON, Body::from(body.to_string()));
    }
    let mut message = Writer::new();
    if let Some((count, reason)) = refused {
        let mut partial = Writer::new();
        partial.varint(1, *count as u64);
        partial.bytes(2, reason.as_bytes());
        message.bytes(1, partial.as_slice());
    }
    if encoding == Encoding::Protobuf {
        return response(StatusCode::OK, PROTOBUF, Body::from(message.into_vec()));
    }
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).unwrap_or_default().to_be_bytes());
    framed.extend(message.as_slice());
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(framed)).with_trailers(ready(Some(Ok(trailers))));
    response(StatusCode::OK, "application/grpc", Body::new(body))
}

/// Returns the response to a request that was refused.
pub(super) fn refused(encoding: Encoding, refusal: &Refusal) -> Response {
    let Refusal { status, reason, retry_after } = refusal;
    if encoding == Encoding::Grpc {
        let mut response = response(StatusCode::OK, "application/grpc", Body::empty());
        let headers = response.headers_mut();
        headers.insert(GRPC_STATUS, u16::from(refusal.code()).into());
        let message: String = reason.bytes().map(percent_encoded).collect();
        headers.extend(HeaderValue::try_from(message).ok().map(|message| (GRPC_MESSAGE, message)));
        if retry_after.is_some() {
            let details = BASE64_STANDARD_NO_PAD.encode(refusal.to_protobuf());
            headers.extend(HeaderValue::try_from(details).ok().map(|details| (GRPC_STATUS_DETAILS, details)));
        }
        return response;
    }
    let mut response = match encoding {
        Encoding::Json => {
            let body = serde_json::json!({ "code": refusal.code(), "message": reason });
            response(*status, JSON, Body::from(body.to_string()))
        }
        _ => response(*status, PROTOBUF, Body::from(refusal.to_protobuf())),
    };
    let headers = response.headers_mut();
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, (*seconds).into());
    }
    match *status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer, Basic realm=\"flink-traces\""));
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        _ => {}
    }
    response
}

fn response(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Returns a character of `grpc-message`, percent-encoded if gRPC demands it.
fn percent_encoded(byte: u8) -> String {
    match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_grpc_message_is_read() {
        for (body, expected) in [
            (&b"\0\0\0\0\x02ab"[..], Some((false, &b"ab"[..]))),
            (b"\x01\0\0\0\0", Some((true, b""))),
            (b"\x02\0\0\0\0", None),
            (b"\0\0\0\0\x02a", None),
            (b"\0\0\0\0\x02abc", None),
            (b"\0\0\0", None),
            (b"\0\xff\xff\xff\xffab", None),
        ] {
            let expected = expected.map(|(flag, message)| (flag, Bytes::from_static(message)));
            assert_eq!(unframed(&Bytes::from_static(body)), expected, "{body:?}");
        }
    }

    #[test]
    fn retryable_refusal_names_the_delay() {
        let refusal = Refusal::retryable(StatusCode::TOO_MANY_REQUESTS, "50 % full\n", 7);
        let response = refused(Encoding::Grpc, &refusal);
        let text = |name: &HeaderName| response.headers()[name].to_str().unwrap();
        assert_eq!((text(&GRPC_STATUS), text(&GRPC_MESSAGE)), ("8", "50 %25 full%0A"));
        let details = BASE64_STANDARD_NO_PAD.decode(text(&GRPC_STATUS_DETAILS)).unwrap();
        assert!(details.ends_with(b"google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x07"), "{details:?}");
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let response = refused(encoding, &refusal);
            assert_eq!(
                (response.status().as_u16(), &response.headers()[header::RETRY_AFTER]),
                (429, &HeaderValue::from_static("7"))
            );
        }
        assert!(
            !refused(Encoding::Grpc, &Refusal::new(StatusCode::BAD_REQUEST, "x"))
                .headers()
                .contains_key(GRPC_STATUS_DETAILS)
        );
    }
}
