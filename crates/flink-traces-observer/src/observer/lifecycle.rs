//! The life of a job: its states, its failures, when all its subtasks ran, and how it came up.
//!
//! Answers arrive in any order and up to some seconds after what they tell. So facts wait on a timeline, sorted by when they
//! happened, until whatever could come before them must have arrived; then they are told in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flink_rest::types::{
    JobDetailsInfo, JobExceptionsInfoWithHistory, RestoredCheckpointStatistics, SubtaskExecutionAttemptDetailsInfo,
    SubtasksTimesInfo,
};
use flink_rest::{ExecutionState, JobStatus, JobVertexId};
use flink_traces_runtime::checkpoint::{InitializationStats, InitializationStatus};
use flink_traces_runtime::job::AllSubtasksStatus;

use super::SETTLE_MS;
use super::checkpoints::RestoredFrom;
use super::failures::{self, Attempt};
use super::job::{MAX_NAME_CHARS, bounded};
use crate::observation::Observation;

/// That not all run the JobMaster tells up to 4 ms after a subtask's end, when it has logged that, and before it handles the failure, which may
/// be much later: this is the middle of it.
const TOLD_AFTER_MS: i64 = 2;

/// The life of one job.
#[derive(Debug)]
pub(super) struct Lifecycle {
    /// When the job was first looked at.
    first_seen: i64,
    timeline: BTreeMap<(i64, Kind), Waiting>,
    /// When each state was entered last, as far as that is waiting or told.
    seen_states: BTreeMap<JobStatus, i64>,
    /// The failures that show in the history, waiting or told.
    seen_failures: BTreeSet<(i64, String)>,
    /// The last moment at which all subtasks had come to run, waiting or told.
    seen_all: Option<i64>,
    adaptive: bool,
    /// Batch jobs have no notion of all subtasks running.
    streaming: bool,
    /// Before 1.20 a batch job is known only by its lack of statistics of checkpoints.
    has_statistics: bool,
    /// Whether checkpoints are taken periodically, as far as that is known.
    has_checkpoints: bool,
    /// Since 2.0 Flink tells nothing of how a job without checkpoints came up.
    is_2_or_later: bool,
    subtasks: BTreeMap<JobVertexId, Times>,
    /// When a subtask was seen to end without finishing.
    broken: BTreeSet<i64>,
    /// Restores, by when they began.
    restores: BTreeMap<i64, RestoredCheckpointStatistics>,
    /// When all subtasks came to run, while they do.
    all_since: Option<i64>,
    /// The initialization after which all subtasks came to run last.
    initialization: InitializationKey,
    /// When they last ceased to, or the job began.
    last_break: i64,
    last_running: Option<i64>,
}

/// What tells an initialization from the job's others.
#[derive(Debug, Clone, Copy)]
struct InitializationKey {
    restored_checkpoint_id: Option<i64>,
    identity_timestamp: i64,
}

/// What a fact is; the order is that of facts of the same millisecond.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Failure(String),
    Status(JobStatus),
    AllRunning,
}

#[derive(Debug)]
struct Waiting {
    arrived_at: i64,
    failure: Option<failures::Entry>,
}

/// The host of a subtask since a moment at which it began to run.
#[derive(Debug)]
pub(super) struct Location {
    subtask: i64,
    since: i64,
    host: Arc<str>,
}

impl Location {
    /// Returns the host of a subtask if it ran there at `ts_millis`. The locations are sorted by
    /// subtask.
    pub(super) fn host_at(locations: &[Self], subtask: i64, ts_millis: i64) -> Option<Arc<str>> {
        let index = locations.binary_search_by_key(&subtask, |location| location.subtask).ok()?;
        let location = locations.get(index).filter(|location| location.since <= ts_millis)?;
        Some(location.host.clone())
    }

    /// Reads the locations of the subtasks that run.
    fn of_running(body: &SubtasksTimesInfo) -> Vec<Self> {
        let mut hosts = BTreeSet::<Arc<str>>::new();
        let mut locations = Vec::new();
        for subtask in &body.subtasks {
            let since = subtask.timestamps.get(&ExecutionState::Running).copied().unwrap_or(0);
            let without_port =
                |endpoint: &'_ str| endpoint.rsplit_once(':').map_or(endpoint.len(), |(host, _)| host.len());
            let of_endpoint = subtask.endpoint.as_deref().map(|endpoint| &endpoint[..without_port(endpoint)]);
            let host = subtask.host.as_deref().or(of_endpoint);
            if let Some(host) = host.filter(|host| since > 0 && *host != "(unassigned)") {
                let host = bounded(host, MAX_NAME_CHARS);
                let shared = hosts.get(host.as_str()).cloned().unwrap_or_else(|| host.into());
                hosts.insert(shared.clone());
                locations.push(Self { subtask: subtask.subtask, since, host: shared });
            }
        }
        locations.sort_by_key(|location| location.subtask);
        locations
    }
}

/// What is known of the subtasks of a vertex.
#[derive(Debug)]
struct Times {
    asked_at: i64,
    /// Whether all have come to run.
    all_run: bool,
    /// When the last of those that did came to run.
    last_running: Option<i64>,
    /// When the first of those that ended without finishing did.
    first_broken: Option<i64>,
    locations: Vec<Location>,
}

impl Lifecycle {
    pub(super) fn new(start_time: i64, first_seen: i64) -> Self {
        Self {
            first_seen,
            timeline: BTreeMap::new(),
            seen_states: BTreeMap::new(),
            seen_failures: BTreeSet::new(),
            seen_all: None,
            adaptive: false,
            streaming: true,
            has_statistics: true,
            has_checkpoints: true,
            is_2_or_later: false,
            subtasks: BTreeMap::new(),
            broken: BTreeSet::new(),
            restores: BTreeMap::new(),
            all_since: None,
            initialization: InitializationKey { restored_checkpoint_id: None, identity_timestamp: start_time },
            last_break: start_time,
            last_running: None,
        }
    }

    /// Takes the states of a job; answers whether it entered one.
    pub(super) fn observe_job(&mut self, at: i64, details: &JobDetailsInfo) -> bool {
        self.is_2_or_later = details.pending_operators.is_some();
        self.adaptive = details.scheduler_type.as_deref() == Some("Adaptive");
        self.streaming &= details.job_type.as_deref() != Some("BATCH");
        let mut changed = false;
        for (state, millis) in &details.timestamps {
            if self.is_reported(state) && *millis > self.seen_states.get(state).copied().unwrap_or(0) {
                self.seen_states.insert(state.clone(), *millis);
                self.wait(at, *millis, Kind::Status(state.clone()), None);
                changed = true;
            }
        }
        changed
    }

    pub(super) fn observe_exceptions(&mut self, at: i64, exceptions: &JobExceptionsInfoWithHistory) {
        let mut shown = BTreeSet::new();
        for entry in failures::entries(exceptions) {
            let (ts_millis, key) = (entry.failure.ts_millis, entry.key());
            let root_key = failures::Entry::root_key(ts_millis);
            let waits_as_root = self.timeline.remove(&(ts_millis, Kind::Failure(root_key.1.clone()))).is_some();
            let told = self.seen_failures.contains(&key) || self.seen_failures.contains(&root_key);
            if (waits_as_root || !told) && !shown.contains(&key) {
                self.wait(at, ts_millis, Kind::Failure(key.1.clone()), Some(entry));
            }
            if self.seen_failures.contains(&root_key) {
                shown.insert(root_key);
            }
            shown.insert(key);
        }
        self.seen_failures = shown;
    }

    /// Takes what was restored last, which shows until the next restore; answers whether that is news.
    pub(super) fn observe_restore(&mut self, restored: &RestoredCheckpointStatistics) -> bool {
        self.restores.insert(restored.restore_timestamp, restored.clone()).is_none()
    }

    pub(super) fn observe_checkpoint_interval(&mut self, interval: i64) {
        // Flink's way of saying that there is no interval.
        self.has_checkpoints = interval != i64::MAX;
    }

    /// Takes whether there are statistics of checkpoints.
    pub(super) fn observe_statistics(&mut self, has_statistics: bool) {
        self.has_statistics = has_statistics;
    }

    /// Whether it is known to be a batch job.
    pub(super) fn is_batch(&self) -> bool {
        !self.streaming
    }

    /// Another JobManager took the job up: nobody told that its subtasks ceased to run.
    pub(super) fn begin_anew(&mut self) {
        self.last_break = self.all_since.take().unwrap_or(self.last_break);
    }

    /// The job's graph is another one: what is known of its subtasks belongs to the old one.
    pub(super) fn forget_subtasks(&mut self) {
        self.subtasks.clear();
    }

    /// Whether Flink has an event for all of the job's subtasks running.
    fn tells_all_running(&self) -> bool {
        self.streaming && self.has_statistics
    }

    /// When what is known of a vertex's subtasks was asked for.
    pub(super) fn times_asked_at(&self, vertex: &JobVertexId) -> Option<i64> {
        self.subtasks.get(vertex).map(|times| times.asked_at)
    }

    /// Returns the locations of the subtasks of a vertex; none if they are those of before the last
    /// break.
    pub(super) fn locations(&self, vertex: &str) -> &[Location] {
        let times = self.subtasks.iter().find(|(id, _)| id.as_str() == vertex).map(|(_, times)| times);
        let is_current = |times: &&Times| times.last_running.is_some_and(|running| running >= self.last_break);
        times.filter(is_current).map_or(&[], |times| &times.locations)
    }

    /// Whether the job's subtasks are on their way up.
    pub(super) fn awaits_subtasks(&self) -> bool {
        self.tells_all_running() && self.all_since.is_none()
    }

    pub(super) fn observe_subtask_times<'a>(
        &mut self,
        at: i64,
        asked_at: i64,
        vertex: &JobVertexId,
        body: &SubtasksTimesInfo,
        vertices: impl DoubleEndedIterator<Item = &'a JobVertexId>,
    ) {
        let mut times = Times {
            asked_at,
            all_run: true,
            last_running: None,
            first_broken: None,
            locations: Location::of_running(body),
        };
        for subtask in &body.subtasks {
            let entered = |state: &ExecutionState| subtask.timestamps.get(state).copied().filter(|millis| *millis > 0);
            let running = entered(&ExecutionState::Running);
            times.all_run &= running.is_some();
            times.last_running = times.last_running.max(running);
            let broken = [ExecutionState::Failed, ExecutionState::Canceling, ExecutionState::Canceled];
            if let Some(broken) = broken.iter().filter_map(entered).min() {
                self.broken.insert(broken);
                times.first_broken = Some(times.first_broken.map_or(broken, |first| first.min(broken)));
            }
        }
        self.subtasks.insert(vertex.clone(), times);
        // They are asked in their order: the last tells at once that one is unknown.
        let all_running = self.all_running_at(vertices.rev()).filter(|_| self.tells_all_running());
        if let Some(all_running) = all_running.filter(|millis| self.seen_all.is_none_or(|seen| *millis > seen)) {
            self.seen_all = Some(all_running);
            self.wait(at, all_running, Kind::AllRunning, None);
        }
    }

    /// The attempts that failed and of which it is not known when: the next attempt may have taken their places before anyone asked
    /// for the times of the subtasks. Vertices of one name are told apart by none; all of them are named.
    pub(super) fn wanted_attempts<'a>(
        &'a self,
        vertices: &'a [(JobVertexId, String)],
    ) -> impl Iterator<Item = (&'a JobVertexId, i64, i64)> {
        let failed = self.timeline.values().filter_map(|waiting| waiting.failure.as_ref()?.attempt.as_ref());
        failed.flat_map(|failed| {
            let named = vertices.iter().filter(|(_, name)| *name == failed.vertex_name);
            named.map(|(vertex, _)| (vertex, failed.subtask, failed.attempt))
        })
    }

    /// Takes an attempt of those wanted.
    pub(super) fn observe_attempt(
        &mut self,
        vertices: &[(JobVertexId, String)],
        vertex: &JobVertexId,
        body: &SubtaskExecutionAttemptDetailsInfo,
    ) {
        let has_failed = body.status == ExecutionState::Failed && body.end_time > 0;
        let Some((_, vertex_name)) = vertices.iter().find(|(id, _)| has_failed && id == vertex) else { return };
        self.broken.insert(body.end_time);
        let seen = Attempt { vertex_name: vertex_name.clone(), subtask: body.subtask, attempt: body.attempt };
        for failure in self.timeline.values_mut().filter_map(|waiting| waiting.failure.as_mut()) {
            failure.attempt.take_if(|attempt| *attempt == seen);
        }
    }

    /// Whether Flink has an event for entering `state`: not for the states before the job first runs, unless the Adaptive scheduler,
    /// which creates a job anew for every attempt, runs it.
    fn is_reported(&self, state: &JobStatus) -> bool {
        match state {
            JobStatus::Created => self.adaptive,
            JobStatus::Initializing | JobStatus::Reconciling | JobStatus::Other(_) => false,
            _ => true,
        }
    }

    /// When the last of the subtasks came to run, if all did before one of them ended.
    fn all_running_at<'a>(&self, vertices: impl Iterator<Item = &'a JobVertexId>) -> Option<i64> {
        let mut all_running = None;
        let mut first_broken = i64::MAX;
        for vertex in vertices {
            let times = self.subtasks.get(vertex).filter(|times| times.all_run)?;
            all_running = all_running.max(times.last_running);
            first_broken = first_broken.min(times.first_broken.unwrap_or(i64::MAX));
        }
        all_running.filter(|running| *running <= first_broken)
    }

    fn wait(&mut self, arrived_at: i64, ts_millis: i64, kind: Kind, failure: Option<failures::Entry>) {
        self.timeline.insert((ts_millis, kind), Waiting { arrived_at, failure });
    }

    /// Whether no fact waits for what may precede it.
    pub(super) fn is_settled(&self) -> bool {
        self.timeline.is_empty()
    }

    /// Tells the facts that nothing can precede any more. `restored_from` knows of a checkpoint by id and path.
    pub(super) fn advance(
        &mut self,
        now: i64,
        restored_from: &dyn Fn(i64, Option<&str>) -> RestoredFrom,
        emit: &mut impl FnMut(Observation),
    ) {
        while let Some(first) = self.timeline.first_entry() {
            if now < first.get().arrived_at.saturating_add(SETTLE_MS) {
                break;
            }
            let ((ts_millis, kind), waiting) = first.remove_entry();
            match (kind, waiting.failure) {
                (Kind::Status(status), _) => self.tell_status(ts_millis, status, emit),
                (Kind::AllRunning, _) => self.tell_all_running(ts_millis, restored_from, emit),
                (Kind::Failure(_), Some(entry)) => self.tell_failure(entry, emit),
                (Kind::Failure(_), None) => {}
            }
        }
        // Only what lies after the last break can still be asked for.
        self.broken = self.broken.split_off(&self.last_break);
    }

    fn tell_status(&mut self, ts_millis: i64, status: JobStatus, emit: &mut impl FnMut(Observation)) {
        // The failure that ends a job is in the history under the moment at which the job had failed: it belongs here.
        if status == JobStatus::Failing
            && let Some(mut entry) = self.take_final_failure(ts_millis)
        {
            entry.failure.history_timestamp = Some(entry.failure.ts_millis);
            entry.failure.ts_millis = ts_millis;
            self.tell_failure(entry, emit);
        }
        let breaks = matches!(status, JobStatus::Restarting | JobStatus::Failing | JobStatus::Cancelling);
        if status == JobStatus::Running {
            self.last_running = Some(ts_millis);
        }
        emit(Observation::StatusChange { status, ts_millis });
        if breaks {
            let first_broken = self.first_broken(ts_millis, ts_millis + SETTLE_MS);
            self.tell_break(first_broken.unwrap_or(ts_millis), emit);
        }
    }

    /// Takes the failure that ended the job off the timeline, if it is there.
    fn take_final_failure(&mut self, failing_at: i64) -> Option<failures::Entry> {
        let is_final = |waiting: &Waiting| waiting.failure.as_ref().is_some_and(|entry| entry.is_final);
        let (key, _) = self.timeline.iter().find(|((ts, _), waiting)| *ts >= failing_at && is_final(waiting))?;
        let key = key.clone();
        self.timeline.remove(&key)?.failure
    }

    fn tell_failure(&mut self, entry: failures::Entry, emit: &mut impl FnMut(Observation)) {
        let failed_at = entry.failure.ts_millis;
        if let Some(since) = self.all_since.filter(|since| *since < failed_at) {
            let broken_at = self.first_broken(since, failed_at).map(|broken| told_at(broken, failed_at));
            self.tell_break(broken_at.unwrap_or(failed_at), emit);
        }
        let can_restart = !entry.is_final && !self.ended_by(failed_at);
        let is_global = entry.failure.is_global.filter(|_| !self.adaptive);
        let mut failure = entry.failure;
        (failure.can_restart, failure.is_global) = (can_restart, is_global);
        emit(Observation::Failure(failure));
    }

    /// Whether the job failed for good after `failed_at`, and did not restart in between.
    fn ended_by(&self, failed_at: i64) -> bool {
        let entered = |state: &JobStatus| self.seen_states.get(state).copied().unwrap_or(0);
        entered(&JobStatus::Failed) >= failed_at && entered(&JobStatus::Restarting) < failed_at
    }

    fn tell_break(&mut self, ts_millis: i64, emit: &mut impl FnMut(Observation)) {
        if self.all_since.take().is_some() {
            emit(self.initialization.observation(AllSubtasksStatus::NotAllRunningOrFinished, ts_millis));
        }
        self.last_break = self.last_break.max(ts_millis);
    }

    fn tell_all_running(
        &mut self,
        ts_millis: i64,
        restored_from: &dyn Fn(i64, Option<&str>) -> RestoredFrom,
        emit: &mut impl FnMut(Observation),
    ) {
        // A mixture of answers from before and after a restart looks like this, until the last subtask is up.
        if self.is_superseded(ts_millis) {
            return;
        }
        // Nobody saw why they ceased to run: the job was rescaled, or its failure has left the history.
        if let Some(since) = self.all_since {
            let running = self.last_running.filter(|running| *running > since);
            let Some(broken_at) = self.first_broken(since, ts_millis).or(running) else { return };
            self.tell_break(broken_at, emit);
        }
        let restored = self.restored_before(ts_millis);
        let start = match restored {
            Some(restored) => restored.restore_timestamp,
            None => self.last_running.filter(|running| *running <= ts_millis).unwrap_or(self.last_break),
        };
        self.initialization = InitializationKey {
            restored_checkpoint_id: restored.map(|restored| restored.id),
            identity_timestamp: start,
        };
        emit(self.initialization.observation(AllSubtasksStatus::AllRunningOrFinished, ts_millis));
        if self.has_checkpoints || !self.is_2_or_later {
            self.tell_initialization(start, ts_millis, restored_from, emit);
        }
        self.all_since = Some(ts_millis);
        // The newest shows until the next one, and is no news again.
        while self.restores.len() > 1 && self.restores.first_key_value().is_some_and(|(began, _)| *began < ts_millis) {
            self.restores.pop_first();
        }
    }

    /// When a subtask was first seen to end without finishing, in that span of time.
    fn first_broken(&self, from: i64, to: i64) -> Option<i64> {
        self.broken.range(from..).next().copied().filter(|broken| *broken <= to)
    }

    fn is_superseded(&self, ts_millis: i64) -> bool {
        let later = self.timeline.range((ts_millis + 1, Kind::Failure(String::new()))..).next();
        matches!(later, Some(((_, Kind::AllRunning), _)))
    }

    /// The checkpoint that was restored since the last break, if all came to run at `end`.
    fn restored_before(&self, end: i64) -> Option<&RestoredCheckpointStatistics> {
        let (began, restored) = self.restores.range(..=end).next_back()?;
        (*began >= self.last_break).then_some(restored)
    }

    fn tell_initialization(
        &self,
        start: i64,
        end: i64,
        restored_from: &dyn Fn(i64, Option<&str>) -> RestoredFrom,
        emit: &mut impl FnMut(Observation),
    ) {
        let restored = self.restored_before(end);
        let from = restored.map(|restored| restored_from(restored.id, restored.external_path.as_deref()));
        let from = from.unwrap_or_default();
        // Whoever looked then told it whole. Told again, with less, it would be another span of the same ids.
        let is_old = end < self.first_seen.saturating_sub(2 * SETTLE_MS);
        if is_old && restored.is_some() && from.state_size.is_none() {
            return;
        }
        let stats = InitializationStats::new(start, end, InitializationStatus::Completed)
            .with_restored_checkpoint_id(restored.map(|restored| restored.id))
            .with_restored_trigger_timestamp(from.trigger_timestamp)
            .with_restored_state_size(from.state_size);
        emit(Observation::Initialization { stats, identity_timestamp: start });
    }
}

impl InitializationKey {
    fn observation(self, status: AllSubtasksStatus, ts_millis: i64) -> Observation {
        let Self { restored_checkpoint_id, identity_timestamp } = self;
        Observation::AllSubtasks { status, ts_millis, restored_checkpoint_id, identity_timestamp }
    }
}

/// When the JobMaster told that not all run, of a subtask that ended at `broken` and whose failure it handled at `failed_at`.
fn told_at(broken: i64, failed_at: i64) -> i64 {
    (broken + TOLD_AFTER_MS).min(failed_at - TOLD_AFTER_MS).max(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: what Flink 2.3.0 did in recorded and in live sessions, in milliseconds after the end of the subtask.
    /// Guarantees: never more than 2 ms off.
    #[test]
    fn that_not_all_run_is_told_when_flink_told_it() {
        for (failed_at, told) in [(0, 0), (1, 0), (4, 1), (5, 1), (6, 4), (10, 0), (15, 0), (29, 2)] {
            assert!((told_at(0, failed_at) - told).abs() <= 2, "{failed_at}");
        }
    }
}
