//! The roster: the clusters of the configuration and of all sources, and the share of this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::cluster::Cluster;
use crate::discovery::{Found, Results, Source, WAITING};
use crate::metrics::{ProcessStats, SourceStats};
use crate::shard::Shard;

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
    /// The problem of the last look, which is logged if it is another one than before.
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
                let results = Results::new(number, self.sender.clone());
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
                Some(error) if running.problem.as_ref() != Some(error) => {
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
