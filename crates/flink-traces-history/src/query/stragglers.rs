//! The subtasks that hold checkpoints back.

use std::collections::{BTreeMap, HashMap};

use rusqlite::params;
use serde::Serialize;

use super::{History, JobName, Window};
use crate::error::HistoryError;

/// The subtasks of a job vertex over many checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stragglers {
    /// The job.
    #[serde(flatten)]
    pub name: JobName,
    /// The window.
    pub window: Window,
    /// The subtasks that acknowledged last, most frequent first.
    pub critical: Vec<Critical>,
    /// The job vertices with detail: id and name.
    pub vertices: Vec<(String, String)>,
    /// The vertex of the rows; `None` if there is no detail.
    pub vertex: Option<String>,
    /// The checkpoints, oldest first.
    pub columns: Vec<Column>,
    /// The subtasks, by index.
    pub rows: Vec<StragglerRow>,
    /// The number of checkpoints whose subtasks are not in the history.
    pub without_detail: usize,
}

/// A subtask that acknowledged last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Critical {
    /// The name of the task.
    pub task: String,
    /// The index of the subtask.
    pub subtask: Option<i64>,
    /// The host at the last time.
    pub host: Option<String>,
    /// The number of checkpoints that it held back.
    pub times: i64,
    /// The mean duration of these checkpoints.
    pub mean_ms: i64,
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Column {
    /// The id.
    pub id: i64,
    /// The time of the trigger.
    pub trigger_ms: i64,
    /// `true` if it failed.
    pub failed: bool,
}

/// A subtask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StragglerRow {
    /// The index.
    pub subtask: i64,
    /// The host at the last checkpoint that names it.
    pub host: Option<String>,
    /// The time from the trigger to the acknowledgement, for each column. Absent if the subtask did
    /// not acknowledge or its time is not known.
    pub cells: Vec<Option<i64>>,
}

impl History {
    /// Returns the subtasks of `vertex` over the newest `limit` checkpoints of the window.
    ///
    /// Without a vertex, it is the one that held back most checkpoints. Returns `None` if the job
    /// is not known.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn stragglers(
        &self,
        job: i64,
        window: Window,
        vertex: Option<&str>,
        limit: usize,
    ) -> Result<Option<Stragglers>, HistoryError> {
        let Some(name) = self.job_name(job)? else { return Ok(None) };
        let critical: Vec<Critical> = self.list(
            "SELECT task, subtask, host, count(*), avg(duration_ms), max(trigger_ms) FROM checkpoint
             WHERE job = ? AND trigger_ms >= ? AND trigger_ms < ? AND task IS NOT NULL GROUP BY task, subtask
             ORDER BY count(*) DESC, task, subtask LIMIT 100",
            params![job, window.from_ms, window.to_ms],
            |row| {
                Ok(Critical {
                    task: row.get(0)?,
                    subtask: row.get(1)?,
                    host: row.get(2)?,
                    times: row.get(3)?,
                    mean_ms: row.get::<_, f64>(4)?.round() as i64,
                })
            },
        )?;
        let mut trees = self.trees(job, window, limit)?;
        let without_detail = trees.iter().filter(|(_, tasks)| tasks.is_empty()).count();
        trees.retain(|(_, tasks)| !tasks.is_empty());
        trees.reverse();
        let mut vertices: BTreeMap<&str, &str> = BTreeMap::new();
        for task in trees.iter().flat_map(|(_, tasks)| tasks) {
            vertices.insert(&task.vertex, task.name.as_deref().unwrap_or(&task.vertex));
        }
        let worst = critical.first().map(|critical| critical.task.as_str());
        let of_worst = || vertices.iter().find(|(_, name)| Some(**name) == worst).map(|(id, _)| *id);
        let chosen = vertex
            .and_then(|wanted| vertices.keys().copied().find(|id| *id == wanted))
            .or_else(of_worst)
            .or_else(|| vertices.keys().next().copied())
            .map(str::to_owned);
        let mut columns = Vec::new();
        let mut rows: HashMap<i64, StragglerRow> = HashMap::new();
        for (index, (checkpoint, tasks)) in trees.iter().enumerate() {
            columns.push(Column { id: checkpoint.id, trigger_ms: checkpoint.trigger_ms, failed: checkpoint.failed });
            let of_vertex = tasks.iter().filter(|task| Some(&task.vertex) == chosen.as_ref());
            for subtask in of_vertex.flat_map(|task| &task.subtasks) {
                let none = || StragglerRow { subtask: subtask.index, host: None, cells: vec![None; trees.len()] };
                let row = rows.entry(subtask.index).or_insert_with(none);
                row.cells[index] = Some(subtask.end_ms.saturating_sub(checkpoint.trigger_ms));
                if subtask.host.is_some() {
                    row.host.clone_from(&subtask.host);
                }
            }
        }
        let mut rows: Vec<_> = rows.into_values().collect();
        rows.sort_by_key(|row| row.subtask);
        let vertices = vertices.into_iter().map(|(id, name)| (id.to_owned(), name.to_owned())).collect();
        Ok(Some(Stragglers { name, window, critical, vertices, vertex: chosen, columns, rows, without_detail }))
    }
}
