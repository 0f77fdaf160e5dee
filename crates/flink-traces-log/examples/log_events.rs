//! Logs an event in both formats to the terminal.
//!
//! Run it with `cargo run -p flink-traces-log --example log_events`.

use std::error::Error;
use std::sync::Arc;

use flink_traces_api::{Deadline, Event, Registry, ReportContext, ReportedEvent, ReporterConfig, SystemClock};

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let mut registry = Registry::new();
    flink_traces_log::register(&mut registry)?;
    let factory = registry.event(flink_traces_log::EVENT_FACTORY).ok_or("not registered")?;

    let event = Event::builder("com.example.Engine", "JobStatusChangeEvent")
        .severity("WARN")
        .attribute("newJobStatus", "RESTARTING")
        .build(&SystemClock);
    let context = ReportContext::default().with_job_id("4711").with_variables([("<job_name>", "orders")]);
    let event = ReportedEvent::new(Arc::new(event), 1_795_230_918_394, Arc::new(context));
    for format in ["fields", "flink"] {
        let config = ReporterConfig::from_pairs("log", [("format", format)]);
        let mut reporter = factory.create_event_reporter(&config)?;
        reporter.report(std::slice::from_ref(&event), &Deadline::unlimited())?;
    }
    Ok(())
}
