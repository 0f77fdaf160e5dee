//! Retention and the maximum size.

use std::fs;
use std::path::Path;

use flink_traces_api::{Clock, ReportedSpan, SystemClock};
use flink_traces_history::History;
use flink_traces_runtime::checkpoint_span;
use flink_traces_runtime::config::SpanDetailLevel::{ChildrenSpansPerSubtask, SpanPerCheckpoint};

use crate::support::*;

const DAY: i64 = 86_400_000;

fn size(path: &Path) -> u64 {
    fs::read_dir(path).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn record_older_than_its_retention_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let now = SystemClock.now_millis();
    let retention = [("retention.detail", "3 d"), ("retention.rows", "30 d"), ("retention.rollups", "400 d")];
    let at = |id: i64, days: i64| checkpoint(id, now - days * DAY, 100, ChildrenSpansPerSubtask);
    let mut reporter = traces(&path, &retention);
    report(&mut reporter, &[at(1, 40), at(2, 20), at(3, 4), at(4, 2), at(5, 0)]).unwrap();
    let history = History::open(&path).unwrap();
    assert_eq!(ids(&path), [2, 3, 4, 5]);
    // The tree has four spans: the root, the task and its two subtasks.
    assert_eq!((history.days().len(), history.extent().unwrap().expired), (2, 4));
    let detail = |id: i64, days: i64| history.checkpoint(1, now - days * DAY, id).unwrap().unwrap().tasks.len();
    assert_eq!((detail(2, 20), detail(4, 2)), (0, 1));
}

#[test]
fn what_grows_old_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let now = SystemClock.now_millis();
    let at = |id: i64, days: i64| checkpoint(id, now - days * DAY, 100, ChildrenSpansPerSubtask);
    report(&mut traces(&path, &[]), &[at(1, 500), at(2, 100), at(3, 10), at(4, 0)]).unwrap();
    let retention = [("retention.detail", "3 d"), ("retention.rows", "30 d"), ("retention.rollups", "400 d")];
    report(&mut traces(&path, &retention), &[at(5, 0)]).unwrap();
    let history = History::open(&path).unwrap();
    assert_eq!((ids(&path), history.days().len()), (vec![3, 4, 5], 1));
    let window = flink_traces_history::query::Window::before(now, 600 * DAY);
    let fleet = history.fleet(window, 600).unwrap();
    assert_eq!(fleet.jobs[0].totals.completed, 4);
}

/// Returns a thousand checkpoints with rows of 1 kB each.
fn wide(batch: i64) -> Vec<ReportedSpan> {
    let span = |id: i64| {
        let stats = stats(id, START + id * 1_000, 100).with_external_path("x".repeat(1_000));
        reported(checkpoint_span(JOB, &stats, SpanPerCheckpoint))
    };
    (batch * 1_000..batch * 1_000 + 1_000).map(span).collect()
}

#[test]
fn size_stays_below_its_maximum() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut reporter = traces(&path, &[("max-size", "16 mb")]);
    let mut largest = 0;
    for batch in 0..20 {
        report(&mut reporter, &wide(batch)).unwrap();
        report(&mut reporter, &(0..20).map(|day| detailed(10_000_000 + (batch + day) * 86_400)).collect::<Vec<_>>())
            .unwrap();
        largest = largest.max(size(&path));
    }
    // One batch and the log of SQLite may be on top of it.
    assert!(largest < 24 << 20, "{largest}");
    assert!(size(&path) <= 20 << 20, "{}", size(&path));
    assert!(ids(&path).len() > 1_000);
    report(&mut reporter, &[plain(9_000_000)]).unwrap();
    assert!(ids(&path).contains(&9_000_000));
}

/// Scenario: a reader holds a snapshot while the history is full, so that no deletion frees a byte.
/// Guarantees: the rows are not deleted one and all.
#[test]
fn reader_of_full_history_does_not_empty_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut reporter = traces(&path, &[("max-size", "16 mb")]);
    for batch in 0..8 {
        report(&mut reporter, &wide(batch)).unwrap();
    }
    let reader = rusqlite::Connection::open(path.join("history.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM checkpoint;").unwrap();
    for batch in 8..12 {
        report(&mut reporter, &wide(batch)).unwrap();
    }
    assert!(size(&path) > 16 << 20, "{}", size(&path));
    assert!(ids(&path).len() > 3_000, "{}", ids(&path).len());
    reader.execute_batch("COMMIT").unwrap();
}

#[test]
fn ids_of_deleted_jobs_are_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let now = SystemClock.now_millis();
    let mut first = traces(&path, &[]);
    report(&mut first, &[plain(1)]).unwrap();
    let retention = [("retention.rows", "30 d"), ("retention.rollups", "30 d")];
    // The other reporter deletes the job, whose only checkpoint is from 2026.
    let old = now - START > 31 * DAY;
    let span = checkpoint(2, now, 10, ChildrenSpansPerSubtask);
    report(&mut traces(&path, &retention), &[span]).unwrap();
    report(&mut first, &[plain(3)]).unwrap();
    let expected = if old { vec![3, 2] } else { vec![1, 3, 2] };
    assert_eq!(ids(&path), expected);
}
