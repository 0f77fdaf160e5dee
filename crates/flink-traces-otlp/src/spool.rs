//! Chunks on disk, so that no crash loses what was stored.
//!
//! ```text
//! <directory>/lock                 held by the process that uses it, which it names
//!             cursor.json          up to which chunk all are settled, and what became of their records
//!             withheld             spans that were refused while what they contain waits
//!             <number>.seg         chunks, appended; a file has either only leaves or none
//!             quarantine/          what of segments could not be read
//!             dead-letter/         what collectors refused
//! ```
//! A segment is [`HEADER`] bytes and then records: length, number, `after`, count (each little-endian), CRC-32C of these and of the
//! chunk, the chunk. A chunk is stored when its segment was synchronized; it is settled for good when the cursor was renamed, which is done for
//! several chunks at once. What a crash leaves of the last record is cut off at the next start, and what was sent but not yet noted as
//! settled is sent again, the same bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flink_traces_api::BufferStats;
use serde_json::json;

use crate::delivery::{Outcome, Source};
use crate::encode::Chunk;
use crate::error::OpenError;
use crate::files::{create_directory, is_passing, lock, open_to_append, open_to_read, sync_directory};
use crate::withheld::Withheld;

/// What a segment begins with: a name, a version, whether it holds leaves.
const MAGIC: &[u8; 8] = b"ftspool\n";
const VERSION: u16 = 1;
const HEADER: u64 = 16;
/// The bytes of a record before its chunk.
const HEAD: usize = 28;
/// The bytes of a span that is withheld: the number of its chunk, its ids, a sum.
const WITHHELD: usize = 36;
/// How many chunks may be sent again after a crash although they were settled.
const MOST_UNNOTED: u64 = 64;
/// Nothing that is sent is longer.
const LONGEST_CHUNK: u32 = 64 << 20;

/// What became of all records that were ever stored, by what the cursor says, and of those since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) delivered: u64,
    pub(crate) rejected: u64,
    /// Given up, to make room or because nobody can tell what became of them.
    pub(crate) dropped: u64,
    /// Waiting.
    pub(crate) queued: u64,
}

/// The chunks that are stored and not settled, oldest first. All methods are called by one thread at a time.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    /// How many bytes all segments may take.
    limit: u64,
    /// How many bytes one may take.
    segment_size: u64,
    /// Keeps others out for as long as it is open.
    _lock: File,
    segments: BTreeMap<u64, Segment>,
    entries: VecDeque<Entry>,
    /// Where chunks are appended: that without leaves, that with leaves.
    tails: [Option<Tail>; 2],
    next_number: u64,
    next_segment: u64,
    /// All chunks below are settled.
    settled: u64,
    /// How many of these the cursor on disk does not tell yet.
    unnoted: u64,
    /// All chunks below that are parents of something may have been dropped: what depends on them must not be sent.
    dropped_parents: u64,
    /// Spans that were refused, for as long as chunks of their report wait.
    withheld: Withheld,
    account: Account,
    /// The account that the last process left.
    found: Account,
    /// How many records were found and stored since.
    stored: u64,
    /// Notices for the log, oldest first.
    pub(crate) notices: Vec<Notice>,
    is_dropping: bool,
    /// Whether the cursor could not be written the last time.
    is_not_noting: bool,
    /// Whether the next chunk cannot be read now, but may be later.
    pub(crate) is_stuck: bool,
}

/// What happened to the spool that somebody should know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Part of a segment, or all of it, was put aside as it cannot be read: which, and how many bytes.
    Quarantined(String, u64),
    /// It is full, and the oldest chunks are dropped.
    Drops,
    /// It has room again; so many records were dropped meanwhile, in all.
    HasRoom(u64),
    /// The cursor cannot be written.
    NoCursor(String),
}

#[derive(Debug)]
struct Segment {
    size: u64,
    is_leaf: bool,
    /// How many of its chunks are not settled.
    live: usize,
}

/// The chunks of one report, written.
#[derive(Debug)]
pub(crate) struct Stored {
    entries: Vec<Entry>,
    /// The files that they are in.
    files: Vec<File>,
    /// How large the segments were that they are in.
    before: BTreeMap<u64, u64>,
}

impl Stored {
    /// Waits until they are on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(File::sync_data)
    }

    /// How many are in each segment.
    fn counts(&self) -> BTreeMap<u64, usize> {
        let mut counts = BTreeMap::new();
        self.entries.iter().for_each(|entry| *counts.entry(entry.segment).or_default() += 1);
        counts
    }
}

#[derive(Debug)]
struct Tail {
    segment: u64,
    file: File,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    /// All chunks below have to be settled before.
    after: u64,
    /// The first chunk of its report; 0 for what an earlier process stored.
    first: u64,
    records: usize,
    segment: u64,
    offset: u64,
    length: u32,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Sent,
    Settled(Account),
}

impl Spool {
    /// Opens the spool in `directory`, which is made if need be, and reads what is in it.
    pub(crate) fn open(directory: &Path, limit: u64) -> Result<Self, OpenError> {
        const LARGEST_SEGMENT: u64 = 8 << 20;
        create_directory(directory)?;
        let lock = claim(&directory.join("lock"))?;
        let mut spool = Self {
            directory: directory.to_owned(),
            limit,
            segment_size: (limit / 8).min(LARGEST_SEGMENT),
            _lock: lock,
            segments: BTreeMap::new(),
            entries: VecDeque::new(),
            tails: [None, None],
            next_number: 1,
            next_segment: 1,
            settled: 1,
            unnoted: 0,
            dropped_parents: 0,
            withheld: Withheld::default(),
            account: Account::default(),
            found: Account::default(),
            stored: 0,
            notices: Vec::new(),
            is_dropping: false,
            is_not_noting: false,
            is_stuck: false,
        };
        spool.read_cursor()?;
        spool.found = spool.account;
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg")?.parse::<u64>().ok());
            found.extend(number.filter(|number| *number < u64::MAX));
        }
        found.sort_unstable();
        for segment in found {
            spool.next_segment = segment + 1;
            spool.read_segment(segment)?;
        }
        spool.entries.make_contiguous().sort_by_key(|entry| entry.number);
        spool.next_number = spool.entries.back().map_or(0, |last| last.number + 1).max(spool.settled);
        spool.drop_orphans();
        spool.read_withheld()?;
        spool.account.queued = spool.entries.iter().map(|entry| entry.records as u64).sum();
        spool.stored = spool.account.queued;
        spool.advance();
        Ok(spool)
    }

    /// Gives up what depends on chunks that a damage took.
    fn drop_orphans(&mut self) {
        let mut known = BTreeSet::new();
        for entry in &mut self.entries {
            let is_orphan = entry.after > self.settled && !known.contains(&(entry.after - 1));
            if is_orphan {
                entry.state = State::Settled(Account { dropped: entry.records as u64, ..Account::default() });
            } else {
                known.insert(entry.number);
            }
        }
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    /// Writes down what became of what was found and stored since it was opened.
    pub(crate) fn tell(&self, stats: &mut BufferStats) {
        stats.stored = self.stored;
        stats.delivered = self.account.delivered - self.found.delivered;
        stats.rejected = self.account.rejected - self.found.rejected;
        stats.dropped = self.account.dropped - self.found.dropped;
        stats.queued = self.account.queued;
        stats.bytes = self.size();
    }

    /// Whether there is something to send.
    pub(crate) fn has_waiting(&self) -> bool {
        self.entries.iter().any(|entry| entry.state == State::Waiting)
    }

    /// Stores the chunks of one report, all or none: [`begin`](Self::begin), [`Stored::sync`] and [`end`](Self::end) in one.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn append(&mut self, chunks: &[Chunk]) -> io::Result<()> {
        let stored = self.begin(chunks)?;
        let synced = stored.sync();
        self.end(stored, synced)
    }

    /// Writes the chunks of one report, all or none. Makes room for them by dropping the oldest, leaves first. What is written counts as
    /// stored when it was synchronized, for which nobody need wait who sends what is there already, and [`end`](Self::end) was told. No other
    /// report may be begun before.
    pub(crate) fn begin(&mut self, chunks: &[Chunk]) -> io::Result<Stored> {
        let needed = chunks.iter().map(|chunk| (HEAD + chunk.message.len()) as u64).sum::<u64>() + 2 * HEADER;
        self.make_room(needed);
        if self.size() + needed > self.limit {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "what is being sent leaves no room in the spool"));
        }
        let first = self.next_number;
        // Whatever happens, no two chunks have the same number.
        self.next_number += chunks.len() as u64;
        let mut stored =
            Stored { entries: Vec::with_capacity(chunks.len()), files: Vec::new(), before: BTreeMap::new() };
        let written = self.write(chunks, first, &mut stored);
        for (segment, count) in stored.counts() {
            if let Some(segment) = self.segments.get_mut(&segment) {
                segment.live += count;
            }
        }
        match written {
            Ok(()) => {
                for entry in &stored.entries {
                    if let Some(segment) = self.segments.get_mut(&entry.segment) {
                        segment.size = segment.size.max(entry.offset + u64::from(entry.length));
                    }
                }
                Ok(stored)
            }
            Err(error) => {
                self.abandon(stored);
                Err(error)
            }
        }
    }

    /// Says whether what was begun is on the disk: now it waits to be sent, or is gone.
    pub(crate) fn end(&mut self, stored: Stored, synced: io::Result<()>) -> io::Result<()> {
        if let Err(error) = synced {
            self.abandon(stored);
            return Err(error);
        }
        let records = stored.entries.iter().map(|entry| entry.records as u64).sum::<u64>();
        self.account.queued += records;
        self.stored += records;
        self.entries.extend(stored.entries);
        if self.is_dropping && self.size() <= self.limit / 2 {
            self.is_dropping = false;
            self.notices.push(Notice::HasRoom(self.account.dropped));
        }
        Ok(())
    }

    /// What cannot be written or synchronized is not trusted again.
    fn abandon(&mut self, stored: Stored) {
        self.tails = [None, None];
        if self.unnoted > 0 {
            // A segment that goes may hold what is settled but not yet noted.
            self.note();
        }
        let counts = stored.counts();
        for (segment, size) in stored.before {
            if let Some(known) = self.segments.get_mut(&segment) {
                known.size = size;
                known.live -= counts.get(&segment).copied().unwrap_or(0);
            }
            let _ = fs::OpenOptions::new().write(true).open(self.path(segment)).and_then(|file| file.set_len(size));
            self.remove_if_empty(segment);
        }
    }

    fn write(&mut self, chunks: &[Chunk], first: u64, stored: &mut Stored) -> io::Result<()> {
        let mut ends = BTreeMap::new();
        for (place, chunk) in (0..).zip(chunks) {
            let number = first + place;
            let after = number - u64::from(chunk.overtakes).min(place);
            let after = if u64::from(chunk.overtakes) >= place { 0 } else { after };
            let record = encode(number, after, chunk)?;
            let class = usize::from(chunk.is_leaf);
            let end = self.tails[class].as_ref().and_then(|tail| {
                let known = self.segments.get(&tail.segment)?.size;
                Some(ends.get(&tail.segment).copied().unwrap_or(known))
            });
            let fits = end.is_some_and(|end| end == HEADER || end + record.len() as u64 <= self.segment_size);
            if !fits {
                if let Some(tail) = self.tails[class].take() {
                    tail.file.sync_data()?;
                }
                self.tails[class] = Some(self.begin_segment(chunk.is_leaf)?);
            }
            let Some(tail) = &mut self.tails[class] else { continue };
            let known = self.segments.get(&tail.segment).map_or(HEADER, |segment| segment.size);
            stored.before.entry(tail.segment).or_insert(known);
            tail.file.write_all(&record)?;
            let start = end.filter(|_| fits).unwrap_or(HEADER);
            ends.insert(tail.segment, start + record.len() as u64);
            stored.entries.push(Entry {
                number,
                after,
                first,
                records: chunk.records,
                segment: tail.segment,
                offset: start + HEAD as u64,
                length: u32::try_from(chunk.message.len()).map_err(io::Error::other)?,
                state: State::Waiting,
            });
        }
        for tail in self.tails.iter().flatten().filter(|tail| stored.before.contains_key(&tail.segment)) {
            stored.files.push(tail.file.try_clone()?);
        }
        Ok(())
    }

    fn begin_segment(&mut self, is_leaf: bool) -> io::Result<Tail> {
        let segment = self.next_segment;
        self.next_segment += 1;
        let path = self.path(segment);
        let mut file = open_to_append(&path)?;
        if let Err(error) = file.write_all(&header(is_leaf)).and_then(|()| sync_directory(&self.directory)) {
            let _ = fs::remove_file(path);
            return Err(error);
        }
        self.segments.insert(segment, Segment { size: HEADER, is_leaf, live: 0 });
        Ok(Tail { segment, file })
    }

    /// Drops the oldest segments until `needed` more bytes fit, those with leaves first: others would take their parts with them.
    fn make_room(&mut self, needed: u64) {
        while !self.segments.is_empty() && self.size() + needed > self.limit {
            let is_free = |segment: &u64| {
                self.entries.iter().all(|entry| entry.segment != *segment || entry.state != State::Sent)
            };
            let of_class = |is_leaf| {
                let mut segments = self.segments.iter().filter(move |(_, segment)| segment.is_leaf == is_leaf);
                segments.find(|(number, _)| is_free(number)).map(|(number, _)| *number)
            };
            let Some(oldest) = of_class(true).or_else(|| of_class(false)) else { return };
            if !std::mem::replace(&mut self.is_dropping, true) {
                self.notices.push(Notice::Drops);
            }
            self.drop_segment(oldest);
        }
    }

    fn drop_segment(&mut self, segment: u64) {
        if self.segments.get(&segment).is_some_and(|segment| !segment.is_leaf) {
            let dropped = self.entries.iter().filter(|entry| entry.segment == segment).map(|entry| entry.number + 1);
            self.dropped_parents = dropped.max().unwrap_or(0).max(self.dropped_parents);
        }
        for entry in &mut self.entries {
            if entry.segment == segment && entry.state == State::Waiting {
                self.account.dropped += entry.records as u64;
                self.account.queued -= entry.records as u64;
                entry.records = 0;
                entry.state = State::Settled(Account::default());
            }
        }
        // Before it is gone: the next process would neither count it nor know what depends on it.
        self.note();
        self.advance();
        self.tails.iter_mut().for_each(|tail| drop(tail.take_if(|tail| tail.segment == segment)));
        let _ = fs::remove_file(self.path(segment));
        self.segments.remove(&segment);
    }

    /// How many bytes all segments take.
    fn size(&self) -> u64 {
        self.segments.values().map(|segment| segment.size).sum()
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(format!("{segment:020}.seg"))
    }

    /// Takes note of what is settled, oldest first; on disk not each time, for that takes as long as sending does.
    fn advance(&mut self) {
        let before = self.settled;
        while let Some(Entry { state: State::Settled(became), number, records, .. }) = self.entries.front() {
            self.settled = number + 1;
            self.account.queued -= *records as u64;
            self.account.delivered += became.delivered;
            self.account.rejected += became.rejected;
            self.account.dropped += became.dropped;
            if let Some(entry) = self.entries.pop_front()
                && let Some(segment) = self.segments.get_mut(&entry.segment)
            {
                segment.live -= 1;
            }
        }
        if self.settled == before {
            return;
        }
        self.withheld.forget_before(self.entries.front().map_or(u64::MAX, |oldest| oldest.first));
        self.unnoted += self.settled - before;
        let has_empty = self.segments.values().any(|segment| segment.live == 0);
        let is_due =
            self.unnoted >= MOST_UNNOTED || self.entries.is_empty() || has_empty || !self.withheld.fresh().is_empty();
        if !is_due {
            return;
        }
        // Segments go after that: what depends on them would look as if it had lost what it depends on.
        self.note();
        let empty: Vec<_> = self.segments.iter().filter(|(_, segment)| segment.live == 0).map(|(n, _)| *n).collect();
        empty.into_iter().for_each(|segment| self.remove_if_empty(segment));
    }

    fn remove_if_empty(&mut self, segment: u64) {
        if self.segments.get(&segment).is_some_and(|segment| segment.live == 0) {
            self.tails.iter_mut().for_each(|tail| drop(tail.take_if(|tail| tail.segment == segment)));
            // A file that stays is read, and skipped, at the next start.
            let _ = fs::remove_file(self.path(segment));
            self.segments.remove(&segment);
        }
    }

    /// Writes down how far it is.
    fn note(&mut self) {
        self.unnoted = 0;
        let noted = self.write_withheld().and_then(|()| self.write_cursor());
        let was_not_noting = std::mem::replace(&mut self.is_not_noting, noted.is_err());
        if let Err(error) = noted
            && !was_not_noting
        {
            // What is settled will be sent again after a crash; nothing else is wrong.
            self.notices.push(Notice::NoCursor(error.to_string()));
        }
    }

    fn write_cursor(&self) -> io::Result<()> {
        let Account { delivered, rejected, dropped, .. } = self.account;
        let text = json!({
            "settled": self.settled,
            "droppedParents": self.dropped_parents,
            "delivered": delivered,
            "rejected": rejected,
            "dropped": dropped,
        });
        let (path, new) = (self.directory.join("cursor.json"), self.directory.join("cursor.json.new"));
        let mut file = open_to_append(&new)?;
        file.set_len(0)?;
        file.write_all(format!("{text}\n").as_bytes())?;
        file.sync_data()?;
        fs::rename(new, path)?;
        sync_directory(&self.directory)
    }

    fn read_cursor(&mut self) -> io::Result<()> {
        let path = self.directory.join("cursor.json");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            text => text?,
        };
        let cursor: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let number = |key: &str| cursor[key].as_u64();
        match number("settled") {
            Some(settled) => {
                self.settled = settled.max(1);
                self.dropped_parents = number("droppedParents").unwrap_or(0);
                let [delivered, rejected, dropped] =
                    ["delivered", "rejected", "dropped"].map(|key| number(key).unwrap_or(0));
                self.account = Account { delivered, rejected, dropped, queued: 0 };
                Ok(())
            }
            // Everything that is there is sent again.
            None => self.quarantine(&path, "cursor.json", text.len() as u64),
        }
    }

    /// Adds to the file what is withheld since it was written; removes it when nothing is.
    fn write_withheld(&mut self) -> io::Result<()> {
        let path = self.directory.join("withheld");
        if self.withheld.is_empty() {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let fresh = self.withheld.fresh();
        if fresh.is_empty() {
            return Ok(());
        }
        let mut file = open_to_append(&path)?;
        // A part that a crash left would shift all that follows.
        let whole = file.metadata()?.len() / WITHHELD as u64 * WITHHELD as u64;
        file.set_len(whole)?;
        let mut bytes = Vec::with_capacity(fresh.len() * WITHHELD);
        for (span, chunk) in fresh {
            let begin = bytes.len();
            bytes.extend_from_slice(&chunk.to_le_bytes());
            bytes.extend_from_slice(span);
            let sum = crc32c::crc32c(&bytes[begin..]);
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        self.withheld.stored();
        Ok(())
    }

    /// Reads what an earlier process withheld, but for chunks that will be sent again.
    fn read_withheld(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        match open_to_read(&self.directory.join("withheld")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?.read_to_end(&mut bytes)?,
        };
        for record in bytes.chunks_exact(WITHHELD) {
            let (content, sum) = record.split_at(WITHHELD - 4);
            let (chunk, span) = content.split_at(8);
            let (Some(chunk), Some(span)) = (chunk.first_chunk(), span.first_chunk()) else { continue };
            let chunk = u64::from_le_bytes(*chunk);
            if chunk < self.settled && crc32c::crc32c(content).to_le_bytes() == sum {
                self.withheld.insert(*span, chunk);
            }
        }
        // They are in the file already.
        self.withheld.stored();
        Ok(())
    }

    /// Reads a segment up to the first damage; what is behind that goes into quarantine.
    fn read_segment(&mut self, segment: u64) -> io::Result<()> {
        let path = self.path(segment);
        let name = format!("{segment:020}.seg");
        let file = match open_to_read(&path) {
            Ok(file) => file,
            // A link or a directory: not ours.
            Err(_) => return Ok(()),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(());
        }
        let size = metadata.len();
        let mut reader = io::BufReader::with_capacity(1 << 16, file);
        let mut start = Vec::new();
        (&mut reader).take(HEADER).read_to_end(&mut start)?;
        let Some(is_leaf) = [false, true].into_iter().find(|is_leaf| header(*is_leaf).starts_with(&start)) else {
            return self.quarantine(&path, &name, size);
        };
        if start.len() < HEADER as usize {
            // It was just begun.
            return fs::remove_file(&path);
        }
        let mut known = Segment { size: HEADER, is_leaf, live: 0 };
        let mut live = Vec::new();
        while let Some((number, after, records, chunk)) = read_record(&mut reader) {
            let offset = known.size + HEAD as u64;
            known.size = offset + chunk.len() as u64;
            if number >= self.settled {
                let length = chunk.len() as u32;
                live.push(Entry { number, after, first: 0, records, segment, offset, length, state: State::Waiting });
            }
        }
        known.live = live.len();
        if known.size < size {
            let rest = self.put_aside(reader.into_inner(), &name, known.size);
            self.notices.push(Notice::Quarantined(name, size - known.size));
            // A file system that does not allow it will show the same damage at the next start.
            let _ = rest.and_then(|()| fs::OpenOptions::new().write(true).open(&path)?.set_len(known.size));
        }
        match live.is_empty() {
            true => drop(fs::remove_file(&path)),
            false => {
                self.entries.extend(live);
                self.segments.insert(segment, known);
            }
        }
        Ok(())
    }

    /// Copies what a segment holds from `offset` on.
    fn put_aside(&self, mut file: File, name: &str, offset: u64) -> io::Result<()> {
        let quarantine = self.directory.join("quarantine");
        create_directory(&quarantine)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut copy = open_to_append(&quarantine.join(format!("{name}.{offset}")))?;
        copy.set_len(0)?;
        io::copy(&mut file, &mut copy)?;
        copy.sync_data()
    }

    fn quarantine(&mut self, path: &Path, name: &str, size: u64) -> io::Result<()> {
        let quarantine = self.directory.join("quarantine");
        create_directory(&quarantine)?;
        // An earlier one of that name stays.
        let free = (0..).map(|count| quarantine.join(format!("{name}.{count}"))).find(|path| !path.exists());
        if let Some(free) = free {
            fs::rename(path, free)?;
        }
        self.notices.push(Notice::Quarantined(name.to_owned(), size));
        Ok(())
    }

    fn read_chunk(&self, entry: &Entry) -> io::Result<Bytes> {
        let mut file = open_to_read(&self.path(entry.segment))?;
        file.seek(SeekFrom::Start(entry.offset - HEAD as u64))?;
        match read_record(&mut file) {
            Some((number, _, _, chunk)) if number == entry.number => Ok(chunk.into()),
            _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.unnoted > 0 {
            self.note();
        }
    }
}

/// What is sent of a spool: one at a time asks for a chunk or settles one.
impl Source for Spool {
    fn next(&mut self) -> Option<(u64, Chunk)> {
        loop {
            let place = self.entries.iter().position(|entry| entry.state == State::Waiting)?;
            let entry = &self.entries[place];
            if entry.after > self.first_open() {
                return None;
            }
            let is_orphan = entry.after != 0 && entry.after <= self.dropped_parents;
            let (number, records) = (entry.number, entry.records);
            let message = match self.read_chunk(entry) {
                _ if is_orphan => None,
                Ok(message) => Some(message),
                Err(error) if is_passing(&error) => {
                    self.is_stuck = true;
                    return None;
                }
                Err(_) => None,
            };
            self.is_stuck = false;
            let Some(message) = message else {
                // Its parents are gone, or it cannot be read any more.
                let became = Account { dropped: records as u64, ..Account::default() };
                self.entries[place].state = State::Settled(became);
                self.advance();
                continue;
            };
            self.entries[place].state = State::Sent;
            return Some((number, Chunk { message, records, overtakes: u32::MAX, is_leaf: false }));
        }
    }

    fn settle(&mut self, number: u64, outcome: Outcome) {
        let Ok(place) = self.entries.binary_search_by_key(&number, |entry| entry.number) else { return };
        let [delivered, rejected, dropped] =
            [outcome.delivered, outcome.rejected, outcome.lost].map(|count| count as u64);
        self.entries[place].state = State::Settled(Account { delivered, rejected, dropped, queued: 0 });
        self.advance();
    }

    fn give_up(&mut self, number: u64, _: Outcome) {
        // It stays, and is sent again, whole.
        if let Ok(place) = self.entries.binary_search_by_key(&number, |entry| entry.number) {
            self.entries[place].state = State::Waiting;
        }
    }

    fn first_of(&self, number: u64) -> u64 {
        let place = self.entries.binary_search_by_key(&number, |entry| entry.number);
        place.map_or(0, |place| self.entries[place].first)
    }

    fn with_withheld<R>(&mut self, work: impl FnOnce(&mut Withheld) -> R) -> R {
        work(&mut self.withheld)
    }
}

impl Spool {
    /// The oldest chunk that is not settled.
    fn first_open(&self) -> u64 {
        let open = self.entries.iter().find(|entry| !matches!(entry.state, State::Settled(_)));
        open.map_or(self.next_number, |entry| entry.number)
    }
}

fn claim(path: &Path) -> Result<File, OpenError> {
    let mut file = open_to_append(path)?;
    if !lock(&file) {
        let mut holder = String::new();
        let _ = file.take(100).read_to_string(&mut holder);
        return Err(OpenError::InUse(holder.trim().to_owned()));
    }
    file.set_len(0)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
    Ok(file)
}

fn header(is_leaf: bool) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header[10] = is_leaf.into();
    header
}

/// A record: the head and the chunk.
fn encode(number: u64, after: u64, chunk: &Chunk) -> io::Result<Vec<u8>> {
    let length = u32::try_from(chunk.message.len()).map_err(io::Error::other)?;
    let records = u32::try_from(chunk.records).map_err(io::Error::other)?;
    let mut record = Vec::with_capacity(HEAD + chunk.message.len());
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(&number.to_le_bytes());
    record.extend_from_slice(&after.to_le_bytes());
    record.extend_from_slice(&records.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&record), &chunk.message);
    record.extend_from_slice(&sum.to_le_bytes());
    record.extend_from_slice(&chunk.message);
    Ok(record)
}

/// The number, `after`, the count and the chunk of the next record; `None` at the end and where it is damaged.
fn read_record(reader: &mut impl Read) -> Option<(u64, u64, usize, Vec<u8>)> {
    let mut head = [0; HEAD];
    reader.read_exact(&mut head).ok()?;
    let length = u32::from_le_bytes(*head[..4].first_chunk()?);
    let number = u64::from_le_bytes(*head[4..12].first_chunk()?);
    let after = u64::from_le_bytes(*head[12..20].first_chunk()?);
    let records = u32::from_le_bytes(*head[20..24].first_chunk()?);
    let sum = u32::from_le_bytes(*head[24..].first_chunk()?);
    let mut chunk = Vec::new();
    reader.take(u64::from(length.min(LONGEST_CHUNK))).read_to_end(&mut chunk).ok()?;
    let is_whole = chunk.len() == length as usize && sum == crc32c::crc32c_append(crc32c::crc32c(&head[..24]), &chunk);
    is_whole.then_some((number, after, usize::try_from(records).ok()?, chunk))
}

#[cfg(test)]
mod tests;
