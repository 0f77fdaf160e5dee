//! `cargo xtask e2e`: a real Flink cluster, a job that fails and recovers, Flink's own reporters and `flink-traces`
//! beside each other, and a comparison of what they reported.

pub(crate) mod cli;
mod cluster;
pub(crate) mod distribution;
mod engine;
mod observer;
mod rest;
pub(crate) mod rest_session;
pub(crate) mod web;

use std::env;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use flink_traces_testkit::OtlpCollector;
use flink_traces_testkit::compare::{Comparison, compare, records};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use cluster::{Cluster, reporting_to};
use distribution::{Distribution, REST_VERSIONS, VERSION, recreate};
use observer::Observer;

use crate::cargo;

/// When the job's first attempt fails, counted from its start.
const FAILS_AFTER: Duration = Duration::from_secs(12);
/// The same for the job that nobody looks at; enough for a checkpoint.
const WARM_UP_FAILS_AFTER: Duration = Duration::from_millis(2500);
/// How long the job runs before something else happens to it.
const UNDISTURBED: Duration = Duration::from_secs(6);
/// How long the last records may take: Flink exports spans every 5 s and answers from a cache 3 s old.
const SETTLE: Duration = Duration::from_secs(8);
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// What a session must have shown for its comparison to mean anything.
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

/// Runs one session and compares. Whatever was started is gone afterwards, also after an interruption.
pub(crate) fn run(root: &Path) -> Result<()> {
    let cache = root.join("target/e2e");
    let folder = cache.join("session");
    recreate(&folder)?;
    let distribution = Distribution::prepare(VERSION, root, &cache)?;
    let binary = build(root, "flink-traces")?;
    let comparison = run_until_interrupted(session(&distribution, &binary, &folder), &folder)?;
    print!("{comparison}");
    for (kind, least) in EXPECTED {
        let count = comparison.native_count(kind);
        ensure!(count >= *least, "the session shows too little: {count} of {kind}, at least {least} were expected");
    }
    ensure!(comparison.differences.is_empty(), "{} differences", comparison.differences.len());
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Runs a session that keeps its logs in `folder`.
fn run_until_interrupted<T>(session: impl Future<Output = Result<T>>, folder: &Path) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        // The branch that loses is dropped, and with it the processes that it started.
        tokio::select! {
            result = session => result,
            interruption = interrupted() => Err(interruption?),
        }
    });
    result.with_context(|| format!("the session's logs are in {}", folder.display()))
}

async fn session(distribution: &Distribution, binary: &Path, folder: &Path) -> Result<Comparison> {
    let native = OtlpCollector::start()?;
    let ours = OtlpCollector::start()?;
    say("starting the cluster");
    let cluster = Cluster::start(distribution, folder, &reporting_to(&native.grpc_endpoint())).await?;
    // What a JVM does for the first time takes it many times longer, and times are compared to the millisecond.
    say("warming up: a job that fails and recovers");
    let warm_up = submit(&cluster, distribution, WARM_UP_FAILS_AFTER).await?;
    cluster.rest.wait_for_recovery(&warm_up, STEP_TIMEOUT).await?;
    cluster.rest.cancel(&warm_up, STEP_TIMEOUT).await?;

    say("starting flink-traces");
    let observer = Observer::start(binary, folder, &cluster.rest.url(), &ours.grpc_endpoint())?;
    say("submitting the job");
    let job = submit(&cluster, distribution, FAILS_AFTER).await?;
    sleep(UNDISTURBED).await;
    say("taking a savepoint");
    cluster.rest.savepoint(&job, STEP_TIMEOUT).await?;
    say("waiting for the failure and the recovery");
    cluster.rest.wait_for_recovery(&job, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;
    say("restarting flink-traces");
    observer.stop().await?;
    let observer = Observer::start(binary, folder, &cluster.rest.url(), &ours.grpc_endpoint())?;
    sleep(UNDISTURBED).await;
    say("cancelling the job");
    cluster.rest.cancel(&job, STEP_TIMEOUT).await?;
    sleep(SETTLE).await;
    observer.stop().await?;
    cluster.stop().await?;
    let [native, ours] = [native, ours].map(|collector| {
        let mut records = records(&collector.spans(), &collector.logs());
        records.retain(|record| record.job() == Some(&job));
        records
    });
    Ok(compare(&native, &ours))
}

async fn submit(cluster: &Cluster, distribution: &Distribution, fails_after: Duration) -> Result<String> {
    cluster.rest.submit(&distribution.job, 2, &[&fails_after.as_millis().to_string()]).await
}

/// Waits for the signals that would end this program without stopping the others.
async fn interrupted() -> Result<Error> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(anyhow!("interrupted"))
}

/// The versions that `--version` names in the arguments, or else all that sessions of the REST API run.
fn versions<'a>(arguments: &[&'a str]) -> Result<Vec<&'a str>> {
    match arguments {
        [] => Ok(REST_VERSIONS.to_vec()),
        ["--version", version] => Ok(vec![*version]),
        _ => bail!("unknown arguments {:?}; --version V is the only one", arguments.join(" ")),
    }
}

/// Builds a program of this workspace; answers with its path.
pub(crate) fn build(root: &Path, package: &str) -> Result<PathBuf> {
    let mut build = std::process::Command::new(cargo());
    build.args(["build", "--package", package]).current_dir(root);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    // What cargo says of this program would be a reason to build some dependencies anew.
    let of_this = env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("CARGO_PKG_"));
    for name in of_this {
        build.env_remove(name);
    }
    let status = build.status().context("cargo cannot be started")?;
    ensure!(status.success(), "cargo build: {status}");
    // Cargo puts it where it put this program.
    Ok(env::current_exe()?.with_file_name(package))
}

fn say(step: &str) {
    println!("==> {step}");
}
