//! The program's own metrics: `/metrics` for Prometheus, and `/healthz` for supervisors.

use std::fmt::{Display, Write};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flink_traces_api::BufferStats;
use flink_traces_runtime::dispatch::DropReason;
use flink_traces_runtime::{Dispatcher, ReporterStats};
use tokio::net::TcpListener;

/// The media type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The timeout of a request, including its response.
const TIMEOUT: Duration = Duration::from_secs(10);

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

/// The metrics page.
#[derive(Clone)]
pub(crate) struct Metrics {
    dispatcher: Dispatcher,
    clusters: Vec<(String, Arc<ClusterStats>)>,
    local_only: bool,
}

impl Metrics {
    /// Creates the page of the dispatcher's reporters and of clusters, which have names.
    pub(crate) fn new(dispatcher: Dispatcher, clusters: Vec<(String, Arc<ClusterStats>)>) -> Self {
        Self { dispatcher, clusters, local_only: true }
    }

    /// Serves `/metrics` and `/healthz` at `address` for as long as the runtime lives.
    ///
    /// Returns the address, whose port is chosen by the system if it was 0. On a loopback address,
    /// only requests to a loopback name are served, which keeps web pages in a browser out. Fails
    /// if the address cannot be bound.
    pub(crate) async fn serve(mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.local_only = address.ip().is_loopback();
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let metrics = Arc::new(self);
        let router = Router::new()
            .route("/metrics", get(metrics_page))
            .route("/healthz", get(health))
            .layer(from_fn_with_state(metrics.clone(), guard))
            .with_state(metrics);
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "metrics server failed");
            }
        });
        Ok(address)
    }

    /// Returns the page in Prometheus' text format.
    fn text(&self) -> String {
        let reporters = self.dispatcher.stats();
        let mut page = Page::default();
        page.add_reporters(&reporters);
        page.add_spools(&reporters);
        page.add_drops(&reporters);
        page.add_clusters(&self.clusters);
        page.head("flink_traces_build_info", "gauge", "The version of this program.");
        page.sample("flink_traces_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.text
    }
}

/// Returns the seconds since the epoch, or 0 for `None`.
fn seconds(moment: Option<SystemTime>) -> u64 {
    moment.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default().as_secs()
}

fn reporter_labels(stats: &ReporterStats) -> Vec<(&'static str, &str)> {
    vec![("signal", stats.signal.name()), ("reporter", &stats.name)]
}

async fn metrics_page(State(metrics): State<Arc<Metrics>>) -> Response {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], metrics.text()).into_response()
}

/// Responds with an error if a restart of the program would help, which is only so if a reporter is
/// disabled. An unavailable collector or cluster is no reason, because a restart drops the queues.
async fn health(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.dispatcher.stats().iter().find(|stats| stats.is_disabled) {
        None => "ok\n".into_response(),
        Some(stats) => (StatusCode::SERVICE_UNAVAILABLE, format!("{stats}\n")).into_response(),
    }
}

/// Limits the time of a request. On a loopback address, rejects requests to other names.
async fn guard(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if metrics.local_only && !is_loopback_name(host) {
        return (StatusCode::MISDIRECTED_REQUEST, "use a loopback address\n").into_response();
    }
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Returns `true` if `host`, a `Host` header, is a loopback name or address.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// A page in Prometheus' text format.
#[derive(Default)]
struct Page {
    text: String,
}

/// A metric with one value for each `T`: its name, kind, help text and value.
type Metric<T> = (&'static str, &'static str, &'static str, fn(&T) -> u64);

const REPORTER_METRICS: &[Metric<ReporterStats>] = &[
    ("flink_traces_reporter_emitted_total", "counter", "Spans or events passed to the reporter.", |stats| {
        stats.emitted
    }),
    (
        "flink_traces_reporter_delivered_total",
        "counter",
        "Spans or events that the destination has, or that are stored on disk.",
        |stats| stats.delivered,
    ),
    (
        "flink_traces_reporter_rejected_total",
        "counter",
        "Spans or events that the destination refused for good.",
        |stats| stats.rejected,
    ),
    ("flink_traces_reporter_queued", "gauge", "Queued spans or events, including the batch in flight.", |stats| {
        stats.queued
    }),
    (
        "flink_traces_reporter_filtered_total",
        "counter",
        "Spans or events kept out by the reporter's filter.",
        |stats| stats.filtered,
    ),
    ("flink_traces_reporter_failures_total", "counter", "Reports that failed.", |stats| stats.failures),
    ("flink_traces_reporter_sent_bytes_total", "counter", "Bytes sent to the destination.", |stats| {
        stats.transfer.bytes_sent
    }),
    (
        "flink_traces_reporter_last_success_timestamp_seconds",
        "gauge",
        "The time of the last successful report, in seconds since the epoch; 0: never.",
        |stats| seconds(stats.last_success),
    ),
    (
        "flink_traces_reporter_last_taken_timestamp_seconds",
        "gauge",
        "The time at which the destination last accepted data, in seconds since the epoch; 0: never.",
        |stats| seconds(stats.transfer.last_taken),
    ),
];

const SPOOL_METRICS: &[Metric<BufferStats>] = &[
    (
        "flink_traces_spool_stored_total",
        "counter",
        "Spans or events stored on disk, or found there at the start.",
        |spool| spool.stored,
    ),
    ("flink_traces_spool_delivered_total", "counter", "Stored spans or events that were delivered.", |spool| {
        spool.delivered
    }),
    (
        "flink_traces_spool_rejected_total",
        "counter",
        "Stored spans or events that the destination refused for good.",
        |spool| spool.rejected,
    ),
    ("flink_traces_spool_dropped_total", "counter", "Stored spans or events that were dropped.", |spool| spool.dropped),
    ("flink_traces_spool_queued", "gauge", "Spans or events on disk.", |spool| spool.queued),
    ("flink_traces_spool_bytes", "gauge", "The size of the spool on disk, in bytes.", |spool| spool.bytes),
];

const CLUSTER_METRICS: &[Metric<ClusterStats>] = &[
    (
        "flink_traces_cluster_up",
        "gauge",
        "1 if the last request for the job overview succeeded, otherwise 0.",
        |stats| stats.up.load(Ordering::Relaxed).into(),
    ),
    ("flink_traces_cluster_requests_total", "counter", "Requests sent to the cluster.", |stats| {
        stats.requests.load(Ordering::Relaxed)
    }),
    ("flink_traces_cluster_failed_requests_total", "counter", "Requests without a readable response.", |stats| {
        stats.failed_requests.load(Ordering::Relaxed)
    }),
    (
        "flink_traces_cluster_missed_checkpoints_total",
        "counter",
        "Checkpoints that came and went between two polls.",
        |stats| stats.missed_checkpoints.load(Ordering::Relaxed),
    ),
    (
        "flink_traces_cluster_incomplete_checkpoints_total",
        "counter",
        "Checkpoints reported without the statistics of their tasks.",
        |stats| stats.incomplete_checkpoints.load(Ordering::Relaxed),
    ),
    (
        "flink_traces_cluster_behind",
        "gauge",
        "1 if the last poll hit the per-cluster request limit, otherwise 0.",
        |stats| stats.behind.load(Ordering::Relaxed).into(),
    ),
];

impl Page {
    fn add_reporters(&mut self, reporters: &[ReporterStats]) {
        for (name, kind, help, value) in REPORTER_METRICS {
            self.head(name, kind, help);
            for stats in reporters {
                self.sample(name, &reporter_labels(stats), value(stats));
            }
        }
    }

    fn add_spools(&mut self, reporters: &[ReporterStats]) {
        for (name, kind, help, value) in SPOOL_METRICS {
            self.head(name, kind, help);
            for (stats, spool) in reporters.iter().filter_map(|stats| Some((stats, stats.transfer.buffer.as_ref()?))) {
                self.sample(name, &reporter_labels(stats), value(spool));
            }
        }
    }

    fn add_drops(&mut self, reporters: &[ReporterStats]) {
        let name = "flink_traces_reporter_dropped_total";
        self.head(name, "counter", "Dropped spans or events, by reason.");
        for stats in reporters {
            for reason in DropReason::ALL {
                let mut labels = reporter_labels(stats);
                labels.push(("reason", reason.name()));
                self.sample(name, &labels, stats.dropped_by(reason));
            }
        }
    }

    fn add_clusters(&mut self, clusters: &[(String, Arc<ClusterStats>)]) {
        for (name, kind, help, value) in CLUSTER_METRICS {
            self.head(name, kind, help);
            for (cluster, stats) in clusters {
                self.sample(name, &[("cluster", cluster.as_str())], value(stats));
            }
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// Escapes the value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_are_recognized() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:9250", true),
            ("127.0.0.1:9250", true),
            ("127.8.9.1", true),
            ("[::1]:9250", true),
            ("[::1]", true),
            ("", false),
            ("localhost.example.com", false),
            ("example.com:9250", false),
            ("10.0.0.1", false),
            ("[fe80::1]:80", false),
        ] {
            assert_eq!(is_loopback_name(host), expected, "{host}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::default();
        page.sample("m", &[("a", "x\"y\\z\n"), ("b", "")], 7);
        assert_eq!(page.text, "m{a=\"x\\\"y\\\\z\\n\",b=\"\"} 7\n");
    }
}
