//! The program that watches a fleet, as a process that is measured from outside.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::ProcessGuard;

use super::server::Served;
use crate::memory_kib;

/// The interval between two overviews of a cluster, in seconds.
pub(super) const POLL_INTERVAL_S: u32 = 5;
/// The unit of `/proc/<process>/stat`, which is the same on every Linux.
const TICKS: f64 = 100.0;

/// A running `flink-traces run`.
pub(super) struct Agent {
    process: ProcessGuard,
    started: Instant,
}

impl Agent {
    /// Starts the program on all clusters. `folder` has its configuration, log and journal.
    pub(super) fn start(
        program: &Path,
        served: &Served,
        endpoint: &str,
        folder: &Path,
        options: &[&str],
    ) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let mut text = String::from("flink-traces.clusters:\n");
        for cluster in 0..served.world.clusters() {
            let kind = if served.world.is_application(cluster) { "application" } else { "session" };
            let _ = writeln!(text, "  {kind}-{cluster}: http://127.0.0.1:{}/{cluster}", served.port);
        }
        let _ = writeln!(text, "flink-traces.poll-interval: {POLL_INTERVAL_S} s");
        let file = folder.join("config.yaml");
        fs::write(&file, text)?;
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log.txt"))?;
        let mut command = Command::new(program);
        command.args(["run", "--otlp", endpoint, "--conf"]).arg(file).args(options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { process: process.into(), started: Instant::now() })
    }

    /// Fails if the program has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        let ended = self.process.try_wait()?;
        ensure!(ended.is_none(), "the program ended after {:.0?}: {ended:?}", self.started.elapsed());
        Ok(())
    }

    /// Returns the processor time of all threads, in seconds.
    pub(super) fn cpu(&self) -> Result<f64> {
        cpu(self.process.id())
    }

    /// Returns the resident memory now and at its peak, in MiB.
    pub(super) fn memory_mib(&self) -> Result<[u64; 2]> {
        let process = self.process.id().to_string();
        Ok([memory_kib(&process, "VmRSS")? >> 10, memory_kib(&process, "VmHWM")? >> 10])
    }

    /// Returns the number of open file descriptors.
    pub(super) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.process.id()))?.count())
    }

    /// Stops the program by SIGTERM, and waits for it.
    pub(super) fn stop(mut self, limit: Duration) -> Result<()> {
        harness::run(Command::new("kill").arg(self.process.id().to_string()))?;
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the program: {status}, signal {:?}", status.signal());
                return Ok(());
            }
            std::thread::sleep(super::PAUSE);
        }
        anyhow::bail!("the program did not stop within {limit:?}")
    }
}

/// Returns the processor time of all threads of a process, in seconds.
pub(super) fn cpu(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Ok(fields.map(str::parse::<f64>).sum::<Result<f64, _>>()? / TICKS)
}
