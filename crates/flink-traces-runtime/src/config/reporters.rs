//! Which reporters a configuration asks for.

use std::collections::{BTreeMap, BTreeSet};

use flink_traces_api::{
    COMPATIBILITY, Compatibility, ConfigError, ConfigOption, OptionDoc, Origin, RawValue, Registry, ReporterConfig,
    Signal, printable, strip_angle_brackets,
};

use super::configuration::Configuration;
use super::filter::{Filter, Rule};
use super::options::{
    ADDITIONAL_VARIABLES, EVENTS_REPORTERS, EXCLUDED_VARIABLES, FACTORY_CLASS, FILTER_EXCLUDES, FILTER_INCLUDES,
    QUEUE_SIZE, REPORTER_OPTIONS, REPORTER_SCOPE_DELIMITER, TRACES_REPORTERS,
};
use super::problem::{Problem, Severity, nearest};

/// One reporter that a configuration asks for, as Flink's `TraceReporterSetup` and `EventReporterSetup`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReporterSetup {
    /// What it reports.
    pub signal: Signal,
    /// Its name in the configuration.
    pub name: String,
    /// The class whose factory makes it.
    pub class: String,
    /// Where that was written.
    pub class_origin: Origin,
    /// All that is configured for it, for its factory.
    pub config: ReporterConfig,
    /// What of the spans or events it reports.
    pub filter: Filter,
    /// What becomes of the group's variables.
    pub variables: VariableRules,
    /// Whether it reports as Flink would.
    pub compatibility: Compatibility,
    /// How many spans or events may wait for it.
    pub queue_size: usize,
}

impl ReporterSetup {
    /// What its keys begin with, without the last dot.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.signal.reporter_prefix(), self.name)
    }

    /// All options that it may have: those of every reporter and those of its class.
    pub fn options(&self, registry: &Registry) -> impl Iterator<Item = &'static OptionDoc> {
        REPORTER_OPTIONS.iter().chain(self.signal.options(registry, &self.class).unwrap_or_default())
    }

    /// The problem that this reporter could not be made.
    pub fn problem(&self, error: &ConfigError) -> Problem {
        let problem = Problem::from(error);
        Problem {
            key: problem.key.or_else(|| Some(self.full_name())),
            origin: problem.origin.or_else(|| Some(self.class_origin.clone())),
            ..problem
        }
    }

    /// The problem that no factory has this reporter's class.
    pub fn unknown_class(&self, registry: &Registry) -> Problem {
        let known: Vec<_> = self.signal.classes(registry);
        let message = format!("'{}' is no known class; there are {}", printable(&self.class), known.join(", "));
        let nearest = nearest(&self.class, known.iter().copied());
        Problem::error(message).at(&self.class_origin).about(self.config.key("factory.class")).suggest(nearest)
    }
}

/// What a reporter does to the variables of a group: it leaves some out, then adds its own. One of its own replaces a variable of the
/// group of the same name; Flink would drop the span or event. Unlike Flink's, the rules of one reporter never touch another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VariableRules {
    /// What is added: names in angle brackets, and values.
    pub additional: Vec<(String, String)>,
    /// The names, in angle brackets, of what is left out.
    pub excludes: Vec<String>,
}

impl VariableRules {
    /// The variables, names in angle brackets, that the reporter shows of a group that has `group_variables`.
    pub fn apply(&self, group_variables: &[(String, String)]) -> Vec<(String, String)> {
        let is_replaced = |name: &String| self.additional.iter().any(|(known, _)| known == name);
        let kept = group_variables.iter().filter(|(name, _)| !self.excludes.contains(name) && !is_replaced(name));
        kept.chain(&self.additional).cloned().collect()
    }
}

/// The variables that Flink's groups have.
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

    /// Returns the options of the reporters that `class` creates, or `None` if the class is unknown.
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

/// The reporters that `configuration` asks for, trace reporters first, each by name, as Flink's `ReporterSetupBuilder` finds them. One
/// that cannot be set up is told as a problem, and the others stay.
pub fn discover(configuration: &Configuration, registry: &Registry) -> (Vec<ReporterSetup>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut setups = Vec::new();
    for signal in Signal::ALL {
        let configs = reporter_configs(configuration, signal, &mut problems);
        let names: Vec<_> = configs.keys().copied().collect();
        let enabled = enabled(configuration, signal, &names, &mut problems);
        for (name, config) in configs {
            if enabled.as_ref().is_none_or(|enabled| enabled.iter().any(|known| known == name)) {
                setups.extend(setup(signal, name, config, registry, &mut problems));
            } else {
                let (name, list) = (printable(name), printable(&enabled.as_deref().unwrap_or_default().join(", ")));
                tracing::info!("Excluding {signal} reporter {name}, not configured in reporter list ({list}).");
            }
        }
    }
    (setups, problems)
}

/// The names for which anything is configured.
pub(crate) fn reporter_names(configuration: &Configuration, signal: Signal) -> BTreeSet<&str> {
    let keys = configuration.below(signal.reporter_prefix()).map(|(key, _)| key);
    keys.filter_map(|key| Some(key.split_once('.')?.0)).collect()
}

/// What is configured for each reporter that has a class.
fn reporter_configs<'a>(
    configuration: &'a Configuration,
    signal: Signal,
    problems: &mut Vec<Problem>,
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
            (true, _) => "no reporter, as its name has a blank",
            (_, false) => "no reporter, as it has no factory.class",
            _ => {
                configs.insert(name, config);
                continue;
            }
        };
        problems.push(Problem::error(trouble).at(&origin).about(prefix.trim_end_matches('.')));
    }
    configs
}

/// The names of the reporters that are to run; `None` for all.
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
        report(Problem::error("is no list of names, all reporters are excluded"));
        return Some(Vec::new());
    };
    let text = value.raw.to_string();
    let is_yaml_list = matches!(value.raw, RawValue::List(_)) || text.trim_start().starts_with('[');
    if is_yaml_list {
        report(Problem::warning("Flink takes a YAML list for one name, and runs no reporter; for Flink write a, b"));
    } else if text.trim() != text {
        report(Problem::warning("Flink takes the blanks at the ends for parts of the names; here they do not count"));
    }
    for name in names.iter().filter(|name| !configured.contains(&name.as_str())) {
        let problem = Problem::warning(format!("there is no reporter '{}'", printable(name)));
        report(problem.suggest(nearest(name, configured.iter().copied())));
    }
    (is_yaml_list || !names.is_empty()).then_some(names)
}

fn setup(
    signal: Signal,
    name: &str,
    config: ReporterConfig,
    registry: &Registry,
    problems: &mut Vec<Problem>,
) -> Option<ReporterSetup> {
    let known = problems.len();
    let compatibility = take(config.require(&COMPATIBILITY), problems).unwrap_or_default();
    let class = config.value(FACTORY_CLASS.key())?.clone();
    let setup = ReporterSetup {
        signal,
        name: name.to_owned(),
        class: class.raw.to_string(),
        class_origin: class.origin,
        filter: Filter::new(
            rules(&config, &FILTER_INCLUDES, compatibility, problems),
            rules(&config, &FILTER_EXCLUDES, compatibility, problems),
        ),
        variables: variables(&config, problems),
        compatibility,
        queue_size: take(config.require(&QUEUE_SIZE), problems).unwrap_or(1),
        config,
    };
    if let Err(error) = setup.config.get(&REPORTER_SCOPE_DELIMITER) {
        problems.push(Problem { severity: Severity::Warning, ..Problem::from(&error) });
    }
    if signal.options(registry, &setup.class).is_none() {
        problems.push(setup.unknown_class(registry));
    }
    problems[known..].iter().all(|problem| problem.severity != Severity::Error).then_some(setup)
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
        report(Problem::warning("is empty, so that nothing is reported"));
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
            let message = "Flink splits this at each ; and takes all else, blanks too, for parts of the names";
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
                "'{name}' replaces the variable of that name; Flink would drop what has both, unless it is excluded"
            );
            problems.push(on(config, &ADDITIONAL_VARIABLES, Problem::warning(message)));
        }
    }
    rules
}

/// A problem of one option's value.
fn on<T>(config: &ReporterConfig, option: &ConfigOption<T>, problem: Problem) -> Problem {
    let below = format!("{}.", option.key());
    let found = config.values().find(|(key, _)| *key == option.key() || key.starts_with(&below));
    let origin = found.map(|(_, value)| value.origin.clone());
    Problem { key: Some(config.key(option.key())), origin, ..problem }
}
