//! One interface to trace reporters and event reporters.

use std::sync::Arc;

use flink_traces_api::{
    ConfigError, Deadline, Event, EventReporter, EventReporterFactory, Failure, Identity, OptionDoc, ReportContext,
    ReportError, ReportedEvent, ReportedSpan, ReporterConfig, Span, SpanBuilder, SpanContext, SystemClock,
    TraceReporter, TraceReporterFactory,
};

use super::compare::{Expected, NUMBER};
use super::sample::Sample;

const SCOPE: &str = "org.example.Conformance";

/// The operations of the suite on a factory and its reporters.
pub(super) trait Subject: Send + Sync + 'static {
    type Record;
    type Reporter;

    fn options(&self) -> &'static [OptionDoc];
    fn create(&self, config: &ReporterConfig) -> Result<Self::Reporter, ConfigError>;
    fn report(reporter: &mut Self::Reporter, records: &[Self::Record], deadline: &Deadline) -> Result<(), ReportError>;
    fn close(reporter: Self::Reporter, deadline: &Deadline) -> Result<(), ReportError>;
    /// Returns the record of `sample` and adds the number of its spans to `number`.
    fn record(sample: Sample, number: &mut i64, context: Arc<ReportContext>) -> Self::Record;
    /// Returns the records that must arrive.
    fn expected(record: &Self::Record) -> Vec<Expected>;
}

pub(super) struct Traces(pub(super) Arc<dyn TraceReporterFactory>);

impl Subject for Traces {
    type Record = ReportedSpan;
    type Reporter = Box<dyn TraceReporter>;

    fn options(&self) -> &'static [OptionDoc] {
        self.0.options()
    }

    fn create(&self, config: &ReporterConfig) -> Result<Self::Reporter, ConfigError> {
        self.0.create_trace_reporter(config)
    }

    fn report(reporter: &mut Self::Reporter, records: &[Self::Record], deadline: &Deadline) -> Result<(), ReportError> {
        reporter.report(records, deadline)
    }

    fn close(reporter: Self::Reporter, deadline: &Deadline) -> Result<(), ReportError> {
        reporter.close(deadline)
    }

    fn record(sample: Sample, number: &mut i64, context: Arc<ReportContext>) -> Self::Record {
        let identity = Identity::of(&["conformance", &number.to_string()]);
        ReportedSpan::new(Arc::new(span(sample, number).identity(identity).build(&SystemClock)), context)
    }

    fn expected(record: &Self::Record) -> Vec<Expected> {
        record.spans().map(Expected::of_span).collect()
    }
}

fn span(sample: Sample, number: &mut i64) -> SpanBuilder {
    let mut span = Span::builder(SCOPE, sample.name).attribute(NUMBER, next(number));
    if let Some(start) = sample.start {
        span = span.start_ts_millis(start);
    }
    if let Some(end) = sample.end {
        span = span.end_ts_millis(end);
    }
    for (key, value) in sample.attributes {
        span = span.attribute(key, value);
    }
    if sample.is_extended {
        let failure = Failure::new(sample.start.unwrap_or(0) + 17, "disk\nfull".to_owned());
        let beyond_flink = Span::builder(SCOPE, "BeyondFlink").attribute(NUMBER, next(number));
        span = span
            .failure(failure)
            .parent(SpanContext::from(Identity::of(&["caller"])))
            .link(Identity::of(&["before"]))
            .extension_attribute("failureMessage", "disk full")
            .extension_children([beyond_flink]);
    }
    span.children(sample.children.into_iter().map(|child| self::span(child, number)))
}

pub(super) struct Events(pub(super) Arc<dyn EventReporterFactory>);

impl Subject for Events {
    type Record = ReportedEvent;
    type Reporter = Box<dyn EventReporter>;

    fn options(&self) -> &'static [OptionDoc] {
        self.0.options()
    }

    fn create(&self, config: &ReporterConfig) -> Result<Self::Reporter, ConfigError> {
        self.0.create_event_reporter(config)
    }

    fn report(reporter: &mut Self::Reporter, records: &[Self::Record], deadline: &Deadline) -> Result<(), ReportError> {
        reporter.report(records, deadline)
    }

    fn close(reporter: Self::Reporter, deadline: &Deadline) -> Result<(), ReportError> {
        reporter.close(deadline)
    }

    fn record(sample: Sample, number: &mut i64, context: Arc<ReportContext>) -> Self::Record {
        let mut event = Event::builder(SCOPE, sample.name)
            .attribute(NUMBER, next(number))
            .severity(sample.severity)
            .body(sample.body);
        if let Some(start) = sample.start {
            event = event.observed_ts_millis(start);
        }
        for (key, value) in sample.attributes {
            event = event.attribute(key, value);
        }
        if sample.is_extended {
            event = event.extension_severity("ERROR").extension_attribute("failureMessage", "disk full");
        }
        ReportedEvent::new(Arc::new(event.build(&SystemClock)), 1_795_230_918_394, context)
    }

    fn expected(record: &Self::Record) -> Vec<Expected> {
        vec![Expected::of_event(record)]
    }
}

fn next(number: &mut i64) -> i64 {
    *number += 1;
    *number
}
