//! One option: its key, its form, its default, its description.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values;
use super::{ConfigError, ConfigValue, Origin, RawValue};

/// What documentation and checks need of an option, whatever its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionDoc {
    /// The key without the reporter's prefix.
    pub key: &'static str,
    /// What a value looks like, for messages: "a duration such as `10 s`".
    pub expected: &'static str,
    /// The default as it would be written; `None` if there is none.
    pub default: Option<&'static str>,
    /// What it does.
    pub description: &'static str,
    /// Whether keys below it belong to it (`key.<anything>`).
    pub is_map: bool,
}

enum Form<T> {
    Text(fn(&str) -> Option<T>),
    List(fn(&RawValue) -> Option<T>),
    Map(fn(&RawValue) -> Option<T>, fn(Vec<(String, String)>) -> T),
}

/// An option of type `T`, as `org.apache.flink.configuration.ConfigOption`. Declared once, as a `const`, and read through [`ReporterConfig`](super::ReporterConfig).
pub struct ConfigOption<T> {
    doc: OptionDoc,
    form: Form<T>,
}

impl<T> ConfigOption<T> {
    /// An option whose text `parse` reads; `expected` says what it accepts.
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

    /// The same with a default, written as a user would.
    #[must_use]
    pub const fn or(mut self, default: &'static str) -> Self {
        self.doc.default = Some(default);
        self
    }

    /// The key without the reporter's prefix.
    pub const fn key(&self) -> &'static str {
        self.doc.key
    }

    /// What documentation and checks need of it.
    pub const fn doc(&self) -> OptionDoc {
        self.doc
    }

    /// The value that `values` hold for this option, or its default; `None` if there is neither. Their keys go without `prefix`,
    /// which is for messages. A map may be spread over the keys below this one, unless this very key is set.
    ///
    /// # Errors
    /// When the value is not of the option's form.
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

    /// The error of a value that cannot be used, as it is not `expected`.
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

    /// What stands at the keys below this one, keys without it.
    fn values_below<'a>(
        &self,
        values: &'a BTreeMap<String, ConfigValue>,
    ) -> impl Iterator<Item = (&'a str, &'a ConfigValue)> + use<'a, T> {
        let prefix = format!("{}.", self.doc.key);
        let below = values.range(prefix.clone()..);
        below.map_while(move |(key, value)| Some((key.strip_prefix(&prefix)?, value)))
    }

    /// Reads a value; `None` if it is not of this option's form.
    pub fn parse(&self, raw: &RawValue) -> Option<T> {
        match &self.form {
            Form::Text(parse) => parse(&raw.to_string()),
            Form::List(parse) | Form::Map(parse, _) => parse(raw),
        }
    }

    /// The default, read.
    pub fn default_value(&self) -> Option<T> {
        self.parse(&RawValue::Text(self.doc.default?.to_owned()))
    }
}

impl ConfigOption<String> {
    /// Text, taken as it is.
    pub const fn string(key: &'static str, description: &'static str) -> Self {
        Self::parsed(key, "text", |text| Some(text.to_owned()), description)
    }
}

impl ConfigOption<bool> {
    /// `true` or `false`, in any case.
    pub const fn bool(key: &'static str, description: &'static str) -> Self {
        Self::parsed(key, "`true` or `false`", values::bool, description)
    }
}

impl ConfigOption<u64> {
    /// A whole number from 0.
    pub const fn number(key: &'static str, description: &'static str) -> Self {
        Self::parsed(key, "a whole number", |text| text.trim().parse().ok(), description)
    }

    /// A size in bytes, with Flink's units.
    pub const fn bytes(key: &'static str, description: &'static str) -> Self {
        Self::parsed(key, "a size such as `64 mb`", values::bytes, description)
    }
}

impl ConfigOption<Duration> {
    /// A duration, with Flink's units.
    pub const fn duration(key: &'static str, description: &'static str) -> Self {
        Self::parsed(key, "a duration such as `10 s`", values::duration, description)
    }
}

impl ConfigOption<Vec<String>> {
    /// A YAML list, or text split at `;`, where a part in single or double quotes may hold one.
    pub const fn list(key: &'static str, description: &'static str) -> Self {
        Self::new(key, "a list such as `a;b`", Form::List(values::list), description)
    }

    /// A YAML list, or text split at `,`; blanks around the parts and empty parts do not count.
    pub const fn comma_list(key: &'static str, description: &'static str) -> Self {
        Self::new(key, "a list such as `a, b`", Form::List(values::comma_list), description)
    }
}

impl ConfigOption<Vec<(String, String)>> {
    /// Keys below this one (`key.<name>: value`), a YAML flow map, or text such as `a:1,b:2`.
    pub const fn map(key: &'static str, description: &'static str) -> Self {
        Self::new(key, "a map such as `a:1,b:2`", Form::Map(values::map, |entries| entries), description)
    }
}
