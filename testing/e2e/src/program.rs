//! `flink-traces`, as an operator runs it beside the cluster.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cluster::log_file;

/// The command line. `{flink}` is the address of the cluster and `{otlp}` that of the collector.
///
/// The output is compatible with Flink, including its mistakes, because the session compares it.
const ARGUMENTS: &[&str] = &[
    "run",
    "--flink",
    "{flink}",
    "--otlp",
    "{otlp}",
    "-D",
    "traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK",
    "-D",
    "traces.reporter.otlp.compatibility=flink",
    "-D",
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
    pub(crate) fn start(binary: &Path, folder: &Path, flink: &str, otlp: &str) -> Result<Self> {
        let process = Command::new(binary)
            .args(ARGUMENTS.iter().map(|argument| argument.replace("{flink}", flink).replace("{otlp}", otlp)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log_file(folder, "flink-traces")?)
            .stderr(log_file(folder, "flink-traces")?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start flink-traces")?;
        Ok(Self { process })
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
