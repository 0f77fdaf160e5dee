//! Reporters that a closure creates, instead of a factory of a configurable class.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use flink_traces_api::{
    ConfigError, EventReporter, EventReporterFactory, OptionDoc, ReporterConfig, TraceReporter, TraceReporterFactory,
};

/// The result of a closure that creates a reporter.
pub(super) type Created<R> = Result<R, Box<dyn Error + Send + Sync>>;

type Create<R> = Box<dyn FnOnce() -> Created<Box<R>> + Send>;

/// The `factory.class` of all of these reporters.
pub(super) const CLASS: &str = "closure";

/// A factory of reporters, by name. Each is created once.
pub(super) struct Closures<R: ?Sized>(Mutex<BTreeMap<String, Create<R>>>);

impl<R: ?Sized> Default for Closures<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R: ?Sized> Closures<R> {
    pub(super) fn insert(&mut self, name: String, create: impl FnOnce() -> Created<Box<R>> + Send + 'static) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).insert(name, Box::new(create));
    }

    pub(super) fn names(&mut self) -> Vec<String> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn create(&self, name: &str) -> Result<Box<R>, ConfigError> {
        let create = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let create = create.ok_or_else(|| ConfigError::Setup("no closure creates the reporter".into()))?;
        create().map_err(ConfigError::Setup)
    }
}

impl TraceReporterFactory for Closures<dyn TraceReporter> {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        self.create(config.name())
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl EventReporterFactory for Closures<dyn EventReporter> {
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        self.create(config.name())
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}
