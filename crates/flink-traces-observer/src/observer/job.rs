//! One job: sorts answers to the part that needs them, and says what to ask.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};

use flink_rest::types::JobDetails;
use flink_rest::{
    CheckpointConfig, CheckpointDetails, CheckpointSubtasks, Checkpoints as CheckpointsEndpoint, Job, JobExceptions,
    JobId, JobStatus, JobVertexId, Resource, ResourceBody, SubtaskAttempt, SubtaskTimes,
};
use flink_traces_runtime::checkpoint::CheckpointType;

use super::checkpoints::Checkpoints;
use super::lifecycle::Lifecycle;
use super::{JobKey, JobObservation, REFRESH_MS, RequestOutcome, Restorable, SETTLE_MS};

/// The longest job name that is passed on, in characters.
pub(super) const MAX_NAME_CHARS: usize = 1_024;

/// Watches one job.
#[derive(Debug)]
pub(super) struct JobObserver {
    id: JobId,
    key: JobKey,
    state: Option<JobStatus>,
    /// When, by the overview, it or a subtask last changed its state.
    last_modification: i64,
    /// When the state was first seen to be final.
    ended_at: Option<i64>,
    /// Checkpoints that the JobManager has counted.
    counted: i64,
    /// The hash of the last statistics of checkpoints, which are much longer.
    statistics: Option<u64>,
    checkpoints: Checkpoints,
    lifecycle: Lifecycle,
    /// Ids and names.
    vertices: Vec<(JobVertexId, String)>,
    schedule: Schedule,
}

/// What was asked when, and what for.
#[derive(Debug, Default)]
struct Schedule {
    /// What was asked in the last three seconds.
    asked_at: BTreeMap<Resource, i64>,
    checkpoints_asked_at: Option<i64>,
    /// Whether the configuration of checkpoints is known, which never changes.
    knows_config: bool,
    /// Whether the overview says when something last changed.
    is_dated: bool,
    /// Until when the job's states may have changed: details cost the JobManager most, and tell nothing else.
    details_until: i64,
    /// Until when failures and the times of subtasks are of interest.
    turmoil_until: i64,
    /// When something was last seen to have changed: what was asked for after the caches expired shows it.
    changed_at: i64,
    /// When what was last answered of states and failures was asked for.
    answered: BTreeMap<Resource, i64>,
    /// Until when nothing is wanted, unless an answer comes.
    idle_until: i64,
    /// Whether nothing has changed since the job was first seen, nor shortly before that.
    is_old: bool,
    /// How often a checkpoint is taken, in milliseconds; 0 while that is not known.
    checkpoint_interval: i64,
}

/// From which interval on checkpoints are looked for when one is due, for the sake of the JobManager, and how long after that.
const RARE_MS: i64 = 30_000;
const DUE_AFTER_MS: i64 = 1_000;
/// How long the statistics are left alone at the longest: savepoints are not due, and clocks differ.
const LONGEST_LEISURE_MS: i64 = 30_000;
/// Of how many checkpoints the details are asked at once: the memory of a cluster's first look is what they take until all their tasks
/// are known.
const BEGUN_AT_ONCE: usize = 2;
/// How often the times of subtasks that are not all up are asked for though nothing changed, in case that a cache is older than it should be.
const RECHECK_MS: i64 = 60_000;

impl JobObserver {
    pub(super) fn new(summary: &JobDetails, at: i64) -> Self {
        let name = bounded(&summary.name, MAX_NAME_CHARS);
        // Of a job that was long there before anyone looked one answer tells all.
        let is_old = (0..at.saturating_sub(2 * SETTLE_MS)).contains(&summary.last_modification);
        let schedule = Schedule {
            turmoil_until: at + 2 * SETTLE_MS,
            changed_at: if is_old { at - SETTLE_MS } else { at },
            is_dated: summary.last_modification >= 0,
            is_old,
            idle_until: i64::MIN,
            ..Schedule::default()
        };
        Self {
            id: summary.jid.clone(),
            key: JobKey { id: summary.jid.to_string(), name, start_time: summary.start_time },
            state: None,
            last_modification: i64::MIN,
            ended_at: None,
            counted: 0,
            statistics: None,
            checkpoints: Checkpoints::default(),
            lifecycle: Lifecycle::new(summary.start_time, at),
            vertices: Vec::new(),
            schedule,
        }
    }

    pub(super) fn learn_checkpoint_type(&mut self, checkpoint: i64, checkpoint_type: CheckpointType) {
        self.checkpoints.learn_type(checkpoint, checkpoint_type);
    }

    pub(super) fn observe_summary(&mut self, at: i64, summary: &JobDetails) {
        // The overview is not cached, and what it says of a job changes with every state, also one that nobody saw.
        if self.last_modification != summary.last_modification {
            if self.last_modification != i64::MIN {
                self.schedule.note_change(at);
            }
            self.last_modification = summary.last_modification;
            self.schedule.idle_until = i64::MIN;
            self.schedule.details_until = at.saturating_add(2 * SETTLE_MS);
        }
        if self.state.as_ref() == Some(&summary.state) {
            return;
        }
        let has_ended = summary.state.is_globally_terminal() || summary.state == JobStatus::Suspended;
        self.ended_at = has_ended.then_some(at);
        match self.state.replace(summary.state.clone()) {
            Some(_) => self.stir(at),
            None => self.schedule.turmoil_until = at.saturating_add(2 * SETTLE_MS),
        }
        self.schedule.idle_until = i64::MIN;
        // What is cached may already show the change: do not wait for the next round.
        self.schedule.asked_at.clear();
        self.schedule.checkpoints_asked_at = None;
    }

    /// Whether `body` is what was answered last of the job's checkpoints, and holds nothing new.
    pub(super) fn knows(&mut self, resource: &Resource, body: &[u8]) -> bool {
        if !matches!(resource, Resource::Checkpoints(_)) {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(body);
        let hash = hasher.finish();
        self.statistics.replace(hash) == Some(hash)
    }

    pub(super) fn observe(&mut self, at: i64, resource: &Resource, observation: RequestOutcome) {
        self.schedule.idle_until = i64::MIN;
        let answer = match observation {
            RequestOutcome::Found(answer) => *answer,
            RequestOutcome::Unchanged => return,
            RequestOutcome::Missing => return self.observe_missing(resource),
            RequestOutcome::Unavailable => {
                self.statistics = None;
                return;
            }
        };
        let asked_at = self.schedule.asked_at.get(resource).copied().unwrap_or(i64::MIN);
        match (resource, answer) {
            (_, ResourceBody::Job(details)) => {
                self.schedule.answered.insert(resource.clone(), asked_at);
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
                self.schedule.answered.insert(resource.clone(), asked_at);
                self.lifecycle.observe_exceptions(at, &exceptions);
            }
            (Resource::SubtaskTimes(request), ResourceBody::SubtaskTimes(times)) => {
                let vertices = self.vertices.iter().map(|(id, _)| id);
                self.lifecycle.observe_subtask_times(at, asked_at, &request.vertex, &times, vertices);
            }
            (Resource::SubtaskAttempt(request), ResourceBody::SubtaskAttempt(attempt)) => {
                self.lifecycle.observe_attempt(&self.vertices, &request.vertex, &attempt);
            }
            (_, ResourceBody::Checkpoints(overview)) => {
                self.lifecycle.observe_statistics(true);
                if let Some(restored) = &overview.latest.restored
                    && self.lifecycle.observe_restore(restored)
                {
                    self.learn(at);
                }
                // Counts fall when another JobManager begins to count, and when one of several behind the address has an older answer in
                // its cache: that shows what was shown before.
                if overview.counts.total < self.counted && !self.checkpoints.knows_one_of(&overview) {
                    self.lifecycle.begin_anew();
                    self.stir(at);
                }
                self.counted = overview.counts.total;
                self.checkpoints.observe(at, &overview);
            }
            (_, ResourceBody::CheckpointConfig(config)) => {
                self.lifecycle.observe_checkpoint_interval(config.interval);
                self.checkpoints.observe_config(&config);
                self.schedule.checkpoint_interval = config.interval;
                self.schedule.knows_config = true;
            }
            (_, ResourceBody::CheckpointDetails(details)) => self.checkpoints.observe_details(at, details),
            (Resource::CheckpointSubtasks(request), ResourceBody::CheckpointSubtasks(task)) => {
                self.checkpoints.observe_subtasks(at, request.checkpoint, &request.vertex, &task);
            }
            _ => {}
        }
    }

    fn observe_missing(&mut self, resource: &Resource) {
        match resource {
            Resource::CheckpointDetails(request) => self.checkpoints.observe_missing(request.checkpoint),
            Resource::CheckpointSubtasks(request) => self.checkpoints.observe_missing(request.checkpoint),
            // Asked again: whatever stands before the cluster may have answered for it.
            Resource::Checkpoints(_) => {
                self.statistics = None;
                self.lifecycle.observe_statistics(false);
            }
            _ => {}
        }
    }

    /// Tells what is known by now; answers how many of the checkpoints lack their tasks.
    pub(super) fn advance(
        &mut self,
        now: i64,
        restorable: &VecDeque<Restorable>,
        outputs: &mut Vec<JobObservation>,
    ) -> u64 {
        let key = &self.key;
        let first = outputs.len();
        let mut emit = |observation| outputs.push(JobObservation { job: key.clone(), observation });
        let lifecycle = &self.lifecycle;
        let locations = |vertex: &str| lifecycle.locations(vertex);
        let incomplete = self.checkpoints.advance(now, &self.vertices, &locations, &mut emit);
        let checkpoints = &self.checkpoints;
        self.lifecycle.advance(now, &|id, path| checkpoints.restored(id, path, restorable), &mut emit);
        if outputs.len() > first {
            self.schedule.idle_until = i64::MIN;
        }
        incomplete
    }

    pub(super) fn is_settled(&self) -> bool {
        self.checkpoints.is_settled() && self.lifecycle.is_settled()
    }

    /// Something changed: for a while, look closely.
    fn stir(&mut self, at: i64) {
        self.schedule.turmoil_until = at.saturating_add(2 * SETTLE_MS);
        self.schedule.note_change(at);
    }

    /// An answer told something new, which is a change unless nobody had asked before.
    fn learn(&mut self, at: i64) {
        match self.schedule.is_old {
            true => self.schedule.turmoil_until = at.saturating_add(2 * SETTLE_MS),
            false => self.stir(at),
        }
    }

    /// Whether something happened to it that is told only by asking in time.
    pub(super) fn presses(&self) -> bool {
        !self.schedule.is_old || self.checkpoints.has_waiting()
    }

    /// Whether there is nothing to ask: the last checkpoints and the last state of a job that ended show only when the caches have expired.
    fn is_silent(&self, now: i64) -> bool {
        self.ended_at.is_some_and(|ended| now > ended + 2 * SETTLE_MS) || self.state == Some(JobStatus::Initializing)
    }

    /// Adds what to ask of the job itself, each question once in three seconds, and counts it as asked.
    pub(super) fn requests(&mut self, now: i64, wanted: &mut Vec<Resource>) {
        if now < self.schedule.idle_until || self.is_silent(now) {
            return;
        }
        let schedule = &mut self.schedule;
        schedule.forget_expired(now);
        let job = &self.id;
        let is_in_turmoil = now < schedule.turmoil_until;
        if is_in_turmoil || now < schedule.details_until {
            schedule.ask_unless_known(now, Job { job: job.clone() }.into(), wanted);
        }
        if is_in_turmoil {
            schedule.ask_unless_known(now, JobExceptions::new(job.clone()).into(), wanted);
        }
        if !self.lifecycle.is_batch() {
            let checkpoints: Resource = CheckpointsEndpoint { job: job.clone() }.into();
            let interval = schedule.checkpoint_interval;
            let is_at_leisure = interval >= RARE_MS
                && now >= schedule.details_until.max(schedule.turmoil_until)
                && !self.checkpoints.is_open();
            let is_due = now >= self.checkpoints.next_end(interval).saturating_add(DUE_AFTER_MS);
            let pause = match (is_at_leisure, is_due) {
                (false, _) => REFRESH_MS,
                (true, true) => 2 * REFRESH_MS,
                (true, false) => LONGEST_LEISURE_MS.min(interval / 2),
            };
            if schedule.checkpoints_asked_at.is_none_or(|asked| now >= asked + pause) {
                schedule.checkpoints_asked_at = Some(now);
                schedule.ask(now, checkpoints, wanted);
            }
            let config: Resource = CheckpointConfig { job: job.clone() }.into();
            if !schedule.knows_config {
                schedule.ask(now, config, wanted);
            }
        }
    }

    /// Adds at most `limit` questions about single vertices and checkpoints, each once in three seconds, and counts them as asked.
    pub(super) fn parts(&mut self, now: i64, limit: usize, wanted: &mut Vec<Resource>) {
        if now < self.schedule.idle_until || self.is_silent(now) {
            return;
        }
        let schedule = &mut self.schedule;
        let job = &self.id;
        if limit == 0 {
            return;
        }
        let (first, full) = (wanted.len(), wanted.len() + limit);
        for (vertex, subtask, attempt) in self.lifecycle.wanted_attempts(&self.vertices) {
            if wanted.len() < full {
                let request = SubtaskAttempt { job: job.clone(), vertex: vertex.clone(), subtask, attempt };
                schedule.ask(now, request.into(), wanted);
            }
        }
        let mut begun = 0;
        for (checkpoint, vertices) in self.checkpoints.wanted() {
            if wanted.len() == full {
                break;
            }
            let Some(vertices) = vertices else {
                let asked = wanted.len();
                if begun < BEGUN_AT_ONCE {
                    schedule.ask(now, CheckpointDetails { job: job.clone(), checkpoint }.into(), wanted);
                }
                begun += wanted.len() - asked;
                continue;
            };
            for vertex in vertices {
                if wanted.len() == full {
                    break;
                }
                let request = CheckpointSubtasks { job: job.clone(), checkpoint, vertex: vertex.clone() };
                schedule.ask(now, request.into(), wanted);
            }
        }
        let awaits_subtasks = self.lifecycle.awaits_subtasks();
        if awaits_subtasks || now < schedule.turmoil_until {
            for (vertex, _) in &self.vertices {
                if wanted.len() == full {
                    break;
                }
                let asked_at = self.lifecycle.times_asked_at(vertex);
                let is_known = asked_at.is_some_and(|asked| schedule.shows_the_change(asked));
                let again = awaits_subtasks && asked_at.is_some_and(|asked| now >= asked + RECHECK_MS);
                if !is_known || again {
                    schedule.ask(now, SubtaskTimes { job: job.clone(), vertex: vertex.clone() }.into(), wanted);
                }
            }
        }
        if wanted.len() == first {
            schedule.idle_until = schedule.next_due(now);
        }
    }
}

impl Schedule {
    fn note_change(&mut self, at: i64) {
        self.changed_at = at;
        self.is_old = false;
    }

    /// Whether an answer to what was asked then shows the last change: whatever was cached then is from after it.
    fn shows_the_change(&self, asked_at: i64) -> bool {
        self.is_dated && asked_at >= self.changed_at.saturating_add(SETTLE_MS)
    }

    fn ask_unless_known(&mut self, now: i64, resource: Resource, wanted: &mut Vec<Resource>) {
        if !self.answered.get(&resource).is_some_and(|asked| self.shows_the_change(*asked)) {
            self.ask(now, resource, wanted);
        }
    }

    fn ask(&mut self, now: i64, resource: Resource, wanted: &mut Vec<Resource>) {
        if let Entry::Vacant(entry) = self.asked_at.entry(resource) {
            wanted.push(entry.key().clone());
            entry.insert(now);
        }
    }

    fn forget_expired(&mut self, now: i64) {
        self.asked_at.retain(|_, asked| now < *asked + REFRESH_MS);
    }

    /// When something may be wanted again.
    fn next_due(&self, now: i64) -> i64 {
        let asked = self.asked_at.values().copied().min().map_or(now, |asked| asked.min(now));
        let due = asked + REFRESH_MS;
        due.max(now + 1)
    }
}

/// At most `limit` characters of `text`, with a note of what was cut.
pub(super) fn bounded(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
    }
}
