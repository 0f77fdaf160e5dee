//! Integration tests: faulty exporters, and the conformance suite.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

mod conformance;
mod context;
mod exporters;
