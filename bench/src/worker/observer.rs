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

/// The pause between two scrapes, which is common for Prometheus.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);
/// The time in which all jobs must have their metrics.
const ALL_KNOWN: Duration = Duration::from_secs(300);

/// A running `flink-traces`, and the port of its metrics.
struct Program {
    process: Process,
    metrics: u16,
    _folder: tempfile::TempDir,
}

impl Program {
    /// Starts the program at `binary` on a cluster.
    fn start(binary: &str, cluster: &str, options: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let metrics = free_port()?;
        let mut command = Command::new(binary);
        command.args(["run", "--flink", &format!("http://{cluster}")]);
        let own = [
            format!("flink-traces.poll-interval={POLL_INTERVAL_S} s"),
            format!("flink-traces.metrics.listen={metrics}"),
            format!("traces.reporter.json.factory.class={}", flink_traces_json::FACTORY),
            format!("traces.reporter.json.path={}", folder.path().join("spans.jsonl").display()),
        ];
        for option in own.iter().map(String::as_str).chain(options.iter().copied()) {
            command.args(["-D", option]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process(command.spawn().with_context(|| format!("{binary} cannot be started"))?);
        Ok(Self { process, metrics, _folder: folder })
    }

    fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Returns the metrics page.
    fn scrape(&self) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).context("the program does not listen")?;
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    }

    /// Returns the number of requests that the program has sent.
    fn requests(&self) -> Result<f64> {
        const NAME: &str = "flink_traces_cluster_requests_total";
        let page = self.scrape()?;
        let Some(line) = page.lines().find(|line| line.starts_with(NAME)) else { bail!("metric {NAME} is missing") };
        Ok(line.rsplit(' ').next().unwrap_or_default().trim().parse()?)
    }
}

/// Starts a cluster of `jobs` jobs. Returns its process and address.
fn cluster(jobs: usize) -> Result<(Process, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("cluster").arg(jobs.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut cluster = Process(command.spawn()?);
    let output = cluster.0.stdout.take().context("the cluster has no output")?;
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address)?;
    Ok((cluster, address.trim().to_owned()))
}

/// Runs the program at `binary` on a cluster of `jobs` jobs.
pub(super) fn watch(jobs: usize, binary: &str) -> Result<Numbers> {
    let (_cluster, address) = cluster(jobs)?;
    let program = Program::start(binary, &address, &[])?;
    std::thread::sleep(WARM_UP);
    let (start, cpu, sent) = (Instant::now(), cpu(program.pid())?, program.requests()?);
    std::thread::sleep(MEASURED);
    let wall = start.elapsed().as_secs_f64();
    let cpu = (self::cpu(program.pid())? - cpu).as_secs_f64() / wall * 100.0;
    let sent = (program.requests()? - sent) / wall / jobs as f64;
    Ok(numbers([("core", cpu), ("resident", clock::resident(&program.pid().to_string())), ("requests", sent)]))
}

/// Scrapes a program that has metrics of all `jobs` jobs, and compares its CPU with that of another
/// one, which watches the same cluster at the same time, without metrics of jobs and unscraped.
pub(super) fn scrape(jobs: usize, binary: &str) -> Result<Numbers> {
    let (_cluster, address) = cluster(jobs)?;
    let with = Program::start(binary, &address, &[&format!("flink-traces.metrics.max-jobs={jobs}")])?;
    let without = Program::start(binary, &address, &["flink-traces.metrics.max-jobs=0"])?;
    let start = Instant::now();
    std::thread::sleep(WARM_UP);
    loop {
        const NAME: &str = "flink_traces_job_last_completed_checkpoint_timestamp_seconds{";
        let known = with.scrape()?.lines().filter(|line| line.starts_with(NAME)).count();
        if known == jobs {
            break;
        }
        if start.elapsed() > ALL_KNOWN {
            bail!("only {known} of {jobs} jobs have metrics");
        }
        std::thread::sleep(SCRAPE_INTERVAL);
    }
    let (cpu_with, cpu_without) = (cpu(with.pid())?, cpu(without.pid())?);
    let (start, mut pages) = (Instant::now(), Vec::new());
    while start.elapsed() < 2 * MEASURED {
        std::thread::sleep(SCRAPE_INTERVAL);
        let begin = Instant::now();
        let page = with.scrape()?;
        pages.push((begin.elapsed().as_nanos() as f64, page.len() as f64));
    }
    let cpu_with = (cpu(with.pid())? - cpu_with).as_secs_f64();
    let cpu_without = (cpu(without.pid())? - cpu_without).as_secs_f64();
    pages.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (slowest, size) = pages.last().copied().unwrap_or_default();
    let growth = (cpu_with / cpu_without - 1.0) * 100.0;
    Ok(numbers([("scrape", slowest), ("size", size), ("growth", growth)]))
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

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
