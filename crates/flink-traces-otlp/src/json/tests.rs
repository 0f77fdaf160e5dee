//! Tests of both directions between protobuf and OTLP/JSON.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use serde::Serialize;

use super::*;

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

/// Returns one attribute of each type.
fn attributes() -> Vec<KeyValue> {
    let nested = vec![key_value("in", Value::IntValue(-1)), key_value("deep", Value::StringValue(String::new()))];
    vec![
        key_value("text", Value::StringValue("\"\u{0}\u{1b}ä\u{1f600}\n".to_owned())),
        key_value("flag", Value::BoolValue(false)),
        key_value("long", Value::IntValue(i64::MIN)),
        key_value("double", Value::DoubleValue(-1.5e-300)),
        key_value("zero", Value::DoubleValue(0.0)),
        key_value("bytes", Value::BytesValue(vec![0, 255, 7])),
        key_value(
            "list",
            Value::ArrayValue(ArrayValue { values: vec![any(Value::IntValue(i64::MAX)), any(Value::BoolValue(true))] }),
        ),
        key_value("map", Value::KvlistValue(KeyValueList { values: nested })),
        KeyValue { key: "nothing".to_owned(), ..KeyValue::default() },
    ]
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: attributes(), dropped_attributes_count: 3, ..Resource::default() })
}

fn scope(name: &str) -> Option<InstrumentationScope> {
    let (name, version) = (name.to_owned(), "1.2".to_owned());
    Some(InstrumentationScope { name, version, attributes: attributes(), dropped_attributes_count: 4 })
}

/// Returns a request with a value in every field of OTLP.
fn traces() -> ExportTraceServiceRequest {
    let span = |number: u8| Span {
        trace_id: vec![number; 16],
        span_id: vec![number; 8],
        trace_state: "a=b".to_owned(),
        parent_span_id: vec![number + 1; 8],
        flags: 0x101,
        name: "name".to_owned(),
        kind: 3,
        start_time_unix_nano: u64::MAX,
        end_time_unix_nano: 1,
        attributes: attributes(),
        dropped_attributes_count: u32::MAX,
        events: vec![Event {
            time_unix_nano: 5,
            name: "event".to_owned(),
            attributes: attributes(),
            dropped_attributes_count: 6,
        }],
        dropped_events_count: 7,
        links: vec![Link {
            trace_id: vec![8; 16],
            span_id: vec![9; 8],
            trace_state: "c=d".to_owned(),
            attributes: attributes(),
            dropped_attributes_count: 10,
            flags: 11,
        }],
        dropped_links_count: 12,
        status: Some(Status { message: "no".to_owned(), code: 2 }),
    };
    let group = |name: &str, spans| ScopeSpans { scope: scope(name), spans, schema_url: format!("schema of {name}") };
    let groups = vec![group("a", vec![span(1), span(2)]), group("b", vec![span(3)])];
    let envelope = ResourceSpans { resource: resource(), scope_spans: groups, schema_url: "schema".to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![envelope.clone(), envelope] }
}

fn logs() -> ExportLogsServiceRequest {
    let log = LogRecord {
        time_unix_nano: 1,
        observed_time_unix_nano: 2,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: Some(any(Value::StringValue("body".to_owned()))),
        attributes: attributes(),
        dropped_attributes_count: 3,
        flags: 4,
        trace_id: vec![5; 16],
        span_id: vec![6; 8],
        event_name: "event".to_owned(),
    };
    let group = ScopeLogs { scope: scope("a"), log_records: vec![log; 2], schema_url: "schema of a".to_owned() };
    let envelope = ResourceLogs { resource: resource(), scope_logs: vec![group], schema_url: "schema".to_owned() };
    ExportLogsServiceRequest { resource_logs: vec![envelope] }
}

/// Checks that the request is read from our JSON and from that of OpenTelemetry's types.
fn check<T: Message + Default + Serialize + PartialEq>(signal: Signal, request: &T) {
    let ours = from_request(signal, &request.encode_to_vec());
    for json in [ours.clone(), serde_json::to_string(request).unwrap(), serde_json::to_string_pretty(request).unwrap()]
    {
        let (found, message) = to_request(json.as_bytes()).unwrap();
        assert_eq!(found, signal);
        assert!(T::decode(&*message).unwrap() == *request, "{}", from_request(signal, &message));
    }
}

#[test]
fn every_otlp_field_survives_the_round_trip() {
    check(Signal::Traces, &traces());
    check(Signal::Events, &logs());
    check(Signal::Traces, &ExportTraceServiceRequest { resource_spans: vec![ResourceSpans::default()] });
}

#[test]
fn numbers_and_bytes_are_read_in_every_proto3_form() {
    let check = |value: &str, expected: Option<Value>| {
        let json = format!(
            r#"{{"other":{{}},"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{{value}}},"severityNumber":null,"new":[1]}}]}}]}}]}}"#
        );
        let (_, message) = to_request(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"));
        let request = ExportLogsServiceRequest::decode(&*message).unwrap();
        let body = &request.resource_logs[0].scope_logs[0].log_records[0].body;
        assert_eq!(format!("{body:?}"), format!("{:?}", Some(AnyValue { value: expected })), "{json}");
    };
    check(r#""intValue":"-7""#, Some(Value::IntValue(-7)));
    check(r#""intValue":-7"#, Some(Value::IntValue(-7)));
    check(r#""doubleValue":7"#, Some(Value::DoubleValue(7.0)));
    check(r#""doubleValue":"7e1""#, Some(Value::DoubleValue(70.0)));
    check(r#""doubleValue":"NaN""#, Some(Value::DoubleValue(f64::NAN)));
    check(r#""doubleValue":"-Infinity""#, Some(Value::DoubleValue(f64::NEG_INFINITY)));
    check(r#""bytesValue":"AP8H""#, Some(Value::BytesValue(vec![0, 255, 7])));
    check(r#""bytesValue":"AA""#, Some(Value::BytesValue(vec![0])));
    check(r#""stringValue":null"#, None);
    check("", None);
}

#[test]
fn invalid_otlp_is_an_error_with_column() {
    for (json, expected) in [
        ("", "EOF while parsing a value at column 0"),
        ("[]", "invalid type: sequence, expected an object with `resourceSpans` or `resourceLogs` at column 0"),
        ("{}", "neither `resourceSpans` nor `resourceLogs` at column 2"),
        (r#"{"resourceMetrics":[]}"#, "neither `resourceSpans` nor `resourceLogs` at column 22"),
        (r#"{"resourceSpans":[],"resourceLogs":[]}"#, "both spans and logs in one object at column 34"),
        (r#"{"resourceSpans":[]} x"#, "trailing characters at column 22"),
        (r#"{"resourceSpans":1}"#, "1 is not a list at column 18"),
        (r#"{"resourceSpans":[[]]}"#, "invalid type: sequence, expected an object at column 20"),
        (r#"{"resourceSpans":{}}"#, "invalid type: map, expected a list at column 19"),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0g"}]}]}]}"#,
            "\"0g\" is not an id in hexadecimal at column 58",
        ),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"012"}]}]}]}"#,
            "\"012\" is not an id in hexadecimal at column 58",
        ),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"\ud800"}]}]}]}"#,
            "unexpected end of hex escape at column 59",
        ),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":4294967296}]}]}]}"#,
            "4294967296 is not a number of 32 bits at column 61",
        ),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":-1}]}]}]}"#,
            "-1 is not a number of 64 bits at column 66",
        ),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":true}]}]}]}"#,
            "invalid type: boolean `true`, expected a number of 32 bits at column 55",
        ),
    ] {
        assert_eq!(to_request(json.as_bytes()).unwrap_err(), expected, "{json}");
    }
    let nested = |depth: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(depth), "]}}".repeat(depth));
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}{close}}}]}}]}}]}}"#)
    };
    to_request(nested(30).as_bytes()).unwrap();
    let error = to_request(nested(10_000).as_bytes()).unwrap_err();
    assert!(error.starts_with("recursion limit exceeded"), "{error}");
    to_request(b"{\"resourceLogs\":[{\"schemaUrl\":\"\xff\"}]}").unwrap_err();
}
