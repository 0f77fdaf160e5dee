//! Tests of the effect of each response on a report.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{
    PROTOCOLS, context, dead_spans, event_reporter, losses, no_orphans, options, trace_reporter, tree, wide_tree,
};
use flink_traces_api::{Deadline, Event, ReportedEvent, ReportedSpan, Span, SystemClock};
use flink_traces_testkit::{CollectorResponse, GrpcStatus, HttpResponse, OtlpCollector};

/// The result of reporting four spans: one root with three children.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    requests: usize,
    /// The number of spans that the collector has, including duplicates.
    delivered: usize,
    rejected: usize,
    dropped: usize,
    /// The number of spans in the dead-letter file.
    kept: usize,
}

const DELIVERED: Outcome = Outcome { requests: 1, delivered: 4, rejected: 0, dropped: 0, kept: 0 };
const REJECTED: Outcome = Outcome { requests: 1, delivered: 0, rejected: 4, dropped: 0, kept: 4 };
const RETRIED: Outcome = Outcome { requests: 2, ..DELIVERED };
const HALVED: Outcome = Outcome { requests: 3, ..DELIVERED };

/// Reports to a collector that returns these responses. The last one repeats.
fn outcome(protocol: &str, answers: &[CollectorResponse], more: &[(&str, &str)]) -> Outcome {
    let shown: String = format!("{protocol} {answers:?}").chars().take(200).collect();
    let collector = OtlpCollector::start().unwrap();
    answers.iter().for_each(|answer| collector.respond(answer.clone()));
    let last = answers.last().cloned().unwrap_or_default();
    collector.respond_by(move |_| last.clone());
    let directory = tempfile::tempdir().unwrap();
    let endpoint = collector.grpc_endpoint();
    let config = options(
        &endpoint,
        protocol,
        &[&[("dead-letter.directory", directory.path().to_str().unwrap())], more].concat(),
    );
    let result = trace_reporter(&config).report(&[tree(1)], &Deadline::unlimited());
    let (rejected, dropped) = losses(&result);
    let requests = collector.requests();
    let whole = requests.iter().filter(|request| request.records == 4);
    assert!(whole.clone().all(|request| request.message == requests[0].message), "{shown}: not the same bytes");
    no_orphans(&collector);
    let kept = dead_spans(directory.path()).len();
    Outcome { requests: requests.len(), delivered: collector.spans().len(), rejected, dropped, kept }
}

/// Checks the result if the first response is `answer` and the collector accepts all others.
fn check(protocol: &str, answer: impl Into<CollectorResponse>, expected: Outcome) {
    let answer = answer.into();
    assert_eq!(
        outcome(protocol, &[answer.clone(), CollectorResponse::Accept], &[]),
        expected,
        "{protocol} {answer:.200?}"
    );
}

/// Checks the result if all responses are `answer`.
fn check_always(protocol: &str, answer: impl Into<CollectorResponse>, more: &[(&str, &str)], expected: Outcome) {
    let answer = answer.into();
    assert_eq!(outcome(protocol, &[answer.clone(), answer.clone()], more), expected, "{protocol} {answer:.200?}");
}

#[test]
fn any_success_is_delivered() {
    for protocol in PROTOCOLS {
        check(protocol, CollectorResponse::Accept, DELIVERED);
    }
    check("grpc", GrpcStatus::new(0, ""), DELIVERED);
    for status in [200, 202, 204] {
        check("http", HttpResponse::new(status), DELIVERED);
    }
    for (kind, body) in [
        ("application/x-protobuf", "\u{1}\u{2}not protobuf"),
        ("application/json", r#"{"partialSuccess":null}"#),
        ("application/json", "null"),
        ("text/plain", "OK"),
    ] {
        check("http", HttpResponse::new(200).header("content-type", kind).body(body), DELIVERED);
    }
}

/// Scenario: a proxy or a web server responds with a page, which the collector of this test counts
/// as a success. Guarantees: the reporter does not, and sends the records again.
#[test]
fn web_page_is_no_success() {
    let page = |kind: &str, body: &'static str| HttpResponse::new(200).header("content-type", kind).body(body);
    for protocol in PROTOCOLS {
        for page in [page("text/html", "Sign in"), page("text/plain", "<!doctype html>"), page("", "<html>")] {
            check(protocol, page.clone(), Outcome { delivered: 8, ..RETRIED });
            let no_retries = [("retry.timeout", "0")];
            check_always(protocol, page, &no_retries, Outcome { delivered: 4, dropped: 4, requests: 1, ..DELIVERED });
        }
    }
}

#[test]
fn partial_success_is_counted_and_not_retried() {
    for protocol in PROTOCOLS {
        let partial = |rejected| CollectorResponse::PartialSuccess { rejected, message: "because".to_owned() };
        check(protocol, partial(1), Outcome { delivered: 3, rejected: 1, ..DELIVERED });
        check(protocol, partial(99), Outcome { delivered: 0, rejected: 4, ..DELIVERED });
    }
}

#[test]
fn warning_without_rejections_is_a_success() {
    for protocol in PROTOCOLS {
        check(protocol, CollectorResponse::PartialSuccess { rejected: 0, message: "deprecated".to_owned() }, DELIVERED);
    }
}

#[test]
fn temporary_grpc_status_is_retried() {
    for code in [1, 4, 10, 11, 14, 15] {
        check("grpc", GrpcStatus::new(code, "later"), RETRIED);
    }
}

#[test]
fn exhausted_resources_are_retried_or_split_once() {
    let exhausted = GrpcStatus::new(8, "too much");
    check("grpc", exhausted.clone().retry_delay(Duration::from_millis(2)), RETRIED);
    check("grpc", exhausted.clone(), HALVED);
    // Both halves are small, so they are not split again.
    check_always("grpc", exhausted, &[], Outcome { requests: 3, ..REJECTED });
}

#[test]
fn permanent_grpc_status_makes_dead_letters() {
    for code in [2, 5, 6, 9, 13] {
        check("grpc", GrpcStatus::new(code, "never"), REJECTED);
    }
}

#[test]
fn invalid_request_is_split() {
    for (protocol, answer) in [
        ("grpc", CollectorResponse::from(GrpcStatus::new(3, "bad"))),
        ("grpc", HttpResponse::new(400).into()),
        ("http", HttpResponse::new(400).into()),
    ] {
        check(protocol, answer.clone(), HALVED);
        // Splitting ends at each span alone.
        check_always(protocol, answer, &[], Outcome { requests: 7, ..REJECTED });
    }
}

/// Scenario: the destination refuses a request for a reason that concerns no single record.
/// Guarantees: it is neither split nor a dead letter, and `retry.timeout` does not apply.
#[test]
fn refusal_of_every_request_is_retried_or_dropped() {
    let grpc = [7, 12, 16].map(|code| ("grpc", CollectorResponse::from(GrpcStatus::new(code, "who?"))));
    let statuses = [301, 302, 303, 307, 308, 401, 403, 404, 405, 407, 415, 501].map(HttpResponse::new);
    let plain_to_tls = HttpResponse::new(400).body("Client sent an HTTP request to an HTTPS server.\n");
    let http = statuses
        .into_iter()
        .chain([plain_to_tls])
        .flat_map(|answer| PROTOCOLS.map(|protocol| (protocol, CollectorResponse::from(answer.clone()))));
    for (protocol, answer) in grpc.into_iter().chain(http) {
        let twice = [answer.clone(), answer.clone(), CollectorResponse::Accept];
        // Without a retry timeout, too, the records are kept.
        let no_retries = [("retry.timeout", "0")];
        assert_eq!(
            outcome(protocol, &twice, &no_retries),
            Outcome { requests: 3, ..DELIVERED },
            "{protocol} {answer:?}"
        );
        check_always(protocol, answer, &[("on-auth-failure", "drop")], REJECTED);
    }
}

#[test]
fn temporary_http_status_is_retried() {
    for protocol in PROTOCOLS {
        for status in [429, 502, 503, 504] {
            check(protocol, HttpResponse::new(status), RETRIED);
        }
        check(protocol, HttpResponse::new(503).body(vec![0; 5 << 20]), RETRIED);
    }
}

#[test]
fn permanent_http_status_makes_dead_letters() {
    for protocol in PROTOCOLS {
        for status in [408, 422, 500] {
            check(protocol, HttpResponse::new(status), REJECTED);
        }
    }
}

#[test]
fn too_large_request_is_halved() {
    for protocol in PROTOCOLS {
        check(protocol, HttpResponse::new(413), HALVED);
        check_always(protocol, HttpResponse::new(413), &[], Outcome { requests: 7, ..REJECTED });
    }
}

#[test]
fn lost_connection_is_retried() {
    for protocol in PROTOCOLS {
        check(protocol, CollectorResponse::Close, RETRIED);
        check(protocol, CollectorResponse::CloseInResponse, Outcome { delivered: 8, ..RETRIED });
    }
}

#[test]
fn response_above_limit_drops_the_records() {
    for protocol in PROTOCOLS {
        check(protocol, HttpResponse::new(200).body(vec![0; 5 << 20]), Outcome { dropped: 4, ..DELIVERED });
    }
}

#[test]
fn requested_delay_is_honored() {
    let delay = Duration::from_millis(60);
    let cases = [
        ("grpc", GrpcStatus::new(14, "").retry_delay(delay).into(), delay),
        ("http", CollectorResponse::from(HttpResponse::new(429).header("retry-after", "1")), Duration::from_secs(1)),
    ];
    for (protocol, answer, delay) in cases {
        let start = Instant::now();
        check(protocol, answer, RETRIED);
        assert!(start.elapsed() >= delay);
    }
}

#[test]
fn too_large_record_is_rejected_alone() {
    for (protocol, marker) in [
        ("grpc", &b"place\x12\x02\x18\x01"[..]),
        ("http", b"place\x12\x02\x18\x01"),
        ("http/json", br#""key":"place","value":{"intValue":"1"}"#),
    ] {
        let collector = OtlpCollector::start().unwrap();
        // Rejects each request with a span that is the second of its siblings.
        collector.respond_by(move |request| match request.message.windows(marker.len()).any(|bytes| bytes == marker) {
            true => HttpResponse::new(413).into(),
            false => CollectorResponse::Accept,
        });
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[]));
        let result =
            crate::support::report_and_balance(&mut *reporter, &[tree(1), tree(2)], &Deadline::unlimited(), &collector);
        assert_eq!(losses(&result), (2, 0));
    }
}

#[test]
fn too_large_record_is_sent_with_truncated_texts() {
    let too_large = CollectorResponse::from(HttpResponse::new(413));
    // gRPC servers have no other status for it.
    let exhausted = CollectorResponse::from(GrpcStatus::new(8, "received message larger than max"));
    let cases = PROTOCOLS.map(|protocol| (protocol, too_large.clone())).into_iter().chain([("grpc", exhausted)]);
    for (protocol, answer) in cases {
        let collector = OtlpCollector::start().unwrap();
        collector.respond_by(move |request| match request.message.len() > 4_000 {
            true => answer.clone(),
            false => CollectorResponse::Accept,
        });
        let text = "ä".repeat(10_000);
        let part = || Span::builder("s", "Part").attribute("text", text.clone()).attribute("number", 7);
        let span = Span::builder("s", "Whole").child(part()).build(&SystemClock);
        let span = ReportedSpan::new(span.into(), context(Default::default()));
        let event = Event::builder("s", "Happened").body(text.clone()).attribute("a", true).build(&SystemClock);
        let event = ReportedEvent::new(event.into(), 9, context(Default::default()));

        let endpoint = collector.grpc_endpoint();
        let config = options(&endpoint, protocol, &[]);
        trace_reporter(&config).report(&[span], &Deadline::unlimited()).unwrap();
        event_reporter(&config).report(&[event], &Deadline::unlimited()).unwrap();
        no_orphans(&collector);
        let attributes = collector.spans()[1].attributes();
        assert_eq!((attributes["text"].as_str(), &attributes["number"]), (Some(&text[..1024]), &7.into()));
        let log = &collector.events()[0];
        assert_eq!(log.body(), text[..1024]);
        assert_eq!(log.attributes()["a"], true);
    }
}

/// Reports ten trees to a collector that rejects requests with `poison`.
///
/// Returns the losses and the dead letters.
fn poisoned(protocol: &str, poison: &'static [u8]) -> ((usize, usize), Vec<String>) {
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(move |request| match request.message.windows(poison.len()).any(|bytes| bytes == poison) {
        true => HttpResponse::new(400).into(),
        false => CollectorResponse::Accept,
    });
    let directory = tempfile::tempdir().unwrap();
    let endpoint = collector.grpc_endpoint();
    let more = [("dead-letter.directory", directory.path().to_str().unwrap()), ("batch.bytes", "2 kb")];
    let mut reporter = trace_reporter(&options(&endpoint, protocol, &more));
    let trees: Vec<_> = (0..10).map(tree).collect();
    let result = crate::support::report_and_balance(&mut *reporter, &trees, &Deadline::unlimited(), &collector);
    (losses(&result), dead_spans(directory.path()))
}

#[test]
fn invalid_record_is_isolated_and_others_delivered() {
    for protocol in ["grpc", "http"] {
        // The second child of every tree.
        let (losses, kept) = poisoned(protocol, b"place\x12\x02\x18\x01");
        assert_eq!((losses, kept), ((10, 0), vec!["Part".to_owned(); 10]));
        // The root of one tree, which withholds none of its children.
        let (losses, kept) = poisoned(protocol, b"number\x12\x02\x18\x05");
        assert_eq!((losses, kept), ((1, 0), vec!["Whole".to_owned()]));
    }
}

#[test]
fn dead_letters_are_complete_private_and_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("a/b");
    let file = below.join("traces-otlp.jsonl");
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| HttpResponse::new(500).into());
    let endpoint = collector.grpc_endpoint();
    let more = [("dead-letter.directory", below.to_str().unwrap()), ("dead-letter.max-size", "3 kb")];
    let mut reporter = trace_reporter(&options(&endpoint, "http", &more));
    let mut report = || losses(&reporter.report(&[tree(1)], &Deadline::unlimited()));
    assert_eq!(report(), (4, 0));
    let line = std::fs::read(&file).unwrap();
    // The rest of a line that a crash left is cut off.
    std::fs::write(&file, [&line[..], &line[..100]].concat()).unwrap();
    assert_eq!((report(), std::fs::read(&file).unwrap()), ((4, 0), line.repeat(2)));
    // Beyond the limit, rejected records are still counted.
    for _ in 0..3 {
        assert_eq!(report(), (4, 0));
    }
    assert!(std::fs::read(&file).unwrap().len() <= 3 << 10);
    assert!(dead_spans(&below).len() >= 8);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&below)), (0o600, 0o700));
        // A symbolic link is not followed.
        let elsewhere = directory.path().join("elsewhere");
        std::fs::write(&elsewhere, "").unwrap();
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert_eq!((report(), std::fs::read(&elsewhere).unwrap()), ((4, 0), Vec::new()));
    }
}

#[test]
fn http_collector_with_small_limit_gets_everything() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let limit = if protocol == "http/json" { 2_000 } else { 700 };
        collector.respond_by(move |request| match request.message.len() > limit {
            true => HttpResponse::new(413).into(),
            false => CollectorResponse::Accept,
        });
        let endpoint = collector.grpc_endpoint();
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &[]));
        let trees: Vec<_> = (0..20).map(tree).collect();
        reporter.report(&trees, &Deadline::unlimited()).unwrap();
        let names: Vec<_> = collector.spans().into_iter().map(|span| span.name().to_owned()).collect();
        let expected = ["Whole", "Part", "Part", "Part"].repeat(20);
        assert_eq!(names, expected);
    }
}

#[test]
fn grpc_collector_with_small_limit_gets_everything() {
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|request| match request.message.len() > 100 << 10 {
        true => GrpcStatus::new(8, "received message larger than max").into(),
        false => CollectorResponse::Accept,
    });
    let endpoint = collector.grpc_endpoint();
    let mut reporter = trace_reporter(&options(&endpoint, "grpc", &[]));
    let trees = [wide_tree(1, 10_000)];
    crate::support::report_and_balance(&mut *reporter, &trees, &Deadline::unlimited(), &collector).unwrap();
    no_orphans(&collector);
}

#[test]
fn redirect_is_not_followed() {
    for protocol in PROTOCOLS {
        let (collector, other) = (OtlpCollector::start().unwrap(), OtlpCollector::start().unwrap());
        let location = format!("{}/v1/traces", other.http_endpoint());
        collector.respond(HttpResponse::new(307).header("location", location.as_str()));
        let endpoint = collector.grpc_endpoint();
        let more = [("exporter.headers.authorization", "canary"), ("on-auth-failure", "drop")];
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &more));
        let error = reporter.report(&[tree(1)], &Deadline::unlimited()).unwrap_err();
        let reason = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(reason, format!("HTTP 307 Temporary Redirect: redirect to {location} not followed"));
        assert_eq!(other.requests(), []);
    }
}
