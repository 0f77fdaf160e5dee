//! The ordered map of attributes.

use std::{fmt, str};

use crate::proto::{KeyValue, Writer};
use crate::value::{AttributeValue, Text, ValueRef};

/// Attributes in the order in which their keys were first set.
///
/// Setting a key again replaces its value in index. Flink has an unordered map instead.
///
/// The attributes are stored in the encoding of an OTLP request, as consecutive `attributes` fields
/// of a protobuf `Span`. This takes a third of the memory of a list of strings, needs one
/// allocation, and leaves nothing to convert when a reporter sends them.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{Attributes, ValueRef};
///
/// let mut attributes = Attributes::new();
/// attributes.set("checkpointId", 7);
/// attributes.set("checkpointType", "Checkpoint");
/// attributes.set("checkpointId", 8);
///
/// assert_eq!(attributes.get("checkpointId"), Some(ValueRef::Long(8)));
/// let keys: Vec<_> = attributes.iter().map(|(key, _)| key).collect();
/// assert_eq!(keys, ["checkpointId", "checkpointType"]);
/// ```
#[derive(Default)]
pub struct Attributes {
    fields: Writer,
    keys: Keys,
}

/// The copy has as much reserved memory as the original, so similar spans can start from one.
impl Clone for Attributes {
    fn clone(&self) -> Self {
        let mut fields = Writer::new();
        fields.reserve_exact(self.fields.capacity());
        fields.raw(self.fields.as_slice());
        Self { fields, keys: self.keys }
    }
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
    /// The size in bytes that is enough for most of Flink's spans.
    const FIRST_CAPACITY: usize = 168;

    /// Creates an empty list of attributes.
    pub const fn new() -> Self {
        Self { fields: Writer::new(), keys: Keys(0) }
    }

    /// Reserves memory for a few attributes, if none is set.
    pub(crate) fn reserve_few(&mut self) {
        const FEW: usize = 48;
        if self.is_empty() {
            self.fields.reserve_exact(FEW);
        }
    }

    /// Sets `key`. An earlier value is replaced in index.
    #[inline]
    pub fn set(&mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) {
        self.set_ref(&key.into(), ValueRef::from(&value.into()));
    }

    /// Sets `key` from borrowed data, which is copied once. See [`set`](Self::set).
    #[inline]
    pub fn set_ref(&mut self, key: &str, value: ValueRef<'_>) {
        match value {
            ValueRef::Long(number) => self.set_number(key, number),
            ValueRef::String(text) => self.set_text(key, text),
            ValueRef::Double(_) | ValueRef::Bool(_) => self.set_any(key, value),
        }
    }

    fn set_number(&mut self, key: &str, number: i64) {
        if self.may_have(key) {
            return self.set_any(key, ValueRef::Long(number));
        }
        self.reserve(KeyValue::new(key, ValueRef::Long(number)).field_len());
        self.fields.key_number(ATTRIBUTES, key, number);
    }

    fn set_text(&mut self, key: &str, text: &str) {
        if self.may_have(key) {
            return self.set_any(key, ValueRef::String(text));
        }
        self.reserve(KeyValue::new(key, ValueRef::String(text)).field_len());
        self.fields.key_text(ATTRIBUTES, key, text);
    }

    /// Adds `key` to the set of keys. Returns `true` if it may have been in it.
    #[inline]
    fn may_have(&mut self, key: &str) -> bool {
        let keys = Keys::of(key);
        let may_have = self.keys.intersects(keys);
        self.keys.insert(keys);
        may_have
    }

    fn push(&mut self, key: &str, value: ValueRef<'_>) {
        let attribute = KeyValue::new(key, value);
        self.reserve(attribute.field_len());
        self.fields.key_value(ATTRIBUTES, &attribute);
    }

    /// Sets a key that may be set already. If it is, all attributes are rewritten, which is rare.
    #[cold]
    fn set_any(&mut self, key: &str, value: ValueRef<'_>) {
        self.may_have(key);
        let Some(index) = self.entries().position(|entry| entry.key == key.as_bytes()) else {
            return self.push(key, value);
        };
        let mut replaced = Self { fields: Writer::new(), keys: self.keys };
        for (number, entry) in self.entries().enumerate() {
            if number == index { replaced.push(key, value) } else { replaced.fields.raw(entry.field) }
        }
        *self = replaced;
    }

    /// Grows by half, since most lists are short and many are queued at the same time.
    #[inline]
    pub(crate) fn reserve(&mut self, more: usize) {
        let (len, capacity) = (self.fields.len(), self.fields.capacity());
        if capacity - len < more {
            self.fields.reserve_exact(more.max(capacity / 2).max(Self::FIRST_CAPACITY));
        }
    }

    /// Returns the value of `key`.
    pub fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        self.entries().find(|entry| entry.key == key.as_bytes()).map(|entry| entry.value())
    }

    /// Returns an iterator over all attributes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ValueRef<'_>)> + Clone {
        self.entries().map(|entry| (entry.key(), entry.value()))
    }

    /// Returns all attributes in order, encoded as `attributes` fields of an OTLP `Span` message.
    ///
    /// A reporter that sends OTLP can copy these bytes into its requests.
    pub fn as_span_fields(&self) -> &[u8] {
        self.fields.as_slice()
    }

    /// Returns the number of bytes that were allocated.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.fields.capacity()
    }

    /// Returns the set of keys.
    pub(crate) fn keys(&self) -> Keys {
        self.keys
    }

    /// Returns an iterator over all attributes in order, without checking keys and texts for UTF-8.
    ///
    /// It is faster than [`iter`](Self::iter) for callers that compare most keys by their bytes.
    pub fn entries(&self) -> impl Iterator<Item = AttributeEntry<'_>> + Clone {
        Entries(self.fields.as_slice())
    }

    /// Returns the number of attributes, which takes linear time.
    pub fn len(&self) -> usize {
        self.entries().count()
    }

    /// Returns `true` if there are no attributes.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl PartialEq for Attributes {
    /// Returns `true` if both have the same attributes in the same order.
    ///
    /// Doubles are equal if their bits are equal.
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A set of keys as bits, where several keys share a bit.
///
/// If a key's bit is not in the set, the key is new and no comparison with the others is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Keys(u64);

impl Keys {
    /// A factor that maps most keys of one of Flink's spans to different bits.
    const FACTOR: u32 = 0xee7c_080b;
    /// The bit of keys that OpenTelemetry reporters change: empty keys and keys in angle brackets.
    ///
    /// Other keys may share it.
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
    pub(crate) fn insert(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// Returns `true` if both sets may have a key in common.
    #[inline]
    pub(crate) fn intersects(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// An attribute of [`Attributes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeEntry<'a> {
    /// The key, in UTF-8.
    key: &'a [u8],
    /// The encoded `AnyValue` message.
    value: &'a [u8],
    /// The whole field, including its tag.
    field: &'a [u8],
}

impl<'a> AttributeEntry<'a> {
    /// Returns the key.
    pub fn key(&self) -> &'a str {
        text(self.key)
    }

    /// Returns the bytes of the key.
    pub fn key_bytes(&self) -> &'a [u8] {
        self.key
    }

    /// Returns the value.
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

/// An iterator over the fields that [`Attributes::push`] wrote.
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

/// Returns the bytes as text. They come from a `str`.
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

/// Splits a varint off `bytes`.
#[inline]
fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return (number, &bytes[index + 1..]);
        }
    }
    (number, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets pairs one after the other, both in `Attributes` and in a plain list, and compares the
    /// two.
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
    fn copy_has_the_reserved_memory() {
        let mut original = Attributes::new();
        original.reserve(1_000);
        original.set("key", 1);
        let copy = original.clone();
        assert_eq!((&copy, copy.keys(), copy.heap_bytes()), (&original, original.keys(), original.heap_bytes()));
    }

    #[test]
    fn attributes_are_ordered_and_unique() {
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
