//! The reports of one subtask, with named numbers.

use std::sync::Arc;
use std::time::Duration;

use flink_traces_api::Text;

use crate::checkpoint::{
    InitializationStatus, StateObjectLocation, SubTaskInitializationMetrics, SubtaskMetric, SubtaskStats,
};

/// A subtask's part in a checkpoint, for [`PendingCheckpoint::ack`](super::PendingCheckpoint::ack).
///
/// A metric that is not set is unknown, and the span lacks it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flink_traces_runtime::reporting::Subtask;
///
/// let subtask = Subtask::new(0)
///     .state_size(4_096)
///     .sync_duration(Duration::from_millis(2))
///     .async_duration(Duration::from_millis(90));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Subtask(SubtaskStats);

impl Subtask {
    /// Creates the part of the subtask at `index`, from 0, without metrics.
    pub fn new(index: u32) -> Self {
        Self(SubtaskStats::new(i64::from(index), 0))
    }

    /// Sets the bytes of state that the subtask refers to. Unless set otherwise, it wrote all of
    /// them.
    pub fn state_size(self, bytes: u64) -> Self {
        let written = self.0.metric(SubtaskMetric::CheckpointedSizeBytes).is_some();
        let this = self.with(SubtaskMetric::StateSizeBytes, bytes);
        if written { this } else { this.checkpointed_size(bytes) }
    }

    /// Sets the bytes that the subtask wrote.
    pub fn checkpointed_size(self, bytes: u64) -> Self {
        self.with(SubtaskMetric::CheckpointedSizeBytes, bytes)
    }

    /// Sets the time from the trigger to the start of the subtask's snapshot.
    pub fn start_delay(self, delay: Duration) -> Self {
        self.with(SubtaskMetric::CheckpointStartDelayMs, millis(delay))
    }

    /// Sets the time from the first to the last barrier.
    pub fn alignment_duration(self, duration: Duration) -> Self {
        self.with(SubtaskMetric::AlignmentDurationMs, millis(duration))
    }

    /// Sets the duration of the synchronous phase, which stops processing.
    pub fn sync_duration(self, duration: Duration) -> Self {
        self.with(SubtaskMetric::SyncCheckpointDurationMs, millis(duration))
    }

    /// Sets the duration of the asynchronous phase, which runs beside processing.
    pub fn async_duration(self, duration: Duration) -> Self {
        self.with(SubtaskMetric::AsyncCheckpointDurationMs, millis(duration))
    }

    /// Sets the bytes that were processed during alignment.
    pub fn processed_data(self, bytes: u64) -> Self {
        self.with(SubtaskMetric::ProcessedDataBytes, bytes)
    }

    /// Sets the bytes of in-flight data that were persisted.
    pub fn persisted_data(self, bytes: u64) -> Self {
        self.with(SubtaskMetric::PersistedDataBytes, bytes)
    }

    /// Sets the flag of a subtask that persisted in-flight data.
    pub fn unaligned(self, is_unaligned: bool) -> Self {
        Self(self.0.with_unaligned(is_unaligned))
    }

    /// Sets the host on which the subtask runs.
    pub fn host(self, host: impl Into<Arc<str>>) -> Self {
        Self(self.0.with_host(host.into()))
    }

    pub(super) fn reported(self, ack_timestamp: i64, is_completed: bool) -> SubtaskStats {
        let mut stats = self.0.with_completed(is_completed);
        stats.ack_timestamp = ack_timestamp;
        stats
    }

    fn with(self, metric: SubtaskMetric, value: u64) -> Self {
        Self(self.0.with_metrics([(metric, saturated(value))]))
    }
}

impl From<SubtaskStats> for Subtask {
    /// Takes everything but the time and the outcome, which the report sets.
    fn from(stats: SubtaskStats) -> Self {
        Self(stats)
    }
}

/// The outcome of one subtask's initialization, for
/// [`Initialization::initialized`](super::Initialization::initialized).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flink_traces_runtime::checkpoint::{StateObjectLocation, SubTaskInitializationMetrics};
/// use flink_traces_runtime::reporting::InitializedSubtask;
///
/// let subtask = InitializedSubtask::completed()
///     .duration(SubTaskInitializationMetrics::INITIALIZE_STATE_DURATION, Duration::from_secs(2))
///     .restored_state_size(StateObjectLocation::LocalDisk, 4_096);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct InitializedSubtask(SubTaskInitializationMetrics);

impl InitializedSubtask {
    /// Creates the outcome of a subtask that runs.
    pub fn completed() -> Self {
        Self::new(InitializationStatus::Completed)
    }

    /// Creates the outcome of a subtask that could not be initialized.
    pub fn failed() -> Self {
        Self::new(InitializationStatus::Failed)
    }

    fn new(status: InitializationStatus) -> Self {
        Self(SubTaskInitializationMetrics::new(status, 0))
    }

    /// Adds the duration of a phase, by a name of [`SubTaskInitializationMetrics`] or any other.
    pub fn duration(self, name: impl Into<Text>, duration: Duration) -> Self {
        self.metric(name, saturated(millis(duration)))
    }

    /// Adds a metric by any name. Values of the same name are summed.
    pub fn metric(mut self, name: impl Into<Text>, value: i64) -> Self {
        self.0.add(name, value);
        self
    }

    /// Adds the bytes that an operator restored from `location`.
    pub fn restored_state_size(mut self, location: StateObjectLocation, bytes: u64) -> Self {
        self.0.add_restored_state_size(location, saturated(bytes));
        self
    }

    pub(super) fn reported(self, end_timestamp: i64) -> SubTaskInitializationMetrics {
        self.0.ended_at(end_timestamp)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn saturated(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
