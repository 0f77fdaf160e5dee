//! The typed builder of both reporters.

use std::path::Path;
use std::time::Duration;

use flink_traces_api::{ReporterBuilder, ReporterDeclaration, Signal, resource_options};

use crate::{FACTORY, FORMAT, JsonReporterFactory, PATH, ROTATE_AGE, ROTATE_KEEP, ROTATE_SIZE, SYNC};

/// Reporters that a program configures in code: spans in one file, events in another.
///
/// The methods set the [options](crate#options) of a configuration file.
///
/// # Examples
///
/// ```
/// use flink_traces_json::JsonLines;
/// use flink_traces_runtime::Reporting;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # std::env::set_current_dir(&directory)?;
/// let reporting = Reporting::builder()
///     .reporter(JsonLines::new("spans.jsonl", "events.jsonl").flat().rotate_size(64 << 20))
///     .start()?;
/// # let _ = reporting;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct JsonLines(ReporterDeclaration);

impl JsonLines {
    /// Creates reporters that append spans to the file `spans`, and events to the file `events`.
    pub fn new(spans: impl AsRef<Path>, events: impl AsRef<Path>) -> Self {
        let mut declaration =
            ReporterDeclaration::new("json").traces(FACTORY, JsonReporterFactory).events(FACTORY, JsonReporterFactory);
        declaration.set_path_for(Signal::Traces, PATH.key(), spans);
        declaration.set_path_for(Signal::Events, PATH.key(), events);
        Self(declaration)
    }

    /// Writes one plain object for each span and event, instead of OTLP/JSON.
    pub fn flat(self) -> Self {
        self.option(FORMAT.key(), "flat")
    }

    /// Sets the maximum size of a file in bytes, after which a new one is created.
    ///
    /// 0 means no limit.
    pub fn rotate_size(self, bytes: u64) -> Self {
        self.option(ROTATE_SIZE.key(), format!("{bytes} b"))
    }

    /// Sets the maximum age of a file to which a record is added. 0 means no limit.
    pub fn rotate_age(self, age: Duration) -> Self {
        self.option(ROTATE_AGE.key(), format!("{} ms", age.as_millis()))
    }

    /// Sets the number of closed files to keep.
    pub fn rotate_keep(self, files: u64) -> Self {
        self.option(ROTATE_KEEP.key(), files.to_string())
    }

    /// Waits for the disk when a file is closed, so closed files survive a crash of the machine.
    pub fn sync_closed(self) -> Self {
        self.option(SYNC.key(), "closed")
    }

    /// Waits for the disk after each batch, so delivered records survive a crash of the machine.
    pub fn sync_always(self) -> Self {
        self.option(SYNC.key(), "always")
    }

    // Only the format OTLP/JSON has a resource.
    resource_options!();
}

impl ReporterBuilder for JsonLines {
    fn declaration(&mut self) -> &mut ReporterDeclaration {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use flink_traces_api::ReporterConfig;

    use super::*;

    #[test]
    fn builder_sets_every_option() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let builder = JsonLines::new(path("spans"), path("events"))
            .flat()
            .rotate_size(1 << 20)
            .rotate_age(Duration::from_millis(1_500))
            .rotate_keep(3)
            .sync_closed()
            .service_name("orders")
            .service_version("7")
            .resource_attribute("deployment.environment.name", "prod");
        for (signal, file) in [(Signal::Traces, "spans"), (Signal::Events, "events")] {
            let options: Vec<_> = builder.0.options(signal).collect();
            let config = ReporterConfig::from_pairs("json", options.iter().copied());
            assert_eq!(config.require(&PATH).unwrap(), path(file));
            assert_eq!(config.require(&ROTATE_SIZE).unwrap(), 1 << 20);
            assert_eq!(config.require(&ROTATE_AGE).unwrap(), Duration::from_millis(1_500));
            assert_eq!(config.require(&ROTATE_KEEP).unwrap(), 3);
            JsonReporterFactory::create(&config, signal).unwrap();
            // Each declared option has a method, and each method an option.
            let is_of = |key: &str, option: &str| key == option || key.starts_with(&format!("{option}."));
            for option in JsonReporterFactory::OPTIONS {
                assert!(options.iter().any(|(key, _)| is_of(key, option.key)), "no method sets {}", option.key);
            }
            for (key, _) in options {
                assert!(JsonReporterFactory::OPTIONS.iter().any(|option| is_of(key, option.key)), "{key}");
            }
        }
    }
}
