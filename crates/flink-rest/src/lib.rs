//! A client and a server for the monitoring REST API of Apache Flink, versions 1.9 to 2.3.
//!
//! # Concepts
//!
//! * An [`Endpoint`] is a request: a type whose fields are the parameters of the path, the query
//!   and the body. [`Checkpoints`], [`TriggerSavepoint`] and all others are declared once, and
//!   [`ENDPOINTS`] lists them with the versions of Flink that have them.
//! * A [`Resource`] is a request to any of the read-only endpoints. Programs that forward or record
//!   responses use it.
//! * The bodies of requests and responses are in [`types`], named like Flink's Java classes. One
//!   type serves all versions, see there for the rules of leniency.
//! * An [`OpenEnum`] is a state in a body: a [`JobStatus`], an [`ExecutionState`], or a word of a
//!   newer version. `job.state == JobStatus::Running` compares, and `job.state.known()` returns the
//!   state if it is known.
//! * An [`Operation`] is a request whose result comes later, such as a savepoint.
//! * A `Client` sends requests to one JobManager.
//! * A `RestService` is the server's side: a trait with one method for each endpoint.
//! * A `RestServer` serves a `RestService` over HTTP.
//!
//! # Client
//!
//! ```
//! # #[cfg(feature = "client")]
//! # mod example {
//! use std::time::Duration;
//!
//! use flink_rest::{Client, Error, JobId, StopJob};
//!
//! /// Stops a job; returns the path of the savepoint.
//! async fn stop(job: JobId) -> Result<Option<String>, Error> {
//!     let client = Client::builder("http://localhost:8081").retries(3).build()?;
//!     let stop = StopJob::new(job).drain(true);
//!     Ok(client.run(&stop, Duration::from_secs(300)).await?.location)
//! }
//! # }
//! ```
//!
//! # Server
//!
//! A method that a service does not implement returns status 404, like a version of Flink that
//! lacks the endpoint. Flink's own command line and web UI accept such a server as a cluster. The
//! files of the web UI are in the folder `web` of Flink's jar `flink-dist`. Add routes for them to
//! `router`.
//!
//! ```
//! # #[cfg(feature = "server")]
//! # mod example {
//! use flink_rest::types::{JobIdWithStatus, JobIdsWithStatusOverview};
//! use flink_rest::{JobId, JobStatus, Jobs, RestError, RestServer, RestService, ServerOptions};
//!
//! struct Engine {
//!     job: JobId,
//! }
//!
//! impl RestService for Engine {
//!     async fn jobs(&self, _: Jobs) -> Result<JobIdsWithStatusOverview, RestError> {
//!         let job = JobIdWithStatus::new(self.job.clone(), JobStatus::Running);
//!         Ok(JobIdsWithStatusOverview::new(vec![job]))
//!     }
//! }
//!
//! async fn serve(engine: Engine) -> std::io::Result<()> {
//!     let server = RestServer::bind(engine, ServerOptions::default()).await?;
//!     server.serve(std::future::pending()).await;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! # Resources
//!
//! ```
//! use flink_rest::{Resource, ResourceBody};
//!
//! let path = "/v1/jobs/0b1d198cd84d58810f0faf9761017b2f/metrics?get=numRestarts";
//! let resource = Resource::parse(path).ok_or("unknown path")?;
//! let body = resource.parse_body(br#"[{"id":"numRestarts","value":"2"}]"#)?;
//! if let ResourceBody::JobMetrics(metrics) = body {
//!     assert_eq!(metrics.value("numRestarts"), Some("2"));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Growth
//!
//! Types that a new version of Flink may extend are `#[non_exhaustive]`. They are created by `new`
//! or `Default`, and their public fields are set afterwards. An endpoint has `new` for its required
//! parameters and a setter for each parameter of its query. [`types`] explains the rule for bodies.
//!
//! # Errors
//!
//! * `Error` is the error of a client. It distinguishes the stages of a request: connection,
//!   timeout, status, body. `is_temporary` and `is_not_found` classify it.
//! * [`StatusError`] is a response with an error status, and [`BodyError`] an undecodable body.
//! * `RestError` is the error of a service: a status and messages, as Flink sends them.
//! * [`InvalidId`], [`InvalidParameter`] and [`InvalidVersion`] are errors of parsing.
//!
//! Foreign text in messages is truncated and escaped. No message contains a secret.
//!
//! # Features
//!
//! * `client` (default): `Client`, over hyper.
//! * `tls` (default): TLS for the client, over rustls. Without it, the client refuses `https` URLs.
//! * `service`: `RestService`, `RestError` and `dispatch`, without a server.
//! * `server`: `RestServer` and `router`, over axum and hyper. It includes `service`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
#[cfg(feature = "client")]
mod client;
mod endpoint;
mod endpoints;
mod entries;
mod id;
mod java;
mod lenient;
mod multipart;
mod open_enum;
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

pub use body::{BodyError, StatusError, replace_invalid_unicode};
#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, ConnectFailure, Error, Response};
pub use endpoint::{EncodedBody, Endpoint, InvalidParameter, Parameters, QueryParameter, RequestBody, ResponseBody};
pub use endpoints::*;
pub use entries::{decode, decode_with};
pub use flink_traces_api::{ExecutionState, JobStatus};
pub use id::{
    ApplicationId, DataSetId, FileName, InvalidId, JarId, JobId, JobVertexId, OperatorId, RescaleId, TaskManagerId,
    TriggerId,
};
pub use multipart::{Multipart, Part};
pub use open_enum::OpenEnum;
pub use operation::Operation;
#[cfg(feature = "server")]
pub use server::{RestServer, ServerOptions, router};
#[cfg(feature = "service")]
pub use service::{RestError, ServiceResponse};
pub use status::{CheckpointStatus, CheckpointType, QueueStatusId, SubtaskCheckpointStatus};
#[cfg(feature = "client")]
pub use upload::JarFile;
pub use version::{FlinkVersion, InvalidVersion, Versions};

/// The examples of the README.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
