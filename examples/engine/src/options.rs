//! The options of the engine, with Flink's keys if Flink has one.

use std::path::PathBuf;
use std::time::Duration;

use flink_traces_api::{ConfigError, ConfigOption, OptionDoc};
use flink_traces_runtime::Configuration;

const NAME: ConfigOption<String> = ConfigOption::string("pipeline.name", "The name of the job.").or("count by key");
const DIRECTORY: ConfigOption<PathBuf> = ConfigOption::parsed(
    "execution.checkpointing.dir",
    "the path of a folder",
    path,
    "The directory of checkpoints and results. A job restores the newest checkpoint in it.",
)
.or("target/engine");
const INTERVAL: ConfigOption<Duration> =
    ConfigOption::duration("execution.checkpointing.interval", "The interval between checkpoints.").or("100 ms");
const PARALLELISM: ConfigOption<u64> =
    ConfigOption::number("parallelism.default", "The number of subtasks of each task, at least 1.").or("2");
const RESTARTS: ConfigOption<u64> =
    ConfigOption::number("restart-strategy.fixed-delay.attempts", "The number of restarts after failures.").or("3");
const RECORDS: ConfigOption<u64> =
    ConfigOption::number("engine.records", "The number of records to count.").or("500000");
const PAUSE: ConfigOption<Duration> =
    ConfigOption::duration("engine.pause", "The pause of a source after each hundred records.").or("0");
const SAVEPOINTS: ConfigOption<PathBuf> = ConfigOption::parsed(
    "execution.checkpointing.savepoint-dir",
    "the path of a folder",
    path,
    "The directory of savepoints, unless the request names one.",
);
const RECOVERY: ConfigOption<PathBuf> = ConfigOption::parsed(
    "execution.state-recovery.path",
    "the path of a savepoint",
    path,
    "The savepoint to restore, unless the job has a newer checkpoint.",
);
const REST_PORT: ConfigOption<u16> = ConfigOption::parsed(
    "rest.port",
    "a port",
    |text| text.parse().ok(),
    "The port of Flink's REST API on the loopback interface, or 0 for any port. With it, the process keeps running after the job has ended.",
);
const FAIL_AT: ConfigOption<i64> = ConfigOption::parsed(
    "engine.fail-at-checkpoint",
    "a whole number",
    |text| text.parse().ok(),
    "The checkpoint at which the first subtask of the count fails once.",
);

/// The keys that only the engine has, for the detection of unknown keys.
pub(crate) const OWN: &[OptionDoc] = &[RECORDS.doc(), PAUSE.doc(), FAIL_AT.doc()];

/// The values of all options.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) interval: Duration,
    pub(crate) parallelism: u32,
    pub(crate) restarts: u64,
    pub(crate) records: u64,
    pub(crate) pause: Duration,
    pub(crate) fail_at: Option<i64>,
    pub(crate) savepoints: Option<PathBuf>,
    pub(crate) recovery: Option<PathBuf>,
    pub(crate) rest_port: Option<u16>,
}

impl Options {
    pub(crate) fn read(configuration: &Configuration) -> Result<Self, ConfigError> {
        Ok(Self {
            name: required(configuration, &NAME)?,
            directory: required(configuration, &DIRECTORY)?,
            interval: required(configuration, &INTERVAL)?,
            parallelism: required(configuration, &PARALLELISM)?.clamp(1, 64) as u32,
            restarts: required(configuration, &RESTARTS)?,
            records: required(configuration, &RECORDS)?,
            pause: required(configuration, &PAUSE)?,
            fail_at: configuration.get(&FAIL_AT)?,
            savepoints: configuration.get(&SAVEPOINTS)?,
            recovery: configuration.get(&RECOVERY)?,
            rest_port: configuration.get(&REST_PORT)?,
        })
    }
}

/// Parses a path, or a `file:` URI in the form of Flink's tools.
pub(crate) fn path(text: &str) -> Option<PathBuf> {
    let path = text.strip_prefix("file:").map(|path| path.strip_prefix("//").unwrap_or(path)).unwrap_or(text);
    (!path.is_empty()).then(|| path.into())
}

fn required<T>(configuration: &Configuration, option: &ConfigOption<T>) -> Result<T, ConfigError> {
    configuration.get(option)?.ok_or_else(|| ConfigError::Missing { key: option.key().to_owned() })
}
