//! The typed builder of both reporters.

use std::path::Path;
use std::time::Duration;

use flink_traces_api::{ReporterBuilder, ReporterDeclaration};

use crate::{
    DETAIL_LEVEL, FACTORY, HistoryReporterFactory, MAX_SIZE, OBSERVATIONS, PATH, RETENTION_DETAIL, RETENTION_ROLLUPS,
    RETENTION_ROWS,
};

/// Reporters that a program configures in code, and that share a directory.
///
/// The methods set the [options](crate#options) of a configuration file.
///
/// # Examples
///
/// ```
/// use flink_traces_history::HistoryReporters;
/// use flink_traces_runtime::Reporting;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path().join("history");
/// let history = HistoryReporters::new(&directory).max_size(256 << 20);
/// let reporting = Reporting::builder().cluster("prod").reporter(history).start()?;
/// # let _ = reporting;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct HistoryReporters(ReporterDeclaration);

impl HistoryReporters {
    /// Creates reporters that keep a history in `directory`, whose parent exists.
    pub fn new(directory: impl AsRef<Path>) -> Self {
        let declaration = ReporterDeclaration::new("history")
            .traces(FACTORY, HistoryReporterFactory)
            .events(FACTORY, HistoryReporterFactory);
        Self(declaration).path_option(PATH.key(), directory)
    }

    /// Sets the children of checkpoints that are kept, such as `CHILDREN_SPANS_PER_TASK`.
    pub fn span_detail_level(self, level: impl Into<String>) -> Self {
        self.option(DETAIL_LEVEL.key(), level)
    }

    /// Keeps no signs of life of the observer of a cluster.
    pub fn without_observations(self) -> Self {
        self.option(OBSERVATIONS.key(), "false")
    }

    /// Sets the time for which tasks, subtasks and other records are kept. 0 means no limit.
    pub fn retain_detail(self, time: Duration) -> Self {
        self.option(RETENTION_DETAIL.key(), millis(time))
    }

    /// Sets the time for which checkpoints, recoveries, failures and states are kept.
    ///
    /// 0 means no limit.
    pub fn retain_rows(self, time: Duration) -> Self {
        self.option(RETENTION_ROWS.key(), millis(time))
    }

    /// Sets the time for which hourly and daily figures are kept. 0 means no limit.
    pub fn retain_rollups(self, time: Duration) -> Self {
        self.option(RETENTION_ROLLUPS.key(), millis(time))
    }

    /// Sets the maximum size of the directory in bytes, which overrides the times.
    pub fn max_size(self, bytes: u64) -> Self {
        self.option(MAX_SIZE.key(), format!("{bytes} b"))
    }
}

impl ReporterBuilder for HistoryReporters {
    fn declaration(&mut self) -> &mut ReporterDeclaration {
        &mut self.0
    }
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use flink_traces_api::{ReporterConfig, Signal};

    use super::*;

    #[test]
    fn builder_sets_every_option() {
        let directory = tempfile::tempdir().unwrap();
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let builder = HistoryReporters::new(directory.path())
            .span_detail_level("CHILDREN_SPANS_PER_TASK")
            .without_observations()
            .retain_detail(hours(1))
            .retain_rows(hours(2))
            .retain_rollups(hours(3))
            .max_size(32 << 20);
        for signal in Signal::ALL {
            let options: Vec<_> = builder.0.options(signal).collect();
            let keys: Vec<_> = options.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, HistoryReporterFactory::OPTIONS.iter().map(|option| option.key).collect::<Vec<_>>());
            let config = ReporterConfig::from_pairs("history", options);
            assert_eq!(config.require(&PATH).unwrap(), directory.path());
            assert_eq!(config.require(&DETAIL_LEVEL).unwrap(), "CHILDREN_SPANS_PER_TASK");
            assert!(!config.require(&OBSERVATIONS).unwrap());
            let times = [&RETENTION_DETAIL, &RETENTION_ROWS, &RETENTION_ROLLUPS];
            assert_eq!(times.map(|option| config.require(option).unwrap()), [hours(1), hours(2), hours(3)]);
            assert_eq!(config.require(&MAX_SIZE).unwrap(), 32 << 20);
            HistoryReporterFactory::create(&config).unwrap();
        }
    }
}
