//! A writer and a reader of the protobuf wire format, as much of it as OTLP needs.
//!
//! [`Attributes`](crate::Attributes) are stored in this form, so the OTLP reporter copies them into
//! a request without encoding them again. The module is public so that the two share one encoder.
//! It knows the wire types and [`KeyValue`], which Flink's attributes need, but no other message of
//! OTLP. [`Fields`] reads a message.
//!
//! ```
//! use flink_traces_api::ValueRef;
//! use flink_traces_api::proto::{KeyValue, Writer};
//!
//! let mut message = Writer::new();
//! message.varint(1, 300);
//! message.key_value(9, &KeyValue::new("k", ValueRef::Bool(true)));
//! assert_eq!(message.as_slice(), b"\x08\xac\x02\x4a\x07\x0a\x01k\x12\x02\x10\x01");
//! ```

mod read;

use crate::ValueRef;

pub use read::{Content, Fields};

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// Returns the number of bytes that `number` takes as a varint.
#[inline]
pub const fn varint_len(number: u64) -> usize {
    // The number of bits divided by seven, rounded up. The multiplication does that for up to 64
    // bits.
    let bits = u64::BITS - (number | 1).leading_zeros();
    ((bits * 9 + 64) / 64) as usize
}

/// Moves each seven of the lower 56 bits into a byte of their own.
#[inline]
const fn groups_of_seven(number: u64) -> u64 {
    let number = number & 0x0fff_ffff | (number & 0x00ff_ffff_f000_0000) << 4;
    let number = number & 0x0000_3fff_0000_3fff | (number & 0x0fff_c000_0fff_c000) << 2;
    number & 0x007f_007f_007f_007f | (number & 0x3f80_3f80_3f80_3f80) << 1
}

/// Returns the number of bytes that a field with `len` bytes of content takes.
///
/// This includes the length prefix and the tag. The tag is assumed to take one byte, which is true
/// for field numbers below 16.
#[inline]
pub const fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// An OTLP `KeyValue` message whose lengths are computed.
#[derive(Debug, Clone, Copy)]
pub struct KeyValue<'a> {
    key: &'a str,
    value: ValueRef<'a>,
    /// The length of the message `AnyValue`.
    value_len: usize,
    /// The length of the message `KeyValue`.
    len: usize,
}

impl<'a> KeyValue<'a> {
    const KEY: u8 = 1;
    const VALUE: u8 = 2;
    const KEY_TAG: u8 = Self::KEY << 3 | BYTES;
    const VALUE_TAG: u8 = Self::VALUE << 3 | BYTES;

    /// Computes the lengths of an attribute.
    #[inline]
    pub const fn new(key: &'a str, value: ValueRef<'a>) -> Self {
        let value_len = match value {
            ValueRef::String(text) => field_len(text.len()),
            ValueRef::Bool(_) => 2,
            ValueRef::Long(number) => 1 + varint_len(number.cast_unsigned()),
            ValueRef::Double(_) => 9,
        };
        let len = field_len(key.len()) + field_len(value_len);
        Self { key, value, value_len, len }
    }

    /// Returns the number of bytes that [`Writer::key_value`] appends for a field number below 16.
    #[inline]
    pub const fn field_len(&self) -> usize {
        field_len(self.len)
    }
}

/// A message that fields are appended to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writer(Vec<u8>);

/// A nested message that [`Writer::open`] began and [`Writer::close`] ends.
#[must_use]
#[derive(Debug)]
pub struct OpenMessage {
    /// The index at which its content begins.
    start: usize,
    /// The number of bytes reserved for its length.
    width: usize,
}

impl Writer {
    /// Creates an empty message.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns the number of bytes written so far.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if nothing has been written.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of bytes that the message can hold without another allocation.
    pub const fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Returns the encoded fields.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Returns the encoded fields as a vector.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }

    /// Removes all bytes after the first `len`, which ended before a field.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Removes all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Reserves memory for at least `bytes` more bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    /// Reserves memory for `bytes` more bytes, without room for growth.
    pub fn reserve_exact(&mut self, bytes: usize) {
        self.0.reserve_exact(bytes);
    }

    /// Appends an integer field.
    #[inline]
    pub fn varint(&mut self, field: u8, number: u64) {
        self.tag(field, VARINT);
        self.number(number);
    }

    /// Appends a field of eight bytes, such as a `double` or a `fixed64`.
    #[inline]
    pub fn fixed64(&mut self, field: u8, number: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Appends a field of four bytes.
    #[inline]
    pub fn fixed32(&mut self, field: u8, number: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Appends a field of bytes, of text or of an encoded message.
    #[inline]
    pub fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.begin(field, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Appends fields that are already encoded.
    #[inline]
    pub fn raw(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// Appends an OTLP `KeyValue`.
    pub fn key_value(&mut self, field: u8, attribute: &KeyValue<'_>) {
        match attribute.value {
            ValueRef::Long(number) => self.key_number(field, attribute.key, number),
            ValueRef::String(text) => self.key_text(field, attribute.key, text),
            ValueRef::Double(_) | ValueRef::Bool(_) => self.any_key_value(field, attribute),
        }
    }

    /// Appends an OTLP `KeyValue` with an integer.
    // Everything is in registers, which a reference to a `KeyValue` would prevent.
    #[inline]
    pub(crate) fn key_number(&mut self, field: u8, key: &str, number: i64) {
        let KeyValue { value_len, len, .. } = KeyValue::new(key, ValueRef::Long(number));
        if field >= 16 || len >= 0x80 {
            return self.long_key_number(field, key, number);
        }
        // Every length takes one byte.
        self.0.extend_from_slice(&[field << 3 | BYTES, len as u8, KeyValue::KEY_TAG, key.len() as u8]);
        self.short(key.as_bytes());
        self.0.extend_from_slice(&[KeyValue::VALUE_TAG, value_len as u8, 3 << 3 | VARINT]);
        self.number(number.cast_unsigned());
    }

    /// Appends an OTLP `KeyValue` with a text.
    #[inline]
    pub(crate) fn key_text(&mut self, field: u8, key: &str, text: &str) {
        let KeyValue { value_len, len, .. } = KeyValue::new(key, ValueRef::String(text));
        if field >= 16 || len >= 0x80 {
            return self.long_key_text(field, key, text);
        }
        self.0.extend_from_slice(&[field << 3 | BYTES, len as u8, KeyValue::KEY_TAG, key.len() as u8]);
        self.short(key.as_bytes());
        self.0.extend_from_slice(&[KeyValue::VALUE_TAG, value_len as u8, 1 << 3 | BYTES, text.len() as u8]);
        self.short(text.as_bytes());
    }

    /// Appends bytes that are usually few.
    ///
    /// Two copies of a fixed size, which overlap, are faster than one call of `memcpy`.
    #[inline(always)]
    fn short(&mut self, bytes: &[u8]) {
        let end = self.0.len() + bytes.len();
        if let (Some(first), Some(last), 0..=32) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>(), bytes.len()) {
            self.0.extend_from_slice(first);
            self.0.truncate(end - last.len());
            self.0.extend_from_slice(last);
        } else if let (Some(first), Some(last), 0..=16) =
            (bytes.first_chunk::<8>(), bytes.last_chunk::<8>(), bytes.len())
        {
            self.0.extend_from_slice(first);
            self.0.truncate(end - last.len());
            self.0.extend_from_slice(last);
        } else {
            self.0.extend_from_slice(bytes);
        }
    }

    #[cold]
    fn long_key_number(&mut self, field: u8, key: &str, number: i64) {
        self.any_key_value(field, &KeyValue::new(key, ValueRef::Long(number)));
    }

    #[cold]
    fn long_key_text(&mut self, field: u8, key: &str, text: &str) {
        self.any_key_value(field, &KeyValue::new(key, ValueRef::String(text)));
    }

    /// Appends a `KeyValue` of any kind and length.
    fn any_key_value(&mut self, field: u8, attribute: &KeyValue<'_>) {
        self.begin(field, attribute.len);
        self.bytes(KeyValue::KEY, attribute.key.as_bytes());
        self.begin(KeyValue::VALUE, attribute.value_len);
        match attribute.value {
            ValueRef::String(text) => self.bytes(1, text.as_bytes()),
            ValueRef::Bool(flag) => self.varint(2, flag.into()),
            ValueRef::Long(number) => self.varint(3, number.cast_unsigned()),
            ValueRef::Double(number) => self.fixed64(4, number.to_bits()),
        }
    }

    /// Begins a message of exactly `len` bytes, which the caller appends next.
    #[inline]
    pub fn begin(&mut self, field: u8, len: usize) {
        if field < 16 && len < 0x80 {
            self.0.extend_from_slice(&[field << 3 | BYTES, len as u8]);
        } else {
            self.tag(field, BYTES);
            self.number(len as u64);
        }
    }

    /// Begins a message of about `guess` bytes, whose length [`close`](Self::close) writes.
    ///
    /// If the length takes more or fewer bytes than that of the guess, the content is moved once.
    pub fn open(&mut self, field: u8, guess: usize) -> OpenMessage {
        self.tag(field, BYTES);
        let width = varint_len(guess as u64);
        self.0.resize(self.0.len() + width, 0);
        OpenMessage { start: self.0.len(), width }
    }

    /// Ends the message that [`open`](Self::open) began.
    pub fn close(&mut self, message: OpenMessage) {
        let end = self.0.len();
        let len = end - message.start;
        let width = varint_len(len as u64);
        let start = message.start - message.width + width;
        if width != message.width {
            self.0.resize(end.max(start + len), 0);
            self.0.copy_within(message.start..end, start);
            self.0.truncate(start + len);
        }
        let mut rest = len;
        for (index, byte) in self.0[start - width..start].iter_mut().enumerate() {
            let more = if index + 1 < width { 0x80 } else { 0 };
            *byte = (rest & 0x7f) as u8 | more;
            rest >>= 7;
        }
    }

    #[inline]
    fn tag(&mut self, field: u8, kind: u8) {
        self.number(u64::from(field) << 3 | u64::from(kind));
    }

    #[inline]
    fn number(&mut self, mut number: u64) {
        if number >> 56 == 0 && self.0.capacity() - self.0.len() >= 8 {
            let len = varint_len(number);
            let end = self.0.len() + len;
            let more = 0x8080_8080_8080_8080 & !(u64::MAX << (8 * (len - 1)));
            self.0.extend_from_slice(&(groups_of_seven(number) | more).to_le_bytes());
            self.0.truncate(end);
            return;
        }
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_message_length_takes_fewest_bytes() {
        for len in [0, 1, 126, 127, 128, 129, 16_383, 16_384, 16_385, 2_097_151, 2_097_152] {
            let content = vec![7; len];
            let mut expected = Writer::new();
            expected.bytes(1, b"before");
            expected.bytes(2, &content);
            assert_eq!(expected.len(), field_len(6) + field_len(len));
            for guess in [0, 200, 20_000, 3_000_000] {
                let mut writer = Writer::new();
                writer.bytes(1, b"before");
                let message = writer.open(2, guess);
                writer.raw(&content);
                writer.close(message);
                assert!(writer == expected, "{len} bytes, {guess} guessed");
            }
        }
    }

    #[test]
    fn number_takes_fewest_bytes_in_any_memory() {
        let naive = |mut number: u64| {
            let mut bytes = Vec::new();
            while number >= 0x80 {
                bytes.push(number as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
            bytes
        };
        let boundaries = (0..64).flat_map(|shift| [1 << shift, (1_u64 << shift) - 1, u64::MAX << shift]);
        for number in boundaries.chain([0x0123_4567_89ab_cdef, 0x00aa_aaaa_5555_5555]) {
            for spare in [0, 7, 8, 64] {
                let mut writer = Writer::new();
                writer.reserve_exact(spare);
                writer.number(number);
                assert_eq!(writer.as_slice(), naive(number), "{number} {spare}");
            }
            assert_eq!(varint_len(number), naive(number).len());
        }
    }

    #[test]
    fn short_text_is_copied_whole() {
        let text: Vec<u8> = (0..100).collect();
        for len in 0..text.len() {
            let mut writer = Writer::new();
            writer.raw(b"before");
            writer.short(&text[..len]);
            assert_eq!(writer.as_slice(), [b"before", &text[..len]].concat(), "{len}");
        }
    }

    #[test]
    fn key_value_length_is_exact() {
        let long = "x".repeat(200);
        let numbers = (0..64).flat_map(|shift| [1 << shift, (1_i64 << shift).wrapping_sub(1), -1 << shift]);
        let numbers = numbers.map(|number: i64| ("key", ValueRef::Long(number)));
        let texts = (0..130).map(|len| ("key", ValueRef::String(&long[..len])));
        let others = [
            ("", ValueRef::String("")),
            ("key", ValueRef::String(&long)),
            (&long, ValueRef::Long(-1)),
            ("key", ValueRef::Long(127)),
            ("key", ValueRef::Double(0.5)),
            ("key", ValueRef::Bool(false)),
            ("key", ValueRef::Bool(true)),
        ];
        for (key, value) in numbers.chain(texts).chain(others) {
            let attribute = KeyValue::new(key, value);
            let [mut writer, mut plain] = [Writer::new(), Writer::new()];
            writer.key_value(9, &attribute);
            assert_eq!(writer.len(), attribute.field_len(), "{key} {value}");
            plain.any_key_value(9, &attribute);
            assert_eq!(writer, plain, "{key} {value}");
        }
    }

    #[test]
    fn field_number_above_15_takes_two_tag_bytes() {
        let mut writer = Writer::new();
        writer.fixed32(16, 1);
        writer.bytes(16, b"a");
        assert_eq!(writer.as_slice(), b"\x85\x01\x01\x00\x00\x00\x82\x01\x01a");
    }
}
