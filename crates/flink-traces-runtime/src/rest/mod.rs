//! Jobs that an engine tracks, served as Flink serves its own.
//!
//! [`TrackedJob`] takes the reports that the trackers of events take, too, and remembers what Flink's `ExecutionGraph` would;
//! [`TrackedCluster`] answers of all jobs in Flink's JSON.

mod checkpoints;
mod cluster;
mod job;

pub use cluster::{ClusterInfo, TrackedCluster};
pub use job::{JobInfo, JobInput, JobVertex, TrackedJob};
