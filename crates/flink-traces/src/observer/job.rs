//! One job: sorts answers to the part that needs them, and says what to ask.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flink_rest::types::JobDetails;
use flink_rest::{
    Answer, CheckpointConfig, CheckpointDetails, CheckpointSubtasks, Checkpoints as CheckpointsEndpoint, Job,
    JobExceptions, JobId, JobStatus, JobVertexId, Resource, SubtaskAttempt, SubtaskTimes,
};
use flink_traces_runtime::CheckpointType;

use super::checkpoints::Checkpoints;
use super::lifecycle::Lifecycle;
use super::{JobKey, Observation, Output, REFRESH_MS, Restorable, SETTLE_MS};

/// The longest job name that is passed on, in characters.
pub(super) const MAX_NAME_CHARS: usize = 1_024;

/// Watches one job.
#[derive(Debug)]
pub struct JobObserver {
    id: JobId,
    key: JobKey,
    state: Option<JobStatus>,
    /// When, by the overview, it or a subtask last changed its state.
    last_modification: i64,
    /// When the state was first seen to be final.
    ended_at: Option<i64>,
    /// Checkpoints that the JobManager has counted.
    counted: i64,
    checkpoints: Checkpoints,
    lifecycle: Lifecycle,
    /// Ids and names.
    vertices: Vec<(JobVertexId, String)>,
    schedule: Schedule,
}

/// What was asked when, and what for.
#[derive(Debug, Default)]
struct Schedule {
    asked_at: BTreeMap<Resource, i64>,
    /// What will never be asked again.
    settled: BTreeSet<Resource>,
    /// Until when the job's states may have changed: details cost the JobManager most, and tell nothing else.
    details_until: i64,
    /// Until when failures and the times of subtasks are of interest.
    turmoil_until: i64,
}

impl JobObserver {
    pub(super) fn new(summary: &JobDetails, at: i64) -> Self {
        let name = bounded(&summary.name, MAX_NAME_CHARS);
        Self {
            id: summary.jid.clone(),
            key: JobKey { id: summary.jid.to_string(), name, start_time: summary.start_time },
            state: None,
            last_modification: i64::MIN,
            ended_at: None,
            counted: 0,
            checkpoints: Checkpoints::default(),
            lifecycle: Lifecycle::new(summary.start_time, at),
            vertices: Vec::new(),
            schedule: Schedule { turmoil_until: at + 2 * SETTLE_MS, ..Schedule::default() },
        }
    }

    pub(super) fn learn_checkpoint_type(&mut self, checkpoint: i64, checkpoint_type: CheckpointType) {
        self.checkpoints.learn_type(checkpoint, checkpoint_type);
    }

    pub(super) fn observe_summary(&mut self, at: i64, summary: &JobDetails) {
        // The overview is not cached, and what it says of a job changes with every state, also one that nobody saw.
        if self.last_modification != summary.last_modification {
            self.last_modification = summary.last_modification;
            self.schedule.details_until = at.saturating_add(2 * SETTLE_MS);
        }
        if self.state.as_ref() == Some(&summary.state) {
            return;
        }
        let has_ended = summary.state.is_globally_terminal() || summary.state == JobStatus::Suspended;
        self.ended_at = has_ended.then_some(at);
        self.state = Some(summary.state.clone());
        self.stir(at);
        // What is cached may already show the change: do not wait for the next round.
        self.schedule.asked_at.clear();
    }

    pub(super) fn observe(&mut self, at: i64, resource: &Resource, observation: Observation) {
        let answer = match observation {
            Observation::Found(answer) => *answer,
            Observation::Missing => return self.observe_missing(resource),
            Observation::Unavailable => return,
        };
        match (resource, answer) {
            (_, Answer::Job(details)) => {
                let named =
                    details.vertices.iter().map(|vertex| (vertex.id.clone(), bounded(&vertex.name, MAX_NAME_CHARS)));
                let vertices: Vec<_> = named.collect();
                if vertices != self.vertices {
                    self.lifecycle.forget_subtasks();
                    self.vertices = vertices;
                }
                if self.lifecycle.observe_job(at, &details) {
                    self.stir(at);
                }
            }
            (_, Answer::JobExceptions(exceptions)) => self.lifecycle.observe_exceptions(at, &exceptions),
            (Resource::SubtaskTimes(request), Answer::SubtaskTimes(times)) => {
                let vertices = self.vertices.iter().map(|(id, _)| id);
                self.lifecycle.observe_subtask_times(at, &request.vertex, &times, vertices);
            }
            (Resource::SubtaskAttempt(request), Answer::SubtaskAttempt(attempt)) => {
                self.lifecycle.observe_attempt(&self.vertices, &request.vertex, &attempt);
            }
            (_, Answer::Checkpoints(overview)) => {
                self.lifecycle.observe_statistics(true);
                if let Some(restored) = &overview.latest.restored
                    && self.lifecycle.observe_restore(restored)
                {
                    self.stir(at);
                }
                // Counts fall when another JobManager begins to count, and when one of several behind the address has an older answer in
                // its cache: that shows what was shown before.
                if overview.counts.total < self.counted && !self.checkpoints.knows_one_of(&overview) {
                    self.lifecycle.begin_anew();
                }
                self.counted = overview.counts.total;
                self.checkpoints.observe(at, &overview);
            }
            (_, Answer::CheckpointConfig(config)) => {
                self.lifecycle.observe_checkpoint_interval(config.interval);
                self.schedule.settled.insert(resource.clone());
            }
            (_, Answer::CheckpointDetails(details)) => self.checkpoints.observe_details(details),
            (Resource::CheckpointSubtasks(request), Answer::CheckpointSubtasks(task)) => {
                self.checkpoints.observe_subtasks(request.checkpoint, &request.vertex, &task);
            }
            _ => {}
        }
    }

    fn observe_missing(&mut self, resource: &Resource) {
        match resource {
            Resource::CheckpointDetails(request) => self.checkpoints.observe_missing(request.checkpoint),
            Resource::CheckpointSubtasks(request) => self.checkpoints.observe_missing(request.checkpoint),
            // Asked again: whatever stands before the cluster may have answered for it.
            Resource::Checkpoints(_) => self.lifecycle.observe_statistics(false),
            _ => {}
        }
    }

    pub(super) fn advance(&mut self, now: i64, restorable: &VecDeque<Restorable>, outputs: &mut Vec<Output>) {
        let key = &self.key;
        let mut emit = |record| outputs.push(Output { job: key.clone(), record });
        self.checkpoints.advance(now, &self.vertices, &mut emit);
        let checkpoints = &self.checkpoints;
        self.lifecycle.advance(now, &|id, path| checkpoints.restored(id, path, restorable), &mut emit);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.checkpoints.is_settled() && self.lifecycle.is_settled()
    }

    /// Something changed: for a while, look closely.
    fn stir(&mut self, at: i64) {
        self.schedule.turmoil_until = at.saturating_add(2 * SETTLE_MS);
    }

    pub(super) fn requests(&mut self, now: i64, wanted: &mut Vec<Resource>) {
        // The last checkpoints and the last state show only when the caches have expired.
        if self.ended_at.is_some_and(|ended| now > ended + 2 * SETTLE_MS) || self.state == Some(JobStatus::Initializing)
        {
            return;
        }
        let job = &self.id;
        let mut ask: Vec<Resource> = Vec::new();
        if now < self.schedule.details_until.max(self.schedule.turmoil_until) {
            ask.push(Job { job: job.clone() }.into());
        }
        if !self.lifecycle.is_batch() {
            ask.push(CheckpointsEndpoint { job: job.clone() }.into());
            ask.push(CheckpointConfig { job: job.clone() }.into());
        }
        if now < self.schedule.turmoil_until {
            ask.push(JobExceptions::new(job.clone()).into());
        }
        if now < self.schedule.turmoil_until || self.lifecycle.awaits_subtasks() {
            let vertices = self.vertices.iter().map(|(vertex, _)| vertex.clone());
            ask.extend(vertices.map(|vertex| SubtaskTimes { job: job.clone(), vertex }.into()));
        }
        ask.extend(self.lifecycle.wanted_attempts(&self.vertices).map(|(vertex, subtask, attempt)| {
            SubtaskAttempt { job: job.clone(), vertex: vertex.clone(), subtask, attempt }.into()
        }));
        for (checkpoint, vertices) in self.checkpoints.wanted() {
            match vertices {
                None => ask.push(CheckpointDetails { job: job.clone(), checkpoint }.into()),
                Some(vertices) => ask.extend(
                    vertices
                        .into_iter()
                        .map(|vertex| CheckpointSubtasks { job: job.clone(), checkpoint, vertex }.into()),
                ),
            }
        }
        let schedule = &mut self.schedule;
        schedule.asked_at.retain(|_, asked| now < *asked + REFRESH_MS);
        ask.retain(|resource| !schedule.settled.contains(resource) && !schedule.asked_at.contains_key(resource));
        schedule.asked_at.extend(ask.iter().map(|resource| (resource.clone(), now)));
        wanted.extend(ask);
    }
}

/// At most `limit` characters of `text`, with a note of what was cut.
pub(super) fn bounded(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
    }
}
