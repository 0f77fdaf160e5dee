//! What the observer tells.

use flink_rest::JobStatus;
use flink_traces_api::{EventBuilder, SpanBuilder};
use flink_traces_runtime::checkpoint::{InitializationStats, job_initialization_span};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::{
    AllSubtasksStatus, JobFailure, all_subtasks_status_change_event, job_failure_event, job_status_change_event,
};
use flink_traces_runtime::{CheckpointStats, JobIdentity, MetricGroup, checkpoint_event, checkpoint_span};

/// The attribute that tells clusters apart, beyond Flink.
const CLUSTER: &str = "flink.cluster.name";

/// A job, as far as outputs need to tell it from others. Sorts by start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobKey {
    /// When it began, as far as its first observer saw, in milliseconds since the epoch.
    pub start_time: i64,
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Its name, cut to a bearable length.
    pub name: String,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Which job.
    pub job: JobKey,
    /// What.
    pub record: Record,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A checkpoint or savepoint completed or failed.
    Checkpoint(Box<CheckpointStats>),
    /// All subtasks came up.
    Initialization {
        /// What is known of it.
        stats: InitializationStats,
        /// See [`job_initialization_span`].
        identity_timestamp: i64,
    },
    /// The job went into another state.
    StatusChange {
        /// Which.
        status: JobStatus,
        /// When, in milliseconds since the epoch.
        ts_millis: i64,
    },
    /// The scheduler handled a failure.
    Failure(JobFailure),
    /// All subtasks run, or no longer.
    AllSubtasks {
        /// Which of the two.
        status: AllSubtasksStatus,
        /// When, in milliseconds since the epoch.
        ts_millis: i64,
    },
    /// Checkpoints left Flink's history before anyone saw them.
    Missed {
        /// How many.
        count: i64,
        /// The id of the last of them.
        last_id: i64,
    },
}

impl Record {
    /// Reports the spans and events of it, in Flink's order, on the group of its job. `cluster` tells the cluster from others in the
    /// ids of spans.
    pub fn report(&self, cluster: &str, job: &JobKey, group: &MetricGroup, detail: SpanDetailLevel) {
        let identity = JobIdentity { cluster, job_id: &job.id };
        let add_event = |event: EventBuilder| group.add_event(event.extension_attribute(CLUSTER, cluster.to_owned()));
        let add_span = |span: SpanBuilder| group.add_span(span.extension_attribute(CLUSTER, cluster.to_owned()));
        match self {
            Self::Checkpoint(stats) => {
                add_event(checkpoint_event(stats));
                add_span(checkpoint_span(identity, stats, detail));
            }
            Self::Initialization { stats, identity_timestamp } => {
                add_span(job_initialization_span(identity, stats, *identity_timestamp));
            }
            Self::StatusChange { status, ts_millis } => add_event(job_status_change_event(status.as_str(), *ts_millis)),
            Self::Failure(failure) => add_event(job_failure_event(failure)),
            Self::AllSubtasks { status, ts_millis } => {
                add_event(all_subtasks_status_change_event(*status, *ts_millis));
            }
            // Flink has no event for what an observer did not see: it is logged and counted.
            Self::Missed { .. } => {}
        }
    }
}
