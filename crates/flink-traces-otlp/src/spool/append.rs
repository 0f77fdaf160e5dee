//! The chunks of one report on their way to the disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::disk::{self, Appender};
use super::log::Log;
use super::segment::Class;

/// The segments that one report was written to. They count as stored once they are synchronized.
#[derive(Debug, Default)]
pub(crate) struct Append {
    /// The files to synchronize.
    files: Vec<Arc<Appender>>,
    /// The size of each segment before. `None` if it was created.
    before: BTreeMap<(bool, u64), Option<u64>>,
}

impl Append {
    /// Waits until the chunks are on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync())
    }

    /// Notes that a segment is about to be created.
    pub(super) fn create(&mut self, class: Class, first: u64) {
        self.before.insert((class == Class::Detail, first), None);
    }

    /// Notes that a segment is about to be written to.
    pub(super) fn touch(&mut self, class: Class, first: u64, size: u64, file: &Arc<Appender>) {
        self.before.entry((class == Class::Detail, first)).or_insert(Some(size));
        if !self.files.iter().any(|known| Arc::ptr_eq(known, file)) {
            self.files.push(file.clone());
        }
    }

    /// Takes back all that was written. A file that could not be written is never written again.
    pub(super) fn undo(self, logs: &mut [Log; 2], undo: &mut Undo) {
        for log in logs.iter_mut() {
            log.tail = None;
            log.written = log.taken;
        }
        for ((is_detail, first), size) in self.before {
            let log = &mut logs[usize::from(is_detail)];
            match size {
                Some(size) => drop(log.segments.insert(first, size)),
                None => drop(log.segments.remove(&first)),
            }
            undo.0.push((log.path(first), size));
        }
        // If this fails, the next report repeats it.
        let _ = undo.run();
    }
}

/// The files that still hold something that was not stored, with the sizes that they should have.
#[derive(Debug, Default)]
pub(super) struct Undo(Vec<(std::path::PathBuf, Option<u64>)>);

impl Undo {
    /// Cuts and removes them.
    pub(super) fn run(&mut self) -> io::Result<()> {
        while let Some((path, size)) = self.0.last() {
            match size {
                None => disk::remove(path)?,
                Some(size) => match disk::truncate(path, *size) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                },
            }
            self.0.pop();
        }
        Ok(())
    }
}
