//! The contents of the files, and rotation, errors and options.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect_test::{Expect, expect};
use flink_traces_api::{
    Compatibility, ConfigError, Deadline, Event, EventBuilder, EventReporter, Failure, Identity, Registry,
    ReportContext, ReportError, ReportedEvent, ReportedSpan, ReporterConfig, Signal, Span, SpanBuilder, SpanContext,
    SpanRef, SystemClock, TraceReporter, ValueRef, is_unsafe_to_print, otel,
};
use flink_traces_json::{FACTORY, register};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, TracesData, span::Link,
};
use tempfile::TempDir;

const JOB_ID: &str = "0b1d198cd84d58810f0faf9761017b2f";
const BOTH: [Compatibility; 2] = [Compatibility::Standard, Compatibility::Flink];

/// A directory with the file that a reporter writes.
struct Output {
    folder: TempDir,
    path: PathBuf,
}

impl Output {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("out.jsonl"), folder }
    }

    fn config(&self, options: &[(&str, &str)]) -> ReporterConfig {
        let path = ("path", self.path.to_str().unwrap());
        ReporterConfig::from_pairs("json", options.iter().copied().chain([path]))
    }

    fn traces(&self, options: &[(&str, &str)]) -> Result<Box<dyn TraceReporter>, ConfigError> {
        registry().trace(FACTORY).unwrap().create_trace_reporter(&self.config(options))
    }

    fn events(&self, options: &[(&str, &str)]) -> Result<Box<dyn EventReporter>, ConfigError> {
        registry().event(FACTORY).unwrap().create_event_reporter(&self.config(options))
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    /// Returns the contents of all files, oldest first, the active one last.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    registry
}

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

fn small_span() -> ReportedSpan {
    reported_span(Span::builder("s", "n").start_ts_millis(1), Arc::default())
}

/// Returns a tree with every kind of attribute, several scopes, a failure, a link and unset ends.
fn tree() -> SpanBuilder {
    Span::builder("org.apache.flink.Tracker", "Checkpoint")
        .start_ts_millis(1_795_230_921_331)
        .end_ts_millis(-1)
        .attribute("checkpointId", 4)
        .attribute("smallest", i64::MIN)
        .attribute("text", "say \"hi\" \\ \n")
        .attribute("half", 0.5)
        .attribute("huge", 1e300)
        .attribute("flag", true)
        .attribute("host", "replaced")
        .attribute("<>", "dropped")
        .extension_attribute("failureReason", "expired")
        .failure(Failure::new(1_795_230_981_440, "Checkpoint expired.".to_owned()))
        .parent(SpanContext::from(Identity::of(&["caller"])))
        .link(Identity::of(&["before"]))
        .child(
            Span::builder("org.apache.flink.Tracker", " ")
                .start_ts_millis(1_795_230_921_340)
                .end_ts_millis(1_795_230_921_350)
                .attribute("nan", f64::NAN)
                .attribute("infinity", f64::INFINITY)
                .child(Span::builder("other", "Checkpoint_Subtask").start_ts_millis(-5).end_ts_millis(-1)),
        )
        .child(Span::builder("org.apache.flink.Tracker", "Checkpoint_Task").start_ts_millis(i64::MAX))
}

fn event() -> EventBuilder {
    Event::builder("org.apache.flink.JobMaster", "JobStatusChangeEvent")
        .observed_ts_millis(1_795_230_918_389)
        .severity("INFO")
        .body("as ordered")
        .attribute("newJobStatus", "FAILED")
        .attribute("flag", false)
        .attribute("ratio", f64::NEG_INFINITY)
        .extension_severity("ERROR")
}

fn report(reporter: &mut dyn TraceReporter, spans: &[ReportedSpan]) -> Result<(), ReportError> {
    reporter.report(spans, &Deadline::unlimited())
}

/// Returns the text of a file with the span, and of another with the event.
fn written(options: &[(&str, &str)], span: &ReportedSpan, event: &ReportedEvent) -> [String; 2] {
    let (traces, events) = (Output::new(), Output::new());
    report(&mut *traces.traces(options).unwrap(), std::slice::from_ref(span)).unwrap();
    events.events(options).unwrap().report(std::slice::from_ref(event), &Deadline::unlimited()).unwrap();
    [traces.text(), events.text()]
}

fn options(compatibility: Compatibility, format: &'static str) -> [(&'static str, &'static str); 3] {
    let compatibility = match compatibility {
        Compatibility::Standard => "standard",
        Compatibility::Flink => "flink",
    };
    [("compatibility", compatibility), ("format", format), ("service.name", "orders")]
}

#[test]
fn span_and_event_lines() {
    let check = |compatibility, format, [span, log]: [Expect; 2]| {
        let context = context("orders", compatibility);
        let (traces, events) = (reported_span(tree(), context.clone()), reported_event(event(), context));
        let [traces, events] = written(&options(compatibility, format), &traces, &events);
        span.assert_eq(&traces.replace(env!("CARGO_PKG_VERSION"), "0.0.0"));
        log.assert_eq(&events.replace(env!("CARGO_PKG_VERSION"), "0.0.0"));
    };
    check(
        Compatibility::Standard,
        "otlp",
        [
            expect![[r#"
                {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}},{"key":"telemetry.sdk.language","value":{"stringValue":"rust"}},{"key":"telemetry.sdk.name","value":{"stringValue":"flink-traces"}},{"key":"telemetry.sdk.version","value":{"stringValue":"0.0.0"}}]},"scopeSpans":[{"scope":{"name":"org.apache.flink.Tracker"},"spans":[{"traceId":"3feaed99b743bb697a907bad16477094","spanId":"a89630bc84b7e057","parentSpanId":"65b92f924817461e","name":"Checkpoint","kind":1,"startTimeUnixNano":"1795230921331000000","endTimeUnixNano":"1795230981440000000","attributes":[{"key":"checkpointId","value":{"intValue":"4"}},{"key":"smallest","value":{"intValue":"-9223372036854775808"}},{"key":"text","value":{"stringValue":"say \"hi\" \\ \n"}},{"key":"half","value":{"doubleValue":0.5}},{"key":"huge","value":{"doubleValue":1e300}},{"key":"flag","value":{"boolValue":true}},{"key":"host","value":{"stringValue":"localhost"}},{"key":"failureReason","value":{"stringValue":"expired"}},{"key":"jobId","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_id","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_name","value":{"stringValue":"orders"}}],"droppedAttributesCount":1,"links":[{"traceId":"e844dee5173a0475f9fa59009c7ba3ba","spanId":"9fe6854a51ef9df4"}],"status":{"message":"Checkpoint expired.","code":2}},{"traceId":"3feaed99b743bb697a907bad16477094","spanId":"362eb12ae0e5cae3","parentSpanId":"a89630bc84b7e057","name":"<unspecified span name>","kind":1,"startTimeUnixNano":"1795230921340000000","endTimeUnixNano":"1795230921350000000","attributes":[{"key":"nan","value":{"stringValue":"NaN"}},{"key":"infinity","value":{"stringValue":"Infinity"}},{"key":"host","value":{"stringValue":"localhost"}},{"key":"job_id","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_name","value":{"stringValue":"orders"}}]}]},{"scope":{"name":"other"},"spans":[{"traceId":"3feaed99b743bb697a907bad16477094","spanId":"853f2dee5a7da22f","parentSpanId":"362eb12ae0e5cae3","name":"Checkpoint_Subtask","kind":1,"startTimeUnixNano":"0","endTimeUnixNano":"0","attributes":[{"key":"host","value":{"stringValue":"localhost"}},{"key":"job_id","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_name","value":{"stringValue":"orders"}}]}]},{"scope":{"name":"org.apache.flink.Tracker"},"spans":[{"traceId":"3feaed99b743bb697a907bad16477094","spanId":"542ddaaa0e5d90fd","parentSpanId":"a89630bc84b7e057","name":"Checkpoint_Task","kind":1,"startTimeUnixNano":"9223372036854775807","endTimeUnixNano":"9223372036854775807","attributes":[{"key":"host","value":{"stringValue":"localhost"}},{"key":"job_id","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_name","value":{"stringValue":"orders"}}]}]}]}]}
            "#]],
            expect![[r#"
        {"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}},{"key":"telemetry.sdk.language","value":{"stringValue":"rust"}},{"key":"telemetry.sdk.name","value":{"stringValue":"flink-traces"}},{"key":"telemetry.sdk.version","value":{"stringValue":"0.0.0"}}]},"scopeLogs":[{"scope":{"name":"org.apache.flink.JobMaster"},"logRecords":[{"timeUnixNano":"1795230918389000000","observedTimeUnixNano":"1795230918389000000","severityNumber":17,"severityText":"ERROR","eventName":"JobStatusChangeEvent","body":{"stringValue":"as ordered"},"attributes":[{"key":"name","value":{"stringValue":"JobStatusChangeEvent"}},{"key":"newJobStatus","value":{"stringValue":"FAILED"}},{"key":"flag","value":{"boolValue":false}},{"key":"ratio","value":{"stringValue":"-Infinity"}},{"key":"jobId","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"host","value":{"stringValue":"localhost"}},{"key":"job_id","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_name","value":{"stringValue":"orders"}}]}]}]}]}
    "#]],
        ],
    );
    check(
        Compatibility::Flink,
        "otlp",
        [
            expect![[r#"
        {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}},{"key":"telemetry.sdk.language","value":{"stringValue":"java"}},{"key":"telemetry.sdk.name","value":{"stringValue":"opentelemetry"}},{"key":"telemetry.sdk.version","value":{"stringValue":"1.30.1"}}]},"scopeSpans":[{"scope":{"name":"org.apache.flink.Tracker"},"spans":[{"traceId":"d40d0130841745af6da66c3e1f21a89a","spanId":"a89630bc84b7e057","name":"Checkpoint","kind":1,"startTimeUnixNano":"1795230921331000000","endTimeUnixNano":"18446744073708551616","attributes":[{"key":"checkpointId","value":{"intValue":"4"}},{"key":"smallest","value":{"intValue":"-9223372036854775808"}},{"key":"text","value":{"stringValue":"say \"hi\" \\ \n"}},{"key":"half","value":{"doubleValue":0.5}},{"key":"huge","value":{"doubleValue":1e300}},{"key":"host","value":{"stringValue":"localhost"}},{"key":"jobId","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_id","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_name","value":{"stringValue":"orders"}}],"droppedAttributesCount":1},{"traceId":"d40d0130841745af6da66c3e1f21a89a","spanId":"362eb12ae0e5cae3","parentSpanId":"a89630bc84b7e057","name":"<unspecified span name>","kind":1,"startTimeUnixNano":"1795230921340000000","endTimeUnixNano":"1795230921350000000","attributes":[{"key":"nan","value":{"stringValue":"NaN"}},{"key":"infinity","value":{"stringValue":"Infinity"}},{"key":"host","value":{"stringValue":"localhost"}},{"key":"job_id","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_name","value":{"stringValue":"orders"}}]}]},{"scope":{"name":"other"},"spans":[{"traceId":"d40d0130841745af6da66c3e1f21a89a","spanId":"853f2dee5a7da22f","parentSpanId":"362eb12ae0e5cae3","name":"Checkpoint_Subtask","kind":1,"startTimeUnixNano":"0","endTimeUnixNano":"18446744073708551616","attributes":[{"key":"host","value":{"stringValue":"localhost"}},{"key":"job_id","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_name","value":{"stringValue":"orders"}}]}]},{"scope":{"name":"org.apache.flink.Tracker"},"spans":[{"traceId":"d40d0130841745af6da66c3e1f21a89a","spanId":"542ddaaa0e5d90fd","parentSpanId":"a89630bc84b7e057","name":"Checkpoint_Task","kind":1,"startTimeUnixNano":"9223372036854775807","endTimeUnixNano":"9223372036854775807","attributes":[{"key":"host","value":{"stringValue":"localhost"}},{"key":"job_id","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_name","value":{"stringValue":"orders"}}]}]}]}]}
    "#]],
            expect![[r#"
        {"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"unknown_service:java"}},{"key":"telemetry.sdk.language","value":{"stringValue":"java"}},{"key":"telemetry.sdk.name","value":{"stringValue":"opentelemetry"}},{"key":"telemetry.sdk.version","value":{"stringValue":"1.30.1"}}]},"scopeLogs":[{"scope":{"name":"org.apache.flink.JobMaster"},"logRecords":[{"timeUnixNano":"1795230918394000000","observedTimeUnixNano":"1795230918389000000","severityNumber":9,"severityText":"INFO","body":{"stringValue":"as ordered"},"attributes":[{"key":"name","value":{"stringValue":"JobStatusChangeEvent"}},{"key":"newJobStatus","value":{"stringValue":"FAILED"}},{"key":"flag","value":{"boolValue":false}},{"key":"ratio","value":{"stringValue":"-Infinity"}},{"key":"jobId","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"host","value":{"stringValue":"localhost"}},{"key":"job_id","value":{"stringValue":"0b1d198cd84d58810f0faf9761017b2f"}},{"key":"job_name","value":{"stringValue":"orders"}}]}]}]}]}
    "#]],
        ],
    );
    check(
        Compatibility::Standard,
        "flat",
        [
            expect![[r#"
                {"type":"span","ts":"2026-11-21T03:15:21.331Z","name":"Checkpoint","scope":"org.apache.flink.Tracker","traceId":"3feaed99b743bb697a907bad16477094","spanId":"a89630bc84b7e057","parentSpanId":"65b92f924817461e","start":"2026-11-21T03:15:21.331Z","end":"2026-11-21T03:16:21.440Z","startMs":1795230921331,"endMs":1795230981440,"durationMs":60109,"failure":"Checkpoint expired.","links":[{"traceId":"e844dee5173a0475f9fa59009c7ba3ba","spanId":"9fe6854a51ef9df4"}],"attributes":{"checkpointId":4,"smallest":-9223372036854775808,"text":"say \"hi\" \\ \n","half":0.5,"huge":1e300,"flag":true,"host":"localhost","failureReason":"expired","jobId":"0b1d198cd84d58810f0faf9761017b2f","job_id":"0b1d198cd84d58810f0faf9761017b2f","job_name":"orders"}}
                {"type":"span","ts":"2026-11-21T03:15:21.340Z","name":" ","scope":"org.apache.flink.Tracker","traceId":"3feaed99b743bb697a907bad16477094","spanId":"362eb12ae0e5cae3","parentSpanId":"a89630bc84b7e057","start":"2026-11-21T03:15:21.340Z","end":"2026-11-21T03:15:21.350Z","startMs":1795230921340,"endMs":1795230921350,"durationMs":10,"attributes":{"nan":"NaN","infinity":"Infinity","host":"localhost","job_id":"0b1d198cd84d58810f0faf9761017b2f","job_name":"orders"}}
                {"type":"span","ts":null,"name":"Checkpoint_Subtask","scope":"other","traceId":"3feaed99b743bb697a907bad16477094","spanId":"853f2dee5a7da22f","parentSpanId":"362eb12ae0e5cae3","start":null,"end":null,"startMs":-5,"endMs":-1,"durationMs":4,"attributes":{"host":"localhost","job_id":"0b1d198cd84d58810f0faf9761017b2f","job_name":"orders"}}
                {"type":"span","ts":null,"name":"Checkpoint_Task","scope":"org.apache.flink.Tracker","traceId":"3feaed99b743bb697a907bad16477094","spanId":"542ddaaa0e5d90fd","parentSpanId":"a89630bc84b7e057","start":null,"end":null,"startMs":9223372036854775807,"endMs":9223372036854775807,"durationMs":0,"attributes":{"host":"localhost","job_id":"0b1d198cd84d58810f0faf9761017b2f","job_name":"orders"}}
            "#]],
            expect![[r#"
        {"type":"event","ts":"2026-11-21T03:15:18.389Z","name":"JobStatusChangeEvent","scope":"org.apache.flink.JobMaster","severity":"ERROR","severityNumber":17,"body":"as ordered","tsMs":1795230918389,"reportedMs":1795230918394,"attributes":{"newJobStatus":"FAILED","flag":false,"ratio":"-Infinity","jobId":"0b1d198cd84d58810f0faf9761017b2f","host":"localhost","job_id":"0b1d198cd84d58810f0faf9761017b2f","job_name":"orders"}}
    "#]],
        ],
    );
    check(
        Compatibility::Flink,
        "flat",
        [
            expect![[r#"
        {"type":"span","ts":"2026-11-21T03:15:21.331Z","name":"Checkpoint","scope":"org.apache.flink.Tracker","traceId":"d40d0130841745af6da66c3e1f21a89a","spanId":"a89630bc84b7e057","start":"2026-11-21T03:15:21.331Z","end":null,"startMs":1795230921331,"endMs":-1,"attributes":{"checkpointId":4,"smallest":-9223372036854775808,"text":"say \"hi\" \\ \n","half":0.5,"huge":1e300,"host":"localhost","jobId":"0b1d198cd84d58810f0faf9761017b2f","job_id":"0b1d198cd84d58810f0faf9761017b2f","job_name":"orders"}}
        {"type":"span","ts":"2026-11-21T03:15:21.340Z","name":" ","scope":"org.apache.flink.Tracker","traceId":"d40d0130841745af6da66c3e1f21a89a","spanId":"362eb12ae0e5cae3","parentSpanId":"a89630bc84b7e057","start":"2026-11-21T03:15:21.340Z","end":"2026-11-21T03:15:21.350Z","startMs":1795230921340,"endMs":1795230921350,"durationMs":10,"attributes":{"nan":"NaN","infinity":"Infinity","host":"localhost","job_id":"0b1d198cd84d58810f0faf9761017b2f","job_name":"orders"}}
        {"type":"span","ts":null,"name":"Checkpoint_Subtask","scope":"other","traceId":"d40d0130841745af6da66c3e1f21a89a","spanId":"853f2dee5a7da22f","parentSpanId":"362eb12ae0e5cae3","start":null,"end":null,"startMs":-5,"endMs":-1,"durationMs":4,"attributes":{"host":"localhost","job_id":"0b1d198cd84d58810f0faf9761017b2f","job_name":"orders"}}
        {"type":"span","ts":null,"name":"Checkpoint_Task","scope":"org.apache.flink.Tracker","traceId":"d40d0130841745af6da66c3e1f21a89a","spanId":"542ddaaa0e5d90fd","parentSpanId":"a89630bc84b7e057","start":null,"end":null,"startMs":9223372036854775807,"endMs":9223372036854775807,"durationMs":0,"attributes":{"host":"localhost","job_id":"0b1d198cd84d58810f0faf9761017b2f","job_name":"orders"}}
    "#]],
            expect![[r#"
        {"type":"event","ts":"2026-11-21T03:15:18.389Z","name":"JobStatusChangeEvent","scope":"org.apache.flink.JobMaster","severity":"INFO","severityNumber":9,"body":"as ordered","tsMs":1795230918389,"reportedMs":1795230918394,"attributes":{"newJobStatus":"FAILED","flag":false,"ratio":"-Infinity","jobId":"0b1d198cd84d58810f0faf9761017b2f","host":"localhost","job_id":"0b1d198cd84d58810f0faf9761017b2f","job_name":"orders"}}
    "#]],
        ],
    );
}

fn key_value((key, value): (&str, ValueRef<'_>)) -> KeyValue {
    let value = match value {
        ValueRef::String(text) => Value::StringValue(text.to_owned()),
        ValueRef::Long(number) => Value::IntValue(number),
        ValueRef::Double(number) if number.is_nan() => Value::StringValue("NaN".to_owned()),
        ValueRef::Double(f64::INFINITY) => Value::StringValue("Infinity".to_owned()),
        ValueRef::Double(f64::NEG_INFINITY) => Value::StringValue("-Infinity".to_owned()),
        ValueRef::Double(number) => Value::DoubleValue(number),
        ValueRef::Bool(flag) => Value::BoolValue(flag),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn otlp_resource(config: &ReporterConfig, signal: Signal) -> Option<Resource> {
    let attributes = otel::resource(config, signal).unwrap();
    let attributes = attributes.iter().map(|(key, value)| key_value((key, ValueRef::String(value)))).collect();
    Some(Resource { attributes, ..Resource::default() })
}

fn otlp_scope(name: &str) -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: name.to_owned(), ..InstrumentationScope::default() })
}

/// Returns each span of a tree with its scope, parents first.
fn otlp_spans(span: SpanRef<'_>, compatibility: Compatibility) -> Vec<(String, OtlpSpan)> {
    let (start_time_unix_nano, end_time_unix_nano) = otel::span_times(&span, compatibility);
    let attributes = span.otel_attributes();
    let link = |SpanContext { trace_id, span_id }| Link {
        trace_id: trace_id.as_bytes().to_vec(),
        span_id: span_id.as_bytes().to_vec(),
        ..Link::default()
    };
    let own = OtlpSpan {
        trace_id: span.trace_id().as_bytes().to_vec(),
        span_id: span.span_id().as_bytes().to_vec(),
        parent_span_id: span.parent_span_id().map_or_else(Vec::new, |id| id.as_bytes().to_vec()),
        name: otel::span_name(span.name()).to_owned(),
        kind: 1,
        start_time_unix_nano,
        end_time_unix_nano,
        attributes: attributes.list.into_iter().map(key_value).collect(),
        dropped_attributes_count: attributes.dropped,
        links: span.links().map(link).collect(),
        status: span.failure().map(|failure| Status { message: failure.message.clone(), code: 2 }),
        ..OtlpSpan::default()
    };
    let children = span.children().flat_map(|child| otlp_spans(child, compatibility));
    std::iter::once((span.scope().to_owned(), own)).chain(children).collect()
}

#[test]
fn otlp_lines_decode_to_the_expected_messages() {
    for compatibility in BOTH {
        let context = context("orders", compatibility);
        let (span, event) = (reported_span(tree(), context.clone()), reported_event(event(), context));
        let options = options(compatibility, "otlp");
        let [traces, logs] = written(&options, &span, &event);
        let config = ReporterConfig::from_pairs("json", options);

        let mut scope_spans: Vec<ScopeSpans> = Vec::new();
        for (scope, span) in otlp_spans(span.root(), compatibility) {
            let scope = otlp_scope(&scope);
            match scope_spans.last_mut().filter(|last| last.scope == scope) {
                Some(last) => last.spans.push(span),
                None => scope_spans.push(ScopeSpans { scope, spans: vec![span], ..ScopeSpans::default() }),
            }
        }
        let resource = otlp_resource(&config, Signal::Traces);
        let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
        assert_eq!(serde_json::from_str::<TracesData>(&traces).unwrap(), TracesData { resource_spans });

        let (time_unix_nano, observed_time_unix_nano) = otel::event_times(&event);
        let record = LogRecord {
            time_unix_nano,
            observed_time_unix_nano,
            severity_number: i32::from(otel::severity_number(event.severity())),
            severity_text: event.severity().to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(event.body().to_owned())) }),
            attributes: event.otel_attributes().list.into_iter().map(key_value).collect(),
            event_name: if compatibility == Compatibility::Standard { event.name().to_owned() } else { String::new() },
            ..LogRecord::default()
        };
        let scope = otlp_scope(event.scope());
        let scope_logs = vec![ScopeLogs { scope, log_records: vec![record], ..ScopeLogs::default() }];
        let resource = otlp_resource(&config, Signal::Events);
        let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
        assert_eq!(serde_json::from_str::<LogsData>(&logs).unwrap(), LogsData { resource_logs });
    }
}

#[test]
fn source_has_a_resource_of_its_own() {
    let attribute = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let source = [attribute("service.name", "orders"), attribute("team", "a")];
    let context = Arc::new(ReportContext::new(Compatibility::Standard).with_resource(&source[..]));
    let span = reported_span(Span::builder("s", "span").start_ts_millis(1), context.clone());
    let event = reported_event(Event::builder("s", "event"), context);
    for text in written(&[("format", "otlp"), ("service.name", "flink"), ("service.version", "3")], &span, &event) {
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let envelope = line.get("resourceSpans").or(line.get("resourceLogs")).unwrap();
        let attributes = envelope[0]["resource"]["attributes"].as_array().unwrap().clone();
        let value = |key: &str| {
            let found: Vec<_> = attributes.iter().filter(|attribute| attribute["key"] == key).collect();
            assert_eq!(found.len(), 1, "{key}: {attributes:?}");
            found[0]["value"]["stringValue"].clone()
        };
        assert_eq!(["service.name", "service.version", "team"].map(value), ["orders", "3", "a"]);
    }
}

#[test]
fn hostile_text_stays_on_one_line() {
    for hostile in ["\n{}", "\r", "\u{1b}[2J", "\0", "\u{85}", "\u{2028}", "\u{202e}gpj", "\"}]", "\\"] {
        let hostile = format!("x{hostile}");
        let text = || hostile.clone();
        let context = context(&hostile, Compatibility::Standard);
        let span = Span::builder(text(), text()).start_ts_millis(1).end_ts_millis(-1).attribute(text(), text());
        let span = reported_span(span.failure(Failure::new(2, text())), context.clone());
        let event = Event::builder(text(), text()).body(text()).severity(text()).attribute(text(), text());
        let event = reported_event(event, context);
        for (format, name_of) in
            [("otlp", otlp_name as fn(&serde_json::Value) -> &serde_json::Value), ("flat", flat_name)]
        {
            for text in written(&[("format", format), ("service.name", &hostile)], &span, &event) {
                let line = text.strip_suffix('\n').unwrap();
                assert!(!line.contains(is_unsafe_to_print), "{format} {hostile:?}");
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(name_of(&object), hostile.as_str(), "{format}");
            }
        }
    }
}

#[test]
fn megabyte_of_text_stays_on_one_line() {
    let text = "x".repeat(1 << 20) + "\n";
    let span = reported_span(Span::builder("s", text.clone()).start_ts_millis(1), Arc::default());
    for (format, name_of) in [("otlp", otlp_name as fn(&serde_json::Value) -> &serde_json::Value), ("flat", flat_name)]
    {
        let [line, _] = written(&[("format", format)], &span, &reported_event(event(), Arc::default()));
        assert_eq!(line.lines().count(), 1);
        assert_eq!(name_of(&serde_json::from_str(&line).unwrap()), text.as_str());
    }
}

fn flat_name(line: &serde_json::Value) -> &serde_json::Value {
    &line["name"]
}

fn otlp_name(line: &serde_json::Value) -> &serde_json::Value {
    match line.get("resourceSpans") {
        Some(resources) => &resources[0]["scopeSpans"][0]["spans"][0]["name"],
        None => &line["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["eventName"],
    }
}

#[test]
fn long_tree_continues_on_the_next_line() {
    let children = (0..4000).map(|number| Span::builder("s", "child").start_ts_millis(1).attribute("number", number));
    let span = reported_span(Span::builder("s", "root").start_ts_millis(1).children(children), Arc::default());
    let output = Output::new();
    report(&mut *output.traces(&[]).unwrap(), &[span]).unwrap();
    let text = output.text();
    assert!(text.lines().count() > 1);
    let mut spans = 0;
    for line in text.lines() {
        assert!(line.len() < 1 << 20);
        let data: TracesData = serde_json::from_str(line).unwrap();
        spans += data.resource_spans[0].scope_spans[0].spans.len();
    }
    assert_eq!(spans, 4001);
}

#[test]
fn rotation_keeps_whole_lines_and_newest_files() {
    for format in ["otlp", "flat"] {
        let output = Output::new();
        let mut reporter = output.traces(&[("format", format), ("rotate.size", "2000"), ("rotate.keep", "3")]).unwrap();
        let line = {
            let single = Output::new();
            report(&mut *single.traces(&[("format", format)]).unwrap(), &[small_span()]).unwrap();
            single.text()
        };
        let lines_a_file = 2000 / line.len();
        for batch in [1, 2, 5 * lines_a_file, 3 * lines_a_file - 4] {
            report(&mut *reporter, &vec![small_span(); batch]).unwrap();
        }
        // 8 · lines − 1 lines fill eight files, of which the first four have been deleted.
        let closed = [5, 6, 7].map(|number| format!("out.closed-00000{number}.jsonl"));
        assert_eq!(output.files(), [closed.as_slice(), &["out.jsonl".to_owned()]].concat(), "{format}");
        for name in closed {
            let text = fs::read_to_string(output.folder.path().join(name)).unwrap();
            assert_eq!(text, line.repeat(lines_a_file), "{format}");
        }
        assert_eq!(output.text(), line.repeat(lines_a_file - 1), "{format}");
        report(&mut *reporter, &vec![small_span(); 2]).unwrap();
        assert_eq!(output.text(), line, "{format}");
        assert_eq!(output.files().len(), 4, "{format}");
    }
}

#[test]
fn restart_continues_numbers_and_keeps_foreign_files() {
    let output = Output::new();
    let foreign =
        ["out.2024.jsonl", "out.closed-1.jsonl", "out.closed-+00001.jsonl", "out.closed-x.jsonl", "out.jsonl.gz"];
    for name in foreign.into_iter().chain(["out.closed-000041.jsonl"]) {
        fs::write(output.folder.path().join(name), "").unwrap();
    }
    let options = [("rotate.size", "1"), ("rotate.keep", "1")];
    for _ in 0..2 {
        report(&mut *output.traces(&options).unwrap(), &[small_span()]).unwrap();
    }
    let mut expected = [foreign.as_slice(), &["out.closed-000042.jsonl", "out.jsonl"]].concat();
    expected.sort();
    assert_eq!(output.files(), expected);
}

#[test]
fn file_that_cannot_rotate_keeps_growing() {
    let output = Output::new();
    let last = format!("out.closed-{}.jsonl", u64::MAX);
    fs::write(output.folder.path().join(&last), "").unwrap();
    report(&mut *output.traces(&[("rotate.size", "1")]).unwrap(), &vec![small_span(); 5]).unwrap();
    assert_eq!(output.text().lines().count(), 5);
    assert_eq!(output.files(), [last.as_str(), "out.jsonl"]);
}

#[test]
fn torn_last_line_is_cut_off() {
    let line = {
        let output = Output::new();
        report(&mut *output.traces(&[]).unwrap(), &[small_span()]).unwrap();
        output.text()
    };
    let output = Output::new();
    for torn in 0..line.len() {
        fs::write(&output.path, [&line, &line[..torn]].concat()).unwrap();
        report(&mut *output.traces(&[]).unwrap(), &[small_span()]).unwrap();
        assert_eq!(output.text(), line.repeat(2), "{torn}");
        fs::write(&output.path, &line[..torn]).unwrap();
        drop(output.traces(&[]).unwrap());
        assert_eq!(output.text(), "", "{torn}");
    }
    // This is longer than a block that is read at once.
    fs::write(&output.path, [line.as_str(), &line[..line.len() - 1], &"x".repeat(200_000)].concat()).unwrap();
    drop(output.traces(&[]).unwrap());
    assert_eq!(output.text(), line);
}

#[test]
fn failed_write_is_counted_and_next_report_retries() {
    let output = Output::new();
    let context = context("orders", Compatibility::Standard);
    let (tree, single) = (reported_span(tree(), context), small_span());
    let mut reporter = output.traces(&[]).unwrap();
    report(&mut *reporter, std::slice::from_ref(&single)).unwrap();
    fs::remove_dir_all(&output.folder).unwrap();
    let error = report(&mut *reporter, &[single.clone(), tree.clone()]).unwrap_err();
    assert_eq!((error.dropped(), error.rejected(), error.is_retryable()), (5, 0, true));
    fs::create_dir(&output.folder).unwrap();
    report(&mut *reporter, &[tree, single]).unwrap();
    assert_eq!(output.text().lines().count(), 2);
}

#[test]
fn renamed_or_deleted_file_is_created_again() {
    let output = Output::new();
    let mut reporter = output.traces(&[]).unwrap();
    report(&mut *reporter, &[small_span()]).unwrap();
    fs::rename(&output.path, output.folder.path().join("moved")).unwrap();
    report(&mut *reporter, &[small_span()]).unwrap();
    assert_eq!(fs::read_to_string(output.folder.path().join("moved")).unwrap(), output.text());
    fs::remove_file(&output.path).unwrap();
    report(&mut *reporter, &[small_span(), small_span()]).unwrap();
    assert_eq!(output.text().lines().count(), 2);
    // This is the option `copytruncate` of `logrotate`.
    fs::OpenOptions::new().write(true).truncate(true).open(&output.path).unwrap();
    report(&mut *reporter, &[small_span()]).unwrap();
    assert_eq!(output.text().lines().count(), 1);
}

#[test]
fn file_has_one_writer() {
    let output = Output::new();
    let first = output.traces(&[]).unwrap();
    let refused = |result: Result<Box<dyn EventReporter>, ConfigError>| result.err().unwrap().to_string();
    assert!(refused(output.events(&[])).contains("another reporter"));
    drop(first);
    drop(output.events(&[]).unwrap());
}

#[test]
fn file_of_another_kind_is_not_touched() {
    let output = Output::new();
    let check = |content: &str, options: &[(&str, &str)]| {
        fs::write(&output.path, content).unwrap();
        assert!(output.traces(options).is_err(), "{content}");
        assert_eq!(output.text(), content);
    };
    check("root:x:0:0:root", &[]);
    check("{}", &[]);
    check("\n", &[]);
    for (own, other) in [("otlp", "flat"), ("flat", "otlp")] {
        fs::remove_file(&output.path).unwrap();
        report(&mut *output.traces(&[("format", own)]).unwrap(), &[small_span()]).unwrap();
        check(&output.text(), &[("format", other)]);
        assert!(output.events(&[("format", own)]).is_err(), "{own}");
    }
}

#[cfg(unix)]
#[test]
fn files_are_private_and_symlinks_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let output = Output::new();
    let mut reporter = output.traces(&[("rotate.size", "1")]).unwrap();
    report(&mut *reporter, &vec![small_span(); 2]).unwrap();
    for name in output.files() {
        assert_eq!(mode(&output.folder.path().join(&name)), 0o600, "{name}");
    }
    let target = output.folder.path().join("target");
    fs::rename(&output.path, &target).unwrap();
    std::os::unix::fs::symlink(&target, &output.path).unwrap();
    let before = fs::read_to_string(&target).unwrap();
    let error = report(&mut *reporter, &[small_span()]).unwrap_err();
    assert_eq!(error.dropped(), 1);
    assert!(output.traces(&[]).is_err());
    fs::remove_file(&target).unwrap();
    assert!(output.traces(&[]).is_err(), "a link that leads nowhere");
    assert!(!target.exists());
    fs::write(&target, &before).unwrap();
    fs::remove_file(&output.path).unwrap();
    fs::create_dir(&output.path).unwrap();
    assert!(output.traces(&[]).is_err(), "a folder");
}

#[test]
fn invalid_options_are_refused_with_location() {
    let check = |options: &[(&str, &str)], expected: Expect| {
        let config = ReporterConfig::from_pairs("json", options.iter().copied());
        let error = registry().trace(FACTORY).unwrap().create_trace_reporter(&config).err().unwrap();
        expected.assert_eq(&error.to_string());
    };
    check(&[], expect!["reporter.json.path is not set"]);
    check(&[("path", "..")], expect!["code: reporter.json.path: '..' is not the path of a file"]);
    check(&[("path", "/nowhere/at/all")], expect![[r#""/nowhere/at/all": No such file or directory (os error 2)"#]]);
    check(&[("path", "x"), ("format", "xml")], expect!["code: reporter.json.format: 'xml' is not `otlp` or `flat`"]);
    check(
        &[("path", "x"), ("rotate.size", "many")],
        expect!["code: reporter.json.rotate.size: 'many' is not a size such as `64 mb`"],
    );
    check(
        &[("path", "x"), ("rotate.keep", "0")],
        expect!["code: reporter.json.rotate.keep: '0' is not a whole number from 1"],
    );
    check(
        &[("path", "x"), ("resource.attributes", "a")],
        expect!["code: reporter.json.resource.attributes: 'a' is not a map such as `a:1,b:2`"],
    );
    assert!(!Path::new("x").exists());
}

#[test]
fn counted_bytes_equal_file_sizes() {
    let output = Output::new();
    let mut reporter = output.traces(&[("rotate.size", "1 kb")]).unwrap();
    let meter = reporter.meter().unwrap();
    for _ in 0..3 {
        reporter.report(&[reported_span(tree(), Arc::default())], &Deadline::unlimited()).unwrap();
    }
    let files = output.files();
    assert!(files.len() > 1, "{files:?}");
    let size: u64 = files.iter().map(|name| fs::metadata(output.folder.path().join(name)).unwrap().len()).sum();
    let stats = meter.read();
    assert_eq!((stats.bytes_sent, stats.buffer), (size, None));
    assert!(stats.last_taken.is_some());
}
