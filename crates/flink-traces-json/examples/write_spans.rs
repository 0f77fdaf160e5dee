//! Writes a checkpoint in both formats to files in a temporary directory and prints them.
//!
//! Run it with `cargo run -p flink-traces-json --example write_spans`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::fs;
use std::sync::Arc;

use flink_traces_api::{Deadline, Identity, Registry, ReportContext, ReportedSpan, ReporterConfig, Span, SystemClock};

fn main() -> Result<(), Box<dyn Error>> {
    let mut registry = Registry::new();
    flink_traces_json::register(&mut registry)?;
    let factory = registry.trace(flink_traces_json::FACTORY).ok_or("not registered")?;

    let span = Span::builder("com.example.Engine", "Checkpoint")
        .identity(Identity::of(&["orders", "checkpoint", "7"]))
        .start_ts_millis(1_795_230_917_019)
        .end_ts_millis(1_795_230_917_430)
        .attribute("checkpointId", 7)
        .child(Span::builder("com.example.Engine", "Checkpoint_Task").start_ts_millis(1_795_230_917_020))
        .build(&SystemClock);
    let span = ReportedSpan::new(Arc::new(span), Arc::new(ReportContext::default()));

    let directory = tempfile::tempdir()?;
    for format in ["otlp", "flat"] {
        let path = directory.path().join(format!("{format}.jsonl"));
        let path = path.to_str().ok_or("not UTF-8")?;
        let config = ReporterConfig::from_pairs("file", [("path", path), ("format", format)]);
        let deadline = Deadline::unlimited();
        let mut reporter = factory.create_trace_reporter(&config)?;
        reporter.report(std::slice::from_ref(&span), &deadline)?;
        reporter.close(&deadline)?;
        println!("{format}:\n{}", fs::read_to_string(path)?);
    }
    Ok(())
}
