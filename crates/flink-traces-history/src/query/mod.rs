//! Queries over a history. They only read, and return types that `serde` can write.
//!
//! All times are in milliseconds since the epoch, all durations in milliseconds, and all sizes in
//! bytes.
//! An absent value is unknown, which is never the same as zero.
//!
//! # Examples
//!
//! ```no_run
//! use std::path::Path;
//!
//! use flink_traces_history::History;
//! use flink_traces_history::query::Window;
//!
//! let history = History::open(Path::new("/var/lib/flink-traces/history"))?;
//! let now = history.end_ms()?;
//! let fleet = history.fleet(Window::before(now, 86_400_000), 100)?;
//! println!("{} jobs", fleet.jobs.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
mod failures;
mod fleet;
mod job;
mod now;
mod states;
mod stragglers;

use std::path::{Path, PathBuf};

use flink_traces_api::TraceId;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde::Serialize;

use crate::codec::{StoredRecord, decode};
use crate::error::HistoryError;
use crate::files::{self, Day, INDEX};
use crate::pieces::{OF_TRACE, bounds, tree};
use crate::schema::{Kind, check_version, open_for_reading};

pub use checkpoint::{CheckpointView, Subtask, Task};
pub use failures::{FailureGroup, RecoveryCard};
pub use fleet::{Cell, Fleet, FleetJob, Totals};
pub use job::{CheckpointRow, FailureRow, JobView, MissedRow, Phases, RunInfo};
pub use now::{Finding, Level};
pub use states::Band;
pub use stragglers::{Column, Critical, StragglerRow, Stragglers};

/// A history that is open for reading.
///
/// It is cheap to open, so open it for each request: files may be replaced while a reporter runs.
#[derive(Debug)]
pub struct History {
    directory: PathBuf,
    index: Connection,
}

/// A period, which includes its start and excludes its end.
// Exhaustive: a period has two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The start.
    pub from_ms: i64,
    /// The end.
    pub to_ms: i64,
}

impl Window {
    /// Creates the period of that length which includes `now_ms` as its last millisecond.
    pub fn before(now_ms: i64, length_ms: i64) -> Self {
        let to_ms = now_ms.saturating_add(1);
        Self { from_ms: to_ms.saturating_sub(length_ms.max(1)), to_ms }
    }

    /// Returns the length.
    pub fn length_ms(self) -> i64 {
        self.to_ms.saturating_sub(self.from_ms).max(0)
    }

    /// Returns the length of the part that both periods have.
    pub(crate) fn overlap_ms(self, from_ms: i64, to_ms: i64) -> i64 {
        to_ms.min(self.to_ms).saturating_sub(from_ms.max(self.from_ms)).max(0)
    }
}

/// The identity of a job: its cluster and its name. Its runs have a job id each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobName {
    /// The number of the job within this history.
    pub job: i64,
    /// The name of the cluster, which is empty if no record names it.
    pub cluster: String,
    /// The name of the job.
    pub name: String,
}

/// The extent of a history.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Extent {
    /// The time of the oldest record of a job that is still known.
    pub first_ms: Option<i64>,
    /// The time of the newest record.
    pub last_ms: Option<i64>,
    /// The number of jobs.
    pub jobs: i64,
    /// The number of records that were older than their retention and were not written.
    pub expired: i64,
    /// The size of the directory.
    pub bytes: u64,
    /// The clusters.
    pub clusters: Vec<ClusterState>,
}

/// The last observation of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClusterState {
    /// The name.
    pub cluster: String,
    /// The last time at which the cluster was seen, or at which it was seen not to respond.
    pub seen_ms: Option<i64>,
    /// The beginning of that period.
    pub since_ms: Option<i64>,
    /// `true` if it responded; `None` if it was never observed.
    pub reachable: Option<bool>,
    /// The number of jobs that it listed.
    pub jobs: Option<i64>,
}

impl History {
    /// Opens a history for reading.
    ///
    /// # Errors
    /// Fails if there is no history, if it is damaged, or if a newer version has written it.
    pub fn open(directory: &Path) -> Result<Self, HistoryError> {
        let index = directory.join(INDEX);
        if !index.exists() {
            return Err(HistoryError::Missing { directory: directory.to_owned() });
        }
        let index = open_for_reading(&index, Kind::Index)?;
        let history = Self { directory: directory.to_owned(), index };
        // A file without tables is found out here, and not by each query.
        history.get("SELECT epoch FROM upkeep", [], |row| row.get::<_, i64>(0))?;
        Ok(history)
    }

    /// Deletes all files of a history, but no others and not the directory.
    ///
    /// # Errors
    /// Fails if a file cannot be deleted, or if the directory holds a database of another program.
    pub fn remove(directory: &Path) -> Result<(), HistoryError> {
        let index = directory.join(INDEX);
        check_version(&index, Kind::Index)?;
        files::empty_quarantine(directory);
        for day in files::days(directory) {
            files::remove(&day.path(directory))?;
        }
        files::remove(&index)
    }

    /// Returns the time of the newest record, which is "now" for a history that nothing adds to.
    /// It is 0 if the history is empty.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn end_ms(&self) -> Result<i64, HistoryError> {
        let sql = "SELECT max(coalesce((SELECT max(last_ms) FROM run), 0), coalesce((SELECT max(to_ms) FROM seen), 0))";
        Ok(self.get(sql, [], |row| row.get(0))?.unwrap_or_default())
    }

    /// Returns the extent of the history.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn extent(&self) -> Result<Extent, HistoryError> {
        let sql = "SELECT (SELECT min(first_ms) FROM run), (SELECT max(last_ms) FROM run),
                     (SELECT count(*) FROM job), (SELECT expired FROM upkeep)";
        let bytes = files::size(&self.directory);
        let clusters = self.clusters()?;
        let extent = self.get(sql, [], |row| {
            Ok(Extent {
                first_ms: row.get(0)?,
                last_ms: row.get(1)?,
                jobs: row.get(2)?,
                expired: row.get(3)?,
                bytes,
                clusters: Vec::new(),
            })
        })?;
        let none = Extent { first_ms: None, last_ms: None, jobs: 0, expired: 0, bytes, clusters: Vec::new() };
        Ok(Extent { clusters, ..extent.unwrap_or(none) })
    }

    /// Returns the clusters, each with its last observation.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn clusters(&self) -> Result<Vec<ClusterState>, HistoryError> {
        let sql = "SELECT cluster, from_ms, max(to_ms), reachable, jobs FROM seen GROUP BY cluster
                   UNION ALL SELECT DISTINCT cluster, NULL, NULL, NULL, NULL FROM job
                     WHERE cluster NOT IN (SELECT cluster FROM seen) ORDER BY 1";
        self.list(sql, [], |row| {
            Ok(ClusterState {
                cluster: row.get(0)?,
                since_ms: row.get(1)?,
                seen_ms: row.get(2)?,
                reachable: row.get(3)?,
                jobs: row.get(4)?,
            })
        })
    }

    /// Returns the jobs, by cluster and name.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn jobs(&self) -> Result<Vec<JobName>, HistoryError> {
        self.list("SELECT job, cluster, name FROM job ORDER BY cluster, name", [], job_name)
    }

    /// Returns all trees and other records of a day in the order in which they were written.
    ///
    /// `at_ms` is any time of the day. The result has one list for each tree or event. What cannot
    /// be read is left out.
    ///
    /// # Errors
    /// Fails if the file of the day cannot be read.
    pub fn records(&self, at_ms: i64) -> Result<Vec<Vec<StoredRecord>>, HistoryError> {
        let Some(day) = self.day(Day::of(at_ms))? else { return Ok(Vec::new()) };
        let bodies: Vec<Vec<u8>> = day.list("SELECT body FROM record ORDER BY seq", [], |row| row.get(0))?;
        Ok(bodies.iter().filter_map(|body| decode(body)).collect())
    }

    /// Returns a time of each day that has records, oldest first.
    pub fn days(&self) -> Vec<i64> {
        files::days(&self.directory).into_iter().map(|day| day.end_ms() - 1).collect()
    }

    /// Opens the file of a day. Returns `None` if there is none.
    fn day(&self, day: Day) -> Result<Option<Self>, HistoryError> {
        let path = day.path(&self.directory);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Self { directory: path.clone(), index: open_for_reading(&path, Kind::Day)? }))
    }

    /// Returns the tree with that key, whose root starts at `at_ms`.
    fn tree(&self, at_ms: i64, key: &[u8]) -> Result<Option<Vec<StoredRecord>>, HistoryError> {
        let Some(trace) = key.get(..16) else { return Ok(None) };
        let (own, days) = (Day::of(at_ms), files::days(&self.directory));
        // A record from the future is in the file of the day after it was written. A piece of a
        // tree may be in the file of the next day.
        let is_future = days.last().is_some_and(|last| *last < own);
        let next = Day::of(own.end_ms());
        let days = days.into_iter().filter(|day| is_future || [own, next].contains(day));
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        for day in days {
            let Some(file) = self.day(day)? else { continue };
            bodies.extend(file.list(OF_TRACE, bounds(trace), |row| row.get(0))?);
        }
        Ok(tree(&bodies, key))
    }

    fn list<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, HistoryError> {
        let list = || -> rusqlite::Result<Vec<T>> { self.index.prepare(sql)?.query_map(parameters, read)?.collect() };
        list().map_err(|error| HistoryError::sqlite(&self.directory, error))
    }

    /// Calls `read` with each row.
    fn each(
        &self,
        sql: &str,
        parameters: impl Params,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), HistoryError> {
        let each = || -> rusqlite::Result<()> {
            let mut statement = self.index.prepare(sql)?;
            let mut rows = statement.query(parameters)?;
            while let Some(row) = rows.next()? {
                read(row)?;
            }
            Ok(())
        };
        each().map_err(|error| HistoryError::sqlite(&self.directory, error))
    }

    fn get<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, HistoryError> {
        let result = self.index.query_row(sql, parameters, read).optional();
        result.map_err(|error| HistoryError::sqlite(&self.directory, error))
    }

    /// Returns one value, or `None` if there is no row or the value is null.
    fn value<T: FromSql>(&self, sql: &str, parameters: impl Params) -> Result<Option<T>, HistoryError> {
        Ok(self.get(sql, parameters, |row| row.get::<_, Option<T>>(0))?.flatten())
    }
}

fn job_name(row: &Row<'_>) -> rusqlite::Result<JobName> {
    Ok(JobName { job: row.get(0)?, cluster: row.get(1)?, name: row.get(2)? })
}

/// Formats the trace id at the start of a tree's key in hexadecimal.
fn trace_id(key: &[u8]) -> String {
    key.first_chunk().and_then(|id| TraceId::from_bytes(*id)).map(|id| id.to_string()).unwrap_or_default()
}

/// Returns the median of `values`, which is the lower one of two.
fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}
