//! The TaskManagers of an engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use flink_rest::types::{HardwareDescription, ResourceProfileInfo, SlotInfo, TaskManagerInfo, TaskManagerMetricsInfo};

use super::job::{TrackedJob, UNSET};
use crate::setters::setters;

/// A TaskManager: a process, or a group of threads, in which subtasks run. Flink's
/// `TaskExecutorRegistration`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TaskExecutorRegistration {
    /// The id, which is the `task_manager_id` of its [`DeployedTask`](crate::job::DeployedTask)s.
    pub resource_id: String,
    /// The address, as text for people.
    pub address: String,
    /// The port from which other TaskManagers read; `None` if there is none.
    pub data_port: Option<u16>,
    /// The number of subtasks of each vertex that can run at the same time.
    pub slots: u32,
    /// The machine, with −1 for unknown values.
    pub hardware: HardwareDescription,
}

impl TaskExecutorRegistration {
    /// Creates the registration of a TaskManager without a data port and of an unknown machine.
    pub fn new(resource_id: impl Into<String>, address: impl Into<String>, slots: u32) -> Self {
        let mut hardware = HardwareDescription::default();
        (hardware.cpu_cores, hardware.physical_memory) = (UNSET, UNSET);
        (hardware.free_memory, hardware.managed_memory) = (UNSET, UNSET);
        Self { resource_id: resource_id.into(), address: address.into(), data_port: None, slots, hardware }
    }

    setters! {
        with_data_port: data_port, into Option<u16>;
        with_hardware: hardware, HardwareDescription;
    }
}

/// A registered TaskManager.
#[derive(Debug, Clone)]
pub(super) struct TaskManager {
    pub(super) registration: TaskExecutorRegistration,
    /// The last heartbeat in milliseconds since the epoch, if there was one.
    pub(super) last_heartbeat: Option<i64>,
}

/// The slots that jobs use, by the id of the TaskManager.
#[derive(Debug)]
pub(super) struct AllocatedSlots(BTreeMap<String, Vec<SlotInfo>>);

impl AllocatedSlots {
    pub(super) fn of(jobs: &[Arc<TrackedJob>]) -> Self {
        let mut workers = BTreeMap::<_, Vec<_>>::new();
        for job in jobs {
            for (worker, subtasks) in job.deployed() {
                workers.entry(worker).or_default().extend(slots(&subtasks).map(|tasks| {
                    let mut slot = SlotInfo::new(job.id().clone());
                    slot.resource = unknown();
                    slot.assigned_tasks = Some(tasks);
                    slot
                }));
            }
        }
        Self(workers)
    }

    fn of_worker(&self, resource_id: &str) -> &[SlotInfo] {
        self.0.get(resource_id).map_or(&[], Vec::as_slice)
    }
}

impl TaskManager {
    pub(super) fn free_slots(&self, allocated: &AllocatedSlots) -> i64 {
        let used = allocated.of_worker(&self.registration.resource_id).len();
        (i64::from(self.registration.slots) - used as i64).max(0)
    }

    /// Returns the details of the TaskManager.
    pub(super) fn info(&self, allocated: &AllocatedSlots, now: i64) -> TaskManagerInfo {
        let Self { registration, last_heartbeat } = self;
        let used = allocated.of_worker(&registration.resource_id);
        let mut info = TaskManagerInfo::new(registration.resource_id.clone());
        info.path = registration.address.clone();
        info.data_port = registration.data_port.map(i64::from);
        // A TaskManager without heartbeats is in this process, which is alive.
        info.time_since_last_heartbeat = Some(last_heartbeat.unwrap_or(now));
        info.slots_number = Some(registration.slots.into());
        info.free_slots = Some(self.free_slots(allocated));
        info.jmx_port = Some(UNSET);
        info.assigned_tasks = Some(used.iter().filter_map(|slot| slot.assigned_tasks).sum());
        info.total_resource = Some(unknown());
        info.free_resource = Some(unknown());
        info.hardware = Some(registration.hardware.clone());
        info.memory_configuration = Some(BTreeMap::new());
        // There is no JVM.
        let mut metrics = TaskManagerMetricsInfo::default();
        metrics.non_heap_max = Some(0);
        info.metrics = Some(metrics);
        info.allocated_slots = Some(used.to_vec());
        info
    }
}

/// Returns the number of subtasks in each slot, which takes at most one subtask of each vertex.
fn slots(subtasks: &[usize]) -> impl Iterator<Item = i64> {
    let most = subtasks.iter().copied().max().unwrap_or(0);
    (0..most).map(|slot| subtasks.iter().filter(|count| **count > slot).count() as i64)
}

/// Returns Flink's `ResourceProfile.UNKNOWN`.
fn unknown() -> ResourceProfileInfo {
    let mut resource = ResourceProfileInfo::default();
    resource.cpu_cores = Some(UNSET as f64);
    resource.task_heap_memory = Some(UNSET);
    resource.task_off_heap_memory = Some(UNSET);
    resource.managed_memory = Some(UNSET);
    resource.network_memory = Some(UNSET);
    resource
}
