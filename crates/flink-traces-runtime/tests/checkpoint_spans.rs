//! The spans and events that are made of statistics. Attribute names, types and counts were taken from Flink 2.3.0.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use expect_test::expect;
use flink_traces_api::{
    Clock, Compatibility, EventBuilder, ReportContext, ReportedEvent, ReportedSpan, Span, SpanBuilder, SpanId, SpanRef,
    TraceId, ValueRef,
};
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointStatus, CheckpointType, InitializationMetric, InitializationStats,
    InitializationStatus, StateObjectLocation, SubTaskInitializationMetrics, SubtaskMetric, SubtaskStats, TaskStats,
    job_initialization_span,
};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::{
    AllSubtasksStatus, ExecutionAttemptId, JobFailure, all_subtasks_status_change_event, job_failure_event,
    job_status_change_event,
};
use flink_traces_runtime::{CheckpointStats, JobIdentity, checkpoint_event, checkpoint_span};
use proptest::prelude::*;

use Compatibility::{Flink, Standard};
use SpanDetailLevel::{ChildrenSpansPerSubtask, ChildrenSpansPerTask, SpanPerCheckpoint, SpanPerCheckpointWithTasks};

const JOB: JobIdentity<'_> = JobIdentity { cluster: "prod", job_id: "0a4480b1aa43ca25b4801a22462f387a" };
const SOURCE: &str = "bc764cd8ddf7a0cff126f51c16239658";
const WINDOW: &str = "0a448493b4782967b150582570326227";
const SINK: &str = "ea632d67b7d595e5b851708ae9ad79d6";

/// Nothing that is made here asks for the time.
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

/// As `key=value`: numbers plain, text in quotes, so that types show.
fn shown<'a>(attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> Vec<String> {
    let show = |(key, value)| match value {
        ValueRef::String(text) => format!("{key}={text:?}"),
        ValueRef::Long(number) => format!("{key}={number}"),
        ValueRef::Double(number) => format!("{key}={number:?} as double"),
        ValueRef::Bool(flag) => format!("{key}={flag}"),
    };
    attributes.map(show).collect()
}

/// One line a span and one an attribute; without `jobId` and the variables, which are the same everywhere.
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
    let common = shown(reported(empty_span(), Flink).root().attributes());
    for attribute in shown(span.attributes()).into_iter().filter(|attribute| !common.contains(attribute)) {
        writeln!(text, "{indent}  {attribute}").unwrap();
    }
    span.children().for_each(|child| tree(child, depth + 1, text));
}

fn empty_span() -> SpanBuilder {
    Span::builder("", "").start_ts_millis(0)
}

fn told(span: SpanBuilder, compatibility: Compatibility) -> String {
    let mut text = String::new();
    tree(reported(span, compatibility).root(), 0, &mut text);
    text
}

/// A subtask with its numbers in Flink's order, of which a negative one is unset.
fn subtask(index: i64, ack_timestamp: i64, metrics: [i64; 8]) -> SubtaskStats {
    SubtaskStats::new(index, ack_timestamp).with_metrics(SubtaskMetric::ALL.into_iter().zip(metrics))
}

fn task(job_vertex_id: &str, latest_ack_timestamp: Option<i64>, subtasks: Vec<SubtaskStats>) -> TaskStats {
    TaskStats::new(job_vertex_id)
        .with_task_name(format!("name of {}", &job_vertex_id[..2]))
        .with_latest_ack_timestamp(latest_ack_timestamp)
        .with_subtasks(subtasks)
}

/// Two tasks, the second of which began first.
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

/// Before anything was acknowledged.
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
fn a_checkpoint_is_one_span() {
    let span = checkpoint_span(JOB, &completed(), SpanPerCheckpoint);
    expect![[r#"
        Checkpoint 10000..10140, 25 attributes
          checkpointId=7
          fullSize=5000
          checkpointedSize=600
          metadataSize=321
          checkpointStatus="COMPLETED"
          isUnaligned="false"
          checkpointType="Checkpoint"
          maxStateSizeBytes=3000
          maxCheckpointedSizeBytes=300
          maxCheckpointStartDelayMs=15
          sumCheckpointStartDelayMs=29
          maxAlignmentDurationMs=9
          sumAlignmentDurationMs=13
          maxSyncCheckpointDurationMs=5
          sumSyncCheckpointDurationMs=9
          maxAsyncCheckpointDurationMs=80
          sumAsyncCheckpointDurationMs=160
          maxProcessedDataBytes=700
          sumProcessedDataBytes=800
          maxPersistedDataBytes=0
          sumPersistedDataBytes=0
    "#]]
    .assert_eq(&told(span, Flink));
}

#[test]
fn a_checkpoint_is_one_span_with_lists_of_tasks() {
    let span = checkpoint_span(JOB, &completed(), SpanPerCheckpointWithTasks);
    expect![[r#"
        Checkpoint 10000..10140, 41 attributes
          checkpointId=7
          fullSize=5000
          checkpointedSize=600
          metadataSize=321
          checkpointStatus="COMPLETED"
          isUnaligned="false"
          checkpointType="Checkpoint"
          maxStateSizeBytes=3000
          perTaskMaxStateSizeBytes="[0, 3000]"
          perTaskSumStateSizeBytes="[0, 5000]"
          maxCheckpointedSizeBytes=300
          perTaskMaxCheckpointedSizeBytes="[100, 300]"
          perTaskSumCheckpointedSizeBytes="[100, 500]"
          maxCheckpointStartDelayMs=15
          sumCheckpointStartDelayMs=29
          perTaskMaxCheckpointStartDelayMs="[2, 15]"
          perTaskSumCheckpointStartDelayMs="[2, 27]"
          maxAlignmentDurationMs=9
          sumAlignmentDurationMs=13
          perTaskMaxAlignmentDurationMs="[0, 9]"
          perTaskSumAlignmentDurationMs="[0, 13]"
          maxSyncCheckpointDurationMs=5
          sumSyncCheckpointDurationMs=9
          perTaskMaxSyncCheckpointDurationMs="[1, 5]"
          perTaskSumSyncCheckpointDurationMs="[1, 8]"
          maxAsyncCheckpointDurationMs=80
          sumAsyncCheckpointDurationMs=160
          perTaskMaxAsyncCheckpointDurationMs="[20, 80]"
          perTaskSumAsyncCheckpointDurationMs="[20, 140]"
          maxProcessedDataBytes=700
          sumProcessedDataBytes=800
          perTaskMaxProcessedDataBytes="[0, 700]"
          perTaskSumProcessedDataBytes="[0, 800]"
          maxPersistedDataBytes=0
          sumPersistedDataBytes=0
          perTaskMaxPersistedDataBytes="[0, 0]"
          perTaskSumPersistedDataBytes="[0, 0]"
    "#]]
    .assert_eq(&told(span, Flink));
}

#[test]
fn a_checkpoint_has_a_child_for_each_task() {
    let span = checkpoint_span(JOB, &completed(), ChildrenSpansPerTask);
    expect![[r#"
        Checkpoint 10000..10140, 25 attributes
          checkpointId=7
          fullSize=5000
          checkpointedSize=600
          metadataSize=321
          checkpointStatus="COMPLETED"
          isUnaligned="false"
          checkpointType="Checkpoint"
          maxStateSizeBytes=3000
          maxCheckpointedSizeBytes=300
          maxCheckpointStartDelayMs=15
          sumCheckpointStartDelayMs=29
          maxAlignmentDurationMs=9
          sumAlignmentDurationMs=13
          maxSyncCheckpointDurationMs=5
          sumSyncCheckpointDurationMs=9
          maxAsyncCheckpointDurationMs=80
          sumAsyncCheckpointDurationMs=160
          maxProcessedDataBytes=700
          sumProcessedDataBytes=800
          maxPersistedDataBytes=0
          sumPersistedDataBytes=0
          Checkpoint_Task 10002..10030, 21 attributes
            checkpointId=7
            jobVertexId="bc764cd8ddf7a0cff126f51c16239658"
            maxStateSizeBytes=0
            sumStateSizeBytes=0
            maxCheckpointedSizeBytes=100
            sumCheckpointedSizeBytes=100
            maxCheckpointStartDelayMs=2
            sumCheckpointStartDelayMs=2
            maxAlignmentDurationMs=0
            sumAlignmentDurationMs=0
            maxSyncCheckpointDurationMs=1
            sumSyncCheckpointDurationMs=1
            maxAsyncCheckpointDurationMs=20
            sumAsyncCheckpointDurationMs=20
            maxProcessedDataBytes=0
            sumProcessedDataBytes=0
            maxPersistedDataBytes=0
            sumPersistedDataBytes=0
          Checkpoint_Task 10012..10140, 21 attributes
            checkpointId=7
            jobVertexId="0a448493b4782967b150582570326227"
            maxStateSizeBytes=3000
            sumStateSizeBytes=5000
            maxCheckpointedSizeBytes=300
            sumCheckpointedSizeBytes=500
            maxCheckpointStartDelayMs=15
            sumCheckpointStartDelayMs=27
            maxAlignmentDurationMs=9
            sumAlignmentDurationMs=13
            maxSyncCheckpointDurationMs=5
            sumSyncCheckpointDurationMs=8
            maxAsyncCheckpointDurationMs=80
            sumAsyncCheckpointDurationMs=140
            maxProcessedDataBytes=700
            sumProcessedDataBytes=800
            maxPersistedDataBytes=0
            sumPersistedDataBytes=0
    "#]]
    .assert_eq(&told(span, Flink));
}

#[test]
fn a_checkpoint_has_a_grandchild_for_each_subtask() {
    let span = checkpoint_span(JOB, &completed(), ChildrenSpansPerSubtask);
    expect![[r#"
        Checkpoint 10000..10140, 25 attributes
          checkpointId=7
          fullSize=5000
          checkpointedSize=600
          metadataSize=321
          checkpointStatus="COMPLETED"
          isUnaligned="false"
          checkpointType="Checkpoint"
          maxStateSizeBytes=3000
          maxCheckpointedSizeBytes=300
          maxCheckpointStartDelayMs=15
          sumCheckpointStartDelayMs=29
          maxAlignmentDurationMs=9
          sumAlignmentDurationMs=13
          maxSyncCheckpointDurationMs=5
          sumSyncCheckpointDurationMs=9
          maxAsyncCheckpointDurationMs=80
          sumAsyncCheckpointDurationMs=160
          maxProcessedDataBytes=700
          sumProcessedDataBytes=800
          maxPersistedDataBytes=0
          sumPersistedDataBytes=0
          Checkpoint_Task 10002..10030, 21 attributes
            checkpointId=7
            jobVertexId="bc764cd8ddf7a0cff126f51c16239658"
            maxStateSizeBytes=0
            sumStateSizeBytes=0
            maxCheckpointedSizeBytes=100
            sumCheckpointedSizeBytes=100
            maxCheckpointStartDelayMs=2
            sumCheckpointStartDelayMs=2
            maxAlignmentDurationMs=0
            sumAlignmentDurationMs=0
            maxSyncCheckpointDurationMs=1
            sumSyncCheckpointDurationMs=1
            maxAsyncCheckpointDurationMs=20
            sumAsyncCheckpointDurationMs=20
            maxProcessedDataBytes=0
            sumProcessedDataBytes=0
            maxPersistedDataBytes=0
            sumPersistedDataBytes=0
            Checkpoint_Subtask 10002..10030, 14 attributes
              checkpointId=7
              jobVertexId="bc764cd8ddf7a0cff126f51c16239658"
              subtaskId=0
              StateSizeBytes=0
              CheckpointedSizeBytes=100
              CheckpointStartDelayMs=2
              AlignmentDurationMs=0
              SyncCheckpointDurationMs=1
              AsyncCheckpointDurationMs=20
              ProcessedDataBytes=-1
              PersistedDataBytes=-1
          Checkpoint_Task 10012..10140, 21 attributes
            checkpointId=7
            jobVertexId="0a448493b4782967b150582570326227"
            maxStateSizeBytes=3000
            sumStateSizeBytes=5000
            maxCheckpointedSizeBytes=300
            sumCheckpointedSizeBytes=500
            maxCheckpointStartDelayMs=15
            sumCheckpointStartDelayMs=27
            maxAlignmentDurationMs=9
            sumAlignmentDurationMs=13
            maxSyncCheckpointDurationMs=5
            sumSyncCheckpointDurationMs=8
            maxAsyncCheckpointDurationMs=80
            sumAsyncCheckpointDurationMs=140
            maxProcessedDataBytes=700
            sumProcessedDataBytes=800
            maxPersistedDataBytes=0
            sumPersistedDataBytes=0
            Checkpoint_Subtask 10012..10120, 14 attributes
              checkpointId=7
              jobVertexId="0a448493b4782967b150582570326227"
              subtaskId=0
              StateSizeBytes=3000
              CheckpointedSizeBytes=300
              CheckpointStartDelayMs=12
              AlignmentDurationMs=4
              SyncCheckpointDurationMs=5
              AsyncCheckpointDurationMs=60
              ProcessedDataBytes=700
              PersistedDataBytes=0
            Checkpoint_Subtask 10015..10140, 14 attributes
              checkpointId=7
              jobVertexId="0a448493b4782967b150582570326227"
              subtaskId=1
              StateSizeBytes=2000
              CheckpointedSizeBytes=200
              CheckpointStartDelayMs=15
              AlignmentDurationMs=9
              SyncCheckpointDurationMs=3
              AsyncCheckpointDurationMs=80
              ProcessedDataBytes=100
              PersistedDataBytes=0
    "#]]
    .assert_eq(&told(span, Flink));
}

#[test]
fn the_numbers_of_attributes_are_flinks() {
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
fn what_flink_does_not_tell_is_added_unless_flink_is_asked_for() {
    let span = || checkpoint_span(JOB, &completed(), ChildrenSpansPerTask);
    let [standard, flink] = [Standard, Flink].map(|compatibility| {
        let span = reported(span(), compatibility);
        let mut all = shown(span.root().attributes());
        all.extend(span.root().children().flat_map(|child| shown(child.attributes())));
        all
    });
    let added: Vec<_> = standard.iter().filter(|attribute| !flink.contains(attribute)).collect();
    assert_eq!(
        added,
        ["externalPath=\"file:/checkpoints/chk-7\"", "taskName=\"name of bc\"", "taskName=\"name of 0a\""]
    );
    assert_eq!(standard.len(), flink.len() + 3);
}

/// Guarantees: −1, which stands for unset, enters no sum and no maximum, and is still seen where the subtask left it.
#[test]
fn unset_numbers_are_ignored_in_sums_and_kept_at_their_subtask() {
    let mut stats = completed();
    stats.tasks = vec![task(
        SOURCE,
        Some(10_050),
        vec![subtask(0, 10_040, [-1; 8]), subtask(1, 10_050, [7, -1, 3, -1, 0, 9, -1, 1])],
    )];
    expect![[r#"
        Checkpoint 10000..10140, 25 attributes
          checkpointId=7
          fullSize=5000
          checkpointedSize=600
          metadataSize=321
          checkpointStatus="COMPLETED"
          isUnaligned="false"
          checkpointType="Checkpoint"
          maxStateSizeBytes=7
          maxCheckpointedSizeBytes=0
          maxCheckpointStartDelayMs=3
          sumCheckpointStartDelayMs=3
          maxAlignmentDurationMs=0
          sumAlignmentDurationMs=0
          maxSyncCheckpointDurationMs=0
          sumSyncCheckpointDurationMs=0
          maxAsyncCheckpointDurationMs=9
          sumAsyncCheckpointDurationMs=9
          maxProcessedDataBytes=0
          sumProcessedDataBytes=0
          maxPersistedDataBytes=1
          sumPersistedDataBytes=1
          Checkpoint_Task 10003..10050, 21 attributes
            checkpointId=7
            jobVertexId="bc764cd8ddf7a0cff126f51c16239658"
            maxStateSizeBytes=7
            sumStateSizeBytes=7
            maxCheckpointedSizeBytes=0
            sumCheckpointedSizeBytes=0
            maxCheckpointStartDelayMs=3
            sumCheckpointStartDelayMs=3
            maxAlignmentDurationMs=0
            sumAlignmentDurationMs=0
            maxSyncCheckpointDurationMs=0
            sumSyncCheckpointDurationMs=0
            maxAsyncCheckpointDurationMs=9
            sumAsyncCheckpointDurationMs=9
            maxProcessedDataBytes=0
            sumProcessedDataBytes=0
            maxPersistedDataBytes=1
            sumPersistedDataBytes=1
            Checkpoint_Subtask 10000..10040, 14 attributes
              checkpointId=7
              jobVertexId="bc764cd8ddf7a0cff126f51c16239658"
              subtaskId=0
              StateSizeBytes=-1
              CheckpointedSizeBytes=-1
              CheckpointStartDelayMs=-1
              AlignmentDurationMs=-1
              SyncCheckpointDurationMs=-1
              AsyncCheckpointDurationMs=-1
              ProcessedDataBytes=-1
              PersistedDataBytes=-1
            Checkpoint_Subtask 10003..10050, 14 attributes
              checkpointId=7
              jobVertexId="bc764cd8ddf7a0cff126f51c16239658"
              subtaskId=1
              StateSizeBytes=7
              CheckpointedSizeBytes=-1
              CheckpointStartDelayMs=3
              AlignmentDurationMs=-1
              SyncCheckpointDurationMs=0
              AsyncCheckpointDurationMs=9
              ProcessedDataBytes=-1
              PersistedDataBytes=1
    "#]]
    .assert_eq(&told(checkpoint_span(JOB, &stats, ChildrenSpansPerSubtask), Flink));
}

/// The order of the children, and that of the lists.
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
fn tasks_are_in_the_order_in_which_they_began() {
    let started = |size: i64, delays: &[i64]| {
        let subtask = |(index, delay): (usize, &i64)| subtask(index as i64, 10_100, [size, 0, *delay, 0, 0, 0, 0, 0]);
        task(SINK, Some(10_100), delays.iter().enumerate().map(subtask).collect())
    };
    let check = |tasks: Vec<TaskStats>, starts: &str, list: &str| {
        assert_eq!(order(tasks), (starts.to_owned(), list.to_owned()));
    };
    check(vec![started(1, &[9]), started(2, &[5, 30]), started(3, &[30, 7])], "+5 +7 +9", "[4, 6, 1]");
    // Those that began together stay as they are.
    check(vec![started(1, &[5]), started(2, &[5]), started(3, &[4]), started(4, &[5])], "+4 +5 +5 +5", "[3, 1, 2, 4]");
    // Without a report a task has no delay, and one that was left unset is none.
    check(
        vec![started(1, &[5]), started(2, &[]), started(3, &[-1]), started(4, &[-1, 3])],
        "+0 +0 +3 +5",
        "[0, 3, 8, 1]",
    );
    check(vec![started(9, &[6])], "+6", "[9]");
    // Many of them, as sorting a few is always stable.
    let (early, late) = ((0..100).map(|size| 2 * size + 1), (0..100).map(|size| 2 * size));
    let expected: Vec<i64> = early.chain(late).collect();
    let many = (0..200).map(|size| started(size, &[7 - size % 2]));
    assert_eq!(order(many.collect()).1, format!("{expected:?}"));
}

#[test]
fn a_failed_checkpoint_says_when_and_why() {
    let span = || checkpoint_span(JOB, &failed(), ChildrenSpansPerTask);
    expect![[r#"
        Checkpoint 10000..70001, 26 attributes, failed at 70001: "Checkpoint expired before completing."
          checkpointId=7
          fullSize=0
          checkpointedSize=0
          metadataSize=-1
          checkpointStatus="FAILED"
          isUnaligned="false"
          checkpointType="Checkpoint"
          maxStateSizeBytes=0
          maxCheckpointedSizeBytes=0
          maxCheckpointStartDelayMs=0
          sumCheckpointStartDelayMs=0
          maxAlignmentDurationMs=0
          sumAlignmentDurationMs=0
          maxSyncCheckpointDurationMs=0
          sumSyncCheckpointDurationMs=0
          maxAsyncCheckpointDurationMs=0
          sumAsyncCheckpointDurationMs=0
          maxProcessedDataBytes=0
          sumProcessedDataBytes=0
          maxPersistedDataBytes=0
          sumPersistedDataBytes=0
          failureMessage="Checkpoint expired before completing."
          Checkpoint_Task 10000..70001, 22 attributes
            checkpointId=7
            jobVertexId="bc764cd8ddf7a0cff126f51c16239658"
            maxStateSizeBytes=0
            sumStateSizeBytes=0
            maxCheckpointedSizeBytes=0
            sumCheckpointedSizeBytes=0
            maxCheckpointStartDelayMs=0
            sumCheckpointStartDelayMs=0
            maxAlignmentDurationMs=0
            sumAlignmentDurationMs=0
            maxSyncCheckpointDurationMs=0
            sumSyncCheckpointDurationMs=0
            maxAsyncCheckpointDurationMs=0
            sumAsyncCheckpointDurationMs=0
            maxProcessedDataBytes=0
            sumProcessedDataBytes=0
            maxPersistedDataBytes=0
            sumPersistedDataBytes=0
            taskName="name of bc"
    "#]]
    .assert_eq(&told(span(), Standard));
    expect![[r#"
        Checkpoint 10000..-1, 25 attributes
          checkpointId=7
          fullSize=0
          checkpointedSize=0
          metadataSize=-1
          checkpointStatus="FAILED"
          isUnaligned="false"
          checkpointType="Checkpoint"
          maxStateSizeBytes=0
          maxCheckpointedSizeBytes=0
          maxCheckpointStartDelayMs=0
          sumCheckpointStartDelayMs=0
          maxAlignmentDurationMs=0
          sumAlignmentDurationMs=0
          maxSyncCheckpointDurationMs=0
          sumSyncCheckpointDurationMs=0
          maxAsyncCheckpointDurationMs=0
          sumAsyncCheckpointDurationMs=0
          maxProcessedDataBytes=0
          sumProcessedDataBytes=0
          maxPersistedDataBytes=0
          sumPersistedDataBytes=0
          Checkpoint_Task 10000..-1, 21 attributes
            checkpointId=7
            jobVertexId="bc764cd8ddf7a0cff126f51c16239658"
            maxStateSizeBytes=0
            sumStateSizeBytes=0
            maxCheckpointedSizeBytes=0
            sumCheckpointedSizeBytes=0
            maxCheckpointStartDelayMs=0
            sumCheckpointStartDelayMs=0
            maxAlignmentDurationMs=0
            sumAlignmentDurationMs=0
            maxSyncCheckpointDurationMs=0
            sumSyncCheckpointDurationMs=0
            maxAsyncCheckpointDurationMs=0
            sumAsyncCheckpointDurationMs=0
            maxProcessedDataBytes=0
            sumProcessedDataBytes=0
            maxPersistedDataBytes=0
            sumPersistedDataBytes=0
    "#]]
    .assert_eq(&told(span(), Flink));
}

#[test]
fn a_checkpoint_ends_at_its_last_acknowledgement_or_where_it_failed() {
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
    // A cause that nobody knows is no success.
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
    // The clocks of two machines.
    check(failed().with_failure(at(9_000)), (10_000, Some(9_000)), -1);
}

#[test]
fn what_is_not_known_is_not_told() {
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
    // One subtask of one task: the sums over it and over all are unknown then, and those of the other task are not.
    let forget = |subtask: &mut SubtaskStats, metric| *subtask = subtask.clone().with_metrics([(metric, None)]);
    forget(&mut stats.tasks[0].subtasks[1], SubtaskMetric::PersistedDataBytes);
    forget(&mut stats.tasks[0].subtasks[0], SubtaskMetric::CheckpointStartDelayMs);
    expect![[r#"
        Checkpoint 10000..10140, 17 attributes
          checkpointId=7
          checkpointStatus="COMPLETED"
          checkpointType="Checkpoint"
          maxStateSizeBytes=3000
          maxCheckpointedSizeBytes=300
          maxAlignmentDurationMs=9
          sumAlignmentDurationMs=13
          maxSyncCheckpointDurationMs=5
          sumSyncCheckpointDurationMs=9
          maxAsyncCheckpointDurationMs=80
          sumAsyncCheckpointDurationMs=160
          maxProcessedDataBytes=700
          sumProcessedDataBytes=800
          Checkpoint_Task 10002..10030, 22 attributes
            checkpointId=7
            jobVertexId="bc764cd8ddf7a0cff126f51c16239658"
            maxStateSizeBytes=0
            sumStateSizeBytes=0
            maxCheckpointedSizeBytes=100
            sumCheckpointedSizeBytes=100
            maxCheckpointStartDelayMs=2
            sumCheckpointStartDelayMs=2
            maxAlignmentDurationMs=0
            sumAlignmentDurationMs=0
            maxSyncCheckpointDurationMs=1
            sumSyncCheckpointDurationMs=1
            maxAsyncCheckpointDurationMs=20
            sumAsyncCheckpointDurationMs=20
            maxProcessedDataBytes=0
            sumProcessedDataBytes=0
            maxPersistedDataBytes=0
            sumPersistedDataBytes=0
            taskName="name of bc"
            Checkpoint_Subtask 10002..10030, 14 attributes
              checkpointId=7
              jobVertexId="bc764cd8ddf7a0cff126f51c16239658"
              subtaskId=0
              StateSizeBytes=0
              CheckpointedSizeBytes=100
              CheckpointStartDelayMs=2
              AlignmentDurationMs=0
              SyncCheckpointDurationMs=1
              AsyncCheckpointDurationMs=20
              ProcessedDataBytes=-1
              PersistedDataBytes=-1
          Checkpoint_Task 10015..10140, 17 attributes
            checkpointId=7
            jobVertexId="0a448493b4782967b150582570326227"
            maxStateSizeBytes=3000
            sumStateSizeBytes=5000
            maxCheckpointedSizeBytes=300
            sumCheckpointedSizeBytes=500
            maxAlignmentDurationMs=9
            sumAlignmentDurationMs=13
            maxSyncCheckpointDurationMs=5
            sumSyncCheckpointDurationMs=8
            maxAsyncCheckpointDurationMs=80
            sumAsyncCheckpointDurationMs=140
            maxProcessedDataBytes=700
            sumProcessedDataBytes=800
            Checkpoint_Subtask 10000..10120, 13 attributes
              checkpointId=7
              jobVertexId="0a448493b4782967b150582570326227"
              subtaskId=0
              StateSizeBytes=3000
              CheckpointedSizeBytes=300
              AlignmentDurationMs=4
              SyncCheckpointDurationMs=5
              AsyncCheckpointDurationMs=60
              ProcessedDataBytes=700
              PersistedDataBytes=0
            Checkpoint_Subtask 10015..10140, 13 attributes
              checkpointId=7
              jobVertexId="0a448493b4782967b150582570326227"
              subtaskId=1
              StateSizeBytes=2000
              CheckpointedSizeBytes=200
              CheckpointStartDelayMs=15
              AlignmentDurationMs=9
              SyncCheckpointDurationMs=3
              AsyncCheckpointDurationMs=80
              ProcessedDataBytes=100
    "#]]
    .assert_eq(&told(checkpoint_span(JOB, &stats, ChildrenSpansPerSubtask), Standard));

    // Without tasks there is nothing that a level could add.
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
    .assert_eq(&told(span, Standard));
}

#[test]
fn statuses_and_types_have_flinks_names() {
    let check = |stats: CheckpointStats, expected: [&str; 2]| {
        let span = reported(checkpoint_span(JOB, &stats, SpanPerCheckpoint), Flink);
        let attributes = shown(span.root().attributes());
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
fn an_initialization_of_a_new_job() {
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
    .assert_eq(&told(span(), Flink));
    assert_eq!(reported(span(), Standard).root().links().count(), 0);
    assert_eq!(reported(span(), Flink).root().attributes().count(), 13);
}

#[test]
fn an_initialization_from_a_checkpoint() {
    expect![[r#"
        JobInitialization 20000..20730, 17 attributes
          initializationStatus="COMPLETED"
          checkpointId=7
          fullSize=5000
          maxMailboxStartDurationMs=80
          sumMailboxStartDurationMs=221
          maxReadOutputDataDurationMs=13
          sumReadOutputDataDurationMs=22
          maxInitializeStateDurationMs=244
          sumInitializeStateDurationMs=519
          maxGateRestoreDurationMs=11
          sumGateRestoreDurationMs=22
          maxRestoredStateSizeBytes.LOCAL_DISK=900
          sumRestoredStateSizeBytes.LOCAL_DISK=1800
    "#]]
    .assert_eq(&told(job_initialization_span(JOB, &restored(), 20_000), Flink));
}

#[test]
fn a_failed_initialization_is_an_error() {
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
    .assert_eq(&told(span(), Standard));
    assert_eq!(reported(span(), Flink).root().failure(), None);
}

/// Guarantees: what Flink does not have is not counted either where Flink is asked for.
#[test]
fn an_initialization_has_a_child_for_each_subtask() {
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
    expect![[r#"
        JobInitialization 20000..20730, 7 attributes, failed at 20730: ""
          initializationStatus="FAILED"
          checkpointId=7
          fullSize=5000
          JobInitialization_Subtask 20000..20500, 10 attributes
            initializationStatus="COMPLETED"
            checkpointId=7
            jobVertexId="0a448493b4782967b150582570326227"
            subtaskId=0
            attemptNumber=2
            MailboxStartDurationMs=80
            RestoredStateSizeBytes.LOCAL_DISK=900
          JobInitialization_Subtask 20000..20730, 8 attributes, failed at 20730: ""
            initializationStatus="FAILED"
            checkpointId=7
            jobVertexId="0a448493b4782967b150582570326227"
            subtaskId=1
            attemptNumber=2
    "#]]
    .assert_eq(&told(span.clone(), Standard));
    expect![[r#"
        JobInitialization 20000..20730, 7 attributes
          initializationStatus="FAILED"
          checkpointId=7
          fullSize=5000
    "#]]
    .assert_eq(&told(span.clone(), Flink));
    assert_eq!([Standard, Flink].map(|compatibility| reported(span.clone(), compatibility).span_count()), [3, 1]);

    // The ids are those of the subtask and the attempt, wherever it stands.
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

/// Guarantees: whoever follows the link finds the checkpoint, also one that another process reported.
#[test]
fn an_initialization_links_to_the_checkpoint_that_it_restored() {
    let links = |stats: &InitializationStats, compatibility| {
        let span = reported(job_initialization_span(JOB, stats, 20_000), compatibility);
        span.root().links().collect::<Vec<_>>()
    };
    for detail in SpanDetailLevel::ALL {
        let checkpoint = reported(checkpoint_span(JOB, &completed(), detail), Standard);
        let ids = (checkpoint.root().trace_id(), checkpoint.root().span_id());
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
fn ids_follow_from_what_a_span_stands_for_and_from_nothing_else() {
    let ids = |job: JobIdentity<'_>, stats: &CheckpointStats| {
        let mut ids = Vec::new();
        all_ids(reported(checkpoint_span(job, stats, ChildrenSpansPerSubtask), Standard).root(), &mut ids);
        ids
    };
    let known = ids(JOB, &completed());
    assert_eq!(known.len(), 6);
    assert_eq!(known.iter().collect::<HashSet<_>>().len(), 6);

    // Nothing else: the order of the tasks, the numbers, how it ended.
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
        // A job that starts again without a checkpoint counts from 1 again.
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
fn no_number_is_too_large_or_too_small() {
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
            let attributes = shown(span.root().attributes());
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

/// The event without `jobId` and the variables, as it is by default and, where that differs, as Flink has it.
fn told_event(event: EventBuilder) -> String {
    let text = |compatibility| {
        let event = ReportedEvent::new(Arc::new(event.clone().build(&NoClock)), 99_999, context(compatibility));
        let mut text = format!("{} at {}, {}\n", event.name(), event.ts_millis(), event.severity());
        assert_eq!(event.body(), "");
        let common = shown(reported(empty_span(), Flink).root().attributes());
        for attribute in shown(event.attributes()).into_iter().filter(|attribute| !common.contains(attribute)) {
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
          checkpointId=7
          fullSize=5000
          checkpointedSize=600
          metadataSize=321
          checkpointStatus="COMPLETED"
          isUnaligned="false"
          checkpointType="Checkpoint"
    "#]]
    .assert_eq(&told_event(checkpoint_event(&completed())));
    expect![[r#"
        org.apache.flink.runtime.checkpoint.CheckpointStatsTracker
        CheckpointEvent at 70001, WARN
          checkpointId=7
          fullSize=0
          checkpointedSize=0
          metadataSize=-1
          checkpointStatus="FAILED"
          isUnaligned="false"
          checkpointType="Checkpoint"
          failureMessage="Checkpoint expired before completing."
        in Flink: CheckpointEvent at -1, INFO
          checkpointId=7
          fullSize=0
          checkpointedSize=0
          metadataSize=-1
          checkpointStatus="FAILED"
          isUnaligned="false"
          checkpointType="Checkpoint"
    "#]]
    .assert_eq(&told_event(checkpoint_event(&failed())));
    let acknowledged_in_part = failed().with_latest_ack_timestamp(10_020);
    expect![[r#"
        org.apache.flink.runtime.checkpoint.CheckpointStatsTracker
        CheckpointEvent at 70001, WARN
          checkpointId=7
          fullSize=0
          checkpointedSize=0
          metadataSize=-1
          checkpointStatus="FAILED"
          isUnaligned="false"
          checkpointType="Checkpoint"
          failureMessage="Checkpoint expired before completing."
        in Flink: CheckpointEvent at 10020, INFO
          checkpointId=7
          fullSize=0
          checkpointedSize=0
          metadataSize=-1
          checkpointStatus="FAILED"
          isUnaligned="false"
          checkpointType="Checkpoint"
    "#]]
    .assert_eq(&told_event(checkpoint_event(&acknowledged_in_part)));
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
          checkpointId=7
          checkpointStatus="FAILED"
          checkpointType="Checkpoint"
        in Flink: CheckpointEvent at -1, INFO
          checkpointId=7
          checkpointStatus="FAILED"
          checkpointType="Checkpoint"
    "#]]
    .assert_eq(&told_event(checkpoint_event(&unknown)));
}

#[test]
fn status_change_events() {
    expect![[r#"
        org.apache.flink.runtime.jobmaster.JobMaster
        JobStatusChangeEvent at 5, INFO
          newJobStatus="RUNNING"
    "#]]
    .assert_eq(&told_event(job_status_change_event("RUNNING", 5)));
    expect![[r#"
        org.apache.flink.runtime.jobmaster.JobMaster
        JobStatusChangeEvent at 5, ERROR
          newJobStatus="FAILED"
        in Flink: JobStatusChangeEvent at 5, INFO
          newJobStatus="FAILED"
    "#]]
    .assert_eq(&told_event(job_status_change_event("FAILED", 5)));
    for (severity, statuses) in [
        ("INFO", "INITIALIZING CREATED RUNNING CANCELLING CANCELED FINISHED RECONCILING unknown"),
        ("WARN", "FAILING RESTARTING SUSPENDED"),
        ("ERROR", "FAILED"),
    ] {
        for status in statuses.split(' ') {
            let event = Arc::new(job_status_change_event(status, 5).build(&NoClock));
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
          canRestart="false"
        in Flink: JobFailureEvent at 5, INFO
          canRestart="false"
    "#]]
    .assert_eq(&told_event(job_failure_event(&least)));
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
    expect![[r#"
        org.apache.flink.runtime.scheduler.adaptive.JobFailureMetricReporter
        JobFailureEvent at 5, WARN
          canRestart="true"
          isGlobalFailure="false"
          failureLabel.type="USER"
          failureLabel.empty="<empty>"
          failureLabel.="no key"
          exception.type="java.lang.RuntimeException"
          exception.message="boom"
          exception.stacktrace="java.lang.RuntimeException: boom\n\tat A.b(A.java:1)\n"
          taskName="Source (2/4)"
          endpoint="tm:6122"
          taskManagerId="tm-1"
        in Flink: JobFailureEvent at 5, INFO
          canRestart="true"
          isGlobalFailure="false"
          failureLabel.type="USER"
          failureLabel.empty="<empty>"
          failureLabel.="no key"
    "#]]
    .assert_eq(&told_event(job_failure_event(&all)));
}

#[test]
fn all_subtasks_events() {
    expect![[r#"
        org.apache.flink.runtime.scheduler.metrics.AllSubTasksRunningOrFinishedStateTimeMetrics
        AllSubtasksStatusChangeEvent at 5, INFO
          status="ALL_RUNNING_OR_FINISHED"
    "#]]
    .assert_eq(&told_event(all_subtasks_status_change_event(AllSubtasksStatus::AllRunningOrFinished, 5)));
    expect![[r#"
        org.apache.flink.runtime.scheduler.metrics.AllSubTasksRunningOrFinishedStateTimeMetrics
        AllSubtasksStatusChangeEvent at 5, INFO
          status="NOT_ALL_RUNNING_OR_FINISHED"
    "#]]
    .assert_eq(&told_event(all_subtasks_status_change_event(AllSubtasksStatus::NotAllRunningOrFinished, 5)));
}

/// Flink's aggregation told over again, in the plainest way, as text by attribute.
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

    /// A span without its name, and without what its group adds.
    #[derive(Debug, PartialEq)]
    pub(super) struct Expected {
        pub(super) start: i64,
        pub(super) end: i64,
        pub(super) attributes: Attributes,
        pub(super) children: Vec<Expected>,
    }

    /// What all subtasks of a task reported of one metric; `None` as soon as one is unknown.
    fn reported(task: &TaskStats, metric: usize) -> Option<Vec<i64>> {
        let mut values = Vec::new();
        for subtask in &task.subtasks {
            values.push(subtask.metric(SubtaskMetric::ALL[metric])?);
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
            if per_task.is_empty() || per_task.contains(&None) {
                continue;
            }
            let per_task: Vec<Vec<i64>> = per_task.into_iter().flatten().collect();
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
    fn checkpoint_spans_are_as_a_naive_aggregation_has_them(
        tasks in prop::collection::vec(any_task(), 0..6),
        latest_ack_timestamp in prop::option::of(0..99_i64),
        detail in prop::sample::select(SpanDetailLevel::ALL.to_vec()),
    ) {
        let stats = completed().with_tasks(tasks).with_latest_ack_timestamp(latest_ack_timestamp);
        let span = reported(checkpoint_span(JOB, &stats, detail), Flink);
        prop_assert_eq!(without_context(span.root()), naive::checkpoint(&stats, detail));
    }
}
