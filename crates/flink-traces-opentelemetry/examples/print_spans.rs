//! Wraps an exporter that prints spans, and reports a checkpoint to it.
//!
//! Run it with `cargo run -p flink-traces-opentelemetry --example print_spans`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::sync::Arc;

use flink_traces_api::{
    Deadline, ReportContext, ReportedSpan, ReporterConfig, Span, SystemClock, TraceReporterFactory,
};
use flink_traces_opentelemetry::SpanExporterFactory;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

#[derive(Debug)]
struct Printer;

impl SpanExporter for Printer {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        for span in batch {
            println!("{} {} below {}", span.name, span.span_context.span_id(), span.parent_span_id);
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let factory = SpanExporterFactory::new(&[], |_: &ReporterConfig| Ok(Printer));
    let mut reporter = factory.create_trace_reporter(&ReporterConfig::from_pairs("printer", []))?;

    let span = Span::builder("com.example.Engine", "Checkpoint")
        .attribute("checkpointId", 7)
        .child(Span::builder("com.example.Engine", "Checkpoint_Task"))
        .build(&SystemClock);
    let deadline = Deadline::unlimited();
    reporter.report(&[ReportedSpan::new(Arc::new(span), Arc::new(ReportContext::default()))], &deadline)?;
    reporter.close(&deadline)?;
    Ok(())
}
