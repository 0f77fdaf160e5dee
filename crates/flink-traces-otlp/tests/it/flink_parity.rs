//! Tests that `compatibility: flink` sends what Flink 2.3.0 sends.
//!
//! The data files hold requests of Flink's reporters in OTLP/JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::{event_reporter, options, trace_reporter};
use expect_test::{Expect, expect};
use flink_traces_api::{
    AttributeValue, Compatibility, Deadline, Event, Failure, Identity, ReportContext, ReportedEvent, ReportedSpan,
    Span, SpanBuilder, SystemClock,
};
use flink_traces_testkit::{OtlpCollector, ReceivedEvent, ReceivedSpan};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;

/// The attributes that Flink takes from the variables of the metric group.
const VARIABLES: [&str; 3] = ["host", "job_id", "job_name"];

fn split(recorded: &[KeyValue], own: &[&str]) -> (Vec<(String, AttributeValue)>, Arc<ReportContext>) {
    let mut context = ReportContext::new(Compatibility::Flink);
    let mut rest = Vec::new();
    for attribute in recorded.iter().filter(|attribute| !own.contains(&attribute.key.as_str())) {
        let key = attribute.key.as_str();
        match attribute.value.clone().unwrap().value.unwrap() {
            Value::StringValue(text) if VARIABLES.contains(&key) => context.variables.push((format!("<{key}>"), text)),
            Value::StringValue(text) if key == "jobId" => context.job_id = Some(text.into()),
            Value::StringValue(text) => rest.push((key.to_owned(), text.into())),
            Value::IntValue(number) => rest.push((key.to_owned(), number.into())),
            other => panic!("Flink sends no {other:?}"),
        }
    }
    (rest, Arc::new(context))
}

fn span(received: &ReceivedSpan) -> proto::Span {
    proto::Span::decode(received.to_protobuf().as_slice()).unwrap()
}

fn millis(nanos: u64) -> i64 {
    nanos.cast_signed() / 1_000_000
}

/// Returns the span without ids, which differ, and with sorted attributes.
///
/// Flink's order is that of a hash table.
fn comparable(span: &proto::Span) -> proto::Span {
    let mut attributes = span.attributes.clone();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    let ids = proto::Span { trace_id: Vec::new(), span_id: Vec::new(), parent_span_id: Vec::new(), ..span.clone() };
    proto::Span { attributes, ..ids }
}

/// Returns each span with its parent, in a canonical order.
fn with_parents<'a>(spans: impl Iterator<Item = &'a proto::Span> + Clone) -> Vec<String> {
    let by_id: BTreeMap<_, _> = spans.clone().map(|span| (&span.span_id, comparable(span))).collect();
    let mut all: Vec<_> =
        spans.map(|span| format!("{:#?}", (comparable(span), by_id.get(&span.parent_span_id)))).collect();
    all.sort();
    all
}

#[test]
fn spans_equal_those_of_flink() {
    let recorded: ExportTraceServiceRequest =
        serde_json::from_str(include_str!("../data/flink-2.3.0-traces.json")).unwrap();
    let of_resource = &recorded.resource_spans[0];
    let mut reported = Vec::new();
    for of_scope in &of_resource.scope_spans {
        let scope = &of_scope.scope.as_ref().unwrap().name;
        for root in of_scope.spans.iter().filter(|span| span.parent_span_id.is_empty()) {
            let build = |span: &proto::Span| -> SpanBuilder {
                let (attributes, _) = split(&span.attributes, &[]);
                let builder = Span::builder(scope.clone(), span.name.clone())
                    .start_ts_millis(millis(span.start_time_unix_nano))
                    .end_ts_millis(millis(span.end_time_unix_nano));
                attributes.into_iter().fold(builder, |builder, (key, value)| builder.attribute(key, value))
            };
            let children = of_scope.spans.iter().filter(|span| span.parent_span_id == root.span_id).map(build);
            let span = build(root).identity(Identity::of(&[&root.name])).children(children).build(&SystemClock);
            reported.push(ReportedSpan::new(Arc::new(span), split(&root.attributes, &[]).1));
        }
    }
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    let config = options(&endpoint, "grpc", &[("compatibility", "flink"), ("service.name", "flink-native")]);
    trace_reporter(&config).report(&reported, &Deadline::unlimited()).unwrap();

    let found = collector.spans();
    let native = ReceivedSpan::read_json(include_str!("../data/flink-2.3.0-traces.json")).unwrap();
    assert_eq!(found[0].resource(), native[0].resource());
    let of_scope = &of_resource.scope_spans[0];
    assert!(found.iter().all(|span| span.scope() == of_scope.scope.as_ref().unwrap().name));
    let found: Vec<_> = found.iter().map(span).collect();
    assert_eq!(with_parents(found.iter()), with_parents(of_scope.spans.iter()));
}

#[test]
fn log_records_equal_those_of_flink() {
    let recorded: ExportLogsServiceRequest =
        serde_json::from_str(include_str!("../data/flink-2.3.0-logs.json")).unwrap();
    let of_resource = &recorded.resource_logs[0];
    let mut expected = Vec::new();
    let mut reported = Vec::new();
    for of_scope in &of_resource.scope_logs {
        let scope = &of_scope.scope.as_ref().unwrap().name;
        for log in &of_scope.log_records {
            let name = log.attributes.iter().find(|attribute| attribute.key == "name").unwrap();
            let Some(Value::StringValue(name)) = name.value.clone().unwrap().value else { panic!("no name") };
            let (attributes, context) = split(&log.attributes, &["name"]);
            let builder = Event::builder(scope.clone(), name)
                .observed_ts_millis(millis(log.observed_time_unix_nano))
                .severity(log.severity_text.clone());
            let builder = attributes.into_iter().fold(builder, |builder, (key, value)| builder.attribute(key, value));
            let event = Arc::new(builder.build(&SystemClock));
            reported.push(ReportedEvent::new(event, millis(log.time_unix_nano), context));
            expected.push((scope.clone(), log.clone()));
        }
    }
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.http_endpoint() + "/v1/logs";
    let config = options(&endpoint, "http", &[("compatibility", "flink"), ("service.name", "is not used")]);
    event_reporter(&config).report(&reported, &Deadline::unlimited()).unwrap();

    let found = collector.events();
    let native = ReceivedEvent::read_json(include_str!("../data/flink-2.3.0-logs.json")).unwrap();
    assert_eq!(found[0].resource(), native[0].resource());
    let log = |event: &ReceivedEvent| LogRecord::decode(event.to_protobuf().as_slice()).unwrap();
    let found: Vec<(String, LogRecord)> = found.iter().map(|event| (event.scope().to_owned(), log(event))).collect();
    assert_eq!(found, expected);
}

fn failed_checkpoint(compatibility: Compatibility) -> ReportedSpan {
    let span = Span::builder("org.example.Tracker", " ")
        .start_ts_millis(1_795_230_932_189)
        .end_ts_millis(-1)
        .attribute("checkpointId", 12)
        .attribute("isUnaligned", true)
        .attribute("ratio", 0.5)
        .attribute("<host>", "attribute")
        .identity(Identity::of(&["checkpoint", "12"]))
        .extension_attribute("failureReason", "disk full")
        .failure(Failure::new(1_795_230_933_000, "disk full".to_owned()))
        .link(Identity::of(&["checkpoint", "11"]))
        .build(&SystemClock);
    let variables = vec![("host".to_owned(), "jm-1".to_owned())];
    let context = ReportContext::new(compatibility).with_job_id("0b1d").with_variables(variables);
    ReportedSpan::new(Arc::new(span), Arc::new(context))
}

#[test]
fn failed_checkpoint_depends_on_compatibility() {
    let check = |compatibility: Compatibility, name: &str, expected: Expect| {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        let config = options(&endpoint, "grpc", &[("compatibility", name)]);
        trace_reporter(&config).report(&[failed_checkpoint(compatibility)], &Deadline::unlimited()).unwrap();
        expected.assert_eq(&serde_json::to_string_pretty(&span(&collector.spans()[0])).unwrap());
    };
    check(
        Compatibility::Flink,
        "flink",
        expect![[r#"
        {
          "traceId": "db095779de1f5001642ec651400c24aa",
          "spanId": "a9e2f7d45d0af93b",
          "traceState": "",
          "parentSpanId": "",
          "flags": 0,
          "name": "<unspecified span name>",
          "kind": 1,
          "startTimeUnixNano": "1795230932189000000",
          "endTimeUnixNano": "18446744073708551616",
          "attributes": [
            {
              "key": "checkpointId",
              "value": {
                "intValue": "12"
              }
            },
            {
              "key": "ratio",
              "value": {
                "doubleValue": 0.5
              }
            },
            {
              "key": "host",
              "value": {
                "stringValue": "jm-1"
              }
            },
            {
              "key": "jobId",
              "value": {
                "stringValue": "0b1d"
              }
            }
          ],
          "droppedAttributesCount": 1,
          "events": [],
          "droppedEventsCount": 0,
          "links": [],
          "droppedLinksCount": 0,
          "status": {
            "message": "",
            "code": 0
          }
        }"#]],
    );
    check(
        Compatibility::Standard,
        "standard",
        expect![[r#"
        {
          "traceId": "db095779de1f5001642ec651400c24aa",
          "spanId": "a9e2f7d45d0af93b",
          "traceState": "",
          "parentSpanId": "",
          "flags": 0,
          "name": "<unspecified span name>",
          "kind": 1,
          "startTimeUnixNano": "1795230932189000000",
          "endTimeUnixNano": "1795230933000000000",
          "attributes": [
            {
              "key": "checkpointId",
              "value": {
                "intValue": "12"
              }
            },
            {
              "key": "isUnaligned",
              "value": {
                "boolValue": true
              }
            },
            {
              "key": "ratio",
              "value": {
                "doubleValue": 0.5
              }
            },
            {
              "key": "host",
              "value": {
                "stringValue": "jm-1"
              }
            },
            {
              "key": "failureReason",
              "value": {
                "stringValue": "disk full"
              }
            },
            {
              "key": "jobId",
              "value": {
                "stringValue": "0b1d"
              }
            }
          ],
          "droppedAttributesCount": 1,
          "events": [],
          "droppedEventsCount": 0,
          "links": [
            {
              "traceId": "046f6fff6533ab5c286ccefbf8aa42bf",
              "spanId": "c22f1d543729d47f",
              "traceState": "",
              "attributes": [],
              "droppedAttributesCount": 0,
              "flags": 0
            }
          ],
          "droppedLinksCount": 0,
          "status": {
            "message": "disk full",
            "code": 2
          }
        }"#]],
    );
}
