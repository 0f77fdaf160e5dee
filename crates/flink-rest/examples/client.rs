//! A client that lists the jobs of a cluster and triggers a savepoint.
//!
//! The cluster is a small server in this process, so the example runs without Flink and ends by
//! itself: `cargo run -p flink-rest --example client --features server`.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use flink_rest::types::{
    AsynchronousOperationResult, JobIdWithStatus, JobIdsWithStatusOverview, OperationInfo, QueueStatus, TriggerResponse,
};
use flink_rest::{
    Client, JobId, JobStatus, Jobs, QueueStatusId, RestError, RestServer, RestService, SavepointStatus, ServerOptions,
    TriggerId, TriggerSavepoint,
};

/// A cluster of one job, whose savepoints complete at once.
struct Cluster {
    job: JobId,
    trigger: TriggerId,
}

impl RestService for Cluster {
    async fn jobs(&self, _: Jobs) -> Result<JobIdsWithStatusOverview, RestError> {
        let job = JobIdWithStatus::new(self.job.clone(), JobStatus::Running);
        Ok(JobIdsWithStatusOverview::new(vec![job]))
    }

    async fn trigger_savepoint(&self, _: TriggerSavepoint) -> Result<TriggerResponse, RestError> {
        Ok(TriggerResponse::new(self.trigger.clone()))
    }

    async fn savepoint_status(&self, request: SavepointStatus) -> Result<AsynchronousOperationResult, RestError> {
        let mut operation = OperationInfo::default();
        operation.location = Some(format!("file:/savepoints/{}", request.job));
        let mut result = AsynchronousOperationResult::new(QueueStatus::new(QueueStatusId::Completed));
        result.operation = Some(operation);
        Ok(result)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster { job: "0b1d198cd84d58810f0faf9761017b2f".parse()?, trigger: "1".parse()? };
    let server = RestServer::bind(cluster, ServerOptions::new(([127, 0, 0, 1], 0))).await?;
    let url = format!("http://{}", server.local_addr()?);
    tokio::spawn(server.serve(pending()));

    let client = Client::builder(&url).timeout(Duration::from_secs(5)).retries(2).build()?;
    for job in client.call(&Jobs).await?.jobs {
        println!("job {} is {}", job.id, job.status);
        let savepoint = TriggerSavepoint::new(job.id).target_directory("file:/savepoints");
        let result = client.run(&savepoint, Duration::from_secs(60)).await?;
        println!("savepoint at {}", result.location.unwrap_or_default());
    }
    Ok(())
}
