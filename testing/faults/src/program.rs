//! `flink-traces`, which plays the session through spools.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use harness::ProcessGuard;

use super::{PATIENCE, Setup};

/// The pause between two checks of a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// A `flink-traces` that is about to start.
pub(super) struct Program {
    command: Command,
    log: PathBuf,
    spool: PathBuf,
}

impl Program {
    /// Prepares `flink-traces play`, under a wrapper that causes the fault.
    pub(super) fn play(setup: &Setup, name: &str, endpoint: &str, wrapper: &[String]) -> Self {
        let mut words = wrapper.iter().map(PathBuf::from).chain([setup.binary.clone()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(["play", "--quiet", "--otlp", endpoint]).arg(&setup.recording);
        let program = Self {
            command,
            log: setup.folder.join(format!("{name}.log")),
            spool: setup.folder.join(format!("spool-{name}")),
        };
        let mut program = program.option("flink-traces.shutdown-timeout", "60 s");
        program = program.option("traces.checkpoint.span-detail-level", "CHILDREN_SPANS_PER_SUBTASK");
        for signal in ["traces", "events"] {
            for (option, value) in [
                ("exporter.timeout", "1 s"),
                ("retry.initial-backoff", "10 ms"),
                ("retry.max-backoff", "200 ms"),
                // Small requests are many requests, and many moments for a failure.
                ("batch.bytes", "20 kb"),
            ] {
                program = program.option(&format!("{signal}.reporter.otlp.{option}"), value);
            }
        }
        program
    }

    pub(super) fn option(mut self, key: &str, value: &str) -> Self {
        self.command.args(["-D", &format!("{key}={value}")]);
        self
    }

    pub(super) fn argument(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    pub(super) fn environment(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the directory of the spools.
    pub(super) fn spool(&mut self, directory: &Path) {
        directory.clone_into(&mut self.spool);
    }

    pub(super) fn start(self) -> Result<Running> {
        let Self { mut command, log, spool } = self;
        for signal in ["traces", "events"] {
            command.args(["-D", &format!("{signal}.reporter.otlp.spool.directory={}", spool.display())]);
        }
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let process = command.spawn().with_context(|| format!("cannot start {command:?}"))?.into();
        Ok(Running { process, log })
    }
}

/// A running program, which is killed when this is dropped.
pub(super) struct Running {
    process: ProcessGuard,
    log: PathBuf,
}

impl Running {
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Waits for a line of the log that contains `text`, and returns it.
    pub(super) fn wait_for(&self, text: &str) -> Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = self.log()?;
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return Ok(line.to_owned());
            }
            ensure!(Instant::now() < end, "expected {text:?} in the log");
            sleep(PAUSE);
        }
    }

    /// Waits for a successful exit, and returns the log.
    pub(super) fn finish(mut self) -> Result<String> {
        let end = Instant::now() + PATIENCE;
        let status: ExitStatus = loop {
            match self.process.try_wait()? {
                Some(status) => break status,
                None if Instant::now() >= end => bail!("the program does not exit"),
                None => sleep(PAUSE),
            }
        };
        ensure!(status.success(), "the program: {status}");
        self.log()
    }

    /// Returns `true` while the process runs.
    pub(super) fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }
}
