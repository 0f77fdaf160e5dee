//! `flink-traces` with the discovery of Kubernetes, and a Flink without jobs.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use harness::free_ports;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::server::http;
use crate::program::Program;
use crate::rest::poll;

/// The time limit until the clusters are those that are expected.
const EXPECT_TIMEOUT: Duration = Duration::from_secs(120);

/// Returns the options of the discovery.
fn options(kubeconfig: &Path) -> [String; 2] {
    [
        "flink-traces.kubernetes.enabled=true".to_owned(),
        format!("flink-traces.kubernetes.kubeconfig={}", kubeconfig.display()),
    ]
}

/// Runs `check`. Returns its success, and its output.
pub(super) async fn check(binary: &Path, folder: &Path, kubeconfig: &Path) -> Result<(bool, String)> {
    let options = options(kubeconfig);
    let options = options.iter().flat_map(|option| ["-D", option]);
    let output = Command::new(binary).arg("check").args(options).current_dir(folder).output().await?;
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Ok((output.status.success(), text))
}

/// A running `flink-traces`.
pub(super) struct Watcher {
    program: Program,
    metrics: u16,
    log: PathBuf,
}

impl Watcher {
    /// Starts the program with its log in a folder of its own.
    pub(super) fn start(
        binary: &Path,
        folder: &Path,
        kubeconfig: &Path,
        collector: &str,
        more: &[&str],
    ) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let [metrics, _] = free_ports()?;
        let mut all = options(kubeconfig).to_vec();
        all.push(format!("flink-traces.metrics.listen={metrics}"));
        let all: Vec<_> = all.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let program = Program::start_with(binary, folder, &["--otlp", collector], &all)?;
        Ok(Self { program, metrics, log: folder.join("flink-traces.log") })
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.program.stop().await
    }

    /// Returns the metrics by their names with labels; none before the program listens.
    async fn page(&self) -> BTreeMap<String, f64> {
        let page = http(self.metrics, "GET /metrics HTTP/1.0", "").await.unwrap_or_default();
        let lines = page.lines().filter_map(|line| line.rsplit_once(' '));
        lines.filter_map(|(name, value)| Some((name.trim_end_matches("{}").to_owned(), value.parse().ok()?))).collect()
    }

    /// Waits until exactly these clusters are watched, and respond.
    pub(super) async fn expect(&self, names: &[&str]) -> Result<()> {
        let is_watched = async || {
            let page = self.page().await;
            let is_up = |name: &&str| page.get(&format!("flink_traces_cluster_up{{cluster=\"{name}\"}}")) == Some(&1.0);
            let number = page.get("flink_traces_clusters").copied();
            Ok((number == Some(names.len() as f64) && names.iter().all(is_up)).then_some(()))
        };
        poll(&format!("the clusters {names:?}"), EXPECT_TIMEOUT, is_watched).await
    }

    /// Waits until this number of clusters is watched.
    pub(super) async fn expect_number(&self, number: usize) -> Result<()> {
        let is_watched = async || {
            let page = self.page().await;
            Ok((page.get("flink_traces_clusters") == Some(&(number as f64))).then_some(()))
        };
        poll(&format!("{number} clusters"), EXPECT_TIMEOUT, is_watched).await
    }

    /// Waits until the gauge of the source says that it works, or that it does not.
    pub(super) async fn expect_source(&self, works: bool) -> Result<()> {
        let expected = if works { 1.0 } else { 0.0 };
        let is_said = async || {
            let page = self.page().await;
            Ok((page.get("flink_traces_discovery_up{source=\"kubernetes\"}") == Some(&expected)).then_some(()))
        };
        poll(&format!("flink_traces_discovery_up {expected}"), EXPECT_TIMEOUT, is_said).await
    }

    fn lines(&self, text: &str) -> Result<Vec<String>> {
        let log = fs::read_to_string(&self.log)?;
        Ok(log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect())
    }

    /// Waits for a line of the log with both texts.
    pub(super) async fn wait_for_log(&self, text: &str, detail: &str) -> Result<()> {
        let is_logged = async || Ok(self.lines(text)?.iter().any(|line| line.contains(detail)).then_some(()));
        let what = format!("a line with {text:?} and {detail:?} in {}", self.log.display());
        poll(&what, EXPECT_TIMEOUT, is_logged).await
    }

    /// Fails unless this number of lines has a text.
    pub(super) fn expect_log_with(&self, text: &str, number: usize) -> Result<()> {
        let lines = self.lines(text)?;
        ensure!(lines.len() == number, "expected {number} lines with {text:?}, found {lines:?}");
        Ok(())
    }

    /// Fails if a line of the log has a text.
    pub(super) fn expect_log_without(&self, text: &str) -> Result<()> {
        self.expect_log_with(text, 0)
    }
}

/// The REST API of a cluster without jobs, until it is dropped.
pub(super) struct EmptyFlink {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl EmptyFlink {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
        let address = listener.local_addr()?;
        let requests = Arc::<AtomicUsize>::default();
        let router = Router::new().fallback(answer).with_state(requests.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, requests, _serving: serving })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of requests so far.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn answer(State(requests): State<Arc<AtomicUsize>>, request: Request) -> Response {
    requests.fetch_add(1, Ordering::Relaxed);
    let body = match request.uri().path() {
        "/jobs/overview" => "{\"jobs\":[]}",
        "/config" => {
            "{\"refresh-interval\":3000,\"timezone-name\":\"UTC\",\"timezone-offset\":0,\
             \"flink-version\":\"2.3.0\",\"flink-revision\":\"\",\"features\":{}}"
        }
        "/jobmanager/config" => "[]",
        _ => return (StatusCode::NOT_FOUND, "{\"errors\":[\"Not found.\"]}").into_response(),
    };
    body.into_response()
}
