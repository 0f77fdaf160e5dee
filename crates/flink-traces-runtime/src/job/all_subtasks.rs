//! Whether all subtasks of a job run.

use std::collections::BTreeSet;

use flink_traces_api::EventBuilder;

use super::events::{AllSubtasksStatus, all_subtasks_status_change_event};
use super::identity::ExecutionAttemptId;

/// The state of one attempt to run a subtask, as Flink's `ExecutionState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExecutionState {
    /// Not scheduled yet: what every attempt begins with.
    Created,
    /// It is to run, and waits for a place.
    Scheduled,
    /// On its way to that place.
    Deploying,
    /// It runs; its state is restored, if there is any.
    Running,
    /// Ended by itself.
    Finished,
    /// Told to end.
    Canceling,
    /// Ended because it was told to.
    Canceled,
    /// Ended by a failure.
    Failed,
    /// Waits to be found again after its coordinator was replaced.
    Reconciling,
    /// It restores its state.
    Initializing,
}

impl ExecutionState {
    /// All of them, in Flink's order.
    pub const ALL: [Self; 10] = [
        Self::Created,
        Self::Scheduled,
        Self::Deploying,
        Self::Running,
        Self::Finished,
        Self::Canceling,
        Self::Canceled,
        Self::Failed,
        Self::Reconciling,
        Self::Initializing,
    ];

    /// Flink's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Scheduled => "SCHEDULED",
            Self::Deploying => "DEPLOYING",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Canceling => "CANCELING",
            Self::Canceled => "CANCELED",
            Self::Failed => "FAILED",
            Self::Reconciling => "RECONCILING",
            Self::Initializing => "INITIALIZING",
        }
    }

    /// Whether the attempt has ended here: no other state follows. As Flink's `isTerminal`.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }
}

/// Makes an event `AllSubtasksStatusChangeEvent` when all subtasks of a streaming job have come to run, and when that ceased, as
/// Flink's `AllSubTasksRunningOrFinishedStateTimeMetrics`.
///
/// It waits for the attempts that were [scheduled](ExecutionState::Scheduled), so an engine schedules all before it starts the first.
/// All run once an attempt goes into [`Running`](ExecutionState::Running) and none of the scheduled is missing. One that finishes then
/// changes nothing, nor does another that is scheduled; one that is cancelled or fails does. For a batch job there is no such event.
///
/// ```
/// use flink_traces_runtime::job::{AllSubtasksTracker, ExecutionAttemptId, ExecutionState};
///
/// let mut tracker = AllSubtasksTracker::default();
/// let attempt = ExecutionAttemptId { job_vertex_id: "a0".into(), subtask_index: 0, attempt_number: 0 };
/// assert_eq!(tracker.report(&attempt, ExecutionState::Scheduled, 1_000), None);
/// // To be added to the job's metric group.
/// let event = tracker.report(&attempt, ExecutionState::Running, 1_250);
/// assert!(event.is_some());
/// ```
#[derive(Debug, Clone, Default)]
pub struct AllSubtasksTracker {
    /// Scheduled, and neither finished nor broken.
    expected: BTreeSet<ExecutionAttemptId>,
    running: BTreeSet<ExecutionAttemptId>,
    all_running: bool,
}

impl AllSubtasksTracker {
    /// Whether all subtasks run or have finished. Mirrors `getBinary`.
    pub fn is_all_running_or_finished(&self) -> bool {
        self.all_running
    }

    /// An attempt went into `state` at `ts_millis`, in milliseconds since the epoch. Mirrors `onStateUpdate`. Returns the event, if
    /// this is what all waited for or what ends it, to be added to the job's [`MetricGroup`](crate::MetricGroup).
    pub fn report(
        &mut self,
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
                // Whoever runs already is no news.
                let is_news = self.running.insert(attempt.clone());
                self.all_running |= is_news && self.expected.len() == self.running.len();
            }
            ExecutionState::Finished => {
                self.expected.remove(attempt);
            }
            ExecutionState::Created
            | ExecutionState::Canceling
            | ExecutionState::Canceled
            | ExecutionState::Failed
            | ExecutionState::Reconciling => {
                self.all_running = false;
                self.expected.remove(attempt);
            }
        }
        let status = match (was_all_running, self.all_running) {
            (false, true) => AllSubtasksStatus::AllRunningOrFinished,
            (true, false) => AllSubtasksStatus::NotAllRunningOrFinished,
            _ => return None,
        };
        Some(all_subtasks_status_change_event(status, ts_millis))
    }
}
