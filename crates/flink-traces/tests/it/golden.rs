//! Recorded sessions of real clusters, played over OTLP, compared with the output of Flink's own
//! reporters in the same sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use flate2::read::GzDecoder;
use flink_traces_observer::Observation;
use flink_traces_observer::recording::RecordingReader;
use flink_traces_observer::replay::replay;
use flink_traces_testkit::compare::{Comparable, Comparison, compare, records, restrict};
use flink_traces_testkit::{OtlpCollector, ReceivedEvent, ReceivedSpan};
use serde_json::Value;

use crate::support::process::Place;

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings").join(name)
}

/// Returns the lines of a gzipped file.
fn lines(name: &str) -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(recording(name)).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Plays a session, and returns the records that the collector received.
fn played(session: &str, protocol: &str) -> (Vec<ReceivedSpan>, Vec<ReceivedEvent>) {
    let collector = OtlpCollector::start().unwrap();
    // Under `compatibility: flink` an HTTP endpoint is taken literally.
    let endpoint = |signal: &str| match protocol {
        "grpc" => collector.grpc_endpoint(),
        _ => format!("{}/v1/{signal}", collector.http_endpoint()),
    };
    let dynamic = [
        "traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK".to_owned(),
        "traces.reporter.otlp.compatibility=flink".to_owned(),
        "events.reporter.otlp.compatibility=flink".to_owned(),
        format!("traces.reporter.otlp.exporter.endpoint={}", endpoint("traces")),
        format!("events.reporter.otlp.exporter.endpoint={}", endpoint("logs")),
        format!("traces.reporter.otlp.exporter.protocol={protocol}"),
        format!("events.reporter.otlp.exporter.protocol={protocol}"),
    ];
    let file = recording(&format!("flink-{session}.jsonl.gz"));
    let otlp = collector.grpc_endpoint();
    let mut arguments = vec!["play", file.to_str().unwrap(), "--quiet", "--otlp", &otlp];
    arguments.extend(dynamic.iter().flat_map(|pair| ["-D", pair]));
    let played = Place::new().run(&arguments).expect_code(0);

    let received = (collector.spans(), collector.events());
    let account = |name: &str, count: usize| (name.to_owned(), [count as u64, count as u64, 0, 0, 0]);
    let expected = [account("traces otlp", received.0.len()), account("events otlp", received.1.len())];
    assert_eq!(played.counts(), expected, "{}", played.stderr);
    received
}

/// Returns the records that Flink's own reporters sent.
fn native(session: &str) -> Vec<Comparable> {
    let (mut spans, mut logs) = (Vec::new(), Vec::new());
    for line in lines(&format!("flink-{session}.native-otlp.jsonl.gz")) {
        // Each line has one signal.
        if line.starts_with("{\"resourceSpans\"") {
            spans.extend(ReceivedSpan::read_json(&line).unwrap());
        } else {
            logs.extend(ReceivedEvent::read_json(&line).unwrap());
        }
    }
    records(&spans, &logs)
}

/// Returns the ended checkpoints in REST responses, by job and id. Uses none of the code under
/// test.
fn shown(session: &str) -> BTreeSet<(String, i64)> {
    let mut shown = BTreeSet::new();
    for line in lines(&format!("flink-{session}.jsonl.gz")) {
        let exchange: Value = serde_json::from_str(&line).unwrap();
        let path: Vec<&str> = exchange["path"].as_str().unwrap().split('/').collect();
        if let (["", "jobs", job, "checkpoints"], "GET", 200) =
            (path.as_slice(), exchange["method"].as_str().unwrap(), exchange["status"].as_i64().unwrap())
        {
            let history = exchange["body"]["history"].as_array().unwrap().iter();
            let ended = history.filter(|entry| entry["status"] != "IN_PROGRESS");
            shown.extend(ended.map(|entry| ((*job).to_owned(), entry["id"].as_i64().unwrap())));
        }
    }
    shown
}

/// Checks that each ended checkpoint in REST responses has one `Checkpoint` span, and no other has
/// one.
fn check_every_checkpoint_once(session: &str, spans: &[ReceivedSpan]) -> usize {
    let mut counts: BTreeMap<(String, i64), usize> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.name() == "Checkpoint") {
        let attributes = span.attributes();
        let job = attributes["jobId"].as_str().unwrap().to_owned();
        *counts.entry((job, attributes["checkpointId"].as_i64().unwrap())).or_default() += 1;
    }
    let shown = shown(session);
    assert_eq!(counts.keys().cloned().collect::<BTreeSet<_>>(), shown, "{session}");
    assert!(counts.values().all(|count| *count == 1), "{session}: {counts:?}");
    shown.len()
}

/// Compares, and checks the result against a golden file.
fn compared(session: &str, protocol: &str) -> Comparison {
    let (spans, logs) = played(session, protocol);
    check_every_checkpoint_once(session, &spans);
    let shown = shown(session);
    // Omitted are checkpoints that were missed in the last second of the cluster, and a span that
    // later versions report as an event.
    let is_comparable = |record: &Comparable| {
        let checkpoint = record.checkpoint().map(|(job, id)| (job.to_owned(), id));
        checkpoint.is_none_or(|checkpoint| shown.contains(&checkpoint)) && record.kind() != "JobFailure"
    };
    let native: Vec<Comparable> = native(session).into_iter().filter(is_comparable).collect();
    let comparison = compare(&native, &restrict(records(&spans, &logs), &native));
    expect_file![format!("golden/flink-{session}.txt")].assert_eq(&comparison.to_string());
    comparison
}

fn check_same_as_flink(session: &str, protocol: &str) {
    let comparison = compared(session, protocol);
    assert!(comparison.differences.is_empty(), "{comparison}");
}

#[test]
fn flink_2_3_over_grpc_equals_native_output() {
    check_same_as_flink("2.3.0-full", "grpc");
}

#[test]
fn flink_2_3_over_http_equals_native_output() {
    check_same_as_flink("2.3.0-full", "http");
}

#[test]
fn flink_2_2_equals_native_output() {
    check_same_as_flink("2.2.1-full", "grpc");
}

/// This version reports neither events nor children.
#[test]
fn flink_2_1_equals_native_output() {
    check_same_as_flink("2.1.3-full", "grpc");
}

#[test]
fn flink_1_20_equals_native_output() {
    check_same_as_flink("1.20.5-full", "grpc");
}

/// The Adaptive scheduler forgets the states of earlier attempts, and its failures are some
/// milliseconds off. Everything else is as Flink reported it. The golden file lists the
/// differences.
#[test]
fn adaptive_job_differs_in_states_and_failures_only() {
    let comparison = compared("2.3.0-adaptive", "grpc");
    let differ = |difference: &String| {
        difference.starts_with("JobStatusChangeEvent ") || difference.starts_with("JobFailureEvent ")
    };
    assert!(comparison.differences.iter().all(differ), "{comparison}");
}

/// The rescales of a job, which Flink only shows over REST, are spans with a child for each state
/// of the scheduler. Each one that took place links to the initialization that it caused, and all
/// records name the application. The test above shows that `compatibility: flink` has neither.
#[test]
fn rescales_link_to_their_initializations() {
    let collector = OtlpCollector::start().unwrap();
    let file = recording("flink-2.3.0-adaptive.jsonl.gz");
    let otlp = collector.grpc_endpoint();
    Place::new().run(&["play", file.to_str().unwrap(), "--quiet", "--otlp", &otlp]).expect_code(0);
    let (spans, events) = (collector.spans(), collector.events());
    let attributes = spans.iter().filter(|span| span.name() != "Rescale_SchedulerState").map(ReceivedSpan::attributes);
    for attributes in attributes.filter(|attributes| !attributes.contains_key("jobVertexId")) {
        assert_eq!(attributes["flink.application.id"], "3db8711f785b3188f03f42621fed0d06", "{attributes:?}");
    }
    // The list of applications is recorded some seconds after the job began.
    let names = events.iter().filter_map(|event| event.attributes().remove("flink.application.name"));
    let named: Vec<_> = names.filter(|name| name == "SingleJobApplication(adaptive-job)").collect();
    assert!(named.len() > 40, "{}", named.len());
    let millis = |nanos: u64| nanos / 1_000_000;
    let mut text = String::new();
    for span in spans.iter().filter(|span| span.name().starts_with("Rescale")) {
        text += &format!(
            "{} {}..{}\n",
            span.name(),
            millis(span.start_time_unix_nano()),
            millis(span.end_time_unix_nano())
        );
        assert_eq!(span.scope(), "flink-traces");
        for (key, value) in span.attributes() {
            text += &format!("  {key}={value}\n");
        }
        for link in span.plain()["links"].as_array().into_iter().flatten() {
            let linked = |other: &&ReceivedSpan| {
                other.plain()["traceId"] == link["traceId"] && other.plain()["spanId"] == link["spanId"]
            };
            let linked = spans.iter().find(linked).map(|other| (other.name(), millis(other.start_time_unix_nano())));
            text += &format!("  link to {linked:?}\n");
        }
    }
    expect_file!["golden/rescales.txt"].assert_eq(&text);
}

/// A batch job has states and failures, and nothing is invented beyond them. Its first RUNNING was
/// overwritten by the second before a poll, and only the overview has its end.
#[test]
fn batch_job_has_states_and_failures_only() {
    let comparison = compared("2.3.0-batch", "grpc");
    let differ = |difference: &String| difference.starts_with("JobStatusChangeEvent ");
    assert!(comparison.differences.iter().all(differ), "{comparison}");
    let (spans, logs) = played("2.3.0-batch", "grpc");
    assert_eq!((spans.len(), logs.len()), (0, 4));
}

/// Counts the observations of each Flink version, by kind.
#[test]
fn every_version_reports_every_checkpoint_once() {
    let mut table = String::new();
    for version in ["2.3.0", "2.2.1", "2.1.3", "1.20.5", "1.18.1", "1.13.6", "1.9.3"] {
        let session = format!("{version}-full");
        let (spans, _) = played(&session, "grpc");
        let checkpoints = check_every_checkpoint_once(&session, &spans);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let reader = RecordingReader::open(&recording(&format!("flink-{session}.jsonl.gz"))).unwrap();
        replay(reader, |_, observations| {
            observations.iter().for_each(|known| *counts.entry(kind(&known.observation)).or_default() += 1);
        })
        .unwrap();
        table += &format!("Flink {version}: {checkpoints} checkpoints ended\n");
        table.extend(counts.into_iter().map(|(kind, count)| format!("  {count:3} {kind}\n")));
    }
    expect_file!["golden/versions.txt"].assert_eq(&table);
}

fn kind(observation: &Observation) -> String {
    match observation {
        Observation::Checkpoint(stats) => format!("{} {}", stats.checkpoint_type.name(), stats.status.name()),
        Observation::Initialization { stats, .. } if stats.restored_checkpoint_id.is_some() => {
            "came up restored".to_owned()
        }
        Observation::Initialization { .. } => "came up fresh".to_owned(),
        Observation::StatusChange { status, .. } => format!("status {status}"),
        Observation::Failure(failure) => format!("failure, can restart: {}", failure.can_restart),
        Observation::AllSubtasks { status, .. } => format!("{status:?}"),
        Observation::Rescale(rescale) => format!("rescale {}", rescale.terminal_state),
        Observation::Missed(_) => "missed".to_owned(),
        Observation::Content { .. } => "content".to_owned(),
        Observation::Vanished { job, .. } => format!("vanished {:?}", job.outcome),
        other => panic!("unknown: {other:?}"),
    }
}
