//! The words by which Flink names states and kinds.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An enum of known words that keeps a word it does not know.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A word that no version up to 2.3 has.
            Other(String),
        }

        impl $name {
            /// The word as Flink writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($word => Self::$variant,)+
                    _ => Self::Other(word),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    };
}

words! {
    /// The state of a job, as `org.apache.flink.api.common.JobStatus`.
    JobStatus {
        /// The JobMaster is being made; since 1.13.
        Initializing = "INITIALIZING",
        /// Nothing runs yet.
        Created = "CREATED",
        /// Tasks are scheduled or running; says nothing about whether all of them run.
        Running = "RUNNING",
        /// Failed, waiting for its tasks to end.
        Failing = "FAILING",
        /// Ended by a failure.
        Failed = "FAILED",
        /// Cancelled, waiting for its tasks to end.
        Cancelling = "CANCELLING",
        /// Ended by a user.
        Canceled = "CANCELED",
        /// Ended by itself, or stopped with a savepoint.
        Finished = "FINISHED",
        /// Between a failure and the next attempt.
        Restarting = "RESTARTING",
        /// Its JobManager let go of it; another may take it up.
        Suspended = "SUSPENDED",
        /// Waits for its tasks to report after a recovery.
        Reconciling = "RECONCILING",
    }
}

impl JobStatus {
    /// Whether the job has ended on every JobManager, as Flink's `isGloballyTerminalState`: no other state follows.
    pub fn is_globally_terminal(&self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }
}

words! {
    /// The state of a subtask or a vertex, as `org.apache.flink.runtime.execution.ExecutionState`.
    ExecutionState {
        /// Not scheduled yet.
        Created = "CREATED",
        /// Waits for a slot.
        Scheduled = "SCHEDULED",
        /// On its way to a TaskManager.
        Deploying = "DEPLOYING",
        /// Restores its state; since 1.13.
        Initializing = "INITIALIZING",
        /// Processes records.
        Running = "RUNNING",
        /// Ended by itself.
        Finished = "FINISHED",
        /// Told to end.
        Canceling = "CANCELING",
        /// Ended because it was told to.
        Canceled = "CANCELED",
        /// Ended by a failure.
        Failed = "FAILED",
        /// Waits to be found again after a recovery.
        Reconciling = "RECONCILING",
    }
}

words! {
    /// Where a checkpoint is, as `org.apache.flink.runtime.checkpoint.CheckpointStatsStatus`.
    CheckpointStatus {
        /// Not all subtasks have acknowledged it.
        InProgress = "IN_PROGRESS",
        /// Can be restored from.
        Completed = "COMPLETED",
        /// Was given up.
        Failed = "FAILED",
    }
}

words! {
    /// What kind of snapshot a checkpoint is, as `RestAPICheckpointType`; since 1.13.
    CheckpointType {
        /// A checkpoint, periodic or by hand, with aligned barriers.
        Checkpoint = "CHECKPOINT",
        /// A checkpoint whose barriers may overtake records; told from the former since 1.17.
        UnalignedCheckpoint = "UNALIGNED_CHECKPOINT",
        /// A savepoint.
        Savepoint = "SAVEPOINT",
        /// The savepoint that stops a job.
        SyncSavepoint = "SYNC_SAVEPOINT",
    }
}

words! {
    /// Whether a subtask has acknowledged a checkpoint, as `SubtaskCheckpointStatistics.status`.
    SubtaskCheckpointStatus {
        /// It has, and its numbers are there.
        Completed = "completed",
        /// It has not, yet or ever.
        PendingOrFailed = "pending_or_failed",
    }
}

words! {
    /// Whether an operation is going on, as `QueueStatus.Id`.
    QueueStatusId {
        /// It is.
        InProgress = "IN_PROGRESS",
        /// It has ended, well or not.
        Completed = "COMPLETED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn words_are_read_and_written_as_they_stand_also_as_keys() {
        let text = r#"{"RUNNING":"IN_PROGRESS","UNHEARD_OF":"NEW"}"#;
        let read: BTreeMap<JobStatus, CheckpointStatus> = serde_json::from_str(text).unwrap();
        assert_eq!(read[&JobStatus::Running], CheckpointStatus::InProgress);
        assert_eq!(read[&JobStatus::Other("UNHEARD_OF".into())], CheckpointStatus::Other("NEW".into()));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
