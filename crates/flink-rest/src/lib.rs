#![doc = include_str!("../README.md")]

mod body;
#[cfg(feature = "client")]
mod client;
mod endpoint;
mod endpoints;
mod id;
mod java;
mod lenient;
mod multipart;
mod operation;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "service")]
mod service;
mod status;
mod text;
pub mod types;
#[cfg(feature = "client")]
mod upload;
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
pub use operation::Operation;
#[cfg(feature = "server")]
pub use server::{RestServer, ServerOptions, router};
#[cfg(feature = "service")]
pub use service::{RestError, ServiceResponse};
pub use status::{CheckpointStatus, CheckpointType, ExecutionState, JobStatus, QueueStatusId, SubtaskCheckpointStatus};
#[cfg(feature = "client")]
pub use upload::JarFile;
pub use version::{FlinkVersion, InvalidVersion, Versions};
