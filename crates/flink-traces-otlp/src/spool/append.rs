//! The chunks of one report on their way to the disk.

use std::io;
use std::mem;
use std::path::PathBuf;

use bytes::Bytes;

use super::disk::{self, Appender, remove_all};

/// The changes of one report on disk, planned under the spool's lock and written without it.
#[derive(Debug, Default)]
pub(crate) struct Append {
    /// The segments to remove first, to make room.
    pub(super) evicted: Vec<PathBuf>,
    /// The files that still hold something that was not stored, with the sizes that they should
    /// have. `None` if they should not exist.
    pub(super) undo: Vec<(PathBuf, Option<u64>)>,
    /// The additions to the segments of each log.
    pub(super) parts: [Vec<Part>; 2],
}

/// The records to append to one segment.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) first: u64,
    pub(super) path: PathBuf,
    /// The open file. `None` before a segment is created.
    pub(super) file: Option<Appender>,
    /// The size of the segment before. `None` before it is created.
    pub(super) before: Option<u64>,
    pub(super) size: u64,
    pub(super) content: Vec<Bytes>,
}

impl Append {
    /// Writes the chunks and waits until they are on disk. If that fails, takes back all of it.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        remove_all(&mem::take(&mut self.evicted));
        self.run_undo()?;
        let mut parts: Vec<_> = self.parts.iter_mut().flatten().filter(|part| !part.content.is_empty()).collect();
        let written = parts.iter_mut().try_for_each(|part| part.write());
        let written = written.and_then(|()| parts.iter().try_for_each(|part| part.sync()));
        if written.is_err() {
            self.undo = parts.iter().map(|part| (part.path.clone(), part.before)).collect();
            // If this fails, the next report repeats it.
            let _ = self.run_undo();
        }
        written
    }

    fn run_undo(&mut self) -> io::Result<()> {
        while let Some((path, size)) = self.undo.last() {
            match size {
                None => disk::remove(path)?,
                Some(size) => match disk::truncate(path, *size) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                },
            }
            self.undo.pop();
        }
        Ok(())
    }
}

impl Part {
    fn write(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(Appender::open(&self.path)?),
        };
        self.content.iter().try_for_each(|bytes| file.write(bytes))
    }

    /// Waits until the segment is on disk, and its name.
    fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), Appender::sync)?;
        match (self.before, self.path.parent()) {
            (None, Some(directory)) => disk::sync_directory(directory),
            _ => Ok(()),
        }
    }
}
