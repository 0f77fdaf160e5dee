//! The text formats of a metrics page.

use std::fmt::{Display, Write};

/// The format of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Returns the format that an `Accept` header asks for.
    ///
    /// The result is [`OpenMetrics`](Self::OpenMetrics) only if the header names it with a version
    /// that this program writes.
    pub fn accepted(header: &str) -> Self {
        let is_open_metrics = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
            let parameters: Vec<_> = parts.collect();
            let version = parameters.iter().find_map(|parameter| parameter.strip_prefix("version="));
            let is_refused = parameters.iter().any(|parameter| matches!(*parameter, "q=0" | "q=0.0"));
            is_named && !is_refused && matches!(version, None | Some("1.0.0" | "\"1.0.0\""))
        };
        if header.split(',').any(is_open_metrics) { Self::OpenMetrics } else { Self::Text }
    }

    /// Returns the media type of the format.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A value that only grows. Its name ends with `_total`.
    Counter,
    /// A value that goes up and down.
    Gauge,
}

/// The labels of a sample as text, with escaped values.
#[derive(Debug, Clone, Default)]
pub struct Labels(String);

impl Labels {
    /// Builds the text of labels.
    pub fn new(labels: &[(&str, &str)]) -> Self {
        labels.iter().fold(Self::default(), |all, (key, value)| all.with(key, value))
    }

    /// Adds a label.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        push_label(&mut self.0, key, value);
        self
    }
}

/// Adds a label with an escaped value to a text.
fn push_label(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(character),
        }
    }
    text.push('"');
}

/// A metrics page that is being written.
#[derive(Debug)]
pub struct Page {
    format: Format,
    text: String,
}

impl Page {
    /// Creates an empty page.
    pub fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// Adds the head of a metric, whose samples follow.
    pub fn head(&mut self, name: &str, kind: Kind, help: &str) {
        // OpenMetrics names the family of a counter without the suffix of its samples.
        let family = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {family} {help}\n# TYPE {family} {kind}");
    }

    /// Adds a sample of the metric that was begun last.
    pub fn sample(&mut self, name: &str, labels: &Labels, value: impl Display) {
        for part in [name, "{", &labels.0, "} "] {
            self.text.push_str(part);
        }
        let _ = writeln!(self.text, "{value}");
    }

    /// Adds a sample with one more label.
    pub fn sample_with(&mut self, name: &str, labels: &Labels, (key, of): (&str, &str), value: impl Display) {
        let comma = if labels.0.is_empty() { "" } else { "," };
        for part in [name, "{", &labels.0, comma] {
            self.text.push_str(part);
        }
        push_label(&mut self.text, key, of);
        let _ = writeln!(self.text, "}} {value}");
    }

    /// Makes room for that many bytes, so that a long page is not moved while it grows.
    pub fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
    }

    /// Returns the text of the page.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::new(Format::Text);
        page.sample("m", &Labels::new(&[("a", "x\"y\\z\n"), ("b", "")]), 7);
        page.sample_with("m", &Labels::new(&[("a", "x")]), ("b", "\""), 7);
        page.sample_with("m", &Labels::default(), ("b", ""), 7);
        let lines = ["m{a=\"x\\\"y\\\\z\\n\",b=\"\"} 7", "m{a=\"x\",b=\"\\\"\"} 7", "m{b=\"\"} 7", ""];
        assert_eq!(page.finish(), lines.join("\n"));
    }

    #[test]
    fn formats_differ_in_counters_and_end() {
        let page = |format| {
            let mut page = Page::new(format);
            page.head("up", Kind::Gauge, "Help.");
            page.sample("up", &Labels::default(), 0.5);
            page.head("requests_total", Kind::Counter, "Help.");
            page.sample("requests_total", &Labels::default(), 2);
            page.finish()
        };
        let text = "# HELP up Help.\n# TYPE up gauge\nup{} 0.5\n\
                    # HELP requests_total Help.\n# TYPE requests_total counter\nrequests_total{} 2\n";
        assert_eq!(page(Format::Text), text);
        let open_metrics = text.replace("# HELP requests_total", "# HELP requests");
        let open_metrics = open_metrics.replace("# TYPE requests_total", "# TYPE requests");
        assert_eq!(page(Format::OpenMetrics), format!("{open_metrics}# EOF\n"));
    }

    #[test]
    fn accept_header_selects_the_format() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (header, expected) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; version=1.0.0", Format::OpenMetrics),
            ("application/openmetrics-text; version=2.0.0", Format::Text),
            ("application/openmetrics-text; version=1.0.0; q=0", Format::Text),
        ] {
            assert_eq!(Format::accepted(header), expected, "{header}");
        }
    }
}
