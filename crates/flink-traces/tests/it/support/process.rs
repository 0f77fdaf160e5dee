//! The program, run as a process.

#[path = "../../../src/signals/hangup.rs"]
mod hangup;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use super::Watched;

/// A temporary directory in which the program runs.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Returns the names of the files and directories in it, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).finish()
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(command(self.0.path(), arguments))
    }
}

/// Returns the command of the program in `directory`, without variables that change its behavior.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let program = env!("CARGO_BIN_EXE_flink-traces");
    let mut command = if hangup::is_ignored() {
        // The program would ignore it, too, as it does for `nohup`.
        let mut env = Command::new("env");
        env.args(["--default-signal=HUP", program]);
        env
    } else {
        Command::new(program)
    };
    for name in ["FLINK_TRACES_CONF", "FLINK_TRACES_LOG", "FLINK_TRACES_LOG_FORMAT", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let is_read = |name: &str| name.starts_with("OTEL_") || name.to_ascii_lowercase().ends_with("_proxy");
    for (name, _) in std::env::vars().filter(|(name, _)| is_read(name)) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(directory).env("COLUMNS", "100");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running program. It is killed when this is dropped.
pub(crate) struct Running {
    id: u32,
    status: Arc<Watched<Option<ExitStatus>>>,
    stdout: Arc<Watched<Output>>,
    stderr: Arc<Watched<Output>>,
}

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    ended: bool,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let (id, status) = (child.id(), Arc::new(Watched::default()));
        let ended = status.clone();
        std::thread::spawn(move || {
            let found = child.wait().unwrap();
            ended.change(|status| *status = Some(found));
        });
        Self { id, status, stdout, stderr }
    }

    /// Waits until the standard error of the program contains `text`. Returns all of it.
    pub(crate) fn wait_for_stderr(&self, text: &str) -> String {
        wait_for(&self.stderr, text)
    }

    /// Waits until the standard output of the program contains `text`.
    pub(crate) fn wait_for_stdout(&self, text: &str) {
        wait_for(&self.stdout, text);
    }

    /// Sends a signal, such as `TERM`, unless the program has ended.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.id.to_string()]).status().unwrap();
        assert!(status.success() || self.has_ended());
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.status.change(|status| status.is_some())
    }

    /// Waits for the program to end by itself.
    pub(crate) fn finish(self) -> Finished {
        let status = self.status.wait_for(|status| *status).unwrap();
        let [stdout, stderr] = [&self.stdout, &self.stderr].map(|output| {
            let all = output.wait_for(|output| output.ended.then(|| std::mem::take(&mut output.bytes)));
            String::from_utf8(all.unwrap()).unwrap()
        });
        Finished { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The system does not reuse the id until the process has been waited for.
        if self.status.change(|status| status.is_none()) {
            let _ = Command::new("kill").args(["-KILL", &self.id.to_string()]).status();
        }
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Arc<Watched<Output>> {
    let output = Arc::new(Watched::<Output>::default());
    let collected = output.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 8 * 1024];
        if let Some(mut pipe) = pipe {
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                collected.change(|output| output.bytes.extend_from_slice(&buffer[..length]));
            }
        }
        collected.change(|output| output.ended = true);
    });
    output
}

fn wait_for(output: &Watched<Output>, text: &str) -> String {
    let mut seen = String::new();
    let found = output.wait_for(|output| {
        seen = String::from_utf8_lossy(&output.bytes).into_owned();
        (seen.contains(text) || output.ended).then(|| seen.contains(text))
    });
    assert_eq!(found, Some(true), "{text:?} is not in:\n{seen}");
    seen
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Checks the exit code. A failure shows the output.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Returns the printed accounts by reporter: emitted, delivered, rejected, dropped, queued.
    /// Checks that they are balanced.
    pub(crate) fn counts(&self) -> Vec<(String, [u64; 5])> {
        let counts = self.stderr.lines().filter_map(|line| {
            let (reporter, counts) = line.split_once(": ").filter(|(_, counts)| counts.contains(" emitted = "))?;
            // The text in parentheses has the reasons.
            let counts: String = counts.split(['(', ')']).step_by(2).collect();
            let numbers: Vec<u64> = counts.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [emitted, rest @ ..] = <[u64; 5]>::try_from(numbers).unwrap();
            assert_eq!(emitted, rest.iter().sum::<u64>(), "{line}");
            let [delivered, rejected, dropped, queued] = rest;
            Some((reporter.to_owned(), [emitted, delivered, rejected, dropped, queued]))
        });
        counts.collect()
    }
}
