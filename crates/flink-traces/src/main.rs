//! The command `flink-traces`: see the crate's README, and `flink-traces --help`.

mod check;
mod cli;
#[cfg(test)]
mod documents;
mod metrics;
mod once;
mod play;
mod printer;
mod record;
mod run;
mod send;
mod settings;
mod summary;
mod text;
mod watch;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use flink_traces_runtime::config::Severity;
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, Exit};
use crate::settings::InvalidConfiguration;
use crate::text::{one_line, say};

/// The exit code of a wrong configuration, as in `sysexits.h`.
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let filter = EnvFilter::new(&cli.log_level);
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    match execute(&cli.command) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => match error.downcast_ref::<InvalidConfiguration>() {
            Some(InvalidConfiguration(problems)) => {
                for problem in problems {
                    let severity = match problem.severity {
                        Severity::Warning => "warning",
                        Severity::Error => "error",
                    };
                    say(&format!("{severity}: {problem}\n"));
                }
                ExitCode::from(CONFIGURATION)
            }
            None => {
                say(&format!("error: {}\n", one_line(&format!("{error:#}"), 2_000)));
                ExitCode::from(Exit::Lost as u8)
            }
        },
    }
}

fn execute(command: &Command) -> anyhow::Result<Exit> {
    // One thread is enough for all that clusters are asked; more of them only wake each other.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match command {
        Command::Demo(arguments) => play::demo(arguments),
        Command::Play(arguments) => play::play_file(arguments),
        Command::Record(arguments) => runtime.block_on(record::record(arguments)),
        Command::Once(arguments) => runtime.block_on(once::once(arguments)),
        Command::Run(arguments) => runtime.block_on(run::run(arguments)),
        Command::Send(arguments) => runtime.block_on(send::send(arguments)),
        Command::Check(arguments) => runtime.block_on(check::check(arguments)),
    }
}
