//! A process that reports through a spool is killed (SIGKILL) at random moments. Every report that it said was taken arrives, nothing arrives
//! that was never reported, and what arrives of each process is a prefix of what it reported.
//!
//! Has no harness: the process that is killed is this program too.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and tells its process by its output")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flink_traces_api::{Deadline, TraceReporter};
use flink_traces_testkit::{Answer, HttpAnswer, OtlpCollector};
use support::{no_orphans, options, trace_reporter, wide_tree};

/// How many processes are killed.
const KILLS: usize = 40;
/// How many spans a report has.
const SPANS: usize = 13;
/// The numbers of the reports of one process begin at its own times this.
const REPORTS: usize = 1_000_000;

fn reporter(endpoint: &str, directory: &Path) -> Box<dyn TraceReporter> {
    // Small requests and files: more moments at which something is half done.
    let more = [("spool.directory", directory.to_str().unwrap()), ("spool.max-size", "16 mb"), ("batch.bytes", "1 kb")];
    trace_reporter(&options(endpoint, "http", &more))
}

/// Reports until it is killed, and prints the number of each report that was taken.
fn child(endpoint: &str, directory: &Path, first: usize) {
    let mut reporter = reporter(endpoint, directory);
    for number in first.. {
        reporter.report(&[wide_tree(number, SPANS - 1)], &Deadline::unlimited()).unwrap();
        println!("{number}");
        std::io::stdout().flush().unwrap();
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, mode, endpoint, directory, first] = &arguments[..]
        && mode == "child"
    {
        return child(endpoint, Path::new(directory), first.parse().unwrap());
    }
    let directory = tempfile::tempdir().unwrap();
    let collector = OtlpCollector::start().unwrap();
    let mut count = 0;
    collector.answer_by(move |_| {
        count += 1;
        match count % 7 {
            0 => HttpAnswer::new(503).into(),
            1 => Answer::Close,
            _ => Answer::Accept,
        }
    });
    let endpoint = collector.http_endpoint();
    let mut taken = BTreeMap::new();
    for process in 0..KILLS {
        let first = process * REPORTS;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", &endpoint, directory.path().to_str().unwrap(), &first.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Not before it has begun, and then any time.
        let mut last = lines.next().unwrap().unwrap().parse::<usize>().unwrap();
        let random = RandomState::new().hash_one(process) % 30_000;
        Deadline::unlimited().sleep(Duration::from_micros(random));
        child.kill().unwrap();
        child.wait().unwrap();
        // The last line may be torn too.
        for line in lines.map_while(Result::ok) {
            last = last.max(line.parse().ok().filter(|number| *number <= last + 1).unwrap_or(last));
        }
        taken.insert(process, last);
    }
    let start = Instant::now();
    let last = reporter(&endpoint, directory.path());
    let deadline = Deadline::unlimited();
    deadline.set(Instant::now() + Duration::from_secs(60));
    last.close(&deadline).unwrap();
    println!("what was left was sent within {:?}", start.elapsed());

    no_orphans(&collector);
    let mut arrived: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut spans: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, _>> = BTreeMap::new();
    for received in collector.spans() {
        if let Some(number) = received.attributes().get("number") {
            let number = usize::try_from(number.as_i64().unwrap()).unwrap();
            arrived.entry(number / REPORTS).or_default().insert(number % REPORTS);
        }
        let span = received.span;
        let known = spans.entry(span.trace_id.clone()).or_default().insert(span.span_id.clone(), span.clone());
        assert!(known.is_none_or(|known| known == span), "one id, two contents");
    }
    let (mut total, mut in_part) = (0, 0);
    for (process, last) in taken {
        let arrived = &arrived[&process];
        let last = last % REPORTS;
        let reports = arrived.len();
        assert_eq!(arrived.iter().copied().collect::<Vec<_>>(), (0..reports).collect::<Vec<_>>(), "no prefix");
        // The one after the last that was acknowledged may be on the disk already.
        assert!(
            reports == last + 1 || reports == last + 2,
            "{reports} reports of process {process}, {last} was the last"
        );
        total += reports;
        // That one may be there in part.
        in_part += reports - last - 1;
    }
    assert_eq!(arrived.len(), KILLS);
    assert_eq!(spans.len(), total);
    let whole = spans.values().filter(|tree| tree.len() == SPANS).count();
    assert!(whole >= total - in_part, "{whole} whole reports of {total}");
    println!("{KILLS} kills, {total} reports, none lost");
}
