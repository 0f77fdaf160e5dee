//! The life of a job as its engine tells it: states of the job, states of its subtasks, failures. Each tracker makes of that the events
//! that Flink's JobMaster reports.
//!
//! All of it is pure: facts and times in, event builders out, on the thread of whoever calls; in Flink that is the JobMaster's main thread.

mod all_subtasks;
mod events;
mod failure;
mod identity;
mod status;

pub use all_subtasks::{AllSubtasksTracker, ExecutionState};
pub use events::{
    AllSubtasksStatus, JobFailure, all_subtasks_status_change_event, job_failure_event, job_status_change_event,
};
pub use failure::{DeployedTask, FailureHandlingResult, JobFailureTracker};
pub use identity::{ExecutionAttemptId, JobIdentity};
pub use status::{JobEnded, JobStatus, JobStatusTracker};
