//! The contact with a cluster: when its job overview is requested, and since when it is away.

use std::time::Duration;

use flink_rest::{Config, JobManagerConfig, JobsOverview, Resource, ResourceBody};

use super::RequestOutcome;
use super::cluster::Cluster;

const DEFAULT_POLL_MS: i64 = 1_000;
const DEFAULT_CHANGE_MS: i64 = 250;
/// The pause after an overview that failed at once, in the first minute and later.
const AWAY_PAUSE_MS: [i64; 2] = [1_000, 5_000];
const FIRST_MINUTE_MS: i64 = 60_000;
/// The longest pause after overviews without a response.
const LONGEST_TIMEOUT_PAUSE_MS: i64 = 30_000;
/// The pause after a request for the configuration that failed.
const CONFIGURATION_PAUSE_MS: i64 = 60_000;

/// The contact with one cluster.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) cluster: Cluster,
    poll_ms: i64,
    change_ms: i64,
    /// The time of the last request for the overview.
    asked_at: Option<i64>,
    is_in_flight: bool,
    /// The time of the next request for the overview, after one that failed.
    retry_at: Option<i64>,
    /// The number of overviews in a row without a response.
    timeouts: u32,
    last_response_at: i64,
    away_since: Option<i64>,
    first_overview_at: Option<i64>,
    /// The time of the next request for the configuration, if it is wanted.
    configuration_at: Option<i64>,
    /// `true` if the cluster changed between the last two calls of [`requests`](Self::requests).
    is_changing: bool,
}

impl Default for Contact {
    fn default() -> Self {
        Self {
            cluster: Cluster::default(),
            poll_ms: DEFAULT_POLL_MS,
            change_ms: DEFAULT_CHANGE_MS,
            asked_at: None,
            is_in_flight: false,
            retry_at: None,
            timeouts: 0,
            last_response_at: i64::MIN,
            away_since: None,
            first_overview_at: None,
            configuration_at: Some(i64::MIN),
            is_changing: false,
        }
    }
}

impl Contact {
    pub(super) fn set_poll_interval(&mut self, interval: Duration) {
        self.poll_ms = millis(interval);
    }

    pub(super) fn set_change_interval(&mut self, interval: Duration) {
        self.change_ms = millis(interval);
    }

    pub(super) fn poll_interval(&self) -> i64 {
        self.poll_ms
    }

    pub(super) fn is_away(&self) -> bool {
        self.away_since.is_some()
    }

    /// Adds the requests that do not belong to a job. Returns `true` if a poll begins.
    pub(super) fn requests(&mut self, now: i64, is_changing: bool, wanted: &mut Vec<Resource>) -> bool {
        self.is_changing = is_changing;
        let begins = !self.is_in_flight && now >= self.overview_due();
        if begins {
            self.asked_at = Some(now);
            self.is_in_flight = true;
            wanted.push(JobsOverview.into());
        }
        let is_reachable = self.first_overview_at.is_some() && !self.is_away();
        if is_reachable && self.configuration_at.is_some_and(|at| now >= at) {
            self.configuration_at = None;
            self.cluster.await_facts();
            wanted.extend([JobManagerConfig.into(), Config.into()]);
        }
        begins
    }

    fn overview_due(&self) -> i64 {
        let interval = match self.is_changing || self.cluster.is_application {
            true => self.poll_ms.min(self.change_ms),
            false => self.poll_ms,
        };
        let regular = self.asked_at.map_or(i64::MIN, |asked| asked.saturating_add(interval));
        self.retry_at.unwrap_or(regular)
    }

    /// Returns the time at which the next request may be due without another response.
    pub(super) fn next_request_at(&self) -> i64 {
        if self.is_in_flight { i64::MAX } else { self.overview_due() }
    }

    /// Notes the outcome of any request.
    pub(super) fn note_outcome(&mut self, at: i64, outcome: &RequestOutcome) {
        if outcome.is_response() {
            self.last_response_at = at;
        }
    }

    /// Notes that an overview arrived. Returns `true` if it is the first one.
    pub(super) fn observe_overview(&mut self, at: i64) -> bool {
        self.is_in_flight = false;
        self.retry_at = None;
        self.timeouts = 0;
        if self.away_since.take().is_some() {
            // It may be another JobManager.
            self.configuration_at = Some(at);
        }
        let is_first = self.first_overview_at.is_none();
        self.first_overview_at.get_or_insert(at);
        is_first
    }

    /// Returns the time of the first overview.
    pub(super) fn first_overview_at(&self) -> i64 {
        self.first_overview_at.unwrap_or(i64::MAX)
    }

    /// Notes that a request for the overview failed. Returns the time since which the cluster is
    /// away, if it is.
    pub(super) fn observe_failure(&mut self, at: i64, has_timed_out: bool) -> Option<i64> {
        self.is_in_flight = false;
        if !has_timed_out {
            self.timeouts = 0;
            let away_since = *self.away_since.get_or_insert(at);
            let pause = AWAY_PAUSE_MS[usize::from(at.saturating_sub(away_since) >= FIRST_MINUTE_MS)];
            self.retry_at = Some(at.saturating_add(pause));
            return Some(away_since);
        }
        let pause = self.poll_ms.saturating_mul(1 << self.timeouts.min(10));
        self.timeouts = self.timeouts.saturating_add(1);
        self.retry_at = Some(at.saturating_add(pause.min(LONGEST_TIMEOUT_PAUSE_MS.max(self.poll_ms))));
        // Responses for jobs show that only the overview is slow.
        if self.last_response_at < self.asked_at.unwrap_or(i64::MAX) {
            self.away_since.get_or_insert(at);
        }
        self.away_since
    }

    /// Takes the outcome of a request for the configuration or the version.
    pub(super) fn observe_configuration(&mut self, at: i64, outcome: RequestOutcome) {
        match outcome {
            RequestOutcome::Found(body) => {
                match *body {
                    ResourceBody::JobManagerConfig(configuration) => self.cluster.set_configuration(&configuration),
                    ResourceBody::Config(config) => self.cluster.set_version(&config.flink_version),
                    _ => {}
                }
                self.cluster.note_response();
            }
            RequestOutcome::Unchanged | RequestOutcome::Missing => self.cluster.note_response(),
            RequestOutcome::Unavailable | RequestOutcome::TimedOut => {
                self.configuration_at = Some(at.saturating_add(CONFIGURATION_PAUSE_MS));
            }
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
