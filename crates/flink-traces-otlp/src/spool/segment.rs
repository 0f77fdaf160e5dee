//! A segment: a file with consecutive chunks of one log, named by the number of the first.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;

use super::FORMAT;
use super::record::{HEAD, Head};
use crate::files::open_to_read;

const MAGIC: &[u8; 8] = b"ftspool\n";
/// The length of a segment's header.
pub(super) const HEADER: u64 = 16;

/// The kind of chunks that a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Chunks with a root, an event, or a span that may have children.
    Summary,
    /// Chunks with nothing but childless child spans.
    Detail,
}

impl Class {
    pub(super) const ALL: [Self; 2] = [Self::Summary, Self::Detail];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Detail => "detail",
        }
    }

    /// Returns the name of the segment whose first chunk has this number.
    pub(super) fn file_name(self, first: u64) -> String {
        format!("{}-{first:020}.seg", self.name())
    }

    /// Returns the class and the first number of a segment of that name.
    pub(super) fn parse(name: &str) -> Option<(Self, u64)> {
        let (class, first) = name.strip_suffix(".seg")?.split_once('-')?;
        let class = Self::ALL.into_iter().find(|known| known.name() == class)?;
        let first = first.parse().ok()?;
        (class.file_name(first) == name).then_some((class, first))
    }

    /// Returns the first bytes of a segment: a name, the format's version, the class.
    pub(super) fn header(self) -> [u8; HEADER as usize] {
        let mut header = [0; HEADER as usize];
        header[..8].copy_from_slice(MAGIC);
        header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        header[10] = u8::from(self == Self::Detail);
        header
    }
}

/// A segment that is being read.
pub(super) struct Segment(File);

impl Segment {
    /// Opens a file that may be anything.
    pub(super) fn open_unchecked(path: &Path) -> io::Result<Self> {
        open_to_read(path).map(Self)
    }

    /// Returns `None` if the file is not a segment of this class and version.
    pub(super) fn open(path: &Path, class: Class) -> io::Result<Option<Self>> {
        let mut segment = Self(open_to_read(path)?);
        let header = segment.read(0, HEADER as usize)?;
        Ok((header == class.header()).then_some(segment))
    }

    /// Reads the head at `offset`. Returns `None` at the end, and if it is damaged.
    pub(super) fn head(&mut self, offset: u64) -> io::Result<Option<Head>> {
        let bytes = self.read(offset, HEAD)?;
        Ok(bytes.first_chunk().and_then(Head::from_bytes))
    }

    /// Reads the chunk of the record at `offset`. Returns `None` if it is damaged.
    pub(super) fn message(&mut self, offset: u64, head: &Head) -> io::Result<Option<Bytes>> {
        let message = self.message_bytes(offset, head)?;
        Ok(head.matches(&message).then(|| message.into()))
    }

    /// Reads the chunk of the record at `offset`, damaged or not.
    pub(super) fn message_bytes(&mut self, offset: u64, head: &Head) -> io::Result<Vec<u8>> {
        self.read(offset + HEAD as u64, head.length as usize)
    }

    /// Returns the bytes from `offset` to the end.
    pub(super) fn rest(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        self.read(offset, usize::MAX)
    }

    /// Reads up to `length` bytes.
    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.0.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        (&mut self.0).take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
