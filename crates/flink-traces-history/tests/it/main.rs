//! The tests of the reporters and of the queries, on real directories.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod conformance;
mod damage;
mod documents;
mod kill;
mod limits;
mod queries;
mod receive;
mod rows;
mod support;
