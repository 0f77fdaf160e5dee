//! The lines of the log by which `run` says what it does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flink_rest::types::ConfigurationInfoEntry;
use flink_rest::{Config, JobManagerConfig, JobsOverview};
use flink_traces_api::{RecordCounts, Signal};
use flink_traces_runtime::config::ReporterSetup;
use flink_traces_runtime::{Dispatcher, ReporterStats};
use tokio::time::sleep;

use crate::connection::Connection;
use crate::metrics::ClusterStats;
use crate::text::one_line;

/// The option of OTLP reporters with their destination.
const ENDPOINT: &str = "exporter.endpoint";
/// The pause between two looks at a counter.
const PAUSE: Duration = Duration::from_millis(500);
/// The period of a summary.
const PERIOD: Duration = Duration::from_secs(3_600);

/// Logs one line for each reporter, with its destination.
pub(crate) fn reporters(setups: &[ReporterSetup]) {
    for setup in setups {
        let (signal, reporter, class) = (setup.signal, &setup.name, &setup.class);
        match endpoint(setup).or_else(|| value(setup, "path")) {
            Some(destination) => tracing::info!(%signal, reporter, class, destination, "reporting"),
            None => tracing::info!(%signal, reporter, class, "reporting"),
        }
    }
}

fn value(setup: &ReporterSetup, key: &str) -> Option<String> {
    setup.config.value(key).map(|value| value.redacted())
}

/// Returns the endpoint of a reporter without its query, which may hold a secret.
fn endpoint(setup: &ReporterSetup) -> Option<String> {
    Some(address(&value(setup, ENDPOINT)?).to_owned())
}

fn address(url: &str) -> &str {
    url.split('?').next().unwrap_or_default().trim_end_matches('/')
}

/// Waits for the first contact with a cluster, and logs one line about it.
///
/// Warns if the cluster itself reports to the destination of one of the reporters.
pub(crate) async fn contact(connection: Arc<Connection>, stats: Arc<ClusterStats>, setups: Arc<[ReporterSetup]>) {
    let name = connection.name();
    while !stats.up.load(Ordering::Relaxed) {
        sleep(PAUSE).await;
    }
    let version = connection.call(&Config).await.map(|config| config.flink_version).unwrap_or_default();
    let jobs = connection.call(&JobsOverview).await.map(|overview| overview.jobs).unwrap_or_default();
    let running = jobs.iter().filter(|job| job.end_time.is_none()).count();
    let options = connection.call(&JobManagerConfig).await.map(|found| found.entries).unwrap_or_default();
    tracing::info!(
        cluster = name,
        version = one_line(&version, 30),
        jobs = running,
        checkpoint_history = option(&options, &["web.checkpoints.history"], "10"),
        graph_cache = option(&options, &["rest.cache.execution-graph.timeout", "web.refresh-interval"], "3 s"),
        checkpoint_cache =
            option(&options, &["rest.cache.checkpoint-statistics.timeout", "web.refresh-interval"], "3 s"),
        "cluster reached"
    );
    let setups = setups.iter().filter(|setup| setup.clusters.matches(name));
    for (signal, reporter, endpoint) in both(&options, setups) {
        tracing::warn!(
            cluster = name,
            %signal,
            reporter,
            endpoint,
            help = format!("remove it from Flink's configuration, or list the others in {signal}.reporters here"),
            "the cluster reports to the same endpoint, records arrive twice"
        );
    }
}

/// Returns the value of the first option that is set.
fn option(options: &[ConfigurationInfoEntry], keys: &[&str], default: &str) -> String {
    let value = keys.iter().find_map(|key| options.iter().find(|option| option.key == *key));
    one_line(value.map_or(default, |option| option.value.as_str()), 30)
}

/// Returns the reporters that a cluster has with the same destination, by signal, name and
/// endpoint.
fn both<'a>(
    options: &[ConfigurationInfoEntry],
    setups: impl Iterator<Item = &'a ReporterSetup>,
) -> Vec<(Signal, String, String)> {
    let mut found = Vec::new();
    for setup in setups {
        let prefix = format!("{}.reporter.", setup.signal);
        let is_same = |option: &&ConfigurationInfoEntry| {
            option
                .key
                .strip_prefix(&prefix)
                .is_some_and(|key| key.split_once('.').is_some_and(|(_, key)| key == ENDPOINT))
                && endpoint(setup).is_some_and(|endpoint| endpoint == address(&option.value))
        };
        if let Some(option) = options.iter().find(is_same) {
            found.push((setup.signal, setup.name.clone(), address(&option.value).to_owned()));
        }
    }
    found
}

/// Logs the first delivery of each reporter, and every hour what was reported in it.
pub(crate) async fn deliveries(dispatcher: Dispatcher) {
    let mut waiting: BTreeSet<_> = dispatcher.stats().into_iter().map(|stats| (stats.signal, stats.name)).collect();
    let (mut before, mut since) = (dispatcher.stats(), Instant::now());
    loop {
        sleep(if waiting.is_empty() { PERIOD.saturating_sub(since.elapsed()) } else { PAUSE }).await;
        let stats = dispatcher.stats();
        for reporter in &stats {
            let (signal, name) = (reporter.signal, &reporter.name);
            if delivered(reporter) > 0 && waiting.remove(&(signal, name.clone())) {
                tracing::info!(%signal, reporter = name, "first delivery");
            }
        }
        if since.elapsed() >= PERIOD {
            stats.iter().filter_map(|now| since_then(&before, now)).for_each(|summary| summary.log());
            (before, since) = (stats, Instant::now());
        }
    }
}

/// Returns the number of records that the destination has.
fn delivered(stats: &ReporterStats) -> u64 {
    stats.transfer.buffer.as_ref().map_or(stats.delivered, |buffer| buffer.finalized.delivered)
}

fn finalized_in_buffer(stats: &ReporterStats) -> RecordCounts {
    stats.transfer.buffer.map(|buffer| buffer.finalized).unwrap_or_default()
}

/// The records of one reporter in one period.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    signal: Signal,
    name: String,
    emitted: u64,
    delivered: u64,
    rejected: u64,
    dropped: u64,
    queued: u64,
}

impl Summary {
    fn log(&self) {
        let Self { signal, name, emitted, delivered, rejected, dropped, queued } = self;
        tracing::info!(%signal, reporter = name, emitted, delivered, rejected, dropped, queued, "summary of the last hour");
    }
}

/// Returns the difference to the counts at the last summary; `None` if nothing happened.
fn since_then(before: &[ReporterStats], now: &ReporterStats) -> Option<Summary> {
    let before = before.iter().find(|known| known.signal == now.signal && known.name == now.name)?;
    let difference = |count: fn(&ReporterStats) -> u64| count(now).saturating_sub(count(before));
    let [emitted, delivered, rejected, dropped] = [
        difference(|stats| stats.emitted),
        difference(delivered),
        difference(|stats| stats.rejected + finalized_in_buffer(stats).rejected),
        difference(|stats| stats.dropped.values().sum::<u64>() + finalized_in_buffer(stats).dropped),
    ];
    let queued = now.queued + now.transfer.buffer.as_ref().map_or(0, |buffer| buffer.queued);
    let is_quiet = [emitted, delivered, rejected, dropped].iter().all(|count| *count == 0);
    let summary = Summary { signal: now.signal, name: now.name.clone(), emitted, delivered, rejected, dropped, queued };
    (!is_quiet).then_some(summary)
}
