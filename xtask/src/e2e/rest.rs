//! What a session does over Flink's REST API, besides observing: jobs submitted, savepoints taken, jobs cancelled.
//!
//! HTTP by hand: one request per connection to a server on loopback is not worth a client library here.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const POLL_INTERVAL: Duration = Duration::from_millis(250);
const BOUNDARY: &str = "the-job-ends-here";

/// One cluster's REST endpoint.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    address: SocketAddr,
}

impl Rest {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// What `flink-traces` is told to watch.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until a TaskManager offers free slots.
    pub(super) async fn wait_for_slots(&self, timeout: Duration) -> Result<()> {
        let available = async || {
            // Refused until the JobManager is up.
            let overview = self.get("/overview").await.unwrap_or_default();
            Ok(overview["slots-available"].as_u64().is_some_and(|slots| slots > 0).then_some(()))
        };
        poll("free slots", timeout, available).await
    }

    /// Uploads the jar and runs its main class; answers with the job's id.
    pub(super) async fn submit(&self, jar: &Path, parallelism: u32, arguments: &[&str]) -> Result<String> {
        let uploaded = self.upload(jar).await?;
        let file = uploaded["filename"].as_str().context("no file name")?;
        let id = file.rsplit('/').next().unwrap_or(file);
        let request = json!({"parallelism": parallelism, "programArgsList": arguments});
        let run = self.post(&format!("/jars/{id}/run"), &request).await?;
        Ok(run["jobid"].as_str().context("no job id")?.to_owned())
    }

    /// Takes a savepoint and waits until it is complete.
    pub(super) async fn savepoint(&self, job: &str, timeout: Duration) -> Result<()> {
        let request = self.post(&format!("/jobs/{job}/savepoints"), &json!({})).await?;
        let path = format!("/jobs/{job}/savepoints/{}", request["request-id"].as_str().context("no request id")?);
        let finished = async || {
            let state = self.get(&path).await?;
            Ok((state["status"]["id"] == "COMPLETED").then_some(state))
        };
        let state = poll("the savepoint", timeout, finished).await?;
        ensure!(state["operation"]["location"].is_string(), "the savepoint failed: {state}");
        Ok(())
    }

    /// Waits until the job has been restored from a checkpoint and all its tasks run.
    pub(super) async fn wait_for_recovery(&self, job: &str, timeout: Duration) -> Result<()> {
        let recovered = async || {
            let checkpoints = self.get(&format!("/jobs/{job}/checkpoints")).await.unwrap_or_default();
            let tasks = &self.job(job).await?["tasks"];
            let restored = checkpoints["counts"]["restored"].as_u64().is_some_and(|count| count > 0);
            Ok((restored && tasks["running"] == tasks["total"]).then_some(()))
        };
        poll("the recovery", timeout, recovered).await
    }

    /// Cancels the job and waits until it is.
    pub(super) async fn cancel(&self, job: &str, timeout: Duration) -> Result<()> {
        self.request("PATCH", &format!("/jobs/{job}"), "application/json", b"").await?;
        poll("the end of the job", timeout, async || Ok((self.job(job).await?["state"] == "CANCELED").then_some(())))
            .await
    }

    /// The job's entry in the overview, which Flink never answers from a cache.
    async fn job(&self, job: &str) -> Result<Value> {
        let overview = self.get("/jobs/overview").await?;
        let jobs = overview["jobs"].as_array().context("no jobs")?;
        Ok(jobs.iter().find(|entry| entry["jid"] == job).context("the job is gone")?.clone())
    }

    async fn upload(&self, jar: &Path) -> Result<Value> {
        let mut body = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"job.jar\"\r\n\
             Content-Type: application/java-archive\r\n\r\n"
        )
        .into_bytes();
        body.extend(fs::read(jar)?);
        body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
        self.request("POST", "/jars/upload", &format!("multipart/form-data; boundary={BOUNDARY}"), &body).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.request("GET", path, "application/json", b"").await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.request("POST", path, "application/json", body.to_string().as_bytes()).await
    }

    async fn request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Value> {
        let mut stream = TcpStream::connect(self.address).await?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (head, body) = response.split_once("\r\n\r\n").context("no HTTP response")?;
        let status = head.split(' ').nth(1).context("no HTTP status")?;
        ensure!(status.starts_with('2'), "{method} {path}: {status} {body}");
        serde_json::from_str(body).with_context(|| format!("{method} {path}: {body}"))
    }
}

/// Asks until there is an answer.
async fn poll<T, F: Future<Output = Result<Option<T>>>>(
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
            bail!("{what} did not come within {} s", timeout.as_secs());
        }
        sleep(POLL_INTERVAL).await;
    }
}
