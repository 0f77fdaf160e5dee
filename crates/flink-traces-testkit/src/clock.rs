//! A clock that tests set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flink_traces_api::{Clock, Timestamp};

/// A clock that stands still until a test moves it. All clones show the same time.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flink_traces_api::{Clock, Timestamp};
/// use flink_traces_testkit::ManualClock;
///
/// let clock = ManualClock::new(Timestamp::from_millis(1_000));
/// clock.advance(Duration::from_millis(120));
/// assert_eq!(clock.now_millis(), 1_120);
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Creates a clock that shows `time`.
    pub fn new(time: impl Into<Timestamp>) -> Self {
        Self(Arc::new(AtomicI64::new(time.into().as_millis())))
    }

    /// Returns the time that it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// Moves the clock to `time`, which may be in its past.
    pub fn set(&self, time: impl Into<Timestamp>) {
        self.0.store(time.into().as_millis(), Ordering::Relaxed);
    }

    /// Moves the clock forwards by the whole milliseconds of `duration`.
    pub fn advance(&self, duration: Duration) {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Default for ManualClock {
    /// Creates a clock that shows 1,000,000,000 s after the epoch.
    fn default() -> Self {
        Self::new(Timestamp::from_millis(1_000_000_000_000))
    }
}

impl Clock for ManualClock {
    fn now_millis(&self) -> i64 {
        self.now().as_millis()
    }
}
