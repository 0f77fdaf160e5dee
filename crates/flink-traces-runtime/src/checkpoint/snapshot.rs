//! The statistics of a job's checkpoints at one moment.

use std::sync::Arc;

use super::history::TrackedCheckpoint;
use super::stats::{CheckpointFailure, RestoredCheckpoint};
use super::summary::StatsSummary;

/// The number of last values from which quantiles are computed, as in Flink.
const HISTOGRAM_WINDOW_SIZE: usize = 10_000;

/// The number of checkpoints by outcome. Flink's `CheckpointStatsCounts`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointStatsCounts {
    /// The number of restores from a checkpoint.
    pub restored: i64,
    /// The number of checkpoints that were triggered, or failed before the trigger.
    pub total: i64,
    /// The number of checkpoints in progress.
    pub in_progress: i64,
    /// The number of completed checkpoints.
    pub completed: i64,
    /// The number of checkpoints that failed before or after the trigger.
    pub failed: i64,
}

/// The statistics of a job's checkpoints at one moment. Flink's `CheckpointStatsSnapshot`.
///
/// A snapshot is immutable, and holding one does not block the tracker.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckpointStatsSnapshot {
    /// The number of checkpoints by outcome.
    pub counts: CheckpointStatsCounts,
    /// The statistics over completed checkpoints.
    pub summary: CompletedCheckpointStatsSummary,
    /// The checkpoints in the history, the last trigger first.
    pub history: Vec<Arc<TrackedCheckpoint>>,
    /// The completed checkpoint with the highest id, unless it is the latest savepoint.
    pub latest_completed: Option<Arc<TrackedCheckpoint>>,
    /// The completed savepoint with the highest id.
    pub latest_savepoint: Option<Arc<TrackedCheckpoint>>,
    /// The failed checkpoint with the highest id.
    pub latest_failed: Option<Arc<TrackedCheckpoint>>,
    /// The checkpoint that the last initialization restored, if any.
    pub latest_restored: Option<RestoredCheckpoint>,
    /// The last failure of a checkpoint before its trigger.
    pub latest_failure_before_trigger: Option<CheckpointFailure>,
}

impl CheckpointStatsSnapshot {
    /// Returns the checkpoint of that id from the history or the latest ones.
    ///
    /// Mirrors `CheckpointStatsHistory.getCheckpointById`.
    pub fn checkpoint(&self, checkpoint_id: i64) -> Option<&Arc<TrackedCheckpoint>> {
        let latest = [&self.latest_completed, &self.latest_savepoint, &self.latest_failed].into_iter().flatten();
        self.history.iter().chain(latest).find(|checkpoint| checkpoint.checkpoint_id() == checkpoint_id)
    }
}

/// The statistics over all completed checkpoints and savepoints.
///
/// Flink's `CompletedCheckpointStatsSummary`. The quantiles are those of the last 10,000.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletedCheckpointStatsSummary {
    /// The bytes of state that the checkpoints refer to.
    pub state_size: StatsSummary,
    /// The bytes that were written for the checkpoints.
    pub checkpointed_size: StatsSummary,
    /// The milliseconds from the trigger to the last acknowledgement.
    pub end_to_end_duration: StatsSummary,
    /// The bytes that were processed during alignment.
    pub processed_data: StatsSummary,
    /// The bytes of in-flight data that were persisted.
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
