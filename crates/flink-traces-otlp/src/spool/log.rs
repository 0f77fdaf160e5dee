//! One of the two logs of a spool.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flink_traces_api::RecordCounts;

use super::append::Part;
use super::cursor::Progress;
use super::disk::Appender;
use super::read::{Found, Read, Wanted};
use super::record::Head;
use super::segment::{Class, HEADER};
use super::{MAX_AHEAD, Notice};
use crate::chunk::Chunk;

/// The chunks of one class, in the order in which they were taken.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) class: Class,
    pub(super) directory: PathBuf,
    /// The size of each segment in bytes, by its first number.
    pub(super) segments: BTreeMap<u64, u64>,
    /// The size at which a segment is full.
    pub(super) segment_size: u64,
    /// The last segment, if it can be appended to, and no report is being stored.
    pub(super) tail: Option<(u64, Appender)>,
    /// The number of the next chunk: the records that were taken.
    pub(super) taken: u64,
    /// The same, with those that are being stored.
    pub(super) written: u64,
    pub(super) progress: Progress,
    /// The end of the finalized chunks in the cursor on disk.
    pub(super) persisted: u64,
    /// The number of chunks that were finalized since.
    pub(super) unpersisted: usize,
    /// The number of the next chunk to look at, and its segment and offset if they are known.
    pub(super) next: u64,
    at: Option<(u64, u64)>,
    /// The chunks from the finalized ones to `next`.
    window: VecDeque<Entry>,
    /// The chunks in flight whose segments are gone: number and records.
    evicted: Vec<(u64, u64)>,
    /// The segments with damage, which are in quarantine.
    damaged: BTreeSet<u64>,
    pub(super) notices: Vec<Notice>,
}

/// A chunk, or numbers without one, in the window.
#[derive(Debug)]
struct Entry {
    number: u64,
    end: u64,
    after: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Pending { segment: u64, offset: u64, head: Head },
    InFlight { segment: u64, offset: u64, head: Head },
    Finalized(RecordCounts),
}

impl Log {
    pub(super) fn new(class: Class, directory: &Path, segment_size: u64, progress: Progress) -> Self {
        Self {
            class,
            directory: directory.to_owned(),
            segments: BTreeMap::new(),
            segment_size,
            tail: None,
            taken: progress.finalized,
            written: progress.finalized,
            progress,
            persisted: progress.finalized,
            unpersisted: 0,
            next: progress.finalized,
            at: None,
            window: VecDeque::new(),
            evicted: Vec::new(),
            damaged: BTreeSet::new(),
            notices: Vec::new(),
        }
    }

    pub(super) fn path(&self, first: u64) -> PathBuf {
        self.directory.join(self.class.file_name(first))
    }

    /// Returns the number of bytes that all segments take.
    pub(super) fn size(&self) -> u64 {
        self.segments.values().sum()
    }

    /// Returns the number of records that are not finalized.
    pub(super) fn queued(&self) -> u64 {
        self.taken - self.progress.finalized + self.evicted.iter().map(|(_, records)| records).sum::<u64>()
    }

    /// Returns the records that were finalized. Chunks in flight whose segments are gone may still
    /// be delivered.
    pub(super) fn counts(&self) -> RecordCounts {
        let mut counts = self.progress.counts();
        let in_flight = self.evicted.iter().map(|(_, records)| records).sum();
        counts.dropped = counts.dropped.saturating_sub(in_flight);
        counts
    }

    /// Returns `true` if there are chunks to send that are not in flight.
    pub(super) fn has_pending(&self) -> bool {
        self.next < self.taken || self.window.iter().any(|entry| matches!(entry.state, State::Pending { .. }))
    }

    /// Returns the number of the first chunk behind a segment.
    fn end_of(&self, first: u64) -> u64 {
        self.segments.range(first + 1..).next().map_or(self.written, |(next, _)| *next)
    }

    /// Plans the record of a chunk, in the last segment or in a new one. Some chunks may not begin
    /// one.
    pub(super) fn plan(&mut self, chunk: &Chunk, after: u64, may_begin: bool, parts: &mut Vec<Part>) {
        let head = Head::new(self.written, after, chunk);
        if parts.is_empty()
            && let Some((first, file)) = self.tail.take()
            && let Some(size) = self.segments.get(&first).copied()
        {
            let (path, content) = (self.path(first), Vec::new());
            parts.push(Part { first, path, file: Some(file), before: Some(size), size, content });
        }
        let is_full = |part: &Part| part.size + head.size() > self.segment_size;
        if parts.last().is_none_or(|part| may_begin && is_full(part)) {
            let (first, content) = (self.written, vec![Bytes::copy_from_slice(&self.class.header())]);
            parts.push(Part { first, path: self.path(first), file: None, before: None, size: HEADER, content });
        }
        if let Some(part) = parts.last_mut() {
            part.content.extend([Bytes::copy_from_slice(&head.to_bytes()), chunk.message.clone()]);
            part.size += head.size();
            self.segments.insert(part.first, part.size);
        }
        self.written = head.end();
    }

    /// Makes the planned records stored if they are on disk. Otherwise forgets them, and never
    /// appends to their segments again.
    pub(super) fn end(&mut self, mut parts: Vec<Part>, is_stored: bool) {
        if is_stored {
            self.taken = self.written;
            let last = parts.pop().filter(|part| !self.damaged.contains(&part.first));
            self.tail = last.and_then(|part| Some((part.first, part.file?))).or(self.tail.take());
            return;
        }
        self.written = self.taken;
        for part in parts {
            match part.before {
                Some(size) => drop(self.segments.insert(part.first, size)),
                None => drop(self.segments.remove(&part.first)),
            }
        }
    }

    /// Returns `true` if a chunk with this `after` has to wait for a chunk of this log.
    fn blocks(&self, after: u64) -> bool {
        let is_open = |entry: &Entry| entry.end == after && !matches!(entry.state, State::Finalized(_));
        // What damage took will not come any more. What was evicted has no children left.
        after.min(self.taken) > self.next || self.window.iter().any(is_open)
    }

    /// Returns the read that has to be done before a chunk may be sent, if there is one. Chunks
    /// wait for those of `order`, which is this log if there is none.
    pub(super) fn plan_read(&mut self, order: Option<&Log>) -> Option<Read> {
        loop {
            let may_go = |entry: &&Entry| {
                matches!(entry.state, State::Pending { .. }) && !order.unwrap_or(&*self).blocks(entry.after)
            };
            if let Some(Entry { state: State::Pending { segment, offset, head }, .. }) = self.window.iter().find(may_go)
            {
                return Some(self.read(*segment, *offset, Wanted::Chunk(*head)));
            }
            if self.window.len() >= MAX_AHEAD || self.next >= self.taken {
                return None;
            }
            if let Some((&first, _)) = self.segments.range(..=self.next).next_back() {
                let known = self.at.filter(|(segment, _)| *segment == first);
                return Some(self.read(first, known.map_or(HEADER, |(_, offset)| offset), Wanted::Head(self.next)));
            }
            self.skip(self.taken);
        }
    }

    fn read(&self, segment: u64, offset: u64, wanted: Wanted) -> Read {
        let is_damaged = self.damaged.contains(&segment);
        Read { path: self.path(segment), class: self.class, segment, offset, wanted, is_damaged }
    }

    /// Ends a read. Returns the chunk, if it has one. If the segment was evicted meanwhile, nothing
    /// happens.
    pub(super) fn end_read(&mut self, read: Read, found: Found) -> Option<(u64, Chunk)> {
        let (&first, &size) = self.segments.get_key_value(&read.segment)?;
        let end = self.end_of(first).min(self.taken);
        match (read.wanted, found) {
            (Wanted::Head(number), Found::Head(offset, head)) if head.end() <= end => {
                self.next = head.end();
                self.at = Some((first, offset + head.size()));
                let state = State::Pending { segment: first, offset, head };
                self.window.push_back(Entry { number, end: self.next, after: head.after, state });
            }
            (Wanted::Head(_), Found::Head(offset, _) | Found::Damage(offset)) => {
                // If nothing is left of the chunks, the start has logged that.
                if offset < size {
                    self.note_damage(first, size - offset);
                }
                self.skip(end);
            }
            (Wanted::Chunk(head), found) => {
                let entry = self.window.iter_mut().find(|entry| entry.number == head.number)?;
                if let Found::Chunk(message) = found {
                    entry.state = State::InFlight { segment: first, offset: read.offset, head };
                    return Some((head.number, Chunk::stored(message, head.records as usize)));
                }
                entry.state = State::Finalized(RecordCounts::default());
                self.note_damage(first, head.size());
                self.advance();
            }
            (Wanted::Head(_), Found::Chunk(_)) => {}
        }
        None
    }

    /// Gives up the numbers up to `end`.
    fn skip(&mut self, end: u64) {
        let (number, state) = (mem::replace(&mut self.next, end), State::Finalized(RecordCounts::default()));
        self.window.push_back(Entry { number, end, after: 0, state });
        self.advance();
    }

    fn note_damage(&mut self, segment: u64, bytes: u64) {
        self.tail.take_if(|(first, _)| *first == segment);
        self.damaged.insert(segment);
        self.notices.push(Notice::Quarantined(self.class.file_name(segment), bytes));
    }

    /// Ends a chunk that is in flight.
    pub(super) fn finalize(&mut self, number: u64, counts: RecordCounts) {
        if let Some(index) = self.evicted.iter().position(|(known, _)| *known == number) {
            self.evicted.swap_remove(index);
            self.progress.count(counts);
        } else if let Some(entry) = self.window.iter_mut().find(|entry| entry.number == number) {
            entry.state = State::Finalized(counts);
            self.advance();
        }
    }

    /// Makes a chunk that was in flight pending again. One whose segment is gone is dropped.
    pub(super) fn abandon(&mut self, number: u64) {
        self.evicted.retain(|(known, _)| *known != number);
        if let Some(entry) = self.window.iter_mut().find(|entry| entry.number == number)
            && let State::InFlight { segment, offset, head } = entry.state
        {
            entry.state = State::Pending { segment, offset, head };
        }
    }

    /// Moves the end of the finalized chunks as far as possible.
    fn advance(&mut self) {
        while let Some(Entry { state: State::Finalized(counts), end, .. }) = self.window.front() {
            self.progress.finalized = *end;
            self.progress.count(*counts);
            self.unpersisted += 1;
            self.window.pop_front();
        }
    }

    /// Returns the number of chunks that a crash would have sent again.
    pub(super) fn ahead(&self) -> usize {
        let is_ahead = |entry: &&Entry| !matches!(entry.state, State::Pending { .. });
        self.unpersisted + self.window.iter().filter(is_ahead).count()
    }

    /// Gives up the oldest segment, whose file can be removed. Its chunks in flight go on.
    pub(super) fn evict(&mut self) -> Option<PathBuf> {
        let (&first, _) = self.segments.first_key_value()?;
        let end = self.end_of(first);
        let behind = self.window.iter().position(|entry| entry.number >= end).unwrap_or(self.window.len());
        for entry in self.window.drain(..behind) {
            match entry.state {
                State::Pending { .. } => {}
                State::InFlight { .. } => self.evicted.push((entry.number, entry.end - entry.number)),
                State::Finalized(counts) => self.progress.count(counts),
            }
        }
        self.next = self.next.max(end);
        self.progress.finalized = self.progress.finalized.max(end);
        self.advance();
        Some(self.remove(first))
    }

    /// Returns `true` if the first segment can go as soon as the cursor is written.
    pub(super) fn has_finalized_segment(&self) -> bool {
        self.segments.keys().next().is_some_and(|first| self.end_of(*first) <= self.progress.finalized)
    }

    /// Returns `true` if segments were evicted since the cursor was written.
    pub(super) fn has_evicted_segment(&self) -> bool {
        self.segments.keys().next().is_some_and(|first| *first > self.persisted)
    }

    /// Gives up the segments that hold nothing but chunks below the cursor, whose files can be
    /// removed.
    pub(super) fn remove_finalized(&mut self, files: &mut Vec<PathBuf>) {
        while let Some((&first, _)) = self.segments.first_key_value() {
            if self.end_of(first) > self.persisted {
                return;
            }
            files.push(self.remove(first));
        }
    }

    fn remove(&mut self, first: u64) -> PathBuf {
        // An open file keeps its room on disk.
        self.tail.take_if(|(tail, _)| *tail == first);
        self.segments.remove(&first);
        self.path(first)
    }
}
