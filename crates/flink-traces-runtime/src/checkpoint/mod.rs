//! Statistics of checkpoints and initializations, and the spans and events built from them.
//!
//! A [`CheckpointStatsTracker`] collects the reports of an engine's checkpoint coordinator. It
//! returns [`CheckpointStats`] and [`InitializationStats`], from which [`checkpoint_span`],
//! [`checkpoint_event`] and [`job_initialization_span`] build records. An engine with statistics of
//! its own fills in these types without a tracker.
//!
//! Everything here is pure and runs on the caller's thread. Only the tracker has a lock, for
//! readers on other threads.

mod error;
mod events;
mod gauges;
mod history;
mod initialization;
mod snapshot;
mod spans;
mod stats;
mod subtask;
mod summary;
mod tracker;
mod usual;

pub use error::TrackerError;
pub use events::checkpoint_event;
pub use gauges::CheckpointGauges;
pub use history::{CheckpointTask, TrackedCheckpoint, TrackedTask};
pub use initialization::{IgnoredReports, JobInitializationMetricsBuilder, PartialInitialization};
pub use snapshot::{CheckpointStatsCounts, CheckpointStatsSnapshot, CompletedCheckpointStatsSummary};
pub use spans::{checkpoint_span, job_initialization_span, partial_job_initialization_span};
pub use stats::{
    CheckpointFailure, CheckpointStats, CheckpointStatus, CheckpointType, CompletedCheckpoint, InitializationMetric,
    InitializationStats, InitializationStatus, RestoredCheckpoint, StateObjectLocation, SubTaskInitializationMetrics,
    TaskStats,
};
pub use subtask::{SubtaskMetric, SubtaskStats, Subtasks};
pub use summary::StatsSummary;
pub use tracker::{CheckpointStatsTracker, CheckpointStatsTrackerBuilder};
pub use usual::UsualDuration;
