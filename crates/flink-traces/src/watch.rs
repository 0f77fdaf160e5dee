//! Watchers: the tasks that poll the clusters for their observers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flink_rest::{BodyError, Error, JobId, Resource, Response};
use flink_traces_api::Clock;
use flink_traces_observer::{ClusterObserver, JobObservation, RequestOutcome, SETTLE_TIME, job_of};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::metrics::ClusterStats;
use crate::seen::{Answered, Seen};
use crate::watch_log::WatchLog;

/// The maximum number of requests in flight to one cluster, without slow ones.
const CONCURRENT_REQUESTS: usize = 4;
/// The time for which one more request waits for a response to an earlier one, and so for its
/// connection. Most clusters need a single connection then.
const PATIENCE: Duration = Duration::from_millis(50);
/// For each time this many jobs, one request need not wait. Responses that arrive together take one
/// wake-up, and what a connection costs is little beside the jobs.
const JOBS_PER_REQUEST: usize = 25;
/// The maximum number of requests in flight to all clusters, without slow ones.
///
/// Beyond it, a process has as much to do as it can. More requests would take longer, become slow,
/// and need more connections.
const ALL_CONCURRENT_REQUESTS: usize = 256;
/// The maximum number of clusters whose histories are read at once.
///
/// The memory that a process needs at its start grows with it.
const STARTING_CLUSTERS: usize = 16;
/// A request without a response for this long is slow.
const SLOW: Duration = Duration::from_secs(1);
/// The maximum number of slow requests. Others count as requests in flight.
const MAX_SLOW: usize = 60;
/// Requests that wait for this long, or for this many polls, are more than a cluster is sent.
const LATE: Duration = Duration::from_secs(3);
const LATE_POLLS: u32 = 3;
/// The longest interval between two polls of an application cluster, or while a job changes.
const CHANGE_INTERVAL: Duration = Duration::from_millis(250);
/// With more application clusters than this, they are polled less often.
const MANY_APPLICATIONS: usize = 50;
const SLOWER_CHANGE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest interval between two polls while the program stops.
const STOPPING_INTERVAL: Duration = Duration::from_secs(1);

/// The limits that all watchers of a process share.
#[derive(Debug, Clone)]
pub(crate) struct SharedLimits {
    /// The number of application clusters.
    applications: Arc<AtomicUsize>,
    /// The places for requests in flight.
    places: Arc<Semaphore>,
    /// The places for clusters that start.
    starts: Arc<Semaphore>,
    /// The time at which the first tick was.
    epoch: Instant,
}

impl SharedLimits {
    /// Returns the first tick after a pause that begins now.
    fn tick_after(&self, now: Instant, pause: Duration) -> Instant {
        let tick = tick(pause);
        let passed = (now + pause).saturating_duration_since(self.epoch);
        let since_tick = Duration::from_nanos((passed.as_nanos() % tick.as_nanos()) as u64);
        self.epoch + passed - since_tick + tick
    }
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self {
            applications: Arc::default(),
            places: Arc::new(Semaphore::new(ALL_CONCURRENT_REQUESTS)),
            starts: Arc::new(Semaphore::new(STARTING_CLUSTERS)),
            epoch: Instant::now(),
        }
    }
}

/// An order to a watcher.
#[derive(Clone)]
pub(crate) enum Order {
    /// Watch the cluster over this connection and with its options.
    Watch(Arc<Connection>),
    /// Stop.
    Stop,
}

/// The limit of the requests to a cluster.
///
/// It lets a second's requests pass at once, so that those of one poll do not wait for each other.
struct Pace {
    per_second: f64,
    /// The number of requests that may be sent now.
    allowed: f64,
    at: Instant,
}

impl Pace {
    fn new(per_second: f64) -> Self {
        Self { per_second, allowed: per_second.max(1.0), at: Instant::now() }
    }

    /// Returns the pause until a request may be sent.
    fn pause(&mut self) -> Duration {
        let now = Instant::now();
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.allowed = (self.allowed + gained).min(self.per_second.max(1.0));
        self.at = now;
        Duration::from_secs_f64((1.0 - self.allowed).max(0.0) / self.per_second)
    }

    fn note_request(&mut self) {
        self.allowed -= 1.0;
    }
}

/// The watcher of one cluster.
pub(crate) struct Watcher {
    connection: Arc<Connection>,
    interval: Duration,
    pace: Option<Pace>,
    time: Time,
    observer: ClusterObserver,
    limits: SharedLimits,
    /// A place for the next request, for which the watcher waited.
    place: Option<OwnedSemaphorePermit>,
    /// `true` if the next request waits for a place.
    awaits_place: bool,
    /// The place among the clusters that start, and the time since which it is taken.
    start: Option<(OwnedSemaphorePermit, Instant)>,
    is_application: bool,
    in_flight: FuturesUnordered<BoxFuture<'static, Exchanged>>,
    running: BTreeMap<u64, Running>,
    next_number: u64,
    pending: Pending,
    /// The jobs whose last request had no response in time.
    suspects: BTreeSet<JobId>,
    log: WatchLog,
    stats: Arc<ClusterStats>,
}

/// A request with its outcome.
struct Exchanged {
    number: u64,
    answer: Answered,
}

/// A request in flight.
struct Running {
    resource: Resource,
    started: Instant,
    /// The place among the requests of all clusters; `None` if the request is slow.
    place: Option<OwnedSemaphorePermit>,
}

impl Running {
    fn is_slow(&self) -> bool {
        self.place.is_none()
    }
}

/// The time as the observer gets it: that of the clock at the start, and as long after that as the
/// process has been running. A clock that is set does not disturb it.
struct Time {
    start: Instant,
    start_millis: i64,
}

impl Time {
    fn new(clock: &dyn Clock) -> Self {
        Self { start: Instant::now(), start_millis: clock.now_millis() }
    }

    fn now(&self) -> i64 {
        self.millis_at(Instant::now())
    }

    fn millis_at(&self, instant: Instant) -> i64 {
        let passed = instant.saturating_duration_since(self.start).as_millis();
        self.start_millis.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

/// The requests that wait to be sent. Detail requests wait for all others.
#[derive(Default)]
struct Pending {
    urgent: VecDeque<(Resource, Instant)>,
    details: VecDeque<(Resource, Instant)>,
}

impl Pending {
    fn add(&mut self, resource: Resource) {
        let queue = if is_detail(&resource) { &mut self.details } else { &mut self.urgent };
        let item = (resource, Instant::now());
        match item.0 {
            // Every other request depends on it.
            Resource::JobsOverview(_) => queue.push_front(item),
            _ => queue.push_back(item),
        }
    }

    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.details.is_empty()
    }

    /// Removes the first request that may be sent.
    fn take(&mut self, may_send: impl Fn(&Resource) -> bool) -> Option<Resource> {
        [&mut self.urgent, &mut self.details].into_iter().find_map(|queue| {
            let position = queue.iter().position(|(resource, _)| may_send(resource))?;
            let taken = queue.remove(position).map(|(resource, _)| resource);
            if queue.is_empty() {
                // Its memory is that of the longest queue so far.
                *queue = VecDeque::new();
            }
            taken
        })
    }

    /// Returns `true` if the first requests have been waiting for that long.
    fn have_waited(&self, limit: Duration) -> bool {
        let mut first = [&self.urgent, &self.details].into_iter().filter_map(VecDeque::front);
        first.any(|(_, since)| since.elapsed() >= limit)
    }

    /// Returns `true` if a request that may be sent has been waiting for too long.
    fn is_late(&self, limit: Duration, may_send: impl Fn(&Resource) -> bool) -> bool {
        let mut all = self.urgent.iter().chain(&self.details);
        all.any(|(resource, since)| since.elapsed() > limit && may_send(resource))
    }
}

fn is_detail(resource: &Resource) -> bool {
    matches!(
        resource,
        Resource::CheckpointDetails(_)
            | Resource::CheckpointSubtasks(_)
            | Resource::SubtaskTimes(_)
            | Resource::SubtaskAttempt(_)
            | Resource::RescaleDetails(_)
    )
}

impl Watcher {
    /// Creates the watcher of a cluster.
    pub(crate) fn new(connection: Arc<Connection>, clock: &dyn Clock, limits: SharedLimits) -> Self {
        let log = WatchLog::new(connection.name());
        let interval = connection.cluster().poll_interval();
        Self {
            pace: connection.cluster().options.requests_per_second.map(Pace::new),
            connection,
            interval,
            time: Time::new(clock),
            observer: ClusterObserver::new().with_poll_interval(interval),
            limits,
            place: None,
            awaits_place: false,
            start: None,
            is_application: false,
            in_flight: FuturesUnordered::new(),
            running: BTreeMap::new(),
            next_number: 0,
            pending: Pending::default(),
            suspects: BTreeSet::new(),
            log,
            stats: Arc::default(),
        }
    }

    /// Returns the counters of the cluster, which stay up to date.
    pub(crate) fn stats(&self) -> Arc<ClusterStats> {
        self.stats.clone()
    }

    /// Waits until the cluster may start. It leaves its place to another one when its history is
    /// read, or after a second.
    pub(crate) async fn wait_for_start(&mut self) {
        let place = self.limits.starts.clone().acquire_owned().await;
        self.start = place.ok().map(|place| (place, Instant::now()));
    }

    /// Polls the cluster until it is ordered to stop or the sender of orders is gone, and then
    /// until no observation is held back, for at most [`SETTLE_TIME`]. `each` gets everything that
    /// the watcher sees.
    pub(crate) async fn run(&mut self, mut orders: watch::Receiver<Order>, mut each: impl FnMut(Seen<'_>)) {
        let mut deadline = None;
        loop {
            self.send();
            self.start.take_if(|(_, since)| self.in_flight.is_empty() || since.elapsed() >= SLOW);
            let wake = self.next_wake(deadline);
            let place = self.limits.places.clone().acquire_owned();
            tokio::select! {
                Some(exchanged) = self.in_flight.next() => self.take(exchanged, &mut each),
                place = place, if self.awaits_place => self.place = place.ok(),
                () = tokio::time::sleep_until(wake) => {}
                changed = orders.changed(), if deadline.is_none() => {
                    let order = orders.borrow_and_update().clone();
                    match order {
                        Order::Watch(connection) if changed.is_ok() => self.change(connection, &mut each),
                        _ => {
                            deadline = Some(Instant::now() + SETTLE_TIME);
                            // Facts settle when the next response arrives.
                            self.set_interval(self.interval.min(STOPPING_INTERVAL));
                        }
                    }
                }
            }
            if deadline.is_some_and(|deadline| self.observer.is_settled() || Instant::now() >= deadline) {
                return;
            }
        }
    }

    /// Continues over another connection. What was observed stays known.
    fn change(&mut self, connection: Arc<Connection>, each: &mut impl FnMut(Seen<'_>)) {
        self.set_interval(connection.cluster().poll_interval());
        self.pace = connection.cluster().options.requests_per_second.map(Pace::new);
        each(Seen::Changed(&connection));
        self.connection = connection;
    }

    fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
        self.observer = std::mem::take(&mut self.observer).with_poll_interval(interval);
    }

    /// Returns the observations that are still held back.
    pub(crate) fn finish(&mut self) -> Vec<JobObservation> {
        self.observer.finish()
    }

    /// Sends the due requests, as far as the limits of requests in flight allow.
    fn send(&mut self) {
        self.note_slow();
        self.awaits_place = false;
        let mut waited = self.place.take();
        loop {
            if self.is_full() {
                return;
            }
            if self.pace.as_mut().is_some_and(|pace| !pace.pause().is_zero()) {
                return;
            }
            let Some(place) = waited.take().or_else(|| self.limits.places.clone().try_acquire_owned().ok()) else {
                self.awaits_place = true;
                return;
            };
            let resource = self.take_pending();
            let resource = resource.or_else(|| {
                let wanted = self.observer.requests(self.time.now());
                wanted.into_iter().for_each(|resource| self.pending.add(resource));
                self.take_pending()
            });
            let Some(resource) = resource else { return };
            self.spawn(resource, place);
        }
    }

    /// Returns `true` if the cluster has as many requests in flight as it may have now. That number
    /// depends on that of its jobs, unless responses take long or requests have been waiting.
    fn is_full(&self) -> bool {
        let slow = self.running.values().filter(|running| running.is_slow()).count();
        let places = CONCURRENT_REQUESTS.saturating_sub(self.running.len() - slow.min(MAX_SLOW));
        let recent = self.running.values().filter(|running| running.started.elapsed() < PATIENCE).count();
        let usual = (self.observer.jobs() / JOBS_PER_REQUEST).max(1);
        places == 0 || (recent >= usual && !self.pending.have_waited(SLOW))
    }

    fn take_pending(&mut self) -> Option<Resource> {
        let (running, suspects) = (&self.running, &self.suspects);
        self.pending.take(|resource| may_send(resource, running, suspects))
    }

    fn spawn(&mut self, resource: Resource, place: OwnedSemaphorePermit) {
        let number = self.next_number;
        self.next_number += 1;
        let started = Instant::now();
        self.running.insert(number, Running { resource: resource.clone(), started, place: Some(place) });
        let connection = self.connection.clone();
        if let Some(pace) = &mut self.pace {
            pace.note_request();
        }
        let asked_at = self.time.millis_at(started);
        self.in_flight.push(Box::pin(async move {
            let response = connection.get(&resource).await;
            let passed = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
            let answered_at = asked_at.saturating_add(passed);
            Exchanged { number, answer: Answered { resource, asked_at, answered_at, response } }
        }));
    }

    /// Finds the requests in flight that have become slow. They leave their places.
    fn note_slow(&mut self) {
        for running in self.running.values_mut().filter(|running| !running.is_slow()) {
            if running.started.elapsed() >= SLOW {
                running.place = None;
                self.observer.note_slow(&running.resource);
                self.log.note_slow(&running.resource);
            }
        }
    }

    /// Returns the time at which the next request is due or one in flight becomes slow.
    fn next_wake(&mut self, deadline: Option<Instant>) -> Instant {
        let now = Instant::now();
        let millis = self.time.millis_at(now);
        let pause = self.observer.next_request_at(millis).saturating_sub(millis);
        let mut pause = Duration::from_millis(pause.max(1).unsigned_abs()).min(Duration::from_secs(60));
        // Clusters that were found, or lost, at the same time do not stay in step.
        pause += if self.observer.is_away() { jitter(pause, 5.0) } else { jitter(pause, 20.0) };
        match self.pace.as_mut().map(Pace::pause) {
            Some(allowed_in) if !allowed_in.is_zero() && !self.pending.is_empty() => pause = allowed_in,
            allowed_in => pause = pause.max(allowed_in.unwrap_or_default()),
        }
        let slow_at = self.running.values().filter(|running| !running.is_slow()).map(|running| running.started + SLOW);
        let patient_until = self.running.values().map(|running| running.started + PATIENCE).max();
        let patient_until = patient_until.filter(|until| *until > now);
        let due = (!self.is_full() && !self.awaits_place).then(|| self.limits.tick_after(now, pause));
        let started_at = self.start.as_ref().map(|(_, since)| *since + SLOW);
        due.into_iter()
            .chain(slow_at)
            .chain(patient_until)
            .chain(started_at)
            .chain(deadline)
            .min()
            .unwrap_or(now + SLOW)
    }

    /// Takes the outcome of a request.
    fn take(&mut self, Exchanged { number, answer }: Exchanged, each: &mut impl FnMut(Seen<'_>)) {
        self.running.remove(&number);
        self.note_suspect(&answer);
        let (outcome, unreadable) = self.outcome(&answer);
        let problem = problem_of(&answer, unreadable);
        self.stats.requests.fetch_add(1, Ordering::Relaxed);
        self.stats.failed_requests.fetch_add(problem.is_some().into(), Ordering::Relaxed);
        let observations = self.observer.observe(answer.answered_at, &answer.resource, outcome);
        self.note_application();
        if matches!(answer.resource, Resource::JobsOverview(_)) {
            self.stats.up.store(problem.is_none(), Ordering::Relaxed);
            self.note_backlog();
            if let Some(seen) = self.log.note_overview(
                answer.answered_at,
                self.connection.base_url(),
                problem.as_deref(),
                self.observer.is_away(),
            ) {
                each(seen);
            }
        } else {
            self.log.note_response(&answer, problem.as_deref());
        }
        each(Seen::Response(&answer, &observations));
    }

    fn outcome(&mut self, answer: &Answered) -> (RequestOutcome, Option<BodyError>) {
        match &answer.response {
            Ok(Response { status: 200, body, .. }) if self.observer.is_unchanged(&answer.resource, body) => {
                (RequestOutcome::Unchanged, None)
            }
            Ok(Response { status, body, .. }) => {
                let mut skipped = Vec::new();
                let outcome = RequestOutcome::from_response_with(&answer.resource, *status, body, &mut skipped);
                if let Some(error) = skipped.first() {
                    self.log.note_skipped(&answer.resource, error);
                }
                match outcome {
                    Ok(outcome) => (outcome, None),
                    Err(error) => (RequestOutcome::Unavailable, Some(error)),
                }
            }
            Err(Error::Timeout { .. }) => (RequestOutcome::TimedOut, None),
            Err(_) => (RequestOutcome::Unavailable, None),
        }
    }

    fn note_suspect(&mut self, answer: &Answered) {
        let Some(job) = job_of(&answer.resource) else { return };
        match &answer.response {
            Err(Error::Timeout { .. }) => {
                self.suspects.insert(job.clone());
            }
            Ok(_) => {
                self.suspects.remove(job);
            }
            Err(_) => {}
        }
    }

    fn note_application(&mut self) {
        if self.is_application != self.observer.is_application() {
            self.is_application = !self.is_application;
            if self.is_application {
                self.limits.applications.fetch_add(1, Ordering::Relaxed);
            } else {
                self.limits.applications.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let is_crowded = self.limits.applications.load(Ordering::Relaxed) > MANY_APPLICATIONS;
        let interval = if is_crowded { SLOWER_CHANGE_INTERVAL } else { CHANGE_INTERVAL };
        // A limit of requests holds for an application, too.
        let limit = if self.pace.is_some() { self.interval } else { Duration::ZERO };
        self.observer.set_change_interval(interval.max(limit));
    }

    fn note_backlog(&mut self) {
        let (running, suspects) = (&self.running, &self.suspects);
        let limit = LATE.max(self.interval.saturating_mul(LATE_POLLS));
        let is_late = self.pending.is_late(limit, |resource| may_send(resource, running, suspects));
        let is_behind = is_late || self.observer.is_behind();
        self.stats.behind.store(is_behind, Ordering::Relaxed);
        self.stats.incomplete_checkpoints.store(self.observer.incomplete_checkpoints(), Ordering::Relaxed);
        self.log.note_backlog(is_behind);
    }
}

/// Returns `true` if a request may be sent now.
///
/// A slow request holds back the others of its job. Requests of jobs that had no response in time
/// are sent one at a time, so that they do not delay other jobs.
fn may_send(resource: &Resource, running: &BTreeMap<u64, Running>, suspects: &BTreeSet<JobId>) -> bool {
    let Some(job) = job_of(resource) else { return true };
    let is_suspect = suspects.contains(job);
    running.values().all(|running| match job_of(&running.resource) {
        Some(other) if other == job => !running.is_slow() && !is_suspect,
        Some(other) => running.is_slow() || !is_suspect || !suspects.contains(other),
        None => true,
    })
}

/// Returns the reason why a response is a failure. That a resource does not exist is none.
fn problem_of(answer: &Answered, unreadable: Option<BodyError>) -> Option<String> {
    match &answer.response {
        Err(error) => Some(error.to_string()),
        Ok(response) => {
            // Every job, checkpoint or configuration may be missing, and a proxy may keep back what
            // only adds names.
            let may_be_missing = match &answer.resource {
                Resource::JobManagerConfig(_) | Resource::ApplicationsOverview(_) => true,
                resource => job_of(resource).is_some() && is_flinks(response),
            };
            let is_missing = response.status == 404 && may_be_missing;
            let of_status = || response.status_error().filter(|_| !is_missing).map(|error| error.to_string());
            unreadable.map(|error| error.to_string()).or_else(of_status)
        }
    }
}

/// Returns `true` if Flink sent the error, and not a proxy.
fn is_flinks(response: &Response) -> bool {
    response.status_error().is_some_and(|error| !error.errors().is_empty() && !error.is_missing_endpoint())
}

/// Returns the time between two ticks at which polls begin after such a pause.
///
/// One wake-up serves all clusters whose polls begin then, and one request their reports.
fn tick(pause: Duration) -> Duration {
    Duration::from_millis(match pause.as_millis() {
        0..1_000 => 20,
        1_000..4_000 => 100,
        _ => 200,
    })
}

/// Returns a random part of `pause`, up to one of that many.
fn jitter(pause: Duration, parts: f64) -> Duration {
    pause.mul_f64(fastrand::f64() / parts)
}

#[cfg(test)]
mod tests {
    use flink_rest::types::{JobDetails, MultipleJobsDetails};
    use flink_rest::{JobStatus, JobsOverview, ResourceBody};
    use flink_traces_api::SystemClock;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use crate::cluster::{Access, Cluster, ClusterOptions, Network};

    use super::*;

    /// The limit of what has to happen.
    const LONG: Duration = Duration::from_secs(60);

    fn cluster(url: String, access: Access) -> Cluster {
        let options = ClusterOptions {
            poll_interval: Duration::from_secs(1),
            requests_per_second: None,
            detail: None,
            resource: Vec::new(),
            access,
        };
        Cluster { name: "test".to_owned(), urls: vec![url], options }
    }

    /// Returns a cluster that never responds, and the signs of its requests.
    async fn silent_cluster() -> (Arc<Connection>, mpsc::UnboundedReceiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requested, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut streams = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.read_u8().await.unwrap();
                streams.push(stream);
                let _ = requested.send(());
            }
        });
        (Arc::new(Connection::open(cluster(url, Access::new(LONG))).unwrap()), requests)
    }

    /// Scenario: all places are taken, and then one becomes free for a request without a response.
    /// Guarantees: the request waits for the place, and leaves it when it is slow.
    #[tokio::test]
    async fn request_waits_for_a_place_and_leaves_it_when_slow() {
        let (connection, mut requests) = silent_cluster().await;
        let limits = SharedLimits { places: Arc::new(Semaphore::new(1)), ..SharedLimits::default() };
        let place = limits.places.clone().acquire_owned().await.unwrap();
        let mut watcher = Watcher::new(connection.clone(), &SystemClock, limits.clone());
        // It does not wake up again and again meanwhile.
        let before = Instant::now();
        watcher.send();
        assert!(watcher.awaits_place && watcher.next_wake(None) >= before + SLOW);
        let (_orders, received) = watch::channel(Order::Watch(connection));
        let watching = tokio::spawn(async move { watcher.run(received, |_| ()).await });
        // Time in which a request would be sent without a limit.
        assert!(timeout(Duration::from_millis(300), requests.recv()).await.is_err());
        drop(place);
        assert_eq!(timeout(LONG, requests.recv()).await, Ok(Some(())));
        let left = timeout(LONG / 2, limits.places.clone().acquire_owned()).await;
        assert!(matches!(left, Ok(Ok(_))), "{left:?}");
        watching.abort();
    }

    /// Guarantees: a request waits a moment for the response to an earlier one, unless others have
    /// been waiting or the cluster has many jobs. A cluster has four requests in flight at most.
    #[tokio::test]
    async fn request_waits_for_a_response_unless_it_takes_long() {
        let (connection, _requests) = silent_cluster().await;
        let mut watcher = Watcher::new(connection, &SystemClock, SharedLimits::default());
        let add = |watcher: &mut Watcher| {
            let place = watcher.limits.places.clone().try_acquire_owned().unwrap();
            watcher.spawn(JobsOverview.into(), place);
        };
        assert!(!watcher.is_full());
        for in_flight in 1..=CONCURRENT_REQUESTS {
            add(&mut watcher);
            assert!(watcher.is_full());
            let wake = watcher.next_wake(None);
            assert!(wake <= Instant::now() + PATIENCE, "{in_flight}");
            watcher.running.values_mut().for_each(|running| running.started -= PATIENCE);
            assert_eq!(watcher.is_full(), in_flight == CONCURRENT_REQUESTS);
        }
        watcher.running.values_mut().for_each(|running| running.place = None);
        assert!(!watcher.is_full());
        add(&mut watcher);
        assert!(watcher.is_full());
        watcher.pending.add(JobsOverview.into());
        assert!(watcher.is_full());
        watcher.pending.urgent[0].1 -= SLOW;
        assert!(!watcher.is_full());
        watcher.pending = Pending::default();
        assert!(watcher.is_full());
        let job = |id| JobDetails::new(JobId::new(format!("{id:032x}")).unwrap(), 1, JobStatus::Running);
        let overview = MultipleJobsDetails::new((0..2 * JOBS_PER_REQUEST).map(job).collect::<Vec<_>>());
        let overview = RequestOutcome::Found(Box::new(ResourceBody::JobsOverview(overview)));
        watcher.observer.observe(1, &JobsOverview.into(), overview);
        assert!(!watcher.is_full());
        add(&mut watcher);
        assert!(watcher.is_full());
    }

    /// Guarantees: what is due within a tick is due at its end, for all clusters.
    #[test]
    fn polls_begin_at_ticks() {
        let limits = SharedLimits::default();
        let cases = [(0, 0, 20), (0, 1, 20), (10, 9, 20), (10, 10, 40), (0, 21, 40), (86_400_001, 0, 86_400_020)];
        let long = [(0, 999, 1_000), (1, 999, 1_020), (0, 1_000, 1_100), (99, 1_000, 1_100), (100, 1_000, 1_200)];
        let longer = [(1, 3_999, 4_100), (0, 4_000, 4_200), (199, 4_000, 4_200), (200, 4_000, 4_400)];
        for (passed, pause, tick) in cases.into_iter().chain(long).chain(longer) {
            let at = limits.epoch + Duration::from_millis(passed);
            let due = limits.tick_after(at, Duration::from_millis(pause)) - limits.epoch;
            assert_eq!(due, Duration::from_millis(tick), "{passed} {pause}");
        }
    }

    /// Watches the only cluster that may start, and returns the time until another one may.
    async fn time_until_next_start(connection: Arc<Connection>) -> Duration {
        let limits = SharedLimits { starts: Arc::new(Semaphore::new(1)), ..SharedLimits::default() };
        let mut watcher = Watcher::new(connection.clone(), &SystemClock, limits.clone());
        watcher.wait_for_start().await;
        let began = Instant::now();
        let (_orders, received) = watch::channel(Order::Watch(connection.clone()));
        let watching = tokio::spawn(async move { watcher.run(received, |_| ()).await });
        let mut other = Watcher::new(connection, &SystemClock, limits);
        timeout(LONG / 2, other.wait_for_start()).await.unwrap();
        watching.abort();
        began.elapsed()
    }

    /// Guarantees: a cluster starts when another one has been silent for a second.
    #[tokio::test]
    async fn silent_cluster_delays_the_start_of_others_by_a_second() {
        let (connection, _requests) = silent_cluster().await;
        let passed = time_until_next_start(connection).await;
        assert!(passed >= SLOW, "{passed:?}");
    }

    /// Returns a cluster with that many jobs. Each of its responses takes 100 ms.
    fn cluster_with_jobs(jobs: usize) -> Arc<Connection> {
        let job = |number: usize| {
            format!(
                r#"{{"jid":"{number:032x}","name":"job","state":"RUNNING","start-time":1,"end-time":-1,"duration":1,
                    "last-modification":1,"tasks":{{"total":1,"running":1}}}}"#
            )
        };
        let overview = format!(r#"{{"jobs":[{}]}}"#, (0..jobs).map(job).collect::<Vec<_>>().join(","));
        let network = Network(Arc::new(move |_, resource| {
            let is_overview = matches!(resource, Resource::JobsOverview(_));
            let response = if is_overview { Response::new(200, overview.clone()) } else { Response::new(404, "") };
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(response)
            })
        }));
        let mut access = Access::new(LONG);
        access.network = Some(network);
        Arc::new(Connection::open(cluster("http://127.0.0.1:1".to_owned(), access)).unwrap())
    }

    /// Scenario: a cluster has nothing to read, or more than a second of responses.
    /// Guarantees: another cluster starts as soon as it was read, and after a second at most.
    #[tokio::test(start_paused = true)]
    async fn cluster_starts_when_the_history_of_another_is_read() {
        let millis = Duration::from_millis;
        for (jobs, expected) in [(0, millis(100)..millis(900)), (24, SLOW..SLOW + millis(100))] {
            let passed = time_until_next_start(cluster_with_jobs(jobs)).await;
            assert!(expected.contains(&passed), "{jobs}: {passed:?}");
        }
    }

    #[test]
    fn pace_limits_requests_after_a_second_of_them() {
        let mut pace = Pace::new(4.0);
        let mut sent = 0;
        while pace.pause().is_zero() {
            pace.note_request();
            sent += 1;
            assert!(sent < 1_000);
        }
        assert!(sent >= 4, "{sent}");
        assert!(pace.pause() <= Duration::from_millis(250), "{:?}", pace.pause());
        // Time passes.
        pace.at -= Duration::from_secs(10);
        assert_eq!((pace.pause(), pace.allowed), (Duration::ZERO, 4.0));

        let mut slow = Pace::new(0.5);
        assert!(slow.pause().is_zero());
        slow.note_request();
        assert!(slow.pause() > Duration::from_secs(1), "{:?}", slow.pause());
    }
}
