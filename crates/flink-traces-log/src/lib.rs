//! Reporters that log Flink spans and events as `tracing` events.
//!
//! [`register`] registers both reporters under the names of Flink's own factories, so Flink's
//! configuration selects them:
//!
//! ```yaml
//! traces.reporters: log
//! traces.reporter.log.factory.class: org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory
//! events.reporters: log
//! events.reporter.log.factory.class: org.apache.flink.events.slf4j.Slf4jEventReporterFactory
//! ```
//!
//! The `tracing` subscriber of the program decides where the lines go. The targets are the names of
//! Flink's loggers, [`TRACE_TARGET`] and [`EVENT_TARGET`].
//!
//! # Formats
//!
//! The option `format` selects the form of a record:
//!
//! - `fields` (the default) logs one `tracing` event for each span, with children after their
//!   parent. Its fields are `name`, `scope`, `start`, `end`, `duration_ms`, `trace_id`, `span_id`,
//!   `parent_span_id`, `links`, `failure` and `attributes`. The fields of an event are `name`,
//!   `scope`, `ts`, `severity`, `body` and `attributes`.
//! - `flink` logs Flink's message, with the whole tree on one line:
//!   `Reported span: SimpleSpan{scope=…, children=[…]}` or
//!   `Reported event: SimpleEvent{scope=…, attributes={…}}`.
//!
//! The level is `INFO`. A failed span is logged as `ERROR`, and an event at the level of its
//! severity. Under `compatibility: flink` every record is `INFO`, as in Flink.
//!
//! # Differences from Flink
//!
//! A record is always one line. Control characters and marks that reorder text are escaped, so the
//! name of a job cannot forge a log line or color a terminal.
//!
//! - The format `flink` escapes these characters, too. Under `compatibility: flink` it does not,
//!   and the text is Flink's byte for byte.
//! - Flink's reporter logs only `org.apache.flink.events.SimpleEvent@` and a number for an event.
//!   Here the content is logged.
//!
//! # Text without a subscriber
//!
//! [`flink_span_text`] and [`flink_event_text`] return Flink's text. [`span_line`] and
//! [`event_line`] return short lines for people:
//!
//! ```
//! use std::sync::Arc;
//!
//! use flink_traces_api::{Event, ReportContext, ReportedEvent, SystemClock};
//! use flink_traces_log::{event_line, flink_event_text};
//!
//! let event = Event::builder("com.example.Compactor", "CompactionSkipped")
//!     .observed_ts_millis(1_795_230_918_389)
//!     .severity("WARN")
//!     .attribute("reason", "nothing to do")
//!     .build(&SystemClock);
//! let context = Arc::new(ReportContext::default());
//! let event = ReportedEvent::new(Arc::new(event), 1_795_230_918_394, context);
//! assert!(event_line(&event).starts_with("2026-11-21T03:15:18.389Z  CompactionSkipped "));
//! assert_eq!(
//!     flink_event_text(&event),
//!     "Reported event: SimpleEvent{scope=com.example.Compactor, name=CompactionSkipped, \
//!      observedTsMillis=1795230918389, severity=WARN, body=, attributes={reason=nothing to do}}"
//! );
//! ```
//!
//! # Errors
//!
//! A factory fails if `format` is invalid. A report never fails, because a reporter cannot know
//! what the subscriber does with an event.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod escape;
mod flink_text;
mod line;

use flink_traces_api::{
    AlreadyRegistered, Compatibility, ConfigError, ConfigOption, Deadline, EventReporter, EventReporterFactory,
    OptionDoc, Registry, ReportError, ReportedEvent, ReportedSpan, ReporterConfig, SpanContext, SpanRef, TraceReporter,
    TraceReporterFactory, otel,
};
use tracing::Level;

pub use builder::Log;
pub use flink_text::{flink_event_text, flink_span_text};
pub use line::{event_line, span_line};

/// The `factory.class` of the trace reporter, which is Flink's.
pub const TRACE_FACTORY: &str = "org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory";
/// The `factory.class` of the event reporter, which is Flink's.
pub const EVENT_FACTORY: &str = "org.apache.flink.events.slf4j.Slf4jEventReporterFactory";
/// The `tracing` target of all spans, which is the name of Flink's logger.
pub const TRACE_TARGET: &str = "org.apache.flink.traces.slf4j.Slf4jTraceReporter";
/// The `tracing` target of all events, which is the name of Flink's logger.
pub const EVENT_TARGET: &str = "org.apache.flink.events.slf4j.Slf4jEventReporter";

const FORMAT: ConfigOption<Format> = ConfigOption::parsed(
    "format",
    "`fields` or `flink`",
    |text| match text.to_ascii_lowercase().as_str() {
        "fields" => Some(Format::Fields),
        "flink" => Some(Format::Flink),
        _ => None,
    },
    "`fields` logs each span, including children, and each event as a `tracing` event with fields. `flink` logs Flink's own text, with one message for each span tree.",
)
.or("fields");

#[derive(Debug, Clone, Copy)]
enum Format {
    Fields,
    Flink,
}

/// Registers both reporters under the class names of Flink's factories, [`TRACE_FACTORY`] and
/// [`EVENT_FACTORY`].
///
/// # Errors
/// Fails if the registry already has one of the two. The factory that was registered first stays.
pub fn register(registry: &mut Registry) -> Result<(), AlreadyRegistered> {
    let traces = registry.register_trace(TRACE_FACTORY, LogReporterFactory);
    let events = registry.register_event(EVENT_FACTORY, LogReporterFactory);
    traces.and(events)
}

struct LogReporterFactory;

impl LogReporterFactory {
    const OPTIONS: &'static [OptionDoc] = &[FORMAT.doc()];

    fn create(config: &ReporterConfig) -> Result<Box<LogReporter>, ConfigError> {
        Ok(Box::new(LogReporter { format: config.require(&FORMAT)? }))
    }
}

impl TraceReporterFactory for LogReporterFactory {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Self::create(config)?)
    }

    fn options(&self) -> &'static [OptionDoc] {
        Self::OPTIONS
    }
}

impl EventReporterFactory for LogReporterFactory {
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(Self::create(config)?)
    }

    fn options(&self) -> &'static [OptionDoc] {
        Self::OPTIONS
    }
}

/// Logs at a level that is known only at run time. `tracing` itself needs constants.
macro_rules! log {
    ($level:expr, $target:expr, $($event:tt)+) => {
        match $level {
            Level::ERROR => tracing::event!(target: $target, Level::ERROR, $($event)+),
            Level::WARN => tracing::event!(target: $target, Level::WARN, $($event)+),
            Level::INFO => tracing::event!(target: $target, Level::INFO, $($event)+),
            Level::DEBUG => tracing::event!(target: $target, Level::DEBUG, $($event)+),
            Level::TRACE => tracing::event!(target: $target, Level::TRACE, $($event)+),
        }
    };
}

/// A reporter for the `tracing` subscriber of the calling thread.
///
/// It cannot know what the subscriber does with an event, so it never fails.
struct LogReporter {
    format: Format,
}

impl TraceReporter for LogReporter {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        for span in spans {
            match self.format {
                Format::Fields => span.spans().for_each(log_fields),
                Format::Flink => log!(span_level(span.root()), TRACE_TARGET, "{}", flink_span_text(span)),
            }
        }
        Ok(())
    }
}

impl EventReporter for LogReporter {
    fn report(&mut self, events: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
        for event in events {
            match self.format {
                Format::Fields => log!(
                    event_level(event),
                    EVENT_TARGET,
                    name = %escape::quoted(event.name()),
                    scope = %escape::quoted(event.scope()),
                    ts = %line::moment(event.ts_millis()),
                    severity = %escape::quoted(event.severity()),
                    body = (!event.body().is_empty()).then(|| tracing::field::display(escape::quoted(event.body()))),
                    attributes = %line::pairs(event.attributes()),
                    "Reported event"
                ),
                Format::Flink => log!(event_level(event), EVENT_TARGET, "{}", flink_event_text(event)),
            }
        }
        Ok(())
    }
}

/// Logs a span without its children.
fn log_fields(span: SpanRef<'_>) {
    log!(
        span_level(span),
        TRACE_TARGET,
        name = %escape::quoted(span.name()),
        scope = %escape::quoted(span.scope()),
        start = %line::moment(span.start_ts_millis()),
        end = %line::moment(span.end_ts_millis()),
        duration_ms = line::duration_millis(span),
        trace_id = %span.trace_id(),
        span_id = %span.span_id(),
        parent_span_id = span.parent_span_id().map(tracing::field::display),
        links = links(span).map(tracing::field::display),
        failure = span.failure().map(|failure| tracing::field::display(escape::quoted(&failure.message))),
        attributes = %line::pairs(span.attributes()),
        "Reported span"
    );
}

/// Returns the linked spans as `trace_id:span_id`.
fn links(span: SpanRef<'_>) -> Option<String> {
    let links: Vec<_> = span.links().map(|SpanContext { trace_id, span_id }| format!("{trace_id}:{span_id}")).collect();
    (!links.is_empty()).then(|| links.join(" "))
}

/// Returns the level of a span. Only `compatibility: standard` shows failures.
fn span_level(span: SpanRef<'_>) -> Level {
    match span.failure() {
        Some(_) => Level::ERROR,
        None => Level::INFO,
    }
}

fn event_level(event: &ReportedEvent) -> Level {
    if event.context().compatibility == Compatibility::Flink {
        return Level::INFO;
    }
    match otel::severity_number(event.severity()) {
        1..=4 => Level::TRACE,
        5..=8 => Level::DEBUG,
        13..=16 => Level::WARN,
        17.. => Level::ERROR,
        _ => Level::INFO,
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
