//! Reporters with a spool: outages, restarts, failing disks.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flink_traces_api::{Deadline, RecordCounts, ReporterMeter, TraceReporter};
use flink_traces_testkit::{CollectorResponse, HttpResponse, OtlpCollector};
use support::{PROTOCOLS, dead_spans, no_orphans, options, trace_reporter, tree, wide_tree};
use tempfile::TempDir;

/// Longer than any of this may take.
const LONG: Duration = Duration::from_secs(30);

fn spooled(endpoint: &str, protocol: &str, directory: &Path, more: &[(&str, &str)]) -> Box<dyn TraceReporter> {
    let spool = [("spool.directory", directory.to_str().unwrap())];
    trace_reporter(&options(endpoint, protocol, &[&spool, more].concat()))
}

/// Returns the delivered, rejected and dropped records of both logs, by the cursor.
fn account(directory: &TempDir) -> [u64; 3] {
    let text = std::fs::read_to_string(directory.path().join("traces-otlp/0/cursor")).unwrap();
    let blocks = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let cursor = blocks.max_by_key(|block| block["writes"].as_u64()).unwrap();
    let sum = |key: &str| ["summary", "detail"].iter().map(|log| cursor[log][key].as_u64().unwrap()).sum::<u64>();
    let [finalized, delivered, rejected] = ["finalized", "delivered", "rejected"].map(sum);
    [delivered, rejected, finalized - delivered - rejected]
}

fn closing(left: Duration) -> Deadline {
    let deadline = Deadline::unlimited();
    deadline.set(Instant::now() + left);
    deadline
}

/// The numbers of the trees of which the collector has the whole.
fn numbers(collector: &OtlpCollector) -> BTreeSet<i64> {
    collector.spans().iter().filter_map(|span| span.attributes().get("number")?.as_i64()).collect()
}

#[test]
fn next_process_sends_stored_records() {
    for protocol in PROTOCOLS {
        let directory = tempfile::tempdir().unwrap();
        let collector = OtlpCollector::start().unwrap();
        collector.respond_by(|_| HttpResponse::new(503).into());
        let endpoint = collector.grpc_endpoint();
        // Not even without any patience is it given up.
        let more = [("retry.timeout", "0"), ("batch.bytes", "2 kb")];
        let mut reporter = spooled(&endpoint, protocol, directory.path(), &more);
        for number in 0..20 {
            reporter.report(&[tree(number), wide_tree(100 + number, 50)], &Deadline::unlimited()).unwrap();
        }
        reporter.close(&closing(Duration::from_millis(20))).unwrap();
        assert_eq!(collector.spans(), []);

        collector.respond_by(|_| CollectorResponse::Accept);
        let reporter = spooled(&endpoint, protocol, directory.path(), &more);
        reporter.close(&closing(LONG)).unwrap();
        no_orphans(&collector);
        let ids: BTreeSet<_> = collector.spans().into_iter().map(|span| span.span_id().to_vec()).collect();
        assert_eq!((ids.len(), numbers(&collector).len()), (20 * 4 + 20 * 51, 40));
        assert_eq!(account(&directory), [1100, 0, 0]);
    }
}

/// Scenario: a reporter is dropped without an end. Guarantees: its thread ends, so the next
/// reporter has its slot.
#[test]
fn dropped_reporter_frees_its_slot() {
    let directory = tempfile::tempdir().unwrap();
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| HttpResponse::new(503).into());
    let start = || spooled(&collector.grpc_endpoint(), "grpc", directory.path(), &[]);
    let mut dropped = start();
    dropped.report(&[tree(0)], &Deadline::unlimited()).unwrap();
    drop(dropped);
    let next = start();
    assert_eq!(next.meter().unwrap().read().buffer.unwrap().queued, 4);
    assert!(!directory.path().join("traces-otlp/1").exists());
}

/// Returns the stored, delivered, rejected, dropped and queued records of the spool.
fn account_of(meter: &ReporterMeter) -> [u64; 5] {
    let stats = meter.read().buffer.unwrap();
    let RecordCounts { delivered, rejected, dropped } = stats.finalized;
    [stats.stored(), delivered, rejected, dropped, stats.queued]
}

fn wire_size(collector: &OtlpCollector) -> u64 {
    collector.requests().iter().map(|request| request.wire_size as u64).sum()
}

#[test]
fn account_matches_the_collector() {
    for protocol in PROTOCOLS {
        let directory = tempfile::tempdir().unwrap();
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        collector.respond_by(|_| HttpResponse::new(503).into());
        let mut reporter = spooled(&endpoint, protocol, directory.path(), &[]);
        let meter = reporter.meter().unwrap();
        for number in 0..5 {
            reporter.report(&[tree(number)], &Deadline::unlimited()).unwrap();
            assert_eq!(account_of(&meter), [4 * (number as u64 + 1), 0, 0, 0, 4 * (number as u64 + 1)]);
        }
        assert!(collector.wait_until(LONG, |collector| collector.requests().len() > 3));
        reporter.close(&closing(Duration::ZERO)).unwrap();
        let stats = meter.read();
        assert_eq!((account_of(&meter), stats.last_taken), ([20, 0, 0, 0, 20], None));
        assert!(stats.bytes_sent > 0 && stats.bytes_sent <= wire_size(&collector));
        assert!(stats.buffer.unwrap().bytes > 500);

        // The next process finds it. Of the first request one span is rejected.
        let before = wire_size(&collector);
        collector.respond(CollectorResponse::PartialSuccess { rejected: 1, message: "no".to_owned() });
        collector.respond_by(|_| CollectorResponse::Accept);
        let mut reporter = spooled(&endpoint, protocol, directory.path(), &[]);
        let meter = reporter.meter().unwrap();
        reporter.report(&[tree(7)], &Deadline::unlimited()).unwrap();
        reporter.close(&closing(LONG)).unwrap();
        let stats = meter.read();
        assert_eq!(account_of(&meter), [24, 23, 1, 0, 0]);
        assert_eq!((collector.spans().len(), stats.buffer.unwrap().bytes), (23, 0));
        assert_eq!(stats.bytes_sent, wire_size(&collector) - before);
        assert!(stats.last_taken.is_some());
        // Since the spool was made.
        assert_eq!(account(&directory), [23, 1, 0]);
    }
}

#[test]
fn report_does_not_wait_for_the_collector() {
    let directory = tempfile::tempdir().unwrap();
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| CollectorResponse::Hang);
    let endpoint = collector.grpc_endpoint();
    let mut reporter = spooled(&endpoint, "grpc", directory.path(), &[("exporter.timeout", "1 d")]);
    // Each would wait for ever.
    for number in 0..10 {
        reporter.report(&[tree(number)], &Deadline::unlimited()).unwrap();
    }
    assert!(collector.wait_until(LONG, |collector| !collector.requests().is_empty()));
    reporter.close(&closing(Duration::ZERO)).unwrap();
    assert_eq!(collector.spans(), []);
}

/// Scenario: the collector asks for a delay that is longer than any backoff. Guarantees: the spool
/// sends nothing meanwhile, neither the same request nor another one, and then everything.
#[test]
fn requested_delay_holds_for_all_of_the_spool() {
    const DELAY: Duration = Duration::from_secs(2);
    for protocol in PROTOCOLS {
        let directory = tempfile::tempdir().unwrap();
        let collector = OtlpCollector::start().unwrap();
        let is_first = AtomicBool::new(true);
        collector.respond_by(move |_| match is_first.swap(false, Ordering::Relaxed) {
            true => HttpResponse::new(503).header("retry-after", "2").into(),
            false => CollectorResponse::Accept,
        });
        let more = [("retry.max-backoff", "10 ms"), ("retry.initial-backoff", "1 ms")];
        let mut reporter = spooled(&collector.grpc_endpoint(), protocol, directory.path(), &more);
        let start = Instant::now();
        reporter.report(&[tree(0)], &Deadline::unlimited()).unwrap();
        let (meter, until) = (reporter.meter().unwrap(), Instant::now() + LONG);
        while meter.read().bytes_sent == 0 {
            assert!(Instant::now() < until, "no response");
            std::thread::sleep(Duration::from_millis(1));
        }
        (1..6).for_each(|number| reporter.report(&[tree(number)], &Deadline::unlimited()).unwrap());
        assert!(collector.wait_until(LONG, |collector| collector.requests().len() > 1));
        assert!(start.elapsed() >= DELAY, "{protocol}");
        reporter.close(&closing(LONG)).unwrap();
        assert_eq!((numbers(&collector).len(), account(&directory)), (6, [24, 0, 0]), "{protocol}");
    }
}

#[test]
fn rejected_record_does_not_block_the_spool() {
    for protocol in ["grpc", "http"] {
        let directory = tempfile::tempdir().unwrap();
        let collector = OtlpCollector::start().unwrap();
        collector.respond_by(|request| {
            match request.message.windows(9).any(|bytes| bytes == b"place\x12\x02\x18\x01") {
                true => HttpResponse::new(400).into(),
                false => CollectorResponse::Accept,
            }
        });
        let endpoint = collector.grpc_endpoint();
        let mut reporter = spooled(&endpoint, protocol, directory.path(), &[]);
        for number in 0..5 {
            reporter.report(&[tree(number)], &Deadline::unlimited()).unwrap();
        }
        reporter.close(&closing(LONG)).unwrap();
        assert_eq!((collector.spans().len(), account(&directory)), (15, [15, 5, 0]));
        assert_eq!(dead_spans(&directory.path().join("traces-otlp/dead-letter")), ["Part"; 5]);
    }
}

/// Scenario: two reporters share a directory, and both leave records. Guarantees: each has a slot
/// of its own, and the next process sends what is in both and removes the second.
#[test]
fn slots_of_two_reporters_are_drained_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("traces-otlp");
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| HttpResponse::new(503).into());
    let endpoint = collector.grpc_endpoint();
    let log = support::logged("flink_traces_otlp", || {
        let mut first = spooled(&endpoint, "grpc", directory.path(), &[]);
        let mut second = spooled(&endpoint, "grpc", directory.path(), &[]);
        first.report(&[tree(1)], &Deadline::unlimited()).unwrap();
        second.report(&[tree(2)], &Deadline::unlimited()).unwrap();
        [first, second].into_iter().for_each(|reporter| reporter.close(&closing(Duration::ZERO)).unwrap());
    });
    let holder = std::process::id();
    let line = format!(
        "INFO flink_traces_otlp: spool slot in use, taking the next reporter=\"otlp\" slot=0 holder=\"{holder}\""
    );
    assert_eq!(log.matches(&line).count(), 1, "{line}: {log}");
    assert!(root.join("1/cursor").exists());

    collector.respond_by(|_| CollectorResponse::Accept);
    let reporter = spooled(&endpoint, "grpc", directory.path(), &[]);
    let meter = reporter.meter().unwrap();
    assert!(collector.wait_until(LONG, |collector| numbers(collector).len() == 2));
    reporter.close(&closing(LONG)).unwrap();
    assert_eq!(account_of(&meter), [8, 8, 0, 0, 0]);
    assert!(root.join("0/cursor").exists() && !root.join("1").exists());
}

/// Scenario: one request never gets a response, while others are taken. Guarantees: it holds back
/// its own tree only, becomes a dead letter after `retry.timeout`, and the rest is delivered.
#[test]
fn unanswered_request_becomes_a_dead_letter() {
    for (protocol, concurrency) in [("grpc", "4"), ("http", "4"), ("grpc", "1")] {
        let directory = tempfile::tempdir().unwrap();
        let collector = OtlpCollector::start().unwrap();
        let poison = b"number\x12\x02\x18\x05";
        collector.respond_by(move |request| match request.message.windows(poison.len()).any(|bytes| bytes == poison) {
            true => CollectorResponse::Close,
            false => CollectorResponse::Accept,
        });
        let endpoint = collector.grpc_endpoint();
        let more = [("exporter.concurrency", concurrency), ("retry.timeout", "400 ms"), ("batch.bytes", "1 kb")];
        let mut reporter = spooled(&endpoint, protocol, directory.path(), &more);
        for number in 4..7 {
            reporter.report(&[wide_tree(number, 20)], &Deadline::unlimited()).unwrap();
        }
        let meter = reporter.meter().unwrap();
        let deadline = closing(LONG);
        while account_of(&meter)[4] > 0 {
            assert!(deadline.sleep(Duration::from_millis(5)));
        }
        let [stored, delivered, rejected, dropped, _] = account_of(&meter);
        assert_eq!((stored, dropped), (63, 0));
        let dead = dead_spans(&directory.path().join("traces-otlp/dead-letter"));
        assert!(rejected > 0 && rejected < 21 && dead.len() as u64 == rejected, "{rejected} {dead:?}");
        let ids: BTreeSet<_> = collector.spans().into_iter().map(|span| span.span_id().to_vec()).collect();
        assert_eq!((ids.len() as u64, numbers(&collector).len()), (delivered, 2));
        reporter.close(&closing(LONG)).unwrap();
    }
}

/// Scenario: the directory cannot be written, and later it can. Guarantees: everything is
/// delivered, from memory meanwhile, with one log line for each change.
#[test]
fn without_disk_delivers_from_memory_and_returns() {
    for protocol in PROTOCOLS {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("spool");
        // A file where the directory should be.
        std::fs::write(&directory, "").unwrap();
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        let log = support::logged("flink_traces_otlp", || {
            let mut reporter = spooled(&endpoint, protocol, &directory, &[]);
            for number in 0..3 {
                reporter.report(&[tree(number)], &Deadline::unlimited()).unwrap();
                assert_eq!(numbers(&collector).len(), number + 1);
            }
            std::fs::remove_file(&directory).unwrap();
            for number in 3..6 {
                reporter.report(&[tree(number)], &Deadline::unlimited()).unwrap();
            }
            reporter.close(&closing(LONG)).unwrap();
        });
        assert_eq!((collector.spans().len(), numbers(&collector).len()), (24, 6));
        let count = |line: &str| log.matches(line).count();
        assert_eq!(count("spool unavailable, delivering from memory"), 1, "{log}");
        assert_eq!(count("spool available again"), 1, "{log}");
        assert!(directory.join("traces-otlp/0/cursor").exists());
    }
}

/// Scenario: neither the disk nor the collector can be used, for longer than `retry.timeout`.
/// Guarantees: a report waits until one of them can, and arrives once.
#[test]
fn without_disk_and_collector_a_report_waits() {
    for (disk_comes_first, protocol) in [(true, "grpc"), (false, "grpc"), (true, "http"), (false, "http")] {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("spool");
        std::fs::write(&directory, "").unwrap();
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        let mut count = 0;
        let file = directory.clone();
        collector.respond_by(move |_| {
            count += 1;
            match count {
                // Part of it is taken before.
                3 => return CollectorResponse::Accept,
                20 if disk_comes_first => std::fs::remove_file(&file).unwrap(),
                20.. if !disk_comes_first => return CollectorResponse::Accept,
                _ => {}
            }
            HttpResponse::new(503).into()
        });
        let more = [("retry.timeout", "0"), ("batch.bytes", "1 kb"), ("exporter.concurrency", "1")];
        let mut reporter = spooled(&endpoint, protocol, &directory, &more);
        let meter = reporter.meter().unwrap();
        reporter.report(&[wide_tree(1, 60)], &Deadline::unlimited()).unwrap();
        let taken = collector.spans().len();
        if disk_comes_first {
            let [stored, .., queued] = account_of(&meter);
            assert!(taken > 0 && stored == 61 - taken as u64 && queued == stored, "{taken}, {stored}");
            collector.respond_by(|_| CollectorResponse::Accept);
        } else {
            assert_eq!((taken, meter.read().buffer), (61, None));
        }
        reporter.close(&closing(LONG)).unwrap();
        let ids: BTreeSet<_> = collector.spans().into_iter().map(|span| span.span_id().to_vec()).collect();
        assert_eq!((ids.len(), collector.spans().len()), (61, 61));
        no_orphans(&collector);
    }
}

#[test]
fn full_spool_drops_and_counts() {
    let directory = tempfile::tempdir().unwrap();
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| HttpResponse::new(503).into());
    let endpoint = collector.grpc_endpoint();
    let more = [("spool.max-size", "1 mb"), ("batch.bytes", "20 kb")];
    let log = support::logged("flink_traces_otlp", || {
        let mut reporter = spooled(&endpoint, "grpc", directory.path(), &more);
        for number in 0..10 {
            reporter.report(&[wide_tree(number, 2_000)], &Deadline::unlimited()).unwrap();
        }
        collector.respond_by(|_| CollectorResponse::Accept);
        let meter = reporter.meter().unwrap();
        reporter.close(&closing(LONG)).unwrap();
        let [stored, delivered, rejected, dropped, queued] = account_of(&meter);
        assert_eq!((stored, rejected, queued), (10 * 2_001, 0, 0));
        assert_eq!([delivered, 0, dropped], account(&directory));
    });
    no_orphans(&collector);
    // All roots are there.
    assert_eq!(numbers(&collector).len(), 10);
    let [delivered, rejected, dropped] = account(&directory);
    let ids: BTreeSet<_> =
        collector.spans().into_iter().map(|span| (span.trace_id().to_vec(), span.span_id().to_vec())).collect();
    assert_eq!((ids.len() as u64, rejected), (delivered, 0));
    assert_eq!(delivered + dropped, 10 * 2_001);
    assert!(dropped > 0);
    assert_eq!(log.matches("spool full, dropping oldest records").count(), 1, "{log}");

    // The next process has room again, and says how much was dropped.
    let log = support::logged("flink_traces_otlp", || {
        collector.respond_by(|_| HttpResponse::new(503).into());
        let mut reporter = spooled(&endpoint, "grpc", directory.path(), &more);
        for number in 10..20 {
            reporter.report(&[wide_tree(number, 2_000)], &Deadline::unlimited()).unwrap();
        }
        let meter = reporter.meter().unwrap();
        collector.respond_by(|_| CollectorResponse::Accept);
        // Each look is at what the last answer changed, which is not when its request arrived.
        let deadline = closing(LONG);
        while account_of(&meter)[4] > 0 {
            assert!(deadline.sleep(Duration::from_millis(1)));
        }
        reporter.report(&[tree(20)], &Deadline::unlimited()).unwrap();
        reporter.close(&closing(LONG)).unwrap();
    });
    assert_eq!(log.matches("spool full, dropping oldest records").count(), 1, "{log}");
    let [_, _, dropped] = account(&directory);
    let line = format!("spool has room again reporter=\"otlp\" dropped={dropped}");
    assert_eq!(log.matches(&line).count(), 1, "{line}: {log}");
    assert_eq!(numbers(&collector).len(), 21);
}
