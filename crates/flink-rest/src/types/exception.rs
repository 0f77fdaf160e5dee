//! Failures of jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use crate::lenient::{integer, optional_integer, optional_text, or_default, text};

/// The failures of a job, returned by `/jobs/:jobid/exceptions`.
///
/// The response may be as old as that of `/jobs/:jobid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobExceptionsInfoWithHistory {
    /// The stack trace of the last failure that made the whole job restart or fail; up to 1.20.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub root_exception: Option<String>,
    /// The time of `root_exception`, in milliseconds since the epoch; up to 1.20.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// The failures of the subtasks' current attempts; up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_exceptions: Option<Vec<ExecutionExceptionInfo>>,
    /// `true` if `all_exceptions` holds only the first of the failures; up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
    /// All failures from which the job recovered or with which it ended; since 1.13.
    #[serde(rename = "exceptionHistory", skip_serializing_if = "Option::is_none")]
    pub exception_history: Option<JobExceptionHistory>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobExceptionsInfoWithHistory()
    empty(root_exception, timestamp, all_exceptions, truncated, exception_history, other)
}

/// A failure of a subtask's current attempt, as `JobExceptionsInfo.ExecutionExceptionInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExecutionExceptionInfo {
    /// The stack trace.
    #[serde(default, deserialize_with = "text")]
    pub exception: String,
    /// The subtask, as `name (index/parallelism)`.
    #[serde(default, deserialize_with = "text")]
    pub task: String,
    /// The host and port of the attempt.
    #[serde(default, deserialize_with = "text")]
    pub location: String,
    /// The time of the failure, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub timestamp: i64,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ExecutionExceptionInfo(timestamp: i64)
    empty(exception, task, location, other)
}

/// The failures of a job, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobExceptionHistory {
    /// The last failures.
    ///
    /// Their number is at most that of the request and that of `web.exception-history-size`, 16 by
    /// default.
    pub entries: Vec<ExceptionInfo>,
    /// `true` if there were more failures.
    #[serde(default, deserialize_with = "or_default")]
    pub truncated: bool,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobExceptionHistory(entries: Vec<ExceptionInfo>)
    empty(truncated, other)
}

/// A failure, as `RootExceptionInfo` and, among its concurrent ones, `ExceptionInfo`.
///
/// A failure of the whole job has neither a task nor a location. Examples are a lost JobManager
/// connection and too many expired checkpoints. Under the adaptive scheduler, no failure has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExceptionInfo {
    /// The class of the exception.
    #[serde(default, deserialize_with = "text")]
    pub exception_name: String,
    /// The stack trace.
    #[serde(default, deserialize_with = "text")]
    pub stacktrace: String,
    /// The time at which the failure was handled, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub timestamp: i64,
    /// The labels that failure enrichers attached; since 1.18.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_labels: Option<BTreeMap<String, String>>,
    /// The subtask, as `name (index/parallelism) - execution #attempt`.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub task_name: Option<String>,
    /// The host and port of the attempt; since 1.19.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The host and port of the attempt; 1.13 to 1.20.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The id of the TaskManager that ran the attempt; since 1.17.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub task_manager_id: Option<String>,
    /// The failures of other subtasks that were handled together with this one.
    ///
    /// They have no concurrent failures of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_exceptions: Option<Vec<ExceptionInfo>>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ExceptionInfo(timestamp: i64)
    empty(exception_name, stacktrace, failure_labels, task_name, endpoint, location, task_manager_id, concurrent_exceptions, other)
}
