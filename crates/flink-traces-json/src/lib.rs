#![doc = include_str!("../README.md")]

mod file;
mod flat;
mod json;
mod lines;
mod open;
mod otlp;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flink_traces_api::{
    AlreadyRegistered, ConfigError, ConfigOption, Deadline, EventReporter, EventReporterFactory, OptionDoc, Registry,
    ReportError, ReportedEvent, ReportedSpan, ReporterConfig, ReporterMeter, Signal, TraceReporter,
    TraceReporterFactory, otel,
};

use file::{FileError, LineFile, Rules, Sync};
pub use flat::FlatEncoder;
use lines::Lines;
use otlp::OtlpJson;

/// The `factory.class` of both reporters. Flink has none like them.
pub const FACTORY: &str = "flink-traces-json";

const PATH: ConfigOption<PathBuf> = ConfigOption::parsed(
    "path",
    "the path of a file",
    |text| Path::new(text).file_name().map(|_| PathBuf::from(text)),
    "The file to append to. It is created if need be, its folder is not. Spans and events need a file each.",
);

const FORMAT: ConfigOption<Format> = ConfigOption::parsed(
    "format",
    "`otlp` or `flat`",
    |text| match text.to_ascii_lowercase().as_str() {
        "otlp" => Some(Format::Otlp),
        "flat" => Some(Format::Flat),
        _ => None,
    },
    "`otlp` writes OTLP/JSON, a span tree or an event a line; `flat` writes one plain object for each span and event, for `grep` \
     and `jq`.",
)
.or("otlp");

const ROTATE_SIZE: ConfigOption<u64> = ConfigOption::bytes(
    "rotate.size",
    "The file is closed, and a new one begun, before it grows beyond this size; 0 for never.",
)
.or("128 mb");

const ROTATE_AGE: ConfigOption<Duration> = ConfigOption::duration(
    "rotate.age",
    "The file is closed, and a new one begun, when something is reported and the file is this old; 0 for never.",
)
.or("0 s");

const ROTATE_KEEP: ConfigOption<u64> = ConfigOption::parsed(
    "rotate.keep",
    "a whole number from 1",
    |text| text.trim().parse().ok().filter(|keep| *keep > 0),
    "How many closed files stay; the oldest are deleted.",
)
.or("10");

const SYNC: ConfigOption<Sync> = ConfigOption::parsed(
    "sync",
    "`never`, `closed` or `always`",
    |text| match text.to_ascii_lowercase().as_str() {
        "never" => Some(Sync::Never),
        "closed" => Some(Sync::Closed),
        "always" => Some(Sync::Always),
        _ => None,
    },
    "What a crash of the machine leaves: `never` leaves what the operating system wrote by then, `closed` the closed files, and \
     `always` all that counts as delivered, at the price of a wait for the disk in every batch.",
)
.or("never");

/// How many bytes are collected before they are written: larger writes are no faster.
const WRITE_SIZE: usize = 64 * 1024;

#[derive(Debug, Clone, Copy)]
enum Format {
    Otlp,
    Flat,
}

/// Registers both reporters as [`FACTORY`].
///
/// # Errors
/// Fails if the registry already has one of the two. The factory that was registered first stays.
pub fn register(registry: &mut Registry) -> Result<(), AlreadyRegistered> {
    let traces = registry.register_trace(FACTORY, JsonReporterFactory);
    let events = registry.register_event(FACTORY, JsonReporterFactory);
    traces.and(events)
}

struct JsonReporterFactory;

impl JsonReporterFactory {
    const OPTIONS: &'static [OptionDoc] = &[
        PATH.doc(),
        FORMAT.doc(),
        ROTATE_SIZE.doc(),
        ROTATE_AGE.doc(),
        ROTATE_KEEP.doc(),
        SYNC.doc(),
        otel::SERVICE_NAME.doc(),
        otel::SERVICE_VERSION.doc(),
        otel::RESOURCE_ATTRIBUTES.doc(),
    ];

    fn create(config: &ReporterConfig, signal: Signal) -> Result<Box<JsonReporter>, ConfigError> {
        let path = config.require(&PATH)?;
        let (encoder, line_start) = match config.require(&FORMAT)? {
            Format::Otlp => {
                let otlp = OtlpJson::new(signal, &otel::resource(config, signal)?);
                (Encoder::Otlp(otlp), OtlpJson::line_start(signal))
            }
            Format::Flat => (Encoder::Flat(Box::default()), flat::line_start(signal)),
        };
        let rules = Rules {
            line_start,
            size_limit: config.require(&ROTATE_SIZE)?,
            age_limit: config.require(&ROTATE_AGE)?,
            keep: config.require(&ROTATE_KEEP)?,
            sync: config.require(&SYNC)?,
        };
        let file = LineFile::open(path, rules).map_err(|error| match error {
            FileError::Unfit { expected, .. } => config.invalid(&PATH, expected),
            error @ FileError::Io { .. } => ConfigError::Setup(error.into()),
        })?;
        Ok(Box::new(JsonReporter { encoder, lines: Lines::default(), file, meter: ReporterMeter::new() }))
    }
}

impl TraceReporterFactory for JsonReporterFactory {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Self::create(config, Signal::Traces)?)
    }

    fn options(&self) -> &'static [OptionDoc] {
        Self::OPTIONS
    }
}

impl EventReporterFactory for JsonReporterFactory {
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(Self::create(config, Signal::Events)?)
    }

    fn options(&self) -> &'static [OptionDoc] {
        Self::OPTIONS
    }
}

enum Encoder {
    Otlp(OtlpJson),
    Flat(Box<FlatEncoder>),
}

impl Encoder {
    fn push_span(&mut self, lines: &mut Lines, span: &ReportedSpan) {
        match self {
            Self::Otlp(otlp) => otlp.push_span(lines, span),
            Self::Flat(flat) => span.spans().for_each(|span| {
                flat.push_span(lines.text(), span);
                lines.end_line(1);
            }),
        }
    }

    fn push_event(&mut self, lines: &mut Lines, event: &ReportedEvent) {
        match self {
            Self::Otlp(otlp) => otlp.push_event(lines, event),
            Self::Flat(flat) => {
                flat.push_event(lines.text(), event);
                lines.end_line(1);
            }
        }
    }
}

/// Appends what it is given to a file, and has it there when `report` returns.
struct JsonReporter {
    encoder: Encoder,
    lines: Lines,
    file: LineFile,
    meter: ReporterMeter,
}

impl TraceReporter for JsonReporter {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        let count = spans.iter().map(ReportedSpan::span_count).sum();
        self.write_all(spans, count, Encoder::push_span)
    }

    fn meter(&self) -> Option<ReporterMeter> {
        Some(self.meter.clone())
    }
}

impl EventReporter for JsonReporter {
    fn report(&mut self, events: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
        self.write_all(events, events.len(), Encoder::push_event)
    }

    fn meter(&self) -> Option<ReporterMeter> {
        Some(self.meter.clone())
    }
}

impl JsonReporter {
    fn write_all<R>(
        &mut self,
        records: &[R],
        count: usize,
        push: fn(&mut Encoder, &mut Lines, &R),
    ) -> Result<(), ReportError> {
        let mut written = 0;
        let result = self.try_write_all(records, push, &mut written);
        result.map_err(|error| ReportError::from_dropped(count - written, true, error))
    }

    fn try_write_all<R>(
        &mut self,
        records: &[R],
        push: fn(&mut Encoder, &mut Lines, &R),
        written: &mut usize,
    ) -> Result<(), FileError> {
        self.lines.clear();
        for record in records {
            push(&mut self.encoder, &mut self.lines, record);
            if self.lines.len() >= WRITE_SIZE {
                self.write(written)?;
            }
        }
        self.write(written)
    }

    fn write(&mut self, written: &mut usize) -> Result<(), FileError> {
        let (now, size) = (SystemTime::now(), self.lines.len() as u64);
        if size > 0 {
            self.file.append(&self.lines, now, written)?;
            self.lines.clear();
            self.meter.update(|stats| {
                stats.bytes_sent += size;
                stats.last_taken = Some(now);
            });
        }
        Ok(())
    }
}
