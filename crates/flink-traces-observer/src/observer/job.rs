//! One job: passes responses to the part that needs them, and returns the next requests.

use std::hash::{DefaultHasher, Hasher};

use flink_rest::types::JobDetails;
use flink_rest::{
    CheckpointConfig, CheckpointDetails, CheckpointSubtasks, Checkpoints as CheckpointsEndpoint, Job, JobExceptions,
    JobId, JobMetrics, JobStatus, JobVertexId, OpenEnum, RescaleDetails, RescalesHistory, Resource, ResourceBody,
    SubtaskAttempt, SubtaskTimes,
};
use flink_traces_runtime::checkpoint::CheckpointType;
use flink_traces_runtime::extension::{CausedInitialization, VanishedJob, VanishedJobOutcome};

use super::applications::{Application, Applications, Names};
use super::checkpoints::Checkpoints;
use super::cluster::Cluster;
use super::content::Content;
use super::lifecycle::Lifecycle;
use super::presence::Presence;
use super::rescales::Rescales;
use super::schedule::{Schedule, Turn};
use super::text::{MAX_NAME_CHARS, bounded};
use super::{JobKey, JobObservation, REFRESH_MS, RequestOutcome, Restorable, SETTLE_MS};
use crate::observation::Observation;

/// The observer of one job.
#[derive(Debug)]
pub(super) struct JobObserver {
    id: JobId,
    key: JobKey,
    /// The time at which the present JobManager took up the job.
    start_time: i64,
    /// `true` if the job started while the cluster was watched.
    is_watched_from_start: bool,
    state: Option<OpenEnum<JobStatus>>,
    /// The time of the poll that first had the state.
    state_since: i64,
    /// The time, by the overview, at which the job or a subtask last changed its state.
    last_modification: Option<i64>,
    /// `true` if all tasks run or have finished, by the overview.
    all_tasks_run: bool,
    /// The time of the poll that first had a final state.
    ended_at: Option<i64>,
    /// `true` if the next statistics may be those of another JobManager.
    may_be_taken_over: bool,
    /// The number of checkpoints that the JobManager has counted.
    counted: i64,
    /// The hash of the last checkpoint statistics, which are much longer.
    statistics: Option<u64>,
    presence: Presence,
    application: Application,
    content: Content,
    checkpoints: Checkpoints,
    lifecycle: Lifecycle,
    rescales: Rescales,
    /// The ids and names of the vertices.
    vertices: Vec<(JobVertexId, String)>,
    schedule: Schedule,
}

/// Checkpoints with at least this interval are requested when one is due, to spare the
/// JobManager, and this long after that.
const RARE_MS: i64 = 30_000;
const DUE_AFTER_MS: i64 = 1_000;
/// The longest time without a request for checkpoints: savepoints are not due, and clocks differ.
const LONGEST_IDLE_MS: i64 = 60_000;
/// The number of checkpoints per job whose details are requested at once. Details are kept until
/// all tasks have arrived, so this bounds the memory of the first poll of a cluster.
const DETAILS_AT_ONCE: usize = 2;
/// The time after which the times of subtasks are requested again although nothing has changed, in
/// case a cache is older than it should be.
const RECHECK_MS: i64 = 60_000;
/// The metric with the start of the last initialization, restored or not; since 1.19.
const START_METRIC: &str = "lastCheckpointRestoreTimestamp";
/// The longest time without a request to a failing job of an application.
const LONGEST_HOLD_MS: i64 = 30_000;

impl JobObserver {
    pub(super) fn new(summary: &JobDetails, at: i64, is_watched_from_start: bool) -> Self {
        let name = bounded(&summary.name, MAX_NAME_CHARS);
        Self {
            id: summary.jid.clone(),
            key: JobKey { id: summary.jid.to_string(), name, start_time: summary.start_time },
            start_time: summary.start_time,
            is_watched_from_start,
            state: None,
            state_since: at,
            last_modification: None,
            all_tasks_run: false,
            ended_at: None,
            may_be_taken_over: false,
            counted: 0,
            statistics: None,
            presence: Presence::default(),
            application: Application::default(),
            content: Content::default(),
            checkpoints: Checkpoints::default(),
            lifecycle: Lifecycle::new(summary.start_time, at),
            rescales: Rescales::default(),
            vertices: Vec::new(),
            schedule: Schedule::new(at, summary.last_modification),
        }
    }

    pub(super) fn learn_checkpoint_type(&mut self, checkpoint: i64, checkpoint_type: CheckpointType) {
        self.checkpoints.learn_type(checkpoint, checkpoint_type);
    }

    /// Takes the names of all applications.
    pub(super) fn observe_application_names(&mut self, names: &Names) {
        self.application.observe_names(names);
    }

    /// Takes the job's entry in the overview.
    pub(super) fn observe_summary(&mut self, at: i64, summary: &JobDetails, outputs: &mut Vec<JobObservation>) {
        if let Some(gone_since) = self.presence.observe_present() {
            self.report_vanished(at, gone_since, Some(VanishedJobOutcome::Returned), outputs);
        }
        if summary.start_time > self.start_time && self.start_time > 0 {
            self.take_over(at, summary.start_time);
        }
        if std::mem::replace(&mut self.all_tasks_run, all_tasks_run(summary)) != self.all_tasks_run {
            self.schedule.idle_until = i64::MIN;
        }
        // The overview is not cached, and this time changes with every state, also with those
        // between two polls.
        let is_first = self.state.is_none();
        if is_first || self.last_modification != summary.last_modification {
            if !is_first {
                self.schedule.note_change(at);
            }
            self.last_modification = summary.last_modification;
            self.schedule.idle_until = i64::MIN;
            self.schedule.details_until = at.saturating_add(2 * SETTLE_MS);
        }
        if self.state.as_ref() == Some(&summary.state) {
            return;
        }
        let ended = summary.state.known().filter(|status| status.is_terminal());
        self.ended_at = ended.map(|_| at);
        let ended_at = summary.end_time.filter(|ended_at| *ended_at > 0);
        if let (Some(status), Some(ended_at)) = (ended.filter(|status| status.is_globally_terminal()), ended_at) {
            self.lifecycle.observe_end(at, status, ended_at);
        }
        self.state_since = at;
        match self.state.replace(summary.state.clone()) {
            Some(_) => self.mark_active(at),
            None => self.schedule.active_until = at.saturating_add(2 * SETTLE_MS),
        }
        self.schedule.forget_requests();
    }

    /// Notes that the job has another start time. Another JobManager took it over, or before 1.13
    /// it restarted.
    fn take_over(&mut self, at: i64, start_time: i64) {
        self.start_time = start_time;
        self.may_be_taken_over = true;
        self.statistics = None;
        self.lifecycle.take_over(at, start_time);
        self.rescales.begin_epoch();
        self.mark_active(at);
        self.schedule.forget_requests();
    }

    /// Notes that the overview at `at` lacks the job. Returns `true` if the job has ended and is
    /// forgotten.
    pub(super) fn observe_absent(&mut self, at: i64) -> bool {
        self.schedule.idle_until = i64::MIN;
        self.presence.observe_absent(at) && self.has_ended()
    }

    /// Notes that the cluster is away since then.
    pub(super) fn observe_away(&mut self, since: i64) {
        self.presence.observe_away(since);
    }

    /// Returns `true` if the last overview lacks the job.
    pub(super) fn is_absent(&self) -> bool {
        self.presence.is_absent()
    }

    /// Returns the state, if it is one that a known version has.
    fn status(&self) -> Option<JobStatus> {
        self.state.as_ref()?.known()
    }

    fn has_ended(&self) -> bool {
        self.status().is_some_and(JobStatus::is_globally_terminal)
    }

    /// Reports that the job vanished before its end, unless that was reported before.
    pub(super) fn vanish(&mut self, at: i64, outcome: Option<VanishedJobOutcome>, outputs: &mut Vec<JobObservation>) {
        if !self.has_ended()
            && let Some(gone_since) = self.presence.vanish(outcome)
        {
            self.report_vanished(at, gone_since, outcome, outputs);
        }
    }

    fn report_vanished(
        &self,
        at: i64,
        gone_since: i64,
        outcome: Option<VanishedJobOutcome>,
        outputs: &mut Vec<JobObservation>,
    ) {
        let Some(state) = &self.state else { return };
        let since = self.status().and_then(|status| self.lifecycle.entered(status)).unwrap_or(self.start_time);
        let job = VanishedJob::new(state.as_str().to_owned(), since, gone_since).with_outcome(outcome);
        let observation = Observation::Vanished { job, ts_millis: at };
        let application = self.application.get();
        outputs.push(JobObservation { job: self.key.clone(), application, observation });
    }

    /// Drops all but the knowledge of what was reported, because the job is gone. It may return.
    pub(super) fn shrink(&mut self) {
        self.vertices = Vec::new();
        self.lifecycle.forget_subtasks();
        self.schedule = Schedule::new(self.state_since, self.last_modification);
    }

    /// Returns `true` if `body` equals the last response with the job's checkpoints.
    pub(super) fn knows(&mut self, resource: &Resource, body: &[u8]) -> bool {
        if !matches!(resource, Resource::Checkpoints(_)) {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(body);
        let hash = hasher.finish();
        self.statistics.replace(hash) == Some(hash)
    }

    /// Takes the outcome of a request. `applications` gets the wish for the name of an application.
    pub(super) fn observe(
        &mut self,
        at: i64,
        resource: &Resource,
        outcome: RequestOutcome,
        applications: &mut Applications,
    ) {
        let has_timed_out = matches!(outcome, RequestOutcome::TimedOut);
        let asked_at = self.schedule.finish(at, resource, has_timed_out);
        if matches!(resource, Resource::Checkpoints(_)) && outcome.is_response() {
            self.lifecycle.note_restore_asked(asked_at);
        }
        let body = match outcome {
            RequestOutcome::Found(body) => *body,
            RequestOutcome::Unchanged => return,
            RequestOutcome::Missing => return self.observe_missing(asked_at, resource),
            RequestOutcome::Unavailable | RequestOutcome::TimedOut => {
                self.statistics = None;
                return;
            }
        };
        match (resource, body) {
            (_, ResourceBody::Job(details)) => {
                // A cached response may not have the state of the overview yet.
                if !self.schedule.is_sparing() || self.state.as_ref() == Some(&details.state) {
                    self.schedule.note_answered(resource, asked_at);
                }
                if let Some(id) = &details.application_id
                    && self.application.observe_id(at, id)
                {
                    applications.want();
                }
                self.content.observe_job(at, &details);
                let named =
                    details.vertices.iter().map(|vertex| (vertex.id.clone(), bounded(&vertex.name, MAX_NAME_CHARS)));
                let vertices: Vec<_> = named.collect();
                if vertices != self.vertices {
                    self.lifecycle.forget_subtasks();
                    self.vertices = vertices;
                }
                if self.lifecycle.observe_job(at, &details) {
                    self.learn(at);
                }
            }
            (_, ResourceBody::JobExceptions(exceptions)) => {
                self.schedule.note_answered(resource, asked_at);
                self.lifecycle.observe_exceptions(at, &exceptions);
            }
            (Resource::SubtaskTimes(request), ResourceBody::SubtaskTimes(times)) => {
                let vertices = self.vertices.iter().map(|(id, _)| id);
                self.lifecycle.observe_subtask_times(at, asked_at, &request.vertex, &times, vertices);
            }
            (Resource::SubtaskAttempt(request), ResourceBody::SubtaskAttempt(attempt)) => {
                self.lifecycle.observe_attempt(&self.vertices, &request.vertex, &attempt);
            }
            (_, ResourceBody::Checkpoints(statistics)) => {
                self.lifecycle.observe_statistics(true);
                if let Some(restored) = &statistics.latest.restored
                    && self.lifecycle.observe_restore(restored)
                {
                    self.learn(at);
                }
                // Counts also decrease if one of several JobManagers behind the address returns an
                // older response from its cache. That has checkpoints that are known.
                let is_less = statistics.counts.total < self.counted;
                if (is_less || self.may_be_taken_over) && !self.checkpoints.knows_one_of(&statistics) {
                    self.checkpoints.begin_epoch();
                    if !self.may_be_taken_over {
                        self.lifecycle.restart();
                        self.mark_active(at);
                    }
                }
                self.may_be_taken_over = false;
                self.counted = statistics.counts.total;
                self.checkpoints.observe(at, &statistics, &self.key.id, self.is_watched_from_start);
            }
            (_, ResourceBody::CheckpointConfig(config)) => {
                self.lifecycle.observe_checkpoint_interval(config.interval);
                self.checkpoints.observe_config(&config);
                self.content.observe_config(&config);
                self.schedule.checkpoint_interval = config.interval;
                self.schedule.knows_config = true;
            }
            (_, ResourceBody::JobMetrics(metrics)) => {
                self.lifecycle.observe_start(metrics.value(START_METRIC).and_then(|value| value.parse().ok()));
            }
            (_, ResourceBody::CheckpointDetails(details)) => self.checkpoints.observe_details(at, details),
            (_, ResourceBody::RescalesHistory(history)) => {
                self.schedule.note_answered(resource, asked_at);
                self.rescales.observe_history(at, &history);
            }
            (_, ResourceBody::RescaleDetails(details)) => self.rescales.observe_details(at, details),
            (Resource::CheckpointSubtasks(request), ResourceBody::CheckpointSubtasks(task)) => {
                self.checkpoints.observe_subtasks(at, request.checkpoint, &request.vertex, &task);
            }
            _ => {}
        }
    }

    fn observe_missing(&mut self, asked_at: i64, resource: &Resource) {
        match resource {
            Resource::CheckpointDetails(request) => self.checkpoints.observe_missing(request.checkpoint),
            Resource::CheckpointSubtasks(request) => self.checkpoints.observe_missing_subtasks(request.checkpoint),
            Resource::SubtaskTimes(request) => self.lifecycle.observe_missing_times(asked_at, &request.vertex),
            Resource::JobMetrics(_) => self.lifecycle.observe_missing_start(),
            Resource::CheckpointConfig(_) => self.content.observe_missing_config(),
            Resource::RescalesHistory(_) => self.rescales.observe_missing_history(),
            Resource::RescaleDetails(request) => self.rescales.observe_missing_details(&request.rescale),
            // Requested again, because a proxy may have responded.
            Resource::Checkpoints(_) => {
                self.statistics = None;
                self.lifecycle.observe_statistics(false);
            }
            _ => {}
        }
    }

    /// Reports everything that is due. Returns the number of checkpoints without tasks.
    ///
    /// With `names_arrive`, everything waits for the name of the application.
    pub(super) fn advance(
        &mut self,
        now: i64,
        cluster: &Cluster,
        restorable: &Restorable,
        names_arrive: bool,
        outputs: &mut Vec<JobObservation>,
    ) -> u64 {
        if names_arrive && self.application.is_awaited(now) {
            return 0;
        }
        let (key, application) = (&self.key, &self.application);
        let first = outputs.len();
        let mut emit = |observation| {
            outputs.push(JobObservation { job: key.clone(), application: application.get(), observation });
        };
        if let Some(changed) = self.content.advance(now, cluster) {
            emit(changed);
        }
        let (lifecycle, schedule, vertices) = (&self.lifecycle, &self.schedule, &self.vertices);
        let may_move = lifecycle.awaits_subtasks() || schedule.may_have_moved(now, &self.id);
        let locations = |vertex: &JobVertexId| {
            let asked_at = lifecycle.times_asked_at(vertex);
            let is_known = !may_move || asked_at.is_some_and(|asked| schedule.is_after_change(asked));
            // Times are requested of the vertices that the job has now.
            let is_awaited = || vertices.is_empty() || vertices.iter().any(|(id, _)| id == vertex);
            (is_known || !is_awaited()).then(|| lifecycle.locations(vertex))
        };
        let incomplete = self.checkpoints.advance(now, &self.vertices, &locations, &mut emit);
        let checkpoints = &self.checkpoints;
        let rescales = &mut self.rescales;
        let mut emit_in_life = |observation: Observation| {
            if let Observation::Initialization { stats, identity_timestamp } = &observation {
                let (restored_checkpoint_id, identity_timestamp) = (stats.restored_checkpoint_id, *identity_timestamp);
                rescales.observe_initialization(CausedInitialization { restored_checkpoint_id, identity_timestamp });
            }
            emit(observation);
        };
        self.lifecycle.advance(now, &|id, path| checkpoints.restored(id, path, restorable), &mut emit_in_life);
        self.rescales.advance(now, self.lifecycle.awaits_subtasks(), &mut emit);
        if outputs.len() > first {
            self.schedule.idle_until = i64::MIN;
        }
        incomplete
    }

    /// Notes that the cluster is away.
    pub(super) fn note_away(&mut self, now: i64) {
        self.lifecycle.note_away(now);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.content.is_settled()
            && self.checkpoints.is_settled()
            && self.lifecycle.is_settled()
            && self.rescales.is_settled()
    }

    /// Polls more closely for a while, because something changed.
    fn mark_active(&mut self, at: i64) {
        self.schedule.active_until = at.saturating_add(2 * SETTLE_MS);
        self.schedule.note_change(at);
    }

    /// Notes that a response had something new. That is a change unless it was the first response.
    fn learn(&mut self, at: i64) {
        match self.schedule.is_old || self.schedule.is_sparing() {
            true => self.schedule.active_until = at.saturating_add(2 * SETTLE_MS),
            false => self.mark_active(at),
        }
    }

    /// Returns `true` if something happened that only timely requests show.
    pub(super) fn is_urgent(&self) -> bool {
        !self.schedule.is_old || self.checkpoints.has_pending()
    }

    /// Returns the time until which the job changes its state, if it does.
    pub(super) fn changing_until(&self) -> Option<i64> {
        let is_steady = self.ended_at.is_some() || self.status() == Some(JobStatus::Running);
        (!is_steady).then(|| self.state_since.saturating_add(2 * SETTLE_MS))
    }

    /// Returns `true` if there is nothing to request. The last facts about a job that ended appear
    /// only after the caches have expired.
    fn is_silent(&self, now: i64) -> bool {
        self.ended_at.is_some_and(|ended| now > ended.saturating_add(2 * SETTLE_MS))
            || self.status() == Some(JobStatus::Initializing)
    }

    /// Returns `true` if the job may be about to end together with its JobManager, or does not run
    /// completely yet. A request would fill the cache with responses that do not show the end.
    fn may_end_soon(&self, now: i64, cluster: &Cluster) -> bool {
        let is_unsteady = match self.status() {
            Some(JobStatus::Failing | JobStatus::Restarting) => true,
            Some(JobStatus::Running) => !self.all_tasks_run,
            _ => false,
        };
        cluster.is_application && is_unsteady && now < self.state_since.saturating_add(LONGEST_HOLD_MS)
    }

    /// Returns the time at which the next request may be due without another response.
    pub(super) fn next_request_at(&self) -> i64 {
        if self.schedule.is_held() { i64::MAX } else { self.schedule.idle_until }
    }

    /// Returns `true` if a request for the job may be due.
    pub(super) fn is_ready(&self, now: i64) -> bool {
        now >= self.schedule.idle_until && !self.schedule.is_held()
    }

    pub(super) fn note_slow(&mut self, resource: &Resource) {
        self.schedule.note_slow(resource);
    }

    /// Adds the due requests for the job itself, and notes that they are sent.
    pub(super) fn requests(&mut self, turn: Turn, cluster: &Cluster, wanted: &mut Vec<Resource>) {
        if !self.is_ready(turn.until) {
            return;
        }
        let (is_early, first) = (!self.is_ready(turn.now), wanted.len());
        self.due_requests(turn, cluster, wanted);
        if is_early && wanted.len() == first {
            // Nothing more is due before the next poll.
            self.schedule.note_idle(turn);
        }
    }

    /// Adds the due requests for the job, which may be idle.
    fn due_requests(&mut self, turn: Turn, cluster: &Cluster, wanted: &mut Vec<Resource>) {
        let now = turn.now;
        let schedule = &mut self.schedule;
        schedule.set_sparing(cluster.is_application && self.ended_at.is_none());
        schedule.forget_expired(now);
        let job = &self.id;
        if self.presence.is_absent() {
            schedule.ask(now, Job { job: job.clone() }.into(), wanted);
        }
        if self.is_silent(now) {
            return self.schedule.note_idle(turn);
        }
        if self.may_end_soon(now, cluster) {
            self.schedule.active_until = now.saturating_add(2 * SETTLE_MS);
            return self.schedule.note_idle(turn);
        }
        let schedule = &mut self.schedule;
        let is_active = now < schedule.active_until;
        // First the failures, which no other response has.
        if is_active {
            schedule.ask_unless_known(now, JobExceptions::new(job.clone()).into(), wanted);
        }
        if is_active || now < schedule.details_until {
            schedule.ask_unless_known(now, Job { job: job.clone() }.into(), wanted);
        }
        if self.lifecycle.wants_start() && cluster.may_have_start_metric() {
            let request = JobMetrics::new(job.clone()).names(vec![START_METRIC.to_owned()]);
            schedule.ask(now, request.into(), wanted);
            self.lifecycle.note_start_asked();
        }
        if self.lifecycle.is_adaptive() && self.rescales.may_exist() {
            let request = RescalesHistory { job: job.clone() };
            if is_active || now < schedule.details_until {
                schedule.ask_unless_known(now, request.into(), wanted);
            } else if !schedule.is_sparing() && self.rescales.is_due(now) {
                // The response is cached with the graph of the job.
                schedule.ask(now, request.into(), wanted);
            }
        }
        if self.lifecycle.is_batch() {
            schedule.statistics_due = i64::MAX;
            return;
        }
        let interval = schedule.checkpoint_interval;
        let is_rare = interval >= RARE_MS
            && now >= schedule.details_until.max(schedule.active_until)
            && !self.checkpoints.is_open();
        let request = CheckpointsEndpoint { job: job.clone() }.into();
        if is_rare {
            let next_end = self.checkpoints.next_end(interval).saturating_add(DUE_AFTER_MS);
            let due = |asked: i64| {
                let regular = asked.saturating_add(LONGEST_IDLE_MS);
                regular.min(next_end.max(asked.saturating_add(2 * REFRESH_MS))).saturating_add(turn.slack)
            };
            schedule.ask_statistics(turn, request, due, wanted);
        } else {
            let pause = cluster.statistics_pause(interval, self.checkpoints.history_len());
            let turn = Turn { until: now, ..turn };
            schedule.ask_statistics(turn, request, |asked| asked.saturating_add(pause), wanted);
        }
        if !schedule.knows_config {
            schedule.ask(now, CheckpointConfig { job: job.clone() }.into(), wanted);
        }
    }

    /// Adds at most `limit` due detail requests, and notes that they are sent.
    pub(super) fn detail_requests(&mut self, turn: Turn, cluster: &Cluster, limit: usize, wanted: &mut Vec<Resource>) {
        let now = turn.now;
        if limit == 0 || !self.is_ready(now) || self.is_silent(now) || self.may_end_soon(now, cluster) {
            return;
        }
        let schedule = &mut self.schedule;
        let job = &self.id;
        let (first, full) = (wanted.len(), wanted.len() + limit);
        for (vertex, subtask, attempt) in self.lifecycle.wanted_attempts(&self.vertices) {
            if wanted.len() < full {
                let request = SubtaskAttempt { job: job.clone(), vertex: vertex.clone(), subtask, attempt };
                schedule.ask(now, request.into(), wanted);
            }
        }
        // Before the checkpoints, which wait for the hosts in them.
        let awaits_subtasks = self.lifecycle.awaits_subtasks();
        if awaits_subtasks || now < schedule.active_until {
            for (vertex, _) in &self.vertices {
                if wanted.len() == full {
                    break;
                }
                let asked_at = self.lifecycle.times_asked_at(vertex);
                let is_known = asked_at.is_some_and(|asked| schedule.shows_the_change(asked));
                let again = awaits_subtasks && asked_at.is_some_and(|asked| now >= asked.saturating_add(RECHECK_MS));
                if !is_known || again {
                    schedule.ask(now, SubtaskTimes { job: job.clone(), vertex: vertex.clone() }.into(), wanted);
                }
            }
        }
        for rescale in self.rescales.wanted() {
            if wanted.len() < full {
                schedule.ask(now, RescaleDetails { job: job.clone(), rescale: rescale.clone() }.into(), wanted);
            }
        }
        let mut begun = 0;
        for (checkpoint, vertices) in self.checkpoints.wanted(&self.vertices) {
            if wanted.len() == full || begun == DETAILS_AT_ONCE {
                break;
            }
            let Some(vertices) = vertices else {
                let request = Resource::from(CheckpointDetails { job: job.clone(), checkpoint });
                schedule.ask(now, request.clone(), wanted);
                begun += usize::from(schedule.is_in_flight(&request));
                continue;
            };
            begun += usize::from(!vertices.is_empty());
            for vertex in vertices {
                if wanted.len() == full {
                    break;
                }
                let request = CheckpointSubtasks { job: job.clone(), checkpoint, vertex: vertex.clone() };
                schedule.ask(now, request.into(), wanted);
            }
        }
        if wanted.len() == first {
            schedule.note_idle(turn);
        }
    }
}

/// Returns `true` if all tasks run or have finished, or if the overview does not count them.
fn all_tasks_run(summary: &JobDetails) -> bool {
    summary.tasks.running.saturating_add(summary.tasks.finished) >= summary.tasks.total
}
