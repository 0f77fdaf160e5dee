//! Reads without the lock, between which the spool may change.

use super::super::read::Read;
use super::*;

/// Returns a spool with one segment for each of its chunks, and the read that is due.
fn due(directory: &Path, reads: usize) -> (Spool, Read) {
    let mut spool = open(directory, LIMIT);
    spool.append(&[root(&"a".repeat(200_000))]).unwrap();
    spool.append(&[root(&"b".repeat(200_000))]).unwrap();
    for _ in 1..reads {
        let read = spool.plan_read(Class::Summary).unwrap();
        let found = read.run().unwrap();
        assert!(spool.end_read(read, found).is_none());
    }
    let read = spool.plan_read(Class::Summary).unwrap();
    (spool, read)
}

/// Scenario: a segment is evicted while its head, or its chunk, is read. Guarantees: the chunk is
/// dropped and counted once, and the next one is sent.
#[test]
fn read_of_an_evicted_segment_is_forgotten() {
    for reads in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, read) = due(directory.path(), reads);
        let found = read.run().unwrap();
        spool.append(&[root(&"c".repeat(800_000))]).unwrap();
        assert!(spool.end_read(read, found).is_none());
        assert_eq!(drain(&mut spool), ["b".repeat(200_000), "c".repeat(800_000)], "{reads}");
        assert_eq!(spool.counts(), counts(2, 0, 1));
    }
}

/// Scenario: a segment is evicted, and its file removed, before its head or its chunk is read.
/// Guarantees: that is no damage.
#[test]
fn read_of_a_removed_segment_is_no_damage() {
    for reads in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, read) = due(directory.path(), reads);
        spool.append(&[root(&"c".repeat(800_000))]).unwrap();
        let found = read.run().unwrap();
        assert!(spool.end_read(read, found).is_none());
        assert_eq!(spool.notices, [Notice::Drops], "{reads}");
        assert_eq!(drain(&mut spool).len(), 2);
        assert_eq!(spool.counts(), counts(2, 0, 1));
    }
}

/// Scenario: a report is stored in the segment that is read. Guarantees: both are sent.
#[test]
fn read_of_a_growing_segment_finds_its_chunk() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("a")]).unwrap();
    let read = spool.plan_read(Class::Summary).unwrap();
    let mut append = spool.begin(&[root("b")]).unwrap();
    let found = read.run().unwrap();
    assert!(spool.end_read(read, found).is_none());
    let written = append.write();
    spool.end(append, written).unwrap();
    assert_eq!(drain(&mut spool), ["a", "b"]);
}

/// Scenario: a segment cannot be opened for a while, for its head or for its chunk, because the
/// process has no descriptors left. Guarantees: that is no damage, and the chunk is sent later.
#[cfg(unix)]
#[test]
fn segment_that_cannot_be_opened_now_is_sent_later() {
    for succeed in [0, 1] {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), LIMIT);
        spool.append(&[root("a")]).unwrap();
        let mut reads = 0;
        let fault = move |op: &Op| {
            reads += usize::from(matches!(op, Op::Read(_)));
            matches!(op, Op::Read(_)) && reads > succeed
        };
        assert!(with_fault(fault, || spool.next()).is_none());
        assert_eq!(drain(&mut spool), ["a"]);
        assert_eq!((spool.counts(), &spool.notices[..]), (counts(1, 0, 0), &[][..]));
    }
}
