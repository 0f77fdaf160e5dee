//! Checkpoints: how many, how large, how long, down to the subtask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use crate::lenient::{
    double, integer, integer_or_unset, not_a_number, optional_integer, optional_text, or_default, unset,
};
use crate::{CheckpointStatus, CheckpointType, JobVertexId, SubtaskCheckpointStatus};

/// A job's checkpoints; answers `/jobs/:jobid/checkpoints`. Up to 3 s old by default (`web.refresh-interval` until 1.17,
/// `rest.cache.checkpoint-statistics.timeout` since 1.18), but checkpoints in progress change within one such snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointingStatistics {
    /// How many there were.
    pub counts: CheckpointCounts,
    /// Minimum, maximum and average over completed checkpoints; since 1.15 percentiles too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<CheckpointSummary>,
    /// The newest of each kind, whether `history` still has them or not.
    #[serde(default, deserialize_with = "or_default")]
    pub latest: LatestCheckpoints,
    /// The last `web.checkpoints.history` checkpoints, 10 by default, newest first, those in progress included.
    pub history: Vec<CheckpointStatistics>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointingStatistics(counts: CheckpointCounts, history: Vec<CheckpointStatistics>)
    empty(summary, latest, other)
}

/// How many checkpoints of which kind, as `CheckpointingStatistics.Counts`. They start over with a new JobManager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointCounts {
    /// How often a checkpoint was restored, by rescaling too. The surest sign of a restart, unless that had nothing to restore.
    #[serde(deserialize_with = "integer")]
    pub restored: i64,
    /// All below.
    #[serde(deserialize_with = "integer")]
    pub total: i64,
    /// Those in progress.
    #[serde(deserialize_with = "integer")]
    pub in_progress: i64,
    /// Those completed, savepoints included.
    #[serde(deserialize_with = "integer")]
    pub completed: i64,
    /// Those failed, with triggers that failed before there was a checkpoint: those never appear in `history`.
    #[serde(deserialize_with = "integer")]
    pub failed: i64,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// The newest checkpoint of each kind, as `CheckpointingStatistics.LatestCheckpoints`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LatestCheckpoints {
    /// The newest that completed and is no savepoint.
    pub completed: Option<CheckpointStatistics>,
    /// The newest savepoint that completed.
    pub savepoint: Option<CheckpointStatistics>,
    /// The newest that failed.
    pub failed: Option<CheckpointStatistics>,
    /// What the job was last restored from. Since 1.19 `None` again after a restart that restored nothing.
    pub restored: Option<RestoredCheckpointStatistics>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// What a job was restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RestoredCheckpointStatistics {
    /// The checkpoint; of another job where `external_path` says so.
    #[serde(deserialize_with = "integer")]
    pub id: i64,
    /// When restoring began, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub restore_timestamp: i64,
    /// Whether it is a savepoint.
    #[serde(default, deserialize_with = "or_default")]
    pub is_savepoint: bool,
    /// Where it lies.
    #[serde(default, deserialize_with = "optional_text")]
    pub external_path: Option<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    RestoredCheckpointStatistics(id: i64, restore_timestamp: i64)
    empty(is_savepoint, external_path, other)
}

/// A checkpoint; answers `/jobs/:jobid/checkpoints/details/:checkpointid`, and is what
/// [`CheckpointingStatistics::history`] consists of.
///
/// Flink caches finished checkpoints by their id alone: asked for a checkpoint that has left the job's history, it may answer
/// with another job's. So compare `trigger_timestamp` with what the history said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointStatistics {
    /// `completed`, `failed` or `in_progress`, as `status` says too; since 1.15. Before that it is `@class` in `other`.
    #[serde(rename = "className", skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Its id: consecutive within a job, also across restarts.
    #[serde(deserialize_with = "integer")]
    pub id: i64,
    /// Where it is.
    pub status: CheckpointStatus,
    /// Whether it is a savepoint of either kind.
    #[serde(default, deserialize_with = "or_default")]
    pub is_savepoint: bool,
    /// `CANONICAL` or `NATIVE` for a savepoint; since 1.17.
    #[serde(rename = "savepointFormat", skip_serializing_if = "Option::is_none")]
    pub savepoint_format: Option<String>,
    /// When it was triggered, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub trigger_timestamp: i64,
    /// The last acknowledgement before it completed or failed, in milliseconds since the epoch; −1 without any.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub latest_ack_timestamp: i64,
    /// What it wrote, in bytes: less than `state_size` if incremental. Since 1.15. Of a failed one it may still grow.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<i64>,
    /// All state that it holds, in bytes. Of a failed one it may still grow.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub state_size: i64,
    /// In milliseconds, from the trigger to the last acknowledgement, of a failed one to the failure; −1 without either.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub end_to_end_duration: i64,
    /// Bytes buffered while aligning in 1.9; 0 since 1.13.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub alignment_buffered: i64,
    /// Bytes processed while aligning; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub processed_data: Option<i64>,
    /// Bytes of in-flight data that it holds; since 1.13, not 0 only if unaligned.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub persisted_data: Option<i64>,
    /// How many subtasks take part.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub num_subtasks: i64,
    /// How many have acknowledged it.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub num_acknowledged_subtasks: i64,
    /// What kind of snapshot; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_type: Option<CheckpointType>,
    /// Its vertices; always empty in a history.
    #[serde(default, deserialize_with = "or_default")]
    pub tasks: BTreeMap<JobVertexId, TaskCheckpointStatistics>,
    /// Where it lies, or `<checkpoint-not-externally-addressable>`; of completed ones.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub external_path: Option<String>,
    /// Whether it has been deleted since; of completed ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discarded: Option<bool>,
    /// When it failed, in milliseconds since the epoch; of failed ones.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub failure_timestamp: Option<i64>,
    /// Why it failed; of failed ones.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointStatistics(id: i64, status: CheckpointStatus, trigger_timestamp: i64)
    unset(latest_ack_timestamp, state_size, end_to_end_duration, alignment_buffered, num_subtasks, num_acknowledged_subtasks)
    empty(class_name, is_savepoint, savepoint_format, checkpointed_size, processed_data, persisted_data, checkpoint_type, tasks, external_path, discarded, failure_timestamp, failure_message, other)
}

/// A checkpoint's share of one vertex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskCheckpointStatistics {
    /// The checkpoint, not the vertex.
    #[serde(deserialize_with = "integer")]
    pub id: i64,
    /// Where the checkpoint is.
    pub status: CheckpointStatus,
    /// The vertex's last acknowledgement, in milliseconds since the epoch; −1 without any.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub latest_ack_timestamp: i64,
    /// What was written, in bytes; since 1.15.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<i64>,
    /// All state that it holds, in bytes.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub state_size: i64,
    /// From the trigger to the last acknowledgement, in milliseconds; −1 without any.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub end_to_end_duration: i64,
    /// Bytes buffered while aligning in 1.9; 0 since 1.13.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub alignment_buffered: i64,
    /// Bytes processed while aligning; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub processed_data: Option<i64>,
    /// Bytes of in-flight data; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub persisted_data: Option<i64>,
    /// How many subtasks take part.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub num_subtasks: i64,
    /// How many have acknowledged the checkpoint.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub num_acknowledged_subtasks: i64,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    TaskCheckpointStatistics(id: i64, status: CheckpointStatus)
    unset(latest_ack_timestamp, state_size, end_to_end_duration, alignment_buffered, num_subtasks, num_acknowledged_subtasks)
    empty(checkpointed_size, processed_data, persisted_data, other)
}

/// A checkpoint's share of one vertex with its subtasks; answers
/// `/jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid`.
///
/// Like [`CheckpointStatistics`] it may be of another job: so compare `latest_ack_timestamp` with what that one said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskCheckpointStatisticsWithSubtaskDetails {
    /// The checkpoint, not the vertex.
    #[serde(deserialize_with = "integer")]
    pub id: i64,
    /// Where the checkpoint is.
    pub status: CheckpointStatus,
    /// The vertex's last acknowledgement, in milliseconds since the epoch; −1 without any.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub latest_ack_timestamp: i64,
    /// What was written, in bytes; since 1.15.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<i64>,
    /// All state that it holds, in bytes.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub state_size: Option<i64>,
    /// From the trigger to the last acknowledgement, in milliseconds; −1 without any.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub end_to_end_duration: Option<i64>,
    /// Bytes buffered while aligning in 1.9; 0 since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub alignment_buffered: Option<i64>,
    /// Bytes processed while aligning; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub processed_data: Option<i64>,
    /// Bytes of in-flight data; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub persisted_data: Option<i64>,
    /// How many subtasks take part.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub num_subtasks: Option<i64>,
    /// How many have acknowledged the checkpoint.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub num_acknowledged_subtasks: Option<i64>,
    /// Its subtasks in summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<SubtasksSummary>,
    /// One for each subtask, by index.
    pub subtasks: Vec<SubtaskCheckpointStatistics>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    TaskCheckpointStatisticsWithSubtaskDetails(id: i64, status: CheckpointStatus, subtasks: Vec<SubtaskCheckpointStatistics>)
    unset(latest_ack_timestamp)
    empty(checkpointed_size, state_size, end_to_end_duration, alignment_buffered, processed_data, persisted_data, num_subtasks, num_acknowledged_subtasks, summary, other)
}

/// The subtasks of one vertex in summary, as `TaskCheckpointStatisticsWithSubtaskDetails.Summary`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SubtasksSummary {
    /// What was written, in bytes; since 1.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<StatsSummaryDto>,
    /// All state, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_size: Option<StatsSummaryDto>,
    /// From the trigger to the acknowledgement, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end_duration: Option<StatsSummaryDto>,
    /// How long taking the snapshot took, in milliseconds: `sync` and `async`.
    pub checkpoint_duration: BTreeMap<String, StatsSummaryDto>,
    /// How aligning went: `buffered`, `processed` and `persisted` in bytes, `duration` in milliseconds.
    pub alignment: BTreeMap<String, StatsSummaryDto>,
    /// From the trigger to the first barrier, in milliseconds; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_delay: Option<StatsSummaryDto>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// A checkpoint's share of one subtask. One that has not acknowledged has nothing but index and status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubtaskCheckpointStatistics {
    /// `completed` or `pending`, as `status` says too; since 1.15. Before that it is `@class` in `other`.
    #[serde(rename = "className", skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// The subtask's index, from 0.
    #[serde(deserialize_with = "integer")]
    pub index: i64,
    /// Whether it has acknowledged the checkpoint.
    pub status: SubtaskCheckpointStatus,
    /// When it did, in milliseconds since the epoch.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub ack_timestamp: Option<i64>,
    /// From the trigger to the acknowledgement, in milliseconds.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub end_to_end_duration: Option<i64>,
    /// What it wrote, in bytes; since 1.15.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<i64>,
    /// All its state, in bytes.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub state_size: Option<i64>,
    /// How long taking the snapshot took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointDuration>,
    /// How aligning went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alignment: Option<CheckpointAlignment>,
    /// From the trigger to the first barrier at this subtask, in milliseconds; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub start_delay: Option<i64>,
    /// Whether its barriers overtook records; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unaligned_checkpoint: Option<bool>,
    /// Whether it gave up; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted: Option<bool>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskCheckpointStatistics(index: i64, status: SubtaskCheckpointStatus)
    empty(class_name, ack_timestamp, end_to_end_duration, checkpointed_size, state_size, checkpoint, alignment, start_delay, unaligned_checkpoint, aborted, other)
}

/// How long a subtask's snapshot took, as `SubtaskCheckpointStatistics.CompletedSubtaskCheckpointStatistics.CheckpointDuration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointDuration {
    /// The part during which records wait, in milliseconds; −1 if it was given up.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub sync: i64,
    /// The part beside the processing of records, in milliseconds; −1 if it was given up.
    #[serde(rename = "async", default = "unset", deserialize_with = "integer_or_unset")]
    pub async_: i64,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointDuration()
    unset(sync, async_)
    empty(other)
}

/// How aligning went, as `SubtaskCheckpointStatistics.CompletedSubtaskCheckpointStatistics.CheckpointAlignment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointAlignment {
    /// Bytes buffered in 1.9; 0 since 1.13.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub buffered: i64,
    /// Bytes processed between the first and the last barrier; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub processed: Option<i64>,
    /// Bytes of in-flight data in the snapshot; since 1.13, −1 if it was given up.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub persisted: Option<i64>,
    /// From the first to the last barrier, in milliseconds.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub duration: i64,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointAlignment()
    unset(buffered, duration)
    empty(processed, persisted, other)
}

/// Completed checkpoints in summary, as `CheckpointingStatistics.Summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointSummary {
    /// What was written, in bytes; since 1.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<StatsSummaryDto>,
    /// All state, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_size: Option<StatsSummaryDto>,
    /// From the trigger to the last acknowledgement, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end_duration: Option<StatsSummaryDto>,
    /// Bytes buffered while aligning in 1.9; 0 since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alignment_buffered: Option<StatsSummaryDto>,
    /// Bytes processed while aligning; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processed_data: Option<StatsSummaryDto>,
    /// Bytes of in-flight data; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persisted_data: Option<StatsSummaryDto>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointSummary()
    empty(checkpointed_size, state_size, end_to_end_duration, alignment_buffered, processed_data, persisted_data, other)
}

/// A distribution. The percentiles came with 1.15 and are NaN before that and before the first value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatsSummaryDto {
    /// The smallest value.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub min: i64,
    /// The largest value.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub max: i64,
    /// The average, cut to a whole number.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub avg: i64,
    /// Half of the values are below.
    #[serde(default = "not_a_number", with = "double")]
    pub p50: f64,
    /// 90 % of the values are below.
    #[serde(default = "not_a_number", with = "double")]
    pub p90: f64,
    /// 95 % of the values are below.
    #[serde(default = "not_a_number", with = "double")]
    pub p95: f64,
    /// 99 % of the values are below.
    #[serde(default = "not_a_number", with = "double")]
    pub p99: f64,
    /// 99.9 % of the values are below.
    #[serde(default = "not_a_number", with = "double")]
    pub p999: f64,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// As if a body had none of the fields.
impl Default for StatsSummaryDto {
    fn default() -> Self {
        let (unset, unknown) = (unset(), not_a_number());
        Self {
            min: unset,
            max: unset,
            avg: unset,
            p50: unknown,
            p90: unknown,
            p95: unknown,
            p99: unknown,
            p999: unknown,
            other: Other::new(),
        }
    }
}

/// How a job checkpoints; answers `/jobs/:jobid/checkpoints/config`. As old as `/jobs/:jobid` may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointConfigInfo {
    /// `exactly_once` or `at_least_once`.
    pub mode: String,
    /// From one trigger to the next, in milliseconds; `i64::MAX` if there are only savepoints.
    #[serde(deserialize_with = "integer")]
    pub interval: i64,
    /// How long a checkpoint may take before it fails, in milliseconds.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub timeout: i64,
    /// The least time from the end of one to the next, in milliseconds.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub min_pause: i64,
    /// How many may be in progress at once.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub max_concurrent: i64,
    /// Whether checkpoints outlive the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub externalization: Option<ExternalizedCheckpointInfo>,
    /// The state backend; since 1.13.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub state_backend: Option<String>,
    /// Where checkpoints are stored; since 1.13.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub checkpoint_storage: Option<String>,
    /// Whether barriers may overtake records; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unaligned_checkpoints: Option<bool>,
    /// How many may fail in a row before the job does; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub tolerable_failed_checkpoints: Option<i64>,
    /// After how long of aligning barriers begin to overtake, in milliseconds; since 1.15.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub aligned_checkpoint_timeout: Option<i64>,
    /// Whether they go on when some tasks have finished; since 1.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoints_after_tasks_finish: Option<bool>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    CheckpointConfigInfo(mode: impl Into<String>, interval: i64)
    unset(timeout, min_pause, max_concurrent)
    empty(externalization, state_backend, checkpoint_storage, unaligned_checkpoints, tolerable_failed_checkpoints, aligned_checkpoint_timeout, checkpoints_after_tasks_finish, other)
}

/// Whether checkpoints outlive the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExternalizedCheckpointInfo {
    /// Whether they do.
    #[serde(default, deserialize_with = "or_default")]
    pub enabled: bool,
    /// Whether they are deleted all the same when the job is cancelled.
    #[serde(default, deserialize_with = "or_default")]
    pub delete_on_cancellation: bool,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ExternalizedCheckpointInfo()
    empty(enabled, delete_on_cancellation, other)
}
