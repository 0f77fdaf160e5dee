//! Rescales of a job by the Adaptive scheduler; since 2.3.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use super::checkpoint::StatsSummaryDto;
use super::cluster::ResourceProfileInfo;
use crate::{JobVertexId, RescaleId};

/// The configuration of rescales, returned by `/jobs/:jobid/rescales/config`.
///
/// `None` means that the option is not configured. Times are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct JobRescaleConfigInfo {
    /// The number of rescales that are kept.
    pub rescale_history_max: Option<i64>,
    /// The word `REACTIVE` if that mode is on.
    pub scheduler_execution_mode: Option<String>,
    /// The time that a job waits for its first resources.
    pub submission_resource_wait_timeout_in_millis: Option<i64>,
    /// The time for which the first resources must not change.
    pub submission_resource_stabilization_timeout_in_millis: Option<i64>,
    /// The time that a slot may be idle.
    pub slot_idle_timeout_in_millis: Option<i64>,
    /// The minimum time between two rescales.
    pub executing_cooldown_timeout_in_millis: Option<i64>,
    /// The time for which resources must not change before a rescale.
    pub executing_resource_stabilization_timeout_in_millis: Option<i64>,
    /// The time that a rescale waits for a checkpoint.
    pub maximum_delay_for_triggering_rescale_in_millis: Option<i64>,
    /// The number of failed checkpoints after which a rescale no longer waits.
    pub rescale_on_failed_checkpoint_count: Option<i64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// A rescale, returned by `/jobs/:jobid/rescales/details/:rescaleuuid`.
///
/// In lists, vertices, slots and states are empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobRescaleDetails {
    /// The id of the rescale.
    pub rescale_uuid: RescaleId,
    /// The id of the change of requirements that the rescale belongs to.
    pub resource_requirements_uuid: Option<String>,
    /// The number of the rescale among those of the same requirements, from 1.
    pub rescale_attempt_id: Option<i64>,
    /// The effects on vertices.
    #[serde(default)]
    pub vertices: BTreeMap<JobVertexId, VertexParallelismRescaleInfo>,
    /// The effects on slots, by the id of their sharing group.
    #[serde(default)]
    pub slots: BTreeMap<String, SlotSharingGroupRescaleInfo>,
    /// The states of the scheduler, in order.
    #[serde(default)]
    pub scheduler_states: Vec<SchedulerStateSpan>,
    /// The start time, in milliseconds since the epoch.
    pub start_timestamp_in_millis: Option<i64>,
    /// The end time, in milliseconds since the epoch.
    pub end_timestamp_in_millis: Option<i64>,
    /// The final state, `COMPLETED`, `FAILED` or `IGNORED`, or `None` while the rescale is in
    /// progress.
    pub terminal_state: Option<String>,
    /// The reason for the start, such as `UPDATE_REQUIREMENT`.
    pub trigger_cause: Option<String>,
    /// The reason for the end, such as `SUCCEEDED`.
    pub terminated_reason: Option<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobRescaleDetails(rescale_uuid: RescaleId)
    empty(resource_requirements_uuid, rescale_attempt_id, vertices, slots, scheduler_states, start_timestamp_in_millis, end_timestamp_in_millis, terminal_state, trigger_cause, terminated_reason, other)
}

/// The effect of a rescale on a vertex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VertexParallelismRescaleInfo {
    /// The id of the vertex.
    pub job_vertex_id: JobVertexId,
    /// The name of the vertex.
    pub job_vertex_name: Option<String>,
    /// The id of the vertex's slot sharing group.
    pub slot_sharing_group_id: Option<String>,
    /// The name of the slot sharing group.
    pub slot_sharing_group_name: Option<String>,
    /// The desired parallelism.
    pub desired_parallelism: Option<i64>,
    /// The minimum parallelism that suffices.
    pub sufficient_parallelism: Option<i64>,
    /// The parallelism before the rescale.
    pub pre_rescale_parallelism: Option<i64>,
    /// The parallelism after the rescale.
    pub post_rescale_parallelism: Option<i64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    VertexParallelismRescaleInfo(job_vertex_id: JobVertexId)
    empty(job_vertex_name, slot_sharing_group_id, slot_sharing_group_name, desired_parallelism, sufficient_parallelism, pre_rescale_parallelism, post_rescale_parallelism, other)
}

/// The effect of a rescale on the slots of a sharing group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SlotSharingGroupRescaleInfo {
    /// The id of the group.
    pub slot_sharing_group_id: Option<String>,
    /// The name of the group.
    pub slot_sharing_group_name: Option<String>,
    /// The resources requested for each slot.
    pub request_resource_profile: Option<ResourceProfileInfo>,
    /// The desired number of slots.
    pub desired_slots: Option<i64>,
    /// The minimum number of slots that suffices.
    pub minimal_required_slots: Option<i64>,
    /// The number of slots before the rescale.
    pub pre_rescale_slots: Option<i64>,
    /// The number of slots after the rescale.
    pub post_rescale_slots: Option<i64>,
    /// The resources that each slot has.
    pub acquired_resource_profile: Option<ResourceProfileInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SlotSharingGroupRescaleInfo()
    empty(slot_sharing_group_id, slot_sharing_group_name, request_resource_profile, desired_slots, minimal_required_slots, pre_rescale_slots, post_rescale_slots, acquired_resource_profile, other)
}

/// A state of the scheduler and its duration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SchedulerStateSpan {
    /// The state, such as `Executing`.
    pub state: String,
    /// The start time, in milliseconds since the epoch.
    pub enter_timestamp_in_millis: Option<i64>,
    /// The end time, in milliseconds since the epoch.
    pub leave_timestamp_in_millis: Option<i64>,
    /// The duration of the state, in milliseconds.
    pub duration_in_millis: Option<i64>,
    /// The exception that occurred, as text.
    pub stringified_exception: Option<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SchedulerStateSpan(state: impl Into<String>)
    empty(enter_timestamp_in_millis, leave_timestamp_in_millis, duration_in_millis, stringified_exception, other)
}

/// The last rescales, newest first, returned by `/jobs/:jobid/rescales/history`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct JobRescalesHistory {
    /// The rescales.
    pub rescales: Vec<JobRescaleDetails>,
}

constructor! {
    JobRescalesHistory(rescales: Vec<JobRescaleDetails>)
}

/// The numbers of rescales and the latest ones, returned by `/jobs/:jobid/rescales/overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobRescalesOverview {
    /// The numbers of rescales.
    pub rescales_counts: RescalesCounts,
    /// The latest rescale of each kind: `completed`, `failed` and `ignored`.
    pub latest: BTreeMap<String, Option<JobRescaleDetails>>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobRescalesOverview(rescales_counts: RescalesCounts, latest: BTreeMap<String, Option<JobRescaleDetails>>)
    empty(other)
}

/// The numbers of rescales.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct RescalesCounts {
    /// The number of rescales that changed nothing.
    pub ignored: i64,
    /// The number of rescales in progress.
    pub in_progress: i64,
    /// The number of rescales that succeeded.
    pub completed: i64,
    /// The number of rescales that failed.
    pub failed: i64,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// The durations of rescales, returned by `/jobs/:jobid/rescales/summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobRescalesSummary {
    /// The numbers of rescales.
    pub rescales_counts: RescalesCounts,
    /// The durations of all rescales.
    pub rescales_duration_stats_in_millis: Option<StatsSummaryDto>,
    /// The durations of rescales that succeeded.
    pub completed_rescales_duration_stats_in_millis: Option<StatsSummaryDto>,
    /// The durations of rescales that changed nothing.
    pub ignored_rescales_duration_stats_in_millis: Option<StatsSummaryDto>,
    /// The durations of rescales that failed.
    pub failed_rescales_duration_stats_in_millis: Option<StatsSummaryDto>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobRescalesSummary(rescales_counts: RescalesCounts)
    empty(rescales_duration_stats_in_millis, completed_rescales_duration_stats_in_millis, ignored_rescales_duration_stats_in_millis, failed_rescales_duration_stats_in_millis, other)
}
