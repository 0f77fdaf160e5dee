#![doc = include_str!("../README.md")]

mod body;
#[cfg(feature = "client")]
mod client;
mod endpoint;
mod id;
mod lenient;
mod resource;
mod status;
mod text;
pub mod types;

pub use body::{BodyError, StatusError, decode};
#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, ConnectFailure, Error, Response};
pub use endpoint::{
    CheckpointConfig, CheckpointDetails, CheckpointSubtasks, Checkpoints, Config, Endpoint, Job, JobExceptions,
    JobMetrics, Jobs, JobsOverview, Overview, Parameters, SubtaskAttempt, SubtaskTimes, TaskManagers, Vertex,
};
pub use id::{InvalidId, JobId, JobVertexId};
pub use resource::{Answer, Resource};
pub use status::{CheckpointStatus, CheckpointType, ExecutionState, JobStatus, SubtaskCheckpointStatus};
