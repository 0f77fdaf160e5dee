//! Builds Flink's spans and events in a Rust program, and delivers them to reporters.
//!
//! Use this crate in a stream processor, or in any other system that takes checkpoints. The
//! dashboards and tools for Flink's traces then work with it. To observe a Flink cluster without
//! changing it, run the program `flink-traces` instead.
//!
//! # Quick start
//!
//! [`Reporting`] starts the reporters, and a [`JobHandle`] takes each report of an engine once:
//!
//! ```
//! use flink_traces_log::Log;
//! use flink_traces_runtime::{CheckpointType, JobVertex, Reporting, Subtask};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let reporting = Reporting::builder().cluster("prod").reporter(Log::new()).start()?;
//! let job = reporting.job("0a4480b1aa43ca25b4801a22462f387a", "word count");
//!
//! let checkpoint = job.trigger(7, CheckpointType::Checkpoint, [JobVertex::new("a0", "map", 1)])?;
//! checkpoint.ack("a0", Subtask::new(0).state_size(4_096))?;
//! checkpoint.complete("file:///checkpoints/chk-7")?;
//! # Ok(())
//! # }
//! ```
//!
//! In unit tests, `flink_traces_testkit::in_memory` records the spans and events.
//!
//! # Concepts
//!
//! The rest of this page describes the parts, for engines that need only some of them.
//!
//! ```text
//! CheckpointStatsTracker ──▶ CheckpointStats ──▶ checkpoint_span, checkpoint_event
//!                                                              │
//! JobStatusTracker, AllSubtasksTracker, JobFailureTracker ──▶ events ──▶ MetricGroup
//!                                                                            │
//!     reporter ◀── worker thread ◀── queue ◀── filter ◀── (for each reporter) Dispatcher
//! ```
//!
//! - A **tracker** takes the reports of an engine's coordinator. [`CheckpointStatsTracker`] keeps
//!   the history, counts and gauges of a job's checkpoints. The trackers in [`job`] follow its
//!   status, subtasks and failures.
//! - **Statistics** are plain data about one checkpoint ([`CheckpointStats`]) or one
//!   initialization. An engine that has them already needs no tracker.
//! - **Builders** turn statistics into Flink's records: [`checkpoint_span`], [`checkpoint_event`],
//!   and the functions in [`checkpoint`] and [`job`].
//! - A [`MetricGroup`] is the scope to which an engine adds records. It adds its variables to them.
//! - The [`Dispatcher`] copies each record to the queue of every reporter whose filter passes it.
//!   Adding a record never waits.
//! - A **reporter** sends batches of records to a destination. [`discover`] finds the reporters of
//!   a [`Configuration`], which has the keys of Flink's configuration files. A registry creates
//!   them.
//! - The **account** of a reporter ([`ReporterStats`]) counts each record once: `emitted =
//!   delivered + rejected + dropped + queued`.
//!
//! # Example of the parts
//!
//! The span of a checkpoint, from the reports of its subtasks:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use flink_traces_api::{Registry, SystemClock};
//! use flink_traces_runtime::checkpoint::{CheckpointTask, CheckpointType, SubtaskStats};
//! use flink_traces_runtime::config::SPAN_DETAIL_LEVEL;
//! use flink_traces_runtime::{
//!     CheckpointStatsTracker, Configuration, Dispatcher, JobIdentity, MetricGroup,
//!     checkpoint_event, checkpoint_span, discover,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut registry = Registry::new();
//! flink_traces_log::register(&mut registry)?;
//! let configuration = Configuration::from_pairs([
//!     ("traces.reporter.log.factory.class", flink_traces_log::TRACE_FACTORY),
//!     ("events.reporter.log.factory.class", flink_traces_log::EVENT_FACTORY),
//!     ("traces.checkpoint.span-detail-level", "CHILDREN_SPANS_PER_TASK"),
//! ]);
//! let detail = configuration.get(&SPAN_DETAIL_LEVEL)?.unwrap_or_default();
//! let (setups, _problems) = discover(&configuration, &registry);
//! let (dispatcher, _problems) = Dispatcher::start(setups, &registry, Arc::new(SystemClock), ".");
//!
//! let job = JobIdentity { cluster: "prod", job_id: "0a4480b1aa43ca25b4801a22462f387a" };
//! let group = MetricGroup::job_manager(&dispatcher, "host-1").add_job(job.job_id, "word count");
//! let tracker = CheckpointStatsTracker::builder(10).span_detail_level(detail).build();
//!
//! tracker.report_pending(
//!     7,
//!     1_000,
//!     CheckpointType::Checkpoint,
//!     &[CheckpointTask::new("a0", 1)],
//! )?;
//! tracker.report_subtask(7, "a0", SubtaskStats::new(0, 1_120))?;
//! let stats =
//!     tracker.report_completed(7, Some("file:///checkpoints/chk-7".into()), Some(1_234))?;
//! group.add_event(checkpoint_event(job.named("word count"), &stats));
//! group.add_span(checkpoint_span(job, &stats, detail));
//!
//! for reporter in dispatcher.shutdown(Duration::from_secs(10)) {
//!     assert_eq!(reporter.emitted, reporter.delivered);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `tokio`, which is on by default, recognizes the threads of a tokio runtime, which the end of a
//!   [`Reporting`] must not block.
//! - `rest` adds the module `rest`, which serves tracked jobs over Flink's REST API. Flink's
//!   command line, its web UI and the program `flink-traces` can then read and control them.
//!
//! # Errors
//!
//! Each area has its own errors. The start of a [`Reporting`] returns all
//! [`Problems`](config::Problems). A finding about the configuration is a [`Problem`], of which all
//! are returned at once. A report that does not match the state of a tracker is a
//! [`TrackerError`](checkpoint::TrackerError) or a [`JobEnded`](job::JobEnded). The errors of a
//! reporter never reach the engine. They are logged and counted in its account.
//!
//! # Compatibility
//!
//! Names, types and order of attributes, configuration keys, filters, scopes and variables are
//! those of Flink 2.3. Where Flink has a defect, this crate is correct, unless a reporter is
//! configured with `compatibility: flink`.
//!
//! Ids follow from the identity of a record. A checkpoint that is reported again, or by another
//! program, has the same ids. The span of a restore links to the span of the restored checkpoint.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod causes;
pub mod checkpoint;
pub mod config;
pub mod dispatch;
pub mod extension;
pub mod job;
pub mod metrics;
mod record;
pub mod reporting;
#[cfg(feature = "rest")]
#[cfg_attr(docsrs, doc(cfg(feature = "rest")))]
pub mod rest;
mod setters;

pub use checkpoint::{CheckpointStats, CheckpointStatsTracker, CheckpointType, checkpoint_event, checkpoint_span};
pub use config::{Configuration, Problem, discover};
pub use dispatch::{Dispatcher, MetricGroup, ReporterStats};
pub use flink_traces_api::Timestamp;
pub use job::{JobIdentity, JobStatus, JobVertex, NamedJob};
pub use reporting::{JobHandle, PendingCheckpoint, Reporting, Subtask};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
