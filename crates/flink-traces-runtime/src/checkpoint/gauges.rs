//! The gauges that Flink registers on a job's metric group.

use flink_traces_api::AttributeValue;

/// The numbers that Flink registers on a job's metric group, under Flink's names. Those of the last checkpoint are of the completion that
/// was reported last, savepoints included.
///
/// −1 stands for what has not happened yet or nobody told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointGauges {
    /// Those that were triggered or failed before.
    pub total_number_of_checkpoints: i64,
    /// Those that are in progress.
    pub number_of_in_progress_checkpoints: i64,
    /// Those that completed.
    pub number_of_completed_checkpoints: i64,
    /// Those that failed, before or after the trigger.
    pub number_of_failed_checkpoints: i64,
    /// When the last initialization began, in milliseconds since the epoch, also where nothing was restored.
    pub last_checkpoint_restore_timestamp: i64,
    /// Bytes that were written for it.
    pub last_checkpoint_size: i64,
    /// Bytes of state that it refers to.
    pub last_checkpoint_full_size: i64,
    /// Bytes of its metadata.
    pub last_checkpoint_metadata_size: i64,
    /// Milliseconds from its trigger to its last acknowledgement.
    pub last_checkpoint_duration: i64,
    /// Bytes processed during alignment.
    pub last_checkpoint_processed_data: i64,
    /// Bytes in flight that were persisted.
    pub last_checkpoint_persisted_data: i64,
    /// Where it lies; `n/a` if it has no path.
    pub last_checkpoint_external_path: String,
    /// Its id.
    pub last_completed_checkpoint_id: i64,
    /// When its last subtask acknowledged, in milliseconds since the epoch.
    pub last_checkpoint_completed_timestamp: i64,
}

pub(super) const UNSET: i64 = -1;
pub(super) const NO_EXTERNAL_PATH: &str = "n/a";

impl CheckpointGauges {
    /// Flink's names and the values, for whatever metrics system the engine has. All values are numbers, but for the path.
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
