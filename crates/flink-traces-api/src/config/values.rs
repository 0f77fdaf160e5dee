//! How Flink reads the text of a value.

use std::time::Duration;

use super::RawValue;

pub(super) fn bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn number_and_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim().to_lowercase()))
}

pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let scaled = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit.as_str() {
        "d" | "day" | "days" => scaled(86_400),
        "h" | "hour" | "hours" => scaled(3_600),
        "m" | "min" | "minute" | "minutes" => scaled(60),
        "s" | "sec" | "secs" | "second" | "seconds" => scaled(1),
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => Some(Duration::from_millis(number)),
        "µs" | "μs" | "us" | "micro" | "micros" | "microsecond" | "microseconds" => {
            Some(Duration::from_micros(number))
        }
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let shift = match unit.as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kibibytes" => 10,
        "m" | "mb" | "mebibytes" => 20,
        "g" | "gb" | "gibibytes" => 30,
        "t" | "tb" | "tebibytes" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

pub(super) fn list(raw: &RawValue) -> Option<Vec<String>> {
    match raw {
        RawValue::List(items) => Some(items.clone()),
        RawValue::Text(text) => split_quoted(text, ';'),
    }
}

pub(super) fn map(raw: &RawValue) -> Option<Vec<(String, String)>> {
    let text = raw.to_string();
    let (text, separator) = match text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(flow) => (flow.to_owned(), ": "),
        None => (text, ":"),
    };
    let mut entries: Vec<(String, String)> = Vec::new();
    for entry in split_quoted(&text, ',')? {
        let (key, value) = entry.split_once(separator)?;
        let (key, value) = (key.trim(), value.trim());
        if value.is_empty() || entries.iter().any(|(known, _)| known == key) {
            return None;
        }
        entries.push((key.to_owned(), value.to_owned()));
    }
    Some(entries)
}

/// Splits at `separator` outside of quotes; a part in single or double quotes loses them, a doubled quote inside stands for one.
fn split_quoted(text: &str, separator: char) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut chars = text.chars().peekable();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match quote {
            Some(open) if c == open => match chars.next_if_eq(&open) {
                Some(doubled) => part.push(doubled),
                None => quote = None,
            },
            Some(_) => part.push(c),
            None if c == separator => parts.push(std::mem::take(&mut part)),
            None if (c == '\'' || c == '"') && part.trim().is_empty() => quote = Some(c),
            None => part.push(c),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.trim().is_empty());
    quote.is_none().then_some(parts)
}
