//! A reporter that writes Flink's spans as the lines of a text file.

use std::fs::{File, OpenOptions};
use std::io::Write;

use flink_traces_api::{
    AlreadyRegistered, ConfigError, ConfigOption, Deadline, OptionDoc, Registry, ReportError, ReportedSpan,
    ReporterConfig, TraceReporter, TraceReporterFactory,
};

/// The `factory.class` that selects the reporter.
pub const FACTORY: &str = "text-file-reporter";
const PATH: ConfigOption<String> = ConfigOption::string("path", "The file to append to.");

/// Registers the reporter as [`FACTORY`]. Fails if the registry already has a factory of that name.
pub fn register(registry: &mut Registry) -> Result<(), AlreadyRegistered> {
    registry.register_trace(FACTORY, Factory)
}

struct Factory;

impl TraceReporterFactory for Factory {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        let file = OpenOptions::new().append(true).create(true).open(config.require(&PATH)?);
        Ok(Box::new(TextFile(file.map_err(|error| ConfigError::Setup(error.into()))?)))
    }

    fn options(&self) -> &'static [OptionDoc] {
        const { &[PATH.doc()] }
    }
}

struct TextFile(File);

impl TraceReporter for TextFile {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        let mut lines = String::new();
        for span in spans.iter().flat_map(ReportedSpan::spans) {
            let attributes = span.attributes().map(|(key, value)| format!(" {key:?}={:?}", value.to_string()));
            lines += &format!("{} {:?}{}\n", span.span_id(), span.name(), attributes.collect::<String>());
        }
        let count = spans.iter().map(ReportedSpan::span_count).sum();
        let dropped = |error| ReportError::from_dropped(count, true, error);
        let end = self.0.metadata().map_err(dropped)?.len();
        let written = self.0.write_all(lines.as_bytes()).and_then(|()| self.0.sync_data());
        // A part of a batch in the file would be neither delivered nor dropped.
        written.or_else(|error| self.0.set_len(end).and(Err(error))).map_err(dropped)
    }
}
