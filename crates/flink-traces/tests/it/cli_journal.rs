//! The journal: a restart reports nothing again, whatever ends the process before it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use flink_traces_testkit::OtlpCollector;

use crate::support::LONG;
use crate::support::flink::FakeFlink;
use crate::support::process::{Place, Running};
use crate::support::session;

/// Starts `run` on a session, with a journal unless its name is empty.
fn run(place: &Place, flink: &FakeFlink, collector: &OtlpCollector, journal: &str) -> Running {
    let journal = format!("-Dflink-traces.journal.path={journal}");
    let (cluster, endpoint) = (format!("prod={}", flink.url()), collector.grpc_endpoint());
    place.start(&[
        "run",
        "--flink",
        &cluster,
        "--otlp",
        &endpoint,
        "-Dtraces.reporter.otlp.exporter.protocol=grpc",
        "-Devents.reporter.otlp.exporter.protocol=grpc",
        "-Dflink-traces.poll-interval=20 ms",
        "-Dflink-traces.metrics.listen=0",
        &journal,
    ])
}

/// Returns the number of times that each span and each event arrived, without signs of life.
fn arrived(collector: &OtlpCollector) -> BTreeMap<String, usize> {
    let spans = collector.spans();
    let spans = spans.iter().map(|span| format!("{:02x?}{:02x?}", span.trace_id(), span.span_id()));
    let events = collector.events();
    let kept = events.iter().map(|event| event.attributes()).filter(|event| event["name"] != "ObservationEvent");
    let mut counts = BTreeMap::new();
    spans
        .chain(kept.map(|event| event["log.record.uid"].to_string()))
        .for_each(|id| *counts.entry(id).or_default() += 1);
    counts
}

/// Returns the number of records that were not reported again.
fn known(running: &Running) -> usize {
    let said = running.wait_for_stderr("serving metrics at http://");
    let address = said.rsplit_once("serving metrics at http://").unwrap().1.split('/').next().unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    connection.read_to_string(&mut page).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("flink_traces_journal_repeated_total{} "));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

/// Waits until nothing arrived for six seconds, but at least `least` records.
fn wait_for_quiet(collector: &OtlpCollector, least: usize) -> BTreeMap<String, usize> {
    let end = Instant::now() + LONG;
    let (mut last, mut since) = (BTreeMap::new(), Instant::now());
    loop {
        let found = arrived(collector);
        if found != last {
            (last, since) = (found, Instant::now());
        }
        if last.len() >= least && since.elapsed() > Duration::from_secs(6) {
            return last;
        }
        assert!(Instant::now() < end, "{} of {least}", last.len());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Scenario: the program is stopped by SIGTERM and by kill -9, and started again. Guarantees: after
/// SIGTERM nothing is reported again, and after kill -9 all arrives, under the same ids.
#[test]
fn restart_reports_nothing_again() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let collector = OtlpCollector::start().unwrap();
    let running = run(&place, &flink, &collector, "journal");
    let first = wait_for_quiet(&collector, 1);
    running.signal("TERM");
    running.finish().expect_code(0);
    let running = run(&place, &flink, &collector, "journal");
    let end = Instant::now() + LONG;
    while known(&running) < first.len() {
        assert!(Instant::now() < end, "{} of {}", known(&running), first.len());
        std::thread::sleep(Duration::from_millis(50));
    }
    running.signal("TERM");
    running.finish().expect_code(0);
    let second = arrived(&collector);
    assert!(second.len() >= first.len());
    let repeated: Vec<_> = second.iter().filter(|(_, count)| **count > 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");

    // A process that is killed while it reports.
    let killed = OtlpCollector::start().unwrap();
    for _ in 0..3 {
        let before = arrived(&killed).len();
        let running = run(&place, &flink, &killed, "other");
        let end = Instant::now() + Duration::from_secs(10);
        while arrived(&killed).len() == before && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        running.signal("KILL");
        assert_eq!(running.finish().code, None);
    }
    let running = run(&place, &flink, &killed, "other");
    let found = wait_for_quiet(&killed, second.len());
    running.signal("TERM");
    running.finish().expect_code(0);
    assert_eq!(found.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
}

/// Scenario: the collector is away until the program is stopped. Guarantees: what was dropped is
/// reported by the next process.
#[test]
fn dropped_records_are_reported_by_the_next_process() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let away = OtlpCollector::start().unwrap();
    away.respond_by(|_| flink_traces_testkit::GrpcStatus::new(14, "away").into());
    let running = run(&place, &flink, &away, "journal");
    let end = Instant::now() + LONG;
    while away.requests().is_empty() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(20));
    }
    running.signal("TERM");
    running.finish();
    let collector = OtlpCollector::start().unwrap();
    let running = run(&place, &flink, &collector, "journal");
    let found = wait_for_quiet(&collector, 10);
    running.signal("TERM");
    running.finish().expect_code(0);
    assert!(found.values().all(|count| *count == 1));
}

#[test]
fn unusable_journal_is_a_problem_of_the_configuration() {
    let place = Place::new();
    place.write("text", "no journal");
    for (path, expected) in [("text", "expected a journal, found another file"), ("missing/journal", "No such file")] {
        let option = format!("-Dflink-traces.journal.path={path}");
        let refused = place.run(&["run", "--flink", "http://127.0.0.1:1", &option]).expect_code(78);
        let key = "error: flink-traces.journal.path: ";
        assert!(refused.stderr.contains(key) && refused.stderr.contains(expected), "{refused:?}");
    }
    assert_eq!(place.read("text"), "no journal");
}
