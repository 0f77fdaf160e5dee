//! Observations: the facts that an observer derives.

use flink_rest::JobStatus;
use flink_traces_api::{EventBuilder, SpanBuilder};
use flink_traces_runtime::checkpoint::{InitializationStats, job_initialization_span};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::{
    AllSubtasksStatus, JobFailure, all_subtasks_status_change_event, job_failure_event, job_status_change_event,
};
use flink_traces_runtime::{CheckpointStats, JobIdentity, MetricGroup, checkpoint_event, checkpoint_span};

/// The extension attribute with the name of the cluster.
const CLUSTER: &str = "flink.cluster.name";

/// The identity of a job. Keys sort by start time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct JobKey {
    /// The start time that Flink reported first, in milliseconds since the epoch.
    pub start_time: i64,
    /// The job id, 32 hexadecimal digits.
    pub id: String,
    /// The job name. A name of more than 1,024 characters is truncated.
    pub name: String,
}

impl JobKey {
    /// Creates a key. `start_time` is in milliseconds since the epoch.
    pub fn new(start_time: i64, id: impl Into<String>, name: impl Into<String>) -> Self {
        Self { start_time, id: id.into(), name: name.into() }
    }
}

/// An observation, and the job that it is about.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobObservation {
    /// The job.
    pub job: JobKey,
    /// The fact about the job.
    pub observation: Observation,
}

impl JobObservation {
    /// Creates an observation of `job`.
    pub fn new(job: JobKey, observation: Observation) -> Self {
        Self { job, observation }
    }
}

/// One fact that the observer derived from the responses of a cluster.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Observation {
    /// A checkpoint or a savepoint completed or failed.
    Checkpoint(Box<CheckpointStats>),
    /// All subtasks came to run, after a start or a restore.
    Initialization {
        /// The statistics of the initialization.
        stats: InitializationStats,
        /// The time that is part of the span's identity. See [`job_initialization_span`].
        identity_timestamp: i64,
    },
    /// The job changed its status.
    StatusChange {
        /// The new status.
        status: JobStatus,
        /// The time of the change, in milliseconds since the epoch.
        ts_millis: i64,
    },
    /// The scheduler handled a failure.
    Failure(JobFailure),
    /// All subtasks run or have finished, or that is no longer so.
    AllSubtasks {
        /// The new status of the subtasks together.
        status: AllSubtasksStatus,
        /// The time of the change, in milliseconds since the epoch.
        ts_millis: i64,
        /// The checkpoint that the initialization restored after which all subtasks ran.
        restored_checkpoint_id: Option<i64>,
        /// The time that is part of the identity of that initialization.
        identity_timestamp: i64,
    },
    /// Checkpoints came and went between two polls, so their statistics are not known.
    Missed {
        /// The number of missed checkpoints.
        count: i64,
        /// The id of the last of them.
        last_id: i64,
    },
}

impl Observation {
    /// Adds the spans and events of the observation to the metric group of its job, in Flink's
    /// order.
    ///
    /// The name of the cluster becomes an attribute, and part of the identity of spans. A missed
    /// checkpoint adds nothing, because Flink has no event for it.
    pub fn report(&self, cluster: &str, job: &JobKey, group: &MetricGroup, detail: SpanDetailLevel) {
        let identity = JobIdentity { cluster, job_id: &job.id };
        let named = identity.named(&job.name);
        let add_event = |event: EventBuilder| group.add_event(event.extension_attribute(CLUSTER, cluster.to_owned()));
        let add_span = |span: SpanBuilder| group.add_span(span.extension_attribute(CLUSTER, cluster.to_owned()));
        match self {
            Self::Checkpoint(stats) => {
                add_event(checkpoint_event(named, stats));
                add_span(checkpoint_span(identity, stats, detail));
            }
            Self::Initialization { stats, identity_timestamp } => {
                add_span(job_initialization_span(identity, stats, *identity_timestamp));
            }
            Self::StatusChange { status, ts_millis } => {
                add_event(job_status_change_event(named, status.as_str(), *ts_millis));
            }
            Self::Failure(failure) => add_event(job_failure_event(named, failure)),
            Self::AllSubtasks { status, ts_millis, restored_checkpoint_id, identity_timestamp } => {
                let initialization = identity.initialization(*restored_checkpoint_id, *identity_timestamp);
                add_event(all_subtasks_status_change_event(named, *status, initialization, *ts_millis));
            }
            Self::Missed { .. } => {}
        }
    }
}
