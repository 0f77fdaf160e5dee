//! Errors of the tracker.

use thiserror::Error;

/// A report that does not fit what a [`CheckpointStatsTracker`](super::CheckpointStatsTracker) knows. It changed nothing. Flink ignores such reports or logs a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// A trigger of an id that is in progress.
    #[error("checkpoint {checkpoint_id} is in progress already")]
    AlreadyInProgress {
        /// The id of the checkpoint.
        checkpoint_id: i64,
    },
    /// Two tasks of one checkpoint are the same job vertex.
    #[error("checkpoint {checkpoint_id} has the task '{job_vertex_id}' twice")]
    DuplicateTask {
        /// The id of the checkpoint.
        checkpoint_id: i64,
        /// The task.
        job_vertex_id: String,
    },
    /// A task has more subtasks than are accepted.
    #[error("task '{job_vertex_id}' has parallelism {parallelism}, more than {maximum}")]
    Parallelism {
        /// The task.
        job_vertex_id: String,
        /// How many subtasks the task has.
        parallelism: u32,
        /// The most that are accepted.
        maximum: u32,
    },
    /// The end of an id that was not triggered or has ended.
    #[error("checkpoint {checkpoint_id} is not in progress")]
    NotInProgress {
        /// The id of the checkpoint.
        checkpoint_id: i64,
    },
    /// A subtask's report on a checkpoint that is neither in progress nor a failed one that is remembered.
    #[error("checkpoint {checkpoint_id} takes no reports: it is not known, or no longer, or completed")]
    NotOpen {
        /// The id of the checkpoint.
        checkpoint_id: i64,
    },
    /// The removal of a checkpoint that is not known as completed.
    #[error("checkpoint {checkpoint_id} is not known, or no longer, or has not completed")]
    NotCompleted {
        /// The id of the checkpoint.
        checkpoint_id: i64,
    },
    /// A subtask's report on a task that does not take part.
    #[error("checkpoint {checkpoint_id} has no task '{job_vertex_id}'")]
    UnknownTask {
        /// The id of the checkpoint.
        checkpoint_id: i64,
        /// The task.
        job_vertex_id: String,
    },
    /// A subtask's report with an index beyond its task's parallelism.
    #[error("checkpoint {checkpoint_id}: task '{job_vertex_id}' of parallelism {parallelism} has no subtask {index}")]
    SubtaskOutOfRange {
        /// The id of the checkpoint.
        checkpoint_id: i64,
        /// The task.
        job_vertex_id: String,
        /// The index that the subtask gave.
        index: i64,
        /// How many subtasks the task has.
        parallelism: u32,
    },
    /// A second report of a subtask.
    #[error("checkpoint {checkpoint_id}: subtask {index} of task '{job_vertex_id}' has reported before")]
    DuplicateReport {
        /// The id of the checkpoint.
        checkpoint_id: i64,
        /// The task.
        job_vertex_id: String,
        /// The index that the subtask gave.
        index: i64,
    },
    /// A subtask's report of its initialization while none was begun.
    #[error("no initialization was begun")]
    NoInitialization,
}
