//! The summary of a session, for people.
//!
//! It lists the checkpoints of each job, the causes of slow ones, the restores and the failures.

use std::collections::BTreeMap;
use std::fmt;

use flink_traces_observer::{JobKey, JobObservation, Observation};
use flink_traces_runtime::checkpoint::{
    CheckpointStatus, CheckpointType, InitializationStats, SubtaskMetric, SubtaskStats, TaskStats,
};
use flink_traces_runtime::job::JobFailure;
use flink_traces_runtime::{CheckpointStats, JobStatus};

use crate::text::{bytes, clock_time, duration, one_line};

/// The maximum number of slow checkpoints, restores and failures that are listed for a job.
const SHOWN: usize = 3;

/// A summary, built from observations. Its `Display` form is the text.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    jobs: BTreeMap<JobKey, JobSummary>,
}

#[derive(Debug, Default)]
struct JobSummary {
    status: Option<JobStatus>,
    completed: usize,
    savepoints: usize,
    failed: usize,
    missed: i64,
    total_duration: i64,
    /// The slowest completed checkpoints, slowest first.
    slowest: Vec<SlowCheckpoint>,
    /// The number of failed checkpoints by reason.
    failed_checkpoints: BTreeMap<String, usize>,
    restores: Newest<InitializationStats>,
    starts: usize,
    /// The times of failures, and their descriptions. Whole failures would take much more memory.
    failures: Newest<(i64, String)>,
}

#[derive(Debug)]
struct SlowCheckpoint {
    id: i64,
    name: &'static str,
    trigger_timestamp: i64,
    duration: i64,
    state_size: i64,
    held_back: Option<HeldBack>,
}

/// The subtask that acknowledged last, and the phase that took it longest.
#[derive(Debug, PartialEq, Eq)]
struct HeldBack {
    task: String,
    subtask: i64,
    phase: &'static str,
    phase_ms: i64,
}

#[derive(Debug)]
struct Newest<T> {
    count: usize,
    newest: Vec<T>,
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self { count: 0, newest: Vec::new() }
    }
}

impl<T> Newest<T> {
    fn add(&mut self, item: T) {
        self.count += 1;
        self.newest.push(item);
        if self.newest.len() > SHOWN {
            self.newest.remove(0);
        }
    }
}

impl Summary {
    /// Adds one observation.
    pub(crate) fn add(&mut self, observation: &JobObservation) {
        let job = self.jobs.entry(observation.job.clone()).or_default();
        match &observation.observation {
            Observation::Checkpoint(stats) => job.add_checkpoint(stats),
            Observation::Initialization { stats, .. } if stats.restored_checkpoint_id.is_some() => {
                job.restores.add(stats.clone());
            }
            Observation::Initialization { .. } => job.starts += 1,
            Observation::StatusChange { status, .. } => job.status = Some(*status),
            Observation::Failure(failure) => job.failures.add((failure.ts_millis, describe_failure(failure))),
            Observation::Missed(missed) => job.missed = job.missed.saturating_add(missed.count),
            _ => {}
        }
    }
}

impl JobSummary {
    fn add_checkpoint(&mut self, stats: &CheckpointStats) {
        if stats.status == CheckpointStatus::Failed {
            self.failed += 1;
            let why = stats.failure.as_ref().map_or("", |failure| failure.message.as_str());
            *self.failed_checkpoints.entry(one_line(why, 100)).or_default() += 1;
            return;
        }
        self.completed += 1;
        let is_savepoint =
            !matches!(stats.checkpoint_type, CheckpointType::Checkpoint | CheckpointType::FullCheckpoint);
        self.savepoints += usize::from(is_savepoint);
        let duration = stats.latest_ack_timestamp.map_or(0, |ack| ack.saturating_sub(stats.trigger_timestamp));
        self.total_duration = self.total_duration.saturating_add(duration);
        let index = self.slowest.partition_point(|slow| slow.duration >= duration);
        if index < SHOWN {
            self.slowest.insert(
                index,
                SlowCheckpoint {
                    id: stats.checkpoint_id,
                    name: stats.checkpoint_type.name(),
                    trigger_timestamp: stats.trigger_timestamp,
                    duration,
                    state_size: stats.state_size.unwrap_or(0),
                    held_back: HeldBack::find(stats),
                },
            );
            self.slowest.truncate(SHOWN);
        }
    }
}

impl HeldBack {
    fn find(stats: &CheckpointStats) -> Option<Self> {
        let subtasks = stats.tasks.iter().flat_map(|task| task.subtasks.iter().map(move |subtask| (task, subtask)));
        let (task, subtask): (&TaskStats, &SubtaskStats) = subtasks.max_by_key(|(_, subtask)| subtask.ack_timestamp)?;
        let known = |metric| subtask.metric(metric).unwrap_or(0).max(0);
        let phases = [
            ("waiting for the barrier", known(SubtaskMetric::CheckpointStartDelayMs)),
            ("aligning barriers", known(SubtaskMetric::AlignmentDurationMs)),
            ("in the synchronous part", known(SubtaskMetric::SyncCheckpointDurationMs)),
            ("in the asynchronous part", known(SubtaskMetric::AsyncCheckpointDurationMs)),
        ];
        let took = subtask.ack_timestamp.saturating_sub(stats.trigger_timestamp);
        let rest = phases.iter().fold(took, |rest, (_, millis)| rest.saturating_sub(*millis));
        let rest = ("finishing and acknowledging", rest);
        let (phase, phase_ms) = phases.into_iter().chain([rest]).max_by_key(|(_, millis)| *millis)?;
        let task_name = task.task_name.as_deref().unwrap_or(&task.job_vertex_id);
        Some(Self { task: one_line(task_name, 60), subtask: subtask.index, phase, phase_ms })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = self.jobs.len();
        writeln!(f, "{jobs} job{}", if jobs == 1 { "" } else { "s" })?;
        for (key, job) in &self.jobs {
            let status = job.status.map_or("state unknown", JobStatus::name);
            let [name, id, status] =
                [(&*key.name, 60), (&key.id, 40), (status, 20)].map(|(text, limit)| one_line(text, limit));
            writeln!(f, "\n{name} ({id}), {status}")?;
            job.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for JobSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  checkpoints: {} completed", self.completed)?;
        if self.savepoints > 0 {
            write!(f, " (savepoints: {})", self.savepoints)?;
        }
        write!(f, ", {} failed", self.failed)?;
        if self.missed > 0 {
            write!(f, ", {} not seen", self.missed)?;
        }
        if self.completed > 0 {
            write!(f, "; {} on average", duration(self.total_duration / self.completed as i64))?;
        }
        writeln!(f)?;
        for slow in &self.slowest {
            let SlowCheckpoint { id, name, trigger_timestamp, duration: millis, state_size, held_back } = slow;
            write!(f, "    slow: {name} {id} at {}, ", clock_time(*trigger_timestamp))?;
            write!(f, "{} for {}", duration(*millis), bytes(*state_size))?;
            match held_back {
                Some(HeldBack { task, subtask, phase, phase_ms }) => {
                    writeln!(f, "; held back by {task}, subtask {subtask}: {} {phase}", duration(*phase_ms))?;
                }
                None => writeln!(f)?,
            }
        }
        let mut reasons: Vec<_> = self.failed_checkpoints.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (why, count) in reasons.iter().take(SHOWN) {
            writeln!(f, "    failed: {count} × {why}")?;
        }
        let others: usize = reasons.iter().skip(SHOWN).map(|(_, count)| *count).sum();
        if others > 0 {
            writeln!(f, "    failed: {others} for other reasons")?;
        }
        let (restores, starts) = (self.restores.count, self.starts);
        if restores + starts > 0 {
            writeln!(f, "  initializations: {starts} fresh, {restores} from a checkpoint")?;
        }
        for restore in &self.restores.newest {
            let InitializationStats { start_timestamp, end_timestamp, restored_checkpoint_id, .. } = restore;
            let id = restored_checkpoint_id.unwrap_or_default();
            let took = duration(end_timestamp.saturating_sub(*start_timestamp));
            writeln!(f, "    at {} from checkpoint {id}, in {took}", clock_time(*start_timestamp))?;
        }
        if self.failures.count > 0 {
            writeln!(f, "  failures: {}", self.failures.count)?;
        }
        for (ts_millis, description) in &self.failures.newest {
            writeln!(f, "    at {}: {description}", clock_time(*ts_millis))?;
        }
        Ok(())
    }
}

/// Describes a failure by its exception and message, its task, and its innermost cause.
fn describe_failure(failure: &JobFailure) -> String {
    let exception = failure.exception_type.as_deref().unwrap_or("unknown exception");
    let mut description = one_line(exception, 80);
    if let Some(message) = &failure.exception_message {
        description += &format!(": {}", one_line(message, 100));
    }
    if let Some(task) = &failure.task_name {
        description += &format!(", in {}", one_line(task, 60));
    }
    let causes = failure.stacktrace.iter().flat_map(|stacktrace| stacktrace.lines());
    if let Some(cause) = causes.filter_map(|line| line.strip_prefix("Caused by: ")).next_back() {
        description += &format!("; caused by {}", one_line(cause, 150));
    }
    if !failure.can_restart {
        description += "; the job ended";
    }
    description
}
