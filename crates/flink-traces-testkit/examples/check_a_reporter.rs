//! Runs the conformance suite on a reporter that omits the second event of each batch.
//!
//! Run it with `cargo run -p flink-traces-testkit --example check_a_reporter`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use flink_traces_api::{
    AttributeValue, ConfigError, Deadline, EventReporter, EventReporterFactory, OptionDoc, ReportError, ReportedEvent,
    ReporterConfig, ValueRef,
};
use flink_traces_testkit::conformance::{Conformance, Destination, Received};

/// A reporter that stores events in memory. It is its own factory and its own destination.
#[derive(Clone, Default)]
struct Memory {
    received: Arc<Mutex<Vec<Received>>>,
    is_faulty: bool,
}

impl EventReporterFactory for Memory {
    fn create_event_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(Box::new(self.clone()))
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl EventReporter for Memory {
    fn report(&mut self, events: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
        let is_kept = |index: usize| !self.is_faulty || index != 1;
        let kept = events.iter().enumerate().filter(|(index, _)| is_kept(*index));
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.extend(kept.map(|(_, event)| Received {
            name: event.name().to_owned(),
            attributes: event.attributes().map(|(key, value)| (key.to_owned(), owned(value))).collect(),
            ..Received::default()
        }));
        Ok(())
    }
}

impl Destination for Memory {
    fn options(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn owned(value: ValueRef<'_>) -> AttributeValue {
    match value {
        ValueRef::String(text) => text.to_owned().into(),
        ValueRef::Long(number) => number.into(),
        ValueRef::Double(number) => number.into(),
        ValueRef::Bool(flag) => flag.into(),
    }
}

/// Checks the reporter. Each rule of the suite begins with an empty memory.
fn check(memory: &Memory) -> Result<(), Box<dyn Error>> {
    let destination = memory.clone();
    let suite = Conformance::new(move || {
        destination.received.lock().unwrap_or_else(PoisonError::into_inner).clear();
        destination.clone()
    });
    Ok(suite.check_events(Arc::new(memory.clone()))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    check(&Memory::default())?;
    println!("the correct reporter passes");
    let faulty = Memory { is_faulty: true, ..Memory::default() };
    match check(&faulty) {
        Ok(()) => Err("the faulty reporter passes, too".into()),
        Err(breaches) => {
            println!("the faulty reporter fails: {breaches}");
            Ok(())
        }
    }
}
