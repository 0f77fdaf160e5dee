//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::{Arg, Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Watches Apache Flink clusters over their REST API and reports checkpoints, recoveries and failures as spans and events, in Flink's
/// own names: no change to the clusters, Flink 1.9 to 2.3.
///
/// Data goes to standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(name = "flink-traces", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log to standard error, as `info` or `warn,flink_traces=debug`. Not in colours if NO_COLOR is set.
    #[arg(
        long,
        global = true,
        env = "FLINK_TRACES_LOG",
        default_value = "info",
        value_name = "FILTER",
        value_parser = ValueParser::new(log_level)
    )]
    pub(crate) log_level: String,
}

const EXIT_CODES: &str = "\
Examples:
  flink-traces demo
  flink-traces once --flink http://localhost:8081
  flink-traces run --flink http://localhost:8081 --otlp http://localhost:4317

Exit codes:
  0    done; all that was to be delivered is
  1    it failed, or something was lost
  2    the command line is wrong
  69   check: something does not answer
  78   the configuration is wrong: each problem is told, with file, line and column
  130  stopped at once by a second Ctrl-C, 143 by a second SIGTERM";

/// How a command ended; the numbers are its exit codes. The other codes stand for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, and everything was delivered.
    Done = 0,
    /// Something failed or was lost.
    Lost = 1,
    /// Something does not answer.
    Unavailable = 69,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plays a recorded session of a real Flink 2.3.0 cluster; needs no cluster and no network.
    #[command(after_help = "\
Prints spans and events as they come, then per job what held slow checkpoints back, its recoveries
and its failures. All spans and events are also written as JSON Lines.

Examples:
  flink-traces demo
  flink-traces demo --quiet
  flink-traces demo --otlp http://localhost:4317
  flink-traces demo -D traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK")]
    Demo(DemoArgs),

    /// Plays a recording as if its cluster were there.
    #[command(after_help = "\
What stands before and between damage is played all the same; the exit code is 1 then.

Examples:
  flink-traces play session.jsonl.gz
  flink-traces play session.jsonl.gz --speed 10
  flink-traces play session.jsonl.gz --otlp http://localhost:4318 --quiet")]
    Play(PlayArgs),

    /// Records what a cluster answers, for `play`; values that look like secrets are masked.
    #[command(
        mut_arg("otlp", no_otlp),
        after_help = "\
Stopped by SIGTERM or Ctrl-C. Programs, plans and configurations of jobs are not recorded.

Examples:
  flink-traces record --flink http://localhost:8081 --output session.jsonl.gz
  flink-traces record --flink http://localhost:8081 --output session.jsonl.gz --for '10 min'"
    )]
    Record(RecordArgs),

    /// Looks at clusters once: their jobs and the checkpoints of these.
    #[command(
        mut_arg("otlp", no_otlp),
        after_help = "\
Examples:
  flink-traces once --flink http://localhost:8081
  flink-traces once --conf /etc/flink-traces"
    )]
    Once(ClusterArgs),

    /// Watches clusters and reports until stopped. SIGTERM and Ctrl-C drain what is queued.
    #[command(after_help = "\
Without a reporter, spans and events are printed. When it is stopped, it says on standard error what
became of all that was reported. A second signal stops it at once.

Examples:
  flink-traces run --flink http://localhost:8081
  flink-traces run --flink http://localhost:8081 --otlp http://localhost:4317
  flink-traces run --flink prod=https://flink.example.com --flink test=http://localhost:8081
  flink-traces run --conf /etc/flink-traces")]
    Run(ClusterArgs),

    /// Sends files of OTLP/JSON lines over OTLP, such as the JSON Lines reporter writes.
    #[command(after_help = "\
Tells on standard error how far it is, which lines cannot be read, and what became of all others.
The exit code is 0 only if everything was delivered. What was sent is not noted; sent again, it has
the same ids. A spool is not used; dead letters go to files of their own.

Examples:
  flink-traces send spans.jsonl events.jsonl --otlp http://localhost:4317
  flink-traces send spans.closed-*.jsonl.gz --conf /etc/flink-traces
  tail -n +1201 spans.jsonl | flink-traces send - --otlp https://collector:4318")]
    Send(SendArgs),

    /// Shows every option in force and where it comes from, and whether clusters and endpoints answer.
    #[command(after_help = "\
Secrets are masked. Nothing is reported and no file is made.

Examples:
  flink-traces check --conf conf/
  flink-traces check --flink http://localhost:8081 --otlp http://localhost:4317")]
    Check(ClusterArgs),
}

/// Where options come from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigurationArgs {
    /// A configuration file, or a directory with a `config.yaml` or `flink-conf.yaml`, as Flink's.
    #[arg(long, value_name = "FILE-or-DIR", env = "FLINK_TRACES_CONF")]
    pub(crate) conf: Option<PathBuf>,

    /// Sets an option, over the configuration file; may be given again.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub(crate) dynamic: Vec<String>,

    /// Reports over OTLP to this address, by reporters named `otlp`: over HTTP if its port is 4318 or it has a path, else over gRPC.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,

    /// What OTLP reporters take from `OTEL_*` and proxy variables, if nothing else says it.
    #[arg(skip = Environment::of_process())]
    pub(crate) environment: Environment,
}

/// Environment variables; none by default.
#[derive(Clone, Default)]
pub(crate) struct Environment(pub(crate) BTreeMap<String, String>);

impl Environment {
    /// Those of this process that are text.
    fn of_process() -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self(std::env::vars_os().filter_map(text).collect())
    }
}

/// The names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where options come from.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,

    /// The directory for the JSON Lines files `spans.jsonl` and `events.jsonl`, which are begun anew.
    #[arg(long, value_name = "DIR", default_value = "flink-traces-demo")]
    pub(crate) json: PathBuf,

    /// How it is shown.
    #[command(flatten)]
    pub(crate) replay: ReplayArgs,
}

/// Arguments of `play`.
#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    /// The recording, gzipped or not.
    pub(crate) file: PathBuf,

    /// Where options come from.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,

    /// Also appends JSON Lines to `spans.jsonl` and `events.jsonl` in this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) json: Option<PathBuf>,

    /// How it is shown.
    #[command(flatten)]
    pub(crate) replay: ReplayArgs,
}

/// How a replay is shown.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ReplayArgs {
    /// How many times faster than it was recorded; as fast as possible without it.
    #[arg(long, value_name = "TIMES", value_parser = speed)]
    pub(crate) speed: Option<f64>,

    /// Prints the summary only.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Arguments of `record`.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// The cluster's REST address.
    #[arg(long, value_name = "URL")]
    pub(crate) flink: String,

    /// The file to write; must not exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// How long, as `90 s` or `10 min`; until stopped without it.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// Where options come from.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,
}

/// Arguments of `send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The files, gzipped or not, of spans and of events; `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<String>,

    /// Where options come from: those of the OTLP reporters say where to send to.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,
}

/// Arguments of `once`, `run` and `check`.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// A cluster's REST address, with a name before it or not; may be given again. Without it, the clusters that are configured.
    #[arg(long, value_name = "[NAME=]URL")]
    pub(crate) flink: Vec<String>,

    /// Where options come from.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,
}

/// For commands that report nothing.
fn no_otlp(otlp: Arg) -> Arg {
    otlp.hide(true).value_parser(|_: &str| Err::<String, _>("this command reports nothing"))
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(times) if times > 0.0 && f64::is_finite(times) => Ok(times),
        _ => Err("not a positive number".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    flink_traces_api::parse_duration(text).ok_or_else(|| "not a duration such as `10 min`".to_owned())
}

/// Takes a word alone as a level only: as a target, which it may be too, it would silence all others.
fn log_level(text: &str) -> Result<String, String> {
    let is_level = |directive: &str| directive.contains('=') || directive.trim().parse::<LevelFilter>().is_ok();
    match (text.split(',').all(is_level), EnvFilter::try_new(text)) {
        (true, Ok(_)) => Ok(text.to_owned()),
        _ => {
            Err("not `off`, `error`, `warn`, `info`, `debug`, `trace` or `TARGET=LEVEL`, separated by commas"
                .to_owned())
        }
    }
}
