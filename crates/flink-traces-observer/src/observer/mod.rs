//! The observer of a cluster. It turns responses into observations.
//!
//! It is pure: it knows no clock, no network and no file. Every response comes with the time at
//! which it arrived, and the caller asks for the next requests.

mod applications;
mod body;
mod checkpoints;
mod cluster;
mod contact;
mod content;
mod convert;
mod details;
mod failures;
mod gaps;
mod job;
mod jobs;
mod lifecycle;
mod presence;
mod rescales;
mod schedule;
mod subtasks;
mod text;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use flink_rest::types::MultipleJobsDetails;
use flink_rest::{BodyError, JobId, Resource, ResourceBody};
use flink_traces_runtime::CheckpointStats;
use flink_traces_runtime::checkpoint::CheckpointType;
use flink_traces_runtime::extension::VanishedJobOutcome;

use crate::observation::{JobKey, JobObservation, Observation};
use applications::{Applications, Names};
pub use cluster::JOB_MANAGER_OPTIONS;
use contact::Contact;
use details::DetailBudget;
use job::JobObserver;
use jobs::Jobs;
use schedule::Turn;

/// The longest time by which a response may lag behind the cluster.
///
/// Flink caches execution graphs and checkpoint statistics for three seconds, and a cluster is
/// polled only now and then. The observer holds back an observation for this long if an earlier one
/// could still arrive.
pub const SETTLE_TIME: Duration = Duration::from_millis(SETTLE_MS.unsigned_abs());

/// [`SETTLE_TIME`] in milliseconds.
const SETTLE_MS: i64 = 4_500;
/// The time for which Flink caches responses by default, in milliseconds.
const REFRESH_MS: i64 = 3_000;
/// The shortest time between two polls that no response causes.
const SHORTEST_WAIT_MS: i64 = 50;
/// The longest time for which a job that changes rarely waits for the next poll of its cluster.
const LONGEST_SLACK_MS: i64 = 2 * REFRESH_MS;
/// The number of jobs up to which a cluster is polled more often while one of them changes.
const MAX_CHANGING_JOBS: usize = 50;
/// The maximum number of checkpoints that are remembered for jobs that restore another job's.
const MAX_RESTORABLE: usize = 1_000;
/// The maximum number of those that are of one job and no savepoints.
const MAX_RESTORABLE_OF_JOB: usize = 3;
/// The maximum number of forgotten jobs of which the observer knows what it reported.
const MAX_DEPARTED: usize = 100;
/// A job has vanished if its cluster is away for this long.
const VANISHED_AFTER_MS: i64 = 60_000;

/// The outcome of one request to a cluster.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestOutcome {
    /// A response with a body that was parsed. The observer needs no summary of checkpoints or
    /// subtasks, so [`from_response`](Self::from_response) leaves it out.
    Found(Box<ResourceBody>),
    /// A response that [`ClusterObserver::is_unchanged`] recognized, so its body was not parsed.
    Unchanged,
    /// The cluster does not have the resource, or not in this version of Flink.
    Missing,
    /// No response, or one that cannot be read. The observer requests the resource again later.
    Unavailable,
    /// No response in time. The observer requests the resource again, less and less often.
    TimedOut,
}

impl RequestOutcome {
    /// Returns `true` if the cluster responded with what it has.
    fn is_response(&self) -> bool {
        matches!(self, Self::Found(_) | Self::Unchanged | Self::Missing)
    }

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
            200 => Ok(Self::Found(Box::new(body::read(resource, body, skipped)?))),
            404 => Ok(Self::Missing),
            _ => Ok(Self::Unavailable),
        }
    }
}

/// The observer of all jobs of one cluster.
///
/// The caller polls the cluster: it sends the requests that [`requests`](Self::requests) returns,
/// and passes the outcome of each to [`observe`](Self::observe), which returns what is now known to
/// have happened. [`next_request_at`](Self::next_request_at) returns the time of the next poll.
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
    jobs: Jobs,
    /// The jobs that the cluster has forgotten, and their ids, oldest first.
    departed: BTreeMap<JobId, JobObserver>,
    departed_order: VecDeque<JobId>,
    contact: Contact,
    applications: Applications,
    budget: DetailBudget,
    /// The time until which a job changes its state, by the last overview.
    changing_until: i64,
    incomplete_checkpoints: u64,
    restorable: Restorable,
}

/// The sizes of ended checkpoints that other jobs may restore. The responses for such a job do not
/// have them.
#[derive(Debug, Default)]
pub(crate) struct Restorable(VecDeque<RestorableCheckpoint>);

/// The size of a checkpoint. A cluster has up to a thousand of them, so texts are kept as hashes.
#[derive(Debug)]
struct RestorableCheckpoint {
    path: u64,
    /// The job, of which only the last ones are kept; `None` for a savepoint.
    job: Option<u64>,
    state_size: i64,
}

impl Restorable {
    fn add(&mut self, job: &str, path: &str, stats: &CheckpointStats) {
        let Some(state_size) = stats.state_size else { return };
        let job = (!stats.checkpoint_type.is_savepoint()).then(|| hash(job));
        if job.is_some() && self.0.iter().filter(|known| known.job == job).count() == MAX_RESTORABLE_OF_JOB {
            let oldest = self.0.iter().position(|known| known.job == job);
            oldest.and_then(|oldest| self.0.remove(oldest));
        }
        if self.0.len() == MAX_RESTORABLE {
            self.0.pop_front();
        }
        self.0.push_back(RestorableCheckpoint { path: hash(path), job, state_size });
    }

    /// Returns the size of the last checkpoint at `path`.
    pub(crate) fn state_size(&self, path: &str) -> Option<i64> {
        let key = hash(path);
        self.0.iter().rev().find(|known| known.path == key).map(|known| known.state_size)
    }
}

/// Frees the memory that an empty map keeps for eleven entries. A process has thousands of jobs.
fn release<K, V>(map: &mut BTreeMap<K, V>) {
    if map.is_empty() {
        *map = BTreeMap::new();
    }
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl ClusterObserver {
    /// Creates an observer that has not seen any response. It polls the job overview every second.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the interval between two requests for the job overview.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.contact.set_poll_interval(interval);
        self
    }

    /// Sets the longest interval between two requests for the job overview of an application
    /// cluster, and of any cluster while a job changes its state. The default is 250 ms.
    ///
    /// The JobManager of an application ends about a second after its job.
    pub fn set_change_interval(&mut self, interval: Duration) {
        self.contact.set_change_interval(interval);
    }

    /// Returns the requests that are due at `now`, in milliseconds since the epoch.
    ///
    /// The observer counts them as sent. After their outcomes have been observed, more requests may
    /// be due, so call this until it returns an empty list. A request is not returned again before
    /// its outcome was observed.
    ///
    /// A call returns a handful of requests for each job. If there are none, it returns a limited
    /// number of detail requests, which are about one task or one checkpoint. A cluster gets at
    /// most 2,000 detail requests a second; later polls return the rest, and nothing is queued.
    /// While the cluster is away, only the job overview is requested.
    pub fn requests(&mut self, now: i64) -> Vec<Resource> {
        let mut wanted = Vec::new();
        self.budget.refill(now);
        let is_changing = self.jobs.len() <= MAX_CHANGING_JOBS && now < self.changing_until;
        let begins_poll = self.contact.requests(now, is_changing, &mut wanted);
        if begins_poll {
            self.budget.begin_poll();
        }
        if self.contact.is_away() {
            return wanted;
        }
        self.applications.requests(now, &mut wanted);
        let slack = self.contact.poll_interval().min(LONGEST_SLACK_MS);
        let turn = Turn { now, until: if begins_poll { now.saturating_add(slack) } else { now }, slack };
        let ready = self.jobs.ready(turn.until);
        for id in &ready {
            self.jobs.change(id, |job| job.requests(turn, &self.contact.cluster, &mut wanted));
        }
        if wanted.is_empty() {
            self.budget.requests(turn, &self.contact.cluster, &mut self.jobs, ready, &mut wanted);
        }
        wanted
    }

    /// Returns the time at which the next request may be due if no other response arrives, in
    /// milliseconds since the epoch. It is after `now`.
    pub fn next_request_at(&self, now: i64) -> i64 {
        let jobs = self.jobs.next_request_at().filter(|_| !self.contact.is_away());
        let earliest = now.saturating_add(SHORTEST_WAIT_MS.min(self.contact.poll_interval()));
        jobs.unwrap_or(i64::MAX).min(self.contact.next_request_at()).max(earliest)
    }

    /// Notes that a request that [`requests`](Self::requests) returned takes longer than it should.
    ///
    /// Until its outcome, no other request for that job is returned.
    pub fn note_slow(&mut self, resource: &Resource) {
        if let Some(id) = job_of(resource) {
            self.jobs.change(id, |job| job.note_slow(resource));
        }
    }

    /// Returns the number of jobs that the cluster has, by the last overview and those before it.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Returns `true` if the last request for the job overview failed.
    pub fn is_away(&self) -> bool {
        self.contact.is_away()
    }

    /// Returns `true` if the cluster belongs to one application, by the configuration of its
    /// JobManager.
    pub fn is_application(&self) -> bool {
        self.contact.cluster.is_application
    }

    /// Returns `true` if the last poll reached the limit of detail requests.
    pub fn is_behind(&self) -> bool {
        self.budget.is_behind()
    }

    /// Returns the number of checkpoints that were observed without the statistics of their tasks,
    /// because the cluster did not return these, or not in time.
    pub fn incomplete_checkpoints(&self) -> u64 {
        self.incomplete_checkpoints
    }

    /// Returns `true` if `body`, of a response with status 200, equals that of the last response
    /// for `resource`. It need not be parsed then, and the outcome is
    /// [`RequestOutcome::Unchanged`].
    ///
    /// The observer remembers `body`. Call this before [`observe`](Self::observe), and either for
    /// all responses or for none.
    pub fn is_unchanged(&mut self, resource: &Resource, body: &[u8]) -> bool {
        job_of(resource).and_then(|id| self.jobs.change(id, |job| job.knows(resource, body))).unwrap_or_default()
    }

    /// Takes the outcome of a request for `resource`, and returns the observations that it
    /// completes.
    ///
    /// `at` is the time at which the response arrived, in milliseconds since the epoch.
    pub fn observe(&mut self, at: i64, resource: &Resource, outcome: RequestOutcome) -> Vec<JobObservation> {
        let mut outputs = Vec::new();
        self.contact.note_outcome(at, &outcome);
        match resource {
            Resource::JobsOverview(_) => {
                self.observe_overview_outcome(at, outcome, &mut outputs);
                self.advance(at, &mut outputs);
            }
            Resource::JobManagerConfig(_) | Resource::Config(_) => self.contact.observe_configuration(at, outcome),
            Resource::ApplicationsOverview(_) => self.observe_applications(at, outcome),
            _ => self.observe_job(at, resource, outcome, &mut outputs),
        }
        outputs
    }

    /// Sets the type of a checkpoint that no response contains.
    ///
    /// Flink returns the type `FULL` only to the client that triggered such a checkpoint. A
    /// recording of that request contains it.
    pub fn set_checkpoint_type(&mut self, job: &JobId, checkpoint: i64, checkpoint_type: CheckpointType) {
        self.jobs.change(job, |job| job.learn_checkpoint_type(checkpoint, checkpoint_type));
    }

    /// Returns `true` if no observation is held back.
    pub fn is_settled(&self) -> bool {
        self.jobs.iter().all(JobObserver::is_settled)
    }

    /// Returns the observations that are held back. Call this after the last response.
    pub fn finish(&mut self) -> Vec<JobObservation> {
        let mut outputs = Vec::new();
        self.advance(i64::MAX, &mut outputs);
        outputs
    }

    fn observe_job(
        &mut self,
        at: i64,
        resource: &Resource,
        outcome: RequestOutcome,
        outputs: &mut Vec<JobObservation>,
    ) {
        let Some(id) = job_of(resource) else { return };
        // Only this job: with many jobs, advancing all at every response would be most of the work.
        let observed = self.jobs.change(id, |job| {
            let is_missing = matches!((resource, &outcome), (Resource::Job(_), RequestOutcome::Missing));
            let is_gone = job.is_absent() && is_missing;
            job.observe(at, resource, outcome, &mut self.applications);
            let names_arrive = self.applications.is_live();
            (is_gone, job.advance(at, &self.contact.cluster, &self.restorable, names_arrive, outputs))
        });
        let Some((is_gone, incomplete)) = observed else { return };
        self.incomplete_checkpoints += incomplete;
        self.remember(outputs);
        if is_gone {
            self.depart(at, id, outputs);
        }
    }

    fn observe_applications(&mut self, at: i64, outcome: RequestOutcome) {
        if !self.applications.observe(at, &outcome) {
            return;
        }
        let names = match outcome {
            RequestOutcome::Found(body) => match *body {
                ResourceBody::ApplicationsOverview(response) => Names::new(&response),
                _ => return,
            },
            // The cluster has no names.
            _ => Names::default(),
        };
        self.jobs.change_each(|_, job| job.observe_application_names(&names));
    }

    fn observe_overview_outcome(&mut self, at: i64, outcome: RequestOutcome, outputs: &mut Vec<JobObservation>) {
        let has_timed_out = matches!(outcome, RequestOutcome::TimedOut);
        if let RequestOutcome::Found(body) = outcome
            && let ResourceBody::JobsOverview(overview) = &*body
        {
            return self.observe_overview(at, overview, outputs);
        }
        if let Some(away_since) = self.contact.observe_failure(at, has_timed_out) {
            let has_vanished = at.saturating_sub(away_since) >= VANISHED_AFTER_MS;
            self.jobs.change_each(|_, job| {
                job.observe_away(away_since);
                if has_vanished {
                    job.vanish(at, None, outputs);
                }
            });
        }
    }

    fn observe_overview(&mut self, at: i64, overview: &MultipleJobsDetails, outputs: &mut Vec<JobObservation>) {
        let is_first = self.contact.observe_overview(at);
        for summary in &overview.jobs {
            if !self.jobs.contains(&summary.jid) {
                // A job that returns is known.
                let job = self.departed.remove(&summary.jid).unwrap_or_else(|| {
                    let is_watched_from_start = !is_first && summary.start_time >= self.contact.first_overview_at();
                    JobObserver::new(summary, at, is_watched_from_start)
                });
                self.jobs.insert(summary.jid.clone(), job);
            }
            self.jobs.change(&summary.jid, |job| job.observe_summary(at, summary, outputs));
        }
        let shown: BTreeSet<&JobId> = overview.jobs.iter().map(|summary| &summary.jid).collect();
        let mut gone = Vec::new();
        if shown.len() < self.jobs.len() {
            self.jobs.change_each(|id, job| {
                if !shown.contains(id) && job.observe_absent(at) {
                    gone.push(id.clone());
                }
            });
        }
        for id in gone {
            self.depart(at, &id, outputs);
        }
        self.changing_until = self.jobs.iter().filter_map(JobObserver::changing_until).max().unwrap_or(i64::MIN);
    }

    /// Forgets a job that the cluster has forgotten, except what was reported about it.
    fn depart(&mut self, at: i64, id: &JobId, outputs: &mut Vec<JobObservation>) {
        let Some(mut job) = self.jobs.remove(id) else { return };
        self.incomplete_checkpoints += job.advance(i64::MAX, &self.contact.cluster, &self.restorable, false, outputs);
        job.vanish(at, Some(VanishedJobOutcome::Gone), outputs);
        job.shrink();
        self.departed.insert(id.clone(), job);
        self.departed_order.retain(|departed| departed != id);
        self.departed_order.push_back(id.clone());
        if self.departed_order.len() > MAX_DEPARTED
            && let Some(oldest) = self.departed_order.pop_front()
        {
            self.departed.remove(&oldest);
        }
    }

    fn advance(&mut self, now: i64, outputs: &mut Vec<JobObservation>) {
        let mut jobs = std::mem::take(&mut self.jobs);
        jobs.change_each(|_, job| {
            if self.contact.is_away() {
                job.note_away(now);
            }
            let first = outputs.len();
            let names_arrive = self.applications.is_live();
            self.incomplete_checkpoints +=
                job.advance(now, &self.contact.cluster, &self.restorable, names_arrive, outputs);
            self.remember(&outputs[first..]);
        });
        self.jobs = jobs;
    }

    /// Keeps the checkpoints that another job may restore.
    fn remember(&mut self, outputs: &[JobObservation]) {
        for output in outputs {
            if let Observation::Checkpoint(stats) = &output.observation
                && let Some(path) = &stats.external_path
            {
                self.restorable.add(&output.job.id, path, stats);
            }
        }
    }
}

/// Returns the job that a resource belongs to.
pub fn job_of(resource: &Resource) -> Option<&JobId> {
    match resource {
        Resource::Job(request) => Some(&request.job),
        Resource::JobExceptions(request) => Some(&request.job),
        Resource::Checkpoints(request) => Some(&request.job),
        Resource::CheckpointConfig(request) => Some(&request.job),
        Resource::CheckpointDetails(request) => Some(&request.job),
        Resource::CheckpointSubtasks(request) => Some(&request.job),
        Resource::RescalesHistory(request) => Some(&request.job),
        Resource::RescaleDetails(request) => Some(&request.job),
        Resource::JobMetrics(request) => Some(&request.job),
        Resource::SubtaskTimes(request) => Some(&request.job),
        Resource::SubtaskAttempt(request) => Some(&request.job),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use flink_traces_runtime::checkpoint::CheckpointStatus;

    use super::*;

    /// Guarantees: the last checkpoints of each job and all savepoints are known, whatever other
    /// jobs do, and a cluster with many jobs keeps the newest ones up to the limit.
    #[test]
    fn last_checkpoints_of_each_job_are_restorable() {
        let mut restorable = Restorable::default();
        let mut add = |job: &str, id: i64, checkpoint_type| {
            let stats = CheckpointStats::new(id, 0, checkpoint_type, CheckpointStatus::Completed).with_state_size(id);
            restorable.add(job, &format!("{job}/{id}"), &stats);
        };
        add("a", 1, CheckpointType::Savepoint);
        (2..=13).for_each(|id| add("a", id, CheckpointType::Checkpoint));
        (1..=5).for_each(|id| add("b", id, CheckpointType::FullCheckpoint));
        let known = |restorable: &Restorable, job: &str, ids: std::ops::RangeInclusive<i64>| -> Vec<i64> {
            ids.filter_map(|id| restorable.state_size(&format!("{job}/{id}"))).collect()
        };
        assert_eq!(known(&restorable, "a", 1..=20), [1, 11, 12, 13]);
        assert_eq!(known(&restorable, "b", 1..=20), [3, 4, 5]);
        let stats = |size| {
            let new = CheckpointStats::new(1, 0, CheckpointType::Checkpoint, CheckpointStatus::Completed);
            new.with_state_size(size)
        };
        restorable.add("b", "b/5", &stats(50));
        assert_eq!(restorable.state_size("b/5"), Some(50));
        (0..994).for_each(|job| restorable.add(&job.to_string(), "path", &stats(1)));
        assert_eq!((known(&restorable, "a", 1..=13), restorable.0.len()), (vec![11, 12, 13], MAX_RESTORABLE));
    }
}
