//! The reporters of a configuration.

use std::collections::{BTreeMap, BTreeSet};

use flink_traces_api::{
    COMPATIBILITY, Compatibility, ConfigError, ConfigOption, ConfigValue, OptionDoc, Origin, RawValue, Registry,
    ReporterConfig, Signal, printable, strip_angle_brackets,
};

use super::configuration::Configuration;
use super::filter::{Filter, NamePatterns, Rule};
use super::options::{
    ADDITIONAL_VARIABLES, DETAIL_FOR, DetailFor, EVENTS_REPORTERS, EXCLUDED_VARIABLES, FACTORY_CLASS, FILTER_EXCLUDES,
    FILTER_INCLUDES, OBSERVATIONS, QUEUE_MAX_BYTES, QUEUE_SIZE, REPORTER_CLUSTERS, REPORTER_DETAIL_LEVEL,
    REPORTER_OPTIONS, REPORTER_SCOPE_DELIMITER, SpanDetailLevel, TRACES_REPORTERS,
};
use super::problem::{Problem, Severity, nearest};

/// The setup of one reporter. Flink's `TraceReporterSetup` and `EventReporterSetup`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReporterSetup {
    /// The kind of record that it reports.
    pub signal: Signal,
    /// The name in the configuration.
    pub name: String,
    /// The class of the factory that creates the reporter.
    pub class: String,
    /// The place at which the class is configured.
    pub class_origin: Origin,
    /// The reporter's configuration, for its factory.
    pub config: ReporterConfig,
    /// The filter.
    pub filter: Filter,
    /// The clusters whose records the reporter gets.
    pub clusters: NamePatterns,
    /// The rules for the variables of metric groups.
    pub variables: VariableRules,
    /// The compatibility mode.
    pub compatibility: Compatibility,
    /// The levels of children of checkpoint spans; `None` for those of all reporters.
    pub detail: Option<SpanDetailLevel>,
    /// The checkpoints whose spans have children.
    pub detail_for: DetailFor,
    /// `true` if the reporter gets signs of life, see
    /// [`observation_event`](crate::extension::observation_event).
    pub observations: bool,
    /// The capacity of the reporter queue, in spans or events.
    pub queue_size: usize,
    /// The memory that the reporter queue may take, in bytes.
    pub queue_max_bytes: u64,
}

impl ReporterSetup {
    /// Returns the prefix of the reporter's keys, without the last dot.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.signal.reporter_prefix(), self.name)
    }

    /// Returns the options of every reporter and those of the reporter's class.
    pub fn options(&self, registry: &Registry) -> impl Iterator<Item = &'static OptionDoc> {
        REPORTER_OPTIONS.iter().chain(self.signal.options(registry, &self.class).unwrap_or_default())
    }

    /// Returns the problem of a factory that could not create the reporter.
    pub fn problem(&self, error: &ConfigError) -> Problem {
        let problem = Problem::from(error);
        Problem {
            key: problem.key.or_else(|| Some(self.full_name())),
            origin: problem.origin.or_else(|| Some(self.class_origin.clone())),
            ..problem
        }
    }

    /// Returns the problem of a class that no factory in `registry` has.
    pub fn unknown_class(&self, registry: &Registry) -> Problem {
        let known: Vec<_> = self.signal.classes(registry);
        let message = format!("unknown factory class '{}'; available: {}", printable(&self.class), known.join(", "));
        let nearest = nearest(&self.class, known.iter().copied());
        Problem::error(message).at(&self.class_origin).about(self.config.key("factory.class")).suggest(nearest)
    }
}

/// The rules for the variables of a metric group. A reporter removes some, then adds its own.
///
/// An added variable replaces a variable of the group with the same name. Flink would drop the
/// record instead. Unlike in Flink, the rules of one reporter never affect another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VariableRules {
    /// The variables to add, with names in angle brackets.
    pub additional: Vec<(String, String)>,
    /// The names, in angle brackets, of the variables to remove.
    pub excludes: Vec<String>,
}

impl VariableRules {
    /// Returns the variables that the reporter adds to the records of a group. All names are in
    /// angle brackets.
    pub fn apply(&self, group_variables: &[(String, String)]) -> Vec<(String, String)> {
        let is_replaced = |name: &String| self.additional.iter().any(|(known, _)| known == name);
        let kept = group_variables.iter().filter(|(name, _)| !self.excludes.contains(name) && !is_replaced(name));
        kept.chain(&self.additional).cloned().collect()
    }
}

/// The variables of Flink's groups.
const GROUP_VARIABLES: &[&str] = &[
    "host",
    "tm_id",
    "job_id",
    "job_name",
    "task_id",
    "task_name",
    "task_attempt_id",
    "task_attempt_num",
    "subtask_index",
    "operator_id",
    "operator_name",
];

/// The configuration keys and the registered classes of each signal.
pub(crate) trait SignalKeys {
    /// Returns the option that lists the names of the enabled reporters.
    fn reporters(self) -> &'static ConfigOption<Vec<String>>;

    /// Returns the prefix of all reporter keys, including the last dot.
    fn reporter_prefix(self) -> &'static str;

    /// Returns the classes that `registry` has for this signal, sorted.
    fn classes(self, registry: &Registry) -> Vec<&'static str>;

    /// Returns the options of the reporters that `class` creates, or `None` if the class is
    /// unknown.
    fn options(self, registry: &Registry, class: &str) -> Option<&'static [OptionDoc]>;
}

impl SignalKeys for Signal {
    fn reporters(self) -> &'static ConfigOption<Vec<String>> {
        match self {
            Self::Traces => &TRACES_REPORTERS,
            Self::Events => &EVENTS_REPORTERS,
        }
    }

    fn reporter_prefix(self) -> &'static str {
        match self {
            Self::Traces => "traces.reporter.",
            Self::Events => "events.reporter.",
        }
    }

    fn classes(self, registry: &Registry) -> Vec<&'static str> {
        match self {
            Self::Traces => registry.trace_classes().collect(),
            Self::Events => registry.event_classes().collect(),
        }
    }

    fn options(self, registry: &Registry, class: &str) -> Option<&'static [OptionDoc]> {
        match self {
            Self::Traces => registry.trace(class).map(|factory| factory.options()),
            Self::Events => registry.event(class).map(|factory| factory.options()),
        }
    }
}

/// Returns the setups of all configured reporters, and the problems with them.
///
/// Trace reporters come first, each signal sorted by name. A reporter with an error is left out;
/// the others stay. Mirrors Flink's `ReporterSetupBuilder`.
///
/// # Examples
///
/// ```
/// use flink_traces_api::Registry;
/// use flink_traces_runtime::{Configuration, discover};
///
/// let mut registry = Registry::new();
/// flink_traces_log::register(&mut registry);
/// let configuration = Configuration::from_pairs([
///     (
///         "traces.reporter.log.factory.class",
///         "org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory",
///     ),
///     ("traces.reporter.other.factory.class", "no.such.Factory"),
/// ]);
/// let (setups, problems) = discover(&configuration, &registry);
/// assert!(
///     problems
///         .iter()
///         .any(|problem| problem.key.as_deref() == Some("traces.reporter.other.factory.class"))
/// );
/// # let _ = setups;
/// ```
pub fn discover(configuration: &Configuration, registry: &Registry) -> (Vec<ReporterSetup>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut setups = Vec::new();
    for signal in Signal::ALL {
        let mut found = Vec::new();
        let configs = reporter_configs(configuration, signal, &mut found);
        let names: Vec<_> = configs.keys().copied().collect();
        let enabled = enabled(configuration, signal, &names, &mut problems);
        let is_enabled = |name: &str| enabled.as_ref().is_none_or(|enabled| enabled.iter().any(|known| known == name));
        problems.extend(found.into_iter().filter(|(name, _)| is_enabled(name)).map(|(_, problem)| problem));
        let class = |config: &ReporterConfig| config.value(FACTORY_CLASS.key()).map(|class| class.raw.to_string());
        let has_known_class = |config| class(config).is_some_and(|class| signal.options(registry, &class).is_some());
        let usable = configs.iter().filter(|(name, config)| is_enabled(name) && has_known_class(config));
        let usable = usable.map(|(name, _)| *name).collect::<Vec<_>>().join(",");
        for (name, config) in configs {
            if is_enabled(name) {
                match setup(signal, name, config, registry, &mut problems) {
                    Ok(setup) => setups.extend(setup),
                    Err(unknown) => problems.push(left_out(configuration, &unknown, registry, &usable)),
                }
            } else {
                let (name, list) = (printable(name), printable(&enabled.as_deref().unwrap_or_default().join(", ")));
                tracing::info!(%signal, reporter = %name, list = %list, "reporter not in the list of reporters, excluding it");
            }
        }
    }
    (setups, problems)
}

/// Returns the problem of a reporter of an unknown class, with the way to leave it out.
///
/// In a file of Flink's own, the class may be one that only the cluster has.
fn left_out(configuration: &Configuration, setup: &ReporterSetup, registry: &Registry, others: &str) -> Problem {
    let problem = setup.unknown_class(registry);
    let is_flinks = |(key, value): (&str, &ConfigValue)| {
        (key.starts_with("jobmanager.") || key.starts_with("taskmanager."))
            && value.origin.source == setup.class_origin.source
    };
    let list = setup.signal.reporters().key();
    let message = if configuration.iter().any(is_flinks) {
        format!("{}; reporter left out, because the file is Flink's own", problem.message)
    } else if others.is_empty() {
        problem.message.clone()
    } else {
        format!("{}; to leave the reporter out, set {list}={}", problem.message, printable(others))
    };
    let severity = if configuration.iter().any(is_flinks) { Severity::Warning } else { Severity::Error };
    Problem { severity, message, ..problem }
}

/// Returns the names of all reporters that have any key.
pub(crate) fn reporter_names(configuration: &Configuration, signal: Signal) -> BTreeSet<&str> {
    let keys = configuration.below(signal.reporter_prefix()).map(|(key, _)| key);
    keys.filter_map(|key| Some(key.split_once('.')?.0)).collect()
}

/// Returns the configuration of each reporter that has a class. Adds the problems of the others to
/// `problems`, with their names.
fn reporter_configs<'a>(
    configuration: &'a Configuration,
    signal: Signal,
    problems: &mut Vec<(&'a str, Problem)>,
) -> BTreeMap<&'a str, ReporterConfig> {
    let prefix = signal.reporter_prefix();
    let mut configs = BTreeMap::new();
    for name in reporter_names(configuration, signal) {
        let prefix = format!("{prefix}{name}.");
        let mut values = configuration.below(&prefix).map(|(key, value)| (key.to_owned(), value.clone())).peekable();
        let origin = values.peek().map(|(_, value)| value.origin.clone()).unwrap_or_default();
        let config = ReporterConfig::new(prefix.clone(), name, values);
        let has_class = config.value(FACTORY_CLASS.key()).is_some();
        let trouble = match (name.contains(|c: char| c.is_ascii_whitespace() || c == '\x0b'), has_class) {
            (true, _) => "expected a name without whitespace",
            (_, false) => "expected a factory.class, which selects the kind of reporter",
            _ => {
                configs.insert(name, config);
                continue;
            }
        };
        problems.push((name, Problem::error(trouble).at(&origin).about(prefix.trim_end_matches('.'))));
    }
    configs
}

/// Returns the names of the enabled reporters; `None` if all are enabled.
fn enabled(
    configuration: &Configuration,
    signal: Signal,
    configured: &[&str],
    problems: &mut Vec<Problem>,
) -> Option<Vec<String>> {
    let option = signal.reporters();
    let value = configuration.value(option.key())?;
    let mut report = |problem: Problem| problems.push(problem.at(&value.origin).about(option.key()));
    let Some(names) = option.parse(&value.raw) else {
        report(Problem::error("expected a list of names; all reporters are disabled"));
        return Some(Vec::new());
    };
    let text = value.raw.to_string();
    let is_yaml_list = matches!(value.raw, RawValue::List(_)) || text.trim_start().starts_with('[');
    if is_yaml_list {
        report(Problem::warning("Flink reads a YAML list as one name and runs no reporter; write `a, b` for Flink"));
    } else if text.trim() != text {
        report(Problem::warning("surrounding blanks are ignored; in Flink, they are part of the names"));
    }
    for name in names.iter().filter(|name| !configured.contains(&name.as_str())) {
        let problem = Problem::warning(format!("unknown reporter '{}'", printable(name)));
        report(problem.suggest(nearest(name, configured.iter().copied())));
    }
    (is_yaml_list || !names.is_empty()).then_some(names)
}

/// Returns the setup of a reporter; `None` if it has errors. Fails with the setup if its class is
/// unknown.
fn setup(
    signal: Signal,
    name: &str,
    config: ReporterConfig,
    registry: &Registry,
    problems: &mut Vec<Problem>,
) -> Result<Option<ReporterSetup>, Box<ReporterSetup>> {
    let known = problems.len();
    let compatibility = take(config.require(&COMPATIBILITY), problems).unwrap_or_default();
    let Some(class) = config.value(FACTORY_CLASS.key()).cloned() else { return Ok(None) };
    let setup = ReporterSetup {
        signal,
        name: name.to_owned(),
        class: class.raw.to_string(),
        class_origin: class.origin,
        filter: Filter::new(
            rules(&config, &FILTER_INCLUDES, compatibility, problems),
            rules(&config, &FILTER_EXCLUDES, compatibility, problems),
        ),
        clusters: NamePatterns::new(take(config.require(&REPORTER_CLUSTERS), problems).unwrap_or_default()),
        variables: variables(&config, problems),
        compatibility,
        detail: of_class(signal, &config, registry, &REPORTER_DETAIL_LEVEL, problems),
        detail_for: take(config.require(&DETAIL_FOR), problems).unwrap_or_default(),
        observations: of_class(signal, &config, registry, &OBSERVATIONS, problems).unwrap_or_default(),
        queue_size: take(config.require(&QUEUE_SIZE), problems).unwrap_or(1),
        queue_max_bytes: take(config.require(&QUEUE_MAX_BYTES), problems).unwrap_or(1),
        config,
    };
    if let Err(error) = setup.config.get(&REPORTER_SCOPE_DELIMITER) {
        problems.push(Problem { severity: Severity::Warning, ..Problem::from(&error) });
    }
    if signal.options(registry, &setup.class).is_none() {
        return Err(Box::new(setup));
    }
    Ok(problems[known..].iter().all(|problem| problem.severity != Severity::Error).then_some(setup))
}

/// Returns the configured value of an option, or the default that the reporter's class has for it.
fn of_class<T>(
    signal: Signal,
    config: &ReporterConfig,
    registry: &Registry,
    option: &ConfigOption<T>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let configured = take(config.get(option), problems).flatten();
    let class = || config.value(FACTORY_CLASS.key()).map(|class| class.raw.to_string());
    configured.or_else(|| {
        let mut options = signal.options(registry, &class()?)?.iter();
        let doc = options.find(|doc| doc.key == option.key())?;
        option.parse(&RawValue::Text(doc.default?.to_owned()))
    })
}

fn take<T>(result: Result<T, ConfigError>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|error| problems.push(Problem::from(&error))).ok()
}

fn rules(
    config: &ReporterConfig,
    option: &ConfigOption<Vec<String>>,
    compatibility: Compatibility,
    problems: &mut Vec<Problem>,
) -> Vec<Rule> {
    let Some(texts) = take(config.require(option), problems) else { return Vec::new() };
    let mut report = |problem| problems.push(on(config, option, problem));
    if option.key() == FILTER_INCLUDES.key() && texts.is_empty() {
        report(Problem::warning("empty, so the reporter gets no records"));
    }
    let mut rules = Vec::new();
    for text in texts {
        let shown = printable(&text);
        match (Rule::parse(&text, compatibility), Rule::difference(&text)) {
            (Err(error), _) => report(Problem::error(format!("'{shown}' {error}"))),
            (Ok(rule), difference) => {
                rules.push(rule);
                if let (Some(difference), Compatibility::Standard) = (difference, compatibility) {
                    report(Problem::warning(format!("'{shown}' {difference}")));
                }
            }
        }
    }
    rules
}

fn variables(config: &ReporterConfig, problems: &mut Vec<Problem>) -> VariableRules {
    let additional = take(config.get(&ADDITIONAL_VARIABLES), problems).flatten().unwrap_or_default();
    let excludes = take(config.get(&EXCLUDED_VARIABLES), problems).flatten().unwrap_or_default();
    let bracketed = |name: &str| format!("<{}>", strip_angle_brackets(name.trim()));

    if let Some(value) = config.value(EXCLUDED_VARIABLES.key()) {
        let text = value.raw.to_string();
        let flinks = text.split(';').filter(|name| !name.is_empty());
        if !excludes.is_empty() && !flinks.eq(excludes.iter().map(|name| strip_angle_brackets(name.trim()))) {
            let message = "Flink splits the names only at `;`, and blanks become part of them";
            problems.push(on(config, &EXCLUDED_VARIABLES, Problem::warning(message)));
        }
    }
    let rules = VariableRules {
        additional: additional.into_iter().map(|(name, value)| (bracketed(&name), value)).collect(),
        excludes: excludes.iter().map(|name| bracketed(name)).collect(),
    };
    for (name, _) in rules.additional.iter().filter(|(name, _)| !rules.excludes.contains(name)) {
        if GROUP_VARIABLES.contains(&strip_angle_brackets(name)) {
            let name = strip_angle_brackets(name);
            let message = format!(
                "'{name}' replaces the variable of the same name; Flink drops records that have both, unless it is excluded"
            );
            problems.push(on(config, &ADDITIONAL_VARIABLES, Problem::warning(message)));
        }
    }
    rules
}

/// Completes a problem of one option's value with its key and origin.
fn on<T>(config: &ReporterConfig, option: &ConfigOption<T>, problem: Problem) -> Problem {
    let below = format!("{}.", option.key());
    let found = config.values().find(|(key, _)| *key == option.key() || key.starts_with(&below));
    let origin = found.map(|(_, value)| value.origin.clone());
    Problem { key: Some(config.key(option.key())), origin, ..problem }
}
