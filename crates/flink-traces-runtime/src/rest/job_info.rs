//! The description of a job and its graph.

use flink_rest::types::{CheckpointConfigInfo, ExecutionConfigInfo};

use crate::job::JobVertex;
use crate::setters::setters;

/// The description of a job.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JobInfo {
    /// The id of the job. Flink's own tools require 32 hexadecimal digits.
    pub job_id: String,
    /// The name.
    pub name: String,
    /// The vertices, in topological order.
    pub vertices: Vec<JobVertex>,
    /// The checkpoint configuration.
    pub checkpoints: CheckpointConfigInfo,
    /// The execution configuration and the parameters of the program.
    pub execution: ExecutionConfigInfo,
}

impl JobInfo {
    /// Creates the description of a job with a default execution configuration.
    pub fn new(
        job_id: impl Into<String>,
        name: impl Into<String>,
        vertices: Vec<JobVertex>,
        checkpoints: CheckpointConfigInfo,
    ) -> Self {
        let execution = ExecutionConfigInfo::default();
        Self { job_id: job_id.into(), name: name.into(), vertices, checkpoints, execution }
    }

    setters! {
        with_execution: execution, ExecutionConfigInfo;
    }
}
