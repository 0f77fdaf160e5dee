//! The rows that records become: once each, in any order, with any name.

use flink_traces_api::{Span, Text};
use flink_traces_history::History;
use flink_traces_runtime::checkpoint::{CheckpointStatus, CheckpointType};
use flink_traces_runtime::config::SpanDetailLevel::{ChildrenSpansPerSubtask, SpanPerCheckpoint};
use flink_traces_runtime::job::{JobFailure, job_failure_event, job_status_change_event};
use flink_traces_runtime::{CheckpointStats, checkpoint_event, checkpoint_span};

use crate::support::*;

#[test]
fn repeated_records_are_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let failure = JobFailure::new(START + 50, true).with_exception_type("a.B".to_owned());
    let repeated = || {
        let job = JOB.named("orders");
        [
            reported_event(job_status_change_event(job, "RUNNING", START)),
            reported_event(job_failure_event(job, &failure)),
            reported_event(checkpoint_event(job, &stats(1, START, 10))),
        ]
    };
    for _ in 0..3 {
        let (mut traces, mut events) = (traces(&path, &[]), events(&path));
        report(&mut traces, &[plain(1), detailed(2), plain(1)]).unwrap();
        events.report(&repeated(), &Default::default()).unwrap();
    }
    let history = History::open(&path).unwrap();
    let job = history.job(1, always(), 100).unwrap().unwrap();
    let found = (job.runs.len(), job.checkpoints.len(), job.failures.len(), job.bands.len());
    assert_eq!(found, (1, 2, 1, 1));
    let trees: usize = history.days().into_iter().map(|day| history.records(day).unwrap().len()).sum();
    assert_eq!(trees, 1);
    let fleet = history.fleet(flink_traces_history::query::Window::before(START + 10_000, 86_400_000), 10).unwrap();
    assert_eq!((fleet.jobs[0].totals.completed, fleet.jobs[0].totals.failures), (2, 1));
}

#[test]
fn detail_may_come_before_or_after_its_root() {
    for order in [[SpanPerCheckpoint, ChildrenSpansPerSubtask], [ChildrenSpansPerSubtask, SpanPerCheckpoint]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h");
        for detail in order {
            report(&mut traces(&path, &[]), &[checkpoint(1, START, 100, detail)]).unwrap();
        }
        let history = History::open(&path).unwrap();
        let view = history.checkpoint(1, START, 1).unwrap().unwrap();
        assert_eq!(view.tasks[0].subtasks.len(), 2, "{order:?}");
        assert_eq!((view.checkpoint.subtask, view.checkpoint.task.as_deref()), (Some(1), Some("agg -> tail")));
    }
}

#[test]
fn late_records_go_to_their_day_and_hour() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut reporter = traces(&path, &[]);
    let day = 86_400_000;
    for back in [0, 3, 1, 2, 0] {
        let span = checkpoint(back + 1, START - back * day, 100, ChildrenSpansPerSubtask);
        report(&mut reporter, &[span]).unwrap();
    }
    let history = History::open(&path).unwrap();
    assert_eq!(history.days().len(), 4);
    assert_eq!(ids(&path), [4, 3, 2, 1]);
    let fleet = history.fleet(flink_traces_history::query::Window::before(START, 6 * day), 6).unwrap();
    let slices: Vec<_> = fleet.jobs[0].cells.iter().map(|cell| cell.completed).collect();
    assert_eq!(slices, [1, 1, 1, 1]);
}

#[test]
fn checkpoint_of_the_future_has_its_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let far = START + 100_000 * 86_400_000;
    report(&mut traces(&path, &[]), &[checkpoint(1, far, 100, ChildrenSpansPerSubtask), detailed(2)]).unwrap();
    let history = History::open(&path).unwrap();
    let tasks = |trigger, id| history.checkpoint(1, trigger, id).unwrap().unwrap().tasks.len();
    assert_eq!((tasks(far, 1), tasks(START + 2_000, 2), history.days().len()), (1, 1, 2));
}

#[test]
fn children_without_a_root_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let child = Span::builder("s", "Checkpoint_Task").start_ts_millis(START).attribute("checkpointId", 4);
    report(&mut traces(&path, &[]), &[reported(child)]).unwrap();
    let records = History::open(&path).unwrap().records(START).unwrap();
    assert_eq!(records[0][0].name, "Checkpoint_Task");
}

/// Scenario: names and messages that could be mistaken for SQL, paths or markup. Guarantees: each
/// is text, and a row of its own.
#[test]
fn hostile_names_are_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let names = [
        "'); DROP TABLE job;--",
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "nul\0inside",
        "\u{202e}gpj.exe",
        "",
        "two\nlines",
        "%s\\",
    ];
    let mut reporter = traces(&path, &[]);
    for (index, name) in names.iter().enumerate() {
        let stats = stats(1, START, 10).with_external_path(Some((*name).to_owned()));
        let span = checkpoint_span(JOB, &stats, ChildrenSpansPerSubtask);
        let span = span.extension_attribute("failureMessage", (*name).to_owned());
        report(&mut reporter, &[reported_by(name, &format!("id{index}"), name, span)]).unwrap();
    }
    let history = History::open(&path).unwrap();
    let mut found: Vec<_> = history.jobs().unwrap().into_iter().map(|job| (job.cluster, job.name)).collect();
    found.sort();
    let mut expected: Vec<_> = names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn long_text_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let long = "ä".repeat(100_000);
    let span = checkpoint_span(JOB, &stats(1, START, 10), SpanPerCheckpoint);
    report(&mut traces(&path, &[]), &[reported_by(&long, JOB_ID, &long, span)]).unwrap();
    let job = History::open(&path).unwrap().jobs().unwrap().remove(0);
    assert_eq!((job.cluster.chars().count(), job.name.chars().count()), (1_001, 1_001));
}

#[test]
fn odd_times_and_sizes_have_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut reporter = traces(&path, &[]);
    let odd = [i64::MIN, -1, 0, i64::MAX];
    for (trigger, end) in odd.into_iter().flat_map(|trigger| odd.map(|end| (trigger, end))) {
        let stats = CheckpointStats::new(end, trigger, CheckpointType::Checkpoint, CheckpointStatus::Completed)
            .with_latest_ack_timestamp(end)
            .with_state_size(i64::MAX);
        report(&mut reporter, &[reported(checkpoint_span(JOB, &stats, ChildrenSpansPerSubtask))]).unwrap();
    }
    let history = History::open(&path).unwrap();
    let all = flink_traces_history::query::Window { from_ms: i64::MIN, to_ms: i64::MAX };
    // The window excludes its end, which is the largest time.
    assert_eq!(history.job(1, all, 100).unwrap().unwrap().checkpoints.len(), 12);
    history.fleet(all, 100).unwrap();
    history.findings(i64::MAX, true).unwrap();
    history.findings(i64::MIN, true).unwrap();
}

#[test]
fn unusual_types_are_kept_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let text: Text = "seven".into();
    let span = Span::builder("s", "Checkpoint").start_ts_millis(START).attribute("checkpointId", text);
    report(&mut traces(&path, &[]), &[reported(span.attribute("checkpointStatus", "COMPLETED"))]).unwrap();
    assert_eq!(ids(&path), [] as [i64; 0]);
    assert_eq!(History::open(&path).unwrap().records(START).unwrap().len(), 1);
}
