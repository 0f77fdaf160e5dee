//! The options of one reporter, each declared once.

mod option;
mod values;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use option::{ConfigOption, OptionDoc};

use crate::Compatibility;

/// `compatibility`, which every reporter has: whether it reports as Flink would, mistakes included.
pub const COMPATIBILITY: ConfigOption<Compatibility> = ConfigOption::parsed(
    "compatibility",
    "`standard` or `flink`",
    |text| match text.to_ascii_lowercase().as_str() {
        "standard" => Some(Compatibility::Standard),
        "flink" => Some(Compatibility::Flink),
        _ => None,
    },
    "`flink` reports exactly what Flink's own reporters would, including what they get wrong; `standard` corrects it and adds \
     what this software knows beyond Flink.",
)
.or("standard");

/// Where a configured value was written: a file's line and column, or an argument or environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// A file, an argument such as `-D`, or an environment variable.
    pub source: Arc<str>,
    /// The line, from 1; 0 where there are no lines.
    pub line: usize,
    /// The column, from 1, in characters; 0 where there are no lines.
    pub column: usize,
}

/// `file:line:column`, or the source alone.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.source),
            line => write!(f, "{}:{line}:{}", self.source, self.column),
        }
    }
}

/// A value as it was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigValue {
    /// What was written.
    pub raw: RawValue,
    /// Where it was written.
    pub origin: Origin,
}

/// What was written.
#[derive(Clone, PartialEq, Eq)]
pub enum RawValue {
    /// One scalar, as text.
    Text(String),
    /// A YAML list.
    List(Vec<String>),
}

/// The value as text; a list in YAML's flow form, as Flink renders it.
impl fmt::Display for RawValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::List(items) => write!(f, "[{}]", items.join(", ")),
        }
    }
}

/// Never the value itself, which may be a secret.
impl fmt::Debug for RawValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

/// The options of one reporter: what stands behind `traces.reporter.<name>.` or `events.reporter.<name>.`, as Flink's
/// `MetricConfig`.
#[derive(Debug, Clone)]
pub struct ReporterConfig {
    prefix: String,
    name: String,
    values: BTreeMap<String, ConfigValue>,
}

impl ReporterConfig {
    /// The options of the reporter `name`; `prefix` is what its keys begin with, dot included, for messages.
    pub fn new(
        prefix: impl Into<String>,
        name: impl Into<String>,
        values: impl IntoIterator<Item = (String, ConfigValue)>,
    ) -> Self {
        Self { prefix: prefix.into(), name: name.into(), values: values.into_iter().collect() }
    }

    /// Options from plain pairs, for tests and for programs that configure a reporter in code.
    pub fn from_pairs<'a>(name: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let origin = Origin { source: "code".into(), ..Origin::default() };
        let value = |text: &str| ConfigValue { raw: RawValue::Text(text.to_owned()), origin: origin.clone() };
        let values = pairs.into_iter().map(|(key, text)| (key.to_owned(), value(text)));
        Self::new(format!("reporter.{name}."), name, values.collect::<Vec<_>>())
    }

    /// The reporter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of `option`, or its default; `None` if there is neither.
    ///
    /// # Errors
    /// When the value is not of the option's form.
    pub fn get<T>(&self, option: &ConfigOption<T>) -> Result<Option<T>, ConfigError> {
        let invalid = |key: &str, value: &ConfigValue| ConfigError::Invalid {
            key: format!("{}{key}", self.prefix),
            value: match is_sensitive(key) {
                true => REDACTED.to_owned(),
                false => value.raw.to_string(),
            },
            expected: option.doc().expected,
            origin: value.origin.clone(),
        };
        if let Some(value) = self.values.get(option.key()) {
            return option.parse(&value.raw).map(Some).ok_or_else(|| invalid(option.key(), value));
        }
        if let Some(parse_entries) = option.entries() {
            let prefix = format!("{}.", option.key());
            let entries: Vec<_> = self
                .values
                .range(prefix.clone()..)
                .take_while(|(key, _)| key.starts_with(&prefix))
                .map(|(key, value)| (key[prefix.len()..].to_owned(), value.raw.to_string()))
                .collect();
            if !entries.is_empty() {
                return Ok(Some(parse_entries(entries)));
            }
        }
        Ok(option.default_value())
    }

    /// The value of `option`, or its default.
    ///
    /// # Errors
    /// When there is neither, or the value is not of the option's form.
    pub fn require<T>(&self, option: &ConfigOption<T>) -> Result<T, ConfigError> {
        self.get(option)?.ok_or_else(|| ConfigError::Missing { key: format!("{}{}", self.prefix, option.key()) })
    }

    /// All values, keys without the reporter's prefix, sorted.
    pub fn values(&self) -> impl Iterator<Item = (&str, &ConfigValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// Why a reporter could not be made.
#[derive(Debug)]
pub enum ConfigError {
    /// An option without a default is not set.
    Missing {
        /// The full key.
        key: String,
    },
    /// A value is not of the option's form.
    Invalid {
        /// The full key.
        key: String,
        /// The value, masked where the key is [sensitive](is_sensitive).
        value: String,
        /// What was expected.
        expected: &'static str,
        /// Where it was written.
        origin: Origin,
    },
    /// The values fit, but what they name could not be set up.
    Setup(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key } => write!(f, "{key} is not set"),
            Self::Invalid { key, value, expected, origin } => {
                write!(f, "{origin}: {key}: '{}' is not {expected}", value.escape_debug())
            }
            Self::Setup(source) => source.fmt(f),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Setup(source) => source.source(),
            _ => None,
        }
    }
}

/// What is shown in place of a secret, as in Flink.
pub const REDACTED: &str = "******";

/// Whether the value of `key` may be a secret and is never shown: Flink's rule, a fragment anywhere in the lower-cased key, with
/// Flink's fragments and those of our own keys.
pub fn is_sensitive(key: &str) -> bool {
    const FRAGMENTS: &[&str] = &[
        "password",
        "secret",
        "fs.azure.account.key",
        "apikey",
        "api-key",
        "auth-params",
        "service-key",
        "token",
        "basic-auth",
        "jaas.config",
        "http-headers",
        "access-key",
        "access.key",
        "accesskey",
        "authorization",
        "headers",
        "cookie",
        "client-key",
        "credential",
        "passwd",
    ];
    let key = key.to_lowercase();
    FRAGMENTS.iter().any(|fragment| key.contains(fragment))
}

/// Reads a duration as Flink does: a whole number and a unit (`d`, `h`, `min` or `m`, `s`, `ms`, `us` or `µs`, `ns` and their long
/// forms), milliseconds without one.
pub fn parse_duration(text: &str) -> Option<Duration> {
    values::duration(text)
}

/// Reads a size in bytes as Flink does: a whole number and a binary unit (`b`, `k`, `m`, `g`, `t`, also with `b` or in words), bytes
/// without one.
pub fn parse_bytes(text: &str) -> Option<u64> {
    values::bytes(text)
}
