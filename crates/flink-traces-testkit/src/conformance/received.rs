//! A record as a destination shows it.

use std::collections::BTreeMap;

use flink_traces_api::AttributeValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use crate::{ReceivedEvent, ReceivedSpan};

/// A span or an event as it arrived. Children are separate records.
///
/// `None` and empty values stand for fields that the format of the destination does not have.
// Exhaustive: destinations build it, with `..Received::default()` for the fields that they lack.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Received {
    /// The name.
    pub name: String,
    /// The attributes, including variables, with or without angle brackets.
    ///
    /// A format without types has text for all of them.
    pub attributes: BTreeMap<String, AttributeValue>,
    /// The id of a span, in hexadecimal.
    pub span_id: Option<String>,
    /// The id of the parent, which is `None` for roots, too.
    pub parent_span_id: Option<String>,
    /// The start of a span or the time of an event, in milliseconds since the epoch.
    pub start_ts_millis: Option<i64>,
    /// The end of a span, in milliseconds since the epoch.
    pub end_ts_millis: Option<i64>,
    /// The severity of an event.
    pub severity: Option<String>,
    /// The text of an event.
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

/// Takes the name from the event, or from the attribute `name`, where Flink's reporter puts it.
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
        // Flink's reporters send no others, so none is expected.
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
