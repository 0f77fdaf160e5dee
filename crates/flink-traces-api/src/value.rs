//! The values of attributes.

use std::borrow::Cow;
use std::fmt;

/// A text that is usually a constant, such as an attribute key, a name or a scope.
pub type Text = Cow<'static, str>;

/// Returns the number of bytes that `text` has allocated.
pub(crate) fn text_heap_bytes(text: &Text) -> usize {
    match text {
        Cow::Borrowed(_) => 0,
        Cow::Owned(text) => text.capacity(),
    }
}

/// The value of an attribute.
///
/// Flink's builders (`org.apache.flink.AttributeBuilder`) accept the same four kinds. There are no
/// lists, no bytes and no nesting.
// Exhaustive: Flink has these four kinds, and each reporter must have a form for each of them.
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
    /// Returns the text if the value is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number if the value is an integer.
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

impl From<&String> for AttributeValue {
    fn from(text: &String) -> Self {
        Self::String(Cow::Owned(text.clone()))
    }
}

impl From<ValueRef<'_>> for AttributeValue {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::String(text) => Self::String(Cow::Owned(text.to_owned())),
            ValueRef::Long(number) => Self::Long(number),
            ValueRef::Double(number) => Self::Double(number),
            ValueRef::Bool(flag) => Self::Bool(flag),
        }
    }
}

/// Converts from integers that always fit.
macro_rules! from_integers {
    ($($integer:ty)*) => {$(
        impl From<$integer> for AttributeValue {
            fn from(number: $integer) -> Self {
                Self::Long(i64::from(number))
            }
        }
    )*};
}

from_integers!(i8 i16 i32 i64 u8 u16 u32);

/// Converts from integers that can exceed a Java `long`, which then saturate.
macro_rules! from_large_integers {
    ($($integer:ty)*) => {$(
        impl From<$integer> for AttributeValue {
            /// A number that does not fit becomes the largest one.
            fn from(number: $integer) -> Self {
                Self::Long(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
    )*};
}

from_large_integers!(u64 usize isize);

impl From<f64> for AttributeValue {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<f32> for AttributeValue {
    fn from(number: f32) -> Self {
        Self::Double(f64::from(number))
    }
}

/// Compares with a plain value, for tests.
macro_rules! equals {
    ($($plain:ty: $variant:ident)*) => {$(
        impl PartialEq<$plain> for AttributeValue {
            fn eq(&self, other: &$plain) -> bool {
                matches!(self, Self::$variant(value) if value == other)
            }
        }
    )*};
}

equals!(str: String i64: Long f64: Double bool: Bool);

impl PartialEq<&str> for AttributeValue {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl PartialEq<i32> for AttributeValue {
    fn eq(&self, other: &i32) -> bool {
        *self == i64::from(*other)
    }
}

impl From<bool> for AttributeValue {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// A borrowed [`AttributeValue`].
// Exhaustive: it has the variants of `AttributeValue`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// Text.
    String(&'a str),
    /// An integer.
    Long(i64),
    /// A floating point number, possibly not finite.
    Double(f64),
    /// A truth value.
    Bool(bool),
}

impl<'a> From<&'a AttributeValue> for ValueRef<'a> {
    fn from(value: &'a AttributeValue) -> Self {
        match value {
            AttributeValue::String(text) => Self::String(text),
            AttributeValue::Long(number) => Self::Long(*number),
            AttributeValue::Double(number) => Self::Double(*number),
            AttributeValue::Bool(flag) => Self::Bool(*flag),
        }
    }
}

/// Formats the value as text. A number has the shortest text that parses to the same number.
impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            Self::Long(number) => number.fmt(f),
            Self::Double(number) => fmt::Debug::fmt(number, f),
            Self::Bool(flag) => flag.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_that_does_not_fit_saturates() {
        assert_eq!(AttributeValue::from(u64::MAX), i64::MAX);
        assert_eq!(AttributeValue::from(7_usize), 7);
        assert_eq!(AttributeValue::from(-7_isize), -7);
        assert_eq!(AttributeValue::from(0.5_f32), 0.5);
    }

    #[test]
    fn value_text_parses_back() {
        for (value, expected) in [
            (ValueRef::String("a b"), "a b"),
            (ValueRef::Long(i64::MIN), "-9223372036854775808"),
            (ValueRef::Double(1e300), "1e300"),
            (ValueRef::Double(1.0), "1.0"),
            (ValueRef::Double(f64::NAN), "NaN"),
            (ValueRef::Bool(true), "true"),
        ] {
            assert_eq!(value.to_string(), expected);
        }
    }
}
