//! The gauges that Flink registers on a job's metric group.

use flink_traces_api::AttributeValue;

/// The values of Flink's gauges of a job, by Flink's names.
///
/// The values of the last checkpoint are those of the completion that was reported last, including
/// savepoints. A value of −1 means that the event has not happened yet or that the value was not
/// reported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointGauges {
    /// The number of checkpoints that were triggered, or failed before the trigger.
    pub total_number_of_checkpoints: i64,
    /// The number of checkpoints in progress.
    pub number_of_in_progress_checkpoints: i64,
    /// The number of completed checkpoints.
    pub number_of_completed_checkpoints: i64,
    /// The number of checkpoints that failed before or after the trigger.
    pub number_of_failed_checkpoints: i64,
    /// The start of the last initialization, in milliseconds since the epoch, even if it restored
    /// nothing.
    pub last_checkpoint_restore_timestamp: i64,
    /// The bytes that were written for the last checkpoint.
    pub last_checkpoint_size: i64,
    /// The bytes of state that the last checkpoint refers to.
    pub last_checkpoint_full_size: i64,
    /// The bytes of metadata of the last checkpoint.
    pub last_checkpoint_metadata_size: i64,
    /// The milliseconds from the last checkpoint's trigger to its last acknowledgement.
    pub last_checkpoint_duration: i64,
    /// The bytes that were processed during the alignment of the last checkpoint.
    pub last_checkpoint_processed_data: i64,
    /// The bytes of in-flight data that were persisted for the last checkpoint.
    pub last_checkpoint_persisted_data: i64,
    /// The path of the last checkpoint; `n/a` if it has none.
    pub last_checkpoint_external_path: String,
    /// The id of the last checkpoint.
    pub last_completed_checkpoint_id: i64,
    /// The time of the last checkpoint's last acknowledgement, in milliseconds since the epoch.
    pub last_checkpoint_completed_timestamp: i64,
}

pub(super) const UNSET: i64 = -1;
pub(super) const NO_EXTERNAL_PATH: &str = "n/a";

impl CheckpointGauges {
    /// Returns Flink's names and the values, for the metrics system of an engine.
    ///
    /// All values are numbers, except for the path.
    pub fn entries(&self) -> [(&'static str, AttributeValue); 14] {
        [
            ("totalNumberOfCheckpoints", self.total_number_of_checkpoints.into()),
            ("numberOfInProgressCheckpoints", self.number_of_in_progress_checkpoints.into()),
            ("numberOfCompletedCheckpoints", self.number_of_completed_checkpoints.into()),
            ("numberOfFailedCheckpoints", self.number_of_failed_checkpoints.into()),
            ("lastCheckpointRestoreTimestamp", self.last_checkpoint_restore_timestamp.into()),
            ("lastCheckpointSize", self.last_checkpoint_size.into()),
            ("lastCheckpointFullSize", self.last_checkpoint_full_size.into()),
            ("lastCheckpointMetadataSize", self.last_checkpoint_metadata_size.into()),
            ("lastCheckpointDuration", self.last_checkpoint_duration.into()),
            ("lastCheckpointProcessedData", self.last_checkpoint_processed_data.into()),
            ("lastCheckpointPersistedData", self.last_checkpoint_persisted_data.into()),
            ("lastCheckpointExternalPath", self.last_checkpoint_external_path.clone().into()),
            ("lastCompletedCheckpointId", self.last_completed_checkpoint_id.into()),
            ("lastCheckpointCompletedTimestamp", self.last_checkpoint_completed_timestamp.into()),
        ]
    }
}
