//! Flink's event `CheckpointEvent`. Its attributes are named nowhere else.

use flink_traces_api::{EventBuilder, readable_duration, readable_size};

use super::stats::{CheckpointStats, CheckpointStatus};
use crate::job::NamedJob;
use crate::record::{TRACKER_SCOPE, first_line, system_event, text_of};

/// Builds the event `CheckpointEvent` of a checkpoint that completed or failed.
///
/// Add it to the job's [`MetricGroup`](crate::MetricGroup), before
/// [`checkpoint_span`](super::checkpoint_span). Its time is the last acknowledgement, or −1 if
/// there was none.
///
/// Mirrors the event that `CheckpointStatsTracker` reports in Flink 2.2 and later. Extensions,
/// which `compatibility: flink` hides, are the text, the unique id, `failureMessage`, and the time
/// and the severity `WARN` of a failure.
pub fn checkpoint_event(job: NamedJob<'_>, stats: &CheckpointStats) -> EventBuilder {
    const NAME: &str = "CheckpointEvent";
    let mut event = system_event(TRACKER_SCOPE, NAME, stats.latest_ack_timestamp.unwrap_or(-1))
        .attribute("checkpointId", stats.checkpoint_id);
    let sizes = [
        ("fullSize", stats.state_size),
        ("checkpointedSize", stats.checkpointed_size),
        ("metadataSize", stats.metadata_size),
    ];
    for (key, size) in sizes {
        event = event.optional_attribute(key, size);
    }
    event = event.attribute("checkpointStatus", stats.status.name());
    if let Some(is_unaligned) = stats.is_unaligned {
        event = event.attribute("isUnaligned", text_of(is_unaligned));
    }
    event = event.attribute("checkpointType", stats.checkpoint_type.name());
    if stats.status == CheckpointStatus::Failed {
        event = event.extension_severity("WARN");
    }
    if let Some(failure) = &stats.failure {
        event =
            event.extension_ts_millis(failure.timestamp).extension_attribute("failureMessage", failure.message.clone());
    }
    let id = [stats.checkpoint_id.to_string(), stats.trigger_timestamp.to_string(), stats.status.name().to_owned()];
    event.extension_body(sentence(job.name, stats)).identity(job.identity.of(NAME, &id))
}

/// Returns the text of the event, such as `Checkpoint 9 of orders completed in 192 ms, 304 KiB`.
fn sentence(job_name: &str, stats: &CheckpointStats) -> String {
    let mut text = format!("{} {} of {job_name}", stats.checkpoint_type.name(), stats.checkpoint_id);
    let (outcome, end) = match (stats.status, &stats.failure) {
        (CheckpointStatus::InProgress, _) => (" is in progress", None),
        (CheckpointStatus::Completed, _) => (" completed in", stats.latest_ack_timestamp),
        (CheckpointStatus::Failed, failure) => (" failed after", failure.as_ref().map(|failure| failure.timestamp)),
    };
    match end.map(|end| end.saturating_sub(stats.trigger_timestamp).max(0)) {
        Some(duration) => text += &format!("{outcome} {}", readable_duration(duration)),
        None => text += outcome.trim_end_matches(" in").trim_end_matches(" after"),
    }
    if let Some(failure) = stats.failure.as_ref().filter(|failure| !failure.message.is_empty()) {
        text += &format!(": {}", first_line(&failure.message));
    }
    if let Some(size) = stats.state_size.filter(|_| stats.status == CheckpointStatus::Completed) {
        text += &format!(", {}", readable_size(size).replace(".0 ", " "));
    }
    text
}
