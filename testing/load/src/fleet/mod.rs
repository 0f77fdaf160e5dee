//! `cargo load fleet`: a program watches thousands of clusters, which a process of its own plays.

mod agent;
mod arrived;
mod bare;
mod server;
mod world;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use flink_traces_testkit::OtlpCollector;
use harness::ProcessGuard;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use agent::Agent;
use arrived::Arrived;
use bare::Bare;
use server::{Counts, KINDS, Served, now};
pub(crate) use world::{Scale, World};

/// The pause between two looks at what arrived.
const PAUSE: Duration = Duration::from_millis(20);
/// The limit of the first polls, which read all histories.
const FIRST_POLLS: Duration = Duration::from_secs(300);
/// The time after the first polls that does not count.
const SETTLE: Duration = Duration::from_secs(20);
/// The time by which a checkpoint may arrive after it ended: it is requested a second after that,
/// and once more six seconds later if a cache was too old.
const LAG_MS: i64 = 20_000;
/// The limit of a storm.
const STORM_GOAL: Duration = Duration::from_secs(30);
/// The limit after which a storm is given up.
const STORM_LIMIT: Duration = Duration::from_secs(120);
/// The goals for session clusters.
const CORE_GOAL: f64 = 5.0;
const MEMORY_GOAL_MIB: u64 = 150;
const REQUESTS_GOAL: f64 = 0.13;
/// The connections that a cluster may need during the first polls.
const CONNECTIONS: usize = 4;
/// The descriptors of a process that are no connections to clusters.
const OTHER_DESCRIPTORS: usize = 100;

/// The options of `cargo load fleet`.
#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    /// The parts to run, all by default.
    parts: Vec<Part>,
    #[command(flatten)]
    scale: Scale,
    /// The seconds that are measured.
    #[arg(long, default_value_t = 120)]
    seconds: u32,
    /// Run few clusters, for a few seconds, without goals for costs.
    #[arg(long, conflicts_with_all = ["sessions", "jobs", "applications", "checkpoint_interval", "seconds"])]
    smoke: bool,
    /// The program to run, instead of that of this workspace.
    #[arg(long)]
    program: Option<PathBuf>,
}

/// A part of the simulation, which has clusters and a program of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The cost of session clusters.
    Sessions,
    /// The cost of application clusters.
    Applications,
    /// Every job of all clusters restarts within a second.
    Storm,
    /// A cluster needs ten seconds for each response.
    Slow,
    /// One of two shards leaves and comes back.
    Shards,
}

impl FleetArgs {
    /// Returns `true` if costs have goals.
    fn measures(&self) -> bool {
        !self.smoke
    }

    /// Returns `true` if the program is built with this harness, and its costs have goals.
    pub(crate) fn needs_optimized(&self) -> bool {
        self.measures() && self.program.is_none()
    }

    fn scale(&self) -> Scale {
        match self.smoke {
            true => Scale { sessions: 20, jobs: 10, applications: 10, checkpoint_interval: 10 },
            false => self.scale,
        }
    }

    fn measured(&self) -> Duration {
        Duration::from_secs(if self.smoke { 30 } else { self.seconds.into() })
    }
}

/// Plays the clusters of a scale in JSON, as a process of its own.
pub(crate) fn serve(scale: &str) -> Result<()> {
    server::run(serde_json::from_str(scale)?)
}

/// Sends requests to the clusters that are described in JSON, as a process of its own.
pub(crate) fn poll(served: &str) -> Result<()> {
    bare::run(&serde_json::from_str(served)?)
}

/// Runs the parts, one after the other. The first that misses a goal ends the run.
pub(crate) fn run(arguments: &FleetArgs) -> Result<()> {
    let scale = arguments.scale();
    let world = World::new(scale, 0);
    check_descriptors(world.clusters() * CONNECTIONS + OTHER_DESCRIPTORS)?;
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => harness::build("flink-traces")?,
    };
    let parts = match arguments.parts.as_slice() {
        [] => Part::value_variants(),
        parts => parts,
    };
    for part in parts {
        let run = match part {
            Part::Sessions => cost(&program, arguments, Scale { applications: 0, ..scale }),
            Part::Applications => cost(&program, arguments, Scale { sessions: 0, ..scale }),
            Part::Storm => storm(&program, arguments, scale),
            Part::Slow => slow(&program, arguments, scale),
            Part::Shards => shards(&program, arguments, scale),
        };
        run.with_context(|| format!("{part:?}"))?;
    }
    Ok(())
}

/// Checks the limit of file descriptors, which the program and the server inherit.
fn check_descriptors(needed: usize) -> Result<()> {
    check_limit(&fs::read_to_string("/proc/self/limits")?, needed)
}

/// Checks the limit in `/proc/<process>/limits`, whose third column is the one that holds.
fn check_limit(limits: &str, needed: usize) -> Result<()> {
    let line = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit of open files")?;
    let limit = line.split_whitespace().nth(3).unwrap_or_default();
    let is_enough = limit == "unlimited" || limit.parse().is_ok_and(|limit: usize| limit >= needed);
    ensure!(is_enough, "the limit of open files is {limit}, run `ulimit -n {needed}` first");
    Ok(())
}

/// The clusters, and the collector that receives the records about them.
struct Fleet {
    server: ProcessGuard,
    output: BufReader<ChildStdout>,
    served: Served,
    collector: OtlpCollector,
    arrived: Arrived,
    folder: TempDir,
}

impl Fleet {
    fn start(scale: Scale) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("clusters").arg(serde_json::to_string(&scale)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server: ProcessGuard = command.spawn().context("cannot start the clusters")?.into();
        let mut output = BufReader::new(server.stdout.take().context("no standard output")?);
        let served = read(&mut output)?;
        let collector = OtlpCollector::start()?;
        Ok(Self { server, output, served, collector, arrived: Arrived::default(), folder: tempfile::tempdir()? })
    }

    fn world(&self) -> &World {
        &self.served.world
    }

    fn agent(&self, program: &Path, name: &str, options: &[&str]) -> Result<Agent> {
        let folder = self.folder.path().join(name);
        Agent::start(program, &self.served, &self.collector.grpc_endpoint(), &folder, options)
    }

    /// Sends a command to the clusters, and reads the answer.
    fn order<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        let input = self.server.stdin.as_mut().context("no standard input")?;
        writeln!(input, "{command}")?;
        read(&mut self.output)
    }

    /// Takes what arrives until `is_enough`, for at most `limit`. Returns `false` if it was not.
    fn receive_until(&mut self, limit: Duration, mut is_enough: impl FnMut(&Arrived, &World) -> bool) -> bool {
        let start = Instant::now();
        let mut looked = start;
        loop {
            self.arrived.take(&self.collector, &self.served.world);
            if looked.elapsed() > 10 * PAUSE || start.elapsed() >= limit {
                if is_enough(&self.arrived, &self.served.world) {
                    return true;
                }
                looked = Instant::now();
            }
            if start.elapsed() >= limit {
                return false;
            }
            sleep(PAUSE);
        }
    }

    fn receive_for(&mut self, time: Duration) {
        self.receive_until(time, |_, _| false);
    }

    /// Waits until the program has read all histories. Returns the time at which it started.
    fn warm_up(&mut self, agents: &mut [&mut Agent]) -> Result<i64> {
        let (started, start) = (now(), Instant::now());
        let mut has_ended = None;
        let is_warm = self.receive_until(FIRST_POLLS, |arrived, world| {
            has_ended = agents.iter_mut().find_map(|agent| agent.check().err());
            has_ended.is_some() || arrived.has_history(world, started)
        });
        if let Some(ended) = has_ended {
            bail!("{ended}; {}", self.log());
        }
        ensure!(
            is_warm,
            "only {} checkpoints arrived within {FIRST_POLLS:?}; {}",
            self.arrived.checkpoints(),
            self.log()
        );
        println!("all histories were read {:.1} s after the start", start.elapsed().as_secs_f64());
        self.receive_for(SETTLE);
        Ok(started)
    }

    /// Returns the end of the log.
    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("agent/log.txt")).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
    }

    /// Waits for the last checkpoints, and checks that each one since `since` arrived once.
    fn check(&mut self, since: i64) -> Result<()> {
        let until = now();
        self.receive_for(Duration::from_millis(LAG_MS.unsigned_abs()));
        let number = self.arrived.check_checkpoints(self.world(), since, until)?;
        println!("{number} checkpoints ended since the start, each arrived once, and so did all histories");
        Ok(())
    }
}

fn read<T: DeserializeOwned>(output: &mut BufReader<ChildStdout>) -> Result<T> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the clusters said {line:?}"))
}

/// Measures the cost of clusters to which nothing happens but checkpoints.
fn cost(program: &Path, arguments: &FleetArgs, scale: Scale) -> Result<()> {
    let mut fleet = Fleet::start(scale)?;
    let mut agent = fleet.agent(program, "agent", &[])?;
    let started = fleet.warm_up(&mut [&mut agent])?;
    let (start, cpu, before): (_, _, Counts) = (Instant::now(), agent.cpu()?, fleet.order("counts")?);
    fleet.receive_for(arguments.measured());
    let (wall, after): (_, Counts) = (start.elapsed().as_secs_f64(), fleet.order("counts")?);
    let core = (agent.cpu()? - cpu) / wall * 100.0;
    let ([resident, peak], descriptors) = (agent.memory_mib()?, agent.descriptors()?);
    let sent: Vec<_> = (0..KINDS.len())
        .map(|kind| after.sessions[kind] + after.applications[kind] - before.sessions[kind] - before.applications[kind])
        .collect();
    let (jobs, all) = (fleet.world().jobs() as f64, sent.iter().sum::<u64>() as f64);
    let requests = all / jobs / wall;
    let each = core / 100.0 * wall / all * 1e6;
    println!(
        "\n| session clusters | jobs of each | application clusters | of a core | µs a request | resident (MiB) | peak (MiB) | requests a job-second | descriptors |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let Scale { sessions, jobs: of_each, applications, .. } = scale;
    println!(
        "| {sessions} | {of_each} | {applications} | {core:.2} % | {each:.1} | {resident} | {peak} | {requests:.4} | {descriptors} |"
    );
    println!("\n| request | a job-minute |\n|---|---|");
    for (kind, sent) in KINDS.iter().zip(&sent).filter(|(_, sent)| **sent > 0) {
        println!("| `{kind}` | {:.3} |", *sent as f64 / jobs / wall * 60.0);
    }
    println!("| without a resource | {:.3} |\n", (after.missing - before.missing) as f64 / jobs / wall * 60.0);
    fleet.check(started)?;
    agent.stop(STORM_GOAL)?;
    let bare = bare_cost(&mut fleet, arguments.measured())?;
    println!(
        "the bare exchange of the same requests takes {bare:.1} µs each, and the program {:.2} times as much",
        each / bare
    );
    if arguments.measures() && applications == 0 {
        ensure!(core <= CORE_GOAL, "{core:.2} % of a core, expected at most {CORE_GOAL} %");
        ensure!(resident <= MEMORY_GOAL_MIB, "{resident} MiB, expected at most {MEMORY_GOAL_MIB} MiB");
        ensure!(requests <= REQUESTS_GOAL, "{requests:.4} requests a job-second, expected at most {REQUESTS_GOAL}");
    }
    Ok(())
}

/// Returns the processor time of a request of the bare client, in microseconds.
fn bare_cost(fleet: &mut Fleet, time: Duration) -> Result<f64> {
    let mut bare = Bare::start(&fleet.served)?;
    sleep(SETTLE);
    let (cpu, before): (_, Counts) = (bare.cpu()?, fleet.order("counts")?);
    sleep(time);
    let (cpu, after): (_, Counts) = (bare.cpu()? - cpu, fleet.order("counts")?);
    bare.check()?;
    Ok(cpu / (after.all() - before.all()) as f64 * 1e6)
}

/// Lets every job restart within a second.
fn storm(program: &Path, arguments: &FleetArgs, scale: Scale) -> Result<()> {
    let mut fleet = Fleet::start(scale)?;
    let mut agent = fleet.agent(program, "agent", &[])?;
    let started = fleet.warm_up(&mut [&mut agent])?;
    fleet.served.world = fleet.order("storm")?;
    let storm = fleet.world().storm.context("no storm")?;
    let cpu = agent.cpu()?;
    let is_over = fleet.receive_until(STORM_LIMIT, |arrived, world| arrived.storm_over(world).is_some());
    let over = fleet.arrived.storm_over(fleet.world());
    let cpu = agent.cpu()? - cpu;
    let problems = fleet.arrived.storm_problems(fleet.world());
    ensure!(is_over, "{} records are missing, such as {:?}", problems.len(), problems.first());
    let seconds = (over.unwrap_or_default() - storm) as f64 / 1_000.0;
    let ([_, peak], jobs) = (agent.memory_mib()?, fleet.world().jobs());
    println!(
        "{jobs} jobs restarted, and all was reported {seconds:.1} s after that began, with {cpu:.1} s of CPU and at most {peak} MiB"
    );
    fleet.check(started)?;
    let problems = fleet.arrived.storm_problems(fleet.world());
    ensure!(problems.is_empty(), "{} records, such as {:?}", problems.len(), problems.first());
    agent.stop(STORM_GOAL)?;
    if arguments.measures() {
        ensure!(seconds <= STORM_GOAL.as_secs_f64(), "{seconds:.1} s, expected at most {STORM_GOAL:?}");
    }
    Ok(())
}

/// Compares the delays of the others before and while one cluster is slow.
fn slow(program: &Path, arguments: &FleetArgs, scale: Scale) -> Result<()> {
    let mut fleet = Fleet::start(scale)?;
    let mut agent = fleet.agent(program, "agent", &[])?;
    let started = fleet.warm_up(&mut [&mut agent])?;
    let half = arguments.measured() / 2;
    let begun = now();
    fleet.receive_for(half);
    let () = fleet.order("slow 0")?;
    let slow_since = now();
    fleet.receive_for(half);
    let ended = now();
    let () = fleet.order(&format!("slow {}", usize::MAX))?;
    fleet.receive_for(server::SLOW + half);
    println!("\n| clusters | checkpoints | delay p50, p90, p99, max (s) |\n|---|---|---|");
    let world = *fleet.world();
    let others = |job: usize| world.cluster_of(job) != 0;
    let before = fleet.arrived.delays(&world, begun, slow_since, others);
    let during = fleet.arrived.delays(&world, slow_since, ended, others);
    let slow = fleet.arrived.delays(&world, slow_since, ended, |job| !others(job));
    let shown = |delays: &[i64]| [0.5, 0.9, 0.99, 1.0].map(|share| quantile(delays, share) as f64 / 1_000.0);
    for (what, delays) in
        [("all others, before", &before), ("all others, beside the slow one", &during), ("the slow one", &slow)]
    {
        println!("| {what} | {} | {:.2?} |", delays.len(), shown(delays));
    }
    println!();
    fleet.check(started)?;
    agent.stop(STORM_GOAL)?;
    let growth = quantile(&during, 0.99) - quantile(&before, 0.99);
    ensure!(growth <= 500, "the others arrive {growth} ms later (p99)");
    Ok(())
}

/// Returns the quantile of sorted numbers.
fn quantile(sorted: &[i64], share: f64) -> i64 {
    sorted.get((sorted.len().saturating_sub(1) as f64 * share).round() as usize).copied().unwrap_or_default()
}

/// Lets one of two shards leave for half of the time that a history covers, and come back.
fn shards(program: &Path, arguments: &FleetArgs, scale: Scale) -> Result<()> {
    let away = Duration::from_secs(scale.checkpoint_interval.into()) * 5;
    let away = if arguments.measures() { away.min(arguments.measured()) } else { away };
    let mut fleet = Fleet::start(scale)?;
    let start = |fleet: &Fleet, shard: &str| {
        let name = format!("shard-{shard}");
        let journal = fleet.folder.path().join(&name).join("journal");
        let journal = format!("flink-traces.journal.path={}", journal.display());
        fleet.agent(program, &name, &["--shards", "2", "--shard", shard, "-D", &journal])
    };
    let (mut stays, mut leaves) = (start(&fleet, "0")?, start(&fleet, "1")?);
    let started = fleet.warm_up(&mut [&mut stays, &mut leaves])?;
    leaves.stop(STORM_GOAL)?;
    let (left, before) = (now(), fleet.arrived.checkpoints());
    fleet.receive_for(away);
    let by_the_other = fleet.arrived.checkpoints() - before;
    let back = start(&fleet, "1")?;
    let came_back = now();
    let caught_up = fleet.receive_until(FIRST_POLLS, |arrived, world| arrived.has_history(world, came_back));
    ensure!(caught_up, "the shard did not catch up within {FIRST_POLLS:?}");
    println!(
        "a shard was away for {:.0} s, in which the other one reported {by_the_other} checkpoints; {:.1} s after its start it had caught up",
        (came_back - left) as f64 / 1_000.0,
        (now() - came_back) as f64 / 1_000.0
    );
    fleet.check(started)?;
    for agent in [stays, back] {
        agent.stop(STORM_GOAL)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_is_that_of_the_nearest_rank() {
        let sorted: Vec<_> = (1..=101).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&sorted, share)), [1, 51, 100, 101]);
        assert_eq!(quantile(&[], 0.5), 0);
    }

    #[test]
    fn missing_descriptors_are_an_error() {
        let limits = |limit: &str| {
            format!(
                "Max processes             7823                 7823                 processes\n\
                     Max open files            {limit:<20} 1048576              files\n"
            )
        };
        check_limit(&limits("8100"), 8_100).unwrap();
        check_limit(&limits("unlimited"), usize::MAX).unwrap();
        let error = check_limit(&limits("1024"), 8_100).unwrap_err().to_string();
        assert_eq!(error, "the limit of open files is 1024, run `ulimit -n 8100` first");
        check_descriptors(3).unwrap();
    }
}
