//! Names of jobs and of the attempts to run their subtasks.

use flink_traces_api::Identity;

/// Which job a span belongs to, as far as its ids are concerned. Two sources that give the same identity, checkpoint id and trigger
/// timestamp give the same ids, so an engine, an observer beside it and a replay of what that saw report one span, not three. In Flink ids are random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobIdentity<'a> {
    /// What tells the cluster from others, the same in every process that watches it.
    pub cluster: &'a str,
    /// The job's id.
    pub job_id: &'a str,
}

impl JobIdentity<'_> {
    pub(crate) fn of(&self, kind: &str, parts: [i64; 2]) -> Identity {
        let parts = parts.map(|part| part.to_string());
        Identity::of(&[self.cluster, self.job_id, kind, &parts[0], &parts[1]])
    }

    pub(crate) fn checkpoint(&self, checkpoint_id: i64, trigger_timestamp: i64) -> Identity {
        self.of("checkpoint", [checkpoint_id, trigger_timestamp])
    }
}

/// One attempt to run one subtask, as Flink's `ExecutionAttemptID`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionAttemptId {
    /// What tells the task from the job's others; in Flink the job vertex, 32 hexadecimal digits.
    pub job_vertex_id: String,
    /// The subtask's index within the task, from 0.
    pub subtask_index: u32,
    /// How often that subtask was started before, or whatever tells this attempt from earlier ones.
    pub attempt_number: u32,
}
