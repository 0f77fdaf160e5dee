//! The errors of a tracker.

use thiserror::Error;

use super::stats::CheckpointStatus;

/// A report that does not match the state of a
/// [`CheckpointStatsTracker`](super::CheckpointStatsTracker).
///
/// The report changed nothing. Flink ignores such reports or logs a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// A checkpoint of this id is already in progress.
    #[error("checkpoint {checkpoint_id} is already in progress")]
    AlreadyInProgress {
        /// The id of the checkpoint.
        checkpoint_id: i64,
    },
    /// Two tasks of the checkpoint are the same job vertex.
    #[error("checkpoint {checkpoint_id} has the task '{job_vertex_id}' twice")]
    DuplicateTask {
        /// The id of the checkpoint.
        checkpoint_id: i64,
        /// The id of the task.
        job_vertex_id: String,
    },
    /// The parallelism of a task exceeds the maximum.
    #[error("task '{job_vertex_id}' has parallelism {parallelism}, more than {maximum}")]
    Parallelism {
        /// The id of the task.
        job_vertex_id: String,
        /// The number of subtasks of the task.
        parallelism: u32,
        /// The maximum parallelism.
        maximum: u32,
    },
    /// No checkpoint of this id was triggered.
    #[error("checkpoint {checkpoint_id} was never triggered")]
    UnknownCheckpoint {
        /// The id of the checkpoint.
        checkpoint_id: i64,
    },
    /// The checkpoint has ended, so the report is late. The caller may ignore it.
    #[error("checkpoint {checkpoint_id} has ended as {}", status.name())]
    CheckpointEnded {
        /// The id of the checkpoint.
        checkpoint_id: i64,
        /// The status with which it ended.
        status: CheckpointStatus,
    },
    /// The history no longer has the checkpoint, so the report is late. The caller may ignore it.
    #[error("checkpoint {checkpoint_id} is no longer in the history")]
    NotInHistory {
        /// The id of the checkpoint.
        checkpoint_id: i64,
    },
    /// The checkpoint cannot complete, because some subtasks have not acknowledged.
    #[error("checkpoint {checkpoint_id} has {acknowledged} acknowledgements, expected {expected}")]
    MissingAcknowledgements {
        /// The id of the checkpoint.
        checkpoint_id: i64,
        /// The number of subtasks that acknowledged.
        acknowledged: u64,
        /// The number of subtasks of all tasks.
        expected: u64,
    },
    /// The checkpoint to discard is not known as completed.
    #[error("checkpoint {checkpoint_id} is unknown or has not completed")]
    NotCompleted {
        /// The id of the checkpoint.
        checkpoint_id: i64,
    },
    /// The task does not take part in the checkpoint.
    #[error("checkpoint {checkpoint_id} has no task '{job_vertex_id}'")]
    UnknownTask {
        /// The id of the checkpoint.
        checkpoint_id: i64,
        /// The id of the task.
        job_vertex_id: String,
    },
    /// The index of the subtask exceeds the parallelism of its task.
    #[error("checkpoint {checkpoint_id}: task '{job_vertex_id}' of parallelism {parallelism} has no subtask {index}")]
    SubtaskOutOfRange {
        /// The id of the checkpoint.
        checkpoint_id: i64,
        /// The id of the task.
        job_vertex_id: String,
        /// The index of the subtask.
        index: i64,
        /// The number of subtasks of the task.
        parallelism: u32,
    },
    /// The subtask reported before.
    #[error("checkpoint {checkpoint_id}: subtask {index} of task '{job_vertex_id}' has already reported")]
    DuplicateReport {
        /// The id of the checkpoint.
        checkpoint_id: i64,
        /// The id of the task.
        job_vertex_id: String,
        /// The index of the subtask.
        index: i64,
    },
    /// A subtask or a restored checkpoint was reported before an initialization was started.
    #[error("no initialization was started")]
    NoInitialization,
}

impl TrackerError {
    /// Returns `true` if the report is only late, which is normal: the checkpoint has ended.
    ///
    /// The other errors are mistakes of the caller, except for
    /// [`DuplicateReport`](Self::DuplicateReport) where messages may arrive twice.
    pub fn is_late(&self) -> bool {
        matches!(self, Self::CheckpointEnded { .. } | Self::NotInHistory { .. })
    }
}
