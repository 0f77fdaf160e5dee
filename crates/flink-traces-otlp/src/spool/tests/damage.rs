//! Damaged files.

use std::ops::Range;

use super::cursor::BLOCK;
use super::record::HEAD;
use super::segment::HEADER;
use super::*;

/// Creates a spool of three chunks in one segment, and returns the segment's bytes.
fn three(directory: &Path) -> Vec<u8> {
    open(directory, LIMIT).append(&[root("one"), root("two"), root("three")]).unwrap();
    fs::read(&segments(directory)[0]).unwrap()
}

/// Returns the chunks in a spool whose only segment has these bytes. The next start finds the same.
fn recovered(bytes: &[u8]) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    three(directory);
    let path = segments(directory)[0].clone();
    fs::write(&path, bytes).unwrap();
    let mut spool = open(directory, LIMIT);
    let found = pending(&mut spool);
    spool.append(&[root("new")]).unwrap();
    drop(spool);
    let mut spool = open(directory, LIMIT);
    assert_eq!(spool.notices, []);
    let expected = [&found[..], &["new".to_owned()]].concat();
    assert_eq!(drain(&mut spool), expected);
    assert_eq!(spool.counts().delivered + spool.counts().dropped, spool.logs[0].taken);
    drop(spool);
    // Nothing that could not be read is gone.
    let kept = fs::read_dir(directory.join("quarantine"))
        .map_or(0, |files| files.map(|file| file.unwrap().metadata().unwrap().len()).sum());
    let read = found.iter().map(|text| HEAD + text.len()).sum::<usize>();
    let header = HEADER as usize;
    assert!(kept as usize + read + header >= bytes.len(), "{kept} bytes are kept");
    found
}

#[test]
fn segment_cut_anywhere_keeps_what_is_before() {
    let place = tempfile::tempdir().unwrap();
    let bytes = three(place.path());
    let ends = [3, 3, 5].iter().scan(HEADER as usize, |end, length| {
        *end += HEAD + length;
        Some(*end)
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(bytes.len(), ends[2]);
    for length in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(recovered(&bytes[..length]), ["one", "two", "three"][..whole], "{length}");
    }
}

#[test]
fn flipped_bit_anywhere_never_yields_another_chunk() {
    let place = tempfile::tempdir().unwrap();
    let bytes = three(place.path());
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        let found = recovered(&damaged);
        let start = HEADER as usize;
        let (record, offset) = match position.checked_sub(start) {
            None => (0, 0),
            Some(offset) if offset < 2 * (HEAD + 3) => (offset / (HEAD + 3), offset % (HEAD + 3)),
            Some(offset) => (2, offset - 2 * (HEAD + 3)),
        };
        let mut expected = vec!["one", "two", "three"];
        if position < start || offset < HEAD {
            // Without a head the rest of the segment is lost.
            expected.truncate(record);
        } else {
            expected.remove(record);
        }
        assert_eq!(found, expected, "{position}");
    }
}

/// Scenario: a segment that is not the last is damaged, which the start does not see. Guarantees:
/// the chunks behind the damage are dropped and counted, the next segments are sent, and the
/// damaged one is kept.
#[test]
fn damage_in_the_middle_is_found_when_read() {
    for (position, expected) in [(HEADER as usize, "cd"), (HEADER as usize + 40, "bcd"), (3, "cd")] {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), LIMIT);
        let letters = ["a", "b", "c", "d"].map(|letter| root(&letter.repeat(60_000)));
        letters.iter().for_each(|chunk| spool.append(std::slice::from_ref(chunk)).unwrap());
        drop(spool);
        assert_eq!(segments(directory.path()).len(), 2);
        let path = &segments(directory.path())[0];
        let mut bytes = fs::read(path).unwrap();
        bytes[position] ^= 1;
        fs::write(path, &bytes).unwrap();
        let mut spool = open(directory.path(), LIMIT);
        assert_eq!((&spool.notices[..], spool.queued()), (&[][..], 4));
        let found: String = drain(&mut spool).iter().map(|text| &text[..1]).collect();
        assert_eq!(found, expected);
        assert_eq!(spool.counts(), counts(expected.len() as u64, 0, 4 - expected.len() as u64));
        assert!(matches!(&spool.notices[..], [Notice::Quarantined(..)]));
        let kept = fs::read_dir(directory.path().join("quarantine")).unwrap().next().unwrap().unwrap();
        assert_eq!(fs::read(kept.path()).unwrap(), bytes);
    }
}

/// Scenario: the last segment is damaged while it is open. Guarantees: later reports do not lie
/// behind the damage.
#[test]
fn damaged_segment_is_not_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("one"), root("two")]).unwrap();
    change(directory.path(), "summary", |bytes| bytes[HEADER as usize] ^= 1);
    assert_eq!(deliver(&mut spool), None);
    spool.append(&[root("three")]).unwrap();
    assert_eq!(drain(&mut spool), ["three"]);
    assert_eq!(spool.counts(), counts(1, 0, 2));
}

/// Scenario: heads at the end of a log without detail are damaged. Guarantees: a damaged head
/// counts as one record, and a head with a torn chunk as none.
#[test]
fn damaged_end_without_detail_is_counted() {
    let record = HEAD + 1;
    let first = HEADER as usize;
    let damages: [(u64, Damage); 3] = [
        (3, |bytes, last| bytes[last] ^= 1),
        (3, |bytes, last| bytes[last + HEAD] ^= 1),
        (2, |bytes, _| {
            bytes[HEADER as usize] ^= 1;
            bytes.pop();
        }),
    ];
    for (stored, damage) in damages {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), LIMIT);
        ["a", "b", "c"].iter().for_each(|text| spool.append(&[root(text)]).unwrap());
        drop(spool);
        change(directory.path(), "summary", |bytes| damage(bytes, first + 2 * record));
        assert_eq!(sent(&mut open(directory.path(), LIMIT)).1[0], stored);
    }
}

#[test]
fn segment_with_two_damages_is_kept_once() {
    let directory = tempfile::tempdir().unwrap();
    three(directory.path());
    change(directory.path(), "summary", |bytes| {
        let start = HEADER as usize + HEAD;
        bytes[start] ^= 1;
        bytes[start + 3 + HEAD] ^= 1;
    });
    let mut spool = open(directory.path(), LIMIT);
    assert_eq!(drain(&mut spool), ["three"]);
    assert_eq!((spool.counts(), spool.notices.len()), (counts(1, 0, 2), 2));
    assert_eq!(fs::read_dir(directory.path().join("quarantine")).unwrap().count(), 1);
}

#[test]
fn unreadable_summary_withholds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("r"), detail("l")]).unwrap();
    let path = &segments(directory.path())[1];
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
    assert_eq!(drain(&mut spool), ["l"]);
    assert_eq!(spool.counts(), counts(1, 0, 1));
}

/// The old promise was that `l` is dropped with `s`, which contains it.
#[test]
fn damaged_summary_in_the_middle_withholds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    let more = |letter: &str| chunk(&letter.repeat(1_000), 1, Role::Continuation);
    spool.append(&[root("r"), more("s"), more("t"), detail("l")]).unwrap();
    drop(spool);
    let path = &segments(directory.path())[1];
    let mut bytes = fs::read(path).unwrap();
    let start = bytes.iter().position(|byte| *byte == b's').unwrap();
    bytes[start + 500] ^= 1;
    fs::write(path, bytes).unwrap();
    let found: String = drain(&mut open(directory.path(), LIMIT)).iter().map(|text| &text[..1]).collect();
    assert_eq!(found, "rtl");
}

#[test]
fn foreign_files_do_not_prevent_a_start() {
    let directory = tempfile::tempdir().unwrap();
    three(directory.path());
    let slot = directory.path().join("0");
    let write = |name: &str, bytes: &[u8]| fs::write(slot.join(name), bytes).unwrap();
    write("summary-00000000000000000003.seg", b"something else, of another program");
    write("summary-00000000000000000004.seg", b"");
    write("summary-5.seg", b"another name");
    write("detail-00000000000000000000.seg", b"something else, of another program");
    write("notes.txt", b"mine");
    fs::create_dir(slot.join("summary-00000000000000000006.seg")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("notes.txt", slot.join("detail-00000000000000000009.seg")).unwrap();
    let mut spool = open(directory.path(), LIMIT);
    assert_eq!(pending(&mut spool), ["one", "two", "three"]);
    assert_eq!(spool.notices.len(), 2);
    assert_eq!(fs::read_dir(directory.path().join("quarantine")).unwrap().count(), 2);
    assert!(slot.join("notes.txt").exists() && slot.join("summary-5.seg").exists());
}

#[test]
fn missing_segment_counts_as_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    (0..3).for_each(|number| spool.append(&[root(&format!("{number}{}", "x".repeat(140_000)))]).unwrap());
    drop(spool);
    fs::remove_file(&segments(directory.path())[1]).unwrap();
    let mut spool = open(directory.path(), LIMIT);
    assert_eq!(drain(&mut spool).len(), 2);
    assert_eq!((spool.counts(), spool.queued()), (counts(2, 0, 1), 0));
}

/// Scenario: the cursor is damaged after a summary chunk was delivered and its segment removed.
/// Guarantees: everything that is there is sent, detail without its summaries as well.
#[test]
fn damaged_cursor_sends_everything_again() {
    for damage in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path(), LIMIT);
        spool.append(&[root("r"), detail("l"), detail("m")]).unwrap();
        assert_eq!([deliver(&mut spool), deliver(&mut spool)].map(Option::unwrap), ["r", "l"]);
        drop(spool);
        let cursor = directory.path().join("0/cursor");
        match damage {
            0 => fs::write(&cursor, "{").unwrap(),
            1 => fs::remove_file(&cursor).unwrap(),
            _ => fs::write(&cursor, vec![0; 120]).unwrap(),
        }
        let mut spool = open(directory.path(), LIMIT);
        assert_eq!(spool.notices, [Notice::NoProgress]);
        assert_eq!(directory.path().join("quarantine/0-cursor.0").exists(), damage != 1);
        assert_eq!(pending(&mut spool), ["l", "m"]);
        spool.append(&[root("new"), detail("newer")]).unwrap();
        drop(spool);
        let mut spool = open(directory.path(), LIMIT);
        assert_eq!(spool.notices, []);
        assert_eq!(drain(&mut spool), ["new", "l", "m", "newer"]);
    }
}

/// Flips a bit of each block of a cursor: the newer one, the older one, both.
fn flip(cursor: &Path, position: usize, blocks: Range<usize>) {
    let mut bytes = fs::read(cursor).unwrap();
    let writes = |block: &[u8]| {
        let line = block.split(|byte| *byte == b'\n').next().unwrap();
        serde_json::from_slice::<serde_json::Value>(line).unwrap()["writes"].as_u64()
    };
    let is_first_newer = writes(&bytes[..BLOCK]) > writes(&bytes[BLOCK..]);
    for block in blocks {
        let start = if is_first_newer == (block == 0) { 0 } else { BLOCK };
        bytes[start + position] ^= 1;
    }
    fs::write(cursor, bytes).unwrap();
}

/// Scenario: a bit of the cursor is flipped. Guarantees: the damaged block is not used, and at most
/// the chunks of its last step are sent again.
#[test]
fn flipped_bit_in_the_cursor_is_found() {
    let (directory, copied) = (tempfile::tempdir().unwrap(), power::scratch());
    let mut spool = open(directory.path(), LIMIT);
    (0..20).for_each(|_| spool.append(&[root("r")]).unwrap());
    (0..5).for_each(|_| drop(deliver(&mut spool)));
    spool.persist();
    (0..5).for_each(|_| drop(deliver(&mut spool)));
    drop(spool);
    let text = fs::read_to_string(directory.path().join("0/cursor")).unwrap();
    let length = text.split("  ").next().unwrap().trim_end().len();
    assert!(length > 100 && text.len() == 2 * BLOCK);
    for position in 0..length {
        for (blocks, left) in [(0..1, 15), (1..2, 10), (0..2, 20)] {
            copy(&directory.path().join("0"), &copied.path().join("0"));
            flip(&copied.path().join("0/cursor"), position, blocks);
            let mut spool = open(copied.path(), LIMIT);
            let expected = if left == 20 { &[Notice::NoProgress][..] } else { &[] };
            assert_eq!(spool.notices, expected, "{position}");
            assert_eq!(drain(&mut spool).len(), left, "{position}");
            drop(spool);
            fs::remove_dir_all(copied.path()).unwrap();
        }
    }
}

/// Scenario: the newer block of the cursor is damaged, and the summaries that it had as finalized
/// are gone. Guarantees: the detail that depends on them is sent.
#[test]
fn damaged_block_of_the_cursor_costs_no_detail() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("r"), detail("l")]).unwrap();
    assert_eq!(deliver(&mut spool).unwrap(), "r");
    assert_eq!(segments(directory.path()).len(), 1);
    drop(spool);
    flip(&directory.path().join("0/cursor"), 0, 0..1);
    assert_eq!(sent(&mut open(directory.path(), LIMIT)), ("l".to_owned(), [2, 1, 1]));
}

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
    assert!(matches!(&spool.notices[..], [Notice::Quarantined(..)]), "{:?}", spool.notices);
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
type Damage = fn(&mut Vec<u8>, usize);

/// Changes the first segment whose name begins with `class`.
fn change(directory: &Path, class: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut paths = segments(directory).into_iter();
    let path = paths.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(class)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

/// Returns what is sent from a spool, and its account: stored, delivered, dropped.
fn sent(spool: &mut Spool) -> (String, [u64; 3]) {
    let found = drain(spool).concat();
    let mut stats = BufferStats::default();
    spool.add_to(&mut stats);
    assert_eq!((stats.queued, stats.rejected), (0, 0));
    assert_eq!(stats.stored, stats.delivered + stats.dropped);
    (found, [stats.stored, stats.delivered, stats.dropped])
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
    let damages: [Damage; 5] = [
        |bytes, length| bytes.truncate(length),
        |bytes, length| bytes.truncate(length + 7),
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
