//! The command `once`.

use std::fmt::Write as _;
use std::io::Write as _;

use flink_rest::types::{CheckpointStatistics, CheckpointingStatistics};
use flink_rest::{Checkpoints, Config, JobsOverview, Overview};
use flink_traces_api::{Clock, SystemClock};

use crate::cli::OnceArgs;
use crate::settings::Settings;
use crate::text::{bytes, clock_time, duration, one_line};

/// Prints a table of a cluster's jobs and their checkpoints.
///
/// # Errors
/// When the configuration is wrong, or the cluster does not answer.
pub async fn once(arguments: &OnceArgs) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.configuration, &[])?;
    let client = settings.client(&arguments.flink)?;
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
        // A batch job, and one that is being made, have none.
        let checkpoints = client.call(&Checkpoints { job: job.jid.clone() }).await.ok();
        let age = if job.end_time > 0 { job.duration } else { SystemClock.now_millis() - job.start_time };
        let [completed, failed, last, took, size] = checkpoints.as_ref().map_or_else(Default::default, columns);
        let name = one_line(&job.name, 40);
        rows.push([
            name,
            job.jid.to_string(),
            job.state.to_string(),
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
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn columns(checkpoints: &CheckpointingStatistics) -> [String; 5] {
    let latest = &checkpoints.latest;
    let last = [&latest.completed, &latest.savepoint].into_iter().flatten().max_by_key(|checkpoint| checkpoint.id);
    let told = |tell: fn(&CheckpointStatistics) -> String| last.map_or_else(|| "-".to_owned(), tell);
    [
        checkpoints.counts.completed.to_string(),
        checkpoints.counts.failed.to_string(),
        told(|checkpoint| clock_time(checkpoint.trigger_timestamp)),
        told(|checkpoint| duration(checkpoint.end_to_end_duration)),
        told(|checkpoint| bytes(checkpoint.state_size)),
    ]
}
