//! One flat object a line, for `grep` and `jq`.

use flink_traces_api::{AddedAttributes, AttributeEntry, ReportContext, ReportedEvent, SpanRef, ValueRef};
use flink_traces_api::{Signal, otel};

use crate::json::{push_double, push_hex, push_integer, push_links, push_string};

/// What all lines of a signal begin with.
pub(crate) fn line_start(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => r#"{"type":"span","#,
        Signal::Events => r#"{"type":"event","#,
    }
}

/// Writes spans and events as flat objects.
///
/// What comes again and again is kept: the last moment and its date, the keys of the last span, and what its group adds.
#[derive(Debug, Default)]
pub struct FlatEncoder {
    moments: Moments,
    keys: Keys,
    added: Option<Added>,
}

impl FlatEncoder {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the span, without its parts, as a JSON object, without an end of line.
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
        // Flink leaves the end of what failed before the start.
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
        let (attributes, text) = if span.parent_span_id().is_none() { &added.to_roots } else { &added.to_parts };
        match attributes.before(&span) {
            Some(own) => {
                json.push_str(ATTRIBUTES);
                for (place, entry) in own.entries().enumerate() {
                    json.push_str(self.keys.text(place, entry));
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

    /// Appends the event as a JSON object, without an end of line.
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
        // The name stands above, unless an attribute of the event has replaced it.
        attributes.retain(|attribute| *attribute != ("name", ValueRef::String(event.name())));
        push_attributes(json, attributes.into_iter());
        json.push_str("}}");
    }
}

/// What a context adds to roots and to parts, each with its text.
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

/// The keys of the last span, each with all that stands between the value before and its own: most spans have the same.
#[derive(Debug, Default)]
struct Keys(Vec<(Vec<u8>, String)>);

impl Keys {
    fn text(&mut self, place: usize, entry: AttributeEntry<'_>) -> &str {
        if self.0.get(place).is_none_or(|(key, _)| key != entry.key_bytes()) {
            self.0.truncate(place);
            let mut text = String::new();
            push_key(&mut text, place, entry.key());
            self.0.push((entry.key_bytes().to_owned(), text));
        }
        &self.0[place].1
    }
}

/// Writes moments; most are of the day of the one before, and many are the one before.
#[derive(Debug, Default)]
struct Moments {
    day: i64,
    /// The date of that day; empty as long as there was none.
    date: String,
    millis: i64,
    /// That moment; empty as long as there was none.
    text: String,
}

impl Moments {
    /// Appends a moment in RFC 3339, or `null` where there is none, such as Flink's −1.
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
            for place in places.iter().rev() {
                time[*place] = b'0' + (number % 10) as u8;
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

/// Appends a member whose value is text; `key` is all that stands before it.
fn push_text(json: &mut String, key: &str, text: &str) {
    json.push_str(key);
    push_string(json, text);
}

/// Appends a member whose value is a number; `key` is all that stands before it.
fn push_number(json: &mut String, key: &str, number: i64) {
    json.push_str(key);
    push_integer(json, number);
}

/// What the member `attributes` begins with.
const ATTRIBUTES: &str = r#","attributes":{"#;

/// Appends the member `attributes`, whose end and that of the line are left to write.
fn push_attributes<'a>(json: &mut String, attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) {
    json.push_str(ATTRIBUTES);
    push_pairs(json, attributes);
}

fn push_pairs<'a>(json: &mut String, attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) {
    for (place, (key, value)) in attributes.enumerate() {
        push_key(json, place, key);
        push_value(json, value);
    }
}

/// Appends all that stands before the value of a member, which is the object's `place`th.
fn push_key(json: &mut String, place: usize, key: &str) {
    if place > 0 {
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
