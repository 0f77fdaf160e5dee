//! Vertices and their subtasks: where they run, since when, in which attempt.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lenient::{integer, integer_or_unset, integers, optional_integer, optional_text, or_default, text, unset};
use crate::{ExecutionState, JobVertexId};

/// A vertex with its subtasks' current attempts; answers `/jobs/:jobid/vertices/:vertexid`. As old as `/jobs/:jobid` may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobVertexDetailsInfo {
    /// The vertex.
    pub id: JobVertexId,
    /// The names of its chained operators.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// How many subtasks it has.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub parallelism: i64,
    /// How many it may have; since 1.13, −1 where nothing limits it.
    #[serde(
        rename = "maxParallelism",
        default,
        deserialize_with = "optional_integer",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_parallelism: Option<i64>,
    /// The JobManager's clock at the moment of this answer, in milliseconds since the epoch.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub now: i64,
    /// One for each subtask, by index.
    pub subtasks: Vec<SubtaskExecutionAttemptDetailsInfo>,
}

/// One attempt to run a subtask; answers `/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt`, where the
/// last `jobmanager.execution.attempts-history-size` attempts can be asked for, 16 by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubtaskExecutionAttemptDetailsInfo {
    /// The subtask's index, from 0.
    #[serde(deserialize_with = "integer")]
    pub subtask: i64,
    /// Its state.
    pub status: ExecutionState,
    /// The attempt's number, from 0. The adaptive scheduler starts at 0 again after each restart.
    #[serde(deserialize_with = "integer")]
    pub attempt: i64,
    /// Where it runs, `(unassigned)` before it was deployed: a host, since 1.13 host and port. Up to 1.20.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where it runs, as host and port, `(unassigned)` before it was deployed. Since 1.19.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// When it was deployed, in milliseconds since the epoch; −1 before that.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub start_time: i64,
    /// When it ended, in milliseconds since the epoch; −1 before that.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub end_time: i64,
    /// From start to end or now, in milliseconds; −1 before the start.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub duration: i64,
    /// The TaskManager that runs it; since 1.13, `(unassigned)` before it was deployed.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub taskmanager_id: Option<String>,
    /// How long it was in each state, in milliseconds, −1 for a state not entered; since 1.17, else empty.
    #[serde(default, deserialize_with = "integers", skip_serializing_if = "BTreeMap::is_empty")]
    pub status_duration: BTreeMap<ExecutionState, i64>,
    /// Attempts of the same subtask that run beside it (speculative execution); since 1.17.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub other_concurrent_attempts: Vec<SubtaskExecutionAttemptDetailsInfo>,
}

impl SubtaskExecutionAttemptDetailsInfo {
    /// Where it runs, by whichever name the version has for it.
    pub fn location(&self) -> Option<&str> {
        self.endpoint.as_deref().or(self.host.as_deref())
    }
}

/// When the current attempt of each subtask of a vertex entered which state; answers
/// `/jobs/:jobid/vertices/:vertexid/subtasktimes`. As old as `/jobs/:jobid` may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubtasksTimesInfo {
    /// The vertex.
    pub id: JobVertexId,
    /// The names of its chained operators.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The JobManager's clock at the moment of this answer, in milliseconds since the epoch.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub now: i64,
    /// One for each subtask, by index.
    pub subtasks: Vec<SubtaskTimeInfo>,
}

/// When a subtask's current attempt entered which state, as `SubtasksTimesInfo.SubtaskTimeInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubtaskTimeInfo {
    /// The subtask's index, from 0.
    #[serde(deserialize_with = "integer")]
    pub subtask: i64,
    /// Where it runs, `(unassigned)` before it was deployed. Up to 1.20.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where it runs, as host and port, `(unassigned)` before it was deployed. Since 1.19.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// From `SCHEDULED` to the end or now, in milliseconds.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub duration: i64,
    /// When it entered each state, in milliseconds since the epoch; 0 for a state it never entered.
    #[serde(deserialize_with = "integers")]
    pub timestamps: BTreeMap<ExecutionState, i64>,
}

impl SubtaskTimeInfo {
    /// Where it runs, by whichever name the version has for it.
    pub fn location(&self) -> Option<&str> {
        self.endpoint.as_deref().or(self.host.as_deref())
    }
}
