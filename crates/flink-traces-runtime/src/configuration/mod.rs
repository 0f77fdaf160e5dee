//! Configuration files.

mod keys;
mod legacy;
mod options;
mod problem;
mod scalar;
mod yaml;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flink_traces_api::{ConfigError, ConfigOption, ConfigValue, Origin, RawValue, is_sensitive};

pub use keys::unknown_keys;
pub use options::{
    ADDITIONAL_VARIABLES, CORE_OPTIONS, EVENTS_REPORTERS, EXCLUDED_VARIABLES, FACTORY_CLASS, FILTER_EXCLUDES,
    FILTER_INCLUDES, QUEUE_SIZE, REDACTED_KEYS, REPORT_EVENTS_AS_SPANS, REPORTER_OPTIONS, REPORTER_SCOPE_DELIMITER,
    SCOPE_DELIMITER, SPAN_DETAIL_LEVEL, SpanDetailLevel, TRACES_REPORTERS,
};
pub(crate) use problem::nearest;
pub use problem::{Problem, Severity};

/// The file that Flink up to 1.20 prefers, in a form of its own.
const LEGACY_FILE: &str = "flink-conf.yaml";
/// The file that Flink since 1.19 reads, in YAML.
const STANDARD_FILE: &str = "config.yaml";
/// The largest file that is read, in bytes: Flink's own limit for YAML, there in characters.
const LARGEST_FILE: u64 = 3 << 20;

/// Keys and values, as Flink's `Configuration`, each with where it was written. Sorted by key.
///
/// ```
/// use flink_traces_runtime::{Configuration, SPAN_DETAIL_LEVEL, SpanDetailLevel};
///
/// let configuration = Configuration::from_pairs([("traces.checkpoint.span-detail-level", "children_spans_per_task")]);
/// let level = configuration.get(&SPAN_DETAIL_LEVEL)?;
/// assert_eq!(level, Some(SpanDetailLevel::ChildrenSpansPerTask));
/// # Ok::<_, flink_traces_api::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    values: BTreeMap<String, ConfigValue>,
}

impl Configuration {
    /// Reads the file at `path`, or in the directory at `path` the one that Flink would read, and puts the `key=value` pairs of
    /// `arguments` over it, each with the argument that it stands in (Flink's is `-D`). As Flink's
    /// `GlobalConfiguration.loadConfiguration`, but tells all that is wrong, and keeps what could be read.
    pub fn load(path: Option<&Path>, arguments: &[(&str, String)]) -> (Self, Vec<Problem>) {
        let mut loader = Loader::default();
        if let Some(path) = path {
            loader.file(path);
        }
        for (place, (argument, property)) in arguments.iter().enumerate() {
            loader.source = (*argument).into();
            match property.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => {
                    loader.set(key.trim(), RawValue::Text(value.to_owned()), 0, 0);
                }
                // Not shown: it may be a secret.
                _ => loader.report(0, 0, Problem::error(format!("argument {} is not key=value", place + 1))),
            }
        }
        loader.finish()
    }

    /// A configuration made in code.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut loader = Loader { source: "code".into(), ..Loader::default() };
        for (key, text) in pairs {
            loader.set(key, RawValue::Text(text.to_owned()), 0, 0);
        }
        loader.finish().0
    }

    /// Sets what `source`, such as an environment variable, says of a key that is not configured.
    pub fn set_default(&mut self, key: String, text: String, source: &str) {
        let origin = Origin { source: source.into(), ..Origin::default() };
        let fragments = self.get(&REDACTED_KEYS).ok().flatten().unwrap_or_default();
        let secret = is_sensitive(&key) || is_added(&key, &fragments);
        self.values.entry(key).or_insert(ConfigValue { raw: RawValue::Text(text), origin, secret });
    }

    /// The value of `option`, or its default; `None` if there is neither.
    ///
    /// # Errors
    /// When the value is not of the option's form.
    pub fn get<T>(&self, option: &ConfigOption<T>) -> Result<Option<T>, ConfigError> {
        option.read(&self.values, "")
    }

    /// What is configured at `key`.
    pub fn value(&self, key: &str) -> Option<&ConfigValue> {
        self.values.get(key)
    }

    /// All keys and values, sorted. Show a value by [`ConfigValue::redacted`].
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ConfigValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The keys that begin with `prefix`, without it, and their values, sorted.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a ConfigValue)> {
        let from = self.values.range(prefix.to_owned()..);
        from.map_while(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
    }
}

/// Collects what the parsers find.
#[derive(Default)]
struct Loader {
    source: Arc<str>,
    values: BTreeMap<String, ConfigValue>,
    problems: Vec<Problem>,
}

impl Loader {
    fn set(&mut self, key: &str, raw: RawValue, line: usize, column: usize) {
        let origin = Origin { source: self.source.clone(), line, column };
        self.values.insert(key.to_owned(), ConfigValue { raw, origin, secret: is_sensitive(key) });
    }

    fn report(&mut self, line: usize, column: usize, problem: Problem) {
        self.problems.push(problem.at(&Origin { source: self.source.clone(), line, column }));
    }

    fn file(&mut self, path: &Path) {
        let path = match path.is_dir() {
            true => self.file_in(path),
            false => path.to_owned(),
        };
        self.source = path.display().to_string().into();
        let is_legacy = path.file_name().is_some_and(|name| name == LEGACY_FILE);
        let text = match read(&path) {
            Ok(bytes) => self.text(bytes, is_legacy),
            Err(message) => return self.report(0, 0, Problem::error(message)),
        };
        match (text, is_legacy) {
            (Some(text), true) => legacy::parse(&text, self),
            (Some(text), false) => yaml::parse(&text, self),
            (None, _) => {}
        }
    }

    fn file_in(&mut self, directory: &Path) -> PathBuf {
        let (legacy, standard) = (directory.join(LEGACY_FILE), directory.join(STANDARD_FILE));
        if !legacy.exists() {
            return standard;
        }
        if standard.exists() {
            self.source = standard.display().to_string().into();
            let message = format!("not read, as there is a {LEGACY_FILE}, which Flink since 2.0 does not read");
            self.report(0, 0, Problem::warning(message));
        }
        legacy
    }

    /// Flink refuses YAML that is not UTF-8, and reads legacy files in the encoding of the machine.
    fn text(&mut self, bytes: Vec<u8>, is_legacy: bool) -> Option<String> {
        let error = match String::from_utf8(bytes) {
            Ok(text) => return Some(text),
            Err(error) => error,
        };
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let problem = if is_legacy { Problem::warning } else { Problem::error };
        self.report(line, 1, problem("not UTF-8"));
        is_legacy.then(|| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    fn finish(self) -> (Configuration, Vec<Problem>) {
        let Self { mut values, mut problems, .. } = self;
        match REDACTED_KEYS.read(&values, "") {
            Ok(fragments) => {
                let fragments = fragments.unwrap_or_default();
                for (key, value) in &mut values {
                    value.secret |= is_added(key, &fragments);
                }
            }
            Err(error) => problems.push((&error).into()),
        }
        (Configuration { values }, problems)
    }
}

/// Whether a value is secret because [`REDACTED_KEYS`] says so of its key.
fn is_added(key: &str, fragments: &[String]) -> bool {
    let (key, fragments) = (key.to_lowercase(), fragments.join(",").to_lowercase());
    fragments.split(',').map(str::trim).any(|fragment| !fragment.is_empty() && key.contains(fragment))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    match file {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(size) if size as u64 > LARGEST_FILE => Err("larger than 3 MiB".to_owned()),
        Ok(_) => Ok(bytes),
    }
}
