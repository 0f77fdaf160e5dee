//! The format OTLP/JSON, which has one `TracesData` or `LogsData` per line.

use std::sync::Arc;

use flink_traces_api::{Compatibility, OtelAttributes, ReportedEvent, ReportedSpan, SpanRef, ValueRef};
use flink_traces_api::{ReportContext, Signal, otel};

use crate::json::{non_finite, push, push_double, push_hex, push_integer, push_links, push_string};
use crate::lines::Lines;

/// The length of a line beyond which a tree continues in the next line.
///
/// The OpenTelemetry Collector cuts lines at 1 MiB.
const LONG_LINE: usize = 512 * 1024;
/// The constant `SPAN_KIND_INTERNAL`, which is the kind of all of Flink's spans.
const KIND_INTERNAL: u8 = 1;
/// The constant `STATUS_CODE_ERROR`.
const STATUS_ERROR: u8 = 2;

/// An encoder of spans or events.
pub(crate) struct OtlpJson {
    signal: Signal,
    /// The resource attributes of the reporter.
    resource: Vec<(String, String)>,
    /// The resource attributes of the last record's source.
    source: Arc<[(String, String)]>,
    /// The beginning of its line, up to the first scope.
    head: String,
    /// The name of a scope's list of records.
    records: &'static str,
}

impl OtlpJson {
    /// Creates an encoder for records of that signal and resource.
    pub(crate) fn new(signal: Signal, resource: Vec<(String, String)>) -> Self {
        let records = match signal {
            Signal::Traces => "spans",
            Signal::Events => "logRecords",
        };
        let head = head(signal, &resource);
        Self { signal, resource, source: Arc::default(), head, records }
    }

    /// Sets the beginning of the next line to that of a record's source.
    fn begin(&mut self, context: &ReportContext) {
        if context.resource != self.source {
            self.source = context.resource.clone();
            self.head = head(self.signal, &otel::resource_of(&self.resource, &self.source));
        }
    }

    /// Returns the beginning of all lines of a signal, whatever the resource is.
    pub(crate) fn line_start(signal: Signal) -> &'static str {
        match signal {
            Signal::Traces => r#"{"resourceSpans":[{"#,
            Signal::Events => r#"{"resourceLogs":[{"#,
        }
    }

    /// Appends the tree as one line, or as several if it is long, with parents first.
    pub(crate) fn push_span(&mut self, lines: &mut Lines, span: &ReportedSpan) {
        self.begin(span.context());
        let mut writer = ScopeWriter { format: self, lines, scope: None, count: 0 };
        let compatibility = span.context().compatibility;
        for span in span.spans() {
            writer.record(span.scope(), |json| push_span(json, span, compatibility));
        }
        writer.end_line();
    }

    /// Appends the event as one line.
    pub(crate) fn push_event(&mut self, lines: &mut Lines, event: &ReportedEvent) {
        self.begin(event.context());
        let mut writer = ScopeWriter { format: self, lines, scope: None, count: 0 };
        writer.record(otel::event_scope(event.scope()), |json| push_log_record(json, event));
        writer.end_line();
    }
}

/// Returns the beginning of a line, up to the first scope.
fn head(signal: Signal, resource: &[(String, String)]) -> String {
    let scopes = match signal {
        Signal::Traces => "scopeSpans",
        Signal::Events => "scopeLogs",
    };
    let mut head = format!("{}\"resource\":{{", OtlpJson::line_start(signal));
    push_attributes(&mut head, resource.iter().map(|(key, value)| (key.as_str(), ValueRef::String(value))));
    push(&mut head, format_args!("}},\"{scopes}\":["));
    head
}

/// A writer that groups consecutive records of a line by their scope.
struct ScopeWriter<'a> {
    format: &'a OtlpJson,
    lines: &'a mut Lines,
    scope: Option<&'a str>,
    count: usize,
}

impl<'a> ScopeWriter<'a> {
    fn record(&mut self, scope: &'a str, push_record: impl FnOnce(&mut String)) {
        let json = self.lines.text();
        if self.scope == Some(scope) {
            json.push(',');
        } else {
            json.push_str(if self.scope.is_none() { &self.format.head } else { "]}," });
            json.push_str(r#"{"scope":{"name":"#);
            push_string(json, scope);
            push(json, format_args!("}},\"{}\":[", self.format.records));
            self.scope = Some(scope);
        }
        push_record(json);
        self.count += 1;
        if self.lines.open_len() >= LONG_LINE {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        if self.count > 0 {
            self.lines.text().push_str("]}]}]}");
            self.lines.end_line(self.count);
        }
        self.scope = None;
        self.count = 0;
    }
}

fn push_span(json: &mut String, span: SpanRef<'_>, compatibility: Compatibility) {
    let (start, end) = otel::span_times(&span, compatibility);
    json.push_str(r#"{"traceId":"#);
    push_hex(json, span.trace_id().as_bytes());
    json.push_str(r#","spanId":"#);
    push_hex(json, span.span_id().as_bytes());
    if let Some(parent) = span.parent_span_id() {
        json.push_str(r#","parentSpanId":"#);
        push_hex(json, parent.as_bytes());
    }
    json.push_str(r#","name":"#);
    push_string(json, otel::span_name(span.name()));
    json.push_str(r#","kind":"#);
    push_integer(json, KIND_INTERNAL);
    json.push_str(r#","startTimeUnixNano":""#);
    push_integer(json, start);
    json.push_str(r#"","endTimeUnixNano":""#);
    push_integer(json, end);
    json.push_str(r#"","#);
    push_otel_attributes(json, &span.otel_attributes());
    push_links(json, span);
    if let Some(failure) = span.failure() {
        json.push_str(r#","status":{"message":"#);
        push_string(json, &failure.message);
        push(json, format_args!(r#","code":{STATUS_ERROR}}}"#));
    }
    json.push('}');
}

fn push_log_record(json: &mut String, event: &ReportedEvent) {
    let (time, observed) = otel::event_times(event);
    push(json, format_args!(r#"{{"timeUnixNano":"{time}","observedTimeUnixNano":"{observed}","severityNumber":"#));
    push(json, otel::severity_number(event.severity()));
    json.push_str(r#","severityText":"#);
    push_string(json, event.severity());
    // The SDK that Flink uses does not have this field yet.
    if event.context().compatibility == Compatibility::Standard {
        json.push_str(r#","eventName":"#);
        push_string(json, event.name());
    }
    json.push_str(r#","body":{"stringValue":"#);
    push_string(json, event.body());
    json.push_str("},");
    push_otel_attributes(json, &event.otel_attributes());
    json.push('}');
}

fn push_otel_attributes(json: &mut String, attributes: &OtelAttributes<'_>) {
    push_attributes(json, attributes.list.iter().copied());
    if attributes.dropped > 0 {
        push(json, format_args!(r#","droppedAttributesCount":{}"#, attributes.dropped));
    }
}

fn push_attributes<'a>(json: &mut String, attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) {
    json.push_str(r#""attributes":["#);
    for (index, (key, value)) in attributes.enumerate() {
        json.push_str(if index > 0 { r#",{"key":"# } else { r#"{"key":"# });
        push_string(json, key);
        json.push_str(r#","value":{"#);
        match value {
            ValueRef::String(text) => {
                json.push_str(r#""stringValue":"#);
                push_string(json, text);
            }
            ValueRef::Long(number) => {
                json.push_str(r#""intValue":""#);
                push_integer(json, number);
                json.push('"');
            }
            // Receivers reject the strings that proto3 prescribes for these numbers, so they become
            // text.
            ValueRef::Double(number) if non_finite(number).is_some() => {
                json.push_str(r#""stringValue":"#);
                push_double(json, number);
            }
            ValueRef::Double(number) => {
                json.push_str(r#""doubleValue":"#);
                push_double(json, number);
            }
            ValueRef::Bool(flag) => push(json, format_args!(r#""boolValue":{flag}"#)),
        }
        json.push_str("}}");
    }
    json.push(']');
}
