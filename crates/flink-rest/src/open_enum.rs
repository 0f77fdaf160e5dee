//! Flink's states on the wire, where a newer version may have more of them.

use std::fmt;

use flink_traces_api::{ExecutionState, JobStatus};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A closed enum with Flink's names, which an [`OpenEnum`] may contain.
pub trait ClosedEnum: Copy + Ord {
    /// Returns Flink's name of the value.
    fn name(self) -> &'static str;

    /// Returns the value with Flink's name `name`.
    fn from_name(name: &str) -> Option<Self>;
}

impl ClosedEnum for JobStatus {
    fn name(self) -> &'static str {
        Self::name(self)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::from_name(name)
    }
}

impl ClosedEnum for ExecutionState {
    fn name(self) -> &'static str {
        Self::name(self)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::from_name(name)
    }
}

/// A [`JobStatus`] or an [`ExecutionState`] in a body, or a word that no version up to 2.3 has.
///
/// Keys of a map are in Flink's order of the states. Other words come last.
///
/// # Examples
///
/// ```
/// use flink_rest::{JobStatus, OpenEnum};
///
/// let state = OpenEnum::<JobStatus>::from("FAILED".to_owned());
/// assert!(state == JobStatus::Failed);
/// assert!(state.known().is_some_and(JobStatus::is_terminal));
///
/// let newer = OpenEnum::<JobStatus>::from("PAUSED".to_owned());
/// assert_eq!((newer.known(), newer.as_str()), (None, "PAUSED"));
/// ```
// Exhaustive: a word is known or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpenEnum<T> {
    /// A value that this version of the crate knows.
    Known(T),
    /// A word that no version up to 2.3 has.
    Other(String),
}

impl<T: Copy> OpenEnum<T> {
    /// Returns the value, or `None` for a word that no version up to 2.3 has.
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Other(_) => None,
        }
    }
}

impl<T: ClosedEnum> OpenEnum<T> {
    /// Returns the word as Flink writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(value) => value.name(),
            Self::Other(word) => word,
        }
    }
}

impl<T: ClosedEnum> From<T> for OpenEnum<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: ClosedEnum> From<String> for OpenEnum<T> {
    fn from(word: String) -> Self {
        T::from_name(&word).map_or(Self::Other(word), Self::Known)
    }
}

impl<T: ClosedEnum> PartialEq<T> for OpenEnum<T> {
    fn eq(&self, other: &T) -> bool {
        self.known() == Some(*other)
    }
}

impl<T: ClosedEnum> fmt::Display for OpenEnum<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<T: ClosedEnum> Serialize for OpenEnum<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: ClosedEnum> Deserialize<'de> for OpenEnum<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn open<T: ClosedEnum>(word: &str) -> OpenEnum<T> {
        OpenEnum::from(word.to_owned())
    }

    #[test]
    fn every_word_survives_a_round_trip() {
        fn check<T: ClosedEnum + fmt::Debug>(word: &str, expected: OpenEnum<T>) {
            let json = format!("\"{word}\"");
            let read: OpenEnum<T> = serde_json::from_str(&json).unwrap();
            assert_eq!(read, expected);
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
            assert_eq!((read.as_str(), read.to_string().as_str()), (word, word));
            assert_eq!(format!("{read:>13}"), format!("{word:>13}"));
        }
        for status in JobStatus::ALL {
            check(status.name(), OpenEnum::Known(status));
        }
        for state in ExecutionState::ALL {
            check(state.name(), OpenEnum::Known(state));
        }
        check::<JobStatus>("UNHEARD_OF", OpenEnum::Other("UNHEARD_OF".to_owned()));
        check::<JobStatus>("running", OpenEnum::Other("running".to_owned()));
        // Only a job has this state.
        check::<ExecutionState>("RESTARTING", OpenEnum::Other("RESTARTING".to_owned()));
        assert!(serde_json::from_str::<OpenEnum<JobStatus>>("1").is_err());
    }

    #[test]
    fn only_known_word_has_a_value_and_equals_it() {
        let running = OpenEnum::from(JobStatus::Running);
        assert_eq!((running.known(), open::<JobStatus>("RUNNINGS").known()), (Some(JobStatus::Running), None));
        assert!(running == JobStatus::Running && running != JobStatus::Failed);
        assert!(open("RUNNINGS") != JobStatus::Running);
        assert!(running == open("RUNNING") && open::<JobStatus>("A") != open("B"));
    }

    /// Guarantees: the keys of a written map are in Flink's order, and other words come last.
    #[test]
    fn keys_are_written_in_the_order_of_flink() {
        fn written<T: ClosedEnum>(values: &[T]) -> String {
            let words = ["OTHER_B", "OTHER_A"].map(|word| OpenEnum::Other(word.to_owned()));
            let keys = words.into_iter().chain(values.iter().copied().rev().map(OpenEnum::Known));
            let map: BTreeMap<_, _> = keys.zip(0..).collect();
            let json = serde_json::to_string(&map).unwrap();
            let read: BTreeMap<OpenEnum<T>, i64> = serde_json::from_str(&json).unwrap();
            assert!(read == map);
            read.keys().map(OpenEnum::as_str).collect::<Vec<_>>().join(" ")
        }
        assert_eq!(
            written(&JobStatus::ALL),
            "INITIALIZING CREATED RUNNING FAILING FAILED CANCELLING CANCELED FINISHED RESTARTING SUSPENDED RECONCILING \
             OTHER_A OTHER_B"
        );
        assert_eq!(
            written(&ExecutionState::ALL),
            "CREATED SCHEDULED DEPLOYING RUNNING FINISHED CANCELING CANCELED FAILED RECONCILING INITIALIZING \
             OTHER_A OTHER_B"
        );
    }
}
