//! The command `report`: one HTML file about a period, readable without scripts and on paper.

mod html;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use flink_traces_history::query::{FailureGroup, Fleet, FleetJob, RecoveryCard, Totals, Window};
use flink_traces_history::{History, HistoryError};
use flink_traces_observer::recording::RecordingReader;
use flink_traces_runtime::Problem;

use crate::cli::{Exit, ReportArgs};
use crate::load::{InvalidConfiguration, Settings};
use crate::page::history_directory;
use crate::private;
use crate::recorded::{TemporaryDirectory, into_history};
use crate::text::{bytes, count, duration, say, timestamp};
use html::{Table, bars, escaped, strip};

/// The maximum number of jobs in the table.
const MAX_JOBS: usize = 1_000;
/// The number of jobs with a chart of their own.
const CHARTS: usize = 10;
/// The maximum number of checkpoints in a chart.
const MAX_BARS: usize = 300;
/// The maximum number of rows of other tables.
const MAX_ROWS: usize = 100;
/// The number of slices of a recording.
const SLICES: i64 = 60;

/// Writes the report of a history or of a recording.
pub(crate) fn report(arguments: &ReportArgs) -> anyhow::Result<Exit> {
    match &arguments.from {
        Some(file) => {
            let directory = TemporaryDirectory::create()?;
            let reader = RecordingReader::open(file)?;
            into_history(reader, &arguments.configuration, directory.path())
                .with_context(|| file.display().to_string())?;
            write(directory.path(), None, &arguments.output)?;
        }
        None => {
            let settings = Settings::load(&arguments.configuration, &[])?;
            let Some(directory) = history_directory(&settings.reporters) else {
                let message = "no history: give --history DIR or --from FILE, or configure a history reporter";
                return Err(InvalidConfiguration(vec![Problem::error(message)]).into());
            };
            write(&directory, Some(arguments.since), &arguments.output)?;
        }
    }
    say(&format!("Report in {}\n", arguments.output.display()));
    Ok(Exit::Done)
}

/// Writes the report of the last period of a history, or of all of it.
pub(crate) fn write(directory: &Path, since: Option<Duration>, output: &Path) -> anyhow::Result<()> {
    let history = History::open(directory)?;
    let end_ms = history.end_ms()?;
    let window = match since {
        Some(since) => Window::before(end_ms, i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        None => Window { from_ms: history.extent()?.first_ms.unwrap_or(end_ms), to_ms: end_ms.saturating_add(1) },
    };
    let text = render(&history, window)?;
    let file = private::options().create(true).truncate(true).open(output);
    file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| output.display().to_string())
}

/// The content of a report.
struct Content<'a> {
    history: &'a History,
    window: Window,
    fleet: Fleet,
    before: Totals,
    recoveries: Vec<RecoveryCard>,
    recoveries_before: Vec<RecoveryCard>,
    failures: Vec<FailureGroup>,
}

/// Returns the report of a period as HTML.
fn render(history: &History, window: Window) -> Result<String, HistoryError> {
    let before = Window { from_ms: window.from_ms.saturating_sub(window.length_ms()), to_ms: window.from_ms };
    let mut fleet = history.fleet(window, SLICES)?;
    fleet.jobs.sort_by_key(|job| std::cmp::Reverse(badness(job)));
    let content = Content {
        history,
        window,
        fleet,
        before: history.fleet(before, 1)?.total,
        recoveries: history.recoveries(None, window, 10_000)?,
        recoveries_before: history.recoveries(None, before, 10_000)?,
        failures: history.failures(window, MAX_ROWS)?,
    };
    let mut page = String::from(html::HEAD);
    let period = format!("{} to {}", timestamp(window.from_ms), timestamp(window.to_ms));
    let _ = write!(page, "<h1>Flink jobs</h1>\n<p class=\"soft\">{}</p>\n", escaped(&period));
    page += &content.verdict();
    page += &content.objectives();
    page += &content.jobs();
    page += &content.failures();
    page += &content.recoveries();
    page += &content.charts()?;
    page += &content.account()?;
    page += html::FOOT;
    Ok(page)
}

/// Returns a number that is larger for a job that needs more attention.
fn badness(job: &FleetJob) -> (i64, i64, i64) {
    let Totals { failed, failures, down_ms, max_ms, .. } = &job.totals;
    let of_timeout = max_ms.unwrap_or(0).saturating_mul(100) / job.timeout_ms.unwrap_or(600_000).max(1);
    (down_ms / 60_000, failed + failures, of_timeout)
}

/// Returns the share of completed checkpoints as text.
fn success(totals: &Totals) -> String {
    let all = totals.completed + totals.failed;
    if all == 0 { "unknown".to_owned() } else { format!("{:.1} %", 100.0 * totals.completed as f64 / all as f64) }
}

/// Formats a duration that may be unknown.
fn known(millis: Option<i64>) -> String {
    millis.map_or_else(|| "unknown".to_owned(), duration)
}

fn title(name: &str, cluster: &str) -> String {
    if cluster.is_empty() { name.to_owned() } else { format!("{name} · {cluster}") }
}

/// Returns the 95th percentile of the downtimes and the sum of the lost work.
fn costs(recoveries: &[RecoveryCard]) -> (Option<i64>, i64) {
    let mut down: Vec<i64> = recoveries.iter().filter_map(|card| card.down_ms).collect();
    down.sort_unstable();
    let p95 = down.get((down.len() * 95).div_ceil(100).saturating_sub(1)).copied();
    (p95, recoveries.iter().filter_map(|card| card.lost_ms).sum())
}

impl Content<'_> {
    /// Returns three sentences: checkpoints, outages, and what to look at first.
    fn verdict(&self) -> String {
        let total = &self.fleet.total;
        let all = total.completed + total.failed;
        let jobs = count(self.fleet.jobs.len() as i64, "job");
        let first = if all == 0 {
            format!("No checkpoint of {jobs} is known in this period.")
        } else {
            format!(
                "{} of {all} checkpoints of {jobs} completed, 95 % of them within {}.",
                total.completed,
                known(total.p95_ms)
            )
        };
        let second = format!(
            "There were {} and {}, and jobs were down for {} in all.",
            count(total.failures, "failure"),
            count(total.restores, "restore"),
            duration(total.down_ms)
        );
        let third = match self.fleet.jobs.first().filter(|job| badness(job) > (0, 0, 79) || job.totals.failed > 0) {
            Some(job) => format!(
                "Look at {} first: {} failed, the longest took {}, and it was down for {}.",
                title(&job.name.name, &job.name.cluster),
                count(job.totals.failed, "checkpoint"),
                known(job.totals.max_ms),
                duration(job.totals.down_ms)
            ),
            None => "No job needs attention.".to_owned(),
        };
        format!("<p class=\"lead\">{} {} {}</p>\n", escaped(&first), escaped(&second), escaped(&third))
    }

    fn objectives(&self) -> String {
        let (now, before) = (&self.fleet.total, &self.before);
        let ((down, lost), (down_before, lost_before)) = (costs(&self.recoveries), costs(&self.recoveries_before));
        let mut table = Table::new(&["Objective", "This period", "The period before"]);
        let mut row = |name: &str, now: String, before: String| table.row(&[name.to_owned(), now, before]);
        row("Checkpoints that completed", success(now), success(before));
        row("Half of them took at most", known(now.p50_ms), known(before.p50_ms));
        row("95 % took at most", known(now.p95_ms), known(before.p95_ms));
        row("99 % took at most", known(now.p99_ms), known(before.p99_ms));
        row("Longest", known(now.max_ms), known(before.max_ms));
        row("Time down, over all jobs", duration(now.down_ms), duration(before.down_ms));
        row("Failures", now.failures.to_string(), before.failures.to_string());
        row("Restores", now.restores.to_string(), before.restores.to_string());
        row("95 % of outages took at most", known(down), known(down_before));
        row("Work lost, over all jobs", duration(lost), duration(lost_before));
        row("Checkpoints that no poll saw", now.missed.to_string(), before.missed.to_string());
        format!("<h2>Objectives</h2>\n{}", table.finish())
    }

    fn jobs(&self) -> String {
        let columns = [
            "Job",
            "Status",
            "Worst duration over time",
            "Success",
            "p95",
            "Longest",
            "Timeout",
            "Down",
            "Failures",
            "Restores",
            "Size",
        ];
        let slices = self.fleet.window.length_ms() / self.fleet.slice_ms.max(1);
        let mut table = Table::new(&columns);
        for job in self.fleet.jobs.iter().take(MAX_JOBS) {
            let totals = &job.totals;
            table.cell(&escaped(&title(&job.name.name, &job.name.cluster)));
            table.cell(&escaped(job.status.as_deref().unwrap_or("unknown")));
            table.cell(&strip(&job.cells, slices, job.timeout_ms));
            for text in [
                success(totals),
                known(totals.p95_ms),
                known(totals.max_ms),
                known(job.timeout_ms),
                duration(totals.down_ms),
                totals.failures.to_string(),
                totals.restores.to_string(),
                totals.last_size.map_or_else(|| "unknown".to_owned(), bytes),
            ] {
                table.cell(&escaped(&text));
            }
            table.end_row();
        }
        let mut text = format!("<h2>Jobs, worst first</h2>\n{}", table.finish());
        if self.fleet.jobs.len() > MAX_JOBS {
            let _ = writeln!(text, "<p>{} more jobs are not listed.</p>", self.fleet.jobs.len() - MAX_JOBS);
        }
        text + "<p class=\"soft\">Red: a checkpoint failed. Black: the job was down. Gray: no checkpoint is known.</p>\n"
    }

    fn failures(&self) -> String {
        if self.failures.is_empty() {
            return "<h2>Failures by cause</h2>\n<p>No failure is known in this period.</p>\n".to_owned();
        }
        let mut table = Table::new(&["Cause", "Failures", "Jobs", "Clusters", "First", "Last", "Message of the last"]);
        for group in &self.failures {
            table.row(&[
                group.fingerprint.clone(),
                group.count.to_string(),
                group.jobs_total.to_string(),
                group.clusters_total.to_string(),
                timestamp(group.first_ms),
                timestamp(group.last_ms),
                group.message.clone().unwrap_or_else(|| "unknown".to_owned()),
            ]);
        }
        format!("<h2>Failures by cause</h2>\n{}", table.finish())
    }

    fn recoveries(&self) -> String {
        let restores: Vec<_> =
            self.recoveries.iter().filter(|card| card.cause.is_some() || card.checkpoint_id.is_some()).collect();
        if restores.is_empty() {
            return "<h2>Recoveries</h2>\n<p>No recovery is known in this period.</p>\n".to_owned();
        }
        let mut table =
            Table::new(&["Job", "Start", "Cause", "Restored checkpoint", "Initialization", "Down", "Work lost"]);
        for card in restores.iter().rev().take(MAX_ROWS) {
            table.row(&[
                title(&card.name.name, &card.name.cluster),
                timestamp(card.start_ms),
                card.cause.as_ref().map_or_else(|| "unknown".to_owned(), |(_, text)| text.clone()),
                card.checkpoint_id.map_or_else(|| "none".to_owned(), |id| id.to_string()),
                duration(card.end_ms.saturating_sub(card.start_ms)),
                known(card.down_ms),
                known(card.lost_ms),
            ]);
        }
        format!("<h2>Recoveries</h2>\n{}", table.finish())
    }

    /// Returns the durations and the stragglers of the worst jobs.
    fn charts(&self) -> Result<String, HistoryError> {
        let mut text = "<h2>The worst jobs</h2>\n".to_owned();
        for job in self.fleet.jobs.iter().take(CHARTS) {
            let Some(view) = self.history.job(job.name.job, self.window, MAX_BARS)? else { continue };
            if view.checkpoints.is_empty() {
                continue;
            }
            let _ = writeln!(text, "<section><h3>{}</h3>", escaped(&title(&job.name.name, &job.name.cluster)));
            text += &bars(&view.checkpoints, job.timeout_ms);
            let slowest = view.checkpoints.iter().filter(|row| !row.failed).max_by_key(|row| row.duration_ms);
            let worst = view.checkpoints.iter().rev().find(|row| row.failed).into_iter().chain(slowest);
            for row in worst {
                if let Some(found) = self.history.checkpoint(job.name.job, row.trigger_ms, row.id)? {
                    let _ =
                        writeln!(text, "<p>{}, {}</p>", escaped(&timestamp(row.trigger_ms)), escaped(&found.sentence));
                }
            }
            if let Some(found) = self.history.stragglers(job.name.job, self.window, None, 0)?
                && !found.critical.is_empty()
            {
                let mut table = Table::new(&["Acknowledged last", "Subtask", "Host", "Times", "Mean duration"]);
                for critical in found.critical.iter().take(5) {
                    table.row(&[
                        critical.task.clone(),
                        critical.subtask.map_or_else(|| "unknown".to_owned(), |index| index.to_string()),
                        critical.host.clone().unwrap_or_else(|| "unknown".to_owned()),
                        critical.times.to_string(),
                        duration(critical.mean_ms),
                    ]);
                }
                text += &table.finish();
            }
            text += "</section>\n";
        }
        Ok(text)
    }

    /// Returns what the history does not have.
    fn account(&self) -> Result<String, HistoryError> {
        let extent = self.history.extent()?;
        let mut table = Table::new(&["Account", ""]);
        let first = extent.first_ms.map_or_else(|| "unknown".to_owned(), timestamp);
        table.row(&["History since".to_owned(), first]);
        table.row(&["Checkpoints that no poll saw".to_owned(), self.fleet.total.missed.to_string()]);
        table.row(&["Records that were older than the retention".to_owned(), extent.expired.to_string()]);
        table.row(&["Size of the history".to_owned(), bytes(i64::try_from(extent.bytes).unwrap_or(i64::MAX))]);
        Ok(format!("<h2>Account</h2>\n{}", table.finish()))
    }
}
