//! The command line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::{Arg, Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Watches Apache Flink clusters over their REST APIs, and reports checkpoints, restores and
/// failures as spans and events with Flink's own names. Works with Flink 1.9 through 2.3,
/// unmodified.
///
/// Data goes to standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(name = "flink-traces", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// The log level, such as `info` or `warn,flink_traces=debug`. NO_COLOR disables colors.
    #[arg(
        long,
        global = true,
        env = "FLINK_TRACES_LOG",
        default_value = "info",
        value_name = "FILTER",
        value_parser = ValueParser::new(log_level)
    )]
    pub(crate) log_level: String,

    /// The format of the log: `text`, or `json` with one object on each line.
    #[arg(
        long,
        global = true,
        env = "FLINK_TRACES_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub(crate) log_format: LogFormat,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines of text.
    Text,
    /// Lines of JSON.
    Json,
}

const EXIT_CODES: &str = "\
Examples:
  flink-traces demo
  flink-traces once --flink http://localhost:8081
  flink-traces run --flink http://localhost:8081 --otlp http://localhost:4317

Exit codes:
  0    success, everything was delivered
  1    failure, or records were lost
  2    invalid command line
  69   check, once: a cluster or a destination is unavailable
  78   invalid configuration; every problem is listed with file, line and column
  130  stopped at once by a second Ctrl-C (143 by SIGTERM, and 129 by SIGHUP for `send`)";

/// The exit code of a command that ran. Other exit codes stand for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command succeeded, and everything was delivered.
    Done = 0,
    /// The command failed, or records were lost.
    Lost = 1,
    /// A cluster or a destination is unavailable.
    Unavailable = 69,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plays a recorded session of a real Flink 2.3.0 cluster, without cluster or network.
    #[command(after_help = "\
Prints spans and events as they are reported. A summary of each job follows: the causes of slow
checkpoints, the restores and the failures. All spans and events are also written as JSON Lines and
to a history, and its report as `demo.html`.

Examples:
  flink-traces demo
  flink-traces demo --serve
  flink-traces demo --quiet
  flink-traces demo --otlp http://localhost:4317
  flink-traces demo --json-format otlp
  flink-traces demo -D traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK")]
    Demo(DemoArgs),

    /// Plays a recording like a live cluster.
    #[command(after_help = "\
If the recording is damaged, the intact parts are still played and the exit code is 1.

Examples:
  flink-traces play session.jsonl.gz
  flink-traces play session.jsonl.gz --speed 10
  flink-traces play session.jsonl.gz --otlp http://localhost:4318 --quiet")]
    Play(PlayArgs),

    /// Records the responses of a cluster for `play`, with secrets masked.
    #[command(
        mut_arg("otlp", no_otlp),
        mut_arg("history", no_history),
        after_help = "\
SIGTERM or Ctrl-C stops the recording. Values that look like secrets are masked. Programs, plans and
configurations of jobs are not recorded.

Examples:
  flink-traces record --flink http://localhost:8081 --output session.jsonl.gz
  flink-traces record --flink http://localhost:8081 --output session.jsonl.gz --for '10 min'"
    )]
    Record(RecordArgs),

    /// Prints a table of the jobs of clusters and their checkpoints.
    #[command(
        mut_arg("otlp", no_otlp),
        mut_arg("history", no_history),
        after_help = "\
Shows all jobs that have not ended, and of each cluster the ten that ended last. On a terminal, long
names are shortened. Times are in UTC. If a request fails, its columns are empty, the reason is
printed to standard error, and the exit code is 69.

Examples:
  flink-traces once --flink http://localhost:8081
  flink-traces once --flink http://localhost:8081 --running --format csv
  flink-traces once --conf /etc/flink-traces --all --format json"
    )]
    Once(OnceArgs),

    /// Watches clusters and reports until stopped. SIGTERM and Ctrl-C drain the queues, and SIGHUP
    /// reloads the clusters.
    #[command(after_help = "\
Without a reporter, spans and events are printed. At the end, the account of each reporter is
printed to standard error. A second signal, a second or more after the first, stops the program at
once. The clusters are also reloaded when the configuration file changes.

Examples:
  flink-traces run --flink http://localhost:8081
  flink-traces run --flink http://localhost:8081 --otlp http://localhost:4317
  flink-traces run --flink http://localhost:8081 --json /var/log/flink-traces
  flink-traces run --flink prod=https://flink.example.com --flink test=http://localhost:8081
  flink-traces run --conf /etc/flink-traces
  flink-traces run --conf /etc/flink-traces --shards 3 --shard 0")]
    Run(RunArgs),

    /// Sends files of OTLP/JSON lines, such as the JSON Lines reporter writes, over OTLP.
    #[command(
        mut_arg("history", no_history),
        after_help = "\
Progress, unreadable lines and the final account are printed to standard error. The exit code is 0
only if everything was delivered. Progress is not saved: records that are sent again have the same
ids. A spool is not used, and dead letters go to separate files.

Examples:
  flink-traces send spans.jsonl events.jsonl --otlp http://localhost:4317
  flink-traces send spans.closed-*.jsonl.gz --conf /etc/flink-traces
  tail -n +1201 spans.jsonl | flink-traces send - --otlp https://collector:4318"
    )]
    Send(SendArgs),

    /// Writes a report of a history or of a recording as one HTML file.
    #[command(
        mut_arg("otlp", no_otlp),
        mut_arg("history", reads_history),
        after_help = "\
The report needs no scripts and prints on paper. It ends with the newest record, and has the figures
of the period before beside its own.

Examples:
  flink-traces report --history history --since '7 d' -o report.html
  flink-traces report --from session.jsonl.gz -o report.html"
    )]
    Report(ReportArgs),

    /// Serves the page of a history until stopped.
    #[command(
        mut_arg("otlp", no_otlp),
        mut_arg("history", reads_history),
        after_help = "\
The page shows all jobs over time, each checkpoint down to its subtasks, and failures by cause.
While a reporter writes to the history, the page follows. It asks its own server only.

Examples:
  flink-traces serve --history history
  flink-traces serve --history /var/lib/flink-traces/history --listen 8080"
    )]
    Serve(ServeArgs),

    /// Prints the configured options with their origins, and tests clusters and destinations.
    #[command(after_help = "\
Secrets are masked. Each OTLP endpoint gets an empty request, and each spool a file that is removed
at once. Nothing is reported.

Examples:
  flink-traces check --conf conf/
  flink-traces check --flink http://localhost:8081 --otlp http://localhost:4317")]
    Check(CheckArgs),

    /// Prints the completions of a shell, for packages.
    #[command(hide = true)]
    Completions(CompletionsArgs),

    /// Writes a manual page for each command into a directory, for packages.
    #[command(hide = true)]
    Man(ManArgs),
}

/// The arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// The arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The directory, which is created.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// The sources of options.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigurationArgs {
    /// A configuration file like Flink's, or a directory with a `config.yaml` or `flink-conf.yaml`.
    #[arg(long, value_name = "FILE-or-DIR", env = "FLINK_TRACES_CONF")]
    pub(crate) conf: Option<PathBuf>,

    /// Sets an option, with precedence over the configuration file. May be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub(crate) dynamic: Vec<String>,

    /// Adds reporters named `otlp` that send to this address: over gRPC if the port is 4317, over
    /// HTTP if it is 4318 or there is a path. Otherwise, they ask for the protocol.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,

    /// Adds reporters named `history` that keep a history in this directory, which is created.
    #[arg(long, value_name = "DIR")]
    pub(crate) history: Option<PathBuf>,

    /// The `OTEL_*` and proxy variables, which set defaults of OTLP reporters.
    #[arg(skip = Environment::of_process())]
    pub(crate) environment: Environment,
}

/// Environment variables. The default has none.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    /// The values by name.
    pub(crate) variables: BTreeMap<String, String>,
    /// The names of those variables of OpenTelemetry and of proxies that are not valid Unicode.
    pub(crate) unreadable: Vec<String>,
}

impl Environment {
    /// Returns the variables of this process.
    fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(environment.variables.insert(name, value)),
                Err(_) if name.starts_with("OTEL_") || name.to_ascii_lowercase().ends_with("_proxy") => {
                    environment.unreadable.push(name);
                }
                Err(_) => {}
            }
        }
        environment
    }
}

/// Shows the names only, because values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// The format of the JSON Lines files of `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum JsonFormat {
    /// One plain object for each span and event.
    Flat,
    /// OTLP/JSON, which `send` reads.
    Otlp,
}

impl JsonFormat {
    /// Returns the value of the option of the JSON Lines reporter.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Otlp => "otlp",
        }
    }
}

/// The arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The sources of options.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,

    /// The directory for `spans.jsonl`, `events.jsonl`, `demo.html` and `history`, which are
    /// replaced.
    #[arg(long, value_name = "DIR", default_value = "flink-traces-demo")]
    pub(crate) json: PathBuf,

    /// The format of these files.
    #[command(flatten)]
    pub(crate) json_format: JsonFormatArgs,

    /// Serves the page of the session when it has been played, until stopped.
    #[arg(long)]
    pub(crate) serve: bool,

    /// The speed and the output.
    #[command(flatten)]
    pub(crate) replay: ReplayArgs,
}

/// The arguments of `play`.
#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    /// The recording, plain or gzipped.
    pub(crate) file: PathBuf,

    /// The sources of options.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,

    /// Also appends JSON Lines to `spans.jsonl` and `events.jsonl` in this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) json: Option<PathBuf>,

    /// The format of these files.
    #[command(flatten)]
    pub(crate) json_format: JsonFormatArgs,

    /// The speed and the output.
    #[command(flatten)]
    pub(crate) replay: ReplayArgs,
}

/// The format of the files in the directory of `--json`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct JsonFormatArgs {
    /// The format of these files: `flat`, one plain object for each span and event, or `otlp`,
    /// which `send` reads.
    #[arg(
        id = "json_format",
        long = "json-format",
        value_name = "FORMAT",
        default_value = "flat",
        hide_possible_values = true
    )]
    pub(crate) format: JsonFormat,
}

/// The speed and the output of a replay.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ReplayArgs {
    /// Plays this many times faster than recorded. By default, plays as fast as possible.
    #[arg(long, value_name = "TIMES", value_parser = speed)]
    pub(crate) speed: Option<f64>,

    /// Prints only the summary.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// The arguments of `record`.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// The cluster's REST address.
    #[arg(long, value_name = "URL")]
    pub(crate) flink: String,

    /// The file to create. It must not exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Stops after this time, such as `90 s` or `10 min`. By default, records until stopped.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// The sources of options.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,
}

/// The arguments of `send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The files of spans and of events, plain or gzipped. `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<String>,

    /// The sources of options. The options of OTLP reporters set the destination.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,
}

/// The arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Reports the whole of this recording instead of a history.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,

    /// The length of the period, such as `24 h` or `7 d`.
    #[arg(long, value_name = "DURATION", default_value = "7 d", value_parser = duration, conflicts_with = "from")]
    pub(crate) since: Duration,

    /// The file to write, which is replaced.
    #[arg(short = 'o', long, value_name = "FILE", default_value = "report.html")]
    pub(crate) output: PathBuf,

    /// The sources of options. `--history` names the history.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,
}

/// The arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// A port of 127.0.0.1, or an IP address and a port. The default is 9260.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,

    /// The sources of options. `--history` names the history.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,
}

/// The arguments of `once`.
#[derive(Debug, Args)]
pub(crate) struct OnceArgs {
    /// The clusters and the sources of options.
    #[command(flatten)]
    pub(crate) clusters: ClusterArgs,

    /// The format of the output: `table`, `json` or `csv`.
    #[arg(long, default_value = "table", value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) format: TableFormat,

    /// Shows all jobs.
    #[arg(long, conflicts_with = "running")]
    pub(crate) all: bool,

    /// Shows only the jobs that have not ended.
    #[arg(long)]
    pub(crate) running: bool,
}

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// Columns for people.
    Table,
    /// One JSON document with all clusters.
    Json,
    /// Comma-separated values, one line for each job.
    Csv,
}

/// The arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The clusters and the sources of options.
    #[command(flatten)]
    pub(crate) clusters: ClusterArgs,

    /// Also appends JSON Lines to `spans.jsonl` and `events.jsonl` in this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) json: Option<PathBuf>,

    /// The format of these files.
    #[command(flatten)]
    pub(crate) json_format: JsonFormatArgs,

    /// The share of the clusters.
    #[command(flatten)]
    pub(crate) shard: ShardArgs,
}

/// The share of the clusters that a process watches.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ShardArgs {
    /// Watches only the share of one of this many processes.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) shards: u32,

    /// The number of this process, from 0. By default, the number at the end of the host name, as
    /// pods of a StatefulSet have it.
    #[arg(long, value_name = "NUMBER", requires = "shards")]
    pub(crate) shard: Option<u32>,
}

/// The arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The clusters and the sources of options.
    #[command(flatten)]
    pub(crate) clusters: ClusterArgs,

    /// Adds the reporters that `run --json` adds.
    #[arg(long, value_name = "DIR")]
    pub(crate) json: Option<PathBuf>,

    /// The format of these files.
    #[command(flatten)]
    pub(crate) json_format: JsonFormatArgs,

    /// Prints every option with its effective value, including defaults.
    #[arg(long)]
    pub(crate) all: bool,
}

/// The clusters and the sources of options.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// The REST address of a cluster, or those of its JobManagers, optionally with a name. May be
    /// repeated. Replaces the configured clusters.
    #[arg(long, value_name = "[NAME=]URL[,URL]")]
    pub(crate) flink: Vec<String>,

    /// The sources of options.
    #[command(flatten)]
    pub(crate) configuration: ConfigurationArgs,
}

/// Hides and rejects `--otlp`, for commands that report nothing.
fn no_otlp(otlp: Arg) -> Arg {
    otlp.hide(true).value_parser(|_: &str| Err::<String, _>("this command reports nothing"))
}

/// Hides and rejects `--history`, for commands that keep none.
fn no_history(history: Arg) -> Arg {
    history.hide(true).value_parser(|_: &str| Err::<PathBuf, _>("this command keeps no history"))
}

/// Describes `--history` of commands that read a history.
fn reads_history(history: Arg) -> Arg {
    history.help("The directory of the history to read. By default, that of a configured reporter.")
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(times) if times > 0.0 && f64::is_finite(times) => Ok(times),
        _ => Err("not a positive number".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(number) = text.trim().parse::<u64>() {
        return Err(format!("the unit is missing, as in `{number} s` or `{number} min`"));
    }
    flink_traces_api::parse_duration(text).ok_or_else(|| "not a duration such as `10 min`".to_owned())
}

/// Parses a log filter.
///
/// A single word must be a level. `EnvFilter` would take any other word as a target, and log
/// nothing else.
fn log_level(text: &str) -> Result<String, String> {
    let is_level = |directive: &str| directive.contains('=') || directive.trim().parse::<LevelFilter>().is_ok();
    if text.split(',').all(is_level) && EnvFilter::try_new(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err("not `off`, `error`, `warn`, `info`, `debug`, `trace` or `TARGET=LEVEL`, separated by commas".to_owned())
    }
}
