//! Support for tests: the program as a process, a scripted cluster, and a recorded session.

pub(crate) mod flink;
#[cfg(feature = "kubernetes")]
pub(crate) mod kubernetes;
pub(crate) mod process;
pub(crate) mod session;

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A limit that no wait comes near, on any machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A value that one thread changes while another waits for a change.
#[derive(Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.value.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        result
    }

    /// Waits until `found` returns a result. Returns `None` if that takes too long.
    pub(crate) fn wait_for<R>(&self, mut found: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let end = Instant::now() + LONG;
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = found(&mut value) {
                return Some(result);
            }
            let left = end.checked_duration_since(Instant::now())?;
            value = self.changed.wait_timeout(value, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
