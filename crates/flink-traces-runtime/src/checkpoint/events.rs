//! Flink's event `CheckpointEvent`. Its attributes are named nowhere else.

use flink_traces_api::EventBuilder;

use super::stats::{CheckpointStats, CheckpointStatus};
use crate::record::{TRACKER_SCOPE, system_event, text_of};

/// Builds the event `CheckpointEvent` of a checkpoint that completed or failed.
///
/// Add it to the job's [`MetricGroup`](crate::MetricGroup), before
/// [`checkpoint_span`](super::checkpoint_span). Its time is the last acknowledgement, or −1 if
/// there was none.
///
/// Mirrors the event that `CheckpointStatsTracker` reports in Flink 2.2 and later. Extensions,
/// which `compatibility: flink` hides, are `failureMessage`, and the time and the severity `WARN`
/// of a failure.
pub fn checkpoint_event(stats: &CheckpointStats) -> EventBuilder {
    let mut event = system_event(TRACKER_SCOPE, "CheckpointEvent", stats.latest_ack_timestamp.unwrap_or(-1))
        .attribute("checkpointId", stats.checkpoint_id);
    let sizes = [
        ("fullSize", stats.state_size),
        ("checkpointedSize", stats.checkpointed_size),
        ("metadataSize", stats.metadata_size),
    ];
    for (key, size) in sizes {
        if let Some(size) = size {
            event = event.attribute(key, size);
        }
    }
    event = event.attribute("checkpointStatus", stats.status.name());
    if let Some(is_unaligned) = stats.is_unaligned {
        event = event.attribute("isUnaligned", text_of(is_unaligned));
    }
    event = event.attribute("checkpointType", stats.checkpoint_type.name());
    if stats.status == CheckpointStatus::Failed {
        event = event.extension_severity("WARN");
    }
    match &stats.failure {
        Some(failure) => {
            event.extension_ts_millis(failure.timestamp).extension_attribute("failureMessage", failure.message.clone())
        }
        None => event,
    }
}
