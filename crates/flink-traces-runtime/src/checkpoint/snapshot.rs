//! The statistics of a job's checkpoints at one moment.

use std::sync::Arc;

use super::history::TrackedCheckpoint;
use super::stats::{CheckpointFailure, RestoredCheckpoint};
use super::summary::StatsSummary;

/// How many of the last values the quantiles of completed checkpoints are made of, as in Flink.
const HISTOGRAM_WINDOW_SIZE: usize = 10_000;

/// How many checkpoints there were, as Flink's `CheckpointStatsCounts`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointStatsCounts {
    /// How often the job was restored from one.
    pub restored: i64,
    /// Those that were triggered or failed before.
    pub total: i64,
    /// Those that are in progress.
    pub in_progress: i64,
    /// Those that completed.
    pub completed: i64,
    /// Those that failed, before or after the trigger.
    pub failed: i64,
}

/// The statistics of a job's checkpoints at one moment, as Flink's `CheckpointStatsSnapshot`. It does not change, and whoever holds it
/// keeps nobody waiting.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckpointStatsSnapshot {
    /// How many there were.
    pub counts: CheckpointStatsCounts,
    /// Statistics over those that completed.
    pub summary: CompletedCheckpointStatsSummary,
    /// Those that are remembered, by trigger, the last one first.
    pub history: Vec<Arc<TrackedCheckpoint>>,
    /// The completed one with the highest id that is not shown as the latest savepoint.
    pub latest_completed: Option<Arc<TrackedCheckpoint>>,
    /// The completed savepoint with the highest id.
    pub latest_savepoint: Option<Arc<TrackedCheckpoint>>,
    /// The failed one with the highest id.
    pub latest_failed: Option<Arc<TrackedCheckpoint>>,
    /// What the last initialization restored, if anything.
    pub latest_restored: Option<RestoredCheckpoint>,
    /// When and why a checkpoint last failed before it was triggered.
    pub latest_failure_before_trigger: Option<CheckpointFailure>,
}

impl CheckpointStatsSnapshot {
    /// The checkpoint of that id, if it is in the history or among the latest ones. Mirrors `CheckpointStatsHistory.getCheckpointById`.
    pub fn checkpoint(&self, checkpoint_id: i64) -> Option<&Arc<TrackedCheckpoint>> {
        let latest = [&self.latest_completed, &self.latest_savepoint, &self.latest_failed].into_iter().flatten();
        self.history.iter().chain(latest).find(|checkpoint| checkpoint.checkpoint_id() == checkpoint_id)
    }
}

/// Statistics over all checkpoints and savepoints that completed, as Flink's `CompletedCheckpointStatsSummary`. The quantiles are those
/// of the last 10,000.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletedCheckpointStatsSummary {
    /// Bytes of state that they refer to.
    pub state_size: StatsSummary,
    /// Bytes that were written for them.
    pub checkpointed_size: StatsSummary,
    /// From trigger to last acknowledgement, in milliseconds.
    pub end_to_end_duration: StatsSummary,
    /// Bytes processed during alignment.
    pub processed_data: StatsSummary,
    /// Bytes in flight that were persisted.
    pub persisted_data: StatsSummary,
}

impl CompletedCheckpointStatsSummary {
    pub(super) fn add(&mut self, completed: &TrackedCheckpoint) {
        self.state_size.add(completed.state_size());
        self.checkpointed_size.add(completed.checkpointed_size());
        self.end_to_end_duration.extend(completed.end_to_end_duration());
        self.processed_data.add(completed.processed_data());
        self.persisted_data.add(completed.persisted_data());
    }
}

impl Default for CompletedCheckpointStatsSummary {
    fn default() -> Self {
        let empty = || StatsSummary::with_window(HISTOGRAM_WINDOW_SIZE);
        Self {
            state_size: empty(),
            checkpointed_size: empty(),
            end_to_end_duration: empty(),
            processed_data: empty(),
            persisted_data: empty(),
        }
    }
}
