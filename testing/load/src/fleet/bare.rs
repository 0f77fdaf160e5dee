//! A client that sends what the program sends, and drops the responses unread.
//!
//! Its processor time is what the exchange of the same bytes costs on this machine at this time.
//! The program's is stated as a multiple of it.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::ProcessGuard;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::agent::{POLL_INTERVAL_S, cpu};
use super::server::{Served, now};
use super::world::{VERTICES, World};

/// The requests that are due begin together, as those of the program.
const TICK_MS: i64 = 100;
/// The time after the end of a checkpoint at which it is requested.
const LAG_MS: i64 = 1_000;
/// The fields of a request after its first line.
const FIELDS: &str = "host: 127.0.0.1\r\naccept: application/json\r\naccept-encoding: gzip\r\nuser-agent: bare\r\n";

/// A running client, as a process that is measured from outside.
pub(super) struct Bare {
    process: ProcessGuard,
}

impl Bare {
    /// Starts the client, and waits until it is connected to all clusters.
    pub(super) fn start(served: &Served) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("bare").arg(serde_json::to_string(served)?).stdout(Stdio::piped());
        let mut process: ProcessGuard = command.spawn().context("cannot start the bare client")?.into();
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no standard output")?).read_line(&mut line)?;
        ensure!(line == "connected\n", "the bare client said {line:?}");
        Ok(Self { process })
    }

    /// Fails if the client has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        let ended = self.process.try_wait()?;
        ensure!(ended.is_none(), "the bare client ended: {ended:?}");
        Ok(())
    }

    /// Returns the processor time of all threads, in seconds.
    pub(super) fn cpu(&self) -> Result<f64> {
        cpu(self.process.id())
    }
}

/// Polls all clusters until the process is killed.
pub(super) fn run(served: &Served) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut watched = JoinSet::new();
        for cluster in 0..served.world.clusters() {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, served.port)).await?;
            stream.set_nodelay(true)?;
            watched.spawn(watch(stream, served.world, cluster));
        }
        println!("connected");
        watched.join_next().await.context("no clusters")??
    })
}

/// Requests the overview at each interval, and each checkpoint once after it ended.
async fn watch(mut stream: TcpStream, world: World, cluster: usize) -> Result<()> {
    let interval = i64::from(POLL_INTERVAL_S) * 1_000;
    let mut overview = now() + interval * cluster as i64 / world.clusters() as i64;
    let mut checkpoints: Vec<_> = world
        .jobs_of(cluster)
        .map(|number| {
            let job = world.job(number);
            (job, job.ended(now()) + 1)
        })
        .collect();
    let mut response = Vec::new();
    loop {
        let requested = checkpoints.iter().map(|(job, id)| job.ended_at(*id) + LAG_MS);
        let due = requested.min().unwrap_or(i64::MAX).min(overview);
        let tick = due + TICK_MS - due.rem_euclid(TICK_MS);
        sleep(Duration::from_millis((tick - now()).max(0).unsigned_abs())).await;
        let mut paths = Vec::new();
        if overview <= tick {
            overview += interval;
            paths.push("/jobs/overview".to_owned());
        }
        for (job, id) in checkpoints.iter_mut().filter(|(job, id)| job.ended_at(*id) + LAG_MS <= tick) {
            let all = format!("/jobs/{}/checkpoints", job.id());
            paths.push(all.clone());
            paths.extend((0..VERTICES).map(|vertex| format!("{all}/details/{id}/subtasks/{}", job.vertex(vertex))));
            *id += 1;
        }
        for path in paths {
            exchange(&mut stream, &format!("GET /{cluster}{path} HTTP/1.1\r\n{FIELDS}\r\n"), &mut response).await?;
        }
    }
}

/// Sends a request and receives the response.
async fn exchange(stream: &mut TcpStream, request: &str, response: &mut Vec<u8>) -> Result<()> {
    stream.write_all(request.as_bytes()).await?;
    response.clear();
    loop {
        response.reserve(4 << 10);
        ensure!(stream.read_buf(response).await? > 0, "the response ended early");
        if whole_length(response)?.is_some_and(|length| response.len() >= length) {
            return Ok(());
        }
    }
}

/// Returns the length of a response with its head; `None` until the head is there.
fn whole_length(response: &[u8]) -> Result<Option<usize>> {
    let Some(head) = response.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&response[..head])?;
    let body = text.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
    Ok(Some(head + 4 + body.parse::<usize>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_of_a_response_includes_its_head() {
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab";
        assert_eq!(whole_length(response).unwrap(), Some(43));
        assert_eq!(whole_length(&response[..36]).unwrap(), None);
        assert!(whole_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
