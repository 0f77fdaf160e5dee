//! `cargo faults day`: a day of a busy cluster, as fast as the machine can, with memory and descriptors watched.

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

use super::Rig;
use super::program::Program;

/// How much more memory may be in use in the second half of the day than in the first.
const MORE_KILOBYTES: u64 = 16 << 10;

/// The session, again and again until a day is over, each time with other jobs, through spools to a collector that forgets what it took.
pub(super) fn run(rig: &Rig, hours: f64) -> Result<()> {
    let recording = rig.folder.join("day.jsonl.gz");
    let times = write(&rig.recording, &recording, (hours * 3_600_000.0) as i64)?;
    let endpoint = forgetful_collector()?;
    let day = Rig { recording, binary: rig.binary.clone(), folder: rig.folder.clone(), expected: Vec::new() };
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
    // The beginning is for warming up.
    let most = |samples: &[(u64, usize)]| samples.iter().max().copied().unwrap_or_default();
    let most_open = |samples: &[(u64, usize)]| samples.iter().map(|(_, open)| *open).max().unwrap_or_default();
    let [(before, _), (after, _)] = [first, second].map(most);
    let [open_before, open_after] = [first, second].map(most_open);
    let accounts = log.lines().filter(|line| line.contains(" emitted = ") || line.contains("  spool: "));
    println!("{hours} h, {times} sessions, played in {:.0} s", start.elapsed().as_secs_f64());
    accounts.for_each(|account| println!("  {}", account.trim()));
    println!("  memory at most {before} kB, then {after} kB; descriptors {open_before}, then {open_after}");
    ensure!(samples.len() > 20, "too short to tell anything");
    ensure!(after <= before + MORE_KILOBYTES, "it takes more and more memory");
    ensure!(open_after <= open_before, "it opens more and more files");
    Ok(())
}

/// Repeats a recording until it is that long, with other ids of jobs and later times each time; answers how often.
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

/// A line with every id of 32 digits changed, and every time of 13 digits later.
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

/// Memory in kilobytes and open descriptors of a process; `None` if it has just ended.
fn sample(id: u32) -> Option<(u64, usize)> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let open = fs::read_dir(format!("/proc/{id}/fd")).ok()?.count();
    Some((memory.trim().strip_suffix(" kB")?.parse().ok()?, open))
}

/// Takes everything over HTTP and keeps nothing; answers its address. Its threads end with this process.
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
