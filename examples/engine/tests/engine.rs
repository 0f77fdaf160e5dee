//! The engine as a process: it crashes, recovers, is killed, and what it reports and counts is right.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flink_traces_testkit::OtlpCollector;
use serde_json::Value;
use tempfile::TempDir;

fn start(folder: &Path, properties: &[&str]) -> (Child, ChildStderr) {
    let directory = format!("execution.checkpointing.dir={}", folder.join("job").display());
    let properties = properties.iter().copied().chain([&*directory, "execution.checkpointing.interval=20 ms"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.args(properties.flat_map(|property| ["-D", property])).current_dir(folder);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    (child, stderr)
}

/// What a whole run printed, and whether it succeeded. One that does not end is killed.
fn run(folder: &Path, properties: &[&str]) -> (String, bool) {
    let (mut child, mut stderr) = start(folder, properties);
    let (tell, told) = sync_channel(1);
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        tell.send(text).unwrap();
    });
    let text = told.recv_timeout(Duration::from_secs(120));
    let _ = child.kill();
    let is_success = child.wait().unwrap().success();
    reader.join().unwrap();
    (text.unwrap_or_else(|_| panic!("the engine does not end")), is_success)
}

/// The options of reporters that write `spans.jsonl` and `events.jsonl`.
const JSON: [&str; 7] = [
    "traces.reporter.json.factory.class=flink-traces-json",
    "traces.reporter.json.format=flat",
    "traces.reporter.json.path=spans.jsonl",
    "traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK",
    "events.reporter.json.factory.class=flink-traces-json",
    "events.reporter.json.format=flat",
    "events.reporter.json.path=events.jsonl",
];

fn lines(folder: &TempDir, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.path().join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn named<'a>(records: &'a [Value], name: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["name"] == name).collect()
}

/// One attribute of each, as text.
fn attributes(records: &[&Value], key: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    records.iter().map(|record| text(&record["attributes"][key])).collect()
}

/// Each count of each key is there once, and they are as many as there are records.
fn check_results(folder: &TempDir, records: usize) {
    let read = |subtask: usize| fs::read_to_string(folder.path().join(format!("job/result-{subtask}.txt"))).unwrap();
    let text = read(0) + &read(1);
    let mut counts = BTreeMap::<&str, u64>::new();
    for line in text.lines() {
        *counts.entry(line.split_once(' ').unwrap().0).or_default() += 1;
    }
    let distinct: HashSet<&str> = text.lines().collect();
    assert_eq!((text.lines().count(), distinct.len()), (records, records));
    assert!(counts.iter().all(|(key, count)| distinct.contains(format!("{key} {count}").as_str())));
}

fn now_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn a_crash_and_a_recovery() {
    let folder = tempfile::tempdir().unwrap();
    let before = now_millis();
    let properties = [&JSON[..], &["engine.records=30000", "engine.fail-at-checkpoint=3"]].concat();
    let (printed, is_success) = run(folder.path(), &properties);
    let after = now_millis();
    assert!(is_success && printed.contains("results: 30000, each exactly once"), "{printed}");
    check_results(&folder, 30_000);

    let events = lines(&folder, "events.jsonl");
    let statuses = attributes(&named(&events, "JobStatusChangeEvent"), "newJobStatus");
    assert_eq!(statuses, ["RUNNING", "RESTARTING", "RUNNING", "FINISHED"]);
    let all_running = attributes(&named(&events, "AllSubtasksStatusChangeEvent"), "status");
    assert_eq!(all_running, ["ALL_RUNNING_OR_FINISHED", "NOT_ALL_RUNNING_OR_FINISHED", "ALL_RUNNING_OR_FINISHED"]);
    let [failure] = named(&events, "JobFailureEvent")[..] else { panic!("one failure expected: {events:?}") };
    for (key, expected) in [
        ("canRestart", "true"),
        ("isGlobalFailure", "false"),
        ("exception.message", "fails on purpose at checkpoint 3"),
        ("taskName", "count (1/2)"),
    ] {
        assert_eq!(attributes(&[failure], key), [expected]);
    }

    let spans = lines(&folder, "spans.jsonl");
    let checkpoints = named(&spans, "Checkpoint");
    let ids = attributes(&checkpoints, "checkpointId");
    assert!(ids.len() >= 4 && ids.iter().enumerate().all(|(place, id)| *id == (place + 1).to_string()), "{ids:?}");
    let failed = |record: &&Value| record["attributes"]["checkpointStatus"] == "FAILED";
    assert_eq!(checkpoints.iter().map(failed).collect::<Vec<_>>(), ids.iter().map(|id| id == "3").collect::<Vec<_>>());
    assert_eq!(attributes(&named(&events, "CheckpointEvent"), "checkpointId"), ids);
    let with_parent = |name: &str, parent: &Value| {
        named(&spans, name).into_iter().filter(|span| span["parentSpanId"] == parent["spanId"]).collect::<Vec<_>>()
    };
    for checkpoint in checkpoints.iter().filter(|checkpoint| !failed(checkpoint)) {
        let tasks = with_parent("Checkpoint_Task", checkpoint);
        let subtasks: Vec<_> = tasks.iter().flat_map(|task| with_parent("Checkpoint_Subtask", task)).collect();
        assert_eq!((tasks.len(), subtasks.len()), (3, 6));
        let size =
            subtasks.iter().map(|subtask| subtask["attributes"]["StateSizeBytes"].as_i64().unwrap()).sum::<i64>();
        assert_eq!(checkpoint["attributes"]["fullSize"], size);
        assert!(size > 4_000);
    }
    for span in &spans {
        let (start, end) = (span["startMs"].as_i64().unwrap(), span["endMs"].as_i64().unwrap());
        assert!(before <= start && start <= end && end <= after, "{span}");
    }

    let starts = named(&spans, "JobInitialization");
    assert_eq!(attributes(&starts, "initializationStatus"), ["COMPLETED", "COMPLETED"]);
    assert_eq!(attributes(&starts, "checkpointId"), ["null", "2"]);
    let (fresh, recovery, restored) = (starts[0], starts[1], checkpoints[1]);
    assert_eq!(recovery["links"][0]["traceId"], restored["traceId"]);
    assert_eq!(fresh.get("links"), None);
    assert_eq!(recovery["attributes"]["fullSize"], restored["attributes"]["fullSize"]);
    let from_disk = "sumRestoredStateSizeBytes.LOCAL_DISK";
    assert_eq!(recovery["attributes"][from_disk], restored["attributes"]["fullSize"]);
    assert_eq!(with_parent("JobInitialization_Subtask", recovery).len(), 6);
}

#[test]
fn a_process_that_is_killed_and_another_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    // Without the kill it would take at least a minute.
    let slow = ["engine.records=60000", "engine.pause=200 ms", "pipeline.name=killed"];
    let (mut child, stderr) = start(folder.path(), &slow);
    let mut trace_ids = BTreeMap::new();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let word = |key: &str| line.split_once(key).map(|(_, rest)| rest.split(' ').next().unwrap().to_owned());
        if line.contains(" name=Checkpoint ") {
            trace_ids.insert(word("checkpointId=").unwrap().parse::<i64>().unwrap(), word("trace_id=").unwrap());
        }
        if trace_ids.len() == 2 {
            let _ = child.kill();
        }
    }
    assert!(!child.wait().unwrap().success());

    let properties = [&JSON[..], &["engine.records=60000", "pipeline.name=killed"]].concat();
    let (printed, is_success) = run(folder.path(), &properties);
    assert!(is_success && printed.contains("results: 60000, each exactly once"), "{printed}");
    check_results(&folder, 60_000);
    let spans = lines(&folder, "spans.jsonl");
    let [start] = named(&spans, "JobInitialization")[..] else { panic!("one start expected: {spans:?}") };
    let restored = start["attributes"]["checkpointId"].as_i64().unwrap();
    let last = *trace_ids.last_key_value().unwrap().0;
    // It may have been killed after it completed one, before it told of it.
    assert!(restored == last || restored == last + 1, "{restored}, {trace_ids:?}");
    if let Some(trace_id) = trace_ids.get(&restored) {
        assert_eq!(start["links"][0]["traceId"], trace_id.as_str());
    }
    let first = named(&spans, "Checkpoint")[0]["attributes"]["checkpointId"].as_i64().unwrap();
    assert!(first > restored, "ids are never used again");
}

#[test]
fn a_job_that_fails_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["engine.records=1000", "engine.fail-at-checkpoint=1", "restart-strategy.fixed-delay.attempts=0"];
    let (printed, is_success) = run(folder.path(), &[&JSON[..], &more].concat());
    assert!(!is_success && printed.contains("the job failed for good: fails on purpose at checkpoint 1"), "{printed}");
    let events = lines(&folder, "events.jsonl");
    let statuses = attributes(&named(&events, "JobStatusChangeEvent"), "newJobStatus");
    assert_eq!(statuses, ["RUNNING", "FAILING", "FAILED"]);
    assert_eq!(attributes(&named(&events, "JobFailureEvent"), "canRestart"), ["false"]);
}

#[test]
fn over_otlp() {
    let folder = tempfile::tempdir().unwrap();
    let collector = OtlpCollector::start().unwrap();
    let endpoint = |signal: &str| format!("{signal}.reporter.otel.exporter.endpoint={}", collector.grpc_endpoint());
    let class = |signal: &str, name: &str| {
        format!("{signal}.reporter.otel.factory.class=org.apache.flink.{signal}.otel.{name}ReporterFactory")
    };
    let properties = [
        class("traces", "OpenTelemetryTrace"),
        endpoint("traces"),
        class("events", "OpenTelemetryEvent"),
        endpoint("events"),
        "engine.records=1000".to_owned(),
    ];
    let (printed, is_success) = run(folder.path(), &properties.each_ref().map(String::as_str));
    assert!(is_success, "{printed}");
    let names: HashSet<_> = collector.spans().into_iter().map(|received| received.span.name).collect();
    assert_eq!(names, HashSet::from(["Checkpoint", "JobInitialization"].map(str::to_owned)));
    let finished =
        collector.logs().into_iter().filter(|log| log.attributes().get("newJobStatus") == Some(&"FINISHED".into()));
    assert_eq!(finished.count(), 1);
}

#[test]
fn a_misspelt_key_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (printed, is_success) = run(folder.path(), &["engine.record=1000"]);
    assert!(!is_success && printed.contains("did you mean engine.records?"), "{printed}");
    assert!(!folder.path().join("job").exists());
}
