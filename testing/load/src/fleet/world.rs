//! The clusters of a fleet: a function of the time, so that the server and the judge agree.

use std::fmt::Write as _;
use std::sync::LazyLock;

use clap::Args;
use serde::{Deserialize, Serialize};

/// The number of checkpoints in a history, which is Flink's default.
pub(super) const HISTORY: i64 = 10;
pub(super) const VERTICES: usize = 3;
/// The number of subtasks of each vertex.
const PARALLELISM: usize = 4;
/// The duration of each checkpoint.
pub(super) const DURATION_MS: i64 = 200;
/// The time within which all jobs of a storm restart.
const STORM_MS: i64 = 1_000;
/// The time from a failure until the job is `RUNNING`, until all subtasks run, and until the next
/// checkpoint may be triggered.
const RUNNING_AFTER_MS: i64 = 1_000;
const ALL_RUN_AFTER_MS: i64 = 1_300;
const STEADY_AFTER_MS: i64 = 1_500;

/// The sizes of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Args)]
pub(crate) struct Scale {
    /// The number of session clusters.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) sessions: usize,
    /// The number of jobs of each session cluster.
    #[arg(long, default_value_t = 10)]
    pub(crate) jobs: usize,
    /// The number of application clusters, which have one job each.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) applications: usize,
    /// The seconds between two checkpoints of a job.
    #[arg(long, default_value_t = 60)]
    pub(crate) checkpoint_interval: u32,
}

/// The clusters of a fleet, numbered from 0: first the session clusters, then the applications.
/// All jobs are numbered from 0, too.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) scale: Scale,
    /// The time at which the clusters are served. The jobs are older.
    pub(crate) served_at: i64,
    /// The time at which the storm begins, if there is one.
    pub(crate) storm: Option<i64>,
}

/// A job and what it has done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) number: usize,
    interval: i64,
    /// The trigger timestamp of the first checkpoint, whose id is 1.
    first: i64,
    /// The time of the failure, if there is one.
    failed_at: Option<i64>,
}

impl World {
    pub(crate) fn new(scale: Scale, served_at: i64) -> Self {
        Self { scale, served_at, storm: None }
    }

    pub(crate) fn clusters(&self) -> usize {
        self.scale.sessions + self.scale.applications
    }

    pub(crate) fn jobs(&self) -> usize {
        self.scale.sessions * self.scale.jobs + self.scale.applications
    }

    pub(super) fn is_application(&self, cluster: usize) -> bool {
        cluster >= self.scale.sessions
    }

    /// Returns the jobs of a cluster.
    pub(super) fn jobs_of(&self, cluster: usize) -> std::ops::Range<usize> {
        let of_sessions = self.scale.sessions * self.scale.jobs;
        match cluster.checked_sub(self.scale.sessions) {
            None => cluster * self.scale.jobs..(cluster + 1) * self.scale.jobs,
            Some(application) => of_sessions + application..of_sessions + application + 1,
        }
    }

    /// Returns the cluster of a job.
    pub(crate) fn cluster_of(&self, job: usize) -> usize {
        let of_sessions = self.scale.sessions * self.scale.jobs;
        match job.checked_sub(of_sessions) {
            None => job / self.scale.jobs,
            Some(application) => self.scale.sessions + application,
        }
    }

    pub(super) fn job(&self, number: usize) -> Job {
        let interval = i64::from(self.scale.checkpoint_interval) * 1_000;
        // A prime, so that the checkpoints of a cluster are apart.
        let turn = (number * 7_919 % self.jobs()) as i64;
        let first = self.served_at - HISTORY * interval + interval * turn / self.jobs() as i64;
        let mut job = Job { number, interval, first, failed_at: None };
        job.failed_at = self.storm.map(|storm| {
            let failed_at = storm + (number * 6_007 % 1_000) as i64 * (STORM_MS - DURATION_MS) / 1_000;
            // Not during a checkpoint.
            let triggered = job.triggered_at(job.triggered(failed_at));
            if failed_at <= triggered + DURATION_MS { triggered + DURATION_MS + 1 } else { failed_at }
        });
        job
    }
}

impl Job {
    /// Returns the trigger timestamp of a checkpoint. One that would fall into a restart is late.
    pub(crate) fn triggered_at(&self, id: i64) -> i64 {
        let regular = self.first + (id - 1) * self.interval;
        match self.failed_at {
            Some(failed) if (failed..failed + STEADY_AFTER_MS).contains(&regular) => failed + STEADY_AFTER_MS,
            _ => regular,
        }
    }

    pub(crate) fn ended_at(&self, id: i64) -> i64 {
        self.triggered_at(id) + DURATION_MS
    }

    /// Returns the id of the last checkpoint that was triggered by `now`.
    pub(super) fn triggered(&self, now: i64) -> i64 {
        let regular = (now - self.first).div_euclid(self.interval) + 1;
        if self.triggered_at(regular) <= now { regular } else { regular - 1 }
    }

    /// Returns the id of the last checkpoint that ended by `now`.
    pub(crate) fn ended(&self, now: i64) -> i64 {
        let triggered = self.triggered(now);
        if self.ended_at(triggered) <= now { triggered } else { triggered - 1 }
    }

    fn started_at(&self) -> i64 {
        self.first - self.interval
    }

    pub(super) fn id(&self) -> String {
        format!("{:032x}", self.number + 1)
    }

    pub(super) fn vertex(&self, vertex: usize) -> String {
        format!("{:016x}{vertex:016x}", self.number + 1)
    }

    fn path(&self, id: i64) -> String {
        format!("s3://checkpoints/{}/chk-{id}", self.id())
    }

    /// Returns the time of the failure, if it has happened by `now`.
    pub(super) fn failure(&self, now: i64) -> Option<i64> {
        self.failed_at.filter(|failed| *failed <= now)
    }

    /// Returns the time since which all subtasks run, by `now`; `None` while they do not.
    fn all_run_since(&self, now: i64) -> Option<i64> {
        match self.failure(now) {
            None => Some(self.started_at() + ALL_RUN_AFTER_MS),
            Some(failed) => Some(failed + ALL_RUN_AFTER_MS).filter(|since| *since <= now),
        }
    }

    fn state(&self, now: i64) -> &'static str {
        match self.failure(now) {
            Some(failed) if now < failed + RUNNING_AFTER_MS => "RESTARTING",
            _ => "RUNNING",
        }
    }

    fn last_modification(&self, now: i64) -> i64 {
        match self.failure(now) {
            None => self.started_at() + ALL_RUN_AFTER_MS,
            Some(failed) => [ALL_RUN_AFTER_MS, RUNNING_AFTER_MS, 0]
                .into_iter()
                .map(|after| failed + after)
                .find(|change| *change <= now)
                .unwrap_or(failed),
        }
    }

    /// Appends the entry in the overview.
    pub(super) fn write_summary(&self, now: i64, out: &mut String) {
        let total = VERTICES * PARALLELISM;
        let (running, initializing, failed, canceled) = match (self.all_run_since(now), self.state(now)) {
            (Some(_), _) => (total, 0, 0, 0),
            (None, "RUNNING") => (0, total, 0, 0),
            (None, _) => (0, 0, 1, total - 1),
        };
        let (id, started, state) = (self.id(), self.started_at(), self.state(now));
        let _ = write!(
            out,
            r#"{{"jid":"{id}","name":"job {}","jobType":"STREAMING","schedulerType":"Default","start-time":{started},"end-time":-1,"duration":{},"state":"{state}","last-modification":{},"tasks":{{"running":{running},"canceling":0,"canceled":{canceled},"total":{total},"created":0,"scheduled":0,"deploying":0,"reconciling":0,"finished":0,"initializing":{initializing},"failed":{failed}}},"pending-operators":0}}"#,
            self.number,
            now - started,
            self.last_modification(now),
        );
    }

    /// Returns the body of `/jobs/:jobid`.
    pub(super) fn details(&self, now: i64) -> String {
        let (id, started, state) = (self.id(), self.started_at(), self.state(now));
        let failed = self.failure(now);
        let running = failed.map_or(started + 10, |failed| failed + RUNNING_AFTER_MS);
        let running = if state == "RUNNING" { running } else { started + 10 };
        let status = match (self.all_run_since(now), state) {
            (Some(_), _) => "RUNNING",
            (None, "RUNNING") => "INITIALIZING",
            (None, _) => "CANCELED",
        };
        let mut vertices = String::new();
        for (vertex, name) in NAMES.iter().enumerate() {
            let comma = if vertex == 0 { "" } else { "," };
            let _ = write!(
                vertices,
                r#"{comma}{{"id":"{}","slotSharingGroupId":"e10cc47d3e334fce75a827f1e79a32c0","name":"{}","maxParallelism":128,"parallelism":{PARALLELISM},"status":"{status}","start-time":{},"end-time":-1,"duration":{},"tasks":{{"FAILED":0,"CANCELING":0,"CANCELED":0,"CREATED":0,"SCHEDULED":0,"INITIALIZING":0,"FINISHED":0,"RECONCILING":0,"DEPLOYING":0,"RUNNING":{PARALLELISM}}},"metrics":{{"read-bytes":374965,"read-bytes-complete":true,"write-bytes":451052,"write-bytes-complete":true,"read-records":10704,"read-records-complete":true,"write-records":10704,"write-records-complete":true,"accumulated-backpressured-time":0,"accumulated-idle-time":39413,"accumulated-busy-time":1086.0}}}}"#,
                self.vertex(vertex),
                name,
                running + 20,
                now - running,
            );
        }
        format!(
            r#"{{"jid":"{id}","application-id":"{id}","name":"job {}","isStoppable":false,"state":"{state}","job-type":"STREAMING","schedulerType":"Default","start-time":{started},"end-time":-1,"duration":{},"maxParallelism":-1,"now":{now},"timestamps":{{"SUSPENDED":0,"CANCELED":0,"FAILING":0,"FINISHED":0,"CREATED":{},"FAILED":0,"CANCELLING":0,"RESTARTING":{},"RUNNING":{running},"INITIALIZING":{started},"RECONCILING":0}},"vertices":[{vertices}],"status-counts":{{"RUNNING":{VERTICES}}},"plan":{{"jid":"{id}","name":"job","type":"STREAMING","nodes":[]}}}}"#,
            self.number,
            now - started,
            started + 5,
            failed.unwrap_or(0),
        )
    }

    /// Returns the body of `/jobs/:jobid/exceptions`.
    pub(super) fn exceptions(&self, now: i64) -> String {
        let entry = self.failure(now).map(|failed| {
            format!(
                r#"{{"exceptionName":"java.lang.IllegalStateException","stacktrace":"java.lang.IllegalStateException: the storm\n\tat org.example.Orders.map(Orders.java:71)\n\tat org.apache.flink.streaming.api.operators.StreamMap.processElement(StreamMap.java:37)","timestamp":{failed},"failureLabels":{{"type":"USER"}},"taskName":"{} (1/{PARALLELISM}) - execution #0","endpoint":"10.0.0.1:41869","taskManagerId":"10.0.0.1:41869-5f3a","concurrentExceptions":[]}}"#,
                NAMES[0]
            )
        });
        format!(r#"{{"exceptionHistory":{{"entries":[{}],"truncated":false}}}}"#, entry.unwrap_or_default())
    }

    /// Returns the body of `/jobs/:jobid/checkpoints`.
    pub(super) fn checkpoints(&self, now: i64) -> String {
        let (triggered, ended) = (self.triggered(now), self.ended(now));
        let mut history = String::new();
        for id in (triggered - HISTORY + 1..=triggered).rev() {
            if !history.is_empty() {
                history.push(',');
            }
            self.write_checkpoint(id, now, "", &mut history);
        }
        let mut latest = String::new();
        self.write_checkpoint(ended, now, "", &mut latest);
        let restored = self.failure(now).filter(|failed| failed + RUNNING_AFTER_MS <= now).map(|failed| {
            let id = self.ended(failed);
            format!(
                r#"{{"id":{id},"restore_timestamp":{},"is_savepoint":false,"external_path":"{}"}}"#,
                failed + RUNNING_AFTER_MS,
                self.path(id)
            )
        });
        format!(
            r#"{{"counts":{{"restored":{},"total":{triggered},"in_progress":{},"completed":{ended},"failed":0}},"summary":{},"latest":{{"completed":{latest},"savepoint":null,"failed":null,"restored":{}}},"history":[{history}]}}"#,
            usize::from(restored.is_some()),
            triggered - ended,
            *SUMMARY,
            restored.as_deref().unwrap_or("null"),
        )
    }

    /// Appends a checkpoint as it is in lists, or with `tasks` as it is by itself.
    fn write_checkpoint(&self, id: i64, now: i64, tasks: &str, out: &mut String) {
        let triggered = self.triggered_at(id);
        let subtasks = VERTICES * PARALLELISM;
        let is_completed = self.ended_at(id) <= now;
        let (class, status, duration, acknowledged) = match is_completed {
            true => ("completed", "COMPLETED", DURATION_MS, subtasks),
            false => ("in_progress", "IN_PROGRESS", now - triggered, 0),
        };
        let acknowledged_at = if is_completed { self.ended_at(id) } else { -1 };
        let _ = write!(
            out,
            r#"{{"className":"{class}","id":{id},"status":"{status}","is_savepoint":false,"savepointFormat":null,"trigger_timestamp":{triggered},"latest_ack_timestamp":{acknowledged_at},"checkpointed_size":186762,"state_size":235716,"end_to_end_duration":{duration},"alignment_buffered":0,"processed_data":1428,"persisted_data":0,"num_subtasks":{subtasks},"num_acknowledged_subtasks":{acknowledged},"checkpoint_type":"CHECKPOINT","tasks":{{{tasks}}}"#,
        );
        if is_completed {
            let is_discarded = id < self.ended(now);
            let _ = write!(out, r#","external_path":"{}","discarded":{is_discarded}"#, self.path(id));
        }
        out.push('}');
    }

    /// Returns `true` if the cluster has the checkpoint at `now`.
    fn has(&self, id: i64, now: i64) -> bool {
        let triggered = self.triggered(now);
        (triggered - HISTORY + 1..=triggered).contains(&id)
    }

    /// Returns the body of `/jobs/:jobid/checkpoints/details/:checkpointid`.
    pub(super) fn checkpoint(&self, id: i64, now: i64) -> Option<String> {
        self.has(id, now).then(|| {
            let mut tasks = String::new();
            for vertex in (0..VERTICES).filter(|_| self.ended_at(id) <= now) {
                let comma = if vertex == 0 { "" } else { "," };
                let _ = write!(tasks, r#"{comma}"{}":{{{}}}"#, self.vertex(vertex), self.task(id));
            }
            let mut body = String::new();
            self.write_checkpoint(id, now, &tasks, &mut body);
            body
        })
    }

    /// Returns the fields of a task of a checkpoint that completed.
    fn task(&self, id: i64) -> String {
        format!(
            r#""id":{id},"status":"COMPLETED","latest_ack_timestamp":{},"checkpointed_size":62254,"state_size":78572,"end_to_end_duration":{DURATION_MS},"alignment_buffered":0,"processed_data":476,"persisted_data":0,"num_subtasks":{PARALLELISM},"num_acknowledged_subtasks":{PARALLELISM}"#,
            self.ended_at(id)
        )
    }

    /// Returns the body of `/jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid`.
    pub(super) fn subtasks(&self, id: i64, now: i64) -> Option<String> {
        (self.has(id, now) && self.ended_at(id) <= now).then(|| {
            let mut subtasks = String::new();
            for index in 0..PARALLELISM {
                let comma = if index == 0 { "" } else { "," };
                let _ = write!(
                    subtasks,
                    r#"{comma}{{"className":"completed","index":{index},"ack_timestamp":{},"end_to_end_duration":{DURATION_MS},"checkpointed_size":15563,"state_size":19643,"checkpoint":{{"sync":26,"async":52}},"alignment":{{"buffered":0,"processed":119,"persisted":0,"duration":26}},"start_delay":11,"unaligned_checkpoint":false,"aborted":false,"status":"completed"}}"#,
                    self.ended_at(id)
                );
            }
            format!(r#"{{{},"summary":{},"subtasks":[{subtasks}]}}"#, self.task(id), *SUBTASKS_SUMMARY)
        })
    }

    /// Returns the body of `/jobs/:jobid/vertices/:vertexid/subtasktimes`.
    pub(super) fn times(&self, vertex: usize, now: i64) -> String {
        let since = self.failure(now).map(|failed| failed + RUNNING_AFTER_MS);
        let is_redeployed = since.is_none_or(|since| since <= now);
        let created = since.filter(|_| is_redeployed).unwrap_or(self.started_at() + RUNNING_AFTER_MS);
        let running = created + ALL_RUN_AFTER_MS - RUNNING_AFTER_MS;
        let running = if is_redeployed && running > now { 0 } else { running };
        let (failed, canceled) = match self.failure(now).filter(|_| !is_redeployed) {
            Some(failed) if vertex == 0 => (failed, 0),
            Some(failed) => (0, failed),
            None => (0, 0),
        };
        let mut subtasks = String::new();
        for index in 0..PARALLELISM {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(
                subtasks,
                r#"{comma}{{"subtask":{index},"endpoint":"10.0.0.{index}:41869","duration":{},"timestamps":{{"FAILED":{failed},"CANCELING":0,"CANCELED":{canceled},"CREATED":{created},"SCHEDULED":{created},"INITIALIZING":{},"FINISHED":0,"RECONCILING":0,"DEPLOYING":{},"RUNNING":{running}}}}}"#,
                now - created,
                created + 200,
                created + 100,
            );
        }
        let id = self.vertex(vertex);
        format!(r#"{{"id":"{id}","name":"{}","now":{now},"subtasks":[{subtasks}]}}"#, NAMES[vertex.min(VERTICES - 1)])
    }

    /// Returns the body of a failed attempt.
    pub(super) fn attempt(&self, subtask: usize, now: i64) -> Option<String> {
        let failed = self.failure(now)?;
        let started = self.started_at() + RUNNING_AFTER_MS + 100;
        Some(format!(
            r#"{{"subtask":{subtask},"status":"FAILED","attempt":0,"endpoint":"10.0.0.{subtask}:41869","start-time":{started},"end-time":{failed},"duration":{},"metrics":{{"read-bytes":0,"read-bytes-complete":true,"write-bytes":0,"write-bytes-complete":true,"read-records":0,"read-records-complete":true,"write-records":0,"write-records-complete":true,"accumulated-backpressured-time":0,"accumulated-idle-time":0,"accumulated-busy-time":0.0}},"taskmanager-id":"10.0.0.1:41869-5f3a","status-duration":{{"RUNNING":{},"DEPLOYING":100,"CREATED":10,"SCHEDULED":10,"INITIALIZING":100}},"start_time":{started}}}"#,
            failed - started,
            failed - started - 200,
        ))
    }

    /// Returns the body of `/jobs/:jobid/checkpoints/config`.
    pub(super) fn checkpoint_config(&self) -> String {
        format!(
            r#"{{"mode":"exactly_once","interval":{},"timeout":600000,"min_pause":0,"max_concurrent":1,"externalization":{{"enabled":false,"delete_on_cancellation":true}},"state_backend":"EmbeddedRocksDBStateBackend","checkpoint_storage":"FileSystemCheckpointStorage","unaligned_checkpoints":false,"tolerable_failed_checkpoints":0,"aligned_checkpoint_timeout":0,"checkpoints_after_tasks_finish":true,"state_changelog_enabled":false,"changelog_periodic_materialization_interval":600000,"changelog_storage":"memory"}}"#,
            self.interval
        )
    }
}

const NAMES: [&str; VERTICES] =
    ["Source: orders -> Map", "Window(TumblingEventTimeWindows(60000))", "Sink: orders -> Committer"];

/// The statistics over all checkpoints, which are a fifth of such a response.
static SUMMARY: LazyLock<String> = LazyLock::new(|| {
    let fields = statistics(&[
        ("checkpointed_size", 186_762),
        ("state_size", 235_716),
        ("end_to_end_duration", DURATION_MS),
        ("alignment_buffered", 0),
        ("processed_data", 1_428),
        ("persisted_data", 0),
    ]);
    format!("{{{fields}}}")
});

/// The statistics over the subtasks of a vertex, which are half of such a response.
static SUBTASKS_SUMMARY: LazyLock<String> = LazyLock::new(|| {
    let sizes =
        statistics(&[("checkpointed_size", 15_563), ("state_size", 19_643), ("end_to_end_duration", DURATION_MS)]);
    let durations = statistics(&[("sync", 26), ("async", 52)]);
    let alignment = statistics(&[("buffered", 0), ("processed", 119), ("persisted", 0), ("duration", 26)]);
    let delay = statistics(&[("start_delay", 11)]);
    format!(r#"{{{sizes},"checkpoint_duration":{{{durations}}},"alignment":{{{alignment}}},{delay}}}"#)
});

/// Returns fields with the statistics of values that are all alike.
fn statistics(fields: &[(&str, i64)]) -> String {
    let fields = fields.iter().map(|(name, value)| {
        let mut field = format!(r#""{name}":{{"min":{value},"max":{value},"avg":{value}"#);
        for percentile in ["p50", "p90", "p95", "p99", "p999"] {
            let _ = write!(field, r#","{percentile}":{value}.0"#);
        }
        field + "}"
    });
    fields.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World::new(Scale { sessions: 3, jobs: 4, applications: 2, checkpoint_interval: 60 }, 1_795_230_900_000)
    }

    #[test]
    fn each_job_belongs_to_one_cluster() {
        let world = world();
        assert_eq!((world.clusters(), world.jobs()), (5, 14));
        let all: Vec<_> = (0..5).flat_map(|cluster| world.jobs_of(cluster).map(move |job| (job, cluster))).collect();
        assert_eq!(all.iter().map(|(job, _)| *job).collect::<Vec<_>>(), (0..14).collect::<Vec<_>>());
        assert!(all.iter().all(|(job, cluster)| world.cluster_of(*job) == *cluster));
        assert_eq!([false, false, false, true, true], std::array::from_fn(|cluster| world.is_application(cluster)));
    }

    #[test]
    fn checkpoints_are_an_interval_apart() {
        let world = world();
        for number in 0..world.jobs() {
            let job = world.job(number);
            assert_eq!(job.ended(world.served_at + 60_000 + DURATION_MS - 1), HISTORY + 1, "{number}");
            let (triggered, ended) = (job.triggered_at(12), job.ended_at(12));
            assert_eq!((job.triggered(triggered - 1), job.triggered(triggered)), (11, 12));
            assert_eq!((job.ended(ended - 1), job.ended(ended)), (11, 12));
        }
    }

    #[test]
    fn storm_delays_checkpoints_and_loses_none() {
        let mut world = world();
        world.storm = Some(world.served_at + 30_000);
        for number in 0..world.jobs() {
            let job = world.job(number);
            let failed = job.failed_at.unwrap();
            assert!((0..STORM_MS).contains(&(failed - world.served_at - 30_000)), "{failed}");
            // None is in progress during the restart.
            for millis in failed..failed + STEADY_AFTER_MS {
                assert_eq!(job.triggered(millis), job.ended(millis));
            }
            let before = job.ended(failed);
            assert_eq!(job.ended(failed + 60_000 + STEADY_AFTER_MS + DURATION_MS), before + 1);
        }
    }

    /// Guarantees: every field of a checkpoint is one that flink-rest names, as with Flink. It
    /// would keep another one as a tree, which takes longer.
    #[test]
    fn bodies_are_what_flink_rest_reads() {
        use flink_rest::{CheckpointSubtasks, Checkpoints, Job, JobId, JobVertexId, Resource};
        let mut world = world();
        world.storm = Some(world.served_at + 30_000);
        let job = world.job(5);
        let failed = job.failed_at.unwrap();
        let id = JobId::new(job.id()).unwrap();
        let vertex = JobVertexId::new(job.vertex(1)).unwrap();
        for now in [failed - 1, failed, failed + 1_100, failed + 2_000] {
            let read = |resource: Resource, body: String| resource.parse_body(body.as_bytes()).unwrap();
            read(Job { job: id.clone() }.into(), job.details(now));
            read(flink_rest::JobExceptions::new(id.clone()).into(), job.exceptions(now));
            read(flink_rest::CheckpointConfig { job: id.clone() }.into(), job.checkpoint_config());
            let checkpoint = job.ended(now);
            let details = flink_rest::CheckpointDetails { job: id.clone(), checkpoint };
            let subtasks = CheckpointSubtasks { job: id.clone(), checkpoint, vertex: vertex.clone() };
            for body in [
                read(Checkpoints { job: id.clone() }.into(), job.checkpoints(now)),
                read(details.into(), job.checkpoint(checkpoint, now).unwrap()),
                read(subtasks.into(), job.subtasks(checkpoint, now).unwrap()),
            ] {
                let body = format!("{body:?}");
                assert!(!body.replace("other: {}", "").contains("other: "), "{body}");
            }
            let times = flink_rest::SubtaskTimes { job: id.clone(), vertex: vertex.clone() };
            read(times.into(), job.times(1, now));
            let mut overview = String::from(r#"{"jobs":["#);
            job.write_summary(now, &mut overview);
            read(flink_rest::JobsOverview.into(), overview + "]}");
        }
        let attempt = flink_rest::SubtaskAttempt { job: id, vertex, subtask: 0, attempt: 0 };
        Resource::from(attempt).parse_body(job.attempt(0, failed).unwrap().as_bytes()).unwrap();
    }
}
