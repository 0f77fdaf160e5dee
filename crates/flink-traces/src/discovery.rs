//! Discovery: clusters that are not in the configuration, but found.

mod directory;
mod dns;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flink_traces_runtime::{Configuration, Problem};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::cluster::{Cluster, ClusterOptions};
use crate::metrics::{ProcessStats, SourceStats};
use crate::options::{DISCOVERY_DIRECTORY, DISCOVERY_DNS, DISCOVERY_INTERVAL, take};
use crate::shard::Shard;

use directory::Directory;
use dns::Dns;

/// The number of results that may wait.
const WAITING: usize = 16;

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
}

/// The receiver of what a source finds.
pub(crate) struct Results {
    source: usize,
    sender: mpsc::Sender<(usize, Found)>,
}

impl Results {
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
}

impl Source {
    /// Returns the name, for the log and for metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::Dns(_) => "dns",
        }
    }

    fn start(&self) -> Box<dyn Discovery> {
        match self.clone() {
            Self::Directory(directory) => Box::new(directory),
            Self::Dns(dns) => Box::new(dns),
        }
    }

    /// Returns the first result.
    pub(crate) async fn first(&self, within: Duration) -> Result<Vec<Cluster>, String> {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        let task = tokio::spawn(self.start().run(Results { source: 0, sender }));
        let found = tokio::time::timeout(within, receiver.recv()).await;
        task.abort();
        match found {
            Ok(Some((_, Found { problem: Some(problem), .. }))) => Err(problem),
            Ok(Some((_, Found { clusters: Some(clusters), .. }))) => Ok(clusters),
            _ => Err(format!("no result within {within:?}")),
        }
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
    sources
}

/// The clusters of the configuration and of all sources, of which this process watches its share.
pub(crate) struct Roster {
    shard: Shard,
    stats: Arc<ProcessStats>,
    configured: Vec<Cluster>,
    sources: BTreeMap<usize, Running>,
    /// The number of sources that were ever started.
    started: usize,
    sender: mpsc::Sender<(usize, Found)>,
    receiver: mpsc::Receiver<(usize, Found)>,
}

/// A source that looks for clusters.
struct Running {
    source: Source,
    task: AbortHandle,
    clusters: Vec<Cluster>,
    /// The problem of the last look, the first of which is logged.
    problem: Option<String>,
}

impl Roster {
    /// Creates a roster without clusters.
    pub(crate) fn new(shard: Shard, stats: Arc<ProcessStats>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self { shard, stats, configured: Vec::new(), sources: BTreeMap::new(), started: 0, sender, receiver }
    }

    /// Takes over the configured clusters and sources. A source that stays keeps its clusters.
    pub(crate) fn configure(&mut self, clusters: Vec<Cluster>, sources: &[Source]) {
        self.configured = clusters;
        self.sources.retain(|_, running| {
            let stays = sources.contains(&running.source);
            if !stays {
                running.task.abort();
            }
            stays
        });
        for source in sources {
            if self.sources.values().all(|running| running.source != *source) {
                let number = self.started;
                self.started += 1;
                let results = Results { source: number, sender: self.sender.clone() };
                let task = tokio::spawn(source.start().run(results)).abort_handle();
                let running = Running { source: source.clone(), task, clusters: Vec::new(), problem: None };
                self.sources.insert(number, running);
            }
        }
        self.count();
    }

    /// Waits until a source has other clusters than before.
    pub(crate) async fn change(&mut self) {
        loop {
            // The roster has a sender, so the channel is open.
            let Some((number, found)) = self.receiver.recv().await else { return };
            // A source that was aborted may have sent something before.
            let Some(running) = self.sources.get_mut(&number) else { continue };
            let source = running.source.name();
            // If they are unknown now, the known ones are watched on.
            let clusters = found.clusters.filter(|clusters| *clusters != running.clusters);
            let has_changed = clusters.is_some();
            if let Some(clusters) = clusters {
                tracing::info!(source, clusters = clusters.len(), "clusters found");
                running.clusters = clusters;
            }
            match &found.problem {
                Some(error) if running.problem.is_none() => {
                    tracing::warn!(source, error, "discovery failed, keeping the known clusters");
                }
                None if running.problem.is_some() => tracing::info!(source, "discovery works again"),
                _ => {}
            }
            running.problem = found.problem;
            self.count();
            if has_changed {
                return;
            }
        }
    }

    /// Returns the clusters that this process watches. Of clusters with the same name, a configured
    /// one counts, and then that of the source that was started first.
    pub(crate) fn clusters(&self) -> BTreeMap<String, Cluster> {
        let mut clusters: BTreeMap<String, Cluster> = BTreeMap::new();
        let mut others = 0;
        for cluster in self.configured.iter().chain(self.sources.values().flat_map(|running| &running.clusters)) {
            if !self.shard.watches(&cluster.name) {
                others += 1;
            } else if clusters.contains_key(&cluster.name) {
                tracing::debug!(cluster = cluster.name, "found twice, the first counts");
            } else {
                clusters.insert(cluster.name.clone(), cluster.clone());
            }
        }
        self.stats.set_other_shards(others);
        clusters
    }

    fn count(&self) {
        let of_source = |running: &Running| SourceStats {
            name: running.source.name(),
            works: running.problem.is_none(),
            clusters: running.clusters.len(),
        };
        self.stats.set_sources(self.sources.values().map(of_source).collect());
    }
}

impl Drop for Roster {
    fn drop(&mut self) {
        self.sources.values().for_each(|running| running.task.abort());
    }
}
