//! The journal: the keys of the records that all reporters are done with.
//!
//! A record that it knows is not reported again after a restart. The file begins with a head, which
//! names the format. Blocks of keys follow, each with a checksum. A block that a crash cut off ends
//! the file. At a start, the file is written again with the newest keys of each job, and the oldest
//! jobs give way if it is too large.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use flink_traces_runtime::dispatch::Journal as Keys;
use flink_traces_runtime::metrics::{Kind, Labels, Page};

use crate::metrics::Counts;
use crate::private;

/// The first bytes of a file, without the version.
const MAGIC: [u8; 8] = *b"FLTJRNL\n";
/// The version of the format.
const VERSION: u32 = 1;
/// The length of the head: the first bytes, the version and four bytes for later.
const HEAD: usize = 16;
/// The length of the head of a block: the number of keys and the checksum.
const BLOCK_HEAD: usize = 8;
/// The length of a key.
const KEY: usize = 16;
/// The number of keys of a job that a start keeps.
const MAX_OF_JOB: usize = 256;
/// The number of keys that a start keeps.
const MAX_KEYS: usize = 4 << 20;
/// The number of keys in the file from which it is written again.
const REWRITE_AT: usize = 2 * MAX_KEYS;
/// The maximum number of keys in a block.
const MAX_OF_BLOCK: usize = 64 << 10;
/// The pause between two writes. Keys of this time are lost if the process is killed.
const PAUSE: Duration = Duration::from_millis(500);

type Key = [u8; KEY];

/// The reason why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: expected a journal of version {VERSION} or older, found {found}, which a newer version has written", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error("{}: expected a journal, found another file", path.display())]
    Foreign { path: PathBuf },
    #[error("{}: another process uses the journal", path.display())]
    InUse { path: PathBuf },
}

/// An open journal. Its keys are written by a thread of its own.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    known: HashSet<Key>,
    pending: Mutex<Pending>,
    wake: Condvar,
    repeated: AtomicU64,
    written: AtomicU64,
    failures: AtomicU64,
}

#[derive(Default)]
struct Pending {
    keys: Vec<Key>,
    is_closed: bool,
}

/// The file, which this process alone writes to.
struct Writer {
    path: PathBuf,
    file: File,
    /// The file whose lock keeps other processes out.
    _lock: File,
    /// The number of keys in the file.
    count: usize,
    is_failing: bool,
}

impl Journal {
    /// Opens a journal, which is created if it does not exist.
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        let at = |error| JournalError::Io { path: path.to_owned(), error };
        let lock = private::options().append(true).create(true).open(beside(path, "lock")).map_err(at)?;
        if !try_lock(&lock) {
            return Err(JournalError::InUse { path: path.to_owned() });
        }
        let keys = newest(read(path)?);
        let file = rewrite(path, &keys).map_err(at)?;
        let writer = Writer { path: path.to_owned(), file, _lock: lock, count: keys.len(), is_failing: false };
        let shared = Arc::new(Shared {
            known: keys.into_iter().collect(),
            pending: Mutex::default(),
            wake: Condvar::new(),
            repeated: AtomicU64::new(0),
            written: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        });
        let on_thread = shared.clone();
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let writer = thread.spawn(move || on_thread.write(writer)).map_err(at)?;
        Ok(Self { shared, writer: Mutex::new(Some(writer)) })
    }

    /// Writes all keys and ends the thread.
    pub(crate) fn close(&self) {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.shared.wake.notify_all();
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
    }
}

impl Counts for Journal {
    fn add_to(&self, page: &mut Page) {
        let Shared { known, repeated, written, failures, .. } = &*self.shared;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (name, kind, help, value) in [
            (
                "flink_traces_journal_known",
                Kind::Gauge,
                "Records of earlier processes in the journal.",
                known.len() as u64,
            ),
            (
                "flink_traces_journal_repeated_total",
                Kind::Counter,
                "Records that were not reported again, because the journal knows them.",
                load(repeated),
            ),
            ("flink_traces_journal_written_total", Kind::Counter, "Records written to the journal.", load(written)),
            (
                "flink_traces_journal_failures_total",
                Kind::Counter,
                "Writes of the journal that failed.",
                load(failures),
            ),
        ] {
            page.head(name, kind, help);
            page.sample(name, &Labels::default(), value);
        }
    }
}

impl Keys for Journal {
    fn is_known(&self, key: Key) -> bool {
        let is_known = self.shared.known.contains(&key);
        if is_known {
            self.shared.repeated.fetch_add(1, Ordering::Relaxed);
            // The cluster still shows it, so it is among the newest again.
            self.add(key);
        }
        is_known
    }

    fn add(&self, key: Key) {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner).keys.push(key);
    }
}

impl Shared {
    fn write(&self, mut writer: Writer) {
        loop {
            let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.wake.wait_timeout_while(pending, PAUSE, |pending| !pending.is_closed);
            let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let (keys, is_closed) = (std::mem::take(&mut pending.keys), pending.is_closed);
            drop(pending);
            match writer.append(&keys) {
                Ok(()) => {
                    writer.is_failing = false;
                    self.written.fetch_add(keys.len() as u64, Ordering::Relaxed);
                }
                Err(error) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut writer.is_failing, true) {
                        tracing::warn!(path = ?writer.path, %error, "cannot write the journal, records may be reported again after a restart");
                    }
                    let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
                    // What cannot be written for long is forgotten.
                    if pending.keys.len() < MAX_OF_BLOCK {
                        pending.keys.splice(0..0, keys);
                    }
                }
            }
            if is_closed {
                return;
            }
        }
    }
}

impl Writer {
    fn append(&mut self, keys: &[Key]) -> io::Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        if self.is_failing || self.count + keys.len() > REWRITE_AT {
            // What a failed write left behind is not followed by other blocks.
            let known = read(&self.path).map_err(io::Error::other)?;
            let all = newest(known.into_iter().chain(keys.iter().copied()).collect());
            self.file = rewrite(&self.path, &all)?;
            self.count = all.len();
            return Ok(());
        }
        for keys in keys.chunks(MAX_OF_BLOCK) {
            self.file.write_all(&block(keys))?;
        }
        self.file.sync_data()?;
        self.count += keys.len();
        Ok(())
    }
}

/// Returns the path of a file beside the journal.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

pub(crate) fn block(keys: &[Key]) -> Vec<u8> {
    let content = keys.concat();
    let mut block = (keys.len() as u32).to_le_bytes().to_vec();
    block.extend(crc32c::crc32c(&content).to_le_bytes());
    block.extend(content);
    block
}

/// Reads the keys of a file in order, up to the first damaged block. A missing file has none.
fn read(path: &Path) -> Result<Vec<Key>, JournalError> {
    let at = |error| JournalError::Io { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(error)),
        Ok(mut file) => file.read_to_end(&mut bytes).map_err(at)?,
    };
    let Some((head, mut rest)) = bytes.split_first_chunk::<HEAD>() else {
        // A crash may have cut the head off.
        return if MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
            Ok(Vec::new())
        } else {
            Err(JournalError::Foreign { path: path.to_owned() })
        };
    };
    let [magic @ .., v0, v1, v2, v3, _, _, _, _] = *head;
    if magic != MAGIC {
        return Err(JournalError::Foreign { path: path.to_owned() });
    }
    match u32::from_le_bytes([v0, v1, v2, v3]) {
        VERSION => {}
        found => return Err(JournalError::Newer { path: path.to_owned(), found }),
    }
    let mut keys = Vec::new();
    while let Some(([c0, c1, c2, c3, s0, s1, s2, s3], after)) = rest.split_first_chunk::<BLOCK_HEAD>() {
        let count = u32::from_le_bytes([*c0, *c1, *c2, *c3]) as usize;
        let Some((content, after)) = after.split_at_checked(count.saturating_mul(KEY)) else { break };
        if crc32c::crc32c(content) != u32::from_le_bytes([*s0, *s1, *s2, *s3]) {
            break;
        }
        keys.extend(content.as_chunks::<KEY>().0);
        rest = after;
    }
    if !rest.is_empty() {
        tracing::warn!(?path, bytes = rest.len(), "end of the journal is damaged and left out");
    }
    Ok(keys)
}

/// Returns the newest keys of each job, in order and each once. If they are too many, those of the
/// jobs without recent keys are left out.
fn newest(keys: Vec<Key>) -> Vec<Key> {
    let mut kept = Vec::new();
    let mut seen = HashSet::new();
    let mut of_job: HashMap<[u8; 8], usize> = HashMap::new();
    for key in keys.into_iter().rev() {
        let [job @ .., _, _, _, _, _, _, _, _] = key;
        let count = of_job.entry(job).or_default();
        if *count < MAX_OF_JOB && kept.len() < MAX_KEYS && seen.insert(key) {
            *count += 1;
            kept.push(key);
        }
    }
    kept.reverse();
    kept
}

/// Replaces the file by one with these keys, and returns it for appending.
fn rewrite(path: &Path, keys: &[Key]) -> io::Result<File> {
    let new = beside(path, "new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private::options().append(true).create_new(true).open(&new)?;
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend([0; 4]);
    file.write_all(&head)?;
    for keys in keys.chunks(MAX_OF_BLOCK) {
        file.write_all(&block(keys))?;
    }
    file.sync_data()?;
    fs::rename(&new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

/// Locks the file for as long as it is open. A file system without locks lets everyone in.
#[cfg(unix)]
fn try_lock(file: &File) -> bool {
    use rustix::fs::{FlockOperation, flock};

    flock(file, FlockOperation::NonBlockingLockExclusive) != Err(rustix::io::Errno::WOULDBLOCK)
}

#[cfg(not(unix))]
fn try_lock(_: &File) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    fn key(job: u64, record: u64) -> Key {
        let mut key = [0; KEY];
        key[..8].copy_from_slice(&job.to_be_bytes());
        key[8..].copy_from_slice(&record.to_be_bytes());
        key
    }

    #[test]
    fn written_keys_are_known_to_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        for round in 0..3 {
            let journal = Journal::open(&path).unwrap();
            for record in 0..10 {
                assert_eq!(journal.is_known(key(1, record)), record < round * 2, "{round} {record}");
            }
            journal.add(key(1, round * 2));
            journal.add(key(1, round * 2 + 1));
            journal.close();
            assert_eq!(read(&path).unwrap().len() as u64, (round + 1) * 2 + round * 2);
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    /// Scenario: a crash leaves any prefix of the file, or any damage of one byte. Guarantees: the
    /// keys before it are known, no others, and the journal goes on.
    #[test]
    fn every_prefix_and_damage_leaves_a_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let blocks: Vec<Vec<Key>> = (0..4).map(|job| (0..=job).map(|record| key(job, record)).collect()).collect();
        rewrite(&path, &[]).unwrap();
        for keys in &blocks {
            OpenOptions::new().append(true).open(&path).unwrap().write_all(&block(keys)).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        let all = blocks.concat();
        for end in 0..=whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let found = read(&path).unwrap();
            assert!(all.starts_with(&found), "{end}");
            let journal = Journal::open(&path).unwrap();
            journal.add(key(9, 9));
            journal.close();
            assert_eq!(read(&path).unwrap(), [found, vec![key(9, 9)]].concat(), "{end}");
        }
        for index in HEAD..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 0x10;
            fs::write(&path, damaged).unwrap();
            assert!(all.starts_with(&read(&path).unwrap()), "{index}");
        }
    }

    #[test]
    fn newer_and_foreign_files_stay_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let newer = [&MAGIC[..], &[2, 0, 0, 0, 0, 0, 0, 0], b"later"].concat();
        for (content, expected) in [
            (newer, "expected a journal of version 1 or older, found 2"),
            (b"a text of others".to_vec(), "expected a journal, found another file"),
            (b"short".to_vec(), "expected a journal, found another file"),
        ] {
            fs::write(&path, &content).unwrap();
            let error = Journal::open(&path).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let first = Journal::open(&path).unwrap();
        #[cfg(unix)]
        assert!(Journal::open(&path).err().unwrap().to_string().contains("another process uses the journal"));
        first.close();
        drop(first);
        Journal::open(&path).unwrap().close();
    }

    #[test]
    fn newest_keys_of_each_job_are_kept() {
        let busy = (0..1_000).map(|record| key(1, record));
        let keys: Vec<Key> = [key(2, 0), key(2, 1)].into_iter().chain(busy).chain([key(2, 0)]).collect();
        let kept = newest(keys);
        assert_eq!(kept.len(), 2 + MAX_OF_JOB);
        assert_eq!((kept[0], kept[1], kept[kept.len() - 1]), (key(2, 1), key(1, 744), key(2, 0)));
    }

    #[test]
    fn failed_write_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d/journal");
        fs::create_dir(folder.path().join("d")).unwrap();
        let journal = Journal::open(&path).unwrap();
        let mut writer = Writer {
            path: path.clone(),
            file: File::open(&path).unwrap(),
            _lock: File::open(&path).unwrap(),
            count: 0,
            is_failing: false,
        };
        // The file is open for reading only.
        assert!(writer.append(&[key(1, 1)]).is_err());
        writer.is_failing = true;
        writer.append(&[key(1, 1)]).unwrap();
        assert_eq!(read(&path).unwrap(), [key(1, 1)]);
        journal.close();
    }
}
