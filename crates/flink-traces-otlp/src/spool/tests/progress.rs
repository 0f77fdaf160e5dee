//! The progress of the delivery, which the cursor keeps.

use super::*;

#[test]
fn segments_stay_until_the_cursor_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("r"), detail("l")]).unwrap();
    let cursor = directory.path().join("0/cursor");
    let before = fs::read(&cursor).unwrap();
    with_fault(is_cursor, || {
        assert_eq!(drain(&mut spool), ["r", "l"]);
        assert_eq!(segments(directory.path()).len(), 2);
        assert!(matches!(&spool.notices[..], [Notice::NoCursor(_)]), "{:?}", spool.notices);
        drop(spool);
    });
    assert_eq!(fs::read(&cursor).unwrap(), before);
    let mut spool = open(directory.path(), LIMIT);
    assert_eq!(drain(&mut spool), ["r", "l"]);
    assert_eq!((spool.counts(), segments(directory.path()).len()), (counts(2, 0, 0), 0));
}

/// Scenario: a process ends, and cannot write the cursor. Guarantees: the slot stays with its old
/// cursor.
#[test]
fn slot_with_segments_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("r")]).unwrap();
    with_fault(is_cursor, || {
        assert_eq!(drain(&mut spool), ["r"]);
        spool.remove_if_empty();
    });
    let mut spool = open(directory.path(), LIMIT);
    assert_eq!(spool.notices, []);
    assert_eq!(drain(&mut spool), ["r"]);
    spool.remove_if_empty();
    assert!(!directory.path().join("0").exists());
}

#[test]
fn cursor_that_cannot_be_written_is_noted_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    for _ in 0..2 {
        for notices in [1, 0] {
            with_fault(is_cursor, || spool.persist());
            let noted = std::mem::take(&mut spool.notices);
            assert!(noted.len() == notices && noted.iter().all(|notice| matches!(notice, Notice::NoCursor(_))));
        }
        spool.persist();
        assert_eq!(spool.notices, []);
    }
}

/// Scenario: a segment is removed after delivery. Guarantees: a loss of power cannot leave a cursor
/// from before, by which its chunks would count as dropped.
#[test]
fn cursor_is_synchronized_before_segments_go() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("r")]).unwrap();
    disk::start_recording();
    deliver(&mut spool).unwrap();
    let ops = disk::stop_recording();
    let (cursor, segment) = (directory.path().join("0/cursor"), |path: &Path| path.extension().is_some());
    let at = |wanted: &dyn Fn(&Op) -> bool| ops.iter().position(wanted).unwrap_or_else(|| panic!("{ops:?}"));
    let written = at(&|op| matches!(op, Op::Overwrite(path, ..) if *path == cursor));
    let synced = at(&|op| *op == Op::Sync(cursor.clone()));
    let removed = at(&|op| matches!(op, Op::Remove(path) if segment(path)));
    assert!(written < synced && synced < removed, "{ops:?}");
}
