//! Flink's event `CheckpointEvent`. Its attributes are named nowhere else.

use flink_traces_api::EventBuilder;

use super::TRACKER_SCOPE;
use super::stats::{CheckpointStats, CheckpointStatus};
use crate::record::{system_event, text_of};

/// The event `CheckpointEvent` of a checkpoint that completed or failed. To be added to the job's
/// [`MetricGroup`](crate::MetricGroup), before [`checkpoint_span`](super::checkpoint_span).
///
/// It happened at the last acknowledgement, −1 if there was none. Mirrors what `CheckpointStatsTracker` reports in Flink 2.2 and later.
/// Beyond Flink, and hidden under `compatibility: flink`: of a failure the time, the severity `WARN` and `failureMessage`.
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
