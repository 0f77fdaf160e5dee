//! Jobs: which there are and how they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use super::vertex::IoMetricsInfo;
use crate::lenient::{integer, integer_or_unset, integers, optional_integer, or_default, text, unset};
use crate::{ExecutionState, JobId, JobStatus, JobVertexId};

/// Ids and states of all jobs; answers `/jobs`. Never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobIdsWithStatusOverview {
    /// In no order.
    pub jobs: Vec<JobIdWithStatus>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobIdsWithStatusOverview(jobs: Vec<JobIdWithStatus>)
    empty(other)
}

/// A job and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobIdWithStatus {
    /// The job.
    pub id: JobId,
    /// Its state.
    pub status: JobStatus,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobIdWithStatus(id: JobId, status: JobStatus)
    empty(other)
}

/// All jobs in short, those that ended too; answers `/jobs/overview`. Never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MultipleJobsDetails {
    /// In no order.
    pub jobs: Vec<JobDetails>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    MultipleJobsDetails(jobs: Vec<JobDetails>)
    empty(other)
}

/// A job in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
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
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobDetails(jid: JobId, start_time: i64, state: JobStatus)
    unset(end_time, duration, last_modification)
    empty(name, tasks, pending_operators, job_type, scheduler_type, other)
}

/// A job with its vertices; answers `/jobs/:jobid`. Up to `web.refresh-interval` old (2.3:
/// `rest.cache.execution-graph.timeout`), 3 s by default; `now` and `duration` are made for each answer all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
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
    /// The application that it belongs to; since 2.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
    /// The graph as the web UI draws it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobDetailsInfo(jid: JobId, state: JobStatus, start_time: i64)
    unset(end_time, duration, now)
    empty(name, timestamps, vertices, status_counts, job_type, scheduler_type, pending_operators, application_id, plan, other)
}

/// A vertex of a job, as `JobDetailsInfo.JobVertexDetailsInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
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
    /// What it has read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<IoMetricsInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobDetailsVertexInfo(id: JobVertexId, status: ExecutionState)
    unset(parallelism, start_time, end_time, duration)
    empty(name, max_parallelism, tasks, metrics, other)
}

/// The graph of a job or a program; answers `/jobs/:jobid/plan` and `/jars/:jarid/plan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobPlanInfo {
    /// The graph.
    pub plan: Plan,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobPlanInfo(plan: Plan)
    empty(other)
}

/// A graph, as `JobPlanInfo.Plan`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Plan {
    /// The job; empty while it is initializing.
    pub jid: String,
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// `STREAMING` or `BATCH`; since 1.15.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its vertices; each edge is an input of the vertex at its end.
    pub nodes: Vec<PlanNode>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// A vertex of a [`Plan`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PlanNode {
    /// The vertex.
    pub id: String,
    /// How many subtasks it has.
    pub parallelism: i64,
    /// Empty for a streaming job.
    pub operator: String,
    /// Empty for a streaming job.
    pub operator_strategy: String,
    /// Its chained operators, in HTML.
    pub description: String,
    /// The edges that end here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<PlanInput>,
    /// `optimizer_properties`, of a batch job.
    #[serde(flatten)]
    pub other: Other,
}

/// An edge of a [`Plan`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PlanInput {
    /// Its number among the inputs.
    pub num: i64,
    /// The vertex that it comes from.
    pub id: String,
    /// How records are spread, such as `HASH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ship_strategy: Option<String>,
    /// How records are passed on, such as `pipelined_bounded`.
    pub exchange: String,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// What a job's program configured; answers `/jobs/:jobid/config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobConfigInfo {
    /// The job.
    pub jid: JobId,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// What it configured; absent if Flink no longer knows it.
    #[serde(rename = "execution-config", skip_serializing_if = "Option::is_none")]
    pub execution_config: Option<ExecutionConfigInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobConfigInfo(jid: JobId)
    empty(name, execution_config, other)
}

/// How a job is run, as `JobConfigInfo.ExecutionConfigInfo`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct ExecutionConfigInfo {
    /// `PIPELINED` or another; up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_mode: Option<String>,
    /// When it is restarted, in words.
    pub restart_strategy: String,
    /// Its parallelism where nothing else is said; −1 for the cluster's.
    pub job_parallelism: i64,
    /// Whether operators hand on the same object.
    pub object_reuse_mode: bool,
    /// The program's own parameters.
    pub user_config: BTreeMap<String, String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// The state of a job; answers `/jobs/:jobid/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobStatusInfo {
    /// Its state.
    pub status: JobStatus,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobStatusInfo(status: JobStatus)
    empty(other)
}

/// The parallelism that each vertex may have; answers `/jobs/:jobid/resource-requirements`, and changes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct JobResourceRequirementsBody {
    /// By vertex. Who changes one has to name them all.
    pub vertices: BTreeMap<JobVertexId, JobVertexResourceRequirements>,
}

constructor! {
    JobResourceRequirementsBody(vertices: BTreeMap<JobVertexId, JobVertexResourceRequirements>)
}

/// What one vertex may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobVertexResourceRequirements {
    /// Its parallelism.
    pub parallelism: ParallelismBounds,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobVertexResourceRequirements(parallelism: ParallelismBounds)
    empty(other)
}

/// Bounds of a parallelism, as `JobVertexResourceRequirements.Parallelism`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ParallelismBounds {
    /// The least, at least 1.
    pub lower_bound: i64,
    /// The most.
    pub upper_bound: i64,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ParallelismBounds(lower_bound: i64, upper_bound: i64)
    empty(other)
}

/// Until when a job's client counts as alive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobClientHeartbeatRequestBody {
    /// In milliseconds since the epoch.
    pub expired_timestamp: i64,
}

constructor! {
    JobClientHeartbeatRequestBody(expired_timestamp: i64)
}

/// A question to an operator coordinator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClientCoordinationRequestBody {
    /// The question, serialized by Java and written in Base64.
    pub serialized_coordination_request: String,
}

constructor! {
    ClientCoordinationRequestBody(serialized_coordination_request: impl Into<String>)
}

/// What an operator coordinator answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClientCoordinationResponseBody {
    /// The answer, serialized by Java and written in Base64.
    pub serialized_coordination_result: String,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ClientCoordinationResponseBody(serialized_coordination_result: impl Into<String>)
    empty(other)
}

/// The part `request` of a job that is submitted: names of the other parts' files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct JobSubmitRequestBody {
    /// The serialized job graph; up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_graph_file_name: Option<String>,
    /// The serialized execution plan; since 2.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_plan_file_name: Option<String>,
    /// Jars.
    pub job_jar_file_names: Vec<String>,
    /// Artifacts.
    pub job_artifact_file_names: Vec<DistributedCacheFile>,
}

/// A file that tasks read by a name of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DistributedCacheFile {
    /// The name.
    pub entry_name: String,
    /// The file.
    pub file_name: String,
}

constructor! {
    DistributedCacheFile(entry_name: impl Into<String>, file_name: impl Into<String>)
}

/// A job that was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobSubmitResponseBody {
    /// Its path, `/jobs/` and its id.
    pub job_url: String,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobSubmitResponseBody(job_url: impl Into<String>)
    empty(other)
}
