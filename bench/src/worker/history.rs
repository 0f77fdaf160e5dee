//! The history: writing it, and asking its server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use flink_traces_api::Timestamp;
use flink_traces_history::{FACTORY, register};
use flink_traces_runtime::checkpoint::CheckpointType;
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::JobVertex;
use flink_traces_runtime::{Reporting, Subtask};
use harness::ProcessGuard;

use super::{Numbers, each, numbers};
use crate::clock;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The days of the fleet, which is the retention of rows.
const DAYS: i64 = 30;
const TIMEOUT: Duration = Duration::from_secs(3_600);
/// The number of requests of each kind, of which the median counts.
const REQUESTS: usize = 7;

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

/// Writes a history without detail: a checkpoint of each of `jobs` jobs at each of `times`.
fn write(directory: &Path, jobs: usize, times: impl Iterator<Item = i64>) -> Result<()> {
    let reporting = Reporting::builder()
        .cluster("prod")
        .span_detail_level(SpanDetailLevel::SpanPerCheckpoint)
        .register(register)
        .option("traces.reporter.history.factory.class", FACTORY)
        .option("traces.reporter.history.path", directory.display().to_string())
        .option("traces.reporter.history.checkpoint.span-detail-level", SpanDetailLevel::SpanPerCheckpoint.name())
        .option("traces.reporter.history.max-size", "20 gb")
        .shutdown_timeout(TIMEOUT)
        .start()?;
    let jobs: Vec<_> = (0..jobs).map(|job| reporting.job(format!("{job:032x}"), format!("orders-{job:05}"))).collect();
    let tasks = [JobVertex::new("a0", "map", 1)];
    for (id, at) in (1..).zip(times) {
        for job in &jobs {
            let checkpoint = job.at(Timestamp::from_millis(at)).trigger(id, CheckpointType::Checkpoint, &tasks)?;
            let ended = checkpoint.at(Timestamp::from_millis(at + 150 + id % 89));
            ended.ack("a0", Subtask::new(0).state_size(4_096))?;
            ended.complete("file:///checkpoints/orders")?;
        }
        // The queue is bounded.
        while reporting.stats().iter().any(|reporter| reporter.queued > 500_000) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    for account in reporting.shutdown_blocking() {
        ensure!(account.emitted == account.delivered, "{account}");
    }
    Ok(())
}

/// A server of a history, and its address.
struct Server(ProcessGuard, String);

impl Server {
    fn start(binary: &str, directory: &Path) -> Result<Self> {
        const SERVING: &str = "serving the page at http://";
        let mut process: ProcessGuard = Command::new(binary)
            .args(["serve", "--listen", "0", "--history"])
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?
            .into();
        let stderr = process.stderr.take().context("no standard error")?;
        for line in BufReader::new(stderr).lines() {
            if let Some((_, address)) = line?.split_once(SERVING) {
                let address = address.trim_end_matches('/').to_owned();
                return Ok(Self(process, address));
            }
        }
        bail!("the server ended")
    }

    /// Returns the median time of a request in nanoseconds, and the size of its answer.
    fn ask(&self, path: &str) -> Result<(f64, f64)> {
        let mut taken = Vec::new();
        let mut size = 0;
        for _ in 0..REQUESTS {
            let start = Instant::now();
            let mut stream = TcpStream::connect(&self.1)?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            ensure!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
            taken.push(each(start.elapsed(), 1));
            size = answer.len();
        }
        taken.sort_by(f64::total_cmp);
        Ok((taken[taken.len() / 2], size as f64))
    }
}

/// Returns the size of all files of a directory.
fn size_of(directory: &Path) -> Result<f64> {
    let mut size = 0;
    for entry in std::fs::read_dir(directory)? {
        size += entry?.metadata()?.len();
    }
    Ok(size as f64)
}

/// Writes a job of `checkpoints` checkpoints, and asks the program at `binary` for them.
pub(super) fn job(checkpoints: usize, binary: &str) -> Result<Numbers> {
    let folder = tempfile::tempdir()?;
    let directory = folder.path().join("history");
    let now = now_ms()?;
    let count = i64::try_from(checkpoints)?;
    let start = Instant::now();
    write(&directory, 1, (0..count).map(|number| now - (count - number) * 8_000))?;
    let per_second = checkpoints as f64 / start.elapsed().as_secs_f64();
    let bytes = size_of(&directory)? / checkpoints as f64;
    let server = Server::start(binary, &directory)?;
    let (asked, _) = server.ask(&format!("/api/job?job=1&from={}&to={}", now - DAYS * DAY_MS, now + 1))?;
    let resident = clock::resident(&server.0.id().to_string());
    Ok(numbers([("per second", per_second), ("bytes", bytes), ("asked", asked), ("resident", resident)]))
}

/// Writes 30 days of `jobs` jobs, and asks the program at `binary` for the fleet and a report.
pub(super) fn fleet(jobs: usize, binary: &str) -> Result<Numbers> {
    let folder = tempfile::tempdir()?;
    let directory = folder.path().join("history");
    let now = now_ms()?;
    let hours = DAYS * DAY_MS / HOUR_MS;
    write(&directory, jobs, (1..hours).map(|hour| now - (hours - hour) * HOUR_MS + HOUR_MS / 2))?;
    let server = Server::start(binary, &directory)?;
    let (asked, _) = server.ask(&format!("/api/fleet?from={}&to={}", now - DAYS * DAY_MS, now + 1))?;
    let resident = clock::resident(&server.0.id().to_string());
    let report = folder.path().join("report.html");
    let start = Instant::now();
    let mut command = Command::new(binary);
    command.args(["report", "--since", "7 d", "--history"]).arg(&directory).arg("-o").arg(&report);
    harness::run(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let reported = each(start.elapsed(), 1);
    let size = std::fs::metadata(&report)?.len() as f64;
    Ok(numbers([("asked", asked), ("resident", resident), ("report", reported), ("size", size)]))
}
