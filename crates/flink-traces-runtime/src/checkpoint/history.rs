//! The history of a tracker's checkpoints.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flink_traces_api::{SpanContext, TraceId};

use super::error::TrackerError;
use super::stats::{
    CheckpointFailure, CheckpointStats, CheckpointStatus, CheckpointType, CompletedCheckpoint, TaskStats,
};
use super::subtask::{SubtaskMetric, SubtaskStats, Subtasks};
use super::summary::StatsSummary;
use crate::setters::setters;

/// The maximum parallelism of a task, which is 32 times Flink's maximum.
const MAX_PARALLELISM: u32 = 1 << 20;

/// A task that takes part in a checkpoint.
///
/// Flink's `reportPendingCheckpoint` takes a map from job vertices to parallelisms, of which this
/// is an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointTask {
    /// The id of the task within its job; in Flink the job vertex, 32 hexadecimal digits.
    pub job_vertex_id: String,
    /// The name of the task, if it has one.
    pub task_name: Option<String>,
    /// The number of subtasks.
    pub parallelism: u32,
}

impl CheckpointTask {
    /// Creates a task without a name.
    pub fn new(job_vertex_id: impl Into<String>, parallelism: u32) -> Self {
        Self { job_vertex_id: job_vertex_id.into(), task_name: None, parallelism }
    }

    setters! {
        with_task_name: task_name, into Option<String>;
    }
}

/// A checkpoint in the history of a [`CheckpointStatsTracker`](super::CheckpointStatsTracker).
///
/// It stands for Flink's `PendingCheckpointStats`, `CompletedCheckpointStats` and
/// `FailedCheckpointStats`, depending on [`status`](Self::status).
///
/// A checkpoint in a [snapshot](super::CheckpointStatsTracker::snapshot) is immutable. A clone
/// copies no subtasks.
#[derive(Debug, Clone)]
pub struct TrackedCheckpoint {
    checkpoint_id: i64,
    trigger_timestamp: i64,
    checkpoint_type: CheckpointType,
    state: State,
    tasks: Vec<Arc<TrackedTask>>,
    positions: Arc<HashMap<String, usize>>,
    acknowledged: u64,
    latest_ack_timestamp: Option<i64>,
    state_size: i64,
    checkpointed_size: i64,
    processed_data: i64,
    persisted_data: i64,
    is_unaligned: bool,
    parent: Option<SpanContext>,
    links: Vec<SpanContext>,
}

#[derive(Debug, Clone)]
enum State {
    InProgress,
    Completed { external_path: Option<String>, metadata_size: Option<i64>, is_discarded: bool },
    Failed(CheckpointFailure),
}

impl TrackedCheckpoint {
    pub(super) fn new(
        checkpoint_id: i64,
        trigger_timestamp: i64,
        checkpoint_type: CheckpointType,
        tasks: &[CheckpointTask],
    ) -> Result<Self, TrackerError> {
        let mut positions = HashMap::with_capacity(tasks.len());
        for (position, task) in tasks.iter().enumerate() {
            let job_vertex_id = || task.job_vertex_id.clone();
            if task.parallelism > MAX_PARALLELISM {
                let (parallelism, maximum) = (task.parallelism, MAX_PARALLELISM);
                return Err(TrackerError::Parallelism { job_vertex_id: job_vertex_id(), parallelism, maximum });
            }
            if positions.insert(job_vertex_id(), position).is_some() {
                return Err(TrackerError::DuplicateTask { checkpoint_id, job_vertex_id: job_vertex_id() });
            }
        }
        Ok(Self {
            checkpoint_id,
            trigger_timestamp,
            checkpoint_type,
            state: State::InProgress,
            tasks: tasks.iter().map(|task| Arc::new(TrackedTask::new(task.clone()))).collect(),
            positions: Arc::new(positions),
            acknowledged: 0,
            latest_ack_timestamp: None,
            state_size: 0,
            checkpointed_size: 0,
            processed_data: 0,
            persisted_data: 0,
            is_unaligned: false,
            parent: None,
            links: Vec::new(),
        })
    }

    /// Returns the id.
    pub fn checkpoint_id(&self) -> i64 {
        self.checkpoint_id
    }

    /// Returns the time of the trigger, in milliseconds since the epoch.
    pub fn trigger_timestamp(&self) -> i64 {
        self.trigger_timestamp
    }

    /// Returns the type.
    pub fn checkpoint_type(&self) -> CheckpointType {
        self.checkpoint_type
    }

    /// Returns the status.
    pub fn status(&self) -> CheckpointStatus {
        match self.state {
            State::InProgress => CheckpointStatus::InProgress,
            State::Completed { .. } => CheckpointStatus::Completed,
            State::Failed(_) => CheckpointStatus::Failed,
        }
    }

    /// Returns the tasks, in the order of the trigger.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = &TrackedTask> {
        self.tasks.iter().map(Arc::as_ref)
    }

    /// Returns the task of a job vertex.
    pub fn task(&self, job_vertex_id: &str) -> Option<&TrackedTask> {
        self.positions.get(job_vertex_id).map(|position| self.tasks[*position].as_ref())
    }

    /// Returns the number of subtasks of all tasks.
    pub fn number_of_subtasks(&self) -> u64 {
        self.tasks.iter().map(|task| u64::from(task.info.parallelism)).sum()
    }

    /// Returns the number of subtasks that acknowledged, without aborted snapshots.
    pub fn number_of_acknowledged_subtasks(&self) -> u64 {
        self.acknowledged
    }

    /// Returns the time of the last acknowledgement, in milliseconds since the epoch; `None` if
    /// there was none.
    pub fn latest_ack_timestamp(&self) -> Option<i64> {
        self.latest_ack_timestamp
    }

    /// Returns the bytes of state that the reported subtasks refer to.
    pub fn state_size(&self) -> i64 {
        self.state_size
    }

    /// Returns the bytes that the reported subtasks wrote.
    pub fn checkpointed_size(&self) -> i64 {
        self.checkpointed_size
    }

    /// Returns the bytes that were processed during alignment.
    pub fn processed_data(&self) -> i64 {
        self.processed_data
    }

    /// Returns the bytes of in-flight data that were persisted.
    pub fn persisted_data(&self) -> i64 {
        self.persisted_data
    }

    /// Returns `true` if any subtask persisted in-flight data.
    pub fn is_unaligned(&self) -> bool {
        self.is_unaligned
    }

    /// Returns the path of a completed checkpoint.
    pub fn external_path(&self) -> Option<&str> {
        match &self.state {
            State::Completed { external_path, .. } => external_path.as_deref(),
            _ => None,
        }
    }

    /// Returns the bytes of metadata; −1 for a failed checkpoint, as in Flink.
    ///
    /// The value is `None` while the checkpoint is in progress, and if it was not reported.
    pub fn metadata_size(&self) -> Option<i64> {
        match self.state {
            State::InProgress => None,
            State::Completed { metadata_size, .. } => metadata_size,
            State::Failed(_) => Some(-1),
        }
    }

    /// Returns `true` if the checkpoint completed and was removed from storage.
    pub fn is_discarded(&self) -> bool {
        matches!(self.state, State::Completed { is_discarded: true, .. })
    }

    /// Returns the time and cause of the failure, if the checkpoint failed.
    pub fn failure(&self) -> Option<&CheckpointFailure> {
        match &self.state {
            State::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Returns the milliseconds from the trigger to the failure or else to the last
    /// acknowledgement.
    ///
    /// The duration is at least 0. It is `None` before the first acknowledgement.
    pub fn end_to_end_duration(&self) -> Option<i64> {
        let end = self.failure().map(|failure| failure.timestamp).or(self.latest_ack_timestamp)?;
        Some(end.saturating_sub(self.trigger_timestamp).max(0))
    }

    /// Returns the current statistics, which share the subtasks.
    ///
    /// [`checkpoint_span`](super::checkpoint_span) and
    /// [`checkpoint_event`](super::checkpoint_event) take them.
    pub fn stats(&self) -> CheckpointStats {
        CheckpointStats {
            checkpoint_id: self.checkpoint_id,
            trigger_timestamp: self.trigger_timestamp,
            status: self.status(),
            checkpoint_type: self.checkpoint_type,
            is_unaligned: Some(self.is_unaligned),
            latest_ack_timestamp: self.latest_ack_timestamp,
            state_size: Some(self.state_size),
            checkpointed_size: Some(self.checkpointed_size),
            metadata_size: self.metadata_size(),
            external_path: self.external_path().map(str::to_owned),
            failure: self.failure().cloned(),
            tasks: self.tasks().map(TrackedTask::stats).collect(),
            is_incomplete: false,
            is_ordinary: false,
            checkpoint_interval_ms: None,
            checkpoint_timeout_ms: None,
            parent: self.parent,
            links: self.links.clone(),
        }
    }

    /// Returns the trace that the checkpoint's span joins, if that span has a parent.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.parent.map(|parent| parent.trace_id)
    }

    pub(super) fn set_parent(&mut self, parent: SpanContext) {
        self.parent = Some(parent);
    }

    pub(super) fn add_link(&mut self, link: SpanContext) {
        self.links.push(link);
    }

    fn is_in_progress(&self, checkpoint_id: i64) -> bool {
        self.checkpoint_id == checkpoint_id && self.status() == CheckpointStatus::InProgress
    }

    fn report_subtask(&mut self, job_vertex_id: &str, subtask: SubtaskStats) -> Result<(), TrackerError> {
        let checkpoint_id = self.checkpoint_id;
        let Some(position) = self.positions.get(job_vertex_id) else {
            return Err(TrackerError::UnknownTask { checkpoint_id, job_vertex_id: job_vertex_id.to_owned() });
        };
        let task = &mut self.tasks[*position];
        let slot = task.free_slot(checkpoint_id, subtask.index)?;

        let add = |total: &mut i64, metric| {
            *total = total.saturating_add(subtask.metric(metric).unwrap_or(0).max(0));
        };
        add(&mut self.state_size, SubtaskMetric::StateSizeBytes);
        add(&mut self.checkpointed_size, SubtaskMetric::CheckpointedSizeBytes);
        add(&mut self.processed_data, SubtaskMetric::ProcessedDataBytes);
        add(&mut self.persisted_data, SubtaskMetric::PersistedDataBytes);
        self.is_unaligned |= subtask.is_unaligned;
        if subtask.is_completed {
            self.acknowledged += 1;
            self.latest_ack_timestamp = Some(subtask.ack_timestamp);
        }
        Arc::make_mut(task).fill(slot, subtask);
        Ok(())
    }
}

/// A task of a [`TrackedCheckpoint`]. Flink's `TaskStateStats`.
#[derive(Debug, Clone)]
pub struct TrackedTask {
    info: CheckpointTask,
    acknowledged: u64,
    latest_ack_timestamp: Option<i64>,
    subtasks: Subtasks,
}

impl TrackedTask {
    fn new(info: CheckpointTask) -> Self {
        Self { info, acknowledged: 0, latest_ack_timestamp: None, subtasks: Subtasks::default() }
    }

    /// Returns the id, name and parallelism.
    pub fn info(&self) -> &CheckpointTask {
        &self.info
    }

    /// Returns the number of subtasks that acknowledged, without aborted snapshots.
    pub fn number_of_acknowledged_subtasks(&self) -> u64 {
        self.acknowledged
    }

    /// Returns the time of the last acknowledgement, in milliseconds since the epoch; `None` if
    /// there was none.
    pub fn latest_ack_timestamp(&self) -> Option<i64> {
        self.latest_ack_timestamp
    }

    /// Returns the subtasks that reported, by index.
    pub fn subtasks(&self) -> impl ExactSizeIterator<Item = &SubtaskStats> {
        self.subtasks.iter()
    }

    /// Returns the summary of `metric` over the subtasks that reported it.
    ///
    /// It has no quantiles, as Flink's `TaskStateStatsSummary`.
    pub fn summary(&self, metric: SubtaskMetric) -> StatsSummary {
        let mut summary = StatsSummary::default();
        summary.extend(self.subtasks().filter_map(|subtask| subtask.metric(metric)));
        summary
    }

    /// Returns the summary of the times of acknowledgement, without aborted snapshots.
    pub fn ack_timestamps(&self) -> StatsSummary {
        let mut summary = StatsSummary::default();
        summary.extend(self.subtasks().filter(|subtask| subtask.is_completed).map(|subtask| subtask.ack_timestamp));
        summary
    }

    fn stats(&self) -> TaskStats {
        TaskStats {
            job_vertex_id: self.info.job_vertex_id.clone(),
            task_name: self.info.task_name.clone(),
            latest_ack_timestamp: self.latest_ack_timestamp,
            num_subtasks: Some(i64::from(self.info.parallelism)),
            subtasks: self.subtasks.clone(),
        }
    }

    fn free_slot(&self, checkpoint_id: i64, index: i64) -> Result<usize, TrackerError> {
        let job_vertex_id = || self.info.job_vertex_id.clone();
        let parallelism = self.info.parallelism;
        let Some(slot) = usize::try_from(index).ok().filter(|_| index < i64::from(parallelism)) else {
            let job_vertex_id = job_vertex_id();
            return Err(TrackerError::SubtaskOutOfRange { checkpoint_id, job_vertex_id, index, parallelism });
        };
        if self.subtasks.has(slot) {
            return Err(TrackerError::DuplicateReport { checkpoint_id, job_vertex_id: job_vertex_id(), index });
        }
        Ok(slot)
    }

    fn fill(&mut self, slot: usize, subtask: SubtaskStats) {
        if subtask.is_completed {
            self.acknowledged += 1;
            self.latest_ack_timestamp = Some(subtask.ack_timestamp);
        }
        self.subtasks.fill(slot, subtask);
    }
}

/// The last checkpoints in the order of their triggers, and the latest ones. Flink's
/// `CheckpointStatsHistory`.
///
/// The key of a checkpoint is the number of earlier triggers. A checkpoint is kept while it is
/// among the last `size`, in progress, or a latest one.
#[derive(Debug)]
pub(super) struct CheckpointStatsHistory {
    size: u64,
    next_position: u64,
    checkpoints: BTreeMap<u64, Arc<TrackedCheckpoint>>,
    latest_completed: Option<u64>,
    latest_savepoint: Option<u64>,
    latest_failed: Option<u64>,
    /// The highest id of a checkpoint that was triggered.
    highest_id: Option<i64>,
}

impl CheckpointStatsHistory {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size: u64::try_from(size).unwrap_or(u64::MAX),
            next_position: 0,
            checkpoints: BTreeMap::new(),
            latest_completed: None,
            latest_savepoint: None,
            latest_failed: None,
            highest_id: None,
        }
    }

    pub(super) fn add(&mut self, pending: TrackedCheckpoint) -> Result<(), TrackerError> {
        let checkpoint_id = pending.checkpoint_id;
        if self.checkpoints.values().any(|known| known.is_in_progress(checkpoint_id)) {
            return Err(TrackerError::AlreadyInProgress { checkpoint_id });
        }
        self.highest_id = self.highest_id.max(Some(checkpoint_id));
        self.checkpoints.insert(self.next_position, Arc::new(pending));
        self.next_position += 1;
        if let Some(forgotten) = self.next_position.checked_sub(self.size.saturating_add(1)) {
            self.release(forgotten);
        }
        Ok(())
    }

    pub(super) fn report_subtask(
        &mut self,
        checkpoint_id: i64,
        job_vertex_id: &str,
        subtask: SubtaskStats,
    ) -> Result<(), TrackerError> {
        let position = self.position_of(checkpoint_id).ok_or_else(|| self.missing(checkpoint_id))?;
        let is_open = match self.checkpoints[&position].state {
            // The coordinator itself reports acknowledgements. A report of an aborted snapshot must
            // find its checkpoint in the history, as in Flink.
            State::InProgress => subtask.is_completed || self.is_remembered(position),
            State::Failed(_) => self.is_remembered(position),
            State::Completed { .. } => false,
        };
        match self.checkpoints.get_mut(&position) {
            Some(checkpoint) if is_open => Arc::make_mut(checkpoint).report_subtask(job_vertex_id, subtask),
            _ => Err(self.closed(position, checkpoint_id)),
        }
    }

    pub(super) fn complete(
        &mut self,
        checkpoint_id: i64,
        external_path: Option<String>,
        metadata_size: Option<i64>,
    ) -> Result<Arc<TrackedCheckpoint>, TrackerError> {
        let state = State::Completed { external_path, metadata_size, is_discarded: false };
        let (position, completed) = self.end(checkpoint_id, state)?;
        // A savepoint older than the latest one counts as a checkpoint, as in Flink.
        let latest = if completed.checkpoint_type.is_savepoint() && self.is_later(&completed, self.latest_savepoint) {
            Some(&mut self.latest_savepoint)
        } else if self.is_later(&completed, self.latest_completed) {
            Some(&mut self.latest_completed)
        } else {
            None
        };
        let before = latest.and_then(|latest| latest.replace(position));
        self.release_ended(position, before);
        Ok(completed)
    }

    pub(super) fn fail(
        &mut self,
        checkpoint_id: i64,
        failure: CheckpointFailure,
    ) -> Result<Arc<TrackedCheckpoint>, TrackerError> {
        let (position, failed) = self.end(checkpoint_id, State::Failed(failure))?;
        let before =
            if self.is_later(&failed, self.latest_failed) { self.latest_failed.replace(position) } else { None };
        self.release_ended(position, before);
        Ok(failed)
    }

    /// Prepares the completion of a checkpoint at `now`. All its subtasks must have acknowledged.
    ///
    /// A checkpoint without subtasks gets its end and its sizes from `completed`, because no
    /// acknowledgement has them.
    pub(super) fn prepare(
        &mut self,
        checkpoint_id: i64,
        completed: &CompletedCheckpoint,
        now: i64,
    ) -> Result<(), TrackerError> {
        let found = self.checkpoints.values_mut().rev().find(|known| known.is_in_progress(checkpoint_id));
        // Without one, the completion itself is the error.
        let Some(checkpoint) = found else { return Ok(()) };
        let (acknowledged, expected) = (checkpoint.acknowledged, checkpoint.number_of_subtasks());
        if acknowledged < expected {
            return Err(TrackerError::MissingAcknowledgements { checkpoint_id, acknowledged, expected });
        }
        if expected == 0 {
            let checkpoint = Arc::make_mut(checkpoint);
            checkpoint.latest_ack_timestamp = Some(now);
            checkpoint.state_size = completed.state_size.unwrap_or(0);
            checkpoint.checkpointed_size = completed.checkpointed_size.or(completed.state_size).unwrap_or(0);
        }
        Ok(())
    }

    /// Changes a checkpoint in progress.
    pub(super) fn change(
        &mut self,
        checkpoint_id: i64,
        change: impl FnOnce(&mut TrackedCheckpoint),
    ) -> Result<(), TrackerError> {
        let mut newest_first = self.checkpoints.iter_mut().rev();
        match newest_first.find(|(_, checkpoint)| checkpoint.is_in_progress(checkpoint_id)) {
            Some((_, checkpoint)) => {
                change(Arc::make_mut(checkpoint));
                Ok(())
            }
            None => Err(self.not_in_progress(checkpoint_id)),
        }
    }

    pub(super) fn discard(&mut self, checkpoint_id: i64) -> Result<(), TrackerError> {
        let checkpoint = self.position_of(checkpoint_id).and_then(|position| self.checkpoints.get_mut(&position));
        match checkpoint.map(|checkpoint| &mut Arc::make_mut(checkpoint).state) {
            Some(State::Completed { is_discarded, .. }) => {
                *is_discarded = true;
                Ok(())
            }
            _ => Err(TrackerError::NotCompleted { checkpoint_id }),
        }
    }

    /// Returns the last known checkpoint of that id.
    pub(super) fn get(&self, checkpoint_id: i64) -> Option<&Arc<TrackedCheckpoint>> {
        self.position_of(checkpoint_id).and_then(|position| self.checkpoints.get(&position))
    }

    /// Returns the last `size` checkpoints, the newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Arc<TrackedCheckpoint>> {
        self.checkpoints.range(self.next_position.saturating_sub(self.size)..).rev().map(|(_, checkpoint)| checkpoint)
    }

    pub(super) fn latest_completed(&self) -> Option<Arc<TrackedCheckpoint>> {
        self.shared(self.latest_completed)
    }

    pub(super) fn latest_savepoint(&self) -> Option<Arc<TrackedCheckpoint>> {
        self.shared(self.latest_savepoint)
    }

    pub(super) fn latest_failed(&self) -> Option<Arc<TrackedCheckpoint>> {
        self.shared(self.latest_failed)
    }

    fn shared(&self, position: Option<u64>) -> Option<Arc<TrackedCheckpoint>> {
        position.and_then(|position| self.checkpoints.get(&position)).cloned()
    }

    fn end(&mut self, checkpoint_id: i64, state: State) -> Result<(u64, Arc<TrackedCheckpoint>), TrackerError> {
        let mut newest_first = self.checkpoints.iter_mut().rev();
        let found = newest_first.find(|(_, checkpoint)| checkpoint.is_in_progress(checkpoint_id));
        let Some((position, checkpoint)) = found else {
            return Err(self.not_in_progress(checkpoint_id));
        };
        Arc::make_mut(checkpoint).state = state;
        Ok((*position, Arc::clone(checkpoint)))
    }

    /// Returns the error of a report of a checkpoint that is not in progress.
    fn not_in_progress(&self, checkpoint_id: i64) -> TrackerError {
        match self.position_of(checkpoint_id) {
            Some(position) => self.closed(position, checkpoint_id),
            None => self.missing(checkpoint_id),
        }
    }

    /// Returns the error of a report of a checkpoint that takes no more reports.
    fn closed(&self, position: u64, checkpoint_id: i64) -> TrackerError {
        match self.checkpoints.get(&position).map(|checkpoint| checkpoint.status()) {
            Some(status) if status != CheckpointStatus::InProgress => {
                TrackerError::CheckpointEnded { checkpoint_id, status }
            }
            _ => TrackerError::NotInHistory { checkpoint_id },
        }
    }

    /// Returns the error of a checkpoint that is not kept.
    fn missing(&self, checkpoint_id: i64) -> TrackerError {
        match self.highest_id {
            Some(highest) if checkpoint_id <= highest => TrackerError::NotInHistory { checkpoint_id },
            _ => TrackerError::UnknownCheckpoint { checkpoint_id },
        }
    }

    /// Searches backwards, because checkpoints in progress were triggered recently.
    fn position_of(&self, checkpoint_id: i64) -> Option<u64> {
        let mut newest_first = self.checkpoints.iter().rev();
        newest_first.find(|(_, checkpoint)| checkpoint.checkpoint_id == checkpoint_id).map(|(position, _)| *position)
    }

    fn is_later(&self, checkpoint: &TrackedCheckpoint, latest: Option<u64>) -> bool {
        latest.is_none_or(|position| checkpoint.checkpoint_id > self.checkpoints[&position].checkpoint_id)
    }

    fn is_remembered(&self, position: u64) -> bool {
        self.next_position - position <= self.size
    }

    /// Releases the checkpoint at `position`, which ended, and the latest one that it replaced.
    fn release_ended(&mut self, position: u64, before: Option<u64>) {
        self.release(position);
        before.into_iter().for_each(|before| self.release(before));
    }

    /// Removes the checkpoint at `position`, unless there is a reason to keep it.
    fn release(&mut self, position: u64) {
        let is_latest = [self.latest_completed, self.latest_savepoint, self.latest_failed].contains(&Some(position));
        let is_in_progress = self
            .checkpoints
            .get(&position)
            .is_some_and(|checkpoint| checkpoint.status() == CheckpointStatus::InProgress);
        if !is_latest && !is_in_progress && !self.is_remembered(position) {
            self.checkpoints.remove(&position);
        }
    }
}
