//! Stored chunks are there, whatever happens to the files.

mod damage;
pub(crate) mod disk;
mod ends;
mod format;
mod history;
pub(super) mod power;
mod progress;
mod reads;
mod room;
mod slots;

use std::fs;
use std::time::Instant;

use super::*;
use disk::{Op, with_fault};
use history::History;
use proptest::prelude::*;

const LIMIT: u64 = 1 << 20;

fn chunk(text: &str, records: usize, role: Role) -> Chunk {
    Chunk { message: text.as_bytes().to_vec().into(), records, role }
}

fn root(text: &str) -> Chunk {
    chunk(text, 1, Role::Root)
}

fn detail(text: &str) -> Chunk {
    chunk(text, 1, Role::Detail)
}

fn open(directory: &Path, limit: u64) -> Spool {
    Spool::open_first(directory, limit).unwrap()
}

fn text_of(chunk: &Chunk) -> String {
    String::from_utf8(chunk.message.to_vec()).unwrap()
}

/// Returns all chunks that may be sent now, and leaves them pending.
fn pending(spool: &mut Spool) -> Vec<String> {
    let taken: Vec<_> = std::iter::from_fn(|| spool.next()).collect();
    taken.iter().for_each(|(ticket, _)| spool.abandon(*ticket));
    taken.iter().map(|(_, chunk)| text_of(chunk)).collect()
}

/// Delivers the next chunk.
fn deliver(spool: &mut Spool) -> Option<String> {
    let (ticket, chunk) = spool.next()?;
    spool.finalize(ticket, RecordCounts { delivered: chunk.records as u64, ..RecordCounts::default() });
    spool.persist_if_due();
    Some(text_of(&chunk))
}

/// Delivers everything, and returns it in the order in which it was sent.
fn drain(spool: &mut Spool) -> Vec<String> {
    std::iter::from_fn(|| deliver(spool)).collect()
}

fn counts(delivered: u64, rejected: u64, dropped: u64) -> RecordCounts {
    RecordCounts { delivered, rejected, dropped }
}

/// Selects the writing of cursors.
fn is_cursor(op: &Op) -> bool {
    matches!(op, Op::Overwrite(..))
}

/// Returns the segments of the first slot.
fn segments(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory.join("0")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect();
    paths.sort();
    paths
}

#[test]
fn stored_chunks_survive_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("one"), chunk("two", 2, Role::Detail), chunk("three", 3, Role::Detail)]).unwrap();
    spool.append(&[chunk("four", 4, Role::Root)]).unwrap();
    assert_eq!(deliver(&mut spool).unwrap(), "one");
    drop(spool);
    let mut spool = open(directory.path(), LIMIT);
    assert_eq!((spool.counts(), spool.queued()), (counts(1, 0, 0), 9));
    assert_eq!(pending(&mut spool), ["four", "two", "three"]);
    assert_eq!(deliver(&mut spool).unwrap(), "four");
    let (ticket, _) = spool.next().unwrap();
    spool.finalize(ticket, counts(1, 1, 0));
    let (ticket, _) = spool.next().unwrap();
    spool.finalize(ticket, counts(0, 0, 3));
    spool.persist_if_due();
    assert_eq!((spool.counts(), spool.queued()), (counts(6, 1, 3), 0));
    assert!(segments(directory.path()).is_empty());
    drop(spool);
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[chunk("five", 5, Role::Root)]).unwrap();
    assert_eq!(pending(&mut spool), ["five"]);
    assert_eq!((spool.counts(), spool.queued()), (counts(6, 1, 3), 5));
}

#[test]
fn finalized_out_of_order_is_sent_again_after_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("one"), root("two")]).unwrap();
    let (_, (second, _)) = (spool.next().unwrap(), spool.next().unwrap());
    spool.finalize(second, counts(1, 0, 0));
    assert_eq!((spool.counts(), spool.queued()), (counts(0, 0, 0), 2));
    drop(spool);
    assert_eq!(pending(&mut open(directory.path(), LIMIT)), ["one", "two"]);
}

#[test]
fn chunk_waits_for_its_predecessor_only() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    let more = chunk("more", 1, Role::Continuation);
    spool.append(&[root("root"), detail("early detail"), more, detail("detail")]).unwrap();
    spool.append(&[root("other"), detail("other detail")]).unwrap();
    let mut take = || spool.next().map(|(ticket, chunk)| (ticket, text_of(&chunk)));
    let (first, text) = take().unwrap();
    assert_eq!(text, "root");
    let (other, text) = take().unwrap();
    assert_eq!(text, "other");
    assert_eq!(take(), None);
    spool.finalize(other, counts(1, 0, 0));
    assert_eq!(pending(&mut spool), ["other detail"]);
    spool.finalize(first, counts(0, 1, 0));
    assert_eq!(pending(&mut spool), ["more", "early detail", "other detail"]);
    drop(spool);
    // The next process knows the same.
    let found = drain(&mut open(directory.path(), LIMIT));
    assert_eq!(found, ["more", "other", "early detail", "detail", "other detail"]);
}

#[test]
fn unanswered_chunk_holds_back_its_tree_and_64_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("poison"), chunk("its child", 1, Role::Continuation), detail("its detail")]).unwrap();
    (0..100).for_each(|number| spool.append(&[root(&format!("{number}")), detail(&format!("d{number}"))]).unwrap());
    let (poison, _) = spool.next().unwrap();
    let sent = drain(&mut spool);
    let summaries = sent.iter().filter(|text| text.parse::<u64>().is_ok()).count();
    // One place is the poison's, and one that of its child.
    assert_eq!((summaries, sent.len()), (MAX_AHEAD - 2, 2 * (MAX_AHEAD - 2)));
    assert!(!sent.iter().any(|text| text.starts_with("its")));
    spool.finalize(poison, counts(0, 1, 0));
    assert_eq!(drain(&mut spool).len(), 202 - sent.len());
}

/// Scenario: chunks are finalized and in flight, and no cursor has them. Guarantees: there are at
/// most 64 of them.
#[test]
fn chunks_that_no_cursor_has_are_64_at_most() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    (0..200).for_each(|_| spool.append(&[root("x")]).unwrap());
    for _ in 0..20 {
        let (ticket, _) = spool.next().unwrap();
        spool.finalize(ticket, counts(1, 0, 0));
    }
    assert_eq!(std::iter::from_fn(|| spool.next()).count(), MAX_AHEAD - 20);
    spool.persist_if_due();
    assert_eq!(std::iter::from_fn(|| spool.next()).count(), 20);
}

/// Scenario: chunks are delivered, and the process crashes. Guarantees: the next one sends at most
/// 64 chunks of each log again.
#[test]
fn crash_sends_at_most_64_chunks_of_a_log_again() {
    let (directory, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut spool = open(directory.path(), LIMIT);
    (0..300).for_each(|_| spool.append(&[root("x"), detail("y")]).unwrap());
    for delivered in 1..600 {
        deliver(&mut spool).unwrap();
        if delivered % 7 == 0 {
            copy(&directory.path().join("0"), &crashed.path().join("0"));
            let again = open(crashed.path(), LIMIT).queued();
            assert!(again - spool.queued() <= 2 * MAX_AHEAD as u64, "{again} after {delivered}");
            fs::remove_dir_all(crashed.path().join("0")).unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn failed_write_stores_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("one"), detail("two")]).unwrap();
    // Each write and synchronization of a report fails once.
    for fails in 0..6 {
        let mut count = 0;
        let fault = move |op: &Op| {
            count += usize::from(matches!(op, Op::Write(..) | Op::Sync(_)));
            matches!(op, Op::Write(..) | Op::Sync(_)) && count == fails + 1
        };
        let result = with_fault(fault, || spool.append(&[root("never"), detail("never")]));
        result.unwrap_err();
        assert_eq!(spool.queued(), 2);
    }
    spool.append(&[root("three")]).unwrap();
    assert_eq!(segments(directory.path()).len(), 3);
    assert_eq!(pending(&mut spool), ["one", "three"]);
    drop(spool);
    assert_eq!(drain(&mut open(directory.path(), LIMIT)), ["one", "three", "two"]);
}

/// Scenario: what was written cannot be taken back, or only the new segment of it can. Guarantees:
/// no report is stored before all of it is.
#[test]
fn failed_undo_is_repeated_before_the_next_report() {
    for can_remove in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), LIMIT);
        spool.append(&[root("one")]).unwrap();
        let first = segments(directory.path()).remove(0);
        let before = fs::read(&first).unwrap();
        let fault = move |op: &Op| match op {
            Op::Sync(_) | Op::Truncate(..) => true,
            Op::Remove(_) => !can_remove,
            _ => false,
        };
        let result = with_fault(fault, || {
            spool.append(&[root("never"), detail("never")]).unwrap_err();
            spool.append(&[root("neither")])
        });
        result.unwrap_err();
        assert_ne!(fs::read(&first).unwrap(), before);
        spool.append(&[root("two"), detail("three")]).unwrap();
        assert_eq!(fs::read(&first).unwrap(), before);
        assert_eq!(drain(&mut spool), ["one", "two", "three"]);
    }
}

/// Scenario: what was written cannot be taken back, and meanwhile its segment is delivered and
/// removed. Guarantees: the next report is stored.
#[test]
fn failed_undo_of_a_removed_segment_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("one")]).unwrap();
    let fault = |op: &Op| matches!(op, Op::Sync(_) | Op::Truncate(..));
    with_fault(fault, || spool.append(&[root("never")])).unwrap_err();
    assert_eq!(drain(&mut spool), ["one"]);
    assert_eq!(segments(directory.path()).len(), 0);
    spool.append(&[root("two")]).unwrap();
    assert_eq!(drain(&mut spool), ["two"]);
}

/// Guarantees: what cannot be taken back is known to be there still. A missing file is no failure.
#[test]
fn file_that_cannot_be_removed_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    super::disk::remove(directory.path()).unwrap_err();
    super::disk::remove(&directory.path().join("missing")).unwrap();
}

/// Scenario: a report is written while a chunk of its segments is finalized, and cannot be
/// synchronized. Guarantees: nothing else is lost.
#[test]
fn failed_sync_takes_nothing_else_along() {
    let (directory, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("parent"), detail("child")]).unwrap();
    let mut begun = spool.begin(&[root("begun")]).unwrap();
    assert_eq!(deliver(&mut spool).unwrap(), "parent");
    let written = with_fault(|op| matches!(op, Op::Sync(_)), || begun.write());
    spool.end(begun, written).unwrap_err();
    copy(&directory.path().join("0"), &crashed.path().join("0"));
    assert_eq!(pending(&mut spool), ["child"]);
    assert_eq!(drain(&mut open(crashed.path(), LIMIT)), ["parent", "child"]);
}

/// Scenario: the disk is full, so that no file can be created or grow. Guarantees: stored chunks
/// are sent and their files removed, and then the spool takes reports again.
#[test]
fn full_disk_has_room_after_delivery() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    for _ in 0..3 {
        spool.append(&[root("r"), detail("l")]).unwrap();
        let is_full = |op: &Op| matches!(op, Op::Create(_) | Op::Write(..) | Op::CreateDirectory(_));
        with_fault(is_full, || {
            spool.append(&[root("r")]).unwrap_err();
            assert_eq!(drain(&mut spool), ["r", "l"]);
        });
        assert_eq!((segments(directory.path()), &spool.notices[..]), (Vec::new(), &[][..]));
        // An open file would keep its room.
        assert!(spool.logs.iter().all(|log| log.tail.is_none()));
    }
}

/// `SPOOL_BYTES=4294967296 cargo test -p flink-traces-otlp --lib large_spool -- --nocapture` prints
/// how long the start takes at that size.
#[test]
fn large_spool_is_found_whole() {
    let bytes = power::variable("SPOOL_BYTES", 32 << 20);
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), u64::MAX);
    let text = "x".repeat(1_000);
    let report: Vec<_> = (0..8_000).map(|number| if number % 2 == 0 { root(&text) } else { detail(&text) }).collect();
    let mut stored = 0;
    while spool.size() < bytes {
        spool.append(&report).unwrap();
        stored += report.len() as u64;
    }
    drop(spool);
    let start = Instant::now();
    let spool = open(directory.path(), u64::MAX);
    let (took, segments) = (start.elapsed(), segments(directory.path()).len());
    println!("{} bytes in {segments} segments: the start took {took:?}", spool.size());
    assert_eq!((spool.queued(), &spool.notices[..]), (stored, &[][..]));
    assert!(segments >= 4);
}

#[cfg(unix)]
#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let root_directory = directory.path().join("a/spool");
    let mut spool = open(&root_directory, LIMIT);
    spool.append(&[root("one"), root("two")]).unwrap();
    deliver(&mut spool).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&root_directory), mode(&root_directory.join("0"))], [0o700; 2]);
    let files: Vec<_> = fs::read_dir(root_directory.join("0")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn random_histories_match_the_model(seed: u64, limit in prop_oneof![Just(2_500_u64), Just(1 << 20)], steps in 1..120) {
        let directory = power::scratch();
        let mut history = History::new(directory.path(), limit, seed);
        (0..steps).for_each(|_| history.step());
        history.drain();
    }
}
