//! A server that answers for one job like a cluster of Flink.
//!
//! It sends itself a few requests and ends:
//! `cargo run -p flink-rest --example server --features server`.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use flink_rest::types::{
    ClusterOverviewWithVersion, JobDetails, JobIdWithStatus, JobIdsWithStatusOverview, MultipleJobsDetails,
};
use flink_rest::{
    Client, JobId, JobStatus, Jobs, JobsOverview, Overview, RestError, RestServer, RestService, ServerOptions,
};
use tokio::sync::oneshot;

/// An engine that runs one job.
struct Engine {
    job: JobId,
    start_time: i64,
}

impl RestService for Engine {
    async fn overview(&self, _: Overview) -> Result<ClusterOverviewWithVersion, RestError> {
        let mut overview = ClusterOverviewWithVersion::new("2.3.0");
        overview.jobs_running = Some(1);
        Ok(overview)
    }

    async fn jobs(&self, _: Jobs) -> Result<JobIdsWithStatusOverview, RestError> {
        let job = JobIdWithStatus::new(self.job.clone(), JobStatus::Running);
        Ok(JobIdsWithStatusOverview::new(vec![job]))
    }

    async fn jobs_overview(&self, _: JobsOverview) -> Result<MultipleJobsDetails, RestError> {
        let mut job = JobDetails::new(self.job.clone(), self.start_time, JobStatus::Running);
        job.name = "orders".to_owned();
        Ok(MultipleJobsDetails::new(vec![job]))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let start_time = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let engine = Engine { job: "0b1d198cd84d58810f0faf9761017b2f".parse()?, start_time };
    // Port 0 is any free port. Flink's own port is 8081, the default of the options.
    let server = RestServer::bind(engine, ServerOptions::new(([127, 0, 0, 1], 0))).await?;
    let url = format!("http://{}", server.local_addr()?);
    println!("listening on {url}");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));

    let client = Client::new(&url)?;
    for path in ["/overview", "/jobs", "/jobs/overview", "/taskmanagers"] {
        let response = client.get_raw(path).await?;
        println!("{path} {}: {}", response.status, String::from_utf8_lossy(&response.body));
    }

    let _ = stop.send(());
    serving.await?;
    Ok(())
}
