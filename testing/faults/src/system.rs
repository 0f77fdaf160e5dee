//! Faults that the operating system makes: a stopped process, another time, no descriptors.

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::{Answer, OtlpCollector};
use harness::{ProcessGuard, run};
use serde_json::Value;

use super::program::Program;
use super::{Rig, compare, records, refusing};

/// The library that moves the clock of a process, by machine.
pub(super) const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// A collector as a process of its own: prints its address, and when its input ends all that it has.
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

pub(super) fn stopped_collector(rig: &Rig) -> Result<()> {
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
    // It may wait for ever, so nothing may fail before it goes on.
    let running = Program::play(rig, "stopped", &endpoint, &[]).start();
    let said = running.as_ref().ok().map(|running| running.wait_for("no answer within 1s"));
    signal("-CONT")?;
    said.transpose()?;
    running?.finish()?;
    drop(collector.stdin.take());
    let found: Result<Vec<Value>> = lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect();
    let found = found?;
    collector.wait()?;
    ensure!(found == rig.expected, "{} records were expected, {} found", rig.expected.len(), found.len());
    Ok(())
}

/// The clock of the system jumps while the collector refuses, and nothing else changes: waits are by another clock.
pub(super) fn clock(rig: &Rig, jump: &str) -> Result<()> {
    let library = FAKETIME.iter().find(|path| Path::new(path).exists()).context("faketime is not installed")?;
    let offset = rig.folder.join("offset");
    std::fs::write(&offset, "+0")?;
    let collector = refusing()?;
    let program = Program::play(rig, &format!("clock{jump}"), &collector.grpc_endpoint(), &[])
        .environment("LD_PRELOAD", library)
        .environment("FAKETIME_TIMESTAMP_FILE", &offset)
        .environment("FAKETIME_NO_CACHE", "1")
        // As the system's own is when somebody sets the clock.
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .environment("DONT_FAKE_MONOTONIC", "1");
    let running = program.start()?;
    let fails = running.wait_for("The collector fails, trying again")?;
    std::fs::write(&offset, jump)?;
    collector.answer_by(|_| Answer::Accept);
    let works = running.wait_for("The collector works again")?;
    running.finish()?;
    let day = |line: &str| line.split('T').next().unwrap_or_default().to_owned();
    ensure!(day(&fails) != day(&works), "the clock did not jump: {works}");
    compare(rig, &collector)
}

/// For a while nothing can be opened, neither a file nor a connection.
pub(super) fn no_descriptors(rig: &Rig) -> Result<()> {
    let collector = OtlpCollector::start()?;
    // Two minutes in six seconds.
    let program = Program::play(rig, "descriptors", &collector.grpc_endpoint(), &[]).argument("--speed").argument("20");
    let running = program.start()?;
    let arrived = |collector: &OtlpCollector| !collector.requests().is_empty();
    ensure!(collector.wait_until(super::PATIENCE, arrived), "nothing arrives");
    let id = running.id().to_string();
    let limit = |count: &str| run(Command::new("prlimit").args(["--pid", &id, &format!("--nofile={count}:")]));
    limit("3")?;
    collector.cut_connections();
    let said = running.wait_for("Too many open files");
    // Some time, in which it must go on.
    sleep(Duration::from_secs(3));
    let spent = processor_time(&id)?;
    sleep(Duration::from_secs(1));
    let spent = processor_time(&id)? - spent;
    limit("1024")?;
    said?;
    // A hundredth of a second each.
    ensure!(spent < 50, "{spent} % of the time it tries in vain");
    running.finish()?;
    compare(rig, &collector)
}

/// The processor time that a process has had, in ticks of 10 ms.
fn processor_time(id: &str) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // What is before the last parenthesis may hold anything.
    let fields = stat.rsplit_once(')').context("no fields")?.1.split_whitespace();
    Ok(fields.skip(11).take(2).map(str::parse::<u64>).sum::<Result<_, _>>()?)
}
