//! The identities of jobs and of the attempts to run their subtasks.

use flink_traces_api::Identity;

/// The extension attribute with the name of the cluster.
pub const CLUSTER_NAME: &str = "flink.cluster.name";

/// The name of the event of a changed job status.
pub(super) const JOB_STATUS_CHANGE: &str = "JobStatusChangeEvent";

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

impl<'a> JobIdentity<'a> {
    /// Returns the job with its name, for the texts of its events.
    pub fn named(self, name: &'a str) -> NamedJob<'a> {
        NamedJob { identity: self, name }
    }

    /// Returns the identity of the span of an initialization of this job.
    ///
    /// The arguments are the id of the restored checkpoint, if one was restored, and the
    /// `identity_timestamp` of
    /// [`job_initialization_span`](crate::checkpoint::job_initialization_span).
    pub fn initialization(&self, restored_checkpoint_id: Option<i64>, identity_timestamp: i64) -> Identity {
        self.of("initialization", &[restored_checkpoint_id.unwrap_or(-1), identity_timestamp])
    }

    /// Returns the identity of the span of a checkpoint of this job.
    pub fn checkpoint(&self, checkpoint_id: i64, trigger_timestamp: i64) -> Identity {
        self.of("checkpoint", &[checkpoint_id, trigger_timestamp])
    }

    /// Returns the identity of the event of a change to `status` at `ts_millis`.
    pub fn status_change(&self, status: &str, ts_millis: i64) -> Identity {
        self.of(JOB_STATUS_CHANGE, &[status, &ts_millis.to_string()])
    }

    /// Returns the identity of a record of this job. For an event, `kind` is its name.
    pub(crate) fn of(&self, kind: &str, parts: &[impl ToString]) -> Identity {
        let parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
        let mut all = vec![self.cluster, self.job_id, kind];
        all.extend(parts.iter().map(String::as_str));
        Identity::of(&all)
    }
}

/// A job as its events refer to it.
// Exhaustive: it has exactly the two parts that `JobIdentity::named` joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedJob<'a> {
    /// The identity, from which the unique ids of events follow.
    pub identity: JobIdentity<'a>,
    /// The name, which the texts of events contain.
    pub name: &'a str,
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

impl ExecutionAttemptId {
    /// Creates the identity of an attempt.
    pub fn new(job_vertex_id: impl Into<String>, subtask_index: u32, attempt_number: u32) -> Self {
        Self { job_vertex_id: job_vertex_id.into(), subtask_index, attempt_number }
    }

    /// Returns the name in Flink's exception history, from that of the subtask.
    pub(crate) fn named(&self, subtask: &str) -> String {
        format!("{subtask} - execution #{}", self.attempt_number)
    }

    /// Returns the name in Flink's exception history, from the name of the job vertex.
    pub(crate) fn in_vertex(&self, name: &str, parallelism: u32) -> String {
        self.named(&format!("{name} ({}/{parallelism})", u64::from(self.subtask_index) + 1))
    }
}
