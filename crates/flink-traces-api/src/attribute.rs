//! Attribute values and the ordered map that holds them.

use std::borrow::Cow;
use std::{fmt, str};

use crate::ValueRef;
use crate::proto::{KeyValue, Writer};

/// Text that is usually a constant: attribute keys, names, scopes.
pub type Text = Cow<'static, str>;

/// The value of an attribute.
///
/// Flink's builders (`org.apache.flink.AttributeBuilder`) accept the same four kinds. There are no lists,
/// no bytes and no nesting.
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
///
/// They are kept as they leave in an OTLP request, as the fields `attributes` of a `Span` of protobuf one after the other: a third of the
/// memory of a list of strings, one allocation for all, and nothing left to convert when a reporter sends them.
#[derive(Clone, Default)]
pub struct Attributes {
    fields: Writer,
    keys: Keys,
}

/// The number of the field `attributes` of the message `Span`.
const ATTRIBUTES: u8 = 9;

/// The tags of the fields of `AnyValue`.
mod tag {
    pub(super) const STRING: u8 = 1 << 3 | 2;
    pub(super) const BOOL: u8 = 2 << 3;
    pub(super) const INT: u8 = 3 << 3;
    pub(super) const DOUBLE: u8 = 4 << 3 | 1;
}

impl Attributes {
    /// What most spans of Flink have room in.
    const FIRST_CAPACITY: usize = 168;

    /// No attributes.
    pub const fn new() -> Self {
        Self { fields: Writer::new(), keys: Keys(0) }
    }

    /// Sets `key`, replacing an earlier value in its place.
    pub fn set(&mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) {
        self.set_ref(&key.into(), ValueRef::from(&value.into()));
    }

    /// [`set`](Self::set) for whoever keeps key and value: what is borrowed is copied once, to where it stays.
    #[inline]
    pub fn set_ref(&mut self, key: &str, value: ValueRef<'_>) {
        let keys = Keys::of(key);
        let known = match self.keys.meet(keys) {
            true => self.entries().position(|entry| entry.key == key.as_bytes()),
            false => None,
        };
        match known {
            Some(place) => self.replace(place, key, value),
            None => {
                self.keys.join(keys);
                self.push(key, value);
            }
        }
    }

    #[inline]
    fn push(&mut self, key: &str, value: ValueRef<'_>) {
        let attribute = KeyValue::new(key, value);
        self.reserve(attribute.field_len());
        self.fields.key_value(ATTRIBUTES, &attribute);
    }

    /// Writes all anew: that a key is set twice is rare.
    fn replace(&mut self, place: usize, key: &str, value: ValueRef<'_>) {
        let mut replaced = Self { fields: Writer::new(), keys: self.keys };
        for (number, entry) in self.entries().enumerate() {
            match number == place {
                true => replaced.push(key, value),
                false => replaced.fields.raw(entry.field),
            }
        }
        *self = replaced;
    }

    /// Grows by half: most have few attributes, and many wait at once.
    #[inline]
    pub(crate) fn reserve(&mut self, more: usize) {
        let (len, capacity) = (self.fields.len(), self.fields.capacity());
        if capacity - len < more {
            self.fields.reserve_exact(more.max(capacity / 2).max(Self::FIRST_CAPACITY));
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        self.entries().find(|entry| entry.key == key.as_bytes()).map(|entry| entry.value())
    }

    /// All attributes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ValueRef<'_>)> + Clone {
        self.entries().map(|entry| (entry.key(), entry.value()))
    }

    /// All attributes, in order, as the fields `attributes` of a message `Span` of OTLP: for a reporter that sends OTLP.
    pub fn as_span_fields(&self) -> &[u8] {
        self.fields.as_slice()
    }

    /// Their keys, as bits.
    pub(crate) fn keys(&self) -> Keys {
        self.keys
    }

    /// All attributes, in order, for whoever knows most keys by their bytes: [`iter`](Self::iter) looks at each of a text's bytes to see
    /// that it is UTF-8.
    pub fn entries(&self) -> impl Iterator<Item = AttributeEntry<'_>> + Clone {
        Entries(self.fields.as_slice())
    }

    /// How many there are. It counts them.
    pub fn len(&self) -> usize {
        self.entries().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl PartialEq for Attributes {
    /// Whether both have the same attributes in the same order; doubles are the same if their bits are.
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Keys, as bits that several of them share: most can be told to be new without a look at the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Keys(u64);

impl Keys {
    /// Gives most keys of one of Flink's spans bits of their own.
    const FACTOR: u32 = 0xee7c_080b;
    /// The bit of what OpenTelemetry does not get as it is: no key, and keys in angle brackets. Others may have it, too.
    pub(crate) const UNUSUAL: Self = Self(1 << 63);

    #[inline]
    pub(crate) fn of(key: &str) -> Self {
        let bytes = key.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return Self::UNUSUAL };
        if *first == b'<' {
            return Self::UNUSUAL;
        }
        let digest = u32::from_le_bytes([*first, *last, bytes[bytes.len() / 3], bytes.len() as u8]);
        Self(1 << (digest.wrapping_mul(Self::FACTOR) >> 26))
    }

    #[inline]
    pub(crate) fn join(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// Whether some of both may be the same.
    #[inline]
    pub(crate) fn meet(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// An attribute of [`Attributes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeEntry<'a> {
    /// Its key, in UTF-8.
    key: &'a [u8],
    /// Its message `AnyValue`.
    value: &'a [u8],
    /// All of it.
    field: &'a [u8],
}

impl<'a> AttributeEntry<'a> {
    /// Its key.
    pub fn key(&self) -> &'a str {
        text(self.key)
    }

    /// The bytes of its key.
    pub fn key_bytes(&self) -> &'a [u8] {
        self.key
    }

    /// Its value.
    pub fn value(&self) -> ValueRef<'a> {
        let (tag, rest) = self.value.split_first().unwrap_or((&tag::STRING, &[0]));
        let (number, rest) = match *tag {
            tag::DOUBLE => return ValueRef::Double(f64::from_le_bytes(rest.try_into().unwrap_or_default())),
            _ => varint(rest),
        };
        match *tag {
            tag::BOOL => ValueRef::Bool(number != 0),
            tag::INT => ValueRef::Long(number.cast_signed()),
            _ => ValueRef::String(text(rest)),
        }
    }
}

/// Cuts what [`Attributes::push`] wrote.
#[derive(Clone)]
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = AttributeEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<AttributeEntry<'a>> {
        let all = self.0;
        let (len, message) = varint(all.get(1..)?);
        let (message, rest) = message.split_at_checked(len as usize)?;
        self.0 = rest;
        let (key_len, key) = varint(message.get(1..)?);
        let (key, value) = key.split_at_checked(key_len as usize)?;
        let (_, value) = varint(value.get(1..)?);
        Some(AttributeEntry { key, value, field: &all[..all.len() - rest.len()] })
    }
}

/// What was a `str` when it was written.
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

/// A number of seven bits a byte, the lowest first, and what follows it.
#[inline]
fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return (number, &bytes[place + 1..]);
        }
    }
    (number, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets pairs one after the other, and in a list that does it naively; both must hold the same.
    fn check(pairs: &[(&str, AttributeValue)]) {
        let mut attributes = Attributes::new();
        let mut naive: Vec<(&str, AttributeValue)> = Vec::new();
        for (key, value) in pairs {
            attributes.set((*key).to_owned(), value.clone());
            match naive.iter_mut().find(|(known, _)| known == key) {
                Some((_, slot)) => *slot = value.clone(),
                None => naive.push((key, value.clone())),
            }
        }
        let expected: Vec<_> = naive.iter().map(|(key, value)| (*key, ValueRef::from(value))).collect();
        assert_eq!(attributes.iter().collect::<Vec<_>>(), expected);
        assert_eq!((attributes.len(), attributes.is_empty()), (naive.len(), naive.is_empty()));
        for (key, value) in &naive {
            assert_eq!(attributes.get(key), Some(ValueRef::from(value)), "{key}");
        }
        assert_eq!(attributes.get("no such key"), None);
    }

    #[test]
    fn what_was_set_is_there_in_order_and_once() {
        let long = |len: usize| AttributeValue::from("x".repeat(len));
        check(&[]);
        check(&[("a", 1.into()), ("b", true.into()), ("a", "x".into()), ("", false.into()), ("b", 0.5.into())]);
        let numbers = [0, 1, -1, 127, 128, 16_383, 16_384, i64::MAX, i64::MIN];
        let keys: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        check(&keys.iter().zip(numbers).map(|(key, number)| (key.as_str(), number.into())).collect::<Vec<_>>());
        for len in [0, 1, 100, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16_375, 16_384, 70_000] {
            let key = "k".repeat(len);
            check(&[("ä漢🦀", long(len)), (&key, f64::INFINITY.into()), ("ä漢🦀", long(len + 1)), (&key, long(2))]);
        }
    }
}
