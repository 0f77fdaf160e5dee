//! Tests of the observer: by hand-made responses, over HTTP, and with recordings.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod cluster;
mod content;
mod engine;
mod gaps;
mod load;
mod observer;
mod opentelemetry;
mod presence;
mod rescales;
mod session;

use std::path::{Path, PathBuf};

/// The path of a recorded session. Recordings are in the package of the program.
fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../flink-traces/recordings").join(name)
}
