//! `cargo interop`: the output of `flink-traces`, received by programs of other projects.

#![allow(clippy::print_stdout, reason = "a command line program prints its results")]

mod addresses;
mod backends;
mod boards;
mod decoders;
mod examples;
mod faults;
mod load;
mod peers;
mod player;
mod queries;
mod records;
mod tls;

use std::fs::remove_dir_all;
use std::iter;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use flink_traces_testkit::Encoding;
use harness::{Prerequisites, RECORDING, build, recreate, say, workspace_root};

use faults::Fault;
use records::Session;

/// The values of `exporter.protocol`, and the encodings in which they arrive.
const PROTOCOLS: [(&str, Encoding); 3] =
    [("grpc", Encoding::Grpc), ("http/protobuf", Encoding::HttpProtobuf), ("http/json", Encoding::HttpJson)];

/// Sends recorded sessions to programs of other projects, and compares what they receive.
///
/// Without a command, it runs all of them. The first difference ends the run.
#[derive(Debug, Parser)]
#[command(name = "interop", bin_name = "cargo interop")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
enum Command {
    /// Compare the fields that decoders of other projects find in every protocol.
    Decoders,
    /// Send to an OpenTelemetry Collector that is killed, refuses, or is strict.
    Faults {
        /// The only fault to cause.
        #[arg(value_name = "FAULT")]
        fault: Option<Fault>,
    },
    /// Send to wrong addresses of an OpenTelemetry Collector, and expect an explanation.
    Addresses,
    /// Query Jaeger and VictoriaLogs behind an OpenTelemetry Collector.
    Backends,
    /// Run the configurations of `examples/collector` in an OpenTelemetry Collector.
    Examples,
    /// Read the Grafana boards with the types of Grafana's own SDK.
    Boards,
    /// Run the queries of `docs/queries.md` in SQLite, PostgreSQL and ClickHouse.
    Queries,
}

/// The parts that all commands share.
struct Setup {
    root: PathBuf,
    /// The folder for everything that is built or installed once.
    target: PathBuf,
    /// The folder of this run.
    folder: PathBuf,
    binary: PathBuf,
}

impl Setup {
    /// Returns the sessions that are sent to a Collector. Each is prepared when it is its turn.
    fn sessions(&self) -> impl Iterator<Item = Result<Session>> {
        let demo = || Session::prepare("the demo's session", &PROTOCOLS, self.root.join(RECORDING), 1_000, self);
        let large = || {
            let recording = self.folder.join("load.jsonl.gz");
            load::write(&recording)?;
            let name = "twelve checkpoints of 10,000 subtasks";
            Session::prepare(name, &PROTOCOLS[..2], recording, load::SPANS, self)
        };
        iter::once_with(demo).chain(iter::once_with(large))
    }
}

fn main() -> Result<()> {
    let command = Arguments::parse().command;
    let runs = |part: Command| command.is_none_or(|command| command == part);
    let fault = match command {
        Some(Command::Faults { fault }) => fault,
        _ => None,
    };
    let causes_faults = matches!(command, None | Some(Command::Faults { .. }));
    let mut prerequisites = Prerequisites::new("testing/interop/README.md").linux();
    if runs(Command::Decoders) || runs(Command::Queries) {
        prerequisites = prerequisites.python_module("venv").python_module("ensurepip");
    }
    if !matches!(command, Some(Command::Decoders | Command::Queries)) {
        prerequisites = prerequisites.go();
    }
    prerequisites.check()?;
    let root = workspace_root()?;
    let target = root.join("target/interop");
    let name = command.map_or("all", |command| match command {
        Command::Decoders => "decoders",
        Command::Faults { .. } => "faults",
        Command::Addresses => "addresses",
        Command::Backends => "backends",
        Command::Examples => "examples",
        Command::Boards => "boards",
        Command::Queries => "queries",
    });
    let folder = target.join(format!("session-{name}"));
    recreate(&folder)?;
    let setup = Setup { binary: build("flink-traces")?, root, target, folder };
    if runs(Command::Decoders) {
        say("decoders of other projects");
        decoders::run(&setup)?;
    }
    if causes_faults {
        say("an OpenTelemetry Collector with faults");
        faults::run(&setup, fault)?;
    }
    if runs(Command::Addresses) {
        say("wrong addresses of an OpenTelemetry Collector");
        addresses::run(&setup)?;
    }
    if runs(Command::Backends) {
        say("Jaeger and VictoriaLogs");
        backends::run(&setup)?;
    }
    if runs(Command::Examples) {
        say("examples of configurations of an OpenTelemetry Collector");
        examples::run(&setup)?;
    }
    if runs(Command::Boards) {
        say("Grafana's SDK");
        boards::run(&setup)?;
    }
    if runs(Command::Queries) {
        say("the documented queries");
        queries::run(&setup)?;
    }
    remove_dir_all(&setup.folder)?;
    Ok(())
}
