//! Integration tests of the collector and the conformance suite.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and so may a faulty reporter")]

mod collector;
mod conformance;
