//! `cargo e2e compare`: Flink's own reporters and `flink-traces` in one session of a real cluster.
//!
//! Afterwards the output of both is compared.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use flink_traces_testkit::OtlpCollector;
use flink_traces_testkit::compare::{Comparable, Comparison, compare, records, restrict};
use harness::flink::Distribution;
use harness::{build, recreate, say};
use tokio::time::sleep;

use crate::cluster::{Cluster, Mode, reporting_to};
use crate::program::Program;
use crate::session::{STEP_TIMEOUT, run_until_interrupted};
use crate::{job, target};

/// The version whose OpenTelemetry reporters also run in the versions that have none.
pub(crate) const REPORTERS_OF_OLD_VERSIONS: &str = "2.0.1";
/// The time from the start of the job until its first attempt fails.
const FAILS_AFTER: &str = "12000";
/// The same for the job that warms up, which leaves time for one checkpoint.
const WARM_UP_FAILS_AFTER: &str = "2500";
/// The delay of a failure that no session reaches.
const NEVER: &str = "86400000";
/// The time between two actions of the session.
const UNDISTURBED: Duration = Duration::from_secs(6);
/// The checkpoints of a session that takes one every 100 ms.
const FAST_CHECKPOINTS: usize = 100;
/// The time for them. A slow machine needs several times the interval for each.
const FAST_TIMEOUT: Duration = Duration::from_secs(180);
/// The time until the last records arrive. Flink exports every 5 s, and serves from a cache of 3 s.
const SETTLE: Duration = Duration::from_secs(8);
/// The time for which the JobManager is away.
const OUTAGE: Duration = Duration::from_secs(3);
/// The time before the end of a JobManager in which a checkpoint may be lost with it: it was still
/// in Flink's cache, or not yet polled.
const LOST_OVER_REST: Duration = Duration::from_secs(5);
/// The same for Flink's own reporters, which export every 5 s and are not closed. A JobManager
/// takes up to 3 s to end after its last record.
const LOST_BY_FLINK: Duration = Duration::from_secs(8);

/// A session in which both sides must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// A savepoint, a failure with a recovery, and a restart of flink-traces.
    Recovery,
    /// A checkpoint every 100 ms, with the caches of the REST API disabled.
    Uncached,
    /// A checkpoint every 100 ms, with a history of 200 checkpoints.
    LongHistory,
    /// A JobManager that is killed, whose job another one takes over.
    Failover,
    /// An application cluster that ends with its failing job.
    Application,
    /// Clusters of two versions at once.
    TwoVersions,
}

impl Scenario {
    /// Returns the options of the cluster.
    fn options(self) -> Vec<(&'static str, String)> {
        let options: &[(&str, &str)] = match self {
            Self::Uncached => &[
                ("execution.checkpointing.interval", "100ms"),
                ("rest.cache.checkpoint-statistics.timeout", "0ms"),
                ("rest.cache.execution-graph.timeout", "0ms"),
            ],
            Self::LongHistory => &[("execution.checkpointing.interval", "100ms"), ("web.checkpoints.history", "200")],
            Self::Application => &[("restart-strategy.fixed-delay.attempts", "1")],
            Self::Recovery | Self::Failover | Self::TwoVersions => &[],
        };
        options.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
    }

    /// Returns the records that a session must show at least, so that its comparison means
    /// something.
    fn expected(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Recovery => &[
                ("Checkpoint", 15),
                ("Checkpoint_Task", 60),
                ("Checkpoint_Subtask", 105),
                ("JobInitialization", 2),
                ("CheckpointEvent", 15),
                ("JobStatusChangeEvent", 5),
                ("JobFailureEvent", 1),
                ("AllSubtasksStatusChangeEvent", 4),
            ],
            Self::Uncached | Self::LongHistory => {
                &[("Checkpoint", FAST_CHECKPOINTS), ("CheckpointEvent", FAST_CHECKPOINTS)]
            }
            Self::Failover => &[("Checkpoint", 8), ("JobInitialization", 1), ("JobStatusChangeEvent", 2)],
            Self::Application => &[("Checkpoint", 2), ("JobFailureEvent", 1)],
            Self::TwoVersions => &[("Checkpoint", 10), ("JobInitialization", 1)],
        }
    }
}

/// The parts of a session that are prepared once.
pub(crate) struct Setup {
    distribution: Distribution,
    reporters: Distribution,
    /// `true` if the version has reporters of its own.
    has_reporters: bool,
    pub(crate) jar: PathBuf,
    pub(crate) binary: PathBuf,
    pub(crate) folder: PathBuf,
}

impl Setup {
    pub(crate) fn prepare(version: &str, folder: &str) -> Result<Self> {
        let folder = target(folder)?;
        recreate(&folder)?;
        let distribution = Distribution::prepare(version)?;
        let has_reporters = !version.starts_with("1.");
        let reporters = Distribution::prepare(if has_reporters { version } else { REPORTERS_OF_OLD_VERSIONS })?;
        let jar = job::compile(&distribution)?;
        Ok(Self { distribution, reporters, has_reporters, jar, binary: build("flink-traces")?, folder })
    }

    pub(crate) async fn cluster(&self, scenario: Scenario, mode: Mode<'_>, collector: &str) -> Result<Cluster> {
        self.cluster_with(scenario.options(), mode, collector).await
    }

    /// Starts a cluster with further options, which reports to the collector at `collector`.
    pub(crate) async fn cluster_with(
        &self,
        more: Vec<(&'static str, String)>,
        mode: Mode<'_>,
        collector: &str,
    ) -> Result<Cluster> {
        let mut options = reporting_to(collector);
        options.extend(more);
        Cluster::start_as(mode, &self.distribution, &self.reporters.plugins(), &self.folder, &options).await
    }

    /// Compares the records of a job. An older version does not report all that we do.
    fn compare(&self, native: &OtlpCollector, ours: &OtlpCollector, job: &str) -> Comparison {
        let (native, ours) = (of_job(native, Some(job)), of_job(ours, Some(job)));
        let ours = if self.has_reporters { ours } else { restrict(ours, &native) };
        compare(&native, &ours)
    }

    fn program(&self, cluster: &Cluster, collector: &OtlpCollector) -> Result<Program> {
        Program::start(&self.binary, &self.folder, &cluster.rest.url(), &collector.grpc_endpoint())
    }
}

/// Runs sessions and compares. All processes end with each, even after an interruption.
pub(crate) fn run(scenarios: &[Scenario], version: &str) -> Result<()> {
    for &scenario in scenarios {
        let name = scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        say(&format!("comparing: {name}"));
        let setup = Setup::prepare(version, "session")?;
        let folder = setup.folder.clone();
        let has_reporters = setup.has_reporters;
        let comparisons = run_until_interrupted(session(scenario, setup), &folder)?;
        for comparison in comparisons {
            print!("{comparison}");
            // An older version reports neither events nor children.
            let is_shown = |kind: &str| has_reporters || ["Checkpoint", "JobInitialization"].contains(&kind);
            for (kind, least) in scenario.expected().iter().filter(|(kind, _)| is_shown(kind)) {
                let count = comparison.native_count(kind);
                ensure!(count >= *least, "expected at least {least} of {kind}, found {count}");
            }
            ensure!(comparison.differences.is_empty(), "{} differences", comparison.differences.len());
        }
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

async fn session(scenario: Scenario, setup: Setup) -> Result<Vec<Comparison>> {
    match scenario {
        Scenario::Recovery => Ok(vec![recovery(&setup).await?]),
        Scenario::Uncached | Scenario::LongHistory => Ok(vec![fast(scenario, &setup).await?]),
        Scenario::Failover => Ok(vec![failover(&setup).await?]),
        Scenario::Application => Ok(vec![application(&setup).await?]),
        Scenario::TwoVersions => two_versions(&setup).await,
    }
}

async fn recovery(setup: &Setup) -> Result<Comparison> {
    let (native, ours) = (OtlpCollector::start()?, OtlpCollector::start()?);
    let cluster = started(Scenario::Recovery, setup, Mode::Session, &native).await?;
    let program = setup.program(&cluster, &ours)?;
    say("submitting the job");
    let job = cluster.rest.submit(&setup.jar, 2, &[FAILS_AFTER]).await?;
    sleep(UNDISTURBED).await;
    say("taking a savepoint");
    cluster.rest.savepoint(&job, STEP_TIMEOUT).await?;
    say("waiting for the failure and the recovery");
    cluster.rest.wait_for_recovery(&job, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;
    say("restarting flink-traces");
    program.stop().await?;
    let program = setup.program(&cluster, &ours)?;
    sleep(UNDISTURBED).await;
    finish(&cluster, &job, program).await?;
    cluster.stop().await?;
    Ok(setup.compare(&native, &ours, &job))
}

async fn fast(scenario: Scenario, setup: &Setup) -> Result<Comparison> {
    let (native, ours) = (OtlpCollector::start()?, OtlpCollector::start()?);
    let cluster = started(scenario, setup, Mode::Session, &native).await?;
    let program = setup.program(&cluster, &ours)?;
    say("submitting the job");
    let job = cluster.rest.submit(&setup.jar, 2, &[NEVER]).await?;
    cluster.rest.wait_for_checkpoints(&job, FAST_CHECKPOINTS, FAST_TIMEOUT).await?;
    finish(&cluster, &job, program).await?;
    cluster.stop().await?;
    Ok(compare(&of_job(&native, Some(&job)), &of_job(&ours, Some(&job))))
}

async fn failover(setup: &Setup) -> Result<Comparison> {
    let (native, ours) = (OtlpCollector::start()?, OtlpCollector::start()?);
    let mut cluster = started(Scenario::Failover, setup, Mode::HighAvailability, &native).await?;
    let program = setup.program(&cluster, &ours)?;
    say("submitting the job");
    let job = cluster.rest.submit(&setup.jar, 2, &[NEVER]).await?;
    sleep(UNDISTURBED * 2).await;
    say("killing the JobManager");
    cluster.kill_job_manager().await?;
    let killed_at = now();
    sleep(OUTAGE).await;
    cluster.restart_job_manager()?;
    cluster.rest.wait_for_recovery(&job, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED * 2).await;
    finish(&cluster, &job, program).await?;
    cluster.stop().await?;
    Ok(compare_until(&of_job(&native, Some(&job)), &of_job(&ours, Some(&job)), killed_at))
}

async fn application(setup: &Setup) -> Result<Comparison> {
    let (native, ours) = (OtlpCollector::start()?, OtlpCollector::start()?);
    say("starting the application");
    let arguments = ["6000", "fail-always"];
    let mode = Mode::Application(&setup.jar, &arguments);
    let mut cluster = setup.cluster(Scenario::Application, mode, &native.grpc_endpoint()).await?;
    let program = setup.program(&cluster, &ours)?;
    cluster.wait_for_end(STEP_TIMEOUT * 2).await?;
    let ended_at = now();
    sleep(SETTLE).await;
    program.stop().await?;
    cluster.stop().await?;
    Ok(compare_until(&of_job(&native, None), &of_job(&ours, None), ended_at))
}

async fn two_versions(setup: &Setup) -> Result<Vec<Comparison>> {
    let other = Setup::prepare("1.20.5", "other-session")?;
    let both = [setup, &other];
    let collectors = [OtlpCollector::start()?, OtlpCollector::start()?];
    let ours = OtlpCollector::start()?;
    let mut clusters = Vec::new();
    for (setup, collector) in both.into_iter().zip(&collectors) {
        clusters.push(started(Scenario::TwoVersions, setup, Mode::Session, collector).await?);
    }
    let urls: Vec<_> =
        ["new", "old"].iter().zip(&clusters).map(|(name, cluster)| format!("{name}={}", cluster.rest.url())).collect();
    let program = Program::start_for(&setup.binary, &setup.folder, &urls, &ours.grpc_endpoint())?;
    say("submitting the jobs");
    let mut jobs = Vec::new();
    for (setup, cluster) in both.into_iter().zip(&clusters) {
        jobs.push(cluster.rest.submit(&setup.jar, 2, &[FAILS_AFTER]).await?);
    }
    for (cluster, job) in clusters.iter().zip(&jobs) {
        cluster.rest.wait_for_recovery(job, STEP_TIMEOUT).await?;
    }
    sleep(UNDISTURBED).await;
    for (cluster, job) in clusters.iter().zip(&jobs) {
        cluster.rest.cancel(job, STEP_TIMEOUT).await?;
    }
    sleep(SETTLE).await;
    program.stop().await?;
    for cluster in clusters {
        cluster.stop().await?;
    }
    fs::remove_dir_all(&other.folder)?;
    let of_each = both.into_iter().zip(collectors.iter().zip(&jobs));
    Ok(of_each.map(|(setup, (native, job))| setup.compare(native, &ours, job)).collect())
}

/// Starts a cluster, and warms it up.
///
/// A JVM is many times slower in its first actions, and times are compared to the millisecond.
async fn started(scenario: Scenario, setup: &Setup, mode: Mode<'_>, collector: &OtlpCollector) -> Result<Cluster> {
    say("starting the cluster");
    let cluster = setup.cluster(scenario, mode, &collector.grpc_endpoint()).await?;
    say("warming up: a job that fails and recovers");
    let warm_up = cluster.rest.submit(&setup.jar, 2, &[WARM_UP_FAILS_AFTER]).await?;
    cluster.rest.wait_for_recovery(&warm_up, STEP_TIMEOUT).await?;
    cluster.rest.cancel(&warm_up, STEP_TIMEOUT).await?;
    say("starting flink-traces");
    Ok(cluster)
}

async fn finish(cluster: &Cluster, job: &str, program: Program) -> Result<()> {
    say("canceling the job");
    cluster.rest.cancel(job, STEP_TIMEOUT).await?;
    sleep(SETTLE).await;
    program.stop().await
}

/// Returns the records of one job, or of all.
fn of_job(collector: &OtlpCollector, job: Option<&str>) -> Vec<Comparable> {
    let mut records = records(&collector.spans(), &collector.events());
    records.retain(|record| job.is_none() || record.job() == job);
    records
}

/// Compares the records of a session in which a JobManager ended at `end`, in milliseconds since
/// the epoch. Either side may lack what was known shortly before.
fn compare_until(native: &[Comparable], ours: &[Comparable], end: i64) -> Comparison {
    let before_end = |time: Duration| end - i64::try_from(time.as_millis()).unwrap_or(i64::MAX)..end;
    let over_rest = before_end(LOST_OVER_REST);
    // The REST API answers after a status change at once, so only checkpoints may be lost.
    let is_lost = |record: &Comparable| record.checkpoint().is_some() && over_rest.contains(&record.millis());
    let native_kept: Vec<_> = without_lost(native, ours, is_lost)
        .into_iter()
        .map(|record| if is_known(record.restored(), ours) { record } else { record.without_restored_size() })
        .collect();
    let by_flink: Range<i64> = before_end(LOST_BY_FLINK);
    let ours_kept = without_lost(ours, native, |record| by_flink.contains(&record.millis()));
    compare(&native_kept, &ours_kept)
}

/// Returns `true` if no checkpoint was restored, or one with a span.
fn is_known(restored: Option<(&str, i64)>, records: &[Comparable]) -> bool {
    let has_span = |record: &Comparable| record.kind() == "Checkpoint" && record.checkpoint() == restored;
    restored.is_none() || records.iter().any(has_span)
}

/// Returns the records without those that are lost on the other side and may be.
fn without_lost(
    records: &[Comparable],
    others: &[Comparable],
    may_be_lost: impl Fn(&Comparable) -> bool,
) -> Vec<Comparable> {
    // A job has several records of a kind, of which the last ones are lost.
    let is_kept = |(index, record): &(usize, &Comparable)| {
        let before = records[..*index].iter().filter(|earlier| earlier.is_same(record)).count();
        others.iter().filter(|other| record.is_same(other)).count() > before || !may_be_lost(record)
    };
    records.iter().enumerate().filter(is_kept).map(|(_, record)| record.clone()).collect()
}

/// Returns the time in milliseconds since the epoch.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use flink_traces_testkit::ReceivedEvent;

    use super::*;

    /// Returns the records of failures of one job at these times, in milliseconds.
    fn failures(times: &[i64]) -> Vec<Comparable> {
        let attribute = |name: &str, value: &str| format!(r#"{{"key":"{name}","value":{{"stringValue":"{value}"}}}}"#);
        let attributes = [attribute("name", "JobFailureEvent"), attribute("jobId", "1f")].join(",");
        let record = |millis| format!(r#"{{"observedTimeUnixNano":"{millis}000000","attributes":[{attributes}]}}"#);
        let events = times.iter().map(record).collect::<Vec<_>>().join(",");
        let text = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{events}]}}]}}]}}"#);
        records(&[], &ReceivedEvent::read_json(&text).unwrap())
    }

    /// Guarantees: of several records of a kind, only the last ones may be lost, and only if the
    /// loss is allowed at their time.
    #[test]
    fn last_records_of_a_kind_may_be_lost() {
        let all = failures(&[1_000, 2_000, 3_000]);
        let kept = |others: &[i64], from: i64| {
            let kept = without_lost(&all, &failures(others), |record| record.millis() >= from);
            kept.iter().map(Comparable::millis).collect::<Vec<_>>()
        };
        assert_eq!(kept(&[1_000, 2_000, 3_000], 0), [1_000, 2_000, 3_000]);
        assert_eq!(kept(&[1_000, 2_000], 3_000), [1_000, 2_000]);
        assert_eq!(kept(&[1_000], 3_000), [1_000, 2_000]);
        assert_eq!(kept(&[], 0), [0_i64; 0]);
    }
}
