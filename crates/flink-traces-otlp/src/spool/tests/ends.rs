//! Damage at the end of a log, which may have been acknowledged.

use super::record::HEAD;
use super::segment::HEADER;
use super::*;

/// Scenario: a report was written, but only its detail reached the disk. Guarantees: it is cut off,
/// because its summaries will never come.
#[test]
fn detail_without_its_summaries_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("one"), detail("two")]).unwrap();
    let summary = fs::read(&segments(directory.path())[1]).unwrap();
    spool.append(&[root("never"), detail("never"), detail("never")]).unwrap();
    let slot = directory.path().join("0");
    drop(spool);
    fs::write(&segments(directory.path())[1], summary).unwrap();
    let mut spool = open(directory.path(), LIMIT);
    let name = "detail-00000000000000000000.seg".to_owned();
    assert_eq!(spool.notices, [Notice::Quarantined(name, 2 * (HEAD as u64 + 5))]);
    assert_eq!(spool.queued(), 2);
    // Also after there are more summaries.
    spool.append(&[root("three"), root("four")]).unwrap();
    drop(spool);
    assert_eq!(drain(&mut open(directory.path(), LIMIT)), ["one", "three", "four", "two"]);
    assert!(slot.exists());
}

/// Scenario: the last summary segment is damaged, and detail that depends on it is not in the last
/// segment. Guarantees: the detail is sent, and does not wait for summaries that will never come.
#[test]
fn detail_of_damaged_summaries_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    let large = |letter: &str| chunk(&letter.repeat(100_000), 1, Role::Detail);
    spool.append(&[root("one"), large("a")]).unwrap();
    spool.append(&[large("b")]).unwrap();
    drop(spool);
    let path = &segments(directory.path())[2];
    assert!(path.ends_with("summary-00000000000000000000.seg"));
    fs::write(path, "damaged, all of it, from its first byte").unwrap();
    let found: String = drain(&mut open(directory.path(), LIMIT)).iter().map(|text| &text[..1]).collect();
    assert_eq!(found, "ab");
}

/// Damages a segment's bytes. The last record begins at the given offset.
pub(super) type Damage = fn(&mut Vec<u8>, usize);

/// Changes the first segment whose name begins with `class`.
pub(super) fn change(directory: &Path, class: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut paths = segments(directory).into_iter();
    let path = paths.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(class)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

/// Returns what is sent from a spool, and its account: stored, delivered, dropped.
pub(super) fn sent(spool: &mut Spool) -> (String, [u64; 3]) {
    let found = drain(spool).concat();
    let mut stats = BufferStats::default();
    spool.add_to(&mut stats);
    let RecordCounts { delivered, rejected, dropped } = stats.finalized;
    assert_eq!((stats.queued, rejected), (0, 0));
    (found, [stats.stored(), delivered, dropped])
}

/// Scenario: the end of the acknowledged summaries is damaged, in each way. Guarantees: their
/// detail is sent, and each acknowledged record is in the account, also after another start.
#[test]
fn damaged_end_of_summaries_is_counted() {
    let last = HEADER as usize + HEAD + 1;
    let damages: [(&str, Damage); 5] = [
        ("ade", |bytes, last| bytes[last + HEAD] ^= 1),
        ("ade", |bytes, last| bytes[last + 5] ^= 1),
        ("de", |bytes, _| bytes[HEADER as usize + 5] ^= 1),
        ("de", |bytes, _| bytes[0] ^= 1),
        ("de", |bytes, _| bytes.fill(b'?')),
    ];
    for (expected, damage) in damages {
        for starts in 1..4 {
            let directory = tempfile::tempdir().unwrap();
            let mut spool = open(directory.path(), LIMIT);
            spool.append(&[chunk("a", 3, Role::Root), detail("d")]).unwrap();
            spool.append(&[chunk("b", 5, Role::Root), chunk("e", 7, Role::Detail)]).unwrap();
            drop(spool);
            change(directory.path(), "summary", |bytes| damage(bytes, last));
            (1..starts).for_each(|_| drop(open(directory.path(), LIMIT)));
            let mut spool = open(directory.path(), LIMIT);
            let (found, account) = sent(&mut spool);
            let delivered = if expected == "ade" { 11 } else { 8 };
            assert_eq!((&*found, account), (expected, [16, delivered, 16 - delivered]));
            drop(spool);
            assert_eq!(sent(&mut open(directory.path(), LIMIT)).1, [0; 3]);
        }
    }
}

/// Scenario: a head of detail is damaged. Guarantees: the chunks behind it are in the account.
#[test]
fn damaged_end_of_detail_is_counted() {
    for (position, account) in
        [(HEADER as usize + 5, [9, 1, 8]), (HEADER as usize + HEAD + 6, [9, 3, 6]), (3, [9, 1, 8])]
    {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), LIMIT);
        let details = [(2, "d"), (1, "e"), (5, "f")].map(|(records, text)| chunk(text, records, Role::Detail));
        spool.append(&[&[root("r")], &details[..]].concat()).unwrap();
        drop(spool);
        change(directory.path(), "detail", |bytes| bytes[position] ^= 1);
        assert_eq!(sent(&mut open(directory.path(), LIMIT)).1, account, "{position}");
    }
}

/// Scenario: a report did not reach the disk whole, so it was never acknowledged. Guarantees: it is
/// in no account.
#[test]
fn unacknowledged_end_is_not_counted() {
    let damages: [Damage; 6] = [
        |bytes, length| bytes.truncate(length),
        |bytes, length| bytes.truncate(length + 7),
        |bytes, length| {
            bytes.truncate(length + HEAD);
            bytes[length + 5] ^= 1;
        },
        |bytes, length| bytes.truncate(length + HEAD + 1),
        |bytes, length| bytes[length..].fill(0),
        |bytes, length| bytes[length + HEAD..].fill(0),
    ];
    for damage in damages {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), LIMIT);
        spool.append(&[root("r"), detail("d")]).unwrap();
        spool.append(&[root("never"), detail("never")]).unwrap();
        drop(spool);
        change(directory.path(), "summary", |bytes| damage(bytes, HEADER as usize + HEAD + 1));
        assert_eq!(sent(&mut open(directory.path(), LIMIT)), ("rd".to_owned(), [2, 2, 0]));
    }
}

/// Scenario: a report began a segment, whose header did not reach the disk. Guarantees: it is in no
/// account.
#[test]
fn segment_without_a_header_is_not_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("never"), detail("never")]).unwrap();
    drop(spool);
    change(directory.path(), "summary", |bytes| bytes[..HEADER as usize].fill(0));
    assert_eq!(sent(&mut open(directory.path(), LIMIT)), (String::new(), [0; 3]));
}

/// Scenario: the last summaries are gone with their file, and the cursor says that they were taken.
/// Guarantees: their detail is sent, and they count as dropped.
#[test]
fn missing_summaries_in_the_cursor_are_counted() {
    for (expected, account) in [("d", [4, 1, 3]), ("", [3, 0, 3])] {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), LIMIT);
        let report = [chunk("r", 3, Role::Root), detail("d")];
        spool.append(&report[..=expected.len()]).unwrap();
        spool.persist();
        drop(spool);
        let summary = segments(directory.path()).pop().unwrap();
        fs::remove_file(summary).unwrap();
        assert_eq!(sent(&mut open(directory.path(), LIMIT)), (expected.to_owned(), account));
    }
}
