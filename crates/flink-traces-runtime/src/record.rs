//! The helpers that checkpoint and job records share.

use flink_traces_api::{Event, EventBuilder};

/// The scope of everything that Flink's checkpoint statistics tracker reports.
pub(crate) const TRACKER_SCOPE: &str = "org.apache.flink.runtime.checkpoint.CheckpointStatsTracker";

pub(crate) fn system_event(scope: &'static str, name: &'static str, ts_millis: i64) -> EventBuilder {
    Event::builder(scope, name).observed_ts_millis(ts_millis).severity("INFO")
}

/// Formats a Boolean as text, which is how Flink reports it.
pub(crate) fn text_of(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}
