//! The tracker of a job's failures.

use std::collections::BTreeMap;
use std::error::Error;

use flink_traces_api::EventBuilder;

use super::events::{JobFailure, job_failure_event};
use super::identity::{ExecutionAttemptId, NamedJob};
use crate::causes::with_java_causes;
use crate::setters::setters;

/// A failure and the scheduler's decision about it. Flink's `FailureHandlingResult`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FailureHandlingResult<'a> {
    /// The time of the failure, in milliseconds since the epoch.
    pub timestamp: i64,
    /// The attempt that failed; `None` if the failure was not in a subtask.
    pub failed_execution: Option<&'a ExecutionAttemptId>,
    /// The error, with its causes.
    pub error: &'a dyn Error,
    /// The type of the error, by a name that the engine chooses. A Rust error has no such name.
    pub error_type: Option<&'a str>,
    /// The keys and values from failure enrichers.
    pub labels: &'a [(String, String)],
    /// `true` if the job restarts; `false` if it ends.
    pub can_restart: bool,
    /// `true` if the failure concerns the whole job; `None` if the scheduler does not distinguish,
    /// as Flink's Adaptive scheduler.
    pub is_global_failure: Option<bool>,
}

impl<'a> FailureHandlingResult<'a> {
    /// Creates a failure without an attempt, a type and labels.
    pub fn new(timestamp: i64, error: &'a dyn Error, can_restart: bool) -> Self {
        Self {
            timestamp,
            failed_execution: None,
            error,
            error_type: None,
            labels: &[],
            can_restart,
            is_global_failure: None,
        }
    }

    setters! {
        with_failed_execution: failed_execution, into Option<&'a ExecutionAttemptId>;
        with_error_type: error_type, into Option<&'a str>;
        with_labels: labels, &'a [(String, String)];
        with_global_failure: is_global_failure, into Option<bool>;
    }
}

/// A subtask's name and location, from Flink's `Execution`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeployedTask {
    /// The name of the task with its subtask, such as `Source (2/4)`.
    pub task_name: Option<String>,
    /// The host and port on which the subtask runs.
    pub endpoint: Option<String>,
    /// The id of the TaskManager on which the subtask runs.
    pub task_manager_id: Option<String>,
}

impl DeployedTask {
    setters! {
        with_task_name: task_name, into Option<String>;
        with_endpoint: endpoint, into Option<String>;
        with_task_manager_id: task_manager_id, into Option<String>;
    }
}

/// Builds an event `JobFailureEvent` for each failure that a job's scheduler handles.
///
/// Flink's `JobFailureMetricReporter`. The cause, task and host of the event are extensions. For
/// the latter two, the tracker keeps one [`DeployedTask`] for each subtask of the job.
///
/// The task is named as in Flink's exception history: `map (2/4) - execution #0`.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::JobIdentity;
/// use flink_traces_runtime::job::{
///     DeployedTask, ExecutionAttemptId, FailureHandlingResult, JobFailureTracker,
/// };
///
/// let job = JobIdentity { cluster: "prod", job_id: "5c4b" }.named("orders");
/// let mut tracker = JobFailureTracker::default();
/// tracker.report_vertex("a0", "map", 1);
/// let attempt =
///     ExecutionAttemptId { job_vertex_id: "a0".into(), subtask_index: 0, attempt_number: 0 };
/// let task = DeployedTask::default().with_endpoint("worker-3:6122".to_owned());
/// tracker.report_deployed(&attempt, task);
///
/// let error = std::io::Error::other("disk full");
/// let labels = [("type".to_owned(), "SYSTEM".to_owned())];
/// let failure = FailureHandlingResult::new(1_795_230_921_331, &error, true)
///     .with_failed_execution(&attempt)
///     .with_error_type("std::io::Error")
///     .with_labels(&labels)
///     .with_global_failure(false);
/// // Add the event to the job's metric group.
/// let event = tracker.report_failure(job, &failure);
/// # let _ = event;
/// ```
#[derive(Debug, Clone, Default)]
pub struct JobFailureTracker {
    /// The name and the parallelism, by job vertex.
    vertices: BTreeMap<String, (String, u32)>,
    /// The attempt number and the location, by job vertex and subtask.
    deployed: BTreeMap<String, BTreeMap<u32, (u32, DeployedTask)>>,
}

impl JobFailureTracker {
    /// Reports the name and the parallelism of a job vertex, from which the names of its subtasks
    /// follow.
    ///
    /// Without this report and without a [`DeployedTask::task_name`], a subtask is named by the id
    /// of its job vertex.
    pub fn report_vertex(&mut self, job_vertex_id: &str, name: &str, parallelism: u32) {
        self.vertices.insert(job_vertex_id.to_owned(), (name.to_owned(), parallelism));
    }

    /// Reports that an attempt was deployed. It replaces the previous attempt of the same subtask.
    pub fn report_deployed(&mut self, attempt: &ExecutionAttemptId, task: DeployedTask) {
        let subtasks = self.deployed.entry(attempt.job_vertex_id.clone()).or_default();
        subtasks.insert(attempt.subtask_index, (attempt.attempt_number, task));
    }

    /// Builds the event of a failure that the scheduler handled. Mirrors `reportJobFailure`.
    ///
    /// Call it when the labels are available, and add the event to the job's
    /// [`MetricGroup`](crate::MetricGroup). The event has no host if the attempt is not the last
    /// one of its subtask.
    pub fn report_failure(&self, job: NamedJob<'_>, failure: &FailureHandlingResult<'_>) -> EventBuilder {
        let attempt = failure.failed_execution;
        let task = attempt.and_then(|attempt| self.deployed_task(attempt)).cloned().unwrap_or_default();
        let failure = JobFailure {
            ts_millis: failure.timestamp,
            history_timestamp: None,
            can_restart: failure.can_restart,
            is_global: failure.is_global_failure,
            labels: failure.labels.to_vec(),
            exception_type: failure.error_type.map(str::to_owned),
            exception_message: Some(failure.error.to_string()),
            stacktrace: stacktrace(failure.error),
            task_name: attempt.map(|attempt| self.task_name(attempt, task.task_name.as_deref())),
            endpoint: task.endpoint,
            task_manager_id: task.task_manager_id,
        };
        job_failure_event(job, &failure)
    }

    fn task_name(&self, attempt: &ExecutionAttemptId, known: Option<&str>) -> String {
        match (known, self.vertices.get(&attempt.job_vertex_id)) {
            (Some(name), _) => attempt.named(name),
            (None, Some((name, parallelism))) => attempt.in_vertex(name, *parallelism),
            (None, None) => {
                attempt.named(&format!("{} ({})", attempt.job_vertex_id, u64::from(attempt.subtask_index) + 1))
            }
        }
    }

    fn deployed_task(&self, attempt: &ExecutionAttemptId) -> Option<&DeployedTask> {
        let (attempt_number, task) = self.deployed.get(&attempt.job_vertex_id)?.get(&attempt.subtask_index)?;
        (*attempt_number == attempt.attempt_number).then_some(task)
    }
}

/// Returns the error and its causes, one a line; `None` if there are no causes.
fn stacktrace(error: &dyn Error) -> Option<String> {
    error.source().map(|_| with_java_causes(error.to_string(), error))
}
