//! Jobs of an engine, served over Flink's REST API.
//!
//! A [`TrackedJob`] takes an engine's reports and keeps what Flink's `ExecutionGraph` does. A
//! [`TrackedCluster`] serves all jobs in Flink's JSON, and passes operations on to the engine's
//! [`RestfulGateway`]. It implements [`flink_rest::RestService`]; `flink_rest::RestServer` of that
//! crate's feature `server` serves it over HTTP.

mod checkpoints;
mod cluster;
mod gateway;
mod job;
mod job_info;
mod job_view;
mod task_managers;

pub use crate::job::{JobInput, JobVertex};
pub use cluster::{ClusterInfo, TrackedCluster};
pub use gateway::{
    NotSupported, PendingOperation, RestfulGateway, SavepointFormatType, SavepointRequest, TriggerSavepointMode,
};
pub use job::TrackedJob;
pub use job_info::JobInfo;
pub use task_managers::TaskExecutorRegistration;
