//! Vertices and their subtasks: locations, times and attempts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use crate::lenient::{
    integer, integers, minus_one, optional_double, optional_integer, optional_text, or_default, text,
};
use crate::{ExecutionState, JobVertexId, OpenEnum};

/// A vertex with its subtasks' current attempts.
///
/// Returned by `/jobs/:jobid/vertices/:vertexid`. The response may be as old as that of
/// `/jobs/:jobid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobVertexDetailsInfo {
    /// The id of the vertex.
    pub id: JobVertexId,
    /// The names of the vertex's chained operators.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The number of subtasks of the vertex.
    #[serde(default, with = "minus_one")]
    pub parallelism: Option<i64>,
    /// The maximum number of subtasks, or −1 without a limit; since 1.13.
    #[serde(
        rename = "maxParallelism",
        default,
        deserialize_with = "optional_integer",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_parallelism: Option<i64>,
    /// The JobManager's clock at the time of the response, in milliseconds since the epoch.
    #[serde(default, with = "minus_one")]
    pub now: Option<i64>,
    /// The current attempts of the subtasks, by index.
    pub subtasks: Vec<SubtaskExecutionAttemptDetailsInfo>,
    /// A summary of the subtasks; since 1.17.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregated: Option<AggregatedTaskDetailsInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobVertexDetailsInfo(id: JobVertexId, subtasks: Vec<SubtaskExecutionAttemptDetailsInfo>)
    empty(parallelism, now, name, max_parallelism, aggregated, other)
}

/// One attempt to run a subtask.
///
/// Returned by `/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt`. That
/// endpoint has the last `jobmanager.execution.attempts-history-size` attempts, 16 by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SubtaskExecutionAttemptDetailsInfo {
    /// The index of the subtask, from 0.
    #[serde(deserialize_with = "integer")]
    pub subtask: i64,
    /// The state of the attempt.
    pub status: OpenEnum<ExecutionState>,
    /// The number of the attempt, from 0.
    ///
    /// The adaptive scheduler starts at 0 again after each restart.
    #[serde(deserialize_with = "integer")]
    pub attempt: i64,
    /// The location of the attempt, or `(unassigned)` before deployment; up to 1.20.
    ///
    /// It is a host, and since 1.13 host and port.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The host and port of the attempt, or `(unassigned)` before deployment; since 1.19.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The time of deployment, in milliseconds since the epoch; `None` before that.
    #[serde(default, with = "minus_one")]
    pub start_time: Option<i64>,
    /// The end time, in milliseconds since the epoch; `None` before that.
    #[serde(default, with = "minus_one")]
    pub end_time: Option<i64>,
    /// The time from the start to the end, or until now, in milliseconds; `None` before the
    /// start.
    #[serde(default, with = "minus_one")]
    pub duration: Option<i64>,
    /// The id of the TaskManager that runs the attempt, or `(unassigned)` before deployment; since
    /// 1.13.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub taskmanager_id: Option<String>,
    /// The time in each state, in milliseconds; −1 for a state never entered.
    ///
    /// Empty before 1.17.
    #[serde(default, deserialize_with = "integers", skip_serializing_if = "BTreeMap::is_empty")]
    pub status_duration: BTreeMap<OpenEnum<ExecutionState>, i64>,
    /// The data that the attempt has read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<IoMetricsInfo>,
    /// The other attempts of the same subtask that run concurrently (speculative execution); since
    /// 1.17.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub other_concurrent_attempts: Vec<SubtaskExecutionAttemptDetailsInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskExecutionAttemptDetailsInfo(subtask: i64, status: impl Into<OpenEnum<ExecutionState>>, attempt: i64)
    empty(start_time, end_time, duration, host, endpoint, taskmanager_id, status_duration, metrics, other_concurrent_attempts, other)
}

impl SubtaskExecutionAttemptDetailsInfo {
    /// Returns the location of the attempt, which is `endpoint` or, if the version lacks it,
    /// `host`.
    pub fn location(&self) -> Option<&str> {
        self.endpoint.as_deref().or(self.host.as_deref())
    }
}

/// The times at which the current attempt of each subtask of a vertex entered its states.
///
/// Returned by `/jobs/:jobid/vertices/:vertexid/subtasktimes`. The response may be as old as that
/// of `/jobs/:jobid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubtasksTimesInfo {
    /// The id of the vertex.
    pub id: JobVertexId,
    /// The names of the vertex's chained operators.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The JobManager's clock at the time of the response, in milliseconds since the epoch.
    #[serde(default, with = "minus_one")]
    pub now: Option<i64>,
    /// The subtasks, by index.
    pub subtasks: Vec<SubtaskTimeInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtasksTimesInfo(id: JobVertexId, subtasks: Vec<SubtaskTimeInfo>)
    empty(now, name, other)
}

/// The times at which a subtask's current attempt entered its states.
///
/// Flink's `SubtasksTimesInfo.SubtaskTimeInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubtaskTimeInfo {
    /// The index of the subtask, from 0.
    #[serde(deserialize_with = "integer")]
    pub subtask: i64,
    /// The location of the attempt, or `(unassigned)` before deployment; up to 1.20.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The host and port of the attempt, or `(unassigned)` before deployment; since 1.19.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The time from `SCHEDULED` to the end, or until now, in milliseconds.
    #[serde(default, with = "minus_one")]
    pub duration: Option<i64>,
    /// The time of entry into each state, in milliseconds since the epoch; 0 for a state never
    /// entered.
    #[serde(deserialize_with = "integers")]
    pub timestamps: BTreeMap<OpenEnum<ExecutionState>, i64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskTimeInfo(subtask: i64, timestamps: BTreeMap<OpenEnum<ExecutionState>, i64>)
    empty(duration, host, endpoint, other)
}

impl SubtaskTimeInfo {
    /// Returns the location of the attempt, which is `endpoint` or, if the version lacks it,
    /// `host`.
    pub fn location(&self) -> Option<&str> {
        self.endpoint.as_deref().or(self.host.as_deref())
    }
}

/// The data that a vertex or a subtask has read and written.
///
/// The numbers are as old as metrics are. They are complete only if the flags say so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct IoMetricsInfo {
    /// The bytes read.
    pub read_bytes: i64,
    /// `true` if `read_bytes` is complete.
    pub read_bytes_complete: bool,
    /// The bytes written.
    pub write_bytes: i64,
    /// `true` if `write_bytes` is complete.
    pub write_bytes_complete: bool,
    /// The number of records read.
    pub read_records: i64,
    /// `true` if `read_records` is complete.
    pub read_records_complete: bool,
    /// The number of records written.
    pub write_records: i64,
    /// `true` if `write_records` is complete.
    pub write_records_complete: bool,
    /// The total time under back pressure, in milliseconds; since 1.17.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accumulated_backpressured_time: Option<i64>,
    /// The total idle time, in milliseconds; since 1.17.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accumulated_idle_time: Option<i64>,
    /// The total busy time, in milliseconds, or NaN if it cannot be measured; since 1.17.
    #[serde(with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub accumulated_busy_time: Option<f64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// A summary of subtasks, with `min`, `max`, `avg`, `sum` and percentiles of each number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct AggregatedTaskDetailsInfo {
    /// The summaries of the data that the subtasks have read and written.
    pub metrics: BTreeMap<String, BTreeMap<String, i64>>,
    /// The summaries of the time that the subtasks were in each state, in milliseconds.
    pub status_duration: BTreeMap<OpenEnum<ExecutionState>, BTreeMap<String, i64>>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// The subtasks of a vertex by TaskManager.
///
/// Returned by `/jobs/:jobid/vertices/:vertexid/taskmanagers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobVertexTaskManagersInfo {
    /// The id of the vertex.
    pub id: JobVertexId,
    /// The names of the vertex's chained operators.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The JobManager's clock at the time of the response, in milliseconds since the epoch.
    #[serde(default, with = "minus_one")]
    pub now: Option<i64>,
    /// The TaskManagers that run subtasks of the vertex.
    pub taskmanagers: Vec<VertexTaskManagerInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobVertexTaskManagersInfo(id: JobVertexId, taskmanagers: Vec<VertexTaskManagerInfo>)
    empty(now, name, other)
}

/// The subtasks of a vertex that one TaskManager runs.
///
/// Flink's `JobVertexTaskManagersInfo.TaskManagersInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct VertexTaskManagerInfo {
    /// The host and port of the TaskManager; up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The host and port of the TaskManager; since 1.19.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The resource id of the TaskManager; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taskmanager_id: Option<String>,
    /// The state that Flink derives from the states of the subtasks.
    pub status: OpenEnum<ExecutionState>,
    /// The time at which the first subtask was deployed, in milliseconds since the epoch; `None`
    /// before that.
    #[serde(default, with = "minus_one")]
    pub start_time: Option<i64>,
    /// The time at which the last subtask ended, in milliseconds since the epoch; `None` before
    /// that.
    #[serde(default, with = "minus_one")]
    pub end_time: Option<i64>,
    /// The time from the start to the end, or until now, in milliseconds; `None` before the
    /// start.
    #[serde(default, with = "minus_one")]
    pub duration: Option<i64>,
    /// The data that the subtasks have read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<IoMetricsInfo>,
    /// The number of subtasks in each state.
    #[serde(default, deserialize_with = "integers")]
    pub status_counts: BTreeMap<OpenEnum<ExecutionState>, i64>,
    /// A summary of the subtasks; since 1.17.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregated: Option<AggregatedTaskDetailsInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    VertexTaskManagerInfo(status: impl Into<OpenEnum<ExecutionState>>)
    empty(start_time, end_time, duration, host, endpoint, taskmanager_id, metrics, status_counts, aggregated, other)
}

/// The back pressure of a vertex.
///
/// Returned by `/jobs/:jobid/vertices/:vertexid/backpressure`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobVertexBackPressureInfo {
    /// The status: `ok`, or `deprecated` while there is no newer measurement or none at all.
    pub status: String,
    /// The level of back pressure, `ok`, `low` or `high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backpressure_level: Option<String>,
    /// The time of the measurement, in milliseconds since the epoch.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub end_timestamp: Option<i64>,
    /// The back pressure of each subtask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtasks: Option<Vec<SubtaskBackPressureInfo>>,
    /// The fields that this crate does not name.
    ///
    /// Since 1.15 they include `backpressureLevel`, which repeats `backpressure_level`.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobVertexBackPressureInfo(status: impl Into<String>)
    empty(backpressure_level, end_timestamp, subtasks, other)
}

/// The back pressure of a subtask, as `JobVertexBackPressureInfo.SubtaskBackPressureInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubtaskBackPressureInfo {
    /// The index of the subtask, from 0.
    #[serde(deserialize_with = "integer")]
    pub subtask: i64,
    /// The level of back pressure, `ok`, `low` or `high`.
    #[serde(rename = "backpressure-level", skip_serializing_if = "Option::is_none")]
    pub backpressure_level: Option<String>,
    /// The fraction of the time under back pressure.
    #[serde(default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// The fraction of the time that the subtask was idle; since 1.13.
    #[serde(rename = "idleRatio", default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub idle_ratio: Option<f64>,
    /// The fraction of the time that the subtask was busy, or NaN if it cannot be measured; since
    /// 1.13.
    #[serde(rename = "busyRatio", default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub busy_ratio: Option<f64>,
    /// The fields that this crate does not name.
    ///
    /// They include attempts that run concurrently with this one, and since 1.15
    /// `backpressureLevel`, which repeats `backpressure_level`.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SubtaskBackPressureInfo(subtask: i64)
    empty(backpressure_level, ratio, idle_ratio, busy_ratio, other)
}

/// A flame graph of a vertex, returned by `/jobs/:jobid/vertices/:vertexid/flamegraph`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VertexFlameGraph {
    /// The time of the samples, in milliseconds since the epoch; negative while there are none to
    /// show.
    #[serde(default, with = "minus_one")]
    pub end_timestamp: Option<i64>,
    /// The root frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<FlameGraphNode>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    VertexFlameGraph()
    empty(end_timestamp, data, other)
}

/// A frame of a flame graph, as `VertexFlameGraph.Node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FlameGraphNode {
    /// The name of the method.
    pub name: String,
    /// The number of samples that contain the frame.
    pub value: i64,
    /// The frames of the methods that this method called.
    #[serde(default)]
    pub children: Vec<FlameGraphNode>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    FlameGraphNode(name: impl Into<String>, value: i64)
    empty(children, other)
}
