//! Tracked jobs over Flink's REST API.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::expect_file;
use flate2::read::GzDecoder;
use flink_rest::types::{CheckpointConfigInfo, ExecutionConfigInfo, HardwareDescription, TaskManagerInfo};
use flink_rest::{
    ApplicationExceptions, ApplicationId, CancelApplication, CancelJob, CheckpointTriggerStatus, Client, Declaration,
    Endpoint, Error, JobId, Overview, RestServer, SavepointStatus, ServerOptions, ShutdownCluster, StopJob,
    TaskManagers, TriggerCheckpoint, TriggerId, TriggerSavepoint, YarnCancelJob,
};
use flink_traces_api::Timestamp;
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointTask, CheckpointType, RestoredCheckpoint, SubtaskMetric, SubtaskStats,
};
use flink_traces_runtime::job::{DeployedTask, ExecutionAttemptId, ExecutionState, FailureHandlingResult, JobStatus};
use flink_traces_runtime::rest::{
    ClusterInfo, JobInfo, JobInput, JobVertex, NotSupported, PendingOperation, RestfulGateway, SavepointRequest,
    TaskExecutorRegistration, TrackedCluster, TrackedJob, TriggerSavepointMode,
};
use flink_traces_runtime::{CheckpointStatsTracker, Configuration};
use flink_traces_testkit::ManualClock;
use serde_json::Value;
use tokio::sync::oneshot;

const JOB: &str = "0b1d198cd84d58810f0faf9761017b2f";
const SOURCE: &str = "6bf01baa9d2ca23a3ef7ce311722523d";
const SINK: &str = "a196eece6af80922e24d9003a27340c9";
const NOW: i64 = 20_000;

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(NOW)))
}

fn attempt(vertex: &str, subtask_index: u32, attempt_number: u32) -> ExecutionAttemptId {
    ExecutionAttemptId { job_vertex_id: vertex.to_owned(), subtask_index, attempt_number }
}

fn info() -> JobInfo {
    let vertex = |id: &str, name: &str, parallelism, inputs| {
        JobVertex::new(id, name, parallelism).with_max_parallelism(128).with_inputs(inputs)
    };
    let input = JobInput::new(SOURCE, "HASH");
    let checkpoints = r#"{"mode":"exactly_once","interval":1000,"timeout":600000,"min_pause":0,"max_concurrent":1,
        "externalization":{"enabled":false,"delete_on_cancellation":true},"unaligned_checkpoints":false,
        "state_backend":"files","checkpoint_storage":"files","tolerable_failed_checkpoints":0,
        "aligned_checkpoint_timeout":0,"checkpoints_after_tasks_finish":true,"state_changelog_enabled":false,
        "changelog_periodic_materialization_interval":0,"changelog_storage":"memory"}"#;
    let execution =
        r#"{"restart-strategy":"never","job-parallelism":2,"object-reuse-mode":false,"user-config":{"a":"b"}}"#;
    JobInfo::new(
        JOB,
        "orders",
        vec![vertex(SOURCE, "Source: <orders>", 2, vec![]), vertex(SINK, "sink", 1, vec![input])],
        serde_json::from_str::<CheckpointConfigInfo>(checkpoints).unwrap(),
    )
    .with_execution(serde_json::from_str::<ExecutionConfigInfo>(execution).unwrap())
}

/// Starts all subtasks with attempt `number`.
fn start_subtasks(job: &TrackedJob, number: u32, at: i64) {
    for (vertex, index) in [(SOURCE, 0), (SOURCE, 1), (SINK, 0)] {
        let attempt = attempt(vertex, index, number);
        job.report_subtask(&attempt, ExecutionState::Scheduled, at + 1);
        job.report_subtask(&attempt, ExecutionState::Deploying, at + 2);
        let place = {
            let mut value = DeployedTask::default();
            value.task_name = None;
            value.endpoint = Some("worker-1:6122".to_owned());
            value.task_manager_id = Some("worker-1".to_owned());
            value
        };
        job.report_deployed(&attempt, place, at + 2);
        job.report_subtask(&attempt, ExecutionState::Initializing, at + 3);
        job.report_subtask(&attempt, ExecutionState::Running, at + 10 + i64::from(index));
    }
}

fn acknowledge(checkpoints: &CheckpointStatsTracker, id: i64, vertex: &str, index: i64, at: i64) {
    let metrics = [4096, 512, 3, 1, 2, 90, 7, 0].map(Some);
    let subtask = SubtaskStats::new(index, at).with_metrics(SubtaskMetric::ALL.into_iter().zip(metrics));
    checkpoints.report_subtask(id, vertex, subtask).unwrap();
}

/// Creates a job that has taken a checkpoint and a savepoint, failed during another checkpoint, and
/// was restored.
///
/// It has a checkpoint in progress.
fn tracked() -> Arc<TrackedJob> {
    let checkpoints = Arc::new(CheckpointStatsTracker::new(10));
    let job = Arc::new(TrackedJob::new(info(), checkpoints.clone(), JobStatus::Created, 1_000).unwrap());
    job.report_status(JobStatus::Running, 1_010);
    start_subtasks(&job, 0, 1_020);
    let task = |id: &str, parallelism| CheckpointTask::new(id, parallelism);
    let tasks = [task(SOURCE, 2), task(SINK, 1)];
    for (id, kind) in [(1, CheckpointType::Checkpoint), (2, CheckpointType::Savepoint)] {
        let at = 2_000 * id;
        checkpoints.report_pending(id, at, kind, &tasks).unwrap();
        acknowledge(&checkpoints, id, SOURCE, 0, at + 100);
        acknowledge(&checkpoints, id, SOURCE, 1, at + 110);
        acknowledge(&checkpoints, id, SINK, 0, at + 120);
        checkpoints.report_completed(id, Some(format!("file:/checkpoints/{id}")), Some(99)).unwrap();
    }
    checkpoints.report_pending(3, 6_000, CheckpointType::Savepoint, &tasks).unwrap();
    acknowledge(&checkpoints, 3, SOURCE, 1, 6_100);
    let failed = attempt(SINK, 0, 0);
    job.report_subtask(&failed, ExecutionState::Failed, 6_500);
    let error = std::io::Error::other("disk full");
    job.report_failure(
        &FailureHandlingResult::new(6_500, &error, true)
            .with_failed_execution(&failed)
            .with_error_type("std::io::Error")
            .with_labels(&[("type".to_owned(), "SYSTEM".to_owned()), ("deliberate".to_owned(), "true".to_owned())])
            .with_global_failure(false),
    );
    let failure = CheckpointFailure::new(6_501, "Task has failed.");
    checkpoints.report_failed(3, failure).unwrap();
    job.report_status(JobStatus::Restarting, 6_502);
    checkpoints.report_initialization_started(7_000, []);
    checkpoints
        .report_restored(RestoredCheckpoint::new(1, 7_000, false).with_external_path("file:/checkpoints/1".to_owned()))
        .unwrap();
    job.report_status(JobStatus::Running, 7_000);
    start_subtasks(&job, 1, 7_010);
    checkpoints.report_pending(4, 8_000, CheckpointType::Checkpoint, &tasks).unwrap();
    acknowledge(&checkpoints, 4, SOURCE, 0, 8_050);
    job
}

fn cluster_info() -> ClusterInfo {
    ClusterInfo::new("2.3.0", "engine-1").with_refresh_interval(3000).with_web_cancel(true)
}

/// A cluster behind a server on a loopback port, until it is dropped.
struct Running {
    client: Client,
    cluster: Arc<TrackedCluster>,
    _stop: oneshot::Sender<()>,
}

impl Running {
    async fn start() -> Self {
        Self::start_with(|cluster| cluster).await
    }

    async fn start_with(change: impl FnOnce(TrackedCluster) -> TrackedCluster) -> Self {
        let configuration =
            [("parallelism.default", "2"), ("s3.secret-key", "c4nary"), ("proxy", "http://me:c4nary@p")];
        let cluster =
            TrackedCluster::new(cluster_info(), clock()).with_configuration(&Configuration::from_pairs(configuration));
        let cluster = Arc::new(change(cluster));
        cluster.add_job(tracked());
        let mut hardware = HardwareDescription::default();
        hardware.cpu_cores = 8;
        hardware.physical_memory = 1 << 34;
        cluster.register_task_executor(
            TaskExecutorRegistration::new("worker-1", "worker-1.example.com", 4)
                .with_data_port(6122)
                .with_hardware(hardware),
        );
        let options = ServerOptions::new(([127, 0, 0, 1], 0));
        let server = RestServer::bind(cluster.clone(), options).await.unwrap();
        let client = Client::new(&format!("http://{}", server.local_addr().unwrap())).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self { client, cluster, _stop: stop }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.client.get_raw(path).await.unwrap();
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }
}

/// Returns the served paths, each as Flink declares it and as a request.
fn served() -> Vec<(&'static str, String)> {
    let job = format!("/jobs/{JOB}");
    [
        "/config",
        "/overview",
        "/jobs",
        "/jobs/overview",
        "/jobs/:jobid",
        "/jobs/:jobid/status",
        "/jobs/:jobid/config",
        "/jobs/:jobid/plan",
        "/jobs/:jobid/exceptions",
        "/jobs/:jobid/metrics",
        "/jobs/:jobid/checkpoints",
        "/jobs/:jobid/checkpoints/config",
        "/jobs/:jobid/checkpoints/details/:checkpointid",
        "/jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid",
        "/jobs/:jobid/vertices/:vertexid",
        "/jobs/:jobid/vertices/:vertexid/subtasktimes",
        "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex",
        "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt",
        "/jobs/:jobid/vertices/:vertexid/metrics",
        "/jobs/:jobid/vertices/:vertexid/watermarks",
        "/jobs/:jobid/vertices/:vertexid/subtasks/metrics",
        "/applications/overview",
        "/applications/:applicationid",
        "/applications/:applicationid/exceptions",
        "/applications/:applicationid/jobmanager/config",
        "/jobs/:jobid/accumulators",
        "/jobs/:jobid/jobmanager/config",
        "/jobs/:jobid/vertices/:vertexid/accumulators",
        "/jobs/:jobid/vertices/:vertexid/subtasks/accumulators",
        "/jobs/:jobid/vertices/:vertexid/taskmanagers",
        "/jobmanager/config",
        "/jobmanager/environment",
        "/jobmanager/logs",
        "/jobmanager/metrics",
        "/taskmanagers",
        "/taskmanagers/:taskmanagerid",
        "/taskmanagers/:taskmanagerid/logs",
        "/taskmanagers/:taskmanagerid/metrics",
    ]
    .map(|template| {
        let path = template.replace("/jobs/:jobid", &job).replace(":checkpointid", "1").replace(":vertexid", SOURCE);
        let path = path.replace(":applicationid", JOB).replace(":taskmanagerid", "worker-1");
        (template, path.replace(":subtaskindex", "1").replace(":attempt", "1"))
    })
    .into()
}

#[tokio::test]
async fn responses_have_reported_state() {
    let running = Running::start().await;
    let mut rendered = String::new();
    let more = [
        format!("/jobs/{JOB}/checkpoints/details/3"),
        format!("/jobs/{JOB}/checkpoints/details/4/subtasks/{SOURCE}"),
        format!("/jobs/{JOB}/metrics?get=lastCheckpointSize,numRestarts,lastCheckpointExternalPath"),
        format!("/jobs/{JOB}/exceptions?failureLabelFilter=type:USER"),
        format!("/jobs/{JOB}/exceptions?maxExceptions=0"),
        format!("/jobs/{JOB}/vertices/{SINK}/subtasks/0/attempts/0"),
        "/jobmanager/metrics?get=taskSlotsTotal,taskSlotsAvailable,numRunningJobs,Status.JVM.CPU.Load".to_owned(),
    ];
    for path in served().into_iter().map(|(_, path)| path).chain(more) {
        let (status, body) = running.get(&path).await;
        assert_eq!(status, 200, "{path}: {body}");
        writeln!(rendered, "{path}\n{}", serde_json::to_string_pretty(&body).unwrap()).unwrap();
    }
    expect_file!["../data/rest.txt"].assert_eq(&rendered);
}

/// Guarantees: each state of subtasks has a count of its own. The counts differ, so none of them
/// can stand for another.
#[tokio::test]
async fn overview_counts_subtasks_in_each_state() {
    let total = (1..=ExecutionState::ALL.len()).sum::<usize>();
    let vertices = vec![JobVertex::new(SOURCE, "source", u32::try_from(total).unwrap())];
    let checkpoints = Arc::new(CheckpointStatsTracker::new(10));
    let other = JOB.replace('0', "f");
    let job = JobInfo::new(&other, "payments", vertices, CheckpointConfigInfo::new("exactly_once", 1_000));
    let job = Arc::new(TrackedJob::new(job, checkpoints, JobStatus::Running, 1_000).unwrap());
    let mut expected = serde_json::Map::from_iter([("total".to_owned(), total.into())]);
    let mut indexes = 0..;
    for (position, state) in ExecutionState::ALL.into_iter().enumerate() {
        for index in indexes.by_ref().take(position + 1) {
            job.report_subtask(&attempt(SOURCE, index, 0), state, 1_001);
        }
        expected.insert(state.to_string().to_ascii_lowercase(), (position + 1).into());
    }
    let running = Running::start_with(|cluster| {
        cluster.add_job(job);
        cluster
    });
    let (_, overview) = running.await.get("/jobs/overview").await;
    let shown = overview["jobs"].as_array().unwrap().iter().find(|shown| shown["jid"] == *other);
    assert_eq!(shown.unwrap()["tasks"], Value::Object(expected));
}

#[tokio::test]
async fn unknown_resources_are_not_found() {
    let running = Running::start().await;
    let job = format!("/jobs/{JOB}");
    for (path, status, problem) in [
        ("/jobs/abc".to_owned(), 404, "Job abc not found".to_owned()),
        ("/jobs/abc/checkpoints/details/1".to_owned(), 404, "Job abc not found".to_owned()),
        ("/jobs/abc/metrics".to_owned(), 404, "Job abc not found".to_owned()),
        (
            format!("{job}/checkpoints/details/5"),
            404,
            "Could not find checkpointing statistics for checkpoint 5.".to_owned(),
        ),
        (
            format!("{job}/checkpoints/details/1/subtasks/abc"),
            404,
            "There is no checkpoint statistics for task abc.".to_owned(),
        ),
        (format!("{job}/vertices/abc"), 404, "Vertex abc not found".to_owned()),
        (format!("{job}/vertices/abc/subtasktimes"), 404, "Vertex abc not found".to_owned()),
        (format!("{job}/vertices/{SINK}/subtasks/1"), 404, "Subtask 1 not found".to_owned()),
        (format!("{job}/vertices/{SINK}/subtasks/-1"), 404, "Subtask -1 not found".to_owned()),
        (
            format!("{job}/vertices/{SINK}/subtasks/0/attempts/2"),
            404,
            format!("Could not find attempt 2 in subtask 0 in job vertex {SINK}"),
        ),
        (format!("{job}/exceptions?failureLabelFilter=x"), 400, "x is no label: key:value is expected".to_owned()),
        ("/applications/abc".to_owned(), 404, "Application could not be found.".to_owned()),
        ("/applications/abc/exceptions".to_owned(), 404, "Application could not be found.".to_owned()),
        ("/jobs/abc/jobmanager/config".to_owned(), 404, "Job abc not found".to_owned()),
        (format!("{job}/vertices/abc/taskmanagers"), 404, "Vertex abc not found".to_owned()),
        (format!("{job}/vertices/abc/accumulators"), 404, "Vertex abc not found".to_owned()),
        ("/taskmanagers/abc".to_owned(), 404, "Could not find TaskExecutor abc.".to_owned()),
        ("/taskmanagers/abc/metrics".to_owned(), 404, "Could not find TaskExecutor abc.".to_owned()),
        ("/taskmanagers/abc/logs".to_owned(), 404, "Could not find TaskExecutor abc.".to_owned()),
        (
            "/jobmanager/thread-dump".to_owned(),
            404,
            "Unable to load requested file /jobmanager/thread-dump.".to_owned(),
        ),
    ] {
        assert_eq!(running.get(&path).await, (status, serde_json::json!({"errors": [problem]})), "{path}");
    }
    assert!(running.cluster.remove_job(JOB).is_some());
    assert_eq!(running.get(&job).await.0, 404);
    assert_eq!(running.get("/jobs").await, (200, serde_json::json!({"jobs": []})));
}

/// The fields that Flink 2.3.0 has and an engine's reports do not.
const UNKNOWN_TO_ENGINES: &[&str] = &[
    // Statuses that no job of this test has.
    "/applications/overview.applications[].jobs.FAILED",
    "/applications/overview.applications[].jobs.FINISHED",
    "/jobs/:jobid.vertices[].metrics.accumulated-backpressured-time",
    "/jobs/:jobid.vertices[].metrics.accumulated-busy-time",
    "/jobs/:jobid.vertices[].metrics.accumulated-idle-time",
    "/jobs/:jobid.vertices[].slotSharingGroupId",
    "/jobs/:jobid/vertices/:vertexid.aggregated",
    "/jobs/:jobid/vertices/:vertexid.subtasks[].metrics.accumulated-backpressured-time",
    "/jobs/:jobid/vertices/:vertexid.subtasks[].metrics.accumulated-busy-time",
    "/jobs/:jobid/vertices/:vertexid.subtasks[].metrics.accumulated-idle-time",
    "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex.metrics.accumulated-backpressured-time",
    "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex.metrics.accumulated-busy-time",
    "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex.metrics.accumulated-idle-time",
    "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt.metrics.accumulated-backpressured-time",
    "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt.metrics.accumulated-busy-time",
    "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt.metrics.accumulated-idle-time",
    "/jobs/:jobid/vertices/:vertexid/taskmanagers.taskmanagers[].aggregated",
    "/jobs/:jobid/vertices/:vertexid/taskmanagers.taskmanagers[].metrics.accumulated-backpressured-time",
    "/jobs/:jobid/vertices/:vertexid/taskmanagers.taskmanagers[].metrics.accumulated-busy-time",
    "/jobs/:jobid/vertices/:vertexid/taskmanagers.taskmanagers[].metrics.accumulated-idle-time",
];

/// The prefixes of fields that need a JVM or Flink's network stack.
const OF_A_JVM: &[&str] = &[
    "/taskmanagers.taskmanagers[].memoryConfiguration.",
    "/taskmanagers/:taskmanagerid.memoryConfiguration.",
    "/taskmanagers/:taskmanagerid.metrics.",
];

/// The fields of lists, such as metrics and logs, of which an engine has fewer entries.
const FEWER: &[&str] = &[
    "metrics",
    "watermarks",
    "concurrentExceptions",
    "user-task-accumulators",
    "user-accumulators",
    "logs",
    "garbageCollectors",
    "options",
    "classpath",
];

/// Guarantees: a response has all fields of the same response of Flink 2.3.0, except for those
/// listed above.
#[tokio::test]
async fn responses_have_flinks_fields() {
    let running = Running::start().await;
    let exchanges = recorded("2.3.0");
    let mut missing = BTreeSet::new();
    for (template, path) in served() {
        let ours = running.get(&path).await.1;
        let of_flink = exchanges.iter().filter(|exchange| {
            let path = exchange["path"].as_str().unwrap();
            let declared = Declaration::of(exchange["method"].as_str().unwrap(), path);
            exchange["status"] == 200
                && !path.contains('?')
                && declared.is_some_and(|declared| declared.path == template)
        });
        let mut count = 0;
        for exchange in of_flink {
            collect(&exchange["body"], &[&ours], template, &mut missing);
            count += 1;
        }
        assert!(count > 0, "{template} was not recorded");
    }
    let missing = missing.iter().map(String::as_str);
    let missing = missing.filter(|field| !OF_A_JVM.iter().any(|begin| field.starts_with(begin)));
    assert_eq!(missing.collect::<Vec<_>>(), UNKNOWN_TO_ENGINES);
}

/// Guarantees: the response that lists jobs to Flink's command lines has exactly the fields of the
/// configured version.
#[tokio::test]
async fn overview_has_fields_of_its_version() {
    for version in ["1.9.3", "1.13.6", "1.15.4", "1.18.1", "1.20.5", "2.3.0"] {
        let running = Running::start_with(|_| {
            let info = {
                let mut value = cluster_info();
                value.flink_version = version.to_owned();
                value
            };
            TrackedCluster::new(info, clock())
        })
        .await;
        let recorded = recorded(version);
        let is_overview = |exchange: &&Value| exchange["path"] == "/jobs/overview" && exchange["status"] == 200;
        let fields = |body: &Value| body["jobs"][0].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let expected = fields(&recorded.iter().find(is_overview).unwrap()["body"]);
        assert_eq!(fields(&running.get("/jobs/overview").await.1), expected, "{version}");
    }
}

/// Returns the recorded responses of a real cluster of that version.
fn recorded(version: &str) -> Vec<Value> {
    let file = format!("../flink-rest/tests/data/all-endpoints-{version}.jsonl.gz");
    let lines = BufReader::new(GzDecoder::new(File::open(file).unwrap())).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// Collects the fields in `flink` that none of `ours` has. All ids count as the same field.
fn collect(flink: &Value, ours: &[&Value], place: &str, missing: &mut BTreeSet<String>) {
    match flink {
        Value::Object(flink) => {
            for (key, value) in flink.iter().filter(|(_, value)| !value.is_null()) {
                let (name, values): (_, Vec<_>) = match key.len() {
                    32 => (
                        ":id",
                        ours.iter().filter_map(|ours| ours.as_object()).flat_map(|ours| ours.values()).collect(),
                    ),
                    _ => (key.as_str(), ours.iter().filter_map(|ours| ours.get(key)).collect()),
                };
                match values.is_empty() {
                    true => missing.extend([format!("{place}.{name}")]),
                    false => collect(value, &values, &format!("{place}.{name}"), missing),
                }
            }
        }
        Value::Array(flink) if !FEWER.iter().any(|end| place.ends_with(end)) => {
            let values: Vec<_> = ours.iter().filter_map(|ours| ours.as_array()).flatten().collect();
            assert!(flink.is_empty() || !values.is_empty(), "{place} is empty");
            flink.iter().for_each(|flink| collect(flink, &values, &format!("{place}[]"), missing));
        }
        _ => {}
    }
}

/// A gateway that keeps the requested operations for the test.
#[derive(Default)]
struct Gateway {
    ordered: Mutex<Vec<String>>,
    checkpoints: Mutex<Vec<PendingOperation<i64>>>,
    savepoints: Mutex<Vec<PendingOperation<String>>>,
}

impl Gateway {
    fn ordered(&self) -> Vec<String> {
        std::mem::take(&mut *self.ordered.lock().unwrap())
    }
}

impl RestfulGateway for Gateway {
    fn cancel_job(&self, job_id: &str) -> Result<(), NotSupported> {
        self.ordered.lock().unwrap().push(format!("cancel {job_id}"));
        Ok(())
    }

    fn trigger_checkpoint(
        &self,
        _: &str,
        checkpoint_type: CheckpointType,
        operation: PendingOperation<i64>,
    ) -> Result<(), NotSupported> {
        self.ordered.lock().unwrap().push(format!("{checkpoint_type:?}"));
        self.checkpoints.lock().unwrap().push(operation);
        Ok(())
    }

    fn trigger_savepoint(
        &self,
        _: &str,
        request: SavepointRequest,
        operation: PendingOperation<String>,
    ) -> Result<(), NotSupported> {
        if request.mode == TriggerSavepointMode::TerminateWithSavepoint {
            return Err(NotSupported);
        }
        let SavepointRequest { target_directory, format_type, mode, .. } = request;
        self.ordered.lock().unwrap().push(format!("{mode:?} {format_type:?} {target_directory:?}"));
        self.savepoints.lock().unwrap().push(operation);
        Ok(())
    }
}

fn job() -> JobId {
    JobId::new(JOB).unwrap()
}

fn checkpoint(kind: Option<&str>) -> TriggerCheckpoint {
    let trigger = TriggerCheckpoint::new(job());
    match kind {
        Some(kind) => trigger.checkpoint_type(kind),
        None => trigger,
    }
}

/// Returns the status and first message of an error.
async fn refused<E: Endpoint>(client: &Client, request: &E) -> (u16, String)
where
    E::Response: std::fmt::Debug,
{
    match client.call(request).await {
        Err(Error::Status { problem, .. }) => (problem.status(), problem.message().to_owned()),
        other => panic!("{other:?}"),
    }
}

/// Scenario: an engine supports some operations, and a client triggers them and polls their status.
/// Guarantees: the engine gets each operation once for each id, and the client gets its outcome.
#[tokio::test]
async fn operations_reach_the_engine() {
    let gateway = Arc::new(Gateway::default());
    let running = Running::start_with(|cluster| cluster.with_gateway(gateway.clone())).await;
    let client = &running.client;
    let minute = Duration::from_secs(60);

    client.call(&CancelJob::new(job())).await.unwrap();
    client.call(&CancelJob::new(job()).mode("cancel".to_owned())).await.unwrap();
    // The request of the web UI.
    client.call(&YarnCancelJob { job: job() }).await.unwrap();
    client.call(&CancelApplication { application: ApplicationId::new(JOB).unwrap() }).await.unwrap();
    assert_eq!(gateway.ordered(), vec![format!("cancel {JOB}"); 4]);
    for (mode, status) in [("stop", 308), ("suspend", 400)] {
        assert_eq!(refused(client, &CancelJob::new(job()).mode(mode.to_owned())).await.0, status);
    }

    let trigger = client.call(&checkpoint(Some("FULL"))).await.unwrap().request_id;
    let status = CheckpointTriggerStatus { job: job(), trigger };
    assert_eq!(client.call(&status).await.unwrap().operation, None);
    gateway.checkpoints.lock().unwrap().pop().unwrap().complete(17);
    assert_eq!(client.call(&status).await.unwrap().operation.unwrap().checkpoint_id, Some(17));
    assert_eq!(refused(client, &checkpoint(Some("INCREMENTAL"))).await.0, 400);
    assert_eq!(gateway.ordered(), ["FullCheckpoint"]);

    // Two triggers with the same id are one operation.
    let id = TriggerId::new("7").unwrap();
    let savepoint = TriggerSavepoint::new(job()).target_directory("file:/s").trigger_id(id);
    for _ in 0..2 {
        assert_eq!(client.call(&savepoint).await.unwrap().request_id.as_str(), "7");
    }
    assert_eq!(gateway.ordered(), ["Savepoint Canonical Some(\"file:/s\")"]);
    gateway.savepoints.lock().unwrap().pop().unwrap().complete("file:/s/1".to_owned());
    assert_eq!(client.run(&savepoint, minute).await.unwrap().location.as_deref(), Some("file:/s/1"));

    // One operation fails, and the engine drops another.
    let stop = StopJob::new(job()).format_type("NATIVE");
    for (error, expected) in [
        (Some("no place"), "org.apache.flink.runtime.checkpoint.CheckpointException: no place"),
        (None, "org.apache.flink.runtime.checkpoint.CheckpointException: The engine gave the operation up."),
    ] {
        let trigger = client.call(&stop).await.unwrap().request_id;
        let operation = gateway.savepoints.lock().unwrap().pop().unwrap();
        match error {
            Some(error) => operation.fail(&std::io::Error::other(error)),
            None => drop(operation),
        }
        let ended = client.call(&SavepointStatus { job: job(), trigger }).await.unwrap().operation.unwrap();
        let failure = ended.failure().unwrap();
        assert_eq!(failure.stack_trace, expected);
        assert!(failure.serialized_throwable.is_some());
    }
    assert_eq!(gateway.ordered(), vec!["SuspendWithSavepoint Native None"; 2]);

    let drain = StopJob::new(job()).drain(true);
    let not_there = format!("/jobs/{JOB}/stop");
    assert_eq!(refused(client, &drain).await, (404, format!("Not found: {not_there}")));
    assert_eq!(refused(client, &ShutdownCluster).await, (404, "Not found: /cluster".to_owned()));
    let trigger = TriggerId::new("8").unwrap();
    let problem = format!("There is no savepoint operation with triggerId=8 for job {JOB}.");
    assert_eq!(refused(client, &SavepointStatus { job: job(), trigger }).await, (404, problem));
}

#[tokio::test]
async fn no_operations_on_ended_or_unknown_jobs() {
    let gateway = Arc::new(Gateway::default());
    let running = Running::start_with(|cluster| cluster.with_gateway(gateway.clone())).await;
    let ended = tracked();
    ended.report_status(JobStatus::Finished, 9_000);
    running.cluster.add_job(ended);
    let cancel = CancelJob::new(job());
    let problem = "Job cancellation failed because the job has already reached another terminal state (FINISHED).";
    assert_eq!(refused(&running.client, &cancel).await, (409, problem.to_owned()));
    let error = running.client.run(&checkpoint(None), Duration::from_secs(60)).await.unwrap_err();
    assert!(error.to_string().ends_with("CheckpointException: The job has already ended (FINISHED)."), "{error}");
    running.cluster.remove_job(JOB);
    assert_eq!(refused(&running.client, &cancel).await, (404, format!("Job {JOB} not found")));
    assert_eq!(refused(&running.client, &checkpoint(None)).await, (404, format!("Job {JOB} not found")));
    assert_eq!(gateway.ordered(), Vec::<String>::new());
}

#[tokio::test]
async fn no_operations_without_gateway() {
    let running = Running::start().await;
    let path = format!("/jobs/{JOB}");
    for (problem, expected) in [
        (refused(&running.client, &CancelJob::new(job())).await, format!("Not found: {path}")),
        (refused(&running.client, &checkpoint(None)).await, format!("Not found: {path}/checkpoints")),
        (refused(&running.client, &ShutdownCluster).await, "Not found: /cluster".to_owned()),
        (
            refused(&running.client, &YarnCancelJob { job: job() }).await,
            format!("Unable to load requested file {path}/yarn-cancel."),
        ),
    ] {
        assert_eq!(problem, (404, expected));
    }
}

/// Guarantees: a web UI without a cancel button cannot cancel a job, even if other clients can.
#[tokio::test]
async fn web_ui_cancels_only_if_allowed() {
    let gateway = Arc::new(Gateway::default());
    let running = Running::start_with(|_| {
        let info = cluster_info().with_web_cancel(false);
        TrackedCluster::new(info, clock()).with_gateway(gateway.clone())
    })
    .await;
    assert_eq!(refused(&running.client, &YarnCancelJob { job: job() }).await.0, 404);
    assert_eq!(gateway.ordered(), Vec::<String>::new());
    running.client.call(&CancelJob::new(job())).await.unwrap();
    assert_eq!(gateway.ordered(), [format!("cancel {JOB}")]);
}

/// Scenario: of two TaskManagers, one runs all subtasks and sends heartbeats until it is removed.
/// Then the job ends. Guarantees: a registered TaskManager is served with its subtasks, and the
/// overview counts all TaskManagers.
#[tokio::test]
async fn task_managers_come_and_go() {
    let running = Running::start().await;
    let rendered = async || {
        let managers = running.client.call(&TaskManagers).await.unwrap().taskmanagers;
        let managers = managers.iter().map(|manager| {
            let TaskManagerInfo { id, slots_number, free_slots, assigned_tasks, time_since_last_heartbeat, .. } =
                manager;
            let [free, all, seen] = [free_slots, slots_number, time_since_last_heartbeat].map(|known| known.unwrap());
            format!("{id} {free}/{all} {assigned_tasks:?} at {seen}")
        });
        let overview = running.client.call(&Overview).await.unwrap();
        let numbers = [overview.taskmanagers, overview.slots_available, overview.slots_total];
        let [taskmanagers, free, all] = numbers.map(|known| known.unwrap());
        let total = format!("{taskmanagers} {free}/{all}");
        (total, managers.collect::<Vec<_>>())
    };
    let cluster = &running.cluster;
    cluster.register_task_executor(
        TaskExecutorRegistration::new("worker-2", String::new(), 1).with_hardware(HardwareDescription::default()),
    );
    cluster.heartbeat_from_task_manager("worker-1", 19_000);
    cluster.heartbeat_from_task_manager("worker-3", 19_000);
    let second = format!("worker-2 1/1 Some(0) at {NOW}");
    let expected = ("2 3/5".to_owned(), vec!["worker-1 2/4 Some(3) at 19000".to_owned(), second.clone()]);
    assert_eq!(rendered().await, expected);

    let ended = tracked();
    ended.report_status(JobStatus::Failed, 9_000);
    cluster.add_job(ended);
    let expected = ("2 5/5".to_owned(), vec!["worker-1 4/4 Some(0) at 19000".to_owned(), second.clone()]);
    assert_eq!(rendered().await, expected);
    let application = ApplicationId::new(JOB).unwrap();
    let exceptions = running.client.call(&ApplicationExceptions { application }).await.unwrap();
    let [failure] = &exceptions.exception_history.entries[..] else { panic!("{exceptions:?}") };
    assert_eq!((failure.exception_name.as_str(), failure.timestamp), ("std::io::Error", 6_500));

    assert!(cluster.disconnect_task_manager("worker-1"));
    assert!(!cluster.disconnect_task_manager("worker-1"));
    assert_eq!(rendered().await, ("1 1/1".to_owned(), vec![second]));
}
