//! Serves a tracked job over Flink's REST API, and requests it like any client of Flink.
//!
//! Run it with `cargo run --example serve_job --features rest`.

#![allow(clippy::print_stdout, reason = "the output of the example")]

use std::error::Error;
use std::sync::Arc;

use flink_rest::{Client, JobsOverview, RestServer, ServerOptions};
use flink_traces_api::{Clock, SystemClock};
use flink_traces_runtime::CheckpointStatsTracker;
use flink_traces_runtime::checkpoint::{CheckpointTask, CheckpointType, SubtaskStats};
use flink_traces_runtime::job::JobStatus;
use flink_traces_runtime::rest::{ClusterInfo, JobInfo, JobVertex, TrackedCluster, TrackedJob};
use tokio::sync::oneshot;

const JOB: &str = "0a4480b1aa43ca25b4801a22462f387a";
const VERTEX: &str = "cbc357ccb763df2852fee8c4fc7d55f2";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let now = SystemClock.now_millis();
    let tracker = Arc::new(CheckpointStatsTracker::new(10));
    let checkpoints = serde_json::from_str(r#"{"mode":"exactly_once","interval":60000}"#)?;
    let info = JobInfo::new(JOB, "word count", vec![JobVertex::new(VERTEX, "map", 1)], checkpoints);
    let job = Arc::new(TrackedJob::new(info, tracker.clone(), JobStatus::Created, now)?);
    let cluster = TrackedCluster::new(ClusterInfo::new("2.3.0", "example"), Arc::new(SystemClock));
    cluster.add_job(job.clone());

    let mut options = ServerOptions::default();
    options.address = ([127, 0, 0, 1], 0).into();
    let server = RestServer::bind(cluster, options).await?;
    let url = format!("http://{}", server.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));

    // The engine reports, and every response has the last reported state.
    job.report_status(JobStatus::Running, now);
    tracker.report_pending(1, now, CheckpointType::Checkpoint, &[CheckpointTask::new(VERTEX, 1)])?;
    tracker.report_subtask(1, VERTEX, SubtaskStats::new(0, now + 20))?;
    tracker.report_completed(1, Some("file:///checkpoints/chk-1".into()), None)?;

    let client = Client::new(&url)?;
    for job in client.call(&JobsOverview).await?.jobs {
        println!("job {} ({}) is {}", job.jid, job.name, job.state.as_str());
    }
    let response = client.get_raw(&format!("/jobs/{JOB}/checkpoints")).await?;
    let statistics: serde_json::Value = serde_json::from_slice(&response.body)?;
    println!("checkpoints: {}", statistics["counts"]);

    let _ = stop.send(());
    serving.await?;
    Ok(())
}
