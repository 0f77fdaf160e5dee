//! The operations of a session over Flink's REST API: submitting, savepoints, cancellation.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use flink_rest::types::{JarRunRequestBody, JobDetails};
use flink_rest::{
    CancelJob, Checkpoints, Client, JarFile, JarId, JobId, JobStatus, JobsOverview, Overview, RunJar, TriggerSavepoint,
};
use tokio::time::{Instant, sleep};

const POLL_INTERVAL: Duration = Duration::from_millis(250);
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The REST endpoint of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    /// The client, for requests that have no method here.
    pub(crate) client: Client,
}

impl Rest {
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        Ok(Self { client: Client::builder(&format!("http://{address}")).timeout(Duration::from_secs(30)).build()? })
    }

    /// Returns the address that `flink-traces` polls.
    pub(crate) fn url(&self) -> String {
        self.client.base_url().to_owned()
    }

    /// Waits until a TaskManager offers free slots.
    pub(crate) async fn wait_for_slots(&self, timeout: Duration) -> Result<()> {
        let available = async || {
            // The connection is refused until the JobManager is up.
            let slots = self.client.call(&Overview).await.ok().and_then(|overview| overview.slots_available);
            Ok(slots.filter(|slots| *slots > 0).map(drop))
        };
        poll("free slots", timeout, available).await
    }

    /// Uploads the jar, and returns its id.
    pub(crate) async fn upload(&self, jar: &Path) -> Result<JarId> {
        let content = tokio::fs::File::open(jar).await?;
        let length = content.metadata().await?.len();
        let jar = JarFile::new("job.jar", length, content);
        let uploaded = self.client.upload_jar(jar, UPLOAD_TIMEOUT, |_| {}).await?;
        uploaded.jar().context("no file name")
    }

    /// Uploads the jar and runs its main class. Returns the id of the job.
    pub(crate) async fn submit(&self, jar: &Path, parallelism: i64, arguments: &[&str]) -> Result<String> {
        let jar = self.upload(jar).await?;
        let program_args_list = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut body = JarRunRequestBody::default();
        body.parallelism = Some(parallelism);
        body.program_args_list = program_args_list;
        Ok(self.client.call(&RunJar::new(jar).body(body)).await?.jobid.into())
    }

    /// Takes a savepoint and waits until it is complete. Returns its path.
    pub(crate) async fn savepoint(&self, job: &str, timeout: Duration) -> Result<String> {
        let operation = TriggerSavepoint::new(JobId::new(job)?);
        self.client.run(&operation, timeout).await?.location.context("the savepoint has no path")
    }

    /// Waits until the job has been restored from a checkpoint and all its tasks run.
    pub(crate) async fn wait_for_recovery(&self, job: &str, timeout: Duration) -> Result<()> {
        let id = JobId::new(job)?;
        let recovered = async || {
            let checkpoints = self.client.call(&Checkpoints { job: id.clone() }).await;
            let restored = checkpoints.is_ok_and(|checkpoints| checkpoints.counts.restored > 0);
            Ok((restored && all_run(&self.job(job).await?)).then_some(()))
        };
        poll("the recovery", timeout, recovered).await
    }

    /// Waits until the job has completed that many checkpoints.
    pub(crate) async fn wait_for_checkpoints(&self, job: &str, count: usize, timeout: Duration) -> Result<()> {
        let id = JobId::new(job)?;
        let completed = async || {
            // The first responses may come before the job has a coordinator of checkpoints.
            let checkpoints = self.client.call(&Checkpoints { job: id.clone() }).await;
            let completed = checkpoints.map_or(0, |checkpoints| checkpoints.counts.completed);
            Ok(usize::try_from(completed).is_ok_and(|completed| completed >= count).then_some(()))
        };
        poll("the checkpoints", timeout, completed).await
    }

    /// Cancels the job and waits until it is canceled.
    pub(crate) async fn cancel(&self, job: &str, timeout: Duration) -> Result<()> {
        self.client.call(&CancelJob::new(JobId::new(job)?)).await?;
        self.wait_for_state(job, JobStatus::Canceled, timeout).await
    }

    /// Waits until the job has this status.
    pub(crate) async fn wait_for_state(&self, job: &str, state: JobStatus, timeout: Duration) -> Result<()> {
        let reached = async || Ok((self.job(job).await?.state == state).then_some(()));
        poll(state.name(), timeout, reached).await
    }

    /// Returns the job's entry in the overview, which Flink never serves from a cache.
    pub(crate) async fn job(&self, job: &str) -> Result<JobDetails> {
        let overview = self.client.call(&JobsOverview).await?;
        overview.jobs.into_iter().find(|entry| entry.jid.as_str() == job).context("the job is gone")
    }
}

/// Returns `true` if all subtasks of a job are running.
pub(crate) fn all_run(job: &JobDetails) -> bool {
    job.tasks.total > 0 && job.tasks.running == job.tasks.total
}

/// Calls `ask` until it returns a value.
pub(crate) async fn poll<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    timeout: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<T> {
    let end = Instant::now() + timeout;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() > end {
            bail!("expected {what} within {} s", timeout.as_secs());
        }
        sleep(POLL_INTERVAL).await;
    }
}
