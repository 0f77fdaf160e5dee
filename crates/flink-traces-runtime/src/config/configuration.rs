//! Keys and values with their origins.

use std::collections::BTreeMap;

use flink_traces_api::{ConfigError, ConfigOption, ConfigValue, Origin, RawValue, is_sensitive};

use super::collector::{Collector, is_added};
use super::options::REDACTED_KEYS;
use super::problem::Problem;

/// Keys and values, sorted by key, each with its origin. Flink's `Configuration`.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::Configuration;
/// use flink_traces_runtime::config::{SPAN_DETAIL_LEVEL, SpanDetailLevel};
///
/// let configuration = Configuration::from_pairs([(
///     "traces.checkpoint.span-detail-level",
///     "children_spans_per_task",
/// )]);
/// let level = configuration.get(&SPAN_DETAIL_LEVEL)?;
/// assert_eq!(level, Some(SpanDetailLevel::ChildrenSpansPerTask));
/// # Ok::<_, flink_traces_api::ConfigError>(())
/// ```
///
/// From a file and from arguments of the form `key=value`, which override it:
///
/// ```
/// use flink_traces_runtime::Configuration;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("config.yaml");
/// # std::fs::write(&path, "events.reporters: log\n")?;
/// let overrides = [("-D", "events.reporters=file".to_owned())];
/// let (configuration, problems) = Configuration::load(Some(&path), &overrides);
/// for problem in &problems {
///     eprintln!("{problem}");
/// }
/// assert_eq!(configuration.value("events.reporters").unwrap().raw.to_string(), "file");
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    values: BTreeMap<String, ConfigValue>,
}

impl Configuration {
    /// Creates a configuration from keys and values in code.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut collector = Collector { source: "code".into(), ..Collector::default() };
        for (key, text) in pairs {
            collector.set(key, RawValue::Text(text.to_owned()), 0, 0);
        }
        Self::from_collector(collector).0
    }

    pub(super) fn from_collector(collector: Collector) -> (Self, Vec<Problem>) {
        let (values, problems) = collector.finish();
        (Self { values }, problems)
    }

    /// Sets the value of a key that is not configured. `source` is its origin, such as an
    /// environment variable.
    pub fn set_default(&mut self, key: String, text: String, source: &str) {
        let origin = Origin::new(source);
        let fragments = self.get(&REDACTED_KEYS).ok().flatten().unwrap_or_default();
        let secret = is_sensitive(&key) || is_added(&key, &fragments);
        self.values.entry(key).or_insert(ConfigValue::new(RawValue::Text(text), origin).with_secret(secret));
    }

    /// Adds `name` to the names that `option` lists, unless nothing or that name is configured.
    pub(crate) fn extend_list(&mut self, option: &ConfigOption<Vec<String>>, name: &str) {
        let Some(value) = self.values.get_mut(option.key()) else { return };
        // An empty list enables all reporters, and `discover` reports a malformed one.
        let Some(mut names) = option.parse(&value.raw).filter(|names| !names.is_empty()) else { return };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
            value.raw = match &value.raw {
                RawValue::Text(text) if !text.trim_start().starts_with('[') => RawValue::Text(names.join(",")),
                _ => RawValue::List(names),
            };
        }
    }

    /// Returns the value of `option`, or its default, or `None` if there is neither.
    ///
    /// # Errors
    ///
    /// Returns an error if the value does not have the option's form.
    pub fn get<T>(&self, option: &ConfigOption<T>) -> Result<Option<T>, ConfigError> {
        option.read(&self.values, "")
    }

    /// Returns the configured value at `key`.
    pub fn value(&self, key: &str) -> Option<&ConfigValue> {
        self.values.get(key)
    }

    /// Returns all keys and values, sorted. Show a value with [`ConfigValue::redacted`].
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ConfigValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Returns the keys that begin with `prefix`, without the prefix, and their values, sorted.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a ConfigValue)> {
        let from = self.values.range(prefix.to_owned()..);
        from.map_while(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
    }
}
