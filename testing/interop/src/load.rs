//! A recording of a large job: twelve checkpoints of 10,000 subtasks.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

const CHECKPOINTS: i64 = 12;
const TASKS: usize = 10;
const SUBTASKS: usize = 1_000;
/// The spans of all checkpoints: one for each, its tasks and its subtasks.
pub(crate) const SPANS: usize = CHECKPOINTS as usize * (1 + TASKS + TASKS * SUBTASKS);
const JOB: &str = "0b1d198cd84d58810f0faf9761017b2f";
/// The start of the job, in milliseconds since the epoch.
const START: i64 = 1_795_230_900_000;

/// Writes the recording.
pub(crate) fn write(path: &Path) -> Result<()> {
    let mut lines = Lines(GzEncoder::new(File::create(path)?, Compression::fast()));
    let job = format!("/jobs/{JOB}");
    let first = START + 500;
    lines.add(first, "/jobs/overview", &overview())?;
    lines.add(first, &job, &details())?;
    lines.add(first, &format!("{job}/checkpoints"), &statistics(0))?;
    lines.add(
        first,
        &format!("{job}/exceptions"),
        &json!({"exceptionHistory": {"entries": [], "truncated": false}}),
    )?;
    lines.add(first, &format!("{job}/checkpoints/config"), &json!({"mode": "exactly_once", "interval": 10_000}))?;
    for task in 0..TASKS {
        lines.add(first, &format!("{job}/vertices/{}/subtasktimes", task_id(task)), &times(task))?;
    }
    for id in 1..=CHECKPOINTS {
        let seen = triggered(id) + 2_000;
        lines.add(seen, &format!("{job}/checkpoints"), &statistics(id))?;
        lines.add(seen, &format!("{job}/checkpoints/details/{id}"), &checkpoint(id, true))?;
        for task in 0..TASKS {
            let path = format!("{job}/checkpoints/details/{id}/subtasks/{}", task_id(task));
            lines.add(seen, &path, &subtasks(id))?;
        }
        lines.add(seen + 1_000, "/jobs/overview", &overview())?;
    }
    lines.add(triggered(CHECKPOINTS) + 60_000, "/jobs/overview", &overview())?;
    lines.0.finish()?;
    Ok(())
}

struct Lines(GzEncoder<File>);

impl Lines {
    fn add(&mut self, at: i64, path: &str, body: &Value) -> Result<()> {
        let line = json!({"t_ms": at, "dur_ms": 1, "method": "GET", "path": path, "status": 200, "body": body});
        writeln!(self.0, "{line}")?;
        Ok(())
    }
}

fn task_id(task: usize) -> String {
    format!("{task:032x}")
}

fn triggered(checkpoint: i64) -> i64 {
    START + checkpoint * 10_000
}

fn overview() -> Value {
    let total = TASKS * SUBTASKS;
    json!({"jobs": [{"jid": JOB, "name": "large", "state": "RUNNING", "start-time": START, "end-time": -1,
        "duration": 0, "last-modification": START + 400, "tasks": {"total": total, "running": total}}]})
}

fn details() -> Value {
    let vertex = |task| {
        json!({"id": task_id(task), "name": format!("task {task}"), "parallelism": SUBTASKS, "maxParallelism": SUBTASKS,
            "status": "RUNNING", "start-time": START, "tasks": {"RUNNING": SUBTASKS}})
    };
    json!({"jid": JOB, "name": "large", "state": "RUNNING", "start-time": START, "end-time": -1, "now": START + 500,
        "timestamps": {"INITIALIZING": START, "CREATED": START + 100, "RUNNING": START + 200},
        "vertices": (0..TASKS).map(vertex).collect::<Vec<_>>()})
}

fn times(task: usize) -> Value {
    let subtask = |index| {
        let timestamps = json!({"DEPLOYING": START + 200, "INITIALIZING": START + 300, "RUNNING": START + 400});
        json!({"subtask": index, "endpoint": "worker", "duration": 100, "timestamps": timestamps})
    };
    json!({"id": task_id(task), "name": format!("task {task}"), "now": START + 500,
        "subtasks": (0..SUBTASKS).map(subtask).collect::<Vec<_>>()})
}

/// Returns the statistics after that many checkpoints, with Flink's history of ten.
fn statistics(completed: i64) -> Value {
    let history: Vec<_> = (1.max(completed - 9)..=completed).rev().map(|id| checkpoint(id, false)).collect();
    json!({"counts": {"restored": 0, "total": completed, "in_progress": 0, "completed": completed, "failed": 0},
        "latest": {"completed": history.first()}, "history": history})
}

fn checkpoint(id: i64, with_tasks: bool) -> Value {
    let tasks: Map<_, _> = (0..TASKS).map(|task| (task_id(task), task_summary(id))).collect();
    let total = TASKS * SUBTASKS;
    json!({"className": "completed", "id": id, "status": "COMPLETED", "is_savepoint": false,
        "trigger_timestamp": triggered(id), "latest_ack_timestamp": triggered(id) + 1_000, "checkpointed_size": 1 << 20,
        "state_size": 1 << 30, "end_to_end_duration": 1_000, "processed_data": 0, "persisted_data": 0,
        "num_subtasks": total, "num_acknowledged_subtasks": total, "checkpoint_type": "CHECKPOINT",
        "tasks": if with_tasks { tasks } else { Map::new() }, "external_path": format!("s3://checkpoints/chk-{id}"),
        "discarded": false})
}

fn task_summary(id: i64) -> Value {
    json!({"id": id, "status": "COMPLETED", "latest_ack_timestamp": triggered(id) + 1_000, "checkpointed_size": 1 << 17,
        "state_size": 1 << 27, "end_to_end_duration": 1_000, "processed_data": 0, "persisted_data": 0,
        "num_subtasks": SUBTASKS, "num_acknowledged_subtasks": SUBTASKS})
}

fn subtasks(id: i64) -> Value {
    let subtask = |index: usize| {
        let duration = 500 + index / 2;
        json!({"className": "completed", "index": index, "status": "completed", "aborted": false,
            "ack_timestamp": triggered(id) + i64::try_from(duration).unwrap_or_default(), "end_to_end_duration": duration,
            "checkpointed_size": 128 + index, "state_size": 131_072 + index, "checkpoint": {"sync": 3, "async": 40},
            "alignment": {"buffered": 0, "processed": index, "persisted": 0, "duration": 7}, "start_delay": 20,
            "unaligned_checkpoint": false})
    };
    let Value::Object(mut summary) = task_summary(id) else { return Value::Null };
    summary.insert("subtasks".to_owned(), (0..SUBTASKS).map(subtask).collect());
    summary.into()
}
