//! Tests of the engine as a process, with crashes, kills and recoveries.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flink_rest::types::JobDetails;
use flink_rest::{
    CancelJob, CheckpointDetails, CheckpointStatus, Checkpoints, Client, Error, Job, JobId, JobStatus, JobsOverview,
    ShutdownCluster, StopJob, TriggerCheckpoint, TriggerSavepoint,
};
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

/// Runs the engine to its end, with a time limit. Returns the output, and `true` on success.
fn run(folder: &Path, properties: &[&str]) -> (String, bool) {
    let (mut child, mut stderr) = start(folder, properties);
    let (sender, receiver) = sync_channel(1);
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        sender.send(text).unwrap();
    });
    let text = receiver.recv_timeout(LONG);
    let _ = child.kill();
    let is_success = child.wait().unwrap().success();
    reader.join().unwrap();
    (text.unwrap_or_else(|_| panic!("the engine does not end")), is_success)
}

/// A limit that no run comes near, on any machine.
const LONG: Duration = Duration::from_secs(120);

/// Options of reporters that write `spans.jsonl` and `events.jsonl`.
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

/// Returns one attribute of each record, as text.
fn attributes(records: &[&Value], key: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    records.iter().map(|record| text(&record["attributes"][key])).collect()
}

/// Checks that the output has each count of each key once.
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
fn crashed_job_recovers_exactly_once() {
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
        ("taskName", "count (1/2) - execution #0"),
    ] {
        assert_eq!(attributes(&[failure], key), [expected]);
    }

    let spans = lines(&folder, "spans.jsonl");
    let checkpoints = named(&spans, "Checkpoint");
    let ids = attributes(&checkpoints, "checkpointId");
    assert!(ids.len() >= 4 && ids.iter().enumerate().all(|(index, id)| *id == (index + 1).to_string()), "{ids:?}");
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
fn killed_process_is_continued_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    // Without the kill, it would take at least a minute.
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
    // The kill may come between the completion of a checkpoint and its report.
    assert!(restored == last || restored == last + 1, "{restored}, {trace_ids:?}");
    if let Some(trace_id) = trace_ids.get(&restored) {
        assert_eq!(start["links"][0]["traceId"], trace_id.as_str());
    }
    let first = named(&spans, "Checkpoint")[0]["attributes"]["checkpointId"].as_i64().unwrap();
    assert!(first > restored, "ids are not reused");
}

#[test]
fn job_without_restarts_fails() {
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
fn job_reports_over_otlp() {
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
    let names: HashSet<_> = collector.spans().into_iter().map(|received| received.name().to_owned()).collect();
    assert_eq!(names, HashSet::from(["Checkpoint", "JobInitialization"].map(str::to_owned)));
    let finished =
        collector.events().into_iter().filter(|log| log.attributes().get("newJobStatus") == Some(&"FINISHED".into()));
    assert_eq!(finished.count(), 1);
}

const MINUTE: Duration = Duration::from_secs(60);

/// An engine that serves its REST API. Dropping this value kills it.
struct Served {
    child: Child,
    stderr: BufReader<ChildStderr>,
    client: Client,
}

impl Served {
    fn start(folder: &Path, properties: &[&str]) -> Self {
        let (child, stderr) = start(folder, &[properties, &["rest.port=0"]].concat());
        let mut stderr = BufReader::new(stderr);
        let mut line = String::new();
        while !line.contains("REST API at ") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the engine ended");
        }
        let url = line.trim_end().split_once("REST API at ").unwrap().1;
        Self { child, stderr, client: Client::new(url).unwrap() }
    }

    /// Waits until the job has this state, and until all subtasks run if it is `Running`.
    async fn job(&self, state: JobStatus) -> JobDetails {
        let end = Instant::now() + LONG;
        loop {
            let job = self.client.call(&JobsOverview).await.unwrap().jobs.remove(0);
            if job.state == state && (state != JobStatus::Running || job.tasks.running == job.tasks.total) {
                return job;
            }
            assert!(Instant::now() < end, "not {state} within {LONG:?}, but {}", job.state);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Shuts the cluster down. Returns the rest of the output, and `true` on success.
    async fn shut_down(mut self) -> (String, bool) {
        self.client.call(&ShutdownCluster).await.unwrap();
        let mut printed = String::new();
        self.stderr.read_to_string(&mut printed).unwrap();
        (printed, self.child.wait().unwrap().success())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// Scenario: a client takes a checkpoint and savepoints, two of which fail, and stops the job with a
// savepoint. The next process continues from that savepoint.
// Guarantees: each operation reports its outcome, and each record is counted exactly once.
#[tokio::test]
async fn job_stopped_over_rest_continues_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    // Without the stop, it would take at least a minute. Periodic checkpoints would push the
    // requested ones out of the history.
    let slow = [
        "engine.records=60000",
        "engine.pause=200 ms",
        "pipeline.name=stopped",
        "execution.checkpointing.interval=1 h",
    ];
    let engine = Served::start(folder.path(), &slow);
    let (client, details) = (&engine.client, engine.job(JobStatus::Running).await);
    let job = details.jid;
    assert_eq!(details.name, "stopped");

    let operation = TriggerCheckpoint::new(job.clone());
    let checkpoint = client.run(&operation, MINUTE).await.unwrap().checkpoint_id.unwrap();
    let found = client.call(&CheckpointDetails { job: job.clone(), checkpoint }).await.unwrap();
    assert_eq!((found.status, found.tasks.len(), found.num_subtasks), (CheckpointStatus::Completed, 3, Some(6)));

    let savepoint = async |target: Option<String>| {
        let mut operation = TriggerSavepoint::new(job.clone());
        operation.body.target_directory = target;
        client.run(&operation, MINUTE).await
    };
    let problem = match savepoint(None).await {
        Err(Error::OperationFailed { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert!(problem.contains("execution.checkpointing.savepoint-dir is not set"), "{problem}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(savepoint(Some(file.display().to_string())).await, Err(Error::OperationFailed { .. })));
    let target = format!("file://{}", folder.path().join("savepoints").display());
    let location = savepoint(Some(target.clone())).await.unwrap().location.unwrap();
    assert!(Path::new(&location).join("_metadata").exists(), "{location}");
    let checkpoints = client.call(&Checkpoints { job: job.clone() }).await.unwrap();
    assert_eq!(checkpoints.latest.savepoint.unwrap().external_path, Some(location));
    // Only the savepoint failed, not the job.
    assert_eq!(checkpoints.counts.restored, 0);

    let stop = StopJob::new(job.clone()).target_directory(target);
    let stopped_at = client.run(&stop, MINUTE).await.unwrap().location.unwrap();
    engine.job(JobStatus::Finished).await;
    let subtasks = client.call(&Job { job: job.clone() }).await.unwrap().vertices;
    assert!(subtasks.iter().all(|vertex| vertex.status.as_str() == "FINISHED"), "{subtasks:?}");
    let late = client.call(&CancelJob::new(job.clone())).await;
    assert!(matches!(late, Err(Error::Status { problem, .. }) if problem.status() == 409));
    let last = client.call(&Checkpoints { job }).await.unwrap().latest.savepoint.unwrap().id;
    let (printed, is_success) = engine.shut_down().await;
    assert!(is_success && printed.contains("the job has ended: Stopped"), "{printed}");

    let recovery = format!("execution.state-recovery.path={stopped_at}");
    let properties = [&JSON[..], &["engine.records=60000", "pipeline.name=stopped", &recovery]].concat();
    let (printed, is_success) = run(folder.path(), &properties);
    assert!(is_success && printed.contains("results: 60000, each exactly once"), "{printed}");
    check_results(&folder, 60_000);
    let spans = lines(&folder, "spans.jsonl");
    let [start] = named(&spans, "JobInitialization")[..] else { panic!("one start expected: {spans:?}") };
    assert_eq!(start["attributes"]["checkpointId"], last);
}

#[tokio::test]
async fn job_is_canceled_over_rest() {
    let folder = tempfile::tempdir().unwrap();
    let slow = ["engine.records=60000", "engine.pause=200 ms"];
    let engine = Served::start(folder.path(), &[&JSON[..], &slow].concat());
    let job = engine.job(JobStatus::Running).await.jid;
    engine.client.call(&CancelJob::new(job.clone())).await.unwrap();
    let canceled = engine.job(JobStatus::Canceled).await;
    assert_eq!(canceled.tasks.canceled, canceled.tasks.total);
    let operation = TriggerCheckpoint::new(job);
    let problem = engine.client.run(&operation, MINUTE).await.unwrap_err().to_string();
    assert!(problem.ends_with("The job has already ended (CANCELED)."), "{problem}");
    let unknown = CancelJob::new(JobId::new("17").unwrap());
    assert!(engine.client.call(&unknown).await.unwrap_err().is_not_found());
    let (printed, is_success) = engine.shut_down().await;
    assert!(is_success && printed.contains("the job has ended: Canceled"), "{printed}");
    let events = lines(&folder, "events.jsonl");
    let statuses = attributes(&named(&events, "JobStatusChangeEvent"), "newJobStatus");
    assert_eq!(statuses, ["RUNNING", "CANCELLING", "CANCELED"]);
}

// Guarantees: a shutdown suspends the job, and the next process continues it.
#[tokio::test]
async fn shutdown_over_rest_suspends_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Served::start(folder.path(), &["engine.records=60000", "engine.pause=200 ms"]);
    let job = engine.job(JobStatus::Running).await.jid;
    let operation = TriggerCheckpoint::new(job);
    engine.client.run(&operation, MINUTE).await.unwrap();
    let (printed, is_success) = engine.shut_down().await;
    assert!(is_success && printed.contains("the job has ended: Suspended"), "{printed}");
    let (printed, is_success) = run(folder.path(), &["engine.records=60000"]);
    assert!(is_success && printed.contains("results: 60000, each exactly once"), "{printed}");
}

#[test]
fn misspelled_key_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (printed, is_success) = run(folder.path(), &["engine.record=1000"]);
    assert!(!is_success && printed.contains("did you mean engine.records?"), "{printed}");
    assert!(!folder.path().join("job").exists());
}
