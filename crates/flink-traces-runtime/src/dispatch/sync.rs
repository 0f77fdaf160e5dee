//! The locks and threads of a reporter queue.
//!
//! They are those of the standard library. With `--cfg loom` they are those of loom, with which
//! tests explore the orders of threads.

#[cfg(loom)]
pub(crate) use loom::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

/// Returns the current time.
#[cfg(not(loom))]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Returns a fixed time. With loom, waits have no time limit, and a test that depends on the time
/// cannot be repeated.
#[cfg(loom)]
pub(crate) fn now() -> std::time::Instant {
    static NOW: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    *NOW
}
