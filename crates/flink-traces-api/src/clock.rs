//! The source of the current time, and the type of a time.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of the current time, as `org.apache.flink.util.clock.Clock`.
///
/// It is passed to every function that may have to fill in a timestamp, so that tests and replays
/// control the time. Flink's own builders read the system clock.
pub trait Clock: Send + Sync {
    /// Returns milliseconds since the epoch, as Java's `System.currentTimeMillis`.
    fn now_millis(&self) -> i64;
}

/// The wall clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_millis(&self) -> i64 {
        Timestamp::from(SystemTime::now()).as_millis()
    }
}

/// A time with the resolution of Flink's timestamps, which is a millisecond.
///
/// A number is no time by itself, because seconds and milliseconds look alike.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
///
/// use flink_traces_api::Timestamp;
///
/// let time = Timestamp::from_millis(1_795_230_918_331);
/// assert_eq!(Timestamp::from(UNIX_EPOCH + Duration::from_millis(1_795_230_918_331)), time);
/// assert_eq!(time.as_millis(), 1_795_230_918_331);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Creates a time from milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        })
    }
}

/// Formats as milliseconds since the epoch.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
