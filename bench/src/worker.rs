//! One measurement of one program, in a process of its own and after a warm-up.

mod fastrace;
mod history;
mod observer;
mod opentelemetry;
mod ours;
mod text;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::{clock, sink};

/// The measured numbers by name. All times are nanoseconds per unit of work.
pub(crate) type Numbers = BTreeMap<String, f64>;

/// A measurement to perform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The kind of work.
    pub(crate) work: String,
    /// The program that does it.
    pub(crate) by: String,
    /// The amount of work, in spans, subtasks or jobs.
    pub(crate) size: usize,
    /// The address of the sink, or the path of the program to run.
    pub(crate) at: String,
}

/// Performs the measurement and prints the numbers as a line of JSON.
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
        ("paced", "flink-traces") => ours::paced(size, at),
        ("paced", "opentelemetry") => opentelemetry::paced(size, at),
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
        ("scrape", "flink-traces") => observer::scrape(size, at),
        ("history", "flink-traces") => history::job(size, at),
        ("fleet", "flink-traces") => history::fleet(size, at),
        _ => bail!("unknown measurement: {work} by {by}"),
    }
}

/// The CPU time of this thread and of the process, and the wall time, that some code took.
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

/// Returns the nanoseconds per unit.
fn each(duration: Duration, units: usize) -> f64 {
    duration.as_nanos() as f64 / units.max(1) as f64
}

/// Measures the CPU nanoseconds per unit of work that runs repeatedly on this thread.
///
/// Returns the median, without the first quarter of the runs.
fn repeat<T>(units: usize, mut work: impl FnMut() -> T) -> Numbers {
    const LONG_ENOUGH: Duration = Duration::from_millis(700);
    let mut samples = Vec::new();
    let start = Instant::now();
    while start.elapsed() < LONG_ENOUGH || samples.len() < 12 {
        let (taken, result) = take(&mut work);
        black_box(result);
        samples.push(each(taken.thread, units));
    }
    samples.drain(..samples.len() / 4);
    samples.sort_by(f64::total_cmp);
    numbers([("cpu", samples[samples.len() / 2])])
}

fn numbers<const N: usize>(numbers: [(&str, f64); N]) -> Numbers {
    numbers.map(|(name, number)| (name.to_owned(), number)).into()
}

/// Measures by the wall how long each call of `report` takes, with `rate` calls a second.
///
/// Returns quantiles, and the number of requests a second at the sink.
fn paced(rate: usize, sink: &str, mut report: impl FnMut(usize)) -> Result<Numbers> {
    const WARM_UP_S: usize = 1;
    const MEASURED_S: usize = 10;
    // A sleep ends late. The rest of the time passes in a loop.
    const MARGIN: Duration = Duration::from_micros(200);
    let mut taken = Vec::with_capacity(rate * MEASURED_S);
    let mut call = |start: Instant, number: usize| {
        let due = start + Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(rate)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(MARGIN));
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let at = Instant::now();
        report(number);
        anyhow::Ok(each(at.elapsed(), 1))
    };
    let start = Instant::now();
    (0..rate * WARM_UP_S).try_for_each(|number| call(start, number).map(drop))?;
    let before = sink::requests(sink)?;
    let start = Instant::now();
    for number in 0..rate * MEASURED_S {
        taken.push(call(start, number)?);
    }
    let wall = start.elapsed();
    let requests = (sink::requests(sink)? - before) as f64 / wall.as_secs_f64();
    taken.sort_by(f64::total_cmp);
    let quantile = |percent: usize| taken[taken.len() * percent / 100];
    Ok(numbers([("p50", quantile(50)), ("p99", quantile(99)), ("requests", requests)]))
}

/// Returns the numbers of an export of `size` spans, of which the sink received `kept`.
fn exported(taken: Taken, size: usize, kept: u64) -> Numbers {
    let per_second = kept as f64 / taken.wall.as_secs_f64();
    let kept = kept as f64 / size as f64 * 100.0;
    numbers([("cpu", each(taken.process, size)), ("per second", per_second), ("kept", kept)])
}
