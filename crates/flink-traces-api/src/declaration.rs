//! Reporters that a program configures in code.

use std::fmt;
use std::path::{Path, PathBuf};
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
    options: Vec<(Option<Signal>, String, Value)>,
}

/// The value of an option.
#[derive(Clone)]
enum Value {
    Text(String),
    /// A path that is not Unicode, which no option can have.
    Path(PathBuf),
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
        self.put(None, key.into(), Value::Text(value.into()));
    }

    /// Sets an option of both reporters to a path.
    ///
    /// A path that is not Unicode is an [invalid path](Self::invalid_paths), because options are
    /// texts.
    pub fn set_path(&mut self, key: impl Into<String>, path: impl AsRef<Path>) {
        self.put(None, key.into(), Value::of(path.as_ref()));
    }

    /// Sets an option of the reporter of `signal`. It takes precedence over that of both.
    pub fn set_for(&mut self, signal: Signal, key: impl Into<String>, value: impl Into<String>) {
        self.put(Some(signal), key.into(), Value::Text(value.into()));
    }

    /// Sets an option of the reporter of `signal` to a path, as [`set_path`](Self::set_path) does.
    pub fn set_path_for(&mut self, signal: Signal, key: impl Into<String>, path: impl AsRef<Path>) {
        self.put(Some(signal), key.into(), Value::of(path.as_ref()));
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
        self.values(signal).filter_map(|(key, value)| match value {
            Value::Text(text) => Some((key, text.as_str())),
            Value::Path(_) => None,
        })
    }

    /// Returns the options of the reporter of `signal` that were set to a path that is not Unicode.
    ///
    /// Starting such a reporter is an error.
    pub fn invalid_paths(&self, signal: Signal) -> impl Iterator<Item = (&str, &Path)> {
        self.values(signal).filter_map(|(key, value)| match value {
            Value::Text(_) => None,
            Value::Path(path) => Some((key, path.as_path())),
        })
    }

    fn values(&self, signal: Signal) -> impl Iterator<Item = (&str, &Value)> {
        let of_both = move |key: &str| !self.options.iter().any(|(of, known, _)| *of == Some(signal) && known == key);
        let wanted = move |(of, key, _): &&(Option<Signal>, String, Value)| match of {
            Some(of) => *of == signal,
            None => of_both(key),
        };
        self.options.iter().filter(wanted).map(|(_, key, value)| (key.as_str(), value))
    }

    fn put(&mut self, signal: Option<Signal>, key: String, value: Value) {
        match self.options.iter_mut().find(|(of, known, _)| *of == signal && *known == key) {
            Some((_, _, known)) => *known = value,
            None => self.options.push((signal, key, value)),
        }
    }
}

impl Value {
    fn of(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Path(path.to_owned()),
        }
    }
}

/// Shows the options, with secrets masked.
impl fmt::Debug for ReporterDeclaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |key: &str, value: &Value| match value {
            _ if is_sensitive(key) => REDACTED.to_owned(),
            Value::Text(text) => text.clone(),
            Value::Path(path) => format!("{path:?}"),
        };
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

    /// Sets an option to a path, by its key without the prefix.
    ///
    /// A path that is not Unicode is an error at the start.
    #[must_use]
    fn path_option(mut self, key: impl Into<String>, path: impl AsRef<Path>) -> Self {
        self.declaration().set_path(key, path);
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

/// Defines `service_name`, `service_version` and `resource_attribute` in the `impl` of a
/// [`ReporterBuilder`] whose reporters have an OpenTelemetry [resource](crate::otel::resource).
#[macro_export]
macro_rules! resource_options {
    () => {
        /// Sets the `service.name` of the resource.
        #[must_use]
        pub fn service_name(self, name: impl Into<String>) -> Self {
            $crate::ReporterBuilder::option(self, $crate::otel::SERVICE_NAME.key(), name)
        }

        /// Sets the `service.version` of the resource.
        #[must_use]
        pub fn service_version(self, version: impl Into<String>) -> Self {
            $crate::ReporterBuilder::option(self, $crate::otel::SERVICE_VERSION.key(), version)
        }

        /// Adds an attribute of the resource.
        #[must_use]
        pub fn resource_attribute(self, key: &str, value: impl Into<String>) -> Self {
            let key = format!("{}.{key}", $crate::otel::RESOURCE_ATTRIBUTES.key());
            $crate::ReporterBuilder::option(self, key, value)
        }
    };
}

impl ReporterBuilder for ReporterDeclaration {
    fn declaration(&mut self) -> &mut ReporterDeclaration {
        self
    }
}
