//! `cargo e2e monitor`: Prometheus scrapes `flink-traces` beside a real cluster.
//!
//! The alert rules must be silent while a job is healthy, and each fault must make its rule fire.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::OtlpCollector;
use harness::flink::{Distribution, VERSION};
use harness::{build, free_ports, recreate, say, workspace_root};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::browser::take_picture;
use crate::cluster::{Cluster, log_file};
use crate::program::Program;
use crate::rest::poll;
use crate::session::{STEP_TIMEOUT, run_until_interrupted};
use crate::{job, target};

/// The time limit for an alert. `FlinkClusterUnreachable` waits for two minutes itself.
const ALERT_TIMEOUT: Duration = Duration::from_secs(240);
/// A delay that no session reaches.
const NEVER: &str = "86400000";
const FAULT_AFTER: &str = "3000";
/// The pictures in the documentation, and their pages of Prometheus.
const PICTURES: &[(&str, &str)] = &[
    ("docs/prometheus-alerts.png", "alerts"),
    (
        "docs/prometheus-checkpoints.png",
        "graph?g0.expr=time()%20-%20flink_traces_job_last_completed_checkpoint_timestamp_seconds\
         &g0.tab=0&g0.range_input=4m",
    ),
];

/// Runs the session, in which a job is healthy for the time `health` first.
pub(crate) fn run(health: Duration) -> Result<()> {
    let folder = target("monitor-session")?;
    recreate(&folder)?;
    let distribution = Distribution::prepare(VERSION)?;
    let job = job::compile(&distribution)?;
    let binary = build("flink-traces")?;
    run_until_interrupted(session(&distribution, &job, &binary, &folder, health), &folder)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn session(
    distribution: &Distribution,
    jar: &Path,
    binary: &Path,
    folder: &Path,
    health: Duration,
) -> Result<()> {
    let collector = OtlpCollector::start()?;
    say("starting the cluster");
    let options = [
        ("restart-strategy.fixed-delay.attempts", "20".to_owned()),
        ("taskmanager.numberOfTaskSlots", "4".to_owned()),
        ("execution.checkpointing.timeout", "30s".to_owned()),
        ("execution.checkpointing.tolerable-failed-checkpoints", "100".to_owned()),
    ];
    let cluster = Cluster::start(distribution, folder, &options).await?;
    let [metrics, web] = free_ports()?;
    let listen = format!("flink-traces.metrics.listen={metrics}");
    let arguments = ["--flink", &format!("e2e={}", cluster.rest.url()), "--otlp", &collector.grpc_endpoint()];
    let program = Program::start_with(binary, folder, &arguments, &[&listen])?;
    let prometheus = Prometheus::start(folder, metrics, web).await?;

    say("a healthy job");
    let healthy = cluster.rest.submit(jar, 2, &[NEVER]).await?;
    let end = Instant::now() + health;
    while Instant::now() < end {
        prometheus.expect_no_alert().await?;
        sleep(Duration::from_secs(1)).await;
    }
    let completed = prometheus.query("flink_traces_job_completed_checkpoints_total > 10").await?;
    ensure!(!completed.is_empty(), "the healthy job completed no checkpoints");
    cluster.rest.cancel(&healthy, STEP_TIMEOUT).await?;

    say("a job that stops completing checkpoints");
    let blocked = cluster.rest.submit(jar, 2, &[FAULT_AFTER, "block"]).await?;
    prometheus.wait_for_alert("FlinkJobHasNoRecentCheckpoint").await?;
    prometheus.take_pictures(folder).await?;
    cluster.rest.cancel(&blocked, ALERT_TIMEOUT).await?;

    say("a restart loop");
    let looping = cluster.rest.submit(jar, 2, &[FAULT_AFTER, "fail-always"]).await?;
    prometheus.wait_for_alert("FlinkJobRestartLoop").await?;
    cluster.rest.cancel(&looping, STEP_TIMEOUT).await?;

    say("a cluster that goes away");
    cluster.stop().await?;
    prometheus.wait_for_alert("FlinkClusterUnreachable").await?;
    program.stop().await
}

/// A Prometheus server with the rules of this repository, which is killed when this is dropped.
struct Prometheus {
    _process: Child,
    url: String,
}

impl Prometheus {
    async fn start(folder: &Path, metrics: u16, web: u16) -> Result<Self> {
        // The pages of Prometheus show the path, so it must not be that of this machine.
        const RULES: &str = "flink-traces.rules.yaml";
        fs::copy(workspace_root()?.join("alerts").join(RULES), folder.join(RULES))?;
        let configuration = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{RULES}]\n\
             scrape_configs:\n- {{job_name: flink-traces, static_configs: [{{targets: ['127.0.0.1:{metrics}']}}]}}\n"
        );
        fs::write(folder.join("prometheus.yml"), configuration)?;
        let process = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=prometheus-data")
            .arg(format!("--web.listen-address=127.0.0.1:{web}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log_file(folder, "prometheus")?)
            .stderr(log_file(folder, "prometheus")?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start prometheus")?;
        let server = Self { _process: process, url: format!("http://127.0.0.1:{web}") };
        let is_scraped = async || {
            let up = server.query("flink_traces_build_info").await.unwrap_or_default();
            Ok((!up.is_empty()).then_some(()))
        };
        poll("a scrape", STEP_TIMEOUT, is_scraped).await?;
        Ok(server)
    }

    /// Returns the lines of an instant query.
    async fn query(&self, expression: &str) -> Result<Vec<String>> {
        let output = Command::new("promtool").args(["query", "instant", &self.url, expression]).output().await?;
        ensure!(output.status.success(), "{expression}: {}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8_lossy(&output.stdout);
        Ok(lines.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    async fn expect_no_alert(&self) -> Result<()> {
        let firing = self.query("ALERTS{alertstate=\"firing\"}").await?;
        ensure!(firing.is_empty(), "an alert fires for a healthy job: {firing:?}");
        Ok(())
    }

    /// Takes the pictures for the documentation. Debian's Prometheus has only the classic pages.
    async fn take_pictures(&self, folder: &Path) -> Result<()> {
        for (picture, page) in PICTURES {
            let url = format!("{}/classic/{page}", self.url);
            take_picture(folder, &url, &workspace_root()?.join(picture)).await?;
        }
        Ok(())
    }

    async fn wait_for_alert(&self, name: &str) -> Result<()> {
        let fires = async || {
            let firing = self.query(&format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}")).await?;
            Ok((!firing.is_empty()).then_some(()))
        };
        poll(name, ALERT_TIMEOUT, fires).await
    }
}
