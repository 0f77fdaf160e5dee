//! The handle of one checkpoint.

use std::fmt::Display;

use flink_traces_api::{SpanContext, Timestamp, TraceId};

use super::job::JobHandle;
use super::subtask::Subtask;
use crate::checkpoint::{CheckpointFailure, CheckpointTask, CheckpointType, CompletedCheckpoint, TrackerError};

/// The cause of a checkpoint that took too long, in Flink's words.
const EXPIRED: &str = "Checkpoint expired before completing.";

/// A handle of one checkpoint, until it completes or fails. Flink's `PendingCheckpoint`.
///
/// It is a cheap handle for any thread. Several threads can acknowledge at the same time.
/// [`JobHandle::trigger`] creates it, and [`JobHandle::checkpoint`] finds it again by its id.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flink_traces_runtime::checkpoint::CheckpointType;
/// use flink_traces_runtime::job::JobVertex;
/// use flink_traces_runtime::reporting::Subtask;
/// # use flink_traces_log::Log;
/// # use flink_traces_runtime::Reporting;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let reporting = Reporting::builder().reporter(Log::new()).start()?;
/// # let job = reporting.job("0a4480b1aa43ca25b4801a22462f387a", "word count");
/// let tasks = [JobVertex::new("a0", "map", 2)];
/// let checkpoint = job.trigger(7, CheckpointType::Checkpoint, &tasks)?;
/// let sync = Duration::from_millis(2);
/// let subtask = |index| Subtask::new(index).state_size(4_096).sync_duration(sync);
/// checkpoint.ack("a0", subtask(0))?;
/// let error = checkpoint.complete("file:///checkpoints/chk-7").unwrap_err();
/// assert_eq!(error.to_string(), "checkpoint 7 has 1 acknowledgements, expected 2");
///
/// checkpoint.ack("a0", subtask(1))?;
/// checkpoint.complete("file:///checkpoints/chk-7")?;
/// assert!(checkpoint.ack("a0", subtask(1)).unwrap_err().is_late());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PendingCheckpoint {
    job: JobHandle,
    checkpoint_id: i64,
}

impl JobHandle {
    /// Reports that a checkpoint of `tasks` was triggered.
    ///
    /// A task is a [`CheckpointTask`] or a [`JobVertex`](crate::job::JobVertex), by value or by
    /// reference.
    ///
    /// # Errors
    ///
    /// Returns an error if that id is in progress already, or if `tasks` are not acceptable.
    pub fn trigger(
        &self,
        checkpoint_id: i64,
        checkpoint_type: CheckpointType,
        tasks: impl IntoIterator<Item = impl Into<CheckpointTask>>,
    ) -> Result<PendingCheckpoint, TrackerError> {
        let tasks: Vec<CheckpointTask> = tasks.into_iter().map(Into::into).collect();
        self.job.checkpoints.report_pending(checkpoint_id, self.now(), checkpoint_type, &tasks)?;
        Ok(self.checkpoint(checkpoint_id))
    }

    /// Returns the handle of the checkpoint with this id, for reports that come with an id.
    ///
    /// If no checkpoint of that id was triggered, its reports are errors.
    pub fn checkpoint(&self, checkpoint_id: i64) -> PendingCheckpoint {
        PendingCheckpoint { job: self.clone(), checkpoint_id }
    }
}

impl PendingCheckpoint {
    /// Returns the id.
    pub fn checkpoint_id(&self) -> i64 {
        self.checkpoint_id
    }

    /// Returns the time of the trigger, which a later process needs to link a restore to this
    /// checkpoint.
    ///
    /// Returns `None` if the history does not have the checkpoint.
    pub fn trigger_timestamp(&self) -> Option<Timestamp> {
        let checkpoint = self.job.job.checkpoints.tracked(self.checkpoint_id)?;
        Some(Timestamp::from_millis(checkpoint.trigger_timestamp()))
    }

    /// Returns the trace that the span joins, which a later process needs as well if the span has a
    /// parent.
    ///
    /// Returns `None` without a parent, and if the history does not have the checkpoint.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.job.job.checkpoints.tracked(self.checkpoint_id)?.trace_id()
    }

    /// Sets the span that caused the checkpoint, if there is one, such as that of a request.
    ///
    /// The span of the checkpoint becomes its child and joins its trace. The crate
    /// `flink-traces-opentelemetry` returns the current span of OpenTelemetry or `tracing`.
    ///
    /// # Errors
    ///
    /// Returns an error if the checkpoint is not in progress.
    ///
    /// # Examples
    ///
    /// ```
    /// use flink_traces_api::SpanContext;
    /// use flink_traces_runtime::checkpoint::CheckpointType;
    /// use flink_traces_runtime::job::JobVertex;
    /// # use flink_traces_log::Log;
    /// # use flink_traces_runtime::Reporting;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let reporting = Reporting::builder().reporter(Log::new()).start()?;
    /// # let job = reporting.job("0a4480b1aa43ca25b4801a22462f387a", "word count");
    /// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// let tasks = [JobVertex::new("a0", "map", 1)];
    /// let savepoint = job.trigger(8, CheckpointType::Savepoint, &tasks)?;
    /// savepoint.set_parent(SpanContext::from_traceparent(header))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_parent(&self, parent: impl Into<Option<SpanContext>>) -> Result<(), TrackerError> {
        match parent.into() {
            Some(parent) => self.job.job.checkpoints.set_parent(self.checkpoint_id, parent),
            None => Ok(()),
        }
    }

    /// Adds a link from the checkpoint's span to another span, if there is one.
    ///
    /// Unlike a [parent](Self::set_parent), it leaves the checkpoint in a trace of its own, whose
    /// ids an observer of the cluster also knows.
    ///
    /// # Errors
    ///
    /// Returns an error if the checkpoint is not in progress.
    pub fn add_link(&self, link: impl Into<Option<SpanContext>>) -> Result<(), TrackerError> {
        match link.into() {
            Some(link) => self.job.job.checkpoints.add_link(self.checkpoint_id, link),
            None => Ok(()),
        }
    }

    /// Returns a handle whose reports happen at `time` instead of now.
    #[must_use]
    pub fn at(&self, time: impl Into<Timestamp>) -> Self {
        Self { job: self.job.at(time), checkpoint_id: self.checkpoint_id }
    }

    /// Reports that a subtask acknowledged the checkpoint.
    ///
    /// A subtask that had finished before the trigger acknowledges, too, with sizes of 0.
    ///
    /// # Errors
    ///
    /// Returns an error if the checkpoint or the task is unknown, if the task has no such subtask,
    /// or if the subtask acknowledged before. The error of a checkpoint that has ended is
    /// [late](TrackerError::is_late), which is normal.
    pub fn ack(&self, job_vertex_id: &str, subtask: impl Into<Subtask>) -> Result<(), TrackerError> {
        self.report(job_vertex_id, subtask.into(), true)
    }

    /// Reports the metrics of a subtask that aborted its snapshot, or acknowledged too late.
    ///
    /// Mirrors `reportIncompleteStats`.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ack`](Self::ack).
    pub fn incomplete(&self, job_vertex_id: &str, subtask: impl Into<Subtask>) -> Result<(), TrackerError> {
        self.report(job_vertex_id, subtask.into(), false)
    }

    /// Reports that the checkpoint completed, and adds its event and then its span.
    ///
    /// The argument is the path, or a [`CompletedCheckpoint`] with more.
    ///
    /// # Errors
    ///
    /// Returns an error if the checkpoint is not in progress, or if an acknowledgement is missing.
    pub fn complete(&self, completed: impl Into<CompletedCheckpoint>) -> Result<(), TrackerError> {
        let now = self.job.now();
        let stats = self.job.job.checkpoints.report_acknowledged(self.checkpoint_id, completed.into(), now)?;
        self.job.job.add_checkpoint(&stats);
        Ok(())
    }

    /// Reports that the checkpoint failed, and adds its event and then its span.
    ///
    /// # Errors
    ///
    /// Returns an error if the checkpoint is not in progress.
    pub fn fail(&self, cause: impl Display) -> Result<(), TrackerError> {
        let failure = CheckpointFailure::new(self.job.now(), cause.to_string());
        let stats = self.job.job.checkpoints.report_failed(self.checkpoint_id, failure)?;
        self.job.job.add_checkpoint(&stats);
        Ok(())
    }

    /// Reports that the checkpoint took too long, with Flink's cause.
    ///
    /// # Errors
    ///
    /// Returns an error if the checkpoint is not in progress.
    pub fn expire(&self) -> Result<(), TrackerError> {
        self.fail(EXPIRED)
    }

    fn report(&self, job_vertex_id: &str, subtask: Subtask, is_completed: bool) -> Result<(), TrackerError> {
        let stats = subtask.reported(self.job.now(), is_completed);
        self.job.job.checkpoints.report_subtask(self.checkpoint_id, job_vertex_id, stats)
    }
}
