//! `flink-traces play` and `flink-traces send`, with options.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::ProcessGuard;

/// The time limit for any step.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// The pause between two checks of a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// A `flink-traces` that is about to start.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    log: PathBuf,
}

impl Program {
    /// Prepares to play a recording, with a span for each subtask. The log is in `folder`.
    pub(crate) fn play(binary: &Path, recording: &Path, folder: &Path) -> Self {
        let program = Self::new(binary, folder).arguments(&["play", "--quiet"]).files(&[recording]);
        program.option("traces.checkpoint.span-detail-level", "CHILDREN_SPANS_PER_SUBTASK")
    }

    /// Prepares to send files of OTLP/JSON. The log is in `folder`.
    pub(crate) fn send(binary: &Path, files: &[&Path], folder: &Path) -> Self {
        Self::new(binary, folder).arguments(&["send"]).files(files)
    }

    fn new(binary: &Path, folder: &Path) -> Self {
        let mut command = Command::new(binary);
        command.args(["--log-level", "warn"]);
        Self { command, log: folder.join("flink-traces.log") }
    }

    fn files(mut self, files: &[&Path]) -> Self {
        self.command.args(files);
        self
    }

    fn arguments(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn option(self, key: &str, value: &str) -> Self {
        self.arguments(&["-D", &format!("{key}={value}")])
    }

    /// Sets an option of the reporters of both signals that are named `name`.
    fn reporter_option(self, name: &str, option: &str, value: &str) -> Self {
        let of = |signal: &str| format!("{signal}.reporter.{name}.{option}");
        self.option(&of("traces"), value).option(&of("events"), value)
    }

    /// Adds reporters named `otlp` that send to this address with this protocol.
    pub(crate) fn to(self, endpoint: &str, protocol: &str) -> Self {
        // The short form decides by the port, which is any free one here.
        let program = self.arguments(&["--otlp", endpoint]);
        program.otlp("exporter.endpoint", endpoint).otlp("exporter.protocol", protocol)
    }

    /// Sets an option of both reporters named `otlp`.
    pub(crate) fn otlp(self, option: &str, value: &str) -> Self {
        self.reporter_option("otlp", option, value)
    }

    /// Plays into files of OTLP/JSON in `folder`, and returns their paths.
    pub(crate) fn write(self, folder: &Path) -> Result<[PathBuf; 2]> {
        let program = self.arguments(&["--json", &folder.display().to_string()]);
        program.reporter_option("json", "format", "otlp").run()?;
        Ok(["spans.jsonl", "events.jsonl"].map(|file| folder.join(file)))
    }

    pub(crate) fn start(self) -> Result<Running> {
        let Self { mut command, log } = self;
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let process = command.spawn().with_context(|| format!("cannot start {command:?}"))?.into();
        Ok(Running { process, log })
    }

    /// Runs to the end. Everything must be delivered.
    pub(crate) fn run(self) -> Result<()> {
        self.start()?.finish()
    }
}

/// A running program, which is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    process: ProcessGuard,
    log: PathBuf,
}

impl Running {
    /// Waits for an exit after everything was delivered.
    pub(crate) fn finish(mut self) -> Result<()> {
        let status = self.wait(PATIENCE)?;
        ensure!(status.success(), "flink-traces ended with {status}; see {}", self.log.display());
        Ok(())
    }

    /// Waits for an exit.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < end, "flink-traces does not exit; see {}", self.log.display());
            sleep(PAUSE);
        }
    }

    /// Returns `true` while the program runs.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// Sends SIGTERM, as a service manager does.
    pub(crate) fn terminate(&self) -> Result<()> {
        harness::run(Command::new("kill").args(["-TERM", &self.process.id().to_string()]))
    }

    pub(crate) fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Waits for a line of the log that contains `text`.
    pub(crate) fn wait_for(&self, text: &str, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while !self.log()?.lines().any(|line| line.contains(text)) {
            ensure!(Instant::now() < end, "expected {text:?} within {limit:?} in {}", self.log.display());
            sleep(PAUSE);
        }
        Ok(())
    }
}
