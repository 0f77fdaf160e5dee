//! The cluster as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lenient::{integer_or_unset, optional_integer, or_default, text, unset};

/// What the web UI needs to know; answers `/config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
}

/// How many TaskManagers, slots and jobs there are; answers `/overview`. Never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
}

/// All TaskManagers; answers `/taskmanagers`. Never cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskManagersInfo {
    /// In no order.
    pub taskmanagers: Vec<TaskManagerInfo>,
}

/// A TaskManager; its memory and hardware are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
}
