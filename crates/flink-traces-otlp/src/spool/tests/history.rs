//! Random histories of a spool, beside a model that knows no files.

use std::path::{Path, PathBuf};

use super::super::*;
use super::disk::{Op, recorded, with_fault};
use super::{open, text_of};

/// A generator of pseudo-random numbers (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    InFlight(Ticket),
    Finalized,
    /// Dropped to make room, or never acknowledged.
    Gone,
}

/// A chunk that was appended.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) text: String,
    class: Class,
    number: u64,
    records: u64,
    /// The earlier summary chunks of its tree.
    pub(super) ancestors: Vec<usize>,
    state: State,
    /// The file operations before it was appended, and before that returned.
    pub(super) begun: usize,
    pub(super) acknowledged: Option<usize>,
    /// The file operations before it was finalized or evicted for the first time.
    pub(super) ended: Option<usize>,
}

impl Known {
    /// Returns `true` if it was acknowledged and did not end before operation `end`.
    fn must_survive(&self, end: usize) -> bool {
        self.acknowledged.is_some_and(|at| at <= end) && self.ended.is_none_or(|at| at >= end)
    }
}

/// A spool and what it should hold.
pub(super) struct History {
    pub(super) directory: PathBuf,
    limit: u64,
    spool: Option<Spool>,
    pub(super) known: Vec<Known>,
    random: Random,
    delivered: u64,
    rejected: u64,
    dropped: u64,
}

impl History {
    pub(super) fn new(directory: &Path, limit: u64, seed: u64) -> Self {
        let spool = Some(open(directory, limit));
        let (known, random) = (Vec::new(), Random(seed));
        Self { directory: directory.to_owned(), limit, spool, known, random, delivered: 0, rejected: 0, dropped: 0 }
    }

    pub(super) fn step(&mut self) {
        match self.random.below(16) {
            0..=4 => self.append(false),
            5 => self.append(true),
            6..=9 => drop(self.take()),
            10..=13 => self.finalize(),
            14 => self.abandon(),
            _ => self.reopen(),
        }
        self.check();
    }

    fn spool(&mut self) -> &mut Spool {
        self.spool.as_mut().unwrap()
    }

    /// Appends a report of one to three trees. If `fails`, one file operation does.
    fn append(&mut self, fails: bool) {
        let (begun, first) = (recorded(), self.known.len());
        let mut ends = self.spool().logs.each_ref().map(|log| log.taken);
        let mut chunks = Vec::new();
        for _ in 0..=self.random.below(3) {
            let mut ancestors: Vec<usize> = Vec::new();
            for place in 0..=self.random.below(5) {
                let role = match self.random.below(2) {
                    _ if place == 0 => Role::Root,
                    0 => Role::Continuation,
                    _ => Role::Detail,
                };
                let records = self.random.below(3) + 1;
                let text = format!("{}-{}", self.known.len(), "x".repeat(self.random.below(80) as usize));
                chunks.push(Chunk { message: text.clone().into(), records: records as usize, role });
                let class = if role == Role::Detail { Class::Detail } else { Class::Summary };
                let number = ends[class as usize];
                ends[class as usize] += records;
                let state = State::Pending;
                let known = Known {
                    text,
                    class,
                    number,
                    records,
                    ancestors: ancestors.clone(),
                    state,
                    begun,
                    acknowledged: None,
                    ended: None,
                };
                if role != Role::Detail {
                    ancestors.push(self.known.len());
                }
                self.known.push(known);
            }
        }
        let result = if fails {
            let mut left = self.random.below(12);
            let fault = move |op: &Op| {
                let may_fail = matches!(op, Op::Write(..) | Op::Sync(_) | Op::Create(_) | Op::SyncDirectory(_));
                let fails = may_fail && left == 0;
                left = left.wrapping_sub(u64::from(may_fail));
                fails
            };
            let spool = self.spool.as_mut().unwrap();
            with_fault(fault, || spool.append(&chunks))
        } else {
            self.spool().append(&chunks)
        };
        let positions = self.spool().logs.each_ref().map(|log| log.progress.finalized);
        for known in &mut self.known[..first] {
            if known.number >= positions[known.class as usize] {
                continue;
            }
            match known.state {
                State::Pending => {
                    known.state = State::Gone;
                    known.ended.get_or_insert(begun);
                    self.dropped += known.records;
                }
                // It goes on without its segment.
                State::InFlight(_) => {
                    known.ended.get_or_insert(begun);
                }
                State::Finalized | State::Gone => {}
            }
        }
        for known in &mut self.known[first..] {
            match result {
                Ok(()) => known.acknowledged = Some(recorded()),
                Err(_) => known.state = State::Gone,
            }
        }
    }

    /// Takes a chunk, whose ancestors must not be under way.
    fn take(&mut self) -> Option<usize> {
        self.spool().persist_if_due();
        let found = self.spool().next();
        let is_over = |known: &Known| matches!(known.state, State::Finalized | State::Gone);
        let Some((ticket, chunk)) = found else {
            let may_go = |known: &&Known| {
                known.state == State::Pending && known.ancestors.iter().all(|ancestor| is_over(&self.known[*ancestor]))
            };
            let waiting = self.known.iter().find(may_go);
            assert!(waiting.is_none() || self.known.len() > MAX_AHEAD, "{waiting:?} could go");
            return None;
        };
        let text = text_of(&chunk);
        let index = self.known.iter().position(|known| known.text == text).unwrap();
        let known = &self.known[index];
        assert_eq!((known.state, known.records), (State::Pending, chunk.records as u64), "{text}");
        for ancestor in &known.ancestors {
            assert!(is_over(&self.known[*ancestor]), "{text} before {:?}", self.known[*ancestor]);
        }
        self.known[index].state = State::InFlight(ticket);
        Some(index)
    }

    fn in_flight(&mut self) -> Option<(usize, Ticket)> {
        let in_flight: Vec<_> = self
            .known
            .iter()
            .enumerate()
            .filter_map(|(index, known)| match known.state {
                State::InFlight(ticket) => Some((index, ticket)),
                _ => None,
            })
            .collect();
        (!in_flight.is_empty()).then(|| in_flight[self.random.below(in_flight.len() as u64) as usize])
    }

    fn finalize(&mut self) {
        let Some((index, ticket)) = self.in_flight() else { return };
        let records = self.known[index].records;
        let delivered = self.random.below(records + 1);
        let rejected = self.random.below(records - delivered + 1);
        let dropped = records - delivered - rejected;
        self.known[index].ended.get_or_insert(recorded());
        self.known[index].state = State::Finalized;
        self.spool().finalize(ticket, RecordCounts { delivered, rejected, dropped });
        self.delivered += delivered;
        self.rejected += rejected;
        self.dropped += dropped;
    }

    fn abandon(&mut self) {
        let Some((index, ticket)) = self.in_flight() else { return };
        let known = &self.known[index];
        let position = self.spool.as_ref().unwrap().logs[known.class as usize].progress.finalized;
        let (is_evicted, records) = (known.number < position, known.records);
        self.known[index].state = if is_evicted { State::Gone } else { State::Pending };
        self.known[index].ended = if is_evicted { Some(0) } else { self.known[index].ended };
        self.dropped += if is_evicted { records } else { 0 };
        self.spool().abandon(ticket);
    }

    /// Ends the process in order and starts another one. Chunks that were finalized out of order
    /// are sent again.
    fn reopen(&mut self) {
        let mut spool = self.spool.take().unwrap();
        spool.persist();
        let positions = spool.logs.each_ref().map(|log| log.progress.finalized);
        let mut again = 0;
        for known in self.known.iter_mut().filter(|known| known.acknowledged.is_some()) {
            let is_below = known.number < positions[known.class as usize];
            match known.state {
                State::Pending => assert!(!is_below, "{known:?}"),
                State::InFlight(_) if is_below => {
                    known.state = State::Gone;
                    known.ended = Some(0);
                }
                State::Finalized if is_below => {}
                State::Finalized | State::InFlight(_) => {
                    again += 1;
                    known.state = State::Pending;
                }
                State::Gone => assert!(is_below),
            }
        }
        assert!(again <= 2 * MAX_AHEAD);
        drop(spool);
        let spool = open(&self.directory, self.limit);
        let counts = spool.counts();
        (self.delivered, self.rejected, self.dropped) = (counts.delivered, counts.rejected, counts.dropped);
        assert_eq!(spool.notices, []);
        self.spool = Some(spool);
    }

    /// Checks the account.
    fn check(&mut self) {
        let taken: u64 = self.spool().logs.iter().map(|log| log.taken).sum();
        let counts = self.spool().counts();
        assert_eq!(taken, counts.delivered + counts.rejected + counts.dropped + self.spool().queued());
        let records = self.known.iter().filter(|known| known.acknowledged.is_some()).map(|known| known.records);
        assert_eq!(taken, records.sum::<u64>());
        let is_pending = self.known.iter().any(|known| known.state == State::Pending);
        assert_eq!(self.spool().has_pending(), is_pending);
        assert!(self.spool().size() <= self.limit);
        assert!(self.spool().logs.iter().all(|log| log.ahead() <= MAX_AHEAD));
    }

    /// Delivers everything, and compares the account with what became of each chunk.
    pub(super) fn drain(&mut self) {
        loop {
            while self.in_flight().is_some() {
                self.finalize();
            }
            if self.take().is_none() {
                break;
            }
        }
        let open: Vec<_> = self.known.iter().filter(|known| known.state == State::Pending).collect();
        assert!(open.is_empty(), "{open:?}");
        let (counts, queued) = (self.spool().counts(), self.spool().queued());
        let expected = RecordCounts { delivered: self.delivered, rejected: self.rejected, dropped: self.dropped };
        assert_eq!((counts, queued), (expected, 0));
    }

    /// Returns the chunks that may and that must be there after a crash before operation `end`.
    pub(super) fn expectation(&self, end: usize) -> [Vec<bool>; 2] {
        let begun = self.known.iter().map(|known| known.begun < end).collect();
        [begun, self.known.iter().map(|known| known.must_survive(end)).collect()]
    }

    /// Returns the chunks with these texts.
    pub(super) fn indices(&self, texts: &[String]) -> Vec<usize> {
        let index = |text: &String| text.split_once('-').and_then(|(index, _)| index.parse().ok());
        let is_known = |text: &String, index: &usize| self.known.get(*index).is_some_and(|known| known.text == *text);
        let of = |text: &String| index(text).filter(|index| is_known(text, index));
        texts.iter().map(|text| of(text).unwrap_or_else(|| panic!("{text} was never appended"))).collect()
    }

    /// Checks which chunks a process finds that starts after a crash before operation `end`.
    pub(super) fn check_crash(&self, end: usize, found: &[usize]) {
        let mut is_found = vec![false; self.known.len()];
        for index in found {
            assert!(!mem::replace(&mut is_found[*index], true), "sent twice: {:?}", self.known[*index]);
        }
        let mut is_sent = vec![false; self.known.len()];
        for index in found {
            let known = &self.known[*index];
            assert!(known.begun < end, "not appended yet: {known:?}");
            let late = known.ancestors.iter().find(|ancestor| is_found[**ancestor] && !is_sent[**ancestor]);
            assert_eq!(late, None, "sent before an ancestor: {known:?}");
            is_sent[*index] = true;
        }
        for (known, is_found) in self.known.iter().zip(is_found) {
            assert!(is_found || !known.must_survive(end), "lost: {known:?} before {end}");
        }
    }
}
