//! Protobuf's wire format, as much of it as OTLP needs.

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// How many bytes `number` takes as a varint: the count of its bits divided by seven, rounded up, which a multiplication does for all
/// counts up to 64.
#[inline]
pub(crate) fn varint_len(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    ((bits * 9 + 64) / 64) as usize
}

/// How many bytes a field of `len` bytes takes, with its length and its tag, which is one byte: its number is below 16.
pub(crate) fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Appends fields to a message.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

/// A message whose length is not written yet.
#[derive(Debug)]
pub(crate) struct Open {
    /// Where its content begins.
    start: usize,
    /// How many bytes are kept free for its length.
    width: usize,
}

impl Writer {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn varint(&mut self, field: u8, number: u64) {
        self.tag(field, VARINT);
        self.number(number);
    }

    pub(crate) fn fixed64(&mut self, field: u8, number: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn fixed32(&mut self, field: u8, number: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.begin(field, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Fields that are encoded already.
    pub(crate) fn raw(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// A field as it was read.
    pub(crate) fn field(&mut self, field: u8, content: Content<'_>) {
        match content {
            Content::Number(value) => self.varint(field, value),
            Content::Fixed64(value) => self.fixed64(field, value),
            Content::Fixed32(value) => self.fixed32(field, value),
            Content::Bytes(bytes) => self.bytes(field, bytes),
        }
    }

    /// Begins a message of exactly `len` bytes, which follow.
    pub(crate) fn begin(&mut self, field: u8, len: usize) {
        self.tag(field, BYTES);
        self.number(len as u64);
    }

    /// Begins a message of about `guess` bytes, which follow; [`close`](Self::close) writes its length. A wrong guess costs moving
    /// the content by some bytes.
    pub(crate) fn open(&mut self, field: u8, guess: usize) -> Open {
        self.tag(field, BYTES);
        let width = varint_len(guess as u64);
        self.0.resize(self.0.len() + width, 0);
        Open { start: self.0.len(), width }
    }

    /// Ends the message that [`open`](Self::open) began.
    pub(crate) fn close(&mut self, open: Open) {
        let end = self.0.len();
        let len = end - open.start;
        let width = varint_len(len as u64);
        let start = open.start - open.width + width;
        self.0.resize(end.max(start + len), 0);
        self.0.copy_within(open.start..end, start);
        self.0.truncate(start + len);
        let mut rest = len;
        for (place, byte) in self.0[start - width..start].iter_mut().enumerate() {
            let more = if place + 1 < width { 0x80 } else { 0 };
            *byte = (rest & 0x7f) as u8 | more;
            rest >>= 7;
        }
    }

    fn tag(&mut self, field: u8, kind: u8) {
        self.number(u64::from(field) << 3 | u64::from(kind));
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

/// A field's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Number(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message, in order, up to the first that is damaged.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The last number of that field, as protobuf has it; 0 if there is none.
    pub(crate) fn number(message: &'a [u8], wanted: u64) -> u64 {
        let numbers = Self::of(message).filter_map(|(field, content)| match content {
            Content::Number(number) if field == wanted => Some(number),
            _ => None,
        });
        numbers.last().unwrap_or(0)
    }

    /// The contents of that field, each time that it occurs.
    pub(crate) fn all(message: &'a [u8], wanted: u64) -> impl Iterator<Item = &'a [u8]> {
        Self::of(message).filter_map(move |(field, content)| match content {
            Content::Bytes(bytes) if field == wanted => Some(bytes),
            _ => None,
        })
    }

    /// The text of that field; empty if there is none.
    pub(crate) fn text(message: &'a [u8], wanted: u64) -> String {
        Self::all(message, wanted).last().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    }

    fn take_varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Content<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.take_varint()?;
        let content = match (tag & 7) as u8 {
            VARINT => Content::Number(self.take_varint()?),
            FIXED64 => Content::Fixed64(u64::from_le_bytes(*self.take(8)?.first_chunk()?)),
            BYTES => {
                let len = usize::try_from(self.take_varint()?).ok()?;
                Content::Bytes(self.take(len)?)
            }
            FIXED32 => Content::Fixed32(u32::from_le_bytes(*self.take(4)?.first_chunk()?)),
            _ => return None,
        };
        Some((tag >> 3, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_is_written_in_the_fewest_bytes_whatever_was_guessed() {
        for len in [0, 1, 126, 127, 128, 129, 16_383, 16_384, 16_385, 2_097_151, 2_097_152] {
            let content = vec![7; len];
            let mut expected = Writer::default();
            expected.bytes(1, b"before");
            expected.bytes(2, &content);
            assert_eq!(expected.len(), field_len(6) + field_len(len));
            for guess in [0, 200, 20_000, 3_000_000] {
                let mut writer = Writer::default();
                writer.bytes(1, b"before");
                let open = writer.open(2, guess);
                writer.0.extend(&content);
                writer.close(open);
                assert!(writer.as_slice() == expected.as_slice(), "{len} bytes, {guess} guessed");
            }
        }
    }

    proptest! {
        #[test]
        fn reading_garbage_ends(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(Fields::of(&bytes).count() <= bytes.len());
        }

        #[test]
        fn what_was_written_is_read(number: u64, bytes: Vec<u8>) {
            let mut writer = Writer::default();
            writer.varint(3, number);
            writer.fixed64(4, number);
            writer.fixed32(5, number as u32);
            writer.bytes(15, &bytes);
            let fields: Vec<_> = Fields::of(writer.as_slice()).collect();
            let expected = [
                (3, Content::Number(number)),
                (4, Content::Fixed64(number)),
                (5, Content::Fixed32(number as u32)),
                (15, Content::Bytes(&bytes)),
            ];
            prop_assert_eq!(fields, expected);
        }
    }
}
