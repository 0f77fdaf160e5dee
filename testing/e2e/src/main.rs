//! Sessions against a real Flink: its reporters, its REST API, its command line and its web UI.
#![allow(clippy::print_stdout, reason = "a command line program prints its results")]

mod browser;
mod chain;
mod chaos;
mod cli;
mod cluster;
mod compare;
mod engine;
mod job;
mod kubernetes;
mod monitor;
mod page;
mod plugin;
mod program;
mod record;
mod records;
mod rest;
mod rest_session;
mod session;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use compare::Scenario;
use harness::flink::{REST_VERSIONS, VERSION};
use harness::{Prerequisites, workspace_root};

/// Tests this workspace against a real Flink on loopback.
#[derive(Debug, Parser)]
#[command(name = "e2e", bin_name = "cargo e2e")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare the output of flink-traces with that of Flink's own reporters.
    Compare(Compare),
    /// Record a session for the golden tests, with what Flink's own reporters sent in it.
    Record(Record),
    /// Drive clusters with the client of flink-rest.
    Rest(Versions),
    /// Use Flink's command line on the REST API of the example engine.
    Cli(Versions),
    /// Open Flink's web UI on the REST API of the example engine.
    Web(Versions),
    /// Kill everything at random, and compare with an independent recorder.
    Chaos(Kills),
    /// Kill the chain to four destinations at random, and compare what they hold.
    Chain(Kills),
    /// Run the reporters inside Flink, beside a witness and Flink's own.
    Plugin(Plugin),
    /// Let Prometheus scrape flink-traces, and see the alert rules fire.
    Monitor(Monitor),
    /// Compare the figures of the page with those of Flink's own web UI.
    Page,
    /// Find clusters by a real API server of Kubernetes, and apply the manifests and the chart.
    Kubernetes,
}

#[derive(Debug, Args)]
struct Compare {
    /// The only scenario to run.
    #[arg(long, value_name = "SCENARIO")]
    scenario: Option<Scenario>,
    /// The version of Flink to run.
    #[arg(long, value_name = "VERSION", default_value = VERSION)]
    version: String,
}

#[derive(Debug, Args)]
struct Record {
    /// The version of Flink to run.
    #[arg(long, value_name = "VERSION", default_value = VERSION)]
    version: String,
    /// The folder for the two files. Existing files are not replaced.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Debug, Args)]
struct Plugin {
    /// The only scenario to run.
    #[arg(long, value_name = "SCENARIO")]
    scenario: Option<plugin::Scenario>,
    /// The version of Flink to run.
    #[arg(long, value_name = "VERSION", default_value = VERSION)]
    version: String,
    /// The jar to test. By default it is built first.
    #[arg(long, value_name = "JAR")]
    jar: Option<PathBuf>,
    /// The minutes of the scenario `load`.
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    minutes: u64,
}

#[derive(Debug, Args)]
struct Kills {
    /// The duration of the session, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    duration: u64,
    /// The seed of the kills. A fresh one by default.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
}

impl Kills {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.duration)
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| fastrand::u64(..))
    }
}

#[derive(Debug, Args)]
struct Monitor {
    /// The time in which a healthy job must cause no alert, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    health: u64,
}

#[derive(Debug, Args)]
struct Versions {
    /// The only version of Flink to run.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

impl Versions {
    fn all(&self) -> Vec<&str> {
        self.version.as_deref().map_or_else(|| REST_VERSIONS.to_vec(), |version| vec![version])
    }
}

fn main() -> Result<()> {
    let command = Arguments::parse().command;
    let mut prerequisites = Prerequisites::new("testing/e2e/README.md").linux().jdk().python_module("pip");
    if let Command::Web(_) | Command::Monitor(_) = command {
        prerequisites = prerequisites.program("chromium", "Debian: chromium").program("pngquant", "Debian: pngquant");
    }
    if let Command::Plugin(_) = command {
        prerequisites = prerequisites.program("unshare", "Debian: util-linux");
    }
    if let Command::Page = command {
        prerequisites = prerequisites.program("chromium", "Debian: chromium");
    }
    if let Command::Monitor(_) = command {
        prerequisites =
            prerequisites.program("prometheus", "Debian: prometheus").program("promtool", "Debian: prometheus");
    }
    if let Command::Chaos(_) | Command::Chain(_) | Command::Kubernetes = command {
        prerequisites = prerequisites.go();
    }
    if let Command::Kubernetes = command {
        prerequisites = prerequisites.program("openssl", "Debian: openssl");
    }
    prerequisites.check()?;
    match command {
        Command::Compare(Compare { scenario, version }) => {
            let scenarios = scenario.map_or_else(|| Scenario::value_variants().to_vec(), |scenario| vec![scenario]);
            compare::run(&scenarios, &version)
        }
        Command::Record(Record { version, output }) => record::run(&version, &output),
        Command::Plugin(Plugin { scenario, version, jar, minutes }) => {
            let scenarios = scenario.map_or_else(plugin::Scenario::usual, |scenario| vec![scenario]);
            plugin::run(&scenarios, &version, jar, minutes)
        }
        Command::Rest(versions) => rest_session::run(&versions.all()),
        Command::Cli(versions) => cli::run(&versions.all()),
        Command::Web(versions) => web::run(&versions.all()),
        Command::Chaos(kills) => chaos::run(kills.duration(), kills.seed()),
        Command::Chain(kills) => chain::run(kills.duration(), kills.seed()),
        Command::Page => page::run(),
        Command::Monitor(Monitor { health }) => monitor::run(Duration::from_secs(health)),
        Command::Kubernetes => kubernetes::run(),
    }
}

/// Returns the path of a file or a folder below `target/e2e`.
fn target(name: &str) -> Result<PathBuf> {
    Ok(workspace_root()?.join("target/e2e").join(name))
}
