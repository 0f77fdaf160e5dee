//! The life of a job: its status, the states of its subtasks, its failures.
//!
//! [`JobStatusTracker`], [`AllSubtasksTracker`] and [`JobFailureTracker`] take an engine's reports
//! and build the events that Flink's JobMaster reports. An engine without need for them builds the
//! same events with [`job_status_change_event`], [`all_subtasks_status_change_event`] and
//! [`job_failure_event`].
//!
//! Everything here is pure and runs on the caller's thread, which is the JobMaster's main thread in
//! Flink.

mod all_subtasks;
mod events;
mod failure;
mod identity;
mod status;
mod vertex;

pub use all_subtasks::AllSubtasksTracker;
pub use events::{
    AllSubtasksStatus, JobFailure, all_subtasks_status_change_event, job_failure_event, job_status_change_event,
};
pub use failure::{DeployedTask, FailureHandlingResult, JobFailureTracker};
pub use flink_traces_api::{ExecutionState, JobStatus};
pub use identity::{CLUSTER_NAME, ExecutionAttemptId, JobIdentity, NamedJob};
pub use status::{JobEnded, JobStatusTracker};
pub use vertex::{JobInput, JobVertex};
