//! Tests of what is done with encoded records.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use super::*;

const NO_HEAD: Head<'_> = Head { resource: &[], scope: &[] };

/// Returns a chunk of records that are children.
fn details(records: &[Vec<u8>]) -> Chunk {
    let mut draft = Draft::default();
    records.iter().for_each(|record| draft.add(NO_HEAD, record));
    Chunk { role: Role::Detail, ..draft.finish() }
}

fn any(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) })
}

/// Returns a text that is as long in all records.
fn long() -> String {
    "k".repeat(3_000)
}

fn attributes(text: &str) -> Vec<KeyValue> {
    let attribute = |value| KeyValue { key: long(), value, ..KeyValue::default() };
    let number = Some(AnyValue { value: Some(Value::IntValue(5)) });
    vec![attribute(any(text)), attribute(number)]
}

/// Returns an encoded span. Texts that may be shortened are `text`.
fn span(text: &str) -> Vec<u8> {
    let status = Some(Status { message: text.to_owned(), code: 2 });
    let (name, attributes) = (text.to_owned(), attributes(text));
    Span {
        trace_id: vec![1; 16],
        trace_state: long(),
        start_time_unix_nano: 7,
        name,
        attributes,
        status,
        ..Span::default()
    }
    .encode_to_vec()
}

/// Returns an encoded event. Texts that may be shortened are `text`.
fn event(text: &str) -> Vec<u8> {
    let (body, attributes) = (any(text), attributes(text));
    LogRecord { time_unix_nano: 7, severity_text: long(), body, attributes, ..LogRecord::default() }.encode_to_vec()
}

/// Guarantees: names, values and messages have at most 1,024 bytes and end with a whole character,
/// and all else is as it was.
#[test]
fn long_texts_are_shortened() {
    for (signal, record) in [(Signal::Traces, span as fn(&str) -> Vec<u8>), (Signal::Events, event)] {
        for (text, expected) in [
            ("x".repeat(1_025), "x".repeat(1_024)),
            // A character of two bytes would end one byte after the limit.
            (format!("{}é{}", "x".repeat(1_023), "y".repeat(9_000)), "x".repeat(1_023)),
            (format!("{}é{}", "x".repeat(1_022), "y".repeat(9_000)), format!("{}é", "x".repeat(1_022))),
        ] {
            let shortened = details(&[record(&text), record("short")]).shortened(signal);
            assert_eq!(shortened, Some(details(&[record(&expected), record("short")])), "{signal}");
        }
        let longest = details(&[record(&"x".repeat(1_024))]);
        assert_eq!(longest.shortened(signal), None, "{signal}");
    }
}

#[test]
fn damaged_chunk_is_not_shortened() {
    let chunk = details(&[span(&long())]);
    assert_eq!(Chunk { records: 2, ..chunk }.shortened(Signal::Traces), None);
    // The tag of field 256.
    let unknown = [span(&long()), vec![0x80, 0x10, 1]].concat();
    // The head of a name that is longer than the record, and one of an attribute's value.
    let cut = [span(&long()), vec![0x2a, 0xff, 0x7f]].concat();
    let cut_value = [span(&long()), vec![0x4a, 4, 0x12, 2, 0x0a, 9]].concat();
    for record in [unknown, cut, cut_value] {
        assert_eq!(details(&[record]).shortened(Signal::Traces), None);
    }
}

#[test]
fn halves_keep_the_role() {
    let records: Vec<_> = ["a", "b", "c"].map(span).into();
    let halves = details(&records).halve();
    assert_eq!(halves, Some([details(&records[..1]), details(&records[1..])]));
    assert_eq!(details(&records[..1]).halve(), None);
}

/// Guarantees: a request is never larger than announced, and at most a few bytes smaller.
#[test]
fn size_with_another_record_is_a_close_bound() {
    let [resources, scopes] = [[1, 500], [2, 300]].map(|lengths: [usize; 2]| lengths.map(|length| vec![0xa; length]));
    let all: Vec<_> =
        resources.iter().flat_map(|resource| scopes.iter().map(move |scope| Head { resource, scope })).collect();
    for first in &all {
        for (second, length) in all.iter().flat_map(|second| [(second, 200), (second, 3 << 20)]) {
            let mut draft = Draft::default();
            draft.add(*first, &[1; 100]);
            // The scope counts even if its group is open.
            let is_open = first.resource == second.resource && first.scope == second.scope;
            let slack = if is_open { 24 + second.scope.len() } else { 24 };
            let bound = draft.size_with(*second, length);
            draft.add(*second, &vec![1; length]);
            let size = draft.finish().message.len();
            assert!((size..=size + slack).contains(&bound), "{bound} for {size}");
        }
    }
}

#[test]
fn record_that_just_fits_is_added() {
    // Field 3 with a text.
    let [other, open] = [b"\x1a\x011", b"\x1a\x012"].map(|resource| Head { resource, ..NO_HEAD });
    let mut scratch = Writer::default();
    let encode = |out: &mut Writer| out.raw(&[1; 200]);
    for head in [open, other] {
        let mut draft = Draft::default();
        draft.add(open, &[1; 5_000]);
        let limit = draft.size_with(head, 200);
        assert!(!draft.encode(head, encode, limit - 1, &mut scratch));
        assert_eq!((draft.records, draft.size_with(head, 200)), (1, limit));
        assert!(draft.encode(head, encode, limit, &mut scratch));
        let chunk = draft.finish();
        assert_eq!((chunk.records, entries(&chunk.message).count()), (2, 2));
    }
}

#[test]
fn records_in_a_row_share_resource_and_scope() {
    let resource = |url: &str| ResourceSpans { schema_url: url.to_owned(), ..ResourceSpans::default() }.encode_to_vec();
    let scope = |url: &str| ScopeSpans { schema_url: url.to_owned(), ..ScopeSpans::default() }.encode_to_vec();
    let mut draft = Draft::default();
    let mut scratch = Writer::default();
    for (of, at) in [("a", "1"), ("a", "1"), ("a", "2"), ("b", "2"), ("b", "2"), ("b", "2"), ("a", "2")] {
        let head = Head { resource: &resource(of), scope: &scope(at) };
        let encode = |out: &mut Writer| out.bytes(5, b"name");
        assert!(draft.encode(head, encode, usize::MAX, &mut scratch));
    }
    let request = ExportTraceServiceRequest::decode(draft.finish().message).unwrap();
    let groups = |of: &ResourceSpans| -> Vec<_> {
        of.scope_spans.iter().map(|group| (group.schema_url.clone(), group.spans.len())).collect()
    };
    let found: Vec<_> = request.resource_spans.iter().map(|of| (of.schema_url.as_str(), groups(of))).collect();
    let [one, two] = ["1", "2"].map(str::to_owned);
    let expected = [("a", vec![(one, 2), (two.clone(), 1)]), ("b", vec![(two.clone(), 3)]), ("a", vec![(two, 1)])];
    assert_eq!(found, expected);
}
