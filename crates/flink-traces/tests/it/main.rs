//! Tests of the program, which run it as a process.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod cli_cluster;
mod cli_configuration;
mod cli_fleet;
mod cli_help;
mod cli_history;
mod cli_journal;
#[cfg(feature = "kubernetes")]
mod cli_kubernetes;
mod cli_metrics;
mod cli_otlp_in;
mod cli_play;
mod cli_secrets;
mod cli_send;
mod cli_watch;
mod documentation;
mod golden;
mod packaging;
mod schedules;
mod support;
