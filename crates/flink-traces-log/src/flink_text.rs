//! The text of Flink's own reporters, `Slf4jTraceReporter` and `Slf4jEventReporter`, of 2.2 and
//! later.

use flink_traces_api::{Compatibility, ReportedEvent, ReportedSpan, SpanRef, ValueRef};

use crate::escape::escaped;

/// Returns the text that Flink logs for a span tree: `Reported span: SimpleSpan{scope=…,
/// children=[…]}`.
///
/// The whole tree is on one line. Attributes have the order of Java's `HashMap`, and numbers are
/// written as in Java.
///
/// Control characters and marks that reorder text are escaped (`\n`, `\u{1b}`), because the name of
/// a job could otherwise forge lines. Under `compatibility: flink` they are not escaped, and the
/// text is Flink's byte for byte. As in Flink, nothing else is escaped.
///
/// Two orders depend on the Java runtime and may differ. One is that of more than seven attributes
/// whose hashes collide. The other is that of a span whose only attributes are variables, since the
/// size of its map differs between Java versions.
pub fn flink_span_text(span: &ReportedSpan) -> String {
    let mut text = "Reported span: ".to_owned();
    write_tree(&mut text, span.root());
    made_safe(text, span.context().compatibility)
}

/// Returns the text for an event in the form of [`flink_span_text`].
///
/// It is `Reported event: SimpleEvent{scope=…, attributes={…}}`. Flink does not log this text. Its
/// event class has no text of its own, so its reporter logs only `SimpleEvent@` and a number.
pub fn flink_event_text(event: &ReportedEvent) -> String {
    let mut text = "Reported event: ".to_owned();
    write_event(&mut text, event);
    made_safe(text, event.context().compatibility)
}

fn made_safe(text: String, compatibility: Compatibility) -> String {
    match compatibility {
        Compatibility::Flink => text,
        Compatibility::Standard => escaped(&text).into_owned(),
    }
}

/// Writes a tree, without recursion because a tree may be deep.
fn write_tree(text: &mut String, root: SpanRef<'_>) {
    write_span(text, root);
    let mut levels = vec![root.children().enumerate()];
    while let Some(siblings) = levels.last_mut() {
        if let Some((place, span)) = siblings.next() {
            if place > 0 {
                *text += ", ";
            }
            write_span(text, span);
            levels.push(span.children().enumerate());
        } else {
            *text += "]}";
            levels.pop();
        }
    }
}

/// Writes a span up to its first child.
fn write_span(text: &mut String, span: SpanRef<'_>) {
    let (scope, name) = (span.scope(), span.name());
    let (start, end) = (span.start_ts_millis(), span.end_ts_millis());
    *text += &format!("SimpleSpan{{scope={scope}, name={name}, startTsMillis={start}, endTsMillis={end}, attributes=");
    write_attributes(text, span.attributes().collect());
    *text += ", children=[";
}

fn write_event(text: &mut String, event: &ReportedEvent) {
    let (scope, name, body) = (event.scope(), event.name(), event.body());
    let (millis, severity) = (event.ts_millis(), event.severity());
    *text += &format!("SimpleEvent{{scope={scope}, name={name}, observedTsMillis={millis}, severity={severity}, ");
    *text += &format!("body={body}, attributes=");
    write_attributes(text, event.attributes().collect());
    *text += "}";
}

fn write_attributes(text: &mut String, mut attributes: Vec<(&str, ValueRef<'_>)>) {
    sort_like_hash_map(&mut attributes);
    *text += "{";
    for (place, (key, value)) in attributes.into_iter().enumerate() {
        if place > 0 {
            *text += ", ";
        }
        *text += key;
        *text += "=";
        match value {
            ValueRef::String(value) => *text += value,
            ValueRef::Long(number) => *text += &number.to_string(),
            ValueRef::Double(number) => *text += &java_double(number),
            ValueRef::Bool(flag) => *text += if flag { "true" } else { "false" },
        }
    }
    *text += "}";
}

/// Sorts as Java iterates a `HashMap`, which is by bucket and then by order of insertion.
fn sort_like_hash_map<V>(entries: &mut [(&str, V)]) {
    let mut buckets = 16;
    while entries.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    entries.sort_by_cached_key(|(key, _)| spread_hash(key) as usize & (buckets - 1));
}

/// Returns `String.hashCode` with its upper half mixed into the lower, as `HashMap` does.
fn spread_hash(text: &str) -> u32 {
    let hash = text.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    hash ^ (hash >> 16)
}

/// Formats a double as Java's `Double.toString` since version 19.
///
/// The text has the fewest digits that parse back to the number, but at least two.
fn java_double(number: f64) -> String {
    match number.abs() {
        0.0 | 1e-3..1e7 => format!("{number:?}"),
        size if size.is_nan() => "NaN".to_owned(),
        size if size.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        _ => scientific(number).replace('e', "E"),
    }
}

fn scientific(number: f64) -> String {
    let fewest = format!("{number:e}");
    if fewest.contains('.') {
        return fewest;
    }
    let two_digits = format!("{number:.1e}");
    match two_digits.parse() {
        Ok(read) if number == read => two_digits,
        _ => fewest.replace('e', ".0e"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_have_java_text() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (-1.234_567_89e10, "-1.23456789E10"),
            (2e23, "2.0E23"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (5e-324, "4.9E-324"),
            (2e-323, "2.0E-323"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, expected) in cases {
            assert_eq!(java_double(number), expected);
        }
    }

    #[test]
    fn strings_have_java_hash() {
        // "polygenelubricants".hashCode() is Integer.MIN_VALUE. The crab is two UTF-16 units.
        for (text, hash) in [("", 0), ("a", 97), ("polygenelubricants", 0x8000_0000), ("🦀", 0xd83e * 31 + 0xdd80)] {
            assert_eq!(spread_hash(text), hash ^ (hash >> 16), "{text}");
        }
    }

    #[test]
    fn map_doubles_with_its_thirteenth_entry() {
        // Java hashes "p" to 112, which is bucket 0 of 16 but 16 of 32. The keys "a" to "l" are in
        // the buckets 1 to 12 of both.
        for (keys, sorted) in
            [("pabcdefghijk", "pabcdefghijk"), ("pabcdefghijkl", "abcdefghijklp"), ("qa", "qa"), ("aq", "aq")]
        {
            let mut entries: Vec<_> = keys.split("").filter(|key| !key.is_empty()).map(|key| (key, ())).collect();
            sort_like_hash_map(&mut entries);
            assert_eq!(entries.iter().map(|(key, ())| *key).collect::<String>(), sorted);
        }
    }
}
