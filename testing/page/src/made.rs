//! A history of 10,000 checkpoints, and of names that try to be more than text.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use flink_traces_api::Timestamp;
use flink_traces_history::{FACTORY, register};
use flink_traces_runtime::checkpoint::CheckpointType;
use flink_traces_runtime::job::{JobStatus, JobVertex};
use flink_traces_runtime::{Reporting, Subtask};

/// The number of checkpoints of the long job.
pub(crate) const CHECKPOINTS: i64 = 10_000;
/// The name of the long job.
pub(crate) const LONG: &str = "long";
/// A name that would run a script, load an image and close an element if it were not text.
pub(crate) const HOSTILE: &str =
    "</td></script><script>window.hostile=1</script><img src=x onerror=window.hostile=1>\"'`${window.hostile=1}";
/// The time between two checkpoints, in milliseconds.
const INTERVAL_MS: i64 = 8_000;
/// The time limit for writing everything.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Writes the history into a directory.
pub(crate) fn write(directory: &Path) -> Result<()> {
    let mut builder = Reporting::builder().cluster(HOSTILE).register(register).shutdown_timeout(TIMEOUT);
    for signal in ["traces", "events"] {
        builder = builder
            .option(format!("{signal}.reporter.history.factory.class"), FACTORY)
            .option(format!("{signal}.reporter.history.path"), directory.display().to_string());
    }
    let reporting = builder.start()?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let time = Timestamp::from_millis;
    let start = now - CHECKPOINTS * INTERVAL_MS;

    let long = reporting.job("0a4480b1aa43ca25b4801a22462f387a", LONG);
    long.at(time(start)).status(JobStatus::Running)?;
    let tasks = [JobVertex::new("a0", "source", 2), JobVertex::new("b0", "window", 4)];
    for id in 1..=CHECKPOINTS {
        let at = start + id * INTERVAL_MS - INTERVAL_MS / 2;
        let checkpoint = long.at(time(at)).trigger(id, CheckpointType::Checkpoint, &tasks)?;
        for (vertex, subtasks) in [("a0", 2), ("b0", 4)] {
            for index in 0..subtasks {
                let done = checkpoint.at(time(at + 50 + i64::from(index) * 7 + id % 97));
                done.ack(vertex, Subtask::new(index).state_size(4_096 * id.unsigned_abs()))?;
            }
        }
        checkpoint.at(time(at + 100 + id % 97)).complete("file:///checkpoints/long")?;
    }

    let hostile = reporting.job("ffffffffffffffffffffffffffffffff", HOSTILE);
    hostile.at(time(now - 5_000)).status(JobStatus::Running)?;
    let tasks = [JobVertex::new(HOSTILE, HOSTILE, 2)];
    let checkpoint = hostile.at(time(now - 4_000)).trigger(1, CheckpointType::Checkpoint, &tasks)?;
    for index in 0..2 {
        checkpoint.at(time(now - 3_900)).ack(HOSTILE, Subtask::new(index).host(HOSTILE).state_size(1))?;
    }
    checkpoint.at(time(now - 3_800)).complete(HOSTILE)?;
    let failed = hostile.at(time(now - 3_000)).trigger(2, CheckpointType::Checkpoint, &tasks)?;
    failed.at(time(now - 2_900)).fail(HOSTILE)?;
    hostile.at(time(now - 2_000)).failure(None, &std::io::Error::other(HOSTILE), true);

    let accounts = reporting.shutdown_blocking();
    let lost = accounts.iter().find(|account| account.emitted != account.delivered);
    lost.map_or(Ok(()), |account| Err(anyhow::anyhow!("{account}"))).context("the history lacks records")
}
