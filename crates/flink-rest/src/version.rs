//! Versions of Flink.

use std::fmt;
use std::str::FromStr;

/// A minor version of Flink. Patch releases do not change endpoints.
///
/// # Examples
///
/// ```
/// use flink_rest::FlinkVersion;
///
/// assert!("1.20.5".parse::<FlinkVersion>()? < FlinkVersion::new(2, 3));
/// # Ok::<(), flink_rest::InvalidVersion>(())
/// ```
// Exhaustive: a minor version has two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlinkVersion {
    /// The major version.
    pub major: u16,
    /// The minor version.
    pub minor: u16,
}

impl FlinkVersion {
    /// Creates the version `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for FlinkVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The error for a text that is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a version with two numbers, such as 1.20.5")]
#[non_exhaustive]
pub struct InvalidVersion;

/// Parses a version as Flink writes it, such as `1.20.5` or `2.4-SNAPSHOT`, or as vendors do, such
/// as `v1.17_2` or `flink-2.3.6+cp1`.
impl FromStr for FlinkVersion {
    type Err = InvalidVersion;

    fn from_str(version: &str) -> Result<Self, InvalidVersion> {
        let version = version.trim_start_matches(|c: char| !c.is_ascii_digit());
        let (major, rest) = version.split_once('.').ok_or(InvalidVersion)?;
        let minor = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        match (major.parse(), minor.parse()) {
            (Ok(major), Ok(minor)) => Ok(Self { major, minor }),
            _ => Err(InvalidVersion),
        }
    }
}

/// A range of versions.
///
/// The examined versions are 1.9, 1.13, 1.15 and 1.17 to 2.3.
// Exhaustive: a range has two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Versions {
    /// The first version.
    pub since: FlinkVersion,
    /// The last version; `None` if there is no last one.
    pub until: Option<FlinkVersion>,
}

impl Versions {
    /// Returns `true` if `version` is in the range.
    pub fn contains(&self, version: FlinkVersion) -> bool {
        self.since <= version && self.until.is_none_or(|until| version <= until)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            Some(until) => write!(f, "{} to {until}", self.since),
            None => write!(f, "{}", self.since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_parsed() {
        for (text, expected) in [
            ("1.9.3", Some((1, 9))),
            ("2.3.0", Some((2, 3))),
            ("2.4-SNAPSHOT", Some((2, 4))),
            ("1.20", Some((1, 20))),
            ("v1.17", Some((1, 17))),
            ("flink-2.3.6+cp1", Some((2, 3))),
            ("1.20_3", Some((1, 20))),
            ("2.2.0.3", Some((2, 2))),
            ("2.4rc1", Some((2, 4))),
            ("2", None),
            ("2.", None),
            ("2.x", None),
            ("2-1.3", None),
            ("70000.1", None),
            ("<unknown>", None),
            ("", None),
        ] {
            let read = text.parse::<FlinkVersion>().ok().map(|version| (version.major, version.minor));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        let versions = Versions { since: FlinkVersion::new(1, 9), until: Some(FlinkVersion::new(1, 20)) };
        for (version, expected) in [((1, 8), false), ((1, 9), true), ((1, 13), true), ((1, 20), true), ((2, 0), false)]
        {
            assert_eq!(versions.contains(FlinkVersion::new(version.0, version.1)), expected, "{version:?}");
        }
    }
}
