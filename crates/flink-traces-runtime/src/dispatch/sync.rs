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
