//! The ids of all spans and events, pinned by the inputs of their hashes and by the hashes.
//!
//! Another process or version must give a record the same id. A changed line here means that stores
//! keep records twice.

use std::fmt::Write;
use std::sync::Arc;

use expect_test::expect;
use flink_traces_api::{EventBuilder, Identity, RECORD_UID, ReportContext, ReportedSpan, SpanBuilder, SystemClock};
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointStatus, CheckpointType, InitializationStats, InitializationStatus,
    SubTaskInitializationMetrics, SubtaskStats, TaskStats, job_initialization_span,
};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::extension::{
    ObservedJob, ObservedVertex, ObserverIdentity, VanishedJob, VanishedJobOutcome, checkpoints_missed_event,
    cluster_reachable_event, cluster_unreachable_event, job_observed_event, job_vanished_event,
};
use flink_traces_runtime::job::{
    AllSubtasksStatus, ExecutionAttemptId, JobFailure, NamedJob, all_subtasks_status_change_event, job_failure_event,
    job_status_change_event,
};
use flink_traces_runtime::{CheckpointStats, JobIdentity, checkpoint_event, checkpoint_span};

const JOB: JobIdentity<'_> = JobIdentity { cluster: "prod", job_id: "5c4b" };
const NAMED: NamedJob<'_> = NamedJob { identity: JOB, name: "orders" };
const OBSERVER: ObserverIdentity<'_> = ObserverIdentity { cluster: "prod", process: "host-1:42" };

fn stats(status: CheckpointStatus) -> CheckpointStats {
    let task = TaskStats::new("a0").with_subtasks(vec![SubtaskStats::new(3, 1_200)]);
    CheckpointStats::new(7, 1_000, CheckpointType::Checkpoint, status).with_tasks(vec![task])
}

fn failure() -> JobFailure {
    JobFailure::new(2_000, true).with_task_name("map (2/4) - execution #0".to_owned())
}

fn observed() -> ObservedJob {
    ObservedJob::new("RUNNING", 950, 900)
        .with_vertices(vec![ObservedVertex::new("a0", "map", 4), ObservedVertex::new("b0", "sink", 1)])
        .with_checkpoint_interval_ms(10_000)
        .with_flink_version("2.3.0".to_owned())
}

fn uid(event: EventBuilder) -> String {
    let event = event.build(&SystemClock);
    event.extension().unwrap().attributes.get(RECORD_UID).unwrap().to_string()
}

#[test]
fn event_ids_are_hashes_of_these_inputs() {
    let initialization = JOB.initialization(Some(7), 900);
    let initialization_id = initialization.trace_id().to_string();
    let all = AllSubtasksStatus::AllRunningOrFinished;
    let not_all = AllSubtasksStatus::NotAllRunningOrFinished;
    let vanished = VanishedJob::new("RUNNING", 950, 2_000);
    let gone = vanished.clone().with_outcome(VanishedJobOutcome::Gone);
    let cases: [(EventBuilder, &[&str]); 12] = [
        (
            checkpoint_event(NAMED, &stats(CheckpointStatus::Completed)),
            &["prod", "5c4b", "CheckpointEvent", "7", "1000", "COMPLETED"],
        ),
        (
            checkpoint_event(NAMED, &stats(CheckpointStatus::Failed)),
            &["prod", "5c4b", "CheckpointEvent", "7", "1000", "FAILED"],
        ),
        (
            job_status_change_event(NAMED, "RESTARTING", 2_000),
            &["prod", "5c4b", "JobStatusChangeEvent", "RESTARTING", "2000"],
        ),
        (
            job_failure_event(NAMED, &failure()),
            &["prod", "5c4b", "JobFailureEvent", "2000", "map (2/4) - execution #0"],
        ),
        (
            job_failure_event(NAMED, &failure().with_history_timestamp(1_999).with_task_name(None)),
            &["prod", "5c4b", "JobFailureEvent", "1999", ""],
        ),
        (
            all_subtasks_status_change_event(NAMED, all, initialization, 950),
            &["prod", "5c4b", "AllSubtasksStatusChangeEvent", "ALL_RUNNING_OR_FINISHED", &initialization_id],
        ),
        (
            all_subtasks_status_change_event(NAMED, not_all, initialization, 2_000),
            &["prod", "5c4b", "AllSubtasksStatusChangeEvent", "NOT_ALL_RUNNING_OR_FINISHED", &initialization_id],
        ),
        (
            job_observed_event(NAMED, &observed(), 3_000),
            &[
                "prod",
                "5c4b",
                "JobObservedEvent",
                "RUNNING",
                "950",
                "900",
                "10000",
                "",
                "",
                "2.3.0",
                "a0",
                "map",
                "4",
                "b0",
                "sink",
                "1",
            ],
        ),
        (job_vanished_event(NAMED, &vanished, 3_000), &["prod", "5c4b", "JobVanishedEvent", "RUNNING", "950"]),
        (job_vanished_event(NAMED, &gone, 3_000), &["prod", "5c4b", "JobVanishedEvent", "RUNNING", "950", "GONE"]),
        (checkpoints_missed_event(NAMED, 8, 10, 3, 3_000), &["prod", "5c4b", "CheckpointsMissedEvent", "8", "10"]),
        (
            cluster_unreachable_event(OBSERVER, 3_000, "refused"),
            &["prod", "host-1:42", "ClusterUnreachableEvent", "3000"],
        ),
    ];
    let mut text = String::new();
    for (event, inputs) in cases {
        let id = uid(event);
        assert_eq!(id, Identity::of(inputs).trace_id().to_string(), "{inputs:?}");
        writeln!(text, "{id} {}", inputs[2]).unwrap();
    }
    writeln!(text, "{} ClusterReachableEvent", uid(cluster_reachable_event(OBSERVER, 3_000, None))).unwrap();
    expect![[r#"
        d1ae6160eb5f3d64a4f7cc8cbdb57bb7 CheckpointEvent
        289bf3d37f927ae6c29184988406ae30 CheckpointEvent
        c9a7fdf0011469bc92314b710160c884 JobStatusChangeEvent
        575f51732bbfc286023e4b5be8ff36cb JobFailureEvent
        50a30574c2a1fa48c6e0e4c399b12883 JobFailureEvent
        04e2f1a877425ee22e8a358d14951248 AllSubtasksStatusChangeEvent
        a200df77f3d92499a95f02c31df0ae53 AllSubtasksStatusChangeEvent
        8e50a4aca8efc8df1fd11696c5ab96d3 JobObservedEvent
        d1b6841b351a9e5eb3c0018f735c3cf4 JobVanishedEvent
        9f1c8228ada6434e1d1788b6880027e5 JobVanishedEvent
        fbd4cc458c6a926016512add8fb61831 CheckpointsMissedEvent
        f95d865a1572e7f1f160c7cd22686507 ClusterUnreachableEvent
        e08638d09e7f0863a2706352a12aa723 ClusterReachableEvent
    "#]]
    .assert_eq(&text);
}

/// Returns the ids of a span tree, one span a line.
fn ids(span: SpanBuilder) -> String {
    let span = ReportedSpan::new(Arc::new(span.build(&SystemClock)), Arc::new(ReportContext::default()));
    let lines = span.spans().map(|span| format!("{} {} {}\n", span.trace_id(), span.span_id(), span.name()));
    lines.collect()
}

#[test]
fn span_ids_are_hashes_of_these_inputs() {
    let checkpoint =
        ids(checkpoint_span(JOB, &stats(CheckpointStatus::Completed), SpanDetailLevel::ChildrenSpansPerSubtask));
    let attempt = ExecutionAttemptId { job_vertex_id: "a0".to_owned(), subtask_index: 3, attempt_number: 2 };
    let report = SubTaskInitializationMetrics::new(InitializationStatus::Completed, 940);
    let initialized = InitializationStats::new(910, 950, InitializationStatus::Completed)
        .with_restored_checkpoint_id(7)
        .with_subtasks(vec![(attempt, report)]);
    let initialization = ids(job_initialization_span(JOB, &initialized, 900));

    let expected = |inputs: &[&str], names: [&str; 2], children: &[Identity]| {
        let trace_id = Identity::of(inputs).trace_id();
        let mut span_id = trace_id.root_span_id();
        let mut text = format!("{trace_id} {span_id} {}\n", names[0]);
        for (child, suffix) in children.iter().zip(["_Task", "_Subtask"].iter().skip(2 - children.len())) {
            span_id = span_id.child(*child);
            text += &format!("{trace_id} {span_id} {}{suffix}\n", names[1]);
        }
        text
    };
    let children = [Identity::of(&["a0"]), Identity::numbered(3)];
    let inputs = ["prod", "5c4b", "checkpoint", "7", "1000"];
    assert_eq!(checkpoint, expected(&inputs, ["Checkpoint", "Checkpoint"], &children));
    let inputs = ["prod", "5c4b", "initialization", "7", "900"];
    let children = [Identity::of(&["a0", "3", "2"])];
    assert_eq!(initialization, expected(&inputs, ["JobInitialization", "JobInitialization"], &children));
    assert_eq!(JOB.initialization(None, 900), Identity::of(&["prod", "5c4b", "initialization", "-1", "900"]));
    expect![[r#"
        35b75b080634830207f5b421938be289 c0da488e175ae24b Checkpoint
        35b75b080634830207f5b421938be289 ed52e8674b3967f6 Checkpoint_Task
        35b75b080634830207f5b421938be289 107ec058bbc01885 Checkpoint_Subtask
        32350ee3fde5fa24d0ec97abbba43dab 2f1763d9d4549a37 JobInitialization
        32350ee3fde5fa24d0ec97abbba43dab 7455f75090b88d54 JobInitialization_Subtask
    "#]]
    .assert_eq(&(checkpoint + &initialization));
}

/// The ids depend on nothing else, such as the time of a poll or what REST returned.
#[test]
fn event_ids_ignore_all_other_data() {
    let same = |one: EventBuilder, other: EventBuilder| {
        assert_ne!(one, other);
        assert_eq!(uid(one), uid(other));
    };
    let completed = stats(CheckpointStatus::Completed);
    same(checkpoint_event(NAMED, &completed), checkpoint_event(NAMED, &completed.clone().with_state_size(5)));
    let failed = stats(CheckpointStatus::Failed);
    let known = failed.clone().with_failure(CheckpointFailure::new(1_500, "expired"));
    same(checkpoint_event(NAMED, &failed), checkpoint_event(NAMED, &known));
    same(
        job_failure_event(NAMED, &failure()),
        job_failure_event(NAMED, &failure().with_exception_message("boom".to_owned())),
    );
    same(job_observed_event(NAMED, &observed(), 1), job_observed_event(NAMED, &observed(), 2));
    let all = |ts_millis| {
        let status = AllSubtasksStatus::AllRunningOrFinished;
        all_subtasks_status_change_event(NAMED, status, JOB.initialization(None, 900), ts_millis)
    };
    same(all(950), all(951));
    let vanished = |since, at| job_vanished_event(NAMED, &VanishedJob::new("RUNNING", 950, since), at);
    same(vanished(1, 2), vanished(3, 4));
    same(checkpoints_missed_event(NAMED, 8, 10, 3, 1), checkpoints_missed_event(NAMED, 8, 10, 2, 2));
}
