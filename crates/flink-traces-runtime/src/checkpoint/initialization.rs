//! The metrics of one initialization, folded as the subtasks report them.

use flink_traces_api::Text;

use super::stats::{
    InitializationMetric, InitializationStats, InitializationStatus, RestoredCheckpoint, SubTaskInitializationMetrics,
};
use crate::job::ExecutionAttemptId;

/// Combines the reports of all subtasks. Flink's `JobInitializationMetricsBuilder`.
///
/// Create one for the start of a job, for each global restart and for each failover of a region.
/// [`CheckpointStatsTracker`](super::CheckpointStatsTracker) contains one; a system without
/// checkpoints can use it alone.
///
/// Reports are folded on arrival. The builder holds a few bytes for each attempt and two numbers
/// for each metric, unless it [keeps subtasks](Self::with_subtasks). It has no clock. The caller
/// decides with [`give_up`](Self::give_up) how long to wait.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::checkpoint::{
///     InitializationStatus, JobInitializationMetricsBuilder, SubTaskInitializationMetrics,
/// };
/// use flink_traces_runtime::job::ExecutionAttemptId;
///
/// let attempt =
///     ExecutionAttemptId { job_vertex_id: "a0".into(), subtask_index: 0, attempt_number: 0 };
/// let mut builder = JobInitializationMetricsBuilder::new(1_000, [attempt.clone()]);
/// let report = SubTaskInitializationMetrics::new(InitializationStatus::Completed, 1_250);
/// let stats = builder.report(&attempt, &report).unwrap();
/// assert_eq!(stats.end_timestamp, 1_250);
/// ```
#[derive(Debug, Clone)]
pub struct JobInitializationMetricsBuilder {
    vertices: Vertices,
    expected: usize,
    pending: usize,
    has_ended: bool,
    with_subtasks: bool,
    ignored: IgnoredReports,
    /// The metrics, in the order in which their names were first reported.
    metrics: Vec<Metric>,
    /// The statistics, without `metrics`.
    stats: InitializationStats,
}

/// The attempts by job vertex, sorted by vertex, subtask and attempt.
#[derive(Debug, Clone, Default)]
struct Vertices {
    list: Vec<(String, Vec<Attempt>)>,
    /// The index of the last vertex looked up. Subtasks of a task mostly report in a row.
    last: usize,
}

impl Vertices {
    /// Returns the index of the job vertex, or the index at which to insert it.
    fn index_of(&mut self, job_vertex_id: &str) -> Result<usize, usize> {
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
    /// The report, if reports are kept.
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
    /// Creates an initialization that ends when each of `attempts` has reported.
    ///
    /// `start_timestamp` is in milliseconds since the epoch.
    pub fn new(start_timestamp: i64, attempts: impl IntoIterator<Item = ExecutionAttemptId>) -> Self {
        let mut vertices = Vertices::default();
        for ExecutionAttemptId { job_vertex_id, subtask_index, attempt_number } in attempts {
            let attempt = Attempt { subtask_index, attempt_number, has_reported: false, report: None };
            match vertices.index_of(&job_vertex_id) {
                Ok(index) => vertices.list[index].1.push(attempt),
                Err(index) => vertices.list.insert(index, (job_vertex_id, vec![attempt])),
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
                restored_trace_id: None,
                restored_state_size: None,
                metrics: Vec::new(),
                subtasks: Vec::new(),
            },
        }
    }

    /// Keeps the report of each subtask for the children of the span. Flink has no such children.
    #[must_use]
    pub fn with_subtasks(mut self) -> Self {
        self.with_subtasks = true;
        self
    }

    /// Returns the start, in milliseconds since the epoch.
    pub fn start_timestamp(&self) -> i64 {
        self.stats.start_timestamp
    }

    /// Returns the number of attempts that have not reported.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Returns `true` if the initialization is complete or was given up.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns the number of ignored reports, by reason.
    pub fn ignored(&self) -> IgnoredReports {
        self.ignored
    }

    /// Sets the restored checkpoint. It has no effect after the last report.
    pub fn set_restored(&mut self, restored: &RestoredCheckpoint) {
        self.stats.restored_checkpoint_id = Some(restored.checkpoint_id);
        self.stats.restored_trigger_timestamp = restored.trigger_timestamp;
        self.stats.restored_trace_id = restored.trace_id;
        self.stats.restored_state_size = restored.state_size;
    }

    /// Adds the report of an attempt, and returns the statistics if it was the last one.
    ///
    /// Flink returns statistics again for each later report. This method returns them once.
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

    /// Adds a metric that an attempt measured after its report, such as the duration of a
    /// compaction.
    ///
    /// Returns `false` if it was ignored, because the attempt has not reported or the
    /// initialization has ended. Flink loses such metrics. If the attempt reported a value of the
    /// same name before, both values enter the maximum separately.
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

    /// Ends the initialization at `now` without the missing attempts.
    ///
    /// Returns `None` if the initialization has ended or no attempt is missing. The status is
    /// `FAILED`, because not all subtasks were initialized. In Flink, the span never appears if a
    /// TaskManager is lost during a restore.
    pub fn give_up(&mut self, now: i64) -> Option<PartialInitialization> {
        if self.has_ended || self.pending == 0 {
            return None;
        }
        self.stats.status = InitializationStatus::Failed;
        self.stats.end_timestamp = self.stats.end_timestamp.max(now);
        Some(PartialInitialization { expected: self.expected, missing: self.missing(), stats: self.end() })
    }

    fn attempt(&mut self, id: &ExecutionAttemptId) -> Option<&mut Attempt> {
        let vertex = self.vertices.index_of(&id.job_vertex_id).ok()?;
        let (_, attempts) = self.vertices.list.get_mut(vertex)?;
        let key = (id.subtask_index, id.attempt_number);
        // If all subtasks start, each attempt is at its own index.
        let direct = id.subtask_index as usize;
        let index = match attempts.get(direct) {
            Some(attempt) if attempt.key() == key => direct,
            _ => attempts.binary_search_by_key(&key, Attempt::key).ok()?,
        };
        attempts.get_mut(index)
    }

    fn missing(&self) -> Vec<ExecutionAttemptId> {
        let missing = self.vertices.attempts().filter(|(_, attempt)| !attempt.has_reported);
        missing.map(|(vertex, attempt)| attempt.id(vertex)).collect()
    }

    /// Takes the kept reports, by job vertex and subtask.
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
        for (index, (name, value)) in report.named_metrics().iter().enumerate() {
            self.add(index, name, *value);
        }
    }

    /// Adds `value` to the metric `name`.
    ///
    /// Subtasks mostly report the same names in the same order, so `index` is checked first.
    fn add(&mut self, index: usize, name: &Text, value: i64) {
        let metrics = &mut self.metrics;
        let index = match metrics.get(index) {
            Some(metric) if is_same(&metric.name, name) => index,
            _ => metrics.iter().position(|metric| is_same(&metric.name, name)).unwrap_or_else(|| {
                metrics.push(Metric { name: name.clone(), max: 0, sum: 0 });
                metrics.len() - 1
            }),
        };
        // In Flink, −1 means that the metric was left unset.
        if value != -1 {
            let metric = &mut metrics[index];
            metric.max = metric.max.max(value);
            metric.sum = metric.sum.saturating_add(value);
        }
    }

    /// Ends the initialization and moves the metrics out, because no report follows.
    fn end(&mut self) -> InitializationStats {
        self.has_ended = true;
        let metrics = std::mem::take(&mut self.metrics).into_iter();
        let metrics =
            metrics.map(|Metric { name, max, sum }| InitializationMetric { name: name.into_owned(), max, sum });
        InitializationStats { metrics: metrics.collect(), subtasks: self.take_subtasks(), ..self.stats.clone() }
    }
}

/// Compares names by address first, because most of them are constants.
fn is_same(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// The number of ignored reports of an initialization, by reason. Flink logs a line for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IgnoredReports {
    /// The reports of attempts that are not expected, such as earlier ones.
    pub unknown: u64,
    /// The reports of attempts that had already reported.
    pub duplicate: u64,
    /// The first reports that came after the initialization was given up.
    pub late: u64,
}

/// An initialization that was [given up](JobInitializationMetricsBuilder::give_up) before all
/// subtasks reported.
///
/// Flink has none, because it waits forever.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartialInitialization {
    /// The statistics of the other subtasks. The status is `FAILED`.
    pub stats: InitializationStats,
    /// The number of attempts that were expected at the start.
    pub expected: usize,
    /// The attempts that never reported, by job vertex and subtask.
    pub missing: Vec<ExecutionAttemptId>,
}
