//! Everything that a received record says, as plain JSON: for a comparison with what another decoder made of the same bytes.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde_json::{Value, json};

use crate::otlp::{attributes, value};
use crate::{ReceivedEvent, ReceivedSpan};

impl ReceivedSpan {
    /// The span with its resource and its scope: field names as in OTLP/JSON, ids in hexadecimal, numbers as numbers, and every field
    /// there, also where it is unset. Attributes are as [`attributes`](Self::attributes) returns them, preceded by their number.
    pub fn plain(&self) -> Value {
        let span = &self.span;
        let status = span.status.clone().unwrap_or_default();
        json!({
            "resource": *self.resource,
            "scope": self.scope,
            "traceId": hex(&span.trace_id),
            "spanId": hex(&span.span_id),
            "parentSpanId": hex(&span.parent_span_id),
            "traceState": span.trace_state,
            "flags": span.flags,
            "name": span.name,
            "kind": span.kind,
            "startTimeUnixNano": span.start_time_unix_nano,
            "endTimeUnixNano": span.end_time_unix_nano,
            "attributes": listed(&span.attributes),
            "droppedAttributesCount": span.dropped_attributes_count,
            "events": span.events.iter().map(event).collect::<Vec<_>>(),
            "droppedEventsCount": span.dropped_events_count,
            "links": span.links.iter().map(link).collect::<Vec<_>>(),
            "droppedLinksCount": span.dropped_links_count,
            "status": [json!(status.code), json!(status.message)],
        })
    }
}

impl ReceivedEvent {
    /// The log record with its resource and its scope, as [`ReceivedSpan::plain`] shows a span.
    pub fn plain(&self) -> Value {
        let log = &self.log;
        json!({
            "resource": *self.resource,
            "scope": self.scope,
            "timeUnixNano": log.time_unix_nano,
            "observedTimeUnixNano": log.observed_time_unix_nano,
            "severityNumber": log.severity_number,
            "severityText": log.severity_text,
            "body": value(log.body.as_ref()),
            "attributes": listed(&log.attributes),
            "droppedAttributesCount": log.dropped_attributes_count,
            "flags": log.flags,
            "traceId": hex(&log.trace_id),
            "spanId": hex(&log.span_id),
            "eventName": log.event_name,
        })
    }
}

fn event(event: &Event) -> Value {
    json!({
        "timeUnixNano": event.time_unix_nano,
        "name": event.name,
        "attributes": listed(&event.attributes),
        "droppedAttributesCount": event.dropped_attributes_count,
    })
}

fn link(link: &Link) -> Value {
    json!({
        "traceId": hex(&link.trace_id),
        "spanId": hex(&link.span_id),
        "traceState": link.trace_state,
        "attributes": listed(&link.attributes),
        "droppedAttributesCount": link.dropped_attributes_count,
        "flags": link.flags,
    })
}

/// By key, and how many there are: a key that comes twice shows.
fn listed(list: &[KeyValue]) -> Value {
    json!([list.len(), attributes(list)])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
