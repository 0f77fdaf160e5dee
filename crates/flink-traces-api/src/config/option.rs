//! One option: its key, its form, its default, its description.

use std::time::Duration;

use super::RawValue;
use super::values;

/// What documentation and checks need of an option, whatever its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// An option of type `T`. Declared once, as a `const`, and read through [`ReporterConfig`](super::ReporterConfig).
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

    /// How to make the value of keys below this one, if it is a map.
    pub(super) fn entries(&self) -> Option<fn(Vec<(String, String)>) -> T> {
        match self.form {
            Form::Map(_, entries) => Some(entries),
            _ => None,
        }
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
    /// A YAML list, or text split at `;`.
    pub const fn list(key: &'static str, description: &'static str) -> Self {
        Self::new(key, "a list such as `a;b`", Form::List(values::list), description)
    }
}

impl ConfigOption<Vec<(String, String)>> {
    /// Keys below this one (`key.<name>: value`), a YAML flow map, or text such as `a:1,b:2`.
    pub const fn map(key: &'static str, description: &'static str) -> Self {
        Self::new(key, "a map such as `a:1,b:2`", Form::Map(values::map, |entries| entries), description)
    }
}
