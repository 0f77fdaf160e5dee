//! The configuration of a reporter as plain data. [`options`](crate::options) reads it from keys.

use std::path::PathBuf;
use std::time::Duration;

use flink_traces_api::Signal;
use http::HeaderMap;
use reqwest::Url;

/// The destination of requests and the settings of the connection.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) protocol: Protocol,
    pub(crate) signal: Signal,
    /// The time limit of one request.
    pub(crate) timeout: Duration,
    pub(crate) gzip: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) authorization: Authorization,
    pub(crate) tls: TlsConfig,
    pub(crate) proxy: Option<Url>,
    /// The hosts that are reached without the proxy, in the form of `NO_PROXY`.
    pub(crate) no_proxy: String,
}

impl Target {
    /// Returns the URL for logs, without the query, which may hold a secret.
    pub(crate) fn shown_url(&self) -> Url {
        let mut url = self.url.clone();
        url.set_query(None);
        url
    }
}

/// A transport and an encoding of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    /// Protobuf over HTTP.
    Http,
    /// JSON over HTTP.
    HttpJson,
}

impl Protocol {
    /// Returns the value of `exporter.protocol`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::HttpJson => "http/json",
        }
    }
}

/// The source of the `Authorization` header, unless `exporter.headers` sets it.
#[derive(Clone, Default)]
pub(crate) enum Authorization {
    #[default]
    None,
    /// A user and a password.
    Basic(String, String),
    /// A token.
    Bearer(String),
    /// A file that holds a token and may change.
    BearerFile(PathBuf),
}

/// The certificate files of TLS connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsConfig {
    /// The trusted root certificates. `None` means the system's.
    pub(crate) ca_certificates: Option<PathBuf>,
    /// The client certificate with its intermediate certificates, and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

/// The backoff and the time limit of retries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    pub(crate) initial_backoff: Duration,
    pub(crate) max_backoff: Duration,
    /// The time without any success after which pending records are dropped.
    pub(crate) timeout: Duration,
    /// The same while the destination refuses every request.
    pub(crate) refusal_timeout: Duration,
}

impl Retry {
    /// Returns these settings with one time limit for all failures.
    pub(crate) fn within(self, timeout: Duration) -> Self {
        Self { timeout, refusal_timeout: timeout, ..self }
    }
}

/// The reaction to a destination that refuses every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnRefusal {
    /// Retry until the destination accepts requests.
    Keep,
    /// Count the records as rejected.
    Drop,
}

/// The location and the limit of a spool.
#[derive(Debug, Clone)]
pub(crate) struct SpoolConfig {
    pub(crate) directory: PathBuf,
    /// The maximum size of all stored chunks, in bytes.
    pub(crate) max_size: u64,
}
