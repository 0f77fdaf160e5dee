//! The answers of queries.

use flink_traces_api::{Event, Identity, ReportedEvent, SpanContext};
use flink_traces_history::History;
use flink_traces_history::query::{Level, Window};
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointStatus, InitializationStats, InitializationStatus, job_initialization_span,
};
use flink_traces_runtime::config::SpanDetailLevel::{ChildrenSpansPerSubtask, SpanPerCheckpoint};
use flink_traces_runtime::job::{JobFailure, job_failure_event, job_status_change_event};
use flink_traces_runtime::{CheckpointStats, checkpoint_span};

use crate::support::*;

fn status(status: &str, at: i64) -> ReportedEvent {
    reported_event(job_status_change_event(JOB.named("orders"), status, START + at))
}

fn failure(at: i64, message: &str) -> ReportedEvent {
    let failure = JobFailure::new(START + at, true)
        .with_exception_type("com.example.Broken".to_owned())
        .with_exception_message(message.to_owned());
    reported_event(job_failure_event(JOB.named("orders"), &failure))
}

#[test]
fn checkpoint_says_what_held_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut reporter = traces(&path, &[]);
    report(&mut reporter, &(1..10).map(detailed).collect::<Vec<_>>()).unwrap();
    let slow = checkpoint(10, START + 10_000, 2_000, ChildrenSpansPerSubtask);
    let mut failed: CheckpointStats = stats(11, START + 13_000, 300);
    failed.status = CheckpointStatus::Failed;
    failed.failure = Some(CheckpointFailure::new(START + 14_000, "Checkpoint expired before completing.".to_owned()));
    failed.tasks[0].subtasks = failed.tasks[0].subtasks.iter().take(1).cloned().collect();
    let failed = reported(checkpoint_span(JOB, &failed, ChildrenSpansPerSubtask));
    let bare = checkpoint(12, START + 15_000, 50, SpanPerCheckpoint);
    report(&mut reporter, &[slow, failed, bare]).unwrap();
    let history = History::open(&path).unwrap();
    let sentence = |id: i64, at: i64| history.checkpoint(1, START + at, id).unwrap().unwrap().sentence;
    assert_eq!(
        sentence(10, 10_000),
        "Checkpoint 10 took 2.000 s for 9.8 KiB. It was held back by agg -> tail, subtask 1: 1.000 s waiting for the barrier; usual: 50 ms."
    );
    assert_eq!(
        sentence(11, 13_000),
        "Checkpoint 11 failed after 300 ms: Checkpoint expired before completing. \
         1 of 2 subtasks of agg -> tail did not acknowledge: 1. \
         The last acknowledgement was that of agg -> tail, subtask 0: 75 ms waiting for the barrier; usual: 50 ms."
    );
    assert_eq!(sentence(12, 15_000), "Checkpoint 12 took 50 ms for 11.7 KiB. Its subtasks are not in the history.");
    let view = history.checkpoint(1, START + 10_000, 10).unwrap().unwrap();
    assert_eq!((view.usual_ms, view.last_good.unwrap().id), (Some(100), 9));
    assert_eq!(view.neighbors, [Some((START + 9_000, 9)), Some((START + 13_000, 11))]);
    assert_eq!(history.checkpoint(1, START, 4_711).unwrap(), None);
}

#[test]
fn stragglers_are_counted_and_laid_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut reporter = traces(&path, &[]);
    report(&mut reporter, &[detailed(1), detailed(2), plain(3), detailed(4)]).unwrap();
    let found = History::open(&path).unwrap().stragglers(1, always(), None, 100).unwrap().unwrap();
    let columns: Vec<_> = found.columns.iter().map(|column| column.id).collect();
    assert_eq!((columns, found.without_detail), (vec![1, 2, 4], 1));
    assert_eq!(found.rows[1].cells, [Some(100); 3]);
    assert_eq!((found.critical[0].subtask, found.critical[0].times, found.critical[0].mean_ms), (Some(1), 3, 100));
}

/// Guarantees: slices of rows and of roll-ups have the same figures, and the history ends with the
/// end of its last checkpoint.
#[test]
fn rows_and_rollups_have_the_same_figures() {
    const HOUR: i64 = 3_600_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let start = START - START % HOUR;
    let completed = [(1, 1_000, 100, 10), (2, 2_000, 900, 30), (3, HOUR + 1_000, 300, 50), (4, HOUR + 2_000, 700, 20)];
    let mut all: Vec<_> = completed
        .map(|(id, at, duration, size)| stats(id, start + at, duration).with_state_size(size))
        .map(|stats| reported(checkpoint_span(JOB, &stats, SpanPerCheckpoint)))
        .into();
    let mut failed = stats(5, start + HOUR, 500);
    failed.status = CheckpointStatus::Failed;
    failed.failure = Some(CheckpointFailure::new(start + HOUR + 500, "expired".to_owned()));
    all.push(reported(checkpoint_span(JOB, &failed, SpanPerCheckpoint)));
    report(&mut traces(&path, &[]), &all).unwrap();
    let history = History::open(&path).unwrap();
    assert_eq!(history.end_ms().unwrap(), start + HOUR + 2_700);
    for hours in [2, 7] {
        let fleet = history.fleet(Window { from_ms: start, to_ms: start + hours * HOUR }, hours).unwrap();
        let job = &fleet.jobs[0];
        let cells: Vec<_> =
            job.cells.iter().map(|cell| (cell.slice, cell.completed, cell.failed, cell.max_ms)).collect();
        assert_eq!(cells, [(0, 2, 0, 900), (1, 2, 1, 700)], "{hours}");
        assert_eq!((job.totals.first_size, job.totals.last_size), (Some(30), Some(50)), "{hours}");
        assert_eq!((job.totals.completed, job.totals.failed, job.totals.max_ms), (4, 1, Some(900)), "{hours}");
        let [p50, p99] = [job.totals.p50_ms, fleet.total.p99_ms].map(Option::unwrap);
        assert!((270..=330).contains(&p50) && (810..=990).contains(&p99), "{hours}: {p50}, {p99}");
    }
}

#[test]
fn recovery_has_its_cause_and_its_cost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    report(&mut traces(&path, &[]), &[plain(1), plain(2)]).unwrap();
    let mut restore = InitializationStats::new(START + 8_000, START + 9_000, InitializationStatus::Completed);
    restore.restored_checkpoint_id = Some(2);
    restore.restored_trigger_timestamp = Some(START + 2_000);
    report(&mut traces(&path, &[]), &[reported(job_initialization_span(JOB, &restore, START))]).unwrap();
    let all = [status("RUNNING", 0), failure(5_000, "x 7"), status("RESTARTING", 5_000), status("RUNNING", 7_500)];
    events(&path).report(&all, &Default::default()).unwrap();
    let history = History::open(&path).unwrap();
    let [card] = &history.recoveries(None, always(), 10).unwrap()[..] else { panic!() };
    assert_eq!((card.down_ms, card.lost_ms, card.checkpoint_id), (Some(4_000), Some(3_000), Some(2)));
    assert_eq!(card.cause, Some((START + 5_000, "com.example.Broken: x 7".to_owned())));
    let fleet = history.fleet(Window { from_ms: START, to_ms: START + 10_000 }, 10).unwrap();
    let totals = &fleet.jobs[0].totals;
    assert_eq!((totals.down_ms, totals.restores, totals.failures), (2_500, 1, 1));
    let down: Vec<_> = fleet.jobs[0].cells.iter().map(|cell| (cell.slice, cell.completed, cell.down_ms)).collect();
    assert_eq!(down, [(1, 1, 0), (2, 1, 0), (5, 0, 1_000), (6, 0, 1_000), (7, 0, 500)]);
}

/// Scenario: two checkpoints and the restore of one have a parent in the same trace.
/// Guarantees: each keeps its own tree, and the restore finds its checkpoint.
#[test]
fn trees_of_one_trace_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let caller = SpanContext::from(Identity::of(&["caller"]));
    let caused = |id: i64| {
        let stats = stats(id, START + id * 1_000, 100).with_parent(caller);
        reported(checkpoint_span(JOB, &stats, ChildrenSpansPerSubtask))
    };
    let mut restore = InitializationStats::new(START + 8_000, START + 9_000, InitializationStatus::Completed);
    restore.restored_checkpoint_id = Some(2);
    restore.restored_trigger_timestamp = Some(START + 2_000);
    restore.restored_trace_id = Some(caller.trace_id);
    let restored = job_initialization_span(JOB, &restore, START).parent(caller);
    report(&mut traces(&path, &[]), &[caused(1), caused(2), reported(restored)]).unwrap();
    events(&path).report(&[failure(5_000, "x 7")], &Default::default()).unwrap();
    let history = History::open(&path).unwrap();
    for id in [1, 2] {
        let view = history.checkpoint(1, START + id * 1_000, id).unwrap().unwrap();
        assert_eq!((view.checkpoint.trace_id, view.tasks.len()), (caller.trace_id.to_string(), 1));
    }
    let [card] = &history.recoveries(None, always(), 10).unwrap()[..] else { panic!() };
    assert_eq!((card.trace_id.as_str(), card.lost_ms), (caller.trace_id.to_string().as_str(), Some(3_000)));
}

#[test]
fn equal_failures_are_one_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let all: Vec<_> = (0..5).map(|index| failure(index, &format!("order {index}"))).collect();
    events(&path).report(&all, &Default::default()).unwrap();
    let groups = History::open(&path).unwrap().failures(always(), 10).unwrap();
    assert_eq!((groups.len(), groups[0].count, groups[0].jobs_total), (1, 5, 1));
    assert_eq!(groups[0].fingerprint, "com.example.Broken at order #");
}

#[test]
fn findings_are_sorted_by_level() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    report(&mut traces(&path, &[]), &[plain(1)]).unwrap();
    let all = [status("RUNNING", 0), failure(1, "a"), failure(2, "b"), failure(3, "c")];
    events(&path).report(&all, &Default::default()).unwrap();
    let history = History::open(&path).unwrap();
    let texts = |now: i64| {
        let findings = history.findings(START + now, true).unwrap();
        findings.into_iter().map(|finding| (finding.level, finding.text)).collect::<Vec<_>>()
    };
    let failures = (Level::Critical, "3 failures within ten minutes".to_owned());
    assert_eq!(texts(2_000), std::slice::from_ref(&failures));
    let late = (Level::Critical, "no checkpoint completed for 4.900 s; the interval is 1.000 s".to_owned());
    assert_eq!(texts(6_000), [failures, late]);
}

#[test]
fn sign_of_life_extends_a_period() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let seen = |at: i64| {
        let event = Event::builder("flink-traces", "ObservationEvent").observed_ts_millis(START + at);
        reported_event(event.attribute("jobs", 2).identity(Identity::of(&[&at.to_string()])))
    };
    let mut reporter = events(&path);
    for at in [0, 10_000, 20_000, 90_000, 100_000] {
        reporter.report(&[seen(at)], &Default::default()).unwrap();
    }
    let history = History::open(&path).unwrap();
    let cluster = history.clusters().unwrap().remove(0);
    assert_eq!((cluster.reachable, cluster.jobs, cluster.seen_ms), (Some(true), Some(2), Some(START + 100_000)));
    let fleet = history.fleet(Window::before(START + 200_000, 300_000), 10).unwrap();
    let periods: Vec<_> = fleet.seen.iter().map(|(_, from, to)| (from - START, to - START)).collect();
    assert_eq!(periods, [(0, 20_000), (90_000, 100_000)]);
    let text = history.findings(START + 200_000, true).unwrap().remove(0).text;
    assert_eq!(text, "not observed for 1 min 40 s");
    assert_eq!(history.findings(START + 200_000, false).unwrap(), []);
}
