//! The figures of the page beside those that Flink itself counted in the recording.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::browser::Browser;

/// The figures of a job.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    completed: i64,
    failed: i64,
    longest_ms: i64,
    restores: i64,
}

/// Compares the table of the fleet with the recording, without any code of the product.
pub(crate) fn compare(browser: &mut Browser, url: &str, recording: &Path) -> Result<()> {
    let expected = read(recording)?;
    browser.open(&format!("{url}/#view=fleet"), "Fleet")?;
    let table = browser.evaluate(
        "[...document.querySelectorAll('main table')].map(table => ({
            heads: [...table.querySelectorAll('th')].map(cell => cell.innerText.trim()),
            rows: [...table.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.innerText.trim())),
        }))[0]",
    )?;
    let heads = table["heads"].as_array().context("no table")?;
    let column = |name: &str| heads.iter().position(|head| head == name).with_context(|| format!("no column {name}"));
    let columns = [column("Job")?, column("Completed")?, column("Failed")?, column("Longest")?, column("Restores")?];
    let mut shown = BTreeMap::new();
    for row in table["rows"].as_array().context("no rows")? {
        let [job, completed, failed, longest, restores] =
            columns.map(|column| row[column].as_str().unwrap_or_default().to_owned());
        let name = job.split(" · ").next().unwrap_or_default().to_owned();
        let figures = Figures {
            completed: completed.parse()?,
            failed: failed.parse()?,
            longest_ms: millis(&longest),
            restores: restores.parse()?,
        };
        shown.insert(name, figures);
    }
    for (name, figures) in &expected {
        let found = shown.get(name).with_context(|| format!("the page lacks {name}"))?;
        // The page rounds a duration to 10 ms from 1 s on.
        let is_equal = (found.completed, found.failed, found.restores)
            == (figures.completed, figures.failed, figures.restores)
            && (found.longest_ms - figures.longest_ms).abs() <= if figures.longest_ms < 1_000 { 0 } else { 10 };
        ensure!(is_equal, "{name}: the recording has {figures:?}, the page shows {found:?}");
    }
    ensure!(shown.len() == expected.len(), "the page shows other jobs: {shown:?}");
    Ok(())
}

/// Parses a duration of the page.
fn millis(text: &str) -> i64 {
    match text.split_once(' ') {
        Some((number, "ms")) => number.parse().unwrap_or(-1),
        Some((number, "s")) => number.parse::<f64>().map_or(-1, |seconds| (seconds * 1_000.0).round() as i64),
        _ => 0,
    }
}

/// Reads the counts of Flink and the durations of the checkpoints from a recording.
fn read(recording: &Path) -> Result<BTreeMap<String, Figures>> {
    let mut names = BTreeMap::new();
    let mut jobs: BTreeMap<String, (Figures, BTreeMap<i64, bool>)> = BTreeMap::new();
    for line in BufReader::new(MultiGzDecoder::new(File::open(recording)?)).lines() {
        let exchange: Value = serde_json::from_str(&line?)?;
        let (path, body) = (exchange["path"].as_str().unwrap_or_default(), &exchange["body"]);
        if exchange["method"] != "GET" || exchange["status"] != 200 {
            continue;
        }
        if path == "/jobs/overview" {
            for job in body["jobs"].as_array().into_iter().flatten() {
                let text = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
                names.insert(text("jid"), text("name"));
                jobs.entry(text("jid")).or_default();
            }
        }
        let Some(id) = path.strip_prefix("/jobs/").and_then(|rest| rest.strip_suffix("/checkpoints")) else {
            continue;
        };
        let (figures, failed) = jobs.entry(id.to_owned()).or_default();
        let count = |name: &str| body["counts"][name].as_i64().unwrap_or_default();
        figures.completed = figures.completed.max(count("completed"));
        figures.restores = figures.restores.max(count("restored"));
        for entry in body["history"].as_array().into_iter().flatten() {
            match entry["status"].as_str() {
                Some("FAILED") => drop(failed.insert(entry["id"].as_i64().context("no id")?, true)),
                Some("COMPLETED") => {
                    let took = entry["end_to_end_duration"].as_i64().unwrap_or_default();
                    figures.longest_ms = figures.longest_ms.max(took);
                }
                _ => {}
            }
        }
    }
    let named = jobs.into_iter().map(|(id, (mut figures, failed))| {
        figures.failed = i64::try_from(failed.len()).unwrap_or(i64::MAX);
        (names.remove(&id).unwrap_or(id), figures)
    });
    Ok(named.collect())
}
