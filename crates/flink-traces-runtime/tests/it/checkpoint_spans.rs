//! The spans and events built from statistics. Attribute names, types and counts are those of Flink
//! 2.3.0.
//!
//! Long expectations are in `tests/snapshots`. `UPDATE_EXPECT=1 cargo test` rewrites them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use expect_test::{expect, expect_file};
use flink_traces_api::{
    Clock, Compatibility, EventBuilder, ReportContext, ReportedEvent, ReportedSpan, Span, SpanBuilder, SpanContext,
    SpanId, SpanRef, TraceId, ValueRef,
};
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointStatus, CheckpointType, InitializationMetric, InitializationStats,
    InitializationStatus, StateObjectLocation, SubTaskInitializationMetrics, SubtaskMetric, SubtaskStats, Subtasks,
    TaskStats, job_initialization_span,
};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::{
    AllSubtasksStatus, ExecutionAttemptId, JobFailure, all_subtasks_status_change_event, job_failure_event,
    job_status_change_event,
};
use flink_traces_runtime::{CheckpointStats, JobIdentity, NamedJob, checkpoint_event, checkpoint_span};
use proptest::prelude::*;

use Compatibility::{Flink, Standard};
use SpanDetailLevel::{ChildrenSpansPerSubtask, ChildrenSpansPerTask, SpanPerCheckpoint, SpanPerCheckpointWithTasks};

const JOB: JobIdentity<'_> = JobIdentity { cluster: "prod", job_id: "0a4480b1aa43ca25b4801a22462f387a" };
const NAMED: NamedJob<'_> = NamedJob { identity: JOB, name: "agg" };
const SOURCE: &str = "bc764cd8ddf7a0cff126f51c16239658";
const WINDOW: &str = "0a448493b4782967b150582570326227";
const SINK: &str = "ea632d67b7d595e5b851708ae9ad79d6";

/// A clock that panics, because no builder here needs the time.
struct NoClock;

impl Clock for NoClock {
    fn now_millis(&self) -> i64 {
        panic!("a timestamp was left unset")
    }
}

fn context(compatibility: Compatibility) -> Arc<ReportContext> {
    let variables = [("<host>", "jm"), ("<job_id>", JOB.job_id), ("<job_name>", "agg")];
    Arc::new(ReportContext::new(compatibility).with_job_id(JOB.job_id).with_variables(variables))
}

fn reported(span: SpanBuilder, compatibility: Compatibility) -> ReportedSpan {
    ReportedSpan::new(Arc::new(span.build(&NoClock)), context(compatibility))
}

/// Formats attributes as `key=value`, with text in quotes to show the types.
fn formatted<'a>(attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> Vec<String> {
    let show = |(key, value)| match value {
        ValueRef::String(text) => format!("{key}={text:?}"),
        ValueRef::Long(number) => format!("{key}={number}"),
        ValueRef::Double(number) => format!("{key}={number:?} as double"),
        ValueRef::Bool(flag) => format!("{key}={flag}"),
    };
    attributes.map(show).collect()
}

/// Formats a span and its children, without `jobId` and the variables.
fn tree(span: SpanRef<'_>, depth: usize, text: &mut String) {
    assert_eq!(span.scope(), "org.apache.flink.runtime.checkpoint.CheckpointStatsTracker");
    let indent = "  ".repeat(depth);
    let count = span.attributes().count();
    write!(text, "{indent}{} {}..{}, {count} attributes", span.name(), span.start_ts_millis(), span.end_ts_millis())
        .unwrap();
    if let Some(failure) = span.failure() {
        write!(text, ", failed at {}: {:?}", failure.ts_millis, failure.message).unwrap();
    }
    writeln!(text).unwrap();
    let common = formatted(reported(empty_span(), Flink).root().attributes());
    for attribute in formatted(span.attributes()).into_iter().filter(|attribute| !common.contains(attribute)) {
        writeln!(text, "{indent}  {attribute}").unwrap();
    }
    span.children().for_each(|child| tree(child, depth + 1, text));
}

fn empty_span() -> SpanBuilder {
    Span::builder("", "").start_ts_millis(0)
}

fn rendered(span: SpanBuilder, compatibility: Compatibility) -> String {
    let mut text = String::new();
    tree(reported(span, compatibility).root(), 0, &mut text);
    text
}

/// Creates a subtask with its metrics in Flink's order. A negative metric is unset.
fn subtask(index: i64, ack_timestamp: i64, metrics: [i64; 8]) -> SubtaskStats {
    SubtaskStats::new(index, ack_timestamp).with_metrics(SubtaskMetric::ALL.into_iter().zip(metrics))
}

fn task(job_vertex_id: &str, latest_ack_timestamp: Option<i64>, subtasks: Vec<SubtaskStats>) -> TaskStats {
    TaskStats::new(job_vertex_id)
        .with_task_name(format!("name of {}", &job_vertex_id[..2]))
        .with_latest_ack_timestamp(latest_ack_timestamp)
        .with_subtasks(subtasks)
}

/// Creates a checkpoint with two tasks, of which the second began first.
fn completed() -> CheckpointStats {
    CheckpointStats::new(7, 10_000, CheckpointType::Checkpoint, CheckpointStatus::Completed)
        .with_is_unaligned(false)
        .with_latest_ack_timestamp(10_140)
        .with_state_size(5_000)
        .with_checkpointed_size(600)
        .with_metadata_size(321)
        .with_external_path("file:/checkpoints/chk-7".to_owned())
        .with_tasks(vec![
            task(
                WINDOW,
                Some(10_140),
                vec![
                    subtask(0, 10_120, [3_000, 300, 12, 4, 5, 60, 700, 0]),
                    subtask(1, 10_140, [2_000, 200, 15, 9, 3, 80, 100, 0]),
                ],
            ),
            task(SOURCE, Some(10_030), vec![subtask(0, 10_030, [0, 100, 2, 0, 1, 20, -1, -1])]),
        ])
}

/// Creates a checkpoint that failed before any acknowledgement.
fn failed() -> CheckpointStats {
    {
        let mut value = completed();
        value.status = CheckpointStatus::Failed;
        value.latest_ack_timestamp = None;
        value.state_size = Some(0);
        value.checkpointed_size = Some(0);
        value.metadata_size = Some(-1);
        value.external_path = None;
        value.failure = Some(CheckpointFailure::new(70_001, "Checkpoint expired before completing."));
        value.tasks = vec![task(SOURCE, None, vec![])];
        value
    }
}

#[test]
fn checkpoint_is_one_span() {
    let span = checkpoint_span(JOB, &completed(), SpanPerCheckpoint);
    expect_file!["../snapshots/checkpoint_is_one_span.txt"].assert_eq(&rendered(span, Flink));
}

#[test]
fn checkpoint_with_tasks_has_lists() {
    let span = checkpoint_span(JOB, &completed(), SpanPerCheckpointWithTasks);
    expect_file!["../snapshots/checkpoint_with_tasks_has_lists.txt"].assert_eq(&rendered(span, Flink));
}

#[test]
fn checkpoint_has_child_per_task() {
    let span = checkpoint_span(JOB, &completed(), ChildrenSpansPerTask);
    expect_file!["../snapshots/checkpoint_has_child_per_task.txt"].assert_eq(&rendered(span, Flink));
}

#[test]
fn checkpoint_has_grandchild_per_subtask() {
    let span = checkpoint_span(JOB, &completed(), ChildrenSpansPerSubtask);
    expect_file!["../snapshots/checkpoint_has_grandchild_per_subtask.txt"].assert_eq(&rendered(span, Flink));
}

#[test]
fn attribute_counts_equal_flinks() {
    fn count(span: SpanRef<'_>, counts: &mut BTreeSet<(String, usize)>) {
        counts.insert((span.name().to_owned(), span.attributes().count()));
        span.children().for_each(|child| count(child, counts));
    }
    for (detail, expected) in [
        (SpanPerCheckpoint, &[("Checkpoint", 25)][..]),
        (SpanPerCheckpointWithTasks, &[("Checkpoint", 41)]),
        (ChildrenSpansPerTask, &[("Checkpoint", 25), ("Checkpoint_Task", 21)]),
        (ChildrenSpansPerSubtask, &[("Checkpoint", 25), ("Checkpoint_Subtask", 14), ("Checkpoint_Task", 21)]),
    ] {
        let mut counts = BTreeSet::new();
        count(reported(checkpoint_span(JOB, &completed(), detail), Flink).root(), &mut counts);
        let counts: Vec<_> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(counts, expected, "{detail:?}");
    }
}

#[test]
fn extensions_are_hidden_under_flink_compatibility() {
    let span = || checkpoint_span(JOB, &completed(), ChildrenSpansPerTask);
    let [standard, flink] = [Standard, Flink].map(|compatibility| {
        let span = reported(span(), compatibility);
        let mut all = formatted(span.root().attributes());
        all.extend(span.root().children().flat_map(|child| formatted(child.attributes())));
        all
    });
    let added: Vec<_> = standard.iter().filter(|attribute| !flink.contains(attribute)).collect();
    assert_eq!(
        added,
        ["externalPath=\"file:/checkpoints/chk-7\"", "taskName=\"name of bc\"", "taskName=\"name of 0a\""]
    );
    assert_eq!(standard.len(), flink.len() + 3);
}

/// Guarantees: −1, which means unset, enters no sum and no maximum, but remains an attribute of its
/// subtask.
#[test]
fn unset_metrics_enter_no_sum_or_maximum() {
    let mut stats = completed();
    stats.tasks = vec![task(
        SOURCE,
        Some(10_050),
        vec![subtask(0, 10_040, [-1; 8]), subtask(1, 10_050, [7, -1, 3, -1, 0, 9, -1, 1])],
    )];
    expect_file!["../snapshots/unset_metrics_enter_no_sum_or_maximum.txt"]
        .assert_eq(&rendered(checkpoint_span(JOB, &stats, ChildrenSpansPerSubtask), Flink));
}

/// Returns the order of the children and that of the lists.
fn order(tasks: Vec<TaskStats>) -> (String, String) {
    let stats = completed().with_tasks(tasks);
    let children = reported(checkpoint_span(JOB, &stats, ChildrenSpansPerTask), Flink);
    let start = |child: SpanRef<'_>| format!("+{}", child.start_ts_millis() - stats.trigger_timestamp);
    let starts: Vec<_> = children.root().children().map(start).collect();
    let lists = reported(checkpoint_span(JOB, &stats, SpanPerCheckpointWithTasks), Flink);
    let of_sizes = |(key, value)| match value {
        ValueRef::String(text) if key == "perTaskSumStateSizeBytes" => Some(text.to_owned()),
        _ => None,
    };
    let list = lists.root().attributes().find_map(of_sizes);
    (starts.join(" "), list.unwrap())
}

#[test]
fn tasks_are_sorted_by_start() {
    let started = |size: i64, delays: &[i64]| {
        let subtask = |(index, delay): (usize, &i64)| subtask(index as i64, 10_100, [size, 0, *delay, 0, 0, 0, 0, 0]);
        task(SINK, Some(10_100), delays.iter().enumerate().map(subtask).collect())
    };
    let check = |tasks: Vec<TaskStats>, starts: &str, list: &str| {
        assert_eq!(order(tasks), (starts.to_owned(), list.to_owned()));
    };
    check(vec![started(1, &[9]), started(2, &[5, 30]), started(3, &[30, 7])], "+5 +7 +9", "[4, 6, 1]");
    // Tasks that began together keep their order.
    check(vec![started(1, &[5]), started(2, &[5]), started(3, &[4]), started(4, &[5])], "+4 +5 +5 +5", "[3, 1, 2, 4]");
    // A task without a report has no delay. An unset delay counts as none.
    check(
        vec![started(1, &[5]), started(2, &[]), started(3, &[-1]), started(4, &[-1, 3])],
        "+0 +0 +3 +5",
        "[0, 3, 8, 1]",
    );
    check(vec![started(9, &[6])], "+6", "[9]");
    // Many tasks, because sorting a few is always stable.
    let (early, late) = ((0..100).map(|size| 2 * size + 1), (0..100).map(|size| 2 * size));
    let expected: Vec<i64> = early.chain(late).collect();
    let many = (0..200).map(|size| started(size, &[7 - size % 2]));
    assert_eq!(order(many.collect()).1, format!("{expected:?}"));
}

#[test]
fn failed_checkpoint_has_time_and_cause() {
    let span = || checkpoint_span(JOB, &failed(), ChildrenSpansPerTask);
    expect_file!["../snapshots/failed_checkpoint_under_standard.txt"].assert_eq(&rendered(span(), Standard));
    expect_file!["../snapshots/failed_checkpoint_under_flink.txt"].assert_eq(&rendered(span(), Flink));
}

#[test]
fn checkpoint_ends_at_last_ack_or_failure() {
    let at = |timestamp| Some(CheckpointFailure::new(timestamp, String::new()));
    let check = |stats: CheckpointStats, standard: (i64, Option<i64>), flink: i64| {
        for detail in SpanDetailLevel::ALL {
            let found = [Standard, Flink].map(|compatibility| {
                let span = reported(checkpoint_span(JOB, &stats, detail), compatibility);
                (span.root().end_ts_millis(), span.root().failure().map(|failure| failure.ts_millis))
            });
            assert_eq!(found, [standard, (flink, None)]);
        }
    };
    check(completed(), (10_140, None), 10_140);
    check(failed(), (70_001, Some(70_001)), -1);
    check(failed().with_latest_ack_timestamp(10_020), (10_020, Some(70_001)), 10_020);
    // A failure with an unknown cause is not a success.
    check(
        {
            let mut value = failed();
            value.failure = None;
            value
        },
        (10_000, Some(10_000)),
        -1,
    );
    let unknown = {
        let mut value = failed();
        value.failure = None;
        value.latest_ack_timestamp = Some(10_020);
        value
    };
    check(unknown, (10_020, Some(10_020)), 10_020);
    // The clocks of two machines differ.
    check(failed().with_failure(at(9_000)), (10_000, Some(9_000)), -1);
}

#[test]
fn unknown_fields_have_no_attributes() {
    let mut stats = {
        let mut value = completed();
        value.is_unaligned = None;
        value.state_size = None;
        value.checkpointed_size = None;
        value.metadata_size = None;
        value.external_path = None;
        value
    };
    stats.tasks[0].task_name = None;
    // A metric that some subtasks lack is summed over the others. One that all lack is unknown.
    let forget = |subtask: &mut SubtaskStats, metric| *subtask = subtask.clone().with_metrics([(metric, None)]);
    for (subtask, metric) in stats.tasks[0]
        .subtasks
        .iter_mut()
        .zip([SubtaskMetric::CheckpointStartDelayMs, SubtaskMetric::PersistedDataBytes])
    {
        forget(subtask, metric);
    }
    for subtask in stats.tasks.iter_mut().flat_map(|task| task.subtasks.iter_mut()) {
        forget(subtask, SubtaskMetric::CheckpointedSizeBytes);
    }
    expect_file!["../snapshots/unknown_fields_have_no_attributes.txt"]
        .assert_eq(&rendered(checkpoint_span(JOB, &stats, ChildrenSpansPerSubtask), Standard));

    // Without tasks, a detail level adds nothing.
    stats.tasks.clear();
    let spans = SpanDetailLevel::ALL.map(|detail| checkpoint_span(JOB, &stats, detail));
    assert!(spans.iter().all(|span| *span == spans[0]));
    let [span, ..] = spans;
    expect![[r#"
        Checkpoint 10000..10140, 7 attributes
          checkpointId=7
          checkpointStatus="COMPLETED"
          checkpointType="Checkpoint"
    "#]]
    .assert_eq(&rendered(span, Standard));
}

/// An engine reports an aborted snapshot without metrics.
#[test]
fn aborted_subtask_keeps_maxima_and_sums() {
    let numbers = |stats: &CheckpointStats| {
        let span = reported(checkpoint_span(JOB, stats, ChildrenSpansPerTask), Flink);
        let task = span.root().children().next().unwrap();
        let of = |span: SpanRef<'_>| {
            let is_number = |text: &String| text.starts_with("max") || text.starts_with("sum");
            formatted(span.attributes()).into_iter().filter(is_number).collect::<Vec<_>>()
        };
        (of(span.root()), of(task))
    };
    let mut stats = failed();
    stats.tasks = vec![task(SOURCE, Some(10_050), vec![subtask(0, 10_040, [4_096, 5, 3, 1, 2, 9, 7, 1])])];
    let before = numbers(&stats);
    assert_eq!((before.0.len(), before.1.len()), (14, 16));
    let aborted = SubtaskStats::new(1, 10_060).with_completed(false);
    stats.tasks[0].subtasks = stats.tasks[0].subtasks.iter().cloned().chain([aborted]).collect();
    assert_eq!(numbers(&stats), before);
    // So does a task of which no subtask has metrics.
    stats.tasks.push(task(SINK, None, vec![SubtaskStats::new(0, 10_060).with_completed(false)]));
    assert_eq!(numbers(&stats).0, before.0);
}

/// Returns the counts of a task of `parallelism` subtasks, of which these acknowledged.
fn unacknowledged(parallelism: i64, acknowledged: impl IntoIterator<Item = i64>) -> Vec<String> {
    let subtasks = acknowledged.into_iter().map(|index| SubtaskStats::new(index, 10_050)).collect::<Subtasks>();
    let stats =
        failed().with_tasks(vec![TaskStats::new(SOURCE).with_num_subtasks(parallelism).with_subtasks(subtasks)]);
    let span = reported(checkpoint_span(JOB, &stats, ChildrenSpansPerTask), Standard);
    let task = span.root().children().next().unwrap();
    let is_count = |text: &String| text.contains("Subtasks=");
    formatted(task.attributes()).into_iter().filter(is_count).collect()
}

#[test]
fn task_names_unacknowledged_subtasks() {
    let check = |parallelism, acknowledged: &[i64], expected: [&str; 3]| {
        let expected: Vec<_> = expected.into_iter().filter(|text| !text.is_empty()).collect();
        assert_eq!(unacknowledged(parallelism, acknowledged.iter().copied()), expected);
    };
    let all = |count| format!("numSubtasks={count}");
    check(3, &[0, 1, 2], [&all(3), "numAcknowledgedSubtasks=3", ""]);
    check(3, &[], [&all(3), "numAcknowledgedSubtasks=0", "unacknowledgedSubtasks=\"0-2\""]);
    check(
        20,
        &[16, 4, 18, 19, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [&all(20), "numAcknowledgedSubtasks=14", "unacknowledgedSubtasks=\"0-3,5,17\""],
    );
    check(1, &[], [&all(1), "numAcknowledgedSubtasks=0", "unacknowledgedSubtasks=\"0\""]);
    // Every second of 1,000 subtasks.
    let many = unacknowledged(1_000, (0..1_000).step_by(2));
    let text = many[2].strip_prefix("unacknowledgedSubtasks=\"").unwrap().strip_suffix('"').unwrap();
    let shown: Vec<_> = text.strip_suffix('…').unwrap().split(',').collect();
    assert!((1_020..=1_024).contains(&text.chars().count()), "{}", text.len());
    assert_eq!(shown, (1..1_000).step_by(2).map(|index| index.to_string()).take(shown.len()).collect::<Vec<_>>());
}

/// An aborted snapshot is a report, but no acknowledgement.
#[test]
fn extensions_of_checkpoint_and_subtask() {
    let mut stats =
        failed().with_incomplete(true).with_checkpoint_interval_ms(10_000).with_checkpoint_timeout_ms(600_000);
    let aborted = SubtaskStats::new(1, 10_050).with_completed(false);
    let subtask = SubtaskStats::new(0, 10_050).with_host(Some("tm-1".into()));
    stats.tasks = vec![TaskStats::new(SOURCE).with_num_subtasks(3).with_subtasks(vec![subtask, aborted])];
    let tree = reported(checkpoint_span(JOB, &stats, ChildrenSpansPerSubtask), Standard);
    let hidden = reported(checkpoint_span(JOB, &stats, ChildrenSpansPerSubtask), Flink);
    let names = [
        "isIncomplete",
        "checkpointIntervalMs",
        "checkpointTimeoutMs",
        "numSubtasks",
        "numAcknowledgedSubtasks",
        "unacknowledgedSubtasks",
        "host",
    ];
    let found = |tree: &ReportedSpan| {
        let of = |span: SpanRef<'_>| {
            let attributes = formatted(span.attributes()).into_iter();
            let is_named = |text: &String| names.iter().any(|name| text.starts_with(&format!("{name}=")));
            format!("{} {}", span.name(), attributes.filter(is_named).collect::<Vec<_>>().join(" "))
        };
        tree.spans().map(of).collect::<Vec<_>>()
    };
    assert_eq!(
        found(&tree),
        [
            "Checkpoint checkpointIntervalMs=10000 checkpointTimeoutMs=600000 isIncomplete=true",
            "Checkpoint_Task numSubtasks=3 numAcknowledgedSubtasks=1 unacknowledgedSubtasks=\"1-2\"",
            "Checkpoint_Subtask host=\"tm-1\"",
            "Checkpoint_Subtask ",
        ]
    );
    assert_eq!(found(&hidden), ["Checkpoint ", "Checkpoint_Task ", "Checkpoint_Subtask ", "Checkpoint_Subtask "]);
}

/// Guarantees: the span of a subtask does not depend on how many others its task has.
#[test]
fn subtasks_of_large_task_have_the_same_spans() {
    let number = |index: i64| subtask(index, 10_100 + index, [index, 1, index % 3 - 1, 0, 1, 1, 0, -1]);
    let subtasks: Vec<_> =
        (0..100).map(|index| number(index).with_host((index % 2 == 0).then(|| "tm-1".into()))).collect();
    let spans_of = |subtasks: &[SubtaskStats]| {
        let stats = completed().with_tasks(vec![task(SOURCE, Some(10_199), subtasks.to_vec())]);
        let span = reported(checkpoint_span(JOB, &stats, ChildrenSpansPerSubtask), Standard);
        let task = span.root().children().next().unwrap();
        let of_subtask = |span: SpanRef<'_>| {
            let mut text = span.span_id().to_string();
            tree(span, 0, &mut text);
            text
        };
        task.children().map(of_subtask).collect::<Vec<_>>()
    };
    let few: Vec<_> = subtasks.chunks(10).flat_map(spans_of).collect();
    assert_eq!(spans_of(&subtasks), few);
}

#[test]
fn statuses_and_types_have_flinks_names() {
    let check = |stats: CheckpointStats, expected: [&str; 2]| {
        let span = reported(checkpoint_span(JOB, &stats, SpanPerCheckpoint), Flink);
        let attributes = formatted(span.root().attributes());
        let wanted =
            |attribute: &&String| ["checkpointStatus=", "checkpointType="].iter().any(|key| attribute.starts_with(key));
        assert_eq!(attributes.iter().filter(wanted).collect::<Vec<_>>(), expected);
    };
    for (checkpoint_type, name) in [
        (CheckpointType::Checkpoint, "Checkpoint"),
        (CheckpointType::FullCheckpoint, "Full Checkpoint"),
        (CheckpointType::Savepoint, "Savepoint"),
        (CheckpointType::TerminateSavepoint, "Terminate Savepoint"),
        (CheckpointType::SuspendSavepoint, "Suspend Savepoint"),
    ] {
        let name = format!("checkpointType={name:?}");
        check(
            {
                let mut value = completed();
                value.checkpoint_type = checkpoint_type;
                value
            },
            ["checkpointStatus=\"COMPLETED\"", &name],
        );
        check(
            {
                let mut value = failed();
                value.checkpoint_type = checkpoint_type;
                value
            },
            ["checkpointStatus=\"FAILED\"", &name],
        );
    }
    let pending = {
        let mut value = completed();
        value.status = CheckpointStatus::InProgress;
        value
    };
    check(pending, ["checkpointStatus=\"IN_PROGRESS\"", "checkpointType=\"Checkpoint\""]);
}

fn metric(name: &str, max: i64, sum: i64) -> InitializationMetric {
    InitializationMetric::new(name, max, sum)
}

fn initialized() -> InitializationStats {
    InitializationStats::new(20_000, 20_730, InitializationStatus::Completed).with_metrics(vec![
        metric("MailboxStartDurationMs", 80, 221),
        metric("ReadOutputDataDurationMs", 13, 22),
        metric("InitializeStateDurationMs", 244, 519),
        metric("GateRestoreDurationMs", 11, 22),
    ])
}

fn restored() -> InitializationStats {
    let mut stats = initialized()
        .with_restored_checkpoint_id(7)
        .with_restored_trigger_timestamp(10_000)
        .with_restored_state_size(5_000);
    stats.metrics.push(metric("RestoredStateSizeBytes.LOCAL_DISK", 900, 1_800));
    stats
}

#[test]
fn initialization_of_new_job() {
    let span = || job_initialization_span(JOB, &initialized(), 20_000);
    expect![[r#"
        JobInitialization 20000..20730, 13 attributes
          initializationStatus="COMPLETED"
          maxMailboxStartDurationMs=80
          sumMailboxStartDurationMs=221
          maxReadOutputDataDurationMs=13
          sumReadOutputDataDurationMs=22
          maxInitializeStateDurationMs=244
          sumInitializeStateDurationMs=519
          maxGateRestoreDurationMs=11
          sumGateRestoreDurationMs=22
    "#]]
    .assert_eq(&rendered(span(), Flink));
    assert_eq!(reported(span(), Standard).root().links().count(), 0);
    assert_eq!(reported(span(), Flink).root().attributes().count(), 13);
}

#[test]
fn initialization_from_checkpoint() {
    expect_file!["../snapshots/initialization_from_checkpoint.txt"]
        .assert_eq(&rendered(job_initialization_span(JOB, &restored(), 20_000), Flink));
}

#[test]
fn failed_initialization_is_error() {
    let stats = {
        let mut value = initialized();
        value.status = InitializationStatus::Failed;
        value.metrics = Vec::new();
        value
    };
    let span = || job_initialization_span(JOB, &stats, 20_000);
    expect![[r#"
        JobInitialization 20000..20730, 5 attributes, failed at 20730: ""
          initializationStatus="FAILED"
    "#]]
    .assert_eq(&rendered(span(), Standard));
    assert_eq!(reported(span(), Flink).root().failure(), None);
}

/// Guarantees: extensions are not counted in the mode `compatibility: flink`.
#[test]
fn initialization_has_child_per_subtask() {
    let attempt = |job_vertex_id: &str, subtask_index| ExecutionAttemptId {
        job_vertex_id: job_vertex_id.to_owned(),
        subtask_index,
        attempt_number: 2,
    };
    let mut completed = SubTaskInitializationMetrics::new(InitializationStatus::Completed, 20_500);
    completed.add(SubTaskInitializationMetrics::MAILBOX_START_DURATION, 80);
    completed.add_restored_state_size(StateObjectLocation::LocalDisk, 900);
    completed.add(SubTaskInitializationMetrics::DOWNLOAD_STATE_DURATION, -1);
    let failed = SubTaskInitializationMetrics::new(InitializationStatus::Failed, 20_730);
    let stats = {
        let mut value = restored();
        value.status = InitializationStatus::Failed;
        value.metrics = Vec::new();
        value.subtasks = vec![(attempt(WINDOW, 0), completed), (attempt(WINDOW, 1), failed)];
        value
    };
    let span = job_initialization_span(JOB, &stats, 20_000);
    expect_file!["../snapshots/initialization_has_child_per_subtask.txt"].assert_eq(&rendered(span.clone(), Standard));
    expect![[r#"
        JobInitialization 20000..20730, 7 attributes
          initializationStatus="FAILED"
          checkpointId=7
          fullSize=5000
    "#]]
    .assert_eq(&rendered(span.clone(), Flink));
    assert_eq!([Standard, Flink].map(|compatibility| reported(span.clone(), compatibility).span_count()), [3, 1]);

    // The ids depend on the subtask and the attempt, not on the position.
    let ids = |stats: &InitializationStats| {
        let mut ids = Vec::new();
        all_ids(reported(job_initialization_span(JOB, stats, 20_000), Standard).root(), &mut ids);
        ids
    };
    let reversed = stats.clone().with_subtasks(stats.subtasks.iter().rev().cloned().collect());
    let (ids, reversed) = (ids(&stats), ids(&reversed));
    assert_eq!([ids[0], ids[2], ids[1]], reversed[..]);
    assert_ne!(ids[1], ids[2]);
}

/// Guarantees: the link leads to the checkpoint's span, even if another process reported it.
#[test]
fn initialization_links_to_restored_checkpoint() {
    let links = |stats: &InitializationStats, compatibility| {
        let span = reported(job_initialization_span(JOB, stats, 20_000), compatibility);
        span.root().links().collect::<Vec<_>>()
    };
    for detail in SpanDetailLevel::ALL {
        let checkpoint = reported(checkpoint_span(JOB, &completed(), detail), Standard);
        let ids = SpanContext { trace_id: checkpoint.root().trace_id(), span_id: checkpoint.root().span_id() };
        assert_eq!(links(&restored(), Standard), [ids]);
    }
    assert_eq!(links(&restored(), Flink), []);
    assert_eq!(
        links(
            &{
                let mut value = restored();
                value.restored_trigger_timestamp = None;
                value
            },
            Standard
        ),
        []
    );
    assert_eq!(
        links(
            &{
                let mut value = restored();
                value.restored_checkpoint_id = None;
                value
            },
            Standard
        ),
        []
    );
}

fn all_ids(span: SpanRef<'_>, ids: &mut Vec<(TraceId, SpanId)>) {
    ids.push((span.trace_id(), span.span_id()));
    span.children().for_each(|child| all_ids(child, ids));
}

#[test]
fn ids_depend_only_on_identity() {
    let ids = |job: JobIdentity<'_>, stats: &CheckpointStats| {
        let mut ids = Vec::new();
        all_ids(reported(checkpoint_span(job, stats, ChildrenSpansPerSubtask), Standard).root(), &mut ids);
        ids
    };
    let known = ids(JOB, &completed());
    assert_eq!(known.len(), 6);
    assert_eq!(known.iter().collect::<HashSet<_>>().len(), 6);

    // No other field matters: the order of tasks, the metrics, the outcome.
    let mut other = {
        let mut value = failed();
        value.state_size = None;
        value
    };
    other.tasks = completed().tasks.into_iter().rev().collect();
    assert_eq!(ids(JOB, &other), known);

    let changed = [
        ids(JobIdentity { cluster: "test", ..JOB }, &completed()),
        ids(JobIdentity { job_id: "another", ..JOB }, &completed()),
        ids(JOB, &{
            let mut value = completed();
            value.checkpoint_id = 8;
            value
        }),
        // A job that restarts without a checkpoint counts from 1 again.
        ids(JOB, &{
            let mut value = completed();
            value.trigger_timestamp = 10_001;
            value
        }),
    ];
    let distinct: HashSet<_> = changed.iter().flatten().chain(&known).collect();
    assert_eq!(distinct.len(), 30);

    let initialization = |stats: &InitializationStats, identity_timestamp| {
        reported(job_initialization_span(JOB, stats, identity_timestamp), Standard).root().trace_id()
    };
    let first = initialization(&initialized(), 20_000);
    let later = {
        let mut value = initialized();
        value.start_timestamp = 19_999;
        value.end_timestamp = 30_000;
        value
    };
    assert_eq!(initialization(&later, 20_000), first);
    assert_ne!(initialization(&initialized(), 20_001), first);
    assert_ne!(initialization(&restored(), 20_000), first);
    assert!(!known.iter().any(|(trace_id, _)| *trace_id == first));
}

#[test]
fn extreme_numbers_saturate() {
    for extreme in [i64::MIN, -1, 0, i64::MAX] {
        let extreme_subtask = |index| subtask(index, extreme, [extreme; 8]);
        let tasks = vec![
            task(SOURCE, Some(extreme), vec![extreme_subtask(extreme), extreme_subtask(1)]),
            task(SINK, Some(extreme), vec![extreme_subtask(0)]),
        ];
        let stats = {
            let mut value = completed();
            value.checkpoint_id = extreme;
            value.trigger_timestamp = extreme;
            value.latest_ack_timestamp = Some(extreme);
            value.tasks = tasks;
            value
        };
        for detail in SpanDetailLevel::ALL {
            let span = reported(checkpoint_span(JOB, &stats, detail), Standard);
            let attributes = formatted(span.root().attributes());
            assert!(attributes.contains(&format!("maxStateSizeBytes={}", extreme.max(0))), "{attributes:?}");
            let sum = extreme.max(0).saturating_mul(3);
            assert!(attributes.contains(&format!("sumProcessedDataBytes={sum}")), "{attributes:?}");
            let mut ids = Vec::new();
            all_ids(span.root(), &mut ids);
            assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{extreme}");
        }
        let late = {
            let mut value = stats;
            value.trigger_timestamp = i64::MAX;
            value
        };
        let span = reported(checkpoint_span(JOB, &late, ChildrenSpansPerSubtask), Flink);
        for task in span.root().children() {
            let starts = task.children().chain([task]).map(|span| span.start_ts_millis());
            assert_eq!(starts.min(), Some(i64::MAX));
        }
    }
}

/// Formats an event without `jobId` and the variables, by default and, if it differs, as in Flink.
fn rendered_event(event: EventBuilder) -> String {
    let text = |compatibility| {
        let event = ReportedEvent::new(Arc::new(event.clone().build(&NoClock)), 99_999, context(compatibility));
        let mut text = format!("{} at {}, {}\n", event.name(), event.ts_millis(), event.severity());
        if !event.body().is_empty() {
            writeln!(text, "  {}", event.body()).unwrap();
        }
        let common = formatted(reported(empty_span(), Flink).root().attributes());
        for attribute in formatted(event.attributes()).into_iter().filter(|attribute| !common.contains(attribute)) {
            writeln!(text, "  {attribute}").unwrap();
        }
        text
    };
    let (standard, flink) = (text(Standard), text(Flink));
    let scope = event.build(&NoClock).scope().to_owned();
    let in_flink = if standard == flink { String::new() } else { format!("in Flink: {flink}") };
    format!("{scope}\n{standard}{in_flink}")
}

#[test]
fn checkpoint_events() {
    expect![[r#"
        org.apache.flink.runtime.checkpoint.CheckpointStatsTracker
        CheckpointEvent at 10140, INFO
          Checkpoint 7 of agg completed in 140 ms, 4.9 KiB
          checkpointId=7
          fullSize=5000
          checkpointedSize=600
          metadataSize=321
          checkpointStatus="COMPLETED"
          isUnaligned="false"
          checkpointType="Checkpoint"
          log.record.uid="324d746b50fb08a4a5fa091635a01d94"
        in Flink: CheckpointEvent at 10140, INFO
          checkpointId=7
          fullSize=5000
          checkpointedSize=600
          metadataSize=321
          checkpointStatus="COMPLETED"
          isUnaligned="false"
          checkpointType="Checkpoint"
    "#]]
    .assert_eq(&rendered_event(checkpoint_event(NAMED, &completed())));
    expect_file!["../snapshots/event_of_failed_checkpoint.txt"]
        .assert_eq(&rendered_event(checkpoint_event(NAMED, &failed())));
    let acknowledged_in_part = failed().with_latest_ack_timestamp(10_020);
    expect_file!["../snapshots/event_of_partly_acknowledged_checkpoint.txt"]
        .assert_eq(&rendered_event(checkpoint_event(NAMED, &acknowledged_in_part)));
    let unknown = {
        let mut value = failed();
        value.is_unaligned = None;
        value.state_size = None;
        value.checkpointed_size = None;
        value.metadata_size = None;
        value.failure = None;
        value
    };
    expect![[r#"
        org.apache.flink.runtime.checkpoint.CheckpointStatsTracker
        CheckpointEvent at -1, WARN
          Checkpoint 7 of agg failed
          checkpointId=7
          checkpointStatus="FAILED"
          checkpointType="Checkpoint"
          log.record.uid="bdbcafdd71e7fc5bcebb3994f9d81550"
        in Flink: CheckpointEvent at -1, INFO
          checkpointId=7
          checkpointStatus="FAILED"
          checkpointType="Checkpoint"
    "#]]
    .assert_eq(&rendered_event(checkpoint_event(NAMED, &unknown)));
}

#[test]
fn status_change_events() {
    expect![[r#"
        org.apache.flink.runtime.jobmaster.JobMaster
        JobStatusChangeEvent at 5, INFO
          Job agg is RUNNING
          newJobStatus="RUNNING"
          log.record.uid="776920bed93698214e030e47a6c85caf"
        in Flink: JobStatusChangeEvent at 5, INFO
          newJobStatus="RUNNING"
    "#]]
    .assert_eq(&rendered_event(job_status_change_event(NAMED, "RUNNING", 5)));
    expect![[r#"
        org.apache.flink.runtime.jobmaster.JobMaster
        JobStatusChangeEvent at 5, ERROR
          Job agg is FAILED
          newJobStatus="FAILED"
          log.record.uid="787e9f5b80c8d98c65804d3556975578"
        in Flink: JobStatusChangeEvent at 5, INFO
          newJobStatus="FAILED"
    "#]]
    .assert_eq(&rendered_event(job_status_change_event(NAMED, "FAILED", 5)));
    for (severity, statuses) in [
        ("INFO", "INITIALIZING CREATED RUNNING CANCELLING CANCELED FINISHED RECONCILING unknown"),
        ("WARN", "FAILING RESTARTING SUSPENDED"),
        ("ERROR", "FAILED"),
    ] {
        for status in statuses.split(' ') {
            let event = Arc::new(job_status_change_event(NAMED, status, 5).build(&NoClock));
            assert_eq!(ReportedEvent::new(event, 0, context(Standard)).severity(), severity, "{status}");
        }
    }
}

#[test]
fn job_failure_events() {
    let least = JobFailure::new(5, false);
    expect![[r#"
        org.apache.flink.runtime.scheduler.adaptive.JobFailureMetricReporter
        JobFailureEvent at 5, ERROR
          Job agg failed
          canRestart="false"
          log.record.uid="03d4fb27b42e92440762605a46953dcc"
        in Flink: JobFailureEvent at 5, INFO
          canRestart="false"
    "#]]
    .assert_eq(&rendered_event(job_failure_event(NAMED, &least)));
    let labels = [("type", "USER"), ("empty", ""), ("", "no key")];
    let all = JobFailure::new(5, true)
        .with_global(false)
        .with_labels(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
        .with_exception_type("java.lang.RuntimeException".to_owned())
        .with_exception_message("boom".to_owned())
        .with_stacktrace("java.lang.RuntimeException: boom\n\tat A.b(A.java:1)\n".to_owned())
        .with_task_name("Source (2/4)".to_owned())
        .with_endpoint("tm:6122".to_owned())
        .with_task_manager_id("tm-1".to_owned());
    expect_file!["../snapshots/job_failure_events.txt"].assert_eq(&rendered_event(job_failure_event(NAMED, &all)));
}

#[test]
fn all_subtasks_events() {
    expect![[r#"
        org.apache.flink.runtime.scheduler.metrics.AllSubTasksRunningOrFinishedStateTimeMetrics
        AllSubtasksStatusChangeEvent at 5, INFO
          All subtasks of agg run or have finished
          status="ALL_RUNNING_OR_FINISHED"
          log.record.uid="044d5492a2a0e3e500cb751cdf20bb5f"
        in Flink: AllSubtasksStatusChangeEvent at 5, INFO
          status="ALL_RUNNING_OR_FINISHED"
    "#]]
    .assert_eq(&rendered_event(all_subtasks_status_change_event(
        NAMED,
        AllSubtasksStatus::AllRunningOrFinished,
        JOB.initialization(None, 3),
        5,
    )));
    expect![[r#"
        org.apache.flink.runtime.scheduler.metrics.AllSubTasksRunningOrFinishedStateTimeMetrics
        AllSubtasksStatusChangeEvent at 5, INFO
          Some subtasks of agg no longer run
          status="NOT_ALL_RUNNING_OR_FINISHED"
          log.record.uid="19ff0fd2e2b0bed1a9acdf81e01c3af9"
        in Flink: AllSubtasksStatusChangeEvent at 5, INFO
          status="NOT_ALL_RUNNING_OR_FINISHED"
    "#]]
    .assert_eq(&rendered_event(all_subtasks_status_change_event(
        NAMED,
        AllSubtasksStatus::NotAllRunningOrFinished,
        JOB.initialization(None, 3),
        5,
    )));
}

/// Flink's aggregation in the simplest form, as text by attribute.
mod naive {
    use super::*;

    const NAMES: [&str; 8] = [
        "StateSizeBytes",
        "CheckpointedSizeBytes",
        "CheckpointStartDelayMs",
        "AlignmentDurationMs",
        "SyncCheckpointDurationMs",
        "AsyncCheckpointDurationMs",
        "ProcessedDataBytes",
        "PersistedDataBytes",
    ];

    pub(super) type Attributes = BTreeMap<String, String>;

    /// A span without its name and without the attributes of its group.
    #[derive(Debug, PartialEq)]
    pub(super) struct Expected {
        pub(super) start: i64,
        pub(super) end: i64,
        pub(super) attributes: Attributes,
        pub(super) children: Vec<Expected>,
    }

    /// Returns the known values of one metric; `None` if subtasks reported, but none with it.
    fn reported(task: &TaskStats, metric: usize) -> Option<Vec<i64>> {
        let metric = SubtaskMetric::ALL[metric];
        let mut values: Vec<_> = task.subtasks.iter().filter_map(|subtask| subtask.metric(metric)).collect();
        if values.is_empty() && !task.subtasks.is_empty() {
            return None;
        }
        values.retain(|value| *value >= 0);
        Some(values)
    }

    fn start_delay(task: &TaskStats) -> i64 {
        let mut delays: Vec<i64> =
            task.subtasks.iter().filter_map(|subtask| subtask.metric(SubtaskMetric::CheckpointStartDelayMs)).collect();
        delays.retain(|delay| *delay >= 0);
        delays.sort_unstable();
        delays.first().copied().unwrap_or(0)
    }

    fn ordered(tasks: &[TaskStats]) -> Vec<&TaskStats> {
        let mut ordered: Vec<&TaskStats> = Vec::new();
        for task in tasks {
            let place =
                ordered.iter().position(|other| start_delay(other) > start_delay(task)).unwrap_or(ordered.len());
            ordered.insert(place, task);
        }
        ordered
    }

    pub(super) fn checkpoint(stats: &CheckpointStats, detail: SpanDetailLevel) -> Expected {
        let tasks = ordered(&stats.tasks);
        let mut attributes = Attributes::from([
            ("checkpointId".to_owned(), stats.checkpoint_id.to_string()),
            ("checkpointStatus".to_owned(), "COMPLETED".to_owned()),
            ("checkpointType".to_owned(), "Checkpoint".to_owned()),
            ("isUnaligned".to_owned(), "false".to_owned()),
            ("fullSize".to_owned(), "5000".to_owned()),
            ("checkpointedSize".to_owned(), "600".to_owned()),
            ("metadataSize".to_owned(), "321".to_owned()),
        ]);
        for (metric, name) in NAMES.iter().enumerate() {
            let per_task: Vec<_> = tasks.iter().map(|task| reported(task, metric)).collect();
            let reports = tasks.iter().any(|task| !task.subtasks.is_empty());
            let knows = tasks.iter().zip(&per_task).any(|(task, values)| !task.subtasks.is_empty() && values.is_some());
            if per_task.is_empty() || (reports && !knows) {
                continue;
            }
            let per_task: Vec<Vec<i64>> = per_task.into_iter().map(Option::unwrap_or_default).collect();
            let all: Vec<i64> = per_task.concat();
            attributes.insert(format!("max{name}"), all.iter().max().unwrap_or(&0).to_string());
            if metric >= 2 {
                attributes.insert(format!("sum{name}"), all.iter().sum::<i64>().to_string());
            }
            if detail == SpanPerCheckpointWithTasks {
                let maxima: Vec<i64> =
                    per_task.iter().map(|values| values.iter().copied().max().unwrap_or(0)).collect();
                let sums: Vec<i64> = per_task.iter().map(|values| values.iter().sum()).collect();
                attributes.insert(format!("perTaskMax{name}"), format!("{maxima:?}"));
                attributes.insert(format!("perTaskSum{name}"), format!("{sums:?}"));
            }
        }
        let children = match detail {
            SpanPerCheckpoint | SpanPerCheckpointWithTasks => Vec::new(),
            _ => tasks.iter().map(|task| of_task(stats, task, detail)).collect(),
        };
        Expected { start: stats.trigger_timestamp, end: stats.latest_ack_timestamp.unwrap_or(-1), attributes, children }
    }

    fn of_task(stats: &CheckpointStats, task: &TaskStats, detail: SpanDetailLevel) -> Expected {
        let mut attributes = identity(stats, task);
        for (metric, name) in NAMES.iter().enumerate() {
            if let Some(values) = reported(task, metric) {
                attributes.insert(format!("max{name}"), values.iter().max().unwrap_or(&0).to_string());
                attributes.insert(format!("sum{name}"), values.iter().sum::<i64>().to_string());
            }
        }
        let children = match detail {
            ChildrenSpansPerSubtask => task.subtasks.iter().map(|subtask| of_subtask(stats, task, subtask)).collect(),
            _ => Vec::new(),
        };
        let start = stats.trigger_timestamp + start_delay(task);
        Expected { start, end: task.latest_ack_timestamp.unwrap_or(-1), attributes, children }
    }

    fn of_subtask(stats: &CheckpointStats, task: &TaskStats, subtask: &SubtaskStats) -> Expected {
        let mut attributes = identity(stats, task);
        attributes.insert("subtaskId".to_owned(), subtask.index.to_string());
        for (metric, name) in SubtaskMetric::ALL.into_iter().zip(NAMES) {
            if let Some(value) = subtask.metric(metric) {
                attributes.insert(name.to_owned(), value.to_string());
            }
        }
        let start = stats.trigger_timestamp + subtask.metric(SubtaskMetric::CheckpointStartDelayMs).unwrap_or(0).max(0);
        Expected { start, end: subtask.ack_timestamp, attributes, children: Vec::new() }
    }

    fn identity(stats: &CheckpointStats, task: &TaskStats) -> Attributes {
        Attributes::from([
            ("checkpointId".to_owned(), stats.checkpoint_id.to_string()),
            ("jobVertexId".to_owned(), task.job_vertex_id.clone()),
        ])
    }
}

fn without_context(span: SpanRef<'_>) -> naive::Expected {
    let text = |value| match value {
        ValueRef::String(text) => text.to_owned(),
        ValueRef::Long(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let own = span.attributes().filter(|(key, _)| !key.starts_with('<') && *key != "jobId");
    naive::Expected {
        start: span.start_ts_millis(),
        end: span.end_ts_millis(),
        attributes: own.map(|(key, value)| (key.to_owned(), text(value))).collect(),
        children: span.children().map(without_context).collect(),
    }
}

fn any_subtask() -> impl Strategy<Value = SubtaskStats> {
    let metric = prop_oneof![20 => (-1..40_i64).prop_map(Some), 1 => Just(None)];
    (0..9_i64, 0..99_i64, prop::array::uniform8(metric)).prop_map(|(index, ack_timestamp, metrics)| {
        SubtaskStats::new(index, ack_timestamp)
            .with_metrics(SubtaskMetric::ALL.into_iter().zip(metrics))
            .with_completed(false)
    })
}

fn any_task() -> impl Strategy<Value = TaskStats> {
    (prop::option::of(0..99_i64), prop::collection::vec(any_subtask(), 0..5), 0..100_000_u32).prop_map(
        |(latest_ack_timestamp, subtasks, id)| {
            TaskStats::new(format!("{id:032x}")).with_latest_ack_timestamp(latest_ack_timestamp).with_subtasks(subtasks)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn checkpoint_spans_equal_naive_aggregation(
        tasks in prop::collection::vec(any_task(), 0..6),
        latest_ack_timestamp in prop::option::of(0..99_i64),
        detail in prop::sample::select(SpanDetailLevel::ALL.to_vec()),
    ) {
        let stats = completed().with_tasks(tasks).with_latest_ack_timestamp(latest_ack_timestamp);
        let span = reported(checkpoint_span(JOB, &stats, detail), Flink);
        prop_assert_eq!(without_context(span.root()), naive::checkpoint(&stats, detail));
    }
}
