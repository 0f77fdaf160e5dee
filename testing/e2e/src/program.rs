//! `flink-traces`, as an operator runs it beside the cluster.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cluster::log_file;

/// The options of a session that compares the output with Flink's, including Flink's mistakes.
const COMPARED: &[&str] = &[
    "traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK",
    "traces.reporter.otlp.compatibility=flink",
    "events.reporter.otlp.compatibility=flink",
];
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A running `flink-traces`, which is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    process: Child,
}

impl Program {
    /// Starts polling `flink` and reporting to `otlp`, both of the form `http://host:port`.
    ///
    /// The output is compatible with Flink.
    pub(crate) fn start(binary: &Path, folder: &Path, flink: &str, otlp: &str) -> Result<Self> {
        Self::start_for(binary, folder, &[flink.to_owned()], otlp)
    }

    /// Starts polling several clusters, as [`start`](Self::start) does for one.
    pub(crate) fn start_for(binary: &Path, folder: &Path, clusters: &[String], otlp: &str) -> Result<Self> {
        let clusters = clusters.iter().flat_map(|cluster| ["--flink", cluster]);
        let arguments: Vec<_> = clusters.chain(["--otlp", otlp]).collect();
        Self::start_with(binary, folder, &arguments, COMPARED)
    }

    /// Starts `run` with arguments and with options of the form `key=value`.
    pub(crate) fn start_with(binary: &Path, folder: &Path, arguments: &[&str], options: &[&str]) -> Result<Self> {
        Self::start_as("run", "flink-traces", binary, folder, arguments, options)
    }

    /// Starts a command with arguments and with options of the form `key=value`. Its log is
    /// `<name>.log`.
    pub(crate) fn start_as(
        command: &str,
        name: &str,
        binary: &Path,
        folder: &Path,
        arguments: &[&str],
        options: &[&str],
    ) -> Result<Self> {
        let process = Command::new(binary)
            .arg(command)
            .args(arguments)
            .args(options.iter().flat_map(|option| ["-D", option]))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log_file(folder, name)?)
            .stderr(log_file(folder, name)?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start flink-traces")?;
        Ok(Self { process })
    }

    /// Kills the process as `kill -9` does, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        ensure!(self.process.try_wait()?.is_none(), "flink-traces ended by itself");
        Ok(self.process.kill().await?)
    }

    /// Sends SIGTERM, as a service manager does, and waits for the exit.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = self.process.id().context("flink-traces ended by itself")?;
        let status = Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        ensure!(status.success(), "kill: {status}");
        let status = timeout(STOP_TIMEOUT, self.process.wait()).await.context("flink-traces does not stop")??;
        ensure!(status.success(), "flink-traces ended with {status}");
        Ok(())
    }
}
