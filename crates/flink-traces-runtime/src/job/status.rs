//! The states that a job goes through.

use flink_traces_api::EventBuilder;
use thiserror::Error;

use super::events::job_status_change_event;

/// The state of a job, as Flink's `JobStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum JobStatus {
    /// What is to run it is being made.
    Initializing,
    /// Nothing runs yet.
    Created,
    /// Tasks are scheduled or run; says nothing about whether all of them run.
    Running,
    /// It failed for good, and waits for its tasks to end.
    Failing,
    /// Ended by a failure.
    Failed,
    /// It was cancelled, and waits for its tasks to end.
    Cancelling,
    /// Ended by a user.
    Canceled,
    /// Ended by itself, or stopped with a savepoint.
    Finished,
    /// Between a failure and the next attempt.
    Restarting,
    /// Its coordinator let go of it; another may take it up.
    Suspended,
    /// It waits for tasks that run already to be found again.
    Reconciling,
}

impl JobStatus {
    /// All of them, in Flink's order.
    pub const ALL: [Self; 11] = [
        Self::Initializing,
        Self::Created,
        Self::Running,
        Self::Failing,
        Self::Failed,
        Self::Cancelling,
        Self::Canceled,
        Self::Finished,
        Self::Restarting,
        Self::Suspended,
        Self::Reconciling,
    ];

    /// Flink's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
            Self::Restarting => "RESTARTING",
            Self::Suspended => "SUSPENDED",
            Self::Reconciling => "RECONCILING",
        }
    }

    /// Whether the job has ended here: no other state follows. As Flink's `isTerminalState`, for which a suspended job has, too.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished | Self::Suspended)
    }
}

/// Makes an event `JobStatusChangeEvent` of each change of a job's state, as the `JobStatusListener` of Flink's `JobMaster`.
///
/// The state that a job begins with is no change. Flink's default scheduler begins with [`Created`](JobStatus::Created); its Adaptive
/// one with [`Initializing`](JobStatus::Initializing), so that `CREATED` is reported there. A program that takes over a job from one that
/// ended begins anew, with another tracker.
///
/// ```
/// use flink_traces_runtime::job::{JobStatus, JobStatusTracker};
///
/// let mut tracker = JobStatusTracker::new(JobStatus::Created);
/// // To be added to the job's metric group.
/// let event = tracker.report(JobStatus::Running, 1_795_230_921_331)?;
/// assert!(event.is_some());
/// assert_eq!(tracker.report(JobStatus::Running, 1_795_230_921_400)?, None);
/// # Ok::<(), flink_traces_runtime::job::JobEnded>(())
/// ```
#[derive(Debug, Clone)]
pub struct JobStatusTracker {
    status: JobStatus,
}

impl JobStatusTracker {
    /// A job that begins in that state, of which there is no event.
    pub fn new(initial: JobStatus) -> Self {
        Self { status: initial }
    }

    /// The state that the job is in.
    pub fn status(&self) -> JobStatus {
        self.status
    }

    /// The job went into `status` at `ts_millis`, in milliseconds since the epoch. Returns the event, to be added to the job's
    /// [`MetricGroup`](crate::MetricGroup); `None` if it was in that state already, as when Flink's Adaptive scheduler goes from one of
    /// its own states to another that is the same to everybody else.
    ///
    /// # Errors
    /// When the job has ended, which Flink, too, does not allow: nothing changes.
    pub fn report(&mut self, status: JobStatus, ts_millis: i64) -> Result<Option<EventBuilder>, JobEnded> {
        if status == self.status {
            return Ok(None);
        }
        if self.status.is_terminal() {
            return Err(JobEnded { status: self.status, reported: status });
        }
        self.status = status;
        Ok(Some(job_status_change_event(status.name(), ts_millis)))
    }
}

/// A job that had ended was said to go on: where Flink's `DefaultExecutionGraph` throws an `IllegalStateException`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the job has ended as {}, and cannot go into {}", status.name(), reported.name())]
#[non_exhaustive]
pub struct JobEnded {
    /// How it ended.
    pub status: JobStatus,
    /// What it was said to go into.
    pub reported: JobStatus,
}
