//! The helpers that checkpoint and job records share.

use std::borrow::Cow;

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

/// Formats a count with its noun, which takes an `s` unless the count is 1.
pub(crate) fn counted(count: i64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Returns the first line of `text`, and at most 1,024 characters of it.
pub(crate) fn first_line(text: &str) -> Cow<'_, str> {
    const MAX_CHARS: usize = 1_024;
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &line[..end])),
        None => Cow::Borrowed(line),
    }
}
