//! Checkpoints: their number, size and duration, down to the subtask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use crate::lenient::{double, integer, minus_one, not_a_number, optional_integer, optional_text, or_default};
use crate::{CheckpointStatus, CheckpointType, JobVertexId, SubtaskCheckpointStatus};

/// The checkpoints of a job, returned by `/jobs/:jobid/checkpoints`.
///
/// The response is up to 3 s old by default. The option for that is `web.refresh-interval` until
/// 1.17 and `rest.cache.checkpoint-statistics.timeout` since 1.18. Checkpoints in progress
/// nevertheless change within one such snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointingStatistics {
    /// The numbers of checkpoints.
    pub counts: CheckpointCounts,
    /// The minimum, maximum and average over completed checkpoints; since 1.15 also percentiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<CheckpointSummary>,
    /// The newest checkpoint of each kind, even if `history` no longer has it.
    #[serde(default, deserialize_with = "or_default")]
    pub latest: LatestCheckpoints,
    /// The last `web.checkpoints.history` checkpoints, 10 by default, newest first.
    ///
    /// Checkpoints in progress are included.
    pub history: Vec<CheckpointStatistics>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointingStatistics(counts: CheckpointCounts, history: Vec<CheckpointStatistics>)
    empty(summary, latest, other)
}

/// The numbers of checkpoints of each kind, as `CheckpointingStatistics.Counts`.
///
/// A new JobManager starts the counts over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointCounts {
    /// The number of restores from a checkpoint, including those by rescaling.
    ///
    /// This is the surest sign of a restart, unless the restart had nothing to restore.
    #[serde(deserialize_with = "integer")]
    pub restored: i64,
    /// The number of all checkpoints, which is the sum of the fields below.
    #[serde(deserialize_with = "integer")]
    pub total: i64,
    /// The number of checkpoints in progress.
    #[serde(deserialize_with = "integer")]
    pub in_progress: i64,
    /// The number of completed checkpoints, including savepoints.
    #[serde(deserialize_with = "integer")]
    pub completed: i64,
    /// The number of failed checkpoints.
    ///
    /// It includes triggers that failed before there was a checkpoint. Those never appear in
    /// `history`.
    #[serde(deserialize_with = "integer")]
    pub failed: i64,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// The newest checkpoint of each kind, as `CheckpointingStatistics.LatestCheckpoints`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LatestCheckpoints {
    /// The newest completed checkpoint that is not a savepoint.
    pub completed: Option<CheckpointStatistics>,
    /// The newest completed savepoint.
    pub savepoint: Option<CheckpointStatistics>,
    /// The newest failed checkpoint.
    pub failed: Option<CheckpointStatistics>,
    /// The checkpoint from which the job was last restored.
    ///
    /// Since 1.19 it is `None` again after a restart that restored nothing.
    pub restored: Option<RestoredCheckpointStatistics>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// A checkpoint from which a job was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RestoredCheckpointStatistics {
    /// The id of the checkpoint, which is another job's if `external_path` says so.
    #[serde(deserialize_with = "integer")]
    pub id: i64,
    /// The start time of the restore, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub restore_timestamp: i64,
    /// `true` if the checkpoint is a savepoint.
    #[serde(default, deserialize_with = "or_default")]
    pub is_savepoint: bool,
    /// The path of the checkpoint.
    #[serde(default, deserialize_with = "optional_text")]
    pub external_path: Option<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    RestoredCheckpointStatistics(id: i64, restore_timestamp: i64)
    empty(is_savepoint, external_path, other)
}

/// A checkpoint, returned by `/jobs/:jobid/checkpoints/details/:checkpointid`.
///
/// [`CheckpointingStatistics::history`] consists of the same type.
///
/// Flink caches finished checkpoints by their id alone. If a request names a checkpoint that has
/// left the job's history, the response may therefore hold another job's checkpoint. Compare
/// `trigger_timestamp` with the value in the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointStatistics {
    /// The class, `completed`, `failed` or `in_progress`, which repeats `status`; since 1.15.
    ///
    /// Before 1.15 it is `@class` in `other`.
    #[serde(rename = "className", skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// The id of the checkpoint.
    ///
    /// Ids are consecutive within a job, also across restarts.
    #[serde(deserialize_with = "integer")]
    pub id: i64,
    /// The status of the checkpoint.
    pub status: CheckpointStatus,
    /// `true` if the checkpoint is a savepoint of either kind.
    #[serde(default, deserialize_with = "or_default")]
    pub is_savepoint: bool,
    /// The format of a savepoint, `CANONICAL` or `NATIVE`; since 1.17.
    #[serde(rename = "savepointFormat", skip_serializing_if = "Option::is_none")]
    pub savepoint_format: Option<String>,
    /// The time of the trigger, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub trigger_timestamp: i64,
    /// The time of the last acknowledgement before the checkpoint completed or failed, in
    /// milliseconds since the epoch; `None` without any.
    #[serde(default, with = "minus_one")]
    pub latest_ack_timestamp: Option<i64>,
    /// The bytes that the checkpoint wrote; since 1.15.
    ///
    /// An incremental checkpoint writes less than `state_size`. The value of a failed checkpoint
    /// may still grow.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<i64>,
    /// The size of all state that the checkpoint holds, in bytes.
    ///
    /// The value of a failed checkpoint may still grow.
    #[serde(default, with = "minus_one")]
    pub state_size: Option<i64>,
    /// The time from the trigger to the last acknowledgement, in milliseconds.
    ///
    /// For a failed checkpoint, it is the time from the trigger to the failure. Without an
    /// acknowledgement or a failure it is `None`.
    #[serde(default, with = "minus_one")]
    pub end_to_end_duration: Option<i64>,
    /// The bytes buffered during alignment in 1.9; 0 since 1.13.
    #[serde(default, with = "minus_one")]
    pub alignment_buffered: Option<i64>,
    /// The bytes processed during alignment; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub processed_data: Option<i64>,
    /// The bytes of in-flight data that the checkpoint holds; since 1.13.
    ///
    /// Only unaligned checkpoints have a value other than 0.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub persisted_data: Option<i64>,
    /// The number of subtasks that take part.
    #[serde(default, with = "minus_one")]
    pub num_subtasks: Option<i64>,
    /// The number of subtasks that have acknowledged the checkpoint.
    #[serde(default, with = "minus_one")]
    pub num_acknowledged_subtasks: Option<i64>,
    /// The kind of snapshot; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_type: Option<CheckpointType>,
    /// The statistics of each vertex; always empty in a history.
    #[serde(default, deserialize_with = "or_default")]
    pub tasks: BTreeMap<JobVertexId, TaskCheckpointStatistics>,
    /// The path of the checkpoint, or `<checkpoint-not-externally-addressable>`; only for completed
    /// checkpoints.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub external_path: Option<String>,
    /// `true` if the checkpoint has since been deleted; only for completed checkpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discarded: Option<bool>,
    /// The time of the failure, in milliseconds since the epoch; only for failed checkpoints.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub failure_timestamp: Option<i64>,
    /// The reason for the failure; only for failed checkpoints.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

impl CheckpointStatistics {
    /// The `external_path` that Flink returns for a checkpoint that has none.
    pub const NO_EXTERNAL_PATH: &str = "<checkpoint-not-externally-addressable>";
}

constructor! {
    CheckpointStatistics(id: i64, status: CheckpointStatus, trigger_timestamp: i64)
    empty(latest_ack_timestamp, state_size, end_to_end_duration, alignment_buffered, num_subtasks, num_acknowledged_subtasks, class_name, is_savepoint, savepoint_format, checkpointed_size, processed_data, persisted_data, checkpoint_type, tasks, external_path, discarded, failure_timestamp, failure_message, other)
}

/// The statistics of one vertex for a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskCheckpointStatistics {
    /// The id of the checkpoint, not of the vertex.
    #[serde(deserialize_with = "integer")]
    pub id: i64,
    /// The status of the checkpoint.
    pub status: CheckpointStatus,
    /// The time of the vertex's last acknowledgement, in milliseconds since the epoch; `None`
    /// without any.
    #[serde(default, with = "minus_one")]
    pub latest_ack_timestamp: Option<i64>,
    /// The bytes written; since 1.15.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<i64>,
    /// The size of all state that the checkpoint holds for the vertex, in bytes.
    #[serde(default, with = "minus_one")]
    pub state_size: Option<i64>,
    /// The time from the trigger to the last acknowledgement, in milliseconds; `None`
    /// without any.
    #[serde(default, with = "minus_one")]
    pub end_to_end_duration: Option<i64>,
    /// The bytes buffered during alignment in 1.9; 0 since 1.13.
    #[serde(default, with = "minus_one")]
    pub alignment_buffered: Option<i64>,
    /// The bytes processed during alignment; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub processed_data: Option<i64>,
    /// The bytes of in-flight data; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub persisted_data: Option<i64>,
    /// The number of subtasks that take part.
    #[serde(default, with = "minus_one")]
    pub num_subtasks: Option<i64>,
    /// The number of subtasks that have acknowledged the checkpoint.
    #[serde(default, with = "minus_one")]
    pub num_acknowledged_subtasks: Option<i64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    TaskCheckpointStatistics(id: i64, status: CheckpointStatus)
    empty(latest_ack_timestamp, state_size, end_to_end_duration, alignment_buffered, num_subtasks, num_acknowledged_subtasks, checkpointed_size, processed_data, persisted_data, other)
}

/// The statistics of one vertex and its subtasks for a checkpoint.
///
/// Returned by `/jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid`.
///
/// As with [`CheckpointStatistics`], the response may hold another job's checkpoint. Compare
/// `latest_ack_timestamp` with the value there. `latest_ack_timestamp` less `end_to_end_duration`
/// is the trigger timestamp, unless the clock was set back meanwhile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskCheckpointStatisticsWithSubtaskDetails {
    /// The id of the checkpoint, not of the vertex.
    #[serde(deserialize_with = "integer")]
    pub id: i64,
    /// The status of the checkpoint.
    pub status: CheckpointStatus,
    /// The time of the vertex's last acknowledgement, in milliseconds since the epoch; `None`
    /// without any.
    #[serde(default, with = "minus_one")]
    pub latest_ack_timestamp: Option<i64>,
    /// The bytes written; since 1.15.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<i64>,
    /// The size of all state that the checkpoint holds for the vertex, in bytes.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub state_size: Option<i64>,
    /// The time from the trigger to the last acknowledgement, in milliseconds.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub end_to_end_duration: Option<i64>,
    /// The bytes buffered during alignment in 1.9; 0 since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub alignment_buffered: Option<i64>,
    /// The bytes processed during alignment; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub processed_data: Option<i64>,
    /// The bytes of in-flight data; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub persisted_data: Option<i64>,
    /// The number of subtasks that take part.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub num_subtasks: Option<i64>,
    /// The number of subtasks that have acknowledged the checkpoint.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub num_acknowledged_subtasks: Option<i64>,
    /// A summary of the subtasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<SubtasksSummary>,
    /// The subtasks, by index.
    pub subtasks: Vec<SubtaskCheckpointStatistics>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    TaskCheckpointStatisticsWithSubtaskDetails(id: i64, status: CheckpointStatus, subtasks: Vec<SubtaskCheckpointStatistics>)
    empty(latest_ack_timestamp, checkpointed_size, state_size, end_to_end_duration, alignment_buffered, processed_data, persisted_data, num_subtasks, num_acknowledged_subtasks, summary, other)
}

/// A summary of the subtasks of one vertex, as
/// `TaskCheckpointStatisticsWithSubtaskDetails.Summary`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SubtasksSummary {
    /// The bytes written; since 1.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<StatsSummaryDto>,
    /// The size of all state, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_size: Option<StatsSummaryDto>,
    /// The time from the trigger to the acknowledgement, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end_duration: Option<StatsSummaryDto>,
    /// The durations of the snapshot, `sync` and `async`, in milliseconds.
    pub checkpoint_duration: BTreeMap<String, StatsSummaryDto>,
    /// The alignment: `buffered`, `processed` and `persisted` in bytes, `duration` in milliseconds.
    pub alignment: BTreeMap<String, StatsSummaryDto>,
    /// The time from the trigger to the first barrier, in milliseconds; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_delay: Option<StatsSummaryDto>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// The statistics of one subtask for a checkpoint.
///
/// A subtask that has not acknowledged has only an index and a status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubtaskCheckpointStatistics {
    /// The class, `completed` or `pending`, which repeats `status`; since 1.15.
    ///
    /// Before 1.15 it is `@class` in `other`.
    #[serde(rename = "className", skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// The index of the subtask, from 0.
    #[serde(deserialize_with = "integer")]
    pub index: i64,
    /// The status of the subtask, completed once it has acknowledged the checkpoint.
    pub status: SubtaskCheckpointStatus,
    /// The time of the acknowledgement, in milliseconds since the epoch.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub ack_timestamp: Option<i64>,
    /// The time from the trigger to the acknowledgement, in milliseconds.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub end_to_end_duration: Option<i64>,
    /// The bytes that the subtask wrote; since 1.15.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<i64>,
    /// The size of all state of the subtask, in bytes.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub state_size: Option<i64>,
    /// The duration of the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointDuration>,
    /// The alignment of barriers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alignment: Option<CheckpointAlignment>,
    /// The time from the trigger to the first barrier at this subtask, in milliseconds; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub start_delay: Option<i64>,
    /// `true` if the subtask's barriers overtook records; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unaligned_checkpoint: Option<bool>,
    /// `true` if the subtask aborted the checkpoint; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted: Option<bool>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskCheckpointStatistics(index: i64, status: SubtaskCheckpointStatus)
    empty(class_name, ack_timestamp, end_to_end_duration, checkpointed_size, state_size, checkpoint, alignment, start_delay, unaligned_checkpoint, aborted, other)
}

/// The duration of a subtask's snapshot.
///
/// Flink's `SubtaskCheckpointStatistics.CompletedSubtaskCheckpointStatistics.CheckpointDuration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointDuration {
    /// The duration of the phase that blocks records, in milliseconds; `None` if it was aborted.
    #[serde(default, with = "minus_one")]
    pub sync: Option<i64>,
    /// The duration of the phase concurrent with the processing of records, in milliseconds;
    /// `None` if it was aborted.
    #[serde(rename = "async", default, with = "minus_one")]
    pub async_: Option<i64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointDuration()
    empty(sync, async_, other)
}

/// The alignment of a subtask's barriers.
///
/// Flink's `SubtaskCheckpointStatistics.CompletedSubtaskCheckpointStatistics.CheckpointAlignment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointAlignment {
    /// The bytes buffered in 1.9; 0 since 1.13.
    #[serde(default, with = "minus_one")]
    pub buffered: Option<i64>,
    /// The bytes processed between the first and the last barrier; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub processed: Option<i64>,
    /// The bytes of in-flight data in the snapshot, or −1 if it was aborted; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub persisted: Option<i64>,
    /// The time from the first to the last barrier, in milliseconds.
    #[serde(default, with = "minus_one")]
    pub duration: Option<i64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointAlignment()
    empty(buffered, duration, processed, persisted, other)
}

/// A summary of completed checkpoints, as `CheckpointingStatistics.Summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointSummary {
    /// The bytes written; since 1.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<StatsSummaryDto>,
    /// The size of all state, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_size: Option<StatsSummaryDto>,
    /// The time from the trigger to the last acknowledgement, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end_duration: Option<StatsSummaryDto>,
    /// The bytes buffered during alignment in 1.9; 0 since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alignment_buffered: Option<StatsSummaryDto>,
    /// The bytes processed during alignment; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processed_data: Option<StatsSummaryDto>,
    /// The bytes of in-flight data; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persisted_data: Option<StatsSummaryDto>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointSummary()
    empty(checkpointed_size, state_size, end_to_end_duration, alignment_buffered, processed_data, persisted_data, other)
}

/// A distribution of values.
///
/// Percentiles are sent since 1.15. They are NaN in earlier versions and before the first value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatsSummaryDto {
    /// The smallest value.
    #[serde(default, with = "minus_one")]
    pub min: Option<i64>,
    /// The largest value.
    #[serde(default, with = "minus_one")]
    pub max: Option<i64>,
    /// The average, truncated to a whole number.
    #[serde(default, with = "minus_one")]
    pub avg: Option<i64>,
    /// The median: half of the values are below it.
    #[serde(default = "not_a_number", with = "double")]
    pub p50: f64,
    /// The 90th percentile.
    #[serde(default = "not_a_number", with = "double")]
    pub p90: f64,
    /// The 95th percentile.
    #[serde(default = "not_a_number", with = "double")]
    pub p95: f64,
    /// The 99th percentile.
    #[serde(default = "not_a_number", with = "double")]
    pub p99: f64,
    /// The 99.9th percentile.
    #[serde(default = "not_a_number", with = "double")]
    pub p999: f64,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// A value as if a body had none of the fields.
impl Default for StatsSummaryDto {
    fn default() -> Self {
        let unknown = not_a_number();
        Self {
            min: None,
            max: None,
            avg: None,
            p50: unknown,
            p90: unknown,
            p95: unknown,
            p99: unknown,
            p999: unknown,
            other: Other::new(),
        }
    }
}

/// The checkpoint configuration of a job, returned by `/jobs/:jobid/checkpoints/config`.
///
/// The response may be as old as that of `/jobs/:jobid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointConfigInfo {
    /// The mode, `exactly_once` or `at_least_once`.
    pub mode: String,
    /// The time from one trigger to the next, in milliseconds; `i64::MAX` if there are only
    /// savepoints.
    #[serde(deserialize_with = "integer")]
    pub interval: i64,
    /// The time after which an incomplete checkpoint fails, in milliseconds.
    #[serde(default, with = "minus_one")]
    pub timeout: Option<i64>,
    /// The minimum time from the end of one checkpoint to the next, in milliseconds.
    #[serde(default, with = "minus_one")]
    pub min_pause: Option<i64>,
    /// The maximum number of checkpoints in progress at once.
    #[serde(default, with = "minus_one")]
    pub max_concurrent: Option<i64>,
    /// The retention of checkpoints after the end of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub externalization: Option<ExternalizedCheckpointInfo>,
    /// The state backend; since 1.13.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub state_backend: Option<String>,
    /// The storage of checkpoints; since 1.13.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub checkpoint_storage: Option<String>,
    /// `true` if barriers may overtake records; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unaligned_checkpoints: Option<bool>,
    /// The number of checkpoints that may fail in a row before the job fails; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub tolerable_failed_checkpoints: Option<i64>,
    /// The time of alignment after which barriers begin to overtake records, in milliseconds; since
    /// 1.15.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub aligned_checkpoint_timeout: Option<i64>,
    /// `true` if checkpoints continue after some tasks have finished; since 1.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoints_after_tasks_finish: Option<bool>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointConfigInfo(mode: impl Into<String>, interval: i64)
    empty(timeout, min_pause, max_concurrent, externalization, state_backend, checkpoint_storage, unaligned_checkpoints, tolerable_failed_checkpoints, aligned_checkpoint_timeout, checkpoints_after_tasks_finish, other)
}

/// The retention of checkpoints after the end of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExternalizedCheckpointInfo {
    /// `true` if checkpoints outlive the job.
    #[serde(default, deserialize_with = "or_default")]
    pub enabled: bool,
    /// `true` if checkpoints are deleted nevertheless when the job is canceled.
    #[serde(default, deserialize_with = "or_default")]
    pub delete_on_cancellation: bool,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ExternalizedCheckpointInfo()
    empty(enabled, delete_on_cancellation, other)
}
