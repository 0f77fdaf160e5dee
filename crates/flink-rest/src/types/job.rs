//! Jobs: which there are and how they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lenient::{integer, integer_or_unset, integers, optional_integer, or_default, text, unset};
use crate::{ExecutionState, JobId, JobStatus, JobVertexId};

/// Ids and states of all jobs; answers `/jobs`. Never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobIdsWithStatusOverview {
    /// In no order.
    pub jobs: Vec<JobIdWithStatus>,
}

/// A job and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobIdWithStatus {
    /// The job.
    pub id: JobId,
    /// Its state.
    pub status: JobStatus,
}

/// All jobs in short, those that ended too; answers `/jobs/overview`. Never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultipleJobsDetails {
    /// In no order.
    pub jobs: Vec<JobDetails>,
}

/// A job in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobDetails {
    /// The job. With `start_time` it tells one life of the job's statistics from the next: a JobManager that takes over
    /// starts both over.
    pub jid: JobId,
    /// Its name, as its author chose it: any text of any length.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// When this JobManager took it up, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub start_time: i64,
    /// When it ended, in milliseconds since the epoch; −1 while it has not.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub end_time: i64,
    /// From start to end or now, in milliseconds.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub duration: i64,
    /// Its state.
    pub state: JobStatus,
    /// When its state or that of a subtask last changed, in milliseconds since the epoch.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub last_modification: i64,
    /// How many subtasks are in which state, by the state's name in lower case; `total` is all of them.
    #[serde(default, deserialize_with = "integers")]
    pub tasks: BTreeMap<String, i64>,
    /// Operators not yet part of the graph of an adaptive batch job; since 2.0.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub pending_operators: Option<i64>,
    /// `STREAMING` or `BATCH`; since 2.3.
    #[serde(rename = "jobType", skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// `Default`, `Adaptive` or `AdaptiveBatch`; since 2.3, not while initializing.
    #[serde(rename = "schedulerType", skip_serializing_if = "Option::is_none")]
    pub scheduler_type: Option<String>,
}

/// A job with its vertices; answers `/jobs/:jobid`. Up to `web.refresh-interval` old (2.3:
/// `rest.cache.execution-graph.timeout`), 3 s by default; `now` and `duration` are made for each answer all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobDetailsInfo {
    /// The job.
    pub jid: JobId,
    /// Its name, as its author chose it: any text of any length.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// Its state. A job of which one region restarts is `RESTARTING` though the rest runs on.
    pub state: JobStatus,
    /// When this JobManager took it up, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub start_time: i64,
    /// When it ended, in milliseconds since the epoch; −1 while it has not.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub end_time: i64,
    /// From start to end or now, in milliseconds.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub duration: i64,
    /// The JobManager's clock at the moment of this answer, in milliseconds since the epoch.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub now: i64,
    /// When it last entered each state, in milliseconds since the epoch; 0 for a state it never entered. The adaptive
    /// scheduler makes a new graph for each attempt, which has only that attempt's states.
    #[serde(default, deserialize_with = "integers")]
    pub timestamps: BTreeMap<JobStatus, i64>,
    /// Its vertices, in topological order; none while initializing.
    #[serde(default, deserialize_with = "or_default")]
    pub vertices: Vec<JobDetailsVertexInfo>,
    /// How many vertices, not subtasks, are in which state.
    #[serde(default, deserialize_with = "integers")]
    pub status_counts: BTreeMap<ExecutionState, i64>,
    /// `STREAMING` or `BATCH`; since 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// `Default`, `Adaptive` or `AdaptiveBatch`; since 2.3, not while initializing.
    #[serde(rename = "schedulerType", skip_serializing_if = "Option::is_none")]
    pub scheduler_type: Option<String>,
    /// Operators not yet part of the graph of an adaptive batch job; since 2.0.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub pending_operators: Option<i64>,
    /// The graph as the web UI draws it: an object with `nodes`, and edges as their `inputs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Value>,
}

/// A vertex of a job, as `JobDetailsInfo.JobVertexDetailsInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobDetailsVertexInfo {
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
    /// The state that Flink makes of its subtasks' states.
    pub status: ExecutionState,
    /// When its first subtask was deployed, in milliseconds since the epoch; −1 before that.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub start_time: i64,
    /// When its last subtask ended, in milliseconds since the epoch; −1 before that.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub end_time: i64,
    /// From start to end or now, in milliseconds; −1 before the start.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub duration: i64,
    /// How many of its subtasks are in which state.
    #[serde(default, deserialize_with = "integers")]
    pub tasks: BTreeMap<ExecutionState, i64>,
}
