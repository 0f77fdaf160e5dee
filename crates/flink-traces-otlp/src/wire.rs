//! Reading of the protobuf wire format, as far as OTLP needs it.

use flink_traces_api::proto::Writer;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// Appends a field that [`Fields`] returned to a message.
pub(crate) fn write_field(out: &mut Writer, field: u8, content: Content<'_>) {
    match content {
        Content::Number(value) => out.varint(field, value),
        Content::Fixed64(value) => out.fixed64(field, value),
        Content::Fixed32(value) => out.fixed32(field, value),
        Content::Bytes(bytes) => out.bytes(field, bytes),
    }
}

/// The content of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Number(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// An iterator of the fields of a message, which ends at the first damaged field.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// Returns `true` if the rest of the message can be read to its end.
    pub(crate) fn is_whole(&self) -> bool {
        let mut rest = self.clone();
        while !rest.0.is_empty() {
            if rest.next().is_none() {
                return false;
            }
        }
        true
    }

    /// Returns the last number of the field, as protobuf specifies. Returns 0 if there is none.
    pub(crate) fn number(message: &'a [u8], wanted: u64) -> u64 {
        let numbers = Self::of(message).filter_map(|(field, content)| match content {
            Content::Number(number) if field == wanted => Some(number),
            _ => None,
        });
        numbers.last().unwrap_or(0)
    }

    /// Returns the contents of all occurrences of the field.
    pub(crate) fn all(message: &'a [u8], wanted: u64) -> impl Iterator<Item = &'a [u8]> {
        Self::of(message).filter_map(move |(field, content)| match content {
            Content::Bytes(bytes) if field == wanted => Some(bytes),
            _ => None,
        })
    }

    /// Returns the last text of the field. Returns an empty text if there is none.
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

    proptest! {
        #[test]
        fn reading_garbage_terminates(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(Fields::of(&bytes).count() <= bytes.len());
        }

        #[test]
        fn written_fields_are_read_back(number: u64, bytes: Vec<u8>) {
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
