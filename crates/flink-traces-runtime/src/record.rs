//! The parts that all system spans and events share.

use flink_traces_api::{Event, EventBuilder};

pub(crate) fn system_event(scope: &'static str, name: &'static str, ts_millis: i64) -> EventBuilder {
    Event::builder(scope, name).observed_ts_millis(ts_millis).severity("INFO")
}

/// Flink reports its truth values as text.
pub(crate) fn text_of(flag: bool) -> &'static str {
    match flag {
        true => "true",
        false => "false",
    }
}
