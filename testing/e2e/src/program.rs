//! `flink-traces`, as an operator would run it beside the cluster.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cluster::log_file;

/// Its command line, where `{flink}` is the cluster's address and `{otlp}` the collector's. Its output is Flink's,
/// mistakes included, for Flink's is what it is compared with.
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

/// A running `flink-traces`. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    process: Child,
}

impl Program {
    /// Starts watching `flink` and reporting to `otlp`, both addresses of the form `http://host:port`.
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

    /// Asks it to stop, as a service manager would, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = self.process.id().context("flink-traces ended by itself")?;
        let asked = Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        ensure!(asked.success(), "kill: {asked}");
        let status = timeout(STOP_TIMEOUT, self.process.wait()).await.context("flink-traces does not stop")??;
        ensure!(status.success(), "flink-traces ended with {status}");
        Ok(())
    }
}
