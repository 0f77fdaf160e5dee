//! The options of one reporter, each declared once.

mod option;
mod values;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use option::{ConfigOption, OptionDoc};

use crate::{Compatibility, is_unsafe_to_print};

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
#[non_exhaustive]
pub struct Origin {
    /// A file, an argument such as `-D`, or an environment variable.
    pub source: Arc<str>,
    /// The line, from 1; 0 where there are no lines.
    pub line: usize,
    /// The column, from 1, in characters; 0 where there are no lines.
    pub column: usize,
}

impl Origin {
    /// Creates an origin without lines, such as an argument.
    pub fn new(source: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), line: 0, column: 0 }
    }

    /// Sets the line and the column, both from 1.
    #[must_use]
    pub fn with_position(mut self, line: usize, column: usize) -> Self {
        (self.line, self.column) = (line, column);
        self
    }
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
#[non_exhaustive]
pub struct ConfigValue {
    /// What was written.
    pub raw: RawValue,
    /// Where it was written.
    pub origin: Origin,
    /// Whether it may be a secret and is never shown: [`is_sensitive`] says so of its key, or the configuration does.
    pub secret: bool,
}

impl ConfigValue {
    /// Creates a value that is not a secret.
    pub fn new(raw: RawValue, origin: Origin) -> Self {
        Self { raw, origin, secret: false }
    }

    /// Sets the `secret` flag.
    #[must_use]
    pub fn with_secret(mut self, secret: bool) -> Self {
        self.secret = secret;
        self
    }

    /// The value as text for people: masked where it may be a secret, and where it is a URL with a user or a query.
    pub fn redacted(&self) -> String {
        match self.secret {
            true => REDACTED.to_owned(),
            false => mask_url(&self.raw.to_string()),
        }
    }
}

/// The text or the list that a configuration has for a key.
// Exhaustive: every source of configuration has scalars and lists only.
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
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| values::flow_item(item)).collect();
                write!(f, "[{}]", items.join(", "))
            }
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
        let prefix = prefix.into();
        let secret = |key: &str, value: &ConfigValue| value.secret || is_sensitive(&format!("{prefix}{key}"));
        let values = values.into_iter().map(|(key, value)| {
            let value = ConfigValue { secret: secret(&key, &value), ..value };
            (key, value)
        });
        let values = values.collect();
        Self { prefix, name: name.into(), values }
    }

    /// Options from plain pairs, for tests and for programs that configure a reporter in code.
    pub fn from_pairs<'a>(name: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let origin = Origin::new("code");
        let value = |text: &str| ConfigValue::new(RawValue::Text(text.to_owned()), origin.clone());
        let values = pairs.into_iter().map(|(key, text)| (key.to_owned(), value(text)));
        Self::new(format!("reporter.{name}."), name, values.collect::<Vec<_>>())
    }

    /// The reporter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The full key of the option that is `key` here.
    pub fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What is configured at `key`, which goes without the reporter's prefix.
    pub fn value(&self, key: &str) -> Option<&ConfigValue> {
        self.values.get(key)
    }

    /// The value of `option`, or its default; `None` if there is neither.
    ///
    /// # Errors
    /// When the value is not of the option's form.
    pub fn get<T>(&self, option: &ConfigOption<T>) -> Result<Option<T>, ConfigError> {
        option.read(&self.values, &self.prefix)
    }

    /// The value of `option`, or its default.
    ///
    /// # Errors
    /// When there is neither, or the value is not of the option's form.
    pub fn require<T>(&self, option: &ConfigOption<T>) -> Result<T, ConfigError> {
        self.get(option)?.ok_or_else(|| ConfigError::Missing { key: self.key(option.key()) })
    }

    /// The error of a reporter that cannot use the value that `option` has: it is not `expected`.
    pub fn invalid<T>(&self, option: &ConfigOption<T>, expected: &'static str) -> ConfigError {
        option.invalid(&self.values, &self.prefix, expected)
    }

    /// All values, keys without the reporter's prefix, sorted.
    pub fn values(&self) -> impl Iterator<Item = (&str, &ConfigValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// Why a reporter could not be made.
#[derive(Debug)]
#[non_exhaustive]
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
            Self::Missing { key } => write!(f, "{} is not set", printable(key)),
            Self::Invalid { key, value, expected, origin } => {
                write!(f, "{origin}: {}: '{}' is not {expected}", printable(key), printable(value))
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

/// The text fit for one line of a message: what a terminal or a line reader would act on is escaped, a long text is cut.
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut printable = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == LONGEST => return printable + "…",
            c if is_unsafe_to_print(c) => printable.extend(c.escape_default()),
            c => printable.push(c),
        }
    }
    printable
}

/// The text with what may be a secret in a URL masked: user and password, and what follows the `?`.
fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // A password may hold a `?`, a query an `@`: whatever is before the last one may be a password.
    let (user, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => (format!("{REDACTED}@"), rest),
        None => (String::new(), rest),
    };
    match rest.split_once('?') {
        Some((rest, _)) => format!("{scheme}://{user}{rest}?{REDACTED}"),
        None => format!("{scheme}://{user}{rest}"),
    }
}

/// Reads a duration as Flink does: a whole number and a unit (`d`, `h`, `min` or `m`, `s`, `ms`, `us` or `µs`, `ns` and their long
/// forms), milliseconds without one; or ISO 8601 (`PT1M30S`).
pub fn parse_duration(text: &str) -> Option<Duration> {
    values::duration(text)
}

/// Reads a size in bytes as Flink does: a whole number and a binary unit (`b`, `k`, `m`, `g`, `t`, also with `b` or in words), bytes
/// without one.
pub fn parse_bytes(text: &str) -> Option<u64> {
    values::bytes(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_value_but_no_secret() {
        const HEADERS: ConfigOption<Vec<(String, String)>> = ConfigOption::map("exporter.headers", "");
        const URL: ConfigOption<String> = ConfigOption::string("url", "");
        let check = |key: &str, value: &str, expected: &str| {
            let config = ReporterConfig::from_pairs("r", [(key, value)]);
            let error = match key {
                "url" => config.invalid(&URL, "good"),
                _ => config.invalid(&HEADERS, "good"),
            };
            assert_eq!(error.to_string(), format!("code: reporter.r.{expected} is not good"));
        };
        check("url", "htp://host/path", "url: 'htp://host/path'");
        check("url", "http://me:s3cret@host/p?token=s3cret", "url: 'http://******@host/p?******'");
        check("url", "http://me:s3c/ret@host", "url: 'http://******@host'");
        check("url", "http://me:s3c?ret@host", "url: 'http://******@host'");
        check("url", "http://host/?token=s3cret@a", "url: 'http://******@a'");
        check("exporter.headers", "a:s3cret", "exporter.headers: '******'");
        check("exporter.headers.a", "s3cret", "exporter.headers: '******'");
    }
}
