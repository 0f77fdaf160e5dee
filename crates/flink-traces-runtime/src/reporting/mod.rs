//! The start of an engine's reporting, and one handle for each job.
//!
//! ```text
//! Reporting::builder() ──start──▶ Reporting ──job──▶ JobHandle ──▶ trackers ──▶ spans, events
//!                                                             └──▶ REST view (feature `rest`)
//! ```
//!
//! [`Reporting`] reads the configuration, starts the reporters and delivers what is left when it is
//! dropped. A [`JobHandle`] takes each report of an engine once. It feeds the trackers of
//! [`checkpoint`](crate::checkpoint) and [`job`](crate::job), and adds Flink's events and spans in
//! Flink's order. The parts are public, for engines that need only some of them.
//!
//! Reports happen now, by the clock of the builder. [`JobHandle::at`] returns a handle whose
//! reports happen at another time.

mod builder;
mod checkpoint;
mod guard;
mod in_code;
mod initialization;
mod job;
mod offload;
mod subtask;

pub use builder::ReportingBuilder;
pub use checkpoint::PendingCheckpoint;
pub use guard::Reporting;
pub use initialization::Initialization;
pub use job::{JobBuilder, JobHandle};
pub use subtask::{InitializedSubtask, Subtask};
