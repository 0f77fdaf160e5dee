//! The time limit of a reporter.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longer than any program runs.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The time until which a reporter may keep trying.
///
/// It is unlimited while the program runs. When the program shuts down, it [sets](Self::set) the
/// limit, and every reporter that [sleeps](Self::sleep) on the deadline wakes up. All clones share
/// one limit.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use flink_traces_api::Deadline;
///
/// let deadline = Deadline::unlimited();
/// assert_eq!(deadline.remaining(), None);
/// assert!(deadline.sleep(Duration::from_millis(1)));
///
/// deadline.set(Instant::now());
/// assert!(deadline.is_over());
/// assert!(!deadline.sleep(Duration::from_secs(3600)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Deadline(Arc<(Mutex<Option<Instant>>, Condvar)>);

impl Deadline {
    /// Creates a deadline without a limit.
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// Sets the limit, unless an earlier one is set.
    pub fn set(&self, at: Instant) {
        let mut limit = self.lock();
        if limit.is_none_or(|known| at < known) {
            *limit = Some(at);
            self.0.1.notify_all();
        }
    }

    /// Returns the time that is left, or `None` while there is no limit.
    pub fn remaining(&self) -> Option<Duration> {
        self.lock().map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Returns `true` if no time is left.
    pub fn is_over(&self) -> bool {
        self.remaining().is_some_and(|left| left.is_zero())
    }

    /// Sleeps for `duration` or until the deadline, whichever comes first.
    ///
    /// Returns `true` if the full duration elapsed.
    pub fn sleep(&self, duration: Duration) -> bool {
        // The clock cannot represent the end of a very long sleep.
        let wanted = Instant::now().checked_add(duration).unwrap_or_else(|| Instant::now() + FOREVER);
        let mut limit = self.lock();
        loop {
            let now = Instant::now();
            let until = limit.map_or(wanted, |at| at.min(wanted));
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                return now >= wanted;
            }
            limit = match self.0.1.wait_timeout(limit, left) {
                Ok((limit, _)) => limit,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_wakes_at_deadline() {
        let deadline = Deadline::unlimited();
        assert_eq!(deadline.remaining(), None);
        assert!(deadline.sleep(Duration::from_millis(1)));
        let sleeper = deadline.clone();
        let thread = std::thread::spawn(move || sleeper.sleep(Duration::from_secs(3600)));
        deadline.set(Instant::now() + Duration::from_millis(5));
        assert!(!thread.join().unwrap());
        assert!(deadline.is_over());
    }

    #[test]
    fn endless_sleep_ends_at_deadline() {
        let deadline = Deadline::unlimited();
        deadline.set(Instant::now());
        assert!(!deadline.sleep(Duration::MAX));
    }

    #[test]
    fn earlier_deadline_wins() {
        let deadline = Deadline::unlimited();
        let now = Instant::now();
        deadline.set(now);
        deadline.set(now + Duration::from_secs(60));
        assert!(deadline.is_over());
    }
}
