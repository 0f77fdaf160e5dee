//! What every reporter keeps, whatever it delivers to: the contract of `TraceReporter`, `EventReporter` and their factories as rules
//! that a reporter's own tests run.
//!
//! A reporter's author says with a [`Destination`] how to lead a reporter somewhere and what has arrived there:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use flink_traces_api::{
//!     AttributeValue, ConfigError, Deadline, EventReporter, EventReporterFactory, OptionDoc, ReportError, ReportedEvent,
//!     ReporterConfig, ValueRef,
//! };
//! use flink_traces_testkit::conformance::{Conformance, Destination, Received};
//!
//! /// A reporter that keeps what it is given in memory, and its factory in one.
//! #[derive(Clone, Default)]
//! struct Memory(Arc<Mutex<Vec<Received>>>);
//!
//! impl EventReporterFactory for Memory {
//!     fn create_event_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
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
//!         let received = events.iter().map(|event| Received {
//!             name: event.name().to_owned(),
//!             attributes: event.attributes().map(|(key, value)| (key.to_owned(), owned(value))).collect(),
//!             ..Received::default()
//!         });
//!         self.0.lock().unwrap().extend(received);
//!         Ok(())
//!     }
//! }
//!
//! /// The same as a place to look at.
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
//! It checks what the documentation of the traits promises and nothing that is a reporter's own affair, such as its format. A destination
//! may leave out what its format has no place for; then that is not compared.

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

/// Where a reporter under test delivers to. Made anew for each rule, and used on one thread with the reporter.
pub trait Destination {
    /// The options that lead a reporter here. Whatever names a place (a path, an address) has to be among them: the suite tries
    /// unlikely values for all other options.
    fn options(&self) -> Vec<(String, String)>;

    /// All spans or events that have arrived so far, in the order in which they did.
    fn received(&self) -> Vec<Received>;

    /// Options with values that the reporter has to refuse, each to be set beside [`options`](Self::options) or in place of one of them.
    fn wrong_options(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Behaves so from now on; answers whether it can. Rules about what it cannot do are passed over. What was sent before must not
    /// arrive later, or it would be taken for lost and delivered.
    fn behave(&self, behavior: Behavior) -> bool {
        behavior == Behavior::Take
    }
}

/// How a [`Destination`] meets a reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    /// It takes everything, as when it was made.
    Take,
    /// It is away or does not answer. It takes nothing, and may later.
    BeAway,
    /// It answers, and refuses everything for good.
    Refuse,
}

/// The suite, for reporters that deliver to one kind of destination.
#[derive(Debug, Clone)]
pub struct Conformance<F> {
    new_destination: Arc<F>,
    patience: Duration,
    /// All, if it is not set.
    rule: Option<&'static str>,
}

impl<F, D> Conformance<F>
where
    F: Fn() -> D + Send + Sync + 'static,
    D: Destination + 'static,
{
    /// A suite that calls `new_destination` for a place without anything in it, once for each rule, one rule after the other.
    pub fn new(new_destination: F) -> Self {
        Self { new_destination: Arc::new(new_destination), patience: Duration::from_secs(60), rule: None }
    }

    /// Checks nothing but `rule`, one of [`rules`], to look into it.
    #[must_use]
    pub fn only(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    /// Sets how long a rule may take until it counts as broken by a reporter that hangs; 60 s unless set.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Checks the trace reporters that `factory` makes.
    ///
    /// # Errors
    /// When a rule is broken: all of them.
    pub fn check_traces(&self, factory: Arc<dyn TraceReporterFactory>) -> Result<(), Breaches> {
        self.check(Arc::new(Traces(factory)))
    }

    /// Checks the event reporters that `factory` makes.
    ///
    /// # Errors
    /// When a rule is broken: all of them.
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

/// What `run` says on a thread of its own, as a reporter has one; what panics or does not return has a problem as well.
fn within(patience: Duration, run: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    let (tell, told) = sync_channel(1);
    let spawned = thread::Builder::new().name("conformance".to_owned()).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(format!("panicked: {}", text.unwrap_or("no message")))
        });
        // Nobody listens once the patience is over.
        let _ = tell.send(result);
    });
    spawned.map_err(|error| format!("no thread: {error}"))?;
    told.recv_timeout(patience).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(format!("did not return within {patience:?}")),
        RecvTimeoutError::Disconnected => Err("ended its thread".to_owned()),
    })
}

/// The names of all rules, in the order in which they are checked.
pub fn rules() -> impl Iterator<Item = &'static str> {
    rules::NAMES.iter().copied()
}

/// A rule that a reporter broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Its name, one of [`rules`].
    pub rule: &'static str,
    /// What was found.
    pub problem: String,
}

/// All rules that a reporter broke, never none.
#[derive(Clone, PartialEq, Eq)]
pub struct Breaches(pub Vec<Breach>);

impl fmt::Display for Breaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the reporter breaks {} of {} rules", self.0.len(), rules::NAMES.len())?;
        self.0.iter().try_for_each(|Breach { rule, problem }| write!(f, "\n  {rule}: {problem}"))
    }
}

/// As [`Display`](fmt::Display), for `unwrap` in tests.
impl fmt::Debug for Breaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Breaches {}
