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
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use flink_traces_api::{Registry, SystemClock};
use flink_traces_runtime::config::{SCOPE_DELIMITER, Severity, unknown_keys};
use flink_traces_runtime::{Configuration, Dispatcher, MetricGroup, discover};

use coordinator::{Coordinator, Outcome};
use gateway::{Gateway, Server};
use options::Options;

/// The reporters of a configuration without any.
const DEFAULTS: [&str; 2] = [
    "traces.reporter.log.factory.class=org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory",
    "events.reporter.log.factory.class=org.apache.flink.events.slf4j.Slf4jEventReporterFactory",
];

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
    let (configuration, dispatcher) = start(arguments)?;
    let options = Options::read(&configuration)?;
    let job_manager = MetricGroup::job_manager(&dispatcher, "localhost");
    let result = run_job(&configuration, &options, &job_manager);

    // Everything is reported, even if the job failed.
    let accounts = dispatcher.shutdown(Duration::from_secs(10));
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
fn run_job(configuration: &Configuration, options: &Options, job_manager: &MetricGroup) -> Result<Outcome> {
    let gateway = Arc::new(Gateway::new(options.savepoints.clone()));
    let coordinator = Coordinator::new(options.clone(), job_manager, gateway.clone())?;
    let (job, checkpoints) = (coordinator.job(), coordinator.checkpoints());
    let start = |port| Server::start(port, configuration, options.parallelism, job, gateway.clone());
    let server = options.rest_port.map(start).transpose()?;
    let result = coordinator.run();
    let counts = checkpoints.snapshot().counts;
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
fn start(arguments: &Arguments) -> Result<(Configuration, Dispatcher)> {
    let mut registry = Registry::new();
    flink_traces_log::register(&mut registry)?;
    flink_traces_json::register(&mut registry)?;
    flink_traces_otlp::register(&mut registry)?;
    let load = |defaults: &[&str]| {
        let properties = defaults.iter().copied().chain(arguments.properties.iter().map(String::as_str));
        let properties: Vec<_> = properties.map(|property| ("-D", property.to_owned())).collect();
        Configuration::load(arguments.conf.as_deref(), &properties)
    };
    let is_reporter = |key: &str| key.starts_with("traces.reporter") || key.starts_with("events.reporter");
    let (mut configuration, mut problems) = load(&[]);
    if !configuration.iter().any(|(key, _)| is_reporter(key)) {
        (configuration, problems) = load(&DEFAULTS);
    }
    problems.extend(unknown_keys(&configuration, &registry, options::OWN));
    let (reporters, more) = discover(&configuration, &registry);
    problems.extend(more);
    let delimiter = configuration.get(&SCOPE_DELIMITER)?.unwrap_or_default();
    let (dispatcher, more) = Dispatcher::start(reporters, &registry, Arc::new(SystemClock), &delimiter);
    problems.extend(more);
    problems.iter().for_each(|problem| tracing::warn!("{problem}"));
    ensure!(problems.iter().all(|problem| problem.severity < Severity::Error), "invalid configuration");
    Ok((configuration, dispatcher))
}
