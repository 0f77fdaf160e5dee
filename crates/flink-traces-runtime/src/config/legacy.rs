//! The parser of `flink-conf.yaml`, as in Flink up to 1.20.
//!
//! The file looks like YAML, but consists of lines of `key: value`.

use flink_traces_api::RawValue;

use super::collector::Collector;
use super::problem::Problem;

pub(super) fn parse(text: &str, collector: &mut Collector) {
    let text = match text.strip_prefix('\u{feff}') {
        Some(text) => {
            collector.report(1, 1, Problem::warning("in Flink, the byte order mark becomes part of the first key"));
            text
        }
        None => text,
    };
    // Java's `readLine` also ends a line at a lone carriage return.
    for (number, line) in text.replace("\r\n", "\n").split(['\n', '\r']).enumerate() {
        let content = line.split('#').next().unwrap_or_default();
        // A comment has a blank before it.
        let is_cut = content.len() < line.len() && !content.ends_with(is_blank);
        let start = content.len() - content.trim_start_matches(is_blank).len();
        let content = content.trim_matches(is_blank);
        let (line, column) = (number + 1, line[..start].chars().count() + 1);
        if content.is_empty() {
            continue;
        }
        let Some((key, value)) = content.split_once(": ") else {
            // The line may contain a secret, so the message does not quote it.
            let message = "line skipped: expected `key: value`, with a blank after the colon";
            collector.report(line, column, Problem::warning(message));
            continue;
        };
        let (key, value) = (key.trim_matches(is_blank), value.trim_matches(is_blank));
        if key.is_empty() || value.is_empty() {
            collector.report(line, column, Problem::warning("line skipped: empty key or value"))
        } else {
            collector.set(key, RawValue::Text(value.to_owned()), line, column);
            if is_cut {
                let message = "value cut at `#`, as in Flink; only config.yaml can hold a value with `#`";
                collector.report(line, column, Problem::warning(message).about(key));
            }
        }
    }
}

/// Returns `true` for the characters that Java's `String.trim` removes.
fn is_blank(c: char) -> bool {
    c <= ' '
}
