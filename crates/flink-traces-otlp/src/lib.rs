#![doc = include_str!("../README.md")]

mod answer;
mod config;
mod credentials;
mod dead_letter;
mod delivery;
mod encode;
mod environment;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod json;
mod options;
mod reporter;
mod request;
mod span_key;
mod spool;
mod spooler;
mod tls;
mod transport;
mod wire;
mod withheld;

use flink_traces_api::{
    AlreadyRegistered, ConfigError, EventReporter, EventReporterFactory, OptionDoc, Registry, ReportedSpan,
    ReporterConfig, Signal, TraceReporter, TraceReporterFactory,
};

use encode::{Chunks, encode_resource, span_records};
pub use environment::{EnvironmentOption, EnvironmentWarning, environment_options};
use options::{OPTIONS, Options};
use reporter::OtlpReporter;
pub use request::{ExportRequest, InvalidRequest, RequestSender};

/// The `factory.class` of the trace reporter, Flink's.
pub const TRACE_FACTORY: &str = "org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory";
/// The `factory.class` of the event reporter, Flink's.
pub const EVENT_FACTORY: &str = "org.apache.flink.events.otel.OpenTelemetryEventReporterFactory";

/// The option that gives a reporter a spool, a directory that it makes and locks when it is made. Whoever makes a reporter only to
/// see whether its options are right leaves it out.
pub const SPOOL_DIRECTORY: &str = "spool.directory";

/// Registers both reporters under the class names of Flink's factories, [`TRACE_FACTORY`] and
/// [`EVENT_FACTORY`].
///
/// # Errors
/// Fails if the registry already has one of the two. The factory that was registered first stays.
pub fn register(registry: &mut Registry) -> Result<(), AlreadyRegistered> {
    let traces = registry.register_trace(TRACE_FACTORY, OtlpReporterFactory);
    let events = registry.register_event(EVENT_FACTORY, OtlpReporterFactory);
    traces.and(events)
}

/// Spans as OTLP requests (`ExportTraceServiceRequest`, in protobuf), each of at most `max_bytes` unless one span is larger: for whoever
/// sends or keeps them by other means. A span stands after the one that it is a part of. `resource` are the attributes of the resource.
pub fn encode_spans<'a>(
    spans: &'a [ReportedSpan],
    resource: &[(String, String)],
    max_bytes: usize,
) -> impl Iterator<Item = Vec<u8>> + use<'a> {
    let count = spans.iter().map(ReportedSpan::span_count).sum();
    let mut chunks = Chunks::new(span_records(spans), count, encode_resource(resource), max_bytes);
    std::iter::from_fn(move || chunks.next().map(|chunk| chunk.message.into()))
}

struct OtlpReporterFactory;

impl TraceReporterFactory for OtlpReporterFactory {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Box::new(OtlpReporter::new(Options::read(config, Signal::Traces)?)?))
    }

    fn options(&self) -> &'static [OptionDoc] {
        OPTIONS
    }
}

impl EventReporterFactory for OtlpReporterFactory {
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(Box::new(OtlpReporter::new(Options::read(config, Signal::Events)?)?))
    }

    fn options(&self) -> &'static [OptionDoc] {
        OPTIONS
    }
}
