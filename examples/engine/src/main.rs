//! A small stream processor with checkpoints that reports as Flink does. See the README.

mod coordinator;
mod gateway;
mod inbox;
mod options;
mod result;
mod store;
mod subtask;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, ensure};
use clap::Parser;
use flink_traces_log::Log;
use flink_traces_runtime::Reporting;
use flink_traces_runtime::config::Problems;

use coordinator::{Coordinator, Outcome};
use gateway::{Gateway, Server};
use options::Options;

/// Counts records by key, with checkpoints.
#[derive(Parser)]
struct Arguments {
    /// A configuration file, or the folder of one.
    #[arg(long, value_name = "PATH")]
    conf: Option<PathBuf>,
    /// Sets an option.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    properties: Vec<String>,
}

fn main() -> ExitCode {
    let colors = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colors).init();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let reporting = start(arguments)?;
    let options = Options::read(reporting.configuration())?;
    let result = run_job(&reporting, &options);

    // Everything is reported, even if the job failed.
    let accounts = reporting.shutdown_blocking();
    for account in &accounts {
        tracing::info!("{account}");
    }
    if result? == Outcome::Finished {
        let lines = result::verify(&options)?;
        tracing::info!("results: {lines}, each exactly once");
    }
    ensure!(accounts.iter().all(|account| account.emitted == account.delivered), "some records were not delivered");
    Ok(())
}

/// Runs the job. With a REST server, it returns when a client shuts the cluster down.
fn run_job(reporting: &Reporting, options: &Options) -> Result<Outcome> {
    let gateway = Arc::new(Gateway::new(options.savepoints.clone()));
    let coordinator = Coordinator::new(options.clone(), reporting, gateway.clone())?;
    let job = coordinator.job();
    let start = |port| Server::start(port, reporting, options.parallelism, &job, gateway.clone());
    let server = options.rest_port.map(start).transpose()?;
    let result = coordinator.run();
    let counts = job.checkpoints().snapshot().counts;
    tracing::info!("checkpoints: {} completed, {} failed", counts.completed, counts.failed);
    match &result {
        Ok(outcome) => tracing::info!("the job has ended: {outcome:?}"),
        Err(error) => tracing::error!("{error:#}"),
    }
    if server.is_some() {
        gateway.wait_for_shutdown();
    }
    result
}

/// Starts the configured reporters, or by default those that write to the log.
fn start(arguments: &Arguments) -> Result<Reporting, Problems> {
    let mut builder = Reporting::builder()
        .cluster("engine")
        .own_options(options::OWN)
        .register(flink_traces_json::register)
        .register(flink_traces_otlp::register)
        .default_reporter(Log::new());
    if let Some(path) = &arguments.conf {
        builder = builder.file(path);
    }
    arguments.properties.iter().fold(builder, |builder, property| builder.argument("-D", property)).start()
}
