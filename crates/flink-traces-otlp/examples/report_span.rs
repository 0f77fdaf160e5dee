//! Reports a span tree to a collector and prints the account.
//!
//! The collector of the testkit runs in this process and rejects one of the spans.
//! Run it with `cargo run -p flink-traces-otlp --example report_span`.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;
use std::sync::Arc;

use flink_traces_api::{Deadline, Identity, Registry, ReportContext, ReportedSpan, ReporterConfig, Span, SystemClock};
use flink_traces_testkit::{CollectorResponse, OtlpCollector};

fn main() -> Result<(), Box<dyn Error>> {
    let collector = OtlpCollector::start()?;
    collector.respond(CollectorResponse::PartialSuccess { rejected: 1, message: "quota exceeded".to_owned() });

    let mut registry = Registry::new();
    flink_traces_otlp::register(&mut registry)?;
    let factory = registry.trace(flink_traces_otlp::TRACE_FACTORY).ok_or("unknown factory class")?;
    let endpoint = collector.grpc_endpoint();
    let options = [("exporter.endpoint", endpoint.as_str()), ("service.name", "orders")];
    let mut reporter = factory.create_trace_reporter(&ReporterConfig::from_pairs("otel", options))?;

    let file = |name: &'static str| Span::builder("com.example.Compactor", "File").attribute("name", name);
    let span = Span::builder("com.example.Compactor", "Compaction")
        .identity(Identity::of(&["orders", "compaction", "7"]))
        .children([file("a"), file("b")])
        .build(&SystemClock);
    let span = ReportedSpan::new(Arc::new(span), Arc::new(ReportContext::default()));

    let emitted = span.span_count();
    let (rejected, dropped) = match reporter.report(&[span], &Deadline::unlimited()) {
        Ok(()) => (0, 0),
        Err(error) => {
            println!("report failed: {error}");
            (error.rejected(), error.dropped())
        }
    };
    reporter.close(&Deadline::unlimited())?;

    for received in collector.spans() {
        println!("collector received {}", received.name());
    }
    println!("emitted {emitted}, rejected {rejected}, dropped {dropped}");
    println!("delivered {}", emitted - rejected - dropped);
    Ok(())
}
