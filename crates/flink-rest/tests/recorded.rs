//! What real clusters answered, 1.9.3 to 2.3.0: read, told in short, and written back.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;

use expect_test::expect_file;
use flate2::read::GzDecoder;
use flink_rest::types::{CheckpointStatistics, ExceptionInfo, SubtaskExecutionAttemptDetailsInfo};
use flink_rest::{Answer, Resource, StatusError};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Exchange {
    path: String,
    status: u16,
    body: Value,
}

fn recorded(version: &str) -> Vec<Exchange> {
    let file = format!("{}/tests/data/flink-{version}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let mut lines = String::new();
    GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut lines).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Scenario: every form of answer that the observer's endpoints gave in one version's sessions.
/// Guarantees: each is read; what an observer builds on is read right; what is written back was there, by that name, and what is
/// left out is known.
fn check(version: &str) {
    let mut told = String::new();
    let mut left_out = BTreeSet::new();
    for Exchange { path, status, body } in recorded(version) {
        let bytes = serde_json::to_vec(&body).unwrap();
        writeln!(told, "{path}").unwrap();
        if let Some(error) = StatusError::of(status, &bytes) {
            let kinds = [
                (error.is_not_found(), "not found"),
                (error.is_missing_endpoint(), "missing endpoint"),
                (error.is_temporary(), "temporary"),
            ];
            let kinds: Vec<_> = kinds.iter().filter(|(is, _)| *is).map(|(_, kind)| *kind).collect();
            writeln!(told, "  {error} {kinds:?}").unwrap();
            continue;
        }
        let resource = Resource::parse(&path).unwrap_or_else(|| panic!("{version} {path} names no resource"));
        assert_eq!(resource.path(), path);
        let answer = resource.parse_body(&bytes).unwrap_or_else(|error| panic!("{version} {path}: {error}"));
        tell(&answer, &mut told);
        let written = serde_json::to_value(&answer).unwrap();
        compare(&written, &body, resource.template(), &mut left_out);
    }
    told.push_str("left out\n");
    left_out.iter().for_each(|field| writeln!(told, "  {field}").unwrap());
    expect_file![format!("data/flink-{version}.told.txt")].assert_eq(&told);
}

#[test]
fn flink_1_9() {
    check("1.9.3");
}

#[test]
fn flink_1_13() {
    check("1.13.6");
}

#[test]
fn flink_1_15() {
    check("1.15.4");
}

#[test]
fn flink_1_18() {
    check("1.18.1");
}

#[test]
fn flink_1_20() {
    check("1.20.5");
}

#[test]
fn flink_2_3() {
    check("2.3.0");
}

/// That all of `written` is in `original` too, with the same value. What `original` has beyond it, `left_out` tells.
fn compare(written: &Value, original: &Value, place: &str, left_out: &mut BTreeSet<String>) {
    match (written, original) {
        (Value::Object(written), Value::Object(original)) => {
            let older = |key: &str| if key == "className" { "@class" } else { key }.to_owned();
            for (key, value) in written {
                match original.get(key).or_else(|| original.get(&older(key))) {
                    Some(original) => compare(value, original, &format!("{place}.{}", general(key)), left_out),
                    // Percentiles that the version does not have.
                    None => assert_eq!(value, "NaN", "{place}.{key}"),
                }
            }
            let kept: BTreeSet<_> = written.keys().flat_map(|key| [key.clone(), older(key)]).collect();
            let lost = original.iter().filter(|(key, value)| !kept.contains(*key) && !value.is_null());
            left_out.extend(lost.map(|(key, _)| format!("{place}.{}", general(key))));
        }
        (Value::Array(written), Value::Array(original)) => {
            assert_eq!(written.len(), original.len(), "{place}");
            for (written, original) in written.iter().zip(original) {
                compare(written, original, &format!("{place}[]"), left_out);
            }
        }
        (Value::Number(written), Value::Number(original)) => assert_eq!(written.as_f64(), original.as_f64(), "{place}"),
        _ => assert_eq!(written, original, "{place}"),
    }
}

/// Keys that are ids all look alike.
fn general(key: &str) -> &str {
    if key.len() == 32 { ":id" } else { key }
}

fn tell(answer: &Answer, told: &mut String) {
    let mut line = |text: String| writeln!(told, "  {text}").unwrap();
    match answer {
        Answer::Config(config) => line(format!("{} refresh {} ms", config.flink_version, config.refresh_interval)),
        Answer::Overview(overview) => line(format!(
            "{} taskmanagers {} slots {}/{} jobs {}+{}+{}+{}",
            overview.flink_version,
            overview.taskmanagers,
            overview.slots_available,
            overview.slots_total,
            overview.jobs_running,
            overview.jobs_finished,
            overview.jobs_cancelled,
            overview.jobs_failed
        )),
        Answer::TaskManagers(all) => {
            for one in &all.taskmanagers {
                line(format!(
                    "{} slots {}/{} seen {}",
                    one.id, one.free_slots, one.slots_number, one.time_since_last_heartbeat
                ));
            }
        }
        Answer::Jobs(all) => {
            for job in &all.jobs {
                line(format!("{} {}", job.id, job.status));
            }
        }
        Answer::JobsOverview(all) => {
            for job in &all.jobs {
                line(format!(
                    "{} {} {} {}..{} {:?} {:?} running {:?} of {:?}",
                    job.jid,
                    job.name,
                    job.state,
                    job.start_time,
                    job.end_time,
                    job.job_type,
                    job.scheduler_type,
                    job.tasks.get("running"),
                    job.tasks.get("total")
                ));
            }
        }
        Answer::Job(job) => {
            line(format!(
                "{} {} {}..{} {:?} {:?} plan {}",
                job.name,
                job.state,
                job.start_time,
                job.end_time,
                job.job_type,
                job.scheduler_type,
                job.plan.is_some()
            ));
            line(reached(&job.timestamps));
            for vertex in &job.vertices {
                line(format!(
                    "{} {} ×{} of {:?} {} {}..{} {}",
                    vertex.id,
                    vertex.name,
                    vertex.parallelism,
                    vertex.max_parallelism,
                    vertex.status,
                    vertex.start_time,
                    vertex.end_time,
                    reached(&vertex.tasks)
                ));
            }
        }
        Answer::JobExceptions(exceptions) => {
            let first = exceptions.root_exception.as_deref().and_then(|trace| trace.lines().next());
            line(format!(
                "root {first:?} {:?} all {:?}",
                exceptions.timestamp,
                exceptions.all_exceptions.as_ref().map(Vec::len)
            ));
            for entry in exceptions.exception_history.iter().flat_map(|history| &history.entries) {
                line(exception(entry));
                entry.concurrent_exceptions.iter().for_each(|entry| line(format!("  {}", exception(entry))));
            }
        }
        Answer::JobMetrics(metrics) => {
            for metric in &metrics.metrics {
                line(format!("{} = {:?}", metric.id, metrics.value(&metric.id)));
            }
        }
        Answer::Checkpoints(checkpoints) => {
            line(format!("{:?}", checkpoints.counts));
            let latest = &checkpoints.latest;
            for (kind, latest) in
                [("completed", &latest.completed), ("savepoint", &latest.savepoint), ("failed", &latest.failed)]
            {
                line(format!("latest {kind} {:?}", latest.as_ref().map(|checkpoint| checkpoint.id)));
            }
            line(format!("{:?}", latest.restored));
            line(format!(
                "{:?}",
                checkpoints.summary.as_ref().and_then(|summary| summary.end_to_end_duration.as_ref())
            ));
            checkpoints.history.iter().for_each(|entry| line(checkpoint(entry)));
        }
        Answer::CheckpointConfig(config) => line(format!("{config:?}")),
        Answer::CheckpointDetails(details) => {
            line(checkpoint(details));
            for (vertex, task) in &details.tasks {
                line(format!(
                    "{vertex} {} ack {} state {} of it {:?} {}/{}",
                    task.status,
                    task.latest_ack_timestamp,
                    task.state_size,
                    task.checkpointed_size,
                    task.num_acknowledged_subtasks,
                    task.num_subtasks
                ));
            }
        }
        Answer::CheckpointSubtasks(task) => {
            line(format!("{} {} ack {}", task.id, task.status, task.latest_ack_timestamp));
            for subtask in &task.subtasks {
                line(format!(
                    "{} {} ack {:?} delay {:?} {:?} {:?} unaligned {:?} aborted {:?}",
                    subtask.index,
                    subtask.status,
                    subtask.ack_timestamp,
                    subtask.start_delay,
                    subtask.checkpoint,
                    subtask.alignment,
                    subtask.unaligned_checkpoint,
                    subtask.aborted
                ));
            }
        }
        Answer::Vertex(vertex) => {
            line(format!("{} {} ×{} of {:?}", vertex.id, vertex.name, vertex.parallelism, vertex.max_parallelism));
            vertex.subtasks.iter().for_each(|subtask| line(attempt(subtask)));
        }
        Answer::SubtaskTimes(vertex) => {
            line(format!("{} {}", vertex.id, vertex.name));
            for subtask in &vertex.subtasks {
                line(format!("{} at {:?} {}", subtask.subtask, subtask.location(), reached(&subtask.timestamps)));
            }
        }
        Answer::SubtaskAttempt(subtask) => line(attempt(subtask)),
        other => panic!("not told: {other:?}"),
    }
}

fn reached<K: std::fmt::Display>(numbers: &BTreeMap<K, i64>) -> String {
    let reached: Vec<_> =
        numbers.iter().filter(|(_, number)| **number != 0).map(|(key, number)| format!("{key} {number}")).collect();
    reached.join(", ")
}

fn checkpoint(checkpoint: &CheckpointStatistics) -> String {
    format!(
        "{} {:?} {} {}..{} took {} state {} of it {:?} {}/{} at {:?} discarded {:?} failed {:?} {:?}",
        checkpoint.id,
        checkpoint.checkpoint_type,
        checkpoint.status,
        checkpoint.trigger_timestamp,
        checkpoint.latest_ack_timestamp,
        checkpoint.end_to_end_duration,
        checkpoint.state_size,
        checkpoint.checkpointed_size,
        checkpoint.num_acknowledged_subtasks,
        checkpoint.num_subtasks,
        checkpoint.external_path,
        checkpoint.discarded,
        checkpoint.failure_timestamp,
        checkpoint.failure_message
    )
}

fn exception(entry: &ExceptionInfo) -> String {
    format!(
        "{} {} task {:?} endpoint {:?} location {:?} on {:?} labels {:?}",
        entry.timestamp,
        entry.exception_name,
        entry.task_name,
        entry.endpoint,
        entry.location,
        entry.task_manager_id,
        entry.failure_labels
    )
}

fn attempt(subtask: &SubtaskExecutionAttemptDetailsInfo) -> String {
    format!(
        "{} #{} {} at {:?} on {:?} {}..{} {}",
        subtask.subtask,
        subtask.attempt,
        subtask.status,
        subtask.location(),
        subtask.taskmanager_id,
        subtask.start_time,
        subtask.end_time,
        reached(&subtask.status_duration)
    )
}
