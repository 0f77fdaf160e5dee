//! Attribute values and the ordered map that holds them.

use std::borrow::Cow;

/// Text that is usually a constant: attribute keys, names, scopes.
pub type Text = Cow<'static, str>;

/// The value of an attribute. Flink's builders accept these four kinds and no other
/// (`org.apache.flink.AttributeBuilder`): no lists, no bytes, no nesting.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// A Java `String`.
    String(Text),
    /// A Java `long`; durations are milliseconds, sizes bytes.
    Long(i64),
    /// A Java `double`.
    Double(f64),
    /// A Java `boolean`. Flink's own OpenTelemetry trace reporter drops these.
    Bool(bool),
}

impl AttributeValue {
    /// The text, where the value is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, where the value is an integer.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Long(number) => Some(*number),
            _ => None,
        }
    }
}

impl From<&'static str> for AttributeValue {
    fn from(text: &'static str) -> Self {
        Self::String(Cow::Borrowed(text))
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::String(Cow::Owned(text))
    }
}

impl From<Text> for AttributeValue {
    fn from(text: Text) -> Self {
        Self::String(text)
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        Self::Long(number)
    }
}

impl From<f64> for AttributeValue {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<bool> for AttributeValue {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// Attributes in the order in which they were first set; setting a key again replaces its value. In Flink a map without an order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes(Vec<(Text, AttributeValue)>);

impl Attributes {
    /// No attributes.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Sets `key`, replacing an earlier value in its place.
    pub fn set(&mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) {
        let key = key.into();
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((key, value)),
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&AttributeValue> {
        self.iter().find_map(|(known, value)| (known == key).then_some(value))
    }

    /// All attributes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &AttributeValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
