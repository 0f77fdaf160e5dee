//! A cluster to watch: its name, its addresses and its options.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use flink_rest::{Client, Error};
use flink_traces_runtime::config::SpanDetailLevel;

/// The number of unused connections that a JobManager is left with. No more requests are in flight
/// at once, unless they are slow.
const MAX_IDLE_CONNECTIONS: usize = 4;

/// A cluster to watch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cluster {
    /// The configured name, or the address without `http://`.
    pub(crate) name: String,
    /// The addresses of its JobManagers, of which one is the leader.
    pub(crate) urls: Vec<String>,
    /// The options.
    pub(crate) options: ClusterOptions,
}

/// The options of a cluster, or those of all clusters that have no others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClusterOptions {
    /// The interval between two polls.
    pub(crate) poll_interval: Duration,
    /// The limit of requests in a second.
    pub(crate) requests_per_second: Option<f64>,
    /// The children of checkpoint spans; `None` for those of all clusters.
    pub(crate) detail: Option<SpanDetailLevel>,
    /// The resource attributes of its records.
    pub(crate) resource: Vec<(String, String)>,
    /// The way to its JobManagers.
    pub(crate) access: Access,
}

impl Cluster {
    /// Returns the interval between two polls, which leaves other requests half of the
    /// limit.
    pub(crate) fn poll_interval(&self) -> Duration {
        let limit = self.options.requests_per_second.map(|rate| Duration::from_secs_f64(2.0 / rate));
        self.options.poll_interval.max(limit.unwrap_or_default())
    }
}

/// The way to the JobManagers of a cluster.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// The timeout of a request.
    pub(crate) timeout: Duration,
    /// The credentials.
    pub(crate) authorization: Authorization,
    /// The trusted certificate authorities, in PEM; `None` for those of the system.
    pub(crate) authorities: Option<Vec<u8>>,
    /// The client certificate with its chain and its key, in PEM.
    pub(crate) identity: Option<Vec<u8>>,
    /// The clusters of a test, which take the place of the network.
    #[cfg(test)]
    pub(crate) network: Option<Network>,
}

/// The credentials of each request.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Authorization {
    /// Those in the address, if there are any.
    None,
    /// A token.
    Bearer(String),
    /// A token in a file that may be replaced.
    BearerFile(TokenFile),
    /// A user and a password.
    Basic(String, String),
}

/// A file with a token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenFile(pub(crate) PathBuf);

impl TokenFile {
    /// Returns the token.
    pub(crate) fn read(&self) -> Result<String, String> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) if text.trim().is_empty() => Err("expected a token".to_owned()),
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) => Err(format!("cannot be read: {error}")),
        }
    }
}

impl Access {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            authorization: Authorization::None,
            authorities: None,
            identity: None,
            #[cfg(test)]
            network: None,
        }
    }

    /// Creates the client of one JobManager.
    pub(crate) fn client(&self, url: &str) -> Result<Client, Error> {
        let mut client = Client::builder(url)
            .timeout(self.timeout)
            .max_idle_connections(MAX_IDLE_CONNECTIONS)
            .user_agent(concat!("flink-traces/", env!("CARGO_PKG_VERSION")))
            .on_skipped(|url, error| tracing::warn!(url, %error, "unreadable entry, skipping it"));
        client = match &self.authorization {
            Authorization::None | Authorization::BearerFile(_) => client,
            Authorization::Bearer(token) => client.bearer_auth(token),
            Authorization::Basic(user, password) => client.basic_auth(user, password),
        };
        if let Some(pem) = &self.authorities {
            client = client.ca_certificates(pem.clone());
        }
        if let Some(pem) = &self.identity {
            client = client.identity(pem.clone());
        }
        client.build()
    }
}

/// Answers a request to the first address of a cluster.
#[cfg(test)]
type Answer = dyn Fn(&str, &flink_rest::Resource) -> BoxedAnswer + Send + Sync;
#[cfg(test)]
type BoxedAnswer = std::pin::Pin<Box<dyn Future<Output = Result<flink_rest::Response, Error>> + Send>>;

/// The clusters of a test, without sockets.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct Network(pub(crate) std::sync::Arc<Answer>);

#[cfg(test)]
impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
impl Eq for Network {}

/// Formats without credentials and certificates.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Formats without the credentials.
impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}
