//! The states of jobs and of their subtasks.

use std::fmt;

/// Implements the names of an enum.
macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal,)+ }) => {
        impl $type {
            /// All values, in Flink's order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Returns Flink's name of the value.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns the value with Flink's name `name`, such as that of a REST response.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

/// The status of a job. Flink's `org.apache.flink.api.common.JobStatus`.
///
/// # Examples
///
/// ```
/// use flink_traces_api::JobStatus;
///
/// let status = JobStatus::from_name("SUSPENDED");
/// assert_eq!(status, Some(JobStatus::Suspended));
/// assert!(JobStatus::Suspended.is_terminal() && !JobStatus::Suspended.is_globally_terminal());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum JobStatus {
    /// The JobMaster is being created; since 1.13.
    Initializing,
    /// No task is scheduled yet.
    Created,
    /// Tasks are scheduled or run, but not necessarily all of them.
    Running,
    /// The job failed for good and waits for its tasks to end.
    Failing,
    /// The job ended with a failure.
    Failed,
    /// The job was canceled and waits for its tasks to end.
    Cancelling,
    /// The job was ended by a user.
    Canceled,
    /// The job ended by itself, or was stopped with a savepoint.
    Finished,
    /// The job failed and waits for its next start.
    Restarting,
    /// The JobMaster released the job, and another one may take it over.
    Suspended,
    /// The job waits for running tasks to be found again, after a recovery.
    Reconciling,
}

names! {
    JobStatus {
        Initializing = "INITIALIZING",
        Created = "CREATED",
        Running = "RUNNING",
        Failing = "FAILING",
        Failed = "FAILED",
        Cancelling = "CANCELLING",
        Canceled = "CANCELED",
        Finished = "FINISHED",
        Restarting = "RESTARTING",
        Suspended = "SUSPENDED",
        Reconciling = "RECONCILING",
    }
}

impl JobStatus {
    /// Returns `true` if no other status follows, including `SUSPENDED`.
    ///
    /// Flink's `isTerminalState`.
    pub const fn is_terminal(self) -> bool {
        self.is_globally_terminal() || matches!(self, Self::Suspended)
    }

    /// Returns `true` if no other status follows on any JobManager.
    ///
    /// Flink's `isGloballyTerminalState`.
    pub const fn is_globally_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }
}

/// The state of one attempt to run a subtask, and of a vertex. Flink's
/// `org.apache.flink.runtime.execution.ExecutionState`.
///
/// Flink derives the state of a vertex from those of its subtasks.
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
    /// The attempt waits to be found by a new JobManager, after a recovery.
    Reconciling,
    /// The attempt restores its state; since 1.13.
    Initializing,
}

names! {
    ExecutionState {
        Created = "CREATED",
        Scheduled = "SCHEDULED",
        Deploying = "DEPLOYING",
        Running = "RUNNING",
        Finished = "FINISHED",
        Canceling = "CANCELING",
        Canceled = "CANCELED",
        Failed = "FAILED",
        Reconciling = "RECONCILING",
        Initializing = "INITIALIZING",
    }
}

impl ExecutionState {
    /// Returns `true` if no other state follows. Flink's `isTerminal`.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks names against `names`, which are in Flink's order.
    fn check<T: Copy + Ord + fmt::Debug + fmt::Display>(
        all: &[T],
        name: fn(T) -> &'static str,
        from_name: fn(&str) -> Option<T>,
        names: &str,
    ) {
        let texts = |text: &dyn Fn(&T) -> String| all.iter().map(text).collect::<Vec<_>>().join(" ");
        assert_eq!(texts(&|value| name(*value).to_owned()), names);
        assert_eq!(texts(&|value| value.to_string()), names);
        assert!(all.is_sorted());
        for value in all {
            assert_eq!(from_name(name(*value)), Some(*value));
            assert_eq!(from_name(&name(*value).to_lowercase()), None);
            assert_eq!(format!("{value:>13}"), format!("{:>13}", name(*value)));
        }
        assert_eq!(from_name("UNHEARD_OF"), None);
    }

    #[test]
    fn names_and_order_equal_flinks() {
        check(
            &JobStatus::ALL,
            JobStatus::name,
            JobStatus::from_name,
            "INITIALIZING CREATED RUNNING FAILING FAILED CANCELLING CANCELED FINISHED RESTARTING SUSPENDED RECONCILING",
        );
        check(
            &ExecutionState::ALL,
            ExecutionState::name,
            ExecutionState::from_name,
            "CREATED SCHEDULED DEPLOYING RUNNING FINISHED CANCELING CANCELED FAILED RECONCILING INITIALIZING",
        );
    }

    #[test]
    fn terminal_states_equal_flinks() {
        fn names<T: fmt::Display>(values: impl Iterator<Item = T>) -> String {
            values.map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
        }
        let statuses = || JobStatus::ALL.into_iter();
        assert_eq!(names(statuses().filter(|status| status.is_terminal())), "FAILED CANCELED FINISHED SUSPENDED");
        assert_eq!(names(statuses().filter(|status| status.is_globally_terminal())), "FAILED CANCELED FINISHED");
        let states = ExecutionState::ALL.into_iter();
        assert_eq!(names(states.filter(|state| state.is_terminal())), "FINISHED CANCELED FAILED");
    }
}
