//! Operations that take time: one request starts them, and others poll their status.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::Other;
use crate::java;
use crate::lenient::{optional_integer, optional_text, text};
use crate::{DataSetId, JobId, QueueStatusId, TriggerId};

/// An empty response, which only says that the request succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EmptyResponseBody {
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// A file, unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// The bytes of the file.
    pub content: Vec<u8>,
}

constructor! {
    File(content: Vec<u8>)
}

/// An operation that has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct TriggerResponse {
    /// The id by which to request the status of the operation.
    pub request_id: TriggerId,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    TriggerResponse(request_id: TriggerId)
    empty(other)
}

/// The status of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AsynchronousOperationResult {
    /// The progress of the operation.
    pub status: QueueStatus,
    /// The outcome of the operation, or `None` while it is in progress.
    pub operation: Option<OperationInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    AsynchronousOperationResult(status: QueueStatus)
    empty(operation, other)
}

/// The progress of an operation or a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueStatus {
    /// The word for the progress.
    pub id: QueueStatusId,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    QueueStatus(id: QueueStatusId)
    empty(other)
}

/// The outcome of an operation.
///
/// It combines Flink's `SavepointInfo`, `CheckpointInfo` and `AsynchronousOperationInfo`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct OperationInfo {
    /// The path of the savepoint.
    #[serde(deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The id of the checkpoint that was taken.
    #[serde(rename = "checkpointId", deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub checkpoint_id: Option<i64>,
    /// The cause of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_cause: Option<SerializedThrowable>,
    /// The cause of the failure of a checkpoint.
    #[serde(rename = "failureCause", skip_serializing_if = "Option::is_none")]
    pub checkpoint_failure_cause: Option<SerializedThrowable>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

impl OperationInfo {
    /// Returns the cause of the failure, or `None` if the operation did not fail.
    pub fn failure(&self) -> Option<&SerializedThrowable> {
        self.failure_cause.as_ref().or(self.checkpoint_failure_cause.as_ref())
    }
}

/// A Java exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SerializedThrowable {
    /// The class of the exception.
    #[serde(default, deserialize_with = "text")]
    pub class: String,
    /// The message and the stack trace of the exception, and those of its causes.
    #[serde(default, deserialize_with = "text")]
    pub stack_trace: String,
    /// The whole exception, serialized by Java and encoded in Base64.
    #[serde(deserialize_with = "optional_text", default, skip_serializing_if = "Option::is_none")]
    pub serialized_throwable: Option<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

impl SerializedThrowable {
    /// Creates an exception of `class`, such as `java.lang.IllegalStateException`.
    ///
    /// Flink's own clients can read it, too.
    pub fn new(class: &str, message: &str) -> Self {
        let stack_trace = format!("{class}: {message}");
        let serialized = java::serialized_throwable(class, message, &stack_trace);
        Self {
            class: class.to_owned(),
            stack_trace,
            serialized_throwable: Some(BASE64_STANDARD.encode(serialized)),
            other: Other::new(),
        }
    }
}

/// A request to take a savepoint.
///
/// Up to 1.13, Flink rejects fields of later versions, so set only the fields that you need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct SavepointTriggerRequestBody {
    /// The directory for the savepoint; the default directory if unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_directory: Option<String>,
    /// `true` to end the job afterwards.
    ///
    /// Prefer a stop with a savepoint, which takes no checkpoint in between.
    pub cancel_job: bool,
    /// The format of the savepoint, `CANONICAL` or `NATIVE`; since 1.15.
    #[serde(rename = "formatType", skip_serializing_if = "Option::is_none")]
    pub format_type: Option<String>,
    /// The id to give the operation; since 1.15.
    #[serde(rename = "triggerId", skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<TriggerId>,
}

/// A request to stop a job with a savepoint.
///
/// Up to 1.13, Flink rejects fields of later versions, so set only the fields that you need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct StopWithSavepointRequestBody {
    /// The directory for the savepoint; the default directory if unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_directory: Option<String>,
    /// `true` to advance event time to its end first, so that all windows fire.
    ///
    /// It is meant for a job that will never continue.
    pub drain: bool,
    /// The format of the savepoint, `CANONICAL` or `NATIVE`; since 1.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_type: Option<String>,
    /// The id to give the operation; since 1.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<TriggerId>,
}

/// A request to take a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct CheckpointTriggerRequestBody {
    /// The type of the checkpoint, `CONFIGURED` or `FULL`.
    ///
    /// Flink returns status 500 for `INCREMENTAL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_type: Option<String>,
    /// The id to give the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<TriggerId>,
}

/// A request to dispose of a savepoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SavepointDisposalRequest {
    /// The path of the savepoint.
    pub savepoint_path: String,
}

constructor! {
    SavepointDisposalRequest(savepoint_path: impl Into<String>)
}

/// The result of a job, returned by `/jobs/:jobid/execution-result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobExecutionResultResponseBody {
    /// The progress of the job.
    pub status: QueueStatus,
    /// The result of the job, or `None` while it is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_execution_result: Option<JobResult>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobExecutionResultResponseBody(status: QueueStatus)
    empty(job_execution_result, other)
}

/// The result of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobResult {
    /// The id of the job.
    pub id: JobId,
    /// The status: `SUCCEEDED`, `FAILED`, `CANCELED` or `UNKNOWN`.
    pub application_status: String,
    /// The values of the accumulators, serialized by Java and encoded in Base64.
    #[serde(default)]
    pub accumulator_results: BTreeMap<String, String>,
    /// The time that the job ran, in milliseconds.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub net_runtime: Option<i64>,
    /// The cause of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_cause: Option<SerializedThrowable>,
    /// The fields that this crate does not name.
    ///
    /// Since 2.3 they include `name`, `application-id`, `start-time` and `end-time`.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobResult(id: JobId, application_status: impl Into<String>)
    empty(accumulator_results, net_runtime, failure_cause, other)
}

/// The intermediate results that the cluster keeps, returned by `/datasets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClusterDataSetListResponseBody {
    /// The data sets.
    pub data_sets: Vec<ClusterDataSetEntry>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ClusterDataSetListResponseBody(data_sets: Vec<ClusterDataSetEntry>)
    empty(other)
}

/// An intermediate result that the cluster keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClusterDataSetEntry {
    /// The id of the data set.
    pub id: DataSetId,
    /// `true` if all of the data set is present.
    pub is_complete: bool,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ClusterDataSetEntry(id: DataSetId, is_complete: bool)
    empty(other)
}
