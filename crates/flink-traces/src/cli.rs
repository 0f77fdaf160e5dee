//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Watches Apache Flink clusters over their REST API and reports checkpoints, recoveries and failures as spans and events, in Flink's
/// own names: no change to the clusters, Flink 1.9 to 2.3.
///
/// Data goes to standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(name = "flink-traces", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// What to log, as `info` or `warn,flink_traces=debug`.
    #[arg(long, global = true, env = "FLINK_TRACES_LOG", default_value = "info", value_name = "FILTER")]
    pub log_level: String,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plays a recorded session of a real Flink 2.3.0 cluster; needs no cluster and no network.
    #[command(after_help = "Examples:
  flink-traces demo
  flink-traces demo --otlp http://localhost:4317
  flink-traces demo -D traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK")]
    Demo(DemoArgs),

    /// Plays a recording as if its cluster were there.
    #[command(after_help = "Examples:
  flink-traces play session.jsonl.gz
  flink-traces play session.jsonl.gz --speed 10
  flink-traces play session.jsonl.gz --otlp http://localhost:4318 --quiet")]
    Play(PlayArgs),

    /// Records what a cluster answers, for `play`; values that look like secrets are masked.
    #[command(after_help = "Examples:
  flink-traces record --flink http://localhost:8081 --output session.jsonl.gz
  flink-traces record --flink http://localhost:8081 --output session.jsonl.gz --for '10 min'")]
    Record(RecordArgs),

    /// Looks at a cluster once: its jobs and their checkpoints.
    #[command(after_help = "Examples:
  flink-traces once --flink http://localhost:8081")]
    Once(OnceArgs),

    /// Watches clusters and reports until stopped. SIGTERM and Ctrl-C drain what is queued.
    #[command(after_help = "Examples:
  flink-traces run --flink http://localhost:8081
  flink-traces run --flink prod=https://flink.example.com --flink test=http://localhost:8081 --otlp http://localhost:4317
  flink-traces run --conf /etc/flink-traces
  flink-traces run --flink http://localhost:8081 -D traces.reporter.log.factory.class=org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory

Exit codes: 0 stopped and everything delivered, 1 something was lost, 2 wrong usage, 78 wrong configuration.")]
    Run(RunArgs),

    /// Shows every option in force and where it comes from, and whether clusters and endpoints answer.
    #[command(after_help = "Examples:
  flink-traces check --conf conf/
  flink-traces check --flink http://localhost:8081 --otlp http://localhost:4317

Exit codes: 0 all is well, 69 something does not answer, 78 wrong configuration.")]
    Check(RunArgs),
}

/// Where options come from.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigurationArgs {
    /// A configuration file, or a directory with a `config.yaml` or `flink-conf.yaml`, as Flink's.
    #[arg(long, value_name = "FILE-or-DIR", env = "FLINK_TRACES_CONF")]
    pub conf: Option<PathBuf>,

    /// Sets an option, over the configuration file; may be given again.
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub dynamic: Vec<String>,

    /// Reports spans and events over OTLP to this address: HTTP if its port is 4318, else gRPC.
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where options come from.
    #[command(flatten)]
    pub configuration: ConfigurationArgs,

    /// The directory for the JSON Lines files.
    #[arg(long, value_name = "DIR", default_value = "flink-traces-demo")]
    pub json: PathBuf,

    /// How it is shown.
    #[command(flatten)]
    pub replay: ReplayArgs,
}

/// Arguments of `play`.
#[derive(Debug, Args)]
pub struct PlayArgs {
    /// The recording.
    pub file: PathBuf,

    /// Where options come from.
    #[command(flatten)]
    pub configuration: ConfigurationArgs,

    /// Writes JSON Lines files into this directory.
    #[arg(long, value_name = "DIR")]
    pub json: Option<PathBuf>,

    /// How it is shown.
    #[command(flatten)]
    pub replay: ReplayArgs,
}

/// How a replay is shown.
#[derive(Debug, Clone, Copy, Args)]
pub struct ReplayArgs {
    /// How many times faster than it was recorded; as fast as possible without it.
    #[arg(long, value_name = "TIMES", value_parser = speed)]
    pub speed: Option<f64>,

    /// Prints the summary only.
    #[arg(long)]
    pub quiet: bool,
}

/// Arguments of `record`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// The cluster's REST address.
    #[arg(long, value_name = "URL")]
    pub flink: String,

    /// The file to write; must not exist.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,

    /// How long, as `90 s` or `10 min`; until stopped without it.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<std::time::Duration>,

    /// Where options come from.
    #[command(flatten)]
    pub configuration: ConfigurationArgs,
}

/// Arguments of `once`.
#[derive(Debug, Args)]
pub struct OnceArgs {
    /// The cluster's REST address.
    #[arg(long, value_name = "URL")]
    pub flink: String,

    /// Where options come from.
    #[command(flatten)]
    pub configuration: ConfigurationArgs,
}

/// Arguments of `run` and `check`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A cluster's REST address, with a name before it or not; may be given again.
    #[arg(long, value_name = "[NAME=]URL")]
    pub flink: Vec<String>,

    /// Where options come from.
    #[command(flatten)]
    pub configuration: ConfigurationArgs,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(times) if times > 0.0 && f64::is_finite(times) => Ok(times),
        _ => Err("not a positive number".to_owned()),
    }
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    flink_traces_api::parse_duration(text).ok_or_else(|| "not a duration such as `10 min`".to_owned())
}
