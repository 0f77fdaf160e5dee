//! Metric groups, the dispatcher, reporter queues and accounts.
//!
//! ```text
//! MetricGroup ──▶ Dispatcher ──▶ filter ──▶ bounded queue ──▶ worker thread ──▶ report(batch)
//!                                └────────────────── for each reporter ──────────────────┘
//! ```
//!
//! An engine adds records to [`MetricGroup`]s. The [`Dispatcher`] copies them to the queue of each
//! reporter. [`ReporterStats`] is the account of a reporter, which balances at every moment.

mod dispatcher;
mod metric_group;
mod queue;
mod stats;
mod sync;

pub use dispatcher::{Dispatcher, Journal};
pub use metric_group::{MetricGroup, TaskVariables};
pub use stats::{DropReason, ReporterStats};
