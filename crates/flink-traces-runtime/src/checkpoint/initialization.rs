//! How the subtasks of a job come up: one initialization, folded as they report.

use flink_traces_api::Text;

use super::stats::{
    InitializationMetric, InitializationStats, InitializationStatus, RestoredCheckpoint, SubTaskInitializationMetrics,
};
use crate::job::ExecutionAttemptId;

/// Puts the reports of all subtasks together, as Flink's `JobInitializationMetricsBuilder`: once for the start of a job, for each global
/// restart and for each failover of a region. [`CheckpointStatsTracker`](super::CheckpointStatsTracker) has one inside; a system without
/// checkpoints can use it alone.
///
/// Reports are folded as they come: it holds a few bytes for each attempt and two numbers for each name, unless it is asked for
/// [subtasks](Self::with_subtasks). It has no clock; whoever calls decides with [`give_up`](Self::give_up) how long to wait.
#[derive(Debug, Clone)]
pub struct JobInitializationMetricsBuilder {
    vertices: Vertices,
    expected: usize,
    pending: usize,
    has_ended: bool,
    with_subtasks: bool,
    ignored: IgnoredReports,
    /// By name, in the order in which names were first reported.
    metrics: Vec<Metric>,
    /// All but `metrics`.
    stats: InitializationStats,
}

/// The attempts by job vertex, sorted by that, and by subtask and attempt.
#[derive(Debug, Clone, Default)]
struct Vertices {
    list: Vec<(String, Vec<Attempt>)>,
    /// Where the last one lies that was looked for: subtasks of a task mostly come one after the other.
    last: usize,
}

impl Vertices {
    /// Where that job vertex lies, or belongs.
    fn place_of(&mut self, job_vertex_id: &str) -> Result<usize, usize> {
        if self.list.get(self.last).is_none_or(|(id, _)| id != job_vertex_id) {
            self.last = self.list.binary_search_by(|(id, _)| id.as_str().cmp(job_vertex_id))?;
        }
        Ok(self.last)
    }

    fn attempts(&self) -> impl Iterator<Item = (&str, &Attempt)> {
        self.list.iter().flat_map(|(id, attempts)| attempts.iter().map(move |attempt| (id.as_str(), attempt)))
    }
}

#[derive(Debug, Clone)]
struct Metric {
    name: Text,
    max: i64,
    sum: i64,
}

#[derive(Debug, Clone)]
struct Attempt {
    subtask_index: u32,
    attempt_number: u32,
    has_reported: bool,
    /// What it reported, if that is kept.
    report: Option<Box<SubTaskInitializationMetrics>>,
}

impl Attempt {
    fn key(&self) -> (u32, u32) {
        (self.subtask_index, self.attempt_number)
    }

    fn id(&self, job_vertex_id: &str) -> ExecutionAttemptId {
        ExecutionAttemptId {
            job_vertex_id: job_vertex_id.to_owned(),
            subtask_index: self.subtask_index,
            attempt_number: self.attempt_number,
        }
    }
}

impl JobInitializationMetricsBuilder {
    /// An initialization that begins at `start_timestamp`, in milliseconds since the epoch, and ends when each of `attempts` has reported.
    pub fn new(start_timestamp: i64, attempts: impl IntoIterator<Item = ExecutionAttemptId>) -> Self {
        let mut vertices = Vertices::default();
        for ExecutionAttemptId { job_vertex_id, subtask_index, attempt_number } in attempts {
            let attempt = Attempt { subtask_index, attempt_number, has_reported: false, report: None };
            match vertices.place_of(&job_vertex_id) {
                Ok(place) => vertices.list[place].1.push(attempt),
                Err(place) => vertices.list.insert(place, (job_vertex_id, vec![attempt])),
            }
        }
        for (_, attempts) in &mut vertices.list {
            attempts.sort_unstable_by_key(Attempt::key);
            attempts.dedup_by_key(|attempt| attempt.key());
        }
        let expected = vertices.attempts().count();
        Self {
            vertices,
            expected,
            pending: expected,
            has_ended: false,
            with_subtasks: false,
            ignored: IgnoredReports::default(),
            metrics: Vec::new(),
            stats: InitializationStats {
                start_timestamp,
                end_timestamp: 0,
                status: InitializationStatus::Completed,
                restored_checkpoint_id: None,
                restored_trigger_timestamp: None,
                restored_state_size: None,
                metrics: Vec::new(),
                subtasks: Vec::new(),
            },
        }
    }

    /// Also keeps what each subtask reports, for the children of the span. Beyond Flink, which has none.
    #[must_use]
    pub fn with_subtasks(mut self) -> Self {
        self.with_subtasks = true;
        self
    }

    /// When it began, in milliseconds since the epoch.
    pub fn start_timestamp(&self) -> i64 {
        self.stats.start_timestamp
    }

    /// How many attempts have not reported.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Whether it is complete or was given up.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How many reports were ignored, and why.
    pub fn ignored(&self) -> IgnoredReports {
        self.ignored
    }

    /// Says what is restored. To be called before the last report.
    pub fn set_restored(&mut self, restored: &RestoredCheckpoint) {
        self.stats.restored_checkpoint_id = Some(restored.checkpoint_id);
        self.stats.restored_trigger_timestamp = restored.trigger_timestamp;
        self.stats.restored_state_size = restored.state_size;
    }

    /// Takes an attempt's report; answers with the whole when it was the last one. Flink does so again for every report after that; here it
    /// happens once.
    pub fn report(
        &mut self,
        attempt: &ExecutionAttemptId,
        metrics: &SubTaskInitializationMetrics,
    ) -> Option<InitializationStats> {
        let (has_ended, with_subtasks) = (self.has_ended, self.with_subtasks);
        match self.attempt(attempt) {
            None => self.ignored.unknown += 1,
            Some(known) if known.has_reported => self.ignored.duplicate += 1,
            Some(_) if has_ended => self.ignored.late += 1,
            Some(known) => {
                known.has_reported = true;
                known.report = with_subtasks.then(|| Box::new(metrics.clone()));
                self.pending -= 1;
                self.fold(metrics);
                return (self.pending == 0).then(|| self.end());
            }
        }
        None
    }

    /// Adds a number that an attempt came to know after its report, such as the duration of a compaction; Flink loses it. Answers whether
    /// it counts: not for an attempt that has not reported, nor when the span is out.
    ///
    /// Under a name that the attempt reported before, it enters the maximum on its own.
    pub fn add_late(&mut self, attempt: &ExecutionAttemptId, name: impl Into<Text>, value: i64) -> bool {
        if self.has_ended {
            return false;
        }
        let Some(known) = self.attempt(attempt).filter(|known| known.has_reported) else { return false };
        let name = name.into();
        if let Some(report) = &mut known.report {
            report.add(name.clone(), value);
        }
        self.add(0, &name, value);
        true
    }

    /// Ends it at `now` without the attempts that have not reported; `None` if it has ended or waits for nobody. As not all subtasks came
    /// up, its status is FAILED. Beyond Flink, whose span never appears if a TaskManager is lost while it restores.
    pub fn give_up(&mut self, now: i64) -> Option<PartialInitialization> {
        if self.has_ended || self.pending == 0 {
            return None;
        }
        self.stats.status = InitializationStatus::Failed;
        self.stats.end_timestamp = self.stats.end_timestamp.max(now);
        Some(PartialInitialization { expected: self.expected, missing: self.missing(), stats: self.end() })
    }

    fn attempt(&mut self, id: &ExecutionAttemptId) -> Option<&mut Attempt> {
        let vertex = self.vertices.place_of(&id.job_vertex_id).ok()?;
        let (_, attempts) = self.vertices.list.get_mut(vertex)?;
        let key = (id.subtask_index, id.attempt_number);
        // Where all subtasks start, each lies at its index.
        let direct = id.subtask_index as usize;
        let place = match attempts.get(direct) {
            Some(attempt) if attempt.key() == key => direct,
            _ => attempts.binary_search_by_key(&key, Attempt::key).ok()?,
        };
        attempts.get_mut(place)
    }

    fn missing(&self) -> Vec<ExecutionAttemptId> {
        let missing = self.vertices.attempts().filter(|(_, attempt)| !attempt.has_reported);
        missing.map(|(vertex, attempt)| attempt.id(vertex)).collect()
    }

    /// What was kept, by job vertex and subtask.
    fn take_subtasks(&mut self) -> Vec<(ExecutionAttemptId, SubTaskInitializationMetrics)> {
        let mut subtasks = Vec::new();
        for (vertex, attempts) in &mut self.vertices.list {
            let reports = attempts.iter_mut().filter_map(|attempt| Some((attempt.id(vertex), *attempt.report.take()?)));
            subtasks.extend(reports);
        }
        subtasks
    }

    fn fold(&mut self, report: &SubTaskInitializationMetrics) {
        if report.status() == InitializationStatus::Failed {
            self.stats.status = InitializationStatus::Failed;
        }
        self.stats.end_timestamp = self.stats.end_timestamp.max(report.end_timestamp());
        for (place, (name, value)) in report.named_metrics().iter().enumerate() {
            self.add(place, name, *value);
        }
    }

    /// Subtasks mostly report the same names in the same order, so `place` is where to look first.
    fn add(&mut self, place: usize, name: &Text, value: i64) {
        let metrics = &mut self.metrics;
        let place = match metrics.get(place) {
            Some(metric) if is_same(&metric.name, name) => place,
            _ => metrics.iter().position(|metric| is_same(&metric.name, name)).unwrap_or_else(|| {
                metrics.push(Metric { name: name.clone(), max: 0, sum: 0 });
                metrics.len() - 1
            }),
        };
        // Flink's mark of a number that was left unset.
        if value != -1 {
            let metric = &mut metrics[place];
            metric.max = metric.max.max(value);
            metric.sum = metric.sum.saturating_add(value);
        }
    }

    /// Nothing is folded after this, so the numbers are moved out.
    fn end(&mut self) -> InitializationStats {
        self.has_ended = true;
        let metrics = std::mem::take(&mut self.metrics).into_iter();
        let metrics =
            metrics.map(|Metric { name, max, sum }| InitializationMetric { name: name.into_owned(), max, sum });
        InitializationStats { metrics: metrics.collect(), subtasks: self.take_subtasks(), ..self.stats.clone() }
    }
}

/// Names are mostly constants, which need no look at their letters.
fn is_same(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// How many reports an initialization ignored. Flink logs a line for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IgnoredReports {
    /// Of attempts that it does not wait for, such as earlier ones.
    pub unknown: u64,
    /// Of attempts that had reported.
    pub duplicate: u64,
    /// First reports that came after it was given up.
    pub late: u64,
}

/// An initialization that was [given up](JobInitializationMetricsBuilder::give_up) before all subtasks reported. Beyond Flink,
/// which waits for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartialInitialization {
    /// What the others reported; ended when it was given up, failed.
    pub stats: InitializationStats,
    /// How many attempts it waited for in the beginning.
    pub expected: usize,
    /// Those that never reported, by job vertex and subtask.
    pub missing: Vec<ExecutionAttemptId>,
}
