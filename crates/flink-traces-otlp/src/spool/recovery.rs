//! The start: names, the cursor, and the last segment of each log. No other segment is read.

use std::fs;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use super::cursor::{self, CURSOR, Checked};
use super::disk::{self, Appender};
use super::log::Log;
use super::segment::{Class, HEADER, Segment};
use super::{Notice, quarantine, quarantine_path};
use crate::files::open_to_read;

/// Returns both logs of a slot, and notices about damage.
pub(super) fn recover(directory: &Path, segment_size: u64) -> io::Result<([Log; 2], Vec<Notice>)> {
    let mut notices = Vec::new();
    let path = directory.join(CURSOR);
    let content = cursor::read(&path)?;
    let progress = cursor::read_cursor(&content);
    if progress.is_none() && content != Checked::Missing {
        quarantine(&path)?;
    }
    let known = progress.unwrap_or_default();
    let mut logs = [0, 1].map(|index| Log::new(Class::ALL[index], directory, segment_size, known[index]));
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        // Links and directories are not ours.
        if let Some((class, first)) = name.to_str().and_then(Class::parse)
            && entry.file_type()?.is_file()
        {
            logs[usize::from(class == Class::Detail)].segments.insert(first, entry.metadata()?.len());
        }
    }
    let is_new = content == Checked::Missing && logs.iter().all(|log| log.segments.is_empty());
    if progress.is_none() && !is_new {
        notices.push(Notice::NoProgress);
    }
    let [summary, detail] = &mut logs;
    recover_end(summary, u64::MAX, &mut notices)?;
    // Detail was acknowledged only after the summaries before it were on disk.
    let limit = if progress.is_some() { summary.taken } else { u64::MAX };
    let after = recover_end(detail, limit, &mut notices)?;
    summary.taken = summary.taken.max(after);
    for log in &mut logs {
        recover_progress(log, progress.is_some());
    }
    Ok((logs, notices))
}

/// Sets the end of a log, and cuts off what was not stored whole or depends on chunks beyond
/// `limit`. Returns the highest number that a chunk of the last segment depends on.
fn recover_end(log: &mut Log, limit: u64, notices: &mut Vec<Notice>) -> io::Result<u64> {
    while let Some((&first, &size)) = log.segments.last_key_value() {
        let path = log.path(first);
        let mut records = Vec::new();
        if let Some(mut segment) = Segment::open(&path, log.class)? {
            let (mut offset, mut number) = (HEADER, first);
            while let Some(head) = segment.head(offset)?.filter(|head| head.number == number && head.after <= limit) {
                records.push((offset, head));
                (offset, number) = (offset + head.size(), head.end());
            }
            // A loss of power may have left heads without their chunks.
            while let Some((offset, head)) = records.last()
                && segment.message(*offset, head)?.is_none()
            {
                records.pop();
            }
        }
        let end = records.last().map_or(HEADER, |(offset, head)| offset + head.size());
        if end < size {
            notices.push(Notice::Quarantined(log.class.file_name(first), size - end));
        }
        if let Some((_, last)) = records.last() {
            if end < size {
                cut(&path, end)?;
                log.segments.insert(first, end);
            }
            log.taken = log.taken.max(last.end());
            return Ok(records.iter().map(|(_, head)| head.after).max().unwrap_or(0));
        }
        if size <= HEADER {
            disk::remove(&path)?
        } else {
            quarantine(&path)?
        };
        log.segments.remove(&first);
    }
    Ok(0)
}

/// Sets the end of the finalized chunks.
fn recover_progress(log: &mut Log, has_cursor: bool) {
    let first = log.segments.keys().next().copied().unwrap_or(log.taken);
    log.progress.finalized = log.progress.finalized.max(first);
    if !has_cursor {
        // The counts of the past are gone with the cursor.
        log.progress.delivered = log.progress.finalized;
    }
    log.taken = log.taken.max(log.progress.finalized);
    (log.written, log.next) = (log.taken, log.progress.finalized);
}

/// Cuts a segment, and copies the rest to quarantine.
fn cut(path: &Path, end: u64) -> io::Result<()> {
    let mut file = open_to_read(path)?;
    file.seek(SeekFrom::Start(end))?;
    let mut rest = Vec::new();
    io::Read::read_to_end(&mut file, &mut rest)?;
    let copy = Appender::open(&quarantine_path(path)?)?;
    copy.write(&rest)?;
    copy.sync()?;
    disk::truncate(path, end)
}
