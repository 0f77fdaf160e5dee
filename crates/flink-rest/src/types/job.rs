//! Jobs: their states, graphs and configurations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use super::vertex::IoMetricsInfo;
use crate::lenient::{count, integer, integers, minus_one, optional_integer, or_default, text};
use crate::{ExecutionState, JobId, JobStatus, JobVertexId, OpenEnum};

/// The ids and states of all jobs, returned by `/jobs`.
///
/// The response is never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobIdsWithStatusOverview {
    /// The jobs, in no particular order.
    pub jobs: Vec<JobIdWithStatus>,
    /// The fields that this crate does not name.
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
    /// The id of the job.
    pub id: JobId,
    /// The state of the job.
    pub status: OpenEnum<JobStatus>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobIdWithStatus(id: JobId, status: impl Into<OpenEnum<JobStatus>>)
    empty(other)
}

/// Summaries of all jobs, including those that have ended, returned by `/jobs/overview`.
///
/// The response is never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MultipleJobsDetails {
    /// The jobs, in no particular order.
    pub jobs: Vec<JobDetails>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    MultipleJobsDetails(jobs: Vec<JobDetails>)
    empty(other)
}

/// A summary of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobDetails {
    /// The id of the job.
    ///
    /// The id and `start_time` together distinguish one life of the job's statistics from the next.
    /// A JobManager that takes over starts the statistics and `start_time` over.
    pub jid: JobId,
    /// The name of the job as its author chose it, any text of any length.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The time at which this JobManager took up the job, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub start_time: i64,
    /// The end time, in milliseconds since the epoch; `None` until the job has ended.
    #[serde(default, with = "minus_one")]
    pub end_time: Option<i64>,
    /// The time from the start to the end, or until now, in milliseconds.
    #[serde(default, with = "minus_one")]
    pub duration: Option<i64>,
    /// The state of the job.
    pub state: OpenEnum<JobStatus>,
    /// The time of the last change of the job's state or a subtask's state, in milliseconds since
    /// the epoch.
    #[serde(default, with = "minus_one")]
    pub last_modification: Option<i64>,
    /// The number of subtasks in each state.
    #[serde(default, deserialize_with = "or_default")]
    pub tasks: TaskCounts,
    /// The number of operators that are not yet in the graph of an adaptive batch job; since 2.0.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub pending_operators: Option<i64>,
    /// The type of the job, `STREAMING` or `BATCH`; since 2.3.
    #[serde(rename = "jobType", skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// The scheduler, `Default`, `Adaptive` or `AdaptiveBatch`; since 2.3, absent during
    /// initialization.
    #[serde(rename = "schedulerType", skip_serializing_if = "Option::is_none")]
    pub scheduler_type: Option<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobDetails(jid: JobId, start_time: i64, state: impl Into<OpenEnum<JobStatus>>)
    empty(end_time, duration, last_modification, name, tasks, pending_operators, job_type, scheduler_type, other)
}

/// The number of a job's subtasks in each [`ExecutionState`].
///
/// A count that the body lacks is 0, but for [`initializing`](Self::initializing).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TaskCounts {
    /// The number of all subtasks.
    #[serde(deserialize_with = "count")]
    pub total: i64,
    /// The number of subtasks in the state `CREATED`.
    #[serde(deserialize_with = "count")]
    pub created: i64,
    /// The number of subtasks in the state `SCHEDULED`.
    #[serde(deserialize_with = "count")]
    pub scheduled: i64,
    /// The number of subtasks in the state `DEPLOYING`.
    #[serde(deserialize_with = "count")]
    pub deploying: i64,
    /// The number of subtasks in the state `RECONCILING`.
    #[serde(deserialize_with = "count")]
    pub reconciling: i64,
    /// The number of subtasks in the state `RUNNING`.
    #[serde(deserialize_with = "count")]
    pub running: i64,
    /// The number of subtasks in the state `FINISHED`.
    #[serde(deserialize_with = "count")]
    pub finished: i64,
    /// The number of subtasks in the state `CANCELING`.
    #[serde(deserialize_with = "count")]
    pub canceling: i64,
    /// The number of subtasks in the state `CANCELED`.
    #[serde(deserialize_with = "count")]
    pub canceled: i64,
    /// The number of subtasks in the state `FAILED`.
    #[serde(deserialize_with = "count")]
    pub failed: i64,
    /// The number of subtasks in the state `INITIALIZING`; since 1.13.
    #[serde(deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub initializing: Option<i64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// A job with its vertices, returned by `/jobs/:jobid`.
///
/// The response is up to 3 s old by default. The option for that is `web.refresh-interval`, and
/// `rest.cache.execution-graph.timeout` in 2.3. `now` and `duration` are nevertheless computed for
/// each response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobDetailsInfo {
    /// The id of the job.
    pub jid: JobId,
    /// The name of the job as its author chose it, any text of any length.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The state of the job.
    ///
    /// While one region of a job restarts, the state is `RESTARTING` although the other regions
    /// run.
    pub state: OpenEnum<JobStatus>,
    /// The time at which this JobManager took up the job, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub start_time: i64,
    /// The end time, in milliseconds since the epoch; `None` until the job has ended.
    #[serde(default, with = "minus_one")]
    pub end_time: Option<i64>,
    /// The time from the start to the end, or until now, in milliseconds.
    #[serde(default, with = "minus_one")]
    pub duration: Option<i64>,
    /// The JobManager's clock at the time of the response, in milliseconds since the epoch.
    #[serde(default, with = "minus_one")]
    pub now: Option<i64>,
    /// The time of the last entry into each state, in milliseconds since the epoch; 0 for a state
    /// never entered.
    ///
    /// The adaptive scheduler builds a new graph for each attempt. That graph has only the states
    /// of its attempt.
    #[serde(default, deserialize_with = "integers")]
    pub timestamps: BTreeMap<OpenEnum<JobStatus>, i64>,
    /// The vertices, in topological order; empty during initialization.
    #[serde(default, deserialize_with = "or_default")]
    pub vertices: Vec<JobDetailsVertexInfo>,
    /// The number of vertices, not subtasks, in each state.
    #[serde(default, deserialize_with = "integers")]
    pub status_counts: BTreeMap<OpenEnum<ExecutionState>, i64>,
    /// The type of the job, `STREAMING` or `BATCH`; since 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// The scheduler, `Default`, `Adaptive` or `AdaptiveBatch`; since 2.3, absent during
    /// initialization.
    #[serde(rename = "schedulerType", skip_serializing_if = "Option::is_none")]
    pub scheduler_type: Option<String>,
    /// The number of operators that are not yet in the graph of an adaptive batch job; since 2.0.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub pending_operators: Option<i64>,
    /// The id of the application that the job belongs to; since 2.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
    /// The graph as the web UI draws it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobDetailsInfo(jid: JobId, state: impl Into<OpenEnum<JobStatus>>, start_time: i64)
    empty(end_time, duration, now, name, timestamps, vertices, status_counts, job_type, scheduler_type, pending_operators, application_id, plan, other)
}

/// A vertex of a job, as `JobDetailsInfo.JobVertexDetailsInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct JobDetailsVertexInfo {
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
    /// The number of subtasks in each state.
    #[serde(default, deserialize_with = "integers")]
    pub tasks: BTreeMap<OpenEnum<ExecutionState>, i64>,
    /// The data that the vertex has read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<IoMetricsInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobDetailsVertexInfo(id: JobVertexId, status: impl Into<OpenEnum<ExecutionState>>)
    empty(parallelism, start_time, end_time, duration, name, max_parallelism, tasks, metrics, other)
}

/// The graph of a job or a program.
///
/// Returned by `/jobs/:jobid/plan` and `/jars/:jarid/plan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobPlanInfo {
    /// The graph.
    pub plan: Plan,
    /// The fields that this crate does not name.
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
    /// The id of the job; empty during initialization.
    pub jid: String,
    /// The name of the job.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// The type of the job, `STREAMING` or `BATCH`; since 1.15.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The vertices.
    ///
    /// Each edge is an input of the vertex at which it ends.
    pub nodes: Vec<PlanNode>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// A vertex of a [`Plan`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PlanNode {
    /// The id of the vertex.
    pub id: String,
    /// The number of subtasks of the vertex.
    pub parallelism: i64,
    /// The operator; empty for a streaming job.
    pub operator: String,
    /// The strategy of the operator; empty for a streaming job.
    pub operator_strategy: String,
    /// The chained operators, in HTML.
    pub description: String,
    /// The edges that end at this vertex.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<PlanInput>,
    /// The fields that this crate does not name.
    ///
    /// A batch job has `optimizer_properties` here.
    #[serde(flatten)]
    pub other: Other,
}

/// An edge of a [`Plan`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PlanInput {
    /// The number of the edge among the inputs.
    pub num: i64,
    /// The id of the vertex at which the edge starts.
    pub id: String,
    /// The distribution of records among subtasks, such as `HASH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ship_strategy: Option<String>,
    /// The mode of exchange of records, such as `pipelined_bounded`.
    pub exchange: String,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// The configuration that a job's program set, returned by `/jobs/:jobid/config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobConfigInfo {
    /// The id of the job.
    pub jid: JobId,
    /// The name of the job.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The configuration; absent if Flink no longer has it.
    #[serde(rename = "execution-config", skip_serializing_if = "Option::is_none")]
    pub execution_config: Option<ExecutionConfigInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobConfigInfo(jid: JobId)
    empty(name, execution_config, other)
}

/// The execution configuration of a job, as `JobConfigInfo.ExecutionConfigInfo`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct ExecutionConfigInfo {
    /// The execution mode, such as `PIPELINED`; up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_mode: Option<String>,
    /// The restart strategy, in words.
    pub restart_strategy: String,
    /// The default parallelism of the job; `None` for the cluster's.
    #[serde(with = "minus_one")]
    pub job_parallelism: Option<i64>,
    /// `true` if operators pass on the same object.
    pub object_reuse_mode: bool,
    /// The program's own parameters.
    pub user_config: BTreeMap<String, String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// The state of a job, returned by `/jobs/:jobid/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobStatusInfo {
    /// The state of the job.
    pub status: OpenEnum<JobStatus>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobStatusInfo(status: impl Into<OpenEnum<JobStatus>>)
    empty(other)
}

/// The bounds of each vertex's parallelism.
///
/// Returned by `/jobs/:jobid/resource-requirements`, and sent to it to change them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct JobResourceRequirementsBody {
    /// The requirements, by vertex.
    ///
    /// A request that changes one vertex must name all of them.
    pub vertices: BTreeMap<JobVertexId, JobVertexResourceRequirements>,
}

constructor! {
    JobResourceRequirementsBody(vertices: BTreeMap<JobVertexId, JobVertexResourceRequirements>)
}

/// The resource requirements of one vertex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobVertexResourceRequirements {
    /// The bounds of the vertex's parallelism.
    pub parallelism: ParallelismBounds,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobVertexResourceRequirements(parallelism: ParallelismBounds)
    empty(other)
}

/// The bounds of a parallelism, as `JobVertexResourceRequirements.Parallelism`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ParallelismBounds {
    /// The lower bound, at least 1.
    pub lower_bound: i64,
    /// The upper bound.
    pub upper_bound: i64,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ParallelismBounds(lower_bound: i64, upper_bound: i64)
    empty(other)
}

/// A heartbeat of a job's client, with the time until which the client counts as alive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobClientHeartbeatRequestBody {
    /// The time until which the client counts as alive, in milliseconds since the epoch.
    pub expired_timestamp: i64,
}

constructor! {
    JobClientHeartbeatRequestBody(expired_timestamp: i64)
}

/// A request to an operator coordinator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClientCoordinationRequestBody {
    /// The request, serialized by Java and encoded in Base64.
    pub serialized_coordination_request: String,
}

constructor! {
    ClientCoordinationRequestBody(serialized_coordination_request: impl Into<String>)
}

/// A response of an operator coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClientCoordinationResponseBody {
    /// The response, serialized by Java and encoded in Base64.
    pub serialized_coordination_result: String,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ClientCoordinationResponseBody(serialized_coordination_result: impl Into<String>)
    empty(other)
}

/// The part `request` of a job submission, which names the files of the other parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct JobSubmitRequestBody {
    /// The file of the serialized job graph; up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_graph_file_name: Option<String>,
    /// The file of the serialized execution plan; since 2.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_plan_file_name: Option<String>,
    /// The files of the jars.
    pub job_jar_file_names: Vec<String>,
    /// The files of the artifacts.
    pub job_artifact_file_names: Vec<DistributedCacheFile>,
}

/// A file that tasks read by a separate name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DistributedCacheFile {
    /// The name by which tasks read the file.
    pub entry_name: String,
    /// The name of the file.
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
    /// The path of the job, `/jobs/` and its id.
    pub job_url: String,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobSubmitResponseBody(job_url: impl Into<String>)
    empty(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_counts_are_0() {
        let tasks = |tasks: &str| {
            let body = format!(r#"{{"jid":"a","start-time":1,"state":"RUNNING"{tasks}}}"#);
            serde_json::from_str::<JobDetails>(&body).unwrap().tasks
        };
        let expected = TaskCounts { total: 3, running: 2, ..TaskCounts::default() };
        assert_eq!(tasks(r#","tasks":{"total":3,"running":2.0,"failed":null}"#), expected);
        for none in ["", r#","tasks":null"#, r#","tasks":{}"#] {
            assert_eq!(tasks(none), TaskCounts::default(), "{none}");
        }
        assert_eq!(tasks(r#","tasks":{"new":1}"#).other["new"], 1);
    }
}
