//! The cluster as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use crate::JobId;
use crate::lenient::{minus_one, optional_double, optional_integer, or_default, text};

/// The configuration of the web UI, returned by `/config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DashboardConfiguration {
    /// The refresh interval of the web UI, in milliseconds.
    ///
    /// Up to 2.2 it is also the maximum age of the response of `/jobs/:jobid`.
    #[serde(default, with = "minus_one")]
    pub refresh_interval: Option<i64>,
    /// The time zone of the JobManager, such as `Coordinated Universal Time`.
    #[serde(default, deserialize_with = "text")]
    pub timezone_name: String,
    /// The offset of the time zone from UTC, in milliseconds.
    #[serde(default, deserialize_with = "optional_integer")]
    pub timezone_offset: Option<i64>,
    /// The version of Flink, such as `1.20.5`.
    pub flink_version: String,
    /// The commit from which Flink was built, with its date.
    #[serde(default, deserialize_with = "text")]
    pub flink_revision: String,
    /// The actions of the web UI, such as `web-submit`, each with `true` if it is allowed.
    #[serde(default, deserialize_with = "or_default")]
    pub features: BTreeMap<String, bool>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    DashboardConfiguration(flink_version: impl Into<String>)
    empty(refresh_interval, timezone_name, timezone_offset, flink_revision, features, other)
}

/// The numbers of TaskManagers, slots and jobs, returned by `/overview`.
///
/// The response is never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ClusterOverviewWithVersion {
    /// The number of registered TaskManagers.
    ///
    /// A lost TaskManager is counted until Flink gives up its connection or its heartbeat.
    #[serde(default, with = "minus_one")]
    pub taskmanagers: Option<i64>,
    /// The number of blocked TaskManagers; since 1.17, absent if there are none.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub taskmanagers_blocked: Option<i64>,
    /// The number of slots of the TaskManagers.
    #[serde(default, with = "minus_one")]
    pub slots_total: Option<i64>,
    /// The number of free slots.
    #[serde(default, with = "minus_one")]
    pub slots_available: Option<i64>,
    /// The number of free slots on blocked TaskManagers; since 1.17, absent if there are none.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub slots_free_and_blocked: Option<i64>,
    /// The number of jobs that have not ended.
    #[serde(default, with = "minus_one")]
    pub jobs_running: Option<i64>,
    /// The number of jobs that ended by themselves or were stopped.
    #[serde(default, with = "minus_one")]
    pub jobs_finished: Option<i64>,
    /// The number of jobs that were canceled.
    #[serde(default, with = "minus_one")]
    pub jobs_cancelled: Option<i64>,
    /// The number of jobs that failed.
    #[serde(default, with = "minus_one")]
    pub jobs_failed: Option<i64>,
    /// The version of Flink, such as `1.20.5`.
    pub flink_version: String,
    /// The commit from which Flink was built.
    #[serde(default, deserialize_with = "text")]
    pub flink_commit: String,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ClusterOverviewWithVersion(flink_version: impl Into<String>)
    empty(taskmanagers, slots_total, slots_available, jobs_running, jobs_finished, jobs_cancelled, jobs_failed, taskmanagers_blocked, slots_free_and_blocked, flink_commit, other)
}

/// All TaskManagers, returned by `/taskmanagers`.
///
/// The response is never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskManagersInfo {
    /// The TaskManagers, in no particular order.
    pub taskmanagers: Vec<TaskManagerInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    TaskManagersInfo(taskmanagers: Vec<TaskManagerInfo>)
    empty(other)
}

/// A TaskManager, returned by `/taskmanagers/:taskmanagerid`.
///
/// [`TaskManagersInfo`] consists of the same type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TaskManagerInfo {
    /// The resource id of the TaskManager.
    ///
    /// In 1.9 it is 32 hexadecimal digits. Since then it is `taskmanager.resource-id`, or host,
    /// port and a suffix.
    pub id: String,
    /// The address of the TaskManager's RPC endpoint.
    #[serde(default, deserialize_with = "text")]
    pub path: String,
    /// The port from which other TaskManagers read.
    #[serde(default, with = "minus_one")]
    pub data_port: Option<i64>,
    /// The time of the last heartbeat, in milliseconds since the epoch despite its name; 0 before
    /// the first.
    #[serde(default, with = "minus_one")]
    pub time_since_last_heartbeat: Option<i64>,
    /// The number of slots.
    #[serde(default, with = "minus_one")]
    pub slots_number: Option<i64>,
    /// The number of free slots.
    #[serde(default, with = "minus_one")]
    pub free_slots: Option<i64>,
    /// `true` if the TaskManager is blocked; since 1.17, absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<bool>,
    /// The port for JMX, or −1 without one; since 1.13.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub jmx_port: Option<i64>,
    /// The number of tasks that the TaskManager runs; since 2.3.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub assigned_tasks: Option<i64>,
    /// The resources of all slots together; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_resource: Option<ResourceProfileInfo>,
    /// The free resources; since 1.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_resource: Option<ResourceProfileInfo>,
    /// The machine of the TaskManager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<HardwareDescription>,
    /// The sizes of the memory areas, in bytes, by name, such as `taskHeap`; since 1.13.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_configuration: Option<BTreeMap<String, Option<i64>>>,
    /// The resource usage of the TaskManager; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<TaskManagerMetricsInfo>,
    /// The slots in use; since 1.13, absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_slots: Option<Vec<SlotInfo>>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    TaskManagerInfo(id: impl Into<String>)
    empty(data_port, time_since_last_heartbeat, slots_number, free_slots, path, blocked, jmx_port, assigned_tasks, total_resource, free_resource, hardware, memory_configuration, metrics, allocated_slots, other)
}

/// The resources of one slot or of several slots.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ResourceProfileInfo {
    /// The number of CPU cores.
    #[serde(deserialize_with = "optional_double::deserialize", serialize_with = "optional_double::serialize")]
    pub cpu_cores: Option<f64>,
    /// The heap for tasks, in MiB.
    pub task_heap_memory: Option<i64>,
    /// The off-heap memory for tasks, in MiB.
    pub task_off_heap_memory: Option<i64>,
    /// The memory that Flink manages, in MiB.
    pub managed_memory: Option<i64>,
    /// The memory for network buffers, in MiB.
    pub network_memory: Option<i64>,
    /// The other resources, by name.
    pub extended_resources: BTreeMap<String, f64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// The machine of a TaskManager.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct HardwareDescription {
    /// The number of CPU cores.
    pub cpu_cores: i64,
    /// The memory of the machine, in bytes.
    pub physical_memory: i64,
    /// The maximum heap of the JVM minus the memory in use, in bytes.
    pub free_memory: i64,
    /// The memory that Flink manages, in bytes.
    pub managed_memory: i64,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// The resource usage of a TaskManager.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct TaskManagerMetricsInfo {
    /// The heap in use, in bytes.
    pub heap_used: i64,
    /// The heap that the JVM has, in bytes.
    pub heap_committed: i64,
    /// The heap that the JVM may have, in bytes.
    pub heap_max: i64,
    /// The non-heap memory in use, in bytes.
    pub non_heap_used: i64,
    /// The non-heap memory that the JVM has, in bytes.
    pub non_heap_committed: i64,
    /// The non-heap memory that the JVM may have, in bytes; `None` without a limit.
    #[serde(with = "minus_one")]
    pub non_heap_max: Option<i64>,
    /// The garbage collectors of the TaskManager.
    pub garbage_collectors: Vec<GarbageCollectorInfo>,
    /// The fields that this crate does not name.
    ///
    /// They count buffers and differ between versions: `directUsed`, `nettyShuffleMemoryTotal` and
    /// others.
    #[serde(flatten)]
    pub other: Other,
}

/// A garbage collector of a TaskManager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct GarbageCollectorInfo {
    /// The name of the garbage collector.
    pub name: String,
    /// The number of times that the garbage collector ran.
    pub count: i64,
    /// The total time that the garbage collector ran, in milliseconds.
    pub time: i64,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// A slot that a job uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SlotInfo {
    /// The id of the job.
    pub job_id: JobId,
    /// The resources of the slot.
    #[serde(default)]
    pub resource: ResourceProfileInfo,
    /// The number of tasks that run in the slot; since 2.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_tasks: Option<i64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    SlotInfo(job_id: JobId)
    empty(resource, assigned_tasks, other)
}

/// A configuration, returned by `/jobmanager/config` and similar endpoints.
///
/// Secrets are masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct ConfigurationInfo {
    /// The options, in no particular order.
    pub entries: Vec<ConfigurationInfoEntry>,
}

constructor! {
    ConfigurationInfo(entries: Vec<ConfigurationInfoEntry>)
}

/// An option that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConfigurationInfoEntry {
    /// The key of the option.
    pub key: String,
    /// The value of the option.
    #[serde(default, deserialize_with = "text")]
    pub value: String,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ConfigurationInfoEntry(key: impl Into<String>, value: impl Into<String>)
    empty(other)
}

/// A JVM and its class path, returned by `/jobmanager/environment`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EnvironmentInfo {
    /// The JVM.
    pub jvm: JvmInfo,
    /// The class path of the JVM.
    pub classpath: Vec<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// A JVM, as `EnvironmentInfo.JVMInfo`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct JvmInfo {
    /// The name, vendor and version of the JVM.
    pub version: String,
    /// The architecture of the processor.
    pub arch: String,
    /// The options with which the JVM was started.
    pub options: Vec<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

/// Log files, returned by `/jobmanager/logs` and similar endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogListInfo {
    /// The files, in no particular order.
    pub logs: Vec<LogInfo>,
    /// The fields that this crate does not name.
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
    /// The name of the file.
    pub name: String,
    /// The size of the file, in bytes.
    #[serde(default, with = "minus_one")]
    pub size: Option<i64>,
    /// The time of the last write, in milliseconds since the epoch; since 1.17.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub mtime: Option<i64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    LogInfo(name: impl Into<String>)
    empty(size, mtime, other)
}

/// The address at which a log can be viewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogUrlResponse {
    /// The address.
    pub url: String,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    LogUrlResponse(url: impl Into<String>)
    empty(other)
}

/// The threads of a JVM, returned by `/jobmanager/thread-dump` and similar endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ThreadDumpInfo {
    /// The threads.
    pub thread_infos: Vec<ThreadInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ThreadDumpInfo(thread_infos: Vec<ThreadInfo>)
    empty(other)
}

/// A thread and its activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ThreadInfo {
    /// The name of the thread.
    pub thread_name: String,
    /// The state and the stack of the thread, as text.
    #[serde(default)]
    pub stringified_thread_info: String,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ThreadInfo(thread_name: impl Into<String>)
    empty(stringified_thread_info, other)
}

/// A request to profile a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfilingRequestBody {
    /// The mode: `CPU`, `ALLOC`, `LOCK`, `WALL` or `ITIMER`.
    pub mode: String,
    /// The duration of the profiling, in seconds.
    pub duration: i64,
}

constructor! {
    ProfilingRequestBody(mode: impl Into<String>, duration: i64)
}

/// The profilings of a process, including those that have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProfilingInfoList {
    /// The profilings, newest first.
    pub profiling_list: Vec<ProfilingInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ProfilingInfoList(profiling_list: Vec<ProfilingInfo>)
    empty(other)
}

/// A profiling of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ProfilingInfo {
    /// The status: `RUNNING`, `FINISHED` or `FAILED`.
    pub status: String,
    /// The mode, as in the request.
    pub mode: String,
    /// The start time, in milliseconds since the epoch.
    pub trigger_time: i64,
    /// The end time, in milliseconds since the epoch.
    pub finished_time: Option<i64>,
    /// The duration, in seconds.
    pub duration: i64,
    /// A message about the outcome.
    pub message: Option<String>,
    /// The file with the results.
    pub output_file: Option<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}
