//! The observer of a cluster. It turns responses into observations.
//!
//! It is pure: it knows no clock, no network and no file. Every response comes with the time at
//! which it arrived, and the caller asks for the next requests.

mod checkpoints;
mod convert;
mod failures;
mod job;
mod lifecycle;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use flink_rest::types::MultipleJobsDetails;
use flink_rest::{BodyError, JobId, JobsOverview, Resource, ResourceBody};
use flink_traces_runtime::checkpoint::CheckpointType;

use crate::observation::{JobKey, JobObservation, Observation};
use job::JobObserver;

/// The longest time by which a response may lag behind the cluster.
///
/// Flink caches execution graphs and checkpoint statistics for three seconds, and a cluster is
/// polled only now and then. The observer holds back an observation for this long if an earlier one
/// could still arrive.
pub const SETTLE_TIME: Duration = Duration::from_millis(SETTLE_MS.unsigned_abs());

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

/// The outcome of one request to a cluster.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestOutcome {
    /// A response with a body that was parsed.
    Found(Box<ResourceBody>),
    /// A response that [`ClusterObserver::is_unchanged`] recognized, so its body was not parsed.
    Unchanged,
    /// The cluster does not have the resource, or not in this version of Flink.
    Missing,
    /// No response, or one that cannot be read. The observer requests the resource again later.
    Unavailable,
}

impl RequestOutcome {
    /// Builds the outcome of a request for `resource` from the status and the body of its response.
    ///
    /// A status other than 200 and 404 gives [`Unavailable`](Self::Unavailable).
    ///
    /// # Errors
    ///
    /// Returns an error if the status is 200 and the body is not what Flink sends for `resource`.
    /// The observer should then get [`Unavailable`](Self::Unavailable).
    pub fn from_response(resource: &Resource, status: u16, body: &[u8]) -> Result<Self, BodyError> {
        Self::from_response_with(resource, status, body, &mut Vec::new())
    }

    /// Builds the outcome as [`from_response`](Self::from_response) does, and adds an error to
    /// `skipped` for each entry of a list that could not be read.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`from_response`](Self::from_response).
    pub fn from_response_with(
        resource: &Resource,
        status: u16,
        body: &[u8],
        skipped: &mut Vec<BodyError>,
    ) -> Result<Self, BodyError> {
        match status {
            200 => Ok(Self::Found(Box::new(resource.parse_body_with(body, skipped)?))),
            404 => Ok(Self::Missing),
            _ => Ok(Self::Unavailable),
        }
    }
}

/// The observer of all jobs of one cluster.
///
/// The caller polls the cluster: it sends the requests that [`requests`](Self::requests) returns,
/// and passes the outcome of each to [`observe`](Self::observe), which returns what is now known to
/// have happened.
///
/// # Examples
///
/// One poll of a cluster, here a function that returns a status and a body:
///
/// ```
/// use flink_rest::Resource;
/// use flink_traces_observer::{ClusterObserver, RequestOutcome};
///
/// fn get(resource: &Resource) -> (u16, Vec<u8>) {
///     match resource.path().as_str() {
///         "/jobs/overview" => (200, br#"{"jobs":[]}"#.to_vec()),
///         _ => (404, Vec::new()),
///     }
/// }
///
/// let mut observer = ClusterObserver::new();
/// let now = 1_795_230_900_000;
/// loop {
///     let requests = observer.requests(now);
///     if requests.is_empty() {
///         break;
///     }
///     for resource in requests {
///         let (status, body) = get(&resource);
///         let outcome = RequestOutcome::from_response(&resource, status, &body);
///         let outcome = outcome.unwrap_or(RequestOutcome::Unavailable);
///         for observation in observer.observe(now, &resource, outcome) {
///             println!("{}: {:?}", observation.job.name, observation.observation);
///         }
///     }
/// }
/// assert!(observer.is_settled());
/// ```
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
    /// Creates an observer that has not seen any response.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the requests that are due at `now`, in milliseconds since the epoch.
    ///
    /// The observer counts them as sent. After their outcomes have been observed, more requests may
    /// be due, so call this with the same `now` until it returns an empty list. That is one poll.
    ///
    /// A call returns a handful of requests for each job. If there are none, it returns a limited
    /// number of detail requests, which are about one task or one checkpoint. A cluster gets at most
    /// 2,000 detail requests a second; later polls return the rest, and nothing is queued.
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

    /// Returns `true` if the last poll reached the limit of detail requests.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Returns the number of checkpoints that were observed without the statistics of their tasks,
    /// because the cluster did not return these, or not in time.
    pub fn incomplete_checkpoints(&self) -> u64 {
        self.incomplete_checkpoints
    }

    /// Returns `true` if `body`, of a response with status 200, equals that of the last response for
    /// `resource`. It need not be parsed then, and the outcome is [`RequestOutcome::Unchanged`].
    ///
    /// The observer remembers `body`. Call this before [`observe`](Self::observe), and either for
    /// all responses or for none.
    pub fn is_unchanged(&mut self, resource: &Resource, body: &[u8]) -> bool {
        job_of(resource).and_then(|id| self.jobs.get_mut(id)).is_some_and(|job| job.knows(resource, body))
    }

    /// Takes the outcome of a request for `resource`, and returns the observations that it completes.
    ///
    /// `at` is the time at which the response arrived, in milliseconds since the epoch.
    pub fn observe(&mut self, at: i64, resource: &Resource, outcome: RequestOutcome) -> Vec<JobObservation> {
        let mut outputs = Vec::new();
        if let RequestOutcome::Found(answer) = &outcome
            && let ResourceBody::JobsOverview(overview) = &**answer
        {
            self.observe_overview(at, overview, &mut outputs);
            self.advance(at, &mut outputs);
        } else if let Some(id) = job_of(resource)
            && let Some(job) = self.jobs.get_mut(id)
        {
            job.observe(at, resource, outcome);
            // Only this one: with many jobs, going through all at every answer is most of what observing costs.
            self.incomplete_checkpoints += job.advance(at, &self.restorable, &mut outputs);
            self.remember(&outputs);
        }
        outputs
    }

    /// Sets the type of a checkpoint that no response contains.
    ///
    /// Flink returns the type `FULL` only to the client that triggered such a checkpoint. A recording
    /// of that request contains it.
    pub fn set_checkpoint_type(&mut self, job: &JobId, checkpoint: i64, checkpoint_type: CheckpointType) {
        if let Some(job) = self.jobs.get_mut(job) {
            job.learn_checkpoint_type(checkpoint, checkpoint_type);
        }
    }

    /// Returns `true` if no observation is held back.
    pub fn is_settled(&self) -> bool {
        self.jobs.values().all(JobObserver::is_settled)
    }

    /// Returns the observations that are held back. Call this after the last response.
    pub fn finish(&mut self) -> Vec<JobObservation> {
        let mut outputs = Vec::new();
        self.advance(i64::MAX, &mut outputs);
        outputs
    }

    fn observe_overview(&mut self, at: i64, overview: &MultipleJobsDetails, outputs: &mut Vec<JobObservation>) {
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

    fn advance(&mut self, now: i64, outputs: &mut Vec<JobObservation>) {
        let mut jobs = std::mem::take(&mut self.jobs);
        for job in jobs.values_mut() {
            let first = outputs.len();
            self.incomplete_checkpoints += job.advance(now, &self.restorable, outputs);
            self.remember(&outputs[first..]);
        }
        self.jobs = jobs;
    }

    /// Keeps what another job may restore.
    fn remember(&mut self, outputs: &[JobObservation]) {
        for output in outputs {
            if let Observation::Checkpoint(stats) = &output.observation
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
