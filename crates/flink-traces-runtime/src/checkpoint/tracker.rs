//! The tracker: what a checkpoint coordinator reports, as counts, history, summaries and gauges.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::TrackerError;
use super::gauges::{CheckpointGauges, NO_EXTERNAL_PATH, UNSET};
use super::history::{CheckpointStatsHistory, CheckpointTask, TrackedCheckpoint};
use super::initialization::{IgnoredReports, JobInitializationMetricsBuilder, PartialInitialization};
use super::snapshot::{CheckpointStatsCounts, CheckpointStatsSnapshot, CompletedCheckpointStatsSummary};
use super::stats::{
    CheckpointFailure, CheckpointStats, CheckpointStatus, CheckpointType, InitializationStats, RestoredCheckpoint,
    SubTaskInitializationMetrics, SubtaskStats,
};
use crate::config::SpanDetailLevel;
use crate::job::ExecutionAttemptId;

/// Follows the checkpoints and initializations of one job, as Flink's `DefaultCheckpointStatsTracker`.
///
/// The coordinator of a stream processor reports to it and makes spans and events of what comes back. Others look at
/// [`snapshot`](Self::snapshot) and [`gauges`](Self::gauges) from any thread. Every method takes a lock for a few map operations, none for
/// longer; a reporter never waits for a reader that works on a snapshot. It has no clock and does no I/O: times come in as arguments, in
/// milliseconds since the epoch.
///
/// A report that does not fit changes nothing and answers with a [`TrackerError`]. Where Flink says nothing, as of a subtask that
/// reports twice or too late, the caller may ignore it.
///
/// ```
/// use flink_traces_runtime::{CheckpointStatsTracker, JobIdentity, checkpoint_event, checkpoint_span};
/// use flink_traces_runtime::checkpoint::{CheckpointTask, CheckpointType, SubtaskStats};
/// use flink_traces_runtime::config::SpanDetailLevel;
///
/// let tracker = CheckpointStatsTracker::new(10);
/// let tasks = [CheckpointTask::new("a0", 1).with_task_name("map".to_owned())];
/// tracker.report_pending(7, 1_000, CheckpointType::Checkpoint, &tasks)?;
/// let metrics = SubtaskMetric::ALL.into_iter().zip([4096, 512, 3, 1, 2, 90, 0, 0]);
/// let subtask = SubtaskStats::new(0, 1_120).with_metrics(metrics);
/// tracker.report_subtask(7, "a0", subtask)?;
/// let stats = tracker.report_completed(7, Some("file:///checkpoints/chk-7".into()), Some(1_234))?;
///
/// // To be added to the job's metric group, in this order.
/// let event = checkpoint_event(&stats);
/// let job = JobIdentity { cluster: "orders", job_id: "5c4b" };
/// let span = checkpoint_span(job, &stats, SpanDetailLevel::ChildrenSpansPerTask);
/// assert_eq!(tracker.gauges().last_checkpoint_duration, 120);
/// # Ok::<(), flink_traces_runtime::checkpoint::TrackerError>(())
/// ```
#[derive(Debug)]
pub struct CheckpointStatsTracker(Mutex<State>);

#[derive(Debug)]
struct State {
    counts: CheckpointStatsCounts,
    history: CheckpointStatsHistory,
    summary: CompletedCheckpointStatsSummary,
    /// The one whose completion was reported last, whatever its id.
    last_completed: Option<Arc<TrackedCheckpoint>>,
    latest_restored: Option<RestoredCheckpoint>,
    latest_failure_before_trigger: Option<CheckpointFailure>,
    initialization: Option<JobInitializationMetricsBuilder>,
    detail: SpanDetailLevel,
}

/// A builder of a [`CheckpointStatsTracker`].
#[derive(Debug, Clone)]
#[must_use]
pub struct CheckpointStatsTrackerBuilder {
    history_size: usize,
    detail: SpanDetailLevel,
}

impl CheckpointStatsTrackerBuilder {
    /// Sets the span detail level, which decides how much the tracker keeps of an initialization.
    ///
    /// At [`ChildrenSpansPerSubtask`](SpanDetailLevel::ChildrenSpansPerSubtask), it keeps the report of
    /// each subtask, and the span `JobInitialization` gets a child for each of them. At other levels,
    /// and in Flink at any level, reports are only summed.
    pub fn span_detail_level(mut self, detail: SpanDetailLevel) -> Self {
        self.detail = detail;
        self
    }

    /// Creates the tracker.
    pub fn build(self) -> CheckpointStatsTracker {
        CheckpointStatsTracker(Mutex::new(State {
            counts: CheckpointStatsCounts::default(),
            history: CheckpointStatsHistory::new(self.history_size),
            summary: CompletedCheckpointStatsSummary::default(),
            last_completed: None,
            latest_restored: None,
            latest_failure_before_trigger: None,
            initialization: None,
            detail: self.detail,
        }))
    }
}

impl CheckpointStatsTracker {
    /// Creates a tracker with the default span detail level. See [`builder`](Self::builder).
    pub fn new(history_size: usize) -> Self {
        Self::builder(history_size).build()
    }

    /// Returns a builder of a tracker that keeps the last `history_size` checkpoints.
    ///
    /// The history includes checkpoints in progress. Flink's option is `web.checkpoints.history`, whose
    /// default is 10. With 0, the tracker keeps only the checkpoints in progress and the latest ones.
    pub fn builder(history_size: usize) -> CheckpointStatsTrackerBuilder {
        CheckpointStatsTrackerBuilder { history_size, detail: SpanDetailLevel::default() }
    }

    /// A checkpoint was triggered, with these tasks. Mirrors `reportPendingCheckpoint`.
    ///
    /// # Errors
    /// When that id is in progress already, or the tasks are not acceptable.
    pub fn report_pending(
        &self,
        checkpoint_id: i64,
        trigger_timestamp: i64,
        checkpoint_type: CheckpointType,
        tasks: &[CheckpointTask],
    ) -> Result<(), TrackerError> {
        let pending = TrackedCheckpoint::new(checkpoint_id, trigger_timestamp, checkpoint_type, tasks)?;
        let mut state = self.lock();
        state.history.add(pending)?;
        state.counts.in_progress += 1;
        state.counts.total += 1;
        Ok(())
    }

    /// A subtask reported what it did. Mirrors `PendingCheckpointStats.reportSubtaskStats` and `reportIncompleteStats`.
    ///
    /// The first report of a subtask counts. One that is not completed, and any that comes after the checkpoint failed, is taken while the
    /// history remembers that checkpoint; the latter changes what snapshots show, not what [`report_failed`](Self::report_failed) returned. A subtask that had finished before
    /// the trigger reports zeros, completed, at the trigger's timestamp.
    ///
    /// # Errors
    /// When the checkpoint or task is not known, or no longer, the subtask is not one of that task's, or it reported before.
    pub fn report_subtask(
        &self,
        checkpoint_id: i64,
        job_vertex_id: &str,
        subtask: SubtaskStats,
    ) -> Result<(), TrackerError> {
        self.lock().history.report_subtask(checkpoint_id, job_vertex_id, subtask)
    }

    /// All acknowledged and the metadata, of `metadata_size` bytes, is written at `external_path`. Mirrors `reportCompletedCheckpoint`.
    ///
    /// Returns the statistics from which the span and the event are made; subtasks are copied after the lock is released.
    ///
    /// # Errors
    /// When no checkpoint of that id is in progress.
    pub fn report_completed(
        &self,
        checkpoint_id: i64,
        external_path: Option<String>,
        metadata_size: Option<i64>,
    ) -> Result<CheckpointStats, TrackerError> {
        let completed = self.lock().complete(checkpoint_id, external_path, metadata_size)?;
        Ok(completed.stats())
    }

    /// It will never complete, for the reason that `failure` gives. Mirrors `reportFailedCheckpoint`.
    ///
    /// Returns the statistics from which the span and the event are made; subtasks are copied after the lock is released.
    ///
    /// # Errors
    /// When no checkpoint of that id is in progress.
    pub fn report_failed(
        &self,
        checkpoint_id: i64,
        failure: CheckpointFailure,
    ) -> Result<CheckpointStats, TrackerError> {
        let failed = self.lock().fail(checkpoint_id, failure)?;
        Ok(failed.stats())
    }

    /// A checkpoint failed before it could be triggered, for instance because not all tasks run. Mirrors
    /// `reportFailedCheckpointsWithoutInProgress`: it is counted, but gets no place in the history, no span and no event.
    ///
    /// Beyond Flink, the snapshot shows the last such failure.
    pub fn report_failed_before_trigger(&self, failure: CheckpointFailure) {
        let mut state = self.lock();
        state.counts.failed += 1;
        state.counts.total += 1;
        state.latest_failure_before_trigger = Some(failure);
    }

    /// A completed checkpoint was removed from storage. Mirrors `CompletedCheckpointStats.DiscardCallback`.
    ///
    /// # Errors
    /// When that one is not known, or no longer, or has not completed. The usual answer for a checkpoint older than the history.
    pub fn report_discarded(&self, checkpoint_id: i64) -> Result<(), TrackerError> {
        self.lock().history.discard(checkpoint_id)
    }

    /// The job was restored from a checkpoint. To be called between
    /// [`report_initialization_started`](Self::report_initialization_started) and the subtasks' reports, so that the span
    /// `JobInitialization` names it. Mirrors `reportRestoredCheckpoint`.
    ///
    /// Where the trigger timestamp is not given, that of the checkpoint in the history is taken, if this tracker saw it complete.
    pub fn report_restored(&self, restored: RestoredCheckpoint) {
        self.lock().restore(restored);
    }

    /// The subtasks of these attempts begin to restore their state, or to start without any. Mirrors `reportInitializationStarted`, with
    /// one difference: give only attempts that do start, so that a failover of some subtasks does not wait for the others.
    ///
    /// An initialization that has not ended is given up at this one's start and returned; Flink forgets it. It is the caller's choice
    /// whether that is worth a span: restoring from a savepoint path may begin twice.
    pub fn report_initialization_started(
        &self,
        start_timestamp: i64,
        attempts: impl IntoIterator<Item = ExecutionAttemptId>,
    ) -> Option<PartialInitialization> {
        let started = JobInitializationMetricsBuilder::new(start_timestamp, attempts);
        let mut state = self.lock();
        let started = match state.detail {
            SpanDetailLevel::ChildrenSpansPerSubtask => started.with_subtasks(),
            _ => started,
        };
        // What is shown as restored belongs to an initialization, as in Flink.
        state.latest_restored = None;
        let replaced = state.initialization.replace(started);
        drop(state);
        replaced.and_then(|mut replaced| replaced.give_up(start_timestamp))
    }

    /// A subtask came up or failed to. Mirrors `reportInitializationMetrics`. Returns the whole once, with the last attempt's report, for
    /// [`job_initialization_span`](super::job_initialization_span). Reports of unknown attempts and repeated ones are ignored and
    /// [counted](Self::ignored_initialization_reports).
    ///
    /// # Errors
    /// When no initialization was begun.
    pub fn report_initialization_metrics(
        &self,
        attempt: &ExecutionAttemptId,
        metrics: &SubTaskInitializationMetrics,
    ) -> Result<Option<InitializationStats>, TrackerError> {
        let mut state = self.lock();
        let initialization = state.initialization.as_mut().ok_or(TrackerError::NoInitialization)?;
        Ok(initialization.report(attempt, metrics))
    }

    /// Ends an initialization whose subtasks have not all reported, for
    /// [`partial_job_initialization_span`](super::partial_job_initialization_span); `None` if there is none. Beyond Flink, which waits
    /// forever. The caller decides how long to wait.
    pub fn give_up_initialization(&self, now: i64) -> Option<PartialInitialization> {
        self.lock().initialization.as_mut().and_then(|initialization| initialization.give_up(now))
    }

    /// How many reports of the last initialization were ignored. Flink logs a line for each.
    pub fn ignored_initialization_reports(&self) -> IgnoredReports {
        self.lock().initialization.as_ref().map(JobInitializationMetricsBuilder::ignored).unwrap_or_default()
    }

    /// Everything as it stands. Mirrors `createSnapshot`, but is never older than the last report.
    ///
    /// Costs a reference count for each checkpoint in the history; nothing is copied. What a checkpoint in progress shares with a snapshot
    /// is copied when the next report changes it, task by task.
    pub fn snapshot(&self) -> CheckpointStatsSnapshot {
        let state = self.lock();
        CheckpointStatsSnapshot {
            counts: state.counts,
            summary: state.summary.clone(),
            history: state.history.newest_first().cloned().collect(),
            latest_completed: state.history.latest_completed(),
            latest_savepoint: state.history.latest_savepoint(),
            latest_failed: state.history.latest_failed(),
            latest_restored: state.latest_restored.clone(),
            latest_failure_before_trigger: state.latest_failure_before_trigger.clone(),
        }
    }

    /// The gauges that Flink has on a job's metric group.
    pub fn gauges(&self) -> CheckpointGauges {
        self.lock().gauges()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn complete(
        &mut self,
        checkpoint_id: i64,
        external_path: Option<String>,
        metadata_size: Option<i64>,
    ) -> Result<Arc<TrackedCheckpoint>, TrackerError> {
        let completed = self.history.complete(checkpoint_id, external_path, metadata_size)?;
        self.counts.in_progress -= 1;
        self.counts.completed += 1;
        self.summary.add(&completed);
        self.last_completed = Some(Arc::clone(&completed));
        Ok(completed)
    }

    fn fail(&mut self, checkpoint_id: i64, failure: CheckpointFailure) -> Result<Arc<TrackedCheckpoint>, TrackerError> {
        let failed = self.history.fail(checkpoint_id, failure)?;
        self.counts.in_progress -= 1;
        self.counts.failed += 1;
        Ok(failed)
    }

    fn restore(&mut self, mut restored: RestoredCheckpoint) {
        restored.trigger_timestamp = restored.trigger_timestamp.or_else(|| self.trigger_timestamp_of(&restored));
        if let Some(initialization) = &mut self.initialization {
            initialization.set_restored(&restored);
        }
        self.counts.restored += 1;
        self.latest_restored = Some(restored);
    }

    /// Of a checkpoint that completed here and, where both paths are known, at the same place: a savepoint of another job may have its id.
    fn trigger_timestamp_of(&self, restored: &RestoredCheckpoint) -> Option<i64> {
        let known = self.history.get(restored.checkpoint_id)?;
        let is_same = match (known.external_path(), restored.external_path.as_deref()) {
            (Some(known), Some(restored)) => known == restored,
            _ => true,
        };
        (known.status() == CheckpointStatus::Completed && is_same).then(|| known.trigger_timestamp())
    }

    fn gauges(&self) -> CheckpointGauges {
        let restore = self.latest_restored.as_ref().map(|restored| restored.restore_timestamp);
        let start = self.initialization.as_ref().map(JobInitializationMetricsBuilder::start_timestamp);
        let last = self.last_completed.as_deref();
        let of_last = |value: fn(&TrackedCheckpoint) -> Option<i64>| last.and_then(value).unwrap_or(UNSET);
        CheckpointGauges {
            total_number_of_checkpoints: self.counts.total,
            number_of_in_progress_checkpoints: self.counts.in_progress,
            number_of_completed_checkpoints: self.counts.completed,
            number_of_failed_checkpoints: self.counts.failed,
            last_checkpoint_restore_timestamp: start.or(restore).unwrap_or(UNSET),
            last_checkpoint_size: of_last(|last| Some(last.checkpointed_size())),
            last_checkpoint_full_size: of_last(|last| Some(last.state_size())),
            last_checkpoint_metadata_size: of_last(TrackedCheckpoint::metadata_size),
            last_checkpoint_duration: of_last(TrackedCheckpoint::end_to_end_duration),
            last_checkpoint_processed_data: of_last(|last| Some(last.processed_data())),
            last_checkpoint_persisted_data: of_last(|last| Some(last.persisted_data())),
            last_checkpoint_external_path: last
                .and_then(TrackedCheckpoint::external_path)
                .unwrap_or(NO_EXTERNAL_PATH)
                .to_owned(),
            last_completed_checkpoint_id: of_last(|last| Some(last.checkpoint_id())),
            last_checkpoint_completed_timestamp: of_last(TrackedCheckpoint::latest_ack_timestamp),
        }
    }
}
