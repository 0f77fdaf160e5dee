//! The files of a history as a reporter writes them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::batch::{Batch, Checkpoint, Critical, DayRecord, Fact, Failure, HASHED, Recovery, Row};
use crate::error::HistoryError;
use crate::files::{self, DAY_MS, Day, FileId, HOUR_MS, INDEX};
use crate::histogram::Histogram;
use crate::pieces::{OF_TRACE, bounds};
use crate::schema::{Kind, open_for_writing};

/// The limits of a history. A time of 0 means no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The time for which trees are kept, in milliseconds.
    pub(crate) detail_ms: i64,
    /// The time for which rows are kept, in milliseconds.
    pub(crate) rows_ms: i64,
    /// The time for which roll-ups are kept, in milliseconds.
    pub(crate) rollups_ms: i64,
    /// The maximum size of all files, in bytes.
    pub(crate) max_size: u64,
}

/// The number of files of days that stay open.
const OPEN_DAYS: usize = 2;
/// The maximum number of jobs in the cache of ids.
const MAX_CACHED: usize = 100_000;
/// The pause between two looks at the retention.
const UPKEEP_PAUSE: Duration = Duration::from_secs(1);
/// The pause between two deletions of old rows.
const CUT_PAUSE: Duration = Duration::from_secs(600);
/// The gap that ends a period in which a cluster was seen, in milliseconds.
const SEEN_GAP_MS: i64 = 30_000;
/// The times that a damaged file is replaced for one batch.
const MAX_REPAIRS: usize = 8;
/// The time for which the end of a connection waits for others.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);

/// A history that is open for writing.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    limits: Limits,
    index: Option<OpenFile>,
    days: Vec<(Day, OpenFile)>,
    ids: Ids,
    /// `true` if the last deletion did not make the files smaller.
    is_stuck: bool,
    checked: Option<Instant>,
    cut: Option<Instant>,
}

#[derive(Debug)]
struct OpenFile {
    connection: Connection,
    path: PathBuf,
    id: Option<FileId>,
}

impl OpenFile {
    fn open(path: PathBuf, kind: Kind) -> Result<Self, HistoryError> {
        let connection = open_for_writing(&path, kind)?;
        let id = FileId::of(&path);
        Ok(Self { connection, path, id })
    }

    /// Returns `true` unless the file was moved, deleted or replaced.
    fn is_in_place(&self) -> bool {
        self.id.is_some() && self.id == FileId::of(&self.path)
    }
}

impl Drop for OpenFile {
    /// Moves the rows in SQLite's log to the file, so that a copy of the file has all of them.
    ///
    /// SQLite does so when the last connection is closed, unless two are closed at the same time or
    /// another program reads.
    fn drop(&mut self) {
        // Without success, the log stays valid.
        let _ = self.connection.busy_timeout(CLOSE_TIMEOUT);
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

/// The numbers of records that a write is done with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) stored: usize,
    /// The records that are older than their retention.
    pub(crate) expired: usize,
}

impl Written {
    pub(crate) fn total(self) -> usize {
        self.stored + self.expired
    }
}

/// The rest of a batch, from which everything that is written is removed.
struct Pending {
    days: BTreeMap<Day, Vec<DayRecord>>,
    rows: Vec<Row>,
    expired: usize,
}

impl Store {
    /// Creates the store of a directory, which is opened by the first write.
    pub(crate) fn new(directory: PathBuf, limits: Limits) -> Self {
        Self {
            directory,
            limits,
            index: None,
            days: Vec::new(),
            ids: Ids::default(),
            is_stuck: false,
            checked: None,
            cut: None,
        }
    }

    /// Writes a batch at `now_ms`. Adds the numbers of its records that are done to `written`.
    ///
    /// A damaged file is moved to the quarantine and replaced.
    pub(crate) fn write(&mut self, batch: Batch, now_ms: i64, written: &mut Written) -> Result<(), HistoryError> {
        let mut pending = self.sort(batch, now_ms, written);
        for _ in 0..MAX_REPAIRS {
            match self.try_write(&mut pending, now_ms, written) {
                Err(HistoryError::Sqlite { path, source, is_damaged: true }) => {
                    tracing::warn!(?path, error = %source, "damaged file of the history moved to quarantine");
                    self.forget();
                    files::quarantine(&self.directory, &path, now_ms)?;
                }
                Err(error) => {
                    // A failed transaction may have left ids in the caches.
                    self.forget();
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
        Err(HistoryError::io(&self.directory, std::io::Error::other("a new file is damaged, too")))
    }

    /// Returns all that is known of a trace with a span at `at_ms`, encoded.
    pub(crate) fn trace(&mut self, trace: &[u8; 16], at_ms: i64) -> Result<Vec<Vec<u8>>, HistoryError> {
        let mut days = [at_ms.saturating_sub(HOUR_MS), at_ms, at_ms.saturating_add(HOUR_MS)].map(Day::of).to_vec();
        days.dedup();
        let mut bodies = Vec::new();
        for day in days {
            if !day.path(&self.directory).exists() {
                continue;
            }
            let file = open_day(&mut self.days, &self.directory, day)?;
            let read = || -> rusqlite::Result<Vec<Vec<u8>>> {
                file.connection.prepare(OF_TRACE)?.query_map(bounds(trace), |row| row.get(0))?.collect()
            };
            bodies.extend(read().map_err(|error| HistoryError::sqlite(&file.path, error))?);
        }
        Ok(bodies)
    }

    fn forget(&mut self) {
        self.index = None;
        self.days.clear();
        self.ids = Ids::default();
    }

    /// Sorts the batch by file, and leaves out what is too old. That counts as written.
    fn sort(&self, batch: Batch, now_ms: i64, written: &mut Written) -> Pending {
        let is_old = |at_ms: i64, kept_ms: i64| kept_ms > 0 && at_ms < now_ms.saturating_sub(kept_ms);
        let mut pending = Pending { days: BTreeMap::new(), rows: Vec::new(), expired: 0 };
        for record in batch.records {
            if is_old(record.at_ms, self.limits.detail_ms) {
                pending.expired += record.counts;
            } else {
                // A clock that is far ahead must not create a file for each of its days.
                let at_ms = record.at_ms.min(now_ms.saturating_add(DAY_MS));
                pending.days.entry(Day::of(at_ms)).or_default().push(record);
            }
        }
        for row in batch.rows {
            if is_old(row.at_ms, self.limits.rows_ms) {
                pending.expired += row.counts;
            } else {
                pending.rows.push(row);
            }
        }
        written.expired += pending.expired;
        pending
    }

    fn try_write(&mut self, pending: &mut Pending, now_ms: i64, written: &mut Written) -> Result<(), HistoryError> {
        files::create_directory(&self.directory)?;
        while let Some(entry) = pending.days.first_entry() {
            let day = *entry.key();
            let file = open_day(&mut self.days, &self.directory, day)?;
            write_day(&mut file.connection, entry.get()).map_err(|error| HistoryError::sqlite(&file.path, error))?;
            written.stored += entry.get().iter().map(|record| record.counts).sum::<usize>();
            entry.remove();
        }
        if !self.index.as_ref().is_some_and(OpenFile::is_in_place) {
            self.index = None;
            self.ids = Ids::default();
        }
        let file = match &mut self.index {
            Some(file) => file,
            None => self.index.insert(OpenFile::open(self.directory.join(INDEX), Kind::Index)?),
        };
        if !pending.rows.is_empty() || pending.expired > 0 {
            let result = write_rows(&mut file.connection, &mut self.ids, pending);
            result.map_err(|error| HistoryError::sqlite(&file.path, error))?;
            written.stored += pending.rows.iter().map(|row| row.counts).sum::<usize>();
            pending.rows.clear();
            pending.expired = 0;
        }
        self.keep_limits(now_ms)
    }

    /// Deletes what is older than its retention, and the oldest beyond the maximum size.
    fn keep_limits(&mut self, now_ms: i64) -> Result<(), HistoryError> {
        // While deletions are no remedy, the next one waits.
        let is_over = !self.is_stuck && files::size(&self.directory) > self.limits.max_size;
        if !is_over && self.checked.is_some_and(|at| at.elapsed() < UPKEEP_PAUSE) {
            return Ok(());
        }
        self.checked = Some(Instant::now());
        let Some(index) = &self.index else { return Ok(()) };
        let Limits { detail_ms, rows_ms, rollups_ms, max_size } = self.limits;
        if detail_ms > 0 {
            for day in files::days(&self.directory) {
                if day.end_ms() <= now_ms.saturating_sub(detail_ms) {
                    self.days.retain(|(open, _)| *open != day);
                    files::remove(&day.path(&self.directory))?;
                }
            }
        }
        if self.cut.is_none_or(|at| at.elapsed() >= CUT_PAUSE) {
            self.cut = Some(Instant::now());
            let cut = |kept_ms: i64| if kept_ms > 0 { now_ms.saturating_sub(kept_ms) } else { i64::MIN };
            delete_before(&index.connection, cut(rows_ms), cut(rollups_ms))
                .map_err(|error| HistoryError::sqlite(&index.path, error))?;
        }
        let mut last = u64::MAX;
        loop {
            let size = files::size(&self.directory);
            // A reader may keep a file from shrinking, for which more deletions are no remedy.
            self.is_stuck = size > max_size && size >= last;
            if size <= max_size || self.is_stuck {
                return Ok(());
            }
            last = size;
            if files::empty_quarantine(&self.directory) {
                tracing::warn!(directory = ?self.directory, "history is full, files in quarantine deleted");
                continue;
            }
            if let Some(day) = files::days(&self.directory).into_iter().next() {
                tracing::info!(directory = ?self.directory, "history is full, oldest day of detail deleted");
                self.days.retain(|(open, _)| *open != day);
                files::remove(&day.path(&self.directory))?;
                continue;
            }
            let deleted = delete_oldest(&index.connection).map_err(|error| HistoryError::sqlite(&index.path, error))?;
            tracing::info!(directory = ?self.directory, "history is full, oldest rows deleted");
            if !deleted {
                return Ok(());
            }
        }
    }
}

fn open_day<'a>(
    days: &'a mut Vec<(Day, OpenFile)>,
    directory: &Path,
    day: Day,
) -> Result<&'a mut OpenFile, HistoryError> {
    days.retain(|(_, file)| file.is_in_place());
    let index = match days.iter().position(|(open, _)| *open == day) {
        Some(index) => index,
        None => {
            let file = OpenFile::open(day.path(directory), Kind::Day)?;
            if days.len() >= OPEN_DAYS {
                days.remove(0);
            }
            days.push((day, file));
            days.len() - 1
        }
    };
    Ok(&mut days[index].1)
}

/// Writes the records of a day.
///
/// Of two trees with one id, the larger one stays.
fn write_day(connection: &mut Connection, records: &[DayRecord]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = transaction.prepare(
            "INSERT INTO record (uid, at_ms, name, size, body) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (uid) DO UPDATE SET size = excluded.size, body = excluded.body WHERE excluded.size > size",
        )?;
        for DayRecord { at_ms, uid, name, size, body, .. } in records {
            insert.execute(params![uid, at_ms, name, *size as i64, body])?;
        }
    }
    transaction.commit()
}

/// The ids of jobs and of their runs, by name.
#[derive(Debug, Default)]
struct Ids {
    /// The number of deletions of jobs and runs that the ids are valid for.
    epoch: i64,
    jobs: HashMap<(String, String), i64>,
    runs: HashMap<(i64, String), i64>,
}

impl Ids {
    /// Forgets the ids if jobs or runs were deleted since.
    fn renew(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let epoch = transaction.query_row("SELECT epoch FROM upkeep", [], |row| row.get(0))?;
        if self.epoch != epoch || self.jobs.len() + self.runs.len() > MAX_CACHED {
            *self = Self { epoch, ..Self::default() };
        }
        Ok(())
    }

    fn get(&mut self, transaction: &Transaction<'_>, row: &Row) -> rusqlite::Result<(i64, i64)> {
        let key = (row.cluster.clone(), row.job_name.clone());
        let job = match self.jobs.get(&key) {
            Some(job) => *job,
            None => {
                let job = transaction.query_row(
                    "INSERT INTO job (cluster, name) VALUES (?, ?) ON CONFLICT DO UPDATE SET name = name RETURNING job",
                    params![row.cluster, row.job_name],
                    |row| row.get(0),
                )?;
                self.jobs.insert(key, job);
                job
            }
        };
        let key = (job, row.job_id.clone());
        let run = match self.runs.get(&key) {
            Some(run) => *run,
            None => {
                let run = transaction.query_row(
                    "INSERT INTO run (job, job_id, first_ms, last_ms) VALUES (?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET job_id = job_id RETURNING run",
                    params![job, row.job_id, row.at_ms, row.at_ms],
                    |row| row.get(0),
                )?;
                self.runs.insert(key, run);
                run
            }
        };
        Ok((job, run))
    }
}

/// The changes of a run within one batch.
struct RunChange {
    first_ms: i64,
    last_ms: i64,
    interval_ms: Option<i64>,
    timeout_ms: Option<i64>,
}

/// The changes of a slice of a roll-up within one batch.
#[derive(Default)]
struct RollupChange {
    completed: i64,
    failed: i64,
    sum_ms: i64,
    max_ms: i64,
    max_size: Option<i64>,
    durations: Histogram,
}

fn write_rows(connection: &mut Connection, ids: &mut Ids, pending: &Pending) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    ids.renew(&transaction)?;
    let mut runs: HashMap<i64, RunChange> = HashMap::new();
    let mut rollups: HashMap<(i64, i64, i64), RollupChange> = HashMap::new();
    {
        let mut insert = transaction.prepare(INSERT_CHECKPOINT)?;
        for row in &pending.rows {
            match &row.fact {
                Fact::Nothing => continue,
                Fact::Seen { reachable, jobs } => {
                    write_seen(&transaction, &row.cluster, row.at_ms, *reachable, *jobs)?;
                    continue;
                }
                _ => {}
            }
            let (job, run) = ids.get(&transaction, row)?;
            let (mut interval_ms, mut timeout_ms, mut end_ms) = (None, None, row.at_ms);
            match &row.fact {
                Fact::Checkpoint(checkpoint) => {
                    end_ms = end_ms.saturating_add(checkpoint.duration_ms);
                    (interval_ms, timeout_ms) = (checkpoint.interval_ms, checkpoint.timeout_ms);
                    if insert_checkpoint(&mut insert, job, run, row.at_ms, checkpoint)? {
                        for slice_ms in [HOUR_MS, DAY_MS] {
                            let start_ms = row.at_ms.div_euclid(slice_ms).saturating_mul(slice_ms);
                            rollups.entry((slice_ms, start_ms, job)).or_default().add(checkpoint);
                        }
                    } else {
                        complete(&transaction, (job, row.at_ms, run, checkpoint.checkpoint_id), checkpoint)?;
                    }
                }
                Fact::Settings { interval_ms: interval, timeout_ms: timeout } => {
                    (interval_ms, timeout_ms) = (*interval, *timeout);
                }
                other => write_other(&transaction, job, run, row.at_ms, other)?,
            }
            let change = runs.entry(run).or_insert(RunChange {
                first_ms: row.at_ms,
                last_ms: row.at_ms,
                interval_ms: None,
                timeout_ms: None,
            });
            change.first_ms = change.first_ms.min(row.at_ms);
            change.last_ms = change.last_ms.max(end_ms);
            change.interval_ms = interval_ms.or(change.interval_ms);
            change.timeout_ms = timeout_ms.or(change.timeout_ms);
        }
    }
    update_runs(&transaction, &runs)?;
    update_rollups(&transaction, rollups)?;
    if pending.expired > 0 {
        transaction.execute("UPDATE upkeep SET expired = expired + ?", [pending.expired as i64])?;
    }
    transaction.commit()
}

const INSERT_CHECKPOINT: &str = "INSERT OR IGNORE INTO checkpoint (
    job, trigger_ms, run, checkpoint_id, failed, kind, duration_ms, full_size, checkpointed_size, unaligned,
    incomplete, failure, path, task, subtask, host, ack_ms, start_delay_ms, alignment_ms, sync_ms, async_ms, trace)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Returns `true` if the checkpoint was not in the history.
fn insert_checkpoint(
    insert: &mut rusqlite::Statement<'_>,
    job: i64,
    run: i64,
    trigger_ms: i64,
    checkpoint: &Checkpoint,
) -> rusqlite::Result<bool> {
    let critical = checkpoint.critical.as_ref();
    let [start_delay, alignment, sync, asynchronous] = critical.map_or([None; 4], |critical| critical.phases);
    let count = insert.execute(params![
        job,
        trigger_ms,
        run,
        checkpoint.checkpoint_id,
        checkpoint.failed,
        checkpoint.kind,
        checkpoint.duration_ms,
        checkpoint.full_size,
        checkpoint.checkpointed_size,
        checkpoint.unaligned,
        checkpoint.incomplete,
        checkpoint.failure,
        checkpoint.path,
        critical.map(|critical| &critical.task),
        critical.and_then(|critical| critical.subtask),
        critical.and_then(|critical| critical.host.as_ref()),
        critical.map(|critical| critical.ack_ms),
        start_delay,
        alignment,
        sync,
        asynchronous,
        checkpoint.trace,
    ])?;
    Ok(count > 0)
}

/// Adds what a known checkpoint lacks: the critical subtask, if it was first reported with fewer
/// subtasks, and the trace of another source.
fn complete(
    transaction: &Transaction<'_>,
    (job, trigger_ms, run, checkpoint_id): (i64, i64, i64, i64),
    checkpoint: &Checkpoint,
) -> rusqlite::Result<()> {
    transaction.execute(
        "UPDATE checkpoint SET other_trace = ?1, failure = coalesce(failure, ?2), path = coalesce(path, ?3)
         WHERE job = ?4 AND trigger_ms = ?5 AND run = ?6 AND checkpoint_id = ?7 AND trace <> ?1 AND other_trace IS NULL",
        params![checkpoint.trace, checkpoint.failure, checkpoint.path, job, trigger_ms, run, checkpoint_id],
    )?;
    let Some(critical) = &checkpoint.critical else { return Ok(()) };
    let [start_delay, alignment, sync, asynchronous] = critical.phases;
    let Critical { task, subtask, host, ack_ms, .. } = critical;
    let sql = "UPDATE checkpoint SET task = ?1, subtask = ?2, host = ?3, ack_ms = ?4, start_delay_ms = ?5, alignment_ms = ?6, \
               sync_ms = ?7, async_ms = ?8 WHERE job = ?9 AND trigger_ms = ?10 AND run = ?11 AND checkpoint_id = ?12 AND \
               (ack_ms IS NULL OR (?2 IS NOT NULL, ?4, ?3 IS NOT NULL) > (subtask IS NOT NULL, ack_ms, host IS NOT NULL))";
    let values = params![
        task,
        subtask,
        host,
        ack_ms,
        start_delay,
        alignment,
        sync,
        asynchronous,
        job,
        trigger_ms,
        run,
        checkpoint_id
    ];
    transaction.execute(sql, values).map(drop)
}

/// Adds a recovery, or the trace of another source to one that is known.
fn write_recovery(
    transaction: &Transaction<'_>,
    job: i64,
    run: i64,
    start_ms: i64,
    recovery: &Recovery,
) -> rusqlite::Result<usize> {
    let known = transaction.execute(
        "UPDATE recovery SET other_trace = ?1, restored = coalesce(restored, ?2)
         WHERE job = ?3 AND start_ms = ?4 AND run = ?5 AND trace <> ?1",
        params![recovery.trace, recovery.restored, job, start_ms, run],
    )?;
    if known > 0 {
        return Ok(known);
    }
    transaction.execute(
        "INSERT OR IGNORE INTO recovery (job, start_ms, run, end_ms, failed, checkpoint_id, full_size, restored, trace)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            job,
            start_ms,
            run,
            recovery.end_ms,
            recovery.failed,
            recovery.checkpoint_id,
            recovery.full_size,
            recovery.restored,
            recovery.trace
        ],
    )
}

/// The difference between Flink's time of a failure and that of its REST API, in milliseconds.
const FAILURE_SKEW_MS: i64 = 100;

/// Adds a failure. One without a uid is that of the same run at about that time, if there is one.
fn write_failure(
    transaction: &Transaction<'_>,
    job: i64,
    run: i64,
    at_ms: i64,
    failure: &Failure,
) -> rusqlite::Result<usize> {
    let (from_ms, to_ms) = (at_ms.saturating_sub(FAILURE_SKEW_MS), at_ms.saturating_add(FAILURE_SKEW_MS));
    if failure.uid.starts_with(HASHED) {
        let sql = "SELECT 1 FROM failure WHERE job = ? AND run = ? AND at_ms BETWEEN ? AND ?";
        if transaction.query_row(sql, params![job, run, from_ms, to_ms], |_| Ok(())).optional()?.is_some() {
            return Ok(0);
        }
    } else {
        transaction.execute(
            "DELETE FROM failure WHERE job = ? AND run = ? AND at_ms BETWEEN ? AND ? AND substr(uid, 1, ?) = ?",
            params![job, run, from_ms, to_ms, HASHED.len() as i64, HASHED],
        )?;
    }
    transaction.execute(
        "INSERT OR IGNORE INTO failure (
           uid, job, at_ms, run, fingerprint, exception, message, stacktrace, task, endpoint, can_restart)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            failure.uid,
            job,
            at_ms,
            run,
            failure.fingerprint,
            failure.exception,
            failure.message,
            failure.stacktrace,
            failure.task,
            failure.endpoint,
            failure.can_restart
        ],
    )
}

fn write_other(transaction: &Transaction<'_>, job: i64, run: i64, at_ms: i64, fact: &Fact) -> rusqlite::Result<()> {
    let count = match fact {
        Fact::Recovery(recovery) => write_recovery(transaction, job, run, at_ms, recovery),
        Fact::State(status) => transaction.execute(
            "INSERT OR IGNORE INTO state (job, at_ms, run, status) VALUES (?, ?, ?, ?)",
            params![job, at_ms, run, status],
        ),
        Fact::Failure(failure) => write_failure(transaction, job, run, at_ms, failure),
        Fact::Missed { uid, first_id, last_id, count } => transaction.execute(
            "INSERT OR IGNORE INTO missed (uid, job, at_ms, run, first_id, last_id, count) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![uid, job, at_ms, run, first_id, last_id, count],
        ),
        Fact::Checkpoint(_) | Fact::Seen { .. } | Fact::Settings { .. } | Fact::Nothing => Ok(0),
    };
    count.map(drop)
}

/// Extends the period in which the cluster was seen, or begins another one.
fn write_seen(
    transaction: &Transaction<'_>,
    cluster: &str,
    at_ms: i64,
    reachable: bool,
    jobs: Option<i64>,
) -> rusqlite::Result<()> {
    let last: Option<(i64, i64, bool)> = transaction
        .query_row(
            "SELECT from_ms, to_ms, reachable FROM seen WHERE cluster = ? AND from_ms <= ? ORDER BY from_ms DESC LIMIT 1",
            params![cluster, at_ms],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let count = match last {
        Some((from_ms, to_ms, was)) if was == reachable && at_ms <= to_ms.saturating_add(SEEN_GAP_MS) => transaction
            .execute(
                "UPDATE seen SET to_ms = max(to_ms, ?), jobs = coalesce(?, jobs) WHERE cluster = ? AND from_ms = ?",
                params![at_ms, jobs, cluster, from_ms],
            )?,
        _ => transaction.execute(
            "INSERT OR REPLACE INTO seen (cluster, from_ms, to_ms, reachable, jobs) VALUES (?, ?, ?, ?, ?)",
            params![cluster, at_ms, at_ms, reachable, jobs],
        )?,
    };
    debug_assert_eq!(count, 1);
    Ok(())
}

fn update_runs(transaction: &Transaction<'_>, runs: &HashMap<i64, RunChange>) -> rusqlite::Result<()> {
    let mut update = transaction.prepare(
        "UPDATE run SET first_ms = min(first_ms, ?), last_ms = max(last_ms, ?), interval_ms = coalesce(?, interval_ms),
           timeout_ms = coalesce(?, timeout_ms) WHERE run = ?",
    )?;
    for (run, change) in runs {
        update.execute(params![change.first_ms, change.last_ms, change.interval_ms, change.timeout_ms, run])?;
    }
    Ok(())
}

impl RollupChange {
    fn add(&mut self, checkpoint: &Checkpoint) {
        if checkpoint.failed {
            self.failed += 1;
            return;
        }
        self.completed += 1;
        self.sum_ms = self.sum_ms.saturating_add(checkpoint.duration_ms);
        self.max_ms = self.max_ms.max(checkpoint.duration_ms);
        self.max_size = self.max_size.max(checkpoint.full_size);
        self.durations.add(checkpoint.duration_ms);
    }
}

fn update_rollups(
    transaction: &Transaction<'_>,
    rollups: HashMap<(i64, i64, i64), RollupChange>,
) -> rusqlite::Result<()> {
    let mut select =
        transaction.prepare("SELECT durations FROM rollup WHERE slice_ms = ? AND start_ms = ? AND job = ?")?;
    let mut upsert = transaction.prepare(
        "INSERT INTO rollup (slice_ms, start_ms, job, completed, failed, sum_ms, max_ms, max_size, durations)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET completed = completed + excluded.completed, failed = failed + excluded.failed,
           sum_ms = sum_ms + excluded.sum_ms, max_ms = max(max_ms, excluded.max_ms),
           max_size = max(coalesce(max_size, excluded.max_size), coalesce(excluded.max_size, max_size)),
           durations = excluded.durations",
    )?;
    for ((slice_ms, start_ms, job), mut change) in rollups {
        let known: Option<Vec<u8>> = select.query_row(params![slice_ms, start_ms, job], |row| row.get(0)).optional()?;
        change.durations.merge_encoded(&known.unwrap_or_default());
        let RollupChange { completed, failed, sum_ms, max_ms, max_size, durations } = change;
        let durations = durations.encode();
        upsert.execute(params![slice_ms, start_ms, job, completed, failed, sum_ms, max_ms, max_size, durations])?;
    }
    Ok(())
}

/// Deletes the rows and roll-ups from before these times.
fn delete_before(connection: &Connection, rows_ms: i64, rollups_ms: i64) -> rusqlite::Result<()> {
    if rows_ms > i64::MIN {
        // The keys begin with the job, so that each deletion reads only what it deletes.
        for (table, column) in
            [("checkpoint", "trigger_ms"), ("recovery", "start_ms"), ("state", "at_ms"), ("failure", "at_ms")]
        {
            let sql = format!("DELETE FROM {table} WHERE job IN (SELECT job FROM job) AND {column} < ?");
            connection.execute(&sql, [rows_ms])?;
        }
        connection.execute("DELETE FROM missed WHERE at_ms < ?", [rows_ms])?;
        connection.execute("DELETE FROM seen WHERE to_ms < ?", [rows_ms])?;
    }
    if rollups_ms > i64::MIN {
        connection.execute(
            "DELETE FROM rollup WHERE slice_ms IN (?, ?) AND start_ms < ?",
            params![HOUR_MS, DAY_MS, rollups_ms],
        )?;
    }
    let runs = connection.execute("DELETE FROM run WHERE last_ms < ?", [rows_ms.min(rollups_ms)])?;
    if runs > 0 {
        connection.execute("DELETE FROM job WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.job = job.job)", [])?;
        // All writers forget the ids that they know.
        connection.execute("UPDATE upkeep SET epoch = epoch + 1", [])?;
    }
    Ok(())
}

/// Deletes the oldest eighth of rows and roll-ups by time. Returns `false` if there is nothing.
fn delete_oldest(connection: &Connection) -> rusqlite::Result<bool> {
    let oldest_row = "SELECT min(coalesce((SELECT min(trigger_ms) FROM checkpoint WHERE checkpoint.job = job.job), \
                      9223372036854775807)) FROM job";
    let oldest_row: Option<i64> = connection.query_row(oldest_row, [], |row| row.get(0))?;
    let oldest_rollup: Option<i64> = connection.query_row("SELECT min(start_ms) FROM rollup", [], |row| row.get(0))?;
    let newest: Option<i64> = connection.query_row("SELECT max(last_ms) FROM run", [], |row| row.get(0))?;
    let (Some(oldest), Some(newest)) = (oldest_row.filter(|oldest| *oldest < i64::MAX).or(oldest_rollup), newest)
    else {
        return Ok(false);
    };
    let cut = oldest.saturating_add((newest.saturating_sub(oldest) / 8).max(1));
    delete_before(connection, cut, cut.min(oldest_rollup.unwrap_or(cut).saturating_add(DAY_MS)))?;
    let mut vacuum = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    drop(pages);
    drop(vacuum);
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { detail_ms: 0, rows_ms: 0, rollups_ms: 0, max_size: 1 << 30 };

    fn batch(count: usize) -> Batch {
        let row = |index: usize| Row {
            at_ms: index as i64,
            cluster: "prod".to_owned(),
            job_name: format!("{index}{}", "x".repeat(2_000)),
            job_id: "4711".to_owned(),
            counts: 1,
            fact: Fact::State("RUNNING".to_owned()),
        };
        Batch { rows: (0..count).map(row).collect(), records: Vec::new() }
    }

    /// Scenario: another program has the history open at the end. Guarantees: the files have all
    /// rows without SQLite's logs.
    #[test]
    fn closed_store_leaves_no_rows_in_logs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h");
        let mut store = Store::new(path.clone(), LIMITS);
        store.write(batch(3), 0, &mut Written::default()).unwrap();
        let log = path.join("history.db-wal");
        assert!(std::fs::metadata(&log).unwrap().len() > 0);
        let reader = crate::History::open(&path).unwrap();
        assert!(reader.end_ms().is_ok());
        drop(store);
        assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    }

    /// Scenario: the disk is full for a while. Guarantees: the batch is neither written nor
    /// counted, nothing goes to quarantine, and later batches are written.
    #[test]
    fn full_disk_costs_only_what_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::new(folder.path().join("h"), LIMITS);
        let mut written = Written::default();
        store.write(batch(1), 0, &mut written).unwrap();
        let set = |store: &Store, pages: i64| {
            let index = store.index.as_ref().unwrap();
            index.connection.pragma_update(None, "max_page_count", pages).unwrap();
        };
        set(&store, 1);
        let error = store.write(batch(1_000), 0, &mut written).unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
        assert_eq!(written.stored, 1);
        assert!(!folder.path().join("h").join(files::QUARANTINE).exists());
        store.write(batch(1_000), 0, &mut written).unwrap();
        assert_eq!(written.stored, 1_001);
    }
}
