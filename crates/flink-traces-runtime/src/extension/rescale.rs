//! The span `Rescale`, which Flink does not have.

use flink_traces_api::{Failure, Identity, Span, SpanBuilder};

use super::{MAX_LIST_BYTES, SCOPE, json_text};
use crate::job::JobIdentity;
use crate::record::first_line;
use crate::setters::setters;

/// The terminal state of a rescale that failed.
const FAILED: &str = "FAILED";

/// A rescale of a job by the Adaptive scheduler, which has ended.
///
/// A field that the source does not know is `None` or empty. Texts are those of Flink, which may
/// add values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rescale {
    /// The id of the rescale.
    pub uuid: String,
    /// The start, in milliseconds since the epoch.
    pub start_timestamp: i64,
    /// The end, in milliseconds since the epoch.
    pub end_timestamp: i64,
    /// The final state: `COMPLETED`, `FAILED` or `IGNORED`.
    pub terminal_state: String,
    /// The id of the resource requirements that the job has since the rescale.
    pub resource_requirements_uuid: Option<String>,
    /// The number of the rescale among those of the same requirements, from 1.
    pub attempt: Option<i64>,
    /// The reason for the start, such as `UPDATE_REQUIREMENT`.
    pub trigger_cause: Option<String>,
    /// The reason for the end, such as `SUCCEEDED`.
    pub terminated_reason: Option<String>,
    /// The effects on vertices, in the order of their ids.
    pub vertices: Vec<RescaledVertex>,
    /// The effects on slot sharing groups, in the order of their ids.
    pub slots: Vec<RescaledSlots>,
    /// The states of the scheduler, in their order.
    pub scheduler_states: Vec<SchedulerState>,
    /// The initialization that the rescale caused.
    pub initialization: Option<CausedInitialization>,
}

impl Rescale {
    /// Creates a rescale of which nothing else is known. Times are in milliseconds since the epoch.
    pub fn new(
        uuid: impl Into<String>,
        start_timestamp: i64,
        end_timestamp: i64,
        terminal_state: impl Into<String>,
    ) -> Self {
        Self {
            uuid: uuid.into(),
            start_timestamp,
            end_timestamp,
            terminal_state: terminal_state.into(),
            resource_requirements_uuid: None,
            attempt: None,
            trigger_cause: None,
            terminated_reason: None,
            vertices: Vec::new(),
            slots: Vec::new(),
            scheduler_states: Vec::new(),
            initialization: None,
        }
    }

    setters! {
        with_resource_requirements_uuid: resource_requirements_uuid, into Option<String>;
        with_attempt: attempt, into Option<i64>;
        with_trigger_cause: trigger_cause, into Option<String>;
        with_terminated_reason: terminated_reason, into Option<String>;
        with_vertices: vertices, Vec<RescaledVertex>;
        with_slots: slots, Vec<RescaledSlots>;
        with_scheduler_states: scheduler_states, Vec<SchedulerState>;
        with_initialization: initialization, into Option<CausedInitialization>;
    }
}

/// The identity of the initialization that a rescale caused.
///
/// [`JobIdentity::initialization`] has the same two numbers.
// Exhaustive: the ids of the linked span are hashes of exactly these fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CausedInitialization {
    /// The id of the restored checkpoint, if one was restored.
    pub restored_checkpoint_id: Option<i64>,
    /// The time that is part of the identity of the initialization's span.
    pub identity_timestamp: i64,
}

/// The effect of a rescale on a number: of the subtasks of a vertex, or of the slots of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RescaledNumber {
    /// The desired number.
    pub desired: Option<i64>,
    /// The minimum that suffices.
    pub sufficient: Option<i64>,
    /// The number before the rescale; `None` for the first start of the job.
    pub before: Option<i64>,
    /// The number after the rescale.
    pub after: Option<i64>,
}

impl RescaledNumber {
    /// Creates an effect of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        with_desired: desired, into Option<i64>;
        with_sufficient: sufficient, into Option<i64>;
        with_before: before, into Option<i64>;
        with_after: after, into Option<i64>;
    }

    /// Appends the known numbers to a JSON object that has a field.
    fn write_json(&self, json: &mut String) {
        let Self { desired, sufficient, before, after } = self;
        for (key, value) in
            [("desired", desired), ("sufficient", sufficient), ("preRescale", before), ("postRescale", after)]
        {
            if let Some(value) = value {
                *json += &format!(",\"{key}\":{value}");
            }
        }
        json.push('}');
    }
}

/// The effect of a rescale on a job vertex.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RescaledVertex {
    /// The id of the vertex, 32 hexadecimal digits.
    pub job_vertex_id: String,
    /// The name of the vertex.
    pub name: Option<String>,
    /// The effect on the parallelism.
    pub parallelism: RescaledNumber,
}

impl RescaledVertex {
    /// Creates an effect.
    pub fn new(job_vertex_id: impl Into<String>, name: impl Into<Option<String>>, parallelism: RescaledNumber) -> Self {
        Self { job_vertex_id: job_vertex_id.into(), name: name.into(), parallelism }
    }
}

/// The effect of a rescale on the slots of a sharing group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RescaledSlots {
    /// The id of the group.
    pub slot_sharing_group_id: String,
    /// The name of the group.
    pub name: Option<String>,
    /// The effect on the number of slots.
    pub slots: RescaledNumber,
}

impl RescaledSlots {
    /// Creates an effect.
    pub fn new(
        slot_sharing_group_id: impl Into<String>,
        name: impl Into<Option<String>>,
        slots: RescaledNumber,
    ) -> Self {
        Self { slot_sharing_group_id: slot_sharing_group_id.into(), name: name.into(), slots }
    }
}

/// A state of the scheduler during a rescale.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchedulerState {
    /// The name, such as `Executing`.
    pub name: String,
    /// The time of entry, in milliseconds since the epoch. The first state may have been entered
    /// before the rescale began.
    pub enter_timestamp: i64,
    /// The time at which the scheduler left the state, in milliseconds since the epoch.
    pub leave_timestamp: i64,
    /// The exception that occurred, as text.
    pub exception: Option<String>,
}

impl SchedulerState {
    /// Creates a state without an exception. Times are in milliseconds since the epoch.
    pub fn new(name: impl Into<String>, enter_timestamp: i64, leave_timestamp: i64) -> Self {
        Self { name: name.into(), enter_timestamp, leave_timestamp, exception: None }
    }

    setters! {
        with_exception: exception, into Option<String>;
    }
}

/// Builds the span `Rescale` of a rescale that ended, with a child `Rescale_SchedulerState` for
/// each state of the scheduler.
///
/// Add it to the job's [`MetricGroup`](crate::MetricGroup). Flink has no such span, so reporters
/// with `compatibility: flink` do not get it. It links to the `JobInitialization` that the rescale
/// caused. A rescale that changed nothing, whose state is `IGNORED`, is not an error.
pub fn rescale_span(job: JobIdentity<'_>, rescale: &Rescale) -> SpanBuilder {
    let mut span = Span::builder(SCOPE, "Rescale")
        .extension_span()
        .identity(job.of("rescale", &[&rescale.uuid]))
        .start_ts_millis(rescale.start_timestamp)
        .end_ts_millis(rescale.end_timestamp)
        .attribute("rescaleUuid", rescale.uuid.clone())
        .optional_attribute("resourceRequirementsUuid", rescale.resource_requirements_uuid.clone())
        .optional_attribute("rescaleAttemptId", rescale.attempt)
        .optional_attribute("triggerCause", rescale.trigger_cause.clone())
        .attribute("terminalState", rescale.terminal_state.clone())
        .optional_attribute("terminatedReason", rescale.terminated_reason.clone());
    let vertices = rescale.vertices.iter().map(|vertex| (&vertex.job_vertex_id, &vertex.name, &vertex.parallelism));
    let slots = rescale.slots.iter().map(|slots| (&slots.slot_sharing_group_id, &slots.name, &slots.slots));
    for (key, json) in [("vertices", effects_json(vertices)), ("slots", effects_json(slots))] {
        span = span.optional_attribute(key, json);
    }
    if rescale.terminal_state == FAILED {
        let reason = rescale.terminated_reason.clone().unwrap_or_default();
        span = span.failure(Failure::new(rescale.end_timestamp, reason));
    }
    if let Some(CausedInitialization { restored_checkpoint_id, identity_timestamp }) = rescale.initialization {
        span = span.link(job.initialization(restored_checkpoint_id, identity_timestamp));
    }
    span.children(rescale.scheduler_states.iter().map(state_span))
}

fn state_span(state: &SchedulerState) -> SpanBuilder {
    let span = Span::builder(SCOPE, "Rescale_SchedulerState")
        .identity(Identity::of(&[&state.name, &state.enter_timestamp.to_string()]))
        .start_ts_millis(state.enter_timestamp)
        .end_ts_millis(state.leave_timestamp)
        .attribute("schedulerState", state.name.clone());
    match &state.exception {
        Some(exception) => span
            .attribute("exception.stacktrace", exception.clone())
            .failure(Failure::new(state.leave_timestamp, first_line(exception))),
        None => span,
    }
}

/// Returns effects as a JSON array. Those beyond the maximum size are left out.
fn effects_json<'a>(
    effects: impl Iterator<Item = (&'a String, &'a Option<String>, &'a RescaledNumber)>,
) -> Option<String> {
    let mut json = String::new();
    for (id, name, number) in effects {
        let mut effect = format!("{}{{\"id\":{}", if json.is_empty() { "[" } else { "," }, json_text(id));
        if let Some(name) = name {
            effect += &format!(",\"name\":{}", json_text(name));
        }
        number.write_json(&mut effect);
        if json.len() + effect.len() + 1 > MAX_LIST_BYTES {
            break;
        }
        json += &effect;
    }
    (!json.is_empty()).then(|| json + "]")
}
