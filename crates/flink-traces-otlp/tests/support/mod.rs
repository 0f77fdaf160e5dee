//! Helpers of the integration tests.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part; a test may panic")]

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use flink_traces_api::{
    Compatibility, ConfigError, Deadline, Event, EventReporter, Identity, Registry, ReportContext, ReportError,
    ReportedEvent, ReportedSpan, ReporterConfig, Span, SystemClock, TraceReporter,
};
use flink_traces_otlp::{EVENT_FACTORY, TRACE_FACTORY, register};
use flink_traces_testkit::OtlpCollector;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// The values of `exporter.protocol`.
pub(crate) const PROTOCOLS: [&str; 3] = ["grpc", "http", "http/json"];

/// Returns options with short pauses, for a collector at `endpoint`.
pub(crate) fn options<'a>(endpoint: &'a str, protocol: &'a str, more: &[(&'a str, &'a str)]) -> ReporterConfig {
    let base = [
        ("exporter.endpoint", endpoint),
        ("exporter.protocol", protocol),
        ("retry.initial-backoff", "1 ms"),
        ("retry.max-backoff", "2 ms"),
    ];
    ReporterConfig::from_pairs("otlp", base.into_iter().chain(more.iter().copied()))
}

pub(crate) fn trace_reporter(config: &ReporterConfig) -> Box<dyn TraceReporter> {
    try_trace_reporter(config).unwrap()
}

pub(crate) fn try_trace_reporter(config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    registry.trace(TRACE_FACTORY).unwrap().create_trace_reporter(config)
}

pub(crate) fn event_reporter(config: &ReporterConfig) -> Box<dyn EventReporter> {
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    registry.event(EVENT_FACTORY).unwrap().create_event_reporter(config).unwrap()
}

pub(crate) fn context(compatibility: Compatibility) -> Arc<ReportContext> {
    Arc::new(ReportContext::new(compatibility))
}

/// Returns a span with three children. `number` makes it unique.
pub(crate) fn tree(number: usize) -> ReportedSpan {
    wide_tree(number, 3)
}

pub(crate) fn wide_tree(number: usize, parts: usize) -> ReportedSpan {
    let part = |place| {
        Span::builder("org.example.Test", "Part").start_ts_millis(1_000).end_ts_millis(2_000).attribute("place", place)
    };
    let span = Span::builder("org.example.Test", "Whole")
        .start_ts_millis(1_000)
        .end_ts_millis(3_000)
        .attribute("number", i64::try_from(number).unwrap())
        .children((0..i64::try_from(parts).unwrap()).map(part))
        .identity(Identity::numbered(number as u64 + 1))
        .build(&SystemClock);
    ReportedSpan::new(Arc::new(span), context(Compatibility::Standard))
}

pub(crate) fn event(number: i64) -> ReportedEvent {
    let event = Event::builder("org.example.Test", "Happened")
        .observed_ts_millis(1_000 + number)
        .severity("INFO")
        .build(&SystemClock);
    ReportedEvent::new(Arc::new(event), 5_000, context(Compatibility::Standard))
}

/// Returns the numbers of rejected and of dropped records.
pub(crate) fn losses(result: &Result<(), ReportError>) -> (usize, usize) {
    match result {
        Ok(()) => (0, 0),
        Err(error) => (error.rejected(), error.dropped()),
    }
}

/// Reports spans and checks that each one is delivered, rejected or dropped.
pub(crate) fn report_and_balance(
    reporter: &mut dyn TraceReporter,
    spans: &[ReportedSpan],
    deadline: &Deadline,
    collector: &OtlpCollector,
) -> Result<(), ReportError> {
    let given: usize = spans.iter().map(ReportedSpan::span_count).sum();
    let before = collector.spans().len();
    let result = reporter.report(spans, deadline);
    let (rejected, lost) = losses(&result);
    assert_eq!(collector.spans().len() - before + rejected + lost, given, "delivered + rejected + lost; {result:?}");
    result
}

/// Returns the requests in the dead-letter files of a directory, in order.
pub(crate) fn dead_letters<T: serde::de::DeserializeOwned>(directory: &Path) -> Vec<T> {
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let lines = |path| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    files.into_iter().flat_map(lines).map(|line| serde_json::from_str(&line).unwrap()).collect()
}

/// Returns the names of the spans in the dead-letter files of a directory.
pub(crate) fn dead_spans(directory: &Path) -> Vec<String> {
    let spans = |request: ExportTraceServiceRequest| {
        let groups = request.resource_spans.into_iter().flat_map(|of_resource| of_resource.scope_spans);
        groups.flat_map(|of_scope| of_scope.spans).map(|span| span.name).collect::<Vec<_>>()
    };
    dead_letters(directory).into_iter().flat_map(spans).collect()
}

/// Checks that no span arrived before its parent.
pub(crate) fn no_orphans(collector: &OtlpCollector) {
    let mut known = HashSet::new();
    for received in collector.spans() {
        let parent = received.parent_span_id();
        assert!(parent.is_empty() || known.contains(parent), "{received:?} is an orphan");
        known.insert(received.span_id().to_vec());
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the log of `work`, for the targets that `filter` selects.
pub(crate) fn logged(filter: &str, work: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).parse(filter).unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer({
            let buffer = buffer.clone();
            move || buffer.clone()
        })
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
}
