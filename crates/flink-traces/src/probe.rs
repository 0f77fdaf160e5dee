//! Requests that show which facts about the jobs of a cluster are available.

use std::collections::BTreeMap;

use flink_rest::{Checkpoints, Endpoint, Error, Job, JobExceptions, JobStatus, JobsOverview};

use crate::connection::Connection;
use crate::text::one_line;

/// The maximum number of jobs that are probed.
const MAX_JOBS: usize = 3;

/// Requests the job overview, and the facts about some running jobs. Returns the endpoints that
/// fail, with the reason.
pub(crate) async fn failing_endpoints(client: &Connection) -> Vec<String> {
    let overview = match client.call(&JobsOverview).await {
        Ok(overview) => overview,
        Err(error) => return vec![described(JobsOverview::PATH, &error)],
    };
    let running = overview.jobs.iter().filter(|job| job.state == JobStatus::Running);
    let mut failing = BTreeMap::new();
    for job in running.take(MAX_JOBS) {
        let job = || job.jid.clone();
        failing.extend(failure(client, &Checkpoints { job: job() }).await);
        failing.extend(failure(client, &Job { job: job() }).await);
        failing.extend(failure(client, &JobExceptions::new(job())).await);
    }
    failing.into_values().collect()
}

async fn failure<E: Endpoint>(client: &Connection, endpoint: &E) -> Option<(&'static str, String)> {
    let error = client.call(endpoint).await.err().filter(|error| !lacks_job_or_statistics(error))?;
    Some((E::PATH, described(E::PATH, &error)))
}

fn described(path: &str, error: &Error) -> String {
    format!("{path}: {}", one_line(&error.to_string(), 500))
}

/// Returns `true` if Flink does not have the job or its statistics, such as the checkpoints of a
/// batch job.
fn lacks_job_or_statistics(error: &Error) -> bool {
    match error {
        Error::Status { problem, .. } => {
            problem.is_not_found() && !problem.is_missing_endpoint() && !problem.errors().is_empty()
        }
        _ => false,
    }
}
