//! Recorded responses of real clusters, 1.9.3 to 2.3.0: decoded, summarized and encoded again.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;

use expect_test::expect_file;
use flate2::read::GzDecoder;
use flink_rest::types::{self, CheckpointStatistics, ExceptionInfo, SubtaskExecutionAttemptDetailsInfo};
use flink_rest::{BodyError, Declaration, ENDPOINTS, FlinkVersion, Resource, ResourceBody, StatusError, decode_with};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Exchange {
    #[serde(default)]
    method: String,
    path: String,
    status: u16,
    body: Value,
    request: Option<Value>,
}

fn recorded(session: &str) -> Vec<Exchange> {
    let file = format!("{}/tests/data/{session}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let mut lines = String::new();
    GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut lines).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Scenario: all forms of responses of the observer's endpoints in the sessions of one version.
/// Guarantees: each is decoded, the fields of an observer are right, and encoding restores the
/// body.
fn check_observed(version: &str) {
    let mut summary = String::new();
    for Exchange { path, status, body, .. } in recorded(&format!("flink-{version}")) {
        let bytes = serde_json::to_vec(&body).unwrap();
        writeln!(summary, "{path}").unwrap();
        if let Some(error) = StatusError::of(status, &bytes) {
            let kinds = [
                (error.is_not_found(), "not found"),
                (error.is_missing_endpoint(), "missing endpoint"),
                (error.is_temporary(), "temporary"),
            ];
            let kinds: Vec<_> = kinds.iter().filter(|(is, _)| *is).map(|(_, kind)| *kind).collect();
            writeln!(summary, "  {error} {kinds:?}").unwrap();
            continue;
        }
        let resource = Resource::parse(&path).unwrap_or_else(|| panic!("{version} {path} names no resource"));
        assert_eq!(resource.path(), path);
        let response = resource.parse_body(&bytes).unwrap_or_else(|error| panic!("{version} {path}: {error}"));
        summarize(&response, &mut summary);
        compare(&serde_json::to_value(&response).unwrap(), &body, resource.template());
    }
    expect_file![format!("../data/flink-{version}.summary.txt")].assert_eq(&summary);
}

/// Scenario: requests to all endpoints of one version, in all their forms, and the responses.
/// Guarantees: each endpoint is declared for that version. Bodies survive a round trip without
/// losing a field, even one that a later version adds anywhere.
fn check_all_endpoints(version: &str) {
    let flink: FlinkVersion = version.parse().unwrap();
    let (mut answered, mut tried) = (BTreeSet::new(), BTreeSet::new());
    for Exchange { method, path, status, body, request } in recorded(&format!("all-endpoints-{version}")) {
        let bytes = serde_json::to_vec(&body).unwrap();
        let place = format!("{version} {method} {path}");
        let declared = Declaration::of(&method, &path);
        if StatusError::of(status, &bytes).is_some() || path.starts_with("/index.html") || path == "/" {
            continue;
        }
        let declared = declared.unwrap_or_else(|| panic!("{place} is not declared"));
        assert!(declared.versions.contains(flink), "{place} is declared since {}", declared.versions);
        assert_eq!(status, declared.status, "{place}");
        answered.insert((declared.method, declared.path));
        if let Some(request) = request.filter(|request| declared.request.is_some() && is_known(request)) {
            let body = serde_json::to_vec(&request).unwrap();
            compare(&request_round_trip(declared, &body).unwrap(), &request, &place);
        }
        if declared.response == "File" {
            continue;
        }
        let resource = Resource::parse(&path).filter(|_| method == "GET");
        if let Some(resource) = &resource {
            assert_eq!(Resource::parse(&resource.path()).as_ref(), Some(resource), "{place}");
        }
        let write_back = |body: &[u8]| match &resource {
            Some(resource) => {
                let mut skipped = Vec::new();
                let response = resource.parse_body_with(body, &mut skipped);
                unless_skipped(response.map(|response| serde_json::to_value(&response).unwrap()), skipped)
            }
            None => response_round_trip(declared, body),
        };
        compare(&write_back(&bytes).unwrap_or_else(|error| panic!("{place}: {error}")), &body, &place);
        check_additions(&body, declared, &mut tried, |body| write_back(body).ok());
    }
    let of_version = ENDPOINTS.iter().filter(|endpoint| endpoint.versions.contains(flink));
    let silent = of_version.filter(|endpoint| !answered.contains(&(endpoint.method, endpoint.path)));
    let silent = silent.map(|endpoint| format!("{} {}", endpoint.method, endpoint.path));
    let silent: Vec<_> = silent.filter(|endpoint| !NEVER_ANSWERED.contains(&endpoint.as_str())).collect();
    assert_eq!(silent, Vec::<String>::new(), "{version}: of these no response was read");
}

/// Puts an unreadable entry in front of each list of a response, one at a time. Each entry but a
/// `null` is the first one of the list without one of its fields.
///
/// Expects the rest of the body as before, and collects the lists.
fn check_odd_entries(resource: &Resource, body: &Value, lists: &mut BTreeSet<String>) {
    let decoded = |body: &Value, skipped: &mut Vec<BodyError>| {
        let body = serde_json::to_vec(body).unwrap();
        resource.parse_body_with(&body, skipped).map(|response| serde_json::to_value(response).unwrap())
    };
    let expected = decoded(body, &mut Vec::new()).unwrap();
    let mut found = Vec::new();
    find_lists(body, String::new(), resource.template().to_owned(), &mut found);
    for (pointer, place) in found {
        let entries = body.pointer(&pointer).and_then(Value::as_array).unwrap();
        let Some(first) = entries.first().filter(|_| !lists.contains(&place)) else { continue };
        let fields = first.as_object().into_iter().flat_map(|object| object.keys());
        let mut lacking: Vec<_> = fields
            .map(|field| {
                let mut entry = first.clone();
                entry.as_object_mut().unwrap().remove(field);
                entry
            })
            .collect();
        lacking.push(Value::Null);
        let mut was_skipped = false;
        for entry in lacking {
            let mut odd = body.clone();
            odd.pointer_mut(&pointer).and_then(Value::as_array_mut).unwrap().insert(0, entry.clone());
            let mut skipped = Vec::new();
            let read = decoded(&odd, &mut skipped).unwrap_or_else(|error| panic!("{place} {entry}: {error}"));
            assert!(skipped.len() <= 1, "{place} {entry}: {skipped:?}");
            if skipped.is_empty() {
                continue;
            }
            was_skipped = true;
            assert!(matches!(skipped[0], BodyError::Skipped { .. }), "{place}: {skipped:?}");
            assert_eq!(read, expected, "{place} {entry}");
        }
        if was_skipped {
            lists.insert(place);
        }
    }
}

fn find_lists(body: &Value, pointer: String, place: String, found: &mut Vec<(String, String)>) {
    match body {
        Value::Array(entries) => {
            found.push((pointer.clone(), place.clone()));
            for (index, entry) in entries.iter().enumerate() {
                find_lists(entry, format!("{pointer}/{index}"), format!("{place}[]"), found);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                find_lists(value, format!("{pointer}/{escaped}"), format!("{place} {key}"), found);
            }
        }
        _ => {}
    }
}

/// Scenario: each list of every recorded response gets one entry that cannot be read.
/// Guarantees: the entry is skipped and named, and the rest of the response is as before.
#[test]
fn odd_entry_of_any_list_is_skipped() {
    let mut lists = BTreeSet::new();
    for version in ["1.9.3", "1.13.6", "1.15.4", "1.18.1", "1.20.5", "2.3.0"] {
        let sessions = [format!("all-endpoints-{version}"), format!("flink-{version}")];
        for Exchange { method, path, status, body, .. } in sessions.iter().flat_map(|session| recorded(session)) {
            let resource = Resource::parse(&path).filter(|_| matches!(method.as_str(), "" | "GET") && status == 200);
            if let Some(resource) = resource {
                check_odd_entries(&resource, &body, &mut lists);
            }
        }
    }
    let text: String = lists.iter().map(|list| format!("{list}\n")).collect();
    expect_file!["../data/lists.txt"].assert_eq(&text);
}

/// Adds a field to each object of a response, one at a time, and expects it to survive.
/// If the addition is not even decoded, the object is a map with values of one type. One object of
/// each path is enough.
fn check_additions(
    body: &Value,
    declared: &Declaration,
    tried: &mut BTreeSet<String>,
    write_back: impl Fn(&[u8]) -> Option<Value>,
) {
    let mut objects = Vec::new();
    find_objects(body, String::new(), format!("{} {}", declared.method, declared.path), &mut objects);
    for (pointer, place) in objects {
        if !tried.insert(place.clone()) {
            continue;
        }
        let mut added = body.clone();
        let object = added.pointer_mut(&pointer).and_then(Value::as_object_mut).unwrap();
        object.insert("unheard-of".to_owned(), 17.into());
        match write_back(&serde_json::to_vec(&added).unwrap()) {
            Some(written) => compare(&written, &added, &place),
            None => assert!(MAPS.iter().any(|map| place.ends_with(map)), "{place} is not read with one more field"),
        }
    }
}

/// The maps of values other than numbers, by the ends of their paths.
const MAPS: &[&str] = &[
    ".accumulator-results",
    ".aggregated.metrics",
    ".aggregated.status-duration",
    ".failureLabels",
    ".features",
    ".serialized-user-task-accumulators",
    ".slots",
    ".summary.alignment",
    ".summary.checkpoint_duration",
    ".tasks",
    ".user-config",
    ".vertices",
    "/rescales/overview.latest",
    "/resource-requirements",
];

/// Finds the objects of a response, by JSON pointer and by a path that is the same for all of a
/// kind.
fn find_objects(value: &Value, pointer: String, place: String, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let name = if key.len() == 32 { ":id" } else { key };
                let key = key.replace('~', "~0").replace('/', "~1");
                find_objects(value, format!("{pointer}/{key}"), format!("{place}.{name}"), found);
            }
            found.push((pointer, place));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_objects(item, format!("{pointer}/{index}"), format!("{place}[]"), found);
            }
        }
        _ => {}
    }
}

/// The endpoints without a recorded success in some version.
const NEVER_ANSWERED: &[&str] = &[
    "DELETE /cluster",
    "GET /datasets/delete/:triggerid",
    "GET /jobmanager/profiler/:filename",
    "GET /jobs/:jobid/rescaling/:triggerid",
    "GET /jobs/:jobid/resource-requirements",
    "GET /jobs/:jobid/savepoints/:triggerid",
    "GET /jobs/:jobid/yarn-cancel",
    "GET /jobs/:jobid/yarn-stop",
    "GET /taskmanagers/:taskmanagerid/log",
    "GET /taskmanagers/:taskmanagerid/profiler/:filename",
    "PATCH /jobs/:jobid",
    "PATCH /jobs/:jobid/clientHeartbeat",
    "PATCH /jobs/:jobid/rescaling",
    "POST /applications/:applicationid/cancel",
    "POST /jars/:jarid/plan",
    "POST /jars/:jarid/run-application",
    "POST /jobs",
    "POST /jobs/:jobid/coordinators/:operatorUid",
    "POST /jobs/:jobid/coordinators/:operatorid",
    "PUT /jobs/:jobid/resource-requirements",
];

/// Returns `false` for requests that were sent to provoke an error.
fn is_known(request: &Value) -> bool {
    let strange = ["$raw", "$multipart", "unknown-field"];
    request.as_object().is_some_and(|request| strange.iter().all(|key| !request.contains_key(*key)))
}

fn round_trip<T: Serialize + DeserializeOwned>(body: &[u8]) -> Result<Value, BodyError> {
    let mut skipped = Vec::new();
    let read = decode_with::<T>(body, &mut skipped);
    unless_skipped(read.map(|read| serde_json::to_value(read).unwrap()), skipped)
}

/// Turns a skipped entry into an error.
fn unless_skipped(read: Result<Value, BodyError>, mut skipped: Vec<BodyError>) -> Result<Value, BodyError> {
    skipped.pop().map_or(read, Err)
}

fn response_round_trip(declared: &Declaration, body: &[u8]) -> Result<Value, BodyError> {
    match declared.response {
        "EmptyResponseBody" => round_trip::<types::EmptyResponseBody>(body),
        "JarRunResponseBody" => round_trip::<types::JarRunResponseBody>(body),
        "JarUploadResponseBody" => round_trip::<types::JarUploadResponseBody>(body),
        "JobPlanInfo" => round_trip::<types::JobPlanInfo>(body),
        "ProfilingInfo" => round_trip::<types::ProfilingInfo>(body),
        "TriggerResponse" => round_trip::<types::TriggerResponse>(body),
        other => panic!("{other} was not recorded before"),
    }
}

fn request_round_trip(declared: &Declaration, body: &[u8]) -> Result<Value, BodyError> {
    match declared.request.unwrap() {
        "CheckpointTriggerRequestBody" => round_trip::<types::CheckpointTriggerRequestBody>(body),
        "JarRunRequestBody" => round_trip::<types::JarRunRequestBody>(body),
        "JobClientHeartbeatRequestBody" => round_trip::<types::JobClientHeartbeatRequestBody>(body),
        "JobResourceRequirementsBody" => round_trip::<types::JobResourceRequirementsBody>(body),
        "ProfilingRequestBody" => round_trip::<types::ProfilingRequestBody>(body),
        "SavepointDisposalRequest" => round_trip::<types::SavepointDisposalRequest>(body),
        "SavepointTriggerRequestBody" => round_trip::<types::SavepointTriggerRequestBody>(body),
        "StopWithSavepointRequestBody" => round_trip::<types::StopWithSavepointRequestBody>(body),
        other => panic!("{other} was not recorded before"),
    }
}

fn check(version: &str) {
    check_observed(version);
    check_all_endpoints(version);
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

/// Asserts that both have the same fields and values.
///
/// `null` equals an absent field. Percentiles that a version lacks are NaN.
fn compare(written: &Value, original: &Value, place: &str) {
    match (written, original) {
        (Value::Object(written), Value::Object(original)) => {
            let keys: BTreeSet<_> = written.keys().chain(original.keys()).collect();
            for key in keys {
                let place = format!("{place}.{key}");
                match (written.get(key).unwrap_or(&Value::Null), original.get(key).unwrap_or(&Value::Null)) {
                    (Value::String(text), Value::Null) if text == "NaN" => {}
                    (written, original) => compare(written, original, &place),
                }
            }
        }
        (Value::Array(written), Value::Array(original)) => {
            assert_eq!(written.len(), original.len(), "{place}");
            for (written, original) in written.iter().zip(original) {
                compare(written, original, &format!("{place}[]"));
            }
        }
        (Value::Number(written), Value::Number(original)) => assert_eq!(written.as_f64(), original.as_f64(), "{place}"),
        _ => assert_eq!(written, original, "{place}"),
    }
}

fn summarize(body: &ResourceBody, summary: &mut String) {
    let mut line = |text: String| writeln!(summary, "  {text}").unwrap();
    match body {
        ResourceBody::Config(config) => {
            line(format!("{} refresh {} ms", config.flink_version, unset(config.refresh_interval)))
        }
        ResourceBody::Overview(overview) => line(format!(
            "{} taskmanagers {} slots {}/{} jobs {}+{}+{}+{}",
            overview.flink_version,
            unset(overview.taskmanagers),
            unset(overview.slots_available),
            unset(overview.slots_total),
            unset(overview.jobs_running),
            unset(overview.jobs_finished),
            unset(overview.jobs_cancelled),
            unset(overview.jobs_failed)
        )),
        ResourceBody::TaskManagers(all) => {
            for one in &all.taskmanagers {
                line(format!(
                    "{} slots {}/{} seen {}",
                    one.id,
                    unset(one.free_slots),
                    unset(one.slots_number),
                    unset(one.time_since_last_heartbeat)
                ));
            }
        }
        ResourceBody::Jobs(all) => {
            for job in &all.jobs {
                line(format!("{} {}", job.id, job.status));
            }
        }
        ResourceBody::JobsOverview(all) => {
            for job in &all.jobs {
                line(format!(
                    "{} {} {} {}..{} {:?} {:?} running {} of {}",
                    job.jid,
                    job.name,
                    job.state,
                    job.start_time,
                    unset(job.end_time),
                    job.job_type,
                    job.scheduler_type,
                    job.tasks.running,
                    job.tasks.total
                ));
            }
        }
        ResourceBody::Job(job) => {
            line(format!(
                "{} {} {}..{} {:?} {:?} plan {}",
                job.name,
                job.state,
                job.start_time,
                unset(job.end_time),
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
                    unset(vertex.parallelism),
                    vertex.max_parallelism,
                    vertex.status,
                    unset(vertex.start_time),
                    unset(vertex.end_time),
                    reached(&vertex.tasks)
                ));
            }
        }
        ResourceBody::JobExceptions(exceptions) => {
            let first = exceptions.root_exception.as_deref().and_then(|trace| trace.lines().next());
            line(format!(
                "root {first:?} {:?} all {:?}",
                exceptions.timestamp,
                exceptions.all_exceptions.as_ref().map(Vec::len)
            ));
            for entry in exceptions.exception_history.iter().flat_map(|history| &history.entries) {
                line(exception(entry));
                entry.concurrent_exceptions.iter().flatten().for_each(|entry| line(format!("  {}", exception(entry))));
            }
        }
        ResourceBody::JobMetrics(metrics) => {
            for metric in &metrics.metrics {
                line(format!("{} = {:?}", metric.id, metrics.value(&metric.id)));
            }
        }
        ResourceBody::Checkpoints(checkpoints) => {
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
        ResourceBody::CheckpointConfig(config) => line(format!("{config:?}")),
        ResourceBody::CheckpointDetails(details) => {
            line(checkpoint(details));
            for (vertex, task) in &details.tasks {
                line(format!(
                    "{vertex} {} ack {} state {} of it {:?} {}/{}",
                    task.status,
                    unset(task.latest_ack_timestamp),
                    unset(task.state_size),
                    task.checkpointed_size,
                    unset(task.num_acknowledged_subtasks),
                    unset(task.num_subtasks)
                ));
            }
        }
        ResourceBody::CheckpointSubtasks(task) => {
            line(format!("{} {} ack {}", task.id, task.status, unset(task.latest_ack_timestamp)));
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
        ResourceBody::Vertex(vertex) => {
            line(format!(
                "{} {} ×{} of {:?}",
                vertex.id,
                vertex.name,
                unset(vertex.parallelism),
                vertex.max_parallelism
            ));
            vertex.subtasks.iter().for_each(|subtask| line(attempt(subtask)));
        }
        ResourceBody::SubtaskTimes(vertex) => {
            line(format!("{} {}", vertex.id, vertex.name));
            for subtask in &vertex.subtasks {
                line(format!("{} at {:?} {}", subtask.subtask, subtask.location(), reached(&subtask.timestamps)));
            }
        }
        ResourceBody::SubtaskAttempt(subtask) => line(attempt(subtask)),
        other => panic!("not summary: {other:?}"),
    }
}

/// Returns the number that Flink writes.
fn unset(number: Option<i64>) -> i64 {
    number.unwrap_or(-1)
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
        unset(checkpoint.latest_ack_timestamp),
        unset(checkpoint.end_to_end_duration),
        unset(checkpoint.state_size),
        checkpoint.checkpointed_size,
        unset(checkpoint.num_acknowledged_subtasks),
        unset(checkpoint.num_subtasks),
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
        unset(subtask.start_time),
        unset(subtask.end_time),
        reached(&subtask.status_duration)
    )
}
