//! Records that OTLP brings: in pieces, in any order, more than once, and from two sources.

use std::path::Path;

use flink_traces_api::proto::Writer;
use flink_traces_api::{ReportedSpan, ReporterConfig, Signal};
use flink_traces_history::query::CheckpointView;
use flink_traces_history::{History, ReceiveError, Receiver, Taken};
use flink_traces_otlp::{ExportRequest, encode_spans};
use flink_traces_runtime::config::SpanDetailLevel::{ChildrenSpansPerSubtask, SpanPerCheckpoint};
use flink_traces_runtime::job::{JobFailure, job_failure_event};

use crate::support::*;

fn receiver(path: &Path, cluster: Option<&str>, more: &[(&str, &str)]) -> Receiver {
    let kept = KEEP.iter().filter(|(key, _)| more.iter().all(|(other, _)| other != key));
    let options = [("path", path.to_str().unwrap())].into_iter().chain(kept.copied()).chain(more.iter().copied());
    Receiver::new(&ReporterConfig::from_pairs("history", options), cluster.map(str::to_owned)).unwrap()
}

fn traces_in(receiver: &mut Receiver, message: &[u8]) -> Taken {
    receiver.receive(Signal::Traces, message, START + 100_000).unwrap()
}

/// Returns the requests of a tree, of at most `max_bytes` or one span each.
fn requests(span: &ReportedSpan, max_bytes: usize) -> Vec<Vec<u8>> {
    encode_spans(std::slice::from_ref(span), &[], max_bytes).collect()
}

fn view(path: &Path, id: i64) -> CheckpointView {
    History::open(path).unwrap().checkpoint(1, START + id * 1_000, id).unwrap().unwrap()
}

/// Converts OTLP/JSON.
fn protobuf(json: &str) -> Vec<u8> {
    ExportRequest::from_json(json.as_bytes()).unwrap().into_protobuf()
}

#[test]
fn received_tree_equals_a_reported_one() {
    let folder = tempfile::tempdir().unwrap();
    let [reported, received] = ["reported", "received"].map(|name| folder.path().join(name));
    report(&mut traces(&reported, &[]), &[detailed(1), plain(2)]).unwrap();
    let mut receiver = receiver(&received, None, &[]);
    for span in [detailed(1), plain(2)] {
        for message in requests(&span, 1 << 20) {
            let taken = traces_in(&mut receiver, &message);
            assert_eq!((taken.stored, taken.received()), (span.span_count(), span.span_count()));
        }
    }
    for id in [1, 2] {
        assert_eq!(view(&received, id), view(&reported, id));
    }
}

/// Scenario: each span of a tree is a request of its own, in many orders, each twice. Guarantees:
/// the checkpoint is the same as if it came whole.
#[test]
fn pieces_in_any_order_make_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let reported = folder.path().join("reported");
    report(&mut traces(&reported, &[]), &[detailed(1)]).unwrap();
    let expected = view(&reported, 1);
    let pieces = requests(&detailed(1), 1);
    assert_eq!(pieces.len(), 4);
    for order in 0..24_usize {
        let path = folder.path().join(format!("h{order}"));
        let mut receiver = receiver(&path, None, &[]);
        let (mut rest, mut code): (Vec<_>, usize) = (pieces.iter().collect(), order);
        while !rest.is_empty() {
            let next = rest.remove(code % rest.len());
            code /= rest.len() + 1;
            traces_in(&mut receiver, next);
            traces_in(&mut receiver, next);
        }
        let found = view(&path, 1);
        let sorted = |view: &CheckpointView| {
            let mut tasks = view.tasks.clone();
            tasks.iter_mut().for_each(|task| task.subtasks.sort_by_key(|subtask| subtask.index));
            tasks
        };
        assert_eq!((&found.checkpoint, sorted(&found)), (&expected.checkpoint, sorted(&expected)), "{order}");
        assert_eq!(ids(&path), [1]);
    }
}

#[test]
fn reported_and_received_tree_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    report(&mut traces(&path, &[]), &[detailed(1)]).unwrap();
    let expected = view(&path, 1);
    for message in requests(&detailed(1), 1) {
        traces_in(&mut receiver(&path, None, &[]), &message);
    }
    assert_eq!(view(&path, 1), expected);
    assert_eq!(expected.checkpoint.other_trace_id, None);
}

/// The span of a checkpoint as Flink's own reporter sends it, with random ids.
fn native(trace_id: &str, cluster: &str) -> Vec<u8> {
    protobuf(&format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{cluster}]}},"scopeSpans":[{{"scope":{{"name":"c"}},"spans":[
            {{"traceId":"{trace_id}","spanId":"00000000000000aa","name":"Checkpoint",
              "startTimeUnixNano":"{0}000000","endTimeUnixNano":"{0}000000","attributes":[
              {{"key":"jobId","value":{{"stringValue":"{JOB_ID}"}}}},
              {{"key":"job_name","value":{{"stringValue":"orders"}}}},
              {{"key":"host","value":{{"stringValue":"jm"}}}},
              {{"key":"checkpointId","value":{{"intValue":"1"}}}},
              {{"key":"checkpointStatus","value":{{"stringValue":"COMPLETED"}}}}]}}]}}]}}]}}"#,
        START + 1_000
    ))
}

const PROD: &str = r#"{"key":"flink.cluster.name","value":{"stringValue":"prod"}}"#;

/// Scenario: the program and Flink itself report a checkpoint. Guarantees: it is one row with both
/// traces, and has the tasks that one of them knows, whichever comes first.
#[test]
fn checkpoint_of_two_sources_is_one_row() {
    let native = native("0123456789abcdef0123456789abcdef", PROD);
    for native_first in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h");
        let (mut receiver, mut reporter) = (receiver(&path, None, &[]), traces(&path, &[]));
        if native_first {
            traces_in(&mut receiver, &native);
        }
        report(&mut reporter, &[detailed(1)]).unwrap();
        traces_in(&mut receiver, &native);
        let found = view(&path, 1);
        assert_eq!((ids(&path), found.tasks.len()), (vec![1], 1));
        let mut both = [Some(found.checkpoint.trace_id), found.checkpoint.other_trace_id].map(Option::unwrap);
        if !native_first {
            both.reverse();
        }
        assert_eq!(both[0], "0123456789abcdef0123456789abcdef");
        assert_eq!((found.checkpoint.subtask, found.checkpoint.task.as_deref()), (Some(1), Some("agg -> tail")));
    }
}

#[test]
fn record_without_a_cluster_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let native = |cluster: &str| native(&format!("0123456789abcdef{:016x}", cluster.len()), cluster);
    let taken = traces_in(&mut receiver(&path, None, &[]), &native(""));
    assert_eq!((taken.without_cluster, taken.stored), (1, 0));
    assert!(!path.exists() || ids(&path).is_empty());
    traces_in(&mut receiver(&path, Some("stage"), &[]), &native(""));
    traces_in(&mut receiver(&path, Some("stage"), &[]), &native(PROD));
    let clusters: Vec<_> = History::open(&path).unwrap().jobs().unwrap().into_iter().map(|job| job.cluster).collect();
    assert_eq!(clusters, ["prod", "stage"]);
}

#[test]
fn event_without_uid_is_known_by_its_fields() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let log = |name: &str, at: i64, more: &str| {
        protobuf(&format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"scope":{{"name":"c"}},"logRecords":[{{
                "timeUnixNano":"{}000000","observedTimeUnixNano":"{at}000000","severityText":"INFO","attributes":[
                {{"key":"name","value":{{"stringValue":"{name}"}}}},
                {{"key":"jobId","value":{{"stringValue":"{JOB_ID}"}}}},
                {{"key":"job_name","value":{{"stringValue":"orders"}}}},
                {{"key":"{more}","value":{{"stringValue":"true"}}}}]}}]}}]}}]}}"#,
            at + 17
        ))
    };
    let mut receiver = receiver(&path, Some("prod"), &[]);
    let mut receive = |message: &[u8]| receiver.receive(Signal::Events, message, START).unwrap();
    let other = log("Other", START, "a");
    for message in [&log("JobFailureEvent", START, "canRestart"), &other, &log("Other", START, "b")] {
        for _ in 0..2 {
            assert_eq!(receive(message).stored, 1);
        }
    }
    let failures = || History::open(&path).unwrap().job(1, always(), 9).unwrap().unwrap().failures;
    assert_eq!((failures().len(), failures()[0].exception.clone()), (1, None));
    assert_eq!(History::open(&path).unwrap().records(START).unwrap().len(), 2);

    // The event of the program takes the place of Flink's own, which says less.
    let failure = JobFailure::new(START, true).with_exception_type("a.B".to_owned());
    let event = reported_event(job_failure_event(JOB.named("orders"), &failure));
    events(&path).report(&[event], &Default::default()).unwrap();
    receive(&log("JobFailureEvent", START, "canRestart"));
    assert_eq!((failures().len(), failures()[0].exception.as_deref()), (1, Some("a.B")));
}

#[test]
fn invalid_ids_and_old_records_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut receiver = receiver(&path, Some("prod"), &[("retention.detail", "1 h")]);
    for id in ["", "00", "00000000000000000000000000000000"] {
        let message = native(id, "");
        let taken = receiver.receive(Signal::Traces, &message, START).unwrap();
        assert_eq!((taken.invalid, taken.received()), (1, 1), "{id}");
    }
    let message = native("0123456789abcdef0123456789abcdef", "");
    let taken = receiver.receive(Signal::Traces, &message, START + 2 * 3_600_000).unwrap();
    assert_eq!((taken.expired, taken.received()), (1, 1));
}

#[test]
fn damaged_request_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut receiver = receiver(&path, Some("prod"), &[]);
    let whole = requests(&detailed(1), 1 << 20).remove(0);
    for end in 1..whole.len() {
        let result = receiver.receive(Signal::Traces, &whole[..end], START);
        assert!(matches!(result, Err(ReceiveError::Malformed)), "{end}: {result:?}");
    }
    assert!(!path.exists());
    let mut group = Writer::new();
    group.varint(1, 1);
    assert_eq!(receiver.receive(Signal::Traces, group.as_slice(), START).unwrap(), Taken::default());
}

/// Scenario: the parent of the directory is missing. Guarantees: the request fails, and succeeds
/// when the directory can be created.
#[test]
fn unwritable_history_may_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parent/h");
    let mut receiver = receiver(&path, None, &[]);
    let message = requests(&plain(1), 1 << 20).remove(0);
    let error = receiver.receive(Signal::Traces, &message, START).unwrap_err();
    assert!(matches!(error, ReceiveError::History { records: 1, .. }), "{error:?}");
    std::fs::create_dir(folder.path().join("parent")).unwrap();
    assert_eq!(traces_in(&mut receiver, &message).stored, 1);
    assert_eq!(ids(&path), [1]);
}

#[test]
fn lone_root_gets_its_tasks_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut receiver = receiver(&path, None, &[]);
    let root = checkpoint(1, START + 1_000, 100, SpanPerCheckpoint);
    traces_in(&mut receiver, &requests(&root, 1 << 20)[0]);
    assert_eq!(view(&path, 1).checkpoint.task, None);
    let whole = checkpoint(1, START + 1_000, 100, ChildrenSpansPerSubtask);
    for child in requests(&whole, 1).into_iter().skip(1) {
        traces_in(&mut receiver, &child);
    }
    assert_eq!(view(&path, 1).checkpoint.subtask, Some(1));
}
