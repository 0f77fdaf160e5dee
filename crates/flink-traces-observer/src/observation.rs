//! Observations: the facts that an observer derives.

use std::sync::Arc;

use flink_rest::JobStatus;
use flink_traces_api::{EventBuilder, SpanBuilder};
use flink_traces_runtime::checkpoint::{InitializationStats, job_initialization_span};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::extension::{
    ObservedJob, Rescale, VanishedJob, checkpoints_missed_event, job_observed_event, job_vanished_event, rescale_span,
};
use flink_traces_runtime::job::{
    AllSubtasksStatus, JobFailure, all_subtasks_status_change_event, job_failure_event, job_status_change_event,
};
use flink_traces_runtime::{CheckpointStats, JobIdentity, MetricGroup, checkpoint_event, checkpoint_span};

/// The extension attribute with the name of the cluster.
pub(crate) const CLUSTER: &str = "flink.cluster.name";
/// The extension attributes with the id and the name of the application.
const APPLICATION_ID: &str = "flink.application.id";
const APPLICATION_NAME: &str = "flink.application.name";

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

/// The application that a job belongs to; since Flink 2.3.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobApplication {
    /// The id of the application, 32 hexadecimal digits.
    pub id: String,
    /// The name of the application, if the cluster returned it. A name of more than 1,024
    /// characters is truncated.
    pub name: Option<String>,
}

impl JobApplication {
    /// Creates an application.
    pub fn new(id: impl Into<String>, name: impl Into<Option<String>>) -> Self {
        Self { id: id.into(), name: name.into() }
    }
}

/// An observation, and the job that it is about.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobObservation {
    /// The job.
    pub job: JobKey,
    /// The application of the job, if it is known.
    pub application: Option<Arc<JobApplication>>,
    /// The fact about the job.
    pub observation: Observation,
}

impl JobObservation {
    /// Creates an observation of `job`, whose application is unknown.
    pub fn new(job: JobKey, observation: Observation) -> Self {
        Self { job, application: None, observation }
    }

    /// Sets the application of the job.
    #[must_use]
    pub fn with_application(mut self, application: impl Into<Option<Arc<JobApplication>>>) -> Self {
        self.application = application.into();
        self
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
    /// The Adaptive scheduler rescaled the job, or tried to.
    Rescale(Box<Rescale>),
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

impl JobObservation {
    /// Adds the spans and events of the observation to the metric group of its job, in Flink's
    /// order.
    ///
    /// The name of the cluster becomes an attribute, and part of the identity of spans. The id and
    /// the name of the application become attributes, too.
    pub fn report(&self, cluster: &str, group: &MetricGroup, detail: SpanDetailLevel) {
        let Self { job, application, observation } = self;
        let identity = JobIdentity { cluster, job_id: &job.id };
        let named = identity.named(&job.name);
        let shared = || {
            let application = application.as_deref();
            let id = application.map(|application| (APPLICATION_ID, &*application.id));
            let name = application.and_then(|application| Some((APPLICATION_NAME, application.name.as_deref()?)));
            [Some((CLUSTER, cluster)), id, name].into_iter().flatten()
        };
        let complete = |span: SpanBuilder| {
            shared().fold(span, |span, (key, value)| span.extension_attribute(key, value.to_owned()))
        };
        let add_event = |event: EventBuilder| {
            group.add_event(
                shared().fold(event, |event, (key, value)| event.extension_attribute(key, value.to_owned())),
            );
        };
        let add_span = |span: SpanBuilder| group.add_span(complete(span));
        match observation {
            Observation::Checkpoint(stats) => {
                add_event(checkpoint_event(named, stats));
                group.add_span_of_levels(detail, stats.is_ordinary, |level| {
                    complete(checkpoint_span(identity, stats, level))
                });
            }
            Observation::Initialization { stats, identity_timestamp } => {
                add_span(job_initialization_span(identity, stats, *identity_timestamp));
            }
            Observation::StatusChange { status, ts_millis } => {
                add_event(job_status_change_event(named, status.name(), *ts_millis));
            }
            Observation::Failure(failure) => add_event(job_failure_event(named, failure)),
            Observation::AllSubtasks { status, ts_millis, restored_checkpoint_id, identity_timestamp } => {
                let initialization = identity.initialization(*restored_checkpoint_id, *identity_timestamp);
                add_event(all_subtasks_status_change_event(named, *status, initialization, *ts_millis));
            }
            Observation::Rescale(rescale) => add_span(rescale_span(identity, rescale)),
            Observation::Missed(MissedCheckpoints { count, first_id, last_id, ts_millis, .. }) => {
                add_event(checkpoints_missed_event(named, *first_id, *last_id, *count, *ts_millis));
            }
            Observation::Content { job, ts_millis } => add_event(job_observed_event(named, job, *ts_millis)),
            Observation::Vanished { job, ts_millis } => add_event(job_vanished_event(named, job, *ts_millis)),
        }
    }
}
