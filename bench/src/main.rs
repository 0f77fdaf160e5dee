//! A benchmark of this workspace and its peers. The README describes the method.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program writes to standard output")]

mod clock;
mod cluster;
mod java;
mod plan;
mod report;
mod sample;
mod sink;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use harness::Prerequisites;

use plan::{JAVA, OVERVIEW_NS, POLL_INTERVAL_S, REQUEST_NS, RUNS, Run};
use report::Results;
use sink::Sink;
use worker::{Numbers, Task};

/// Measures the crates of this workspace beside their peers.
///
/// Prints a table of medians, ranges and ratios, and writes it as Markdown, JSON and a plot.
#[derive(Debug, Parser)]
#[command(name = "bench", bin_name = "cargo run --release --package bench --")]
struct Arguments {
    #[command(subcommand)]
    process: Option<Process>,
    /// The number of rounds. In each, every program does its work once.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// The folder for the results.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    output: PathBuf,
    /// A kind of work to measure. May be repeated; all kinds by default.
    #[arg(long, value_name = "WORK")]
    only: Vec<String>,
    /// Also measure Flink's own classes, which are downloaded once.
    #[arg(long)]
    java: bool,
}

/// The processes that the benchmark starts.
#[derive(Debug, Subcommand)]
enum Process {
    /// A collector that counts.
    #[command(hide = true)]
    Sink,
    /// A cluster with this number of jobs.
    #[command(hide = true)]
    Cluster { jobs: usize },
    /// One measurement.
    #[command(hide = true)]
    Work { task: String },
}

/// The settings of a run.
struct Scope {
    rounds: usize,
    /// The folder for the results.
    output: PathBuf,
    /// The program `flink-traces`, optimized.
    program: PathBuf,
    /// The class path of Flink's side, if Flink is measured.
    class_path: Option<String>,
    /// The kinds of work to measure, or all if it is empty.
    only: Vec<String>,
}

fn main() -> Result<()> {
    let Arguments { process, rounds, output, only, java } = Arguments::parse();
    match process {
        Some(Process::Sink) => sink::run(),
        Some(Process::Cluster { jobs }) => cluster::run(jobs),
        Some(Process::Work { task }) => worker::run(&serde_json::from_str(&task)?),
        None => {
            let mut prerequisites = Prerequisites::new("bench/README.md").linux();
            prerequisites = prerequisites.optimized("cargo run --release --package bench");
            if java {
                prerequisites = prerequisites.jdk().python_module("pip");
            }
            prerequisites.check()?;
            let program = harness::build("flink-traces")?;
            let class_path = if java { Some(java::compile()?) } else { None };
            run(&Scope { rounds: rounds.into(), output, program, class_path, only })
        }
    }
}

/// Runs all programs in turn, round after round, so that other load affects all of them equally.
fn run(scope: &Scope) -> Result<()> {
    let mut results = Results::new();
    let start = Instant::now();
    for round in 0..scope.rounds {
        for run in RUNS {
            let is_wanted = scope.only.is_empty() || scope.only.iter().any(|only| only == run.work);
            if !is_wanted || (run.is_long && round > 0) {
                continue;
            }
            for by in run.by {
                if *by == JAVA && scope.class_path.is_none() {
                    continue;
                }
                eprintln!(
                    "[{:>4} s] round {}: {} {} by {by}",
                    start.elapsed().as_secs(),
                    round + 1,
                    run.work,
                    run.size
                );
                let numbers = measure(scope, run, by).with_context(|| format!("{} {} by {by}", run.work, run.size))?;
                results.entry((run.work.to_owned(), run.size, (*by).to_owned())).or_default().push(numbers);
            }
        }
    }
    report::write(&scope.output, &results, &machine(), scope.rounds)?;
    println!("{}, {} rounds\n", machine(), scope.rounds);
    print!("{}", report::markdown(&results));
    Ok(())
}

fn measure(scope: &Scope, run: &Run, by: &str) -> Result<Numbers> {
    if run.work == "binary" {
        return binary(&scope.program);
    }
    // Each measurement has a sink of its own, so that it does not reuse connections.
    let sink = Sink::start()?;
    let at = match run.work {
        "observer" | "scrape" | "history" | "fleet" => scope.program.display().to_string(),
        _ => sink.address().to_string(),
    };
    let mut command = match (&scope.class_path, by) {
        (Some(class_path), JAVA) => {
            let mut java = Command::new("java");
            java.args([
                "-Xmx2g",
                "-XX:+UseSerialGC",
                "-Dfile.encoding=UTF-8",
                "-cp",
                class_path,
                "org.apache.flink.runtime.checkpoint.Bench",
            ]);
            java.args([run.work, &run.size.to_string(), &at]);
            java
        }
        _ => {
            let task = Task { work: run.work.to_owned(), by: by.to_owned(), size: run.size, at };
            let mut worker = Command::new(std::env::current_exe()?);
            worker.args(["work", &serde_json::to_string(&task)?]);
            worker
        }
    };
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the process failed: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().last().context("the process printed nothing")?;
    let mut numbers: Numbers = serde_json::from_str(line).with_context(|| format!("unexpected output {line:?}"))?;
    if let ("observer", Some(requests)) = (run.work, numbers.get("requests").copied()) {
        numbers.insert("lighter".to_owned(), naive_load() / load(requests, run.size));
    }
    Ok(numbers)
}

/// Returns the CPU nanoseconds of the JobManager per job and second, including the overviews.
fn load(requests: f64, jobs: usize) -> f64 {
    let overviews = 1.0 / f64::from(POLL_INTERVAL_S);
    (requests - overviews / jobs as f64) * REQUEST_NS + overviews * OVERVIEW_NS
}

/// Returns the same for an observer that sends an overview and four requests per job each second.
fn naive_load() -> f64 {
    OVERVIEW_NS + 4.0 * REQUEST_NS
}

/// Measures the size of the program and the duration of `--version`.
fn binary(program: &Path) -> Result<Numbers> {
    let size = std::fs::metadata(program).with_context(|| format!("{} is missing", program.display()))?.len();
    let mut samples = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        let output = Command::new(program).arg("--version").output()?;
        ensure!(output.status.success(), "--version fails");
        samples.push(start.elapsed().as_nanos() as f64);
    }
    samples.sort_by(f64::total_cmp);
    Ok([("size".to_owned(), size as f64), ("version".to_owned(), samples[samples.len() / 2])].into())
}

/// Describes the processor, the number of cores and the kernel.
fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let system = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{count} × {}, Linux {}", model.trim_start_matches([' ', '\t', ':']), system.trim())
}
