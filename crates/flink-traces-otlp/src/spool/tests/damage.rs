//! Damaged files.

use std::ops::Range;

use super::cursor::BLOCK;
use super::ends::{Damage, change, sent};
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
    let record = HEAD as u64 + 60_000;
    for (position, expected, lost) in
        [(HEADER as usize, "cd", 2 * record), (HEADER as usize + 40, "bcd", record), (3, "cd", 2 * record)]
    {
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
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(spool.notices, [Notice::Quarantined(name, lost)]);
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
/// counts as one record, and a head with a torn chunk as none. Only the start logs it.
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
        let mut spool = open(directory.path(), LIMIT);
        let at_start = format!("{:?}", spool.notices);
        assert_eq!((sent(&mut spool).1[0], spool.notices.len()), (stored, 1), "{at_start}");
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
