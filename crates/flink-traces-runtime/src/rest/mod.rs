//! Jobs that an engine tracks, served as Flink serves its own.
//!
//! [`TrackedJob`] takes the reports that the trackers of events take, too, and remembers what Flink's `ExecutionGraph` would;
//! [`TrackedCluster`] answers of all jobs in Flink's JSON, and hands what shall be done to them to the engine's [`RestfulGateway`].

use std::error::Error;

mod checkpoints;
mod cluster;
mod gateway;
mod job;
mod task_managers;

pub use cluster::{ClusterInfo, TrackedCluster};
pub use gateway::{
    NotSupported, PendingOperation, RestfulGateway, SavepointFormatType, SavepointRequest, TriggerSavepointMode,
};
pub use job::{JobInfo, JobInput, JobVertex, TrackedJob};
pub use task_managers::TaskExecutorRegistration;

/// A text and the causes of an error, as Java prints them.
fn with_causes(mut text: String, error: &dyn Error) -> String {
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str("\nCaused by: ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
