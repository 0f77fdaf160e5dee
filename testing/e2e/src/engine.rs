//! The example engine, as a process that serves Flink's REST API.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_rest::types::JobDetails;
use flink_rest::{Client, JobStatus, JobsOverview, ShutdownCluster};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cluster::log_file;
use crate::rest::{all_run, poll};
use crate::session::STEP_TIMEOUT;

const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Records for hours, and checkpoints at a pace that people can follow.
const OPTIONS: &[&str] = &[
    "rest.port=0",
    "pipeline.name=count by key",
    "engine.records=100000000",
    "engine.pause=50 ms",
    "execution.checkpointing.interval=1 s",
    "execution.checkpointing.dir=job",
];

/// A running engine, which is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Engine {
    process: Child,
    pub(crate) client: Client,
}

impl Engine {
    /// Starts the engine in `folder` with additional options, and waits for its first response.
    pub(crate) async fn start(binary: &Path, folder: &Path, options: &[&str]) -> Result<Self> {
        const LOG: &str = "engine";
        let before = fs::read_to_string(folder.join("engine.log")).unwrap_or_default().len();
        let process = Command::new(binary)
            .args(OPTIONS.iter().chain(options).flat_map(|option| ["-D", option]))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log_file(folder, LOG)?)
            .stderr(log_file(folder, LOG)?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the engine")?;
        let listening = async || {
            let log = fs::read_to_string(folder.join("engine.log"))?;
            let line = log[before..].lines().find_map(|line| line.split_once("REST API at "));
            Ok(line.map(|(_, url)| url.to_owned()))
        };
        let client = Client::new(&poll("the engine's REST API", STEP_TIMEOUT, listening).await?)?;
        Ok(Self { process, client })
    }

    /// Returns the host and the port of the REST API.
    pub(crate) fn address(&self) -> Result<&str> {
        self.client.base_url().strip_prefix("http://").map(|url| url.trim_end_matches('/')).context("no http")
    }

    /// Waits for a status of the only job and, if that is `RUNNING`, for all of its subtasks.
    pub(crate) async fn job(&self, state: JobStatus) -> Result<JobDetails> {
        let reached = async || {
            let job = self.client.call(&JobsOverview).await?.jobs.into_iter().next();
            Ok(job.filter(|job| job.state == state && (state != JobStatus::Running || all_run(job))))
        };
        poll(state.name(), STEP_TIMEOUT, reached).await
    }

    /// Shuts the engine down over REST, and waits for its successful exit.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.client.call(&ShutdownCluster).await?;
        let status = timeout(STOP_TIMEOUT, self.process.wait()).await.context("the engine does not stop")??;
        ensure!(status.success(), "the engine ended with {status}");
        Ok(())
    }
}
