//! The flat format, which has one plain object per line for `grep` and `jq`.

use flink_traces_api::{AddedAttributes, AttributeEntry, ReportContext, ReportedEvent, SpanRef, ValueRef};
use flink_traces_api::{Signal, otel};

use crate::json::{push_double, push_hex, push_integer, push_links, push_string};

/// Returns the beginning of all lines of a signal.
pub(crate) fn line_start(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => r#"{"type":"span","#,
        Signal::Events => r#"{"type":"event","#,
    }
}

/// An encoder that writes spans and events as flat JSON objects.
///
/// It caches what repeats: the last timestamp and its date, the keys of the last span, and the
/// attributes that the group adds.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use flink_traces_api::{ReportContext, ReportedSpan, Span, SystemClock};
/// use flink_traces_json::FlatEncoder;
///
/// let span = Span::builder("com.example.Compactor", "Compaction")
///     .start_ts_millis(5)
///     .end_ts_millis(7)
///     .build(&SystemClock);
/// let span = ReportedSpan::new(Arc::new(span), Arc::new(ReportContext::default()));
/// let mut json = String::new();
/// FlatEncoder::new().push_span(&mut json, span.root());
/// assert!(json.starts_with(r#"{"type":"span","ts":"1970-01-01T00:00:00.005Z","#));
/// ```
#[derive(Debug, Default)]
pub struct FlatEncoder {
    moments: Moments,
    keys: Keys,
    added: Option<Added>,
}

impl FlatEncoder {
    /// Creates an encoder with empty caches.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the span without its children as a JSON object, without a line feed.
    pub fn push_span(&mut self, json: &mut String, span: SpanRef<'_>) {
        json.push_str(line_start(Signal::Traces));
        let (start, end) = (span.start_ts_millis(), span.end_ts_millis());
        json.push_str(r#""ts":"#);
        self.moments.push(json, start);
        push_text(json, r#","name":"#, span.name());
        push_text(json, r#","scope":"#, span.scope());
        json.push_str(r#","traceId":"#);
        push_hex(json, span.trace_id().as_bytes());
        json.push_str(r#","spanId":"#);
        push_hex(json, span.span_id().as_bytes());
        if let Some(parent) = span.parent_span_id() {
            json.push_str(r#","parentSpanId":"#);
            push_hex(json, parent.as_bytes());
        }
        json.push_str(r#","start":"#);
        self.moments.push(json, start);
        json.push_str(r#","end":"#);
        self.moments.push(json, end);
        push_number(json, r#","startMs":"#, start);
        push_number(json, r#","endMs":"#, end);
        // Flink leaves the end of a failed span before its start.
        if let Some(duration) = end.checked_sub(start).filter(|duration| *duration >= 0) {
            push_number(json, r#","durationMs":"#, duration);
        }
        if let Some(failure) = span.failure() {
            push_text(json, r#","failure":"#, &failure.message);
        }
        push_links(json, span);
        let added = match &mut self.added {
            Some(added) if added.context == *span.context() => added,
            added => added.insert(Added::new(span.context())),
        };
        let (attributes, text) = if span.is_root() { &added.to_roots } else { &added.to_parts };
        match attributes.before(&span) {
            Some(own) => {
                json.push_str(ATTRIBUTES);
                for (index, entry) in own.entries().enumerate() {
                    json.push_str(self.keys.text(index, entry));
                    push_value(json, entry.value());
                }
                if !own.is_empty() && !text.is_empty() {
                    json.push(',');
                }
                json.push_str(text);
            }
            None => push_attributes(json, span.otel_attributes().list.into_iter()),
        }
        json.push_str("}}");
    }

    /// Appends the event as a JSON object, without a line feed.
    pub fn push_event(&mut self, json: &mut String, event: &ReportedEvent) {
        json.push_str(line_start(Signal::Events));
        json.push_str(r#""ts":"#);
        self.moments.push(json, event.ts_millis());
        push_text(json, r#","name":"#, event.name());
        push_text(json, r#","scope":"#, event.scope());
        push_text(json, r#","severity":"#, event.severity());
        push_number(json, r#","severityNumber":"#, otel::severity_number(event.severity()).into());
        push_text(json, r#","body":"#, event.body());
        push_number(json, r#","tsMs":"#, event.ts_millis());
        push_number(json, r#","reportedMs":"#, event.reported_ts_millis());
        let mut attributes = event.otel_attributes().list;
        // The name is a member already, unless an attribute of the event has replaced it.
        attributes.retain(|attribute| *attribute != ("name", ValueRef::String(event.name())));
        push_attributes(json, attributes.into_iter());
        json.push_str("}}");
    }
}

/// The attributes that a context adds to roots and to children, with their encoded text.
#[derive(Debug)]
struct Added {
    context: ReportContext,
    to_roots: (AddedAttributes, String),
    to_parts: (AddedAttributes, String),
}

impl Added {
    fn new(context: &ReportContext) -> Self {
        let [to_roots, to_parts] = [true, false].map(|to_roots| {
            let added = AddedAttributes::new(context, to_roots);
            let mut text = String::new();
            push_pairs(&mut text, added.iter().map(|(key, value)| (key, ValueRef::String(value))));
            (added, text)
        });
        Self { context: context.clone(), to_roots, to_parts }
    }
}

/// The keys of the last span, each with the text between the value before it and its own value.
///
/// Most spans have the same keys.
#[derive(Debug, Default)]
struct Keys(Vec<(Vec<u8>, String)>);

impl Keys {
    fn text(&mut self, index: usize, entry: AttributeEntry<'_>) -> &str {
        if self.0.get(index).is_none_or(|(key, _)| key != entry.key_bytes()) {
            self.0.truncate(index);
            let mut text = String::new();
            push_key(&mut text, index, entry.key());
            self.0.push((entry.key_bytes().to_owned(), text));
        }
        &self.0[index].1
    }
}

/// An encoder of timestamps, most of which have the date of the one before or equal it.
#[derive(Debug, Default)]
struct Moments {
    day: i64,
    /// The text of the last date, or empty if there was none.
    date: String,
    millis: i64,
    /// The text of the last timestamp, or empty if there was none.
    text: String,
}

impl Moments {
    /// Appends a timestamp in RFC 3339, or `null` for a number that is none, such as Flink's −1.
    fn push(&mut self, json: &mut String, millis: i64) {
        if millis != self.millis || self.text.is_empty() {
            self.millis = millis;
            self.text.clear();
            self.set_text();
        }
        json.push_str(&self.text);
    }

    fn set_text(&mut self) {
        const DAY: i64 = 86_400_000;
        let millis = self.millis;
        let (day, millis) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
        if day != self.day || self.date.is_empty() {
            let midnight = jiff::Timestamp::from_millisecond(day.saturating_mul(DAY)).ok().filter(|_| day >= 0);
            let Some(midnight) = midnight.map(|midnight| midnight.to_string()) else {
                return self.text.push_str("null");
            };
            self.date.clear();
            self.date.push_str(midnight.split('T').next().unwrap_or_default());
            self.day = day;
        }
        let mut time = *b"T00:00:00.000Z";
        let mut put = |places: &[usize], mut number: i64| {
            for index in places.iter().rev() {
                time[*index] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(&[1, 2], millis / 3_600_000);
        put(&[4, 5], millis / 60_000 % 60);
        put(&[7, 8], millis / 1000 % 60);
        put(&[10, 11, 12], millis % 1000);
        self.text.push('"');
        self.text.push_str(&self.date);
        self.text.push_str(std::str::from_utf8(&time).unwrap_or_default());
        self.text.push('"');
    }
}

/// Appends a member with a text. `key` is the encoded text before the value.
fn push_text(json: &mut String, key: &str, text: &str) {
    json.push_str(key);
    push_string(json, text);
}

/// Appends a member with a number. `key` is the encoded text before the value.
fn push_number(json: &mut String, key: &str, number: i64) {
    json.push_str(key);
    push_integer(json, number);
}

/// The beginning of the member `attributes`.
const ATTRIBUTES: &str = r#","attributes":{"#;

/// Appends the member `attributes` without its end, which the caller writes.
fn push_attributes<'a>(json: &mut String, attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) {
    json.push_str(ATTRIBUTES);
    push_pairs(json, attributes);
}

fn push_pairs<'a>(json: &mut String, attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) {
    for (index, (key, value)) in attributes.enumerate() {
        push_key(json, index, key);
        push_value(json, value);
    }
}

/// Appends the text before the value of the member with that index in its object.
fn push_key(json: &mut String, index: usize, key: &str) {
    if index > 0 {
        json.push(',');
    }
    push_string(json, key);
    json.push(':');
}

fn push_value(json: &mut String, value: ValueRef<'_>) {
    match value {
        ValueRef::String(text) => push_string(json, text),
        ValueRef::Long(number) => push_integer(json, number),
        ValueRef::Double(number) => push_double(json, number),
        ValueRef::Bool(flag) => json.push_str(if flag { "true" } else { "false" }),
    }
}
