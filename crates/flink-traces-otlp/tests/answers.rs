//! What each answer of a collector does to a report.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::{Duration, Instant};

use flink_traces_api::Deadline;
use flink_traces_testkit::{Answer, GrpcStatus, HttpAnswer, OtlpCollector};
use support::{PROTOCOLS, losses, options, trace_reporter, tree};

/// What comes of one report of four spans.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    requests: usize,
    /// How many spans the collector has, copies counted.
    taken: usize,
    rejected: usize,
    lost: usize,
}

const TAKEN: Outcome = Outcome { requests: 1, taken: 4, rejected: 0, lost: 0 };
const REJECTED: Outcome = Outcome { requests: 1, taken: 0, rejected: 4, lost: 0 };
const SENT_AGAIN: Outcome = Outcome { requests: 2, ..TAKEN };
const SENT_IN_HALVES: Outcome = Outcome { requests: 3, ..TAKEN };

/// Reports to a collector whose first answer is `answer`.
fn check(protocol: &str, answer: impl Into<Answer>, expected: Outcome) {
    let answer = answer.into();
    let shown: String = format!("{protocol} {answer:?}").chars().take(200).collect();
    let collector = OtlpCollector::start().unwrap();
    collector.answer(answer);
    let endpoint = collector.grpc_endpoint();
    let mut reporter = trace_reporter(&options(&endpoint, protocol, &[]));
    let result = reporter.report(&[tree(1)], &Deadline::unlimited());
    let (rejected, lost) = losses(&result);
    let requests = collector.requests();
    let outcome = Outcome { requests: requests.len(), taken: collector.spans().len(), rejected, lost };
    assert_eq!(outcome, expected, "{shown}: {result:?}");
    let whole = requests.iter().filter(|request| request.records == 4);
    assert!(whole.clone().all(|request| request.message == requests[0].message), "{shown}: not the same bytes");
}

#[test]
fn over_either_protocol() {
    for protocol in PROTOCOLS {
        let partial = |rejected| Answer::PartialSuccess { rejected, message: "because".to_owned() };
        check(protocol, Answer::Accept, TAKEN);
        check(protocol, partial(0), TAKEN);
        check(protocol, partial(1), Outcome { taken: 3, rejected: 1, ..TAKEN });
        check(protocol, partial(99), Outcome { taken: 0, rejected: 4, ..TAKEN });
        check(protocol, Answer::Close, SENT_AGAIN);
        check(protocol, Answer::CloseInAnswer, Outcome { taken: 8, ..SENT_AGAIN });
        for status in [401, 403, 429, 502, 503, 504] {
            check(protocol, HttpAnswer::new(status), SENT_AGAIN);
        }
        for status in [307, 308, 400, 404, 405, 408, 422, 500, 501] {
            check(protocol, HttpAnswer::new(status), REJECTED);
        }
        check(protocol, HttpAnswer::new(413), SENT_IN_HALVES);
        check(protocol, HttpAnswer::new(200).body(vec![0; 5 << 20]), Outcome { lost: 4, ..TAKEN });
        check(protocol, HttpAnswer::new(503).body(vec![0; 5 << 20]), SENT_AGAIN);
    }
}

#[test]
fn over_grpc() {
    for code in [1, 4, 7, 10, 11, 14, 15, 16] {
        check("grpc", GrpcStatus::new(code, "later"), SENT_AGAIN);
    }
    for code in [2, 3, 5, 6, 9, 12, 13] {
        check("grpc", GrpcStatus::new(code, "never"), REJECTED);
    }
    check("grpc", GrpcStatus::new(8, "too much"), SENT_IN_HALVES);
    check("grpc", GrpcStatus::new(8, "too much").retry_delay(Duration::from_millis(2)), SENT_AGAIN);
    check("grpc", GrpcStatus::new(0, ""), TAKEN);
    // The collector took it, but whoever is in between hid that.
    check("grpc", HttpAnswer::new(200).body("<html>"), Outcome { rejected: 4, ..TAKEN });
}

#[test]
fn over_http_any_success_is_one() {
    for status in [200, 202, 204] {
        check("http", HttpAnswer::new(status), TAKEN);
    }
    for (kind, body) in [
        ("application/x-protobuf", "\u{1}\u{2}not protobuf"),
        ("application/json", r#"{"partialSuccess":null}"#),
        ("text/html", "<html>"),
    ] {
        check("http", HttpAnswer::new(200).header("content-type", kind).body(body), TAKEN);
    }
}

#[test]
fn a_delay_that_the_collector_asks_for_is_kept() {
    let delay = Duration::from_millis(60);
    let cases = [
        ("grpc", GrpcStatus::new(14, "").retry_delay(delay).into(), delay),
        ("http", Answer::from(HttpAnswer::new(429).header("retry-after", "1")), Duration::from_secs(1)),
    ];
    for (protocol, answer, delay) in cases {
        let start = Instant::now();
        check(protocol, answer, SENT_AGAIN);
        assert!(start.elapsed() >= delay);
    }
}

#[test]
fn a_single_record_that_is_too_large_is_rejected_alone() {
    for (protocol, answer) in
        [("grpc", Answer::from(GrpcStatus::new(8, "too large"))), ("http", HttpAnswer::new(413).into())]
    {
        let collector = OtlpCollector::start().unwrap();
        // Refuses whatever holds the span that is second of its siblings.
        collector.answer_by(move |request| {
            match request.message.windows(9).any(|bytes| bytes == b"place\x12\x02\x18\x01") {
                true => answer.clone(),
                false => Answer::Accept,
            }
        });
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[]));
        let result =
            support::report_and_balance(&mut *reporter, &[tree(1), tree(2)], &Deadline::unlimited(), &collector);
        assert_eq!(losses(&result), (2, 0));
    }
}

#[test]
fn a_collector_with_a_small_limit_gets_everything_in_parts() {
    const LIMIT: usize = 700;
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        collector.answer_by(|request| match request.message.len() > LIMIT {
            true => HttpAnswer::new(413).into(),
            false => Answer::Accept,
        });
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[]));
        let trees: Vec<_> = (0..20).map(tree).collect();
        reporter.report(&trees, &Deadline::unlimited()).unwrap();
        let names: Vec<_> = collector.spans().into_iter().map(|span| span.span.name).collect();
        let expected = ["Whole", "Part", "Part", "Part"].repeat(20);
        assert_eq!(names, expected);
    }
}

#[test]
fn a_redirect_is_not_followed() {
    for protocol in PROTOCOLS {
        let (collector, other) = (OtlpCollector::start().unwrap(), OtlpCollector::start().unwrap());
        let location = format!("{}/v1/traces", other.http_endpoint());
        collector.answer(HttpAnswer::new(307).header("location", location.as_str()));
        let endpoint = collector.grpc_endpoint();
        let mut reporter =
            trace_reporter(&options(&endpoint, protocol, &[("exporter.headers.authorization", "canary")]));
        let error = reporter.report(&[tree(1)], &Deadline::unlimited()).unwrap_err();
        let reason = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(reason, format!("HTTP 307 Temporary Redirect: redirects, which are not followed, to {location}"));
        assert_eq!(other.requests(), []);
    }
}
