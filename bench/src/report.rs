//! Output of the results: a Markdown table, JSON and a plot.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::plan::{JAVA, OURS, ROWS, Row, Target};
use crate::worker::Numbers;

/// The numbers of all rounds, by work, size and program.
pub(crate) type Results = BTreeMap<(String, usize, String), Vec<Numbers>>;

/// A summary of all rounds of one measurement.
#[derive(Debug, Clone, Copy)]
struct Summary {
    median: f64,
    least: f64,
    most: f64,
}

fn summary(results: &Results, row: &Row, by: &str) -> Option<Summary> {
    let samples = results.get(&(row.work.to_owned(), row.size, by.to_owned()))?;
    let mut values: Vec<f64> = samples.iter().filter_map(|numbers| numbers.get(row.number).copied()).collect();
    values.sort_by(f64::total_cmp);
    let median = *values.get(values.len() / 2)?;
    Some(Summary { median, least: *values.first()?, most: *values.last()? })
}

/// Returns the programs that did the work of a row, this workspace first.
fn programs<'a>(results: &'a Results, row: &Row) -> Vec<&'a str> {
    let of_row = results.keys().filter(|(work, size, _)| work == row.work && *size == row.size);
    let mut programs: Vec<&str> = of_row.map(|(_, _, by)| by.as_str()).collect();
    programs.sort_by_key(|by| (*by != OURS, *by == JAVA, *by));
    programs
}

/// Returns the text of a target, and `true` if it is met. `None` means unknown.
fn verdict(results: &Results, row: &Row, target: Target) -> (String, Option<bool>) {
    let ours = summary(results, row, OURS).map(|summary| summary.median);
    let ratio = |peer: &str, more: bool| {
        let (ours, peer) = (ours?, summary(results, row, peer)?.median);
        Some(if more { ours / peer } else { peer / ours })
    };
    let against = |peer: &str, wanted: f64, more: bool| {
        let ratio = ratio(peer, more);
        let shown = ratio.map_or_else(|| "not measured".to_owned(), |ratio| format!("{}×", number(ratio)));
        (format!("{shown} {peer} (≥ {wanted}×)"), ratio.map(|ratio| ratio >= wanted))
    };
    let (unit, per) = row.unit;
    match target {
        Target::Less(peer, wanted) => against(peer, wanted, false),
        Target::More(peer, wanted) => against(peer, wanted, true),
        Target::AtMost(most) => (format!("≤ {} {unit}", number(most / per)), ours.map(|ours| ours <= most)),
        Target::AtLeast(least) => (format!("≥ {} {unit}", number(least / per)), ours.map(|ours| ours >= least)),
        Target::Shown => (String::new(), None),
    }
}

/// Formats a number with three significant digits.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) && digit.is_ascii_digit() && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}

/// Formats the results as a Markdown table. Missed targets are bold.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = "| what | who | median | range | target |\n|---|---|---:|---:|---|\n".to_owned();
    for row in ROWS {
        let (unit, per) = row.unit;
        for (place, by) in programs(results, row).into_iter().enumerate() {
            let Some(Summary { median, least, most }) = summary(results, row, by) else { continue };
            let what = if place == 0 { row.what } else { "" };
            let range = format!("{}–{}", number(least / per), number(most / per));
            let mut targets = Vec::new();
            if by == OURS {
                for target in row.targets {
                    targets.push(match verdict(results, row, *target) {
                        (text, Some(true)) => format!("{text} ✓"),
                        (text, Some(false)) => format!("**{text} missed**"),
                        (text, None) => text,
                    });
                }
            }
            let targets = targets.join("; ");
            let _ = writeln!(text, "| {what} | {by} | {} {unit} | {range} | {targets} |", number(median / per));
        }
    }
    text
}

/// Formats the results as JSON, with the numbers of every round.
pub(crate) fn json(results: &Results, machine: &str, rounds: usize) -> Value {
    let samples: Vec<_> = results
        .iter()
        .map(|((work, size, by), samples)| json!({"work": work, "size": size, "by": by, "goes": samples}))
        .collect();
    let rows: Vec<_> = ROWS
        .iter()
        .filter_map(|row| {
            let ours = summary(results, row, OURS)?;
            let targets: Vec<_> = row
                .targets
                .iter()
                .map(|target| verdict(results, row, *target))
                .map(|(target, is_met)| json!({"target": target, "met": is_met}))
                .collect();
            Some(json!({"what": row.what, "work": row.work, "size": row.size, "number": row.number, "median": ours.median,
                "least": ours.least, "most": ours.most, "targets": targets}))
        })
        .collect();
    json!({"machine": machine, "rounds": rounds, "rows": rows, "goes": samples})
}

/// Plots the ratios to the peers as SVG, with one bar per target on a logarithmic scale.
pub(crate) fn plot(results: &Results) -> String {
    const LEFT: f64 = 430.0;
    const WIDTH: f64 = 380.0;
    const STEP: f64 = 22.0;
    let mut bars = Vec::new();
    for row in ROWS {
        for target in row.targets {
            let (peer, wanted, more) = match *target {
                Target::Less(peer, wanted) => (peer, wanted, false),
                Target::More(peer, wanted) => (peer, wanted, true),
                _ => continue,
            };
            let medians = summary(results, row, OURS).zip(summary(results, row, peer));
            let Some((ours, theirs)) = medians.map(|(ours, theirs)| (ours.median, theirs.median)) else { continue };
            let ratio = if more { ours / theirs } else { theirs / ours };
            bars.push((format!("{}, {peer}", row.what), ratio, wanted));
        }
    }
    let most = bars.iter().fold(1000.0_f64, |most, (_, ratio, _)| most.max(*ratio));
    let x = |ratio: f64| LEFT + ratio.max(1.0).ln() / most.ln() * WIDTH;
    let height = 40.0 + STEP * bars.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"900\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for tick in [1.0, 10.0, 100.0, 1000.0] {
        let x = x(tick);
        let _ = writeln!(svg, "<line x1=\"{x:.1}\" y1=\"20\" x2=\"{x:.1}\" y2=\"{height}\" stroke=\"#dddddd\"/>");
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"14\" text-anchor=\"middle\" fill=\"#555555\">{tick}×</text>");
    }
    for (place, (what, ratio, wanted)) in bars.iter().enumerate() {
        let y = 26.0 + STEP * place as f64;
        let color = if ratio >= wanted { "#3b7dd8" } else { "#d8703b" };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#222222\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"14\" fill=\"{color}\"/>\n\
             <line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#222222\" stroke-width=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#222222\">{}×</text>",
            LEFT - 8.0,
            y + 11.0,
            what.replace('&', "&amp;").replace('<', "&lt;"),
            x(*ratio) - LEFT,
            x(*wanted),
            y - 2.0,
            x(*wanted),
            y + 16.0,
            x(ratio.max(*wanted)) + 6.0,
            y + 11.0,
            number(*ratio),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Writes all three formats to a folder.
pub(crate) fn write(folder: &Path, results: &Results, machine: &str, rounds: usize) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("bench.md"), markdown(results))?;
    std::fs::write(folder.join("bench.json"), serde_json::to_string_pretty(&json(results, machine, rounds))?)?;
    std::fs::write(folder.join("bench.svg"), plot(results))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_has_three_significant_digits() {
        let cases = [
            (0.0, "0"),
            (0.0284, "0.028"),
            (1.0, "1.00"),
            (42.24, "42.2"),
            (360.4, "360"),
            (19_600.0, "19,600"),
            (1_234_567.0, "1,234,567"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn target_is_met_missed_or_unknown() {
        let row = ROWS.iter().find(|row| row.work == "encode").expect("encoding is measured");
        let go = |by: &str, cpu: f64| {
            ((row.work.to_owned(), row.size, by.to_owned()), vec![Numbers::from([("cpu".to_owned(), cpu)])])
        };
        let results = Results::from([go(OURS, 50.0), go("opentelemetry", 1300.0)]);
        let verdict = |target| verdict(&results, row, target);
        assert_eq!(
            verdict(Target::Less("opentelemetry", 20.0)),
            ("26.0× opentelemetry (≥ 20×)".to_owned(), Some(true))
        );
        assert_eq!(verdict(Target::Less("opentelemetry", 27.0)).1, Some(false));
        assert_eq!(verdict(Target::More("opentelemetry", 1.0)).1, Some(false));
        assert_eq!(verdict(Target::Less("prost", 5.0)), ("not measured prost (≥ 5×)".to_owned(), None));
        assert_eq!(
            [Target::AtMost(50.0), Target::AtLeast(50.1)].map(|target| verdict(target).1),
            [Some(true), Some(false)]
        );
        assert!(markdown(&results).contains("| encoding alone, a span | flink-traces | 50.0 ns |"));
    }
}
