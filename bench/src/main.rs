#![doc = include_str!("../README.md")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program answers on standard output")]

mod clock;
mod cluster;
mod plan;
mod report;
mod sample;
mod sink;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use plan::{JAVA, OVERVIEW_NS, POLL_INTERVAL_S, REQUEST_NS, RUNS, Run};
use report::Results;
use sink::Sink;
use worker::{Numbers, Task};

/// What the command line asks for.
struct Scope {
    rounds: usize,
    /// Where the results go.
    output: PathBuf,
    /// The program `flink-traces`, built for release.
    program: PathBuf,
    /// Flink's classes and those of the harness, if Flink is to be measured.
    class_path: Option<String>,
    /// The only kinds of work that are done; all if there are none.
    only: Vec<String>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["sink"] => sink::run(),
        ["cluster", jobs] => cluster::run(jobs.parse()?),
        ["work", task] => worker::run(&serde_json::from_str(task)?),
        arguments => run(&scope(arguments)?),
    }
}

fn scope(mut arguments: &[&str]) -> Result<Scope> {
    let mut scope = Scope {
        rounds: 5,
        output: "target/bench".into(),
        program: "target/release/flink-traces".into(),
        class_path: None,
        only: Vec::new(),
    };
    while let [name, rest @ ..] = arguments {
        let [value, rest @ ..] = rest else { bail!("{name} has no value") };
        match *name {
            "--rounds" => scope.rounds = value.parse().with_context(|| format!("--rounds {value}"))?,
            "--output" => scope.output = value.into(),
            "--program" => scope.program = value.into(),
            "--class-path" => scope.class_path = Some((*value).to_owned()),
            "--only" => scope.only.push((*value).to_owned()),
            unknown => bail!("unknown argument {unknown}"),
        }
        arguments = rest;
    }
    ensure!(scope.rounds > 0, "--rounds 0");
    Ok(scope)
}

/// Everybody does everything in turn, round after round, so that what else the machine does hits all alike.
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
    // Each has a sink of its own: nobody inherits another's connections.
    let sink = Sink::start()?;
    let at = match run.work {
        "observer" => scope.program.display().to_string(),
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
    ensure!(output.status.success(), "it failed: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().last().context("it says nothing")?;
    let mut numbers: Numbers = serde_json::from_str(line).with_context(|| format!("it says {line:?}"))?;
    if let ("observer", Some(requests)) = (run.work, numbers.get("requests").copied()) {
        numbers.insert("lighter".to_owned(), naive_load() / load(requests, run.size));
    }
    Ok(numbers)
}

/// The JobManager's CPU nanoseconds for each job and second, asked so often, the overviews included.
fn load(requests: f64, jobs: usize) -> f64 {
    let overviews = 1.0 / f64::from(POLL_INTERVAL_S);
    (requests - overviews / jobs as f64) * REQUEST_NS + overviews * OVERVIEW_NS
}

/// The same of who asks for an overview and four things of each job every second.
fn naive_load() -> f64 {
    OVERVIEW_NS + 4.0 * REQUEST_NS
}

/// The size of the program and how long it takes to say its version.
fn binary(program: &Path) -> Result<Numbers> {
    let size = std::fs::metadata(program).with_context(|| format!("{} is not built", program.display()))?.len();
    let mut goes = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        let output = Command::new(program).arg("--version").output()?;
        ensure!(output.status.success(), "--version fails");
        goes.push(start.elapsed().as_nanos() as f64);
    }
    goes.sort_by(f64::total_cmp);
    Ok([("size".to_owned(), size as f64), ("version".to_owned(), goes[goes.len() / 2])].into())
}

/// The processor and how many of it there are.
fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let system = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{count} × {}, Linux {}", model.trim_start_matches([' ', '\t', ':']), system.trim())
}
