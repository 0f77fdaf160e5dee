//! Measurements of the program as it watches a cluster: its CPU, its memory and its requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Numbers, numbers};
use crate::clock;
use crate::plan::POLL_INTERVAL_S;

/// The time for the first polls, which read all histories and are not representative.
const WARM_UP: Duration = Duration::from_secs(45);
const MEASURED: Duration = Duration::from_secs(60);

/// A process that ends when this value is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the program at `binary` on a cluster of `jobs` jobs.
pub(super) fn watch(jobs: usize, binary: &str) -> Result<Numbers> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("cluster").arg(jobs.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut cluster = Process(command.spawn()?);
    let output = cluster.0.stdout.take().context("the cluster has no output")?;
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address)?;

    let folder = tempfile::tempdir()?;
    let metrics = free_port()?;
    let mut command = Command::new(binary);
    command.args(["run", "--flink", &format!("http://{}", address.trim())]);
    for option in [
        format!("flink-traces.poll-interval={POLL_INTERVAL_S} s"),
        format!("flink-traces.metrics.listen={metrics}"),
        format!("traces.reporter.json.factory.class={}", flink_traces_json::FACTORY),
        format!("traces.reporter.json.path={}", folder.path().join("spans.jsonl").display()),
    ] {
        command.args(["-D", &option]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let program = Process(command.spawn().with_context(|| format!("{binary} cannot be started"))?);
    let pid = program.0.id();

    std::thread::sleep(WARM_UP);
    let (start, cpu, sent) = (Instant::now(), cpu(pid)?, requests(metrics)?);
    std::thread::sleep(MEASURED);
    let wall = start.elapsed().as_secs_f64();
    let cpu = (self::cpu(pid)? - cpu).as_secs_f64() / wall * 100.0;
    let sent = (requests(metrics)? - sent) / wall / jobs as f64;
    Ok(numbers([("core", cpu), ("resident", clock::resident(&pid.to_string())), ("requests", sent)]))
}

/// Returns the CPU time of all threads of a process, to the nanosecond.
fn cpu(pid: u32) -> Result<Duration> {
    let mut total = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let times = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        total += times.split_whitespace().next().context("schedstat has no CPU time")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}

/// Returns the number of requests that the program has sent.
fn requests(port: u16) -> Result<f64> {
    const NAME: &str = "flink_traces_cluster_requests_total";
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("the program does not listen")?;
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let Some(line) = page.lines().find(|line| line.starts_with(NAME)) else { bail!("metric {NAME} is missing") };
    Ok(line.rsplit(' ').next().unwrap_or_default().trim().parse()?)
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
