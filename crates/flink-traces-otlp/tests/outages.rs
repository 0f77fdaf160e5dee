//! Collectors that are unavailable, hang or recover, and shutdowns meanwhile.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::HashSet;
use std::error::Error;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use flink_traces_api::{Deadline, ReportedSpan, TraceReporter};
use flink_traces_testkit::{CollectorResponse, GrpcStatus, HttpResponse, OtlpCollector};
use support::{PROTOCOLS, losses, no_orphans, options, report_and_balance, trace_reporter, tree, wide_tree};

/// Longer than any of this may take.
const LONG: Duration = Duration::from_secs(30);

fn trees(count: usize) -> Vec<ReportedSpan> {
    (0..count).map(tree).collect()
}

/// Returns a port without a listener.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn absent_collector_drops_after_the_timeout() {
    for (protocol, scheme) in [("grpc", "http"), ("http", "http"), ("grpc", "https"), ("http", "https")] {
        let endpoint = format!("{scheme}://127.0.0.1:{}", free_port());
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[("retry.timeout", "20 ms")]));
        let error = reporter.report(&trees(3), &Deadline::unlimited()).unwrap_err();
        assert_eq!((error.rejected(), error.dropped(), error.is_retryable()), (0, 12, true));
        let reason = error.source().unwrap().to_string();
        assert!(reason.starts_with("given up after attempt ") && reason.contains("refused"), "{reason}");
    }
}

#[test]
fn without_retry_timeout_there_is_one_attempt() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        collector.respond(HttpResponse::new(503).body("busy"));
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[("retry.timeout", "0")]));
        let error = report_and_balance(&mut *reporter, &trees(1), &Deadline::unlimited(), &collector).unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "given up after attempt 1: HTTP 503 Service Unavailable: busy");
        assert_eq!(collector.requests().len(), 1);
        reporter.report(&trees(1), &Deadline::unlimited()).unwrap();
    }
}

#[test]
fn recovered_collector_gets_everything() {
    for protocol in PROTOCOLS {
        let port = free_port();
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[("batch.bytes", "1 kb")]));
        let collector = std::thread::scope(|scope| {
            let starting = scope.spawn(|| {
                // The reporter is refused meanwhile, again and again.
                Deadline::unlimited().sleep(Duration::from_millis(50));
                OtlpCollector::start_on(port).unwrap()
            });
            reporter.report(&trees(30), &Deadline::unlimited()).unwrap();
            starting.join().unwrap()
        });
        assert_eq!(collector.spans().len(), 120);
    }
}

/// Reports where a wait for the initial back-off would not end before the test fails.
fn report_without_waiting(reporter: &mut dyn TraceReporter, spans: &[ReportedSpan]) {
    let (deadline, start) = (Deadline::unlimited(), Instant::now());
    deadline.set(start + LONG);
    reporter.report(spans, &deadline).unwrap();
    assert!(start.elapsed() < LONG / 4);
}

const NO_WAIT: [(&str, &str); 3] =
    [("retry.initial-backoff", "1 h"), ("retry.max-backoff", "1 h"), ("retry.timeout", "1 d")];

#[test]
fn dead_idle_connection_costs_nothing() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let port = collector.address().port();
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &NO_WAIT));
        report_without_waiting(&mut *reporter, &trees(1));
        drop(collector);
        let collector = OtlpCollector::start_on(port).unwrap();
        report_without_waiting(&mut *reporter, &trees(1));
        assert_eq!(collector.spans().len(), 4);
    }
}

#[test]
fn delivered_request_ends_the_backoff() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let mut count = 0;
        collector.respond_by(move |_| {
            count += 1;
            if count % 2 == 1 { CollectorResponse::Close } else { CollectorResponse::Accept }
        });
        let endpoint = collector.grpc_endpoint();
        let more = [NO_WAIT[0], NO_WAIT[1], NO_WAIT[2], ("batch.bytes", "1 kb"), ("exporter.concurrency", "1")];
        report_without_waiting(&mut *trace_reporter(&options(&endpoint, protocol, &more)), &trees(20));
        assert_eq!(collector.spans().len(), 80);
    }
}

#[test]
fn hanging_collector_is_retried() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        collector.respond(CollectorResponse::Hang);
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[("exporter.timeout", "100 ms")]));
        let start = Instant::now();
        reporter.report(&trees(1), &Deadline::unlimited()).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(100));
        assert_eq!((collector.requests().len(), collector.spans().len()), (2, 4));
    }
}

#[test]
fn connection_to_a_silent_peer_is_replaced() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", proxy.local_addr().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (_silent, _) = proxy.accept().unwrap();
                let (client, _) = proxy.accept().unwrap();
                let server = TcpStream::connect(collector.address()).unwrap();
                let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                scope.spawn(move || {
                    let _ = std::io::copy(&mut from_client, &mut to_server);
                    let _ = to_server.shutdown(Shutdown::Both);
                });
                let _ = std::io::copy(&mut &server, &mut &client);
            });
            let more = [("exporter.timeout", "200 ms"), ("retry.timeout", "10 s")];
            let result = trace_reporter(&options(&endpoint, protocol, &more)).report(&trees(1), &Deadline::unlimited());
            // Lets the proxy go if the reporter never came back.
            let _ = TcpStream::connect(proxy.local_addr().unwrap());
            result.unwrap();
        });
        assert_eq!(collector.spans().len(), 4);
    }
}

#[test]
fn half_rejected_requests_are_counted() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let mut count = 0;
        collector.respond_by(move |request| {
            count += 1;
            match count % 2 {
                0 => CollectorResponse::Accept,
                _ => CollectorResponse::PartialSuccess { rejected: request.records / 2, message: "half".to_owned() },
            }
        });
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[("batch.bytes", "1 kb")]));
        let result = report_and_balance(&mut *reporter, &trees(40), &Deadline::unlimited(), &collector);
        let requests = collector.requests();
        let expected = requests.iter().step_by(2).map(|request| request.records / 2).sum();
        assert_eq!(losses(&result), (expected, 0));
        assert!(requests.len() > 10 && expected > 20, "{} requests, {expected} rejected", requests.len());
    }
}

/// Reports while the collector accepts three requests and then only returns `answer`. Shuts down
/// after three of those.
fn shut_down_during(protocol: &str, answer: impl Into<CollectorResponse>, option: (&str, &str)) {
    let answer = answer.into();
    let collector = OtlpCollector::start().unwrap();
    let endless = usize::from(answer != CollectorResponse::Hang) * 2 + 4;
    let mut count = 0;
    collector.respond_by(move |_| {
        count += 1;
        if count <= 3 { CollectorResponse::Accept } else { answer.clone() }
    });
    let endpoint = collector.grpc_endpoint();
    let more = [("batch.bytes", "1 kb"), ("exporter.concurrency", "1"), option];
    let mut reporter = trace_reporter(&options(&endpoint, protocol, &more));
    let deadline = Deadline::unlimited();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(collector.wait_until(LONG, |collector| collector.requests().len() >= endless));
            deadline.set(Instant::now());
        });
        let error = report_and_balance(&mut *reporter, &trees(40), &deadline, &collector).unwrap_err();
        let delivered = collector.spans().len();
        assert!(delivered > 0, "{protocol}");
        assert_eq!((error.rejected(), error.dropped()), (0, 160 - delivered));
        assert!(error.is_retryable());
        let reason = error.source().unwrap().to_string();
        assert!(reason.starts_with("shut down before it was delivered"), "{reason}");
    });
    assert!(start.elapsed() < LONG);
    // Nothing is sent after the deadline.
    let requests = collector.requests().len();
    assert_eq!(losses(&reporter.report(&trees(1), &deadline)), (0, 4));
    assert_eq!(collector.requests().len(), requests);
}

#[test]
fn shutdown_during_an_outage_counts_the_rest() {
    for protocol in PROTOCOLS {
        shut_down_during(protocol, HttpResponse::new(503), ("retry.timeout", "1 d"));
        shut_down_during(protocol, CollectorResponse::Close, ("retry.timeout", "1 d"));
        shut_down_during(protocol, CollectorResponse::Hang, ("exporter.timeout", "1 d"));
    }
    shut_down_during("grpc", GrpcStatus::new(16, "who?"), ("retry.timeout", "1 d"));
}

#[test]
fn shutdown_cuts_a_wait_for_a_last_attempt() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        collector.respond(HttpResponse::new(429).header("retry-after", "3600"));
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[("retry.timeout", "1 d")]));
        let deadline = Deadline::unlimited();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(collector.wait_until(LONG, |collector| collector.requests().len() == 1));
                deadline.set(Instant::now() + Duration::from_secs(2));
            });
            reporter.report(&trees(1), &deadline).unwrap();
        });
        assert_eq!(collector.spans().len(), 4);
    }
}

#[test]
fn encryption_is_never_abandoned() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint().replace("http://", "https://");
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[("retry.timeout", "20 ms")]));
        let result = report_and_balance(&mut *reporter, &trees(1), &Deadline::unlimited(), &collector);
        assert_eq!(losses(&result), (0, 4));
        assert_eq!(collector.requests(), []);
    }
}

/// Checks the number of requests that arrive if none of them gets a response, of four that may be
/// in flight.
fn requests_at_once(protocol: &str, spans: &[ReportedSpan], expected: usize) {
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| CollectorResponse::Hang);
    let endpoint = collector.grpc_endpoint();
    let more = [("batch.bytes", "1 kb"), ("exporter.timeout", "1 d")];
    let mut reporter = trace_reporter(&options(&endpoint, protocol, &more));
    let deadline = Deadline::unlimited();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(collector.wait_until(LONG, |collector| collector.requests().len() >= expected));
            // One more would be on its way by then.
            deadline.set(Instant::now() + Duration::from_millis(200));
        });
        report_and_balance(&mut *reporter, spans, &deadline, &collector).unwrap_err();
    });
    assert_eq!(collector.requests().len(), expected, "{protocol}");
}

#[test]
fn requests_overlap_but_children_wait() {
    for protocol in PROTOCOLS {
        requests_at_once(protocol, &trees(40), 4);
        requests_at_once(protocol, &[wide_tree(1, 100)], 1);
    }
}

#[test]
fn parents_arrive_before_their_children() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let mut count = 0;
        collector.respond_by(move |_| {
            count += 1;
            match count % 5 {
                0 => HttpResponse::new(503).into(),
                2 => GrpcStatus::new(14, "").into(),
                3 => CollectorResponse::Close,
                _ => CollectorResponse::Accept,
            }
        });
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[("batch.bytes", "2 kb")]));
        let spans = [vec![wide_tree(1, 200), wide_tree(2, 5)], (3..20).map(tree).collect()].concat();
        let result = reporter.report(&spans, &Deadline::unlimited());
        let received = collector.spans();
        let mut known = HashSet::new();
        for span in &received {
            // Without its parent it came only if that was rejected.
            let parent = received.iter().find(|other| other.span_id() == span.parent_span_id());
            assert!(parent.is_none_or(|parent| known.contains(parent.span_id())), "{span:?} came before its parent");
            known.insert(span.span_id());
        }
        if protocol == "grpc" {
            no_orphans(&collector);
        }
        let delivered: HashSet<_> = collector.spans().into_iter().map(|span| span.span_id().to_vec()).collect();
        let (rejected, lost) = losses(&result);
        assert_eq!((delivered.len() + rejected, lost), (201 + 6 + 17 * 4, 0));
        assert_eq!(rejected > 0, protocol != "grpc", "a gRPC status over HTTP is a 500 here");
    }
}

#[test]
fn reporter_can_be_dropped_inside_a_runtime() {
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for protocol in PROTOCOLS {
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[]));
        reporter.report(&trees(1), &Deadline::unlimited()).unwrap();
        runtime.block_on(async { drop(reporter) });
    }
}

/// Scenario: the collector asks for a delay that is longer than `retry.timeout`. Guarantees: the
/// next report waits for it as well, and a shutdown sends one more request in all.
#[test]
fn requested_delay_outlives_the_report() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        collector.respond_by(|_| HttpResponse::new(503).header("retry-after", "1").into());
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[("retry.timeout", "1 ms")]));
        let start = Instant::now();
        reporter.report(&trees(1), &Deadline::unlimited()).unwrap_err();
        assert!(start.elapsed() >= Duration::from_secs(1));
        assert_eq!(collector.requests().len(), 2);
        let deadline = Deadline::unlimited();
        deadline.set(Instant::now() + Duration::from_millis(600));
        (0..3).for_each(|_| drop(reporter.report(&trees(1), &deadline).unwrap_err()));
        assert_eq!(collector.requests().len(), 3, "{protocol}");
    }
}
