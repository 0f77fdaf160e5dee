//! Replays a recording, and prints its observations.
//!
//! ```sh
//! cargo run --example replay [FILE]
//! ```
//!
//! Without a file, it replays the recording of three checkpoints in this package.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::path::PathBuf;

use flink_traces_observer::recording::RecordingReader;
use flink_traces_observer::replay::replay;
use flink_traces_observer::{JobObservation, Observation};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let default = package.join("recordings/three-checkpoints.jsonl.gz");
    let path = std::env::args_os().nth(1).map_or(default, PathBuf::from);
    let exchanges = replay(RecordingReader::open(&path)?, |at, observations| {
        for observation in observations {
            println!("{at} {}", describe(observation));
        }
    })?;
    println!("{exchanges} exchanges");
    Ok(())
}

fn describe(observation: &JobObservation) -> String {
    let job = &observation.job.name;
    match &observation.observation {
        Observation::Checkpoint(stats) => {
            format!("{job}: checkpoint {} {}", stats.checkpoint_id, stats.status.name())
        }
        Observation::Initialization { stats, .. } => {
            let duration = stats.end_timestamp - stats.start_timestamp;
            format!("{job}: initialization took {duration} ms")
        }
        Observation::StatusChange { status, ts_millis } => format!("{job}: {status} since {ts_millis}"),
        Observation::Failure(failure) => {
            format!("{job}: failure, {}", failure.exception_type.as_deref().unwrap_or("unknown exception"))
        }
        Observation::AllSubtasks { status, ts_millis, .. } => format!("{job}: {status:?} since {ts_millis}"),
        Observation::Missed(missed) => {
            format!("{job}: missed {} checkpoints up to {}", missed.count, missed.last_id)
        }
        other => format!("{job}: {other:?}"),
    }
}
