//! A record: a head of fixed length, and a chunk.
//!
//! ```text
//! length u32 | number u64 | after u64 | records u32 | sum of the chunk u32 | sum of the head u32
//! chunk
//! ```
//! Numbers are little-endian, and sums are CRC-32C. The head has its own sum, so a damaged chunk
//! costs nothing but itself.

use crate::chunk::Chunk;

/// The length of a head.
pub(super) const HEAD: usize = 32;

/// The head of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The length of the chunk.
    pub(super) length: u32,
    /// The number of spans or events that the log took before this chunk.
    pub(super) number: u64,
    /// The end of the summary chunk that has to be finalized before this one is sent.
    pub(super) after: u64,
    /// The number of spans or events in the chunk.
    pub(super) records: u32,
    sum: u32,
}

impl Head {
    /// Returns the head of a chunk, which is shorter than 4 GiB.
    pub(super) fn new(number: u64, after: u64, chunk: &Chunk) -> Self {
        let (length, records) = (chunk.message.len() as u32, chunk.records as u32);
        Self { length, number, after, records, sum: crc32c::crc32c(&chunk.message) }
    }

    pub(super) fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.after.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.records.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.sum.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Returns `None` if the bytes are not a head.
    pub(super) fn from_bytes(bytes: &[u8; HEAD]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes[at..].first_chunk()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes[at..].first_chunk()?));
        if u32_at(28)? != crc32c::crc32c(&bytes[..28]) {
            return None;
        }
        let head =
            Self { length: u32_at(0)?, number: u64_at(4)?, after: u64_at(12)?, records: u32_at(20)?, sum: u32_at(24)? };
        // A number that overflows was never written, whatever the sum says.
        head.number.checked_add(head.records.into()).filter(|_| head.records > 0)?;
        Some(head)
    }

    /// Returns the number of the next chunk.
    pub(super) fn end(&self) -> u64 {
        self.number + u64::from(self.records)
    }

    /// Returns the number of bytes that the record takes.
    pub(super) fn size(&self) -> u64 {
        HEAD as u64 + u64::from(self.length)
    }

    /// Returns `true` if the chunk is the one that was stored.
    pub(super) fn matches(&self, message: &[u8]) -> bool {
        message.len() == self.length as usize && crc32c::crc32c(message) == self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: a head without records, or whose records have no numbers, is none, although its
    /// sum is right. A reader would not get beyond it.
    #[test]
    fn head_without_progress_is_none() {
        for (number, records, is_head) in [(1, 1, true), (1, 0, false), (u64::MAX - 1, 1, true), (u64::MAX, 1, false)] {
            let head = Head { length: 3, number, after: 0, records, sum: 0 };
            assert_eq!(Head::from_bytes(&head.to_bytes()).is_some(), is_head, "{number} {records}");
        }
    }
}
