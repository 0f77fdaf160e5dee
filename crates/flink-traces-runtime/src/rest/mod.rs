//! Jobs that an engine tracks, served as Flink serves its own.
//!
//! [`TrackedJob`] takes the reports that the trackers of events take, too, and remembers what Flink's `ExecutionGraph` would;
//! [`TrackedCluster`] answers of all jobs in Flink's JSON, and hands what shall be done to them to the engine's [`RestfulGateway`].

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
