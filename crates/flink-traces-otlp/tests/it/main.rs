//! Integration tests that share one binary.
//!
//! `log.rs` stands apart, because it observes the process-wide state of `tracing`.
//! The tests of the spool and of outages stand apart, because they depend on time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod conformance;
mod destinations;
mod flink_parity;
mod requests;
mod responses;
mod security;
#[path = "../support/mod.rs"]
mod support;
mod tls;
