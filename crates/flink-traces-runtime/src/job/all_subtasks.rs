//! The tracker of the status of all subtasks.

use std::collections::BTreeSet;

use flink_traces_api::{EventBuilder, ExecutionState, Identity};

use super::events::{AllSubtasksStatus, all_subtasks_status_change_event};
use super::identity::{ExecutionAttemptId, NamedJob};

/// Builds an event `AllSubtasksStatusChangeEvent` when all subtasks of a streaming job run, and
/// when they no longer do.
///
/// Flink's `AllSubTasksRunningOrFinishedStateTimeMetrics`.
///
/// The tracker expects the attempts that were [scheduled](ExecutionState::Scheduled), so an engine
/// schedules all attempts before it starts the first. All run when an attempt enters
/// [`Running`](ExecutionState::Running) and no scheduled attempt is missing. After that, an attempt
/// that finishes or is scheduled changes nothing. An attempt that is canceled or fails ends the
/// status. A batch job has no such event.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::JobIdentity;
/// use flink_traces_runtime::job::{AllSubtasksTracker, ExecutionAttemptId, ExecutionState};
///
/// let job = JobIdentity { cluster: "prod", job_id: "5c4b" }.named("orders");
/// // The job starts at 1,000, without a checkpoint.
/// let initialization = job.identity.initialization(None, 1_000);
/// let mut tracker = AllSubtasksTracker::default();
/// let attempt =
///     ExecutionAttemptId { job_vertex_id: "a0".into(), subtask_index: 0, attempt_number: 0 };
/// let mut report =
///     |state, ts_millis| tracker.report(job, initialization, &attempt, state, ts_millis);
/// assert_eq!(report(ExecutionState::Scheduled, 1_000), None);
/// // Add the event to the job's metric group.
/// let event = report(ExecutionState::Running, 1_250);
/// assert!(event.is_some());
/// ```
#[derive(Debug, Clone, Default)]
pub struct AllSubtasksTracker {
    /// The attempts that were scheduled and have not ended.
    expected: BTreeSet<ExecutionAttemptId>,
    running: BTreeSet<ExecutionAttemptId>,
    all_running: bool,
}

impl AllSubtasksTracker {
    /// Returns `true` if all subtasks run or have finished. Mirrors `getBinary`.
    pub fn is_all_running_or_finished(&self) -> bool {
        self.all_running
    }

    /// Reports that an attempt entered `state` at `ts_millis`, in milliseconds since the epoch.
    ///
    /// `initialization` is the [identity](super::JobIdentity::initialization) of the job's last
    /// initialization. Mirrors `onStateUpdate`. Returns an event if the status of all subtasks
    /// changed. Add it to the job's [`MetricGroup`](crate::MetricGroup).
    pub fn report(
        &mut self,
        job: NamedJob<'_>,
        initialization: Identity,
        attempt: &ExecutionAttemptId,
        state: ExecutionState,
        ts_millis: i64,
    ) -> Option<EventBuilder> {
        let was_all_running = self.all_running;
        if state != ExecutionState::Running {
            self.running.remove(attempt);
        }
        match state {
            ExecutionState::Scheduled => {
                self.expected.insert(attempt.clone());
            }
            ExecutionState::Deploying | ExecutionState::Initializing => {}
            ExecutionState::Running => {
                // A repeated report of a running attempt changes nothing.
                let is_news = self.running.insert(attempt.clone());
                self.all_running |= is_news && self.expected.len() == self.running.len();
            }
            ExecutionState::Finished => {
                self.expected.remove(attempt);
            }
            _ => {
                self.all_running = false;
                self.expected.remove(attempt);
            }
        }
        let status = match (was_all_running, self.all_running) {
            (false, true) => AllSubtasksStatus::AllRunningOrFinished,
            (true, false) => AllSubtasksStatus::NotAllRunningOrFinished,
            _ => return None,
        };
        Some(all_subtasks_status_change_event(job, status, initialization, ts_millis))
    }
}
