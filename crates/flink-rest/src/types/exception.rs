//! Why jobs failed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use crate::lenient::{integer, optional_integer, optional_text, or_default, text};

/// A job's failures; answers `/jobs/:jobid/exceptions`. As old as `/jobs/:jobid` may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobExceptionsInfoWithHistory {
    /// The failure that last made the whole job restart or fail, as a stack trace. Up to 1.20.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub root_exception: Option<String>,
    /// When that was, in milliseconds since the epoch. Up to 1.20.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// The failures of subtasks' current attempts. Up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_exceptions: Option<Vec<ExecutionExceptionInfo>>,
    /// Whether `all_exceptions` holds only the first of them. Up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
    /// All failures that the job recovered from or ended by. Since 1.13.
    #[serde(rename = "exceptionHistory", skip_serializing_if = "Option::is_none")]
    pub exception_history: Option<JobExceptionHistory>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobExceptionsInfoWithHistory()
    empty(root_exception, timestamp, all_exceptions, truncated, exception_history, other)
}

/// The failure of a subtask's current attempt, as `JobExceptionsInfo.ExecutionExceptionInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExecutionExceptionInfo {
    /// The stack trace.
    #[serde(default, deserialize_with = "text")]
    pub exception: String,
    /// The subtask, as `name (index/parallelism)`.
    #[serde(default, deserialize_with = "text")]
    pub task: String,
    /// Where it ran, as host and port.
    #[serde(default, deserialize_with = "text")]
    pub location: String,
    /// When it failed, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub timestamp: i64,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ExecutionExceptionInfo(timestamp: i64)
    empty(exception, task, location, other)
}

/// Failures, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobExceptionHistory {
    /// The last of them: at most as many as were asked for and as `web.exception-history-size` keeps, 16 by default.
    pub entries: Vec<ExceptionInfo>,
    /// Whether there were more.
    #[serde(default, deserialize_with = "or_default")]
    pub truncated: bool,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobExceptionHistory(entries: Vec<ExceptionInfo>)
    empty(truncated, other)
}

/// A failure, as `RootExceptionInfo` and, among its concurrent ones, `ExceptionInfo`.
///
/// Neither task nor place is told of a failure of the whole job (such as a lost JobManager connection or too many expired
/// checkpoints), nor of any under the adaptive scheduler.
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
    /// When it was handled, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub timestamp: i64,
    /// What failure enrichers said of it; since 1.18.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_labels: Option<BTreeMap<String, String>>,
    /// The subtask, as `name (index/parallelism) - execution #attempt`.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub task_name: Option<String>,
    /// Where it ran, as host and port. Since 1.19.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where it ran, as host and port. 1.13 to 1.20.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The TaskManager that ran it. Since 1.17.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub task_manager_id: Option<String>,
    /// Failures of other subtasks that were handled with this one, which have none of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_exceptions: Option<Vec<ExceptionInfo>>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ExceptionInfo(timestamp: i64)
    empty(exception_name, stacktrace, failure_labels, task_name, endpoint, location, task_manager_id, concurrent_exceptions, other)
}
