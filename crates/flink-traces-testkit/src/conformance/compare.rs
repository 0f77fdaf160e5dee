//! The comparison of sent and received records.

use std::collections::HashMap;

use flink_traces_api::{AttributeValue, ReportedEvent, SpanRef, ValueRef, strip_angle_brackets};

use super::received::Received;

/// The attribute that identifies a record.
pub(super) const NUMBER: &str = "number";

/// The years from 1970 to 2262, which every format can represent in nanoseconds.
const USUAL: std::ops::RangeInclusive<i64> = 1..=9_000_000_000_000;

/// A span or an event in the form in which it must arrive.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    number: i64,
    name: String,
    /// The attributes, with each key once and without angle brackets.
    attributes: Vec<(String, AttributeValue)>,
    /// The id of the span and that of its parent.
    ids: Option<(String, Option<String>)>,
    start: i64,
    end: Option<i64>,
    /// The severity and the body of an event.
    severity_and_body: Option<(String, String)>,
}

impl Expected {
    pub(super) fn of_span(span: SpanRef<'_>) -> Self {
        let parent = span.parent_span_id().map(|id| id.to_string());
        Self {
            ids: Some((span.span_id().to_string(), parent)),
            end: Some(span.end_ts_millis()),
            ..Self::new(span.name(), span.start_ts_millis(), span.attributes())
        }
    }

    pub(super) fn of_event(event: &ReportedEvent) -> Self {
        let severity_and_body = Some((event.severity().to_owned(), event.body().to_owned()));
        Self { severity_and_body, ..Self::new(event.name(), event.ts_millis(), event.attributes()) }
    }

    fn new<'a>(name: &str, start: i64, attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> Self {
        let mut last: Vec<(String, AttributeValue)> = Vec::new();
        for (key, value) in attributes {
            let key = strip_angle_brackets(key);
            // Not all formats can represent an empty key, or one that has the name of another
            // field.
            if key.is_empty() || key == "name" {
                continue;
            }
            let value = match value {
                ValueRef::String(text) => AttributeValue::from(text.to_owned()),
                ValueRef::Long(number) => number.into(),
                ValueRef::Double(number) => number.into(),
                ValueRef::Bool(flag) => flag.into(),
            };
            match last.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) => *known = value,
                None => last.push((key.to_owned(), value)),
            }
        }
        let number = last.iter().find(|(key, _)| key == NUMBER).and_then(|(_, value)| value.as_i64());
        Self {
            number: number.unwrap_or_default(),
            name: name.to_owned(),
            attributes: last,
            ids: None,
            start,
            end: None,
            severity_and_body: None,
        }
    }

    /// Returns `true` for an event or the root of a span tree.
    fn is_root(&self) -> bool {
        self.ids.as_ref().is_none_or(|(_, parent)| parent.is_none())
    }

    fn compare(&self, received: &Received, is_flink_compatible: bool) -> Result<(), String> {
        let Self { number, name, .. } = self;
        let differs = |what: &str, sent: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
            Err(format!("record {number} ({}): {what}: sent {}, received {}", short(name), short(sent), short(found)))
        };
        // Some formats replace a blank name.
        if !name.trim_matches(|c: char| c <= ' ').is_empty() && received.name != *name {
            return differs("its name", name, &received.name);
        }
        for (key, sent) in &self.attributes {
            // Flink drops booleans of spans.
            if is_flink_compatible && matches!(sent, AttributeValue::Bool(_)) {
                continue;
            }
            let found = received.attributes.get(&format!("<{key}>")).or_else(|| received.attributes.get(key));
            if !found.is_some_and(|found| is_same(sent, found)) {
                return differs(&format!("attribute {}", short(key)), sent, &found);
            }
        }
        if let (Some((id, parent)), Some(found)) = (&self.ids, &received.span_id)
            && (id != found || *parent != received.parent_span_id)
        {
            return differs("its id and that of its parent", &self.ids, &(found, &received.parent_span_id));
        }
        for (what, sent, found) in
            [("its start", Some(self.start), received.start_ts_millis), ("its end", self.end, received.end_ts_millis)]
        {
            if let (Some(sent), Some(found)) = (sent.filter(|sent| USUAL.contains(sent)), found)
                && sent != found
                // Flink's reporter sends the time at which an event was reported.
                && !(is_flink_compatible && self.severity_and_body.is_some())
            {
                return differs(what, &sent, &found);
            }
        }
        if let Some((severity, body)) = &self.severity_and_body {
            for (what, sent, found) in
                [("its severity", severity, &received.severity), ("its body", body, &received.body)]
            {
                if found.as_ref().is_some_and(|found| found != sent) {
                    return differs(what, sent, found);
                }
            }
        }
        Ok(())
    }
}

/// The number of sent records that must have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// All of them.
    Whole,
    /// A part of them. The others were counted as rejected or dropped.
    Only(usize),
}

/// Compares sent and received records and returns the first difference.
pub(super) fn compare(
    sent: &[Expected],
    received: &[Received],
    arrival: Arrival,
    is_flink_compatible: bool,
) -> Result<(), String> {
    let by_number: HashMap<i64, &Expected> = sent.iter().map(|expected| (expected.number, expected)).collect();
    let mut seen: HashMap<i64, usize> = HashMap::new();
    let mut last_root = 0;
    for record in received {
        let number = record.attributes.get(NUMBER).and_then(number_of);
        let Some(expected) = number.and_then(|number| by_number.get(&number)) else {
            return Err(format!("a record arrived that was never sent: {}", short(record)));
        };
        let count = seen.entry(expected.number).or_default();
        *count += 1;
        if *count > 1 {
            return Err(format!("record {} ({}) arrived twice", expected.number, short(&expected.name)));
        }
        expected.compare(record, is_flink_compatible)?;
        if expected.is_root() {
            if expected.number < last_root {
                return Err(format!("record {} arrived after record {last_root}", expected.number));
            }
            last_root = expected.number;
        }
    }
    let wanted = match arrival {
        Arrival::Whole => sent.len(),
        Arrival::Only(count) => count,
    };
    if seen.len() == wanted {
        return Ok(());
    }
    let missing = sent.iter().find(|expected| !seen.contains_key(&expected.number));
    let missing =
        missing.map_or_else(String::new, |missing| format!(", not {} ({})", missing.number, short(&missing.name)));
    Err(format!("{} of {} records arrived{missing}; {wanted} should have", seen.len(), sent.len()))
}

fn number_of(value: &AttributeValue) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Compares two values. Formats without types have text, and so have others for non-finite numbers.
fn is_same(sent: &AttributeValue, found: &AttributeValue) -> bool {
    use AttributeValue::{Bool, Double, Long, String};
    let same = |sent: f64, found: f64| sent == found || (sent.is_nan() && found.is_nan());
    match (sent, found) {
        (String(sent), String(found)) => sent == found,
        (Long(sent), Long(found)) => sent == found,
        (Double(sent), Double(found)) => same(*sent, *found),
        (Bool(sent), Bool(found)) => sent == found,
        (Long(sent), String(found)) => found.parse() == Ok(*sent),
        (Double(sent), String(found)) => found.parse().is_ok_and(|found| same(*sent, found)),
        (Bool(sent), String(found)) => *found == sent.to_string(),
        _ => false,
    }
}

/// Returns the debug text, truncated if it is long.
fn short(value: impl std::fmt::Debug) -> String {
    const LONGEST: usize = 200;
    let text = format!("{value:?}");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
