//! `cargo e2e compare`: Flink's own reporters and `flink-traces` in one session of a real cluster.
//!
//! The job fails and recovers. Afterwards the output of both is compared.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use flink_traces_testkit::OtlpCollector;
use flink_traces_testkit::compare::{Comparison, compare, records};
use harness::flink::{Distribution, VERSION};
use harness::{build, recreate, say};
use tokio::time::sleep;

use crate::cluster::{Cluster, reporting_to};
use crate::program::Program;
use crate::session::{STEP_TIMEOUT, run_until_interrupted};
use crate::{job, target};

/// The time from the start of the job until its first attempt fails.
const FAILS_AFTER: Duration = Duration::from_secs(12);
/// The same for the job that warms up, which leaves time for one checkpoint.
const WARM_UP_FAILS_AFTER: Duration = Duration::from_millis(2500);
/// The time between two actions of the session.
const UNDISTURBED: Duration = Duration::from_secs(6);
/// The time until the last records arrive. Flink exports every 5 s, and serves from a cache of 3 s.
const SETTLE: Duration = Duration::from_secs(8);

/// The records that a session must show at least, so that its comparison means something.
const EXPECTED: &[(&str, usize)] = &[
    ("Checkpoint", 15),
    ("Checkpoint_Task", 60),
    ("Checkpoint_Subtask", 105),
    ("JobInitialization", 2),
    ("CheckpointEvent", 15),
    ("JobStatusChangeEvent", 5),
    ("JobFailureEvent", 1),
    ("AllSubtasksStatusChangeEvent", 4),
];

/// Runs one session and compares. All processes end with it, even after an interruption.
pub(crate) fn run() -> Result<()> {
    let folder = target("session")?;
    recreate(&folder)?;
    let distribution = Distribution::prepare(VERSION)?;
    let job = job::compile(&distribution)?;
    let binary = build("flink-traces")?;
    let comparison = run_until_interrupted(session(&distribution, &job, &binary, &folder), &folder)?;
    print!("{comparison}");
    for (kind, least) in EXPECTED {
        let count = comparison.native_count(kind);
        ensure!(count >= *least, "expected at least {least} of {kind}, found {count}");
    }
    ensure!(comparison.differences.is_empty(), "{} differences", comparison.differences.len());
    fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn session(distribution: &Distribution, jar: &Path, binary: &Path, folder: &Path) -> Result<Comparison> {
    let native = OtlpCollector::start()?;
    let ours = OtlpCollector::start()?;
    say("starting the cluster");
    let cluster = Cluster::start(distribution, folder, &reporting_to(&native.grpc_endpoint())).await?;
    // A JVM is many times slower in its first actions, and times are compared to the millisecond.
    say("warming up: a job that fails and recovers");
    let warm_up = submit(&cluster, jar, WARM_UP_FAILS_AFTER).await?;
    cluster.rest.wait_for_recovery(&warm_up, STEP_TIMEOUT).await?;
    cluster.rest.cancel(&warm_up, STEP_TIMEOUT).await?;

    say("starting flink-traces");
    let program = Program::start(binary, folder, &cluster.rest.url(), &ours.grpc_endpoint())?;
    say("submitting the job");
    let job = submit(&cluster, jar, FAILS_AFTER).await?;
    sleep(UNDISTURBED).await;
    say("taking a savepoint");
    cluster.rest.savepoint(&job, STEP_TIMEOUT).await?;
    say("waiting for the failure and the recovery");
    cluster.rest.wait_for_recovery(&job, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;
    say("restarting flink-traces");
    program.stop().await?;
    let program = Program::start(binary, folder, &cluster.rest.url(), &ours.grpc_endpoint())?;
    sleep(UNDISTURBED).await;
    say("canceling the job");
    cluster.rest.cancel(&job, STEP_TIMEOUT).await?;
    sleep(SETTLE).await;
    program.stop().await?;
    cluster.stop().await?;
    let [native, ours] = [native, ours].map(|collector| {
        let mut records = records(&collector.spans(), &collector.events());
        records.retain(|record| record.job() == Some(&job));
        records
    });
    Ok(compare(&native, &ours))
}

async fn submit(cluster: &Cluster, jar: &Path, fails_after: Duration) -> Result<String> {
    cluster.rest.submit(jar, 2, &[&fails_after.as_millis().to_string()]).await
}
