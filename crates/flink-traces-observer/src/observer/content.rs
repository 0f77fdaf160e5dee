//! The content of a job: its status, its vertices and its checkpoint configuration.

use std::hash::{DefaultHasher, Hash, Hasher};

use flink_rest::types::{CheckpointConfigInfo, JobDetailsInfo};
use flink_traces_runtime::extension::{ObservedJob, ObservedVertex};

use super::SETTLE_MS;
use super::cluster::Cluster;
use super::text::{MAX_NAME_CHARS, bounded};
use crate::observation::Observation;

/// The content of one job, which is reported whenever it changes.
///
/// A response has only a part of it. A change waits for the other parts, so that the content does
/// not depend on the order of the responses. If a part does not arrive, the change is reported
/// without it.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The last change that is not reported yet, and the time at which it arrived.
    pending: Option<(i64, Box<ObservedJob>)>,
    /// The hash of the last change.
    last: Option<u64>,
    checkpoint_config: CheckpointConfig,
}

/// The checkpoint configuration of a job.
#[derive(Debug, Default)]
enum CheckpointConfig {
    #[default]
    Unknown,
    /// The job has none.
    Missing,
    Known {
        interval_ms: i64,
        timeout_ms: Option<i64>,
    },
}

impl Content {
    pub(super) fn observe_job(&mut self, at: i64, details: &JobDetailsInfo) {
        let since = details.timestamps.get(&details.state).copied().unwrap_or(0);
        let vertices = details.vertices.iter().map(|vertex| {
            let name = bounded(&vertex.name, MAX_NAME_CHARS);
            ObservedVertex::new(vertex.id.to_string(), name, vertex.parallelism.unwrap_or(0))
        });
        let job = ObservedJob::new(details.state.as_str().to_owned(), since, details.start_time)
            .with_vertices(vertices.collect());
        let mut hasher = DefaultHasher::new();
        job.hash(&mut hasher);
        let hash = hasher.finish();
        if self.last.replace(hash) != Some(hash) {
            self.pending = Some((at, Box::new(job)));
        }
    }

    pub(super) fn observe_config(&mut self, config: &CheckpointConfigInfo) {
        self.checkpoint_config = CheckpointConfig::Known { interval_ms: config.interval, timeout_ms: config.timeout };
    }

    /// Notes that the cluster has no checkpoint configuration of the job.
    pub(super) fn observe_missing_config(&mut self) {
        if matches!(self.checkpoint_config, CheckpointConfig::Unknown) {
            self.checkpoint_config = CheckpointConfig::Missing;
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_none()
    }

    /// Returns the last change, if it is due.
    pub(super) fn advance(&mut self, now: i64, cluster: &Cluster) -> Option<Observation> {
        let is_whole = cluster.is_known() && !matches!(self.checkpoint_config, CheckpointConfig::Unknown);
        let is_due = |arrived: i64| is_whole || now >= arrived.saturating_add(SETTLE_MS);
        let (ts_millis, mut job) = self.pending.take_if(|(arrived, _)| is_due(*arrived))?;
        if let CheckpointConfig::Known { interval_ms, timeout_ms } = self.checkpoint_config {
            // Flink's value for none.
            job.checkpoint_interval_ms = Some(interval_ms).filter(|interval| *interval != i64::MAX);
            job.checkpoint_timeout_ms = timeout_ms;
        }
        job.history_size = cluster.history_size();
        job.flink_version = cluster.version();
        Some(Observation::Content { job, ts_millis })
    }
}
