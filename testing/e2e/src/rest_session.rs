//! `cargo e2e rest`: a real Flink cluster, driven by the client of `flink-rest` alone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flink_rest::types::{JarRunRequestBody, SavepointDisposalRequest};
use flink_rest::{
    CancelJob, Checkpoints, DeleteJar, DisposeSavepoint, ENDPOINTS, Error, JarId, Jars, Job, JobExecutionResult, JobId,
    JobMetrics, JobStatus, PlanJar, QueueStatusId, RescaleJob, Resource, ResourceRequirements, RunJar, ShutdownCluster,
    StatusError, StopJob, TaskManagers, TriggerCheckpoint, UpdateResourceRequirements,
};
use harness::flink::Distribution;
use harness::{recreate, say};

use crate::cluster::Cluster;
use crate::rest::{Rest, all_run, poll};
use crate::session::{STEP_TIMEOUT, run_until_interrupted};
use crate::{job, target};

/// The job's only argument: the time until its first failure, in milliseconds. It never comes.
const FAILS_AFTER: &str = "100000000";
/// The number of reading endpoints that must return a response, at least.
const LEAST_READ: usize = 45;

/// The Adaptive scheduler, which rescales at once instead of after 30 s. Each version knows one of
/// the last two keys.
const OPTIONS: &[(&str, &str)] = &[
    ("jobmanager.scheduler", "adaptive"),
    ("jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling", "1s"),
    ("jobmanager.adaptive-scheduler.scaling-interval.min", "1s"),
];

/// Runs a session of each version. All processes end with it, even after an interruption.
pub(crate) fn run(versions: &[&str]) -> Result<()> {
    let folder = target("rest-session")?;
    for version in versions {
        recreate(&folder)?;
        println!("Flink {version}");
        let distribution = Distribution::prepare(version)?;
        let job = job::compile(&distribution)?;
        run_until_interrupted(session(&distribution, &job, &folder), &folder)?;
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

async fn session(distribution: &Distribution, job: &Path, folder: &Path) -> Result<()> {
    say("starting the cluster");
    let options: Vec<_> = OPTIONS.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let cluster = Cluster::start(distribution, folder, &options).await?;
    let rest = &cluster.rest;
    let client = &rest.client;

    say("uploading the jar");
    let jar = rest.upload(job).await?;
    let jars = client.call(&Jars).await?.files;
    ensure!(jars.iter().any(|known| known.id == jar), "{jar} is not listed");

    say("planning");
    let plan = client.call(&PlanJar::new(jar.clone()).body(request(None))).await?.plan;
    ensure!(plan.nodes.len() >= 3 && plan.nodes.iter().any(|node| !node.inputs.is_empty()), "no plan: {plan:?}");

    say("running");
    let job = client.call(&RunJar::new(jar.clone()).body(request(None))).await?.jobid;
    wait_until_all_run(rest, &job).await?;

    say("metrics");
    let names = vec!["numberOfCompletedCheckpoints".to_owned()];
    let metrics = JobMetrics::new(job.clone()).names(names);
    let completed = async || {
        let metrics = client.call(&metrics).await?;
        let value = metrics.value("numberOfCompletedCheckpoints").and_then(|value| value.parse::<u64>().ok());
        Ok(value.filter(|count| *count > 0))
    };
    poll("a completed checkpoint among the metrics", STEP_TIMEOUT, completed).await?;

    say("a checkpoint by hand");
    let operation = TriggerCheckpoint::new(job.clone());
    let checkpoint = client.run(&operation, STEP_TIMEOUT).await?.checkpoint_id.context("no checkpoint")?;

    say("a savepoint");
    let savepoint = rest.savepoint(job.as_str(), STEP_TIMEOUT).await?;
    let shown = async || {
        let latest = client.call(&Checkpoints { job: job.clone() }).await?.latest.savepoint;
        Ok(latest.filter(|latest| latest.external_path.as_deref() == Some(&savepoint)))
    };
    poll("the savepoint in the history", STEP_TIMEOUT, shown).await?;

    say("all endpoints that only read");
    let read = read_everything(rest, &job, &jar, checkpoint).await?;
    ensure!(read >= LEAST_READ, "expected responses of {LEAST_READ} endpoints, found {read}");
    println!("    {read} endpoints responded, and all responses were parsed");

    say("rescaling by the request that every version since 1.9 refuses");
    let error = client.run(&RescaleJob::new(job.clone()).parallelism(1), STEP_TIMEOUT).await;
    let problem = refused(error.err())?;
    ensure!(problem.status() == 503 && problem.message().contains("FLINK-12312"), "{problem}");

    say("rescaling, as the Adaptive scheduler does");
    let mut requirements = client.call(&ResourceRequirements { job: job.clone() }).await?;
    for vertex in requirements.vertices.values_mut() {
        (vertex.parallelism.lower_bound, vertex.parallelism.upper_bound) = (1, 1);
    }
    client.call(&UpdateResourceRequirements { job: job.clone(), body: requirements }).await?;
    let rescaled = async || {
        let vertices = client.call(&Job { job: job.clone() }).await?.vertices;
        Ok(vertices.iter().all(|vertex| vertex.parallelism == Some(1)).then_some(()))
    };
    poll("the smaller job", STEP_TIMEOUT, rescaled).await?;
    wait_until_all_run(rest, &job).await?;

    say("stopping with a savepoint");
    let operation = StopJob::new(job.clone());
    let stopped_at = client.run(&operation, STEP_TIMEOUT).await?.location.context("no savepoint")?;
    rest.wait_for_state(job.as_str(), JobStatus::Finished, STEP_TIMEOUT).await?;
    let result = client.call(&JobExecutionResult { job: job.clone() }).await?;
    ensure!(result.status.id == QueueStatusId::Completed, "{result:?}");

    say("running again from there");
    let finished = job;
    let job = client.call(&RunJar::new(jar.clone()).body(request(Some(stopped_at.clone())))).await?.jobid;
    wait_until_all_run(rest, &job).await?;
    let restored = client.call(&Checkpoints { job: job.clone() }).await?.latest.restored;
    let path = restored.context("nothing was restored")?.external_path;
    ensure!(path.as_ref() == Some(&stopped_at), "{path:?} was restored instead of {stopped_at}");

    say("canceling the job, and the one that has finished");
    rest.cancel(job.as_str(), STEP_TIMEOUT).await?;
    let late = client.call(&CancelJob::new(finished)).await;
    let problem = refused(late.err())?;
    ensure!(problem.status() == 409, "{problem}");

    say("disposing of the savepoints, the second one twice");
    for path in [&savepoint, &stopped_at] {
        dispose(rest, path).await?;
    }
    match dispose(rest, &stopped_at).await {
        Err(Error::OperationFailed { problem, .. }) if problem.contains(&stopped_at) => {}
        other => bail!("expected a failed disposal, found {other:?}"),
    }

    say("deleting the jar");
    client.call(&DeleteJar { jar: jar.clone() }).await?;
    ensure!(client.call(&Jars).await?.files.is_empty(), "{jar} is still there");

    say("shutting the cluster down");
    client.call(&ShutdownCluster).await?;
    cluster.stop().await
}

fn request(savepoint: Option<String>) -> JarRunRequestBody {
    let mut body = JarRunRequestBody::default();
    body.parallelism = Some(2);
    body.program_args_list = vec![FAILS_AFTER.to_owned()];
    body.savepoint_path = savepoint;
    body
}

async fn wait_until_all_run(rest: &Rest, job: &JobId) -> Result<()> {
    poll("all subtasks", STEP_TIMEOUT, async || Ok(all_run(&rest.job(job.as_str()).await?).then_some(()))).await
}

async fn dispose(rest: &Rest, savepoint: &str) -> Result<(), Error> {
    let operation = DisposeSavepoint { body: SavepointDisposalRequest::new(savepoint) };
    rest.client.run(&operation, STEP_TIMEOUT).await.map(|_| ())
}

fn refused(error: Option<Error>) -> Result<StatusError> {
    match error {
        Some(Error::Status { problem, .. }) => Ok(problem),
        other => bail!("expected a refusal, found {other:?}"),
    }
}

/// Requests all endpoints that only read, parses their responses, and returns their number.
///
/// An endpoint may return an error, as those of the Adaptive scheduler do without it. A response
/// must never be unreadable.
async fn read_everything(rest: &Rest, job: &JobId, jar: &JarId, checkpoint: i64) -> Result<usize> {
    let vertex =
        rest.client.call(&Job { job: job.clone() }).await?.vertices.into_iter().next().context("no vertex")?.id;
    let managers = rest.client.call(&TaskManagers).await?.taskmanagers;
    let manager = managers.into_iter().next().context("no TaskManager")?.id;
    let mut read = 0;
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace(":jobid", job.as_str()).replace(":vertexid", vertex.as_str());
        let path = path.replace(":taskmanagerid", &manager).replace(":jarid", jar.as_str());
        let path = path.replace(":checkpointid", &checkpoint.to_string()).replace(":applicationid", job.as_str());
        let path = path.replace(":subtaskindex", "0").replace(":attempt", "0");
        if endpoint.method != "GET" || path.contains(':') && !path.contains(&manager) {
            continue;
        }
        // `Resource` encodes the path, and exists only for endpoints that read.
        let Some(resource) = Resource::parse(&path) else { continue };
        let response = rest.client.get(&resource).await?;
        if response.status == 200 {
            resource.parse_body(&response.body).with_context(|| path.clone())?;
            read += 1;
        } else {
            println!("    {path}: {}", response.status_error().context("no error")?);
        }
    }
    Ok(read)
}
