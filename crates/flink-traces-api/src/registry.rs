//! The factories that a configuration can select.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::{EventReporterFactory, Signal, TraceReporterFactory};

/// The factories that `factory.class` can select, by class name.
///
/// Each reporter crate has a `register` function that adds its factories. There is no global
/// registry. In Flink, class loaders and plugins find the factories as services.
///
/// # Examples
///
/// ```
/// # use flink_traces_api::*;
/// # struct NamesFactory;
/// # impl TraceReporterFactory for NamesFactory {
/// #     fn create_trace_reporter(
/// #         &self,
/// #         _: &ReporterConfig,
/// #     ) -> Result<Box<dyn TraceReporter>, ConfigError> {
/// #         Err(ConfigError::Setup("not needed".into()))
/// #     }
/// #     fn options(&self) -> &'static [OptionDoc] { &[] }
/// # }
/// use flink_traces_api::Registry;
///
/// let mut registry = Registry::new();
/// registry.register_trace("names", NamesFactory)?;
/// assert!(registry.trace("names").is_some());
///
/// let error = registry.register_trace("names", NamesFactory).unwrap_err();
/// assert_eq!((error.class(), error.signal().name()), ("names", "traces"));
/// # Ok::<(), flink_traces_api::AlreadyRegistered>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    trace: BTreeMap<&'static str, Arc<dyn TraceReporterFactory>>,
    event: BTreeMap<&'static str, Arc<dyn EventReporterFactory>>,
}

impl Registry {
    /// Creates a registry without factories.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a factory of trace reporters.
    ///
    /// # Errors
    /// Fails if the class already has a factory, which then stays, as in Flink.
    pub fn register_trace(
        &mut self,
        class: &'static str,
        factory: impl TraceReporterFactory + 'static,
    ) -> Result<(), AlreadyRegistered> {
        match self.trace.entry(class) {
            Entry::Vacant(entry) => entry.insert(Arc::new(factory)),
            Entry::Occupied(_) => return Err(AlreadyRegistered { class, signal: Signal::Traces }),
        };
        Ok(())
    }

    /// Adds a factory of event reporters.
    ///
    /// # Errors
    /// Fails if the class already has a factory, which then stays, as in Flink.
    pub fn register_event(
        &mut self,
        class: &'static str,
        factory: impl EventReporterFactory + 'static,
    ) -> Result<(), AlreadyRegistered> {
        match self.event.entry(class) {
            Entry::Vacant(entry) => entry.insert(Arc::new(factory)),
            Entry::Occupied(_) => return Err(AlreadyRegistered { class, signal: Signal::Events }),
        };
        Ok(())
    }

    /// Returns the factory of trace reporters of that class.
    pub fn trace(&self, class: &str) -> Option<Arc<dyn TraceReporterFactory>> {
        self.trace.get(class).cloned()
    }

    /// Returns the factory of event reporters of that class.
    pub fn event(&self, class: &str) -> Option<Arc<dyn EventReporterFactory>> {
        self.event.get(class).cloned()
    }

    /// Returns all classes of trace reporters, sorted.
    pub fn trace_classes(&self) -> impl Iterator<Item = &'static str> {
        self.trace.keys().copied()
    }

    /// Returns all classes of event reporters, sorted.
    pub fn event_classes(&self) -> impl Iterator<Item = &'static str> {
        self.event.keys().copied()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("trace", &self.trace.keys()).field("event", &self.event.keys()).finish()
    }
}

/// The error of a second factory for one class and signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadyRegistered {
    class: &'static str,
    signal: Signal,
}

impl AlreadyRegistered {
    /// Returns the class that already has a factory.
    pub fn class(&self) -> &'static str {
        self.class
    }

    /// Returns the signal for which the class already has a factory.
    pub fn signal(&self) -> Signal {
        self.signal
    }
}

impl fmt::Display for AlreadyRegistered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: a factory of this class is already registered for {}", self.class, self.signal)
    }
}

impl Error for AlreadyRegistered {}
