//! The examples that the Java side checks, too, and bytes that are no record.

use std::sync::Arc;

use flink_traces_api::{Compatibility, ReportContext, ReportedEvent, ReportedSpan, SystemClock};
use flink_traces_log::{flink_event_text, flink_span_text};

use super::*;

const EXAMPLES: &str = include_str!("../../testdata/wire.txt");
const NOW: i64 = 1_795_230_930_000;

fn example(wanted: &str) -> Vec<u8> {
    let block = EXAMPLES.split("\n\n").find(|block| block.lines().next() == Some(wanted)).unwrap();
    let hex = block.lines().nth(1).unwrap();
    (0..hex.len()).step_by(2).map(|index| u8::from_str_radix(&hex[index..index + 2], 16).unwrap()).collect()
}

fn span(bytes: &[u8], cluster: &str, compatibility: Compatibility) -> ReportedSpan {
    match decode(bytes, cluster, NOW).unwrap() {
        Record::Span(span) => {
            ReportedSpan::new(Arc::new(span.build(&SystemClock)), Arc::new(ReportContext::new(compatibility)))
        }
        Record::Event(_) => panic!("found an event"),
    }
}

fn event(bytes: &[u8], cluster: &str) -> ReportedEvent {
    match decode(bytes, cluster, NOW).unwrap() {
        Record::Event(event) => {
            let context = ReportContext::new(Compatibility::Standard);
            ReportedEvent::new(Arc::new(event.build(&SystemClock)), NOW, Arc::new(context))
        }
        Record::Span(_) => panic!("found a span"),
    }
}

/// A writer of the format, for records that no example has.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn span() -> Self {
        Self(vec![VERSION, KIND_SPAN])
    }

    pub(crate) fn event() -> Self {
        Self(vec![VERSION, KIND_EVENT])
    }

    /// Writes a text without a reference.
    pub(crate) fn known(mut self, text: &str) -> Self {
        self.0.push(1);
        self.text(text)
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        self = self.varint(text.len() + 1);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(crate) fn varint(mut self, mut number: usize) -> Self {
        while number > 0x7f {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    pub(crate) fn number(mut self, number: i64) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(crate) fn node(self, scope: &str, name: &str, attributes: &[(&str, ValueRef<'_>)], children: usize) -> Self {
        let mut all = self.known(scope).known(name).number(100).number(-1).attributes(attributes);
        all = all.varint(children);
        all
    }

    pub(crate) fn attributes(mut self, attributes: &[(&str, ValueRef<'_>)]) -> Self {
        self = self.varint(attributes.len());
        for (key, value) in attributes {
            self = self.known(key);
            match value {
                ValueRef::String(text) => {
                    self.0.push(1);
                    self = self.known(text);
                }
                ValueRef::Long(number) => {
                    self.0.push(2);
                    self = self.number(*number);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[test]
fn example_of_a_leaf_is_decoded() {
    assert_eq!(
        flink_span_text(&span(&example("leaf"), "", Compatibility::Flink)),
        "Reported span: SimpleSpan{scope=com.example.Scope, name=leaf, startTsMillis=1795230917019, \
         endTsMillis=1795230917430, attributes={}, children=[]}"
    );
}

#[test]
fn example_of_values_is_decoded() {
    let span = span(&example("values"), "", Compatibility::Flink);
    let found: Vec<_> = span.root().attributes().collect();
    let expected = [
        ("text", ValueRef::String("value")),
        ("long", ValueRef::Long(i64::MIN)),
        ("int", ValueRef::Long(7)),
        ("double", ValueRef::Double(-0.5)),
        ("true", ValueRef::Bool(true)),
        ("false", ValueRef::Bool(false)),
        ("null", ValueRef::String("null")),
        ("other", ValueRef::String("[1, 2]")),
    ];
    let (nan, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(key, _)| *key == "not a number");
    assert_eq!(others, expected);
    assert!(matches!(nan[..], [(_, ValueRef::Double(number))] if number.is_nan()), "{nan:?}");
    assert_eq!((span.root().start_ts_millis(), span.root().end_ts_millis()), (0, -1));
}

#[test]
fn example_of_texts_is_decoded() {
    let span = span(&example("texts"), "", Compatibility::Flink);
    let root = span.root();
    assert_eq!((root.scope(), root.name(), root.start_ts_millis()), ("", "", i64::MAX));
    let (a, b) = ("a".repeat(126), "b".repeat(127));
    let expected = [("ü世😀", "half a pair: ?"), ("", &a), ("longer", &b), ("zero", "a\0b")];
    assert!(root.attributes().eq(expected.map(|(key, text)| (key, ValueRef::String(text)))));
}

#[test]
fn example_of_a_tree_is_decoded() {
    let span = span(&example("tree"), "", Compatibility::Flink);
    let names: Vec<_> = span.spans().map(|span| (span.name(), span.children().len())).collect();
    assert_eq!(names, [("root", 2), ("first", 1), ("grandchild", 0), ("second", 0)]);
}

#[test]
fn examples_of_events_are_decoded() {
    let text = flink_event_text(&event(&example("event"), ""));
    assert!(text.contains("scope=com.example.Scope, name=happened, observedTsMillis=1795230918389"), "{text}");
    assert!(text.contains("severity=WARN, body=a body"), "{text}");
    assert_eq!(event(&example("event of nulls"), "").name(), "");
}

/// Guarantees: every prefix of an example, and every example with one other byte, is a record or an
/// error.
#[test]
fn damaged_examples_are_errors() {
    for block in EXAMPLES.split("\n\n") {
        let bytes = example(block.lines().next().unwrap());
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length], "c", NOW).is_err());
            let _ = title(&bytes[..length]);
        }
        for index in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[index] = value;
                let _ = decode(&damaged, "c", NOW);
            }
        }
        let problem = decode(&[&bytes[..], &[0]].concat(), "c", NOW).unwrap_err();
        assert_eq!(problem.problem, "bytes left over");
    }
}

#[test]
fn references_stand_for_texts_in_order() {
    let raw = |mut writer: Writer, byte: u8| {
        writer.0.push(byte);
        writer
    };
    let with_name = |writer: Writer| writer.number(1).number(2).attributes(&[]).varint(0).finish();
    let titled = raw(raw(Writer::span(), 2).text("s"), 2).text("n").number(1).number(2);
    let bytes = [4, 1, 3].into_iter().fold(titled.varint(1), raw).varint(0).finish();
    let referring = span(&bytes, "", Compatibility::Flink);
    assert_eq!((referring.root().scope(), referring.root().name()), ("s", "n"));
    assert!(referring.root().attributes().eq([("n", ValueRef::String("s"))]));
    let name = |reference| {
        let bytes = with_name(raw(raw(Writer::span(), 2).text("s"), reference));
        decode(&bytes, "", NOW).map(|record| match record {
            Record::Span(span) => span.name().to_owned(),
            Record::Event(_) => panic!("found an event"),
        })
    };
    assert_eq!(name(3), Ok("s".to_owned()));
    assert_eq!(name(4).unwrap_err().to_string(), "unknown reference at byte 6");
    let long = |length| decode(&with_name(raw(Writer::span(), 2).text(&"x".repeat(length)).known("n")), "", NOW);
    assert!(long(126).is_ok());
    assert_eq!(long(127).unwrap_err().problem, "text too long for a reference");
}

#[test]
fn number_of_children_is_bounded_by_bytes() {
    let bytes = Writer::span().node("s", "root", &[], 0xffff_ffff).finish();
    assert_eq!(decode(&bytes, "", NOW).unwrap_err().to_string(), "more children than bytes at byte 33");
}

#[test]
fn deep_tree_is_decoded_and_freed() {
    const DEPTH: usize = 100_000;
    let mut writer = Writer::span();
    for level in 1..=DEPTH {
        writer = writer.node("s", "level", &[], usize::from(level < DEPTH));
    }
    let span = span(&writer.finish(), "", Compatibility::Standard);
    assert_eq!((span.span_count(), span.spans().count()), (DEPTH, DEPTH));
    assert_eq!(flink_span_text(&span).matches("name=level").count(), DEPTH);
}

#[test]
fn checkpoint_has_ids_of_an_observer() {
    let job = ValueRef::String("0b1d198cd84d58810f0faf9761017b2f");
    let id = ("checkpointId", ValueRef::Long(7));
    let vertex = ("jobVertexId", ValueRef::String("v"));
    let status = ("checkpointStatus", ValueRef::String("FAILED"));
    let bytes = Writer::span()
        .node(TRACKER_SCOPE, "Checkpoint", &[id, ("jobId", job), status], 1)
        .node(TRACKER_SCOPE, "Checkpoint_Task", &[id, vertex], 1)
        .node(TRACKER_SCOPE, "Checkpoint_Subtask", &[id, vertex, ("subtaskId", ValueRef::Long(3))], 0)
        .finish();
    let span = span(&bytes, "prod", Compatibility::Standard);
    let identity = JobIdentity { cluster: "prod", job_id: "0b1d198cd84d58810f0faf9761017b2f" }.checkpoint(7, 100);
    let root = identity.trace_id().root_span_id();
    let task = root.child(Identity::of(&["v"]));
    let ids: Vec<_> = span.spans().map(|span| span.span_id()).collect();
    assert_eq!(ids, [root, task, task.child(Identity::numbered(3))]);
    assert_eq!(span.root().end_ts_millis(), NOW);
    assert!(span.root().failure().is_some());
    assert!(span.root().attributes().any(|pair| pair == ("flink.cluster.name", ValueRef::String("prod"))));
}

#[test]
fn initialization_has_ids_of_an_observer() {
    let job = JobIdentity { cluster: "prod", job_id: "j" };
    for restored in [None, Some(5)] {
        let mut attributes = vec![("jobId", ValueRef::String("j"))];
        attributes.extend(restored.map(|id| ("checkpointId", ValueRef::Long(id))));
        let bytes = Writer::span().node(TRACKER_SCOPE, "JobInitialization", &attributes, 0).finish();
        let span = span(&bytes, "prod", Compatibility::Standard);
        assert_eq!(span.root().trace_id(), job.initialization(restored, 100).trace_id());
    }
}

#[test]
fn user_span_of_the_same_name_has_no_identity() {
    let attributes = [("jobId", ValueRef::String("j")), ("checkpointId", ValueRef::Long(7))];
    let bytes = Writer::span().node("com.example.Scope", "Checkpoint", &attributes, 0).finish();
    match decode(&bytes, "prod", NOW) {
        Ok(Record::Span(span)) => assert!(!span.has_identity()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn status_change_has_uid_of_an_observer() {
    let attributes = [("newJobStatus", ValueRef::String("RUNNING")), ("jobId", ValueRef::String("j"))];
    let of = |scope| {
        let head = Writer::event().known(scope).known("JobStatusChangeEvent").number(100).text("").text("INFO");
        let event = event(&head.attributes(&attributes).finish(), "prod");
        event.attributes().find(|(key, _)| *key == "log.record.uid").map(|(_, value)| format!("{value:?}"))
    };
    let identity = JobIdentity { cluster: "prod", job_id: "j" }.status_change("RUNNING", 100);
    assert_eq!(of(JOB_MASTER_SCOPE), Some(format!("{:?}", ValueRef::String(&identity.trace_id().to_string()))));
    assert_eq!(of("com.example.Scope"), None);
}

#[test]
fn title_is_read_from_the_start_of_a_record() {
    assert_eq!(title(&example("leaf")[..30]), Some(("com.example.Scope", "leaf")));
    assert_eq!(title(&[]), None);
}
