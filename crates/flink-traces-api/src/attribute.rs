//! Attribute values and the ordered map that holds them.

use std::borrow::Cow;
use std::{fmt, str};

use crate::ValueRef;

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
///
/// They are kept as they leave in an OTLP request, as `KeyValue` messages of protobuf one after the other: a third of the memory of a list of
/// strings, one allocation for all, and nothing left to convert when a reporter sends them.
#[derive(Clone, Default)]
pub struct Attributes {
    /// Each message after its length.
    messages: Vec<u8>,
}

/// The tags of the fields of `KeyValue` and `AnyValue`.
mod tag {
    pub(super) const KEY: u8 = 1 << 3 | 2;
    pub(super) const VALUE: u8 = 2 << 3 | 2;
    pub(super) const STRING: u8 = 1 << 3 | 2;
    pub(super) const BOOL: u8 = 2 << 3;
    pub(super) const INT: u8 = 3 << 3;
    pub(super) const DOUBLE: u8 = 4 << 3 | 1;
}

impl Attributes {
    /// What most spans of Flink have room in.
    const FIRST_CAPACITY: usize = 160;

    /// No attributes.
    pub const fn new() -> Self {
        Self { messages: Vec::new() }
    }

    /// Sets `key`, replacing an earlier value in its place.
    pub fn set(&mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) {
        self.set_ref(&key.into(), ValueRef::from(&value.into()));
    }

    /// [`set`](Self::set) for whoever keeps key and value: what is borrowed is copied once, to where it stays.
    pub fn set_ref(&mut self, key: &str, value: ValueRef<'_>) {
        let place = self.entries().position(|entry| entry.key == key.as_bytes());
        match place {
            None => self.push(key, value),
            Some(place) => self.replace(place, key, value),
        }
    }

    /// Sets a key that is not set.
    pub(crate) fn push(&mut self, key: &str, value: ValueRef<'_>) {
        let value_len = value_len(value);
        let len = field_len(key.len()) + field_len(value_len);
        self.reserve(varint_len(len) + len);
        let out = &mut self.messages;
        push_varint(out, len as u64);
        out.push(tag::KEY);
        push_varint(out, key.len() as u64);
        out.extend_from_slice(key.as_bytes());
        out.push(tag::VALUE);
        push_varint(out, value_len as u64);
        match value {
            ValueRef::String(text) => {
                out.push(tag::STRING);
                push_varint(out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            ValueRef::Bool(flag) => out.extend_from_slice(&[tag::BOOL, flag.into()]),
            ValueRef::Long(number) => {
                out.push(tag::INT);
                push_varint(out, number.cast_unsigned());
            }
            ValueRef::Double(number) => {
                out.push(tag::DOUBLE);
                out.extend_from_slice(&number.to_bits().to_le_bytes());
            }
        }
    }

    /// Writes all anew: that a key is set twice is rare.
    fn replace(&mut self, place: usize, key: &str, value: ValueRef<'_>) {
        let mut replaced = Self::new();
        for (number, entry) in self.entries().enumerate() {
            match number == place {
                true => replaced.push(key, value),
                false => replaced.messages.extend_from_slice(entry.message),
            }
        }
        *self = replaced;
    }

    /// Grows by half: most have few attributes, and many wait at once.
    pub(crate) fn reserve(&mut self, more: usize) {
        let (len, capacity) = (self.messages.len(), self.messages.capacity());
        if capacity - len < more {
            self.messages.reserve_exact(more.max(capacity / 2).max(Self::FIRST_CAPACITY));
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        self.entries().find(|entry| entry.key == key.as_bytes()).map(|entry| entry.value())
    }

    /// All attributes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ValueRef<'_>)> + Clone {
        self.entries().map(|entry| (text(entry.key), entry.value()))
    }

    /// All attributes, in order, as messages `KeyValue` of OTLP, with their keys: for a reporter that sends OTLP.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> + Clone {
        Entries(&self.messages)
    }

    /// How many there are. It counts them.
    pub fn len(&self) -> usize {
        self.entries().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl PartialEq for Attributes {
    /// Whether both have the same attributes in the same order; doubles are the same if their bits are.
    fn eq(&self, other: &Self) -> bool {
        self.messages == other.messages
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// An attribute as OTLP carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its key, in UTF-8.
    pub key: &'a [u8],
    /// Its message `KeyValue`, after a varint that tells its length: what follows the tag of a field of attributes.
    pub message: &'a [u8],
    /// Its message `AnyValue`.
    value: &'a [u8],
}

impl<'a> Entry<'a> {
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
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let (len, body) = varint(self.0);
        let head = self.0.len() - body.len();
        let (message, rest) = self.0.split_at_checked(head + len as usize)?;
        self.0 = rest;
        let (key_len, key) = varint(message.get(head + 1..)?);
        let (key, value) = key.split_at_checked(key_len as usize)?;
        let (_, value) = varint(value.get(1..)?);
        Some(Entry { key, message, value })
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

#[inline]
fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint_len(number: usize) -> usize {
    (usize::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// The length of a field of `len` bytes, with its tag and its length.
fn field_len(len: usize) -> usize {
    1 + varint_len(len) + len
}

fn value_len(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::String(text) => field_len(text.len()),
        ValueRef::Bool(_) => 2,
        ValueRef::Long(number) => 1 + varint_len(number.cast_unsigned() as usize),
        ValueRef::Double(_) => 9,
    }
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
