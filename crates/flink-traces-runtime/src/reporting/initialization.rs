//! The handle of a job's current initialization.

use flink_traces_api::Timestamp;

use super::job::JobHandle;
use super::subtask::InitializedSubtask;
use crate::checkpoint::{RestoredCheckpoint, TrackerError, job_initialization_span, partial_job_initialization_span};
use crate::job::ExecutionAttemptId;

/// A handle of a job's current initialization, which [`JobHandle::initialization`] starts.
///
/// A job has one initialization at a time, so all handles of a job report to its last one.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::checkpoint::RestoredCheckpoint;
/// use flink_traces_runtime::job::ExecutionAttemptId;
/// use flink_traces_runtime::reporting::InitializedSubtask;
/// # use flink_traces_log::Log;
/// # use flink_traces_runtime::Reporting;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let reporting = Reporting::builder().reporter(Log::new()).start()?;
/// # let job = reporting.job("0a4480b1aa43ca25b4801a22462f387a", "word count");
/// let attempt = ExecutionAttemptId::new("a0", 0, 1);
/// let initialization = job.initialization([attempt.clone()]);
/// initialization.restored(RestoredCheckpoint::checkpoint(7).with_state_size(4_096))?;
/// // The last attempt adds the span.
/// initialization.initialized(&attempt, InitializedSubtask::completed())?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Initialization(JobHandle);

impl JobHandle {
    /// Reports that `attempts` begin to restore their state, or to start without any.
    ///
    /// The span is Flink's `JobInitialization`, when all attempts are initialized. If another
    /// initialization has not ended, it is [given up](Initialization::give_up) now.
    pub fn initialization(&self, attempts: impl IntoIterator<Item = ExecutionAttemptId>) -> Initialization {
        let now = self.now();
        let mut state = self.job.lock();
        let earlier = self.job.checkpoints.report_initialization_started(now, attempts);
        state.initialization = (None, now);
        drop(state);
        if let Some(partial) = earlier {
            let start = partial.stats.start_timestamp;
            self.job.add_span(partial_job_initialization_span(self.job.identity(), &partial, start));
        }
        Initialization(self.clone())
    }
}

impl Initialization {
    /// Returns a handle whose reports happen at `time` instead of now.
    #[must_use]
    pub fn at(&self, time: impl Into<Timestamp>) -> Self {
        Self(self.0.at(time))
    }

    /// Reports the checkpoint that the job restores, now.
    ///
    /// The span links to that checkpoint's if this job took it, or if its trigger timestamp is set.
    ///
    /// # Errors
    ///
    /// Returns an error if no initialization was started.
    pub fn restored(&self, mut restored: RestoredCheckpoint) -> Result<(), TrackerError> {
        let (job, now) = (&self.0.job, self.0.now());
        restored.restore_timestamp = now;
        let checkpoint_id = restored.checkpoint_id;
        let mut state = job.lock();
        job.checkpoints.report_restored(restored)?;
        state.initialization.0 = Some(checkpoint_id);
        Ok(())
    }

    /// Reports that an attempt is initialized, or that it failed to be.
    ///
    /// The last attempt adds the span `JobInitialization`. Reports of unknown attempts and repeated
    /// reports are ignored and
    /// [counted](crate::CheckpointStatsTracker::ignored_initialization_reports).
    ///
    /// # Errors
    ///
    /// Returns an error if no initialization was started.
    pub fn initialized(&self, attempt: &ExecutionAttemptId, subtask: InitializedSubtask) -> Result<(), TrackerError> {
        let job = &self.0.job;
        let metrics = subtask.reported(self.0.now());
        if let Some(stats) = job.checkpoints.report_initialization_metrics(attempt, &metrics)? {
            job.add_span(job_initialization_span(job.identity(), &stats, stats.start_timestamp));
        }
        Ok(())
    }

    /// Ends the initialization without the attempts that are missing, and adds its failed span.
    ///
    /// Returns the missing attempts, which are none if the initialization has ended.
    pub fn give_up(&self) -> Vec<ExecutionAttemptId> {
        let job = &self.0.job;
        let Some(partial) = job.checkpoints.give_up_initialization(self.0.now()) else { return Vec::new() };
        let start = partial.stats.start_timestamp;
        job.add_span(partial_job_initialization_span(job.identity(), &partial, start));
        partial.missing
    }
}
