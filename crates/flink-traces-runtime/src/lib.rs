#![doc = include_str!("../README.md")]

mod causes;
pub mod checkpoint;
pub mod config;
pub mod dispatch;
pub mod job;
mod record;
#[cfg(feature = "rest")]
pub mod rest;
mod setters;

pub use checkpoint::{CheckpointStats, CheckpointStatsTracker, checkpoint_event, checkpoint_span};
pub use config::{Configuration, Problem, discover};
pub use dispatch::{Dispatcher, MetricGroup, ReporterStats};
pub use job::JobIdentity;
