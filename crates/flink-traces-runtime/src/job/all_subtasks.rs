//! The tracker of the status of all subtasks.

use std::collections::BTreeSet;

use flink_traces_api::{EventBuilder, Identity};

use super::events::{AllSubtasksStatus, all_subtasks_status_change_event};
use super::identity::{ExecutionAttemptId, NamedJob};

/// The state of one attempt to run a subtask. Flink's `ExecutionState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExecutionState {
    /// The attempt is not scheduled yet. Every attempt begins in this state.
    Created,
    /// The attempt waits for a slot.
    Scheduled,
    /// The attempt is being deployed to its slot.
    Deploying,
    /// The attempt runs, and its state is restored.
    Running,
    /// The attempt ended by itself.
    Finished,
    /// The attempt was asked to end.
    Canceling,
    /// The attempt ended because it was canceled.
    Canceled,
    /// The attempt ended with a failure.
    Failed,
    /// The attempt waits to be found by a new JobManager.
    Reconciling,
    /// The attempt restores its state.
    Initializing,
}

impl ExecutionState {
    /// All states, in Flink's order.
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

    /// Returns the state with Flink's name `name`, such as that of a REST response.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Returns Flink's name of the state.
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

    /// Returns `true` if no other state follows. Flink's `isTerminal`.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }
}

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
        Some(all_subtasks_status_change_event(job, status, initialization, ts_millis))
    }
}
