//! Loads a configuration and lists its reporters and problems.
//!
//! Run it with `cargo run --example check_configuration [PATH]`. `PATH` is a configuration file or
//! its directory. Without it, the example checks a small file with mistakes.

#![allow(clippy::print_stdout, reason = "the output of the example")]

use std::error::Error;
use std::path::PathBuf;

use flink_traces_api::Registry;
use flink_traces_runtime::config::unknown_keys;
use flink_traces_runtime::{Configuration, discover};

const MISTAKES: &str = "\
traces.reporters: log, file
traces.reporter.log.factory.class: org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory
traces.reporter.log.queue.size: many
traces.checkpoint.span-detail-levle: CHILDREN_SPANS_PER_TASK
";

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        None => {
            let path = directory.path().join("config.yaml");
            std::fs::write(&path, MISTAKES)?;
            path
        }
    };

    let mut registry = Registry::new();
    flink_traces_log::register(&mut registry)?;
    let (configuration, mut problems) = Configuration::load(Some(&path), &[]);
    let (setups, more) = discover(&configuration, &registry);
    problems.extend(more);
    problems.extend(unknown_keys(&configuration, &registry, &[]));

    for (key, value) in configuration.iter() {
        println!("{key} = {}", value.redacted());
    }
    for setup in &setups {
        println!("reporter {} of class {}", setup.full_name(), setup.class);
    }
    for problem in &problems {
        println!("{:?}: {problem}", problem.severity);
    }
    Ok(())
}
