//! Kills processes that report through a spool at random moments, with SIGKILL.
//!
//! Each acknowledged report arrives. What arrives of a process is a prefix of its reports.
//! A root that the collector rejects withholds none of its children. No span arrives before its
//! parent, unless that was rejected.
//!
//! The test has no harness, because the killed process is this program, too.
//! `cargo test -p flink-traces-otlp --test kill -- 200` kills 200 processes.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and prints to its process")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flink_traces_api::{Deadline, Identity, TraceReporter};
use flink_traces_testkit::{CollectorResponse, HttpResponse, OtlpCollector};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use support::{options, trace_reporter, wide_tree};

/// The number of processes to kill, unless an argument sets it.
const KILLS: usize = 40;
/// The number of spans of a report.
const SPANS: usize = 13;
/// The collector rejects the root of one of so many reports.
const REFUSED: usize = 7;
/// The distance between the first report numbers of two processes.
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

fn trace_id(number: usize) -> Vec<u8> {
    Identity::numbered(number as u64 + 1).trace_id().as_bytes().to_vec()
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
    collector.respond_by(move |request| {
        count += 1;
        match count % 7 {
            0 => HttpResponse::new(503).into(),
            1 => CollectorResponse::Close,
            _ if roots(&request.message).iter().any(|number| is_refused(*number)) => HttpResponse::new(400).into(),
            _ => CollectorResponse::Accept,
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
    // The last report of a process may be there without having been acknowledged.
    let of_process = |(process, last): (&usize, &usize)| process * REPORTS..=last + 1;
    let numbers = taken.iter().flat_map(of_process).filter(|number| is_refused(*number));
    let rejected: BTreeSet<_> = numbers.map(trace_id).collect();
    let start = Instant::now();
    let last = reporter(&endpoint, directory.path());
    let deadline = Deadline::unlimited();
    deadline.set(Instant::now() + Duration::from_secs(60));
    last.close(&deadline).unwrap();
    println!("what was left was sent within {:?}", start.elapsed());

    let mut known = BTreeSet::new();
    for received in collector.spans() {
        let parent = received.parent_span_id();
        let is_known = parent.is_empty() || known.contains(parent);
        assert!(is_known || rejected.contains(received.trace_id()), "{received:?} is an orphan");
        known.insert(received.span_id().to_vec());
    }
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
        for number in (process * REPORTS..=last).filter(|number| is_refused(*number)) {
            assert_eq!(spans[&trace_id(number)].len(), SPANS - 1, "report {number} without its root");
        }
        let arrived = arrived.remove(&process).unwrap_or_default();
        let last = last % REPORTS;
        let is_expected = |number: &usize| !is_refused(process * REPORTS + number);
        let expected: BTreeSet<_> = (0..=last).filter(is_expected).collect();
        let lost: Vec<_> = expected.difference(&arrived).collect();
        assert!(lost.is_empty(), "{lost:?} of process {process} are lost, {last} was the last");
        // The report after the last acknowledged one may be on disk already, as a whole or in part.
        let more: Vec<_> = arrived.difference(&expected).collect();
        assert!(more.is_empty() || more == [&(last + 1)], "{more:?} of process {process}, {last} was the last");
        acknowledged += last + 1;
        unknown += more.len();
        for number in expected {
            assert_eq!(
                spans[&trace_id(process * REPORTS + number)].len(),
                SPANS,
                "report {number} of process {process}"
            );
        }
    }
    assert!(arrived.is_empty(), "{arrived:?}");
    println!(
        "{kills} kills: {acknowledged} acknowledged reports, 0 lost, {unknown} of those that were under way arrived, \
         the slowest start took {slowest_start:?}"
    );
}
