//! Reports a checkpoint to a history, and asks the history about it.
#![allow(clippy::print_stdout, reason = "an example may print")]

use std::error::Error;
use std::sync::Arc;

use flink_traces_api::{Deadline, Registry, ReportContext, ReportedSpan, ReporterConfig, Span, SystemClock};
use flink_traces_history::History;
use flink_traces_history::query::Window;

fn main() -> Result<(), Box<dyn Error>> {
    let mut registry = Registry::new();
    flink_traces_history::register(&mut registry)?;
    let directory = std::env::temp_dir().join("flink-traces-history-example");
    let path = directory.to_str().ok_or("not UTF-8")?;
    let config = ReporterConfig::from_pairs("history", [("path", path)]);
    let factory = registry.trace(flink_traces_history::FACTORY).ok_or("not registered")?;
    let mut reporter = factory.create_trace_reporter(&config)?;

    let span = Span::builder("org.example.Coordinator", "Checkpoint")
        .attribute("checkpointId", 7)
        .attribute("checkpointStatus", "COMPLETED")
        .build(&SystemClock);
    let context = ReportContext::default().with_job_id("4711").with_variables([("<job_name>", "orders")]);
    reporter.report(&[ReportedSpan::new(Arc::new(span), Arc::new(context))], &Deadline::unlimited())?;

    let history = History::open(&directory)?;
    let day = Window::before(history.end_ms()?, 86_400_000);
    for job in history.jobs()? {
        let checkpoints = history.job(job.job, day, 100)?.map_or_else(Vec::new, |job| job.checkpoints);
        for checkpoint in checkpoints {
            println!("{}: checkpoint {} took {} ms", job.name, checkpoint.id, checkpoint.duration_ms);
        }
    }
    History::remove(&directory)?;
    Ok(())
}
