//! The source of the current time.

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
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }
}
