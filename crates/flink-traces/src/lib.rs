#![doc = include_str!("../README.md")]

pub mod check;
pub mod cli;
pub mod metrics;
pub mod observer;
pub mod once;
pub mod pipeline;
pub mod play;
pub mod record;
pub mod recording;
pub mod replay;
pub mod run;
pub mod settings;
pub mod summary;
pub mod text;
pub mod watch;
