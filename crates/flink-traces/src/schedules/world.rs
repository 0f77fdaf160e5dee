//! A small world of clusters whose jobs take checkpoints, fail, restart and end at random.
//!
//! It serves what Flink's REST API would show, by the trackers of the runtime.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fastrand::Rng;
use flink_rest::types::JobDetailsInfo;
use flink_rest::{CheckpointStatus, Checkpoints, Job, JobExceptions, JobId, RestService as _};
use flink_traces_api::Clock as _;
use flink_traces_runtime::CheckpointStatsTracker;
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointTask, CheckpointType, RestoredCheckpoint, SubtaskStats,
};
use flink_traces_runtime::job::{ExecutionAttemptId, ExecutionState, FailureHandlingResult, JobStatus};
use flink_traces_runtime::rest::{ClusterInfo, JobInfo, JobVertex, TrackedCluster, TrackedJob};
use flink_traces_testkit::ManualClock;

/// The number of clusters.
pub(crate) const SITES: usize = 2;
/// The time between two steps of the world, in milliseconds.
pub(crate) const STEP_MS: i64 = 100;
/// The number of checkpoints in a history, which is Flink's default.
const HISTORY: usize = 10;
const JOBS: u32 = 2;
const VERTICES: [&str; 2] = ["6bf01baa9d2ca23a3ef7ce311722523d", "a196eece6af80922e24d9003a27340c9"];
/// The time for which a cluster shows a job that has ended.
const SHOWN_MS: i64 = 20_000;

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Checkpoint,
    CheckpointEvent,
    /// A restore of a checkpoint.
    Initialization,
    Status,
    Failure,
}

/// Something that happened to a job. The number is the id of a checkpoint, or a status. The time of
/// a checkpoint is 0, because an id is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Happening {
    pub(crate) kind: Kind,
    pub(crate) job: u32,
    pub(crate) number: i64,
    pub(crate) at: i64,
}

/// Returns what a record is about, if it is of a kind that the judge knows.
pub(crate) fn happening(name: &str, at: i64, attribute: impl Fn(&str) -> Option<String>) -> Option<Happening> {
    let job = attribute("job_id").or(attribute("jobId"))?;
    let job = u32::from_str_radix(&job, 16).ok()?;
    let checkpoint = || attribute("checkpointId").and_then(|id| id.parse().ok());
    let (kind, number, at) = match name {
        "Checkpoint" => (Kind::Checkpoint, checkpoint()?, 0),
        "CheckpointEvent" => (Kind::CheckpointEvent, checkpoint()?, 0),
        "JobInitialization" => (Kind::Initialization, checkpoint()?, at),
        "JobFailureEvent" => (Kind::Failure, 0, at),
        "JobStatusChangeEvent" => {
            let name = attribute("newJobStatus")?;
            (Kind::Status, number_of(*JobStatus::ALL.iter().find(|status| status.name() == name)?), at)
        }
        _ => return None,
    };
    Some(Happening { kind, job, number, at })
}

fn number_of(status: JobStatus) -> i64 {
    status as i64
}

pub(crate) struct World {
    pub(crate) sites: Vec<Site>,
    /// Everything that the clusters have ever shown.
    pub(crate) truth: HashSet<Happening>,
    pub(crate) clock: ManualClock,
    random: Rng,
    jobs: u32,
}

/// A cluster.
pub(crate) struct Site {
    pub(crate) cluster: Arc<TrackedCluster>,
    works: Vec<Work>,
    /// No process reaches it until then.
    away_until: Arc<AtomicI64>,
}

/// A job.
struct Work {
    number: u32,
    tracked: Arc<TrackedJob>,
    attempt: u32,
    /// The id of the next checkpoint, and the time at which it is triggered.
    next: i64,
    trigger_at: i64,
    /// The checkpoint in progress, and its end.
    open: Option<(i64, i64)>,
    completed: Option<i64>,
    /// The time at which it runs again.
    back_at: Option<i64>,
    ended_at: Option<i64>,
}

impl World {
    pub(crate) fn new(seed: u64, clock: ManualClock) -> Self {
        let site = |number| Site {
            cluster: Arc::new(TrackedCluster::new(
                ClusterInfo::new("2.3.0", format!("{number}")),
                Arc::new(clock.clone()),
            )),
            works: Vec::new(),
            away_until: Arc::default(),
        };
        let sites = (0..SITES).map(site).collect();
        let mut world = Self { sites, truth: HashSet::new(), clock, random: Rng::with_seed(seed), jobs: 0 };
        for site in 0..SITES {
            (0..world.random.u32(1..=JOBS)).for_each(|_| world.start_job(site));
        }
        world
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_millis()
    }

    pub(crate) fn is_away(&self, site: usize) -> bool {
        self.away(site)()
    }

    /// Returns a function that returns `true` while no process reaches a cluster.
    pub(crate) fn away(&self, site: usize) -> impl Fn() -> bool + Clone + Send + Sync + use<> {
        let (clock, until) = (self.clock.clone(), self.sites[site].away_until.clone());
        move || clock.now_millis() < until.load(Ordering::Relaxed)
    }

    fn start_job(&mut self, site: usize) {
        let now = self.now();
        self.jobs += 1;
        let tracked = tracked(self.jobs, now);
        self.sites[site].cluster.add_job(tracked.clone());
        let trigger_at = now + self.random.i64(1_000..4_000);
        self.sites[site].works.push(Work {
            number: self.jobs,
            tracked,
            attempt: 0,
            next: 1,
            trigger_at,
            open: None,
            completed: None,
            back_at: Some(now + self.random.i64(0..2_000)),
            ended_at: None,
        });
    }

    /// Hides a cluster from all processes. Returns the time at which it is back.
    pub(crate) fn take_away(&mut self, site: usize, away_ms: i64) -> i64 {
        let back_at = self.now() + away_ms;
        self.sites[site].away_until.fetch_max(back_at, Ordering::Relaxed).max(back_at)
    }

    /// Lets another JobManager take a cluster over. Its statistics are lost.
    pub(crate) fn fail_over(&mut self, site: usize, away_ms: i64) {
        let now = self.now();
        let back_at = self.take_away(site, away_ms);
        let Site { works, cluster, .. } = &mut self.sites[site];
        works.retain(|work| work.ended_at.is_none() || cluster.remove_job(&id(work.number)).is_none());
        for work in works {
            work.tracked = tracked(work.number, now);
            cluster.add_job(work.tracked.clone());
            (work.open, work.attempt, work.back_at) = (None, 0, Some(back_at + self.random.i64(0..1_500)));
        }
    }

    /// Plays the time since the last step.
    pub(crate) fn step(&mut self) {
        let now = self.now();
        for site in 0..SITES {
            let Site { works, cluster, .. } = &mut self.sites[site];
            for work in works.iter_mut() {
                work.step(now, &mut self.random, &mut self.truth);
            }
            let count = works.len();
            works.retain(|work| {
                let stays = work.ended_at.is_none_or(|ended| now < ended + SHOWN_MS);
                stays || cluster.remove_job(&id(work.number)).is_none()
            });
            if works.len() < count {
                self.start_job(site);
            }
        }
    }

    /// Returns what a cluster shows now.
    pub(crate) async fn shown(&self, site: usize) -> Vec<Happening> {
        let mut shown = Vec::new();
        for Work { number, .. } in &self.sites[site].works {
            let (cluster, job) = (&self.sites[site].cluster, JobId::new(id(*number)).unwrap());
            let mut add = |kind, of, at| shown.push(Happening { kind, job: *number, number: of, at });
            let JobDetailsInfo { state, timestamps, .. } = cluster.job(Job { job: job.clone() }).await.unwrap();
            for (status, at) in timestamps.iter().filter_map(|(status, at)| Some((status.known()?, *at))) {
                if at > 0 && is_reported(status) {
                    add(Kind::Status, number_of(status), at);
                }
            }
            let failures = cluster.job_exceptions(JobExceptions::new(job.clone())).await.unwrap();
            for entry in failures.exception_history.iter().flat_map(|history| &history.entries) {
                add(Kind::Failure, 0, entry.timestamp);
            }
            let statistics = cluster.checkpoints(Checkpoints { job }).await.unwrap();
            for entry in statistics.history.iter().filter(|entry| entry.status != CheckpointStatus::InProgress) {
                add(Kind::Checkpoint, entry.id, 0);
                add(Kind::CheckpointEvent, entry.id, 0);
            }
            if let Some(restored) = statistics.latest.restored.filter(|_| state.known() == Some(JobStatus::Running)) {
                add(Kind::Initialization, restored.id, restored.restore_timestamp);
            }
        }
        shown
    }
}

/// Returns `true` if Flink reports a change to the status.
fn is_reported(status: JobStatus) -> bool {
    !matches!(status, JobStatus::Created | JobStatus::Initializing | JobStatus::Reconciling)
}

fn id(job: u32) -> String {
    format!("{job:032x}")
}

fn tracked(number: u32, now: i64) -> Arc<TrackedJob> {
    let vertices = VERTICES.map(|id| JobVertex::new(id, &id[..4], 1)).to_vec();
    let config = serde_json::from_str(r#"{"mode":"exactly_once","interval":2000}"#).unwrap();
    let checkpoints = Arc::new(CheckpointStatsTracker::builder(HISTORY).checkpoint_interval_ms(2_000).build());
    let info = JobInfo::new(id(number), format!("job {number}"), vertices, config);
    Arc::new(TrackedJob::new(info, checkpoints, JobStatus::Created, now).unwrap())
}

impl Work {
    fn path(&self, checkpoint: i64) -> String {
        format!("file:/{}/chk-{checkpoint}", id(self.number))
    }

    /// Does at most one thing.
    fn step(&mut self, now: i64, random: &mut Rng, truth: &mut HashSet<Happening>) {
        let number = self.number;
        let mut add = |kind, of, at| {
            truth.insert(Happening { kind, job: number, number: of, at });
        };
        let tracker = self.tracked.checkpoints();
        let mut end = |id: i64| {
            add(Kind::Checkpoint, id, 0);
            add(Kind::CheckpointEvent, id, 0);
        };
        if self.ended_at.is_some() {
        } else if let Some(back_at) = self.back_at {
            if now < back_at {
                return;
            }
            self.back_at = None;
            tracker.report_initialization_started(now - 20, []);
            if let Some(id) = self.completed {
                let restored = RestoredCheckpoint::new(id, now - 20, false).with_external_path(self.path(id));
                tracker.report_restored(restored).unwrap();
                add(Kind::Initialization, id, now - 20);
            }
            self.change(JobStatus::Running, now - 15, &mut add);
            let states = [ExecutionState::Scheduled, ExecutionState::Deploying, ExecutionState::Initializing];
            for (state, before) in states.into_iter().chain([ExecutionState::Running]).zip([12, 10, 8, 5]) {
                self.enter([state; 2], now - before);
            }
        } else if let Some((id, _)) = self.open.filter(|(_, ends_at)| *ends_at <= now) {
            self.open = None;
            end(id);
            if random.u32(0..8) == 0 {
                tracker.report_failed(id, CheckpointFailure::new(now - 1, "it took too long")).unwrap();
            } else {
                for vertex in VERTICES {
                    tracker.report_subtask(id, vertex, SubtaskStats::new(0, now - 2)).unwrap();
                }
                tracker.report_completed(id, Some(self.path(id)), Some(77)).unwrap();
                self.completed = Some(id);
            }
        } else if random.u32(0..300) == 0 {
            if let Some((id, _)) = self.open.take() {
                tracker.report_failed(id, CheckpointFailure::new(now - 7, "the job failed")).unwrap();
                end(id);
            }
            self.enter([ExecutionState::Failed, ExecutionState::Canceled], now - 10);
            let error = std::io::Error::other("disk full");
            self.tracked.report_failure(&FailureHandlingResult::new(now - 8, &error, true).with_global_failure(false));
            add(Kind::Failure, 0, now - 8);
            self.change(JobStatus::Restarting, now - 6, &mut add);
            (self.attempt, self.back_at) = (self.attempt + 1, Some(now + random.i64(100..3_000)));
        } else if random.u32(0..1_000) == 0 {
            if let Some((id, _)) = self.open.take() {
                tracker.report_failed(id, CheckpointFailure::new(now - 22, "the job was canceled")).unwrap();
                end(id);
            }
            self.change(JobStatus::Cancelling, now - 20, &mut add);
            self.enter([ExecutionState::Canceled; 2], now - 15);
            self.change(JobStatus::Canceled, now - 10, &mut add);
            self.ended_at = Some(now);
        } else if self.open.is_none() && now >= self.trigger_at {
            let tasks = VERTICES.map(|vertex| CheckpointTask::new(vertex, 1));
            tracker.report_pending(self.next, now - 5, CheckpointType::Checkpoint, &tasks).unwrap();
            self.open = Some((self.next, now + random.i64(0..1_500)));
            (self.next, self.trigger_at) = (self.next + 1, now + random.i64(1_500..4_000));
        }
    }

    fn change(&self, status: JobStatus, at: i64, add: &mut impl FnMut(Kind, i64, i64)) {
        self.tracked.report_status(status, at);
        add(Kind::Status, number_of(status), at);
    }

    fn enter(&self, states: [ExecutionState; 2], at: i64) {
        for (vertex, state) in VERTICES.into_iter().zip(states) {
            let attempt =
                ExecutionAttemptId { job_vertex_id: vertex.to_owned(), subtask_index: 0, attempt_number: self.attempt };
            self.tracked.report_subtask(&attempt, state, at);
        }
    }
}
