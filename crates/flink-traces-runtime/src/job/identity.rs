//! The identities of jobs and of the attempts to run their subtasks.

use flink_traces_api::Identity;

/// The identity of a job, from which the ids of its spans follow.
///
/// Two sources that give the same identity, checkpoint id and trigger timestamp produce the same
/// ids. An engine, an observer of it and a replay of a recording therefore report one span, not
/// three. In Flink, ids are random.
// Exhaustive: the ids are hashes of exactly these fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobIdentity<'a> {
    /// The name of the cluster, the same in every process that observes it.
    pub cluster: &'a str,
    /// The id of the job.
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

/// The identity of one attempt to run one subtask. Flink's `ExecutionAttemptID`.
// Exhaustive: an attempt is identified by exactly these fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionAttemptId {
    /// The id of the task within its job; in Flink the job vertex, 32 hexadecimal digits.
    pub job_vertex_id: String,
    /// The index of the subtask within the task, from 0.
    pub subtask_index: u32,
    /// The number of earlier attempts, or any number that distinguishes this attempt from them.
    pub attempt_number: u32,
}
