//! Writes a reporter that counts spans by name, and reports a checkpoint to it.
//!
//! Run it with `cargo run -p flink-traces-api --example write_a_reporter`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use flink_traces_api::{
    ConfigError, ConfigOption, Deadline, OptionDoc, Registry, ReportContext, ReportError, ReportedSpan, ReporterConfig,
    Span, SystemClock, TraceReporter, TraceReporterFactory,
};

/// The option `title`, which users set as `traces.reporter.<name>.title`.
const TITLE: ConfigOption<String> = ConfigOption::string("title", "The title of the list.").or("spans by name");

struct Counter {
    title: String,
    counts: BTreeMap<String, usize>,
}

impl TraceReporter for Counter {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        for span in spans.iter().flat_map(ReportedSpan::spans) {
            *self.counts.entry(span.name().to_owned()).or_default() += 1;
        }
        Ok(())
    }

    fn close(self: Box<Self>, _: &Deadline) -> Result<(), ReportError> {
        println!("{}:", self.title);
        for (name, count) in &self.counts {
            println!("  {name}: {count}");
        }
        Ok(())
    }
}

struct CounterFactory;

impl TraceReporterFactory for CounterFactory {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Box::new(Counter { title: config.require(&TITLE)?, counts: BTreeMap::new() }))
    }

    fn options(&self) -> &'static [OptionDoc] {
        const { &[TITLE.doc()] }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut registry = Registry::new();
    registry.register_trace("counter", CounterFactory)?;

    // A program that uses `flink-traces-runtime` gets these three steps from its configuration.
    let config = ReporterConfig::from_pairs("counter", [("title", "one checkpoint")]);
    let factory = registry.trace("counter").ok_or("not registered")?;
    let mut reporter = factory.create_trace_reporter(&config)?;

    let task = |name: &'static str| Span::builder("com.example.Engine", "Checkpoint_Task").attribute("taskName", name);
    let span = Span::builder("com.example.Engine", "Checkpoint")
        .attribute("checkpointId", 7)
        .children([task("source"), task("sink")])
        .build(&SystemClock);
    let deadline = Deadline::unlimited();
    reporter.report(&[ReportedSpan::new(Arc::new(span), Arc::new(ReportContext::default()))], &deadline)?;
    reporter.close(&deadline)?;
    Ok(())
}
