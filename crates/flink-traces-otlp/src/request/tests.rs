//! Tests of chunking and delivery of encoded requests.

use std::time::Duration;

use super::*;
use flink_traces_testkit::{HttpResponse, OtlpCollector};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

/// A span: the number of its tree, its own number, its parent's number, and the length of its name.
type Sample = (u32, u32, u32, usize);

fn line(resource: &str, spans: &[Sample]) -> String {
    let span = |(tree, number, parent, length): &Sample| {
        let parent = if *parent == 0 { String::new() } else { format!("{parent:016x}") };
        let name = "x".repeat(*length);
        format!(
            r#"{{"traceId":"{tree:032x}","spanId":"{number:016x}","parentSpanId":"{parent}","name":"{name}","flags":257}}"#
        )
    };
    let spans: Vec<_> = spans.iter().map(span).collect();
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"r","value":{{"stringValue":"{resource}"}}}}]}},
        "scopeSpans":[{{"scope":{{"name":"s","version":"{resource}"}},"schemaUrl":"u","spans":[{}]}}]}}]}}"#,
        spans.join(",")
    )
}

fn requests(lines: &[String]) -> Vec<ExportRequest> {
    lines.iter().map(|line| ExportRequest::from_json(line.as_bytes()).unwrap()).collect()
}

/// Returns the record count of each chunk, and `true` if the chunk waits for all before it.
fn chunks(lines: &[String], limit: usize) -> Vec<(usize, bool)> {
    let requests = requests(lines);
    let chunks = Chunks { entries: requests.iter().flat_map(|request| entries(&request.message)).peekable(), limit };
    let chunks: Vec<_> = chunks.collect();
    // Chunking preserves every field.
    let decode = |message: &[u8]| ExportTraceServiceRequest::decode(message).unwrap();
    let spans = |request: ExportTraceServiceRequest| {
        request.resource_spans.into_iter().flat_map(|envelope| {
            let resource = envelope.resource;
            envelope.scope_spans.into_iter().flat_map(move |group| {
                let of = (resource.clone(), group.scope, group.schema_url);
                group.spans.into_iter().map(move |span| (of.clone(), span))
            })
        })
    };
    let given: Vec<_> = requests.iter().flat_map(|request| spans(decode(&request.message))).collect();
    let cut: Vec<_> = chunks.iter().flat_map(|chunk| spans(decode(&chunk.message))).collect();
    assert!(given == cut && !given.is_empty());
    for chunk in &chunks {
        assert!(chunk.records == 1 || chunk.message.len() <= limit, "{} bytes", chunk.message.len());
    }
    chunks.iter().map(|chunk| (chunk.records, chunk.role == Role::Continuation)).collect()
}

#[test]
fn chunks_respect_size_and_children_wait_for_parents() {
    let tree = |number, length| line("a", &[(number, 1, 0, length), (number, 2, 1, length), (number, 3, 2, length)]);
    // Small trees share a chunk, also those of different resources.
    assert_eq!(chunks(&[tree(1, 9), tree(2, 9), tree(3, 9)], 1 << 20), [(9, false)]);
    assert_eq!(chunks(&[tree(1, 9), line("b", &[(1, 1, 0, 9)]), tree(3, 9)], 1 << 20), [(7, false)]);
    // No tree begins in a chunk that is half full.
    assert_eq!(chunks(&[tree(1, 300), tree(2, 300), tree(3, 300)], 2_000), [(3, false); 3]);
    // A span whose parent is in another chunk waits, even if the tree continues in another line.
    let long =
        [line("a", &[(1, 1, 0, 500)]), line("a", &[(1, 2, 1, 500)]), line("a", &[(1, 3, 2, 500), (1, 4, 3, 500)])];
    assert_eq!(chunks(&long, 1_500), [(2, false), (2, true)]);
    // A span above the limit has a chunk of its own.
    assert_eq!(chunks(&[tree(1, 3_000)], 2_000), [(1, false), (1, true), (1, true)]);
}

#[test]
fn rejected_span_withholds_no_child_of_a_later_call() {
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    let config = ReporterConfig::from_pairs(
        "otel",
        [("exporter.endpoint", endpoint.as_str()), ("exporter.protocol", "http"), ("spool.directory", "/nowhere")],
    );
    let mut sender = RequestSender::new(&config, Signal::Traces).unwrap();
    let mut send = |line: String| {
        let result = sender.send(&requests(&[line]), &Deadline::unlimited());
        result.err().map_or((0, 0), |error| (error.rejected(), error.dropped()))
    };
    collector.respond(HttpResponse::new(400));
    assert_eq!(send(line("a", &[(1, 1, 0, 5)])), (1, 0));
    assert_eq!(send(line("a", &[(1, 2, 1, 5), (2, 1, 0, 5)])), (0, 0));
    assert_eq!(send(line("a", &[(3, 1, 0, 5), (3, 2, 1, 5)])), (0, 0));
    assert_eq!(send(r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}]}]}]}"#.to_owned()), (0, 2));
    assert_eq!(collector.spans().len(), 4);
    let none = sender.send(&[], &Deadline::unlimited());
    assert!(none.is_ok() && collector.requests().len() == 3, "{none:?}");
}

#[test]
fn dropped_request_is_retryable() {
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| HttpResponse::new(503).into());
    let endpoint = collector.grpc_endpoint();
    let options = [("exporter.endpoint", endpoint.as_str()), ("exporter.protocol", "http"), ("retry.timeout", "0")];
    let mut sender = RequestSender::new(&ReporterConfig::from_pairs("otel", options), Signal::Traces).unwrap();
    let deadline = Deadline::unlimited();
    let error = sender.send(&requests(&[line("a", &[(1, 1, 0, 5)])]), &deadline).unwrap_err();
    assert_eq!((error.rejected(), error.dropped(), error.is_retryable()), (0, 1, true));
    deadline.set(std::time::Instant::now() + Duration::ZERO);
    let error = sender.send(&requests(&[line("a", &[(1, 1, 0, 5)])]), &deadline).unwrap_err();
    assert_eq!((error.dropped(), error.is_retryable()), (1, true));
}
