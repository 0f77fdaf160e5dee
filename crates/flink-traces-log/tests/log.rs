//! The log events of the reporters, and the lines of text.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Arc, Once};

use expect_test::{Expect, expect};
use flink_traces_api::{
    Compatibility, Deadline, Event, EventBuilder, Failure, Identity, Registry, ReportContext, ReportedEvent,
    ReportedSpan, ReporterConfig, Span, SpanBuilder, SpanContext, SystemClock,
};
use flink_traces_log::{
    EVENT_FACTORY, TRACE_FACTORY, event_line, flink_event_text, flink_span_text, register, span_line,
};

const TRACKER: &str = "org.apache.flink.runtime.checkpoint.CheckpointStatsTracker";
const JOB_ID: &str = "0a4480b1aa43ca25b4801a22462f387a";

fn context(job_name: &str, compatibility: Compatibility) -> Arc<ReportContext> {
    let variables = [("<host>", "localhost"), ("<job_id>", JOB_ID), ("<job_name>", job_name)];
    Arc::new(ReportContext::new(compatibility).with_job_id(JOB_ID).with_variables(variables))
}

fn reported_span(span: SpanBuilder, context: Arc<ReportContext>) -> ReportedSpan {
    ReportedSpan::new(Arc::new(span.identity(Identity::of(&["trace"])).build(&SystemClock)), context)
}

fn reported_event(event: EventBuilder, context: Arc<ReportContext>) -> ReportedEvent {
    ReportedEvent::new(Arc::new(event.build(&SystemClock)), 1_795_230_918_394, context)
}

fn checkpoint() -> SpanBuilder {
    Span::builder(TRACKER, "Checkpoint")
        .start_ts_millis(1_795_230_921_331)
        .end_ts_millis(1_795_230_921_354)
        .attribute("checkpointId", 4)
        .attribute("fullSize", 187_221)
        .attribute("checkpointedSize", 426)
        .attribute("metadataSize", -1)
        .attribute("checkpointStatus", "COMPLETED")
        .attribute("checkpointType", "Full Checkpoint")
        .attribute("maxStateSizeBytes", 426)
}

fn failed_checkpoint() -> SpanBuilder {
    checkpoint()
        .end_ts_millis(-1)
        .parent(SpanContext::from(Identity::of(&["caller"])))
        .link(Identity::of(&["before"]))
        .failure(Failure::new(1_795_230_981_440, "Checkpoint expired\n before completing.".to_owned()))
        .child(Span::builder(TRACKER, "Checkpoint_Task").start_ts_millis(1_795_230_921_340).attribute("ratio", 0.5))
        .child(
            Span::builder(TRACKER, "Checkpoint_Task")
                .start_ts_millis(1_795_230_921_350)
                .end_ts_millis(-1)
                .child(Span::builder(TRACKER, "Checkpoint_Subtask").start_ts_millis(5).attribute("late", true)),
        )
}

fn status_change() -> EventBuilder {
    Event::builder("org.apache.flink.runtime.jobmaster.JobMaster", "JobStatusChangeEvent")
        .observed_ts_millis(1_795_230_918_389)
        .severity("INFO")
        .attribute("newJobStatus", "FAILED")
        .extension_severity("ERROR")
}

thread_local! {
    static CAPTURED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A writer that captures the log of its thread. Each test runs on a thread of its own.
struct Capture;

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        CAPTURED.with_borrow_mut(|captured| captured.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns what a plain subscriber prints while configured reporters get one span and one event.
///
/// The blank that aligns levels is removed.
fn logged(options: &[(&str, &str)], span: &ReportedSpan, event: &ReportedEvent) -> String {
    static SUBSCRIBER: Once = Once::new();
    // All tests share one, because with one for each test `tracing` may disable events that another
    // thread has just enabled.
    SUBSCRIBER.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| Capture);
        subscriber.with_ansi(false).without_time().init();
    });
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    let config = ReporterConfig::from_pairs("log", options.iter().copied());
    let mut reporter = registry.trace(TRACE_FACTORY).unwrap().create_trace_reporter(&config).unwrap();
    reporter.report(std::slice::from_ref(span), &Deadline::unlimited()).unwrap();
    let mut reporter = registry.event(EVENT_FACTORY).unwrap().create_event_reporter(&config).unwrap();
    reporter.report(std::slice::from_ref(event), &Deadline::unlimited()).unwrap();
    let text = String::from_utf8(CAPTURED.take()).unwrap();
    text.split_inclusive('\n').map(|line| line.strip_prefix(' ').unwrap_or(line)).collect()
}

/// A parser of Flink's text, which returns the span that it shows.
struct FlinkSpanParser<'a>(&'a str);

impl<'a> FlinkSpanParser<'a> {
    fn accept(&mut self, text: &str) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn up_to(&mut self, end: &str) -> &'a str {
        let (found, rest) = self.0.split_once(end).unwrap();
        self.0 = rest;
        found
    }

    fn span(&mut self) -> SpanBuilder {
        assert!(self.accept("SimpleSpan{scope="), "{}", self.0);
        let mut span = Span::builder(self.up_to(", name=").to_owned(), self.up_to(", startTsMillis=").to_owned())
            .start_ts_millis(self.up_to(", endTsMillis=").parse().unwrap())
            .end_ts_millis(self.up_to(", attributes={").parse().unwrap());
        let attributes = self.up_to("}, children=[").split(", ").map(|pair| pair.split_once('=').unwrap());
        let mut attributes: Vec<_> = attributes.filter(|(key, _)| !key.starts_with('<') && *key != "jobId").collect();
        attributes.sort_by_key(|(key, _)| (set_by_flink(key), *key));
        for (key, value) in attributes {
            span = match value.parse::<i64>() {
                Ok(number) => span.attribute(key.to_owned(), number),
                Err(_) => span.attribute(key.to_owned(), value.to_owned()),
            };
        }
        while !self.accept("]}") {
            self.accept(", ");
            span = span.child(self.span());
        }
        span
    }
}

/// Returns the position at which Flink sets an attribute, as far as the order within a bucket shows
/// it.
fn set_by_flink(key: &str) -> usize {
    const ORDER: [&str; 17] = [
        "Mailbox",
        "Gate",
        "Download",
        "ReadOutput",
        "RestoreState",
        "checkpointId",
        "fullSize",
        "metadataSize",
        "subtaskId",
        "StateSize",
        "CheckpointedSize",
        "StartDelay",
        "Alignment",
        "Sync",
        "Async",
        "Processed",
        "Persisted",
    ];
    ORDER.iter().position(|part| key.contains(part)).unwrap_or(0)
}

#[test]
fn recorded_flink_lines_are_reproduced() {
    let lines = include_str!("data/flink-2.3.0-spans.txt");
    for line in lines.lines() {
        let span = FlinkSpanParser(line.strip_prefix("Reported span: ").unwrap()).span();
        let value_of = |key: &str| line.split_once(key).unwrap().1.split([',', '}']).next().unwrap().to_owned();
        let mut context = ReportContext::default().with_job_id(value_of(" jobId="));
        for key in ["<host>", "<job_id>", "<job_name>"] {
            context.variables.push((key.to_owned(), value_of(&format!(" {key}="))));
        }
        for compatibility in [Compatibility::Flink, Compatibility::Standard] {
            context.compatibility = compatibility;
            let text = flink_span_text(&reported_span(span.clone(), Arc::new(context.clone())));
            let unset_end = line.contains("endTsMillis=-1") && compatibility == Compatibility::Standard;
            assert_eq!(text == line, !unset_end, "{compatibility:?}\n{text}\n{line}");
        }
    }
}

#[test]
fn fields_format_logs_records_with_their_level() {
    let check = |compatibility, expected: Expect| {
        let context = context("orders 2", compatibility);
        let span = reported_span(failed_checkpoint(), context.clone());
        expected.assert_eq(&logged(&[], &span, &reported_event(status_change().body("as ordered"), context)));
    };
    check(
        Compatibility::Standard,
        expect![[r#"
            ERROR org.apache.flink.traces.slf4j.Slf4jTraceReporter: Reported span name=Checkpoint scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker start=2026-11-21T03:15:21.331Z end=2026-11-21T03:16:21.440Z duration_ms=60109 trace_id=3feaed99b743bb697a907bad16477094 span_id=a89630bc84b7e057 parent_span_id=65b92f924817461e links=e844dee5173a0475f9fa59009c7ba3ba:9fe6854a51ef9df4 failure="Checkpoint expired\n before completing." attributes=checkpointId=4 fullSize=187221 checkpointedSize=426 metadataSize=-1 checkpointStatus=COMPLETED checkpointType="Full Checkpoint" maxStateSizeBytes=426 jobId=0a4480b1aa43ca25b4801a22462f387a host=localhost job_id=0a4480b1aa43ca25b4801a22462f387a job_name="orders 2"
            INFO org.apache.flink.traces.slf4j.Slf4jTraceReporter: Reported span name=Checkpoint_Task scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker start=2026-11-21T03:15:21.340Z end=2026-11-21T03:15:21.340Z duration_ms=0 trace_id=3feaed99b743bb697a907bad16477094 span_id=362eb12ae0e5cae3 parent_span_id=a89630bc84b7e057 attributes=ratio=0.5 host=localhost job_id=0a4480b1aa43ca25b4801a22462f387a job_name="orders 2"
            INFO org.apache.flink.traces.slf4j.Slf4jTraceReporter: Reported span name=Checkpoint_Task scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker start=2026-11-21T03:15:21.350Z end=2026-11-21T03:16:21.440Z duration_ms=60090 trace_id=3feaed99b743bb697a907bad16477094 span_id=542ddaaa0e5d90fd parent_span_id=a89630bc84b7e057 attributes=host=localhost job_id=0a4480b1aa43ca25b4801a22462f387a job_name="orders 2"
            INFO org.apache.flink.traces.slf4j.Slf4jTraceReporter: Reported span name=Checkpoint_Subtask scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker start=1970-01-01T00:00:00.005Z end=1970-01-01T00:00:00.005Z duration_ms=0 trace_id=3feaed99b743bb697a907bad16477094 span_id=06ba4f6956f6c336 parent_span_id=542ddaaa0e5d90fd attributes=late=true host=localhost job_id=0a4480b1aa43ca25b4801a22462f387a job_name="orders 2"
            ERROR org.apache.flink.events.slf4j.Slf4jEventReporter: Reported event name=JobStatusChangeEvent scope=org.apache.flink.runtime.jobmaster.JobMaster ts=2026-11-21T03:15:18.389Z severity=ERROR body="as ordered" attributes=newJobStatus=FAILED jobId=0a4480b1aa43ca25b4801a22462f387a host=localhost job_id=0a4480b1aa43ca25b4801a22462f387a job_name="orders 2"
        "#]],
    );
    check(
        Compatibility::Flink,
        expect![[r#"
             INFO org.apache.flink.traces.slf4j.Slf4jTraceReporter: Reported span name=Checkpoint scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker start=2026-11-21T03:15:21.331Z end=-1 trace_id=d40d0130841745af6da66c3e1f21a89a span_id=a89630bc84b7e057 attributes=checkpointId=4 fullSize=187221 checkpointedSize=426 metadataSize=-1 checkpointStatus=COMPLETED checkpointType="Full Checkpoint" maxStateSizeBytes=426 jobId=0a4480b1aa43ca25b4801a22462f387a host=localhost job_id=0a4480b1aa43ca25b4801a22462f387a job_name="orders 2"
             INFO org.apache.flink.traces.slf4j.Slf4jTraceReporter: Reported span name=Checkpoint_Task scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker start=2026-11-21T03:15:21.340Z end=2026-11-21T03:15:21.340Z duration_ms=0 trace_id=d40d0130841745af6da66c3e1f21a89a span_id=362eb12ae0e5cae3 parent_span_id=a89630bc84b7e057 attributes=ratio=0.5 host=localhost job_id=0a4480b1aa43ca25b4801a22462f387a job_name="orders 2"
             INFO org.apache.flink.traces.slf4j.Slf4jTraceReporter: Reported span name=Checkpoint_Task scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker start=2026-11-21T03:15:21.350Z end=-1 trace_id=d40d0130841745af6da66c3e1f21a89a span_id=542ddaaa0e5d90fd parent_span_id=a89630bc84b7e057 attributes=host=localhost job_id=0a4480b1aa43ca25b4801a22462f387a job_name="orders 2"
             INFO org.apache.flink.traces.slf4j.Slf4jTraceReporter: Reported span name=Checkpoint_Subtask scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker start=1970-01-01T00:00:00.005Z end=1970-01-01T00:00:00.005Z duration_ms=0 trace_id=d40d0130841745af6da66c3e1f21a89a span_id=06ba4f6956f6c336 parent_span_id=542ddaaa0e5d90fd attributes=late=true host=localhost job_id=0a4480b1aa43ca25b4801a22462f387a job_name="orders 2"
             INFO org.apache.flink.events.slf4j.Slf4jEventReporter: Reported event name=JobStatusChangeEvent scope=org.apache.flink.runtime.jobmaster.JobMaster ts=2026-11-21T03:15:18.389Z severity=INFO body="as ordered" attributes=newJobStatus=FAILED jobId=0a4480b1aa43ca25b4801a22462f387a host=localhost job_id=0a4480b1aa43ca25b4801a22462f387a job_name="orders 2"
        "#]],
    );
}

#[test]
fn flink_format_logs_flink_text() {
    let check = |compatibility, expected: Expect| {
        let context = context("evil\n\u{1b}[31m", compatibility);
        let span = reported_span(failed_checkpoint(), context.clone());
        expected.assert_eq(&logged(&[("format", "flink")], &span, &reported_event(status_change(), context)));
    };
    check(
        Compatibility::Standard,
        expect![[r#"
        ERROR org.apache.flink.traces.slf4j.Slf4jTraceReporter: Reported span: SimpleSpan{scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker, name=Checkpoint, startTsMillis=1795230921331, endTsMillis=1795230981440, attributes={jobId=0a4480b1aa43ca25b4801a22462f387a, <job_id>=0a4480b1aa43ca25b4801a22462f387a, fullSize=187221, metadataSize=-1, maxStateSizeBytes=426, checkpointType=Full Checkpoint, checkpointId=4, <host>=localhost, checkpointStatus=COMPLETED, <job_name>=evil\n\u{1b}[31m, checkpointedSize=426}, children=[SimpleSpan{scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker, name=Checkpoint_Task, startTsMillis=1795230921340, endTsMillis=1795230921340, attributes={<job_id>=0a4480b1aa43ca25b4801a22462f387a, <host>=localhost, <job_name>=evil\n\u{1b}[31m, ratio=0.5}, children=[]}, SimpleSpan{scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker, name=Checkpoint_Task, startTsMillis=1795230921350, endTsMillis=1795230981440, attributes={<job_id>=0a4480b1aa43ca25b4801a22462f387a, <host>=localhost, <job_name>=evil\n\u{1b}[31m}, children=[SimpleSpan{scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker, name=Checkpoint_Subtask, startTsMillis=5, endTsMillis=5, attributes={<job_id>=0a4480b1aa43ca25b4801a22462f387a, late=true, <host>=localhost, <job_name>=evil\n\u{1b}[31m}, children=[]}]}]}
        ERROR org.apache.flink.events.slf4j.Slf4jEventReporter: Reported event: SimpleEvent{scope=org.apache.flink.runtime.jobmaster.JobMaster, name=JobStatusChangeEvent, observedTsMillis=1795230918389, severity=ERROR, body=, attributes={jobId=0a4480b1aa43ca25b4801a22462f387a, <job_id>=0a4480b1aa43ca25b4801a22462f387a, <host>=localhost, newJobStatus=FAILED, <job_name>=evil\n\u{1b}[31m}}
    "#]],
    );
    check(
        Compatibility::Flink,
        expect![[r#"
            INFO org.apache.flink.traces.slf4j.Slf4jTraceReporter: Reported span: SimpleSpan{scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker, name=Checkpoint, startTsMillis=1795230921331, endTsMillis=-1, attributes={jobId=0a4480b1aa43ca25b4801a22462f387a, <job_id>=0a4480b1aa43ca25b4801a22462f387a, fullSize=187221, metadataSize=-1, maxStateSizeBytes=426, checkpointType=Full Checkpoint, checkpointId=4, <host>=localhost, checkpointStatus=COMPLETED, <job_name>=evil
            \x1b[31m, checkpointedSize=426}, children=[SimpleSpan{scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker, name=Checkpoint_Task, startTsMillis=1795230921340, endTsMillis=1795230921340, attributes={<job_id>=0a4480b1aa43ca25b4801a22462f387a, <host>=localhost, <job_name>=evil
            \x1b[31m, ratio=0.5}, children=[]}, SimpleSpan{scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker, name=Checkpoint_Task, startTsMillis=1795230921350, endTsMillis=-1, attributes={<job_id>=0a4480b1aa43ca25b4801a22462f387a, <host>=localhost, <job_name>=evil
            \x1b[31m}, children=[SimpleSpan{scope=org.apache.flink.runtime.checkpoint.CheckpointStatsTracker, name=Checkpoint_Subtask, startTsMillis=5, endTsMillis=5, attributes={<job_id>=0a4480b1aa43ca25b4801a22462f387a, late=true, <host>=localhost, <job_name>=evil
            \x1b[31m}, children=[]}]}]}
            INFO org.apache.flink.events.slf4j.Slf4jEventReporter: Reported event: SimpleEvent{scope=org.apache.flink.runtime.jobmaster.JobMaster, name=JobStatusChangeEvent, observedTsMillis=1795230918389, severity=INFO, body=, attributes={jobId=0a4480b1aa43ca25b4801a22462f387a, <job_id>=0a4480b1aa43ca25b4801a22462f387a, <host>=localhost, newJobStatus=FAILED, <job_name>=evil
            \x1b[31m}}
        "#]],
    );
}

#[test]
fn every_kind_of_attribute_has_a_text() {
    let attributes = |event: EventBuilder| {
        event
            .attribute("text", "a b")
            .attribute("long", i64::MIN)
            .attribute("double", 1e7)
            .attribute("not a number", f64::NAN)
            .attribute("bool", true)
    };
    let event = reported_event(attributes(status_change()), context("orders", Compatibility::Standard));
    expect!["Reported event: SimpleEvent{scope=org.apache.flink.runtime.jobmaster.JobMaster, name=JobStatusChangeEvent, observedTsMillis=1795230918389, severity=ERROR, body=, attributes={not a number=NaN, jobId=0a4480b1aa43ca25b4801a22462f387a, <job_id>=0a4480b1aa43ca25b4801a22462f387a, bool=true, double=1.0E7, <host>=localhost, text=a b, newJobStatus=FAILED, <job_name>=orders, long=-9223372036854775808}}"].assert_eq(&flink_event_text(&event));
    expect![[r#"2026-11-21T03:15:18.389Z  JobStatusChangeEvent              ERROR  orders            newJobStatus=FAILED text="a b" long=-9223372036854775808 double=10000000.0 "not a number"=NaN bool=true"#]].assert_eq(&event_line(&event));
}

#[test]
fn summary_lines() {
    let check = |span: SpanBuilder, compatibility, expected: Expect| {
        expected.assert_eq(&span_line(reported_span(span, context("orders", compatibility)).root()));
    };
    let (flink, standard) = (Compatibility::Flink, Compatibility::Standard);
    check(
        checkpoint(),
        standard,
        expect![[
            r#"2026-11-21T03:15:21.331Z  Checkpoint                        23 ms  orders            checkpointId=4 fullSize=182.8KiB checkpointedSize=426B checkpointStatus=COMPLETED checkpointType="Full Checkpoint""#
        ]],
    );
    check(
        failed_checkpoint(),
        standard,
        expect![[
            r#"2026-11-21T03:15:21.331Z  Checkpoint                    1 min 00 s  orders            failure="Checkpoint expired\n before completing." checkpointId=4 fullSize=182.8KiB checkpointedSize=426B checkpointStatus=COMPLETED checkpointType="Full Checkpoint" (+3 child spans)"#
        ]],
    );
    check(
        failed_checkpoint(),
        flink,
        expect![[
            r#"2026-11-21T03:15:21.331Z  Checkpoint                            -  orders            checkpointId=4 fullSize=182.8KiB checkpointedSize=426B checkpointStatus=COMPLETED checkpointType="Full Checkpoint" (+3 child spans)"#
        ]],
    );
    let user = || Span::builder("com.example.Compactor", "Compaction").start_ts_millis(0);
    check(
        user().end_ts_millis(61_000).child(user()),
        standard,
        expect![
            "1970-01-01T00:00:00.000Z  Compaction                    1 min 01 s  orders            (+1 child span)"
        ],
    );
    check(
        user().end_ts_millis(3_725_999).attribute("sumOf", 1).attribute("summary", 2),
        standard,
        expect!["1970-01-01T00:00:00.000Z  Compaction                    1 h 02 min  orders            summary=2"],
    );
    check(
        user().start_ts_millis(i64::MIN).end_ts_millis(i64::MAX),
        standard,
        expect!["-9223372036854775808      Compaction                            -  orders"],
    );
    let unnamed = |event: EventBuilder| event_line(&reported_event(event, Arc::default()));
    expect![[r#"2026-11-21T03:15:18.389Z  JobStatusChangeEvent              ERROR  -                 body="why so\never" newJobStatus=FAILED"#]].assert_eq(&unnamed(status_change().body("why so\never")));
    expect!["-1                        JobStatusChangeEvent              ERROR  0a4480b1aa43ca25b4801a22462f387a  newJobStatus=FAILED"].assert_eq(&unnamed(status_change().observed_ts_millis(-1).attribute("jobId", JOB_ID)));
}

#[test]
fn hostile_text_stays_on_one_line() {
    for hostile in ["\nINFO forged", "\r\n", "\u{1b}[2J", "\0", "\u{85}", "\u{2028}", "\u{202e}gpj.exe"] {
        let context = context(hostile, Compatibility::Standard);
        let text = || hostile.to_owned();
        let span = Span::builder(text(), text()).start_ts_millis(1).attribute(text(), text());
        let failure = Failure::new(2, text());
        let span = reported_span(span.end_ts_millis(-1).failure(failure), context.clone());
        let event = Event::builder(text(), text()).body(text()).severity(text()).attribute(text(), text());
        let event = reported_event(event, context);
        let mut lines =
            vec![flink_span_text(&span), flink_event_text(&event), span_line(span.root()), event_line(&event)];
        for format in ["fields", "flink"] {
            let logged = logged(&[("format", format)], &span, &event);
            assert_eq!(logged.lines().count(), 2, "{format} {hostile:?}");
            lines.extend(logged.lines().map(str::to_owned));
        }
        for line in lines {
            assert!(!line.contains(flink_traces_api::is_unsafe_to_print), "{hostile:?}: {line}");
        }
    }
}

#[test]
fn megabyte_name_is_logged_whole() {
    let name = "x".repeat(1 << 20);
    let span = reported_span(Span::builder("s", name.clone()).start_ts_millis(0), Arc::default());
    for line in [flink_span_text(&span), span_line(span.root())] {
        assert!(line.contains(&name));
    }
}

#[test]
fn invalid_format_is_refused_with_location() {
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    let config = ReporterConfig::from_pairs("log", [("format", "json")]);
    let error = registry.trace(TRACE_FACTORY).unwrap().create_trace_reporter(&config).err().unwrap();
    expect!["code: reporter.log.format: 'json' is not `fields` or `flink`"].assert_eq(&error.to_string());
}
