//! Tables and charts as HTML and SVG. All text from jobs is escaped.

use std::fmt::Write as _;

use flink_traces_history::query::{Cell, CheckpointRow};

use crate::text::{duration, one_line, timestamp};

/// The maximum length of a text, in characters.
const MAX_TEXT: usize = 400;

/// The beginning of the page. The policy forbids scripts and all requests.
pub(super) const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>Flink jobs</title>
<style>
:root { color-scheme: light dark; --bg: #fff; --fg: #1b1f24; --soft: #59636e; --line: #d1d9e0; --bad: #b3261e; --plain: #0969da;
  --delay: #8250df; --align: #bf8700; --sync: #0969da; --async: #1a7f37; --rest: #8c959f; }
@media screen and (prefers-color-scheme: dark) { :root { --bg: #0d1117; --fg: #e6edf3; --soft: #9198a1; --line: #3d444d; --bad: #ff7b72; --plain: #79c0ff; } }
body { background: var(--bg); color: var(--fg); font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; }
td { max-width: 28rem; }
th { border-bottom: 2px solid var(--line); }
.lead { font-size: 1.15rem; } .soft { color: var(--soft); }
svg { display: block; max-width: 100%; } h3 { overflow-wrap: anywhere; }
section { break-inside: avoid; } tr { break-inside: avoid; }
@page { size: A4; margin: 14mm; }
@media print { body { font-size: 10px; margin: 0; max-width: none; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
</style>
</head>
<body>
";

/// The end of the page.
pub(super) const FOOT: &str = "<p class=\"soft\">Written by flink-traces. All times are UTC.</p>\n</body>\n</html>\n";

/// Escapes text from jobs. Control characters become visible.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in one_line(text, MAX_TEXT).chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

/// A table, row by row.
pub(super) struct Table(String);

impl Table {
    /// Begins a table with these heads.
    pub(super) fn new(heads: &[&str]) -> Self {
        let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{}</th>", escaped(head))).collect();
        Self(format!("<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n<tr>"))
    }

    /// Adds a cell of HTML to the current row.
    pub(super) fn cell(&mut self, html: &str) {
        let _ = write!(self.0, "<td>{html}</td>");
    }

    /// Ends the current row.
    pub(super) fn end_row(&mut self) {
        self.0 += "</tr>\n<tr>";
    }

    /// Adds a row of text.
    pub(super) fn row(&mut self, texts: &[String]) {
        texts.iter().for_each(|text| self.cell(&escaped(text)));
        self.end_row();
    }

    /// Returns the table.
    pub(super) fn finish(self) -> String {
        let rows = self.0.strip_suffix("<tr>").unwrap_or(&self.0).to_owned();
        rows + "</tbody>\n</table>\n"
    }
}

/// Draws the worst duration of each slice as a bar against the timeout.
pub(super) fn strip(cells: &[Cell], slices: i64, timeout_ms: Option<i64>) -> String {
    const WIDTH: f64 = 180.0;
    const HEIGHT: f64 = 18.0;
    let step = WIDTH / slices.max(1) as f64;
    let longest = cells.iter().map(|cell| cell.max_ms).max().unwrap_or(0).max(1);
    // Against a timeout of ten minutes, a usual bar could not be seen.
    let top = timeout_ms.filter(|timeout| *timeout < longest * 4).unwrap_or(longest).max(longest) as f64;
    let mut svg = format!(
        "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"longest {}\"><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"var(--line)\" opacity=\"0.5\"/>",
        duration(longest)
    );
    for cell in cells {
        let (x, width) = (cell.slice as f64 * step, step.max(1.0));
        let mut bar = |height: f64, fill: &str| {
            let y = HEIGHT - height;
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
            );
        };
        if cell.failed > 0 {
            bar(HEIGHT, "var(--bad)");
        }
        if cell.completed > 0 {
            bar((cell.max_ms as f64 / top * HEIGHT).max(1.0), "var(--plain)");
        }
        if cell.down_ms > 0 {
            bar(4.0, "var(--fg)");
        }
    }
    svg + "</svg>"
}

/// Draws the duration of each checkpoint as a stack of phases.
pub(super) fn bars(checkpoints: &[CheckpointRow], timeout_ms: Option<i64>) -> String {
    const HEIGHT: f64 = 110.0;
    let width = (900.0 / checkpoints.len().max(1) as f64).clamp(2.0, 16.0);
    let all = width * checkpoints.len() as f64;
    let longest = checkpoints.iter().map(|row| row.duration_ms).max().unwrap_or(0).max(1);
    let scale = HEIGHT / longest as f64;
    let mut svg = format!(
        "<svg width=\"{all:.0}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"durations of {} checkpoints, longest {}\">",
        checkpoints.len(),
        duration(longest)
    );
    for (index, row) in checkpoints.iter().enumerate() {
        let x = index as f64 * width;
        let took = duration(row.duration_ms);
        let result = if row.failed { "failed after" } else { "took" };
        let _ = write!(svg, "<g><title>{} at {}, {result} {took}</title>", row.id, escaped(&timestamp(row.trigger_ms)));
        let mut y = HEIGHT;
        let mut part = |millis: i64, fill: &str| {
            let height = millis as f64 * scale;
            y -= height;
            let bar = width - if width > 4.0 { 1.0 } else { 0.0 };
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{bar:.1}\" height=\"{height:.1}\" fill=\"var(--{fill})\"/>"
            );
        };
        match row.phases.filter(|_| !row.failed) {
            Some(phases) => {
                let fills = ["delay", "align", "sync", "async", "rest"];
                phases
                    .named()
                    .into_iter()
                    .zip(fills)
                    .filter(|((_, millis), _)| *millis > 0)
                    .for_each(|((_, millis), fill)| part(millis, fill));
            }
            None => part(row.duration_ms, if row.failed { "bad" } else { "plain" }),
        }
        svg += "</g>";
    }
    svg += "</svg>\n";
    let timeout = timeout_ms.map_or_else(|| "unknown".to_owned(), duration);
    svg + &format!(
        "<p class=\"soft\">{} checkpoints, longest {}, timeout {timeout}. From below: waiting for the barrier (violet), aligning (yellow), \
         synchronous part (blue), asynchronous part (green), the rest (gray). Failed: red.</p>\n",
        checkpoints.len(),
        duration(longest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_jobs_is_escaped() {
        for (text, expected) in [
            ("<script>alert('1')</script>", "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"),
            ("\"&\"", "&quot;&amp;&quot;"),
            ("two\nlines", "two\\u{a}lines"),
            ("\u{202e}gpj", "\\u{202e}gpj"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        assert_eq!(escaped(&"x".repeat(1_000)).chars().count(), MAX_TEXT + 1);
    }
}
