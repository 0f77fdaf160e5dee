//! The two results of a [`RestService`](crate::RestService): a response or an error.

use serde::Serialize;

use crate::body::StatusError;
use crate::endpoint::{Endpoint, InvalidParameter, JSON, ResponseBody};

/// An error of a [`RestService`](crate::RestService).
///
/// It is sent as Flink sends errors: a status and a list of messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("status {status}: {}", errors.join("; "))]
#[non_exhaustive]
pub struct RestError {
    /// The HTTP status.
    pub status: u16,
    /// The messages.
    pub errors: Vec<String>,
}

impl RestError {
    /// Creates an error with one message.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, errors: vec![message.into()] }
    }

    /// Creates an error with status 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }

    /// Creates the error with which Flink answers a request to an endpoint that its version lacks.
    pub fn unknown(method: &str, path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        if method == "GET" {
            Self::not_found(format!("Unable to load requested file {path}."))
        } else {
            Self::not_found(format!("Not found: {path}"))
        }
    }
}

impl From<InvalidParameter> for RestError {
    fn from(error: InvalidParameter) -> Self {
        Self::new(400, error.to_string())
    }
}

/// Passes on the error of another cluster.
impl From<StatusError> for RestError {
    fn from(error: StatusError) -> Self {
        Self { status: error.status(), errors: error.errors().to_vec() }
    }
}

/// An HTTP response in parts, for a server to send.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceResponse {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl ServiceResponse {
    /// Encodes the response of an endpoint.
    pub(crate) fn encode<E: Endpoint>(response: &E::Response) -> Result<Self, RestError> {
        let body = response.to_bytes().map_err(|_| RestError::new(500, "Internal server error."))?;
        Ok(Self { status: E::STATUS, content_type: E::Response::CONTENT_TYPE, body })
    }
}

/// Encodes the error as Flink does.
impl From<RestError> for ServiceResponse {
    fn from(RestError { status, errors }: RestError) -> Self {
        #[derive(Serialize)]
        struct ErrorResponseBody {
            errors: Vec<String>,
        }
        let body = serde_json::to_vec(&ErrorResponseBody { errors }).unwrap_or_default();
        Self { status, content_type: JSON, body }
    }
}
