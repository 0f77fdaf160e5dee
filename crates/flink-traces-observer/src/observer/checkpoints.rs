//! Which checkpoints of a job ended, and what each of their subtasks did.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flink_rest::JobVertexId;
use flink_rest::types::{
    CheckpointConfigInfo, CheckpointStatistics, CheckpointingStatistics, TaskCheckpointStatisticsWithSubtaskDetails,
};
use flink_traces_runtime::checkpoint::{CheckpointType, SubtaskStats};

use super::lifecycle::Location;
use super::{Restorable, SETTLE_MS, convert};
use crate::observation::Observation;

/// A checkpoint that ended, until its parts are together.
#[derive(Debug)]
struct Ended {
    entry: CheckpointStatistics,
    /// When it was first seen, or something of it last arrived.
    seen_at: i64,
}

/// What was asked of one checkpoint apart from its line in the history.
#[derive(Debug, Default)]
struct Parts {
    details: Option<CheckpointStatistics>,
    subtasks: BTreeMap<JobVertexId, Subtasks>,
    /// The cluster says that it does not know it any more.
    missing: bool,
}

/// What the subtasks of one vertex did.
#[derive(Debug)]
struct Subtasks {
    latest_ack_timestamp: i64,
    /// How many of those that reported are complete.
    completed: i64,
    reported: Vec<SubtaskStats>,
}

/// The checkpoints of one job.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    ended: BTreeMap<i64, Ended>,
    parts: BTreeMap<i64, Parts>,
    /// Those that were told and still show, with their trigger: ids start over when a job starts from scratch.
    told: BTreeMap<i64, Told>,
    types: BTreeMap<i64, CheckpointType>,
    /// The interval and the timeout of the job's checkpoints, in milliseconds.
    interval_and_timeout: [Option<i64>; 2],
    highest_id: Option<i64>,
    /// How many were missed, up to which id, since the last time this was told.
    missed: Option<(i64, i64)>,
    /// Whether one was under way when last looked at.
    is_under_way: bool,
    /// When the newest that is no savepoint had its last acknowledgement or failed; 0 if there was none.
    last_end: i64,
}

/// Knows the locations of the subtasks of a vertex, by its id.
pub(super) type Locations<'a> = dyn Fn(&str) -> &'a [Location] + 'a;

/// What later initializations may want to know of a checkpoint that was told.
#[derive(Debug, Clone, Copy)]
struct Told {
    trigger_timestamp: i64,
    state_size: Option<i64>,
}

/// What is known of the checkpoint that an initialization restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RestoredFrom {
    pub(super) trigger_timestamp: Option<i64>,
    pub(super) state_size: Option<i64>,
}

impl Checkpoints {
    /// Takes the configuration, in which −1 and the largest number stand for none.
    pub(super) fn observe_config(&mut self, config: &CheckpointConfigInfo) {
        self.interval_and_timeout =
            [config.interval, config.timeout].map(|millis| (0..i64::MAX).contains(&millis).then_some(millis));
    }

    pub(super) fn learn_type(&mut self, checkpoint: i64, checkpoint_type: CheckpointType) {
        self.types.insert(checkpoint, checkpoint_type);
    }

    pub(super) fn observe(&mut self, at: i64, body: &CheckpointingStatistics) {
        let latest = [&body.latest.completed, &body.latest.savepoint, &body.latest.failed].into_iter().flatten();
        let shown: Vec<&CheckpointStatistics> = body.history.iter().chain(latest).collect();
        self.note_gap(body);
        self.is_under_way = shown.iter().any(|entry| !convert::has_ended(entry));
        if let Some(newest) = shown.iter().filter(|entry| !entry.is_savepoint).max_by_key(|entry| entry.id) {
            self.last_end = newest.trigger_timestamp.saturating_add(newest.end_to_end_duration.max(0));
        }
        for entry in &shown {
            let told = self.told.get(&entry.id).is_some_and(|told| told.trigger_timestamp == entry.trigger_timestamp);
            if convert::has_ended(entry) && !told {
                self.ended.entry(entry.id).or_insert_with(|| Ended { entry: (*entry).clone(), seen_at: at });
            }
        }
        let ids: BTreeSet<i64> = shown.iter().map(|entry| entry.id).collect();
        // What shows no longer will not be asked about. The newest stay: an initialization may name one.
        let newest = ids.iter().next_back().copied().unwrap_or(0);
        self.told.retain(|id, _| ids.contains(id) || *id > newest - 100);
        self.parts.retain(|id, _| ids.contains(id) || self.ended.contains_key(id));
        self.types.retain(|id, _| *id > newest - 100);
    }

    /// Whether a checkpoint of the history was shown before; a JobManager that has just begun shows none of those.
    pub(super) fn knows_one_of(&self, body: &CheckpointingStatistics) -> bool {
        body.history.iter().any(|entry| {
            let told = self.told.get(&entry.id).map(|told| told.trigger_timestamp);
            let ended = self.ended.get(&entry.id).map(|ended| ended.entry.trigger_timestamp);
            told.or(ended) == Some(entry.trigger_timestamp)
        })
    }

    /// Ids are consecutive: between the newest id of the last look and the oldest of this one there is nothing, or something that
    /// nobody saw.
    fn note_gap(&mut self, body: &CheckpointingStatistics) {
        let ids = || body.history.iter().map(|entry| entry.id);
        let (Some(oldest), Some(newest)) = (ids().min(), ids().max()) else { return };
        if let Some(highest) = self.highest_id.filter(|highest| oldest > highest + 1) {
            let missed_before = self.missed.map_or(0, |(count, _)| count);
            self.missed = Some((missed_before + oldest - highest - 1, oldest - 1));
        }
        self.highest_id = self.highest_id.max(Some(newest));
    }

    pub(super) fn observe_details(&mut self, at: i64, details: CheckpointStatistics) {
        let id = details.id;
        if self.parts.entry(id).or_default().details.replace(details).is_none() {
            self.note_progress(at, id);
        }
    }

    /// With many tasks, one after the other comes: that is worth waiting for.
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
        let reported: Vec<_> = body.subtasks.iter().filter_map(convert::subtask_stats).collect();
        let completed = reported.iter().filter(|subtask| subtask.is_completed).count() as i64;
        let subtasks = Subtasks { latest_ack_timestamp: body.latest_ack_timestamp, completed, reported };
        if self.parts.entry(checkpoint).or_default().subtasks.insert(vertex.clone(), subtasks).is_none() {
            self.note_progress(at, checkpoint);
        }
    }

    pub(super) fn observe_missing(&mut self, checkpoint: i64) {
        if self.ended.contains_key(&checkpoint) {
            self.parts.entry(checkpoint).or_default().missing = true;
        }
    }

    /// Which ended checkpoints lack their details (`None`) or these vertices' subtasks.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (i64, Option<impl Iterator<Item = &JobVertexId>>)> {
        self.ended.iter().map(|(id, ended)| (*id, self.details_of(ended).map(|details| self.incomplete_tasks(details))))
    }

    /// Whether one waits for its parts.
    pub(super) fn has_waiting(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Whether one is under way, or waits for its parts.
    pub(super) fn is_open(&self) -> bool {
        self.is_under_way || self.has_waiting()
    }

    /// When the next one should have ended if one is taken every `interval` milliseconds, by the JobManager's clock; long ago if none is
    /// known.
    pub(super) fn next_end(&self, interval: i64) -> i64 {
        self.last_end.saturating_add(interval)
    }

    /// The details, if they are those of this checkpoint at its end: Flink may answer with another job's checkpoint of that id, or from
    /// a moment before the end.
    fn details_of(&self, ended: &Ended) -> Option<&CheckpointStatistics> {
        let details = self.parts.get(&ended.entry.id)?.details.as_ref()?;
        let same = details.trigger_timestamp == ended.entry.trigger_timestamp && details.status == ended.entry.status;
        same.then_some(details)
    }

    /// The tasks of which fewer subtasks are known than have acknowledged.
    fn incomplete_tasks<'a>(&'a self, details: &'a CheckpointStatistics) -> impl Iterator<Item = &'a JobVertexId> {
        let parts = self.parts.get(&details.id);
        details.tasks.iter().filter_map(move |(vertex, task)| {
            let known = parts.and_then(|parts| parts.subtasks.get(vertex));
            // As with the details, what is answered may belong to another job.
            let known = known.filter(|subtasks| subtasks.latest_ack_timestamp == task.latest_ack_timestamp);
            (known.map_or(0, |subtasks| subtasks.completed) < task.num_acknowledged_subtasks).then_some(vertex)
        })
    }

    /// What is known of the checkpoint `id` at `path` that an initialization restored.
    pub(super) fn restored(&self, id: i64, path: Option<&str>, restorable: &VecDeque<Restorable>) -> RestoredFrom {
        if let Some(told) = self.told.get(&id) {
            return RestoredFrom { trigger_timestamp: Some(told.trigger_timestamp), state_size: told.state_size };
        }
        let other_job = restorable.iter().rev().find(|other| Some(other.path.as_str()) == path);
        RestoredFrom { trigger_timestamp: None, state_size: other_job.and_then(|other| other.state_size) }
    }

    /// Whether no checkpoint waits for its parts.
    pub(super) fn is_settled(&self) -> bool {
        !self.has_waiting()
    }

    /// Tells the checkpoints that are complete, and those whose parts will not come any more; answers how many of the latter.
    pub(super) fn advance(
        &mut self,
        now: i64,
        names: &[(JobVertexId, String)],
        locations: &Locations<'_>,
        emit: &mut impl FnMut(Observation),
    ) -> u64 {
        let mut incomplete = 0;
        if let Some((count, last_id)) = self.missed.take() {
            emit(Observation::Missed { count, last_id });
        }
        // In the order of their ids: a recovery may name one that waits.
        while let Some((id, (is_complete, observation))) =
            self.ended.iter().find_map(|(id, ended)| Some((*id, self.observation(now, ended, names, locations)?)))
        {
            incomplete += u64::from(!is_complete);
            self.ended.remove(&id);
            self.parts.remove(&id);
            if let Observation::Checkpoint(stats) = &observation {
                let told = Told { trigger_timestamp: stats.trigger_timestamp, state_size: stats.state_size };
                self.told.insert(id, told);
            }
            emit(observation);
        }
        incomplete
    }

    /// What is to be told of an ended checkpoint by now, and whether its tasks are in it.
    fn observation(
        &self,
        now: i64,
        ended: &Ended,
        names: &[(JobVertexId, String)],
        locations: &Locations<'_>,
    ) -> Option<(bool, Observation)> {
        let id = ended.entry.id;
        let parts = self.parts.get(&id);
        let details = self.details_of(ended);
        let complete = details.is_some_and(|details| self.incomplete_tasks(details).next().is_none());
        let given_up = now >= ended.seen_at.saturating_add(3 * SETTLE_MS) || parts.is_some_and(|parts| parts.missing);
        if !complete && !given_up {
            return None;
        }
        let reported = |vertex: &JobVertexId| {
            parts.and_then(|parts| parts.subtasks.get(vertex)).map_or(&[][..], |subtasks| &subtasks.reported)
        };
        let reported: Option<&convert::Reports<'_>> = if complete { Some(&reported) } else { None };
        let mut stats = convert::checkpoint_stats(details.unwrap_or(&ended.entry), reported, names);
        if let Some(known) = self.types.get(&id) {
            stats.checkpoint_type = *known;
        }
        [stats.checkpoint_interval_ms, stats.checkpoint_timeout_ms] = self.interval_and_timeout;
        let trigger = stats.trigger_timestamp;
        for task in &mut stats.tasks {
            let locations = locations(&task.job_vertex_id);
            for subtask in &mut task.subtasks {
                subtask.host = Location::host_at(locations, subtask.index, trigger);
            }
        }
        Some((complete, Observation::Checkpoint(Box::new(stats))))
    }
}
