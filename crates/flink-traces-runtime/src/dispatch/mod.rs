//! From metric groups to reporters: queues, threads and accounts.

mod dispatcher;
mod metric_group;
mod queue;
mod stats;
mod sync;

pub use dispatcher::Dispatcher;
pub use metric_group::{MetricGroup, TaskVariables};
pub use stats::{DropReason, ReporterStats};
