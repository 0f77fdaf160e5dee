//! Discovery: clusters that are not in the configuration, but found.

mod directory;
mod dns;
#[cfg(feature = "kubernetes")]
mod kubernetes;

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use flink_traces_runtime::{Configuration, Problem};
use tokio::sync::mpsc;

use crate::cluster::{Cluster, ClusterOptions};
use crate::options::{DISCOVERY_DIRECTORY, DISCOVERY_DNS, DISCOVERY_INTERVAL, take};

use directory::Directory;
use dns::Dns;
#[cfg(feature = "kubernetes")]
use kubernetes::Kubernetes;

/// The number of results that may wait.
pub(crate) const WAITING: usize = 16;

/// A source of clusters.
pub(crate) trait Discovery: Send {
    /// Looks for clusters until it is aborted. Sends all clusters at first and after each change.
    fn run(self: Box<Self>, results: Results) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The result of a look.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// All clusters of the source; `None` if they are unknown now.
    pub(crate) clusters: Option<Vec<Cluster>>,
    /// The reason why some clusters may be missing.
    pub(crate) problem: Option<String>,
    /// Set while the source has not tried everything that it needs.
    pub(crate) is_pending: bool,
}

/// The receiver of what a source finds.
pub(crate) struct Results {
    source: usize,
    sender: mpsc::Sender<(usize, Found)>,
}

impl Results {
    /// Creates a receiver of the results of a source, which has a number.
    pub(crate) fn new(source: usize, sender: mpsc::Sender<(usize, Found)>) -> Self {
        Self { source, sender }
    }

    /// Sends a result.
    pub(crate) async fn send(&self, found: Found) {
        // Without a receiver, the program ends.
        let _ = self.sender.send((self.source, found)).await;
    }
}

/// The options of a source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    Directory(Directory),
    Dns(Dns),
    #[cfg(feature = "kubernetes")]
    Kubernetes(Kubernetes),
}

impl Source {
    /// Returns the name, for the log and for metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::Dns(_) => "dns",
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    /// Creates the source.
    pub(crate) fn start(&self) -> Box<dyn Discovery> {
        match self.clone() {
            Self::Directory(directory) => Box::new(directory),
            Self::Dns(dns) => Box::new(dns),
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes(kubernetes) => Box::new(kubernetes),
        }
    }

    /// Returns the clusters of the first look. A source that still tries something at the end of
    /// `within` has no problem yet.
    pub(crate) async fn first(&self, within: Duration) -> Result<Vec<Cluster>, String> {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        let task = tokio::spawn(self.start().run(Results::new(0, sender)));
        let mut known = Err(format!("no result within {within:?}"));
        let look = async {
            while let Some((_, Found { clusters, problem, is_pending })) = receiver.recv().await {
                match (problem, clusters) {
                    (Some(problem), _) => known = Err(problem),
                    (None, Some(clusters)) => known = Ok(clusters),
                    (None, None) => {}
                }
                if known.is_err() || !is_pending {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(within, look).await;
        task.abort();
        known
    }
}

/// Returns the configured sources.
pub(crate) fn sources(
    configuration: &Configuration,
    defaults: &ClusterOptions,
    problems: &mut Vec<Problem>,
) -> Vec<Source> {
    let interval = take(configuration, &DISCOVERY_INTERVAL, problems).unwrap_or_default();
    let mut sources = Vec::new();
    if let Some(path) = take(configuration, &DISCOVERY_DIRECTORY, problems) {
        sources.push(Source::Directory(Directory { path: PathBuf::from(path), interval, defaults: defaults.clone() }));
    }
    let urls = take(configuration, &DISCOVERY_DNS, problems).unwrap_or_default();
    if !urls.is_empty() {
        match Dns::new(&urls, interval, defaults) {
            Ok(dns) => sources.push(Source::Dns(dns)),
            Err(message) => {
                let origin = configuration.value(DISCOVERY_DNS.key()).map(|value| value.origin.clone());
                problems.push(Problem::error(message).with_key(DISCOVERY_DNS.key().to_owned()).with_origin(origin));
            }
        }
    }
    #[cfg(feature = "kubernetes")]
    sources.extend(Kubernetes::read(configuration, defaults, problems).map(Source::Kubernetes));
    sources
}
