//! Accumulators: what a job's functions count for its author.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Other;
use crate::JobVertexId;
use crate::lenient::{integer, optional_text, text};

/// What a job's accumulators hold; answers `/jobs/:jobid/accumulators`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct JobAccumulatorsInfo {
    /// Always empty.
    pub job_accumulators: Vec<Value>,
    /// The accumulators, over all subtasks.
    pub user_task_accumulators: Vec<UserAccumulator>,
    /// Their values serialized by Java and written in Base64, if asked for.
    pub serialized_user_task_accumulators: BTreeMap<String, String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// An accumulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UserAccumulator {
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// Its class, such as `LongCounter`.
    #[serde(rename = "type", default, deserialize_with = "text")]
    pub kind: String,
    /// Its value as Java prints it.
    #[serde(default, deserialize_with = "optional_text")]
    pub value: Option<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    UserAccumulator()
    empty(name, kind, value, other)
}

/// What a vertex's accumulators hold; answers `/jobs/:jobid/vertices/:vertexid/accumulators`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobVertexAccumulatorsInfo {
    /// The vertex.
    pub id: JobVertexId,
    /// The accumulators, over all subtasks.
    pub user_accumulators: Vec<UserAccumulator>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobVertexAccumulatorsInfo(id: JobVertexId, user_accumulators: Vec<UserAccumulator>)
    empty(other)
}

/// What the accumulators of a vertex's subtasks hold; answers `/jobs/:jobid/vertices/:vertexid/subtasks/accumulators`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubtasksAllAccumulatorsInfo {
    /// The vertex.
    pub id: JobVertexId,
    /// How many subtasks it has.
    #[serde(deserialize_with = "integer")]
    pub parallelism: i64,
    /// One for each subtask, by index.
    pub subtasks: Vec<SubtaskAccumulatorsInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtasksAllAccumulatorsInfo(id: JobVertexId, parallelism: i64, subtasks: Vec<SubtaskAccumulatorsInfo>)
    empty(other)
}

/// What a subtask's accumulators hold, as `SubtasksAllAccumulatorsInfo.SubtaskAccumulatorsInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SubtaskAccumulatorsInfo {
    /// The subtask's index, from 0.
    #[serde(deserialize_with = "integer")]
    pub subtask: i64,
    /// The attempt's number, from 0.
    #[serde(deserialize_with = "integer")]
    pub attempt: i64,
    /// The accumulators.
    pub user_accumulators: Vec<UserAccumulator>,
    /// Where it runs: `host` up to 1.20, `endpoint` since 1.19.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskAccumulatorsInfo(subtask: i64, attempt: i64, user_accumulators: Vec<UserAccumulator>)
    empty(other)
}

/// What the accumulators of one attempt hold; answers `…/subtasks/:subtaskindex/attempts/:attempt/accumulators`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SubtaskExecutionAttemptAccumulatorsInfo {
    /// The subtask's index, from 0.
    #[serde(deserialize_with = "integer")]
    pub subtask: i64,
    /// The attempt's number, from 0.
    #[serde(deserialize_with = "integer")]
    pub attempt: i64,
    /// The attempt's id.
    pub id: String,
    /// The accumulators.
    pub user_accumulators: Vec<UserAccumulator>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskExecutionAttemptAccumulatorsInfo(subtask: i64, attempt: i64, id: impl Into<String>, user_accumulators: Vec<UserAccumulator>)
    empty(other)
}
