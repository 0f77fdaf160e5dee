//! The view of one job.

use rusqlite::{Row, params};
use serde::Serialize;

use super::{Band, History, JobName, RecoveryCard, Window, job_name, trace_id};
use crate::error::HistoryError;

/// A job in a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JobView {
    /// The job.
    #[serde(flatten)]
    pub name: JobName,
    /// The window.
    pub window: Window,
    /// All runs of the job that are known, oldest first.
    pub runs: Vec<RunInfo>,
    /// The checkpoints and savepoints that were triggered in the window, oldest first.
    pub checkpoints: Vec<CheckpointRow>,
    /// `true` if the window has more checkpoints than were asked for. The oldest are left out.
    pub is_cut: bool,
    /// The states.
    pub bands: Vec<Band>,
    /// The failures that the scheduler handled, oldest first.
    pub failures: Vec<FailureRow>,
    /// The starts and restores, oldest first.
    pub recoveries: Vec<RecoveryCard>,
    /// The checkpoints that came and went between two polls.
    pub missed: Vec<MissedRow>,
    /// The periods in which the cluster was seen to respond: the start and the end.
    pub seen: Vec<(i64, i64)>,
}

/// A run of a job, which has a job id of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunInfo {
    /// The number of the run within this history.
    pub run: i64,
    /// The job id.
    pub job_id: String,
    /// The time of its first record.
    pub first_ms: i64,
    /// The time of its last record. A checkpoint counts with its end.
    pub last_ms: i64,
    /// The interval of checkpoints.
    pub interval_ms: Option<i64>,
    /// The timeout of checkpoints.
    pub timeout_ms: Option<i64>,
}

/// A checkpoint or a savepoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckpointRow {
    /// The number of the run.
    pub run: i64,
    /// The id of the checkpoint.
    pub id: i64,
    /// The time of the trigger.
    pub trigger_ms: i64,
    /// The time from the trigger to the last acknowledgement, or to the failure.
    pub duration_ms: i64,
    /// `true` if it failed.
    pub failed: bool,
    /// The type, such as `Savepoint`. Absent for an ordinary checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The full size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_size: Option<i64>,
    /// The size of what was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<i64>,
    /// `true` if barriers were not aligned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unaligned: Option<bool>,
    /// `true` if the cluster did not return the tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<bool>,
    /// The cause of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The path of a completed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The task that acknowledged last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The index of the subtask that acknowledged last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtask: Option<i64>,
    /// The host of that subtask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The phases of that subtask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<Phases>,
    /// The trace id.
    pub trace_id: String,
    /// The trace id of the same checkpoint as another source reported it, such as Flink itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_trace_id: Option<String>,
}

/// The phases of a subtask from the trigger to its acknowledgement.
// Exhaustive: Flink measures four phases, and the fifth is what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Phases {
    /// The time until the first barrier arrived.
    pub start_delay: i64,
    /// The time from the first barrier to the last.
    pub alignment: i64,
    /// The synchronous part.
    pub sync: i64,
    /// The asynchronous part.
    pub r#async: i64,
    /// The time that is left, such as that of the acknowledgement.
    pub rest: i64,
}

impl Phases {
    /// Creates the phases of a subtask that acknowledged `ack_ms` after the trigger.
    ///
    /// `measured` are the four phases of Flink in their order. Returns `None` if none is known. One
    /// that is unknown beside others counts as no time.
    pub(super) fn new(ack_ms: i64, measured: [Option<i64>; 4]) -> Option<Self> {
        let [start_delay, alignment, sync, r#async] = measured.map(|phase| phase.unwrap_or_default().max(0));
        let rest = [start_delay, alignment, sync, r#async].into_iter().fold(ack_ms, i64::saturating_sub).max(0);
        let is_known = measured.iter().any(Option::is_some);
        is_known.then_some(Self { start_delay, alignment, sync, r#async, rest })
    }

    /// Returns the phases with their names for people, in order.
    pub fn named(self) -> [(&'static str, i64); 5] {
        let Self { start_delay, alignment, sync, r#async, rest } = self;
        [
            ("waiting for the barrier", start_delay),
            ("aligning barriers", alignment),
            ("in the synchronous part", sync),
            ("in the asynchronous part", r#async),
            ("finishing and acknowledging", rest),
        ]
    }
}

/// A failure that the scheduler handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailureRow {
    /// The number of the run.
    pub run: i64,
    /// The time.
    pub at_ms: i64,
    /// The fingerprint, by which equal causes are grouped.
    pub fingerprint: String,
    /// The class of the exception.
    pub exception: Option<String>,
    /// The message.
    pub message: Option<String>,
    /// The stack trace, which may be cut.
    pub stacktrace: Option<String>,
    /// The attempt that failed.
    pub task: Option<String>,
    /// The host and port of the attempt.
    pub endpoint: Option<String>,
    /// `true` if the job restarts.
    pub can_restart: Option<bool>,
}

/// Checkpoints that came and went between two polls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MissedRow {
    /// The number of the run.
    pub run: i64,
    /// The time of the poll that missed them.
    pub at_ms: i64,
    /// The first id, or one before it.
    pub first_id: i64,
    /// The last id, or one after it.
    pub last_id: i64,
    /// Their number.
    pub count: i64,
}

/// The columns that [`checkpoint_row`] reads.
pub(super) const CHECKPOINT_COLUMNS: &str = "run, checkpoint_id, trigger_ms, duration_ms, failed, kind, full_size, \
    checkpointed_size, unaligned, incomplete, failure, path, task, subtask, host, ack_ms, start_delay_ms, alignment_ms, \
    sync_ms, async_ms, trace, other_trace";

pub(super) fn checkpoint_row(row: &Row<'_>) -> rusqlite::Result<CheckpointRow> {
    Ok(CheckpointRow {
        run: row.get(0)?,
        id: row.get(1)?,
        trigger_ms: row.get(2)?,
        duration_ms: row.get(3)?,
        failed: row.get(4)?,
        kind: row.get(5)?,
        full_size: row.get(6)?,
        checkpointed_size: row.get(7)?,
        unaligned: row.get(8)?,
        incomplete: row.get(9)?,
        failure: row.get(10)?,
        path: row.get(11)?,
        task: row.get(12)?,
        subtask: row.get(13)?,
        host: row.get(14)?,
        phases: Phases::new(
            row.get::<_, Option<i64>>(15)?.unwrap_or_default(),
            [row.get(16)?, row.get(17)?, row.get(18)?, row.get(19)?],
        ),
        trace_id: trace_id(row.get_ref(20)?.as_blob()?),
        other_trace_id: row.get_ref(21)?.as_blob_or_null()?.map(trace_id),
    })
}

impl History {
    /// Returns a job, with at most `limit` checkpoints, or `None` if it is not known.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn job(&self, job: i64, window: Window, limit: usize) -> Result<Option<JobView>, HistoryError> {
        let Some(name) = self.job_name(job)? else { return Ok(None) };
        let between = params![job, window.from_ms, window.to_ms];
        let mut checkpoints = self.checkpoints(job, window, limit.saturating_add(1))?;
        let is_cut = checkpoints.len() > limit;
        checkpoints.truncate(limit);
        checkpoints.reverse();
        let missed = self.list(
            "SELECT run, at_ms, first_id, last_id, count FROM missed WHERE job = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms",
            between,
            |row| {
                Ok(MissedRow {
                    run: row.get(0)?,
                    at_ms: row.get(1)?,
                    first_id: row.get(2)?,
                    last_id: row.get(3)?,
                    count: row.get(4)?,
                })
            },
        )?;
        let seen = self.seen(window)?.into_iter().filter(|(cluster, ..)| *cluster == name.cluster);
        Ok(Some(JobView {
            window,
            runs: self.runs(job)?,
            checkpoints,
            is_cut,
            bands: self.bands(Some(job), window)?.remove(&job).unwrap_or_default(),
            failures: self.failure_rows(job, window)?,
            recoveries: self.recoveries(Some(job), window, limit)?,
            missed,
            seen: seen.map(|(_, from_ms, to_ms)| (from_ms, to_ms)).collect(),
            name,
        }))
    }

    /// Returns the checkpoints of a job, newest first.
    pub(super) fn checkpoints(
        &self,
        job: i64,
        window: Window,
        limit: usize,
    ) -> Result<Vec<CheckpointRow>, HistoryError> {
        let sql = format!(
            "SELECT {CHECKPOINT_COLUMNS} FROM checkpoint WHERE job = ? AND trigger_ms >= ? AND trigger_ms < ?
             ORDER BY trigger_ms DESC LIMIT ?"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.list(&sql, params![job, window.from_ms, window.to_ms, limit], checkpoint_row)
    }

    pub(super) fn job_name(&self, job: i64) -> Result<Option<JobName>, HistoryError> {
        self.get("SELECT job, cluster, name FROM job WHERE job = ?", [job], job_name)
    }

    pub(super) fn runs(&self, job: i64) -> Result<Vec<RunInfo>, HistoryError> {
        self.list(
            "SELECT run, job_id, first_ms, last_ms, interval_ms, timeout_ms FROM run WHERE job = ? ORDER BY first_ms, run",
            [job],
            |row| {
                Ok(RunInfo {
                    run: row.get(0)?,
                    job_id: row.get(1)?,
                    first_ms: row.get(2)?,
                    last_ms: row.get(3)?,
                    interval_ms: row.get(4)?,
                    timeout_ms: row.get(5)?,
                })
            },
        )
    }

    pub(super) fn failure_rows(&self, job: i64, window: Window) -> Result<Vec<FailureRow>, HistoryError> {
        self.list(
            "SELECT run, at_ms, fingerprint, exception, message, stacktrace, task, endpoint, can_restart FROM failure
             WHERE job = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms",
            params![job, window.from_ms, window.to_ms],
            |row| {
                Ok(FailureRow {
                    run: row.get(0)?,
                    at_ms: row.get(1)?,
                    fingerprint: row.get(2)?,
                    exception: row.get(3)?,
                    message: row.get(4)?,
                    stacktrace: row.get(5)?,
                    task: row.get(6)?,
                    endpoint: row.get(7)?,
                    can_restart: row.get(8)?,
                })
            },
        )
    }
}
