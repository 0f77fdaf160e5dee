//! `cargo e2e page`: the figures of the page beside those of Flink's own web UI.
//!
//! A job of a real cluster fails, recovers and is canceled. Then both must show the same counts,
//! and the same last checkpoint.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_rest::Client;
use harness::flink::{Distribution, VERSION};
use harness::{build, free_ports, recreate, say};
use serde_json::Value;
use tokio::time::sleep;

use crate::browser::open;
use crate::cluster::Cluster;
use crate::program::Program;
use crate::session::{STEP_TIMEOUT, run_until_interrupted};
use crate::{job, target};

/// The time from the start of the job until its first attempt fails.
const FAILS_AFTER: &str = "8000";
/// The time of the job after its recovery, and of the program after the job.
const UNDISTURBED: Duration = Duration::from_secs(5);

/// The figures of a job that both show.
///
/// Flink also counts failed triggers, which have no id and no record, so failures are not compared.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    completed: i64,
    restored: i64,
    last_id: i64,
    /// The duration of the last completed checkpoint, as Flink writes it.
    last_duration: String,
    /// Its sizes, as Flink writes them.
    last_checkpointed_size: String,
    last_full_size: String,
}

/// Runs the session. All processes end with it, even after an interruption.
pub(crate) fn run() -> Result<()> {
    let folder = target("page-session")?;
    recreate(&folder)?;
    let distribution = Distribution::prepare(VERSION)?;
    let jar = job::compile(&distribution)?;
    let binary = build("flink-traces")?;
    run_until_interrupted(session(&distribution, &jar, &binary, &folder), &folder)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn session(distribution: &Distribution, jar: &Path, binary: &Path, folder: &Path) -> Result<()> {
    say("starting the cluster and flink-traces");
    let cluster = Cluster::start(distribution, folder, &[]).await?;
    let [port, _] = free_ports()?;
    let listen = format!("flink-traces.http.listen={port}");
    let history = folder.join("history").display().to_string();
    let arguments = ["--flink", &format!("e2e={}", cluster.rest.url()), "--history", &history];
    let program = Program::start_with(binary, folder, &arguments, &[&listen])?;

    say("running a job that fails and recovers");
    let job = cluster.rest.submit(jar, 2, &[FAILS_AFTER, "fail-once"]).await?;
    cluster.rest.wait_for_recovery(&job, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;
    cluster.rest.cancel(&job, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;

    say("reading Flink's web UI");
    let url = format!("{}/#/job/completed/{job}/checkpoints", cluster.rest.url());
    let shown = text_of(&open(folder, &url, "--dump-dom").await?);
    fs::write(folder.join("web-ui.txt"), &shown)?;
    let flink = of_flink(&shown).context("the web UI shows other texts than expected; see web-ui.txt")?;
    say("reading the page");
    let page = of_page(&Client::new(&format!("http://127.0.0.1:{port}"))?).await?;
    ensure!(flink == page, "Flink shows {flink:?}, and the page shows {page:?}");
    ensure!(flink.completed > 5 && flink.restored == 1, "the session has too little: {flink:?}");
    println!("both show {flink:?}");
    program.stop().await?;
    cluster.stop().await
}

/// Returns the text of a document, without tags and with single blanks.
fn text_of(document: &str) -> String {
    let mut text = String::new();
    for part in document.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads the figures from the text of Flink's page of checkpoints.
fn of_flink(text: &str) -> Option<Figures> {
    let after = |text: &str, label: &str| text.split_once(label).map(|(_, rest)| rest.trim().to_owned());
    let number = |label: &str| after(text, label)?.split(' ').next()?.parse().ok();
    let last = after(text, "Latest Completed Checkpoint")?;
    let field = |label: &str, end: &str| Some(after(&last, label)?.split_once(end)?.0.trim().to_owned());
    Some(Figures {
        completed: number("Completed:")?,
        restored: number("Restored:")?,
        last_id: field("ID:", "Completion")?.parse().ok()?,
        last_duration: field("End to End Duration:", "Checkpointed")?,
        last_checkpointed_size: field("Checkpointed Data Size:", "Full")?,
        last_full_size: field("Full Checkpoint Data Size:", "Checkpoint")?,
    })
}

/// Reads the figures that the page shows about its only job.
async fn of_page(page: &Client) -> Result<Figures> {
    let ask = async |path: String| -> Result<Value> {
        let response = page.get_raw(&path).await?;
        ensure!(response.status == 200, "{path}: status {}", response.status);
        Ok(serde_json::from_slice(&response.body)?)
    };
    let fleet = ask("/api/fleet".to_owned()).await?;
    let [job] = fleet["jobs"].as_array().map_or(&[][..], Vec::as_slice) else { anyhow::bail!("expected one job") };
    let view = ask(format!("/api/job?job={}", job["job"])).await?;
    let completed = view["checkpoints"].as_array().into_iter().flatten().rfind(|row| row["failed"] == false);
    let last = completed.context("no completed checkpoint")?;
    let number = |value: &Value, name: &str| value[name].as_i64().with_context(|| format!("{name} is missing"));
    Ok(Figures {
        completed: number(&job["totals"], "completed")?,
        restored: number(&job["totals"], "restores")?,
        last_id: number(last, "id")?,
        last_duration: duration(number(last, "duration_ms")?),
        last_checkpointed_size: size(number(last, "checkpointed_size")?),
        last_full_size: size(number(last, "full_size")?),
    })
}

/// Formats a duration as Flink's web UI does.
fn duration(millis: i64) -> String {
    if millis < 1_000 { format!("{millis}ms") } else { format!("{}s {}ms", millis / 1_000, millis % 1_000) }
}

/// Formats a size as Flink's web UI does: in three digits.
fn size(bytes: i64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["KB", "MB", "GB"] {
        if value >= 1_000.0 {
            (value, unit) = (value / 1_024.0, larger);
        }
    }
    let decimals = if unit == "B" || value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_text_of_the_web_ui() {
        let document = "<p>Completed: <b>14</b></p> Failed: 4 Restored: 1 Latest Completed Checkpoint ID: 13 \
                        Completion Time: now End to End Duration: 203ms Checkpointed Data Size: 120 KB \
                        Full Checkpoint Data Size: 191 KB Checkpoint Detail:";
        let expected = Figures {
            completed: 14,
            restored: 1,
            last_id: 13,
            last_duration: duration(203),
            last_checkpointed_size: size(122_880),
            last_full_size: size(195_600),
        };
        assert_eq!(of_flink(&text_of(document)), Some(expected));
        assert_eq!([530, 3_881, 71_577].map(size), ["530 B", "3.79 KB", "69.9 KB"]);
    }
}
