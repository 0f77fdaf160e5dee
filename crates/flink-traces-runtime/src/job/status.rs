//! The status of a job and its tracker.

use flink_traces_api::EventBuilder;
use thiserror::Error;

use super::events::job_status_change_event;
use super::identity::NamedJob;

/// The status of a job. Flink's `JobStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum JobStatus {
    /// The JobMaster is being created.
    Initializing,
    /// No task is scheduled yet.
    Created,
    /// Tasks are scheduled or run, but not necessarily all of them.
    Running,
    /// The job failed for good and waits for its tasks to end.
    Failing,
    /// The job ended with a failure.
    Failed,
    /// The job was canceled and waits for its tasks to end.
    Cancelling,
    /// The job was ended by a user.
    Canceled,
    /// The job ended by itself, or was stopped with a savepoint.
    Finished,
    /// The job failed and waits for its next start.
    Restarting,
    /// The JobMaster released the job, and another one may take it over.
    Suspended,
    /// The job waits for running tasks to be found again.
    Reconciling,
}

impl JobStatus {
    /// All statuses, in Flink's order.
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

    /// Returns the status with Flink's name `name`, such as that of a REST response.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Returns Flink's name of the status.
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

    /// Returns `true` if no other status follows, including `SUSPENDED`.
    ///
    /// Flink's `isTerminalState`.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished | Self::Suspended)
    }
}

/// Builds an event `JobStatusChangeEvent` for each change of a job's status.
///
/// The `JobStatusListener` of Flink's `JobMaster`.
///
/// The initial status is not a change. Flink's default scheduler begins with
/// [`Created`](JobStatus::Created). Its Adaptive scheduler begins with
/// [`Initializing`](JobStatus::Initializing), so it also reports `CREATED`. A process that takes
/// over a job creates a new tracker.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::JobIdentity;
/// use flink_traces_runtime::job::{JobStatus, JobStatusTracker};
///
/// let job = JobIdentity { cluster: "prod", job_id: "5c4b" }.named("orders");
/// let mut tracker = JobStatusTracker::new(JobStatus::Created);
/// // Add the event to the job's metric group.
/// let event = tracker.report(job, JobStatus::Running, 1_795_230_921_331)?;
/// assert!(event.is_some());
/// assert_eq!(tracker.report(job, JobStatus::Running, 1_795_230_921_400)?, None);
/// # Ok::<(), flink_traces_runtime::job::JobEnded>(())
/// ```
#[derive(Debug, Clone)]
pub struct JobStatusTracker {
    status: JobStatus,
}

impl JobStatusTracker {
    /// Creates a tracker of a job in status `initial`, for which there is no event.
    pub fn new(initial: JobStatus) -> Self {
        Self { status: initial }
    }

    /// Returns the current status.
    pub fn status(&self) -> JobStatus {
        self.status
    }

    /// Reports that `job` changed to `status` at `ts_millis`, in milliseconds since the epoch.
    ///
    /// Returns the event, to be added to the job's [`MetricGroup`](crate::MetricGroup). Returns
    /// `None` if the job already had that status. This happens when Flink's Adaptive scheduler
    /// changes between internal states with the same status.
    ///
    /// # Errors
    ///
    /// Returns an error if the job has ended, as in Flink. The status does not change.
    pub fn report(
        &mut self,
        job: NamedJob<'_>,
        status: JobStatus,
        ts_millis: i64,
    ) -> Result<Option<EventBuilder>, JobEnded> {
        if status == self.status {
            return Ok(None);
        }
        if self.status.is_terminal() {
            return Err(JobEnded { status: self.status, reported: status });
        }
        self.status = status;
        Ok(Some(job_status_change_event(job, status.name(), ts_millis)))
    }
}

/// The error of a status that was reported after the job had ended.
///
/// Flink's `DefaultExecutionGraph` throws an `IllegalStateException` in this case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the job has ended as {} and cannot change to {}", status.name(), reported.name())]
#[non_exhaustive]
pub struct JobEnded {
    /// The final status.
    pub status: JobStatus,
    /// The reported status.
    pub reported: JobStatus,
}
