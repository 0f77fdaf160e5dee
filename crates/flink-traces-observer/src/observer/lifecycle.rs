//! The life of a job: its statuses, its failures, the time when all its subtasks ran, and its
//! initializations.
//!
//! Responses arrive in any order, and up to some seconds after the facts in them. So facts wait on
//! a timeline, at Flink's timestamps, until every earlier fact must have arrived. Then they are
//! reported in their order.

use std::collections::{BTreeMap, BTreeSet};

use flink_rest::types::{
    JobDetailsInfo, JobExceptionsInfoWithHistory, RestoredCheckpointStatistics, SubtaskExecutionAttemptDetailsInfo,
    SubtasksTimesInfo,
};
use flink_rest::{ExecutionState, JobStatus, JobVertexId};
use flink_traces_runtime::checkpoint::{InitializationStats, InitializationStatus};
use flink_traces_runtime::job::AllSubtasksStatus;

use super::checkpoints::RestoredFrom;
use super::failures::{self, Attempt};
use super::subtasks::{Location, Subtasks};
use super::text::{MAX_TEXT_CHARS, bounded};
use super::{SETTLE_MS, release};
use crate::observation::Observation;

/// The time from the end of a subtask to the report that not all subtasks run.
///
/// The JobMaster reports that up to 4 ms after the end: after it has logged the transition, and
/// before it handles the failure, which may be much later. This is the middle.
const REPORT_DELAY_MS: i64 = 2;

/// The time for which the end of an initialization waits for the metric with its start. Flink
/// updates metrics every 10 s.
const START_WAIT_MS: i64 = 3 * SETTLE_MS;

/// The maximum number of restores that are kept. Only a job that never runs has more than two.
const MAX_RESTORES: usize = 16;

/// The life of one job.
#[derive(Debug)]
pub(super) struct Lifecycle {
    /// The time of the first response with the job.
    first_seen: i64,
    timeline: BTreeMap<(i64, Kind), Fact>,
    /// The last time at which each status was entered, pending or reported.
    seen_states: BTreeMap<JobStatus, i64>,
    /// The failures in the history, pending or reported.
    seen_failures: BTreeSet<(i64, String)>,
    /// The last time at which all subtasks had come to run, pending or reported.
    seen_all: Option<i64>,
    adaptive: bool,
    /// `false` for batch jobs, whose subtasks never run all at once.
    streaming: bool,
    /// `false` if the job has no checkpoint statistics. Before 1.20, only that shows a batch job.
    has_statistics: bool,
    /// `false` if no checkpoints are triggered periodically.
    has_checkpoints: bool,
    /// `true` if Flink reports no initialization of a job without checkpoints; since 2.0.
    is_2_or_later: bool,
    subtasks: Subtasks,
    /// The restores by their start.
    restores: BTreeMap<i64, Restore>,
    /// The time of the last request whose outcome shows the last restore.
    restore_asked_at: i64,
    /// The starts of initializations, by the job's metric, which has only the last one. An
    /// initialization may wait on the timeline while the metric has the start of the next.
    starts: BTreeSet<i64>,
    /// `true` if that metric was requested and may still change.
    is_start_awaited: bool,
    /// The time since which all subtasks run.
    all_since: Option<i64>,
    /// The initialization after which all subtasks last ran.
    initialization: InitializationKey,
    /// The time at which they last stopped to run, or the job started.
    last_break: i64,
    last_running: Option<i64>,
}

/// The restore of a checkpoint.
#[derive(Debug)]
struct Restore {
    checkpoint: i64,
    path: Option<String>,
}

/// The inputs of an initialization's identity.
#[derive(Debug, Clone, Copy)]
struct InitializationKey {
    restored_checkpoint_id: Option<i64>,
    identity_timestamp: i64,
}

impl InitializationKey {
    fn observation(self, status: AllSubtasksStatus, ts_millis: i64) -> Observation {
        let Self { restored_checkpoint_id, identity_timestamp } = self;
        Observation::AllSubtasks { status, ts_millis, restored_checkpoint_id, identity_timestamp }
    }
}

/// The kind of a fact. The order is that of facts with the same timestamp.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    TakenOver,
    Failure(String),
    Status(JobStatus),
    AllRunning,
}

impl Kind {
    /// Returns `true` if subtasks stop to run then.
    fn is_break(&self) -> bool {
        match self {
            Self::TakenOver => true,
            Self::Status(status) => is_break(*status),
            Self::Failure(_) | Self::AllRunning => false,
        }
    }
}

#[derive(Debug)]
struct Fact {
    arrived_at: i64,
    failure: Option<Box<failures::Entry>>,
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
            subtasks: Subtasks::default(),
            restores: BTreeMap::new(),
            restore_asked_at: i64::MIN,
            starts: BTreeSet::new(),
            is_start_awaited: false,
            all_since: None,
            initialization: InitializationKey { restored_checkpoint_id: None, identity_timestamp: start_time },
            last_break: start_time,
            last_running: None,
        }
    }

    /// Takes the statuses of a job. Returns `true` if one of them is new.
    pub(super) fn observe_job(&mut self, at: i64, details: &JobDetailsInfo) -> bool {
        self.is_2_or_later = details.pending_operators.is_some();
        self.adaptive = details.scheduler_type.as_deref() == Some("Adaptive");
        self.streaming &= details.job_type.as_deref() != Some("BATCH");
        let mut changed = false;
        let known = details.timestamps.iter().filter_map(|(state, millis)| Some((state.known()?, *millis)));
        for (status, millis) in known {
            if self.is_reported(status) && millis > self.entered(status).unwrap_or(0) {
                self.seen_states.insert(status, millis);
                self.add(at, millis, Kind::Status(status), None);
                changed = true;
            }
        }
        changed
    }

    /// Takes the end of a job from the overview, which has no other status.
    ///
    /// The details have more and replace it. They may never arrive, because the JobManager of an
    /// application ends with the job. So the end waits twice as long as other facts.
    pub(super) fn observe_end(&mut self, at: i64, status: JobStatus, end_time: i64) {
        if end_time > self.entered(status).unwrap_or(0) {
            self.add(at.saturating_add(SETTLE_MS), end_time, Kind::Status(status), None);
        }
    }

    pub(super) fn observe_exceptions(&mut self, at: i64, exceptions: &JobExceptionsInfoWithHistory) {
        let mut shown = BTreeSet::new();
        for entry in failures::entries(exceptions) {
            let (ts_millis, key) = (entry.failure.ts_millis, entry.key());
            let root_key = failures::Entry::root_key(ts_millis);
            let is_pending_root = self.timeline.remove(&(ts_millis, Kind::Failure(root_key.1.clone()))).is_some();
            let is_seen = self.seen_failures.contains(&key) || self.seen_failures.contains(&root_key);
            if (is_pending_root || !is_seen) && !shown.contains(&key) {
                self.add(at, ts_millis, Kind::Failure(key.1.clone()), Some(entry));
            }
            if self.seen_failures.contains(&root_key) {
                shown.insert(root_key);
            }
            shown.insert(key);
        }
        self.seen_failures = shown;
    }

    /// Notes a request whose outcome shows the last restore.
    pub(super) fn note_restore_asked(&mut self, asked_at: i64) {
        self.restore_asked_at = self.restore_asked_at.max(asked_at);
    }

    /// Notes that the cluster is away. Until it is back, it is not known whether an initialization
    /// restored a checkpoint, so that one waits.
    pub(super) fn note_away(&mut self, now: i64) {
        let initializations = self.timeline.iter_mut().filter(|((_, kind), _)| *kind == Kind::AllRunning);
        for (_, fact) in initializations.filter(|(_, fact)| fact.arrived_at > self.restore_asked_at) {
            fact.arrived_at = now;
        }
    }

    /// Takes the last restore. Returns `true` if it is new.
    pub(super) fn observe_restore(&mut self, restored: &RestoredCheckpointStatistics) -> bool {
        let path = restored.external_path.as_deref().map(|path| bounded(path, MAX_TEXT_CHARS));
        let restore = Restore { checkpoint: restored.id, path };
        let is_new = self.restores.insert(restored.restore_timestamp, restore).is_none();
        while self.restores.len() > MAX_RESTORES {
            self.restores.pop_first();
        }
        is_new
    }

    pub(super) fn observe_checkpoint_interval(&mut self, interval: i64) {
        // Flink's value for no interval.
        self.has_checkpoints = interval != i64::MAX;
    }

    pub(super) fn observe_statistics(&mut self, has_statistics: bool) {
        self.has_statistics = has_statistics;
    }

    /// Returns the last time at which the job entered a status, if it is known.
    pub(super) fn entered(&self, status: JobStatus) -> Option<i64> {
        self.seen_states.get(&status).copied()
    }

    /// Returns `true` if the Adaptive scheduler runs the job; since 2.3.
    pub(super) fn is_adaptive(&self) -> bool {
        self.adaptive
    }

    /// Returns `true` if the job is known to be a batch job.
    pub(super) fn is_batch(&self) -> bool {
        !self.streaming
    }

    /// Notes that another JobManager took over at an unknown time. No response shows that the
    /// subtasks stopped.
    pub(super) fn restart(&mut self) {
        self.last_break = self.all_since.take().unwrap_or(self.last_break);
    }

    /// Notes that another JobManager took over at `start_time`.
    pub(super) fn take_over(&mut self, at: i64, start_time: i64) {
        self.add(at, start_time, Kind::TakenOver, None);
    }

    /// Drops the times of subtasks, because the job has another graph.
    pub(super) fn forget_subtasks(&mut self) {
        self.subtasks.forget_vertices();
    }

    /// Returns `true` if Flink reports when all subtasks run.
    fn reports_all_running(&self) -> bool {
        self.streaming && self.has_statistics
    }

    /// Returns the time at which the times of a vertex's subtasks were requested.
    pub(super) fn times_asked_at(&self, vertex: &JobVertexId) -> Option<i64> {
        self.subtasks.asked_at(vertex)
    }

    /// Returns the locations of the subtasks of a vertex, in the order of the subtasks.
    pub(super) fn locations(&self, vertex: &JobVertexId) -> &[Location] {
        self.subtasks.locations(vertex)
    }

    /// Returns `true` if the job initializes.
    pub(super) fn awaits_subtasks(&self) -> bool {
        self.reports_all_running() && self.all_since.is_none()
    }

    pub(super) fn observe_subtask_times<'a>(
        &mut self,
        at: i64,
        asked_at: i64,
        vertex: &JobVertexId,
        body: &SubtasksTimesInfo,
        vertices: impl DoubleEndedIterator<Item = &'a JobVertexId>,
    ) {
        self.subtasks.observe(asked_at, vertex, body);
        // Vertices are requested in order, so an unknown one is found first from the end.
        let all_running = self.subtasks.all_running_at(vertices.rev()).filter(|_| self.reports_all_running());
        if let Some(all_running) = all_running.filter(|millis| self.seen_all.is_none_or(|seen| *millis > seen)) {
            self.seen_all = Some(all_running);
            self.add(at, all_running, Kind::AllRunning, None);
        }
    }

    /// Notes that the cluster does not have the times of a vertex's subtasks.
    pub(super) fn observe_missing_times(&mut self, asked_at: i64, vertex: &JobVertexId) {
        self.subtasks.observe_missing(asked_at, vertex);
    }

    /// Returns the failed attempts whose end is unknown, because the next attempt may have
    /// replaced them. If vertices have the same name, all of them are returned.
    pub(super) fn wanted_attempts<'a>(
        &'a self,
        vertices: &'a [(JobVertexId, String)],
    ) -> impl Iterator<Item = (&'a JobVertexId, i64, i64)> {
        let failed = self.timeline.values().filter_map(|fact| fact.failure.as_ref()?.attempt.as_ref());
        failed.flat_map(|failed| {
            let named = vertices.iter().filter(|(_, name)| *name == failed.vertex_name);
            named.map(|(vertex, _)| (vertex, failed.subtask, failed.attempt))
        })
    }

    pub(super) fn observe_attempt(
        &mut self,
        vertices: &[(JobVertexId, String)],
        vertex: &JobVertexId,
        body: &SubtaskExecutionAttemptDetailsInfo,
    ) {
        let ended_at = body.end_time.filter(|ended_at| body.status == ExecutionState::Failed && *ended_at > 0);
        let Some(failed_at) = ended_at else { return };
        let Some((_, vertex_name)) = vertices.iter().find(|(id, _)| id == vertex) else { return };
        self.subtasks.observe_failed(failed_at);
        let seen = Attempt { vertex_name: vertex_name.clone(), subtask: body.subtask, attempt: body.attempt };
        for failure in self.timeline.values_mut().filter_map(|fact| fact.failure.as_mut()) {
            failure.attempt.take_if(|attempt| *attempt == seen);
        }
    }

    /// Returns `true` if the start of an initialization is unknown. Only a metric has it, as no
    /// checkpoint was restored.
    pub(super) fn wants_start(&self) -> bool {
        let mut ends = self.timeline.keys().filter(|(_, kind)| *kind == Kind::AllRunning);
        ends.any(|(end, _)| {
            let breaks = self.timeline.range(..(*end, Kind::AllRunning)).filter(|((_, kind), _)| kind.is_break());
            let last_break = breaks.map(|((at, _), _)| *at).fold(self.last_break, i64::max);
            self.lacks_start(last_break, *end)
        })
    }

    /// Notes that the metric with the start of the last initialization is requested.
    pub(super) fn note_start_asked(&mut self) {
        self.is_start_awaited = true;
    }

    /// Takes the metric with the start of the last initialization; `None` if there is none yet.
    pub(super) fn observe_start(&mut self, started: Option<i64>) {
        self.is_start_awaited = true;
        self.starts.extend(started.filter(|at| *at > 0));
    }

    /// Notes that the cluster does not have the metric.
    pub(super) fn observe_missing_start(&mut self) {
        self.is_start_awaited = false;
    }

    /// Returns `true` if neither a restore nor the metric began an initialization in this period.
    fn lacks_start(&self, last_break: i64, end: i64) -> bool {
        self.restore_within(last_break, end).is_none() && self.started_within(last_break, end).is_none()
    }

    /// Returns the last start in this period, by the metric.
    fn started_within(&self, last_break: i64, end: i64) -> Option<i64> {
        self.starts.range(..=end).next_back().copied().filter(|started| *started >= last_break)
    }

    /// Returns `true` if Flink has an event for the status. It has none before the job first runs,
    /// except with the Adaptive scheduler, which creates a job again for each attempt.
    fn is_reported(&self, status: JobStatus) -> bool {
        match status {
            JobStatus::Created => self.adaptive,
            JobStatus::Initializing | JobStatus::Reconciling => false,
            _ => true,
        }
    }

    fn add(&mut self, arrived_at: i64, ts_millis: i64, kind: Kind, failure: Option<failures::Entry>) {
        self.timeline.insert((ts_millis, kind), Fact { arrived_at, failure: failure.map(Box::new) });
    }

    /// Returns `true` if no fact waits for earlier ones.
    pub(super) fn is_settled(&self) -> bool {
        self.timeline.is_empty()
    }

    /// Reports the facts that no other can precede. `restored_from` looks up a checkpoint by id
    /// and path.
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
            let (end, arrived_at) = (first.key().0, first.get().arrived_at);
            let has_later_start = || self.starts.last().is_some_and(|start| *start > end);
            let may_have_start =
                self.is_start_awaited && now < arrived_at.saturating_add(START_WAIT_MS) && !has_later_start();
            if first.key().1 == Kind::AllRunning && may_have_start && self.lacks_start(self.last_break, end) {
                break;
            }
            let Some(((ts_millis, kind), fact)) = self.timeline.pop_first() else { break };
            match (kind, fact.failure) {
                (Kind::TakenOver, _) => {
                    self.all_since = None;
                    self.last_break = self.last_break.max(ts_millis);
                }
                (Kind::Status(status), _) => self.report_status(ts_millis, status, emit),
                (Kind::AllRunning, _) => self.report_all_running(ts_millis, restored_from, emit),
                (Kind::Failure(_), Some(entry)) => self.report_failure(*entry, emit),
                (Kind::Failure(_), None) => {}
            }
        }
        release(&mut self.timeline);
        // No later fact is about the time before the last break.
        self.subtasks.forget_ends_before(self.last_break);
        self.starts = self.starts.split_off(&self.last_break);
    }

    fn report_status(&mut self, ts_millis: i64, status: JobStatus, emit: &mut impl FnMut(Observation)) {
        let seen = self.seen_states.entry(status).or_insert(ts_millis);
        *seen = ts_millis.max(*seen);
        // The history has the failure that ends a job at the time at which the job had failed.
        if status == JobStatus::Failing
            && let Some(mut entry) = self.take_final_failure(ts_millis)
        {
            entry.failure.history_timestamp = Some(entry.failure.ts_millis);
            entry.failure.ts_millis = ts_millis;
            self.report_failure(entry, emit);
        }
        if status == JobStatus::Running {
            self.last_running = Some(ts_millis);
        }
        emit(Observation::StatusChange { status, ts_millis });
        if is_break(status) {
            // The subtasks of the next attempt may end as early as that.
            let next_attempt = self.next_running(ts_millis).unwrap_or(i64::MAX);
            let first_broken =
                self.subtasks.first_broken(ts_millis, ts_millis.saturating_add(SETTLE_MS).min(next_attempt));
            self.report_break(first_broken.unwrap_or(ts_millis), emit);
        }
    }

    /// Returns the time of the next `RUNNING` on the timeline.
    fn next_running(&self, ts_millis: i64) -> Option<i64> {
        let mut later = self.timeline.range((ts_millis.saturating_add(1), Kind::TakenOver)..);
        later.find(|((_, kind), _)| *kind == Kind::Status(JobStatus::Running)).map(|((at, _), _)| *at)
    }

    /// Removes the failure that ended the job from the timeline.
    fn take_final_failure(&mut self, failing_at: i64) -> Option<failures::Entry> {
        let is_final = |fact: &Fact| fact.failure.as_ref().is_some_and(|entry| entry.is_final);
        let (key, _) = self.timeline.iter().find(|((ts, _), fact)| *ts >= failing_at && is_final(fact))?;
        let key = key.clone();
        self.timeline.remove(&key)?.failure.map(|entry| *entry)
    }

    fn report_failure(&mut self, entry: failures::Entry, emit: &mut impl FnMut(Observation)) {
        let failed_at = entry.failure.ts_millis;
        if let Some(since) = self.all_since.filter(|since| *since < failed_at) {
            let broken_at =
                self.subtasks.first_broken(since, failed_at).map(|broken| break_reported_at(broken, failed_at));
            self.report_break(broken_at.unwrap_or(failed_at), emit);
        }
        let can_restart = !entry.is_final && !self.ended_by(failed_at);
        let is_global = entry.failure.is_global.filter(|_| !self.adaptive);
        let mut failure = entry.failure;
        (failure.can_restart, failure.is_global) = (can_restart, is_global);
        emit(Observation::Failure(failure));
    }

    /// Returns `true` if the job failed after `failed_at` and did not restart in between.
    fn ended_by(&self, failed_at: i64) -> bool {
        let entered = |status| self.entered(status).unwrap_or(0);
        entered(JobStatus::Failed) >= failed_at && entered(JobStatus::Restarting) < failed_at
    }

    fn report_break(&mut self, ts_millis: i64, emit: &mut impl FnMut(Observation)) {
        if self.all_since.take().is_some() {
            emit(self.initialization.observation(AllSubtasksStatus::NotAllRunningOrFinished, ts_millis));
        }
        self.last_break = self.last_break.max(ts_millis);
    }

    fn report_all_running(
        &mut self,
        ts_millis: i64,
        restored_from: &dyn Fn(i64, Option<&str>) -> RestoredFrom,
        emit: &mut impl FnMut(Observation),
    ) {
        // Responses from before and after a restart, mixed, look like this until the last subtask
        // runs.
        if self.is_superseded(ts_millis) {
            return;
        }
        // Without a known reason, the job was rescaled, or its failure has left the history.
        if let Some(since) = self.all_since {
            let running = self.last_running.filter(|running| *running > since);
            let Some(broken_at) = self.subtasks.first_broken(since, ts_millis).or(running) else { return };
            self.report_break(broken_at, emit);
        }
        let restore = self.restore_before(ts_millis);
        let start = match restore {
            Some((began, _)) => began,
            None => {
                let running = self.last_running.filter(|running| *running <= ts_millis);
                self.started_within(self.last_break, ts_millis).or(running).unwrap_or(self.last_break)
            }
        };
        let restored_checkpoint_id = restore.map(|(_, restore)| restore.checkpoint);
        self.initialization = InitializationKey { restored_checkpoint_id, identity_timestamp: start };
        self.is_start_awaited = false;
        emit(self.initialization.observation(AllSubtasksStatus::AllRunningOrFinished, ts_millis));
        if self.has_checkpoints || !self.is_2_or_later {
            self.report_initialization(start, ts_millis, restored_from, emit);
        }
        self.all_since = Some(ts_millis);
        // The newest restore stays in responses until the next one.
        while self.restores.len() > 1 && self.restores.first_key_value().is_some_and(|(began, _)| *began < ts_millis) {
            self.restores.pop_first();
        }
    }

    fn is_superseded(&self, ts_millis: i64) -> bool {
        let later = self.timeline.range((ts_millis.saturating_add(1), Kind::TakenOver)..).next();
        matches!(later, Some(((_, Kind::AllRunning), _)))
    }

    /// Returns the restore since the last break, with its start, if all subtasks ran at `end`.
    fn restore_before(&self, end: i64) -> Option<(i64, &Restore)> {
        self.restore_within(self.last_break, end)
    }

    /// Returns the last restore until `end`, with its start, if it is not before `last_break`.
    fn restore_within(&self, last_break: i64, end: i64) -> Option<(i64, &Restore)> {
        let (began, restore) = self.restores.range(..=end).next_back()?;
        (*began >= last_break).then_some((*began, restore))
    }

    fn report_initialization(
        &self,
        start: i64,
        end: i64,
        restored_from: &dyn Fn(i64, Option<&str>) -> RestoredFrom,
        emit: &mut impl FnMut(Observation),
    ) {
        let restore = self.restore_before(end);
        let from = restore.map(|(_, restore)| restored_from(restore.checkpoint, restore.path.as_deref()));
        let from = from.unwrap_or_default();
        // An earlier process reported this span in full. With less, it would be another span with
        // the same ids.
        let is_old = end < self.first_seen.saturating_sub(2 * SETTLE_MS);
        if is_old && restore.is_some() && from.state_size.is_none() {
            return;
        }
        let stats = InitializationStats::new(start, end, InitializationStatus::Completed)
            .with_restored_checkpoint_id(restore.map(|(_, restore)| restore.checkpoint))
            .with_restored_trigger_timestamp(from.trigger_timestamp)
            .with_restored_state_size(from.state_size);
        emit(Observation::Initialization { stats, identity_timestamp: start });
    }
}

/// Returns `true` if the subtasks of a job stop to run when it enters the status.
fn is_break(status: JobStatus) -> bool {
    matches!(status, JobStatus::Restarting | JobStatus::Failing | JobStatus::Cancelling)
}

/// Returns the time at which the JobMaster reported that not all subtasks run, if a subtask ended
/// at `broken` and its failure was handled at `failed_at`.
fn break_reported_at(broken: i64, failed_at: i64) -> i64 {
    broken.saturating_add(REPORT_DELAY_MS).min(failed_at.saturating_sub(REPORT_DELAY_MS)).max(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: what Flink 2.3.0 did in recorded and live sessions, in milliseconds after the end
    /// of the subtask. Guarantees: the estimate is at most 2 ms off.
    #[test]
    fn break_is_reported_when_flink_reports_it() {
        for (failed_at, reported) in [(0, 0), (1, 0), (4, 1), (5, 1), (6, 4), (10, 0), (15, 0), (29, 2)] {
            assert!((break_reported_at(0, failed_at) - reported).abs() <= 2, "{failed_at}");
        }
    }
}
