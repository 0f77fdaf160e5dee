//! Small files with a checksum: JSON on one line, its CRC-32C on the next.
//!
//! The manifest of a slot is replaced as a whole. The cursor says for both logs which chunks are
//! finalized. It has two blocks, which are overwritten in turn, so that a torn write costs only the
//! last step, and a full disk nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flink_traces_api::RecordCounts;
use serde_json::{Value, json};

use super::segment::Class;
use super::{FORMAT, disk};

/// The name of the cursor in a slot.
pub(super) const CURSOR: &str = "cursor";
/// The size of a block of the cursor. File systems write no less at once.
pub(super) const BLOCK: usize = 4096;

/// The content of a checked file.
#[derive(Debug, PartialEq)]
pub(super) enum Checked {
    Valid(Value),
    /// A newer program wrote it.
    Newer,
    Damaged,
    Missing,
}

/// Replaces a checked file. The value is an object; it gets the format's version.
pub(super) fn write(path: &Path, value: Value) -> io::Result<()> {
    disk::replace(path, to_text(value).as_bytes())
}

fn to_text(mut value: Value) -> String {
    value["version"] = FORMAT.into();
    let line = value.to_string();
    format!("{line}\n{:08x}\n", crc32c::crc32c(line.as_bytes()))
}

/// Reads a checked file.
pub(super) fn read(path: &Path) -> io::Result<Checked> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Checked::Missing),
        bytes => Ok(parse(&bytes?)),
    }
}

/// A newer file may have its sum elsewhere, so the version counts first.
fn parse(bytes: &[u8]) -> Checked {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let [line, sum] = [lines.next(), lines.next()].map(Option::unwrap_or_default);
    let value: Value = serde_json::from_slice(line).unwrap_or_default();
    let is_whole = sum == format!("{:08x}", crc32c::crc32c(line)).as_bytes();
    match value["version"].as_u64() {
        Some(version) if version > u64::from(FORMAT) => Checked::Newer,
        Some(_) if is_whole => Checked::Valid(value),
        _ => Checked::Damaged,
    }
}

/// The progress of one log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The end of the finalized chunks.
    pub(super) finalized: u64,
    /// The records of these that were delivered and rejected. The others were dropped.
    pub(super) delivered: u64,
    pub(super) rejected: u64,
}

impl Progress {
    pub(super) fn count(&mut self, counts: RecordCounts) {
        self.delivered += counts.delivered;
        self.rejected += counts.rejected;
    }

    pub(super) fn counts(self) -> RecordCounts {
        let Self { finalized, delivered, rejected } = self;
        RecordCounts { delivered, rejected, dropped: finalized.saturating_sub(delivered + rejected) }
    }

    fn from_json(value: &Value) -> Option<Self> {
        let [finalized, delivered, rejected] = ["finalized", "delivered", "rejected"].map(|key| value[key].as_u64());
        Some(Self { finalized: finalized?, delivered: delivered?, rejected: rejected? })
    }
}

/// A cursor that is about to be written.
#[derive(Debug)]
pub(super) struct Snapshot {
    path: PathBuf,
    /// The number of this write.
    pub(super) number: u64,
    block: Vec<u8>,
    /// For each log, the end of the finalized chunks, and the number of those that no earlier
    /// cursor has.
    pub(super) covered: [(u64, usize); 2],
}

impl Snapshot {
    /// Returns the cursor of both logs: for each, its progress, the number of records that it took,
    /// and the number of finalized chunks that no earlier cursor has.
    pub(super) fn new(directory: &Path, number: u64, logs: [(Progress, u64, usize); 2]) -> Self {
        let [summary, detail] = logs.map(|(Progress { finalized, delivered, rejected }, taken, _)| {
            json!({ "taken": taken, "finalized": finalized, "delivered": delivered, "rejected": rejected })
        });
        let text = to_text(json!({ "writes": number, "summary": summary, "detail": detail }));
        let mut block = vec![b' '; BLOCK];
        block[..text.len()].copy_from_slice(text.as_bytes());
        block[BLOCK - 1] = b'\n';
        let covered = logs.map(|(progress, _, unpersisted)| (progress.finalized, unpersisted));
        Self { path: directory.join(CURSOR), number, block, covered }
    }

    /// Overwrites the older block, and waits until that is on disk.
    pub(super) fn write(&self) -> io::Result<()> {
        if self.path.exists() {
            let offset = self.number % 2 * BLOCK as u64;
            disk::overwrite(&self.path, offset, &self.block)
        } else {
            disk::replace(&self.path, &self.block.repeat(2))
        }
    }
}

/// The content of a cursor.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    pub(super) writes: u64,
    /// For each log, its progress, and the number of records that it had taken at least.
    pub(super) logs: [(Progress, u64); 2],
    /// Set if a block is damaged, which may have been the newer one.
    pub(super) is_damaged: bool,
}

/// Reads the cursor of a slot. Returns `None` if there is no valid one.
pub(super) fn read_cursor(path: &Path) -> io::Result<Option<Cursor>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let blocks: Vec<_> = bytes.chunks(BLOCK).take(2).map(|block| Cursor::from_block(&parse(block))).collect();
    let is_damaged = blocks.len() < 2 || blocks.iter().any(Option::is_none);
    let newest = blocks.into_iter().flatten().max_by_key(|cursor| cursor.writes);
    Ok(newest.map(|cursor| Cursor { is_damaged, ..cursor }))
}

impl Cursor {
    fn from_block(content: &Checked) -> Option<Self> {
        let Checked::Valid(value) = content else { return None };
        let [summary, detail] = Class::ALL.map(|class| {
            let progress = Progress::from_json(&value[class.name()])?;
            let taken = value[class.name()]["taken"].as_u64().unwrap_or(0);
            Some((progress, taken.max(progress.finalized)))
        });
        Some(Self { writes: value["writes"].as_u64()?, logs: [summary?, detail?], is_damaged: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: a file that cannot be read is an error, and not one that is missing. Its slot
    /// may be another endpoint's.
    #[test]
    fn unreadable_file_is_not_missing() {
        let place = tempfile::tempdir().unwrap();
        let missing = place.path().join("missing");
        assert_eq!(read(&missing).unwrap(), Checked::Missing);
        assert!(read_cursor(&missing).unwrap().is_none());
        assert!(read(place.path()).is_err());
        assert!(read_cursor(place.path()).is_err());
    }

    /// Guarantees: a cursor that has lost a block is damaged. That may have been the newer one.
    #[test]
    fn cursor_of_one_block_is_damaged() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(CURSOR);
        let progress = Progress { finalized: 3, delivered: 2, rejected: 1 };
        Snapshot::new(place.path(), 5, [(progress, 4, 0), (Progress::default(), 0, 0)]).write().unwrap();
        for (length, is_damaged) in [(2 * BLOCK, false), (BLOCK, true)] {
            fs::File::options().write(true).open(&path).unwrap().set_len(length as u64).unwrap();
            let cursor = read_cursor(&path).unwrap().unwrap();
            assert_eq!((cursor.writes, cursor.logs[0], cursor.is_damaged), (5, (progress, 4), is_damaged));
        }
    }
}
