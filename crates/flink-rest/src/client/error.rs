//! Errors of the client.

use std::fmt;
use std::time::Duration;

use crate::TriggerId;
use crate::body::{BodyError, StatusError};
use crate::text::{MAX_TEXT_CHARS, escaped};

/// An error of a [`Client`](crate::Client), by the stage that the request reached.
///
/// Neither the text nor the debug form contains a secret. Foreign text in both is truncated and
/// escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The base URL, or a URL built from it and a path, is invalid.
    #[error("invalid URL {url}: {problem}")]
    InvalidUrl {
        /// The URL.
        url: String,
        /// The reason.
        problem: String,
    },
    /// An option of [`ClientBuilder`](crate::ClientBuilder) is invalid.
    #[error("{option}: {problem}")]
    InvalidOption {
        /// The name of the builder's method.
        option: &'static str,
        /// The reason.
        problem: String,
    },
    /// The client could not connect.
    #[error("{url}: {failure}: {problem}")]
    Connect {
        /// The URL.
        url: String,
        /// The step that failed.
        failure: ConnectFailure,
        /// The reason.
        problem: String,
    },
    /// The response was not complete in time.
    #[error("{url}: no response within {after:?}")]
    Timeout {
        /// The URL.
        url: String,
        /// The time limit.
        after: Duration,
    },
    /// The connection broke before the end of the response, or the response is not HTTP.
    #[error("{url}: the connection broke: {problem}")]
    Transport {
        /// The URL.
        url: String,
        /// The reason.
        problem: String,
    },
    /// The body is larger than the limit.
    #[error("{url}: the response is larger than {limit} bytes")]
    BodyTooLarge {
        /// The URL.
        url: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The response has the status of an error or a redirect.
    #[error("{url}: {problem}")]
    Status {
        /// The URL.
        url: String,
        /// The status and the message.
        problem: StatusError,
    },
    /// The cluster accepted the operation, but the operation failed.
    #[error("{url}: the operation failed: {class}: {problem}")]
    OperationFailed {
        /// The URL that triggers the operation.
        url: String,
        /// The class of the exception.
        class: String,
        /// The first relevant line of its stack trace, without the class.
        problem: String,
    },
    /// The operation did not complete in time. If the cluster accepted it, it continues.
    #[error("{url}: the operation did not complete within {within:?}")]
    Deadline {
        /// The URL that triggers the operation.
        url: String,
        /// The time limit.
        within: Duration,
        /// The id for polling its status; `None` if it is unknown whether the cluster accepted it.
        trigger: Option<TriggerId>,
    },
    /// The body could not be decoded.
    #[error("{url}: {problem}")]
    Body {
        /// The URL.
        url: String,
        /// The problem.
        problem: BodyError,
    },
}

/// The step in which a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The connection was refused.
    Refused,
    /// The host name could not be resolved.
    Dns,
    /// The TLS handshake failed, or the server does not speak TLS.
    Tls,
    /// Any other failure, such as no route, a timeout, or a proxy that refuses.
    Other,
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Dns => "unknown host",
            Self::Tls => "TLS failed",
            Self::Other => "cannot connect",
        })
    }
}

/// Returns the error of an option of the builder.
pub(super) fn invalid_option(option: &'static str, problem: &str) -> Error {
    Error::InvalidOption { option, problem: escaped(problem, MAX_TEXT_CHARS) }
}

impl Error {
    /// Returns `true` if the job, vertex, checkpoint, attempt or endpoint does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { problem, .. } if problem.is_not_found())
    }

    /// Returns `true` if this version of Flink lacks the endpoint.
    pub fn is_missing_endpoint(&self) -> bool {
        matches!(self, Self::Status { problem, .. } if problem.is_missing_endpoint())
    }

    /// Returns `true` if the same request may succeed later.
    ///
    /// This is so while the JobManager is unreachable, starts, or elects a leader.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect { failure, .. } => *failure != ConnectFailure::Tls,
            Self::Timeout { .. } | Self::Transport { .. } => true,
            Self::Status { problem, .. } => problem.is_temporary(),
            Self::InvalidUrl { .. }
            | Self::InvalidOption { .. }
            | Self::BodyTooLarge { .. }
            | Self::OperationFailed { .. }
            | Self::Deadline { .. }
            | Self::Body { .. } => false,
        }
    }
}
