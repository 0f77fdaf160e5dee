//! Faults of the operating system: a stopped process, a jump of the clock, no descriptors.

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::{CollectorResponse, OtlpCollector};
use harness::{ProcessGuard, run};
use serde_json::Value;

use super::program::Program;
use super::{Setup, compare, records, refusing};

/// The library that moves the clock of a process, by machine.
pub(super) const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// Runs a collector in this process. It prints its address, and at the end of its input all
/// records.
pub(super) fn serve_collector() -> Result<()> {
    let collector = OtlpCollector::start()?;
    println!("{}", collector.grpc_endpoint());
    stdout().flush()?;
    stdin().lines().for_each(drop);
    for record in records(&collector) {
        println!("{record}");
    }
    Ok(())
}

pub(super) fn stopped_collector(setup: &Setup) -> Result<()> {
    let mut collector: ProcessGuard = Command::new(std::env::current_exe()?)
        .arg("collector")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?
        .into();
    let mut lines = BufReader::new(collector.stdout.take().context("no output")?).lines();
    let endpoint = lines.next().context("no address")??;
    let id = collector.id().to_string();
    let signal = |name: &str| run(Command::new("kill").args([name, &id]));
    signal("-STOP")?;
    // A failure before SIGCONT would leave the collector stopped.
    let running = Program::play(setup, "stopped", &endpoint, &[]).start();
    let message = running.as_ref().ok().map(|running| running.wait_for("no response within 1s"));
    signal("-CONT")?;
    message.transpose()?;
    running?.finish()?;
    drop(collector.stdin.take());
    let found: Result<Vec<Value>> = lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect();
    let found = found?;
    collector.wait()?;
    ensure!(found == setup.expected, "expected {} records, found {}", setup.expected.len(), found.len());
    Ok(())
}

/// Lets the system clock jump while the collector refuses. Waits use the monotonic clock, so
/// nothing else changes.
pub(super) fn clock(setup: &Setup, jump: &str) -> Result<()> {
    let library = FAKETIME.iter().find(|path| Path::new(path).exists()).context("faketime is not installed")?;
    let offset = setup.folder.join("offset");
    std::fs::write(&offset, "+0")?;
    let collector = refusing()?;
    let program = Program::play(setup, &format!("clock{jump}"), &collector.grpc_endpoint(), &[])
        .environment("LD_PRELOAD", library)
        .environment("FAKETIME_TIMESTAMP_FILE", &offset)
        .environment("FAKETIME_NO_CACHE", "1")
        // An administrator who sets the clock does not change the monotonic clock.
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .environment("DONT_FAKE_MONOTONIC", "1");
    let running = program.start()?;
    let fails = running.wait_for("collector failing, retrying")?;
    std::fs::write(&offset, jump)?;
    collector.respond_by(|_| CollectorResponse::Accept);
    let works = running.wait_for("collector recovered")?;
    running.finish()?;
    let day = |line: &str| line.split('T').next().unwrap_or_default().to_owned();
    ensure!(day(&fails) != day(&works), "the clock did not jump: {works}");
    compare(setup, &collector)
}

/// Takes all free descriptors away for a while, so that neither files nor connections can be
/// opened.
pub(super) fn no_descriptors(setup: &Setup) -> Result<()> {
    let collector = OtlpCollector::start()?;
    // At this speed, two minutes take six seconds.
    let program =
        Program::play(setup, "descriptors", &collector.grpc_endpoint(), &[]).argument("--speed").argument("20");
    let running = program.start()?;
    let arrived = |collector: &OtlpCollector| !collector.requests().is_empty();
    ensure!(collector.wait_until(super::PATIENCE, arrived), "no record arrived");
    let id = running.id().to_string();
    let limit = |count: &str| run(Command::new("prlimit").args(["--pid", &id, &format!("--nofile={count}:")]));
    limit("3")?;
    collector.cut_connections();
    let message = running.wait_for("Too many open files");
    // The program must keep working during this time.
    sleep(Duration::from_secs(3));
    let spent = processor_time(&id)?;
    sleep(Duration::from_secs(1));
    let spent = processor_time(&id)? - spent;
    limit("1024")?;
    message?;
    // A tick is a hundredth of a second.
    ensure!(spent < 50, "expected an idle program, found {spent} % of the time busy");
    running.finish()?;
    compare(setup, &collector)
}

/// Returns the processor time of a process, in ticks of 10 ms.
fn processor_time(id: &str) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name before the last parenthesis may contain anything.
    let fields = stat.rsplit_once(')').context("no fields")?.1.split_whitespace();
    Ok(fields.skip(11).take(2).map(str::parse::<u64>).sum::<Result<_, _>>()?)
}
