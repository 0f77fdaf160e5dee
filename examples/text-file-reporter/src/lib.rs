//! A reporter that writes Flink's spans as the lines of a text file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use flink_traces_api::{
    AlreadyRegistered, ConfigError, ConfigOption, Deadline, OptionDoc, Registry, ReportError, ReportedSpan,
    ReporterConfig, TraceReporter, TraceReporterFactory,
};

/// The `factory.class` that selects the reporter.
pub const FACTORY: &str = "text-file-reporter";

const PATH: ConfigOption<String> = ConfigOption::string("path", "The file to append to.");

/// Registers the reporter as [`FACTORY`]. Fails if the registry already has a factory of that name.
pub fn register(registry: &mut Registry) -> Result<(), AlreadyRegistered> {
    registry.register_trace(FACTORY, TextFileReporterFactory)
}

struct TextFileReporterFactory;

impl TraceReporterFactory for TextFileReporterFactory {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        let file = OpenOptions::new().append(true).create(true).open(config.require(&PATH)?);
        Ok(Box::new(TextFileReporter(file.map_err(|error| ConfigError::Setup(error.into()))?)))
    }

    fn options(&self) -> &'static [OptionDoc] {
        const { &[PATH.doc()] }
    }
}

struct TextFileReporter(File);

impl TraceReporter for TextFileReporter {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        let mut lines = String::new();
        for span in spans.iter().flat_map(ReportedSpan::spans) {
            lines += &format!("{} {:?}", span.span_id(), span.name());
            for (key, value) in span.attributes() {
                lines += &format!(" {key:?}={:?}", value.to_string());
            }
            lines += "\n";
        }
        let count = spans.iter().map(ReportedSpan::span_count).sum();
        self.append(&lines).map_err(|error| ReportError::from_dropped(count, true, error))
    }
}

impl TextFileReporter {
    /// Writes all lines to disk before it returns, or none of them.
    fn append(&mut self, lines: &str) -> io::Result<()> {
        let end = self.0.metadata()?.len();
        let written = self.0.write_all(lines.as_bytes()).and_then(|()| self.0.sync_data());
        written.or_else(|error| self.0.set_len(end).and(Err(error)))
    }
}
