//! Tests that `opentelemetry-proto` decodes the input from the encoded requests.

use std::collections::HashSet;
use std::sync::Arc;

use flink_traces_api::{
    AttributeValue, Event, Failure, Identity, ReportContext, Signal, Span, SpanBuilder, SpanId, SystemClock, TraceId,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1 as proto;
use proptest::prelude::*;
use prost::Message;

use super::*;

/// A span tree as plain data, the source of both the input and the expectation.
#[derive(Debug, Clone)]
struct Tree {
    scope: String,
    name: String,
    times: (i64, i64),
    attributes: Vec<(String, AttributeValue)>,
    failure: Option<String>,
    links: Vec<String>,
    children: Vec<Tree>,
}

impl Tree {
    fn build(&self) -> SpanBuilder {
        let mut builder = Span::builder(self.scope.clone(), self.name.clone())
            .start_ts_millis(self.times.0)
            .end_ts_millis(self.times.1)
            .children(self.children.iter().map(Tree::build));
        for (key, value) in &self.attributes {
            builder = builder.attribute(key.clone(), value.clone());
        }
        for link in &self.links {
            builder = builder.link(Identity::of(&[link]));
        }
        match &self.failure {
            Some(message) => builder.failure(Failure::new(self.times.0, message.clone())),
            None => builder,
        }
    }

    /// Returns the expected scope names and spans of the tree, level by level.
    fn expected(&self) -> Vec<(String, proto::Span)> {
        let mut all = Vec::new();
        let failed = self.failure.as_ref().map(|_| self.times.0);
        let mut waiting = VecDeque::from([(self, trace_id().root_span_id(), None)]);
        while let Some((tree, id, parent)) = waiting.pop_front() {
            tree.expect(id, parent, failed, &mut all);
            let children = tree.children.iter().enumerate();
            waiting
                .extend(children.map(|(index, child)| (child, id.child(Identity::numbered(index as u64)), Some(id))));
        }
        all
    }

    fn expect(&self, id: SpanId, parent: Option<SpanId>, failed: Option<i64>, all: &mut Vec<(String, proto::Span)>) {
        let (start, end) = self.times;
        let end = if end < start { failed.unwrap_or(start).max(start) } else { end };
        let nanos = |millis: i64| u64::try_from(millis).unwrap() * 1_000_000;
        all.push((
            self.scope.clone(),
            proto::Span {
                trace_id: trace_id().as_bytes().to_vec(),
                span_id: id.as_bytes().to_vec(),
                parent_span_id: parent.map(|parent| parent.as_bytes().to_vec()).unwrap_or_default(),
                name: self.name.clone(),
                kind: proto::span::SpanKind::Internal.into(),
                start_time_unix_nano: nanos(start),
                end_time_unix_nano: nanos(end),
                attributes: self.attributes.iter().map(|(key, value)| key_value(key, value)).collect(),
                links: self.links.iter().map(|link| link_to(Identity::of(&[link]).trace_id())).collect(),
                status: self.failure.as_ref().map(|message| proto::Status {
                    message: message.clone(),
                    code: proto::status::StatusCode::Error.into(),
                }),
                ..proto::Span::default()
            },
        ));
    }
}

fn link_to(trace: TraceId) -> proto::span::Link {
    proto::span::Link {
        trace_id: trace.as_bytes().to_vec(),
        span_id: trace.root_span_id().as_bytes().to_vec(),
        ..proto::span::Link::default()
    }
}

fn key_value(key: &str, value: &AttributeValue) -> KeyValue {
    let value = match value {
        AttributeValue::String(text) => Value::StringValue(text.to_string()),
        AttributeValue::Long(number) => Value::IntValue(*number),
        AttributeValue::Double(number) => Value::DoubleValue(*number),
        AttributeValue::Bool(flag) => Value::BoolValue(*flag),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text() -> impl Strategy<Value = String> {
    let lengths = prop_oneof![Just(127), Just(128), Just(16_383), Just(16_384)];
    prop_oneof![8 => ".{0,12}", 1 => lengths.prop_map(|length| "x".repeat(length))]
}

fn value() -> impl Strategy<Value = AttributeValue> {
    prop_oneof![
        text().prop_map(AttributeValue::from),
        any::<i64>().prop_map(AttributeValue::from),
        any::<f64>().prop_map(AttributeValue::from),
        Just(AttributeValue::from(f64::INFINITY)),
        any::<bool>().prop_map(AttributeValue::from),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let attributes = proptest::collection::vec((text(), value()), 0..5).prop_map(|attributes| {
        let distinct = attributes.into_iter().enumerate();
        distinct.map(|(place, (key, value))| (format!("{place}{key}"), value)).collect::<Vec<_>>()
    });
    let scope = prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just(String::new()), text()];
    let times = (0..4_000_000_000_000_i64, 0..4_000_000_000_000_i64);
    let links = proptest::collection::vec(text(), 0..3);
    let span = (scope, "\\PC{0,20}x", times, attributes, proptest::option::of(text()), links);
    let leaf = span.prop_map(|(scope, name, times, attributes, failure, links)| Tree {
        scope,
        name,
        times,
        attributes,
        failure,
        links,
        children: Vec::new(),
    });
    let leaf = leaf.boxed();
    leaf.clone().prop_recursive(4, 40, 6, move |inner| {
        (leaf.clone(), proptest::collection::vec(inner, 0..6)).prop_map(|(tree, children)| Tree { children, ..tree })
    })
}

fn reported(builder: SpanBuilder, compatibility: Compatibility) -> ReportedSpan {
    let context = ReportContext::new(compatibility);
    ReportedSpan::new(Arc::new(builder.identity(Identity::numbered(7)).build(&SystemClock)), Arc::new(context))
}

fn trace_id() -> TraceId {
    Identity::numbered(7).trace_id()
}

fn chunks(trees: &[ReportedSpan], limit: usize) -> Vec<Chunk> {
    let count = trees.iter().map(ReportedSpan::span_count).sum();
    Chunks::new(span_records(trees), count, resource(), limit).collect()
}

fn resource() -> Resource {
    Resource::new(&[("service.name".to_owned(), "test".to_owned())])
}

/// The scopes and spans of a chunk, in order.
fn decoded(chunk: &Chunk) -> Vec<(String, proto::Span)> {
    let request = ExportTraceServiceRequest::decode(chunk.message.clone()).unwrap();
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap();
        assert_eq!(resource.attributes, [key_value("service.name", &"test".into())]);
        for of_scope in of_resource.scope_spans {
            let scope = of_scope.scope.unwrap().name;
            spans.extend(of_scope.spans.into_iter().map(|span| (scope.clone(), span)));
        }
    }
    assert_eq!(spans.len(), chunk.records);
    spans
}

/// Scenario: trees of two clusters with resource attributes of their own, and of none, in turn.
/// Guarantees: one request has them all, each under its own resource, also after splits.
#[test]
fn sources_have_resources_of_their_own() {
    let attribute = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let source = |name: &str, attributes: &[(String, String)]| {
        let context = ReportContext::new(Compatibility::Standard).with_resource(attributes);
        let span =
            Span::builder("s", name.to_owned()).identity(Identity::numbered(7)).children([Span::builder("s", "child")]);
        ReportedSpan::new(Arc::new(span.build(&SystemClock)), Arc::new(context))
    };
    let (a, b) = ([attribute("service.name", "a"), attribute("team", "x")], [attribute("team", "y")]);
    let trees = [source("1", &a), source("2", &a), source("3", &b), source("4", &[]), source("5", &a)];
    let found = |chunks: &[Chunk]| -> Vec<(String, Vec<(String, String)>)> {
        let mut found = Vec::new();
        for chunk in chunks {
            let request = ExportTraceServiceRequest::decode(chunk.message.clone()).unwrap();
            for of_resource in request.resource_spans {
                let resource = of_resource.resource.unwrap().attributes.into_iter();
                let text = |attribute: KeyValue| match attribute.value.unwrap().value {
                    Some(Value::StringValue(text)) => (attribute.key, text),
                    other => panic!("{other:?}"),
                };
                let resource: Vec<_> = resource.map(text).collect();
                let roots = of_resource.scope_spans.into_iter().flat_map(|group| group.spans);
                found.extend(roots.filter(|span| span.name != "child").map(|span| (span.name, resource.clone())));
            }
        }
        found
    };
    let chunks = chunks(&trees, 1 << 20);
    assert_eq!((chunks.len(), chunks[0].records), (1, 10));
    let [of_a, of_b, own] = [
        vec![attribute("service.name", "a"), attribute("team", "x")],
        vec![attribute("service.name", "test"), attribute("team", "y")],
        vec![attribute("service.name", "test")],
    ];
    let expected = [("1", &of_a), ("2", &of_a), ("3", &of_b), ("4", &own), ("5", &of_a)];
    let expected = expected.map(|(name, resource)| (name.to_owned(), resource.clone()));
    assert_eq!(found(&chunks), expected);
    let request = ExportTraceServiceRequest::decode(chunks[0].message.clone()).unwrap();
    assert_eq!(request.resource_spans.len(), 4);
    let halves: Vec<_> = chunks.into_iter().flat_map(in_halves).collect();
    assert_eq!((halves.len(), found(&halves)), (10, expected.to_vec()));
}

fn in_halves(chunk: Chunk) -> Vec<Chunk> {
    match chunk.halve() {
        Some(halves) => halves.into_iter().flat_map(in_halves).collect(),
        None => vec![chunk],
    }
}

/// Returns the chunks that are finalized before one is sent.
fn waits_for(chunks: &[Chunk], index: usize) -> Vec<usize> {
    let is_summary = |at: &usize| chunks[*at].role != Role::Detail;
    match (0..index).rfind(is_summary).filter(|_| chunks[index].role != Role::Root) {
        Some(last) => [waits_for(chunks, last), vec![last]].concat(),
        None => Vec::new(),
    }
}

fn ids(chunk: &Chunk) -> Vec<Vec<u8>> {
    decoded(chunk).into_iter().map(|(_, span)| span.span_id).collect()
}

fn in_json(chunk: &Chunk) -> ExportTraceServiceRequest {
    serde_json::from_str(&crate::json::from_request(Signal::Traces, &chunk.message)).unwrap()
}

/// Returns the request as it looks after a round trip through JSON.
///
/// Doubles that are not finite become text. The others lose what `serde_json` loses.
fn with_finite_numbers(message: &Bytes) -> ExportTraceServiceRequest {
    let mut request = ExportTraceServiceRequest::decode(message.clone()).unwrap();
    let groups = request.resource_spans.iter_mut().flat_map(|of_resource| &mut of_resource.scope_spans);
    let spans = groups.flat_map(|of_scope| &mut of_scope.spans);
    for value in spans.flat_map(|span| &mut span.attributes).filter_map(|attribute| attribute.value.as_mut()) {
        value.value = match value.value.take() {
            Some(Value::DoubleValue(f64::INFINITY)) => Some(Value::StringValue("Infinity".to_owned())),
            Some(Value::DoubleValue(f64::NEG_INFINITY)) => Some(Value::StringValue("-Infinity".to_owned())),
            Some(Value::DoubleValue(number)) if number.is_nan() => Some(Value::StringValue("NaN".to_owned())),
            Some(Value::DoubleValue(number)) => {
                Some(Value::DoubleValue(serde_json::from_str(&format!("{number:?}")).unwrap()))
            }
            other => other,
        };
    }
    request
}

#[test]
fn small_trees_are_independent_large_ones_are_not() {
    let wide = |subtasks: usize| {
        let subtask = || Span::builder("s", "subtask").attribute("text", "x".repeat(50));
        let task = || Span::builder("s", "task").children((0..subtasks).map(|_| subtask()));
        reported(Span::builder("s", "root").children([task(), task()]), Compatibility::Standard)
    };
    let small: Vec<_> = (0..40).map(|_| wide(2)).collect();
    let chunks = chunks(&small, 4 << 10);
    assert!(chunks.len() > 5);
    assert!(chunks.iter().all(|chunk| chunk.role == Role::Root));
    let large = super::Chunks::new(span_records(&[wide(500)]), 501, resource(), 4 << 10).collect::<Vec<_>>();
    // The first chunk holds the tasks.
    assert!(large.len() > 20 && large[0].role == Role::Root);
    assert!(large[1..].iter().all(|chunk| chunk.role == Role::Detail));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_trees_survive_encoding(trees in proptest::collection::vec(tree(), 1..4), limit in 200_usize..100_000) {
        let expected: Vec<_> = trees.iter().flat_map(Tree::expected).collect();
        let trees: Vec<_> = trees.iter().map(|tree| reported(tree.build(), Compatibility::Standard)).collect();
        let chunks = chunks(&trees, limit);
        let found: Vec<_> = chunks.iter().flat_map(decoded).collect();
        prop_assert!(found == expected, "{found:#?}\n{expected:#?}");
        prop_assert!(chunks.iter().all(|chunk| chunk.records == 1 || chunk.message.len() <= limit));

        for (index, chunk) in chunks.iter().enumerate() {
            let sent = waits_for(&chunks, index).into_iter().chain([index]);
            let ids: HashSet<_> = sent.flat_map(|index| ids(&chunks[index])).collect();
            let is_known = |(_, span): &(String, proto::Span)| {
                span.parent_span_id.is_empty() || ids.contains(&span.parent_span_id)
            };
            prop_assert!(decoded(chunk).iter().all(is_known), "chunk {} of {:?} has orphans", index, chunks);
            prop_assert_eq!(in_json(chunk), with_finite_numbers(&chunk.message));
        }

        let single: Vec<_> = chunks.into_iter().flat_map(in_halves).collect();
        prop_assert!(single.iter().all(|chunk| chunk.records == 1));
        let found: Vec<_> = single.iter().flat_map(decoded).collect();
        prop_assert!(found == expected);
    }
}

#[test]
fn lengths_are_correct_at_varint_boundaries() {
    for boundary in [128, 16_384, 2_097_152] {
        for length in boundary - 40..boundary + 2 {
            let attributes = vec![("k".to_owned(), "v".repeat(length).into())];
            let tree = Tree {
                scope: "s".to_owned(),
                name: "n".to_owned(),
                times: (1, 2),
                attributes,
                failure: None,
                links: Vec::new(),
                children: Vec::new(),
            };
            let chunks = chunks(&[reported(tree.build(), Compatibility::Standard)], 1 << 20);
            assert!(decoded(&chunks[0]) == tree.expected(), "{length}");
        }
    }
}

#[test]
fn deep_tree_does_not_overflow_the_stack() {
    let mut chain = Span::builder("s", "n");
    for _ in 0..500 {
        chain = Span::builder("s", "n").child(chain);
    }
    let tree = [reported(chain, Compatibility::Standard)];
    assert_eq!(chunks(&tree, 1 << 20).iter().map(|chunk| chunk.records).sum::<usize>(), 501);
}

#[test]
fn damaged_chunk_is_not_halved() {
    let tree = [reported(Span::builder("s", "n").child(Span::builder("s", "c")), Compatibility::Standard)];
    let chunk = chunks(&tree, 1 << 20).remove(0);
    assert!(chunk.halve().is_some());
    for length in 0..chunk.message.len() {
        let damaged = Chunk { message: chunk.message.slice(..length), ..chunk.clone() };
        assert_eq!(damaged.halve(), None, "{length}");
    }
}

#[test]
fn flink_mode_keeps_128_attributes_and_counts_rest() {
    let many = |builder: SpanBuilder| (0..130).fold(builder, |builder, key| builder.attribute(format!("k{key}"), 1));
    for (compatibility, expected) in [(Compatibility::Flink, (128, 2)), (Compatibility::Standard, (130, 0))] {
        let chunk = chunks(&[reported(many(Span::builder("s", "n")), compatibility)], 1 << 20).remove(0);
        let (_, span) = &decoded(&chunk)[0];
        assert_eq!((span.attributes.len(), span.dropped_attributes_count), expected);
    }
}

#[test]
fn events_become_log_records() {
    let event = Event::builder("", "JobFailureEvent")
        .observed_ts_millis(5)
        .severity("WARN")
        .body("b")
        .attribute("z", true)
        .attribute("<a>", 7)
        .build(&SystemClock);
    for compatibility in [Compatibility::Standard, Compatibility::Flink] {
        let context = ReportContext::new(compatibility);
        let event = ReportedEvent::new(Arc::new(event.clone()), 9, Arc::new(context));
        let chunk = Chunks::new([&event].into_iter(), 1, resource(), 1 << 20).next().unwrap();
        let message = chunk.message;
        let request = ExportLogsServiceRequest::decode(message.clone()).unwrap();
        let group = &request.resource_logs[0].scope_logs[0];
        assert_eq!(group.scope.as_ref().unwrap().name, "unknown");
        let standard = compatibility == Compatibility::Standard;
        let attributes = [("a", 7.into()), ("name", "JobFailureEvent".into()), ("z", true.into())];
        let expected = LogRecord {
            time_unix_nano: if standard { 5_000_000 } else { 9_000_000 },
            observed_time_unix_nano: 5_000_000,
            severity_number: 13,
            severity_text: "WARN".to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue("b".to_owned())) }),
            attributes: attributes.iter().map(|(key, value)| key_value(key, value)).collect(),
            event_name: if standard { "JobFailureEvent".to_owned() } else { String::new() },
            ..LogRecord::default()
        };
        assert_eq!(group.log_records, [expected]);
        let from_json: ExportLogsServiceRequest =
            serde_json::from_str(&crate::json::from_request(Signal::Events, &message)).unwrap();
        assert_eq!(from_json, request);
    }
}
