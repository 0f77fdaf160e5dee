//! The view of one checkpoint.

use flink_traces_api::{readable_duration, readable_size};
use rusqlite::params;
use serde::Serialize;

use super::job::{CHECKPOINT_COLUMNS, checkpoint_row};
use super::{CheckpointRow, History, JobName, Phases, Window, median};
use crate::codec::StoredRecord;
use crate::error::HistoryError;

/// The number of earlier checkpoints that the usual figures are the median of.
const USUAL: usize = 20;

/// A checkpoint with its tasks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CheckpointView {
    /// The job.
    #[serde(flatten)]
    pub name: JobName,
    /// The checkpoint.
    pub checkpoint: CheckpointRow,
    /// The sentence that says what held it back and what is usual.
    pub sentence: String,
    /// The tasks, in the order of their start. Empty if the history does not have them.
    pub tasks: Vec<Task>,
    /// The median duration of the completed checkpoints before it.
    pub usual_ms: Option<i64>,
    /// The last completed checkpoint before it.
    pub last_good: Option<CheckpointRow>,
    /// The ids of the checkpoints before and after it, with their triggers.
    pub neighbors: [Option<(i64, i64)>; 2],
}

/// A task of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Task {
    /// The id of the job vertex.
    pub vertex: String,
    /// The name.
    pub name: Option<String>,
    /// The start of its first subtask.
    pub start_ms: i64,
    /// The last acknowledgement.
    pub end_ms: i64,
    /// The number of subtasks.
    pub subtasks_total: Option<i64>,
    /// The number of subtasks that acknowledged.
    pub acknowledged: Option<i64>,
    /// The indexes of those that did not, such as `0-3,17`.
    pub missing: Option<String>,
    /// The subtasks that acknowledged.
    pub subtasks: Vec<Subtask>,
}

/// A subtask of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Subtask {
    /// The index.
    pub index: i64,
    /// The host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The acknowledgement.
    pub end_ms: i64,
    /// The phases; `None` if the source does not have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<Phases>,
    /// The full size of its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_size: Option<i64>,
    /// The size of what it wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpointed_size: Option<i64>,
    /// The bytes that it processed during the alignment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processed: Option<i64>,
    /// The bytes of records in flight that it stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persisted: Option<i64>,
}

impl History {
    /// Returns a checkpoint, or `None` if it is not known.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn checkpoint(&self, job: i64, trigger_ms: i64, id: i64) -> Result<Option<CheckpointView>, HistoryError> {
        let Some(name) = self.job_name(job)? else { return Ok(None) };
        let sql = format!(
            "SELECT {CHECKPOINT_COLUMNS} FROM checkpoint WHERE job = ? AND trigger_ms = ? AND checkpoint_id = ? LIMIT 1"
        );
        let Some(checkpoint) = self.get(&sql, params![job, trigger_ms, id], checkpoint_row)? else { return Ok(None) };
        let before = self.checkpoints_before(job, trigger_ms, USUAL)?;
        let usual_ms = median(before.iter().map(|checkpoint| checkpoint.duration_ms).collect());
        let tasks = self.tasks(job, trigger_ms, id)?;
        let neighbor = |sql: &str| self.get(sql, params![job, trigger_ms], |row| Ok((row.get(0)?, row.get(1)?)));
        let neighbors = [
            neighbor(
                "SELECT trigger_ms, checkpoint_id FROM checkpoint WHERE job = ? AND trigger_ms < ? ORDER BY trigger_ms DESC LIMIT 1",
            )?,
            neighbor(
                "SELECT trigger_ms, checkpoint_id FROM checkpoint WHERE job = ? AND trigger_ms > ? ORDER BY trigger_ms LIMIT 1",
            )?,
        ];
        Ok(Some(CheckpointView {
            sentence: sentence(&checkpoint, &tasks, &before),
            tasks,
            usual_ms,
            last_good: before.into_iter().next(),
            neighbors,
            name,
            checkpoint,
        }))
    }

    /// Returns the tasks of a checkpoint, which are none if its tree is gone.
    fn tasks(&self, job: i64, trigger_ms: i64, id: i64) -> Result<Vec<Task>, HistoryError> {
        let keys: Option<[Option<Vec<u8>>; 2]> = self.get(
            "SELECT trace, other_trace FROM checkpoint WHERE job = ? AND trigger_ms = ? AND checkpoint_id = ? LIMIT 1",
            params![job, trigger_ms, id],
            |row| Ok([row.get(0)?, row.get(1)?]),
        )?;
        let mut known = Vec::new();
        // Of two sources, the one with more subtasks says more.
        for key in keys.into_iter().flatten().flatten() {
            let records = self.tree(trigger_ms, &key)?.unwrap_or_default();
            known.push(tasks(&records, trigger_ms));
        }
        let said = |tasks: &Vec<Task>| tasks.iter().map(|task| 1 + task.subtasks.len()).sum::<usize>();
        Ok(known.into_iter().rev().max_by_key(said).unwrap_or_default())
    }

    /// Returns the completed checkpoints before a time, newest first, without savepoints.
    fn checkpoints_before(&self, job: i64, trigger_ms: i64, count: usize) -> Result<Vec<CheckpointRow>, HistoryError> {
        let sql = format!(
            "SELECT {CHECKPOINT_COLUMNS} FROM checkpoint WHERE job = ? AND trigger_ms < ? AND failed = 0 AND kind IS NULL
             ORDER BY trigger_ms DESC LIMIT ?"
        );
        self.list(&sql, params![job, trigger_ms, count as i64], checkpoint_row)
    }

    /// Returns the trees of the newest checkpoints of a window that have one, newest first.
    pub(super) fn trees(
        &self,
        job: i64,
        window: Window,
        limit: usize,
    ) -> Result<Vec<(CheckpointRow, Vec<Task>)>, HistoryError> {
        let mut trees = Vec::new();
        for checkpoint in self.checkpoints(job, window, limit)? {
            let tasks = self.tasks(job, checkpoint.trigger_ms, checkpoint.id)?;
            trees.push((checkpoint, tasks));
        }
        Ok(trees)
    }
}

/// Returns the tasks of a tree, in the order of their start.
fn tasks(records: &[StoredRecord], trigger_ms: i64) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    // See `batch::host`.
    let root_host = records.first().and_then(|root| root.text("host"));
    for record in records {
        let owned = |key: &str| record.text(key).map(str::to_owned);
        match record.name.as_str() {
            "Checkpoint_Task" => tasks.push(Task {
                vertex: owned("jobVertexId").unwrap_or_default(),
                name: owned("taskName"),
                start_ms: record.start_ms,
                end_ms: record.end_ms,
                subtasks_total: record.number("numSubtasks"),
                acknowledged: record.number("numAcknowledgedSubtasks"),
                missing: owned("unacknowledgedSubtasks"),
                subtasks: Vec::new(),
            }),
            "Checkpoint_Subtask" => {
                if let Some(task) = tasks.last_mut() {
                    task.subtasks.push(subtask(record, trigger_ms, root_host));
                }
            }
            _ => {}
        }
    }
    tasks.sort_by_key(|task| task.start_ms.max(trigger_ms));
    tasks
}

fn subtask(record: &StoredRecord, trigger_ms: i64, root_host: Option<&str>) -> Subtask {
    let keys =
        ["CheckpointStartDelayMs", "AlignmentDurationMs", "SyncCheckpointDurationMs", "AsyncCheckpointDurationMs"];
    Subtask {
        index: record.number("subtaskId").unwrap_or_default(),
        host: record.text("host").filter(|host| Some(*host) != root_host).map(str::to_owned),
        end_ms: record.end_ms,
        phases: Phases::new(record.end_ms.saturating_sub(trigger_ms), keys.map(|key| record.number(key))),
        full_size: record.number("StateSizeBytes"),
        checkpointed_size: record.number("CheckpointedSizeBytes"),
        processed: record.number("ProcessedDataBytes"),
        persisted: record.number("PersistedDataBytes"),
    }
}

/// Returns the sentence that says what held the checkpoint back and what is usual.
fn sentence(checkpoint: &CheckpointRow, tasks: &[Task], before: &[CheckpointRow]) -> String {
    let CheckpointRow { id, duration_ms, failed, kind, failure, full_size, .. } = checkpoint;
    let kind = kind.as_deref().unwrap_or("Checkpoint");
    let took = readable_duration(*duration_ms);
    let mut text =
        if *failed { format!("{kind} {id} failed after {took}") } else { format!("{kind} {id} took {took}") };
    if let (false, Some(size)) = (failed, full_size) {
        text += &format!(" for {}", readable_size(*size));
    }
    let cause = failure.as_deref().and_then(|cause| cause.lines().next()).filter(|cause| *failed && !cause.is_empty());
    if let Some(cause) = cause {
        text += &format!(": {}", cause.trim_end_matches('.'));
    }
    text += ".";
    for task in tasks {
        if let (Some(missing), Some(total), Some(acknowledged)) =
            (&task.missing, task.subtasks_total, task.acknowledged)
        {
            let name = task.name.as_deref().unwrap_or(&task.vertex);
            let open = total.saturating_sub(acknowledged);
            text += &format!(" {open} of {total} subtasks of {name} did not acknowledge: {missing}.");
        }
    }
    if let (Some(task), Some(subtask), Some(phases)) = (&checkpoint.task, checkpoint.subtask, checkpoint.phases) {
        let host = checkpoint.host.as_ref().map(|host| format!(", host {host}")).unwrap_or_default();
        let phases = phases.named();
        let (index, (phase, millis)) =
            phases.into_iter().enumerate().max_by_key(|(_, (_, millis))| *millis).unwrap_or((0, phases[0]));
        let role = if *failed { "The last acknowledgement was that of" } else { "It was held back by" };
        text += &format!(" {role} {task}, subtask {subtask}{host}: {} {phase}", readable_duration(millis));
        let usual = before.iter().filter_map(|row| Some(row.phases?.named()[index].1)).collect();
        if let Some(usual) = median(usual) {
            text += &format!("; usual: {}", readable_duration(usual));
        }
        text += ".";
    } else if tasks.is_empty() {
        text += " Its subtasks are not in the history.";
    }
    text
}
