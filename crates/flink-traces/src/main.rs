//! The program `flink-traces`. See its README, and `flink-traces --help`.

mod announce;
mod certificate;
mod check;
mod cli;
mod cluster;
mod clusters;
mod connection;
mod discovery;
#[cfg(test)]
mod documents;
mod fleet;
mod journal;
mod listener;
mod load;
mod metrics;
mod notify;
mod once;
mod options;
mod otlp_in;
mod page;
mod play;
mod printer;
mod private;
mod probe;
mod record;
mod recorded;
mod reload;
mod report;
mod reporters;
mod roster;
mod run;
#[cfg(test)]
mod schedules;
mod seen;
mod send;
mod serve;
mod shard;
mod sign_of_life;
mod signals;
mod summary;
mod text;
mod watch;
mod watch_log;

use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use flink_traces_runtime::config::Severity;
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, Exit, LogFormat};
use crate::load::InvalidConfiguration;
use crate::text::{one_line, say, with_causes};

/// The exit code for an invalid configuration, as in `sysexits.h`.
const CONFIGURATION: u8 = 78;

/// The allocator of the program. After the histories of many clusters were read, that of glibc
/// takes a quarter of the processor time, and returns little memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let colors = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let filter = EnvFilter::new(&cli.log_level);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => log.with_ansi(colors).init(),
        LogFormat::Json => log.with_ansi(false).json().flatten_event(true).init(),
    }
    match execute(&cli) {
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
                say(&format!("error: {}\n", one_line(&with_causes(error.as_ref()), 2_000)));
                ExitCode::from(Exit::Lost as u8)
            }
        },
    }
}

fn execute(cli: &Cli) -> anyhow::Result<Exit> {
    // One thread can poll all clusters. More threads would only wake each other.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match &cli.command {
        Command::Demo(arguments) => play::demo(arguments, &runtime),
        Command::Play(arguments) => play::play_file(arguments),
        Command::Record(arguments) => runtime.block_on(record::record(arguments)),
        Command::Once(arguments) => runtime.block_on(once::once(arguments)),
        Command::Run(arguments) => runtime.block_on(run::run(arguments, cli.log_format)),
        Command::Send(arguments) => runtime.block_on(send::send(arguments)),
        Command::Report(arguments) => report::report(arguments),
        Command::Serve(arguments) => runtime.block_on(serve::serve(arguments, cli.log_format)),
        Command::Check(arguments) => runtime.block_on(check::check(arguments)),
        Command::Completions(arguments) => {
            let mut script = Vec::new();
            clap_complete::generate(arguments.shell, &mut Cli::command(), "flink-traces", &mut script);
            // The generator names commands of a program with a hyphen in two ways.
            let script = String::from_utf8(script)?.replace("flink__subcmd__traces", "flink__traces");
            std::io::stdout().write_all(script.as_bytes())?;
            Ok(Exit::Done)
        }
        Command::Man(arguments) => {
            std::fs::create_dir_all(&arguments.directory)?;
            clap_mangen::generate_to(Cli::command(), &arguments.directory)?;
            Ok(Exit::Done)
        }
    }
}
