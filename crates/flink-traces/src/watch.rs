//! Watching a live cluster: asks what the observer wants to know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flink_rest::{Client, Resource, Response};
use flink_traces_api::Clock;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::observer::{ClusterObserver, Observation, Output};

/// How many requests one cluster gets at once.
const CONCURRENT_REQUESTS: usize = 4;
/// The longest pause between attempts to reach a cluster that does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// An answer of a cluster.
#[derive(Debug)]
pub struct Answered {
    /// What was asked.
    pub resource: Resource,
    /// When, in milliseconds since the epoch.
    pub asked_at: i64,
    /// When the answer was there, in milliseconds since the epoch.
    pub answered_at: i64,
    /// The answer, whatever its status; or why there is none.
    pub response: Result<Response, flink_rest::Error>,
}

/// Watches one cluster.
pub struct Watcher {
    client: Client,
    name: String,
    interval: Duration,
    clock: Arc<dyn Clock>,
    observer: ClusterObserver,
    reachable: Option<bool>,
}

impl Watcher {
    /// Watches the cluster of that name, looking every `interval`.
    pub fn new(client: Client, name: &str, interval: Duration, clock: Arc<dyn Clock>) -> Self {
        let observer = ClusterObserver::new();
        Self { client, name: name.to_owned(), interval, clock, observer, reachable: None }
    }

    /// Looks until `stop` says so. `each` gets every answer, and what is known by it to have happened.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>, mut each: impl FnMut(&Answered, &[Output])) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            failures = match self.look(&mut each).await {
                true => 0,
                false => failures + 1,
            };
            let pause = self.interval.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE.max(self.interval));
            let left = pause.saturating_sub(began.elapsed());
            tokio::select! {
                _ = tokio::time::sleep(left) => {}
                // The sender is gone when the program ends.
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Tells what is still held back.
    pub fn finish(&mut self) -> Vec<Output> {
        self.observer.finish()
    }

    /// Asks until nothing more is wanted; answers whether the cluster did.
    async fn look(&mut self, each: &mut impl FnMut(&Answered, &[Output])) -> bool {
        let now = self.clock.now_millis();
        loop {
            let mut wanted = self.observer.requests(now).into_iter();
            if wanted.len() == 0 {
                return true;
            }
            let mut asked = JoinSet::new();
            let mut answered = true;
            loop {
                while asked.len() < CONCURRENT_REQUESTS && answered {
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
                let observation = observation(&answer);
                answered &= self.note_reachable(&answer, &observation);
                let outputs = self.observer.observe(answer.answered_at, &answer.resource, observation);
                each(&answer, &outputs);
            }
            if !answered {
                return false;
            }
        }
    }

    /// One line when a cluster is lost and one when it is found, none per request. Answers whether it is worth asking on.
    fn note_reachable(&mut self, answer: &Answered, observation: &Observation) -> bool {
        let trouble = match (&answer.response, observation) {
            (_, Observation::Found(_)) => None,
            (Err(error), _) => Some(error.to_string()),
            // Without the overview there is nothing to watch; anything else may be about one job only.
            (Ok(response), _) if matches!(answer.resource, Resource::JobsOverview(_)) => {
                let status = response.status_error().map(|error| error.to_string());
                status.or_else(|| answer.resource.parse_body(&response.body).err().map(|error| error.to_string()))
            }
            (Ok(_), _) => return true,
        };
        let cluster = &self.name;
        match (&trouble, self.reachable) {
            (None, Some(true)) | (Some(_), Some(false)) => {}
            (None, _) => tracing::info!(cluster, address = self.client.base_url(), "watching"),
            (Some(error), _) => tracing::warn!(cluster, address = self.client.base_url(), error, "no answer"),
        }
        self.reachable = Some(trouble.is_none());
        trouble.is_none()
    }
}

fn observation(answer: &Answered) -> Observation {
    let Ok(response) = &answer.response else { return Observation::Unavailable };
    match response.status {
        200 => match answer.resource.parse_body(&response.body) {
            Ok(answer) => Observation::Found(answer),
            Err(error) => {
                tracing::warn!(path = answer.resource.path(), %error, "answer cannot be read");
                Observation::Unavailable
            }
        },
        404 => Observation::Missing,
        _ => Observation::Unavailable,
    }
}
