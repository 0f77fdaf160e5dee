//! The parsers of option values, which follow Flink's.

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
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim().to_lowercase()))
}

/// Parses a duration as Flink's `TimeUtils`, which lacks only `us` and the Greek letter in `μs`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return iso_8601(&text.to_ascii_uppercase());
    }
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

/// Parses `PnDTnHnMn.nS`, where zero components may be missing, as Java's `Duration.parse`.
///
/// Negative durations are rejected.
fn iso_8601(text: &str) -> Option<Duration> {
    let (mut days, mut time) = match text.strip_prefix('P')?.split_once('T') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text.strip_prefix('P')?, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let total = iso_8601_part(&mut days, 'D', 86_400)?
        .checked_add(iso_8601_part(&mut time, 'H', 3_600)?)?
        .checked_add(iso_8601_part(&mut time, 'M', 60)?)?
        .checked_add(iso_8601_part(&mut time, 'S', 1)?)?;
    (days.is_empty() && time.is_empty()).then_some(total)
}

/// Takes a number with that unit off `rest`. Returns zero if another unit comes next.
fn iso_8601_part(rest: &mut &str, unit: char, seconds: u64) -> Option<Duration> {
    let Some((number, behind)) = rest.split_once(unit) else { return Some(Duration::ZERO) };
    *rest = behind;
    let (whole, fraction) = match unit {
        'S' => number.split_once(['.', ',']).unwrap_or((number, "")),
        _ => (number, ""),
    };
    let whole = Duration::from_secs(whole.parse::<u64>().ok()?.checked_mul(seconds)?);
    let nanos = format!("{fraction:0<9}");
    let is_fraction = nanos.len() == 9 && nanos.bytes().all(|digit| digit.is_ascii_digit());
    whole.checked_add(Duration::from_nanos(nanos.parse().ok().filter(|_| is_fraction)?))
}

/// Parses a size as Flink's `MemorySize`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text.trim())?;
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
        RawValue::Text(text) => match flow_body(text, '[', ']') {
            Some(body) => flow_list(body),
            // A list in YAML's block form is not supported here.
            None if text.trim_start().starts_with("- ") => None,
            None => split_quoted(text, ';'),
        },
    }
}

pub(super) fn comma_list(raw: &RawValue) -> Option<Vec<String>> {
    let items = match raw {
        RawValue::List(items) => items.clone(),
        RawValue::Text(text) => match flow_body(text, '[', ']') {
            Some(body) => flow_list(body)?,
            None => text.split(',').map(str::to_owned).collect(),
        },
    };
    Some(items.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
}

pub(super) fn map(raw: &RawValue) -> Option<Vec<(String, String)>> {
    let text = raw.to_string();
    let entries = match flow_body(&text, '{', '}') {
        Some(body) => flow_map(body)?,
        None => {
            let entries = split_quoted(&text, ',')?.into_iter();
            let entries = entries.map(|entry| <[String; 2]>::try_from(split_quoted(&entry, ':')?).ok());
            entries.map(|entry| entry.map(|[key, value]| (key, value))).collect::<Option<_>>()?
        }
    };
    let is_new = |(place, (key, _)): (usize, &(String, String))| entries[..place].iter().all(|(known, _)| known != key);
    entries.iter().enumerate().all(is_new).then_some(entries)
}

/// Splits as Flink's `StructuredOptionsSplitter`.
///
/// Blanks around an item are ignored. An item in single or double quotes may contain the separator
/// and a doubled quote. Two separators in a row enclose an empty item, but one at either end does
/// not.
fn split_quoted(text: &str, separator: char) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut last = None;
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == separator {
            if last == Some(separator) {
                parts.push(String::new());
            }
            rest = &rest[first.len_utf8()..];
        } else if last.is_some_and(|last| last != separator) {
            return None;
        } else if matches!(first, '\'' | '"') {
            parts.push(quoted(&mut rest)?);
        } else {
            let (part, behind) = rest.split_at(rest.find(separator).unwrap_or(rest.len()));
            parts.push(part.trim_end().to_owned());
            rest = behind;
        }
        last = Some(first);
        rest = rest.trim_start();
    }
    Some(parts)
}

/// Takes quoted text off `rest`, in which a doubled quote is an escaped one.
fn quoted(rest: &mut &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = rest.char_indices().peekable();
    let (_, quote) = chars.next()?;
    while let Some((at, c)) = chars.next() {
        if c != quote {
            text.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            *rest = &rest[at + 1..];
            return Some(text);
        }
    }
    None
}

/// Returns the text between `open` and `close` if the whole text is a YAML flow collection.
fn flow_body(text: &str, open: char, close: char) -> Option<&str> {
    text.trim().strip_prefix(open)?.strip_suffix(close)
}

fn flow_list(mut rest: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    while !rest.trim().is_empty() {
        items.push(flow_scalar(&mut rest, ",")?);
        rest = flow_rest(rest)?;
    }
    Some(items)
}

fn flow_map(mut rest: &str) -> Option<Vec<(String, String)>> {
    let mut entries = Vec::new();
    while !rest.trim().is_empty() {
        let key = flow_scalar(&mut rest, ": ")?;
        rest = rest.strip_prefix(':')?;
        entries.push((key, flow_scalar(&mut rest, ",")?));
        rest = flow_rest(rest)?;
    }
    Some(entries)
}

fn flow_rest(rest: &str) -> Option<&str> {
    rest.strip_prefix(',').or(rest.is_empty().then_some(rest))
}

/// Takes a scalar off `rest`, up to a character of `end`.
///
/// A plain scalar is taken verbatim, and a nested collection as its text. Backslashes have no
/// meaning.
fn flow_scalar(rest: &mut &str, end: &str) -> Option<String> {
    *rest = rest.trim_start();
    if rest.starts_with(['\'', '"']) {
        let text = quoted(rest)?;
        *rest = rest.trim_start();
        return Some(text);
    }
    let mut depth = 0;
    let length = rest.char_indices().find(|&(at, c)| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        depth == 0 && rest[at..].starts_with(end)
    });
    let (text, behind) = rest.split_at(length.map_or(rest.len(), |(at, _)| at));
    *rest = behind;
    let text = text.trim_end();
    (depth == 0 && !matches!(text, "" | "~" | "null")).then(|| text.to_owned())
}

/// Formats an item of a YAML flow list, quoted if the plain form would be read as another text.
pub(super) fn flow_item(item: &str) -> String {
    let mut rest = item;
    let comes_back = flow_scalar(&mut rest, ",").is_some_and(|text| text == item) && rest.is_empty();
    let is_collection = item.starts_with(['[', '{']);
    let is_plain = !item.starts_with(['&', '*', '#', '?', '|', '-', '<', '>', '=', '!', '%', '@', '`', ':', ']', '}'])
        && !item.contains([',', '[', ']', '{', '}', '\n', ':', '?'])
        && !item.contains(" #");
    if comes_back && (is_collection || is_plain) { item.to_owned() } else { format!("'{}'", item.replace('\'', "''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigOption, ReporterConfig};

    #[test]
    fn durations() {
        let second = Duration::from_secs(1);
        for (texts, expected) in [
            (vec!["10s", "10 s", " 10  s ", "10\ts", "10 S", "10 seconds", "PT10S", "pt10s", "PT+10S"], 10 * second),
            (vec!["1 m", "1 Min", "1 minutes", "60000", "PT1M", "PT0H1M0S"], 60 * second),
            (vec!["2 d", "2 days", "48 h", "P2D", "P1DT24H"], 172_800 * second),
            (vec!["5 ms", "5 milli", "5", "PT0.005S", "PT0,005S"], 5 * second / 1_000),
            (vec!["5 us", "5 µs", "5 μs", "5 micros", "5000 ns", "5000 nanos"], 5 * second / 1_000_000),
            (vec!["0", "0 d", "PT0S"], Duration::ZERO),
            (vec!["P1DT2H3M4.5S"], Duration::from_millis(93_784_500)),
            (vec!["106751991167 d"], Duration::from_secs(106_751_991_167 * 86_400)),
        ] {
            for text in texts {
                assert_eq!(duration(text), Some(expected), "{text:?}");
            }
        }
        for text in [
            "",
            " ",
            "s",
            "-5 s",
            "1.5 s",
            "10 parsec",
            "1 s 2 s",
            "+5 s",
            "10 w",
            "99999999999999999999 s",
            "PT-10S",
            "-PT10S",
            "P1W",
            "P",
            "PT",
            "P2DT",
            "PT1.5H",
            "PT1S2M",
            "P1Y",
            "PTS",
            "PT1.+5S",
            "PT1.1234567890S",
            "9223372036854775807 d",
        ] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("5", Some(5)),
            (" 7 b ", Some(7)),
            ("5 bytes", Some(5)),
            ("64mb", Some(64 << 20)),
            ("64 MB", Some(64 << 20)),
            ("64 mebibytes", Some(64 << 20)),
            ("1 kb", Some(1024)),
            ("1g", Some(1 << 30)),
            ("8388607 t", Some(8_388_607 << 40)),
            ("5 byte", None),
            ("1 kib", None),
            ("1.5 g", None),
            ("-1", None),
            ("", None),
            ("99999999999999999999", None),
            ("16777216 t", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }

    /// Checks that `parse` returns the expected items, or `None` for a rejected value.
    fn check<const N: usize>(parse: fn(&RawValue) -> Option<Vec<String>>, cases: [(&str, Option<&[&str]>); N]) {
        for (text, expected) in cases {
            let found = parse(&RawValue::Text(text.to_owned()));
            assert_eq!(
                found.as_deref(),
                expected.map(|items| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>()).as_deref(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn lists() {
        check(
            list,
            [
                ("a;b", Some(&["a", "b"])),
                ("a; b ;c", Some(&["a", "b", "c"])),
                ("", Some(&[])),
                ("  ", Some(&[])),
                (";", Some(&[])),
                (";;", Some(&[""])),
                (";a;", Some(&["a"])),
                ("a;;b", Some(&["a", "", "b"])),
                ("'a;b';c", Some(&["a;b", "c"])),
                ("a; 'b;c' ;d", Some(&["a", "b;c", "d"])),
                ("'it''s';\"a\"\"b\"", Some(&["it's", "a\"b"])),
                ("''", Some(&[""])),
                ("'  a '; b", Some(&["  a ", "b"])),
                ("a'b;c", Some(&["a'b", "c"])),
                ("'a", None),
                ("'a'b", None),
                ("a,b", Some(&["a,b"])),
                ("jobmanager.job:Checkpoint:*;x", Some(&["jobmanager.job:Checkpoint:*", "x"])),
                ("[a, b]", Some(&["a", "b"])),
                (" [a,'b;c', \"d, e\" ] ", Some(&["a", "b;c", "d, e"])),
                ("[ a b , ['c', d], {e: f, g: h}]", Some(&["a b", "['c', d]", "{e: f, g: h}"])),
                ("[a,]", Some(&["a"])),
                ("[]", Some(&[])),
                ("['it''s']", Some(&["it's"])),
                // Flink takes this as a single literal item, which is most likely unintended.
                ("[*:*:*]", Some(&["*:*:*"])),
                ("[,a]", None),
                ("[a, null]", None),
                ("[a, 'b]", None),
                ("[a, [b]", None),
                ("['a' b]", None),
                ("- a\n- b", None),
            ],
        );
        check(
            comma_list,
            [
                (" b , a ", Some(&["b", "a"])),
                ("a,,b,", Some(&["a", "b"])),
                ("", Some(&[])),
                ("a;b", Some(&["a;b"])),
                ("[a, 'b']", Some(&["a", "b"])),
            ],
        );
    }

    #[test]
    fn maps() {
        let parse = |raw: &RawValue| {
            let entries = map(raw)?.into_iter();
            Some(entries.map(|(key, value)| format!("{key}={value}")).collect())
        };
        check(
            parse,
            [
                ("a:1,b:2", Some(&["a=1", "b=2"])),
                ("a: 1 , b : 2", Some(&["a=1", "b=2"])),
                ("", Some(&[])),
                ("a:1,", Some(&["a=1"])),
                (",a:1", Some(&["a=1"])),
                ("a:'b:c'", Some(&["a=b:c"])),
                ("a:''", Some(&["a="])),
                ("'a:1','b:2'", Some(&["a=1", "b=2"])),
                ("\"'a':1\"", Some(&["a=1"])),
                ("a:it's", Some(&["a=it's"])),
                ("a.b:1", Some(&["a.b=1"])),
                ("{a: 1, b: x y}", Some(&["a=1", "b=x y"])),
                (" { a : 'x, y' , \"b\":z, } ", Some(&["a=x, y", "b=z"])),
                ("{a: [x, y], b: {c: d}}", Some(&["a=[x, y]", "b={c: d}"])),
                ("{a: ''}", Some(&["a="])),
                ("{a: http://host:1/p}", Some(&["a=http://host:1/p"])),
                ("{}", Some(&[])),
                ("a", None),
                ("a:", None),
                (":1", None),
                ("a:1,,b:2", None),
                ("a:b:c", None),
                ("a:1,a:2", None),
                ("a:'b,c'", None),
                ("'a,b':c", None),
                ("a:1;b:2", None),
                // Flink does not recognize YAML here and splits the text at its colons.
                ("{a:1}", None),
                ("{a: }", None),
                ("{a: null}", None),
                ("{a: 1, a: 2}", None),
                ("{a}", None),
            ],
        );
    }

    #[test]
    fn map_is_one_value_or_the_keys_below() {
        const MAP: ConfigOption<Vec<(String, String)>> = ConfigOption::map("vars", "");
        for (pairs, expected) in [
            (vec![("vars.b", "2"), ("vars.a.x", "1"), ("varsity", "no")], "a.x=1 b=2"),
            (vec![("vars", "c:3"), ("vars.a", "1")], "c=3"),
            (vec![], "unset"),
        ] {
            let found = ReporterConfig::from_pairs("r", pairs).get(&MAP).unwrap();
            let found =
                found.map(|entries| entries.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "));
            assert_eq!(found.unwrap_or("unset".to_owned()), expected);
        }
    }

    #[test]
    fn list_text_parses_to_the_same_list() {
        let items = [
            "a",
            "x, y",
            "",
            "null",
            "it's",
            "a'b",
            "a: b",
            "#c",
            " lead",
            "é",
            "*:*:*",
            "[n, m]",
            "{k: v}",
            "1.5",
            "new\nline",
            "job:Check",
            "why?",
        ];
        let raw = RawValue::List(items.map(str::to_owned).to_vec());
        assert_eq!(
            raw.to_string(),
            "[a, 'x, y', '', 'null', it's, a'b, 'a: b', '#c', ' lead', é, '*:*:*', [n, m], {k: v}, 1.5, 'new\nline', 'job:Check', 'why?']"
        );
        assert_eq!(list(&RawValue::Text(raw.to_string())), list(&raw));
    }
}
