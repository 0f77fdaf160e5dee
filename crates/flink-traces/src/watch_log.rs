//! The log lines of a watcher: few, however many requests fail.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use flink_rest::{BodyError, Error, Resource};

use crate::seen::{Answered, Seen};

/// The time without a backlog after which that is logged.
const CALM: Duration = Duration::from_secs(30);
/// The maximum number of slow requests that are logged by name.
const MAX_NAMED: usize = 100;

/// The log of one watcher.
#[derive(Debug)]
pub(crate) struct WatchLog {
    cluster: String,
    reachable: Option<bool>,
    /// The time of the first failure, in milliseconds since the epoch.
    away_since: i64,
    /// The reason for the last failure.
    reason: String,
    /// The last problem of each endpoint.
    problems: BTreeMap<&'static str, String>,
    /// The endpoints with unreadable entries.
    with_skipped: BTreeSet<&'static str>,
    /// The paths of slow requests.
    slow: BTreeSet<String>,
    /// The time at which the limit of requests was last reached, if that was logged.
    behind_at: Option<Instant>,
}

impl WatchLog {
    pub(crate) fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            reachable: None,
            away_since: 0,
            reason: String::new(),
            problems: BTreeMap::new(),
            with_skipped: BTreeSet::new(),
            slow: BTreeSet::new(),
            behind_at: None,
        }
    }

    /// Logs the first request of each path that is slow.
    pub(crate) fn note_slow(&mut self, resource: &Resource) {
        let path = resource.path();
        if self.slow.len() < MAX_NAMED && !self.slow.contains(&path) {
            tracing::warn!(cluster = self.cluster, path, "slow response, requesting it less often");
            self.slow.insert(path);
        }
    }

    /// Logs when a cluster is lost and when it is found. Returns the event for the change.
    ///
    /// `address` is that of the JobManager which the request went to.
    pub(crate) fn note_overview(
        &mut self,
        at: i64,
        address: &str,
        problem: Option<&str>,
        is_away: bool,
    ) -> Option<Seen<'_>> {
        let cluster = &self.cluster;
        match problem {
            Some(error) if is_away && self.reachable != Some(false) => {
                tracing::warn!(cluster, address, error, "no response, retrying");
                self.reachable = Some(false);
                self.away_since = at;
                self.reason = error.to_owned();
                Some(Seen::Unreachable { since: at, reason: &self.reason })
            }
            None if self.reachable != Some(true) => {
                tracing::info!(cluster, address, "watching");
                let was_away = self.reachable.replace(true).is_some();
                was_away.then_some(Seen::Reachable { at, away_since: self.away_since })
            }
            _ => None,
        }
    }

    /// Logs the problem of an endpoint, once for each reason.
    pub(crate) fn note_response(&mut self, answer: &Answered, problem: Option<&str>) {
        let Some(problem) = problem else { return };
        let (cluster, endpoint) = (&self.cluster, answer.resource.template());
        // A slow request is logged, and a broken connection shows in the overview.
        if matches!(&answer.response, Err(Error::Timeout { .. } | Error::Connect { .. } | Error::Transport { .. })) {
            return;
        }
        // Ids and times differ from response to response.
        let reason: String = problem.chars().filter(|c| !c.is_ascii_hexdigit()).collect();
        let status = answer.response.as_ref().map_or(0, |response| response.status);
        let known = self.problems.insert(endpoint, format!("{status} {reason}"));
        if known != self.problems.get(endpoint).cloned() {
            let what = if status == 200 { "unreadable response" } else { "request failed" };
            tracing::warn!(cluster, endpoint, error = problem, "{what}");
        }
    }

    /// Logs the first unreadable entry of a list, once for each endpoint.
    pub(crate) fn note_skipped(&mut self, resource: &Resource, error: &BodyError) {
        let (cluster, endpoint) = (&self.cluster, resource.template());
        if self.with_skipped.insert(endpoint) {
            tracing::warn!(cluster, endpoint, %error, "unreadable entry, skipping it");
        }
    }

    /// Logs when there is more to request than a cluster is sent, and when that is over.
    pub(crate) fn note_backlog(&mut self, is_behind: bool) {
        let cluster = &self.cluster;
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
}
