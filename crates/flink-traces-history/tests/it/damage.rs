//! Damaged files, full disks and files of others.

use std::fs;
use std::path::Path;

use flink_traces_history::{History, HistoryError};

use crate::support::*;

fn quarantined(path: &Path) -> usize {
    fs::read_dir(path.join("quarantine")).map_or(0, Iterator::count)
}

/// A way to damage a file.
type Damage = fn(&Path);

/// Returns ways to damage a file.
fn damages() -> Vec<(&'static str, Damage)> {
    vec![
        ("text", |path| fs::write(path, "not a database, but some text ".repeat(400)).unwrap()),
        ("head", |path| {
            let mut content = fs::read(path).unwrap();
            content[..100].fill(0xa5);
            fs::write(path, content).unwrap();
        }),
        ("pages", |path| {
            let mut content = fs::read(path).unwrap();
            content[100..].fill(0xa5);
            fs::write(path, content).unwrap();
        }),
        ("half", |path| {
            let content = fs::read(path).unwrap();
            fs::write(path, &content[..content.len() / 2]).unwrap();
        }),
        ("torn page", |path| {
            let content = fs::read(path).unwrap();
            fs::write(path, &content[..5_000]).unwrap();
        }),
        ("other tables", |path| {
            fs::remove_file(path).unwrap();
            let other = tempfile::tempdir().unwrap();
            // A file of ours whose tables are those of the other kind.
            report(&mut traces(&other.path().join("h"), &[]), &[detailed(1)]).unwrap();
            let is_index = path.file_name().unwrap() == "history.db";
            let name = if is_index { "day-2026-11-21.db" } else { "history.db" };
            let mut content = fs::read(other.path().join("h").join(name)).unwrap();
            content[60..64].copy_from_slice(&1_u32.to_be_bytes());
            fs::write(path, content).unwrap();
        }),
        ("nothing", |path| fs::write(path, "").unwrap()),
    ]
}

#[test]
fn damaged_file_is_replaced_and_writing_goes_on() {
    for file in ["history.db", "day-2026-11-21.db"] {
        for (kind, damage) in damages() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("h");
            report(&mut traces(&path, &[]), &(1..150).map(detailed).collect::<Vec<_>>()).unwrap();
            damage(&path.join(file));
            // The damage may be found only when the damaged page is read.
            let mut reporter = traces(&path, &[]);
            for id in 1_000..1_004 {
                let spans: Vec<_> = (0..50).map(|step| detailed(id + step * 4)).collect();
                report(&mut reporter, &spans).unwrap_or_else(|error| panic!("{file} {kind}: {error:?}"));
            }
            assert!(quarantined(&path) > 0 || kind == "nothing", "{file} {kind}");
            let found = ids(&path);
            assert!((1_000..1_200).all(|id| found.contains(&id)), "{file} {kind}: {}", found.len());
        }
    }
}

#[test]
fn damaged_file_makes_a_query_fail() {
    for (kind, damage) in damages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h");
        report(&mut traces(&path, &[]), &(1..150).map(detailed).collect::<Vec<_>>()).unwrap();
        damage(&path.join("history.db"));
        let all = |history: History| history.job(1, always(), 1_000);
        let result = History::open(&path).and_then(all);
        assert!(result.is_err(), "{kind}");
    }
}

#[test]
fn replaced_and_deleted_files_are_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut reporter = traces(&path, &[]);
    report(&mut reporter, &[detailed(1)]).unwrap();
    fs::remove_dir_all(&path).unwrap();
    report(&mut reporter, &[detailed(2)]).unwrap();
    assert_eq!(ids(&path), [2]);
}

#[test]
fn newer_history_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    report(&mut traces(&path, &[]), &[plain(1)]).unwrap();
    let file = path.join("history.db");
    let mut content = fs::read(&file).unwrap();
    content[60..64].copy_from_slice(&9_u32.to_be_bytes());
    fs::write(&file, &content).unwrap();
    let refusal = refusal(&path, &[]);
    assert!(refusal.contains("expected format 2 or older, found 9"), "{refusal}");
    assert!(matches!(History::open(&path).unwrap_err(), HistoryError::Newer { found: 9, .. }));
    assert_eq!(fs::read(&file).unwrap(), content);
}

#[test]
fn older_history_is_read_and_then_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    report(&mut traces(&path, &[]), &[plain(1), detailed(2)]).unwrap();
    let index = rusqlite::Connection::open(path.join("history.db")).unwrap();
    index
        .execute_batch(
            "DROP INDEX failure_run; ALTER TABLE checkpoint DROP COLUMN other_trace;
             ALTER TABLE recovery DROP COLUMN other_trace; PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE)",
        )
        .unwrap();
    drop(index);
    let before = fs::read(path.join("history.db")).unwrap();
    let view = || History::open(&path).unwrap().checkpoint(1, START + 2_000, 2).unwrap().unwrap();
    let found = view();
    assert_eq!((ids(&path), found.tasks.len()), (vec![1, 2], 1));
    assert_eq!(fs::read(path.join("history.db")).unwrap(), before);
    report(&mut traces(&path, &[]), &[plain(3)]).unwrap();
    assert_eq!((ids(&path), view().tasks), (vec![1, 2, 3], found.tasks));
}

#[test]
fn missing_parent_and_files_in_the_way_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").join("h");
    let blocked = folder.path().join("blocked");
    fs::write(&blocked, "a file").unwrap();
    let index = folder.path().join("index");
    fs::create_dir_all(index.join("history.db")).unwrap();
    for path in [missing, blocked, index] {
        let mut reporter = traces(&path, &[]);
        let error = report(&mut reporter, &[plain(1), plain(2)]).unwrap_err();
        assert_eq!((error.dropped(), error.rejected()), (2, 0), "{path:?}");
        assert!(History::open(&path).is_err(), "{path:?}");
    }
}

#[test]
fn two_reporters_write_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    std::thread::scope(|scope| {
        for part in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let mut reporter = traces(path, &[]);
                for id in 0..50 {
                    report(&mut reporter, &[detailed(part * 1_000 + id)]).unwrap();
                }
            });
        }
    });
    assert_eq!(ids(&path).len(), 200);
}
