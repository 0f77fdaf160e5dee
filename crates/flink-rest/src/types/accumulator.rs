//! Accumulators: values that a job's functions count for the job's author.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Other;
use crate::JobVertexId;
use crate::lenient::{integer, optional_text, text};

/// The accumulators of a job, returned by `/jobs/:jobid/accumulators`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct JobAccumulatorsInfo {
    /// An array that is always empty.
    pub job_accumulators: Vec<Value>,
    /// The accumulators, aggregated over all subtasks.
    pub user_task_accumulators: Vec<UserAccumulator>,
    /// The values of the accumulators, serialized by Java and encoded in Base64, if requested.
    pub serialized_user_task_accumulators: BTreeMap<String, String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// An accumulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UserAccumulator {
    /// The name of the accumulator.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The class of the accumulator, such as `LongCounter`.
    #[serde(rename = "type", default, deserialize_with = "text")]
    pub kind: String,
    /// The value of the accumulator as Java prints it.
    #[serde(default, deserialize_with = "optional_text")]
    pub value: Option<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    UserAccumulator()
    empty(name, kind, value, other)
}

/// The accumulators of a vertex, returned by `/jobs/:jobid/vertices/:vertexid/accumulators`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobVertexAccumulatorsInfo {
    /// The id of the vertex.
    pub id: JobVertexId,
    /// The accumulators, aggregated over all subtasks.
    pub user_accumulators: Vec<UserAccumulator>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobVertexAccumulatorsInfo(id: JobVertexId, user_accumulators: Vec<UserAccumulator>)
    empty(other)
}

/// The accumulators of a vertex's subtasks.
///
/// Returned by `/jobs/:jobid/vertices/:vertexid/subtasks/accumulators`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubtasksAllAccumulatorsInfo {
    /// The id of the vertex.
    pub id: JobVertexId,
    /// The number of subtasks of the vertex.
    #[serde(deserialize_with = "integer")]
    pub parallelism: i64,
    /// The subtasks, by index.
    pub subtasks: Vec<SubtaskAccumulatorsInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtasksAllAccumulatorsInfo(id: JobVertexId, parallelism: i64, subtasks: Vec<SubtaskAccumulatorsInfo>)
    empty(other)
}

/// The accumulators of a subtask, as `SubtasksAllAccumulatorsInfo.SubtaskAccumulatorsInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SubtaskAccumulatorsInfo {
    /// The index of the subtask, from 0.
    #[serde(deserialize_with = "integer")]
    pub subtask: i64,
    /// The number of the attempt, from 0.
    #[serde(deserialize_with = "integer")]
    pub attempt: i64,
    /// The accumulators.
    pub user_accumulators: Vec<UserAccumulator>,
    /// The fields that this crate does not name.
    ///
    /// They include the location of the subtask: `host` up to 1.20, `endpoint` since 1.19.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskAccumulatorsInfo(subtask: i64, attempt: i64, user_accumulators: Vec<UserAccumulator>)
    empty(other)
}

/// The accumulators of one attempt.
///
/// Returned by `…/subtasks/:subtaskindex/attempts/:attempt/accumulators`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SubtaskExecutionAttemptAccumulatorsInfo {
    /// The index of the subtask, from 0.
    #[serde(deserialize_with = "integer")]
    pub subtask: i64,
    /// The number of the attempt, from 0.
    #[serde(deserialize_with = "integer")]
    pub attempt: i64,
    /// The id of the attempt.
    pub id: String,
    /// The accumulators.
    pub user_accumulators: Vec<UserAccumulator>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskExecutionAttemptAccumulatorsInfo(subtask: i64, attempt: i64, id: impl Into<String>, user_accumulators: Vec<UserAccumulator>)
    empty(other)
}
