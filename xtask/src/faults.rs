//! `cargo xtask faults`: the program with a spool, under faults that a test in `cargo test` cannot have.
//!
//! It plays a recorded session to our collector while its disk is full, system calls fail, the collector is stopped, the clock jumps, or no
//! file can be opened. Each time the collector must end up with the very records of a run without faults.

mod day;
mod program;
mod system;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::{Answer, HttpAnswer, OtlpCollector};
use serde_json::Value;

use crate::e2e::build;
use crate::e2e::distribution::recreate;
use crate::interop::RECORDING;
use program::Program;

/// What every fault needs.
struct Rig {
    binary: PathBuf,
    recording: PathBuf,
    folder: PathBuf,
    /// What arrives without a fault.
    expected: Vec<Value>,
}

/// A row of `docs/reliability.md`, and what shows it.
type Fault = (&'static str, fn(&Rig) -> Result<()>);

const FAULTS: &[Fault] = &[
    ("3: the collector is stopped (SIGSTOP), and goes on", system::stopped_collector),
    ("14: the disk is full (tmpfs of 200 KiB)", full_disk),
    ("15: fdatasync fails once", |rig| failing_calls(rig, &["fdatasync"], "EIO", "3", SPOOL_FAILS)),
    ("15: fdatasync fails from then on", |rig| failing_calls(rig, &["fdatasync"], "EIO", "3+", SPOOL_FAILS)),
    ("15: fsync fails from then on", |rig| failing_calls(rig, &["fsync"], "EIO", "3+", SPOOL_FAILS)),
    ("15: a segment cannot be written, for lack of space", full_segment),
    ("15: the cursor cannot be renamed", |rig| {
        failing_calls(rig, &["rename", "renameat", "renameat2"], "EIO", "2+", "What is delivered cannot be noted")
    }),
    ("20: the clock jumps by two days, forth", |rig| system::clock(rig, "+2d")),
    ("20: the clock jumps by two days, back", |rig| system::clock(rig, "-2d")),
    ("41: no file descriptors are left, for three seconds", system::no_descriptors),
];

const SPOOL_FAILS: &str = "The spool cannot be used, delivering from memory";
const SPOOL_WORKS: &str = "The spool can be used again";
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the faults whose names contain the argument, all without one; `day` is the soak, `collector` the process that is stopped.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    if let ["collector"] = arguments {
        return system::serve_collector();
    }
    let folder = root.join("target/faults");
    recreate(&folder)?;
    let recording = root.join(RECORDING);
    let mut rig = Rig { binary: build(root, "flink-traces")?, recording, folder, expected: Vec::new() };
    if let ["day", arguments @ ..] = arguments {
        return day::run(&rig, arguments);
    }
    let collector = OtlpCollector::start()?;
    Program::play(&rig, "reference", &collector.grpc_endpoint(), &[]).start()?.finish()?;
    rig.expected = records(&collector);
    ensure!(rig.expected.len() > 1_000, "{} records are too few to prove anything", rig.expected.len());
    let wanted = arguments.first().copied().unwrap_or_default();
    for (name, fault) in FAULTS.iter().filter(|(name, _)| name.contains(wanted)) {
        fault(&rig).with_context(|| format!("{name}; see {}", rig.folder.display()))?;
        println!("{name}: all {} records arrived", rig.expected.len());
    }
    Ok(())
}

/// What a collector has, in an order of its own and each record once: some may have come twice, but then with the same content.
fn records(collector: &OtlpCollector) -> Vec<Value> {
    let spans = collector.spans().into_iter().map(|span| span.plain());
    let mut records: Vec<_> = spans.chain(collector.logs().iter().map(|log| log.plain())).collect();
    records.sort_by_cached_key(Value::to_string);
    records.dedup();
    records
}

fn compare(rig: &Rig, collector: &OtlpCollector) -> Result<()> {
    let found = records(collector);
    let (expected, count) = (rig.expected.len(), found.len());
    let missing =
        rig.expected.iter().filter(|record| found.binary_search_by_key(&record.to_string(), Value::to_string).is_err());
    let missing = missing.count();
    ensure!(found == rig.expected, "{expected} records were expected, {count} found, {missing} are missing");
    Ok(())
}

/// Refuses everything until told otherwise, so that the spool fills.
fn refusing() -> Result<OtlpCollector> {
    let collector = OtlpCollector::start()?;
    collector.answer_by(|_| HttpAnswer::new(503).into());
    Ok(collector)
}

fn full_disk(rig: &Rig) -> Result<()> {
    let collector = refusing()?;
    let spool = rig.folder.join("tmpfs");
    std::fs::create_dir(&spool)?;
    let script = "mount -t tmpfs -o size=200k tmpfs \"$0\" && exec \"$@\"";
    // Its own name space: the mount is gone when the process is.
    let wrapper = ["unshare", "--mount", "sh", "-c", script].map(str::to_owned);
    let wrapper: Vec<_> = wrapper.into_iter().chain([spool.display().to_string()]).collect();
    let mut program = Program::play(rig, "full-disk", &collector.grpc_endpoint(), &wrapper);
    program.spool(&spool);
    let running = program.start()?;
    running.wait_for(SPOOL_FAILS)?;
    collector.answer_by(|_| Answer::Accept);
    running.wait_for(SPOOL_WORKS)?;
    running.finish()?;
    compare(rig, &collector)
}

/// The program where those calls of threads that write to the disk fail, at those times, and what it then says.
fn failing_calls(rig: &Rig, calls: &[&str], error: &str, when: &str, says: &str) -> Result<()> {
    let calls = calls.join(",");
    strace(rig, &[format!("--trace={calls}"), format!("--inject={calls}:error={error}:when={when}")], says)
}

fn full_segment(rig: &Rig) -> Result<()> {
    let segment = rig.folder.join("spool-strace/traces-otlp/00000000000000000001.seg");
    let inject = "--inject=write:error=ENOSPC:when=3+".to_owned();
    strace(rig, &["--trace=write".to_owned(), inject, format!("--trace-path={}", segment.display())], SPOOL_FAILS)
}

fn strace(rig: &Rig, arguments: &[String], says: &str) -> Result<()> {
    let collector = OtlpCollector::start()?;
    let _ = std::fs::remove_dir_all(rig.folder.join("spool-strace"));
    let wrapper: Vec<_> = ["strace", "--follow-forks", "--output=/dev/null"].into_iter().map(str::to_owned).collect();
    let wrapper = [&wrapper, arguments].concat();
    let running = Program::play(rig, "strace", &collector.grpc_endpoint(), &wrapper).start()?;
    running.wait_for(says)?;
    running.finish()?;
    compare(rig, &collector)
}
