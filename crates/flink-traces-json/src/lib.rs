//! Reporters that write Flink spans and events to JSON Lines files.
//!
//! [`register`] registers the factory of both reporters as [`FACTORY`]. Spans and events need
//! separate files:
//!
//! ```yaml
//! traces.reporters: file
//! traces.reporter.file.factory.class: flink-traces-json
//! traces.reporter.file.path: /var/log/flink/spans.jsonl
//! events.reporters: file
//! events.reporter.file.factory.class: flink-traces-json
//! events.reporter.file.path: /var/log/flink/events.jsonl
//! events.reporter.file.format: flat
//! ```
//!
//! # Options
//!
//! - `path` is the file to append to.
//! - `format` is `otlp` (the default) or `flat`. `otlp` writes a `TracesData` or `LogsData` message
//!   on each line, as the OpenTelemetry Collector writes and reads it. `flat` writes one plain
//!   object for each span, including children, and each event.
//! - `rotate.size` (default `128 mb`) is the maximum size of a file, which only a single longer
//!   line exceeds. 0 means no limit.
//! - `rotate.age` (default `0 s`) is the maximum age of a file to which a record is added. 0 means
//!   no limit.
//! - `rotate.keep` (default `10`) is the number of closed files to keep.
//! - `sync` (default `never`) selects the data that survives a crash of the machine. With `never`
//!   it is the data that the operating system happened to write, with `closed` the closed files,
//!   and with `always` all delivered records, for which each batch waits for the disk.
//! - `service.name`, `service.version` and `resource.attributes` describe the resource, in the
//!   format `otlp` only.
//! - `compatibility: flink` selects the times, severity, status and resource of Flink's own
//!   OpenTelemetry reporters.
//!
//! # Files
//!
//! The active file always has the configured name, so `tail -f` keeps working. A full file is
//! closed for good under a numbered name, so `spans.jsonl` becomes `spans.closed-000001.jsonl`.
//! Point a reader that starts over when a file changes, such as the Collector's `otlpjsonfile`
//! receiver, at the closed files: `spans.closed-*.jsonl`.
//!
//! - When `report` returns `Ok`, the lines are in the file. No record stays in a buffer, so a crash
//!   of the program loses nothing. The option `sync` decides about a crash of the machine.
//! - A file holds whole lines. If a write fails, the partial line is cut off, and the records of
//!   missing lines are counted as dropped. A line that a crash tore is cut off when the file is
//!   opened again.
//! - Files are created for their owner only (mode 0600). Symbolic links are not followed.
//! - A file that does not begin like a line of the same format and signal is refused. So is a file
//!   that another reporter or process writes to.
//! - If the file is renamed or deleted, the next report creates it again. Truncating it is fine,
//!   too.
//! - If a full file cannot be renamed, it keeps growing, and a warning is logged.
//!
//! # Lines
//!
//! - Control characters, line separators and marks that reorder text are escaped, so every reader
//!   sees one line.
//! - JSON has no number for NaN and the infinities, and receivers reject the strings that proto3
//!   defines for `doubleValue`. They become the strings `NaN`, `Infinity` and `-Infinity`.
//! - In the format `otlp`, a tree whose line is longer than 512 KiB continues in the next line,
//!   because the Collector cuts lines at 1 MiB.
//! - In the format `flat`, `ts` is the start of a span or the time of an event. It is `null` if
//!   that is unknown, which is Flink's −1 under `compatibility: flink`.
//!
//! # Errors
//!
//! The factory fails if an option is invalid or the file cannot be opened. A report fails if a
//! write fails, and counts the records of missing lines as dropped; the next report tries again.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
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

pub use builder::JsonLines;
use file::{FileError, LineFile, Rules, Sync};
pub use flat::FlatEncoder;
use lines::Lines;
use otlp::OtlpJson;

/// The `factory.class` of both reporters, which have no counterpart in Flink.
pub const FACTORY: &str = "flink-traces-json";

const PATH: ConfigOption<PathBuf> = ConfigOption::parsed(
    "path",
    "the path of a file",
    |text| Path::new(text).file_name().map(|_| PathBuf::from(text)),
    "The file to append to. It is created if it does not exist, but its directory is not. Spans and events need separate files.",
);

const FORMAT: ConfigOption<Format> = ConfigOption::parsed(
    "format",
    "`otlp` or `flat`",
    |text| match text.to_ascii_lowercase().as_str() {
        "otlp" => Some(Format::Otlp),
        "flat" => Some(Format::Flat),
        _ => None,
    },
    "`otlp` writes OTLP/JSON, with a span tree or an event on each line. `flat` writes one plain object for each span and event, for `grep` and `jq`.",
)
.or("otlp");

const ROTATE_SIZE: ConfigOption<u64> = ConfigOption::bytes(
    "rotate.size",
    "The maximum size of a file, after which a new one is created. 0 means no limit.",
)
.or("128 mb");

const ROTATE_AGE: ConfigOption<Duration> = ConfigOption::duration(
    "rotate.age",
    "The maximum age of a file. If an older one gets a record, it is closed first and a new one is created. 0 means no limit.",
)
.or("0 s");

const ROTATE_KEEP: ConfigOption<u64> = ConfigOption::parsed(
    "rotate.keep",
    "a whole number from 1",
    |text| text.trim().parse().ok().filter(|keep| *keep > 0),
    "The number of closed files to keep. The oldest are deleted.",
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
    "The data that survives a crash of the machine. With `never` it is the data that the operating system happened to write, with `closed` the closed files, and with `always` all delivered records, for which each batch waits for the disk.",
)
.or("never");

/// The number of bytes that are written at once. Larger writes are not faster.
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
                let otlp = OtlpJson::new(signal, otel::resource(config, signal)?);
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
            FileError::Unsuitable { expected, .. } => config.invalid(&PATH, expected),
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

/// A reporter that appends records to a file before `report` returns.
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
