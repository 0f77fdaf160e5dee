//! The observer: what a cluster's REST API answers goes in, what happened in the cluster comes out.
//!
//! It is pure. It knows no clock, no network and no file: every answer comes with the moment at which it arrived, and what to ask
//! next is a question to it. So a live cluster, a recording and a test run the same code.

mod checkpoints;
mod convert;
mod failures;
mod job;
mod lifecycle;
mod record;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use flink_rest::types::MultipleJobsDetails;
use flink_rest::{Answer, JobId, JobsOverview, Resource};

pub use job::JobObserver;
pub use record::{JobKey, Output, Record};

/// How long an answer may lag behind what happened: Flink caches graphs and statistics for three seconds, and someone has to ask.
pub(crate) const SETTLE_MS: i64 = 4_500;
/// How often the cached answers are worth asking for.
pub(crate) const REFRESH_MS: i64 = 3_000;

/// How many questions about vertices and single checkpoints a cluster gets in a second at most: their number is that of vertices, and a
/// JobManager needs some 50 µs for each.
const PARTS_PER_SECOND: i64 = 2_000;
/// How many of them are asked before it is seen again what else is wanted, and how many of these may be about one job.
const PORTION: usize = 128;
const PORTION_OF_A_JOB: usize = 16;
/// A look after a pause may not make up for all of it.
const LONGEST_PAUSE_MS: i64 = 3_000;

/// How many checkpoints are remembered for jobs that restore another's.
const MAX_RESTORABLE: usize = 1_000;

/// What came of a request.
#[derive(Debug, Clone)]
pub enum Observation {
    /// An answer that could be read.
    Found(Box<Answer>),
    /// An answer that [is known](ClusterObserver::knows).
    Unchanged,
    /// The cluster answered that there is no such thing, or not in this version.
    Missing,
    /// Nothing, or nothing that could be read. Ask again later.
    Unavailable,
}

/// Watches all jobs of one cluster.
#[derive(Debug, Default)]
pub struct ClusterObserver {
    jobs: BTreeMap<JobId, JobObserver>,
    overview_asked_at: Option<i64>,
    /// How many parts may still be asked for in this look.
    parts_left: usize,
    /// The last jobs that parts were asked of, where nothing presses and where something does: the next one has its turn first.
    last_served: [Option<JobId>; 2],
    /// Whether more parts were wanted in the last look than could be asked for.
    is_behind: bool,
    incomplete_checkpoints: u64,
    /// Ended checkpoints that other jobs may restore, oldest first.
    restorable: VecDeque<Restorable>,
}

/// What a job that restores a checkpoint cannot tell of it.
#[derive(Debug)]
pub(crate) struct Restorable {
    pub(crate) path: String,
    pub(crate) state_size: Option<i64>,
}

impl ClusterObserver {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to ask now, at `now` milliseconds since the epoch. What is returned counts as asked. More may be wanted after the answers
    /// have been observed: call it again with the same `now` until it returns nothing.
    ///
    /// It returns a few questions for each job at most, or, when there are none of these, a portion of those about single vertices and
    /// checkpoints. What is beyond so many of the latter in a second is asked in later looks; nothing is queued.
    pub fn requests(&mut self, now: i64) -> Vec<Resource> {
        let mut wanted = Vec::new();
        // The overview asks every JobMaster: once a call of the poller, which paces itself.
        if self.overview_asked_at.is_none_or(|asked| now > asked) {
            let pause = self.overview_asked_at.map_or(1_000, |asked| now.saturating_sub(asked).min(LONGEST_PAUSE_MS));
            self.parts_left = usize::try_from(pause * PARTS_PER_SECOND / 1_000).unwrap_or_default().max(PORTION);
            self.is_behind = false;
            self.overview_asked_at = Some(now);
            wanted.push(JobsOverview.into());
        }
        for job in self.jobs.values_mut() {
            job.requests(now, &mut wanted);
        }
        if wanted.is_empty() {
            self.parts(now, &mut wanted);
        }
        wanted
    }

    /// Lets one job after the other ask for parts, most of the time those where something happened while they were watched.
    fn parts(&mut self, now: i64, wanted: &mut Vec<Resource>) {
        let portion = PORTION.min(self.parts_left);
        for (presses, limit) in [(true, portion * 3 / 4), (false, portion), (true, portion)] {
            let last_served = &mut self.last_served[usize::from(presses)];
            let (after, before) = match last_served.clone() {
                Some(last) => {
                    ((Bound::Excluded(last.clone()), Bound::Unbounded), Some((Bound::Unbounded, Bound::Included(last))))
                }
                None => ((Bound::Unbounded, Bound::Unbounded), None),
            };
            for range in [Some(after), before].into_iter().flatten() {
                for (id, job) in self.jobs.range_mut(range).filter(|(_, job)| job.presses() == presses) {
                    let asked = wanted.len();
                    job.parts(now, PORTION_OF_A_JOB.min(limit.saturating_sub(asked)), wanted);
                    if wanted.len() > asked {
                        *last_served = Some(id.clone());
                    }
                    if wanted.len() >= limit {
                        break;
                    }
                }
            }
        }
        self.parts_left -= wanted.len();
        self.is_behind |= self.parts_left == 0;
    }

    /// Whether there was more to ask in the last look than a cluster is asked in that time.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// How many checkpoints were told without what their tasks did, since that was not to be had, or not in time.
    pub fn incomplete_checkpoints(&self) -> u64 {
        self.incomplete_checkpoints
    }

    /// Whether the body of an answer with status 200 is the same as that of the last answer to `resource`, so that it need not be read. What
    /// it is asked about counts as answered: to be called before [`observe`](Self::observe), for every answer or for none.
    pub fn knows(&mut self, resource: &Resource, body: &[u8]) -> bool {
        job_of(resource).and_then(|id| self.jobs.get_mut(id)).is_some_and(|job| job.knows(resource, body))
    }

    /// Takes what came of asking for `resource`, at `at` milliseconds since the epoch, and tells what is known to have happened.
    pub fn observe(&mut self, at: i64, resource: &Resource, observation: Observation) -> Vec<Output> {
        let mut outputs = Vec::new();
        if let Observation::Found(answer) = &observation
            && let Answer::JobsOverview(overview) = &**answer
        {
            self.observe_overview(at, overview, &mut outputs);
            self.advance(at, &mut outputs);
        } else if let Some(id) = job_of(resource)
            && let Some(job) = self.jobs.get_mut(id)
        {
            job.observe(at, resource, observation);
            // Only this one: with many jobs, going through all at every answer is most of what observing costs.
            self.incomplete_checkpoints += job.advance(at, &self.restorable, &mut outputs);
            self.remember(&outputs);
        }
        outputs
    }

    /// Takes what an action in a recording tells and no answer does: that this checkpoint is of that type.
    pub fn learn_checkpoint_type(
        &mut self,
        job: &JobId,
        checkpoint: i64,
        checkpoint_type: flink_traces_runtime::checkpoint::CheckpointType,
    ) {
        if let Some(job) = self.jobs.get_mut(job) {
            job.learn_checkpoint_type(checkpoint, checkpoint_type);
        }
    }

    /// Whether nothing is held back.
    pub fn is_settled(&self) -> bool {
        self.jobs.values().all(JobObserver::is_settled)
    }

    /// Tells what is still held back. To be called when nothing more will be observed.
    pub fn finish(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.advance(i64::MAX, &mut outputs);
        outputs
    }

    fn observe_overview(&mut self, at: i64, overview: &MultipleJobsDetails, outputs: &mut Vec<Output>) {
        for summary in &overview.jobs {
            let job = self.jobs.entry(summary.jid.clone());
            job.or_insert_with(|| JobObserver::new(summary, at)).observe_summary(at, summary);
        }
        // A job that the cluster has forgotten: it ended long ago, or the JobManager did.
        let shown: BTreeSet<&JobId> = overview.jobs.iter().map(|summary| &summary.jid).collect();
        let gone: Vec<JobId> = self.jobs.keys().filter(|id| !shown.contains(id)).cloned().collect();
        for id in gone {
            if let Some(mut job) = self.jobs.remove(&id) {
                self.incomplete_checkpoints += job.advance(i64::MAX, &self.restorable, outputs);
            }
        }
    }

    fn advance(&mut self, now: i64, outputs: &mut Vec<Output>) {
        let mut jobs = std::mem::take(&mut self.jobs);
        for job in jobs.values_mut() {
            let first = outputs.len();
            self.incomplete_checkpoints += job.advance(now, &self.restorable, outputs);
            self.remember(&outputs[first..]);
        }
        self.jobs = jobs;
    }

    /// Keeps what another job may restore.
    fn remember(&mut self, outputs: &[Output]) {
        for output in outputs {
            if let Record::Checkpoint(stats) = &output.record
                && let Some(path) = stats.external_path.clone()
            {
                self.restorable.push_back(Restorable { path, state_size: stats.state_size });
            }
        }
        let surplus = self.restorable.len().saturating_sub(MAX_RESTORABLE);
        self.restorable.drain(..surplus);
    }
}

/// The job that a resource belongs to.
fn job_of(resource: &Resource) -> Option<&JobId> {
    match resource {
        Resource::Job(request) => Some(&request.job),
        Resource::JobExceptions(request) => Some(&request.job),
        Resource::Checkpoints(request) => Some(&request.job),
        Resource::CheckpointConfig(request) => Some(&request.job),
        Resource::CheckpointDetails(request) => Some(&request.job),
        Resource::CheckpointSubtasks(request) => Some(&request.job),
        Resource::SubtaskTimes(request) => Some(&request.job),
        Resource::SubtaskAttempt(request) => Some(&request.job),
        _ => None,
    }
}
