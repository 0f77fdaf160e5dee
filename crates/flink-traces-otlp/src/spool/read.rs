//! Reads of segments, planned and ended under the spool's lock, and done without it.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use super::disk;
use super::record::Head;
use super::segment::{Class, Segment};
use super::{Spool, Ticket};
use crate::chunk::Chunk;
use crate::files::is_passing;

/// A way to a spool, such as a lock.
pub(super) trait Access {
    fn with<R>(&mut self, work: impl FnOnce(&mut Spool) -> R) -> R;
}

/// Takes the next chunk of a spool, which is not accessed while a file is read.
pub(super) fn next_chunk(spool: &mut impl Access) -> Option<(Ticket, Chunk)> {
    for class in Class::ALL {
        // What cannot be read now may be later.
        while let Some(read) = spool.with(|spool| spool.plan_read(class))
            && let Ok(found) = read.run()
        {
            let chunk = spool.with(|spool| spool.end_read(read, found));
            if chunk.is_some() {
                return chunk;
            }
        }
    }
    None
}

/// A read of one head or one chunk of a log.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) path: PathBuf,
    pub(super) class: Class,
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) wanted: Wanted,
    /// `true` if the segment is in quarantine already.
    pub(super) is_damaged: bool,
}

/// The part of a segment that is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// The head of the chunk with this number, at the offset or behind it.
    Head(u64),
    /// The chunk with this head.
    Chunk(Head),
}

/// The result of a read.
#[derive(Debug)]
pub(super) enum Found {
    /// A head and its offset.
    Head(u64, Head),
    Chunk(Bytes),
    /// Damage at this offset.
    Damage(u64),
}

impl Read {
    /// Reads. The link of a damaged segment in quarantine stays when the segment is removed.
    ///
    /// # Errors
    ///
    /// Returns an error if the file may be readable later.
    pub(super) fn run(&self) -> io::Result<Found> {
        let found = match self.find() {
            Err(error) if is_passing(&error) => return Err(error),
            found => found.unwrap_or(Found::Damage(self.offset)),
        };
        if let (Found::Damage(_), false) = (&found, self.is_damaged) {
            let _ = disk::quarantine_path(&self.path).and_then(|kept| disk::link(&self.path, &kept));
        }
        Ok(found)
    }

    fn find(&self) -> io::Result<Found> {
        #[cfg(test)]
        disk::note(disk::Op::Read(self.path.clone()))?;
        let Some(mut segment) = Segment::open(&self.path, self.class)? else { return Ok(Found::Damage(self.offset)) };
        match self.wanted {
            Wanted::Chunk(head) => {
                let message = segment.message(self.offset, &head)?;
                Ok(message.map_or(Found::Damage(self.offset), Found::Chunk))
            }
            Wanted::Head(number) => {
                let mut offset = self.offset;
                // Chunks before this one may have been finalized before the start.
                while let Some(head) = segment.head(offset)? {
                    if head.end() > number {
                        let is_wanted = head.number == number;
                        return Ok(if is_wanted { Found::Head(offset, head) } else { Found::Damage(offset) });
                    }
                    offset += head.size();
                }
                Ok(Found::Damage(offset))
            }
        }
    }
}
