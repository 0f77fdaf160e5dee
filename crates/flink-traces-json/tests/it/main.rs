//! Integration tests: the contents of the files, and the conformance suite.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

mod conformance;
mod files;
