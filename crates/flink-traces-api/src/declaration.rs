//! Reporters that a program configures in code.

use std::fmt;
use std::sync::Arc;

use crate::{COMPATIBILITY, Compatibility, EventReporterFactory, REDACTED, Signal, TraceReporterFactory, is_sensitive};

/// The reporters of one destination, as a program configures them in code.
///
/// A reporter crate has a typed builder, such as `JsonLines` or `Otlp`, which fills in a
/// declaration. It holds the same keys and values as a configuration file, so there is one parser
/// and one check of each option. The reporter of spans and that of events share all options, unless
/// an option is [set for one of them](Self::set_for).
///
/// # Examples
///
/// The typed builder of a reporter crate:
///
/// ```
/// # use flink_traces_api::*;
/// # struct Factory;
/// # impl TraceReporterFactory for Factory {
/// #     fn create_trace_reporter(
/// #         &self,
/// #         _: &ReporterConfig,
/// #     ) -> Result<Box<dyn TraceReporter>, ConfigError> {
/// #         Err(ConfigError::Setup("not needed".into()))
/// #     }
/// #     fn options(&self) -> &'static [OptionDoc] { &[] }
/// # }
/// use flink_traces_api::{ReporterBuilder, ReporterDeclaration};
///
/// pub struct Notes(ReporterDeclaration);
///
/// impl Notes {
///     pub fn new(path: &str) -> Self {
///         Self(ReporterDeclaration::new("notes").traces("my-notes", Factory)).option("path", path)
///     }
/// }
///
/// impl ReporterBuilder for Notes {
///     fn declaration(&mut self) -> &mut ReporterDeclaration {
///         &mut self.0
///     }
/// }
///
/// let mut notes = Notes::new("notes.txt").named("today").exclude("*:JobInitialization");
/// assert_eq!(notes.declaration().name(), "today");
/// ```
#[derive(Clone)]
pub struct ReporterDeclaration {
    name: String,
    trace: Option<(&'static str, Arc<dyn TraceReporterFactory>)>,
    event: Option<(&'static str, Arc<dyn EventReporterFactory>)>,
    only: Option<Signal>,
    options: Vec<(Option<Signal>, String, String)>,
}

impl ReporterDeclaration {
    /// Creates a declaration without factories. `name` is the name in configuration keys.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), trace: None, event: None, only: None, options: Vec::new() }
    }

    /// Adds the factory of the reporter of spans, and its `factory.class`.
    #[must_use]
    pub fn traces(mut self, class: &'static str, factory: impl TraceReporterFactory + 'static) -> Self {
        self.trace = Some((class, Arc::new(factory)));
        self
    }

    /// Adds the factory of the reporter of events, and its `factory.class`.
    #[must_use]
    pub fn events(mut self, class: &'static str, factory: impl EventReporterFactory + 'static) -> Self {
        self.event = Some((class, Arc::new(factory)));
        self
    }

    /// Sets an option of both reporters. An earlier value of the key is replaced.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.put(None, key.into(), value.into());
    }

    /// Sets an option of the reporter of `signal`. It takes precedence over that of both.
    pub fn set_for(&mut self, signal: Signal, key: impl Into<String>, value: impl Into<String>) {
        self.put(Some(signal), key.into(), value.into());
    }

    /// Returns the name in configuration keys.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the factory of the reporter of spans and its class, if it is wanted.
    pub fn trace_factory(&self) -> Option<(&'static str, Arc<dyn TraceReporterFactory>)> {
        self.trace.clone().filter(|_| self.only.is_none_or(|only| only == Signal::Traces))
    }

    /// Returns the factory of the reporter of events and its class, if it is wanted.
    pub fn event_factory(&self) -> Option<(&'static str, Arc<dyn EventReporterFactory>)> {
        self.event.clone().filter(|_| self.only.is_none_or(|only| only == Signal::Events))
    }

    /// Returns the options of the reporter of `signal`, each key once, in the order in which they
    /// were set.
    pub fn options(&self, signal: Signal) -> impl Iterator<Item = (&str, &str)> {
        let of_both = move |key: &str| !self.options.iter().any(|(of, known, _)| *of == Some(signal) && known == key);
        let wanted = move |(of, key, _): &&(Option<Signal>, String, String)| match of {
            Some(of) => *of == signal,
            None => of_both(key),
        };
        self.options.iter().filter(wanted).map(|(_, key, value)| (key.as_str(), value.as_str()))
    }

    fn put(&mut self, signal: Option<Signal>, key: String, value: String) {
        match self.options.iter_mut().find(|(of, known, _)| *of == signal && *known == key) {
            Some((_, _, known)) => *known = value,
            None => self.options.push((signal, key, value)),
        }
    }
}

/// Shows the options, with secrets masked.
impl fmt::Debug for ReporterDeclaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |key: &str, value: &str| if is_sensitive(key) { REDACTED } else { value }.to_owned();
        let options = self.options.iter().map(|(signal, key, value)| (signal, key, shown(key, value)));
        let options: Vec<_> = options.collect();
        f.debug_struct("ReporterDeclaration").field("name", &self.name).field("options", &options).finish()
    }
}

/// A typed builder of reporters: the methods that all builders share.
///
/// A builder holds a [`ReporterDeclaration`], which has an example. Bring the trait into scope to
/// call its methods.
pub trait ReporterBuilder: Sized {
    /// Returns the declaration that the builder fills in.
    fn declaration(&mut self) -> &mut ReporterDeclaration;

    /// Sets the name in configuration keys, logs and accounts.
    ///
    /// The default is a name of the builder, such as `otlp`.
    #[must_use]
    fn named(mut self, name: impl Into<String>) -> Self {
        self.declaration().name = name.into();
        self
    }

    /// Reports only spans, or only events. The default is both, as far as the builder has both.
    #[must_use]
    fn only(mut self, signal: Signal) -> Self {
        self.declaration().only = Some(signal);
        self
    }

    /// Sets an option by its key without the prefix, such as `queue.size`.
    #[must_use]
    fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.declaration().set(key, value);
        self
    }

    /// Sets the rules, separated by `;`, for the records that the reporter gets
    /// (`filter.includes`).
    #[must_use]
    fn include(self, rules: impl Into<String>) -> Self {
        self.option("filter.includes", rules)
    }

    /// Sets the rules, separated by `;`, for the records that the reporter does not get
    /// (`filter.excludes`).
    #[must_use]
    fn exclude(self, rules: impl Into<String>) -> Self {
        self.option("filter.excludes", rules)
    }

    /// Reports exactly the same as Flink's own reporters, or corrects their mistakes.
    #[must_use]
    fn compatibility(self, compatibility: Compatibility) -> Self {
        let name = match compatibility {
            Compatibility::Standard => "standard",
            Compatibility::Flink => "flink",
        };
        self.option(COMPATIBILITY.key(), name)
    }

    /// Sets the number of records that can be queued (`queue.size`).
    #[must_use]
    fn queue_size(self, records: usize) -> Self {
        self.option("queue.size", records.to_string())
    }
}

impl ReporterBuilder for ReporterDeclaration {
    fn declaration(&mut self) -> &mut ReporterDeclaration {
        self
    }
}
