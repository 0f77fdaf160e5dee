#![doc = include_str!("../README.md")]

mod body;
#[cfg(feature = "client")]
mod client;
mod endpoint;
mod endpoints;
mod id;
mod lenient;
mod multipart;
mod status;
mod text;
pub mod types;
mod version;

pub use body::{BodyError, StatusError, decode};
#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, ConnectFailure, Error, Response};
pub use endpoint::{EncodedBody, Endpoint, InvalidParameter, Parameters, QueryParameter, RequestBody, ResponseBody};
pub use endpoints::*;
pub use id::{
    ApplicationId, DataSetId, FileName, InvalidId, JarId, JobId, JobVertexId, OperatorId, RescaleId, TaskManagerId,
    TriggerId,
};
pub use multipart::{Multipart, Part};
pub use status::{CheckpointStatus, CheckpointType, ExecutionState, JobStatus, QueueStatusId, SubtaskCheckpointStatus};
pub use version::{FlinkVersion, InvalidVersion, Versions};
