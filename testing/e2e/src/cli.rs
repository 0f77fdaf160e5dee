//! `cargo e2e cli`: Flink's own command line, on the REST API of the example engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use flink_rest::JobStatus;
use harness::flink::Distribution;
use harness::{build, recreate, say};
use tokio::process::Command;

use crate::engine::Engine;
use crate::session::run_until_interrupted;
use crate::target;

/// Runs a session with the command line of each version. All processes end with it, even after an
/// interruption.
pub(crate) fn run(versions: &[&str]) -> Result<()> {
    let folder = target("cli-session")?;
    let binary = build("engine")?;
    for version in versions {
        recreate(&folder)?;
        println!("Flink {version}");
        let distribution = Distribution::prepare(version)?;
        run_until_interrupted(session(&distribution, &binary, &folder), &folder)?;
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

async fn session(distribution: &Distribution, binary: &Path, folder: &Path) -> Result<()> {
    let configuration = folder.join("conf");
    fs::create_dir_all(&configuration)?;
    fs::write(configuration.join("config.yaml"), "rest.retry.max-attempts: 1\n")?;
    let target = folder.join("savepoints").display().to_string();

    say("starting the engine");
    let engine = Engine::start(binary, folder, &[]).await?;
    let job = engine.job(JobStatus::Running).await?.jid;
    let cli = Cli { distribution, configuration, address: engine.address()?.to_owned() };
    let job = job.as_str();
    let running = format!("{job} : count by key (RUNNING)");
    cli.expect(&["list"], &[], true, &[&running]).await?;
    cli.expect(&["savepoint"], &[job, &target], true, &["Savepoint completed. Path: "]).await?;
    let missing = "CheckpointException: no folder for the savepoint";
    cli.expect(&["savepoint"], &[job], false, &[missing]).await?;
    cli.expect(&["checkpoint"], &[job], true, &["Checkpoint ", &format!(" for job {job} completed.")]).await?;
    let unknown = "0123456789abcdef0123456789abcdef";
    cli.expect(&["cancel"], &[unknown], false, &[&format!("[Job {unknown} not found]")]).await?;
    let printed = cli.expect(&["stop", "-p", &target], &[job], true, &["Savepoint completed. Path: "]).await?;
    let path = printed.lines().find_map(|line| line.strip_prefix("Savepoint completed. Path: ")).context("no path")?;
    ensure!(Path::new(path).join("_metadata").exists(), "there is no savepoint in {path}");
    cli.expect(&["list", "-a"], &[], true, &[&format!("{job} : count by key (FINISHED)")]).await?;
    engine.stop().await?;

    say("starting the engine from the savepoint");
    let engine = Engine::start(binary, folder, &[&format!("execution.state-recovery.path={path}")]).await?;
    engine.job(JobStatus::Running).await?;
    let cli = Cli { address: engine.address()?.to_owned(), ..cli };
    cli.expect(&["list", "-r"], &[], true, &[&running]).await?;
    cli.expect(&["cancel"], &[job], true, &[&format!("Cancelled job {job}.")]).await?;
    engine.job(JobStatus::Canceled).await?;
    cli.expect(&["list", "-a"], &[], true, &[&format!("{job} : count by key (CANCELED)")]).await?;
    engine.stop().await
}

/// Flink's command line, with the address of the engine.
struct Cli<'a> {
    distribution: &'a Distribution,
    configuration: PathBuf,
    address: String,
}

impl Cli<'_> {
    /// Runs a command whose output must contain these texts, and returns the output.
    async fn expect(&self, command: &[&str], arguments: &[&str], succeeds: bool, texts: &[&str]) -> Result<String> {
        let shown = [command, arguments].concat().join(" ");
        say(&format!("flink {shown}"));
        let output = Command::new("java")
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(self.distribution.class_path())
            .arg("org.apache.flink.client.cli.CliFrontend")
            .args(command)
            .args(["-m", &self.address])
            .args(arguments)
            .env("FLINK_CONF_DIR", &self.configuration)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot start java")?;
        let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        ensure!(output.status.success() == succeeds, "flink {shown}: {}\n{printed}", output.status);
        for text in texts {
            ensure!(printed.contains(text), "flink {shown}: expected {text:?}, found:\n{printed}");
        }
        Ok(printed)
    }
}
