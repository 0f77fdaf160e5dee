//! Reporters that keep a history of Flink checkpoints, recoveries and failures in SQLite, and
//! queries over it.
//!
//! [`register`] registers the factory of both reporters as [`FACTORY`]. They share a directory:
//!
//! ```yaml
//! traces.reporter.history.factory.class: flink-traces-history
//! traces.reporter.history.path: /var/lib/flink-traces/history
//! events.reporter.history.factory.class: flink-traces-history
//! events.reporter.history.path: /var/lib/flink-traces/history
//! ```
//!
//! In code, [`HistoryReporters`] configures both. [`History`] reads the directory, while reporters
//! write to it or later. A [`Receiver`] writes OTLP requests to it.
//!
//! # Options
//!
//! - `path` is the directory. It is created if it does not exist, but its parent is not.
//! - `checkpoint.span-detail-level` (default `CHILDREN_SPANS_PER_SUBTASK`) selects the children of
//!   checkpoints.
//! - `observations` (default `true`) keeps the signs of life of the observer of a cluster.
//! - `retention.detail` (default `3 d`) is the time for which tasks, subtasks and other records are
//!   kept. 0 means no limit.
//! - `retention.rows` (default `30 d`) is the time for which checkpoints, recoveries, failures and
//!   states are kept.
//! - `retention.rollups` (default `400 d`) is the time for which hourly and daily figures are kept.
//! - `max-size` (default `1 gb`) is the maximum size of the directory, which overrides the others.
//!
//! # Files
//!
//! - `history.db` has a row for each checkpoint, recovery, failure and state, and figures for each
//!   job and hour and for each job and day.
//! - `day-<date>.db` has the trees of checkpoints with tasks and subtasks, and all spans and events
//!   that are not Flink's. The time of a record selects the day, in UTC.
//! - `quarantine/` has files that were damaged. They are the first to go if the directory is full.
//!
//! # Guarantees
//!
//! - When `report` returns `Ok`, the records are committed. A crash of the program loses nothing.
//! - A record that is reported again is one row. A tree with more spans replaces one with fewer.
//! - A record that is older than its retention is counted and not written.
//! - A file that is damaged is moved to the quarantine, and a new one takes its place.
//! - A newer program migrates an older history. A newer history is left untouched, and the factory
//!   fails.
//! - `compatibility: flink` is refused, because it hides the cluster, the end of failed checkpoints
//!   and the ids of events.
//!
//! # Errors
//!
//! A report fails if the disk is full or a file cannot be written. It counts what is not written as
//! dropped, and the next report tries again.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod builder;
mod codec;
mod error;
mod files;
mod fingerprint;
mod histogram;
mod item;
mod pieces;
pub mod query;
mod receive;
mod schema;
mod store;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flink_traces_api::{
    AlreadyRegistered, COMPATIBILITY, Clock as _, Compatibility, ConfigError, ConfigOption, Deadline, EventReporter,
    EventReporterFactory, OptionDoc, Registry, ReportError, ReportedEvent, ReportedSpan, ReporterConfig, ReporterMeter,
    SystemClock, TraceReporter, TraceReporterFactory, parse_bytes,
};

use batch::Batch;
pub use builder::HistoryReporters;
pub use codec::StoredRecord;
pub use error::HistoryError;
use files::INDEX;
pub use query::History;
pub use receive::{ReceiveError, Receiver, Taken};
use schema::{Kind, check_version};
use store::{Limits, Store, Written};

/// The `factory.class` of both reporters, which have no counterpart in Flink.
pub const FACTORY: &str = "flink-traces-history";

const PATH: ConfigOption<PathBuf> = ConfigOption::parsed(
    "path",
    "the path of a directory",
    |text| Path::new(text).file_name().filter(|_| !text.contains('\0')).map(|_| PathBuf::from(text)),
    "The directory of the history. It is created if it does not exist. `run` creates its parent, too. Spans and events share it.",
);

/// The level that the pipeline uses, unless it is configured.
const DETAIL_LEVEL: ConfigOption<String> = ConfigOption::string(
    "checkpoint.span-detail-level",
    "The levels of children of a checkpoint span that the history keeps. The page needs subtasks to say what held a checkpoint back.",
)
.or("CHILDREN_SPANS_PER_SUBTASK");

/// The pipeline reads the option.
const OBSERVATIONS: ConfigOption<bool> = ConfigOption::bool(
    "observations",
    "Keeps the signs of life of the program, by which the page distinguishes clusters that nothing observed.",
)
.or("true");

const RETENTION_DETAIL: ConfigOption<Duration> = ConfigOption::duration(
    "retention.detail",
    "The time for which tasks, subtasks, and spans and events that are not Flink's are kept. 0 means no limit.",
)
.or("3 d");

const RETENTION_ROWS: ConfigOption<Duration> = ConfigOption::duration(
    "retention.rows",
    "The time for which checkpoints, recoveries, failures and states are kept. 0 means no limit.",
)
.or("30 d");

const RETENTION_ROLLUPS: ConfigOption<Duration> = ConfigOption::duration(
    "retention.rollups",
    "The time for which hourly and daily figures are kept. 0 means no limit.",
)
.or("400 d");

const MAX_SIZE: ConfigOption<u64> = ConfigOption::parsed(
    "max-size",
    "a size from `16 mb`",
    |text| parse_bytes(text).filter(|size| *size >= 16 << 20),
    "The maximum size of the directory. The oldest days of detail are deleted first, then the oldest rows and figures. This overrides the retention.",
)
.or("1 gb");

/// Registers both reporters as [`FACTORY`].
///
/// # Errors
/// Fails if the registry already has one of the two. The factory that was registered first stays.
pub fn register(registry: &mut Registry) -> Result<(), AlreadyRegistered> {
    let traces = registry.register_trace(FACTORY, HistoryReporterFactory);
    let events = registry.register_event(FACTORY, HistoryReporterFactory);
    traces.and(events)
}

struct HistoryReporterFactory;

impl HistoryReporterFactory {
    const OPTIONS: &'static [OptionDoc] = &[
        PATH.doc(),
        DETAIL_LEVEL.doc(),
        OBSERVATIONS.doc(),
        RETENTION_DETAIL.doc(),
        RETENTION_ROWS.doc(),
        RETENTION_ROLLUPS.doc(),
        MAX_SIZE.doc(),
    ];

    /// Creates the reporter, which creates the directory with its first report.
    fn create(config: &ReporterConfig) -> Result<Box<HistoryReporter>, ConfigError> {
        Ok(Box::new(HistoryReporter { store: Self::store(config)?, meter: ReporterMeter::new() }))
    }

    /// Creates the store of a directory, which is created by the first write.
    fn store(config: &ReporterConfig) -> Result<Store, ConfigError> {
        if config.get(&COMPATIBILITY)? == Some(Compatibility::Flink) {
            return Err(config.invalid(&COMPATIBILITY, "`standard`, because Flink's records lack what a history needs"));
        }
        let millis = |option: &ConfigOption<Duration>| -> Result<i64, ConfigError> {
            Ok(i64::try_from(config.require(option)?.as_millis()).unwrap_or(i64::MAX))
        };
        let limits = Limits {
            detail_ms: millis(&RETENTION_DETAIL)?,
            rows_ms: millis(&RETENTION_ROWS)?,
            rollups_ms: millis(&RETENTION_ROLLUPS)?,
            max_size: config.require(&MAX_SIZE)?,
        };
        let path = config.require(&PATH)?;
        // Other errors are those of a history that is away, and may be back at the first report.
        if let Err(error @ (HistoryError::Newer { .. } | HistoryError::Foreign { .. })) =
            check_version(&path.join(INDEX), Kind::Index)
        {
            return Err(ConfigError::Setup(error.into()));
        }
        Ok(Store::new(path, limits))
    }
}

impl TraceReporterFactory for HistoryReporterFactory {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Self::create(config)?)
    }

    fn options(&self) -> &'static [OptionDoc] {
        Self::OPTIONS
    }
}

impl EventReporterFactory for HistoryReporterFactory {
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(Self::create(config)?)
    }

    fn options(&self) -> &'static [OptionDoc] {
        Self::OPTIONS
    }
}

struct HistoryReporter {
    store: Store,
    meter: ReporterMeter,
}

impl HistoryReporter {
    fn write(&mut self, batch: Batch, count: usize) -> Result<(), ReportError> {
        let mut written = Written::default();
        let result = self.store.write(batch, SystemClock.now_millis(), &mut written);
        if written.total() > 0 {
            self.meter.update(|stats| stats.last_taken = Some(SystemTime::now()));
        }
        result.map_err(|error| ReportError::from_dropped(count.saturating_sub(written.total()), true, error))
    }
}

impl TraceReporter for HistoryReporter {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        let mut batch = Batch::default();
        spans.iter().for_each(|span| batch.add_span(span));
        self.write(batch, spans.iter().map(ReportedSpan::span_count).sum())
    }

    fn meter(&self) -> Option<ReporterMeter> {
        Some(self.meter.clone())
    }
}

impl EventReporter for HistoryReporter {
    fn report(&mut self, events: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
        let mut batch = Batch::default();
        events.iter().for_each(|event| batch.add_event(event));
        self.write(batch, events.len())
    }

    fn meter(&self) -> Option<ReporterMeter> {
        Some(self.meter.clone())
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
