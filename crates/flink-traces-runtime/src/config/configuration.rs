//! Keys and values with their origins.

use std::collections::BTreeMap;

use flink_traces_api::{ConfigError, ConfigOption, ConfigValue, Origin, RawValue, is_sensitive};

use super::collector::{Collector, is_added};
use super::options::REDACTED_KEYS;
use super::problem::Problem;

/// Keys and values, as Flink's `Configuration`, each with where it was written. Sorted by key.
///
/// ```
/// use flink_traces_runtime::Configuration;
/// use flink_traces_runtime::config::{SPAN_DETAIL_LEVEL, SpanDetailLevel};
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
    /// A configuration made in code.
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

    /// Sets what `source`, such as an environment variable, says of a key that is not configured.
    pub fn set_default(&mut self, key: String, text: String, source: &str) {
        let origin = Origin::new(source);
        let fragments = self.get(&REDACTED_KEYS).ok().flatten().unwrap_or_default();
        let secret = is_sensitive(&key) || is_added(&key, &fragments);
        self.values.entry(key).or_insert(ConfigValue::new(RawValue::Text(text), origin).with_secret(secret));
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
