//! The cluster as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use crate::JobId;
use crate::lenient::{integer_or_unset, optional_double, optional_integer, or_default, text, unset};

/// What the web UI needs to know; answers `/config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DashboardConfiguration {
    /// How often the web UI refreshes, in milliseconds: up to 2.2 also how old `/jobs/:jobid` may be.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub refresh_interval: i64,
    /// The JobManager's time zone, such as `Coordinated Universal Time`.
    #[serde(default, deserialize_with = "text")]
    pub timezone_name: String,
    /// Its offset from UTC, in milliseconds.
    #[serde(default, deserialize_with = "optional_integer")]
    pub timezone_offset: Option<i64>,
    /// Flink's version, such as `1.20.5`.
    pub flink_version: String,
    /// The commit it was built from, with its date.
    #[serde(default, deserialize_with = "text")]
    pub flink_revision: String,
    /// What the web UI may do, such as `web-submit`.
    #[serde(default, deserialize_with = "or_default")]
    pub features: BTreeMap<String, bool>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    DashboardConfiguration(flink_version: impl Into<String>)
    unset(refresh_interval)
    empty(timezone_name, timezone_offset, flink_revision, features, other)
}

/// How many TaskManagers, slots and jobs there are; answers `/overview`. Never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ClusterOverviewWithVersion {
    /// TaskManagers that are registered. A lost one is counted until its connection or its heartbeat is given up.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub taskmanagers: i64,
    /// TaskManagers that are blocked; since 1.17, absent where there are none.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub taskmanagers_blocked: Option<i64>,
    /// Their slots.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub slots_total: i64,
    /// Slots that are free.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub slots_available: i64,
    /// Slots that are free on blocked TaskManagers; since 1.17, absent where there are none.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub slots_free_and_blocked: Option<i64>,
    /// Jobs that have not ended.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub jobs_running: i64,
    /// Jobs that ended by themselves or were stopped.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub jobs_finished: i64,
    /// Jobs that were cancelled.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub jobs_cancelled: i64,
    /// Jobs that failed.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub jobs_failed: i64,
    /// Flink's version, such as `1.20.5`.
    pub flink_version: String,
    /// The commit it was built from.
    #[serde(default, deserialize_with = "text")]
    pub flink_commit: String,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ClusterOverviewWithVersion(flink_version: impl Into<String>)
    unset(taskmanagers, slots_total, slots_available, jobs_running, jobs_finished, jobs_cancelled, jobs_failed)
    empty(taskmanagers_blocked, slots_free_and_blocked, flink_commit, other)
}

/// All TaskManagers; answers `/taskmanagers`. Never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskManagersInfo {
    /// In no order.
    pub taskmanagers: Vec<TaskManagerInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    TaskManagersInfo(taskmanagers: Vec<TaskManagerInfo>)
    empty(other)
}

/// A TaskManager; answers `/taskmanagers/:taskmanagerid`, and is what [`TaskManagersInfo`] consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TaskManagerInfo {
    /// Its resource id: 32 hexadecimal digits in 1.9, since then what `taskmanager.resource-id` says or host, port and a suffix.
    pub id: String,
    /// The address of its RPC endpoint.
    #[serde(default, deserialize_with = "text")]
    pub path: String,
    /// The port that other TaskManagers read from.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub data_port: i64,
    /// Its last heartbeat, in milliseconds since the epoch in spite of its name; 0 before the first.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub time_since_last_heartbeat: i64,
    /// Its slots.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub slots_number: i64,
    /// Its free slots.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub free_slots: i64,
    /// Whether it is blocked; since 1.17, absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<bool>,
    /// The port for JMX; since 1.13, −1 without one.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub jmx_port: Option<i64>,
    /// How many tasks it runs; since 2.3.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub assigned_tasks: Option<i64>,
    /// What its slots have together; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_resource: Option<ResourceProfileInfo>,
    /// What of that is free; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_resource: Option<ResourceProfileInfo>,
    /// The machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<HardwareDescription>,
    /// What its memory is for, in bytes, such as `taskHeap`; since 1.13.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_configuration: Option<BTreeMap<String, Option<i64>>>,
    /// What it uses; of one TaskManager only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<TaskManagerMetricsInfo>,
    /// Its slots that are in use; of one TaskManager only, since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_slots: Option<Vec<SlotInfo>>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    TaskManagerInfo(id: impl Into<String>)
    unset(data_port, time_since_last_heartbeat, slots_number, free_slots)
    empty(path, blocked, jmx_port, assigned_tasks, total_resource, free_resource, hardware, memory_configuration, metrics, allocated_slots, other)
}

/// What a slot or several have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ResourceProfileInfo {
    /// CPU cores.
    #[serde(deserialize_with = "optional_double::deserialize", serialize_with = "optional_double::serialize")]
    pub cpu_cores: Option<f64>,
    /// Heap for tasks, in MiB.
    pub task_heap_memory: Option<i64>,
    /// Memory for tasks beside the heap, in MiB.
    pub task_off_heap_memory: Option<i64>,
    /// Memory that Flink manages, in MiB.
    pub managed_memory: Option<i64>,
    /// Memory for network buffers, in MiB.
    pub network_memory: Option<i64>,
    /// Whatever else, by name.
    pub extended_resources: BTreeMap<String, f64>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// The machine of a TaskManager.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct HardwareDescription {
    /// Its CPU cores.
    pub cpu_cores: i64,
    /// Its memory, in bytes.
    pub physical_memory: i64,
    /// The largest heap of the JVM less what is in use, in bytes.
    pub free_memory: i64,
    /// Memory that Flink manages, in bytes.
    pub managed_memory: i64,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// What a TaskManager uses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct TaskManagerMetricsInfo {
    /// Heap in use, in bytes.
    pub heap_used: i64,
    /// Heap that the JVM has, in bytes.
    pub heap_committed: i64,
    /// Heap that the JVM may have, in bytes.
    pub heap_max: i64,
    /// Memory beside the heap in use, in bytes.
    pub non_heap_used: i64,
    /// Memory beside the heap that the JVM has, in bytes.
    pub non_heap_committed: i64,
    /// Memory beside the heap that the JVM may have, in bytes; −1 without a limit.
    pub non_heap_max: i64,
    /// Its garbage collectors.
    pub garbage_collectors: Vec<GarbageCollectorInfo>,
    /// Buffers, as each version counts them: `directUsed`, `nettyShuffleMemoryTotal` and others.
    #[serde(flatten)]
    pub other: Other,
}

/// A garbage collector of a TaskManager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct GarbageCollectorInfo {
    /// Its name.
    pub name: String,
    /// How often it ran.
    pub count: i64,
    /// How long it ran, in milliseconds.
    pub time: i64,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// A slot that a job uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SlotInfo {
    /// The job.
    pub job_id: JobId,
    /// What the slot has.
    #[serde(default)]
    pub resource: ResourceProfileInfo,
    /// How many tasks run in it; since 2.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_tasks: Option<i64>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SlotInfo(job_id: JobId)
    empty(resource, assigned_tasks, other)
}

/// A configuration, in no order; answers `/jobmanager/config` and its like. Secrets are masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct ConfigurationInfo {
    /// Its options.
    pub entries: Vec<ConfigurationInfoEntry>,
}

constructor! {
    ConfigurationInfo(entries: Vec<ConfigurationInfoEntry>)
}

/// An option that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConfigurationInfoEntry {
    /// Its key.
    pub key: String,
    /// Its value.
    #[serde(default, deserialize_with = "text")]
    pub value: String,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ConfigurationInfoEntry(key: impl Into<String>, value: impl Into<String>)
    empty(other)
}

/// A JVM and its class path; answers `/jobmanager/environment`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EnvironmentInfo {
    /// The JVM.
    pub jvm: JvmInfo,
    /// Its class path.
    pub classpath: Vec<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// A JVM, as `EnvironmentInfo.JVMInfo`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct JvmInfo {
    /// Its name, vendor and version.
    pub version: String,
    /// The processor's architecture.
    pub arch: String,
    /// The options that it was started with.
    pub options: Vec<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

/// Log files; answers `/jobmanager/logs` and its like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogListInfo {
    /// The files, in no order.
    pub logs: Vec<LogInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    LogListInfo(logs: Vec<LogInfo>)
    empty(other)
}

/// A log file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogInfo {
    /// Its name.
    pub name: String,
    /// Its size, in bytes.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub size: i64,
    /// When it was written to last, in milliseconds since the epoch; since 1.17.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub mtime: Option<i64>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    LogInfo(name: impl Into<String>)
    unset(size)
    empty(mtime, other)
}

/// Where a log is to be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogUrlResponse {
    /// The address.
    pub url: String,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    LogUrlResponse(url: impl Into<String>)
    empty(other)
}

/// What the threads of a JVM do; answers `/jobmanager/thread-dump` and its like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ThreadDumpInfo {
    /// The threads.
    pub thread_infos: Vec<ThreadInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ThreadDumpInfo(thread_infos: Vec<ThreadInfo>)
    empty(other)
}

/// What a thread does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ThreadInfo {
    /// Its name.
    pub thread_name: String,
    /// Its state and stack, as text.
    #[serde(default)]
    pub stringified_thread_info: String,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ThreadInfo(thread_name: impl Into<String>)
    empty(stringified_thread_info, other)
}

/// What to profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfilingRequestBody {
    /// `CPU`, `ALLOC`, `LOCK`, `WALL` or `ITIMER`.
    pub mode: String,
    /// For how long, in seconds.
    pub duration: i64,
}

constructor! {
    ProfilingRequestBody(mode: impl Into<String>, duration: i64)
}

/// The profilings of a process, those that ended too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProfilingInfoList {
    /// The profilings, newest first.
    pub profiling_list: Vec<ProfilingInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ProfilingInfoList(profiling_list: Vec<ProfilingInfo>)
    empty(other)
}

/// A profiling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ProfilingInfo {
    /// `RUNNING`, `FINISHED` or `FAILED`.
    pub status: String,
    /// As in the request.
    pub mode: String,
    /// When it began, in milliseconds since the epoch.
    pub trigger_time: i64,
    /// When it ended, in milliseconds since the epoch.
    pub finished_time: Option<i64>,
    /// For how long, in seconds.
    pub duration: i64,
    /// How it went.
    pub message: Option<String>,
    /// The file with what was found.
    pub output_file: Option<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}
