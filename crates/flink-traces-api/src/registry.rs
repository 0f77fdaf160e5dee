//! Which factories there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{EventReporterFactory, TraceReporterFactory};

/// The factories that `factory.class` can select, by class name. Filled by the `register` function of each reporter crate;
/// there is no global one. In Flink these are the services that its class loaders and plugins find.
#[derive(Clone, Default)]
pub struct Registry {
    trace: BTreeMap<&'static str, Arc<dyn TraceReporterFactory>>,
    event: BTreeMap<&'static str, Arc<dyn EventReporterFactory>>,
}

impl Registry {
    /// No factories.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a factory of trace reporters. As in Flink, the first of a class stays; answers whether this one was it.
    pub fn register_trace(&mut self, class: &'static str, factory: impl TraceReporterFactory + 'static) -> bool {
        let vacant = !self.trace.contains_key(class);
        self.trace.entry(class).or_insert_with(|| Arc::new(factory));
        vacant
    }

    /// Adds a factory of event reporters. As in Flink, the first of a class stays; answers whether this one was it.
    pub fn register_event(&mut self, class: &'static str, factory: impl EventReporterFactory + 'static) -> bool {
        let vacant = !self.event.contains_key(class);
        self.event.entry(class).or_insert_with(|| Arc::new(factory));
        vacant
    }

    /// The factory of trace reporters of that class.
    pub fn trace(&self, class: &str) -> Option<Arc<dyn TraceReporterFactory>> {
        self.trace.get(class).cloned()
    }

    /// The factory of event reporters of that class.
    pub fn event(&self, class: &str) -> Option<Arc<dyn EventReporterFactory>> {
        self.event.get(class).cloned()
    }

    /// All classes of trace reporters, sorted.
    pub fn trace_classes(&self) -> impl Iterator<Item = &'static str> {
        self.trace.keys().copied()
    }

    /// All classes of event reporters, sorted.
    pub fn event_classes(&self) -> impl Iterator<Item = &'static str> {
        self.event.keys().copied()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("trace", &self.trace.keys()).field("event", &self.event.keys()).finish()
    }
}
