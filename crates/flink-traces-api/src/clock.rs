//! Where "now" comes from.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time. Passed in wherever a timestamp may have to be filled in, so that tests and replays decide it.
/// As `org.apache.flink.util.clock.Clock`; Flink's own builders read the system's.
pub trait Clock: Send + Sync {
    /// Milliseconds since the epoch, as Java's `System.currentTimeMillis`.
    fn now_millis(&self) -> i64;
}

/// The machine's wall clock.
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
