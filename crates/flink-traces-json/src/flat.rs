//! One flat object a line, for `grep` and `jq`.

use flink_traces_api::otel::{self, Signal};
use flink_traces_api::{ReportedEvent, SpanRef, ValueRef};

use crate::json::{push, push_double, push_links, push_quoted, push_string};
use crate::lines::Lines;

/// What all lines of a signal begin with.
pub(crate) fn line_start(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => r#"{"type":"span","#,
        Signal::Events => r#"{"type":"event","#,
    }
}

/// Appends the span, without its children, as a line.
pub(crate) fn push_span(lines: &mut Lines, span: SpanRef<'_>) {
    let json = lines.text();
    json.push_str(line_start(Signal::Traces));
    let (start, end) = (span.start_ts_millis(), span.end_ts_millis());
    push_moment(json, "ts", start);
    push_text(json, "name", span.name());
    push_text(json, "scope", span.scope());
    push(json, format_args!(r#","traceId":"{}","spanId":"{}""#, span.trace_id(), span.span_id()));
    if let Some(parent) = span.parent_span_id() {
        push(json, format_args!(r#","parentSpanId":"{parent}""#));
    }
    json.push(',');
    push_moment(json, "start", start);
    json.push(',');
    push_moment(json, "end", end);
    push(json, format_args!(r#","startMs":{start},"endMs":{end}"#));
    // Flink leaves the end of what failed before the start.
    if let Some(duration) = end.checked_sub(start).filter(|duration| *duration >= 0) {
        push(json, format_args!(r#","durationMs":{duration}"#));
    }
    if let Some(failure) = span.failure() {
        push_text(json, "failure", &failure.message);
    }
    push_links(json, span);
    push_attributes(json, span.otel_attributes().list);
    lines.end_line(1);
}

/// Appends the event as a line.
pub(crate) fn push_event(lines: &mut Lines, event: &ReportedEvent) {
    let json = lines.text();
    json.push_str(line_start(Signal::Events));
    push_moment(json, "ts", event.ts_millis());
    push_text(json, "name", event.name());
    push_text(json, "scope", event.scope());
    push_text(json, "severity", event.severity());
    push(json, format_args!(r#","severityNumber":{}"#, otel::severity_number(event.severity())));
    push_text(json, "body", event.body());
    push(json, format_args!(r#","tsMs":{},"reportedMs":{}"#, event.ts_millis(), event.reported_ts_millis()));
    let mut attributes = event.otel_attributes().list;
    // The name stands above, unless an attribute of the event has replaced it.
    attributes.retain(|attribute| *attribute != ("name", ValueRef::String(event.name())));
    push_attributes(json, attributes);
    lines.end_line(1);
}

fn push_text(json: &mut String, key: &str, text: &str) {
    push(json, format_args!(r#","{key}":"#));
    push_string(json, text);
}

/// A moment in RFC 3339, or `null` where there is none, such as Flink's −1.
fn push_moment(json: &mut String, key: &str, millis: i64) {
    push(json, format_args!(r#""{key}":"#));
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(moment) if millis >= 0 => push_quoted(json, format_args!("{moment:.3}")),
        _ => json.push_str("null"),
    }
}

/// Ends the object with its attributes.
fn push_attributes(json: &mut String, attributes: Vec<(&str, ValueRef<'_>)>) {
    json.push_str(r#","attributes":{"#);
    for (place, (key, value)) in attributes.into_iter().enumerate() {
        json.push_str(if place > 0 { "," } else { "" });
        push_string(json, key);
        json.push(':');
        match value {
            ValueRef::String(text) => push_string(json, text),
            ValueRef::Long(number) => push(json, number),
            ValueRef::Double(number) => push_double(json, number),
            ValueRef::Bool(flag) => push(json, flag),
        }
    }
    json.push_str("}}");
}
