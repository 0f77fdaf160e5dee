//! Statistics of checkpoints and initializations, and the spans and events that are made of them.
//!
//! All of it is pure: values in, builders out, on the thread of whoever calls. That is the coordinator of an embedding engine, or an
//! observer of a cluster. Only the tracker has a lock inside, for those who look at it while the coordinator reports.

mod events;
mod history;
mod initialization;
mod spans;
mod stats;
mod summary;
mod tracker;

pub use events::{
    AllSubtasksStatus, JobFailure, all_subtasks_status_change_event, checkpoint_event, job_failure_event,
    job_status_change_event,
};
pub use history::{CheckpointTask, TrackedCheckpoint, TrackedTask};
pub use initialization::{
    ExecutionAttemptId, IgnoredReports, JobInitializationMetricsBuilder, PartialInitialization, StateObjectLocation,
    SubTaskInitializationMetrics,
};
pub use spans::{JobIdentity, checkpoint_span, job_initialization_span, partial_job_initialization_span};
pub use stats::{
    CheckpointFailure, CheckpointStats, CheckpointStatus, CheckpointType, InitializationMetric, InitializationStats,
    InitializationStatus, SubtaskMetric, SubtaskStats, TaskStats,
};
pub use summary::{CompletedCheckpointStatsSummary, StatsSummary};
pub use tracker::{
    CheckpointGauges, CheckpointStatsCounts, CheckpointStatsSnapshot, CheckpointStatsTracker, RestoredCheckpoint,
    TrackerError,
};

/// The scope of all that Flink's checkpoint statistics tracker reports, whatever class implements it.
pub(crate) const TRACKER_SCOPE: &str = "org.apache.flink.runtime.checkpoint.CheckpointStatsTracker";
