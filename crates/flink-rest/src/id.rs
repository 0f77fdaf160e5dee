//! Ids of jobs and other parameters of paths.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::escaped;

/// The maximum length in bytes: that of a file name, since ids of jars are file names.
const MAX_BYTES: usize = 255;
/// Fixed segments of Flink's paths (`/jobs/overview`), and segments that URL parsers remove.
const RESERVED: [&str; 4] = ["overview", "metrics", ".", ".."];

/// The error for a text that is not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid id {id:?}: expected 1 to {MAX_BYTES} bytes and none of {RESERVED:?}")]
#[non_exhaustive]
pub struct InvalidId {
    id: String,
}

fn checked(id: String) -> Result<String, InvalidId> {
    if id.is_empty() || id.len() > MAX_BYTES || RESERVED.contains(&id.as_str()) {
        return Err(InvalidId { id: escaped(&id, 40) });
    }
    Ok(id)
}

/// Checks that `name` stays in a folder when it is joined to its path.
fn checked_file_name(name: String) -> Result<String, InvalidId> {
    if name.contains(['/', '\\', '\0']) {
        return Err(InvalidId { id: escaped(&name, 40) });
    }
    checked(name)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        id! { $(#[$doc])* $name, checked }
    };
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        ///
        /// Any text is valid that can be a segment of a path. In a path, all characters but ASCII
        /// letters, digits, `-` and `_` are percent-encoded.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Creates an id.
            ///
            /// # Errors
            ///
            /// Returns an error if the text could not be a segment of a path.
            pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
                $check(id.into()).map(|id| Self(id.into()))
            }

            /// Returns the id as Flink writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(id: &str) -> Result<Self, InvalidId> {
                Self::new(id)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(id: String) -> Result<Self, InvalidId> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                String::from(&*id.0)
            }
        }
    };
}

id! {
    /// The id of a job: 32 hexadecimal digits. Flink's `JobID`.
    ///
    /// # Examples
    ///
    /// ```
    /// use flink_rest::JobId;
    ///
    /// let job: JobId = "0b1d198cd84d58810f0faf9761017b2f".parse()?;
    /// assert_eq!(job.as_str(), "0b1d198cd84d58810f0faf9761017b2f");
    /// assert!(JobId::new("overview").is_err());
    /// # Ok::<(), flink_rest::InvalidId>(())
    /// ```
    JobId
}
id! {
    /// The id of a vertex of a job's graph: 32 hexadecimal digits. Flink's `JobVertexID`.
    ///
    /// It is the same in every run of a program.
    JobVertexId
}
id! {
    /// The id of an application: 32 hexadecimal digits. Flink's `ApplicationID`.
    ApplicationId
}
id! {
    /// The id of a TaskManager. Flink's `ResourceID`.
    ///
    /// In 1.9 it is 32 hexadecimal digits. Later it is the value of `taskmanager.resource-id`, by
    /// default host, port and a suffix.
    TaskManagerId
}
id! {
    /// The id of an asynchronous operation: 32 hexadecimal digits. Flink's `TriggerId`.
    TriggerId
}
id! {
    /// The id of an uploaded jar: a UUID and the name of the file. It is never a path.
    JarId, checked_file_name
}
id! {
    /// The id of an intermediate result: 32 hexadecimal digits. Flink's `IntermediateDataSetID`.
    DataSetId
}
id! {
    /// The id of an operator.
    ///
    /// Up to 1.20 it is 32 hexadecimal digits, Flink's `OperatorID`. Later it is the uid from the
    /// program.
    OperatorId
}
id! {
    /// The id of a rescale: 32 hexadecimal digits.
    RescaleId
}
id! {
    /// The name of a log file or a file of a profiling. It is never a path.
    FileName, checked_file_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_that_cannot_be_a_segment_is_refused() {
        for id in ["0b1d198cd84d58810f0faf9761017b2f", "C554", "a/../b\n", "...", "é"] {
            assert_eq!(JobId::new(id).map(String::from), Ok(id.to_owned()));
        }
        for id in ["", ".", "..", "overview", "metrics", &"a".repeat(256)] {
            assert!(JobVertexId::new(id).is_err(), "{id:?}");
        }
        for name in ["../x", "a/b", "a\\b", "a\0", "/etc/passwd", "..", "."] {
            assert!(FileName::new(name).is_err() && JarId::new(name).is_err(), "{name:?}");
        }
        assert_eq!(FileName::new("a..b %2F.log").map(String::from), Ok("a..b %2F.log".to_owned()));
        assert_eq!(
            JobId::new("").unwrap_err().to_string(),
            r#"invalid id "": expected 1 to 255 bytes and none of ["overview", "metrics", ".", ".."]"#
        );
    }
}
