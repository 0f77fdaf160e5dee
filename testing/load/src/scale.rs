//! `cargo load scale`: checkpoints of up to a million subtasks arrive whole, with default options.

use std::sync::mpsc::sync_channel;

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::OtlpCollector;

use super::sender::Measurements;
use super::{Arrived, Sender};

/// The number of tasks of each checkpoint, with a thousand subtasks each.
const TASKS: [u64; 3] = [10, 100, 1_000];
const SUBTASKS: u64 = 1_000;

/// Sends each tree over each protocol. The first that is incomplete ends the run.
pub(crate) fn run() -> Result<()> {
    println!(
        "| spans | protocol | add_span (s) | until accounted for (s) | CPU (s) | peak memory (MiB) | before (MiB) |"
    );
    println!("|---|---|---|---|---|---|---|");
    for tasks in TASKS {
        for protocol in ["grpc", "http/protobuf"] {
            let spans = 1 + tasks + tasks * SUBTASKS;
            let Measurements { add, wall, cpu, peak_kib, before_kib, account } =
                send(protocol, tasks).with_context(|| format!("{spans} spans, {protocol}"))?;
            ensure!((account.emitted, account.delivered, account.queued) == (spans, spans, 0), "{account:?}");
            let [peak, before] = [peak_kib, before_kib].map(|kib| kib / 1_024);
            println!("| {spans} | {protocol} | {add:.2} | {wall:.2} | {cpu:.2} | {peak} | {before} |");
        }
    }
    Ok(())
}

fn send(protocol: &str, tasks: u64) -> Result<Measurements> {
    let collector = OtlpCollector::start()?;
    let mut sender =
        Sender::start(&["tree", protocol, &collector.grpc_endpoint(), &tasks.to_string(), &SUBTASKS.to_string()])?;
    let mut arrived = Arrived::default();
    let (running, end) = sync_channel(0);
    let measurements = std::thread::scope(|scope| {
        scope.spawn({
            let (arrived, collector) = (&mut arrived, &collector);
            move || arrived.follow(collector, &end)
        });
        let measurements = sender.read::<Measurements>();
        drop(running);
        measurements
    })?;
    sender.finish()?;
    let Arrived { known, orphans, repeated } = arrived;
    ensure!(known.len() as u64 == measurements.account.delivered, "{} spans arrived, {measurements:?}", known.len());
    ensure!((orphans, repeated) == (0, 0), "{orphans} before their parents, {repeated} more than once");
    Ok(measurements)
}
