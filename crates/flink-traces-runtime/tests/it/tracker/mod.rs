//! The checkpoint tracker, by tables and against a model.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

mod model;
mod summary;

use std::fmt::Write;
use std::sync::Arc;
use std::thread;

use flink_traces_api::Timestamp;
use flink_traces_runtime::CheckpointStatsTracker;
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointStatus, CheckpointTask, CheckpointType, RestoredCheckpoint, SubtaskMetric,
    SubtaskStats, Subtasks, TrackedCheckpoint, TrackerError,
};

fn failure(timestamp: i64) -> CheckpointFailure {
    CheckpointFailure::new(timestamp, format!("at {timestamp}"))
}

fn restored(checkpoint_id: i64) -> RestoredCheckpoint {
    RestoredCheckpoint::new(checkpoint_id, 9_000, false)
}

/// Returns job vertex `v0` with two subtasks and `v1` with one.
fn tasks() -> [CheckpointTask; 2] {
    [("v0", 2), ("v1", 1)]
        .map(|(id, parallelism)| CheckpointTask::new(id, parallelism).with_task_name(format!("task {id}")))
}

fn report(index: i64, ack_timestamp: i64, metrics: [i64; 8]) -> SubtaskStats {
    let metrics = metrics.map(Some);
    SubtaskStats::new(index, ack_timestamp).with_metrics(SubtaskMetric::ALL.into_iter().zip(metrics))
}

/// Plays `script`. `c5` and `s5` trigger a checkpoint or savepoint with id 5, `+5` completes it,
/// and `-5` fails it. `!` fails one before its trigger, and `r5` restores.
fn play(tracker: &CheckpointStatsTracker, script: &str) {
    for word in script.split_whitespace() {
        let (what, id) = word.split_at(1);
        let id = id.parse().unwrap_or(0);
        match what {
            "c" => tracker.report_pending(id, 1_000, CheckpointType::Checkpoint, &tasks()).unwrap(),
            "s" => tracker.report_pending(id, 1_000, CheckpointType::Savepoint, &tasks()).unwrap(),
            "+" => drop(tracker.report_completed(id, Some(format!("chk-{id}")), Some(10)).unwrap()),
            "-" => drop(tracker.report_failed(id, failure(1_500)).unwrap()),
            "!" => tracker.report_failed_before_trigger(failure(0)),
            "i" => drop(tracker.report_initialization_started(9_000, [])),
            "r" => tracker.report_restored(restored(id)).unwrap(),
            _ => unreachable!("{word}"),
        }
    }
}

fn formatted<'a>(checkpoints: impl IntoIterator<Item = &'a Arc<TrackedCheckpoint>>) -> String {
    let formatted = checkpoints.into_iter().map(|checkpoint| {
        let status = match checkpoint.status() {
            CheckpointStatus::InProgress => '?',
            CheckpointStatus::Completed => '+',
            CheckpointStatus::Failed => '-',
        };
        format!(" {}{status}", checkpoint.checkpoint_id())
    });
    formatted.collect()
}

/// Compares the snapshot of a tracker with that history size after the script.
fn check(size: usize, script: &str, expected: &str) {
    let tracker = CheckpointStatsTracker::new(size);
    play(&tracker, script);
    let snapshot = tracker.snapshot();
    let counts = snapshot.counts;
    let mut found = format!(
        "total {} now {} completed {} failed {} restored {} |{}",
        counts.total,
        counts.in_progress,
        counts.completed,
        counts.failed,
        counts.restored,
        formatted(&snapshot.history)
    );
    let latest = [snapshot.latest_completed, snapshot.latest_savepoint, snapshot.latest_failed];
    for (name, latest) in ["completed", "savepoint", "failed"].into_iter().zip(latest) {
        if latest.is_some() {
            write!(found, " | {name}{}", formatted(&latest)).unwrap();
        }
    }
    assert_eq!(found, expected, "history of {size}: {script}");
}

#[test]
fn counts_history_and_latest() {
    check(3, "", "total 0 now 0 completed 0 failed 0 restored 0 |");
    check(3, "c1", "total 1 now 1 completed 0 failed 0 restored 0 | 1?");
    check(3, "c1 +1", "total 1 now 0 completed 1 failed 0 restored 0 | 1+ | completed 1+");
    check(3, "c1 -1", "total 1 now 0 completed 0 failed 1 restored 0 | 1- | failed 1-");
    check(3, "! ! i r4", "total 2 now 0 completed 0 failed 2 restored 1 |");
    // The order is that of triggers, and a checkpoint in progress takes a place in the history.
    check(3, "c1 c2 +2 +1", "total 2 now 0 completed 2 failed 0 restored 0 | 2+ 1+ | completed 2+");
    check(2, "c1 c2 c3 +3", "total 3 now 2 completed 1 failed 0 restored 0 | 3+ 2? | completed 3+");
    // A checkpoint that left the history while in progress can still end.
    check(1, "c1 c2 +1 -2", "total 2 now 0 completed 1 failed 1 restored 0 | 2- | completed 1+ | failed 2-");
    // The latest checkpoints remain when the history drops them.
    check(
        1,
        "c1 +1 c2 -2 s3 +3 c4",
        "total 4 now 1 completed 2 failed 1 restored 0 | 4? | completed 1+ | savepoint 3+ | failed 2-",
    );
    check(
        0,
        "c1 +1 s2 +2 c3 -3 c4",
        "total 4 now 1 completed 2 failed 1 restored 0 | | completed 1+ | savepoint 2+ | failed 3-",
    );
    // The highest id counts, not the time.
    check(3, "c1 c2 -2 -1", "total 2 now 0 completed 0 failed 2 restored 0 | 2- 1- | failed 2-");
    check(3, "s1 s2 +2 +1", "total 2 now 0 completed 2 failed 0 restored 0 | 2+ 1+ | completed 1+ | savepoint 2+");
    check(
        3,
        "s1 s2 c3 +3 +2 +1",
        "total 3 now 0 completed 3 failed 0 restored 0 | 3+ 2+ 1+ | completed 3+ | savepoint 2+",
    );
    // An id that comes again, after a restore from further back, is another checkpoint.
    check(3, "c1 +1 c1 -1", "total 2 now 0 completed 1 failed 1 restored 0 | 1- 1+ | completed 1+ | failed 1-");
}

#[test]
fn mismatched_reports_change_nothing() {
    let tracker = CheckpointStatsTracker::new(2);
    play(&tracker, "c1 -1 c2 -2 c3 +3 c4");
    let before = format!("{:?}", tracker.snapshot());
    let check = |found: Result<(), TrackerError>, expected: &str| {
        assert_eq!(found.unwrap_err().to_string(), expected);
        assert_eq!(format!("{:?}", tracker.snapshot()), before, "{expected}");
    };
    let pending = |id, tasks: &[CheckpointTask]| tracker.report_pending(id, 0, CheckpointType::Checkpoint, tasks);
    let subtask = |id, vertex, index| tracker.report_subtask(id, vertex, report(index, 0, [1; 8]));
    let twice = [tasks(), tasks()].concat();
    let huge = [{
        let mut value = tasks()[0].clone();
        value.parallelism = u32::MAX;
        value
    }];

    check(pending(4, &tasks()), "checkpoint 4 is already in progress");
    check(pending(5, &twice), "checkpoint 5 has the task 'v0' twice");
    check(pending(5, &huge), "task 'v0' has parallelism 4294967295, more than 1048576");
    check(tracker.report_completed(3, None, None).map(drop), "checkpoint 3 has ended as COMPLETED");
    check(tracker.report_failed(9, failure(0)).map(drop), "checkpoint 9 was never triggered");
    check(tracker.report_discarded(2), "checkpoint 2 is unknown or has not completed");
    check(subtask(4, "v2", 0), "checkpoint 4 has no task 'v2'");
    check(subtask(4, "v0", 2), "checkpoint 4: task 'v0' of parallelism 2 has no subtask 2");
    check(subtask(4, "v0", -1), "checkpoint 4: task 'v0' of parallelism 2 has no subtask -1");
    check(subtask(3, "v0", 0), "checkpoint 3 has ended as COMPLETED");
    check(subtask(9, "v0", 0), "checkpoint 9 was never triggered");
    // Checkpoint 2 is the latest failed one and thus formatted, but is no longer in the history.
    check(subtask(2, "v0", 0), "checkpoint 2 has ended as FAILED");
    check(subtask(1, "v0", 0), "checkpoint 1 is no longer in the history");
}

#[test]
fn subtasks_add_up_and_first_report_counts() {
    let tracker = CheckpointStatsTracker::new(1);
    play(&tracker, "c1");
    let in_progress = || Arc::clone(&tracker.snapshot().history[0]);
    assert_eq!((in_progress().end_to_end_duration(), in_progress().metadata_size()), (None, None));

    tracker.report_subtask(1, "v0", report(1, 1_300, [100, 10, 5, 1, 2, 3, 7, 8])).unwrap();
    let aborted = report(0, 1_400, [50, 5, 2, -1, -1, 4, -1, -1]).with_completed(false).with_unaligned(true);
    tracker.report_subtask(1, "v0", aborted.clone()).unwrap();
    // This subtask reported last, although it acknowledged earlier.
    tracker.report_subtask(1, "v1", report(0, 1_200, [1, 1, 9, 0, 0, 0, 0, 0])).unwrap();
    let duplicate = TrackerError::DuplicateReport { checkpoint_id: 1, job_vertex_id: "v0".into(), index: 1 };
    assert_eq!(tracker.report_subtask(1, "v0", report(1, 1_900, [9; 8])), Err(duplicate));

    let found = in_progress();
    assert_eq!((found.state_size(), found.checkpointed_size()), (151, 16));
    assert_eq!((found.processed_data(), found.persisted_data()), (7, 8));
    assert_eq!((found.number_of_subtasks(), found.number_of_acknowledged_subtasks()), (3, 2));
    assert_eq!((found.latest_ack_timestamp(), found.end_to_end_duration()), (Some(1_200), Some(200)));
    assert!(found.is_unaligned());
    let task = found.task("v0").unwrap();
    assert_eq!((task.number_of_acknowledged_subtasks(), task.latest_ack_timestamp()), (1, Some(1_300)));
    assert_eq!(task.subtasks().map(|subtask| subtask.index).collect::<Vec<_>>(), [0, 1]);
    let summary = |metric| {
        let summary = task.summary(metric);
        (summary.minimum(), summary.maximum(), summary.sum(), summary.count())
    };
    assert_eq!(summary(SubtaskMetric::StateSizeBytes), (50, 100, 150, 2));
    assert_eq!(summary(SubtaskMetric::SyncCheckpointDurationMs), (2, 2, 2, 1));
    assert_eq!((task.ack_timestamps().minimum(), task.ack_timestamps().count()), (1_300, 1));
    assert!(task.summary(SubtaskMetric::StateSizeBytes).quantile(0.5).is_nan());

    let stats = tracker.report_completed(1, Some("chk-1".into()), Some(77)).unwrap();
    assert_eq!(stats, in_progress().stats().with_ordinary(true));
    assert_eq!((stats.status, stats.metadata_size), (CheckpointStatus::Completed, Some(77)));
    let expected = [aborted, report(1, 1_300, [100, 10, 5, 1, 2, 3, 7, 8])];
    assert_eq!(stats.tasks[0].subtasks, Subtasks::from_iter(expected));
    tracker.report_discarded(1).unwrap();
    assert!(in_progress().is_discarded());
}

#[test]
fn restore_before_initialization_is_refused() {
    let tracker = CheckpointStatsTracker::new(1);
    assert_eq!(tracker.report_restored(restored(7)), Err(TrackerError::NoInitialization));
    let snapshot = tracker.snapshot();
    assert_eq!((snapshot.latest_restored, snapshot.counts.restored), (None, 0));
}

#[test]
fn next_initialization_clears_restored() {
    let tracker = CheckpointStatsTracker::new(1);
    tracker.report_initialization_started(8_000, []);
    tracker.report_restored(restored(7)).unwrap();
    assert_eq!(tracker.snapshot().latest_restored, Some(restored(7)));
    tracker.report_initialization_started(9_000, []);
    let snapshot = tracker.snapshot();
    assert_eq!((snapshot.latest_restored, snapshot.counts.restored), (None, 1));
}

#[test]
fn aborted_snapshot_counts_while_in_history() {
    for (history_size, triggers, is_taken) in
        [(0, "c1", false), (1, "c1", true), (1, "c1 c2", false), (2, "c1 c2", true)]
    {
        let tracker = CheckpointStatsTracker::new(history_size);
        play(&tracker, triggers);
        let aborted = report(0, 1_100, [5; 8]).with_completed(false);
        let answer = tracker.report_subtask(1, "v1", aborted);
        assert_eq!(answer.is_ok(), is_taken, "{history_size} {triggers}");
        // An acknowledgement is always accepted.
        tracker.report_subtask(1, "v0", report(0, 1_100, [5; 8])).unwrap();
    }
}

#[test]
fn failed_checkpoint_accepts_reports_in_history() {
    let tracker = CheckpointStatsTracker::new(1);
    play(&tracker, "c1");
    let stats = tracker.report_failed(1, failure(1_700)).unwrap();
    assert_eq!((stats.metadata_size, stats.latest_ack_timestamp, stats.state_size), (Some(-1), None, Some(0)));
    assert_eq!(stats.failure, Some(failure(1_700)));

    tracker.report_subtask(1, "v1", report(0, 1_800, [5; 8])).unwrap();
    // The statistics share their subtasks with the history, but not this one.
    assert!(stats.tasks[1].subtasks.is_empty());
    let snapshot = tracker.snapshot();
    for found in [&snapshot.history[0], snapshot.latest_failed.as_ref().unwrap(), snapshot.checkpoint(1).unwrap()] {
        assert_eq!((found.state_size(), found.end_to_end_duration()), (5, Some(700)));
    }
    play(&tracker, "c2");
    assert!(tracker.report_subtask(1, "v0", report(0, 1_900, [5; 8])).is_err());
    assert_eq!(snapshot.checkpoint(9).map(|found| found.checkpoint_id()), None);
}

#[test]
fn gauges_follow_last_completion() {
    let tracker = CheckpointStatsTracker::new(0);
    let check = |expected: [&str; 14]| {
        let found = tracker.gauges().entries().map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}={text}"),
            None => format!("{name}={}", value.as_i64().unwrap()),
        });
        assert_eq!(found, expected);
    };
    check([
        "totalNumberOfCheckpoints=0",
        "numberOfInProgressCheckpoints=0",
        "numberOfCompletedCheckpoints=0",
        "numberOfFailedCheckpoints=0",
        "lastCheckpointRestoreTimestamp=-1",
        "lastCheckpointSize=-1",
        "lastCheckpointFullSize=-1",
        "lastCheckpointMetadataSize=-1",
        "lastCheckpointDuration=-1",
        "lastCheckpointProcessedData=-1",
        "lastCheckpointPersistedData=-1",
        "lastCheckpointExternalPath=n/a",
        "lastCompletedCheckpointId=-1",
        "lastCheckpointCompletedTimestamp=-1",
    ]);
    play(&tracker, "! i r1 s3 c4 +4");
    tracker.report_subtask(3, "v0", report(0, 1_250, [100, 10, 0, 0, 0, 0, 7, 8])).unwrap();
    play(&tracker, "+3 c5 -5 c6");
    check([
        "totalNumberOfCheckpoints=5",
        "numberOfInProgressCheckpoints=1",
        "numberOfCompletedCheckpoints=2",
        "numberOfFailedCheckpoints=2",
        "lastCheckpointRestoreTimestamp=9000",
        "lastCheckpointSize=10",
        "lastCheckpointFullSize=100",
        "lastCheckpointMetadataSize=10",
        "lastCheckpointDuration=250",
        "lastCheckpointProcessedData=7",
        "lastCheckpointPersistedData=8",
        "lastCheckpointExternalPath=chk-3",
        "lastCompletedCheckpointId=3",
        "lastCheckpointCompletedTimestamp=1250",
    ]);
    // A start counts as a restore even if nothing was restored.
    tracker.report_initialization_started(9_500, []);
    assert_eq!(tracker.gauges().last_checkpoint_restore_timestamp, 9_500);
    tracker.report_completed(6, None, None).unwrap();
    let gauges = tracker.gauges();
    assert_eq!((gauges.last_checkpoint_metadata_size, gauges.last_checkpoint_duration), (-1, -1));
    assert_eq!((gauges.last_checkpoint_external_path.as_str(), gauges.last_checkpoint_full_size), ("n/a", 0));
}

#[test]
fn failures_before_trigger_are_shown() {
    let tracker = CheckpointStatsTracker::new(3);
    assert_eq!(tracker.snapshot().latest_failure_before_trigger, None);
    tracker.report_failed_before_trigger(failure(1));
    tracker.report_failed_before_trigger(failure(2));
    assert_eq!(tracker.snapshot().latest_failure_before_trigger, Some(failure(2)));
}

#[test]
fn restored_trigger_comes_from_history() {
    let check = |script: &str, given: Option<i64>, path: Option<&str>, expected: Option<i64>| {
        let tracker = CheckpointStatsTracker::new(1);
        play(&tracker, script);
        let given = given.map(Timestamp::from_millis);
        let restored = restored(1).with_trigger_timestamp(given).with_external_path(path.map(str::to_owned));
        tracker.report_initialization_started(8_000, []);
        tracker.report_restored(restored).unwrap();
        let found = tracker.snapshot().latest_restored.unwrap();
        assert_eq!(found.trigger_timestamp, expected, "{script} {path:?}");
    };
    check("", None, None, None);
    check("c1", None, None, None);
    check("c1 -1", None, None, None);
    check("c1 +1", None, None, Some(1_000));
    check("c1 +1 c2 -2", None, Some("chk-1"), Some(1_000));
    check("c1 +1 c2 +2", None, None, None);
    // A savepoint of another job with the same id.
    check("c1 +1", None, Some("savepoint-1"), None);
    check("c1 +1", Some(5), None, Some(5));
}

#[test]
fn reports_and_reads_on_many_threads() {
    const THREADS: i64 = 4;
    const CHECKPOINTS: i64 = 50;
    let tracker = CheckpointStatsTracker::new(7);
    thread::scope(|scope| {
        for first in 0..THREADS {
            let tracker = &tracker;
            scope.spawn(move || {
                for id in (0..CHECKPOINTS).map(|number| number * THREADS + first) {
                    play(tracker, &format!("c{id}"));
                    for (vertex, index) in [("v0", 0), ("v1", 0), ("v0", 1)] {
                        tracker.report_subtask(id, vertex, report(index, 1_100, [id; 8])).unwrap();
                    }
                    assert_eq!(tracker.report_completed(id, None, None).unwrap().state_size, Some(3 * id));
                }
            });
            scope.spawn(move || {
                for _ in 0..CHECKPOINTS {
                    let snapshot = tracker.snapshot();
                    assert!(snapshot.history.len() <= 7);
                    let completed = snapshot.history.iter().filter(|one| one.status() == CheckpointStatus::Completed);
                    for one in completed {
                        assert_eq!((one.number_of_acknowledged_subtasks(), one.stats().tasks.len()), (3, 2));
                    }
                    assert_eq!(snapshot.counts.completed, i64::try_from(snapshot.summary.state_size.count()).unwrap());
                }
            });
        }
    });
    let snapshot = tracker.snapshot();
    assert_eq!((snapshot.counts.completed, snapshot.counts.in_progress), (THREADS * CHECKPOINTS, 0));
    assert_eq!(snapshot.latest_completed.unwrap().checkpoint_id(), THREADS * CHECKPOINTS - 1);
}
