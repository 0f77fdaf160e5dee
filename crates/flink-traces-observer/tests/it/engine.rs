//! The observer watches a tracked engine over REST, and derives what the engine's trackers
//! reported.

use std::sync::Arc;

use flink_rest::{Client, RestServer, ServerOptions};
use flink_traces_api::Timestamp;
use flink_traces_observer::{ClusterObserver, JobObservation, Observation, RequestOutcome};
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointTask, CheckpointType, RestoredCheckpoint, SubtaskMetric, SubtaskStats,
};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::{
    AllSubtasksStatus, ExecutionAttemptId, ExecutionState, FailureHandlingResult, JobStatus,
};
use flink_traces_runtime::rest::{ClusterInfo, JobInfo, JobInput, JobVertex, TrackedCluster, TrackedJob};
use flink_traces_runtime::{CheckpointStats, CheckpointStatsTracker, JobIdentity, checkpoint_event, checkpoint_span};
use flink_traces_testkit::ManualClock;
use tokio::sync::oneshot;

const JOB: &str = "0b1d198cd84d58810f0faf9761017b2f";
const SOURCE: &str = "6bf01baa9d2ca23a3ef7ce311722523d";
const SINK: &str = "a196eece6af80922e24d9003a27340c9";
/// The start of the session, in milliseconds since the epoch.
const START: i64 = 1_795_230_900_000;
/// The interval between polls, in milliseconds.
const INTERVAL: i64 = 500;

/// An engine that reports to its trackers, and keeps the statistics that they return.
struct Engine {
    job: Arc<TrackedJob>,
    checkpoints: Arc<CheckpointStatsTracker>,
    ended: Vec<CheckpointStats>,
}

impl Engine {
    fn new() -> Self {
        let vertex =
            |id: &str, name: &str, parallelism, inputs| JobVertex::new(id, name, parallelism).with_inputs(inputs);
        let input = JobInput::new(SOURCE, "HASH");
        let info = JobInfo::new(
            JOB,
            "orders",
            vec![vertex(SOURCE, "source", 2, vec![]), vertex(SINK, "sink", 1, vec![input])],
            serde_json::from_str(r#"{"mode":"exactly_once","interval":1000}"#).unwrap(),
        )
        .with_execution(Default::default());
        let checkpoints = Arc::new(CheckpointStatsTracker::builder(10).checkpoint_interval_ms(1_000).build());
        let job = TrackedJob::new(info, checkpoints.clone(), JobStatus::Created, START).unwrap();
        Self { job: Arc::new(job), checkpoints, ended: Vec::new() }
    }

    fn come_up(&self, attempt_number: u32, at: i64) {
        for (job_vertex_id, subtask_index) in [(SOURCE, 0), (SOURCE, 1), (SINK, 0)] {
            let attempt = ExecutionAttemptId { job_vertex_id: job_vertex_id.to_owned(), subtask_index, attempt_number };
            for (state, after) in [
                (ExecutionState::Scheduled, 1),
                (ExecutionState::Deploying, 2),
                (ExecutionState::Initializing, 5),
                (ExecutionState::Running, 50 + i64::from(subtask_index)),
            ] {
                self.job.report_subtask(&attempt, state, at + after);
            }
        }
    }

    fn trigger(&self, id: i64, at: i64, kind: CheckpointType) {
        let task =
            |id: &str, name: &str, parallelism| CheckpointTask::new(id, parallelism).with_task_name(name.to_owned());
        self.checkpoints.report_pending(id, at, kind, &[task(SOURCE, "source", 2), task(SINK, "sink", 1)]).unwrap();
    }

    fn acknowledge(&self, id: i64, vertex: &str, index: i64, at: i64) {
        let metrics = [1000 + index, 100, 3, 1 + index, 2, 40, 7, 0].map(Some);
        let subtask = SubtaskStats::new(index, at).with_metrics(SubtaskMetric::ALL.into_iter().zip(metrics));
        self.checkpoints.report_subtask(id, vertex, subtask).unwrap();
    }

    fn complete(&mut self, id: i64, at: i64) {
        for (vertex, index, after) in [(SOURCE, 0, 40), (SOURCE, 1, 45), (SINK, 0, 90)] {
            self.acknowledge(id, vertex, index, at + after);
        }
        self.ended.push(self.checkpoints.report_completed(id, Some(format!("file:/c/{id}")), Some(77)).unwrap());
    }

    /// Plays second `second` of the session.
    fn step(&mut self, second: i64) {
        let at = START + second * 1000;
        match second {
            1 => {
                self.job.report_status(JobStatus::Running, at);
                self.come_up(0, at);
            }
            3 | 4 => {
                self.trigger(second, at, CheckpointType::Checkpoint);
                self.complete(second, at);
            }
            5 => {
                self.trigger(second, at, CheckpointType::Savepoint);
                self.complete(second, at);
            }
            6 => {
                self.trigger(second, at, CheckpointType::Checkpoint);
                self.acknowledge(second, SOURCE, 1, at + 30);
            }
            7 => {
                let attempt =
                    ExecutionAttemptId { job_vertex_id: SINK.to_owned(), subtask_index: 0, attempt_number: 0 };
                self.job.report_subtask(&attempt, ExecutionState::Failed, at);
                self.job.report_failure(
                    &FailureHandlingResult::new(at, &std::io::Error::other("disk full"), true)
                        .with_failed_execution(&attempt)
                        .with_error_type("std::io::Error")
                        .with_labels(&[])
                        .with_global_failure(false),
                );
                let failure = CheckpointFailure::new(at + 1, "Task has failed.");
                self.ended.push(self.checkpoints.report_failed(6, failure).unwrap());
                self.job.report_status(JobStatus::Restarting, at + 2);
            }
            9 => {
                self.checkpoints.report_initialization_started(at, []);
                self.checkpoints
                    .report_restored(RestoredCheckpoint::new(4, at, false).with_external_path("file:/c/4".to_owned()))
                    .unwrap();
                self.job.report_status(JobStatus::Running, at);
                self.come_up(1, at);
            }
            12 => self.job.report_status(JobStatus::Cancelling, at),
            13 => self.job.report_status(JobStatus::Canceled, at),
            _ => {}
        }
    }
}

/// Scenario: a job takes checkpoints and a savepoint, fails, is restored and is canceled. Its
/// trackers are served like a Flink cluster, which the observer watches over HTTP. Guarantees: the
/// observer's checkpoint spans and events equal those of the trackers' own statistics, except for
/// the metadata size, which REST does not have. Every state, the failure and the restore have the
/// engine's times.
#[tokio::test]
async fn watched_engine_equals_its_trackers() {
    let clock = Arc::new(ManualClock::default());
    let info = ClusterInfo::new("2.3.0", "engine").with_refresh_interval(3000).with_web_cancel(false);
    let cluster = Arc::new(TrackedCluster::new(info, clock.clone()));
    let mut engine = Engine::new();
    cluster.add_job(engine.job.clone());
    let options = ServerOptions::new(([127, 0, 0, 1], 0));
    let server = RestServer::bind(cluster, options).await.unwrap();
    let client = Client::new(&format!("http://{}", server.local_addr().unwrap())).unwrap();
    let (_stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));

    let mut observer = ClusterObserver::new();
    let mut outputs = Vec::new();
    for now in (START..START + 30_000).step_by(INTERVAL as usize) {
        if (now - START) % 1000 == 0 {
            engine.step((now - START) / 1000);
        }
        // The poll comes after everything that the engine reported in this step.
        let now = now + INTERVAL - 1;
        clock.set(Timestamp::from_millis(now));
        loop {
            let wanted = observer.requests(now);
            if wanted.is_empty() {
                break;
            }
            for resource in wanted {
                let response = client.get(&resource).await.unwrap();
                let outcome = RequestOutcome::from_response(&resource, response.status, &response.body).unwrap();
                assert!(!matches!(outcome, RequestOutcome::Unavailable), "{}", response.status);
                outputs.extend(observer.observe(now, &resource, outcome));
            }
        }
    }
    outputs.extend(observer.finish());
    compare(&engine.ended, &outputs);
}

fn compare(ended: &[CheckpointStats], outputs: &[JobObservation]) {
    let identity = JobIdentity { cluster: "c", job_id: JOB };
    let rendered = |stats: &CheckpointStats| {
        let mut stats = stats.clone();
        // REST responses contain everything that the trackers know, except for this.
        if stats.metadata_size.is_some_and(|size| size >= 0) {
            stats.metadata_size = None;
        }
        let span = checkpoint_span(identity, &stats, SpanDetailLevel::ChildrenSpansPerSubtask);
        (format!("{span:?}"), format!("{:?}", checkpoint_event(identity.named("orders"), &stats)))
    };
    let watched: Vec<_> = outputs
        .iter()
        .filter_map(|output| match &output.observation {
            Observation::Checkpoint(stats) => Some(rendered(stats)),
            _ => None,
        })
        .collect();
    assert_eq!(watched, ended.iter().map(rendered).collect::<Vec<_>>());

    let seen: Vec<_> = outputs
        .iter()
        .filter_map(|output| match &output.observation {
            Observation::StatusChange { status, ts_millis } => Some(format!("{status} {}", ts_millis - START)),
            Observation::Failure(failure) => Some(format!(
                "failed {} {:?} {:?} restarts {}",
                failure.ts_millis - START,
                failure.exception_type,
                failure.task_name,
                failure.can_restart
            )),
            Observation::Initialization { stats, .. } => Some(format!(
                "came up {}..{} from {:?}",
                stats.start_timestamp - START,
                stats.end_timestamp - START,
                stats.restored_checkpoint_id
            )),
            Observation::AllSubtasks { status: AllSubtasksStatus::AllRunningOrFinished, ts_millis, .. } => {
                Some(format!("all run {}", ts_millis - START))
            }
            Observation::AllSubtasks { ts_millis, .. } => Some(format!("not all run {}", ts_millis - START)),
            Observation::Missed(missed) => Some(format!("missed {}", missed.count)),
            _ => None,
        })
        .collect();
    let expected = [
        "RUNNING 1000",
        "all run 1051",
        "came up 1000..1051 from None",
        "not all run 7000",
        "failed 7000 Some(\"std::io::Error\") Some(\"sink (1/1) - execution #0\") restarts true",
        "RESTARTING 7002",
        "RUNNING 9000",
        "all run 9051",
        "came up 9000..9051 from Some(4)",
        "CANCELLING 12000",
        "not all run 12000",
        "CANCELED 13000",
    ];
    assert_eq!(seen, expected);
}
