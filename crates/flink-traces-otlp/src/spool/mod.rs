//! Chunks on disk, so that neither an outage nor a crash loses what a reporter stored.
//!
//! # Constraints
//!
//! - `report` returns `Ok` once its chunks are on disk. From then on they are delivered, rejected
//!   or dropped, and counted.
//! - A request starts only after each earlier request that holds an ancestor of its spans was
//!   answered or dropped. A chunk that was rejected, dropped or cannot be read withholds nothing.
//! - A start takes milliseconds at any size. It fails only if the directory cannot be used.
//! - A stored chunk takes no memory.
//!
//! # On disk
//!
//! ```text
//! <signal>-<name>/<n>/lock                        held by the process that uses the slot
//! <signal>-<name>/<n>/slot.json                   the endpoint and the protocol it is for
//! <signal>-<name>/<n>/cursor                      the end of the finalized chunks of both logs
//! <signal>-<name>/<n>/summary-<number>.seg        chunks that others may depend on
//! <signal>-<name>/<n>/detail-<number>.seg         chunks of childless child spans
//! <signal>-<name>/quarantine/                     unreadable parts of segments
//! <signal>-<name>/dead-letter/                    chunks that the collector rejected
//! ```
//!
//! Each process uses a [slot](slots) of its own. A slot holds two [logs](log::Log): summary and
//! detail. A log is a sequence of [segments](segment), and a segment is a sequence of
//! [records](record). The number of a chunk is the count of spans or events that the log took
//! before it. A segment is named by the number of its first chunk. Thus `taken - finalized` is the
//! number of queued records, and `finalized - delivered - rejected` is the number of dropped ones.
//!
//! # Order
//!
//! The order of requests is one number of each chunk, `after`: the end of the summary chunk that
//! has to be finalized first. A chunk that begins with a root has none. A later summary chunk of a
//! tree waits for the one before it, and detail waits for the last summary chunk of its tree so
//! far. Each of these waited for its own predecessor, so no other check is needed.
//!
//! # Writing
//!
//! A report is planned under the spool's lock, written and synchronized without it, and then
//! counted as stored ([`append::Append`]). If writing fails, all of it is taken back, and both logs
//! continue in a new segment. The summary chunks of one tree lie in one segment.
//!
//! # Sending
//!
//! At most [`MAX_AHEAD`] chunks of each log are in flight, or finalized but not in the cursor on
//! disk. These alone are sent twice after a crash. A chunk that cannot be sent yet is passed over.
//! Segments are read, and the cursor is written, without the lock, and only by the thread that
//! sends.
//!
//! # Making room
//!
//! If a report does not fit, the oldest segment of detail is removed, and if there is none, the
//! oldest segment of summaries. Chunks of it that are in flight go on in memory. Children are
//! evicted before their parents, because a parent is never detail. The cursor follows later: a
//! start counts what is missing before the first segment as dropped.
//!
//! The cursor is overwritten in place, which takes no room. On a full disk, anything else would
//! keep finalized segments from being removed.
//!
//! # Starting
//!
//! A [start](recovery) reads names, the cursor and the last segment of each log. It cuts off an
//! incomplete record at the end, which was never acknowledged, and is not counted. Detail that
//! depends on summaries behind a whole end was never acknowledged either, and is cut off, too.
//! Without a valid cursor everything is sent again. If one of its blocks is damaged, the other is
//! used, which costs at most one step, and no detail is cut off.
//!
//! Damage costs one chunk, or the rest of its segment if the head of a record is damaged. The
//! segment goes to quarantine. What was lost counts as dropped, because its numbers stay taken. If
//! it was at the end, they follow from the cursor, from the heads behind the damage, and from the
//! detail that depends on it, which is sent. A loss of power may damage a report that was not yet
//! acknowledged, and that cannot always be distinguished: it then counts as stored and dropped.

mod append;
mod cursor;
mod disk;
mod forwarder;
mod log;
mod read;
mod record;
mod recovery;
mod segment;
mod slots;

use std::io;
use std::mem;
#[cfg(any(test, fuzzing))]
use std::path::Path;
use std::path::PathBuf;

use flink_traces_api::{BufferStats, RecordCounts};

use crate::chunk::{Chunk, Role};
use append::Append;
use cursor::Snapshot;
use disk::remove_all;
pub(crate) use disk::{create_directory, sync, sync_directory};
pub(crate) use forwarder::Forwarder;
use log::Log;
use read::{Found, Read};
use segment::{Class, HEADER};
use slots::Slot;
pub(crate) use slots::{Destination, Slots};

/// The version of all formats of a spool. Version 1 was never released.
const FORMAT: u16 = 2;
/// The number of chunks of a log that may be sent twice after a crash.
const MAX_AHEAD: usize = 64;
/// The number of finalized chunks after which the cursor is written, at the latest.
const MAX_UNPERSISTED: usize = MAX_AHEAD / 2;

/// The spool in one slot.
#[derive(Debug)]
pub(crate) struct Spool {
    slot: Slot,
    /// The maximum size of all segments, in bytes.
    limit: u64,
    logs: [Log; 2],
    /// The files that hold something that was not stored, see [`Append`].
    undo: Vec<(PathBuf, Option<u64>)>,
    /// The number of times that the cursor was written.
    writes: u64,
    /// The records that were finalized before the start, and how.
    found: RecordCounts,
    /// Notices for the log, oldest first.
    notices: Vec<Notice>,
    is_dropping: bool,
    cannot_persist: bool,
}

/// An event that operators should know of.
#[derive(Debug, PartialEq, Eq)]
enum Notice {
    /// So many bytes of a file are unreadable.
    Quarantined(String, u64),
    /// The cursor is unreadable, so everything is sent again.
    NoProgress,
    /// The spool is full, and the oldest chunks are dropped.
    Drops,
    /// The spool has room again. Holds the number of records that were dropped so far.
    HasRoom(u64),
    /// The cursor cannot be written.
    NoCursor(String),
}

/// The name of a chunk that is in flight: its log and its number.
pub(crate) type Ticket = (Class, u64);

impl Spool {
    /// Opens the spool in a slot, and finds out what is in it.
    fn open(slot: Slot, limit: u64) -> io::Result<Self> {
        const MAX_SEGMENT: u64 = 8 << 20;
        let (logs, writes, found, notices) = recovery::recover(&slot.directory, (limit / 8).min(MAX_SEGMENT))?;
        let mut spool = Self {
            slot,
            limit,
            logs,
            undo: Vec::new(),
            writes,
            found,
            notices,
            is_dropping: false,
            cannot_persist: false,
        };
        let snapshot = spool.snapshot();
        snapshot.write()?;
        remove_all(&spool.end_persist(&snapshot, Ok(())));
        Ok(spool)
    }

    /// Returns the records that were finalized since the spool was created.
    fn counts(&self) -> RecordCounts {
        let mut counts = RecordCounts::default();
        self.logs.iter().for_each(|log| counts += log.counts());
        counts
    }

    /// Returns the number of records that are not finalized.
    fn queued(&self) -> u64 {
        self.logs.iter().map(Log::queued).sum()
    }

    fn size(&self) -> u64 {
        self.logs.iter().map(Log::size).sum()
    }

    fn has_pending(&self) -> bool {
        self.logs.iter().any(Log::has_pending)
    }

    /// Adds the records that were found at the start or stored since.
    fn add_to(&self, stats: &mut BufferStats) {
        stats.finalized += self.counts().since(self.found);
        stats.queued += self.queued();
        stats.bytes += self.size();
        // An adopted spool has no limit of its own.
        stats.limit += if self.limit == u64::MAX { 0 } else { self.limit };
    }

    /// Plans the chunks of one report, and drops the oldest chunks if there is no room. They are
    /// stored after [`Append::write`] and [`end`](Self::end), and no other report may begin before.
    fn begin(&mut self, chunks: &[Chunk]) -> io::Result<Append> {
        let size = |chunk: &Chunk| record::HEAD as u64 + chunk.message.len() as u64 + HEADER;
        let needed = chunks.iter().map(size).sum::<u64>() + HEADER;
        if needed > self.limit || chunks.iter().any(|chunk| u32::try_from(chunk.message.len()).is_err()) {
            let error = format!("{needed} bytes do not fit into a spool of {}", self.limit);
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, error));
        }
        let (evicted, undo) = (self.make_room(needed), mem::take(&mut self.undo));
        let mut append = Append { evicted, undo, ..Append::default() };
        let ([summary, detail], [summary_parts, detail_parts]) = (&mut self.logs, &mut append.parts);
        let mut last_summary = 0;
        for chunk in chunks {
            let after = if chunk.role == Role::Root { 0 } else { last_summary };
            if chunk.role == Role::Detail {
                detail.plan(chunk, after, true, detail_parts);
            } else {
                summary.plan(chunk, after, after == 0, summary_parts);
                last_summary = summary.written;
            }
        }
        Ok(append)
    }

    /// Makes chunks stored that were written, or forgets them.
    fn end(&mut self, append: Append, written: io::Result<()>) -> io::Result<()> {
        self.undo = append.undo;
        for (log, parts) in self.logs.iter_mut().zip(append.parts) {
            log.end(parts, written.is_ok());
        }
        written?;
        if self.is_dropping && self.size() <= self.limit / 2 {
            self.is_dropping = false;
            self.notices.push(Notice::HasRoom(self.counts().dropped));
        }
        Ok(())
    }

    /// Evicts the oldest segments, detail first, until `needed` more bytes fit.
    fn make_room(&mut self, needed: u64) -> Vec<PathBuf> {
        let mut files = Vec::new();
        while self.size() + needed > self.limit {
            let index = usize::from(!self.logs[1].segments.is_empty());
            let Some(file) = self.logs[index].evict() else { break };
            files.push(file);
            if !mem::replace(&mut self.is_dropping, true) {
                self.notices.push(Notice::Drops);
            }
        }
        files
    }

    /// Returns the read that the next chunk of a log needs, if it may be sent now.
    fn plan_read(&mut self, class: Class) -> Option<Read> {
        let [summary, detail] = &mut self.logs;
        let (log, order) = match class {
            Class::Summary => (summary, None),
            Class::Detail => (detail, Some(&*summary)),
        };
        if log.ahead() < MAX_AHEAD { log.plan_read(order) } else { None }
    }

    /// Ends a read. Returns a chunk that may be sent, unless another read has to follow.
    fn end_read(&mut self, read: Read, found: Found) -> Option<(Ticket, Chunk)> {
        let class = read.class;
        let log = &mut self.logs[class as usize];
        let chunk = log.end_read(read, found);
        self.notices.append(&mut log.notices);
        chunk.map(|(number, chunk)| ((class, number), chunk))
    }

    /// Ends a chunk. `counts` covers all its records.
    pub(crate) fn finalize(&mut self, (class, number): Ticket, counts: RecordCounts) {
        self.logs[class as usize].finalize(number, counts);
    }

    /// Makes a chunk pending again.
    pub(crate) fn abandon(&mut self, (class, number): Ticket) {
        self.logs[class as usize].abandon(number);
    }

    /// Returns the cursor if it is due. Writing it takes as long as sending a chunk, so it is not
    /// done for each.
    fn snapshot_if_due(&self) -> Option<Snapshot> {
        let is_due = |log: &Log| {
            log.unpersisted >= MAX_UNPERSISTED
                || log.has_finalized_segment()
                || log.has_evicted_segment()
                || (log.unpersisted > 0 && log.ahead() >= MAX_AHEAD)
        };
        self.logs.iter().any(is_due).then(|| self.snapshot())
    }

    fn snapshot(&self) -> Snapshot {
        let logs = self.logs.each_ref().map(|log| (log.progress, log.taken, log.unpersisted));
        Snapshot::new(&self.slot.directory, self.writes + 1, logs)
    }

    /// Ends the writing of the cursor. Returns the files of segments below it, which can be
    /// removed. If writing failed, they stay.
    fn end_persist(&mut self, snapshot: &Snapshot, written: io::Result<()>) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for (log, (finalized, unpersisted)) in self.logs.iter_mut().zip(snapshot.covered) {
            log.unpersisted -= unpersisted;
            if written.is_ok() {
                log.persisted = finalized;
                log.remove_finalized(&mut files);
            }
        }
        let is_known = mem::replace(&mut self.cannot_persist, written.is_err());
        match written {
            Ok(()) => self.writes = snapshot.number,
            Err(error) if !is_known => self.notices.push(Notice::NoCursor(error.to_string())),
            Err(_) => {}
        }
        files
    }

    fn persist(&mut self) {
        let snapshot = self.snapshot();
        let written = snapshot.write();
        remove_all(&self.end_persist(&snapshot, written));
    }

    /// Removes the slot, if nothing is in it.
    fn remove_if_empty(mut self) {
        self.persist();
        if self.queued() == 0 && self.logs.iter().all(|log| log.segments.is_empty()) {
            self.slot.remove();
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.logs.iter().any(|log| log.persisted < log.progress.finalized) {
            self.persist();
        }
    }
}

#[cfg(any(test, fuzzing))]
impl read::Access for Spool {
    fn with<R>(&mut self, work: impl FnOnce(&mut Spool) -> R) -> R {
        work(self)
    }
}

#[cfg(any(test, fuzzing))]
impl Spool {
    /// Opens the first free slot of a directory.
    pub(crate) fn open_first(directory: &Path, limit: u64) -> io::Result<Self> {
        let destination = Destination { endpoint: "http://collector:4317".to_owned(), protocol: "grpc" };
        Self::open(Slots::open(directory, destination, "test")?.take()?, limit)
    }

    /// Stores the chunks of one report.
    pub(crate) fn append(&mut self, chunks: &[Chunk]) -> io::Result<()> {
        let mut append = self.begin(chunks)?;
        let written = append.write();
        self.end(append, written)
    }

    /// Takes the next chunk that may be sent.
    pub(crate) fn next(&mut self) -> Option<(Ticket, Chunk)> {
        read::next_chunk(self)
    }

    /// Writes the cursor if it is due.
    pub(crate) fn persist_if_due(&mut self) {
        if self.snapshot_if_due().is_some() {
            self.persist();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
