//! What a destination shows of a span or an event.

use std::collections::BTreeMap;

use flink_traces_api::AttributeValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use crate::{ReceivedEvent, ReceivedSpan};

/// A span or an event as it arrived, children as spans of their own. `None` stands for what the destination's format has no place for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Received {
    /// Its name.
    pub name: String,
    /// Its attributes, variables among them, with or without angle brackets. A format without types has them all as text.
    pub attributes: BTreeMap<String, AttributeValue>,
    /// A span's own id, in hexadecimal.
    pub span_id: Option<String>,
    /// The id of the span that this one is a part of; `None` for roots too.
    pub parent_span_id: Option<String>,
    /// When a span began or an event happened, in milliseconds since the epoch.
    pub start_ts_millis: Option<i64>,
    /// When a span ended, in milliseconds since the epoch.
    pub end_ts_millis: Option<i64>,
    /// An event's severity.
    pub severity: Option<String>,
    /// An event's text.
    pub body: Option<String>,
}

impl From<ReceivedSpan> for Received {
    fn from(received: ReceivedSpan) -> Self {
        let span = received.span;
        Self {
            name: span.name,
            attributes: attributes(span.attributes),
            parent_span_id: (!span.parent_span_id.is_empty()).then(|| hexadecimal(&span.parent_span_id)),
            span_id: Some(hexadecimal(&span.span_id)),
            start_ts_millis: Some(millis(span.start_time_unix_nano)),
            end_ts_millis: Some(millis(span.end_time_unix_nano)),
            ..Self::default()
        }
    }
}

/// The name is the event's, or in the attribute `name`, where Flink's reporter has it.
impl From<ReceivedEvent> for Received {
    fn from(received: ReceivedEvent) -> Self {
        let log = received.log;
        let attributes = attributes(log.attributes);
        let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            _ => String::new(),
        };
        let name = attributes.get("name").and_then(AttributeValue::as_str).unwrap_or_default();
        Self {
            name: if log.event_name.is_empty() { name.to_owned() } else { log.event_name },
            attributes,
            start_ts_millis: Some(millis(log.time_unix_nano)),
            severity: Some(log.severity_text),
            body: Some(text(log.body)),
            ..Self::default()
        }
    }
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, AttributeValue> {
    let read = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => AttributeValue::from(text),
        Some(Value::IntValue(number)) => number.into(),
        Some(Value::DoubleValue(number)) => number.into(),
        Some(Value::BoolValue(flag)) => flag.into(),
        // No reporter of Flink's sends others, so none is expected.
        other => format!("{other:?}").into(),
    };
    list.into_iter().map(|attribute| (attribute.key, read(attribute.value))).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn millis(nanos: u64) -> i64 {
    nanos.cast_signed() / 1_000_000
}
