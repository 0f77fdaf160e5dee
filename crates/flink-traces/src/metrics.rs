//! What the program tells of itself: `/metrics` for Prometheus and `/healthz` for whoever supervises it.

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
/// How long an answer may take, its request included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is counted of a watched cluster; shared by its watcher and the page.
#[derive(Debug, Default)]
pub(crate) struct ClusterStats {
    /// Whether the last look at its jobs succeeded.
    pub(crate) up: AtomicBool,
    /// Requests that it was sent.
    pub(crate) requests: AtomicU64,
    /// Those without an answer, or with one that cannot be read.
    pub(crate) failed_requests: AtomicU64,
    /// Checkpoints that left its history before anyone looked.
    pub(crate) missed_checkpoints: AtomicU64,
    /// Checkpoints that were told without their tasks, which were not to be had, or not in time.
    pub(crate) incomplete_checkpoints: AtomicU64,
    /// Whether there was more to ask in the last look than a cluster is asked at once.
    pub(crate) behind: AtomicBool,
}

/// What the page tells.
#[derive(Clone)]
pub(crate) struct Metrics {
    dispatcher: Dispatcher,
    clusters: Vec<(String, Arc<ClusterStats>)>,
    local_only: bool,
}

impl Metrics {
    /// Tells of the dispatcher's reporters, and of clusters by their names.
    pub(crate) fn new(dispatcher: Dispatcher, clusters: Vec<(String, Arc<ClusterStats>)>) -> Self {
        Self { dispatcher, clusters, local_only: true }
    }

    /// Serves `/metrics` and `/healthz` at `address` for as long as the runtime lives; answers the address, whose port is a free one
    /// if it was 0. On a loopback address it answers only to a loopback name: pages of a browser are kept out.
    ///
    /// # Errors
    /// When the address cannot be bound.
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
                tracing::warn!(%error, "metrics are served no more");
            }
        });
        Ok(address)
    }

    /// The page, in Prometheus' text format.
    fn text(&self) -> String {
        let reporters = self.dispatcher.stats();
        let mut page = Page::default();
        let mut each = |name: &str, kind: &str, help: &str, value: fn(&ReporterStats) -> u64| {
            page.head(name, kind, help);
            for stats in &reporters {
                page.sample(name, &reporter_labels(stats), value(stats));
            }
        };
        each("flink_traces_reporter_emitted_total", "counter", "Spans or events meant for the reporter.", |stats| {
            stats.emitted
        });
        each("flink_traces_reporter_delivered_total", "counter", "What its destination has, or stored.", |stats| {
            stats.delivered
        });
        each("flink_traces_reporter_rejected_total", "counter", "What its destination refused for good.", |stats| {
            stats.rejected
        });
        each("flink_traces_reporter_queued", "gauge", "What waits, the batch in flight included.", |stats| {
            stats.queued
        });
        each("flink_traces_reporter_filtered_total", "counter", "What the reporter's filter kept out.", |stats| {
            stats.filtered
        });
        each("flink_traces_reporter_failures_total", "counter", "Reports that failed.", |stats| stats.failures);
        each("flink_traces_reporter_sent_bytes_total", "counter", "Bytes that went to the destination.", |stats| {
            stats.transfer.bytes_sent
        });
        each(
            "flink_traces_reporter_last_success_timestamp_seconds",
            "gauge",
            "When a report last succeeded, in seconds since the epoch; 0: never.",
            |stats| seconds(stats.last_success),
        );
        each(
            "flink_traces_reporter_last_taken_timestamp_seconds",
            "gauge",
            "When the destination last took something, in seconds since the epoch; 0: never.",
            |stats| seconds(stats.transfer.last_taken),
        );
        let mut each = |name: &str, kind: &str, help: &str, value: fn(&BufferStats) -> u64| {
            page.head(name, kind, help);
            for (stats, spool) in reporters.iter().filter_map(|stats| Some((stats, stats.transfer.buffer.as_ref()?))) {
                page.sample(name, &reporter_labels(stats), value(spool));
            }
        };
        each("flink_traces_spool_stored_total", "counter", "What was stored on disk, or found there.", |spool| {
            spool.stored
        });
        each("flink_traces_spool_delivered_total", "counter", "What the destination took of it.", |spool| {
            spool.delivered
        });
        each("flink_traces_spool_rejected_total", "counter", "What it refused for good.", |spool| spool.rejected);
        each("flink_traces_spool_dropped_total", "counter", "What of it was given up.", |spool| spool.dropped);
        each("flink_traces_spool_queued", "gauge", "What is on disk.", |spool| spool.queued);
        each("flink_traces_spool_bytes", "gauge", "The bytes that it takes.", |spool| spool.bytes);
        let name = "flink_traces_reporter_dropped_total";
        page.head(name, "counter", "What was given up, by reason.");
        for stats in &reporters {
            for reason in DropReason::ALL {
                let mut labels = reporter_labels(stats);
                labels.push(("reason", reason.name()));
                page.sample(name, &labels, stats.dropped_by(reason));
            }
        }
        let mut each = |name: &str, kind: &str, help: &str, value: fn(&ClusterStats) -> u64| {
            page.head(name, kind, help);
            for (cluster, stats) in &self.clusters {
                page.sample(name, &[("cluster", cluster.as_str())], value(stats));
            }
        };
        each("flink_traces_cluster_up", "gauge", "Whether the last look at the cluster's jobs succeeded.", |stats| {
            stats.up.load(Ordering::Relaxed).into()
        });
        each("flink_traces_cluster_requests_total", "counter", "Requests that the cluster was sent.", |stats| {
            stats.requests.load(Ordering::Relaxed)
        });
        each("flink_traces_cluster_failed_requests_total", "counter", "Those without a readable answer.", |stats| {
            stats.failed_requests.load(Ordering::Relaxed)
        });
        each(
            "flink_traces_cluster_missed_checkpoints_total",
            "counter",
            "Checkpoints that left the cluster's history unseen.",
            |stats| stats.missed_checkpoints.load(Ordering::Relaxed),
        );
        each(
            "flink_traces_cluster_incomplete_checkpoints_total",
            "counter",
            "Checkpoints told without their tasks, which were not to be had in time.",
            |stats| stats.incomplete_checkpoints.load(Ordering::Relaxed),
        );
        each(
            "flink_traces_cluster_behind",
            "gauge",
            "Whether there was more to ask in the last look than a cluster is asked at once.",
            |stats| stats.behind.load(Ordering::Relaxed).into(),
        );
        page.head("flink_traces_build_info", "gauge", "The version of this program.");
        page.sample("flink_traces_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.0
    }
}

/// Since the epoch; 0 for never.
fn seconds(moment: Option<SystemTime>) -> u64 {
    moment.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default().as_secs()
}

fn reporter_labels(stats: &ReporterStats) -> Vec<(&'static str, &str)> {
    vec![("signal", stats.signal.name()), ("reporter", &stats.name)]
}

async fn metrics_page(State(metrics): State<Arc<Metrics>>) -> Response {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], metrics.text()).into_response()
}

/// Whether a restart of the program would help: only if a reporter is out of use. A collector or a cluster that is away is no reason,
/// for what is queued would be lost.
async fn health(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.dispatcher.stats().iter().find(|stats| stats.is_disabled) {
        None => "ok\n".into_response(),
        Some(stats) => (StatusCode::SERVICE_UNAVAILABLE, format!("{stats}\n")).into_response(),
    }
}

/// Bounds the time of a request, and on a loopback address lets only those in who ask for one.
async fn guard(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if metrics.local_only && !is_loopback_name(host) {
        return (StatusCode::MISDIRECTED_REQUEST, "ask by a loopback address\n").into_response();
    }
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Whether `host`, of the header `Host`, names this machine from within.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Prometheus' text format.
#[derive(Default)]
struct Page(String);

impl Page {
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
        let _ = writeln!(self.0, "{line}");
    }
}

/// A value of a label: these three have a meaning there.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_name_a_loopback_address() {
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
    fn labels_hold_any_text() {
        let mut page = Page::default();
        page.sample("m", &[("a", "x\"y\\z\n"), ("b", "")], 7);
        assert_eq!(page.0, "m{a=\"x\\\"y\\\\z\\n\",b=\"\"} 7\n");
    }
}
