//! The conversion of spans and events to the types of the SDK.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flink_traces_api::otel::{event_scope, event_times, severity_number, span_name, span_times};
use flink_traces_api::{self as api, Compatibility, ReportedEvent, ReportedSpan, SpanRef, ValueRef};
use opentelemetry::logs::{AnyValue, LogRecord, Logger, Severity};
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// The maximum number of event names that are kept until the program ends. Others are left out.
const MAX_EVENT_NAMES: usize = 64;
/// The maximum length of such a name in bytes.
const MAX_EVENT_NAME: usize = 256;

/// OpenTelemetry's severities, by their numbers from 1.
const SEVERITIES: [Severity; 24] = [
    Severity::Trace,
    Severity::Trace2,
    Severity::Trace3,
    Severity::Trace4,
    Severity::Debug,
    Severity::Debug2,
    Severity::Debug3,
    Severity::Debug4,
    Severity::Info,
    Severity::Info2,
    Severity::Info3,
    Severity::Info4,
    Severity::Warn,
    Severity::Warn2,
    Severity::Warn3,
    Severity::Warn4,
    Severity::Error,
    Severity::Error2,
    Severity::Error3,
    Severity::Error4,
    Severity::Fatal,
    Severity::Fatal2,
    Severity::Fatal3,
    Severity::Fatal4,
];

/// Returns the resource with exactly those attributes.
pub(crate) fn resource(attributes: &[(String, String)]) -> Resource {
    let attributes = attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty().with_attributes(attributes).build()
}

/// Returns the spans of all trees, with parents before their children.
pub(crate) fn spans(trees: &[ReportedSpan]) -> Vec<SpanData> {
    let spans = |tree: &ReportedSpan| {
        let compatibility = tree.context().compatibility;
        tree.spans().map(move |span| span_data(span, compatibility)).collect::<Vec<_>>()
    };
    trees.iter().flat_map(spans).collect()
}

fn span_data(span: SpanRef<'_>, compatibility: Compatibility) -> SpanData {
    let (start, end) = span_times(&span, compatibility);
    let attributes = span.otel_attributes();
    let mut links = SpanLinks::default();
    links.links = span.links().map(|linked| Link::new(span_context(linked), Vec::new(), 0)).collect();
    SpanData {
        span_context: span_context(api::SpanContext { trace_id: span.trace_id(), span_id: span.span_id() }),
        parent_span_id: span.parent_span_id().map_or(SpanId::INVALID, |id| SpanId::from_bytes(*id.as_bytes())),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: span_name(span.name()).to_owned().into(),
        start_time: time(start),
        end_time: time(end),
        attributes: attributes
            .list
            .iter()
            .map(|(key, value)| KeyValue::new((*key).to_owned(), owned(*value)))
            .collect(),
        dropped_attributes_count: attributes.dropped,
        events: SpanEvents::default(),
        links,
        status: match span.failure() {
            Some(failure) => Status::error(failure.message.clone()),
            None => Status::Unset,
        },
        instrumentation_scope: scope(span.scope()),
    }
}

fn span_context(ids: api::SpanContext) -> SpanContext {
    let trace_id = TraceId::from_bytes(*ids.trace_id.as_bytes());
    let span_id = SpanId::from_bytes(*ids.span_id.as_bytes());
    SpanContext::new(trace_id, span_id, TraceFlags::default(), false, TraceState::NONE)
}

/// A converter of events to the SDK's log records, which need some texts with a static lifetime.
pub(crate) struct LogRecords {
    /// The only source of empty records that the SDK offers.
    logger: SdkLogger,
    names: BTreeSet<&'static str>,
}

impl LogRecords {
    pub(crate) fn new(logger: SdkLogger) -> Self {
        Self { logger, names: BTreeSet::new() }
    }

    /// Returns the event as a log record and its scope.
    pub(crate) fn record(&mut self, event: &ReportedEvent) -> (SdkLogRecord, InstrumentationScope) {
        let (happened, observed) = event_times(event);
        let mut record = self.logger.create_log_record();
        if happened > 0 {
            record.set_timestamp(time(happened));
        }
        record.set_observed_timestamp(time(observed));
        let number = usize::from(severity_number(event.severity()));
        if let Some(severity) = number.checked_sub(1).and_then(|index| SEVERITIES.get(index)) {
            record.set_severity_number(*severity);
            record.set_severity_text(severity.name());
        }
        if event.context().compatibility == Compatibility::Standard
            && let Some(name) = self.leaked(event.name())
        {
            record.set_event_name(name);
        }
        record.set_body(AnyValue::from(event.body().to_owned()));
        for (key, value) in event.otel_attributes().list {
            record.add_attribute(key.to_owned(), any_value(value));
        }
        (record, scope(event_scope(event.scope())))
    }

    /// Returns the name with a static lifetime, which the SDK needs, by leaking its memory.
    ///
    /// Events have few names. Limits keep a program with many from filling the memory.
    fn leaked(&mut self, name: &str) -> Option<&'static str> {
        if let Some(known) = self.names.get(name) {
            return Some(known);
        }
        if self.names.len() >= MAX_EVENT_NAMES || name.len() > MAX_EVENT_NAME {
            return None;
        }
        let leaked: &'static str = name.to_owned().leak();
        self.names.insert(leaked);
        Some(leaked)
    }
}

fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope::builder(name.to_owned()).build()
}

fn time(unix_nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(unix_nanos)
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::String(text) => text.to_owned().into(),
        ValueRef::Long(number) => number.into(),
        ValueRef::Double(number) => number.into(),
        ValueRef::Bool(flag) => flag.into(),
    }
}

fn any_value(value: ValueRef<'_>) -> AnyValue {
    match value {
        ValueRef::String(text) => text.to_owned().into(),
        ValueRef::Long(number) => number.into(),
        ValueRef::Double(number) => number.into(),
        ValueRef::Bool(flag) => flag.into(),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::logs::LoggerProvider;
    use opentelemetry_sdk::logs::SdkLoggerProvider;

    use super::*;

    #[test]
    fn severities_are_numbered_from_one() {
        for (number, severity) in (1..).zip(SEVERITIES) {
            assert_eq!(usize::from(severity_number(severity.name())), number);
        }
    }

    #[test]
    fn leaked_event_names_are_bounded() {
        let mut records = LogRecords::new(SdkLoggerProvider::builder().build().logger(""));
        assert_eq!(records.leaked(&"n".repeat(MAX_EVENT_NAME + 1)), None);
        for number in 0..MAX_EVENT_NAMES {
            assert_eq!(records.leaked(&number.to_string()), Some(number.to_string().as_str()));
        }
        assert_eq!((records.leaked("0"), records.leaked("one more")), (Some("0"), None));
    }
}
