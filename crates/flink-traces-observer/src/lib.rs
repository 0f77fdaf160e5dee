//! Derives what happened in an Apache Flink cluster from the responses of its REST API.
//!
//! The crate is pure: it reads no clock, opens no connection and starts no thread.
//! A live cluster, a recording and a test therefore run the same code.
//!
//! # Concepts
//!
//! - A **cluster** is a Flink session or application cluster with one REST API, Flink 1.9 to 2.3.
//! - A **request** is a [`Resource`](flink_rest::Resource) to get. [`ClusterObserver::requests`]
//!   returns the requests that are due at a given time.
//! - A **response** is handed to [`ClusterObserver::observe`] as a [`RequestOutcome`], with the
//!   time at which it arrived.
//! - An **observation** is one fact about a job: a checkpoint ended, the job changed its status, a
//!   failure was handled. See [`Observation`].
//! - The **timeline** of a job is the order of these facts by Flink's own timestamps. Responses may
//!   be some seconds old, so an observation is held back until no earlier fact can still arrive
//!   ([`SETTLE_TIME`]). [`ClusterObserver::finish`] returns the observations that are held back.
//! - A **recording** is a file with the responses of a cluster. The command `flink-traces record`
//!   writes one, and the module [`recording`] reads and writes it.
//! - A **replay** feeds a recording to an observer. See the module [`replay`].
//!
//! A [`Pipeline`] turns observations into the spans and events that Flink itself would have
//! reported, and adds them to a [`Dispatcher`](flink_traces_runtime::Dispatcher).
//!
//! # Examples
//!
//! Replaying a recording:
//!
//! ```
//! use std::path::Path;
//!
//! use flink_traces_observer::recording::RecordingReader;
//! use flink_traces_observer::replay::replay;
//! use flink_traces_observer::Observation;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let recording = RecordingReader::open(Path::new("recordings/three-checkpoints.jsonl.gz"))?;
//! let mut completed = Vec::new();
//! replay(recording, |_, observations| {
//!     for observation in observations {
//!         if let Observation::Checkpoint(stats) = &observation.observation {
//!             completed.push(stats.checkpoint_id);
//!         }
//!     }
//! })?;
//! assert_eq!(completed, [1, 2, 3]);
//! # Ok(())
//! # }
//! ```
//!
//! [`ClusterObserver`] shows the two calls with which a live cluster is polled.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod lines;
mod observation;
mod observer;
mod pipeline;
pub mod recording;
pub mod replay;

pub use observation::{JobApplication, JobKey, JobObservation, MissedCheckpoints, Observation};
pub use observer::{ClusterObserver, JOB_MANAGER_OPTIONS, RequestOutcome, SETTLE_TIME, job_of};
pub use pipeline::Pipeline;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
