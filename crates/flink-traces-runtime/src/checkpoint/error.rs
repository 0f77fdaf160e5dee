//! The errors of a tracker.

use thiserror::Error;

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
    /// The checkpoint was not triggered or has ended.
    #[error("checkpoint {checkpoint_id} is not in progress")]
    NotInProgress {
        /// The id of the checkpoint.
        checkpoint_id: i64,
    },
    /// The checkpoint is neither in progress nor a failed one in the history.
    #[error("checkpoint {checkpoint_id} accepts no reports: it is unknown or completed")]
    NotOpen {
        /// The id of the checkpoint.
        checkpoint_id: i64,
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
