//! The checkpoints of a job that ended, with the metrics of their subtasks.

use std::collections::{BTreeMap, BTreeSet};

use flink_rest::types::{
    CheckpointConfigInfo, CheckpointStatistics, CheckpointingStatistics, TaskCheckpointStatistics,
    TaskCheckpointStatisticsWithSubtaskDetails,
};
use flink_rest::{CheckpointStatus, JobVertexId};
use flink_traces_runtime::CheckpointStats;
use flink_traces_runtime::checkpoint::{CheckpointType, SubtaskStats, UsualDuration};
use litemap::LiteMap;

use super::gaps::{Gaps, SeenStatistics};
use super::subtasks::Location;
use super::{Restorable, SETTLE_MS, convert, release};
use crate::observation::{MissedCheckpoints, Observation};

/// The time for which a checkpoint is known after the first response that no longer shows it, in
/// milliseconds. An older response from the cache of another JobManager may show it again.
const REMEMBERED_MS: i64 = 60_000;

/// A checkpoint that ended and whose details are not complete.
#[derive(Debug)]
struct Ended {
    /// In a box, because a map allocates room for eleven entries at once.
    entry: Box<CheckpointStatistics>,
    /// The time at which it was first seen, or at which one of its details last arrived.
    seen_at: i64,
}

/// The responses to detail requests of one checkpoint.
#[derive(Debug, Default)]
struct Details {
    /// The checkpoint with its tasks: a response, or joined from `subtasks`.
    checkpoint: Option<Box<CheckpointStatistics>>,
    subtasks: BTreeMap<JobVertexId, Subtasks>,
    /// `true` if the cluster did not have the subtasks of a vertex, or had those of another
    /// checkpoint.
    lacks_subtasks: bool,
    /// `true` if the cluster no longer has the checkpoint.
    missing: bool,
}

/// The subtasks of one vertex.
#[derive(Debug)]
struct Subtasks {
    task: TaskCheckpointStatistics,
    /// The number of `reported` that completed.
    completed: i64,
    reported: Vec<SubtaskStats>,
}

/// The checkpoints of one job.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    ended: BTreeMap<i64, Ended>,
    details: BTreeMap<i64, Details>,
    /// The reported checkpoints that responses show, or showed lately. Ids start over with a job
    /// that starts from scratch, so the trigger timestamp counts, too.
    reported: LiteMap<i64, Reported>,
    types: BTreeMap<i64, CheckpointType>,
    /// The interval and the timeout of the job's checkpoints, in milliseconds.
    interval_and_timeout: [Option<i64>; 2],
    gaps: Gaps,
    usual: UsualDuration,
    /// The missed checkpoints that are not reported yet.
    missed: Vec<MissedCheckpoints>,
    /// `true` if one was in progress in the last response.
    is_in_progress: bool,
    /// The time of the last acknowledgement or the failure of the newest one that is not a
    /// savepoint; 0 without any.
    last_end: i64,
    /// The largest number of checkpoints in a history.
    history_len: usize,
}

/// A function that returns the locations of the subtasks of a vertex; `None` until they are known.
pub(super) type Locations<'a> = dyn Fn(&JobVertexId) -> Option<&'a [Location]> + 'a;

/// The facts about a reported checkpoint that later initializations need.
#[derive(Debug, Clone, Copy)]
struct Reported {
    trigger_timestamp: i64,
    state_size: Option<i64>,
    /// The time at which it is forgotten; the largest number while responses show it.
    known_until: i64,
}

/// The known facts about the checkpoint that an initialization restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RestoredFrom {
    pub(super) trigger_timestamp: Option<i64>,
    pub(super) state_size: Option<i64>,
}

impl Checkpoints {
    /// Takes the configuration, in which the largest number stands for none.
    pub(super) fn observe_config(&mut self, config: &CheckpointConfigInfo) {
        self.interval_and_timeout = [Some(config.interval), config.timeout]
            .map(|millis| millis.filter(|millis| (0..i64::MAX).contains(millis)));
    }

    pub(super) fn learn_type(&mut self, checkpoint: i64, checkpoint_type: CheckpointType) {
        self.types.insert(checkpoint, checkpoint_type);
    }

    /// Starts with the statistics of another JobManager, which begin with zero.
    pub(super) fn begin_epoch(&mut self) {
        self.gaps.begin_epoch();
    }

    /// Takes the statistics of a response. `job` is the id of the job, and `is_watched_from_start`
    /// is `true` if it started while the cluster was watched.
    pub(super) fn observe(&mut self, at: i64, body: &CheckpointingStatistics, job: &str, is_watched_from_start: bool) {
        let latest = [&body.latest.completed, &body.latest.savepoint, &body.latest.failed].into_iter().flatten();
        let shown: Vec<&CheckpointStatistics> = body.history.iter().chain(latest).collect();
        self.history_len = self.history_len.max(body.history.len());
        self.is_in_progress = shown.iter().any(|entry| !convert::has_ended(entry));
        if let Some(newest) = shown.iter().filter(|entry| !entry.is_savepoint).max_by_key(|entry| entry.id) {
            self.last_end = newest.trigger_timestamp.saturating_add(newest.end_to_end_duration.unwrap_or(0));
        }
        let mut newly_ended = Vec::new();
        for entry in shown.iter().copied().filter(|entry| convert::has_ended(entry)) {
            let is_reported = self.reported.get(&entry.id).map(|reported| reported.trigger_timestamp);
            if is_reported != Some(entry.trigger_timestamp) && !self.ended.contains_key(&entry.id) {
                self.ended.insert(entry.id, Ended { entry: Box::new(entry.clone()), seen_at: at });
                newly_ended.push(entry);
                self.join_tasks(entry.id);
            }
        }
        let is_own = |path: &String| path.contains(job);
        let restored = body.latest.restored.as_ref().filter(|restored| !restored.is_savepoint);
        let own_restore =
            restored.filter(|restored| restored.external_path.as_ref().is_some_and(is_own)).map(|restored| restored.id);
        let newly_ended = &newly_ended;
        let seen = SeenStatistics { at, body, newly_ended, is_watched_from_start, own_restore };
        self.missed.extend(self.gaps.observe(&seen));
        let ids: BTreeSet<i64> = shown.iter().map(|entry| entry.id).collect();
        self.details.retain(|id, _| ids.contains(id) || self.ended.contains_key(id));
        // A new JobManager shows nothing until it has restored what its predecessor showed.
        if !ids.is_empty() {
            let restored = body.latest.restored.as_ref().map(|restored| restored.id);
            for (id, reported) in self.reported.iter_mut() {
                reported.known_until = match ids.contains(id) || restored == Some(*id) {
                    true => i64::MAX,
                    false => reported.known_until.min(at.saturating_add(REMEMBERED_MS)),
                };
            }
            self.reported.retain(|_, reported| at <= reported.known_until);
        }
    }

    /// Returns `true` if an earlier response had one of the checkpoints in the history. The
    /// history of a new JobManager has none of them.
    pub(super) fn knows_one_of(&self, body: &CheckpointingStatistics) -> bool {
        body.history.iter().any(|entry| {
            let reported = self.reported.get(&entry.id).map(|reported| reported.trigger_timestamp);
            let ended = self.ended.get(&entry.id).map(|ended| ended.entry.trigger_timestamp);
            reported.or(ended) == Some(entry.trigger_timestamp)
        })
    }

    pub(super) fn observe_details(&mut self, at: i64, checkpoint: CheckpointStatistics) {
        let id = checkpoint.id;
        let is_other = |ended: &Ended| !is_end_of(&ended.entry, &checkpoint);
        if self.was_reported(id) || self.ended.get(&id).is_some_and(is_other) {
            return;
        }
        if self.details.entry(id).or_default().checkpoint.replace(Box::new(checkpoint)).is_none() {
            self.note_progress(at, id);
        }
    }

    /// Returns `true` if the checkpoint was reported, so that details of it are late.
    fn was_reported(&self, id: i64) -> bool {
        self.reported.contains_key(&id) && !self.ended.contains_key(&id)
    }

    /// With many tasks, the details arrive one after the other, so the wait starts over.
    fn note_progress(&mut self, at: i64, id: i64) {
        if let Some(ended) = self.ended.get_mut(&id) {
            ended.seen_at = at;
        }
    }

    pub(super) fn observe_subtasks(
        &mut self,
        at: i64,
        checkpoint: i64,
        vertex: &JobVertexId,
        body: &TaskCheckpointStatisticsWithSubtaskDetails,
    ) {
        if self.was_reported(checkpoint) {
            return;
        }
        let task = convert::task_statistics(body);
        let is_other = |ended: &&Ended| self.details_of(ended).is_none() && !is_task_of(&ended.entry, &task);
        if self.ended.get(&checkpoint).filter(is_other).is_some() {
            return self.observe_missing_subtasks(checkpoint);
        }
        let reported: Vec<_> = body.subtasks.iter().filter_map(convert::subtask_stats).collect();
        let completed = reported.iter().filter(|subtask| subtask.is_completed).count() as i64;
        let subtasks = Subtasks { task, completed, reported };
        if self.details.entry(checkpoint).or_default().subtasks.insert(vertex.clone(), subtasks).is_none() {
            self.note_progress(at, checkpoint);
        }
        self.join_tasks(checkpoint);
    }

    /// Joins an ended checkpoint with its tasks if the subtasks of all of them have arrived.
    fn join_tasks(&mut self, id: i64) {
        let Some(ended) = self.ended.get(&id).filter(|ended| self.details_of(ended).is_none()) else { return };
        let Some(details) = self.details.get_mut(&id) else { return };
        if are_all_tasks_of(&ended.entry, details.subtasks.values().map(|subtasks| &subtasks.task)) {
            let mut checkpoint = ended.entry.clone();
            let tasks = details.subtasks.iter().map(|(vertex, subtasks)| (vertex.clone(), subtasks.task.clone()));
            checkpoint.tasks = tasks.collect();
            details.checkpoint = Some(checkpoint);
        }
    }

    pub(super) fn observe_missing(&mut self, checkpoint: i64) {
        if self.ended.contains_key(&checkpoint) {
            self.details.entry(checkpoint).or_default().missing = true;
        }
    }

    /// Notes that the cluster does not have the subtasks of a vertex.
    pub(super) fn observe_missing_subtasks(&mut self, checkpoint: i64) {
        match self.ended.get(&checkpoint) {
            Some(ended) if self.details_of(ended).is_some() => self.observe_missing(checkpoint),
            Some(_) => self.details.entry(checkpoint).or_default().lacks_subtasks = true,
            None => {}
        }
    }

    /// Returns the ended checkpoints that lack their details (`None`) or the subtasks of vertices.
    /// `vertices` are those of the job.
    pub(super) fn wanted<'a>(
        &'a self,
        vertices: &'a [(JobVertexId, String)],
    ) -> impl Iterator<Item = (i64, Option<Vec<&'a JobVertexId>>)> {
        self.ended.iter().map(|(id, ended)| match self.details_of(ended) {
            Some(details) => (*id, Some(self.incomplete_tasks(details).collect())),
            None => (*id, self.untold_vertices(&ended.entry, vertices)),
        })
    }

    /// Returns the vertices whose subtasks are to be requested before the details; `None` if the
    /// details are.
    ///
    /// The details of a completed checkpoint have nothing that the history and the subtasks of all
    /// its tasks do not have. The first vertex is requested alone, because the cluster may no
    /// longer have the checkpoint.
    fn untold_vertices<'a>(
        &self,
        entry: &CheckpointStatistics,
        vertices: &'a [(JobVertexId, String)],
    ) -> Option<Vec<&'a JobVertexId>> {
        let details = self.details.get(&entry.id);
        let told = details.map_or(0, |details| details.subtasks.len());
        let lacks_subtasks = details.is_some_and(|details| details.lacks_subtasks);
        if entry.status != CheckpointStatus::Completed || lacks_subtasks || told >= vertices.len() {
            return None;
        }
        let is_told = |vertex: &JobVertexId| details.is_some_and(|details| details.subtasks.contains_key(vertex));
        let untold = vertices.iter().map(|(id, _)| id).filter(|id| !is_told(id));
        Some(untold.take(if told == 0 { 1 } else { usize::MAX }).collect())
    }

    /// Returns `true` if an ended checkpoint lacks details.
    pub(super) fn has_pending(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Returns `true` if a checkpoint is in progress or lacks details.
    pub(super) fn is_open(&self) -> bool {
        self.is_in_progress || self.has_pending()
    }

    /// Returns the time at which the next checkpoint should end if one is triggered every
    /// `interval` milliseconds, by the JobManager's clock. It is long ago without any checkpoint.
    pub(super) fn next_end(&self, interval: i64) -> i64 {
        self.last_end.saturating_add(interval)
    }

    /// Returns the largest number of checkpoints that a history had.
    pub(super) fn history_len(&self) -> i64 {
        self.history_len as i64
    }

    /// Returns the details if they are those of this checkpoint at its end. Flink may return
    /// another job's checkpoint of that id, or details from a moment before the end.
    fn details_of(&self, ended: &Ended) -> Option<&CheckpointStatistics> {
        let details = self.details.get(&ended.entry.id)?.checkpoint.as_deref()?;
        is_end_of(&ended.entry, details).then_some(details)
    }

    /// Returns the tasks of which fewer subtasks are known than have acknowledged.
    fn incomplete_tasks<'a>(&'a self, checkpoint: &'a CheckpointStatistics) -> impl Iterator<Item = &'a JobVertexId> {
        let details = self.details.get(&checkpoint.id);
        checkpoint.tasks.iter().filter_map(move |(vertex, task)| {
            let known = details.and_then(|details| details.subtasks.get(vertex));
            // As with the details, the response may belong to another job.
            let known = known.filter(|subtasks| subtasks.task.latest_ack_timestamp == task.latest_ack_timestamp);
            (known.map_or(0, |subtasks| subtasks.completed) < task.num_acknowledged_subtasks.unwrap_or(0))
                .then_some(vertex)
        })
    }

    /// Returns the known facts about the checkpoint `id` at `path`, which an initialization
    /// restored.
    pub(super) fn restored(&self, id: i64, path: Option<&str>, restorable: &Restorable) -> RestoredFrom {
        if let Some(reported) = self.reported.get(&id) {
            return RestoredFrom {
                trigger_timestamp: Some(reported.trigger_timestamp),
                state_size: reported.state_size,
            };
        }
        RestoredFrom { trigger_timestamp: None, state_size: path.and_then(|path| restorable.state_size(path)) }
    }

    /// Returns `true` if no checkpoint lacks details.
    pub(super) fn is_settled(&self) -> bool {
        !self.has_pending()
    }

    /// Reports the checkpoints that are complete, and those whose details will not arrive.
    /// Returns the number of the latter.
    pub(super) fn advance(
        &mut self,
        now: i64,
        names: &[(JobVertexId, String)],
        locations: &Locations<'_>,
        emit: &mut impl FnMut(Observation),
    ) -> u64 {
        let mut incomplete = 0;
        self.missed.drain(..).for_each(|missed| emit(Observation::Missed(missed)));
        // In the order of their ids, because a restore may name one that waits.
        while let Some((id, (is_complete, mut stats))) =
            self.ended.iter().find_map(|(id, ended)| Some((*id, self.stats(now, ended, names, locations)?)))
        {
            incomplete += u64::from(!is_complete);
            self.ended.remove(&id);
            self.details.remove(&id);
            self.types.remove(&id);
            let CheckpointStats { trigger_timestamp, state_size, .. } = stats;
            self.reported.insert(id, Reported { trigger_timestamp, state_size, known_until: i64::MAX });
            stats.is_ordinary = self.usual.is_ordinary(&stats);
            emit(Observation::Checkpoint(Box::new(stats)));
        }
        release(&mut self.ended);
        release(&mut self.details);
        incomplete
    }

    /// Returns the statistics of an ended checkpoint that is due, and `true` with them if they have
    /// all tasks.
    fn stats(
        &self,
        now: i64,
        ended: &Ended,
        names: &[(JobVertexId, String)],
        locations: &Locations<'_>,
    ) -> Option<(bool, CheckpointStats)> {
        let id = ended.entry.id;
        let received = self.details.get(&id);
        let details = self.details_of(ended);
        let complete = details.is_some_and(|details| self.incomplete_tasks(details).next().is_none());
        let is_overdue = now >= ended.seen_at.saturating_add(3 * SETTLE_MS);
        // The content must not depend on the order of responses, so it waits for the hosts, too.
        let is_located = || details.is_none_or(|details| details.tasks.keys().all(|id| locations(id).is_some()));
        let is_due = if complete { is_located() } else { received.is_some_and(|received| received.missing) };
        if !is_due && !is_overdue {
            return None;
        }
        let reported = |vertex: &JobVertexId| {
            received.and_then(|received| received.subtasks.get(vertex)).map_or(&[][..], |subtasks| &subtasks.reported)
        };
        let reported: Option<&convert::Reports<'_>> = if complete { Some(&reported) } else { None };
        let shown = details.unwrap_or(&ended.entry);
        let mut stats = convert::checkpoint_stats(shown, reported, names);
        if let Some(known) = self.types.get(&id) {
            stats.checkpoint_type = *known;
        }
        [stats.checkpoint_interval_ms, stats.checkpoint_timeout_ms] = self.interval_and_timeout;
        let trigger = stats.trigger_timestamp;
        for (vertex, task) in shown.tasks.keys().zip(&mut stats.tasks) {
            let locations = locations(vertex).unwrap_or_default();
            for subtask in task.subtasks.iter_mut() {
                subtask.host = Location::host_at(locations, subtask.index, trigger);
            }
        }
        Some((complete, stats))
    }
}

/// Returns `true` if details are those of a checkpoint at its end.
fn is_end_of(checkpoint: &CheckpointStatistics, details: &CheckpointStatistics) -> bool {
    details.trigger_timestamp == checkpoint.trigger_timestamp && details.status == checkpoint.status
}

/// Returns `true` if a task is certainly of a checkpoint at its end.
fn is_task_of(checkpoint: &CheckpointStatistics, task: &TaskCheckpointStatistics) -> bool {
    let last_ack_and_duration = task.latest_ack_timestamp.zip(task.end_to_end_duration);
    let trigger = last_ack_and_duration.map(|(last, duration)| last.saturating_sub(duration));
    trigger == Some(checkpoint.trigger_timestamp) && task.status == checkpoint.status
}

/// Returns `true` if the tasks are certainly all that a checkpoint has.
fn are_all_tasks_of<'a>(
    checkpoint: &CheckpointStatistics,
    mut tasks: impl Iterator<Item = &'a TaskCheckpointStatistics> + Clone,
) -> bool {
    let subtasks = tasks.clone().filter_map(|task| task.num_subtasks).fold(0, i64::saturating_add);
    checkpoint.num_subtasks == Some(subtasks) && tasks.all(|task| is_task_of(checkpoint, task))
}
