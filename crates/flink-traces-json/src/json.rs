//! Functions that write JSON text.

use std::fmt::{Display, Write};

use flink_traces_api::{SpanContext, SpanRef, is_unsafe_to_print};

/// Appends text as a JSON string.
///
/// Characters that are unsafe to print are escaped too, although JSON allows most of them. A line
/// stays one line and harmless for every program that reads or shows it.
pub(crate) fn push_string(json: &mut String, text: &str) {
    json.push('"');
    // Without an early exit, the compiler compares several bytes at once.
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        json.push_str(text);
    } else {
        text.chars().for_each(|c| push_char(json, c));
    }
    json.push('"');
}

/// Returns `true` if a byte of UTF-8 needs no escape in a JSON string, whatever surrounds it.
///
/// Bytes beyond ASCII may begin an unsafe character.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn push_char(json: &mut String, c: char) {
    match c {
        '"' => json.push_str("\\\""),
        '\\' => json.push_str("\\\\"),
        '\n' => json.push_str("\\n"),
        '\r' => json.push_str("\\r"),
        '\t' => json.push_str("\\t"),
        c if is_unsafe_to_print(c) => {
            // Each of these is a single UTF-16 unit.
            let _ = write!(json, "\\u{:04x}", u32::from(c));
        }
        c => json.push(c),
    }
}

/// Appends a value whose text is valid JSON, such as a number or a boolean.
pub(crate) fn push(json: &mut String, value: impl Display) {
    // Writing to a String cannot fail.
    let _ = write!(json, "{value}");
}

/// Appends an integer.
pub(crate) fn push_integer(json: &mut String, number: impl itoa::Integer) {
    json.push_str(itoa::Buffer::new().format(number));
}

/// Appends an id as a JSON string of hexadecimal digits.
pub(crate) fn push_hex<const N: usize>(json: &mut String, bytes: &[u8; N]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [[0; 2]; N];
    for (digits, byte) in digits.iter_mut().zip(bytes) {
        *digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    json.push('"');
    json.push_str(std::str::from_utf8(digits.as_flattened()).unwrap_or_default());
    json.push('"');
}

/// Appends a value whose text needs no escapes as a JSON string, such as a 64-bit number in OTLP.
pub(crate) fn push_quoted(json: &mut String, value: impl Display) {
    json.push('"');
    push(json, value);
    json.push('"');
}

/// Appends a double.
///
/// JSON has no number for a double that is not finite, so that becomes the string that proto3
/// defines.
pub(crate) fn push_double(json: &mut String, number: f64) {
    match non_finite(number) {
        Some(name) => push_quoted(json, name),
        None => push(json, format_args!("{number:?}")),
    }
}

/// Returns the name of a double that is not finite.
pub(crate) fn non_finite(number: f64) -> Option<&'static str> {
    match number {
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ if number.is_nan() => Some("NaN"),
        _ => None,
    }
}

/// Appends the member `links` if the span has links, to an object that is not empty.
pub(crate) fn push_links(json: &mut String, span: SpanRef<'_>) {
    for (index, SpanContext { trace_id, span_id }) in span.links().enumerate() {
        json.push_str(if index > 0 { "," } else { r#","links":["# });
        push(json, format_args!(r#"{{"traceId":"{trace_id}","spanId":"{span_id}"}}"#));
    }
    if span.links().next().is_some() {
        json.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_parse_back_and_are_safe_to_print() {
        for text in [
            "",
            "plain Text {}",
            "quote \" backslash \\ slash /",
            "a\nb\r\tc\0\u{1b}[31m\u{7f}",
            "\u{85}\u{9b}\u{61c}\u{200e}\u{2028}\u{202e}\u{2069}",
            "ä 漢 🦀 \u{a0}\u{ffff}",
        ] {
            let mut json = String::new();
            push_string(&mut json, text);
            assert!(!json.contains(is_unsafe_to_print), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text, "{json}");
        }
    }

    #[test]
    fn doubles_parse_back() {
        for number in [0.0, -0.0, 1.0, 0.1, -1.5e300, 1e16, 5e-324, f64::MAX] {
            let mut json = String::new();
            push_double(&mut json, number);
            assert_eq!(serde_json::from_str::<f64>(&json).unwrap().to_bits(), number.to_bits(), "{json}");
        }
        for (number, expected) in
            [(f64::NAN, r#""NaN""#), (f64::INFINITY, r#""Infinity""#), (f64::NEG_INFINITY, r#""-Infinity""#)]
        {
            let mut json = String::new();
            push_double(&mut json, number);
            assert_eq!(json, expected);
        }
    }
}
