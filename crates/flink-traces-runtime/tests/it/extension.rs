//! The events that Flink does not have.

use std::sync::Arc;

use expect_test::expect;
use flink_traces_api::{EventBuilder, ReportContext, ReportedEvent, ReportedSpan, SpanRef, SystemClock, ValueRef};
use flink_traces_runtime::JobIdentity;
use flink_traces_runtime::extension::{
    CausedInitialization, ObservedJob, ObservedVertex, ObserverIdentity, Rescale, RescaledNumber, RescaledSlots,
    RescaledVertex, SchedulerState, VanishedJob, VanishedJobOutcome, checkpoints_missed_event, cluster_reachable_event,
    cluster_unreachable_event, job_observed_event, job_vanished_event, rescale_span,
};
use flink_traces_runtime::job::NamedJob;

const JOB: NamedJob<'_> = NamedJob { identity: JobIdentity { cluster: "prod", job_id: "5c4b" }, name: "orders" };
const OBSERVER: ObserverIdentity<'_> = ObserverIdentity { cluster: "prod", process: "host-1:42" };

fn reported(event: EventBuilder) -> ReportedEvent {
    let event = event.build(&SystemClock);
    assert!(event.is_extension());
    ReportedEvent::new(Arc::new(event), 99_999, Arc::new(ReportContext::default()))
}

fn rendered(event: EventBuilder) -> String {
    let event = reported(event);
    let mut text = format!(
        "{} of {} at {}, {}\n  {}\n",
        event.name(),
        event.scope(),
        event.ts_millis(),
        event.severity(),
        event.body()
    );
    for (key, value) in event.attributes() {
        text += &match value {
            ValueRef::String(value) => format!("  {key}={value:?}\n"),
            value => format!("  {key}={value}\n"),
        };
    }
    text
}

#[test]
fn cluster_events() {
    let mut text = rendered(cluster_unreachable_event(OBSERVER, 3_000, "connection refused"));
    text += &rendered(cluster_reachable_event(OBSERVER, 15_000, Some(3_000)));
    text += &rendered(cluster_reachable_event(OBSERVER, 1_000, None));
    expect![[r#"
        ClusterUnreachableEvent of flink-traces at 3000, WARN
          Cluster prod is unreachable: connection refused
          reason="connection refused"
          log.record.uid="f95d865a1572e7f1f160c7cd22686507"
        ClusterReachableEvent of flink-traces at 15000, INFO
          Cluster prod is reachable again after 12.000 s
          unreachableSinceMs=3000
          log.record.uid="44d19ea48959109f408afdcc79e67ea6"
        ClusterReachableEvent of flink-traces at 1000, INFO
          Cluster prod is reachable
          log.record.uid="0d832f189cf2ee68a386a3aece4b8ac5"
    "#]]
    .assert_eq(&text);
}

#[test]
fn job_observed_events() {
    let all = ObservedJob::new("RUNNING", 950, 900)
        .with_vertices(vec![ObservedVertex::new("a0", "map \"1\"\n", 4), ObservedVertex::new("b0", "sink", 1)])
        .with_checkpoint_interval_ms(10_000)
        .with_checkpoint_timeout_ms(600_000)
        .with_history_size(10)
        .with_flink_version("2.3.0".to_owned());
    let text = rendered(job_observed_event(JOB, &all, 3_000))
        + &rendered(job_observed_event(JOB, &ObservedJob::new("CREATED", 900, 900), 3_000));
    expect![[r#"
        JobObservedEvent of flink-traces at 3000, INFO
          Job orders is RUNNING with 2 tasks
          jobStatus="RUNNING"
          jobStatusTimestampMs=950
          jobStartTimestampMs=900
          numVertices=2
          vertices="[{\"id\":\"a0\",\"name\":\"map \\\"1\\\"\\u000a\",\"parallelism\":4},{\"id\":\"b0\",\"name\":\"sink\",\"parallelism\":1}]"
          checkpointIntervalMs=10000
          checkpointTimeoutMs=600000
          checkpointHistorySize=10
          flinkVersion="2.3.0"
          log.record.uid="1fd22f01c747644b1db2a5ae5ba4a9bd"
        JobObservedEvent of flink-traces at 3000, INFO
          Job orders is CREATED with 0 tasks
          jobStatus="CREATED"
          jobStatusTimestampMs=900
          jobStartTimestampMs=900
          numVertices=0
          vertices="[]"
          log.record.uid="2a662059993c551fc2ac5c3b2e81db07"
    "#]].assert_eq(&text);
}

#[test]
fn vertices_beyond_the_limit_are_left_out() {
    let vertex = |index: i64| ObservedVertex::new(format!("{index:032}"), "x".repeat(1_000), index);
    let observed = ObservedJob::new("RUNNING", 950, 900).with_vertices((0..100).map(vertex).collect());
    let event = reported(job_observed_event(JOB, &observed, 3_000));
    let of = |key| event.attributes().find(|(known, _)| *known == key).map(|(_, value)| value.to_string()).unwrap();
    let vertices: serde_json::Value = serde_json::from_str(&of("vertices")).unwrap();
    assert_eq!(vertices.as_array().unwrap().len(), 15);
    assert_eq!(of("numVertices"), "100");
}

#[test]
fn job_vanished_events() {
    let vanished = VanishedJob::new("RUNNING", 950, 2_000);
    let mut text = rendered(job_vanished_event(JOB, &vanished, 3_000));
    for outcome in [VanishedJobOutcome::Gone, VanishedJobOutcome::Returned] {
        text += &rendered(job_vanished_event(JOB, &vanished.clone().with_outcome(outcome), 4_000));
    }
    expect![[r#"
        JobVanishedEvent of flink-traces at 3000, WARN
          Job orders was RUNNING, and its cluster is unreachable
          lastJobStatus="RUNNING"
          lastJobStatusTimestampMs=950
          unreachableSinceMs=2000
          log.record.uid="d1b6841b351a9e5eb3c0018f735c3cf4"
        JobVanishedEvent of flink-traces at 4000, ERROR
          Job orders was RUNNING, and its cluster no longer has it
          lastJobStatus="RUNNING"
          lastJobStatusTimestampMs=950
          unreachableSinceMs=2000
          outcome="GONE"
          log.record.uid="9f1c8228ada6434e1d1788b6880027e5"
        JobVanishedEvent of flink-traces at 4000, INFO
          Job orders was RUNNING, and its cluster has it again
          lastJobStatus="RUNNING"
          lastJobStatusTimestampMs=950
          unreachableSinceMs=2000
          outcome="RETURNED"
          log.record.uid="0f9442e4d75f44d052b112ff27be75cd"
    "#]]
    .assert_eq(&text);
}

#[test]
fn checkpoints_missed_events() {
    let text = rendered(checkpoints_missed_event(JOB, 8, 10, 2, 3_000))
        + &rendered(checkpoints_missed_event(JOB, 8, 8, 1, 3_000));
    expect![[r#"
        CheckpointsMissedEvent of flink-traces at 3000, WARN
          Missed 2 checkpoints of orders (ids 8 to 10)
          firstCheckpointId=8
          lastCheckpointId=10
          missedCheckpoints=2
          log.record.uid="fbd4cc458c6a926016512add8fb61831"
        CheckpointsMissedEvent of flink-traces at 3000, WARN
          Missed 1 checkpoint of orders (id 8)
          firstCheckpointId=8
          lastCheckpointId=8
          missedCheckpoints=1
          log.record.uid="2d8b7e0362ddcf0d1eb81842d3abe9d0"
    "#]]
    .assert_eq(&text);
}

fn span_text(span: SpanRef<'_>, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    *text += &format!("{indent}{} {}..{}\n", span.name(), span.start_ts_millis(), span.end_ts_millis());
    for (key, value) in span.attributes() {
        *text += &format!("{indent}  {key}={value}\n");
    }
    if let Some(failure) = span.failure() {
        *text += &format!("{indent}  failed: {}\n", failure.message);
    }
    span.children().for_each(|child| span_text(child, depth + 1, text));
}

#[test]
fn rescale_spans() {
    let rendered = |rescale: &Rescale| {
        let span = rescale_span(JOB.identity, rescale).build(&SystemClock);
        assert!(span.is_extension());
        let reported = ReportedSpan::new(Arc::new(span), Arc::new(ReportContext::default()));
        let mut text = String::new();
        span_text(reported.root(), 0, &mut text);
        let links: Vec<_> = reported.root().links().map(|link| link.trace_id.to_string()).collect();
        text + &format!("links: {links:?}\n")
    };
    let number = RescaledNumber::new().with_desired(4).with_sufficient(1).with_before(2).with_after(4);
    let completed = Rescale::new("r-1", 1_000, 5_000, "COMPLETED")
        .with_attempt(1)
        .with_trigger_cause("UPDATE_REQUIREMENT".to_owned())
        .with_terminated_reason("SUCCEEDED".to_owned())
        .with_vertices(vec![RescaledVertex::new("a0", "map \"1\"".to_owned(), number)])
        .with_slots(vec![RescaledSlots::new("g0", None, RescaledNumber::new().with_after(4))])
        .with_scheduler_states(vec![SchedulerState::new("Executing", 900, 3_000)])
        .with_initialization(CausedInitialization { restored_checkpoint_id: Some(7), identity_timestamp: 4_000 });
    let exception = "java.lang.IllegalStateException: no slots\n\tat A.b(A.java:1)";
    let failed = Rescale::new("r-2", 6_000, 7_000, "FAILED")
        .with_terminated_reason("EXCEPTION_OCCURRED".to_owned())
        .with_scheduler_states(vec![
            SchedulerState::new("Restarting", 6_000, 7_000).with_exception(exception.to_owned()),
        ]);
    let ignored = Rescale::new("r-3", 8_000, 8_100, "IGNORED");
    let text = rendered(&completed) + &rendered(&failed) + &rendered(&ignored);
    expect![[r#"
        Rescale 1000..5000
          rescaleUuid=r-1
          rescaleAttemptId=1
          triggerCause=UPDATE_REQUIREMENT
          terminalState=COMPLETED
          terminatedReason=SUCCEEDED
          vertices=[{"id":"a0","name":"map \"1\"","desired":4,"sufficient":1,"preRescale":2,"postRescale":4}]
          slots=[{"id":"g0","postRescale":4}]
          Rescale_SchedulerState 900..3000
            schedulerState=Executing
        links: ["d972d06e9355ce6026d7f6f42a5deccf"]
        Rescale 6000..7000
          rescaleUuid=r-2
          terminalState=FAILED
          terminatedReason=EXCEPTION_OCCURRED
          failed: EXCEPTION_OCCURRED
          Rescale_SchedulerState 6000..7000
            schedulerState=Restarting
            exception.stacktrace=java.lang.IllegalStateException: no slots
        	at A.b(A.java:1)
            failed: java.lang.IllegalStateException: no slots
        links: []
        Rescale 8000..8100
          rescaleUuid=r-3
          terminalState=IGNORED
        links: []
    "#]]
    .assert_eq(&text);
    let caused = JOB.identity.initialization(Some(7), 4_000).trace_id().to_string();
    assert!(text.contains(&format!("links: [{caused:?}]")), "{text}");
}
