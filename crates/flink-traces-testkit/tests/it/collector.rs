//! The collector with an HTTP/1.1 client. The tests of the OTLP reporter cover gRPC.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use flink_traces_testkit::{
    CollectorResponse, Encoding, HttpResponse, OtlpCollector, ReceivedEvent, ReceivedRequest, ReceivedSpan,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::json;

const TWO_SPANS: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"intValue":"7"}}]},
    "scopeSpans":[{"scope":{"name":"s"},"spans":[{"name":"first"},{"name":"second"}]}]}]}"#;

/// Sends JSON and returns everything that arrives until the connection is closed.
fn post(collector: &OtlpCollector, path: &str, body: &str) -> String {
    post_as("application/json", collector, path, body.as_bytes())
}

fn post_as(content_type: &str, collector: &OtlpCollector, path: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(collector.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = body.len();
    let head = format!("host: x\r\nconnection: close\r\ncontent-type: {content_type}");
    write!(stream, "POST {path} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n").unwrap();
    stream.write_all(body).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn accepted_records_follow_the_response() {
    let partial = CollectorResponse::PartialSuccess { rejected: 1, message: "full".to_owned() };
    let redirect = HttpResponse::new(307).header("location", "http://elsewhere/").into();
    let cases = [
        (CollectorResponse::Accept, "HTTP/1.1 200 OK", "{}", 2),
        (partial, "HTTP/1.1 200 OK", r#"{"partialSuccess":{"errorMessage":"full","rejectedSpans":"1"}}"#, 1),
        (redirect, "HTTP/1.1 307 Temporary Redirect", "", 0),
        (HttpResponse::new(202).body("accepted").into(), "HTTP/1.1 202 Accepted", "accepted", 2),
        (CollectorResponse::Close, "", "", 0),
    ];
    for (response, head, body, accepted) in cases {
        let collector = OtlpCollector::start().unwrap();
        collector.respond(response.clone());
        let found = post(&collector, "/v1/traces", TWO_SPANS);
        assert!(found.starts_with(head) && found.ends_with(body), "{response:?}: {found}");
        let spans = collector.spans();
        assert_eq!(spans.len(), accepted, "{response:?}");
        assert!(spans.iter().all(|span| span.scope() == "s" && span.resource()["a"] == json!(7)));
        let request = &collector.requests()[0];
        assert_eq!((request.records, request.accepted, request.encoding), (2, accepted, Encoding::HttpJson));
    }
}

#[test]
fn undecodable_request_is_refused_and_recorded() {
    let collector = OtlpCollector::start().unwrap();
    collector.respond(CollectorResponse::Close);
    for (path, body, status) in [("/v1/traces", "{", "400"), ("/v1/traces/", TWO_SPANS, "404"), ("/", "{}", "404")] {
        let response = post(&collector, path, body);
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
        let request = collector.requests().pop().unwrap();
        assert_eq!((request.path.as_str(), request.records, request.error.is_some()), (path, 0, true));
    }
    assert_eq!(post(&collector, "/v1/traces", TWO_SPANS), "");
}

#[test]
fn request_becomes_a_line_of_json() {
    let collector = OtlpCollector::start().unwrap();
    let span = Span { trace_id: vec![7; 16], name: "of protobuf".to_owned(), ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let message = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    post(&collector, "/v1/traces", TWO_SPANS);
    post_as("application/x-protobuf", &collector, "/v1/traces", &message);
    post(&collector, "/v1/logs", r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityText":"WARN"}]}]}]}"#);
    post(&collector, "/v1/traces", "{");
    post(&collector, "/v1/metrics", "{}");

    let lines: Vec<_> = collector.requests().iter().map(ReceivedRequest::to_json).collect();
    let [json, protobuf, logs, undecodable, metrics] = lines.as_slice() else { panic!("{lines:?}") };
    let [json, protobuf, logs] = [json, protobuf, logs].map(|line| line.as_ref().unwrap());
    assert!(![json, protobuf, logs].iter().any(|line| line.contains('\n')));
    let read = [json, protobuf].map(|line| ReceivedSpan::read_json(line).unwrap());
    assert_eq!(read.concat(), collector.spans());
    assert_eq!(ReceivedEvent::read_json(logs).unwrap(), collector.events());
    assert!(protobuf.contains(&format!(r#""traceId":"{}""#, "07".repeat(16))), "{protobuf}");
    assert!(undecodable.is_err() && metrics.is_err(), "{lines:?}");
}

#[test]
fn wait_until_sees_arriving_requests() {
    let collector = OtlpCollector::start().unwrap();
    assert!(!collector.wait_until(Duration::ZERO, |collector| !collector.spans().is_empty()));
    std::thread::scope(|scope| {
        scope.spawn(|| post(&collector, "/v1/traces", TWO_SPANS));
        assert!(collector.wait_until(Duration::from_secs(10), |collector| collector.spans().len() == 2));
    });
}

#[test]
fn request_in_flight_never_arrives_after_a_cut() {
    let collector = OtlpCollector::start().unwrap();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(collector.address()).unwrap();
        let length = TWO_SPANS.len();
        let head = "host: x\r\ncontent-type: application/json";
        write!(stream, "POST /v1/traces HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{TWO_SPANS}").unwrap();
        collector.cut_connections();
        let accepted = collector.spans().len();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        assert_eq!(collector.spans().len(), accepted);
    }
    assert!(post(&collector, "/v1/traces", TWO_SPANS).starts_with("HTTP/1.1 200"));
}

#[test]
fn stopped_collector_frees_port_and_connections() {
    let collector = OtlpCollector::start().unwrap();
    collector.respond(CollectorResponse::Hang);
    let port = collector.address().port();
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            write!(stream, "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").unwrap();
            stream.read_to_end(&mut Vec::new())
        });
        assert!(collector.wait_until(Duration::from_secs(10), |collector| collector.requests().len() == 1));
        drop(collector);
        assert!(matches!(hanging.join().unwrap(), Ok(0) | Err(_)));
    });
    assert_eq!(OtlpCollector::start_on(port).unwrap().address().port(), port);
}

#[test]
fn plain_json_has_every_field() {
    let span = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"intValue":"7"}}]},"scopeSpans":[{"scope":{"name":"s"},
        "spans":[{"traceId":"01","spanId":"02","parentSpanId":"ff","traceState":"t","flags":1,"name":"n","kind":2,
        "startTimeUnixNano":"3","endTimeUnixNano":"4","attributes":[{"key":"k","value":{"stringValue":"v"}},{"key":"k","value":{"boolValue":true}}],
        "droppedAttributesCount":5,"events":[{"timeUnixNano":"6","name":"e"}],"droppedEventsCount":7,
        "links":[{"traceId":"08","spanId":"09","attributes":[{"key":"d","value":{"doubleValue":0.5}}],"flags":10}],"droppedLinksCount":11,
        "status":{"code":2,"message":"m"}}]}]}]}"#;
    let log = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","observedTimeUnixNano":"2","severityNumber":9,
        "severityText":"INFO","body":{"stringValue":"b"},"attributes":[],"droppedAttributesCount":3,"flags":4,"traceId":"05","spanId":"06",
        "eventName":"e"}]}]}]}"#;
    assert_eq!(
        ReceivedSpan::read_json(span).unwrap()[0].plain(),
        json!({
            "resource": {"a": 7}, "scope": "s", "traceId": "01", "spanId": "02", "parentSpanId": "ff", "traceState": "t", "flags": 1,
            "name": "n", "kind": 2, "startTimeUnixNano": 3, "endTimeUnixNano": 4, "attributes": [2, {"k": true}],
            "droppedAttributesCount": 5, "events": [{"timeUnixNano": 6, "name": "e", "attributes": [0, {}], "droppedAttributesCount": 0}],
            "droppedEventsCount": 7,
            "links": [{"traceId": "08", "spanId": "09", "traceState": "", "attributes": [1, {"d": 0.5}], "droppedAttributesCount": 0, "flags": 10}],
            "droppedLinksCount": 11, "status": [2, "m"],
        })
    );
    assert_eq!(
        ReceivedEvent::read_json(log).unwrap()[0].plain(),
        json!({
            "resource": {}, "scope": "", "timeUnixNano": 1, "observedTimeUnixNano": 2, "severityNumber": 9, "severityText": "INFO",
            "body": "b", "attributes": [0, {}], "droppedAttributesCount": 3, "flags": 4, "traceId": "05", "spanId": "06", "eventName": "e",
        })
    );
}
