//! `cargo faults day`: a day of a busy cluster, played as fast as possible.
//!
//! Memory and descriptors are sampled on the way.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::Setup;
use super::program::Program;

/// The growth of memory that is allowed from the first half of the day to the second.
const MORE_KILOBYTES: u64 = 16 << 10;

/// Plays the session repeatedly, each time with other jobs, until the day is over.
///
/// The records go through spools to a collector that forgets them.
pub(super) fn run(setup: &Setup, hours: f64) -> Result<()> {
    let recording = setup.folder.join("day.jsonl.gz");
    let times = write(&setup.recording, &recording, (hours * 3_600_000.0) as i64)?;
    let endpoint = forgetful_collector()?;
    let day = Setup { recording, binary: setup.binary.clone(), folder: setup.folder.clone(), expected: Vec::new() };
    let program = Program::play(&day, "day", &endpoint, &[]).option("traces.reporter.otlp.exporter.protocol", "http");
    let start = Instant::now();
    let mut running = program.option("events.reporter.otlp.exporter.protocol", "http").start()?;
    let mut samples = Vec::new();
    while running.is_running()? {
        samples.extend(sample(running.id()));
        sleep(Duration::from_millis(500));
    }
    let log = running.finish()?;
    let (first, second) = samples.split_at(samples.len() / 2);
    // The first half includes the warm-up.
    let most = |samples: &[(u64, usize)]| samples.iter().max().copied().unwrap_or_default();
    let most_open = |samples: &[(u64, usize)]| samples.iter().map(|(_, open)| *open).max().unwrap_or_default();
    let [(before, _), (after, _)] = [first, second].map(most);
    let [open_before, open_after] = [first, second].map(most_open);
    let accounts = log.lines().filter(|line| line.contains(" emitted = ") || line.contains("  spool: "));
    println!("{hours} h, {times} sessions, played in {:.0} s", start.elapsed().as_secs_f64());
    accounts.for_each(|account| println!("  {}", account.trim()));
    println!("  memory at most {before} kB, then {after} kB; descriptors {open_before}, then {open_after}");
    ensure!(samples.len() > 20, "the run is too short for a comparison");
    ensure!(after <= before + MORE_KILOBYTES, "memory grows: {before} kB, then {after} kB");
    ensure!(open_after <= open_before, "descriptors grow: {open_before}, then {open_after}");
    Ok(())
}

/// Repeats a recording for `length` milliseconds with other job ids and later times. Returns how
/// often.
fn write(from: &Path, to: &Path, length: i64) -> Result<i64> {
    let lines: Vec<String> =
        BufReader::new(MultiGzDecoder::new(File::open(from)?)).lines().collect::<std::io::Result<_>>()?;
    let time = |line: &String| serde_json::from_str::<serde_json::Value>(line).ok()?["t_ms"].as_i64();
    let (begin, end) = (lines.first().and_then(time), lines.last().and_then(time));
    let one = end.context("no time")? - begin.context("no time")? + 10_000;
    let times = (length / one).max(1);
    let mut out = GzEncoder::new(File::create(to)?, Compression::fast());
    for number in 0..times {
        for line in &lines {
            writeln!(out, "{}", moved(line, number, one * number))?;
        }
    }
    out.finish()?;
    Ok(times)
}

/// Returns a line with every id of 32 digits changed and every time of 13 digits moved.
fn moved(line: &str, number: i64, later: i64) -> String {
    let mut moved = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        moved.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let word = &rest[..end];
        match (word.len(), word.parse::<i64>()) {
            (13, Ok(time)) if word.starts_with("1795") => moved += &(time + later).to_string(),
            (32, _) => moved += &format!("{number:06x}{}", &word[6..]),
            _ => moved.push_str(word),
        }
        rest = &rest[end..];
    }
    moved + rest
}

/// Returns the memory in kilobytes and the open descriptors of a process, or `None` if it ended.
fn sample(id: u32) -> Option<(u64, usize)> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let open = fs::read_dir(format!("/proc/{id}/fd")).ok()?.count();
    Some((memory.trim().strip_suffix(" kB")?.parse().ok()?, open))
}

/// Starts a collector over HTTP that keeps nothing, and returns its address. Its threads end with
/// this process.
fn forgetful_collector() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || serve(connection));
        }
    });
    Ok(format!("http://{address}"))
}

fn serve(connection: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut writer = connection;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ids_are_moved_and_nothing_else() {
        let line = r#"{"t_ms":1795230900029,"path":"/jobs/0b1d198cd84d58810f0faf9761017b2f/x?a=12","body":"ab 17952309000291 c\u00e4"}"#;
        let expected = r#"{"t_ms":1795230900129,"path":"/jobs/0000078cd84d58810f0faf9761017b2f/x?a=12","body":"ab 17952309000291 c\u00e4"}"#;
        assert_eq!(moved(line, 7, 100), expected);
    }
}
