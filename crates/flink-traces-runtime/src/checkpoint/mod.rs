//! Statistics of checkpoints and initializations, and the spans and events that are made of them.
//!
//! All of it is pure: values in, builders out, on the thread of whoever calls. That is the coordinator of an embedding engine, or an
//! observer of a cluster. Only the tracker has a lock inside, for those who look at it while the coordinator reports.

mod error;
mod events;
mod gauges;
mod history;
mod initialization;
mod snapshot;
mod spans;
mod stats;
mod summary;
mod tracker;

pub use error::TrackerError;
pub use events::checkpoint_event;
pub use gauges::CheckpointGauges;
pub use history::{CheckpointTask, TrackedCheckpoint, TrackedTask};
pub use initialization::{IgnoredReports, JobInitializationMetricsBuilder, PartialInitialization};
pub use snapshot::{CheckpointStatsCounts, CheckpointStatsSnapshot, CompletedCheckpointStatsSummary};
pub use spans::{checkpoint_span, job_initialization_span, partial_job_initialization_span};
pub use stats::{
    CheckpointFailure, CheckpointStats, CheckpointStatus, CheckpointType, InitializationMetric, InitializationStats,
    InitializationStatus, RestoredCheckpoint, StateObjectLocation, SubTaskInitializationMetrics, SubtaskMetric,
    SubtaskStats, TaskStats,
};
pub use summary::StatsSummary;
pub use tracker::{CheckpointStatsTracker, CheckpointStatsTrackerBuilder};

/// The scope of all that Flink's checkpoint statistics tracker reports, whatever class implements it.
const TRACKER_SCOPE: &str = "org.apache.flink.runtime.checkpoint.CheckpointStatsTracker";
