//! Conversion of requests between protobuf and OTLP/JSON.
//!
//! JSON has ids in hexadecimal, 64-bit integers as text, enums as numbers, and finite numbers only.
//! Both directions read the same tables of OTLP fields.

mod read;

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flink_traces_api::Signal;
use flink_traces_api::proto::{Content, Fields};

pub(crate) use read::to_request;

/// The form of a field's content.
#[derive(Debug, Clone, Copy)]
enum Form {
    Text,
    Hex,
    Base64,
    /// A 32-bit number or an enum.
    Number,
    /// A 32-bit number of fixed length.
    Fixed32,
    /// A signed 64-bit number.
    Long,
    /// An unsigned 64-bit number of fixed length.
    Fixed,
    Double,
    Bool,
    Message(&'static [Field]),
    Repeated(&'static [Field]),
}

/// The number of a field, its name in JSON, and its form.
type Field = (u8, &'static str, Form);

/// The name of a text value, also for a double that is not finite, since JSON has no such number.
const STRING_VALUE: &str = "stringValue";

// These two refer to each other, so they are statics, not constants.
static ANY_VALUE: [Field; 7] = [
    (1, STRING_VALUE, Form::Text),
    (2, "boolValue", Form::Bool),
    (3, "intValue", Form::Long),
    (4, "doubleValue", Form::Double),
    (5, "arrayValue", Form::Message(&[(1, "values", Form::Repeated(&ANY_VALUE))])),
    (6, "kvlistValue", Form::Message(&[(1, "values", Form::Repeated(&KEY_VALUE))])),
    (7, "bytesValue", Form::Base64),
];
static KEY_VALUE: [Field; 2] = [(1, "key", Form::Text), (2, "value", Form::Message(&ANY_VALUE))];

static RESOURCE: [Field; 2] =
    [(1, "attributes", Form::Repeated(&KEY_VALUE)), (2, "droppedAttributesCount", Form::Number)];
static SCOPE: [Field; 4] = [
    (1, "name", Form::Text),
    (2, "version", Form::Text),
    (3, "attributes", Form::Repeated(&KEY_VALUE)),
    (4, "droppedAttributesCount", Form::Number),
];
static LINK: [Field; 6] = [
    (1, "traceId", Form::Hex),
    (2, "spanId", Form::Hex),
    (3, "traceState", Form::Text),
    (4, "attributes", Form::Repeated(&KEY_VALUE)),
    (5, "droppedAttributesCount", Form::Number),
    (6, "flags", Form::Fixed32),
];
static SPAN_EVENT: [Field; 4] = [
    (1, "timeUnixNano", Form::Fixed),
    (2, "name", Form::Text),
    (3, "attributes", Form::Repeated(&KEY_VALUE)),
    (4, "droppedAttributesCount", Form::Number),
];
static STATUS: [Field; 2] = [(2, "message", Form::Text), (3, "code", Form::Number)];
static SPAN: [Field; 16] = [
    (1, "traceId", Form::Hex),
    (2, "spanId", Form::Hex),
    (3, "traceState", Form::Text),
    (4, "parentSpanId", Form::Hex),
    (16, "flags", Form::Fixed32),
    (5, "name", Form::Text),
    (6, "kind", Form::Number),
    (7, "startTimeUnixNano", Form::Fixed),
    (8, "endTimeUnixNano", Form::Fixed),
    (9, "attributes", Form::Repeated(&KEY_VALUE)),
    (10, "droppedAttributesCount", Form::Number),
    (11, "events", Form::Repeated(&SPAN_EVENT)),
    (12, "droppedEventsCount", Form::Number),
    (13, "links", Form::Repeated(&LINK)),
    (14, "droppedLinksCount", Form::Number),
    (15, "status", Form::Message(&STATUS)),
];
static LOG_RECORD: [Field; 11] = [
    (1, "timeUnixNano", Form::Fixed),
    (11, "observedTimeUnixNano", Form::Fixed),
    (2, "severityNumber", Form::Number),
    (3, "severityText", Form::Text),
    (5, "body", Form::Message(&ANY_VALUE)),
    (6, "attributes", Form::Repeated(&KEY_VALUE)),
    (7, "droppedAttributesCount", Form::Number),
    (8, "flags", Form::Fixed32),
    (9, "traceId", Form::Hex),
    (10, "spanId", Form::Hex),
    (12, "eventName", Form::Text),
];
static SCOPE_SPANS: [Field; 3] =
    [(1, "scope", Form::Message(&SCOPE)), (2, "spans", Form::Repeated(&SPAN)), (3, "schemaUrl", Form::Text)];
static SCOPE_LOGS: [Field; 3] =
    [(1, "scope", Form::Message(&SCOPE)), (2, "logRecords", Form::Repeated(&LOG_RECORD)), (3, "schemaUrl", Form::Text)];
static RESOURCE_SPANS: [Field; 3] = [
    (1, "resource", Form::Message(&RESOURCE)),
    (2, "scopeSpans", Form::Repeated(&SCOPE_SPANS)),
    (3, "schemaUrl", Form::Text),
];
static RESOURCE_LOGS: [Field; 3] = [
    (1, "resource", Form::Message(&RESOURCE)),
    (2, "scopeLogs", Form::Repeated(&SCOPE_LOGS)),
    (3, "schemaUrl", Form::Text),
];
static TRACES: [Field; 1] = [(1, "resourceSpans", Form::Repeated(&RESOURCE_SPANS))];
static LOGS: [Field; 1] = [(1, "resourceLogs", Form::Repeated(&RESOURCE_LOGS))];

/// Returns the fields of a request of this signal.
fn request_fields(signal: Signal) -> &'static [Field] {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Events => &LOGS,
    }
}

/// Converts a request to one line of JSON, without a line break.
///
/// Omits fields that are not in OTLP 1.5.
pub(crate) fn from_request(signal: Signal, message: &[u8]) -> String {
    let mut out = String::with_capacity(message.len() * 2);
    object(&mut out, message, request_fields(signal));
    out
}

/// Reads the number of rejected records, and the reason, from a JSON response.
///
/// Returns `None` if the content is not an object.
pub(crate) fn rejected(response: &[u8]) -> Option<(u64, String)> {
    let response: serde_json::Value = serde_json::from_slice(response).ok().filter(serde_json::Value::is_object)?;
    let partial = &response["partialSuccess"];
    let count = [&partial["rejectedSpans"], &partial["rejectedLogRecords"]]
        .into_iter()
        .find_map(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok()));
    Some((count.unwrap_or(0), partial["errorMessage"].as_str().unwrap_or_default().to_owned()))
}

fn object(out: &mut String, message: &[u8], fields: &'static [Field]) {
    out.push('{');
    let mut is_first = true;
    for (number, name, form) in fields {
        let mut contents =
            Fields::new(message).filter(|(field, _)| *field == u64::from(*number)).map(|(_, content)| content);
        if let Form::Repeated(fields) = form {
            let mut messages = contents.filter_map(|content| match content {
                Content::Bytes(message) => Some(message),
                _ => None,
            });
            if let Some(message) = messages.next() {
                key(out, &mut is_first, name);
                out.push('[');
                object(out, message, fields);
                for message in messages {
                    out.push(',');
                    object(out, message, fields);
                }
                out.push(']');
            }
        } else if let Some(content) = contents.next() {
            scalar(out, &mut is_first, name, form, content);
        }
    }
    out.push('}');
}

fn scalar(out: &mut String, is_first: &mut bool, name: &str, form: &Form, content: Content<'_>) {
    let (name, text) = match (form, content) {
        (Form::Text, Content::Bytes(text)) => (name, quoted(&String::from_utf8_lossy(text))),
        (Form::Hex, Content::Bytes(id)) => {
            let hex = |mut text: String, byte: &u8| {
                let _ = write!(text, "{byte:02x}");
                text
            };
            (name, quoted(&id.iter().fold(String::new(), hex)))
        }
        (Form::Base64, Content::Bytes(bytes)) => (name, quoted(&STANDARD.encode(bytes))),
        (Form::Number, Content::Number(number)) => (name, number.cast_signed().to_string()),
        (Form::Fixed32, Content::Fixed32(number)) => (name, number.to_string()),
        (Form::Long, Content::Number(number)) => (name, quoted(&number.cast_signed().to_string())),
        (Form::Fixed, Content::Fixed64(number)) => (name, quoted(&number.to_string())),
        (Form::Double, Content::Fixed64(bits)) => match f64::from_bits(bits) {
            // Collectors reject both `null` and proto3's `"NaN"`.
            number if !number.is_finite() => (STRING_VALUE, quoted(non_finite(number))),
            number => (name, format!("{number:?}")),
        },
        (Form::Bool, Content::Number(flag)) => (name, (flag != 0).to_string()),
        (Form::Message(fields), Content::Bytes(message)) => {
            key(out, is_first, name);
            return object(out, message, fields);
        }
        _ => return,
    };
    key(out, is_first, name);
    out.push_str(&text);
}

/// Returns the text of a number that is not finite, in the form of the JSON reporter.
fn non_finite(number: f64) -> &'static str {
    match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

fn key(out: &mut String, is_first: &mut bool, name: &str) {
    if !std::mem::replace(is_first, false) {
        out.push(',');
    }
    let _ = write!(out, "\"{name}\":");
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
