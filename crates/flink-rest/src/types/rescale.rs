//! How the Adaptive scheduler rescales a job; since 2.3.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use super::checkpoint::StatsSummaryDto;
use super::cluster::ResourceProfileInfo;
use crate::{JobVertexId, RescaleId};

/// When the scheduler rescales; answers `/jobs/:jobid/rescales/config`. `None` is not configured. Times are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct JobRescaleConfigInfo {
    /// How many rescales are remembered.
    pub rescale_history_max: Option<i64>,
    /// `REACTIVE` where that mode is on.
    pub scheduler_execution_mode: Option<String>,
    /// How long a job waits for its first resources.
    pub submission_resource_wait_timeout_in_millis: Option<i64>,
    /// How long these must not change.
    pub submission_resource_stabilization_timeout_in_millis: Option<i64>,
    /// How long a slot may be idle.
    pub slot_idle_timeout_in_millis: Option<i64>,
    /// The least time between two rescales.
    pub executing_cooldown_timeout_in_millis: Option<i64>,
    /// How long resources must not change before a rescale.
    pub executing_resource_stabilization_timeout_in_millis: Option<i64>,
    /// How long a rescale waits for a checkpoint.
    pub maximum_delay_for_triggering_rescale_in_millis: Option<i64>,
    /// After how many failed checkpoints it does not wait any more.
    pub rescale_on_failed_checkpoint_count: Option<i64>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// A rescale; answers `/jobs/:jobid/rescales/details/:rescaleuuid`. In lists, vertices, slots and states are empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobRescaleDetails {
    /// The rescale.
    pub rescale_uuid: RescaleId,
    /// The change of requirements that it belongs to.
    pub resource_requirements_uuid: Option<String>,
    /// Its number among those of the same requirements, from 1.
    pub rescale_attempt_id: Option<i64>,
    /// Its vertices.
    #[serde(default)]
    pub vertices: BTreeMap<JobVertexId, VertexParallelismRescaleInfo>,
    /// Its slots, by the id of their sharing group.
    #[serde(default)]
    pub slots: BTreeMap<String, SlotSharingGroupRescaleInfo>,
    /// What the scheduler did, in order.
    #[serde(default)]
    pub scheduler_states: Vec<SchedulerStateSpan>,
    /// When it began, in milliseconds since the epoch.
    pub start_timestamp_in_millis: Option<i64>,
    /// When it ended, in milliseconds since the epoch.
    pub end_timestamp_in_millis: Option<i64>,
    /// `COMPLETED`, `FAILED` or `IGNORED`; `None` while it is going on.
    pub terminal_state: Option<String>,
    /// Why it began, such as `UPDATE_REQUIREMENT`.
    pub trigger_cause: Option<String>,
    /// Why it ended, such as `SUCCEEDED`.
    pub terminated_reason: Option<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobRescaleDetails(rescale_uuid: RescaleId)
    empty(resource_requirements_uuid, rescale_attempt_id, vertices, slots, scheduler_states, start_timestamp_in_millis, end_timestamp_in_millis, terminal_state, trigger_cause, terminated_reason, other)
}

/// What a rescale did to a vertex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VertexParallelismRescaleInfo {
    /// The vertex.
    pub job_vertex_id: JobVertexId,
    /// Its name.
    pub job_vertex_name: Option<String>,
    /// Its slot sharing group.
    pub slot_sharing_group_id: Option<String>,
    /// That group's name.
    pub slot_sharing_group_name: Option<String>,
    /// The parallelism that was wanted.
    pub desired_parallelism: Option<i64>,
    /// The least that would do.
    pub sufficient_parallelism: Option<i64>,
    /// The parallelism before.
    pub pre_rescale_parallelism: Option<i64>,
    /// The parallelism after.
    pub post_rescale_parallelism: Option<i64>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    VertexParallelismRescaleInfo(job_vertex_id: JobVertexId)
    empty(job_vertex_name, slot_sharing_group_id, slot_sharing_group_name, desired_parallelism, sufficient_parallelism, pre_rescale_parallelism, post_rescale_parallelism, other)
}

/// What a rescale did to the slots of a sharing group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SlotSharingGroupRescaleInfo {
    /// The group.
    pub slot_sharing_group_id: Option<String>,
    /// Its name.
    pub slot_sharing_group_name: Option<String>,
    /// What each slot should have.
    pub request_resource_profile: Option<ResourceProfileInfo>,
    /// How many slots were wanted.
    pub desired_slots: Option<i64>,
    /// The least that would do.
    pub minimal_required_slots: Option<i64>,
    /// How many there were before.
    pub pre_rescale_slots: Option<i64>,
    /// How many there were after.
    pub post_rescale_slots: Option<i64>,
    /// What each slot has.
    pub acquired_resource_profile: Option<ResourceProfileInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SlotSharingGroupRescaleInfo()
    empty(slot_sharing_group_id, slot_sharing_group_name, request_resource_profile, desired_slots, minimal_required_slots, pre_rescale_slots, post_rescale_slots, acquired_resource_profile, other)
}

/// A state that the scheduler was in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SchedulerStateSpan {
    /// The state, such as `Executing`.
    pub state: String,
    /// When it began, in milliseconds since the epoch.
    pub enter_timestamp_in_millis: Option<i64>,
    /// When it ended, in milliseconds since the epoch.
    pub leave_timestamp_in_millis: Option<i64>,
    /// How long it took, in milliseconds.
    pub duration_in_millis: Option<i64>,
    /// What went wrong.
    pub stringified_exception: Option<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SchedulerStateSpan(state: impl Into<String>)
    empty(enter_timestamp_in_millis, leave_timestamp_in_millis, duration_in_millis, stringified_exception, other)
}

/// The last rescales, newest first; answers `/jobs/:jobid/rescales/history`.
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

/// How many rescales there were, and the latest ones; answers `/jobs/:jobid/rescales/overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobRescalesOverview {
    /// How many.
    pub rescales_counts: RescalesCounts,
    /// The latest of each kind: `completed`, `failed`, `ignored`.
    pub latest: BTreeMap<String, Option<JobRescaleDetails>>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobRescalesOverview(rescales_counts: RescalesCounts, latest: BTreeMap<String, Option<JobRescaleDetails>>)
    empty(other)
}

/// How many rescales there were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct RescalesCounts {
    /// Those that changed nothing.
    pub ignored: i64,
    /// Those that are going on.
    pub in_progress: i64,
    /// Those that succeeded.
    pub completed: i64,
    /// Those that failed.
    pub failed: i64,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// How long rescales took; answers `/jobs/:jobid/rescales/summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobRescalesSummary {
    /// How many.
    pub rescales_counts: RescalesCounts,
    /// All of them.
    pub rescales_duration_stats_in_millis: Option<StatsSummaryDto>,
    /// Those that succeeded.
    pub completed_rescales_duration_stats_in_millis: Option<StatsSummaryDto>,
    /// Those that changed nothing.
    pub ignored_rescales_duration_stats_in_millis: Option<StatsSummaryDto>,
    /// Those that failed.
    pub failed_rescales_duration_stats_in_millis: Option<StatsSummaryDto>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JobRescalesSummary(rescales_counts: RescalesCounts)
    empty(rescales_duration_stats_in_millis, completed_rescales_duration_stats_in_millis, ignored_rescales_duration_stats_in_millis, failed_rescales_duration_stats_in_millis, other)
}
