//! The search for keys that nothing reads.

use std::collections::{BTreeMap, BTreeSet};

use flink_traces_api::{OptionDoc, Registry, Signal};

use super::configuration::Configuration;
use super::options::{CORE_OPTIONS, FACTORY_CLASS, REPORT_EVENTS_AS_SPANS, REPORTER_OPTIONS};
use super::problem::{Problem, nearest};
use super::reporters::{SignalKeys, reporter_names};

/// Returns a problem for each key of `configuration` that nothing reads, with the nearest known
/// key.
///
/// Only keys of this project are checked. Such a key begins, except for a typo, with `traces.`,
/// `events.` or the first component of a key of `own`. All other keys are Flink's.
///
/// `own` are the program's own options. A component of a key in angle brackets, such as `<name>`,
/// matches any text without dots.
pub fn unknown_keys(configuration: &Configuration, registry: &Registry, own: &[OptionDoc]) -> Vec<Problem> {
    /// The maximum number of suggestions. More of them would only take time.
    const MOST_SUGGESTIONS: usize = 100;
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    known.extend(CORE_OPTIONS.iter().chain(own).map(|option| (option.key.to_owned(), option.is_map)));
    let mut unchecked = Vec::new();
    for signal in Signal::ALL {
        let prefix = signal.reporter_prefix();
        for name in reporter_names(configuration, signal) {
            let reporter = format!("{prefix}{name}.");
            let class = configuration.value(&format!("{reporter}{}", FACTORY_CLASS.key()));
            match class.and_then(|class| signal.options(registry, &class.raw.to_string())) {
                Some(options) => {
                    let options = REPORTER_OPTIONS.iter().chain(options);
                    known.extend(options.map(|option| (format!("{reporter}{}", option.key), option.is_map)));
                }
                // `discover` reports an unknown class.
                None => unchecked.push(reporter),
            }
        }
    }
    let namespaces: BTreeSet<_> =
        own.iter().map(|option| first_part(option.key)).chain(Signal::ALL.map(Signal::name)).collect();
    let is_ours = |key: &str| namespaces.iter().any(|name| strsim::levenshtein(name, first_part(key)) <= 1);

    let known = KnownKeys(known);
    let mut problems = Vec::new();
    for (key, value) in configuration.iter().filter(|(key, _)| is_ours(key)) {
        let problem = match known.find(key) {
            _ if unchecked.iter().any(|reporter| key.starts_with(reporter)) => continue,
            Some(found) if found == REPORT_EVENTS_AS_SPANS.key() => {
                Problem::warning("has no effect; Flink removed it in 2.2, and job failures are events")
            }
            Some(found) if found != key && configuration.value(found).is_some() => {
                Problem::warning(format!("has no effect, because {found} is set"))
            }
            Some(_) => continue,
            None => {
                let suggestion = if problems.len() < MOST_SUGGESTIONS { known.nearest(key) } else { None };
                Problem { suggestion, ..Problem::error("unknown key") }
            }
        };
        problems.push(problem.at(&value.origin).about(key));
    }
    problems.sort_by_key(|problem| problem.origin.as_ref().map(|origin| (origin.line, origin.column)));
    problems
}

/// The known full keys. The flag is `true` if the key is a map, to which all keys below it belong.
struct KnownKeys(BTreeMap<String, bool>);

impl KnownKeys {
    /// Returns the known key that equals `key` or is a map above it.
    fn find(&self, key: &str) -> Option<&str> {
        let ends = key.match_indices('.').map(|(at, _)| (at, true)).chain([(key.len(), false)]);
        let mut found = ends.filter_map(|(end, is_below)| {
            let (known, is_map) = self.0.get_key_value(&key[..end])?;
            (*is_map || !is_below).then_some(known.as_str())
        });
        found
            .next()
            .or_else(|| self.with_names().find(|(known, is_map)| is_named(known, *is_map, key)).map(|(known, _)| known))
    }

    fn nearest(&self, key: &str) -> Option<String> {
        let named: Vec<_> = self.with_names().map(|(known, _)| fill(known, key)).collect();
        let candidates = self.0.keys().filter(|known| !known.contains('<')).chain(&named);
        nearest(key, candidates.map(String::as_str)).map(str::to_owned)
    }

    fn with_names(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().filter(|(known, _)| known.contains('<')).map(|(known, is_map)| (known.as_str(), *is_map))
    }
}

/// Returns `true` if `key` equals `known` with a name in place of each `<…>`.
fn is_named(known: &str, is_map: bool, key: &str) -> bool {
    let mut parts = key.split('.');
    let alike = known.split('.').all(|known| parts.next().is_some_and(|part| part == known || known.starts_with('<')));
    alike && (is_map || parts.next().is_none())
}

/// Replaces each `<…>` in `known` with the component of `key` at the same position.
fn fill(known: &str, key: &str) -> String {
    let mut parts = key.split('.');
    let filled = known.split('.').map(|known| match parts.next() {
        Some(part) if known.starts_with('<') => part,
        _ => known,
    });
    filled.collect::<Vec<_>>().join(".")
}

fn first_part(key: &str) -> &str {
    key.split('.').next().unwrap_or_default()
}
