//! The builder of a program's reporting: the sources of its configuration, and the start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flink_traces_api::otel::{RESOURCE_ATTRIBUTES, SERVICE_NAME};
use flink_traces_api::{
    AlreadyRegistered, Clock, ConfigError, ConfigOption, EventReporter, EventReporterFactory, OptionDoc, Origin,
    Registry, ReporterBuilder, ReporterConfig, ReporterDeclaration, Signal, SystemClock, TraceReporter,
    TraceReporterFactory,
};

use super::guard::{Parts, Reporting};
use super::in_code::{CLASS, Closures, Created};
use super::offload::offload;
use crate::config::{
    Configuration, EVENTS_REPORTERS, FACTORY_CLASS, Problem, Problems, ReporterSetup, SCOPE_DELIMITER,
    SPAN_DETAIL_LEVEL, SignalKeys, SpanDetailLevel, TRACES_REPORTERS, discover, placeholders, reporter_names,
    unknown_keys,
};
use crate::dispatch::Dispatcher;

/// The origin of all values that the program sets.
const IN_CODE: &str = "code";
/// The default time in which reporters deliver what is queued at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// A builder of [`Reporting`], which has examples.
///
/// Values of a configuration file take precedence over those in code. So an operator can change
/// each option of a reporter without a new build.
#[must_use]
pub struct ReportingBuilder {
    cluster: String,
    host: String,
    clock: Arc<dyn Clock>,
    shutdown_timeout: Duration,
    service_name: Option<String>,
    path: Option<PathBuf>,
    arguments: Vec<(&'static str, String)>,
    defaults: Vec<(String, String)>,
    own_options: Vec<OptionDoc>,
    registry: Registry,
    reporters: Vec<ReporterDeclaration>,
    default_reporter: Option<ReporterDeclaration>,
    traces: Closures<dyn TraceReporter>,
    events: Closures<dyn EventReporter>,
    problems: Vec<Problem>,
}

/// Everything that a start needs, and the problems so far.
struct Prepared {
    configuration: Configuration,
    setups: Vec<ReporterSetup>,
    registry: Registry,
    detail: SpanDetailLevel,
    delimiter: String,
    clock: Arc<dyn Clock>,
    problems: Vec<Problem>,
    cluster: String,
    host: String,
    shutdown_timeout: Duration,
}

impl Reporting {
    /// Returns a builder without reporters.
    pub fn builder() -> ReportingBuilder {
        ReportingBuilder::default()
    }
}

impl Default for ReportingBuilder {
    fn default() -> Self {
        Self {
            cluster: String::new(),
            host: "localhost".to_owned(),
            clock: Arc::new(SystemClock),
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            service_name: None,
            path: None,
            arguments: Vec::new(),
            defaults: Vec::new(),
            own_options: Vec::new(),
            registry: Registry::new(),
            reporters: Vec::new(),
            default_reporter: None,
            traces: Closures::default(),
            events: Closures::default(),
            problems: Vec::new(),
        }
    }
}

impl ReportingBuilder {
    /// Sets the name of the cluster, which is part of all ids and the attribute
    /// `flink.cluster.name`.
    ///
    /// Give it the same name in every process that reports the same jobs. By default it has none.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = name.into();
        self
    }

    /// Sets the host of the JobManager's metric group, which is the attribute `host`.
    ///
    /// The default is `localhost`.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// Sets the `service.name` of every reporter that has this option and no value for it.
    ///
    /// The default is `flink`.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = Some(name.into());
        self
    }

    /// Sets the children that checkpoint and initialization spans have
    /// (`traces.checkpoint.span-detail-level`).
    pub fn span_detail_level(self, detail: SpanDetailLevel) -> Self {
        self.option(SPAN_DETAIL_LEVEL.key(), detail.name())
    }

    /// Sets the source of the current time. The default is the system clock.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the time in which reporters deliver what is queued at the end. The default is 10 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Reads a configuration file of Flink's, or that of a directory.
    ///
    /// The file is read at the start, which returns its problems together with all others.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets a configuration key that the file does not set.
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.defaults.push((key.into(), value.into()));
        self
    }

    /// Sets a configuration key by `key=value`, which takes precedence over the file.
    ///
    /// `source` is the origin that problems name, such as `-D`.
    pub fn argument(mut self, source: &'static str, property: impl Into<String>) -> Self {
        self.arguments.push((source, property.into()));
        self
    }

    /// Adds options of the program itself to those that are known.
    ///
    /// The start reports unknown keys with the same first component, such as `engine`.
    pub fn own_options(mut self, options: &[OptionDoc]) -> Self {
        self.own_options.extend_from_slice(options);
        self
    }

    /// Adds the reporters of one destination, such as `JsonLines` or `Otlp`.
    ///
    /// A reporter of the same name in the file overrides its options. If the file selects another
    /// class for that name, the reporter of the file replaces this one.
    pub fn reporter(mut self, mut reporter: impl ReporterBuilder) -> Self {
        self.reporters.push(reporter.declaration().clone());
        self
    }

    /// Sets the reporters of a program that has no other, neither in code nor in its file.
    pub fn default_reporter(mut self, mut reporter: impl ReporterBuilder) -> Self {
        self.default_reporter = Some(reporter.declaration().clone());
        self
    }

    /// Adds a reporter of spans that has no factory. `create` runs on the thread of the reporter.
    ///
    /// To pass a reporter that exists and can be sent to another thread, return it from the
    /// closure.
    pub fn trace_reporter<R: TraceReporter + 'static>(
        mut self,
        name: impl Into<String>,
        create: impl FnOnce() -> Created<R> + Send + 'static,
    ) -> Self {
        self.traces.insert(name.into(), || Ok(Box::new(create()?)));
        self
    }

    /// Adds a reporter of events that has no factory. `create` runs on the thread of the reporter.
    pub fn event_reporter<R: EventReporter + 'static>(
        mut self,
        name: impl Into<String>,
        create: impl FnOnce() -> Created<R> + Send + 'static,
    ) -> Self {
        self.events.insert(name.into(), || Ok(Box::new(create()?)));
        self
    }

    /// Adds a factory of both signals, which the file can select as `factory.class`.
    pub fn class(
        self,
        class: &'static str,
        factory: impl TraceReporterFactory + EventReporterFactory + 'static,
    ) -> Self {
        let factory = Arc::new(factory);
        self.register(|registry| registry.register_trace(class, factory.clone()))
            .register(|registry| registry.register_event(class, factory))
    }

    /// Adds factories, which the file can select as `factory.class`, with the `register` function
    /// of a reporter crate.
    pub fn register(mut self, register: impl FnOnce(&mut Registry) -> Result<(), AlreadyRegistered>) -> Self {
        if let Err(error) = register(&mut self.registry) {
            self.problems.push(Problem::error(error.to_string()));
        }
        self
    }

    /// Starts the reporters. Warnings are logged, and [`Reporting::warnings`] returns them.
    ///
    /// The call blocks its thread until all reporters exist, for at most 30 seconds. In
    /// asynchronous code, use [`start_async`](Self::start_async).
    ///
    /// # Errors
    ///
    /// Returns all problems if one of them is an error: an invalid value, an unknown key, a
    /// reporter that cannot be created, or no reporter at all.
    pub fn start(self) -> Result<Reporting, Problems> {
        let prepared = self.prepare();
        if prepared.problems.iter().any(Problem::is_error) {
            return Err(prepared.problems.into());
        }
        let (reporting, problems) = prepared.start();
        if problems.has_errors() {
            // What was started has nothing to deliver.
            reporting.dispatcher().shutdown(Duration::ZERO);
            return Err(problems);
        }
        problems.iter().for_each(|problem| tracing::warn!("{problem}"));
        Ok(reporting)
    }

    /// Starts the reporters as [`start`](Self::start) does, without blocking the caller's thread.
    ///
    /// It needs no particular runtime.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`start`](Self::start).
    pub async fn start_async(self) -> Result<Reporting, Problems> {
        offload("reporting-start", || self.start()).await
    }

    /// Starts the reporters that can be started, and returns all problems.
    ///
    /// For a program whose work matters more than its reports. The call blocks its thread like
    /// [`start`](Self::start).
    pub fn start_lenient(self) -> (Reporting, Problems) {
        self.prepare().start()
    }

    fn prepare(mut self) -> Prepared {
        let (mut configuration, problems) = Configuration::load(self.path.as_deref(), &self.arguments);
        self.problems.extend(problems);
        self.declare(&mut configuration);
        // The last value of a key is set first, and stays.
        for (key, value) in std::mem::take(&mut self.defaults).into_iter().rev() {
            configuration.set_default(key, value, IN_CODE);
        }
        let Self { mut problems, registry, own_options, .. } = self;
        if let Some(name) = &self.service_name {
            set_service_name(&mut configuration, &registry, name);
        }
        problems.extend(unknown_keys(&configuration, &registry, &own_options));
        let own = own_options.iter().map(|option| option.key.split('.').next().unwrap_or_default());
        let own: Vec<String> = own.chain(Signal::ALL.map(Signal::name)).map(|part| format!("{part}.")).collect();
        problems.extend(placeholders(&configuration, &own.iter().map(String::as_str).collect::<Vec<_>>()));
        let known = problems.len();
        let (setups, found) = discover(&configuration, &registry);
        problems.extend(found);
        if setups.is_empty() && !problems[known..].iter().any(Problem::is_error) {
            problems.push(Problem::error("no reporter: set traces.reporter.<name>.factory.class, or add one in code"));
        }
        Prepared {
            detail: take(&configuration, &SPAN_DETAIL_LEVEL, &mut problems).unwrap_or_default(),
            delimiter: take(&configuration, &SCOPE_DELIMITER, &mut problems).unwrap_or_else(|| ".".to_owned()),
            configuration,
            setups,
            registry,
            clock: self.clock,
            problems,
            cluster: self.cluster,
            host: self.host,
            shutdown_timeout: self.shutdown_timeout,
        }
    }

    /// Adds the reporters in code to the configuration, and their factories to the registry.
    fn declare(&mut self, configuration: &mut Configuration) {
        for (signal, names) in [(Signal::Traces, self.traces.names()), (Signal::Events, self.events.names())] {
            for name in names {
                let _ = enable(configuration, signal, &name, CLASS, []);
            }
        }
        // No other factory has this class, unless `class` was called with it.
        let traces = self.registry.register_trace(CLASS, std::mem::take(&mut self.traces));
        let events = self.registry.register_event(CLASS, std::mem::take(&mut self.events));
        self.problems.extend([traces, events].into_iter().filter_map(|result| Some(error(result.err()?))));
        if let Some(declaration) = self.default_reporter.take() {
            let has_reporter = |signal| !reporter_names(configuration, signal).is_empty();
            if self.reporters.is_empty() && !Signal::ALL.into_iter().any(has_reporter) {
                self.reporters.push(declaration);
            } else {
                // The file may still select its classes.
                register(&mut self.registry, &declaration);
            }
        }
        let mut names: Vec<String> = Vec::new();
        for declaration in &self.reporters {
            let name = unique(declaration.name(), &names);
            register(&mut self.registry, declaration);
            let traces = declaration.trace_factory().map(|(class, _)| (Signal::Traces, class));
            let events = declaration.event_factory().map(|(class, _)| (Signal::Events, class));
            for (signal, class) in traces.into_iter().chain(events) {
                if enable(configuration, signal, &name, class, declaration.options(signal)) {
                    self.problems.extend(invalid_paths(configuration, signal, &name, declaration));
                }
            }
            names.push(name);
        }
    }
}

impl Prepared {
    fn start(self) -> (Reporting, Problems) {
        let Self { setups, registry, clock, delimiter, mut problems, .. } = self;
        let (dispatcher, found) = Dispatcher::start(setups, &registry, clock.clone(), &delimiter);
        problems.extend(found);
        let problems = Problems::from(problems);
        let reporting = Reporting::new(Parts {
            dispatcher,
            configuration: self.configuration,
            cluster: self.cluster,
            host: self.host,
            detail: self.detail,
            clock,
            shutdown_timeout: self.shutdown_timeout,
            warnings: problems.clone(),
        });
        (reporting, problems)
    }
}

/// Registers the factories of a reporter in code. Several reporters may have the same class.
fn register(registry: &mut Registry, declaration: &ReporterDeclaration) {
    if let Some((class, factory)) = declaration.trace_factory() {
        let _ = registry.register_trace(class, factory);
    }
    if let Some((class, factory)) = declaration.event_factory() {
        let _ = registry.register_event(class, factory);
    }
}

fn error(error: AlreadyRegistered) -> Problem {
    Problem::error(error.to_string())
}

fn take<T>(configuration: &Configuration, option: &ConfigOption<T>, problems: &mut Vec<Problem>) -> Option<T> {
    let value = configuration.get(option);
    value.map_err(|error: ConfigError| problems.push(Problem::from(&error))).ok().flatten()
}

/// Returns `name`, with a number if `names` has it already.
fn unique(name: &str, names: &[String]) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
    candidates.find(|candidate| !names.contains(candidate)).unwrap_or_else(|| name.to_owned())
}

/// Returns the problems of paths that are not Unicode, unless the file has other values.
fn invalid_paths(
    configuration: &Configuration,
    signal: Signal,
    name: &str,
    declaration: &ReporterDeclaration,
) -> Vec<Problem> {
    let problem = |(key, path): (&str, &Path)| {
        let key = format!("{}{name}.{key}", signal.reporter_prefix());
        let is_set = configuration.value(&key).is_some();
        let problem = Problem::error(format!("expected a path in Unicode, found {path:?}"));
        (!is_set).then(|| problem.with_key(key).with_origin(Origin::new(IN_CODE)))
    };
    declaration.invalid_paths(signal).filter_map(problem).collect()
}

/// Configures a reporter in code. Returns `false` if the file has another reporter of that name.
fn enable<'a>(
    configuration: &mut Configuration,
    signal: Signal,
    name: &str,
    class: &str,
    options: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> bool {
    let prefix = format!("{}{name}.", signal.reporter_prefix());
    let key = format!("{prefix}{}", FACTORY_CLASS.key());
    if configuration.value(&key).is_some_and(|value| value.raw.to_string() != class) {
        return false;
    }
    configuration.set_default(key, class.to_owned(), IN_CODE);
    for (key, value) in options {
        configuration.set_default(format!("{prefix}{key}"), value.to_owned(), IN_CODE);
    }
    let list = match signal {
        Signal::Traces => &TRACES_REPORTERS,
        Signal::Events => &EVENTS_REPORTERS,
    };
    configuration.extend_list(list, name);
    true
}

/// Sets `service.name` where a reporter has the option and the configuration has no value.
fn set_service_name(configuration: &mut Configuration, registry: &Registry, service_name: &str) {
    for signal in Signal::ALL {
        let prefix = signal.reporter_prefix();
        let names: Vec<String> = reporter_names(configuration, signal).into_iter().map(str::to_owned).collect();
        for name in names {
            let prefix = format!("{prefix}{name}.");
            let values = configuration.below(&prefix).map(|(key, value)| (key.to_owned(), value.clone()));
            let config = ReporterConfig::new(prefix.clone(), name, values.collect::<Vec<_>>());
            let class = config.value(FACTORY_CLASS.key()).map(|class| class.raw.to_string()).unwrap_or_default();
            let has_option = signal
                .options(registry, &class)
                .is_some_and(|options| options.iter().any(|option| option.key == SERVICE_NAME.key()));
            let attributes = config.get(&RESOURCE_ATTRIBUTES).ok().flatten().unwrap_or_default();
            if has_option && !attributes.iter().any(|(key, _)| key == SERVICE_NAME.key()) {
                configuration.set_default(format!("{prefix}{}", SERVICE_NAME.key()), service_name.to_owned(), IN_CODE);
            }
        }
    }
}
