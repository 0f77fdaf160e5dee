//! What is known of one checkpoint and of one initialization, whoever found it out: a tracker inside an engine or an observer of
//! a cluster's REST API.

use super::initialization::{ExecutionAttemptId, SubTaskInitializationMetrics};

/// One checkpoint or savepoint, as Flink's `AbstractCheckpointStats`. What a source cannot know is `None`, and the span then
/// lacks the attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointStats {
    /// Its id, consecutive within a job.
    pub checkpoint_id: i64,
    /// When it was triggered, in milliseconds since the epoch.
    pub trigger_timestamp: i64,
    /// How it stands.
    pub status: CheckpointStatus,
    /// What it is for.
    pub checkpoint_type: CheckpointType,
    /// Whether any subtask persisted data in flight.
    pub is_unaligned: Option<bool>,
    /// When the last subtask acknowledged; `None` if none did.
    pub latest_ack_timestamp: Option<i64>,
    /// Bytes of state that it refers to.
    pub state_size: Option<i64>,
    /// Bytes that were written for it.
    pub checkpointed_size: Option<i64>,
    /// Bytes of its metadata; −1 if it failed, as in Flink.
    pub metadata_size: Option<i64>,
    /// Where it lies, once it is complete.
    pub external_path: Option<String>,
    /// When and why it failed; `None` if it did not, or nobody knows.
    pub failure: Option<CheckpointFailure>,
    /// Its tasks, in the job's order; empty where the source tells none.
    pub tasks: Vec<TaskStats>,
}

/// How a checkpoint stands, as Flink's `CheckpointStatsStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointStatus {
    /// Subtasks are still to report.
    InProgress,
    /// All subtasks acknowledged and the metadata is written.
    Completed,
    /// It will never complete.
    Failed,
}

impl CheckpointStatus {
    /// Flink's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// What a checkpoint is for, as the names of Flink's `SnapshotType`s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointType {
    /// Taken periodically, for recovery.
    Checkpoint,
    /// A checkpoint that shares nothing with earlier ones.
    FullCheckpoint,
    /// Taken by a user, to keep.
    Savepoint,
    /// A savepoint at which the job drains and ends.
    TerminateSavepoint,
    /// A savepoint at which the job ends, to go on from it later.
    SuspendSavepoint,
}

impl CheckpointType {
    /// The text of attribute `checkpointType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "Checkpoint",
            Self::FullCheckpoint => "Full Checkpoint",
            Self::Savepoint => "Savepoint",
            Self::TerminateSavepoint => "Terminate Savepoint",
            Self::SuspendSavepoint => "Suspend Savepoint",
        }
    }
}

/// When and why a checkpoint failed, as Flink's `FailedCheckpointStats` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFailure {
    /// In milliseconds since the epoch.
    pub timestamp: i64,
    /// The cause's message; may be empty.
    pub message: String,
}

/// What one task did for a checkpoint, as Flink's `TaskStateStats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStats {
    /// The job vertex, 32 hexadecimal digits.
    pub job_vertex_id: String,
    /// The vertex's name, if the source knows it.
    pub task_name: Option<String>,
    /// When its last subtask acknowledged; `None` if none did.
    pub latest_ack_timestamp: Option<i64>,
    /// The subtasks that reported, by index.
    pub subtasks: Vec<SubtaskStats>,
}

impl TaskStats {
    /// The shortest start delay among its subtasks, in milliseconds; 0 if none reported one.
    pub fn min_start_delay(&self) -> i64 {
        let delays = self.subtasks.iter().filter_map(|subtask| subtask.metric(SubtaskMetric::CheckpointStartDelayMs));
        delays.filter(|delay| *delay >= 0).min().unwrap_or(0)
    }
}

/// What one subtask did for a checkpoint, as Flink's `SubtaskStateStats`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubtaskStats {
    /// Its index within the task, from 0.
    pub index: i64,
    /// When its report arrived, in milliseconds since the epoch.
    pub ack_timestamp: i64,
    /// Whether data in flight was persisted.
    pub is_unaligned: bool,
    /// Whether it completed its part; `false` for an aborted snapshot, and for a report that came too late.
    pub is_completed: bool,
    /// Its numbers, in the order of [`SubtaskMetric::ALL`]; −1 where the subtask left one unset.
    pub metrics: [Option<i64>; SubtaskMetric::ALL.len()],
}

impl SubtaskStats {
    /// One of its numbers; `None` where the source does not tell it.
    pub fn metric(&self, metric: SubtaskMetric) -> Option<i64> {
        self.metrics[metric as usize]
    }
}

/// The numbers that each subtask reports of a checkpoint, as the `CheckpointSpanMetric`s of Flink's `DefaultCheckpointStatsTracker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubtaskMetric {
    /// Bytes of state referred to.
    StateSizeBytes,
    /// Bytes written.
    CheckpointedSizeBytes,
    /// From the trigger to the start of the subtask's part.
    CheckpointStartDelayMs,
    /// From the first to the last barrier.
    AlignmentDurationMs,
    /// The part that stops processing.
    SyncCheckpointDurationMs,
    /// The part beside processing.
    AsyncCheckpointDurationMs,
    /// Bytes processed during alignment.
    ProcessedDataBytes,
    /// Bytes in flight that were persisted.
    PersistedDataBytes,
}

impl SubtaskMetric {
    /// All of them, in Flink's order.
    pub const ALL: [Self; 8] = [
        Self::StateSizeBytes,
        Self::CheckpointedSizeBytes,
        Self::CheckpointStartDelayMs,
        Self::AlignmentDurationMs,
        Self::SyncCheckpointDurationMs,
        Self::AsyncCheckpointDurationMs,
        Self::ProcessedDataBytes,
        Self::PersistedDataBytes,
    ];
}

/// How the subtasks of a job came up, once: at its start, after a failure, after rescaling. As Flink's `JobInitializationMetrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitializationStats {
    /// When it began, in milliseconds since the epoch.
    pub start_timestamp: i64,
    /// When the last subtask was up.
    pub end_timestamp: i64,
    /// Whether all came up.
    pub status: InitializationStatus,
    /// The checkpoint that was restored; `None` at a fresh start.
    pub restored_checkpoint_id: Option<i64>,
    /// When that checkpoint was triggered, if it is one of this job's that is still known.
    pub restored_trigger_timestamp: Option<i64>,
    /// Bytes of state of the restored checkpoint.
    pub restored_state_size: Option<i64>,
    /// What the subtasks reported, by name.
    pub metrics: Vec<InitializationMetric>,
    /// The reports of single subtasks, by job vertex and subtask, where they were kept: at the detail level
    /// [`ChildrenSpansPerSubtask`](crate::SpanDetailLevel::ChildrenSpansPerSubtask). Beyond Flink.
    pub subtasks: Vec<(ExecutionAttemptId, SubTaskInitializationMetrics)>,
}

/// Whether an initialization succeeded, as Flink's `InitializationStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitializationStatus {
    /// All subtasks came up.
    Completed,
    /// At least one did not.
    Failed,
}

impl InitializationStatus {
    /// Flink's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// One number that subtasks report of their initialization, over all subtasks, as Flink's `JobInitializationMetrics.SumMaxDuration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitializationMetric {
    /// Its name, such as `MailboxStartDurationMs`, or any that a state backend chose.
    pub name: String,
    /// The largest.
    pub max: i64,
    /// The sum.
    pub sum: i64,
}
