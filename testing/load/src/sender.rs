//! The process under measurement.

use std::fs;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use flink_traces_api::{Registry, SystemClock};
use flink_traces_runtime::checkpoint::{
    CheckpointStatus, CheckpointType, SubtaskMetric, SubtaskStats, Subtasks, TaskStats,
};
use flink_traces_runtime::config::{SCOPE_DELIMITER, SpanDetailLevel};
use flink_traces_runtime::{
    CheckpointStats, Configuration, Dispatcher, JobIdentity, MetricGroup, ReporterStats, checkpoint_span, discover,
};
use serde::{Deserialize, Serialize};

use super::memory_kib;

/// The number of tasks of a checkpoint in the outage.
const TASKS: usize = 9;
/// The number of spans of such a checkpoint.
pub(super) const TREE: u64 = TASKS as u64 + 1;
/// The interval between two trees, for 10,000 spans a second.
const INTERVAL: Duration = Duration::from_millis(1);
/// A time limit beyond everything here.
const PATIENCE: Duration = Duration::from_secs(1_800);
const JOB: JobIdentity<'static> = JobIdentity { cluster: "load", job_id: "00000000000000000000000000000001" };
const START: i64 = 1_700_000_000_000;

/// The measurements of one tree.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measurements {
    /// The duration of [`MetricGroup::add_span`], in seconds.
    pub(super) add: f64,
    /// The time from there until every span is accounted for, in seconds.
    pub(super) wall: f64,
    /// The processor time of all threads, in seconds.
    pub(super) cpu: f64,
    /// The peak memory of the process, in KiB.
    pub(super) peak_kib: u64,
    /// The peak memory before the tree was built, in KiB.
    pub(super) before_kib: u64,
    pub(super) account: Account,
}

/// The account of the only reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) emitted: u64,
    pub(super) delivered: u64,
    pub(super) queued: u64,
    /// The records in the spool that the collector does not have yet.
    pub(super) waiting: u64,
    /// The records that a full spool dropped or the collector rejected.
    pub(super) lost: u64,
}

/// The measurements of one second of the outage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Second {
    /// The memory at the end of the second, in KiB.
    pub(super) rss_kib: u64,
    /// The duration of each call, in nanoseconds.
    pub(super) calls: Vec<u64>,
    pub(super) account: Account,
}

/// Runs the workload of the parent's arguments, and prints the measurements as JSON.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["tree", protocol, endpoint, tasks, subtasks] => {
            tree(&[("exporter.protocol", protocol), ("exporter.endpoint", endpoint)], tasks.parse()?, subtasks.parse()?)
        }
        ["stream", protocol, endpoint, spool, seconds] => stream(
            &[("exporter.protocol", protocol), ("exporter.endpoint", endpoint), ("spool.directory", spool)],
            seconds.parse()?,
        ),
        unknown => bail!("unknown arguments {unknown:?}"),
    }
}

/// Reports one checkpoint, with a span for each subtask.
fn tree(options: &[(&str, &str)], tasks: usize, subtasks: i64) -> Result<()> {
    let (dispatcher, job) = start(options)?;
    let before_kib = memory_kib("self", "VmHWM")?;
    let stats = checkpoint(1, tasks, subtasks);
    let span = checkpoint_span(JOB, &stats, SpanDetailLevel::ChildrenSpansPerSubtask);
    drop(stats);
    let (start, cpu) = (Instant::now(), cpu()?);
    job.add_span(span);
    let add = start.elapsed().as_secs_f64();
    ensure!(dispatcher.flush(PATIENCE), "not accounted for");
    let (wall, cpu) = (start.elapsed().as_secs_f64(), self::cpu()? - cpu);
    let account = account(&dispatcher.shutdown(PATIENCE))?;
    say(&Measurements { add, wall, cpu, peak_kib: memory_kib("self", "VmHWM")?, before_kib, account })
}

/// Reports a small tree each millisecond for `seconds`. Prints the measurements of each second, and
/// finally the account.
fn stream(options: &[(&str, &str)], seconds: u64) -> Result<()> {
    let (dispatcher, job) = start(options)?;
    let start = Instant::now();
    let mut due = Duration::ZERO;
    let mut id = 0;
    for second in 1..=seconds {
        let mut calls = Vec::with_capacity(1_000);
        while due < Duration::from_secs(second) {
            sleep(due.saturating_sub(start.elapsed()));
            due += INTERVAL;
            id += 1;
            let span = checkpoint_span(JOB, &checkpoint(id, TASKS, 1), SpanDetailLevel::ChildrenSpansPerTask);
            let call = Instant::now();
            job.add_span(span);
            calls.push(u64::try_from(call.elapsed().as_nanos())?);
        }
        say(&Second { rss_kib: memory_kib("self", "VmRSS")?, calls, account: account(&dispatcher.stats())? })?;
    }
    // The parent closes the input when the collector has everything.
    std::io::stdin().read_line(&mut String::new())?;
    say(&account(&dispatcher.shutdown(PATIENCE))?)
}

fn start(options: &[(&str, &str)]) -> Result<(Dispatcher, MetricGroup)> {
    let mut registry = Registry::new();
    flink_traces_otlp::register(&mut registry)?;
    let key = |key: &str| format!("traces.reporter.otlp.{key}");
    let factory = ("factory.class", flink_traces_otlp::TRACE_FACTORY);
    let pairs: Vec<_> = [factory].iter().chain(options).map(|(name, value)| (key(name), *value)).collect();
    let configuration = Configuration::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), *value)));
    let (setups, problems) = discover(&configuration, &registry);
    ensure!(problems.is_empty(), "{problems:?}");
    let delimiter = configuration.get(&SCOPE_DELIMITER)?.context("no scope delimiter")?;
    let (dispatcher, problems) = Dispatcher::start(setups, &registry, Arc::new(SystemClock), &delimiter);
    ensure!(problems.is_empty(), "{problems:?}");
    let job = MetricGroup::job_manager(&dispatcher, "localhost").add_job(JOB.job_id, "load");
    Ok((dispatcher, job))
}

fn checkpoint(id: i64, tasks: usize, subtasks: i64) -> CheckpointStats {
    let subtask = |index| {
        let metrics = SubtaskMetric::ALL.into_iter().zip(1..).map(|(metric, number)| (metric, number * 1_000 + index));
        SubtaskStats::new(index, START + 1_000 + index).with_metrics(metrics)
    };
    let task = |number: usize| {
        TaskStats::new(format!("{number:032x}"))
            .with_task_name(format!("Window(TumblingEventTimeWindows) {number}"))
            .with_latest_ack_timestamp(START + 1_000 + subtasks)
            .with_subtasks((0..subtasks).map(subtask).collect::<Subtasks>())
    };
    CheckpointStats::new(id, START, CheckpointType::Checkpoint, CheckpointStatus::Completed)
        .with_is_unaligned(false)
        .with_latest_ack_timestamp(START + 1_000 + subtasks)
        .with_state_size(1 << 30)
        .with_checkpointed_size(1 << 20)
        .with_metadata_size(1 << 16)
        .with_external_path(format!("s3://checkpoints/load/chk-{id}"))
        .with_tasks((0..tasks).map(task).collect())
}

fn account(stats: &[ReporterStats]) -> Result<Account> {
    let [stats] = stats else { bail!("expected one reporter") };
    ensure!(stats.is_balanced() && stats.dropped_total() + stats.rejected == 0, "{stats:?}");
    let [waiting, lost] = stats
        .transfer
        .buffer
        .map_or([0; 2], |spool| [spool.queued, spool.finalized.rejected + spool.finalized.dropped]);
    Ok(Account { emitted: stats.emitted, delivered: stats.delivered, queued: stats.queued, waiting, lost })
}

/// Returns the processor time of all threads of this process, in seconds.
fn cpu() -> Result<f64> {
    /// The unit of `/proc/self/stat`, which is the same on every Linux.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Ok(fields.map(str::parse::<f64>).sum::<Result<f64, _>>()? / TICKS)
}

fn say(message: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(message)?);
    Ok(())
}
