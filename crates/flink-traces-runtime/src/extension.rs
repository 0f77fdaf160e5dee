//! The events and the span that Flink does not have. Their attributes are named nowhere else.
//!
//! An observer of a cluster reports them. Reporters with `compatibility: flink` do not get them.
//! Add the records of a job to the job's [`MetricGroup`](crate::MetricGroup), and those of a
//! cluster to the group of its JobManager.

mod rescale;

use flink_traces_api::{Event, EventBuilder, Identity, Text, readable_duration};

use crate::job::NamedJob;
use crate::record::counted;
use crate::setters::setters;

pub use rescale::{
    CausedInitialization, Rescale, RescaledNumber, RescaledSlots, RescaledVertex, SchedulerState, rescale_span,
};

/// The scope of all records of this module.
const SCOPE: &str = "flink-traces";
/// The maximum size of an attribute that is a list in JSON, such as `vertices`, in bytes.
const MAX_LIST_BYTES: usize = 16 * 1024;

/// The observer of a cluster, from which the unique ids of the events of a cluster follow.
// Exhaustive: the ids are hashes of exactly these fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObserverIdentity<'a> {
    /// The name of the cluster.
    pub cluster: &'a str,
    /// A text that identifies the observing process among all that observe the cluster.
    pub process: &'a str,
}

impl ObserverIdentity<'_> {
    fn of(&self, event: &str, ts_millis: i64) -> Identity {
        Identity::of(&[self.cluster, self.process, event, &ts_millis.to_string()])
    }
}

fn event(name: &'static str, ts_millis: i64, severity: &'static str, body: String) -> EventBuilder {
    Event::builder(SCOPE, name).observed_ts_millis(ts_millis).severity(severity).body(body).extension_event()
}

fn optional(event: EventBuilder, key: &'static str, value: Option<i64>) -> EventBuilder {
    match value {
        Some(value) => event.attribute(key, value),
        None => event,
    }
}

/// Builds the event `ClusterUnreachableEvent` of a cluster that stopped responding.
///
/// `ts_millis` is the time of the first request that failed, in milliseconds since the epoch.
/// `reason` is the error of that request.
pub fn cluster_unreachable_event(observer: ObserverIdentity<'_>, ts_millis: i64, reason: &str) -> EventBuilder {
    const NAME: &str = "ClusterUnreachableEvent";
    let body = format!("Cluster {} is unreachable: {reason}", observer.cluster);
    event(NAME, ts_millis, "WARN", body).attribute("reason", reason.to_owned()).identity(observer.of(NAME, ts_millis))
}

/// Builds the event `ClusterReachableEvent` of a cluster that responds, for the first time or
/// again.
///
/// Times are in milliseconds since the epoch. `unreachable_since` is that of the preceding
/// [`cluster_unreachable_event`], if there was one.
pub fn cluster_reachable_event(
    observer: ObserverIdentity<'_>,
    ts_millis: i64,
    unreachable_since: Option<i64>,
) -> EventBuilder {
    const NAME: &str = "ClusterReachableEvent";
    let body = match unreachable_since {
        Some(since) => {
            let duration = readable_duration(ts_millis.saturating_sub(since).max(0));
            format!("Cluster {} is reachable again after {duration}", observer.cluster)
        }
        None => format!("Cluster {} is reachable", observer.cluster),
    };
    optional(event(NAME, ts_millis, "INFO", body), "unreachableSinceMs", unreachable_since)
        .identity(observer.of(NAME, ts_millis))
}

/// The name of [`observation_event`]. Only reporters whose option `observations` is `true` get it.
pub(crate) const OBSERVATION_EVENT: &str = "ObservationEvent";

/// Builds the event `ObservationEvent`, the sign of life of an observer whose cluster responds.
///
/// `ts_millis` is the time of the response, in milliseconds since the epoch. `jobs` is the number
/// of jobs that the cluster lists. Make the event from a response and never by a timer, so that an
/// observer that hangs becomes visible.
pub fn observation_event(observer: ObserverIdentity<'_>, ts_millis: i64, jobs: i64) -> EventBuilder {
    let body = format!("Cluster {} lists {}", observer.cluster, counted(jobs, "job"));
    event(OBSERVATION_EVENT, ts_millis, "INFO", body)
        .attribute("jobs", jobs)
        .identity(observer.of(OBSERVATION_EVENT, ts_millis))
}

/// A job as an observer sees it.
///
/// A field that the source does not know is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ObservedJob {
    /// The name of the job's status.
    pub status: Text,
    /// The time at which the job entered that status, in milliseconds since the epoch.
    pub status_timestamp: i64,
    /// The start of the job, in milliseconds since the epoch.
    pub start_timestamp: i64,
    /// The job vertices, in the job's order.
    pub vertices: Vec<ObservedVertex>,
    /// The time between two checkpoints, in milliseconds.
    pub checkpoint_interval_ms: Option<i64>,
    /// The time after which a checkpoint expires, in milliseconds.
    pub checkpoint_timeout_ms: Option<i64>,
    /// The number of checkpoints that the JobManager keeps.
    pub history_size: Option<i64>,
    /// The version of Flink.
    pub flink_version: Option<String>,
}

impl ObservedJob {
    /// Creates a job without vertices whose other fields are unknown. Times are in milliseconds
    /// since the epoch.
    pub fn new(status: impl Into<Text>, status_timestamp: i64, start_timestamp: i64) -> Self {
        Self {
            status: status.into(),
            status_timestamp,
            start_timestamp,
            vertices: Vec::new(),
            checkpoint_interval_ms: None,
            checkpoint_timeout_ms: None,
            history_size: None,
            flink_version: None,
        }
    }

    setters! {
        with_vertices: vertices, Vec<ObservedVertex>;
        with_checkpoint_interval_ms: checkpoint_interval_ms, into Option<i64>;
        with_checkpoint_timeout_ms: checkpoint_timeout_ms, into Option<i64>;
        with_history_size: history_size, into Option<i64>;
        with_flink_version: flink_version, into Option<String>;
    }

    /// Returns the identity of the content, for `job`.
    fn identity(&self, job: NamedJob<'_>) -> Identity {
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let mut parts = vec![
            self.status.to_string(),
            self.status_timestamp.to_string(),
            self.start_timestamp.to_string(),
            number(self.checkpoint_interval_ms),
            number(self.checkpoint_timeout_ms),
            number(self.history_size),
            self.flink_version.clone().unwrap_or_default(),
        ];
        for ObservedVertex { job_vertex_id, name, parallelism } in &self.vertices {
            parts.extend([job_vertex_id.clone(), name.clone(), parallelism.to_string()]);
        }
        job.identity.of("JobObservedEvent", &parts)
    }

    /// Returns the vertices as a JSON array. Vertices beyond the maximum size are left out.
    fn vertices_json(&self) -> String {
        let mut json = String::from("[");
        for ObservedVertex { job_vertex_id, name, parallelism } in &self.vertices {
            let separator = if json.len() > 1 { "," } else { "" };
            let (id, name) = (json_text(job_vertex_id), json_text(name));
            let vertex = format!("{separator}{{\"id\":{id},\"name\":{name},\"parallelism\":{parallelism}}}");
            if json.len() + vertex.len() + 1 > MAX_LIST_BYTES {
                break;
            }
            json += &vertex;
        }
        json + "]"
    }
}

/// A job vertex as an observer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ObservedVertex {
    /// The id, 32 hexadecimal digits.
    pub job_vertex_id: String,
    /// The name.
    pub name: String,
    /// The number of subtasks.
    pub parallelism: i64,
}

impl ObservedVertex {
    /// Creates a vertex.
    pub fn new(job_vertex_id: impl Into<String>, name: impl Into<String>, parallelism: i64) -> Self {
        Self { job_vertex_id: job_vertex_id.into(), name: name.into(), parallelism }
    }
}

/// Formats text as a JSON string.
fn json_text(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => json += &format!("\\u{:04x}", u32::from(c)),
            c => json.push(c),
        }
    }
    json + "\""
}

/// Builds the event `JobObservedEvent` of a job that was seen for the first time or has changed.
///
/// `ts_millis` is the time of the response, in milliseconds since the epoch. The unique id depends
/// on the content only.
pub fn job_observed_event(job: NamedJob<'_>, observed: &ObservedJob, ts_millis: i64) -> EventBuilder {
    let status = &observed.status;
    let tasks = counted(observed.vertices.len() as i64, "task");
    let mut event = event("JobObservedEvent", ts_millis, "INFO", format!("Job {} is {status} with {tasks}", job.name))
        .attribute("jobStatus", status.clone())
        .attribute("jobStatusTimestampMs", observed.status_timestamp)
        .attribute("jobStartTimestampMs", observed.start_timestamp)
        .attribute("numVertices", observed.vertices.len() as i64)
        .attribute("vertices", observed.vertices_json());
    event = optional(event, "checkpointIntervalMs", observed.checkpoint_interval_ms);
    event = optional(event, "checkpointTimeoutMs", observed.checkpoint_timeout_ms);
    event = optional(event, "checkpointHistorySize", observed.history_size);
    if let Some(version) = &observed.flink_version {
        event = event.attribute("flinkVersion", version.clone());
    }
    event.identity(observed.identity(job))
}

/// A job that an observer cannot see because its cluster is unreachable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VanishedJob {
    /// The name of the last job status.
    pub last_status: Text,
    /// The time at which the job entered that status, in milliseconds since the epoch.
    pub last_status_timestamp: i64,
    /// The time since which the cluster is unreachable, in milliseconds since the epoch.
    pub unreachable_since: i64,
    /// The state of the job when the cluster responded again; `None` if it has not.
    pub outcome: Option<VanishedJobOutcome>,
}

/// The state of a vanished job when its cluster responded again.
// Exhaustive: the cluster has the job or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VanishedJobOutcome {
    /// The cluster still has the job.
    Returned,
    /// The cluster does not have the job.
    Gone,
}

impl VanishedJobOutcome {
    /// Returns the value of the attribute `outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Returned => "RETURNED",
            Self::Gone => "GONE",
        }
    }
}

impl VanishedJob {
    /// Creates a job whose cluster is still unreachable. Times are in milliseconds since the epoch.
    pub fn new(last_status: impl Into<Text>, last_status_timestamp: i64, unreachable_since: i64) -> Self {
        Self { last_status: last_status.into(), last_status_timestamp, unreachable_since, outcome: None }
    }

    setters! {
        with_outcome: outcome, into Option<VanishedJobOutcome>;
    }
}

/// Builds the event `JobVanishedEvent` of a job whose cluster became unreachable before the job
/// ended.
///
/// `ts_millis` is the time of the report, in milliseconds since the epoch. A first event has no
/// outcome. When the cluster responds again, a second event has the outcome, and it has another
/// unique id.
pub fn job_vanished_event(job: NamedJob<'_>, vanished: &VanishedJob, ts_millis: i64) -> EventBuilder {
    const NAME: &str = "JobVanishedEvent";
    let VanishedJob { last_status, last_status_timestamp, unreachable_since, outcome } = vanished;
    let (severity, rest) = match outcome {
        None => ("WARN", "and its cluster is unreachable"),
        Some(VanishedJobOutcome::Gone) => ("ERROR", "and its cluster no longer has it"),
        Some(VanishedJobOutcome::Returned) => ("INFO", "and its cluster has it again"),
    };
    let mut parts = vec![last_status.to_string(), last_status_timestamp.to_string()];
    let mut event = event(NAME, ts_millis, severity, format!("Job {} was {last_status}, {rest}", job.name))
        .attribute("lastJobStatus", last_status.clone())
        .attribute("lastJobStatusTimestampMs", *last_status_timestamp)
        .attribute("unreachableSinceMs", *unreachable_since);
    if let Some(outcome) = outcome {
        event = event.attribute("outcome", outcome.name());
        parts.push(outcome.name().to_owned());
    }
    event.identity(job.identity.of(NAME, &parts))
}

/// Builds the event `CheckpointsMissedEvent` of checkpoints that came and went between two polls.
///
/// `ts_millis` is the time at which the gap was seen, in milliseconds since the epoch. `count` is
/// the number of missed checkpoints. Their ids are not before `first_id` and not after `last_id`.
pub fn checkpoints_missed_event(
    job: NamedJob<'_>,
    first_id: i64,
    last_id: i64,
    count: i64,
    ts_millis: i64,
) -> EventBuilder {
    const NAME: &str = "CheckpointsMissedEvent";
    let missed = counted(count, "checkpoint");
    let ids = if first_id == last_id { format!("id {first_id}") } else { format!("ids {first_id} to {last_id}") };
    event(NAME, ts_millis, "WARN", format!("Missed {missed} of {} ({ids})", job.name))
        .attribute("firstCheckpointId", first_id)
        .attribute("lastCheckpointId", last_id)
        .attribute("missedCheckpoints", count)
        .identity(job.identity.of(NAME, &[first_id, last_id]))
}
