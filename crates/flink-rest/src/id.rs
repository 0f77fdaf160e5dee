//! Ids of jobs and whatever else has a place in a request path.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::escaped;

/// As long as a file's name may be, which ids of jars are.
const LONGEST: usize = 255;
/// What stands in an id's place in paths of Flink's own (`/jobs/overview`), and what every URL parser removes.
const RESERVED: [&str; 4] = ["overview", "metrics", ".", ".."];

/// A text that cannot be the id of anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id:?} is no id: an id has 1 to {LONGEST} bytes and is none of {RESERVED:?}")]
#[non_exhaustive]
pub struct InvalidId {
    id: String,
}

fn checked(id: String) -> Result<String, InvalidId> {
    if id.is_empty() || id.len() > LONGEST || RESERVED.contains(&id.as_str()) {
        return Err(InvalidId { id: escaped(&id, 40) });
    }
    Ok(id)
}

/// What may be joined to a folder's path and stays in it.
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
        /// Any text is taken: in a path, all but ASCII letters, digits, `-` and `_` are percent-encoded. Refused is what could not come
        /// back out of a path.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id that `id` is.
            pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
                $check(id.into()).map(Self)
            }

            /// The id as Flink wrote it.
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
                id.0
            }
        }
    };
}

id! {
    /// The id of a job, as `org.apache.flink.api.common.JobID`: 32 hexadecimal digits.
    JobId
}
id! {
    /// The id of a vertex of a job's graph, as `org.apache.flink.runtime.jobgraph.JobVertexID`: 32 hexadecimal digits, the
    /// same in every run of one program.
    JobVertexId
}
id! {
    /// The id of an application, as `ApplicationID`: 32 hexadecimal digits.
    ApplicationId
}
id! {
    /// The id of a TaskManager, as `ResourceID`: 32 hexadecimal digits in 1.9, since then what `taskmanager.resource-id` says or host, port
    /// and a suffix.
    TaskManagerId
}
id! {
    /// The id of an operation that takes its time, as `TriggerId`: 32 hexadecimal digits.
    TriggerId
}
id! {
    /// The id of a jar that was uploaded: a UUID and the file's name. It is no path.
    JarId, checked_file_name
}
id! {
    /// The id of an intermediate result, as `IntermediateDataSetID`: 32 hexadecimal digits.
    DataSetId
}
id! {
    /// The id of an operator: up to 1.20 as `OperatorID`, 32 hexadecimal digits, since then the uid that the program gave it.
    OperatorId
}
id! {
    /// The id of a rescale: 32 hexadecimal digits.
    RescaleId
}
id! {
    /// The name of a log file or of a profiling's. It is no path.
    FileName, checked_file_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_cannot_come_back_out_of_a_path_is_refused() {
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
            r#""" is no id: an id has 1 to 255 bytes and is none of ["overview", "metrics", ".", ".."]"#
        );
    }
}
