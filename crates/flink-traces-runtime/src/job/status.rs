//! The tracker of the status of a job.

use flink_traces_api::{EventBuilder, JobStatus};
use thiserror::Error;

use super::events::job_status_change_event;
use super::identity::NamedJob;

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
#[error("the job has ended as {status} and cannot change to {reported}")]
#[non_exhaustive]
pub struct JobEnded {
    /// The final status.
    pub status: JobStatus,
    /// The reported status.
    pub reported: JobStatus,
}
