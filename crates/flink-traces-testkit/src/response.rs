//! The responses of the collector.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

/// The reaction of the collector to a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CollectorResponse {
    /// Accepts all records.
    #[default]
    Accept,
    /// Accepts all records but the last `rejected` ones, which a partial success reports.
    PartialSuccess {
        /// The number of rejected records, which may be 0.
        rejected: usize,
        /// The reason.
        message: String,
    },
    /// Answers with a gRPC status, and accepts records only if it is 0. A request over HTTP gets a
    /// 500.
    Grpc(GrpcStatus),
    /// Answers with an HTTP response, and accepts records if its status is 2xx.
    ///
    /// A request over gRPC gets it, too, as from a proxy.
    Http(HttpResponse),
    /// Accepts nothing and never answers.
    Hang,
    /// Accepts nothing and closes the connection without a response.
    Close,
    /// Accepts all records and closes the connection in the middle of the body of the response.
    CloseInResponse,
}

impl CollectorResponse {
    /// Returns the number of accepted records out of `records`.
    pub(crate) fn accepts(&self, records: usize) -> usize {
        match self {
            Self::Accept | Self::CloseInResponse => records,
            Self::PartialSuccess { rejected, .. } => records.saturating_sub(*rejected),
            Self::Grpc(status) if status.code == 0 => records,
            Self::Http(response) if (200..300).contains(&response.status) => records,
            Self::Grpc(_) | Self::Http(_) | Self::Hang | Self::Close => 0,
        }
    }
}

impl From<GrpcStatus> for CollectorResponse {
    fn from(status: GrpcStatus) -> Self {
        Self::Grpc(status)
    }
}

impl From<HttpResponse> for CollectorResponse {
    fn from(response: HttpResponse) -> Self {
        Self::Http(response)
    }
}

/// A gRPC status without a message body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcStatus {
    pub(crate) code: u8,
    pub(crate) message: String,
    pub(crate) details: Vec<u8>,
}

impl GrpcStatus {
    /// Creates the status with that number, such as 14 for `UNAVAILABLE`.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// Adds a `google.rpc.RetryInfo` with that delay.
    #[must_use]
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        let retry_info = RetryInfo {
            retry_delay: Some(ProtoDuration {
                seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
                nanos: delay.subsec_nanos().cast_signed(),
            }),
        };
        let detail =
            Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: retry_info.encode_to_vec() };
        let status = RpcStatus { code: self.code.into(), message: self.message.clone(), details: vec![detail] };
        self.details = status.encode_to_vec();
        self
    }
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl HttpResponse {
    /// Creates a response with that status, without headers or a body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// The message `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// The message `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// The message `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// The message `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}
