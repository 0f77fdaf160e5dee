//! What the collector answers.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

/// What the collector does with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Answer {
    /// Takes all records.
    #[default]
    Accept,
    /// Takes all records but the last `rejected` ones, and says so in a partial success.
    PartialSuccess {
        /// How many it refuses.
        rejected: usize,
        /// Why; may be given without refusing any.
        message: String,
    },
    /// Answers with a gRPC status; nothing is taken unless it is 0. A request over HTTP gets a 500.
    Grpc(GrpcStatus),
    /// Answers with this, over gRPC too, as a proxy in between would. Records are taken if the status is 2xx.
    Http(HttpAnswer),
    /// Takes nothing and never answers.
    Hang,
    /// Takes nothing and closes the connection without an answer.
    Close,
    /// Takes all records and closes the connection in the middle of the answer's body.
    CloseInAnswer,
}

impl Answer {
    /// How many of `records` it takes.
    pub(crate) fn takes(&self, records: usize) -> usize {
        match self {
            Self::Accept | Self::CloseInAnswer => records,
            Self::PartialSuccess { rejected, .. } => records.saturating_sub(*rejected),
            Self::Grpc(status) if status.code == 0 => records,
            Self::Http(answer) if (200..300).contains(&answer.status) => records,
            Self::Grpc(_) | Self::Http(_) | Self::Hang | Self::Close => 0,
        }
    }
}

impl From<GrpcStatus> for Answer {
    fn from(status: GrpcStatus) -> Self {
        Self::Grpc(status)
    }
}

impl From<HttpAnswer> for Answer {
    fn from(answer: HttpAnswer) -> Self {
        Self::Http(answer)
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
    /// The status with that number, such as 14 for `UNAVAILABLE`.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// Adds a `google.rpc.RetryInfo` that asks for that delay.
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

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl HttpAnswer {
    /// An answer with that status, no headers and no body.
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

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}
