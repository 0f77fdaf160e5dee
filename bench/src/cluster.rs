//! A cluster with many jobs and one checkpoint per job and minute, served by this workspace.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use flink_rest::{RestServer, ServerOptions};
use flink_traces_api::{Clock, SystemClock};
use flink_traces_runtime::CheckpointStatsTracker;
use flink_traces_runtime::checkpoint::{CheckpointTask, CheckpointType, SubtaskMetric, SubtaskStats};
use flink_traces_runtime::job::{ExecutionAttemptId, ExecutionState, JobStatus};
use flink_traces_runtime::rest::{ClusterInfo, JobInfo, JobVertex, TrackedCluster, TrackedJob};

/// The number of subtasks of each vertex.
const PARALLELISM: u32 = 4;
const VERTICES: u64 = 3;
/// The number of earlier checkpoints of each job, which fill the history.
const HISTORY: i64 = 10;
const INTERVAL: Duration = Duration::from_secs(60);

/// Serves the jobs on a free port until standard input is closed. Prints the address.
pub(crate) fn run(jobs: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let info = ClusterInfo::new("2.3.0", "bench").with_refresh_interval(3000).with_web_cancel(false);
    let cluster = Arc::new(TrackedCluster::new(info, Arc::new(SystemClock)));
    // As in Flink, the checkpoints of a job are a minute apart, and those of jobs do not coincide.
    let pause = INTERVAL / u32::try_from(jobs).unwrap_or(u32::MAX);
    let (now, interval) = (SystemClock.now_millis(), i64::try_from(INTERVAL.as_millis())?);
    let started = now - (HISTORY + 1) * interval;
    let jobs = (0..jobs).map(|number| Job::start(number, started)).collect::<Result<Vec<_>>>()?;
    for (job, number) in jobs.iter().zip(0..) {
        let next_at = now + i64::try_from((pause * number).as_millis())?;
        (1..=HISTORY).try_for_each(|id| job.checkpoint(id, next_at - (HISTORY + 1 - id) * interval))?;
        cluster.add_job(job.tracked.clone());
    }
    let options = ServerOptions::new(([127, 0, 0, 1], 0));
    let server = runtime.block_on(RestServer::bind(cluster, options))?;
    println!("{}", server.local_addr()?);
    runtime.spawn(server.serve(std::future::pending()));
    runtime.spawn(async move {
        let mut turns = tokio::time::interval(pause);
        for (number, job) in jobs.iter().cycle().enumerate() {
            turns.tick().await;
            let id = HISTORY + 1 + i64::try_from(number / jobs.len()).unwrap_or_default();
            if job.checkpoint(id, SystemClock.now_millis()).is_err() {
                return;
            }
        }
    });
    let _ = std::io::stdin().read(&mut [0]);
    runtime.shutdown_background();
    Ok(())
}

struct Job {
    tracked: Arc<TrackedJob>,
    checkpoints: Arc<CheckpointStatsTracker>,
    vertices: Vec<String>,
}

impl Job {
    fn start(number: usize, at: i64) -> Result<Self> {
        let vertices: Vec<_> = (0..VERTICES).map(|vertex| format!("{number:016x}{vertex:016x}")).collect();
        let vertex =
            |id: &String| JobVertex::new(id.clone(), "Window(TumblingEventTimeWindows(60000)) -> Sink", PARALLELISM);
        let info = JobInfo::new(
            format!("{number:032x}"),
            format!("job {number}"),
            vertices.iter().map(vertex).collect(),
            serde_json::from_str(r#"{"mode":"exactly_once","interval":60000}"#)?,
        )
        .with_execution(Default::default());
        let checkpoints = Arc::new(CheckpointStatsTracker::new(10));
        let tracked = TrackedJob::new(info, checkpoints.clone(), JobStatus::Running, at)?;
        for (job_vertex_id, subtask_index) in
            vertices.iter().flat_map(|id| (0..PARALLELISM).map(move |index| (id, index)))
        {
            let attempt = ExecutionAttemptId { job_vertex_id: job_vertex_id.clone(), subtask_index, attempt_number: 0 };
            for state in [
                ExecutionState::Scheduled,
                ExecutionState::Deploying,
                ExecutionState::Initializing,
                ExecutionState::Running,
            ] {
                tracked.report_subtask(&attempt, state, at);
            }
        }
        Ok(Self { tracked: Arc::new(tracked), checkpoints, vertices })
    }

    fn checkpoint(&self, id: i64, at: i64) -> Result<()> {
        let task = |id: &String| CheckpointTask::new(id.clone(), PARALLELISM);
        let tasks: Vec<_> = self.vertices.iter().map(task).collect();
        let taken = || {
            self.checkpoints.report_pending(id, at, CheckpointType::Checkpoint, &tasks)?;
            for task in &tasks {
                for index in 0..PARALLELISM {
                    let subtask = SubtaskStats::new(index.into(), at + 20)
                        .with_metrics(SubtaskMetric::ALL.into_iter().zip([Some(7); 8]));
                    self.checkpoints.report_subtask(id, &task.job_vertex_id, subtask)?;
                }
            }
            self.checkpoints.report_completed(id, Some(format!("s3://state/{id}")), Some(9241))
        };
        taken().map(drop).map_err(|error| anyhow!("{error}"))
    }
}
