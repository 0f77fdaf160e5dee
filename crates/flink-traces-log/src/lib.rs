#![doc = include_str!("../README.md")]

mod escape;
mod flink_text;
mod line;

use flink_traces_api::{
    AlreadyRegistered, Compatibility, ConfigError, ConfigOption, Deadline, EventReporter, EventReporterFactory,
    OptionDoc, Registry, ReportError, ReportedEvent, ReportedSpan, ReporterConfig, SpanRef, TraceReporter,
    TraceReporterFactory, otel,
};
use tracing::Level;

pub use flink_text::{flink_event_text, flink_span_text};
pub use line::{event_line, span_line};

/// The `factory.class` of the trace reporter, Flink's.
pub const TRACE_FACTORY: &str = "org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory";
/// The `factory.class` of the event reporter, Flink's.
pub const EVENT_FACTORY: &str = "org.apache.flink.events.slf4j.Slf4jEventReporterFactory";
/// The `tracing` target of all spans, the name of Flink's logger.
pub const TRACE_TARGET: &str = "org.apache.flink.traces.slf4j.Slf4jTraceReporter";
/// The `tracing` target of all events, the name of Flink's logger.
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

/// `tracing` takes targets, levels and field names as constants only; this picks the level at run time.
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

/// Reports to whatever `tracing` subscriber is active on the calling thread. It cannot know what that does with an event,
/// so it never fails.
struct LogReporter {
    format: Format,
}

impl TraceReporter for LogReporter {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        for span in spans {
            match self.format {
                Format::Fields => log_fields(span.root()),
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

/// Logs a span, then its children.
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
    span.children().for_each(log_fields);
}

/// The root spans that it follows from, as `trace_id:span_id`.
fn links(span: SpanRef<'_>) -> Option<String> {
    let links: Vec<_> = span.links().map(|(trace_id, span_id)| format!("{trace_id}:{span_id}")).collect();
    (!links.is_empty()).then(|| links.join(" "))
}

/// Flink logs all spans alike; a failure is shown under `compatibility: standard` only.
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
