//! The command `once`.

use std::fmt::Write as _;

use flink_rest::types::{CheckpointStatistics, CheckpointingStatistics};
use flink_rest::{Checkpoints, Client, Config, JobsOverview, Overview};
use flink_traces_api::{Clock, SystemClock};

use crate::cli::{ClusterArgs, Exit};
use crate::load::{InvalidConfiguration, Settings};
use crate::text::{bytes, clock_time, duration, one_line, print, say};

/// Prints a table of the jobs and their checkpoints for each cluster.
pub(crate) async fn once(arguments: &ClusterArgs) -> anyhow::Result<Exit> {
    let (_, clusters) = Settings::load_with_clusters(&arguments.configuration, &arguments.flink)?;
    if clusters.is_empty() {
        return Err(InvalidConfiguration::no_cluster().into());
    }
    let mut exit = Exit::Done;
    for cluster in clusters {
        match table(&cluster.client).await {
            Ok(table) => print(&table)?,
            Err(error) => {
                say(&format!("error: {}: {error}\n", one_line(&cluster.name, 100)));
                exit = Exit::Lost;
            }
        }
    }
    Ok(exit)
}

async fn table(client: &Client) -> Result<String, flink_rest::Error> {
    let config = client.call(&Config).await?;
    let overview = client.call(&Overview).await?;
    let mut jobs = client.call(&JobsOverview).await?.jobs;
    jobs.sort_by_key(|job| job.start_time);

    let mut text = format!(
        "Flink {} at {}: {} TaskManagers, {} of {} slots free, {} jobs\n",
        one_line(&config.flink_version, 30),
        client.base_url(),
        overview.taskmanagers,
        overview.slots_available,
        overview.slots_total,
        jobs.len(),
    );
    let mut rows =
        vec![["JOB", "ID", "STATE", "FOR", "CHECKPOINTS", "FAILED", "LAST", "TOOK", "SIZE"].map(str::to_owned)];
    for job in jobs {
        // Batch jobs and jobs that are being created have no checkpoints.
        let checkpoints = client.call(&Checkpoints { job: job.jid.clone() }).await.ok();
        let now = SystemClock.now_millis();
        let age = if job.end_time > 0 { job.duration } else { now.saturating_sub(job.start_time) };
        let [completed, failed, last, took, size] = checkpoints.as_ref().map_or_else(Default::default, columns);
        rows.push([
            one_line(&job.name, 40),
            one_line(job.jid.as_str(), 40),
            one_line(job.state.as_str(), 20),
            duration(age),
            completed,
            failed,
            last,
            took,
            size,
        ]);
    }
    let widths: [usize; 9] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    Ok(text)
}

fn columns(checkpoints: &CheckpointingStatistics) -> [String; 5] {
    let latest = &checkpoints.latest;
    let last = [&latest.completed, &latest.savepoint].into_iter().flatten().max_by_key(|checkpoint| checkpoint.id);
    let of_last = |column: fn(&CheckpointStatistics) -> String| last.map_or_else(|| "-".to_owned(), column);
    [
        checkpoints.counts.completed.to_string(),
        checkpoints.counts.failed.to_string(),
        of_last(|checkpoint| clock_time(checkpoint.trigger_timestamp)),
        of_last(|checkpoint| duration(checkpoint.end_to_end_duration)),
        of_last(|checkpoint| bytes(checkpoint.state_size)),
    ]
}
