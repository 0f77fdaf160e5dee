//! Tests of the requests that a collector receives: resource, headers, compression and order.

use std::collections::HashSet;

use crate::support::{PROTOCOLS, context, event, event_reporter, options, trace_reporter, tree};
use flink_traces_api::{Deadline, ReportedSpan, Span, SystemClock};
use flink_traces_testkit::{Encoding, OtlpCollector};
use serde_json::json;

const TRACES: [&str; 3] = ["/opentelemetry.proto.collector.trace.v1.TraceService/Export", "/v1/traces", "/v1/traces"];
const LOGS: [&str; 3] = ["/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/v1/logs", "/v1/logs"];

#[test]
fn all_protocols_and_compressions_deliver() {
    for (index, protocol) in PROTOCOLS.into_iter().enumerate() {
        for compression in ["none", "gzip"] {
            let collector = OtlpCollector::start().unwrap();
            let endpoint = collector.grpc_endpoint();
            let config =
                options(&endpoint, protocol, &[("exporter.compression", compression), ("batch.bytes", "1 kb")]);
            let trees: Vec<_> = (0..20).map(tree).collect();
            trace_reporter(&config).report(&trees, &Deadline::unlimited()).unwrap();
            let events: Vec<_> = (0..100).map(event).collect();
            event_reporter(&config).report(&events, &Deadline::unlimited()).unwrap();

            let spans = collector.spans();
            assert_eq!(spans.len(), 80);
            assert!(spans.iter().all(|span| span.scope() == "org.example.Test"));
            // Concurrent requests arrive in any order.
            let mut numbers: Vec<_> =
                spans.iter().filter_map(|span| span.attributes().get("number")?.as_i64()).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..20).collect::<Vec<_>>());
            let mut times: Vec<_> = collector.events().iter().map(|event| event.time_unix_nano()).collect();
            times.sort_unstable();
            assert_eq!(times, (0..100).map(|number| (1_000 + number) * 1_000_000).collect::<Vec<_>>());

            let requests = collector.requests();
            assert!(requests.len() > 10);
            for request in requests {
                let encoding = [Encoding::Grpc, Encoding::HttpProtobuf, Encoding::HttpJson][index];
                assert_eq!((request.encoding, request.gzip), (encoding, compression == "gzip"));
                assert!([TRACES[index], LOGS[index]].contains(&request.path.as_str()), "{}", request.path);
                assert!(protocol == "http/json" || request.message.len() <= 1 << 10);
                assert!(!request.gzip || request.wire_size < request.message.len());
            }
        }
    }
}

#[test]
fn large_checkpoint_arrives_complete_parents_first() {
    let span = |name: &'static str| {
        let span = Span::builder("org.apache.flink.runtime.checkpoint.CheckpointStatsTracker", name);
        (0..14).fold(span, |span, key| span.attribute(format!("attributeWithALongName{key}"), i64::MAX - key))
    };
    let tasks = (0..10).map(|_| span("Checkpoint_Task").children((0..1000).map(|_| span("Checkpoint_Subtask"))));
    let span = span("Checkpoint").children(tasks).build(&SystemClock);
    let span = ReportedSpan::new(span.into(), context(Default::default()));
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        // A retry after a timeout would deliver spans twice.
        let more = [("exporter.timeout", "5 min")];
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &more));
        reporter.report(std::slice::from_ref(&span), &Deadline::unlimited()).unwrap();

        let mut known = HashSet::new();
        for received in collector.spans() {
            let parent = received.parent_span_id();
            assert!(parent.is_empty() == known.is_empty());
            assert!(known.is_empty() || known.contains(parent));
            assert!(known.insert(received.span_id().to_vec()));
        }
        assert_eq!(known.len(), 10_011);
        let requests = collector.requests();
        assert!(requests.len() > 3);
        if protocol == "http/json" {
            continue;
        }
        let mut sizes: Vec<_> = requests.iter().map(|request| request.message.len()).collect();
        sizes.sort_unstable();
        assert!(sizes[1..].iter().all(|size| (1_000_000..=1 << 20).contains(size)));
    }
}

#[test]
fn headers_come_from_protocol_and_options() {
    let version = env!("CARGO_PKG_VERSION");
    let agent = format!("flink-traces-otlp/{version} OTel-OTLP-Exporter-Rust/{version}");
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        let more = [
            ("exporter.headers.Authorization", "Bearer canary"),
            ("exporter.headers.x-scope-orgid", "7"),
            ("exporter.compression", "gzip"),
        ];
        trace_reporter(&options(&endpoint, protocol, &more)).report(&[tree(1)], &Deadline::unlimited()).unwrap();
        let headers = &collector.requests()[0].headers;
        let check = |name: &str, expected: &str| {
            let value = headers.get(name).map_or("", String::as_str);
            assert!(value.starts_with(expected), "{protocol} {name}: {value}");
        };
        check("authorization", "Bearer canary");
        check("x-scope-orgid", "7");
        check("user-agent", &agent);
        if protocol == "grpc" {
            check("content-type", "application/grpc");
            check("te", "trailers");
            check("grpc-encoding", "gzip");
        } else {
            check("content-type", if protocol == "http" { "application/x-protobuf" } else { "application/json" });
            check("content-encoding", "gzip");
        }
    }
}

#[test]
fn spans_and_events_share_the_resource() {
    let named = [("service.name", "agg"), ("resource.attributes.deployment.environment.name", "prod")];
    let check = |more: &[(&str, &str)], traces: serde_json::Value, logs: serde_json::Value| {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        let config = options(&endpoint, "grpc", more);
        trace_reporter(&config).report(&[tree(1)], &Deadline::unlimited()).unwrap();
        event_reporter(&config).report(&[event(1)], &Deadline::unlimited()).unwrap();
        assert_eq!(json!(collector.spans()[0].resource()), traces);
        assert_eq!(json!(collector.events()[0].resource()), logs);
    };
    let rust = json!({
        "deployment.environment.name": "prod",
        "service.name": "agg",
        "telemetry.sdk.language": "rust",
        "telemetry.sdk.name": "flink-traces",
        "telemetry.sdk.version": env!("CARGO_PKG_VERSION"),
    });
    check(&named, rust.clone(), rust);
    let java = |service: &str| {
        json!({
            "service.name": service,
            "telemetry.sdk.language": "java",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": "1.30.1",
        })
    };
    check(&[named[0], ("compatibility", "flink")], java("agg"), java("unknown_service:java"));
}

#[test]
fn flink_mode_uses_the_url_unchanged() {
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.http_endpoint();
    let mut reporter =
        trace_reporter(&options(&endpoint, "http", &[("compatibility", "flink"), ("on-auth-failure", "drop")]));
    let error = reporter.report(&[tree(1)], &Deadline::unlimited()).unwrap_err();
    assert_eq!((error.rejected(), collector.requests()[0].path.as_str()), (4, "/"));
}
