//! Operations that take their time: started by one request, asked after by others.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::Other;
use crate::java;
use crate::lenient::{optional_integer, optional_text, text};
use crate::{DataSetId, JobId, QueueStatusId, TriggerId};

/// Nothing but that it was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EmptyResponseBody {
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// A file as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Its bytes.
    pub content: Vec<u8>,
}

constructor! {
    File(content: Vec<u8>)
}

/// An operation that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct TriggerResponse {
    /// By what to ask after it.
    pub request_id: TriggerId,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    TriggerResponse(request_id: TriggerId)
    empty(other)
}

/// How an operation stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AsynchronousOperationResult {
    /// Whether it is still going on.
    pub status: QueueStatus,
    /// What came of it; `None` while it is going on.
    pub operation: Option<OperationInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    AsynchronousOperationResult(status: QueueStatus)
    empty(operation, other)
}

/// Whether something is still going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueStatus {
    /// Whether it is.
    pub id: QueueStatusId,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    QueueStatus(id: QueueStatusId)
    empty(other)
}

/// What came of an operation: Flink's `SavepointInfo`, `CheckpointInfo` and `AsynchronousOperationInfo` in one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct OperationInfo {
    /// Where the savepoint lies.
    #[serde(deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The checkpoint that was taken.
    #[serde(rename = "checkpointId", deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub checkpoint_id: Option<i64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_cause: Option<SerializedThrowable>,
    /// The same of a checkpoint.
    #[serde(rename = "failureCause", skip_serializing_if = "Option::is_none")]
    pub checkpoint_failure_cause: Option<SerializedThrowable>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

impl OperationInfo {
    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&SerializedThrowable> {
        self.failure_cause.as_ref().or(self.checkpoint_failure_cause.as_ref())
    }
}

/// An exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SerializedThrowable {
    /// Its class.
    #[serde(default, deserialize_with = "text")]
    pub class: String,
    /// Its message and stack, and those of its causes.
    #[serde(default, deserialize_with = "text")]
    pub stack_trace: String,
    /// All of it, serialized by Java and written in Base64.
    #[serde(deserialize_with = "optional_text", default, skip_serializing_if = "Option::is_none")]
    pub serialized_throwable: Option<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

impl SerializedThrowable {
    /// An exception of that class, such as `java.lang.IllegalStateException`, that Flink's own clients can read, too.
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

/// Which savepoint to take. Up to 1.13 fields that came later are refused, so set only those that are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct SavepointTriggerRequestBody {
    /// Where to put it; in the default directory unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_directory: Option<String>,
    /// Whether to end the job afterwards. Better is a stop, which takes no checkpoint in between.
    pub cancel_job: bool,
    /// `CANONICAL` or `NATIVE`; since 1.15.
    #[serde(rename = "formatType", skip_serializing_if = "Option::is_none")]
    pub format_type: Option<String>,
    /// The id that the operation shall have; since 1.15.
    #[serde(rename = "triggerId", skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<TriggerId>,
}

/// At which savepoint to stop. Up to 1.13 fields that came later are refused, so set only those that are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct StopWithSavepointRequestBody {
    /// Where to put it; in the default directory unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_directory: Option<String>,
    /// Whether to let time run to its end first, so that all windows fire: for a job that shall never go on.
    pub drain: bool,
    /// `CANONICAL` or `NATIVE`; since 1.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_type: Option<String>,
    /// The id that the operation shall have; since 1.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<TriggerId>,
}

/// Which checkpoint to take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct CheckpointTriggerRequestBody {
    /// `CONFIGURED` or `FULL`; `INCREMENTAL` is answered with 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_type: Option<String>,
    /// The id that the operation shall have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<TriggerId>,
}

/// Which savepoint to dispose of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SavepointDisposalRequest {
    /// Where it lies.
    pub savepoint_path: String,
}

constructor! {
    SavepointDisposalRequest(savepoint_path: impl Into<String>)
}

/// How a job ended; answers `/jobs/:jobid/execution-result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobExecutionResultResponseBody {
    /// Whether it is still going on.
    pub status: QueueStatus,
    /// How it ended; `None` while it is going on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_execution_result: Option<JobResult>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobExecutionResultResponseBody(status: QueueStatus)
    empty(job_execution_result, other)
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobResult {
    /// The job.
    pub id: JobId,
    /// `SUCCEEDED`, `FAILED`, `CANCELED` or `UNKNOWN`.
    pub application_status: String,
    /// What its accumulators hold, serialized by Java and written in Base64.
    #[serde(default)]
    pub accumulator_results: BTreeMap<String, String>,
    /// How long it ran, in milliseconds.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub net_runtime: Option<i64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_cause: Option<SerializedThrowable>,
    /// What this crate has no name for; since 2.3 `name`, `application-id`, `start-time` and `end-time`.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobResult(id: JobId, application_status: impl Into<String>)
    empty(accumulator_results, net_runtime, failure_cause, other)
}

/// The intermediate results that the cluster keeps; answers `/datasets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClusterDataSetListResponseBody {
    /// The data sets.
    pub data_sets: Vec<ClusterDataSetEntry>,
    /// What this crate has no name for.
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
    /// The data set.
    pub id: DataSetId,
    /// Whether all of it is there.
    pub is_complete: bool,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ClusterDataSetEntry(id: DataSetId, is_complete: bool)
    empty(other)
}
