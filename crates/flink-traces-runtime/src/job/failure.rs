//! The failures of a job.

use std::collections::BTreeMap;
use std::error::Error;

use flink_traces_api::EventBuilder;

use super::events::{JobFailure, job_failure_event};
use super::identity::ExecutionAttemptId;
use crate::causes::with_java_causes;

/// A failure, and what the scheduler makes of it, as Flink's `FailureHandlingResult`.
#[derive(Debug, Clone, Copy)]
pub struct FailureHandlingResult<'a> {
    /// When it happened, in milliseconds since the epoch.
    pub timestamp: i64,
    /// What failed; `None` if it was no subtask.
    pub failed_execution: Option<&'a ExecutionAttemptId>,
    /// The cause, with its own causes.
    pub error: &'a dyn Error,
    /// The kind of the cause, in whatever way the engine tells kinds apart: an error of Rust does not say it.
    pub error_type: Option<&'a str>,
    /// What failure enrichers said of it: keys and values.
    pub labels: &'a [(String, String)],
    /// Whether the job starts again; `false` means that it ends.
    pub can_restart: bool,
    /// Whether it concerns the whole job and not one task; `None` in a scheduler that makes no difference, as Flink's Adaptive.
    pub is_global_failure: Option<bool>,
}

/// A subtask's place, as far as Flink's `Execution` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeployedTask {
    /// The task with its subtask, such as `Source (2/4)`.
    pub task_name: Option<String>,
    /// Where it runs, host and port.
    pub endpoint: Option<String>,
    /// The TaskManager, or worker, that it runs on.
    pub task_manager_id: Option<String>,
}

/// Makes an event `JobFailureEvent` of each failure that a job's scheduler handles, as Flink's `JobFailureMetricReporter`; beyond Flink,
/// with cause, task and host.
///
/// For the latter it remembers where each subtask was deployed last, and so holds one [`DeployedTask`] for each subtask of the job.
///
/// ```
/// use flink_traces_runtime::job::{DeployedTask, ExecutionAttemptId, FailureHandlingResult, JobFailureTracker};
///
/// let mut tracker = JobFailureTracker::default();
/// let attempt = ExecutionAttemptId { job_vertex_id: "a0".into(), subtask_index: 0, attempt_number: 0 };
/// let place = DeployedTask { task_name: Some("map (1/1)".into()), endpoint: Some("worker-3:6122".into()), ..Default::default() };
/// tracker.report_deployed(&attempt, place);
///
/// let error = std::io::Error::other("disk full");
/// // To be added to the job's metric group.
/// let event = tracker.report_failure(&FailureHandlingResult {
///     timestamp: 1_795_230_921_331,
///     failed_execution: Some(&attempt),
///     error: &error,
///     error_type: Some("std::io::Error"),
///     labels: &[("type".into(), "SYSTEM".into())],
///     can_restart: true,
///     is_global_failure: Some(false),
/// });
/// # let _ = event;
/// ```
#[derive(Debug, Clone, Default)]
pub struct JobFailureTracker {
    /// By job vertex and subtask: the attempt and its place.
    deployed: BTreeMap<String, BTreeMap<u32, (u32, DeployedTask)>>,
}

impl JobFailureTracker {
    /// An attempt is deployed to a place. It replaces the one before of the same subtask.
    pub fn report_deployed(&mut self, attempt: &ExecutionAttemptId, task: DeployedTask) {
        let subtasks = self.deployed.entry(attempt.job_vertex_id.clone()).or_default();
        subtasks.insert(attempt.subtask_index, (attempt.attempt_number, task));
    }

    /// The scheduler handled a failure, and its labels are there. Mirrors `reportJobFailure`. Returns the event, to be added to the
    /// job's [`MetricGroup`](crate::MetricGroup). Without a place if the attempt is not the last one of its subtask.
    pub fn report_failure(&self, failure: &FailureHandlingResult<'_>) -> EventBuilder {
        let place = failure.failed_execution.and_then(|attempt| self.place_of(attempt)).cloned().unwrap_or_default();
        job_failure_event(&JobFailure {
            ts_millis: failure.timestamp,
            can_restart: failure.can_restart,
            is_global: failure.is_global_failure,
            labels: failure.labels.to_vec(),
            exception_type: failure.error_type.map(str::to_owned),
            exception_message: Some(failure.error.to_string()),
            stacktrace: stacktrace(failure.error),
            task_name: place.task_name,
            endpoint: place.endpoint,
            task_manager_id: place.task_manager_id,
        })
    }

    fn place_of(&self, attempt: &ExecutionAttemptId) -> Option<&DeployedTask> {
        let (attempt_number, task) = self.deployed.get(&attempt.job_vertex_id)?.get(&attempt.subtask_index)?;
        (*attempt_number == attempt.attempt_number).then_some(task)
    }
}

/// Returns the error and its causes, a line each; `None` if there are no causes.
fn stacktrace(error: &dyn Error) -> Option<String> {
    error.source().map(|_| with_java_causes(error.to_string(), error))
}
