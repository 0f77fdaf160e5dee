//! `cargo load`: the OTLP reporter and the program under load, in a process that is measured from
//! outside.
//!
//! For the reporter, that process is this program again ([`sender`]). It reports spans through the
//! runtime and the OTLP reporter, as an engine does. For a [`fleet`], it is `flink-traces run`. The
//! parent is the collector, and checks the received records.

#![allow(clippy::print_stdout, reason = "a command line program prints its results")]

mod fleet;
mod outage;
mod scale;
mod sender;

use std::collections::HashSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use flink_traces_testkit::{OtlpCollector, ReceivedSpan};
use harness::{Prerequisites, ProcessGuard};
use serde::de::DeserializeOwned;

use fleet::FleetArgs;
use outage::Outage;

/// The pause between two collections of received spans.
const PAUSE: Duration = Duration::from_millis(50);

/// Puts load on the OTLP reporter and on the program, in a process that is measured from outside.
#[derive(Debug, Parser)]
#[command(name = "load", bin_name = "cargo load")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Send checkpoints of up to a million subtasks, with default options.
    Scale,
    /// Report 10,000 spans a second while the collector is away for a minute.
    Outage {
        /// The kinds of outage, all by default.
        kinds: Vec<Outage>,
    },
    /// Watch thousands of clusters, which a process plays.
    Fleet(FleetArgs),
    /// Run the process that plays clusters.
    #[command(hide = true)]
    Clusters { scale: String },
    /// Run the process that only exchanges requests and responses with clusters.
    #[command(hide = true)]
    Bare { served: String },
    /// Run the process that is measured.
    #[command(hide = true)]
    Sender { arguments: Vec<String> },
}

fn main() -> Result<()> {
    let task = Arguments::parse().command;
    let prerequisites = Prerequisites::new("testing/load/README.md").linux();
    match &task {
        Task::Fleet(fleet) if !fleet.needs_optimized() => prerequisites,
        Task::Clusters { .. } | Task::Bare { .. } => prerequisites,
        _ => prerequisites.optimized("cargo load"),
    }
    .check()?;
    match task {
        Task::Fleet(arguments) => fleet::run(&arguments),
        Task::Clusters { scale } => fleet::serve(&scale),
        Task::Bare { served } => fleet::poll(&served),
        Task::Scale => scale::run(),
        Task::Outage { kinds } => outage::run(&kinds),
        Task::Sender { arguments } => sender::run(&arguments),
    }
}

/// A running sender, which is killed when this is dropped.
struct Sender {
    process: ProcessGuard,
    output: BufReader<ChildStdout>,
}

impl Sender {
    fn start(arguments: &[&str]) -> Result<Self> {
        let mut sender = Command::new(env::current_exe()?);
        sender.arg("sender").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process: ProcessGuard = sender.spawn().context("cannot start the sender")?.into();
        let output = BufReader::new(process.stdout.take().context("no standard output")?);
        Ok(Self { process, output })
    }

    /// Reads the next message of the sender.
    fn read<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the sender said {line:?}"))
    }

    fn finish(mut self) -> Result<()> {
        let status = self.process.wait()?;
        ensure!(status.success(), "the sender: {status}");
        Ok(())
    }
}

/// The received spans, with counts of duplicates and of spans before their parents.
#[derive(Debug, Default)]
struct Arrived {
    known: HashSet<[u8; 24]>,
    orphans: usize,
    repeated: usize,
}

impl Arrived {
    fn add(&mut self, spans: &[ReceivedSpan]) {
        for span in spans {
            let key = |id: &[u8]| {
                let mut key = [0; 24];
                key.iter_mut().zip(span.trace_id().iter().chain(id)).for_each(|(place, byte)| *place = *byte);
                key
            };
            self.orphans +=
                usize::from(!span.parent_span_id().is_empty() && !self.known.contains(&key(span.parent_span_id())));
            self.repeated += usize::from(!self.known.insert(key(span.span_id())));
        }
    }

    /// Takes received spans from `collector` until `end` is dropped.
    fn follow(&mut self, collector: &OtlpCollector, end: &Receiver<()>) {
        while end.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
            self.add(&collector.take_spans());
        }
        self.add(&collector.take_spans());
    }
}

/// Returns a number of `/proc/<process>/status`, such as `VmRSS`, in KiB.
fn memory_kib(process: &str, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).context("not Linux")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
