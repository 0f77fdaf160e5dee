//! Statistics of checkpoints and initializations, and the spans and events that are made of them.

mod events;
mod spans;
mod stats;

pub use events::{
    AllSubtasksStatus, JobFailure, all_subtasks_status_change_event, checkpoint_event, job_failure_event,
    job_status_change_event,
};
pub use spans::{JobIdentity, checkpoint_span, job_initialization_span};
pub use stats::{
    CheckpointFailure, CheckpointStats, CheckpointStatus, CheckpointType, InitializationMetric, InitializationStats,
    InitializationStatus, SubtaskMetric, SubtaskStats, TaskStats,
};

/// The scope of all that Flink's checkpoint statistics tracker reports, whatever class implements it.
pub(crate) const TRACKER_SCOPE: &str = "org.apache.flink.runtime.checkpoint.CheckpointStatsTracker";
