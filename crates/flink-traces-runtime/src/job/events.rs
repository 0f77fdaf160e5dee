//! Flink's events of a job. Their attributes are named nowhere else.

use flink_traces_api::EventBuilder;

use crate::record::{system_event, text_of};

const JOB_MASTER: &str = "org.apache.flink.runtime.jobmaster.JobMaster";
const FAILURE_REPORTER: &str = "org.apache.flink.runtime.scheduler.adaptive.JobFailureMetricReporter";
const ALL_RUNNING: &str = "org.apache.flink.runtime.scheduler.metrics.AllSubTasksRunningOrFinishedStateTimeMetrics";

/// The event `JobStatusChangeEvent`: a job went into `status`, one of Flink's `JobStatus` names, at `ts_millis`. To be added to the job's
/// [`MetricGroup`](crate::MetricGroup) at every change but those into `INITIALIZING` and, unless the scheduler is adaptive, `CREATED`.
///
/// Mirrors what `JobMaster` reports in Flink 2.2 and later. Beyond Flink, and hidden under `compatibility: flink`: the severity `ERROR`
/// of `FAILED`, and `WARN` of `FAILING`, `RESTARTING` and `SUSPENDED`.
pub fn job_status_change_event(status: &str, ts_millis: i64) -> EventBuilder {
    let event =
        system_event(JOB_MASTER, "JobStatusChangeEvent", ts_millis).attribute("newJobStatus", status.to_owned());
    match status {
        "FAILED" => event.extension_severity("ERROR"),
        "FAILING" | "RESTARTING" | "SUSPENDED" => event.extension_severity("WARN"),
        _ => event,
    }
}

/// A failure that a job's scheduler handled, as Flink's `FailureHandlingResult`. What a source cannot know is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFailure {
    /// When, in milliseconds since the epoch.
    pub ts_millis: i64,
    /// Whether the job starts again; `false` means that it ends.
    pub can_restart: bool,
    /// Whether it concerns the whole job and not one task; `None` where the scheduler does not tell (Flink's Adaptive).
    pub is_global: Option<bool>,
    /// What failure enrichers said: keys and values.
    pub labels: Vec<(String, String)>,
    /// The exception's class.
    pub exception_type: Option<String>,
    /// The exception's message.
    pub exception_message: Option<String>,
    /// The exception with its stack trace.
    pub stacktrace: Option<String>,
    /// The task that failed, with its subtask.
    pub task_name: Option<String>,
    /// Where that task ran, host and port.
    pub endpoint: Option<String>,
    /// The TaskManager that it ran on.
    pub task_manager_id: Option<String>,
}

/// The event `JobFailureEvent`. To be added to the job's [`MetricGroup`](crate::MetricGroup) for each failure that its scheduler handles.
///
/// Mirrors what `JobFailureMetricReporter` reports in Flink 2.2 and later. Beyond Flink, and hidden under `compatibility: flink`: cause,
/// task, host, and the severity `WARN`, or `ERROR` if the job ends by it.
pub fn job_failure_event(failure: &JobFailure) -> EventBuilder {
    let mut event = system_event(FAILURE_REPORTER, "JobFailureEvent", failure.ts_millis)
        .attribute("canRestart", text_of(failure.can_restart))
        .extension_severity(if failure.can_restart { "WARN" } else { "ERROR" });
    if let Some(is_global) = failure.is_global {
        event = event.attribute("isGlobalFailure", text_of(is_global));
    }
    for (key, value) in &failure.labels {
        let value = if value.is_empty() { "<empty>" } else { value };
        event = event.attribute(format!("failureLabel.{key}"), value.to_owned());
    }
    let beyond_flink = [
        ("exception.type", &failure.exception_type),
        ("exception.message", &failure.exception_message),
        ("exception.stacktrace", &failure.stacktrace),
        ("taskName", &failure.task_name),
        ("endpoint", &failure.endpoint),
        ("taskManagerId", &failure.task_manager_id),
    ];
    for (key, value) in beyond_flink {
        if let Some(value) = value {
            event = event.extension_attribute(key, value.clone());
        }
    }
    event
}

/// Whether all subtasks of a streaming job run, or have finished, as the `Status` of Flink's
/// `AllSubTasksRunningOrFinishedStateTimeMetrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllSubtasksStatus {
    /// They do.
    AllRunningOrFinished,
    /// At least one was cancelled or failed after they all had.
    NotAllRunningOrFinished,
}

/// The event `AllSubtasksStatusChangeEvent`. To be added to the [`MetricGroup`](crate::MetricGroup) of a streaming job when all its
/// subtasks have come to run, and when one of them was cancelled or failed after that.
///
/// Mirrors what `AllSubTasksRunningOrFinishedStateTimeMetrics` reports in Flink 2.2 and later.
pub fn all_subtasks_status_change_event(status: AllSubtasksStatus, ts_millis: i64) -> EventBuilder {
    let name = match status {
        AllSubtasksStatus::AllRunningOrFinished => "ALL_RUNNING_OR_FINISHED",
        AllSubtasksStatus::NotAllRunningOrFinished => "NOT_ALL_RUNNING_OR_FINISHED",
    };
    system_event(ALL_RUNNING, "AllSubtasksStatusChangeEvent", ts_millis).attribute("status", name)
}
