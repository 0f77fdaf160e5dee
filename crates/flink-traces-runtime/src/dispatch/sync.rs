//! What a lane is made of: threads and locks of the standard library or, built with `--cfg loom`, those of loom, which lets a test run
//! its threads in every order.

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
