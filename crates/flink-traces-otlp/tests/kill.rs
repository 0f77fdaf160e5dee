//! A process that reports through a spool is killed (SIGKILL) at random moments. Every report that it said was taken arrives, nothing arrives
//! that was never reported, and what arrives of each process is a prefix of what it reported.
//!
//! What is part of a span that the collector refused never arrives, whichever process comes to it.
//!
//! Has no harness: the process that is killed is this program too. `cargo test -p flink-traces-otlp --test kill -- 200` kills that many.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and tells its process by its output")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flink_traces_api::{Deadline, Identity, TraceReporter};
use flink_traces_testkit::{Answer, HttpAnswer, OtlpCollector};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use support::{no_orphans, options, trace_reporter, wide_tree};

/// How many processes are killed, unless an argument says so.
const KILLS: usize = 40;
/// How many spans a report has.
const SPANS: usize = 13;
/// Of so many reports the collector refuses the root of one.
const REFUSED: usize = 7;
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

/// The numbers of the reports whose roots are in a request.
fn roots(message: &[u8]) -> Vec<usize> {
    let request = ExportTraceServiceRequest::decode(message).unwrap();
    let groups = request.resource_spans.into_iter().flat_map(|envelope| envelope.scope_spans);
    let attributes = groups.flat_map(|group| group.spans).filter_map(|span| {
        let number = span.attributes.into_iter().find(|attribute| attribute.key == "number")?;
        number.value?.value
    });
    attributes
        .map(|value| match value {
            Value::IntValue(number) => usize::try_from(number).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn is_refused(number: usize) -> bool {
    number % REFUSED == REFUSED - 1
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, mode, endpoint, directory, first] = &arguments[..]
        && mode == "child"
    {
        return child(endpoint, Path::new(directory), first.parse().unwrap());
    }
    // Whatever else cargo passes on.
    let kills = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(KILLS);
    let directory = tempfile::tempdir().unwrap();
    let collector = OtlpCollector::start().unwrap();
    let mut count = 0;
    collector.answer_by(move |request| {
        count += 1;
        match count % 7 {
            0 => HttpAnswer::new(503).into(),
            1 => Answer::Close,
            _ if roots(&request.message).iter().any(|number| is_refused(*number)) => HttpAnswer::new(400).into(),
            _ => Answer::Accept,
        }
    });
    let endpoint = collector.http_endpoint();
    let mut taken = BTreeMap::new();
    let mut slowest_start = Duration::ZERO;
    for process in 0..kills {
        let first = process * REPORTS;
        let start = Instant::now();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", &endpoint, directory.path().to_str().unwrap(), &first.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Not before it has begun, and then any time.
        let mut last = lines.next().unwrap().unwrap().parse::<usize>().unwrap();
        slowest_start = slowest_start.max(start.elapsed());
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
        let tree = spans.entry(received.trace_id().to_vec()).or_default();
        let known = tree.insert(received.span_id().to_vec(), received.clone());
        assert!(known.is_none_or(|known| known == received), "one id, two contents");
    }
    let (mut acknowledged, mut unknown) = (0, 0);
    for (process, last) in taken {
        let arrived = arrived.remove(&process).unwrap_or_default();
        let last = last % REPORTS;
        let is_expected = |number: &usize| !is_refused(process * REPORTS + number);
        let expected: BTreeSet<_> = (0..=last).filter(is_expected).collect();
        let lost: Vec<_> = expected.difference(&arrived).collect();
        assert!(lost.is_empty(), "{lost:?} of process {process} are lost, {last} was the last");
        // The one after the last that was acknowledged may be on the disk already, whole or in part.
        let more: Vec<_> = arrived.difference(&expected).collect();
        assert!(more.is_empty() || more == [&(last + 1)], "{more:?} of process {process}, {last} was the last");
        acknowledged += last + 1;
        unknown += more.len();
        for number in expected {
            let trace_id = Identity::numbered((process * REPORTS + number) as u64 + 1).trace_id();
            assert_eq!(spans[&trace_id.as_bytes()[..]].len(), SPANS, "report {number} of process {process}");
        }
    }
    assert!(arrived.is_empty(), "{arrived:?}");
    println!(
        "{kills} kills: {acknowledged} acknowledged reports, 0 lost, {unknown} of those that were under way arrived, \
         the slowest start took {slowest_start:?}"
    );
}
