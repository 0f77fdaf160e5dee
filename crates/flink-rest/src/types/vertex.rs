//! Vertices and their subtasks: where they run, since when, in which attempt.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use crate::lenient::{
    integer, integer_or_unset, integers, optional_double, optional_integer, optional_text, or_default, text, unset,
};
use crate::{ExecutionState, JobVertexId};

/// A vertex with its subtasks' current attempts; answers `/jobs/:jobid/vertices/:vertexid`. As old as `/jobs/:jobid` may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// Its subtasks in summary; since 1.17.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregated: Option<AggregatedTaskDetailsInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobVertexDetailsInfo(id: JobVertexId, subtasks: Vec<SubtaskExecutionAttemptDetailsInfo>)
    unset(parallelism, now)
    empty(name, max_parallelism, aggregated, other)
}

/// One attempt to run a subtask; answers `/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt`, where the
/// last `jobmanager.execution.attempts-history-size` attempts can be asked for, 16 by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
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
    /// What it has read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<IoMetricsInfo>,
    /// Attempts of the same subtask that run beside it (speculative execution); since 1.17.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub other_concurrent_attempts: Vec<SubtaskExecutionAttemptDetailsInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskExecutionAttemptDetailsInfo(subtask: i64, status: ExecutionState, attempt: i64)
    unset(start_time, end_time, duration)
    empty(host, endpoint, taskmanager_id, status_duration, metrics, other_concurrent_attempts, other)
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
#[non_exhaustive]
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
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtasksTimesInfo(id: JobVertexId, subtasks: Vec<SubtaskTimeInfo>)
    unset(now)
    empty(name, other)
}

/// When a subtask's current attempt entered which state, as `SubtasksTimesInfo.SubtaskTimeInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskTimeInfo(subtask: i64, timestamps: BTreeMap<ExecutionState, i64>)
    unset(duration)
    empty(host, endpoint, other)
}

impl SubtaskTimeInfo {
    /// Where it runs, by whichever name the version has for it.
    pub fn location(&self) -> Option<&str> {
        self.endpoint.as_deref().or(self.host.as_deref())
    }
}

/// What a vertex or a subtask has read and written. The numbers are as old as metrics are, and complete only where the flags say so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct IoMetricsInfo {
    /// Bytes read.
    pub read_bytes: i64,
    /// Whether that is all.
    pub read_bytes_complete: bool,
    /// Bytes written.
    pub write_bytes: i64,
    /// Whether that is all.
    pub write_bytes_complete: bool,
    /// Records read.
    pub read_records: i64,
    /// Whether that is all.
    pub read_records_complete: bool,
    /// Records written.
    pub write_records: i64,
    /// Whether that is all.
    pub write_records_complete: bool,
    /// How long it was back-pressured, in milliseconds; since 1.17.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accumulated_backpressured_time: Option<i64>,
    /// How long it was idle, in milliseconds; since 1.17.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accumulated_idle_time: Option<i64>,
    /// How long it was busy, in milliseconds; since 1.17, NaN for what cannot be measured.
    #[serde(with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub accumulated_busy_time: Option<f64>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// Subtasks in summary: of each number `min`, `max`, `avg`, `sum` and percentiles.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct AggregatedTaskDetailsInfo {
    /// Of what they have read and written.
    pub metrics: BTreeMap<String, BTreeMap<String, i64>>,
    /// Of how long they were in each state, in milliseconds.
    pub status_duration: BTreeMap<ExecutionState, BTreeMap<String, i64>>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// A vertex's subtasks by TaskManager; answers `/jobs/:jobid/vertices/:vertexid/taskmanagers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobVertexTaskManagersInfo {
    /// The vertex.
    pub id: JobVertexId,
    /// The names of its chained operators.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The JobManager's clock at the moment of this answer, in milliseconds since the epoch.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub now: i64,
    /// The TaskManagers that run some of its subtasks.
    pub taskmanagers: Vec<VertexTaskManagerInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobVertexTaskManagersInfo(id: JobVertexId, taskmanagers: Vec<VertexTaskManagerInfo>)
    unset(now)
    empty(name, other)
}

/// What a TaskManager runs of a vertex, as `JobVertexTaskManagersInfo.TaskManagersInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct VertexTaskManagerInfo {
    /// Its host and port; up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its host and port; since 1.19.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Its resource id; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taskmanager_id: Option<String>,
    /// The state that Flink makes of its subtasks' states.
    pub status: ExecutionState,
    /// When the first of them was deployed, in milliseconds since the epoch; −1 before that.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub start_time: i64,
    /// When the last of them ended, in milliseconds since the epoch; −1 before that.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub end_time: i64,
    /// From start to end or now, in milliseconds; −1 before the start.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub duration: i64,
    /// What they have read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<IoMetricsInfo>,
    /// How many of them are in which state.
    #[serde(default, deserialize_with = "integers")]
    pub status_counts: BTreeMap<ExecutionState, i64>,
    /// They in summary; since 1.17.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregated: Option<AggregatedTaskDetailsInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    VertexTaskManagerInfo(status: ExecutionState)
    unset(start_time, end_time, duration)
    empty(host, endpoint, taskmanager_id, metrics, status_counts, aggregated, other)
}

/// How back-pressured a vertex is; answers `/jobs/:jobid/vertices/:vertexid/backpressure`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobVertexBackPressureInfo {
    /// `ok`, or `deprecated` while there is nothing newer or nothing at all.
    pub status: String,
    /// `ok`, `low` or `high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backpressure_level: Option<String>,
    /// When it was measured, in milliseconds since the epoch.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub end_timestamp: Option<i64>,
    /// Its subtasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtasks: Option<Vec<SubtaskBackPressureInfo>>,
    /// `backpressureLevel`, the same again since 1.15.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobVertexBackPressureInfo(status: impl Into<String>)
    empty(backpressure_level, end_timestamp, subtasks, other)
}

/// How back-pressured a subtask is, as `JobVertexBackPressureInfo.SubtaskBackPressureInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubtaskBackPressureInfo {
    /// The subtask's index, from 0.
    #[serde(deserialize_with = "integer")]
    pub subtask: i64,
    /// `ok`, `low` or `high`.
    #[serde(rename = "backpressure-level", skip_serializing_if = "Option::is_none")]
    pub backpressure_level: Option<String>,
    /// Which share of the time it was back-pressured.
    #[serde(default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Which share of the time it was idle; since 1.13.
    #[serde(rename = "idleRatio", default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub idle_ratio: Option<f64>,
    /// Which share of the time it was busy; since 1.13, NaN for what cannot be measured.
    #[serde(rename = "busyRatio", default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub busy_ratio: Option<f64>,
    /// `backpressureLevel`, the same again since 1.15, and attempts that run beside this one.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskBackPressureInfo(subtask: i64)
    empty(backpressure_level, ratio, idle_ratio, busy_ratio, other)
}

/// Where a vertex spends its time; answers `/jobs/:jobid/vertices/:vertexid/flamegraph`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VertexFlameGraph {
    /// When it was sampled, in milliseconds since the epoch; negative while there is nothing to show.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub end_timestamp: i64,
    /// The root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<FlameGraphNode>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    VertexFlameGraph()
    unset(end_timestamp)
    empty(data, other)
}

/// A frame of a flame graph, as `VertexFlameGraph.Node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FlameGraphNode {
    /// The method.
    pub name: String,
    /// In how many samples it was seen.
    pub value: i64,
    /// What it called.
    #[serde(default)]
    pub children: Vec<FlameGraphNode>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    FlameGraphNode(name: impl Into<String>, value: i64)
    empty(children, other)
}
