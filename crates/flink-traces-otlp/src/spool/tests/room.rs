//! A full spool.

use super::record::HEAD;
use super::segment::HEADER;
use super::*;

fn large(letter: &str, size: usize, role: Role) -> Chunk {
    chunk(&letter.repeat(size), 1, role)
}

fn letters(texts: &[String]) -> String {
    texts.iter().map(|text| &text[..1]).collect()
}

/// Stores chunks of 100 kB until some are dropped.
fn fill(spool: &mut Spool) {
    while spool.counts().dropped == 0 {
        spool.append(&[large("x", 100_000, Role::Root)]).unwrap();
    }
}

/// Scenario: a segment of detail is the oldest, and one of its chunks is in flight. Guarantees: it
/// goes all the same, and the chunk counts by its response.
#[test]
fn chunk_in_flight_outlives_its_segment() {
    for outcome in [Some(counts(1, 0, 0)), Some(counts(0, 1, 0)), None] {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), LIMIT);
        spool.append(&[root("o"), large("p", 100, Role::Detail), large("q", 100_000, Role::Detail)]).unwrap();
        deliver(&mut spool).unwrap();
        let (ticket, _) = spool.next().unwrap();
        fill(&mut spool);
        let before = spool.queued();
        assert_eq!(spool.counts(), counts(1, 0, 1), "q");
        match outcome {
            Some(outcome) => spool.finalize(ticket, outcome),
            None => spool.abandon(ticket),
        }
        let mut expected = counts(1, 0, 1);
        expected += outcome.unwrap_or(counts(0, 0, 1));
        assert_eq!((spool.counts(), spool.queued()), (expected, before - 1));
        assert!(drain(&mut spool).iter().all(|text| text.starts_with('x')));
        assert_eq!(spool.queued(), 0);
    }
}

/// Guarantees: what is stored never exceeds the limit, and a report is refused only if it could.
#[test]
fn report_that_can_never_fit_is_refused() {
    const SMALL: u64 = 10_000;
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), SMALL);
    // The chunk may begin a segment, and so may the next one.
    let most = SMALL as usize - HEAD - 2 * HEADER as usize;
    for letter in ["a", "b"] {
        spool.append(&[large(letter, most, Role::Root)]).unwrap();
        assert!(spool.size() <= SMALL);
    }
    let error = spool.append(&[large("c", most + 1, Role::Root)]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    assert_eq!(letters(&drain(&mut spool)), "b");
}

#[test]
fn report_that_just_fits_drops_nothing() {
    for more in [0, 1] {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), 10_000);
        spool.append(&[large("a", 2_000, Role::Root)]).unwrap();
        let room = 10_000 - spool.size() as usize - HEAD - 2 * HEADER as usize;
        spool.append(&[large("b", room + more, Role::Root)]).unwrap();
        assert_eq!(spool.counts().dropped, more as u64);
    }
}

#[test]
fn detail_goes_first_and_summaries_by_tree() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    // Each tree is larger than a segment, and lies in one.
    for tree in ["a", "b", "c"] {
        let mut report = vec![large(tree, 90_000, Role::Root), large(tree, 90_000, Role::Continuation)];
        report.push(large(&tree.to_uppercase(), 140_000, Role::Detail));
        spool.append(&report).unwrap();
    }
    assert_eq!(spool.notices, []);
    // The detail of `a` goes, then the others, then `a` as a whole.
    spool.append(&[large("d", 140_000, Role::Root)]).unwrap();
    assert_eq!(spool.counts(), counts(0, 0, 1));
    spool.append(&[large("e", 300_000, Role::Root)]).unwrap();
    assert_eq!(spool.counts(), counts(0, 0, 3));
    spool.append(&[large("f", 100_000, Role::Root)]).unwrap();
    assert_eq!((spool.counts(), &spool.notices[..]), (counts(0, 0, 5), &[Notice::Drops][..]));
    assert_eq!(letters(&drain(&mut spool)), "bbccdef");
}

#[test]
fn dropping_by_the_next_process_keeps_the_account() {
    let directory = tempfile::tempdir().unwrap();
    let mut reports = 0;
    let mut report = |spool: &mut Spool| {
        spool.append(&[large("r", 4_000, Role::Root), chunk(&"d".repeat(100_000), 10, Role::Detail)]).unwrap();
        reports += 1;
    };
    let mut spool = open(directory.path(), LIMIT);
    (0..20).for_each(|_| report(&mut spool));
    let (before, queued) = (spool.counts(), spool.queued());
    assert!(before.dropped > 0);
    drop(spool);
    let mut spool = open(directory.path(), LIMIT);
    assert_eq!((spool.counts(), spool.queued(), &spool.notices[..]), (before, queued, &[][..]));
    (0..5).for_each(|_| report(&mut spool));
    assert_eq!(spool.notices, [Notice::Drops]);
    let found = letters(&drain(&mut spool));
    // All roots are there, and the newest detail.
    assert_eq!(found.matches('r').count(), reports);
    let delivered = (reports + 10 * found.matches('d').count()) as u64;
    assert_eq!((spool.counts(), spool.queued()), (counts(delivered, 0, 11 * reports as u64 - delivered), 0));
    (0..2).for_each(|_| spool.append(&[root("new")]).unwrap());
    assert_eq!(spool.notices, [Notice::Drops, Notice::HasRoom(spool.counts().dropped)]);
    drop(spool);
    assert_eq!(open(directory.path(), LIMIT).counts().delivered, delivered);
}

#[test]
fn report_that_cannot_fit_evicts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    (0..50).for_each(|_| spool.append(&[large("a", 10_000, Role::Root)]).unwrap());
    let error = spool.append(&[large("b", 600_000, Role::Root), large("c", 600_000, Role::Detail)]).unwrap_err();
    assert_eq!((error.kind(), spool.counts()), (io::ErrorKind::QuotaExceeded, RecordCounts::default()));
    // One that does may evict everything else, what is in flight as well.
    let (ticket, _) = spool.next().unwrap();
    spool.append(&[large("b", 1_000_000, Role::Root)]).unwrap();
    spool.finalize(ticket, counts(1, 0, 0));
    assert_eq!(letters(&drain(&mut spool)), "b");
    assert_eq!(spool.counts(), counts(2, 0, 49));
}

/// Scenario: chunks are dropped to make room, and the process crashes after it wrote the cursor.
/// Guarantees: the cursor is due at once, and the next process does not count them again.
#[test]
fn evicted_chunks_are_counted_once() {
    let (directory, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut spool = open(directory.path(), LIMIT);
    fill(&mut spool);
    spool.persist_if_due();
    copy(&directory.path().join("0"), &crashed.path().join("0"));
    let mut stats = BufferStats::default();
    open(crashed.path(), LIMIT).add_to(&mut stats);
    assert_eq!((stats.finalized.dropped, stats.stored()), (0, spool.queued()));
}

/// Scenario: the disk is full, so that the cursor cannot be written before segments are evicted.
/// Guarantees: the next process counts them as dropped, and sends what is left.
#[test]
fn eviction_without_a_cursor_counts_after_a_crash() {
    let (directory, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut spool = open(directory.path(), LIMIT);
    with_fault(is_cursor, || {
        fill(&mut spool);
        spool.persist_if_due();
    });
    copy(&directory.path().join("0"), &crashed.path().join("0"));
    let mut found = open(crashed.path(), LIMIT);
    assert_eq!((found.counts(), found.queued()), (spool.counts(), spool.queued()));
    assert_eq!(drain(&mut found), drain(&mut spool));
}
