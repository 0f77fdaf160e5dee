//! Flink's names of statuses and types of checkpoints and operations.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares an enum of known words that keeps an unknown word.
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
            /// Returns the word as Flink writes it.
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
    /// The status of a checkpoint. Flink's
    /// `org.apache.flink.runtime.checkpoint.CheckpointStatsStatus`.
    CheckpointStatus {
        /// Not all subtasks have acknowledged the checkpoint.
        InProgress = "IN_PROGRESS",
        /// The checkpoint is complete and can be restored.
        Completed = "COMPLETED",
        /// The checkpoint failed or was aborted.
        Failed = "FAILED",
    }
}

words! {
    /// The type of a checkpoint; since 1.13. Flink's `RestAPICheckpointType`.
    CheckpointType {
        /// A periodic or manual checkpoint with aligned barriers.
        Checkpoint = "CHECKPOINT",
        /// A checkpoint whose barriers may overtake records; a type of its own since 1.17.
        UnalignedCheckpoint = "UNALIGNED_CHECKPOINT",
        /// A savepoint.
        Savepoint = "SAVEPOINT",
        /// The savepoint that stops a job.
        SyncSavepoint = "SYNC_SAVEPOINT",
    }
}

words! {
    /// The status of a checkpoint at a subtask. Flink's `SubtaskCheckpointStatistics.status`.
    SubtaskCheckpointStatus {
        /// The subtask has acknowledged the checkpoint, and its numbers are known.
        Completed = "completed",
        /// The subtask has not acknowledged the checkpoint.
        PendingOrFailed = "pending_or_failed",
    }
}

words! {
    /// The status of an operation. Flink's `QueueStatus.Id`.
    QueueStatusId {
        /// The operation is in progress.
        InProgress = "IN_PROGRESS",
        /// The operation succeeded or failed.
        Completed = "COMPLETED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn words_survive_a_round_trip_even_as_keys() {
        let text = r#"{"CHECKPOINT":"IN_PROGRESS","UNHEARD_OF":"NEW"}"#;
        let read: BTreeMap<CheckpointType, CheckpointStatus> = serde_json::from_str(text).unwrap();
        assert_eq!(read[&CheckpointType::Checkpoint], CheckpointStatus::InProgress);
        assert_eq!(read[&CheckpointType::Other("UNHEARD_OF".into())], CheckpointStatus::Other("NEW".into()));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
