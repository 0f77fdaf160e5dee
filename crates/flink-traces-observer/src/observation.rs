//! Observations: the facts that an observer derives.

use flink_rest::JobStatus;
use flink_traces_api::{EventBuilder, SpanBuilder};
use flink_traces_runtime::checkpoint::{InitializationStats, job_initialization_span};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::extension::{
    ObservedJob, VanishedJob, checkpoints_missed_event, job_observed_event, job_vanished_event,
};
use flink_traces_runtime::job::{
    AllSubtasksStatus, JobFailure, all_subtasks_status_change_event, job_failure_event, job_status_change_event,
};
use flink_traces_runtime::{CheckpointStats, JobIdentity, MetricGroup, checkpoint_event, checkpoint_span};

/// The extension attribute with the name of the cluster.
pub(crate) const CLUSTER: &str = "flink.cluster.name";

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
    /// Checkpoints ended between two polls, and their statistics are not known.
    Missed(MissedCheckpoints),
    /// The job was seen for the first time, or its status, vertices or configuration changed.
    Content {
        /// The job.
        job: Box<ObservedJob>,
        /// The time of the response, in milliseconds since the epoch.
        ts_millis: i64,
    },
    /// The cluster became unreachable, or lost the job, before the job ended.
    Vanished {
        /// The job.
        job: VanishedJob,
        /// The time of the observation, in milliseconds since the epoch.
        ts_millis: i64,
    },
}

/// Checkpoints that ended between two polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissedCheckpoints {
    /// The number of missed checkpoints.
    pub count: i64,
    /// The id of the first of them, or of an earlier checkpoint.
    pub first_id: i64,
    /// The id of the last of them, or of a later checkpoint.
    pub last_id: i64,
    /// The time of the poll that missed them, in milliseconds since the epoch.
    pub ts_millis: i64,
    /// The value of `web.checkpoints.history` with which they would have been seen; `None` if their
    /// JobManager ended before the next poll.
    pub history_needed: Option<i64>,
}

impl MissedCheckpoints {
    /// Creates a number of checkpoints with ids in this range, which were missed by the poll at
    /// `ts_millis`, in milliseconds since the epoch. No option would have shown them.
    pub fn new(count: i64, first_id: i64, last_id: i64, ts_millis: i64) -> Self {
        Self { count, first_id, last_id, ts_millis, history_needed: None }
    }

    /// Sets the value of `web.checkpoints.history` with which they would have been seen.
    #[must_use]
    pub fn with_history_needed(mut self, entries: impl Into<Option<i64>>) -> Self {
        self.history_needed = entries.into();
        self
    }
}

impl Observation {
    /// Adds the spans and events of the observation to the metric group of its job, in Flink's
    /// order.
    ///
    /// The name of the cluster becomes an attribute, and part of the identity of spans.
    pub fn report(&self, cluster: &str, job: &JobKey, group: &MetricGroup, detail: SpanDetailLevel) {
        let identity = JobIdentity { cluster, job_id: &job.id };
        let named = identity.named(&job.name);
        let add_event = |event: EventBuilder| group.add_event(event.extension_attribute(CLUSTER, cluster.to_owned()));
        let add_span = |span: SpanBuilder| group.add_span(span.extension_attribute(CLUSTER, cluster.to_owned()));
        match self {
            Self::Checkpoint(stats) => {
                add_event(checkpoint_event(named, stats));
                group.add_span_of_levels(detail, stats.is_ordinary, |level| {
                    checkpoint_span(identity, stats, level).extension_attribute(CLUSTER, cluster.to_owned())
                });
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
            Self::Missed(MissedCheckpoints { count, first_id, last_id, ts_millis, .. }) => {
                add_event(checkpoints_missed_event(named, *first_id, *last_id, *count, *ts_millis));
            }
            Self::Content { job, ts_millis } => add_event(job_observed_event(named, job, *ts_millis)),
            Self::Vanished { job, ts_millis } => add_event(job_vanished_event(named, job, *ts_millis)),
        }
    }
}
