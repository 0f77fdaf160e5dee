//! The command `flink-traces`: see the crate's README, and `flink-traces --help`.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use flink_traces::cli::{Cli, Command};
use flink_traces::settings::InvalidConfiguration;
use flink_traces::text::{one_line, say};
use tracing_subscriber::EnvFilter;

/// Exit codes, as in `sysexits.h` where it has one.
const LOST_OR_FAILED: u8 = 1;
const UNAVAILABLE: u8 = 69;
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match EnvFilter::try_new(&cli.log_level) {
        Ok(filter) => filter,
        Err(error) => {
            say(&format!("error: --log-level: {error}\n"));
            return ExitCode::from(2);
        }
    };
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("error: {error}\n"));
            return ExitCode::from(LOST_OR_FAILED);
        }
    };
    let (result, otherwise) = match &cli.command {
        Command::Demo(arguments) => (flink_traces::replay::demo(arguments), LOST_OR_FAILED),
        Command::Play(arguments) => (flink_traces::replay::play_file(arguments), LOST_OR_FAILED),
        Command::Record(arguments) => {
            (runtime.block_on(flink_traces::record::record(arguments)).map(|()| true), LOST_OR_FAILED)
        }
        Command::Once(arguments) => {
            (runtime.block_on(flink_traces::once::once(arguments)).map(|()| true), LOST_OR_FAILED)
        }
        Command::Run(arguments) => (runtime.block_on(flink_traces::run::run(arguments)), LOST_OR_FAILED),
        Command::Check(arguments) => (runtime.block_on(flink_traces::check::check(arguments)), UNAVAILABLE),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(otherwise),
        Err(error) => match error.downcast_ref::<InvalidConfiguration>() {
            Some(InvalidConfiguration(problems)) => {
                for problem in problems {
                    say(&format!("{problem}\n"));
                }
                ExitCode::from(CONFIGURATION)
            }
            None => {
                say(&format!("error: {}\n", one_line(&format!("{error:#}"), 2_000)));
                ExitCode::from(LOST_OR_FAILED)
            }
        },
    }
}
