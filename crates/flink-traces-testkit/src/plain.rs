//! Received records as plain JSON, for comparison with the output of another decoder.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde_json::{Value, json};

use crate::otlp::{attributes, value};
use crate::{ReceivedEvent, ReceivedSpan};

impl ReceivedSpan {
    /// Returns the span with its resource and scope as plain JSON.
    ///
    /// Fields have the names of OTLP/JSON and are present even if unset. Ids are hexadecimal, and
    /// numbers are numbers. The member `attributes` is their number and the
    /// [`attributes`](Self::attributes).
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
    /// Returns the event with its resource and scope, as [`ReceivedSpan::plain`] does.
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

/// Returns the number of attributes and the attributes by key, so that a repeated key is visible.
fn listed(list: &[KeyValue]) -> Value {
    json!([list.len(), attributes(list)])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
