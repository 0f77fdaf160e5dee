//! The tracker that a checkpoint coordinator reports to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flink_traces_api::SpanContext;

use super::error::TrackerError;
use super::gauges::{CheckpointGauges, NO_EXTERNAL_PATH, UNSET};
use super::history::{CheckpointStatsHistory, CheckpointTask, TrackedCheckpoint};
use super::initialization::{IgnoredReports, JobInitializationMetricsBuilder, PartialInitialization};
use super::snapshot::{CheckpointStatsCounts, CheckpointStatsSnapshot, CompletedCheckpointStatsSummary};
use super::stats::{
    CheckpointFailure, CheckpointStats, CheckpointStatus, CheckpointType, CompletedCheckpoint, InitializationStats,
    RestoredCheckpoint, SubTaskInitializationMetrics,
};
use super::subtask::SubtaskStats;
use super::usual::UsualDuration;
use crate::config::SpanDetailLevel;
use crate::job::ExecutionAttemptId;

/// Tracks the checkpoints and initializations of one job. Flink's `DefaultCheckpointStatsTracker`.
///
/// The checkpoint coordinator of an engine reports to the tracker, and builds spans and events from
/// the results. Other threads read a [`snapshot`](Self::snapshot) or the [`gauges`](Self::gauges).
/// Every method holds a lock for a few map operations at most. A coordinator never waits for a
/// reader of a snapshot. The tracker has no clock and does no I/O. Times are arguments, in
/// milliseconds since the epoch.
///
/// A report that does not match the state changes nothing and returns a [`TrackerError`]. Flink
/// ignores some of these silently, such as a subtask that reports twice or too late. The caller may
/// do the same.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::checkpoint::{
///     CheckpointTask, CheckpointType, SubtaskMetric, SubtaskStats,
/// };
/// use flink_traces_runtime::config::SpanDetailLevel;
/// use flink_traces_runtime::{
///     CheckpointStatsTracker, JobIdentity, checkpoint_event, checkpoint_span,
/// };
///
/// let tracker = CheckpointStatsTracker::new(10);
/// let tasks = [CheckpointTask::new("a0", 1).with_task_name("map".to_owned())];
/// tracker.report_pending(7, 1_000, CheckpointType::Checkpoint, &tasks)?;
/// let metrics = SubtaskMetric::ALL.into_iter().zip([4096, 512, 3, 1, 2, 90, 0, 0]);
/// tracker.report_subtask(7, "a0", SubtaskStats::new(0, 1_120).with_metrics(metrics))?;
/// let stats =
///     tracker.report_completed(7, Some("file:///checkpoints/chk-7".into()), Some(1_234))?;
///
/// // Add both to the job's metric group, in this order.
/// let job = JobIdentity { cluster: "prod", job_id: "5c4b" };
/// let event = checkpoint_event(job.named("orders"), &stats);
/// let span = checkpoint_span(job, &stats, SpanDetailLevel::ChildrenSpansPerTask);
/// assert_eq!(tracker.gauges().last_checkpoint_duration, 120);
/// # let _ = (event, span);
/// # Ok::<(), flink_traces_runtime::checkpoint::TrackerError>(())
/// ```
#[derive(Debug)]
pub struct CheckpointStatsTracker(Mutex<State>);

#[derive(Debug)]
struct State {
    counts: CheckpointStatsCounts,
    history: CheckpointStatsHistory,
    summary: CompletedCheckpointStatsSummary,
    /// The checkpoint whose completion was reported last, whatever its id.
    last_completed: Option<Arc<TrackedCheckpoint>>,
    latest_restored: Option<RestoredCheckpoint>,
    latest_failure_before_trigger: Option<CheckpointFailure>,
    initialization: Option<JobInitializationMetricsBuilder>,
    usual: UsualDuration,
    settings: CheckpointStatsTrackerBuilder,
}

/// A builder of a [`CheckpointStatsTracker`].
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct CheckpointStatsTrackerBuilder {
    history_size: usize,
    detail: SpanDetailLevel,
    interval_ms: Option<i64>,
    timeout_ms: Option<i64>,
}

impl CheckpointStatsTrackerBuilder {
    /// Sets the span detail level, which decides how much the tracker keeps of an initialization.
    ///
    /// At [`ChildrenSpansPerSubtask`](SpanDetailLevel::ChildrenSpansPerSubtask), it keeps the
    /// report of each subtask, and the span `JobInitialization` gets a child for each of them. At
    /// other levels, and in Flink at any level, reports are only summed.
    pub fn span_detail_level(mut self, detail: SpanDetailLevel) -> Self {
        self.detail = detail;
        self
    }

    /// Sets the time between two checkpoints, in milliseconds, which the statistics repeat.
    pub fn checkpoint_interval_ms(mut self, interval_ms: impl Into<Option<i64>>) -> Self {
        self.interval_ms = interval_ms.into();
        self
    }

    /// Sets the time after which a checkpoint expires, in milliseconds, which the statistics
    /// repeat.
    pub fn checkpoint_timeout_ms(mut self, timeout_ms: impl Into<Option<i64>>) -> Self {
        self.timeout_ms = timeout_ms.into();
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
            usual: UsualDuration::default(),
            settings: self,
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
    /// The history includes checkpoints in progress. Flink's option is `web.checkpoints.history`,
    /// whose default is 10. With 0, the tracker keeps only the checkpoints in progress and the
    /// latest ones.
    pub fn builder(history_size: usize) -> CheckpointStatsTrackerBuilder {
        let detail = SpanDetailLevel::default();
        CheckpointStatsTrackerBuilder { history_size, detail, interval_ms: None, timeout_ms: None }
    }

    /// Reports that a checkpoint was triggered. Mirrors `reportPendingCheckpoint`.
    ///
    /// # Errors
    ///
    /// Returns an error if that id is in progress already, or if `tasks` are not acceptable.
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

    /// Reports the statistics of a subtask.
    ///
    /// Mirrors `PendingCheckpointStats.reportSubtaskStats` and `reportIncompleteStats`. The first
    /// report of a subtask counts.
    ///
    /// A report that is not completed is accepted while the history has the checkpoint, and so is
    /// any report after the checkpoint failed. The latter changes snapshots, but not the result of
    /// [`report_failed`](Self::report_failed).
    ///
    /// For a subtask that had finished before the trigger, report zeros, completed, at the
    /// trigger's timestamp.
    ///
    /// # Errors
    ///
    /// Returns an error if the checkpoint or task is unknown, if the task has no such subtask, or
    /// if the subtask reported before.
    pub fn report_subtask(
        &self,
        checkpoint_id: i64,
        job_vertex_id: &str,
        subtask: SubtaskStats,
    ) -> Result<(), TrackerError> {
        self.lock().history.report_subtask(checkpoint_id, job_vertex_id, subtask)
    }

    /// Reports that a checkpoint completed. Mirrors `reportCompletedCheckpoint`.
    ///
    /// All subtasks acknowledged, and the metadata, of `metadata_size` bytes, is at
    /// `external_path`. Returns the statistics for the span and the event, which share the
    /// subtasks with the history.
    ///
    /// # Errors
    ///
    /// Returns an error if no checkpoint of that id is in progress.
    pub fn report_completed(
        &self,
        checkpoint_id: i64,
        external_path: Option<String>,
        metadata_size: Option<i64>,
    ) -> Result<CheckpointStats, TrackerError> {
        let mut state = self.lock();
        let completed = state.complete(checkpoint_id, external_path, metadata_size)?;
        Ok(state.stats(&completed))
    }

    /// Reports that a checkpoint completed at `now`, in milliseconds since the epoch, after checks.
    ///
    /// Unlike [`report_completed`](Self::report_completed), it requires that all subtasks
    /// acknowledged, which Flink's coordinator ensures. A checkpoint without subtasks ends at
    /// `now`.
    ///
    /// # Errors
    ///
    /// Returns an error if no checkpoint of that id is in progress, or if an acknowledgement is
    /// missing.
    pub(crate) fn report_acknowledged(
        &self,
        checkpoint_id: i64,
        completed: CompletedCheckpoint,
        now: i64,
    ) -> Result<CheckpointStats, TrackerError> {
        let mut state = self.lock();
        state.history.prepare(checkpoint_id, &completed, now)?;
        let CompletedCheckpoint { external_path, metadata_size, .. } = completed;
        let completed = state.complete(checkpoint_id, external_path, metadata_size)?;
        Ok(state.stats(&completed))
    }

    /// Reports that a checkpoint failed. Mirrors `reportFailedCheckpoint`.
    ///
    /// Returns the statistics for the span and the event, which share the subtasks with the
    /// history.
    ///
    /// # Errors
    ///
    /// Returns an error if no checkpoint of that id is in progress.
    pub fn report_failed(
        &self,
        checkpoint_id: i64,
        failure: CheckpointFailure,
    ) -> Result<CheckpointStats, TrackerError> {
        let mut state = self.lock();
        let failed = state.fail(checkpoint_id, failure)?;
        Ok(state.stats(&failed))
    }

    /// Reports that a checkpoint failed before its trigger, for instance because not all tasks run.
    ///
    /// Mirrors `reportFailedCheckpointsWithoutInProgress`. The failure is counted, but has no entry
    /// in the history, no span and no event. Unlike in Flink, the snapshot has the last such
    /// failure.
    pub fn report_failed_before_trigger(&self, failure: CheckpointFailure) {
        let mut state = self.lock();
        state.counts.failed += 1;
        state.counts.total += 1;
        state.latest_failure_before_trigger = Some(failure);
    }

    /// Reports that a completed checkpoint was removed from storage.
    ///
    /// Mirrors `CompletedCheckpointStats.DiscardCallback`.
    ///
    /// # Errors
    ///
    /// Returns an error if the checkpoint is unknown or has not completed. For a checkpoint older
    /// than the history, this is normal.
    pub fn report_discarded(&self, checkpoint_id: i64) -> Result<(), TrackerError> {
        self.lock().history.discard(checkpoint_id)
    }

    /// Reports that the job was restored from a checkpoint. Mirrors `reportRestoredCheckpoint`.
    ///
    /// The span `JobInitialization` names the checkpoint if this call comes after
    /// [`report_initialization_started`](Self::report_initialization_started) and before the last
    /// subtask's report.
    ///
    /// If the trigger timestamp is missing, it and the trace id are taken from the history, if this
    /// tracker saw the checkpoint complete.
    ///
    /// # Errors
    ///
    /// Returns an error if no initialization was started, as in Flink.
    pub fn report_restored(&self, restored: RestoredCheckpoint) -> Result<(), TrackerError> {
        self.lock().restore(restored)
    }

    /// Reports that the subtasks of `attempts` begin to restore their state, or to start without
    /// any.
    ///
    /// Mirrors `reportInitializationStarted`, with one difference: pass only the attempts that
    /// start. A failover of some subtasks then does not wait for the others.
    ///
    /// An initialization that has not ended is given up at this one's start and returned; Flink
    /// drops it. The caller decides whether to report it, since a restore from a savepoint path may
    /// begin twice.
    pub fn report_initialization_started(
        &self,
        start_timestamp: i64,
        attempts: impl IntoIterator<Item = ExecutionAttemptId>,
    ) -> Option<PartialInitialization> {
        let started = JobInitializationMetricsBuilder::new(start_timestamp, attempts);
        let mut state = self.lock();
        let started = match state.settings.detail {
            SpanDetailLevel::ChildrenSpansPerSubtask => started.with_subtasks(),
            _ => started,
        };
        // The restored checkpoint belongs to one initialization, as in Flink.
        state.latest_restored = None;
        let replaced = state.initialization.replace(started);
        drop(state);
        replaced.and_then(|mut replaced| replaced.give_up(start_timestamp))
    }

    /// Reports the outcome of a subtask's initialization. Mirrors `reportInitializationMetrics`.
    ///
    /// Returns the statistics once, with the last attempt's report. Pass them to
    /// [`job_initialization_span`](super::job_initialization_span). Unknown and repeated reports
    /// are ignored and [counted](Self::ignored_initialization_reports).
    ///
    /// # Errors
    ///
    /// Returns an error if no initialization was started.
    pub fn report_initialization_metrics(
        &self,
        attempt: &ExecutionAttemptId,
        metrics: &SubTaskInitializationMetrics,
    ) -> Result<Option<InitializationStats>, TrackerError> {
        let mut state = self.lock();
        let initialization = state.initialization.as_mut().ok_or(TrackerError::NoInitialization)?;
        Ok(initialization.report(attempt, metrics))
    }

    /// Ends an initialization whose subtasks have not all reported. Returns `None` if there is
    /// none.
    ///
    /// Pass the result to
    /// [`partial_job_initialization_span`](super::partial_job_initialization_span). The caller
    /// decides how long to wait. Flink waits forever.
    pub fn give_up_initialization(&self, now: i64) -> Option<PartialInitialization> {
        self.lock().initialization.as_mut().and_then(|initialization| initialization.give_up(now))
    }

    /// Returns the number of ignored reports of the last initialization. Flink logs a line for
    /// each.
    pub fn ignored_initialization_reports(&self) -> IgnoredReports {
        self.lock().initialization.as_ref().map(JobInitializationMetricsBuilder::ignored).unwrap_or_default()
    }

    /// Returns the current statistics. Mirrors `createSnapshot`, but is never older than the last
    /// report.
    ///
    /// The cost is a reference count for each checkpoint in the history. The next report of a
    /// checkpoint in progress copies the tasks that it changes, if a snapshot shares them.
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

    pub(crate) fn tracked(&self, checkpoint_id: i64) -> Option<Arc<TrackedCheckpoint>> {
        self.lock().history.get(checkpoint_id).cloned()
    }

    /// Sets the span that caused a checkpoint in progress.
    pub(crate) fn set_parent(&self, checkpoint_id: i64, parent: SpanContext) -> Result<(), TrackerError> {
        self.lock().history.change(checkpoint_id, |checkpoint| checkpoint.set_parent(parent))
    }

    /// Adds a link of a checkpoint in progress.
    pub(crate) fn add_link(&self, checkpoint_id: i64, link: SpanContext) -> Result<(), TrackerError> {
        self.lock().history.change(checkpoint_id, |checkpoint| checkpoint.add_link(link))
    }

    /// Returns the gauges of the job's metric group in Flink.
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

    /// Returns the statistics of a checkpoint that ended just now.
    fn stats(&mut self, checkpoint: &TrackedCheckpoint) -> CheckpointStats {
        let stats = checkpoint
            .stats()
            .with_checkpoint_interval_ms(self.settings.interval_ms)
            .with_checkpoint_timeout_ms(self.settings.timeout_ms);
        let is_ordinary = self.usual.is_ordinary(&stats);
        stats.with_ordinary(is_ordinary)
    }

    fn restore(&mut self, mut restored: RestoredCheckpoint) -> Result<(), TrackerError> {
        if let Some(known) = self.completed_here(&restored).filter(|_| restored.trigger_timestamp.is_none()) {
            (restored.trigger_timestamp, restored.trace_id) = (Some(known.trigger_timestamp()), known.trace_id());
        }
        self.initialization.as_mut().ok_or(TrackerError::NoInitialization)?.set_restored(&restored);
        self.counts.restored += 1;
        self.latest_restored = Some(restored);
        Ok(())
    }

    /// Returns the restored checkpoint, if it completed here.
    ///
    /// If both paths are known, they must be equal, because a savepoint of another job may have the
    /// same id.
    fn completed_here(&self, restored: &RestoredCheckpoint) -> Option<Arc<TrackedCheckpoint>> {
        let known = self.history.get(restored.checkpoint_id)?;
        let is_same = match (known.external_path(), restored.external_path.as_deref()) {
            (Some(known), Some(restored)) => known == restored,
            _ => true,
        };
        (known.status() == CheckpointStatus::Completed && is_same).then(|| Arc::clone(known))
    }

    fn gauges(&self) -> CheckpointGauges {
        let start = self.initialization.as_ref().map(JobInitializationMetricsBuilder::start_timestamp);
        let last = self.last_completed.as_deref();
        let of_last = |value: fn(&TrackedCheckpoint) -> Option<i64>| last.and_then(value).unwrap_or(UNSET);
        CheckpointGauges {
            total_number_of_checkpoints: self.counts.total,
            number_of_in_progress_checkpoints: self.counts.in_progress,
            number_of_completed_checkpoints: self.counts.completed,
            number_of_failed_checkpoints: self.counts.failed,
            last_checkpoint_restore_timestamp: start.unwrap_or(UNSET),
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
