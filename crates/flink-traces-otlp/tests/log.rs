//! Tests of the log lines, and of secrets that they must not contain.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::error::Error;
use std::time::{Duration, Instant};

use flink_traces_api::Deadline;
use flink_traces_testkit::{CollectorResponse, GrpcStatus, HttpResponse, OtlpCollector};
use support::{PROTOCOLS, event, event_reporter, logged, options, trace_reporter, tree};

#[test]
fn failure_and_recovery_log_one_line_each() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        let log = logged("flink_traces_otlp", || {
            let mut reporter = trace_reporter(&options(&endpoint, protocol, &[]));
            for _ in 0..5 {
                collector.respond(HttpResponse::new(503).body("busy\u{1b}[31m\n"));
            }
            for number in 0..3 {
                reporter.report(&[tree(number)], &Deadline::unlimited()).unwrap();
            }
        });
        let lines: Vec<_> = log.lines().map(|line| line.split(" after=").next().unwrap().trim_start()).collect();
        let url = match protocol {
            "grpc" => format!("{endpoint}/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
            _ => format!("{endpoint}/v1/traces"),
        };
        let of = format!("reporter=\"otlp\" endpoint=\"{url}\"");
        assert_eq!(
            lines,
            [
                format!(
                    "WARN flink_traces_otlp: collector failing, retrying {of} reason=\"HTTP 503 Service Unavailable: busy\\\\u{{1b}}[31m\""
                ),
                format!("INFO flink_traces_otlp: collector recovered {of}"),
            ]
        );
        assert!(log.trim_end().ends_with("attempts=5"), "{log}");
    }
}

/// Guarantees: a process says at its start what an earlier one left in the spool, and at its end
/// what it leaves.
#[test]
fn spool_logs_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    let spool = [("spool.directory", directory.path().to_str().unwrap())];
    let lines = |spans: &[_], left| {
        let log = logged("flink_traces_otlp", || {
            let mut reporter = trace_reporter(&options(&endpoint, "grpc", &spool));
            reporter.report(spans, &Deadline::unlimited()).unwrap();
            let deadline = Deadline::unlimited();
            deadline.set(Instant::now() + left);
            reporter.close(&deadline).unwrap();
        });
        let lines = log.lines().map(|line| line.trim_start().replace(" flink_traces_otlp:", ""));
        lines.map(|line| line.replace(" reporter=\"otlp\"", "")).collect::<Vec<_>>()
    };
    let empty = |delivered: usize| format!("INFO spool empty delivered={delivered} rejected=0 dropped=0");
    let long = Duration::from_secs(30);
    assert_eq!(lines(&[], long), [empty(0)]);
    collector.respond_by(|_| HttpResponse::new(503).into());
    let left = "WARN records stay in the spool queued=4 delivered=0 rejected=0 dropped=0";
    assert_eq!(lines(&[tree(0)], Duration::ZERO), [left]);
    collector.respond_by(|_| CollectorResponse::Accept);
    let found = "INFO sending records of an earlier process queued=4";
    assert_eq!(lines(&[], long), [found.to_owned(), empty(4)]);
}

#[test]
fn rejections_are_logged_once_a_minute() {
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| HttpResponse::new(500).body("bad").into());
    let endpoint = collector.grpc_endpoint();
    let log = logged("flink_traces_otlp", || {
        let mut reporter = event_reporter(&options(&endpoint, "http", &[]));
        for _ in 0..3 {
            reporter.report(&[event(1), event(2)], &Deadline::unlimited()).unwrap_err();
        }
    });
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.contains("collector reports a problem")
            && log.contains("undelivered=2 reason=\"HTTP 500 Internal Server Error: bad\""),
        "{log}"
    );
}

#[test]
fn each_kind_of_failure_has_its_line() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        for answer in [503, 503, 401, 403, 404, 405, 503] {
            collector.respond(HttpResponse::new(answer));
        }
        let endpoint = collector.grpc_endpoint();
        let log = logged("flink_traces_otlp", || {
            trace_reporter(&options(&endpoint, protocol, &[])).report(&[tree(1)], &Deadline::unlimited()).unwrap();
        });
        let lines: Vec<_> = log.lines().map(|line| line.trim().split(" reporter=").next().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "WARN flink_traces_otlp: collector failing, retrying",
                "ERROR flink_traces_otlp: credentials refused, keeping records until they are replaced",
                "ERROR flink_traces_otlp: every request refused, keeping records until one is accepted",
                "WARN flink_traces_otlp: collector failing, retrying",
                "INFO flink_traces_otlp: collector recovered",
            ]
        );
        let endpoint = endpoint.replace("http:", "https:");
        let log = logged("flink_traces_otlp", || {
            let more = [("retry.timeout", "50 ms")];
            trace_reporter(&options(&endpoint, protocol, &more))
                .report(&[tree(1)], &Deadline::unlimited())
                .unwrap_err();
        });
        assert!(log.contains("ERROR flink_traces_otlp: TLS connection failed, retrying"), "{log}");
    }
}

#[test]
fn header_values_and_queries_are_never_logged() {
    const SECRET: &str = "canary-Zm9v";
    const QUERY: &str = "canary-query";
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let echo = format!("unknown token {SECRET}, or Bearer {SECRET}");
        let url = format!("http://elsewhere/{SECRET}");
        collector.respond(GrpcStatus::new(14, &echo).retry_delay(Duration::from_millis(1)));
        collector.respond(HttpResponse::new(401).body(echo.clone()));
        collector.respond(CollectorResponse::PartialSuccess { rejected: 1, message: echo.clone() });
        collector.respond(HttpResponse::new(307).header("location", url));
        collector.respond(HttpResponse::new(400).body(echo.clone()));
        collector.respond(GrpcStatus::new(3, &echo));
        collector.respond_by(|_| CollectorResponse::Close);
        let endpoint = format!("{}/v1/traces?api-key={QUERY}", collector.http_endpoint());
        let more = [
            ("exporter.headers.authorization", "Bearer canary-Zm9v"),
            ("exporter.headers.x-key", SECRET),
            ("retry.timeout", "20 ms"),
        ];
        let mut errors = String::new();
        let log = logged("trace", || {
            let mut reporter = trace_reporter(&options(&endpoint, protocol, &more));
            for number in 0..8 {
                if let Err(error) = reporter.report(&[tree(number)], &Deadline::unlimited()) {
                    errors += &format!("{error} {error:?} {}\n", error.source().unwrap());
                }
            }
        });
        // After a lost connection, the reporter asks the port for its protocol, without secrets.
        let exports = collector.requests().into_iter().filter(|request| request.error.is_none());
        assert!(exports.into_iter().all(|request| request.headers["x-key"] == SECRET));
        assert!(errors.contains("******") && !errors.contains("canary"), "{errors}");
        assert!(log.contains("TRACE") && log.contains("collector failing"));
        assert_eq!(log.lines().find(|line| line.contains("canary")), None);
    }
}

#[test]
fn unencrypted_credentials_log_a_warning() {
    let headers = ("exporter.headers.authorization", "canary");
    let basic = ("exporter.basic-auth", "me:canary");
    for (endpoint, more, warns) in [
        ("http://h", &[headers][..], true),
        ("http://h", &[basic], true),
        ("http://h", &[], false),
        ("https://h", &[headers], false),
    ] {
        let log = logged("flink_traces_otlp", || drop(trace_reporter(&options(endpoint, "grpc", more))));
        assert_eq!(log.contains("credentials are sent without encryption"), warns, "{endpoint}: {log}");
        assert!(!log.contains("canary"));
    }
}
