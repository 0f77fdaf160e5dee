//! An option with its key, form, default and description.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values;
use super::{ConfigError, ConfigValue, Origin, RawValue};

/// The description of an option, independent of its type, for documentation and checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionDoc {
    /// The key without the reporter's prefix.
    pub key: &'static str,
    /// The form of a value, for messages, such as "a duration such as `10 s`".
    pub expected: &'static str,
    /// The default as a user would write it, or `None` if there is none.
    pub default: Option<&'static str>,
    /// The effect of the option.
    pub description: &'static str,
    /// `true` if the keys below it (`key.<anything>`) belong to it.
    pub is_map: bool,
}

enum Form<T> {
    Text(fn(&str) -> Option<T>),
    List(fn(&RawValue) -> Option<T>),
    Map(fn(&RawValue) -> Option<T>, fn(Vec<(String, String)>) -> T),
}

/// An option of type `T`, as `org.apache.flink.configuration.ConfigOption`.
///
/// Declare it once, as a `const`, and read it through a [`ReporterConfig`](super::ReporterConfig).
///
/// # Examples
///
/// ```
/// use flink_traces_api::{ConfigOption, OptionDoc, ReporterConfig};
///
/// const SIZE: ConfigOption<u64> = ConfigOption::bytes("rotate.size", "The limit.").or("1 mb");
/// const LEVEL: ConfigOption<u8> = ConfigOption::parsed(
///     "level",
///     "a digit",
///     |text| text.parse().ok().filter(|level| *level < 10),
///     "The level of compression.",
/// );
/// const OPTIONS: &[OptionDoc] = &[SIZE.doc(), LEVEL.doc()];
/// assert_eq!(OPTIONS[0].default, Some("1 mb"));
///
/// let config = ReporterConfig::from_pairs("file", [("level", "12")]);
/// assert_eq!(config.get(&SIZE)?, Some(1 << 20));
/// let error = config.get(&LEVEL).unwrap_err();
/// assert_eq!(error.to_string(), "code: reporter.file.level: '12' is not a digit");
/// # Ok::<(), flink_traces_api::ConfigError>(())
/// ```
pub struct ConfigOption<T> {
    doc: OptionDoc,
    form: Form<T>,
}

impl<T> ConfigOption<T> {
    /// Creates an option whose text `parse` reads. `expected` describes the accepted form.
    pub const fn parsed(
        key: &'static str,
        expected: &'static str,
        parse: fn(&str) -> Option<T>,
        description: &'static str,
    ) -> Self {
        Self::new(key, expected, Form::Text(parse), description)
    }

    const fn new(key: &'static str, expected: &'static str, form: Form<T>, description: &'static str) -> Self {
        let is_map = matches!(form, Form::Map(..));
        Self { doc: OptionDoc { key, expected, default: None, description, is_map }, form }
    }

    /// Sets the default, in the form in which a user would write it.
    #[must_use]
    pub const fn or(mut self, default: &'static str) -> Self {
        self.doc.default = Some(default);
        self
    }

    /// Returns the key without the reporter's prefix.
    pub const fn key(&self) -> &'static str {
        self.doc.key
    }

    /// Returns the description of the option.
    pub const fn doc(&self) -> OptionDoc {
        self.doc
    }

    /// Returns the value of this option in `values` or its default, or `None` if there is neither.
    ///
    /// The keys of `values` have no prefix. Messages show `prefix`. A map may be spread over the
    /// keys below this one, unless this key itself is set.
    ///
    /// # Errors
    /// Fails if the value does not have the form that the option expects.
    pub fn read(&self, values: &BTreeMap<String, ConfigValue>, prefix: &str) -> Result<Option<T>, ConfigError> {
        if let Some(value) = values.get(self.doc.key) {
            let parsed = self.parse(&value.raw);
            return parsed.map(Some).ok_or_else(|| self.invalid(values, prefix, self.doc.expected));
        }
        if let Form::Map(_, collect) = self.form {
            let entries: Vec<_> =
                self.values_below(values).map(|(key, value)| (key.to_owned(), value.raw.to_string())).collect();
            if !entries.is_empty() {
                return Ok(Some(collect(entries)));
            }
        }
        Ok(self.default_value())
    }

    /// Returns the error of a value that is not `expected`.
    pub(super) fn invalid(
        &self,
        values: &BTreeMap<String, ConfigValue>,
        prefix: &str,
        expected: &'static str,
    ) -> ConfigError {
        let value = values.get(self.doc.key).or_else(|| self.values_below(values).map(|(_, value)| value).next());
        let (text, origin) = match value {
            Some(value) => (value.redacted(), value.origin.clone()),
            None => (self.doc.default.unwrap_or_default().to_owned(), Origin::default()),
        };
        ConfigError::Invalid { key: format!("{prefix}{}", self.doc.key), value: text, expected, origin }
    }

    /// Returns the values of the keys below this one. The returned keys have no prefix.
    fn values_below<'a>(
        &self,
        values: &'a BTreeMap<String, ConfigValue>,
    ) -> impl Iterator<Item = (&'a str, &'a ConfigValue)> + use<'a, T> {
        let prefix = format!("{}.", self.doc.key);
        let below = values.range(prefix.clone()..);
        below.map_while(move |(key, value)| Some((key.strip_prefix(&prefix)?, value)))
    }

    /// Parses a value. Returns `None` if it does not have the form that the option expects.
    pub fn parse(&self, raw: &RawValue) -> Option<T> {
        match &self.form {
            Form::Text(parse) => parse(&raw.to_string()),
            Form::List(parse) | Form::Map(parse, _) => parse(raw),
        }
    }

    /// Returns the parsed default.
    pub fn default_value(&self) -> Option<T> {
        self.parse(&RawValue::Text(self.doc.default?.to_owned()))
    }
}

impl ConfigOption<String> {
    /// Creates an option whose value is any text.
    pub const fn string(key: &'static str, description: &'static str) -> Self {
        Self::parsed(key, "text", |text| Some(text.to_owned()), description)
    }
}

impl ConfigOption<bool> {
    /// Creates an option with the values `true` and `false`, in any case.
    pub const fn bool(key: &'static str, description: &'static str) -> Self {
        Self::parsed(key, "`true` or `false`", values::bool, description)
    }
}

impl ConfigOption<u64> {
    /// Creates an option whose value is a non-negative integer.
    pub const fn number(key: &'static str, description: &'static str) -> Self {
        Self::parsed(key, "a whole number", |text| text.trim().parse().ok(), description)
    }

    /// Creates an option whose value is a size in bytes, with Flink's units.
    pub const fn bytes(key: &'static str, description: &'static str) -> Self {
        Self::parsed(key, "a size such as `64 mb`", values::bytes, description)
    }
}

impl ConfigOption<Duration> {
    /// Creates an option whose value is a duration, with Flink's units.
    pub const fn duration(key: &'static str, description: &'static str) -> Self {
        Self::parsed(key, "a duration such as `10 s`", values::duration, description)
    }
}

impl ConfigOption<Vec<String>> {
    /// Creates an option whose value is a YAML list or text that is split at `;`.
    ///
    /// An item in single or double quotes may contain the separator.
    pub const fn list(key: &'static str, description: &'static str) -> Self {
        Self::new(key, "a list such as `a;b`", Form::List(values::list), description)
    }

    /// Creates an option whose value is a YAML list or text that is split at `,`.
    ///
    /// Blanks around items and empty items are ignored.
    pub const fn comma_list(key: &'static str, description: &'static str) -> Self {
        Self::new(key, "a list such as `a, b`", Form::List(values::comma_list), description)
    }
}

impl ConfigOption<Vec<(String, String)>> {
    /// Creates an option whose value is a map.
    ///
    /// Its entries are keys below this one (`key.<name>: value`), a YAML flow map, or text such as
    /// `a:1,b:2`.
    pub const fn map(key: &'static str, description: &'static str) -> Self {
        Self::new(key, "a map such as `a:1,b:2`", Form::Map(values::map, |entries| entries), description)
    }
}
