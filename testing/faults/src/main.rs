//! `cargo faults`: `flink-traces` with a spool, under faults that `cargo test` cannot cause.
//!
//! The program plays a recorded session to a collector during each fault: a full disk, failing
//! system calls, a stopped collector, a clock that jumps, no free descriptors. The collector must
//! always end up with the records of a run without faults.

#![allow(clippy::print_stdout, reason = "a command line program prints its results")]

mod day;
mod program;
mod system;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use flink_traces_testkit::{CollectorResponse, HttpResponse, OtlpCollector};
use harness::{Prerequisites, RECORDING, build, recreate, workspace_root};
use serde_json::Value;

use program::Program;

/// The inputs of every fault.
struct Setup {
    binary: PathBuf,
    recording: PathBuf,
    folder: PathBuf,
    /// The records of a run without faults.
    expected: Vec<Value>,
}

/// A row of `docs/reliability.md`, and the function that proves it.
type Fault = (&'static str, fn(&Setup) -> Result<()>);

const FAULTS: &[Fault] = &[
    ("3: the collector is stopped (SIGSTOP), and goes on", system::stopped_collector),
    ("14: the disk is full (tmpfs of 200 KiB)", full_disk),
    ("15: fdatasync fails once", |setup| failing_calls(setup, &["fdatasync"], "EIO", "3", SPOOL_FAILS)),
    ("15: fdatasync fails from then on", |setup| failing_calls(setup, &["fdatasync"], "EIO", "3+", SPOOL_FAILS)),
    ("15: fsync fails from then on", |setup| failing_calls(setup, &["fsync"], "EIO", "3+", SPOOL_FAILS)),
    ("15: a segment cannot be written, for lack of space", |setup| {
        failing_writes(setup, "summary-00000000000000000000.seg", "ENOSPC", "3+", SPOOL_FAILS)
    }),
    ("15: the cursor cannot be written", |setup| {
        failing_writes(setup, "cursor", "EIO", "2+", "cannot persist delivery progress")
    }),
    ("15: a slot cannot be renamed", |setup| {
        failing_calls(setup, &["rename", "renameat", "renameat2"], "EIO", "1+", SPOOL_FAILS)
    }),
    ("20: the clock jumps by two days, forward", |setup| system::clock(setup, "+2d")),
    ("20: the clock jumps by two days, back", |setup| system::clock(setup, "-2d")),
    ("41: no file descriptors are left, for three seconds", system::no_descriptors),
];

const SPOOL_FAILS: &str = "spool unavailable, delivering from memory";
const SPOOL_WORKS: &str = "spool available again";
/// The time limit for any step.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `flink-traces` with a spool under faults of the operating system.
///
/// After each fault, the collector must have the same records as after a run without faults.
#[derive(Debug, Parser)]
#[command(name = "faults", bin_name = "cargo faults")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the faults whose names contain NAME, or all of them.
    Run {
        /// A part of a name, such as `15:` or `clock`.
        #[arg(value_name = "NAME", default_value = "")]
        name: String,
    },
    /// Play a day of a recorded cluster as fast as possible, and watch memory and descriptors.
    Day {
        /// The length of the day.
        #[arg(value_name = "HOURS", default_value_t = 24.0)]
        hours: f64,
    },
    /// Run the collector that `run` stops with a signal.
    #[command(hide = true)]
    Collector,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Run { name } => run(&name),
        Command::Day { hours } => {
            prerequisites().check()?;
            day::run(&prepare()?, hours)
        }
        Command::Collector => system::serve_collector(),
    }
}

fn prerequisites() -> Prerequisites {
    Prerequisites::new("testing/faults/README.md").linux()
}

fn prepare() -> Result<Setup> {
    let root = workspace_root()?;
    let folder = root.join("target/faults");
    recreate(&folder)?;
    Ok(Setup { binary: build("flink-traces")?, recording: root.join(RECORDING), folder, expected: Vec::new() })
}

fn run(name: &str) -> Result<()> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| is_root(&process));
    prerequisites()
        .program("strace", "Debian: strace")
        .program("unshare", "Debian: util-linux")
        .program("prlimit", "Debian: util-linux")
        .file(&system::FAKETIME, "Debian: faketime")
        .require(is_root, "root, to mount a tmpfs")
        .check()?;
    let mut setup = prepare()?;
    let collector = OtlpCollector::start()?;
    Program::play(&setup, "reference", &collector.grpc_endpoint(), &[]).start()?.finish()?;
    setup.expected = records(&collector);
    ensure!(setup.expected.len() > 1_000, "{} records are too few for a comparison", setup.expected.len());
    for (name, fault) in FAULTS.iter().filter(|(fault, _)| fault.contains(name)) {
        fault(&setup).with_context(|| format!("{name}; see {}", setup.folder.display()))?;
        println!("{name}: all {} records arrived", setup.expected.len());
    }
    Ok(())
}

#[cfg(unix)]
fn is_root(process: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(process) == 0
}

#[cfg(not(unix))]
fn is_root(_: &std::fs::Metadata) -> bool {
    false
}

/// Returns the records of a collector, sorted and without duplicates. A record may arrive twice,
/// but only with the same content.
fn records(collector: &OtlpCollector) -> Vec<Value> {
    let spans = collector.spans().into_iter().map(|span| span.plain());
    let mut records: Vec<_> = spans.chain(collector.events().iter().map(|log| log.plain())).collect();
    records.sort_by_cached_key(Value::to_string);
    records.dedup();
    records
}

fn compare(setup: &Setup, collector: &OtlpCollector) -> Result<()> {
    let found = records(collector);
    let (expected, count) = (setup.expected.len(), found.len());
    let missing = setup
        .expected
        .iter()
        .filter(|record| found.binary_search_by_key(&record.to_string(), Value::to_string).is_err());
    let missing = missing.count();
    ensure!(found == setup.expected, "expected {expected} records, found {count}, missing {missing}");
    Ok(())
}

/// Starts a collector that responds 503 until its answer changes, so that the spool fills.
fn refusing() -> Result<OtlpCollector> {
    let collector = OtlpCollector::start()?;
    collector.respond_by(|_| HttpResponse::new(503).into());
    Ok(collector)
}

fn full_disk(setup: &Setup) -> Result<()> {
    let collector = refusing()?;
    let spool = setup.folder.join("tmpfs");
    std::fs::create_dir(&spool)?;
    let script = "mount -t tmpfs -o size=200k tmpfs \"$0\" && exec \"$@\"";
    // The mount is in a namespace of its own, and disappears with the process.
    let wrapper = ["unshare", "--mount", "sh", "-c", script].map(str::to_owned);
    let wrapper: Vec<_> = wrapper.into_iter().chain([spool.display().to_string()]).collect();
    let mut program = Program::play(setup, "full-disk", &collector.grpc_endpoint(), &wrapper);
    program.spool(&spool);
    let running = program.start()?;
    running.wait_for(SPOOL_FAILS)?;
    collector.respond_by(|_| CollectorResponse::Accept);
    running.wait_for(SPOOL_WORKS)?;
    running.finish()?;
    compare(setup, &collector)
}

/// Runs the program while these system calls fail, and waits for this log message.
fn failing_calls(setup: &Setup, calls: &[&str], error: &str, when: &str, message: &str) -> Result<()> {
    let calls = calls.join(",");
    strace(setup, &[format!("--trace={calls}"), format!("--inject={calls}:error={error}:when={when}")], message)
}

/// Runs the program while a file of the spool cannot be written, and waits for this log message.
fn failing_writes(setup: &Setup, file: &str, error: &str, when: &str, message: &str) -> Result<()> {
    let path = setup.folder.join("spool-strace/traces-otlp/0").join(file);
    let inject = format!("--inject=write:error={error}:when={when}");
    strace(setup, &["--trace=write".to_owned(), inject, format!("--trace-path={}", path.display())], message)
}

fn strace(setup: &Setup, arguments: &[String], message: &str) -> Result<()> {
    let collector = OtlpCollector::start()?;
    let _ = std::fs::remove_dir_all(setup.folder.join("spool-strace"));
    let wrapper: Vec<_> = ["strace", "--follow-forks", "--output=/dev/null"].into_iter().map(str::to_owned).collect();
    let wrapper = [&wrapper, arguments].concat();
    let running = Program::play(setup, "strace", &collector.grpc_endpoint(), &wrapper).start()?;
    running.wait_for(message)?;
    running.finish()?;
    compare(setup, &collector)
}
