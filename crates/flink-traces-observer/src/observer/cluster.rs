//! The facts about a cluster that decide how often it is polled.

use std::time::Duration;

use flink_rest::FlinkVersion;
use flink_rest::types::ConfigurationInfo;
use flink_traces_api::parse_duration;

use super::REFRESH_MS;
use super::gaps::SPARE_ENTRIES;
use super::text::bounded;

/// The number of requests for the facts about a cluster: its configuration and its version.
const FACTS: u32 = 2;
/// The maximum length of a version in characters.
const MAX_VERSION_CHARS: usize = 100;
/// The size of the history without `web.checkpoints.history`.
const DEFAULT_HISTORY: i64 = 10;
/// The shortest time between two requests for the checkpoints of a job, if the cluster caches the
/// response and if it does not.
const SHORTEST_PAUSE_MS: [i64; 2] = [250, 100];
/// The options that a [`ClusterObserver`](super::ClusterObserver) reads from the configuration of a
/// JobManager. Other options may contain secrets.
pub const JOB_MANAGER_OPTIONS: &[&str] =
    &[HISTORY, OLD_HISTORY, STATISTICS_CACHE, REFRESH_INTERVAL, EXECUTION_TARGET, APPLICATION_MAIN];

const HISTORY: &str = "web.checkpoints.history";
const OLD_HISTORY: &str = "jobmanager.web.checkpoints.history";
const STATISTICS_CACHE: &str = "rest.cache.checkpoint-statistics.timeout";
const REFRESH_INTERVAL: &str = "web.refresh-interval";
const EXECUTION_TARGET: &str = "execution.target";
const APPLICATION_MAIN: &str = "$internal.application.main";

/// The facts about a cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    /// `true` if the JobManager belongs to one application, and ends with it.
    pub(super) is_application: bool,
    /// The time for which a response with the checkpoints of a job is cached, in milliseconds.
    statistics_cache_ms: i64,
    /// The number of checkpoints in a history, if it is configured.
    history: Option<i64>,
    /// `true` if the cluster returned its configuration.
    has_configuration: bool,
    version: Option<String>,
    /// The number of facts that were requested and have no response yet.
    awaited: u32,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            is_application: false,
            statistics_cache_ms: REFRESH_MS,
            history: None,
            has_configuration: false,
            version: None,
            awaited: FACTS,
        }
    }
}

impl Cluster {
    /// Notes that all facts are requested.
    pub(super) fn await_facts(&mut self) {
        self.awaited = FACTS;
    }

    /// Notes that a request for a fact has a response.
    pub(super) fn note_response(&mut self) {
        self.awaited = self.awaited.saturating_sub(1);
    }

    /// Returns `true` if all requests for facts have a response.
    pub(super) fn is_known(&self) -> bool {
        self.awaited == 0
    }

    /// Returns the number of checkpoints in a history, if it is known.
    pub(super) fn history_size(&self) -> Option<i64> {
        self.has_configuration.then(|| self.history.unwrap_or(DEFAULT_HISTORY))
    }

    /// Returns the version of Flink, if it is known.
    pub(super) fn version(&self) -> Option<String> {
        self.version.clone()
    }

    /// Returns `false` if the cluster has no metric for the start of an initialization without a
    /// restore. The metric is new in 1.19.
    pub(super) fn may_have_start_metric(&self) -> bool {
        let version = self.version.as_deref().and_then(|version| version.parse().ok());
        version.is_none_or(|version: FlinkVersion| version >= FlinkVersion::new(1, 19))
    }

    pub(super) fn set_version(&mut self, version: &str) {
        self.version = Some(bounded(version, MAX_VERSION_CHARS)).filter(|version| !version.is_empty());
    }

    /// Reads the configuration of a JobManager.
    pub(super) fn set_configuration(&mut self, configuration: &ConfigurationInfo) {
        let entries = || configuration.entries.iter();
        let value = |key| entries().find(|entry| entry.key == key).map(|entry| entry.value.trim());
        let millis = |key| {
            let duration: Option<Duration> = value(key).and_then(parse_duration);
            duration.map(|duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
        };
        let size = |key| value(key).and_then(|text| text.parse::<i64>().ok()).filter(|size| *size >= 0);
        let target = value(EXECUTION_TARGET).unwrap_or_default();
        self.is_application =
            target == "embedded" || target.ends_with("-application") || value(APPLICATION_MAIN).is_some();
        self.statistics_cache_ms = millis(STATISTICS_CACHE).or_else(|| millis(REFRESH_INTERVAL)).unwrap_or(REFRESH_MS);
        self.history = size(HISTORY).or_else(|| size(OLD_HISTORY));
        self.has_configuration = true;
    }

    /// Returns the pause between two requests for the checkpoints of a job, in milliseconds.
    ///
    /// `interval` is the time between two checkpoints, 0 if it is unknown, and `seen` the largest
    /// number of checkpoints in a history. Responses are requested at least every three seconds.
    /// They are requested more often if the history covers less than two periods of the cache.
    pub(super) fn statistics_pause(&self, interval: i64, seen: i64) -> i64 {
        let history = self.history.unwrap_or(DEFAULT_HISTORY.max(seen));
        let covered = (history - SPARE_ENTRIES).max(1).saturating_mul(interval);
        let cache = self.statistics_cache_ms;
        if interval <= 0 || covered >= cache.saturating_add(REFRESH_MS) {
            return REFRESH_MS;
        }
        let shortest = SHORTEST_PAUSE_MS[usize::from(cache == 0)];
        // A response takes its time, too.
        ((covered - cache) / 4 * 3).clamp(shortest, REFRESH_MS)
    }
}

#[cfg(test)]
mod tests {
    use flink_rest::types::ConfigurationInfoEntry;

    use super::*;

    fn cluster(options: &[(&str, &str)]) -> Cluster {
        let entries = options.iter().map(|(key, value)| ConfigurationInfoEntry::new(*key, *value));
        let mut cluster = Cluster::default();
        cluster.set_configuration(&ConfigurationInfo::new(entries.collect()));
        cluster
    }

    #[test]
    fn pause_follows_from_interval_history_and_cache() {
        let cached = cluster(&[]);
        let short_cache = cluster(&[("web.refresh-interval", "1000")]);
        let uncached = cluster(&[(STATISTICS_CACHE, "0 ms"), (REFRESH_INTERVAL, "3000")]);
        let long_history = cluster(&[("jobmanager.web.checkpoints.history", "200")]);
        for (name, cluster, interval, pause) in [
            ("unknown interval", &cached, 0, 3_000),
            ("no periodic checkpoints", &cached, i64::MAX, 3_000),
            ("one a second", &cached, 1_000, 3_000),
            ("two a second", &cached, 500, 750),
            ("more than the cache lets through", &cached, 100, 250),
            ("two a second, short cache", &short_cache, 500, 3_000),
            ("ten a second, no cache", &uncached, 100, 600),
            ("a hundred a second, no cache", &uncached, 10, 100),
            ("long history", &long_history, 50, 3_000),
        ] {
            assert_eq!(cluster.statistics_pause(interval, 10), pause, "{name}");
        }
    }

    #[test]
    fn start_metric_is_new_in_1_19() {
        for (version, expected) in [
            ("1.9.3", false),
            ("1.18.1", false),
            ("1.19.0", true),
            ("2.0.0", true),
            ("2.3-SNAPSHOT", true),
            ("v1.18_1", false),
            ("", true),
        ] {
            let mut cluster = Cluster::default();
            cluster.set_version(version);
            assert_eq!(cluster.may_have_start_metric(), expected, "{version}");
        }
    }

    #[test]
    fn application_is_found_by_its_configuration() {
        for (options, expected) in [
            (&[][..], false),
            (&[("execution.target", "remote")], false),
            (&[("execution.target", "kubernetes-session")], false),
            (&[("execution.target", "embedded")], true),
            (&[("execution.target", "kubernetes-application")], true),
            (&[("$internal.application.main", "org.example.Main")], true),
        ] {
            assert_eq!(cluster(options).is_application, expected, "{options:?}");
        }
    }
}
