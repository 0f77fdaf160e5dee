//! A reader of the wire format.

use super::{BYTES, FIXED32, FIXED64, VARINT, Writer};

/// The content of a field.
// Exhaustive: the wire format has these four types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// An integer of variable length.
    Number(u64),
    /// Eight bytes, such as a `double` or a `fixed64`.
    Fixed64(u64),
    /// Bytes, text or an encoded message.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

/// An iterator of the fields of a message, which ends at the first damaged field.
///
/// An item is the number of a field and its content. Nested messages are [`Content::Bytes`], so a
/// message is read without recursion.
///
/// # Examples
///
/// ```
/// use flink_traces_api::proto::{Content, Fields};
///
/// let message = b"\x08\xac\x02\x12\x01k";
/// let fields: Vec<_> = Fields::new(message).collect();
/// assert_eq!(fields, [(1, Content::Number(300)), (2, Content::Bytes(b"k"))]);
/// ```
#[derive(Debug, Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Creates an iterator of the fields of `message`.
    pub fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// Returns `true` if the rest of the message can be read to its end.
    ///
    /// Nested messages are not read.
    pub fn is_whole(&self) -> bool {
        let mut rest = self.clone();
        while !rest.0.is_empty() {
            if rest.next().is_none() {
                return false;
            }
        }
        true
    }

    /// Returns the last number of the field, as protobuf specifies. Returns 0 if there is none.
    pub fn number(message: &'a [u8], wanted: u64) -> u64 {
        let numbers = Self::new(message).filter_map(|(field, content)| match content {
            Content::Number(number) if field == wanted => Some(number),
            _ => None,
        });
        numbers.last().unwrap_or(0)
    }

    /// Returns the contents of all occurrences of the field that are bytes.
    pub fn all(message: &'a [u8], wanted: u64) -> impl Iterator<Item = &'a [u8]> {
        Self::new(message).filter_map(move |(field, content)| match content {
            Content::Bytes(bytes) if field == wanted => Some(bytes),
            _ => None,
        })
    }

    /// Returns the last text of the field. Returns an empty text if there is none.
    pub fn text(message: &'a [u8], wanted: u64) -> String {
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

impl Writer {
    /// Appends a field that [`Fields`] returned.
    pub fn content(&mut self, field: u8, content: Content<'_>) {
        match content {
            Content::Number(value) => self.varint(field, value),
            Content::Fixed64(value) => self.fixed64(field, value),
            Content::Fixed32(value) => self.fixed32(field, value),
            Content::Bytes(bytes) => self.bytes(field, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_fields_are_read_back() {
        let numbers = (0..64).flat_map(|shift| [1 << shift, (1_u64 << shift) - 1, u64::MAX << shift]);
        for number in numbers {
            let bytes = vec![7; (number % 300) as usize];
            let expected = [
                (3, Content::Number(number)),
                (4, Content::Fixed64(number)),
                (5, Content::Fixed32(number as u32)),
                (15, Content::Bytes(&bytes)),
            ];
            let mut writer = Writer::new();
            expected.iter().for_each(|(field, content)| writer.content(*field as u8, *content));
            assert_eq!(Fields::new(writer.as_slice()).collect::<Vec<_>>(), expected);
            assert!(Fields::new(writer.as_slice()).is_whole());
        }
    }

    #[test]
    fn damaged_message_ends_at_the_damage() {
        let mut message = Writer::new();
        message.varint(1, 300);
        message.bytes(2, b"text");
        let whole = message.as_slice();
        for end in 0..whole.len() {
            let fields = Fields::new(&whole[..end]);
            assert_eq!((fields.is_whole(), fields.count()), (matches!(end, 0 | 3), usize::from(end >= 3)), "{end}");
        }
        for hostile in [&b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..], b"\x0b", b"\x08\xff", &[0xff; 20]] {
            assert_eq!((Fields::new(hostile).is_whole(), Fields::new(hostile).count()), (false, 0));
        }
    }
}
