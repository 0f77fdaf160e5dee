//! The start: names, the cursor, and the last segment of each log. No other segment is read.

use std::fs;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use flink_traces_api::RecordCounts;

use super::Notice;
use super::cursor::{self, CURSOR, Cursor};
use super::disk::{self, Appender, quarantine, quarantine_path};
use super::log::Log;
use super::record::{HEAD, Head};
use super::segment::{Class, HEADER, Segment};
use crate::files::open_to_read;

/// Returns both logs of a slot, the number of times that its cursor was written, the records that
/// were finalized before, and notices about damage.
pub(super) fn recover(directory: &Path, segment_size: u64) -> io::Result<([Log; 2], u64, RecordCounts, Vec<Notice>)> {
    let mut notices = Vec::new();
    let path = directory.join(CURSOR);
    let cursor = cursor::read_cursor(&path)?;
    let has_cursor = cursor.is_some();
    let is_damaged = !has_cursor && path.exists();
    if is_damaged {
        quarantine(&path)?;
    }
    let Cursor { writes, logs: known, is_damaged: is_old } = cursor.unwrap_or_default();
    let mut logs = [0, 1].map(|index| Log::new(Class::ALL[index], directory, segment_size, known[index].0));
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
    if is_damaged || (!has_cursor && logs.iter().any(|log| !log.segments.is_empty())) {
        notices.push(Notice::NoProgress);
    }
    let firsts = logs.each_ref().map(|log| log.segments.keys().next().copied());
    let [summary, detail] = &mut logs;
    let end = recover_end(summary, u64::MAX, &mut notices)?;
    let is_whole = has_cursor && !is_old && !end.is_damaged && summary.taken >= known[0].1;
    // Detail was acknowledged only after the summaries before it were on disk. These may be
    // finalized and gone, if the newest cursor is not known.
    let limit = if is_whole { summary.taken } else { u64::MAX };
    let end = recover_end(detail, limit, &mut notices)?;
    summary.taken = summary.taken.max(end.after);
    let mut found = RecordCounts::default();
    for ((log, first), (_, taken)) in logs.iter_mut().zip(firsts).zip(known) {
        if !has_cursor {
            // The counts of the past are gone with the cursor.
            log.progress.finalized = first.unwrap_or(0);
            log.progress.delivered = log.progress.finalized;
        }
        found += log.progress.counts();
        // What is missing between the cursor and the first segment counts as dropped from now on.
        let first = log.segments.keys().next().copied().unwrap_or(0);
        log.progress.finalized = log.progress.finalized.max(first);
        log.taken = log.taken.max(taken).max(log.progress.finalized);
        (log.written, log.next) = (log.taken, log.progress.finalized);
    }
    Ok((logs, writes, found, notices))
}

/// The end of a log.
#[derive(Default)]
struct End {
    /// The highest number that a chunk of the last segment depends on.
    after: u64,
    /// Set if something is damaged that may have been acknowledged.
    is_damaged: bool,
}

/// Sets the end of a log, and cuts off what was not stored whole or depends on chunks beyond
/// `limit`.
fn recover_end(log: &mut Log, limit: u64, notices: &mut Vec<Notice>) -> io::Result<End> {
    let mut result = End::default();
    while let Some((&first, &size)) = log.segments.last_key_value() {
        let path = log.path(first);
        let mut records = Vec::new();
        let (mut offset, mut number) = (HEADER, first);
        let segment = &mut Segment::open(&path, log.class)?;
        if let Some(segment) = segment {
            while let Some(head) = segment.head(offset)?.filter(|head| head.number == number && head.after <= limit) {
                records.push((offset, head));
                (offset, number) = (offset + head.size(), head.end());
            }
            // A loss of power may have left heads without their chunks.
            while let Some((offset, head)) = records.last()
                && (offset + head.size() > size || is_unwritten(&segment.message_bytes(*offset, head)?))
            {
                records.pop();
            }
        }
        let (end, number) = records.last().map_or((HEADER, first), |(offset, head)| (offset + head.size(), head.end()));
        if end < size {
            notices.push(Notice::Quarantined(log.class.file_name(first), size - end));
            if let Some(lost) = lost_end(&path, segment.is_some(), end, number)? {
                log.taken = log.taken.max(lost);
                result.is_damaged = true;
            }
        }
        if let Some((_, last)) = records.last() {
            if end < size {
                cut(&path, end)?;
                log.segments.insert(first, end);
            }
            log.taken = log.taken.max(last.end());
            result.after = records.iter().map(|(_, head)| head.after).max().unwrap_or(0);
            return Ok(result);
        }
        if size <= HEADER {
            disk::remove(&path)?
        } else {
            quarantine(&path)?
        };
        log.segments.remove(&first);
    }
    Ok(result)
}

/// Returns the number behind the chunks that are lost from offset `from` of a segment, or `None` if
/// they were never acknowledged. The first of them has this number.
fn lost_end(path: &Path, has_header: bool, from: u64, number: u64) -> io::Result<Option<u64>> {
    let mut segment = Segment::open_unchecked(path)?;
    if !has_header && segment.rest(0)?.iter().take(HEADER as usize).all(|byte| *byte == 0) {
        return Ok(None);
    }
    let rest = segment.rest(from)?;
    // A chunk has fewer records than bytes, so most numbers are impossible.
    let head_at = |at: usize| {
        let found = u64::from_le_bytes(*rest.get(at + 4..)?.first_chunk()?);
        let head = if (number..=number.saturating_add(at as u64)).contains(&found) {
            rest[at..].first_chunk().and_then(Head::from_bytes)
        } else {
            None
        };
        head.filter(|head| u64::from(head.records) <= head.size())
    };
    // A report whose record is incomplete was never acknowledged. A valid head was cut off because
    // its chunk is missing, or the summaries that it depends on.
    if rest.len() <= HEAD || is_unwritten(&rest) || (has_header && head_at(0).is_some()) {
        return Ok(None);
    }
    // A damaged head stands for one record at least. A file without a header may be anything.
    let mut end = if has_header { number + 1 } else { 0 };
    let mut at = 0;
    while at + HEAD <= rest.len() {
        match head_at(at).filter(|head| at as u64 + head.size() <= rest.len() as u64) {
            Some(head) => {
                end = end.max(head.end());
                at += head.size() as usize;
            }
            None => at += 1,
        }
    }
    Ok(Some(end))
}

/// Returns `true` if the bytes may be of a file that was extended, but not written.
fn is_unwritten(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0)
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
