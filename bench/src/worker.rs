//! One measurement of one program: a process of its own does one thing, once it has done it before, and prints what it took.

mod fastrace;
mod observer;
mod opentelemetry;
mod ours;
mod text;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::clock;

/// What was measured, by name. All times are nanoseconds for one unit of the work.
pub(crate) type Numbers = BTreeMap<String, f64>;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The kind of work.
    pub(crate) work: String,
    /// Who does it.
    pub(crate) by: String,
    /// How much: spans, subtasks or jobs.
    pub(crate) size: usize,
    /// Where the sink listens, or whatever else the work needs.
    pub(crate) at: String,
}

/// Does it and prints the numbers as a line of JSON.
pub(crate) fn run(task: &Task) -> Result<()> {
    println!("{}", serde_json::to_string(&measure(task)?)?);
    Ok(())
}

fn measure(task: &Task) -> Result<Numbers> {
    let Task { work, by, size, at } = task;
    let size = *size;
    match (work.as_str(), by.as_str()) {
        ("add", "flink-traces") => ours::add(size, at),
        ("add", "opentelemetry") => opentelemetry::add(size, at),
        ("add", "fastrace") => fastrace::add(size, at),
        ("tree", "flink-traces") => ours::tree(size, at),
        ("tree", "opentelemetry") => opentelemetry::tree(size, at),
        ("checkpoint", "flink-traces") => ours::checkpoint(size),
        ("grpc" | "http", "flink-traces") => ours::export(size, at, work),
        ("grpc" | "http", "opentelemetry") => opentelemetry::provider(size, at, work),
        ("grpc" | "http", "opentelemetry exporter") => opentelemetry::exporter(size, at, work),
        ("grpc", "fastrace") => fastrace::export(size, at),
        ("encode", "flink-traces") => ours::encode(size),
        ("encode", "opentelemetry") => opentelemetry::encode(size),
        ("encode", "prost") => opentelemetry::prost(size),
        ("initialization", "flink-traces") => ours::initialization(size),
        ("json", "flink-traces") => ours::json(size),
        ("json", "serde_json") => text::serde_json(size),
        ("file", "flink-traces") => ours::file(size),
        ("file", "tracing") => text::tracing(size),
        ("memory", "flink-traces") => ours::memory(size),
        ("memory", "opentelemetry") => opentelemetry::memory(size),
        ("observer", "flink-traces") => observer::watch(size, at),
        _ => bail!("nobody called {by} does {work}"),
    }
}

/// What some code took of this thread's CPU, of the whole process's, and on the wall.
#[derive(Debug, Clone, Copy)]
struct Taken {
    thread: Duration,
    process: Duration,
    wall: Duration,
}

fn take<T>(work: impl FnOnce() -> T) -> (Taken, T) {
    let (wall, process, thread) = (Instant::now(), clock::process(), clock::thread());
    let result = work();
    let taken = Taken { thread: clock::thread() - thread, process: clock::process() - process, wall: wall.elapsed() };
    (taken, result)
}

/// A number of nanoseconds for each of `units`.
fn each(duration: Duration, units: usize) -> f64 {
    duration.as_nanos() as f64 / units.max(1) as f64
}

/// The CPU nanoseconds for one unit of work that is done over and over on this thread: the median of many goes, after some that do not
/// count.
fn repeat<T>(units: usize, mut work: impl FnMut() -> T) -> Numbers {
    const LONG_ENOUGH: Duration = Duration::from_millis(700);
    let mut goes = Vec::new();
    let start = Instant::now();
    while start.elapsed() < LONG_ENOUGH || goes.len() < 12 {
        let (taken, result) = take(&mut work);
        black_box(result);
        goes.push(each(taken.thread, units));
    }
    goes.drain(..goes.len() / 4);
    goes.sort_by(f64::total_cmp);
    numbers([("cpu", goes[goes.len() / 2])])
}

fn numbers<const N: usize>(numbers: [(&str, f64); N]) -> Numbers {
    numbers.map(|(name, number)| (name.to_owned(), number)).into()
}

/// How an export went: `size` spans, of which the sink got `kept`.
fn exported(taken: Taken, size: usize, kept: u64) -> Numbers {
    let per_second = kept as f64 / taken.wall.as_secs_f64();
    let kept = kept as f64 / size as f64 * 100.0;
    numbers([("cpu", each(taken.process, size)), ("per second", per_second), ("kept", kept)])
}
