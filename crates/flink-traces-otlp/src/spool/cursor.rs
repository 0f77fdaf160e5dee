//! Small files that are replaced as a whole: JSON on one line, its CRC-32C on the next.
//!
//! The cursor is one of them. It says for both logs which chunks are finalized.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::log::Log;
use super::segment::Class;
use super::{FORMAT, disk};
use crate::delivery::Counts;

/// The name of the cursor in a slot.
pub(super) const CURSOR: &str = "cursor";

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
pub(super) fn write(path: &Path, mut value: Value) -> io::Result<()> {
    value["version"] = FORMAT.into();
    let line = value.to_string();
    disk::replace(path, format!("{line}\n{:08x}\n", crc32c::crc32c(line.as_bytes())).as_bytes())
}

/// Reads a checked file. A newer one may have its sum elsewhere, so the version counts first.
pub(super) fn read(path: &Path) -> io::Result<Checked> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checked::Missing),
        bytes => bytes?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let (line, sum) = text.split_once('\n').unwrap_or((&text, ""));
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    let is_whole = sum.trim_end() == format!("{:08x}", crc32c::crc32c(line.as_bytes()));
    Ok(match value["version"].as_u64() {
        Some(version) if version > u64::from(FORMAT) => Checked::Newer,
        Some(_) if is_whole => Checked::Valid(value),
        _ => Checked::Damaged,
    })
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
    pub(super) fn count(&mut self, counts: Counts) {
        self.delivered += counts.delivered;
        self.rejected += counts.rejected;
    }

    pub(super) fn counts(self) -> Counts {
        let Self { finalized, delivered, rejected } = self;
        Counts { delivered, rejected, dropped: finalized.saturating_sub(delivered + rejected) }
    }

    fn from_json(value: &Value) -> Option<Self> {
        let [finalized, delivered, rejected] = ["finalized", "delivered", "rejected"].map(|key| value[key].as_u64());
        Some(Self { finalized: finalized?, delivered: delivered?, rejected: rejected? })
    }
}

pub(super) fn write_cursor(directory: &Path, logs: &[Log; 2]) -> io::Result<()> {
    let [summary, detail] = logs.each_ref().map(|log| {
        let Progress { finalized, delivered, rejected } = log.progress;
        json!({ "taken": log.taken, "finalized": finalized, "delivered": delivered, "rejected": rejected })
    });
    write(&directory.join(CURSOR), json!({ "summary": summary, "detail": detail }))
}

/// Returns the progress of both logs, and the records that each had taken at least. `None` if
/// there is no valid cursor.
pub(super) fn read_cursor(content: &Checked) -> Option<[(Progress, u64); 2]> {
    let Checked::Valid(value) = content else { return None };
    let [summary, detail] = Class::ALL.map(|class| {
        let progress = Progress::from_json(&value[class.name()])?;
        let taken = value[class.name()]["taken"].as_u64().unwrap_or(0);
        Some((progress, taken.max(progress.finalized)))
    });
    Some([summary?, detail?])
}
