//! The command `once`.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use flink_rest::types::{CheckpointStatistics, CheckpointingStatistics, JobDetails};
use flink_rest::{Checkpoints, Config, Endpoint, Error, JobsOverview, Overview};
use flink_traces_api::{Clock, SystemClock};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::cli::{Exit, OnceArgs, TableFormat};
use crate::connection::Connection;
use crate::load::{InvalidConfiguration, Settings};
use crate::text::{bytes, count, duration, one_line, print, say, timestamp};

/// The maximum number of ended jobs of a cluster that are shown by default.
const MAX_ENDED: usize = 10;
/// The maximum length of a name on a terminal, in characters, and that in a pipe.
const MAX_NAME_CHARS: usize = 40;
const MAX_PIPED_CHARS: usize = 1_000;

/// Prints the jobs and their checkpoints of each cluster.
pub(crate) async fn once(arguments: &OnceArgs) -> anyhow::Result<Exit> {
    let OnceArgs { clusters, format, all, running } = arguments;
    let (_, clusters) = Settings::load_with_clusters(&clusters.configuration, &clusters.flink, &[])?;
    if clusters.is_empty() {
        return Err(InvalidConfiguration::no_cluster(false).into());
    }
    let max_ended = match (all, running) {
        (true, _) => usize::MAX,
        (_, true) => 0,
        _ => MAX_ENDED,
    };
    let max_name = if io::stdout().is_terminal() { MAX_NAME_CHARS } else { MAX_PIPED_CHARS };
    let mut exit = Exit::Done;
    let mut documents = Vec::new();
    if *format == TableFormat::Csv {
        print(&csv_line(&CSV_COLUMNS.map(str::to_owned)))?;
    }
    for cluster in clusters {
        let name = one_line(&cluster.name, 100);
        let complain = |problem: String| say(&format!("error: {name}: {problem}\n"));
        let status = match Connection::open(cluster.clone()) {
            Ok(connection) => Status::request(&connection, max_ended).await,
            Err(error) => Err(error),
        };
        match status {
            Ok(status) => {
                for problem in &status.problems {
                    complain(problem.to_string());
                }
                if !status.problems.is_empty() {
                    exit = Exit::Unavailable;
                }
                match format {
                    TableFormat::Table => print(&status.table(max_name))?,
                    TableFormat::Csv => print(&status.csv())?,
                    TableFormat::Json => documents.push(status.json()),
                }
            }
            Err(error) => {
                complain(error.to_string());
                documents.push(json!({ "name": cluster.name, "error": error.to_string() }));
                exit = Exit::Unavailable;
            }
        }
    }
    if *format == TableFormat::Json {
        print(&format!("{}\n", json!({ "clusters": documents })))?;
    }
    Ok(exit)
}

/// The state of a cluster.
struct Status {
    name: String,
    address: String,
    version: Option<String>,
    /// The TaskManagers, the free slots and all slots.
    slots: Option<[i64; 3]>,
    jobs: Vec<Job>,
    /// The number of ended jobs that are left out.
    omitted: usize,
    /// The requests that failed.
    problems: Vec<Error>,
}

struct Job {
    details: JobDetails,
    age: i64,
    checkpoints: Option<CheckpointingStatistics>,
}

impl Status {
    /// Requests the state. Fails if the cluster does not list its jobs.
    async fn request(client: &Connection, max_ended: usize) -> Result<Self, Error> {
        let mut jobs = client.call(&JobsOverview).await?.jobs;
        let mut status = Self {
            name: client.name().to_owned(),
            address: client.base_url().to_owned(),
            version: None,
            slots: None,
            jobs: Vec::new(),
            omitted: 0,
            problems: Vec::new(),
        };
        status.version = status.ask(client, &Config).await.map(|config| config.flink_version);
        let overview = status.ask(client, &Overview).await;
        status.slots =
            overview.and_then(|found| Some([found.taskmanagers?, found.slots_available?, found.slots_total?]));

        jobs.sort_by_key(|job| std::cmp::Reverse(job.end_time));
        let mut ended = 0;
        jobs.retain(|job| {
            ended += usize::from(job.end_time.is_some());
            job.end_time.is_none() || ended <= max_ended
        });
        status.omitted = ended.saturating_sub(max_ended);
        jobs.sort_by_key(|job| job.start_time);
        for details in jobs {
            // Batch jobs and jobs that are being created have no checkpoints.
            let checkpoints = match client.call(&Checkpoints { job: details.jid.clone() }).await {
                Err(error) if error.is_not_found() => None,
                result => status.keep(result),
            };
            let age = match (details.end_time, details.duration) {
                (Some(_), Some(duration)) => duration,
                _ => SystemClock.now_millis().saturating_sub(details.start_time),
            };
            status.jobs.push(Job { details, age, checkpoints });
        }
        Ok(status)
    }

    async fn ask<E: Endpoint>(&mut self, client: &Connection, endpoint: &E) -> Option<E::Response> {
        let result = client.call(endpoint).await;
        self.keep(result)
    }

    fn keep<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.problems.push(error)).ok()
    }

    fn table(&self, max_name: usize) -> String {
        let version =
            self.version.as_deref().map_or_else(|| "of unknown version".to_owned(), |text| one_line(text, 30));
        let mut text = format!("Flink {version} at {}: ", self.address);
        if let Some([taskmanagers, free, all]) = self.slots {
            let _ = write!(text, "{}, {free} of {} free, ", count(taskmanagers, "TaskManager"), count(all, "slot"));
        }
        let _ = writeln!(text, "{}", count((self.jobs.len() + self.omitted) as u64, "job"));
        let mut rows =
            vec![["JOB", "ID", "STATE", "FOR", "CHECKPOINTS", "FAILED", "LAST", "TOOK", "SIZE"].map(str::to_owned)];
        for Job { details, age, checkpoints } in &self.jobs {
            let [completed, failed, last, took, size] = checkpoints.as_ref().map_or_else(Default::default, columns);
            rows.push([
                one_line(&details.name, max_name),
                one_line(details.jid.as_str(), max_name),
                one_line(details.state.as_str(), max_name),
                duration(*age),
                completed,
                failed,
                last,
                took,
                size,
            ]);
        }
        let widths: [usize; 9] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0));
        for row in rows {
            let cells =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
            let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        if self.omitted > 0 {
            let _ = writeln!(text, "{} not shown, see --all", count(self.omitted as u64, "ended job"));
        }
        text
    }

    fn csv(&self) -> String {
        let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
        let lines = self.jobs.iter().map(|Job { details, age, checkpoints }| {
            let last = checkpoints.as_ref().and_then(last);
            csv_line(&[
                self.name.clone(),
                details.name.clone(),
                details.jid.to_string(),
                details.state.to_string(),
                timestamp(details.start_time),
                age.to_string(),
                number(checkpoints.as_ref().map(|found| found.counts.completed)),
                number(checkpoints.as_ref().map(|found| found.counts.failed)),
                last.map(|last| timestamp(last.trigger_timestamp)).unwrap_or_default(),
                number(last.and_then(|last| last.end_to_end_duration)),
                number(last.and_then(|last| last.state_size)),
            ])
        });
        lines.collect()
    }

    fn json(&self) -> Value {
        let jobs = self.jobs.iter().map(|Job { details, age, checkpoints }| {
            let checkpoints = checkpoints.as_ref().map(|found| {
                let last = last(found).map(|last| {
                    json!({
                        "id": last.id,
                        "triggered": timestamp(last.trigger_timestamp),
                        "durationMs": last.end_to_end_duration,
                        "sizeBytes": last.state_size,
                    })
                });
                json!({ "completed": found.counts.completed, "failed": found.counts.failed, "last": last })
            });
            json!({
                "name": details.name,
                "id": details.jid.as_str(),
                "state": details.state.as_str(),
                "started": timestamp(details.start_time),
                "ageMs": age,
                "checkpoints": checkpoints,
            })
        });
        let slots = self
            .slots
            .map(|[taskmanagers, free, all]| json!({ "taskManagers": taskmanagers, "free": free, "all": all }));
        let problems: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        json!({
            "name": self.name,
            "address": self.address,
            "version": self.version,
            "slots": slots,
            "jobs": jobs.collect::<Vec<_>>(),
            "omittedJobs": self.omitted,
            "problems": problems,
        })
    }
}

/// Returns the last checkpoint or savepoint that completed.
fn last(checkpoints: &CheckpointingStatistics) -> Option<&CheckpointStatistics> {
    let latest = &checkpoints.latest;
    [&latest.completed, &latest.savepoint].into_iter().flatten().max_by_key(|checkpoint| checkpoint.id)
}

fn columns(checkpoints: &CheckpointingStatistics) -> [String; 5] {
    let last = last(checkpoints);
    let of_last =
        |column: fn(&CheckpointStatistics) -> Option<String>| last.and_then(column).unwrap_or_else(|| "-".to_owned());
    [
        checkpoints.counts.completed.to_string(),
        checkpoints.counts.failed.to_string(),
        of_last(|checkpoint| Some(timestamp(checkpoint.trigger_timestamp))),
        of_last(|checkpoint| checkpoint.end_to_end_duration.map(duration)),
        of_last(|checkpoint| checkpoint.state_size.map(bytes)),
    ]
}

const CSV_COLUMNS: [&str; 11] = [
    "cluster",
    "job",
    "id",
    "state",
    "started",
    "age_ms",
    "completed",
    "failed",
    "last_triggered",
    "last_duration_ms",
    "last_size_bytes",
];

/// Returns a line of RFC 4180, with control characters escaped.
fn csv_line(cells: &[String; CSV_COLUMNS.len()]) -> String {
    let cells = cells.iter().map(|cell| {
        let cell = one_line(cell, usize::MAX);
        if cell.contains([',', '"']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    });
    cells.collect::<Vec<_>>().join(",") + "\n"
}
