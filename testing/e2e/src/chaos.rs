//! `cargo e2e chaos`: random kills beside an independent recorder.
//!
//! For a while, the JobManager, the TaskManager, `flink-traces` and two OpenTelemetry Collectors
//! are killed at random. What the recorder saw must have been reported, once or under the same ids.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use flink_rest::types::CheckpointStatistics;
use flink_rest::{CheckpointStatus, Checkpoints, Client, JobId, JobsOverview};
use flink_traces_testkit::OtlpCollector;
use harness::{Collector, build_collector, say};
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, Mode};
use crate::compare::{Scenario, Setup};
use crate::program::Program;
use crate::records::{Checkpoint, Records};
use crate::session::{STEP_TIMEOUT, run_until_interrupted};

/// The interval between two requests of the recorder.
const RECORDER_INTERVAL: Duration = Duration::from_millis(200);
/// The delay of a failure of the job that no session reaches.
const NEVER: &str = "86400000";
/// The time before the end of a JobManager in which Flink's own reporters may still hold a record.
/// They export every 5 s, and are not closed.
const HELD_BY_FLINK: Duration = Duration::from_secs(6);
/// The largest distance between the starts of one initialization on both sides.
const SAME_START: Duration = Duration::from_secs(2);
/// The time at the end until all queued records have arrived.
const SETTLE: Duration = Duration::from_secs(30);

/// Runs for the time `duration`.
pub(crate) fn run(duration: Duration, seed: u64) -> Result<()> {
    println!("seed {seed}");
    let setup = Setup::prepare(harness::flink::VERSION, "chaos-session")?;
    let folder = setup.folder.clone();
    let report = run_until_interrupted(session(&setup, duration, seed), &folder)?;
    println!("{report}");
    report.check()?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn session(setup: &Setup, duration: Duration, seed: u64) -> Result<Report> {
    let mut random = fastrand::Rng::with_seed(seed);
    let binary = build_collector()?;
    let mut native = Destination::start(&binary, &setup.folder, "collector-of-flink")?;
    let mut ours = Destination::start(&binary, &setup.folder, "collector-of-flink-traces")?;
    say("starting the cluster");
    let mut cluster =
        setup.cluster(Scenario::Failover, Mode::HighAvailability, &native.collector.grpc_endpoint()).await?;
    let recorder = Recorder::start(cluster.rest.client.clone());
    let mut program = Some(start(setup, &cluster, &ours)?);
    let job = cluster.rest.submit(&setup.jar, 2, &[NEVER]).await?;

    let mut kills = Kills::default();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        sleep(Duration::from_secs(random.u64(15..45))).await;
        let pause = Duration::from_secs(random.u64(2..12));
        match random.u32(0..10) {
            0..2 => {
                say("killing the JobManager");
                kills.job_managers.push(SystemTime::now());
                cluster.kill_job_manager().await?;
                recorder.add_end();
                sleep(pause).await;
                cluster.restart_job_manager()?;
            }
            2..4 => {
                say("killing the TaskManager");
                kills.task_manager += 1;
                cluster.restart_task_manager(pause).await?;
            }
            4..7 => {
                say("killing flink-traces");
                kills.program += 1;
                drop(program.take());
                sleep(Duration::from_millis(random.u64(100..2_000))).await;
                program = Some(start(setup, &cluster, &ours)?);
            }
            _ => {
                say("killing both collectors");
                kills.collectors += 1;
                native.collector.kill();
                ours.collector.kill();
                sleep(pause).await;
                native.collector.restart()?;
                ours.collector.restart()?;
            }
        }
    }
    sleep(SETTLE).await;
    cluster.rest.cancel(&job, STEP_TIMEOUT).await?;
    sleep(SETTLE).await;
    if let Some(program) = program {
        program.stop().await?;
    }
    cluster.stop().await?;
    Ok(Report::new(kills, &recorder.finish(), &native.records(), &ours.records()))
}

fn start(setup: &Setup, cluster: &Cluster, destination: &Destination) -> Result<Program> {
    let spool = format!("spool.directory={}", setup.folder.join("spool").display());
    let (traces, events) = (format!("traces.reporter.otlp.{spool}"), format!("events.reporter.otlp.{spool}"));
    let protocol = |signal: &str| format!("{signal}.reporter.otlp.exporter.protocol=grpc");
    let options = [
        // The same as Flink's own reporters report.
        "traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK",
        &protocol("traces"),
        &protocol("events"),
        &traces,
        &events,
    ];
    let (url, endpoint) = (cluster.rest.url(), destination.collector.grpc_endpoint());
    Program::start_with(&setup.binary, &setup.folder, &["--flink", &url, "--otlp", &endpoint], &options)
}

/// The kills of each kind.
#[derive(Debug, Default)]
struct Kills {
    job_managers: Vec<SystemTime>,
    task_manager: u32,
    program: u32,
    collectors: u32,
}

/// A Collector that is killed, and the collector that it forwards to, which is not.
struct Destination {
    collector: Collector,
    behind: OtlpCollector,
}

impl Destination {
    fn start(binary: &Path, folder: &Path, name: &str) -> Result<Self> {
        let behind = OtlpCollector::start()?;
        let collector = Collector::start(binary, folder, name, &behind.grpc_endpoint(), |_| {})?;
        Ok(Self { collector, behind })
    }

    fn records(&self) -> Records {
        Records::of(&self.behind)
    }
}

/// A recorder of the finished checkpoints of a cluster, which knows nothing of the observer.
struct Recorder {
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

/// The checkpoints that the recorder saw.
#[derive(Debug, Default, Clone)]
struct Seen {
    checkpoints: BTreeSet<Checkpoint>,
    /// The checkpoints that were first seen by the last response before a JobManager was killed.
    ///
    /// A poller with a longer interval may not have had a chance to see them.
    at_an_end: BTreeSet<Checkpoint>,
    fresh: Vec<(Instant, Checkpoint)>,
}

impl Recorder {
    fn start(client: Client) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn({
            let seen = seen.clone();
            async move {
                loop {
                    // Requests fail while the JobManager is away.
                    if let Ok(overview) = client.call(&JobsOverview).await {
                        for job in overview.jobs {
                            record(&client, job.jid, &seen).await;
                        }
                    }
                    sleep(RECORDER_INTERVAL).await;
                }
            }
        });
        Self { seen, task }
    }

    /// Notes that the JobManager was killed.
    fn add_end(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |at: &Instant| at.elapsed() < Duration::from_secs(2);
        let fresh: Vec<_> =
            seen.fresh.drain(..).filter(|(at, _)| is_fresh(at)).map(|(_, checkpoint)| checkpoint).collect();
        seen.at_an_end.extend(fresh);
    }

    fn finish(self) -> Seen {
        self.task.abort();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn record(client: &Client, job: JobId, seen: &Mutex<Seen>) {
    let Ok(checkpoints) = client.call(&Checkpoints { job: job.clone() }).await else { return };
    let is_finished = |checkpoint: &&CheckpointStatistics| checkpoint.status != CheckpointStatus::InProgress;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for checkpoint in checkpoints.history.iter().filter(is_finished) {
        let checkpoint = (String::from(job.clone()), checkpoint.id, checkpoint.trigger_timestamp);
        if seen.checkpoints.insert(checkpoint.clone()) {
            seen.fresh.push((Instant::now(), checkpoint));
        }
    }
}

/// Pairs the initializations of both sides. One side may know their starts inexactly.
fn compare(ours: &BTreeMap<u64, Option<i64>>, native: &BTreeMap<u64, Option<i64>>) -> [Vec<String>; 3] {
    let has = |all: &BTreeMap<u64, Option<i64>>, start: u64| {
        all.keys().any(|other| Duration::from_millis(other.abs_diff(start)) < SAME_START)
    };
    let show = |(start, restored): (&u64, &Option<i64>)| match restored {
        Some(checkpoint) => format!("{start} from checkpoint {checkpoint}"),
        None => format!("{start} fresh"),
    };
    let select = |all: &BTreeMap<u64, Option<i64>>, others: &BTreeMap<u64, Option<i64>>, is_common: bool| {
        all.iter().filter(|(start, _)| has(others, **start) == is_common).map(show).collect()
    };
    [select(ours, native, true), select(ours, native, false), select(native, ours, false)]
}

/// Returns `true` if a trigger in milliseconds was in the last seconds before a JobManager's end.
fn is_before(trigger: i64, end: SystemTime) -> bool {
    let end = end.duration_since(UNIX_EPOCH).map_or(0, |end| end.as_millis());
    let held = end.saturating_sub(HELD_BY_FLINK.as_millis())..=end;
    u128::try_from(trigger).is_ok_and(|trigger| held.contains(&trigger))
}

/// The result of a session.
struct Report {
    kills: Kills,
    seen: usize,
    lost: Vec<Checkpoint>,
    lost_at_an_end: usize,
    /// The checkpoints that neither the recorder nor flink-traces saw, because the REST API did not
    /// show them long enough.
    hidden: usize,
    lost_by_flink: usize,
    /// The checkpoints among these that Flink's own reporter still held when its JobManager was
    /// killed.
    held_by_flink: usize,
    known: usize,
    /// The initializations that arrived from both sides, from flink-traces only, and from Flink's
    /// own reporter only.
    initializations: [Vec<String>; 3],
    /// The spans of flink-traces without their parents.
    orphans: usize,
    /// Checkpoints with more than one span id, and events with more than one uid.
    doubles: Vec<String>,
    /// Spans and events that arrived more than once under the same ids.
    resent: usize,
}

impl Report {
    fn new(kills: Kills, seen: &Seen, native: &Records, ours: &Records) -> Self {
        let (of_flink, reported) = (native.checkpoints(), ours.checkpoints());
        let missing: Vec<_> =
            seen.checkpoints.iter().filter(|checkpoint| !reported.contains_key(*checkpoint)).collect();
        let known: BTreeSet<_> = seen.checkpoints.iter().chain(of_flink.keys()).chain(reported.keys()).collect();
        let lost_by_flink: Vec<_> =
            known.iter().filter(|checkpoint| !of_flink.contains_key(**checkpoint)).map(|lost| lost.2).collect();
        let is_held = |trigger: &&i64| kills.job_managers.iter().any(|kill| is_before(**trigger, *kill));
        let is_hidden =
            |checkpoint: &Checkpoint| !seen.checkpoints.contains(checkpoint) && !reported.contains_key(checkpoint);
        Self {
            held_by_flink: lost_by_flink.iter().filter(is_held).count(),
            kills,
            seen: seen.checkpoints.len(),
            lost: missing
                .iter()
                .filter(|checkpoint| !seen.at_an_end.contains(*checkpoint))
                .map(|&lost| lost.clone())
                .collect(),
            lost_at_an_end: missing.iter().filter(|checkpoint| seen.at_an_end.contains(*checkpoint)).count(),
            hidden: known.iter().filter(|checkpoint| is_hidden(checkpoint)).count(),
            lost_by_flink: lost_by_flink.len(),
            known: known.len(),
            initializations: compare(&ours.initializations(), &native.initializations()),
            orphans: ours.orphans(),
            doubles: ours.doubles(),
            resent: ours.spans.len() - ours.span_ids().len(),
        }
    }

    fn check(&self) -> Result<()> {
        ensure!(self.seen > 0, "the recorder saw no checkpoint");
        ensure!(self.lost.is_empty(), "lost checkpoints that the recorder saw: {:?}", self.lost);
        ensure!(self.orphans == 0, "{} spans arrived without their parents", self.orphans);
        ensure!(self.doubles.is_empty(), "reported under two ids: {:?}", self.doubles);
        Ok(())
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Kills { job_managers, task_manager, program, collectors } = &self.kills;
        let job_manager = job_managers.len();
        writeln!(
            f,
            "kills: JobManager {job_manager}, TaskManager {task_manager}, flink-traces {program}, collectors {collectors}"
        )?;
        writeln!(f, "checkpoints that the recorder saw: {}", self.seen)?;
        writeln!(f, "  lost by flink-traces: {}", self.lost.len())?;
        writeln!(f, "  seen only in the last 2 s of a JobManager, and lost: {}", self.lost_at_an_end)?;
        writeln!(f, "checkpoints known from any side: {}", self.known)?;
        writeln!(f, "  hidden by the REST API, and missed by flink-traces: {}", self.hidden)?;
        writeln!(f, "  lost by Flink's own reporter: {}", self.lost_by_flink)?;
        writeln!(f, "    in the last 6 s of a JobManager: {}", self.held_by_flink)?;
        let [both, ours, native] = &self.initializations;
        writeln!(f, "initializations that arrived from both: {}", both.len())?;
        writeln!(f, "  only from flink-traces: {}", ours.join(", "))?;
        writeln!(f, "  only from Flink's own reporter: {}", native.join(", "))?;
        writeln!(f, "spans without their parents: {}", self.orphans)?;
        writeln!(f, "reported under two ids: {}", self.doubles.len())?;
        write!(f, "spans resent under the same ids: {}", self.resent)
    }
}
