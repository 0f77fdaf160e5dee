//! Flink's events of a job. Their attributes are named nowhere else.

use flink_traces_api::{EventBuilder, Identity};

use super::identity::{JOB_STATUS_CHANGE, NamedJob};
use crate::record::{first_line, system_event, text_of};
use crate::setters::setters;

const JOB_MASTER: &str = "org.apache.flink.runtime.jobmaster.JobMaster";
const FAILURE_REPORTER: &str = "org.apache.flink.runtime.scheduler.adaptive.JobFailureMetricReporter";
const ALL_RUNNING: &str = "org.apache.flink.runtime.scheduler.metrics.AllSubTasksRunningOrFinishedStateTimeMetrics";

/// Builds the event `JobStatusChangeEvent` of a job that changed to `status` at `ts_millis`.
///
/// `status` is the name of one of Flink's `JobStatus`es. Add the event to the job's
/// [`MetricGroup`](crate::MetricGroup). There is no event for a change to `INITIALIZING`. Only an
/// adaptive scheduler reports a change to `CREATED`.
///
/// Mirrors the event that `JobMaster` reports in Flink 2.2 and later. Extensions, which
/// `compatibility: flink` hides, are the text, the unique id, the severity `ERROR` of `FAILED`, and
/// `WARN` of `FAILING`, `RESTARTING` and `SUSPENDED`.
pub fn job_status_change_event(job: NamedJob<'_>, status: &str, ts_millis: i64) -> EventBuilder {
    let event = system_event(JOB_MASTER, JOB_STATUS_CHANGE, ts_millis)
        .attribute("newJobStatus", status.to_owned())
        .extension_body(format!("Job {} is {status}", job.name))
        .identity(job.identity.status_change(status, ts_millis));
    match status {
        "FAILED" => event.extension_severity("ERROR"),
        "FAILING" | "RESTARTING" | "SUSPENDED" => event.extension_severity("WARN"),
        _ => event,
    }
}

/// A failure that the scheduler of a job handled. Flink's `FailureHandlingResult`.
///
/// A field that the source does not know is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobFailure {
    /// The time of the failure, in milliseconds since the epoch.
    pub ts_millis: i64,
    /// The time of the failure in Flink's exception history, if it is another one.
    ///
    /// It is part of the unique id of the event.
    pub history_timestamp: Option<i64>,
    /// `true` if the job restarts; `false` if it ends.
    pub can_restart: bool,
    /// `true` if the failure concerns the whole job; `None` if the scheduler does not distinguish,
    /// as Flink's Adaptive scheduler.
    pub is_global: Option<bool>,
    /// The keys and values from failure enrichers.
    pub labels: Vec<(String, String)>,
    /// The class of the exception.
    pub exception_type: Option<String>,
    /// The message of the exception.
    pub exception_message: Option<String>,
    /// The exception with its stack trace.
    pub stacktrace: Option<String>,
    /// The name of the failed attempt, such as `map (2/4) - execution #0`.
    pub task_name: Option<String>,
    /// The host and port on which the task ran.
    pub endpoint: Option<String>,
    /// The id of the TaskManager on which the task ran.
    pub task_manager_id: Option<String>,
}

impl JobFailure {
    /// Creates a failure whose other fields are unknown.
    pub fn new(ts_millis: i64, can_restart: bool) -> Self {
        Self { ts_millis, can_restart, ..Self::default() }
    }

    setters! {
        with_history_timestamp: history_timestamp, into Option<i64>;
        with_global: is_global, into Option<bool>;
        with_labels: labels, Vec<(String, String)>;
        with_exception_type: exception_type, into Option<String>;
        with_exception_message: exception_message, into Option<String>;
        with_stacktrace: stacktrace, into Option<String>;
        with_task_name: task_name, into Option<String>;
        with_endpoint: endpoint, into Option<String>;
        with_task_manager_id: task_manager_id, into Option<String>;
    }
}

/// Builds the event `JobFailureEvent` of a failure that the job's scheduler handled.
///
/// Add it to the job's [`MetricGroup`](crate::MetricGroup).
///
/// Mirrors the event that `JobFailureMetricReporter` reports in Flink 2.2 and later. Extensions,
/// which `compatibility: flink` hides, are the text, the unique id, the cause, task and host, and
/// the severity: `ERROR` if the job ends, else `WARN`.
pub fn job_failure_event(job: NamedJob<'_>, failure: &JobFailure) -> EventBuilder {
    const NAME: &str = "JobFailureEvent";
    let mut event = system_event(FAILURE_REPORTER, NAME, failure.ts_millis)
        .attribute("canRestart", text_of(failure.can_restart))
        .extension_severity(if failure.can_restart { "WARN" } else { "ERROR" });
    if let Some(is_global) = failure.is_global {
        event = event.attribute("isGlobalFailure", text_of(is_global));
    }
    for (key, value) in &failure.labels {
        let value = if value.is_empty() { "<empty>" } else { value };
        event = event.attribute(format!("failureLabel.{key}"), value.to_owned());
    }
    let extensions = [
        ("exception.type", &failure.exception_type),
        ("exception.message", &failure.exception_message),
        ("exception.stacktrace", &failure.stacktrace),
        ("taskName", &failure.task_name),
        ("endpoint", &failure.endpoint),
        ("taskManagerId", &failure.task_manager_id),
    ];
    for (key, value) in extensions {
        if let Some(value) = value {
            event = event.extension_attribute(key, value.clone());
        }
    }
    let history_timestamp = failure.history_timestamp.unwrap_or(failure.ts_millis).to_string();
    let attempt = failure.task_name.as_deref().unwrap_or_default();
    event
        .extension_body(format!("Job {} failed{}", job.name, cause(failure)))
        .identity(job.identity.of(NAME, &[&history_timestamp, attempt]))
}

/// Returns the first line of the exception, after a colon.
fn cause(failure: &JobFailure) -> String {
    let of = |text: &Option<String>| text.as_deref().map(|text| first_line(text).into_owned());
    let exception = || match (of(&failure.exception_type), of(&failure.exception_message)) {
        (Some(class), Some(message)) => Some(format!("{class}: {message}")),
        (class, message) => class.or(message),
    };
    of(&failure.stacktrace).or_else(exception).map(|cause| format!(": {cause}")).unwrap_or_default()
}

/// The status of all subtasks of a streaming job.
///
/// The `Status` of Flink's `AllSubTasksRunningOrFinishedStateTimeMetrics`.
// Exhaustive: the status is binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllSubtasksStatus {
    /// All subtasks run or have finished.
    AllRunningOrFinished,
    /// After all subtasks ran, at least one was canceled or failed.
    NotAllRunningOrFinished,
}

/// Builds the event `AllSubtasksStatusChangeEvent`.
///
/// Add it to the [`MetricGroup`](crate::MetricGroup) of a streaming job when all its subtasks run,
/// and when one of them was canceled or failed after that.
///
/// `initialization` is the [identity](super::JobIdentity::initialization) of the initialization
/// after which all subtasks ran.
///
/// Mirrors the event that `AllSubTasksRunningOrFinishedStateTimeMetrics` reports in Flink 2.2 and
/// later. Extensions, which `compatibility: flink` hides, are the text and the unique id.
pub fn all_subtasks_status_change_event(
    job: NamedJob<'_>,
    status: AllSubtasksStatus,
    initialization: Identity,
    ts_millis: i64,
) -> EventBuilder {
    const NAME: &str = "AllSubtasksStatusChangeEvent";
    let (status, body) = match status {
        AllSubtasksStatus::AllRunningOrFinished => {
            ("ALL_RUNNING_OR_FINISHED", format!("All subtasks of {} run or have finished", job.name))
        }
        AllSubtasksStatus::NotAllRunningOrFinished => {
            ("NOT_ALL_RUNNING_OR_FINISHED", format!("Some subtasks of {} no longer run", job.name))
        }
    };
    system_event(ALL_RUNNING, NAME, ts_millis)
        .attribute("status", status)
        .extension_body(body)
        .identity(job.identity.of(NAME, &[status, &initialization.trace_id().to_string()]))
}
