//! The contract of `TraceReporter`, `EventReporter` and their factories as a test suite for any
//! reporter.
//!
//! To run the suite, implement [`Destination`] for the place to which a reporter delivers:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use flink_traces_api::{
//!     AttributeValue, ConfigError, Deadline, EventReporter, EventReporterFactory, OptionDoc,
//!     ReportError, ReportedEvent, ReporterConfig, ValueRef,
//! };
//! use flink_traces_testkit::conformance::{Conformance, Destination, Received};
//!
//! /// A reporter that stores events in memory, which is also its factory.
//! #[derive(Clone, Default)]
//! struct Memory(Arc<Mutex<Vec<Received>>>);
//!
//! impl EventReporterFactory for Memory {
//!     fn create_event_reporter(
//!         &self,
//!         _: &ReporterConfig,
//!     ) -> Result<Box<dyn EventReporter>, ConfigError> {
//!         Ok(Box::new(self.clone()))
//!     }
//!
//!     fn options(&self) -> &'static [OptionDoc] {
//!         &[]
//!     }
//! }
//!
//! impl EventReporter for Memory {
//!     fn report(&mut self, events: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
//!         let owned = |value| match value {
//!             ValueRef::String(text) => AttributeValue::from(text.to_owned()),
//!             ValueRef::Long(number) => number.into(),
//!             ValueRef::Double(number) => number.into(),
//!             ValueRef::Bool(flag) => flag.into(),
//!         };
//!         let received = events.iter().map(|event| {
//!             let attributes = event.attributes();
//!             let attributes = attributes.map(|(key, value)| (key.to_owned(), owned(value)));
//!             Received {
//!                 name: event.name().to_owned(),
//!                 attributes: attributes.collect(),
//!                 ..Received::default()
//!             }
//!         });
//!         self.0.lock().unwrap().extend(received);
//!         Ok(())
//!     }
//! }
//!
//! /// The same memory as a destination.
//! impl Destination for Memory {
//!     fn options(&self) -> Vec<(String, String)> {
//!         Vec::new()
//!     }
//!
//!     fn received(&self) -> Vec<Received> {
//!         self.0.lock().unwrap().clone()
//!     }
//! }
//!
//! let memory = Memory::default();
//! let emptied = memory.clone();
//! Conformance::new(move || {
//!     emptied.0.lock().unwrap().clear();
//!     emptied.clone()
//! })
//! .check_events(Arc::new(memory))?;
//! # Ok::<(), flink_traces_testkit::conformance::Breaches>(())
//! ```
//!
//! The suite checks the promises of the traits and nothing that is specific to a reporter, such as
//! its format. If a format has no place for a field, the destination leaves it out, and it is not
//! compared.
//!
//! # Rules
//!
//! - each option is declared once, with a default that the factory takes
//! - options of others do not matter
//! - an option that is missing is named
//! - a value that is wrong is refused, with its key, and not shown if it may be a secret
//! - no value of an option does worse than an error
//! - nothing reported is nothing delivered
//! - what is reported has arrived when report returns, once and in order
//! - children arrive, once each, under their parents
//! - attributes of every type arrive, variables too
//! - text is text, whatever it says
//! - no timestamp is too odd
//! - events of every severity arrive
//! - failures, links and what Flink would not tell do not get in the way
//! - a batch of thousands arrives whole
//! - nothing is lost under compatibility: flink
//! - the next reporter adds to what is there
//! - a reporter that is dropped without close has delivered all
//! - when the deadline is over, what is not delivered is counted
//! - a destination that is away costs what is counted, and no more once it is back
//! - what a destination refuses is counted as rejected
//! - a destination that is away is no reason not to be made, unless nothing can be set up there
//! - close after a failure delivers nothing in secret

mod case;
mod compare;
mod received;
mod rules;
mod sample;
mod subject;

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use flink_traces_api::{EventReporterFactory, TraceReporterFactory};

use case::Case;
pub use received::Received;
use subject::{Events, Subject, Traces};

/// A place to which a reporter under test delivers.
///
/// A new one is created for each rule and used on one thread with the reporter.
pub trait Destination {
    /// Returns the options that lead a reporter here.
    ///
    /// All options that name a place, such as a path or an address, must be among them. The suite
    /// tries unlikely values for all other options.
    fn options(&self) -> Vec<(String, String)>;

    /// Returns all spans or events that have arrived so far, in the order in which they did.
    fn received(&self) -> Vec<Received>;

    /// Returns options with invalid values, which the reporter must refuse.
    ///
    /// The suite tries one at a time. It is added to [`options`](Self::options) or replaces one of
    /// them.
    fn wrong_options(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Changes the behavior and returns `true`, or returns `false` if that is not possible.
    ///
    /// Rules that need an impossible behavior are skipped. Records that were sent before must not
    /// arrive later, or they would be counted both as dropped and as delivered.
    fn behave(&self, behavior: Behavior) -> bool {
        behavior == Behavior::Take
    }
}

/// The behavior of a [`Destination`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behavior {
    /// It accepts everything. This is the initial behavior.
    Take,
    /// It is unavailable, or does not respond. It accepts nothing now, but may do so later.
    BeAway,
    /// It responds and rejects everything for good.
    Refuse,
}

/// The conformance suite for the reporters of one kind of destination.
///
/// The [module documentation](self) has an example.
#[derive(Debug, Clone)]
pub struct Conformance<F> {
    new_destination: Arc<F>,
    patience: Duration,
    /// The only rule to check, or `None` for all rules.
    rule: Option<&'static str>,
}

impl<F, D> Conformance<F>
where
    F: Fn() -> D + Send + Sync + 'static,
    D: Destination + 'static,
{
    /// Creates a suite that calls `new_destination` for an empty destination, once for each rule.
    ///
    /// The suite checks one rule after the other.
    pub fn new(new_destination: F) -> Self {
        Self { new_destination: Arc::new(new_destination), patience: Duration::from_secs(60), rule: None }
    }

    /// Restricts the suite to `rule`, which is one of [`rules`], for debugging.
    #[must_use]
    pub fn only(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    /// Sets the time after which a rule fails because the reporter hangs. The default is 60 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Checks the trace reporters that `factory` creates.
    ///
    /// # Errors
    /// Fails with all broken rules.
    pub fn check_traces(&self, factory: Arc<dyn TraceReporterFactory>) -> Result<(), Breaches> {
        self.check(Arc::new(Traces(factory)))
    }

    /// Checks the event reporters that `factory` creates.
    ///
    /// # Errors
    /// Fails with all broken rules.
    pub fn check_events(&self, factory: Arc<dyn EventReporterFactory>) -> Result<(), Breaches> {
        self.check(Arc::new(Events(factory)))
    }

    fn check<S: Subject>(&self, subject: Arc<S>) -> Result<(), Breaches> {
        let mut breaches = Vec::new();
        let mut rules = rules::all::<S, D>();
        rules.retain(|(name, _)| self.rule.is_none_or(|only| only == *name));
        if let Some(rule) = self.rule.filter(|_| rules.is_empty()) {
            breaches.push(Breach { rule, problem: "there is no such rule".to_owned() });
        }
        for (name, rule) in rules {
            let (subject, new_destination) = (subject.clone(), self.new_destination.clone());
            let run = move || rule(&mut Case::new(&*subject, new_destination()));
            if let Err(problem) = within(self.patience, run) {
                breaches.push(Breach { rule: name, problem });
            }
        }
        if breaches.is_empty() { Ok(()) } else { Err(Breaches(breaches)) }
    }
}

/// Returns the result of `run` on a thread of its own. A panic and a timeout are errors.
fn within(patience: Duration, run: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    let (sender, receiver) = sync_channel(1);
    let spawned = thread::Builder::new().name("conformance".to_owned()).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(format!("panicked: {}", text.unwrap_or("no message")))
        });
        // The receiver is gone after a timeout.
        let _ = sender.send(result);
    });
    spawned.map_err(|error| format!("no thread: {error}"))?;
    receiver.recv_timeout(patience).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(format!("did not return within {patience:?}")),
        RecvTimeoutError::Disconnected => Err("the thread ended without a result".to_owned()),
    })
}

/// Returns the names of all rules in the order in which they are checked.
pub fn rules() -> impl Iterator<Item = &'static str> {
    rules::NAMES.iter().copied()
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breach {
    /// The name, which is one of [`rules`].
    pub rule: &'static str,
    /// The finding.
    pub problem: String,
}

/// The broken rules of a reporter, of which there is at least one.
// Exhaustive: it is the list of breaches and has nothing else to say.
#[derive(Clone, PartialEq, Eq)]
pub struct Breaches(pub Vec<Breach>);

impl fmt::Display for Breaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the reporter breaks {} of {} rules", self.0.len(), rules::NAMES.len())?;
        self.0.iter().try_for_each(|Breach { rule, problem }| write!(f, "\n  {rule}: {problem}"))
    }
}

/// Formats as [`Display`](fmt::Display), for `unwrap` in tests.
impl fmt::Debug for Breaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Breaches {}
