//! The bytes between Flink's threads, which append, and the thread that decodes.
//!
//! Waking a thread is a system call, which costs more than the copy itself. So the decoding thread
//! looks for records every `LINGER` while they come. A caller wakes it only after a silence, at
//! `ENOUGH` bytes, or for a flush.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wire;

/// The time for which records wait for others.
const LINGER: Duration = Duration::from_millis(20);
/// The time without records after which the thread sleeps until it is woken.
const SILENCE: Duration = Duration::from_secs(1);
/// The number of bytes that do not wait any longer.
const ENOUGH: usize = 1 << 20;
/// The time that the thread has to end after it was stopped.
const STOP: Duration = Duration::from_millis(100);
/// The size in bytes from which a block takes no further record.
const BLOCK: usize = 1 << 20;

/// The state of the record that a piece belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Further pieces of the record follow.
    Middle,
    /// The record is complete and has that many spans, or is an event.
    Last(u32),
    /// The record cannot be completed. That many spans of it were encoded.
    Failed(u32),
}

/// The reason for which a record was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// All records together would exceed the limit.
    Full {
        /// `true` if there was room for the record before this one.
        is_first: bool,
    },
    /// The record alone exceeds the limit.
    TooLarge {
        /// The name of the root span or the event.
        name: String,
        /// The number of spans of the record.
        spans: u32,
    },
}

/// A queue of encoded records with a limit in bytes.
#[derive(Debug)]
pub struct Intake {
    max_bytes: usize,
    state: Mutex<State>,
    is_stopped: AtomicBool,
    /// Wakes the thread that decodes.
    arrived: Condvar,
    /// Wakes callers that wait until everything is decoded.
    decoded: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Complete records. The last block may end with an incomplete one.
    blocks: VecDeque<Block>,
    /// An empty block, whose memory is used again.
    spare: Option<Block>,
    /// The size of the current record, as far as it has been appended.
    open_bytes: usize,
    /// The refusal of the current record, whose further pieces are ignored.
    refused: Option<Refusal>,
    /// The bytes of all records that are not decoded.
    held_bytes: usize,
    /// The bytes of memory that decoded records take, when the thread last looked.
    downstream_bytes: usize,
    /// The spans or events that are not decoded.
    queued: u64,
    counts: Counts,
    is_full: bool,
    is_asleep: bool,
    is_urgent: bool,
    is_closed: bool,
    has_ended: bool,
}

/// Consecutive records.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    records: Vec<Stored>,
}

/// A record of a block.
#[derive(Debug)]
struct Stored {
    /// The end of its bytes in the block.
    end: usize,
    size: Size,
}

/// The size of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its bytes and those that its references stand for.
    pub bytes: usize,
    /// Its spans, or 1 for an event.
    pub spans: u32,
}

/// A number of decoded records.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// The bytes of the records and those that their references stand for.
    pub bytes: usize,
    /// The spans or events.
    pub spans: u64,
    /// The spans or events that could not be decoded.
    pub unreadable: u64,
}

/// The records that never reached the reporter queue, in spans or events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The records for which there was no room.
    pub full: u64,
    /// The records that could not be encoded or decoded.
    pub unreadable: u64,
    /// The records that came after the end, or were not decoded in time.
    pub late: u64,
}

impl Block {
    /// Returns an iterator over the bytes and the size of each record.
    pub fn records(&self) -> impl Iterator<Item = (&[u8], Size)> {
        let starts = [0].into_iter().chain(self.records.iter().map(|record| record.end));
        starts.zip(&self.records).map(|(start, record)| (&self.bytes[start..record.end], record.size))
    }

    fn complete(&self) -> usize {
        self.records.last().map_or(0, |record| record.end)
    }
}

impl Intake {
    /// Creates an empty queue whose records take at most `max_bytes`, together with those that are
    /// decoded and not delivered.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            state: Mutex::default(),
            is_stopped: AtomicBool::new(false),
            arrived: Condvar::new(),
            decoded: Condvar::new(),
        }
    }

    /// Appends `length` bytes that `fill` writes. Their references stand for `repeated` bytes,
    /// which count towards the limit.
    ///
    /// Returns a refusal with the last piece of a record that was not taken. Never waits for the
    /// thread that decodes.
    ///
    /// # Errors
    ///
    /// Returns the error of `fill`. The record is counted as unreadable then.
    pub fn append<E>(
        &self,
        length: usize,
        repeated: usize,
        piece: Piece,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Option<Refusal>, E> {
        let mut state = self.lock();
        if let Piece::Failed(spans) = piece {
            state.abandon();
            state.refused = None;
            state.counts.unreadable += u64::from(spans);
            return Ok(None);
        }
        if state.refused.is_none() {
            state.refuse_above(length.saturating_add(repeated), self.max_bytes, piece);
        }
        if state.refused.is_none() && !state.is_closed {
            let result = state.fill(length, repeated, fill);
            if let Err(error) = result {
                state.abandon();
                state.counts.unreadable += u64::from(piece.spans());
                return Err(error);
            }
        }
        let Piece::Last(spans) = piece else { return Ok(None) };
        if state.is_closed {
            state.abandon();
            state.counts.late += u64::from(spans);
            return Ok(None);
        }
        if let Some(refusal) = state.refused.take() {
            state.counts.full += u64::from(spans);
            return Ok(Some(refusal.with_spans(spans)));
        }
        let wakes = state.complete(spans);
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
        Ok(None)
    }

    /// Waits for records. Returns `None` once the queue is closed and empty.
    ///
    /// `downstream_bytes` is the memory that decoded records take. The result is empty if it should
    /// be looked up again.
    pub fn take(&self, downstream_bytes: u64) -> Option<VecDeque<Block>> {
        let mut state = self.lock();
        state.downstream_bytes = usize::try_from(downstream_bytes).unwrap_or(usize::MAX);
        let start = Instant::now();
        let (mut next_look, silent_from) = (start + LINGER, start + SILENCE);
        loop {
            let now = Instant::now();
            let has_records = state.queued > 0;
            let is_due = now >= next_look || state.held_bytes >= ENOUGH || state.is_urgent || state.is_closed;
            if has_records
                && is_due
                && let Some(blocks) = state.take_complete()
            {
                return Some(blocks);
            }
            if state.is_closed && !has_records {
                return None;
            }
            if now >= silent_from && !has_records {
                if downstream_bytes > 0 {
                    return Some(VecDeque::new());
                }
                state.is_asleep = true;
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.is_asleep = false;
                return Some(state.take_complete().unwrap_or_default());
            }
            if now >= next_look {
                next_look = now + LINGER;
            }
            let left = next_look.saturating_duration_since(now);
            state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Counts decoded records.
    pub fn finish(&self, progress: Progress) {
        let mut state = self.lock();
        state.held_bytes = state.held_bytes.saturating_sub(progress.bytes);
        state.queued = state.queued.saturating_sub(progress.spans);
        state.counts.unreadable += progress.unreadable;
        state.is_urgent &= state.queued > 0;
        drop(state);
        self.decoded.notify_all();
    }

    /// Keeps the memory of a decoded block for later records.
    pub fn recycle(&self, mut block: Block) {
        if block.bytes.capacity() <= 2 * BLOCK {
            block.bytes.clear();
            block.records.clear();
            self.lock().spare = Some(block);
        }
    }

    /// Returns the number of spans or events that are not decoded, and the counts of those that
    /// never will be.
    pub fn counts(&self) -> (u64, Counts) {
        let state = self.lock();
        (state.queued, state.counts)
    }

    /// Waits until everything is decoded, or until `until`. Returns `true` if it is.
    pub fn drain(&self, until: Instant) -> bool {
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.queued == 0 || left.is_zero() {
                return state.queued == 0;
            }
            state.is_urgent = true;
            self.arrived.notify_one();
            state = self.decoded.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Refuses further records, and waits until all others are decoded, or until `until`.
    ///
    /// Then the thread that decodes stops at the next record, and the rest counts as late.
    pub fn close(&self, until: Instant) {
        self.lock().is_closed = true;
        self.drain(until);
        self.is_stopped.store(true, Ordering::Release);
        self.arrived.notify_one();
        let last = Instant::now() + STOP;
        let mut state = self.lock();
        while !state.has_ended && Instant::now() < last {
            state = self.decoded.wait_timeout(state, STOP).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.counts.late += mem::take(&mut state.queued);
        state.blocks.clear();
    }

    /// Returns `true` if the thread that decodes must not begin another record.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Reports the end of the thread that decodes.
    pub fn end(&self) {
        self.lock().has_ended = true;
        self.decoded.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Piece {
    fn spans(self) -> u32 {
        match self {
            Self::Middle => 1,
            Self::Last(spans) | Self::Failed(spans) => spans,
        }
    }
}

impl Refusal {
    fn with_spans(self, spans: u32) -> Self {
        match self {
            Self::TooLarge { name, .. } => Self::TooLarge { name, spans },
            full => full,
        }
    }
}

impl State {
    /// Refuses the current record if `more` bytes exceed the limit.
    fn refuse_above(&mut self, more: usize, max_bytes: usize, piece: Piece) {
        let record = self.open_bytes.saturating_add(more);
        if record > max_bytes {
            let open = self.blocks.back().map_or(&[][..], |block| &block.bytes[block.complete()..]);
            let name = wire::title(open).map(|(_, name)| name.to_owned()).unwrap_or_default();
            self.abandon();
            self.refused = Some(Refusal::TooLarge { name, spans: piece.spans() });
            return;
        }
        let all = self.held_bytes.saturating_add(self.downstream_bytes).saturating_add(more);
        if all > max_bytes {
            self.abandon();
            self.refused = Some(Refusal::Full { is_first: !mem::replace(&mut self.is_full, true) });
        } else if all <= max_bytes / 2 {
            self.is_full = false;
        }
    }

    fn fill<E>(
        &mut self,
        length: usize,
        repeated: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_at_start = self.open_bytes == 0;
        if self.blocks.back().is_none_or(|block| is_at_start && block.bytes.len() >= BLOCK) {
            let block = self.spare.take().unwrap_or_default();
            self.blocks.push_back(block);
        }
        let Some(block) = self.blocks.back_mut() else { return Ok(()) };
        let start = block.bytes.len();
        block.bytes.resize(start + length, 0);
        // Counted first, so that a failure takes the bytes back.
        self.open_bytes += length + repeated;
        self.held_bytes += length + repeated;
        fill(&mut block.bytes[start..])
    }

    /// Ends the current record. Returns `true` if the thread has to be woken.
    fn complete(&mut self, spans: u32) -> bool {
        let before = self.held_bytes - self.open_bytes;
        if let Some(block) = self.blocks.back_mut() {
            let size = Size { bytes: self.open_bytes, spans };
            block.records.push(Stored { end: block.bytes.len(), size });
        }
        self.open_bytes = 0;
        self.queued += u64::from(spans);
        let is_enough = before < ENOUGH && self.held_bytes >= ENOUGH;
        mem::take(&mut self.is_asleep) || is_enough
    }

    /// Takes back the bytes of the current record.
    fn abandon(&mut self) {
        if let Some(block) = self.blocks.back_mut() {
            block.bytes.truncate(block.complete());
        }
        self.held_bytes -= mem::take(&mut self.open_bytes);
    }

    /// Takes all blocks of complete records; `None` if there is none.
    fn take_complete(&mut self) -> Option<VecDeque<Block>> {
        let mut taken = mem::take(&mut self.blocks);
        if self.open_bytes > 0 {
            self.blocks.extend(taken.pop_back());
        }
        taken.retain(|block| !block.records.is_empty());
        (!taken.is_empty()).then_some(taken)
    }
}

#[cfg(test)]
mod tests;
