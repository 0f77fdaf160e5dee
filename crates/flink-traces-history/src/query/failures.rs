//! Recoveries, and failures by cause.

use rusqlite::params;
use serde::Serialize;

use super::states::NO_STATUS;
use super::{History, JobName, Window, trace_id};
use crate::error::HistoryError;

/// The time before a restore in which its failure must lie, in milliseconds.
const CAUSE_WITHIN_MS: i64 = 24 * 3_600_000;

/// A start or a restore of a job, with what it cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecoveryCard {
    /// The job.
    #[serde(flatten)]
    pub name: JobName,
    /// The number of the run.
    pub run: i64,
    /// The start of the initialization.
    pub start_ms: i64,
    /// The time at which all subtasks ran.
    pub end_ms: i64,
    /// `true` if the initialization failed.
    pub failed: bool,
    /// The restored checkpoint; `None` for a fresh start.
    pub checkpoint_id: Option<i64>,
    /// The size of the restored state.
    pub full_size: Option<i64>,
    /// The trace id of the initialization.
    pub trace_id: String,
    /// The failure that led to it: the time, the exception and its message.
    pub cause: Option<(i64, String)>,
    /// The fingerprint of that failure.
    pub fingerprint: Option<String>,
    /// The time from the failure until all subtasks ran.
    pub down_ms: Option<i64>,
    /// The time from the trigger of the restored checkpoint to the failure, whose work was done
    /// twice.
    pub lost_ms: Option<i64>,
}

/// Failures with one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailureGroup {
    /// The fingerprint.
    pub fingerprint: String,
    /// The number of failures.
    pub count: i64,
    /// The jobs, at most 100.
    pub jobs: Vec<JobName>,
    /// The number of jobs.
    pub jobs_total: i64,
    /// The number of clusters.
    pub clusters_total: i64,
    /// The time of the first failure in the window.
    pub first_ms: i64,
    /// The time of the last.
    pub last_ms: i64,
    /// The number of failures that ended the job.
    pub ended: i64,
    /// The exception of the last one.
    pub exception: Option<String>,
    /// The message of the last one.
    pub message: Option<String>,
    /// The stack trace of the last one.
    pub stacktrace: Option<String>,
    /// The attempt that failed last.
    pub task: Option<String>,
}

impl History {
    /// Returns the newest starts and restores of one job, or of all jobs, oldest first.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn recoveries(
        &self,
        job: Option<i64>,
        window: Window,
        limit: usize,
    ) -> Result<Vec<RecoveryCard>, HistoryError> {
        let condition = if job.is_some() { "recovery.job = ?1 AND" } else { "?1 IS NULL AND" };
        let sql = format!(
            "SELECT job.job, cluster, name, run, start_ms, end_ms, failed, checkpoint_id, full_size, trace, restored
             FROM recovery JOIN job ON job.job = recovery.job
             WHERE {condition} start_ms >= ?2 AND start_ms < ?3 ORDER BY start_ms DESC LIMIT ?4"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.list(&sql, params![job, window.from_ms, window.to_ms, limit], |row| {
            let card = RecoveryCard {
                name: super::job_name(row)?,
                run: row.get(3)?,
                start_ms: row.get(4)?,
                end_ms: row.get(5)?,
                failed: row.get(6)?,
                checkpoint_id: row.get(7)?,
                full_size: row.get(8)?,
                trace_id: trace_id(row.get_ref(9)?.as_blob()?),
                cause: None,
                fingerprint: None,
                down_ms: None,
                lost_ms: None,
            };
            Ok((card, row.get::<_, Option<Vec<u8>>>(10)?))
        })?;
        let cards = rows.into_iter().rev().map(|(card, restored)| self.with_cause(card, restored));
        cards.collect()
    }

    /// Adds the failure before a restore, and what it cost.
    fn with_cause(&self, mut card: RecoveryCard, restored: Option<Vec<u8>>) -> Result<RecoveryCard, HistoryError> {
        let previous_ms: Option<i64> = self.value(
            "SELECT max(end_ms) FROM recovery WHERE job = ? AND run = ? AND start_ms < ?",
            params![card.name.job, card.run, card.start_ms],
        )?;
        let after_ms = previous_ms.unwrap_or(i64::MIN).max(card.start_ms.saturating_sub(CAUSE_WITHIN_MS));
        // The first failure after the last time at which the job came up is the cause.
        let cause = self.get(
            "SELECT at_ms, exception, message, fingerprint FROM failure
             WHERE job = ? AND run = ? AND at_ms >= ? AND at_ms <= ? ORDER BY at_ms LIMIT 1",
            params![card.name.job, card.run, after_ms, card.start_ms],
            |row| {
                let (exception, message): (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
                let parts: Vec<_> =
                    [exception, message].into_iter().flatten().filter(|part| !part.is_empty()).collect();
                Ok((row.get::<_, i64>(0)?, parts.join(": "), row.get::<_, String>(3)?))
            },
        )?;
        let Some((at_ms, text, fingerprint)) = cause else { return Ok(card) };
        card.down_ms = (!card.failed).then(|| card.end_ms.saturating_sub(at_ms));
        card.cause = Some((at_ms, text));
        card.fingerprint = Some(fingerprint);
        let trigger_ms: Option<i64> = match restored {
            Some(trace) => self.value(
                "SELECT trigger_ms FROM checkpoint WHERE job = ? AND trigger_ms <= ? AND trace = ?
                 ORDER BY trigger_ms DESC LIMIT 1",
                params![card.name.job, card.start_ms, trace],
            )?,
            None => None,
        };
        card.lost_ms = trigger_ms.map(|trigger_ms| at_ms.saturating_sub(trigger_ms).max(0));
        Ok(card)
    }

    /// Returns the failures of all jobs by their cause, the most frequent first.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn failures(&self, window: Window, limit: usize) -> Result<Vec<FailureGroup>, HistoryError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let groups = self.list(
            "SELECT fingerprint, count(*), count(DISTINCT failure.job), count(DISTINCT cluster), min(at_ms), max(at_ms),
               exception, message, stacktrace, task, sum(can_restart = 0)
             FROM failure JOIN job ON job.job = failure.job WHERE at_ms >= ? AND at_ms < ?
             GROUP BY fingerprint ORDER BY count(*) DESC, max(at_ms) DESC LIMIT ?",
            params![window.from_ms, window.to_ms, limit],
            |row| {
                Ok(FailureGroup {
                    fingerprint: row.get(0)?,
                    count: row.get(1)?,
                    jobs: Vec::new(),
                    jobs_total: row.get(2)?,
                    clusters_total: row.get(3)?,
                    first_ms: row.get(4)?,
                    last_ms: row.get(5)?,
                    exception: row.get(6)?,
                    message: row.get(7)?,
                    stacktrace: row.get(8)?,
                    task: row.get(9)?,
                    ended: row.get::<_, Option<i64>>(10)?.unwrap_or_default(),
                })
            },
        )?;
        let with_jobs = |mut group: FailureGroup| {
            group.jobs = self.list(
                "SELECT DISTINCT job.job, cluster, name FROM failure JOIN job ON job.job = failure.job
                 WHERE fingerprint = ? AND at_ms >= ? AND at_ms < ? ORDER BY 2, 3 LIMIT 100",
                params![group.fingerprint, window.from_ms, window.to_ms],
                super::job_name,
            )?;
            Ok(group)
        };
        groups.into_iter().map(with_jobs).collect()
    }

    /// Returns the last status of each job's newest run with its time.
    pub(super) fn last_status(&self, job: i64, run: i64, now_ms: i64) -> Result<Option<(i64, String)>, HistoryError> {
        let sql = format!(
            "SELECT at_ms, status FROM state WHERE job = ? AND run = ? AND at_ms <= ? AND status NOT IN {NO_STATUS}
             ORDER BY at_ms DESC LIMIT 1"
        );
        self.get(&sql, params![job, run, now_ms], |row| Ok((row.get(0)?, row.get(1)?)))
    }
}
