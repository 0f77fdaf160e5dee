//! `flink-conf.yaml`, which looks like YAML but is lines of `key: value`. Read as Flink up to 1.20 does.

use flink_traces_api::RawValue;

use super::collector::Collector;
use super::problem::Problem;

pub(super) fn parse(text: &str, collector: &mut Collector) {
    let text = match text.strip_prefix('\u{feff}') {
        Some(text) => {
            collector.report(1, 1, Problem::warning("Flink takes the byte order mark for a part of the first key"));
            text
        }
        None => text,
    };
    // Java's readLine ends lines at a lone carriage return, too.
    for (number, line) in text.replace("\r\n", "\n").split(['\n', '\r']).enumerate() {
        let content = line.split('#').next().unwrap_or_default();
        let start = content.len() - content.trim_start_matches(is_blank).len();
        let content = content.trim_matches(is_blank);
        let (line, column) = (number + 1, line[..start].chars().count() + 1);
        if content.is_empty() {
            continue;
        }
        let Some((key, value)) = content.split_once(": ") else {
            // Not shown: it may be a secret.
            let message = "no key and value, the line is skipped; a blank must follow the colon";
            collector.report(line, column, Problem::warning(message));
            continue;
        };
        let (key, value) = (key.trim_matches(is_blank), value.trim_matches(is_blank));
        match key.is_empty() || value.is_empty() {
            true => collector.report(line, column, Problem::warning("key or value is empty, the line is skipped")),
            false => collector.set(key, RawValue::Text(value.to_owned()), line, column),
        }
    }
}

/// What Java's `String.trim` takes away.
fn is_blank(c: char) -> bool {
    c <= ' '
}
