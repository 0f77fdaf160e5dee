//! Watching a live cluster: asks what the observer wants to know.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flink_rest::{BodyError, Client, Error, Resource, Response};
use flink_traces_api::Clock;
use flink_traces_observer::{ClusterObserver, JobObservation, RequestOutcome, SETTLE_TIME};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::metrics::ClusterStats;

/// How many requests one cluster gets at once.
const CONCURRENT_REQUESTS: usize = 4;
/// How long a look may take, if that is more than the interval, before what is left is put off; and
/// how many rounds of questions it has at least: the jobs and theirs, those of jobs that are new,
/// and two of others.
const LOOK: Duration = Duration::from_secs(1);
const ROUNDS: usize = 4;
/// How many looks in a row have to end so before it is no passing thing, such as a single answer
/// that did not come.
const LATE_LOOKS: u32 = 3;
/// How long all has to be asked in time before that is said.
const CALM: Duration = Duration::from_secs(30);
/// The longest pause between attempts to reach a cluster that does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// An answer of a cluster.
#[derive(Debug)]
pub(crate) struct Answered {
    /// What was asked.
    pub(crate) resource: Resource,
    /// When, in milliseconds since the epoch.
    pub(crate) asked_at: i64,
    /// When the answer was there, in milliseconds since the epoch.
    pub(crate) answered_at: i64,
    /// The answer, whatever its status; or why there is none.
    pub(crate) response: Result<Response, flink_rest::Error>,
}

/// Watches one cluster.
pub(crate) struct Watcher {
    client: Client,
    name: String,
    interval: Duration,
    clock: Arc<dyn Clock>,
    observer: ClusterObserver,
    reachable: Option<bool>,
    unreadable: Unreadable,
    /// How many looks in a row ended with something left to ask.
    late_looks: u32,
    /// When there was last more to ask than could be, if that was said.
    behind_at: Option<Instant>,
    stats: Arc<ClusterStats>,
}

impl Watcher {
    /// Watches the cluster of that name, looking every `interval`.
    pub(crate) fn new(client: Client, name: &str, interval: Duration, clock: Arc<dyn Clock>) -> Self {
        let observer = ClusterObserver::new();
        Self {
            client,
            name: name.to_owned(),
            interval,
            clock,
            observer,
            reachable: None,
            unreadable: Unreadable::default(),
            late_looks: 0,
            behind_at: None,
            stats: Arc::default(),
        }
    }

    /// What is counted of the cluster, now and later.
    pub(crate) fn stats(&self) -> Arc<ClusterStats> {
        self.stats.clone()
    }

    /// Looks until `stop` says so, which ends a look that is under way, and then for some seconds
    /// at the most until nothing is half known: whoever looks next would tell it otherwise. `each`
    /// gets every answer, and what is known by it to have happened.
    pub(crate) async fn run(
        &mut self,
        mut stop: watch::Receiver<bool>,
        mut each: impl FnMut(&Answered, &[JobObservation]),
    ) {
        // The sender is gone when the program ends.
        tokio::select! {
            () = self.look_on(&mut each) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        let patience = SETTLE_TIME + self.interval;
        let settled = async {
            while !self.observer.is_settled() {
                self.look(&mut each).await;
                tokio::time::sleep(self.interval).await;
            }
        };
        // What is still open then is told as it is.
        let _ = tokio::time::timeout(patience, settled).await;
    }

    /// Tells what is still held back.
    pub(crate) fn finish(&mut self) -> Vec<JobObservation> {
        self.observer.finish()
    }

    /// Looks for ever; ever less often while the cluster does not answer.
    async fn look_on(&mut self, each: &mut impl FnMut(&Answered, &[JobObservation])) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            failures = match self.look(each).await {
                true => 0,
                false => failures + 1,
            };
            let pause = self.interval.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE.max(self.interval));
            tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
        }
    }

    /// Asks until nothing more is wanted; answers whether the cluster did.
    async fn look(&mut self, each: &mut impl FnMut(&Answered, &[JobObservation])) -> bool {
        let (now, began) = (self.clock.now_millis(), Instant::now());
        let mut rounds = 0;
        loop {
            rounds += 1;
            // Of what has to be asked bit by bit, every look asks a bit at least.
            let is_late = rounds > ROUNDS && began.elapsed() > self.interval.max(LOOK);
            let mut wanted = if is_late { Vec::new() } else { self.observer.requests(now) }.into_iter();
            if wanted.len() == 0 {
                self.late_looks = if is_late { self.late_looks + 1 } else { 0 };
                self.note_backlog(self.late_looks >= LATE_LOOKS || self.observer.is_behind());
                return true;
            }
            let mut asked = JoinSet::new();
            // One request without an answer may be about one job; as many in a row as there are at
            // once are about the cluster.
            let mut unanswered = 0;
            let mut gone = false;
            loop {
                while asked.len() < CONCURRENT_REQUESTS && !gone {
                    let Some(resource) = wanted.next() else { break };
                    let client = self.client.clone();
                    let asked_at = self.clock.now_millis();
                    asked.spawn(async move {
                        let response = client.get(&resource).await;
                        (resource, asked_at, response)
                    });
                }
                let Some(joined) = asked.join_next().await else { break };
                let Ok((resource, asked_at, response)) = joined else { continue };
                let answer = Answered { resource, asked_at, answered_at: self.clock.now_millis(), response };
                let (outcome, unreadable) = match &answer.response {
                    Ok(Response { status: 200, body, .. }) if self.observer.is_unchanged(&answer.resource, body) => {
                        (RequestOutcome::Unchanged, None)
                    }
                    Ok(Response { status, body, .. }) => {
                        match RequestOutcome::from_response(&answer.resource, *status, body) {
                            Ok(outcome) => (outcome, None),
                            Err(error) => (RequestOutcome::Unavailable, Some(error)),
                        }
                    }
                    Err(_) => (RequestOutcome::Unavailable, None),
                };
                let has_failed = answer.response.is_err() || unreadable.is_some();
                self.stats.requests.fetch_add(1, Ordering::Relaxed);
                self.stats.failed_requests.fetch_add(has_failed.into(), Ordering::Relaxed);
                unanswered = if answer.response.is_err() { unanswered + 1 } else { 0 };
                gone |= !self.note(&answer, unreadable) || unanswered >= CONCURRENT_REQUESTS;
                let outputs = self.observer.observe(answer.answered_at, &answer.resource, outcome);
                each(&answer, &outputs);
            }
            if gone {
                return false;
            }
        }
    }

    /// One line when there is more to ask than a cluster is asked in a look, and one when that is
    /// over.
    fn note_backlog(&mut self, is_behind: bool) {
        self.stats.behind.store(is_behind, Ordering::Relaxed);
        self.stats.incomplete_checkpoints.store(self.observer.incomplete_checkpoints(), Ordering::Relaxed);
        let cluster = &self.name;
        match self.behind_at {
            None if is_behind => {
                tracing::warn!(cluster, "request limit reached, fetching task details incrementally");
            }
            Some(behind_at) if !is_behind && behind_at.elapsed() > CALM => {
                tracing::info!(cluster, "request limit no longer reached");
                self.behind_at = None;
            }
            _ => {}
        }
        if is_behind {
            self.behind_at = Some(Instant::now());
        }
    }

    /// Says what is wrong with an answer; answers whether the cluster is worth asking on.
    fn note(&mut self, answer: &Answered, unreadable: Option<BodyError>) -> bool {
        if matches!(answer.resource, Resource::JobsOverview(_)) {
            return self.note_overview(answer, unreadable);
        }
        match (&answer.response, unreadable) {
            (_, Some(error)) => self.unreadable.tell(&answer.resource, &error),
            // If it is about more than this answer, the overview will tell.
            (Err(error @ (Error::BodyTooLarge { .. } | Error::Timeout { .. })), _) => {
                self.unreadable.tell(&answer.resource, error);
            }
            _ => {}
        }
        true
    }

    /// One line when a cluster is lost and one when it is found, none per request. Without the
    /// overview there is nothing to watch: answers whether it is there.
    fn note_overview(&mut self, answer: &Answered, unreadable: Option<BodyError>) -> bool {
        let trouble = match &answer.response {
            Err(error) => Some(error.to_string()),
            Ok(response) => {
                let of_status = || response.status_error().map(|error| error.to_string());
                unreadable.map(|error| error.to_string()).or_else(of_status)
            }
        };
        let (cluster, address) = (&self.name, self.client.base_url());
        match (&trouble, self.reachable) {
            (None, Some(true)) | (Some(_), Some(false)) => {}
            (None, _) => tracing::info!(cluster, address, "watching"),
            (Some(error), _) => tracing::warn!(cluster, address, error, "no response, retrying"),
        }
        self.reachable = Some(trouble.is_none());
        self.stats.up.store(trouble.is_none(), Ordering::Relaxed);
        trouble.is_none()
    }
}

/// Says that answers cannot be had or read, once for each endpoint.
#[derive(Debug, Default)]
pub(crate) struct Unreadable(BTreeSet<&'static str>);

impl Unreadable {
    pub(crate) fn tell(&mut self, resource: &Resource, error: &impl Display) {
        if self.0.insert(resource.template()) {
            tracing::warn!(endpoint = resource.template(), %error, "unreadable response");
        }
    }
}
