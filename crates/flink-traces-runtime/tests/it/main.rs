//! The integration tests, except for those of the dispatcher, which capture their process's log.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

mod checkpoint_spans;
mod configuration;
mod extension;
mod identities;
mod initialization;
mod job;
mod metric_groups;
mod reporters;
mod reporting;
#[cfg(feature = "rest")]
mod rest;
mod tracker;
