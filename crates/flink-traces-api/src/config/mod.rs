//! The options of a reporter, each of which is declared once.

mod option;
mod values;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use option::{ConfigOption, OptionDoc};

use crate::{Compatibility, is_unsafe_to_print};

/// The option `compatibility` of every reporter, which selects between [`Compatibility`]'s
/// variants.
pub const COMPATIBILITY: ConfigOption<Compatibility> = ConfigOption::parsed(
    "compatibility",
    "`standard` or `flink`",
    |text| match text.to_ascii_lowercase().as_str() {
        "standard" => Some(Compatibility::Standard),
        "flink" => Some(Compatibility::Flink),
        _ => None,
    },
    "`flink` reports exactly the same as Flink's own reporters, mistakes included. `standard` corrects the mistakes and adds \
     data that Flink does not report.",
)
.or("standard");

/// The place where a value was configured: a file position, an argument or an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Origin {
    /// The file, the argument such as `-D`, or the environment variable.
    pub source: Arc<str>,
    /// The line, from 1, or 0 if the source has no lines.
    pub line: usize,
    /// The column, from 1, in characters, or 0 if the source has no lines.
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

/// A configured value and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigValue {
    /// The value as written.
    pub raw: RawValue,
    /// The place where it was written.
    pub origin: Origin,
    /// `true` if the value may be a secret and is never shown.
    ///
    /// That is so if the key is [sensitive](is_sensitive) or the configuration marks the value.
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

    /// Returns the value as text for people.
    ///
    /// Secrets are masked, and so are the user and the query of a URL. In a map that is written as
    /// text, everything behind the first [sensitive](is_sensitive) key is masked.
    pub fn redacted(&self) -> String {
        if self.secret { REDACTED.to_owned() } else { mask_entries(&mask_url(&self.raw.to_string())) }
    }
}

/// The text or the list that a configuration has for a key.
// Exhaustive: every source of configuration has scalars and lists only.
#[derive(Clone, PartialEq, Eq)]
pub enum RawValue {
    /// A scalar, as text.
    Text(String),
    /// A YAML list.
    List(Vec<String>),
}

/// Formats the value as text. A list has YAML's flow form, as in Flink.
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

/// Formats as asterisks, because the value may be a secret.
impl fmt::Debug for RawValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

/// The options of one reporter, as Flink's `MetricConfig`.
///
/// These are the values below `traces.reporter.<name>.` or `events.reporter.<name>.`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flink_traces_api::{ConfigOption, ReporterConfig};
///
/// const PATH: ConfigOption<String> = ConfigOption::string("path", "The file to append to.");
/// const AGE: ConfigOption<Duration> = ConfigOption::duration("age", "The maximum age.").or("1 h");
///
/// let config = ReporterConfig::from_pairs("notes", [("path", "notes.txt")]);
/// assert_eq!(config.require(&PATH)?, "notes.txt");
/// assert_eq!(config.require(&AGE)?, Duration::from_secs(3600));
///
/// let error = ReporterConfig::from_pairs("notes", []).require(&PATH).unwrap_err();
/// assert_eq!(error.to_string(), "reporter.notes.path is not set");
/// # Ok::<(), flink_traces_api::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ReporterConfig {
    prefix: String,
    name: String,
    values: BTreeMap<String, ConfigValue>,
}

impl ReporterConfig {
    /// Creates the options of the reporter `name`.
    ///
    /// `prefix` is the beginning of its full keys, including the last dot. Messages show it.
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

    /// Creates options from plain pairs, for tests and for programs that configure a reporter in
    /// code.
    pub fn from_pairs<'a>(name: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let origin = Origin::new("code");
        let value = |text: &str| ConfigValue::new(RawValue::Text(text.to_owned()), origin.clone());
        let values = pairs.into_iter().map(|(key, text)| (key.to_owned(), value(text)));
        Self::new(format!("reporter.{name}."), name, values.collect::<Vec<_>>())
    }

    /// Returns the name of the reporter.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the full key of an option.
    pub fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Returns the value of `key`, which has no prefix.
    pub fn value(&self, key: &str) -> Option<&ConfigValue> {
        self.values.get(key)
    }

    /// Returns the value of `option` or its default, or `None` if there is neither.
    ///
    /// # Errors
    /// Fails if the value does not have the form that the option expects.
    pub fn get<T>(&self, option: &ConfigOption<T>) -> Result<Option<T>, ConfigError> {
        option.read(&self.values, &self.prefix)
    }

    /// Returns the value of `option` or its default.
    ///
    /// # Errors
    /// Fails if there is neither, or if the value does not have the form that the option expects.
    pub fn require<T>(&self, option: &ConfigOption<T>) -> Result<T, ConfigError> {
        self.get(option)?.ok_or_else(|| ConfigError::Missing { key: self.key(option.key()) })
    }

    /// Returns the error of a reporter that cannot use the value of `option` because it is not
    /// `expected`.
    pub fn invalid<T>(&self, option: &ConfigOption<T>, expected: &'static str) -> ConfigError {
        option.invalid(&self.values, &self.prefix, expected)
    }

    /// Returns an iterator over all values, sorted by key. The keys have no prefix.
    pub fn values(&self) -> impl Iterator<Item = (&str, &ConfigValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// The reason why a reporter cannot be created.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// An option without a default has no value.
    Missing {
        /// The full key.
        key: String,
    },
    /// A value does not have the form that the option expects.
    Invalid {
        /// The full key.
        key: String,
        /// The value, masked if the key is [sensitive](is_sensitive).
        value: String,
        /// The expected form.
        expected: &'static str,
        /// The place where it was written.
        origin: Origin,
    },
    /// The values are valid, but the reporter cannot be set up.
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

/// The text that is shown instead of a secret, as in Flink.
pub const REDACTED: &str = "******";

/// Returns `true` if the value of `key` may be a secret, which is never shown.
///
/// The rule is Flink's: the lower-case key contains one of a list of fragments. The list has
/// Flink's fragments and those of keys that Flink does not have.
pub fn is_sensitive(key: &str) -> bool {
    let key = key.to_lowercase();
    SENSITIVE.iter().any(|fragment| key.contains(fragment))
}

const SENSITIVE: &[&str] = &[
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

/// Returns the text in a form that fits into one line of a message.
///
/// Characters that are [unsafe to print](is_unsafe_to_print) are escaped, and long text is
/// truncated.
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

/// Returns the text with everything behind its first sensitive key masked.
///
/// The text may be a malformed map, in which a value has no certain end.
fn mask_entries(text: &str) -> String {
    if text.starts_with("http://") || text.starts_with("https://") {
        return text.to_owned();
    }
    let lower = text.to_ascii_lowercase();
    let value_of = |fragment: &&str| {
        lower.match_indices(*fragment).find_map(|(at, _)| {
            let rest = &lower[at + fragment.len()..];
            let separator = rest.find([':', '=', ',', ';'])?;
            rest[separator..].starts_with([':', '=']).then_some(at + fragment.len() + separator + 1)
        })
    };
    match SENSITIVE.iter().filter_map(value_of).min() {
        Some(value) if !text[value..].trim().is_empty() => format!("{}{REDACTED}", &text[..value]),
        _ => text.to_owned(),
    }
}

/// Returns the text with the user, the password and the query of a URL masked.
fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // A password may contain `?` and a query `@`, so all text before the last `@` may be a
    // password.
    let (user, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => (format!("{REDACTED}@"), rest),
        None => (String::new(), rest),
    };
    match rest.split_once('?') {
        Some((rest, _)) => format!("{scheme}://{user}{rest}?{REDACTED}"),
        None => format!("{scheme}://{user}{rest}"),
    }
}

/// Parses a duration as Flink does.
///
/// It is a whole number with a unit (`d`, `h`, `min` or `m`, `s`, `ms`, `us` or `µs`, `ns`, or
/// their long forms), a number of milliseconds, or ISO 8601 (`PT1M30S`).
pub fn parse_duration(text: &str) -> Option<Duration> {
    values::duration(text)
}

/// Parses a size in bytes as Flink does.
///
/// It is a whole number with a binary unit (`b`, `k`, `m`, `g`, `t`, optionally with `b` or in
/// words), or a number of bytes.
pub fn parse_bytes(text: &str) -> Option<u64> {
    values::bytes(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_value_error_shows_no_secret() {
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
        check("url", "http://token.host:80/", "url: 'http://token.host:80/'");
        check("url", "a:1,ApiKey:s3cret,b:2", "url: 'a:1,ApiKey:******'");
        check("url", "password=s3c,ret", "url: 'password=******'");
        check("url", "{my password: 's3c, ret', b: 2}", "url: '{my password:******'");
        check("url", "tokens,password : s3cret", "url: 'tokens,password :******'");
        check("url", "cookies, secrets;a:1", "url: 'cookies, secrets;a:1'");
        check("url", "tokens:", "url: 'tokens:'");
        check("exporter.headers", "a:s3cret", "exporter.headers: '******'");
        check("exporter.headers.a", "s3cret", "exporter.headers: '******'");
    }
}
