//! The vertices and edges of a job's graph.

use crate::checkpoint::CheckpointTask;
use crate::setters::setters;

/// A vertex of a job's graph, which runs as subtasks. Flink's `JobVertex`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobVertex {
    /// The id, the same as in every report. Flink's own tools require 32 hexadecimal digits.
    pub job_vertex_id: String,
    /// The name.
    pub name: String,
    /// The number of subtasks.
    pub parallelism: u32,
    /// The maximum number of subtasks; `None` if there is no limit.
    pub max_parallelism: Option<u32>,
    /// The incoming edges.
    pub inputs: Vec<JobInput>,
}

impl JobVertex {
    /// Creates a vertex without a maximum parallelism and without inputs.
    pub fn new(job_vertex_id: impl Into<String>, name: impl Into<String>, parallelism: u32) -> Self {
        let (job_vertex_id, name) = (job_vertex_id.into(), name.into());
        Self { job_vertex_id, name, parallelism, max_parallelism: None, inputs: Vec::new() }
    }

    setters! {
        with_max_parallelism: max_parallelism, into Option<u32>;
        with_inputs: inputs, Vec<JobInput>;
    }
}

/// An edge of a job's graph. Flink's `JobEdge`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobInput {
    /// The id of the vertex from which the edge comes.
    pub job_vertex_id: String,
    /// The distribution of records over subtasks, such as `HASH`, `REBALANCE` or `FORWARD`.
    pub ship_strategy: String,
}

impl JobInput {
    /// Creates an edge from the vertex `job_vertex_id`.
    pub fn new(job_vertex_id: impl Into<String>, ship_strategy: impl Into<String>) -> Self {
        Self { job_vertex_id: job_vertex_id.into(), ship_strategy: ship_strategy.into() }
    }
}

impl From<&JobVertex> for CheckpointTask {
    fn from(vertex: &JobVertex) -> Self {
        Self::new(vertex.job_vertex_id.clone(), vertex.parallelism).with_task_name(vertex.name.clone())
    }
}

impl From<JobVertex> for CheckpointTask {
    fn from(vertex: JobVertex) -> Self {
        Self::new(vertex.job_vertex_id, vertex.parallelism).with_task_name(vertex.name)
    }
}

impl From<&CheckpointTask> for CheckpointTask {
    fn from(task: &CheckpointTask) -> Self {
        task.clone()
    }
}
