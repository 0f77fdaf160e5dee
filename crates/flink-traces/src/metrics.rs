//! The pages of `run`: `/metrics` for Prometheus, and `/healthz` and `/readyz` for supervisors.

mod jobs;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flink_traces_api::{Clock, SystemClock};
use flink_traces_runtime::Dispatcher;
use flink_traces_runtime::metrics::{Format, Kind, Labels, Page};

pub(crate) use jobs::Jobs;

use crate::shard::Shard;

/// The counters of a watched cluster, shared by its watcher and the metrics page.
#[derive(Debug, Default)]
pub(crate) struct ClusterStats {
    /// `true` if the last request for the job overview succeeded.
    pub(crate) up: AtomicBool,
    /// The number of requests sent.
    pub(crate) requests: AtomicU64,
    /// The number of requests without a readable response.
    pub(crate) failed_requests: AtomicU64,
    /// The number of missed checkpoints.
    pub(crate) missed_checkpoints: AtomicU64,
    /// The number of checkpoints that were reported without the statistics of their tasks.
    pub(crate) incomplete_checkpoints: AtomicU64,
    /// `true` if the last poll reached the limit of requests.
    pub(crate) behind: AtomicBool,
}

/// The gauges of the process and the counters of its clusters.
#[derive(Debug)]
pub(crate) struct ProcessStats {
    shard: Shard,
    clusters: Mutex<BTreeMap<String, Arc<ClusterStats>>>,
    /// The number of known clusters that other shards watch.
    other_shards: AtomicU64,
    sources: Mutex<Vec<SourceStats>>,
    /// `true` unless the last reload failed.
    reload_successful: AtomicBool,
    /// The time of the last successful load, in seconds since the epoch.
    reloaded_at: AtomicU64,
}

/// The state of a source of clusters.
#[derive(Debug)]
pub(crate) struct SourceStats {
    pub(crate) name: &'static str,
    /// `true` if the last look succeeded.
    pub(crate) works: bool,
    /// The number of clusters that it found.
    pub(crate) clusters: usize,
}

impl ProcessStats {
    /// Creates the gauges of a process whose configuration was just loaded.
    pub(crate) fn new(shard: Shard) -> Self {
        let stats = Self {
            shard,
            clusters: Mutex::default(),
            other_shards: AtomicU64::new(0),
            sources: Mutex::default(),
            reload_successful: AtomicBool::new(true),
            reloaded_at: AtomicU64::new(0),
        };
        stats.note_load(true);
        stats
    }

    /// Returns the counters of the watched clusters, by name.
    pub(crate) fn clusters(&self) -> MutexGuard<'_, BTreeMap<String, Arc<ClusterStats>>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_other_shards(&self, clusters: u64) {
        self.other_shards.store(clusters, Ordering::Relaxed);
    }

    pub(crate) fn set_sources(&self, sources: Vec<SourceStats>) {
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    /// Notes the end of a load of the configuration.
    pub(crate) fn note_load(&self, is_successful: bool) {
        self.reload_successful.store(is_successful, Ordering::Relaxed);
        if is_successful {
            self.reloaded_at.store(SystemClock.now_millis().unsigned_abs() / 1_000, Ordering::Relaxed);
        }
    }

    fn add_to(&self, page: &mut Page) {
        let none = Labels::new(&[]);
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gauge = |name: &str, help: &str, value: u64| {
            page.head(name, Kind::Gauge, help);
            page.sample(name, &none, value);
        };
        gauge(
            "flink_traces_config_last_reload_successful",
            "1 if the last load of the configuration succeeded, otherwise 0.",
            self.reload_successful.load(Ordering::Relaxed).into(),
        );
        gauge(
            "flink_traces_config_last_reload_success_timestamp_seconds",
            "The time of the last successful load of the configuration, in seconds since the epoch.",
            self.reloaded_at.load(Ordering::Relaxed),
        );
        gauge("flink_traces_shard", "The number of this shard, from 0.", self.shard.number.into());
        gauge("flink_traces_shards", "The number of shards that this one knows of.", self.shard.count.into());
        gauge("flink_traces_clusters", "Watched clusters.", self.clusters().len() as u64);
        gauge(
            "flink_traces_clusters_of_other_shards",
            "Known clusters that other shards watch.",
            self.other_shards.load(Ordering::Relaxed),
        );
        let of_source: [Metric<SourceStats>; 2] = [
            (
                "flink_traces_discovery_up",
                Kind::Gauge,
                "1 if the source of clusters could be read the last time, otherwise 0.",
                |source| source.works.into(),
            ),
            ("flink_traces_discovery_clusters", Kind::Gauge, "Clusters that the source has.", |source| {
                source.clusters as u64
            }),
        ];
        for (name, kind, help, value) in of_source {
            page.head(name, kind, help);
            for source in sources.iter() {
                page.sample(name, &Labels::new(&[("source", source.name)]), value(source));
            }
        }
        add_clusters(page, &self.clusters());
    }
}

/// The metrics page.
#[derive(Clone)]
pub(crate) struct Metrics {
    dispatcher: Dispatcher,
    process: Arc<ProcessStats>,
    jobs: Arc<Mutex<Jobs>>,
    others: Vec<Arc<dyn Counts>>,
}

/// The counts of a part of the program.
pub(crate) trait Counts: Send + Sync {
    /// Adds the counts to a page.
    fn add_to(&self, page: &mut Page);
}

impl Metrics {
    /// Creates the page of the dispatcher's reporters, of the process, and of jobs.
    pub(crate) fn new(dispatcher: Dispatcher, process: Arc<ProcessStats>, jobs: Arc<Mutex<Jobs>>) -> Self {
        Self { dispatcher, process, jobs, others: Vec::new() }
    }

    /// Adds the counts of a part of the program, if there is one.
    pub(crate) fn with<C: Counts + 'static>(mut self, counts: &Option<Arc<C>>) -> Self {
        self.others.extend(counts.clone().map(|counts| counts as Arc<dyn Counts>));
        self
    }

    /// Returns the routes `/metrics`, `/healthz` and `/readyz`.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics_page))
            .route("/healthz", get(health))
            .route("/readyz", get(async || "ok\n"))
            .with_state(Arc::new(self))
    }

    /// Returns the page in a format.
    fn text(&self, format: Format) -> String {
        let mut page = Page::new(format);
        page.reporters(&self.dispatcher.stats());
        self.process.add_to(&mut page);
        self.others.iter().for_each(|counts| counts.add_to(&mut page));
        let now = SystemClock.now_millis();
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).add_to(&mut page, now);
        page.head("flink_traces_build_info", Kind::Gauge, "The version of this program.");
        page.sample("flink_traces_build_info", &Labels::new(&[("version", env!("CARGO_PKG_VERSION"))]), 1);
        page.finish()
    }
}

async fn metrics_page(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    ([(header::CONTENT_TYPE, format.media_type())], metrics.text(format)).into_response()
}

/// Responds with an error if a restart of the program would help, which is only so if a reporter is
/// disabled. An unavailable collector or cluster is no reason, because a restart drops the queues.
async fn health(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.dispatcher.stats().iter().find(|stats| stats.is_disabled) {
        None => "ok\n".into_response(),
        Some(stats) => (StatusCode::SERVICE_UNAVAILABLE, format!("{stats}\n")).into_response(),
    }
}

/// A metric with one value for each `T`: its name, kind, help text and value.
type Metric<T> = (&'static str, Kind, &'static str, fn(&T) -> u64);

const CLUSTER_METRICS: &[Metric<ClusterStats>] = &[
    (
        "flink_traces_cluster_up",
        Kind::Gauge,
        "1 if the last request for the job overview succeeded, otherwise 0.",
        |stats| stats.up.load(Ordering::Relaxed).into(),
    ),
    ("flink_traces_cluster_requests_total", Kind::Counter, "Requests sent to the cluster.", |stats| {
        stats.requests.load(Ordering::Relaxed)
    }),
    ("flink_traces_cluster_failed_requests_total", Kind::Counter, "Requests without a readable response.", |stats| {
        stats.failed_requests.load(Ordering::Relaxed)
    }),
    (
        "flink_traces_cluster_missed_checkpoints_total",
        Kind::Counter,
        "Checkpoints that came and went between two polls.",
        |stats| stats.missed_checkpoints.load(Ordering::Relaxed),
    ),
    (
        "flink_traces_cluster_incomplete_checkpoints_total",
        Kind::Counter,
        "Checkpoints reported without the statistics of their tasks.",
        |stats| stats.incomplete_checkpoints.load(Ordering::Relaxed),
    ),
    (
        "flink_traces_cluster_behind",
        Kind::Gauge,
        "1 if the last poll hit the per-cluster request limit, otherwise 0.",
        |stats| stats.behind.load(Ordering::Relaxed).into(),
    ),
];

fn add_clusters(page: &mut Page, clusters: &BTreeMap<String, Arc<ClusterStats>>) {
    for (name, kind, help, value) in CLUSTER_METRICS {
        page.head(name, *kind, help);
        for (cluster, stats) in clusters {
            page.sample(name, &Labels::new(&[("cluster", cluster)]), value(stats));
        }
    }
}
