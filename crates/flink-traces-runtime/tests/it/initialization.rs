//! The combination of subtask reports into one initialization, by tables and against a model.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect;
use flink_traces_api::{Span, SystemClock};
use flink_traces_runtime::checkpoint::{
    CheckpointType, IgnoredReports, InitializationMetric, InitializationStats, InitializationStatus,
    JobInitializationMetricsBuilder, RestoredCheckpoint, StateObjectLocation, SubTaskInitializationMetrics,
    TrackerError, job_initialization_span, partial_job_initialization_span,
};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::ExecutionAttemptId;
use flink_traces_runtime::{CheckpointStatsTracker, JobIdentity, checkpoint_span};
use proptest::prelude::*;

use InitializationStatus::{Completed, Failed};

const JOB: JobIdentity<'_> = JobIdentity { cluster: "orders", job_id: "5c4b" };

/// Parses an attempt. `a0.2` is attempt 2 of subtask 0 of job vertex `a`, and `a0` is attempt 0.
fn attempt(text: &str) -> ExecutionAttemptId {
    let (subtask, attempt) = text.split_once('.').unwrap_or((text, "0"));
    let (vertex, index) = subtask.split_at(1);
    ExecutionAttemptId {
        job_vertex_id: vertex.to_owned(),
        subtask_index: index.parse().unwrap(),
        attempt_number: attempt.parse().unwrap(),
    }
}

fn attempts(text: &str) -> Vec<ExecutionAttemptId> {
    text.split_whitespace().map(attempt).collect()
}

fn metrics(
    status: InitializationStatus,
    end_timestamp: i64,
    values: &[(&'static str, i64)],
) -> SubTaskInitializationMetrics {
    let mut metrics = SubTaskInitializationMetrics::new(status, end_timestamp);
    values.iter().for_each(|(name, value)| metrics.add(*name, *value));
    metrics
}

/// Reports the attempts in `script`, and gives up at each `|`. Each step returns `-`, `whole` or
/// the number of missing attempts.
fn check(expected_attempts: &str, script: &str, results: &str, ignored: IgnoredReports) {
    let mut builder = JobInitializationMetricsBuilder::new(100, attempts(expected_attempts));
    let mut found = Vec::new();
    for word in script.split_whitespace() {
        found.push(match word {
            "|" => builder.give_up(900).map_or("-".to_owned(), |partial| format!("{} missing", partial.missing.len())),
            _ => {
                let whole = builder.report(&attempt(word), &metrics(Completed, 500, &[]));
                whole.map_or("-", |_| "whole").to_owned()
            }
        });
    }
    assert_eq!(found.join(" "), results, "{expected_attempts}: {script}");
    assert_eq!(builder.ignored(), ignored, "{expected_attempts}: {script}");
}

fn ignored(unknown: u64, duplicate: u64, late: u64) -> IgnoredReports {
    let mut ignored = IgnoredReports::default();
    (ignored.unknown, ignored.duplicate, ignored.late) = (unknown, duplicate, late);
    ignored
}

#[test]
fn initialization_completes_once() {
    let none = IgnoredReports::default();
    check("a0", "a0", "whole", none);
    check("a0 a1 b0", "b0 a1 a0", "- - whole", none);
    // Repeated and unknown reports neither complete it nor return it again.
    check("a0 a1", "a0 a0 a1 a1 a0", "- - whole - -", ignored(0, 3, 0));
    check("a0.1", "a0 a0.2 a1.1 b0.1 a0.1 b0.1", "- - - - whole -", ignored(5, 0, 0));
    // A failover of some subtasks of a vertex, with any attempt numbers.
    check("a7.1 a3.4 a3.4", "a3 a3.4 a0 a7.1", "- - - whole", ignored(2, 0, 0));
    check("", "a0 |", "- -", ignored(1, 0, 0));
    // An initialization that is given up.
    check("a0 a1", "|", "2 missing", none);
    check("a0 a1 b0", "a1 | | b0 a1 a9 |", "- 2 missing - - - - -", ignored(1, 1, 1));
    check("a0", "a0 |", "whole -", none);
}

#[test]
fn metrics_fold_as_in_flink() {
    let mut builder = JobInitializationMetricsBuilder::new(100, attempts("a0 a1 a2"));
    builder.report(&attempt("a0"), &metrics(Completed, 300, &[("X", 5), ("Y", -1), ("X", 2), ("Z", -7)]));
    // −1 is unset, and other negative values count. The order does not matter.
    builder.report(&attempt("a1"), &metrics(Completed, 400, &[("Z", 3), ("X", 6)]));
    assert_eq!((builder.pending(), builder.has_ended()), (1, false));
    let stats = builder.report(&attempt("a2"), &metrics(Completed, 200, &[("X", -1), ("W", i64::MAX)])).unwrap();
    assert_eq!((builder.pending(), builder.has_ended()), (0, true));
    let metric = |name: &str, max, sum| InitializationMetric::new(name, max, sum);
    let metrics = vec![metric("X", 7, 13), metric("Y", 0, 0), metric("Z", 3, -4), metric("W", i64::MAX, i64::MAX)];
    let expected = InitializationStats::new(100, 400, Completed).with_metrics(metrics);
    assert_eq!(stats, expected);
}

#[test]
fn failed_subtask_fails_initialization() {
    for failing in ["a0", "a1"] {
        let mut builder = JobInitializationMetricsBuilder::new(100, attempts("a0 a1"));
        let status = |id| if id == failing { Failed } else { Completed };
        assert_eq!(builder.report(&attempt("a0"), &metrics(status("a0"), 200, &[])), None);
        let stats = builder.report(&attempt("a1"), &metrics(status("a1"), 200, &[])).unwrap();
        assert_eq!(stats.status, Failed, "{failing}");
    }
}

#[test]
fn late_metrics_count_until_the_end() {
    const NAME: &str = SubTaskInitializationMetrics::RESTORE_ASYNC_COMPACTION_DURATION;
    let mut builder = JobInitializationMetricsBuilder::new(100, attempts("a0 a1"));
    assert!(!builder.add_late(&attempt("a0"), NAME, 40));
    assert!(!builder.add_late(&attempt("b0"), NAME, 40));
    builder.report(&attempt("a0"), &metrics(Completed, 200, &[]));
    assert!(builder.add_late(&attempt("a0"), NAME, 30));
    let stats = builder.report(&attempt("a1"), &metrics(Completed, 200, &[])).unwrap();
    assert_eq!(stats.metrics, [InitializationMetric::new(NAME, 30, 30)]);
    assert!(!builder.add_late(&attempt("a1"), NAME, 50));

    let mut builder = JobInitializationMetricsBuilder::new(100, attempts("a0 a1")).with_subtasks();
    builder.report(&attempt("a0"), &metrics(Completed, 200, &[("X", 1)]));
    assert!(builder.add_late(&attempt("a0"), NAME, 30));
    let stats = builder.report(&attempt("a1"), &metrics(Failed, 300, &[])).unwrap();
    let expected = [("a0", metrics(Completed, 200, &[("X", 1), (NAME, 30)])), ("a1", metrics(Failed, 300, &[]))];
    assert_eq!(stats.subtasks, expected.map(|(id, report)| (attempt(id), report)));
}

#[test]
fn detail_level_decides_on_subtasks() {
    for detail in SpanDetailLevel::ALL {
        let tracker = CheckpointStatsTracker::builder(10).span_detail_level(detail).build();
        tracker.report_initialization_started(100, attempts("a1 a0 b0"));
        let report = |id: &str| tracker.report_initialization_metrics(&attempt(id), &metrics(Completed, 500, &[]));
        assert_eq!(report("a1"), Ok(None));
        assert_eq!(report("b0"), Ok(None));
        let stats = report("a0").unwrap().unwrap();
        let children = if detail == SpanDetailLevel::ChildrenSpansPerSubtask { 3 } else { 0 };
        assert_eq!(stats.subtasks.len(), children, "{}", detail.name());
        let span = job_initialization_span(JOB, &stats, stats.start_timestamp).build(&SystemClock);
        assert_eq!(span.span_count(), 1 + children, "{}", detail.name());
    }
}

#[test]
fn restored_state_is_counted_by_location() {
    let check = |uri: &str, expected| assert_eq!(StateObjectLocation::from_file(uri), expected, "{uri}");
    for uri in ["s3://bucket/x", "hdfs://host:8020/x", "files://x", "file_2://x", "FILE://x"] {
        check(uri, StateObjectLocation::Remote);
    }
    for uri in ["", "/data/x", "file:/data/x", "file:///data/x", "s3:/x", "://x", "my-fs://x", "a b://x"] {
        check(uri, StateObjectLocation::LocalDisk);
    }

    use StateObjectLocation::{LocalDisk, LocalMemory, Remote, Unknown};
    let mut report = metrics(Completed, 200, &[]);
    for (location, bytes) in [(LocalMemory, 1), (LocalDisk, 2), (Remote, 3), (Unknown, 4), (Remote, 30)] {
        report.add_restored_state_size(location, bytes);
    }
    let mut builder = JobInitializationMetricsBuilder::new(100, attempts("a0"));
    let stats = builder.report(&attempt("a0"), &report).unwrap();
    let found: Vec<_> = stats.metrics.iter().map(|metric| (metric.name.as_str(), metric.sum)).collect();
    let expected = [("LOCAL_MEMORY", 1), ("LOCAL_DISK", 2), ("REMOTE", 33), ("UNKNOWN", 4)]
        .map(|(location, sum)| (format!("RestoredStateSizeBytes.{location}"), sum));
    assert_eq!(found, expected.each_ref().map(|(name, sum)| (name.as_str(), *sum)));
}

fn formatted(span: &Span) -> String {
    let extension = span.extension().cloned().unwrap_or_default();
    format!(
        "{} {}..{}\n{:?}\nbeyond Flink: {:?}\n{:?}, {} links\n",
        span.name(),
        span.start_ts_millis(),
        span.end_ts_millis(),
        span.attributes().iter().collect::<Vec<_>>(),
        extension.attributes.iter().collect::<Vec<_>>(),
        extension.failure,
        extension.links.len(),
    )
}

#[test]
fn given_up_initialization_is_partial_span() {
    let mut builder = JobInitializationMetricsBuilder::new(100, attempts("b0 a2.1 a1 a0"));
    builder.report(&attempt("a1"), &metrics(Completed, 300, &[("MailboxStartDurationMs", 12)]));
    let partial = builder.give_up(10_100).unwrap();
    assert_eq!(partial.missing, attempts("a0 a2.1 b0"));
    let span = partial_job_initialization_span(JOB, &partial, partial.stats.start_timestamp).build(&SystemClock);
    expect![[r#"
        JobInitialization 100..10100
        [("initializationStatus", String("FAILED")), ("maxMailboxStartDurationMs", Long(12)), ("sumMailboxStartDurationMs", Long(12))]
        beyond Flink: [("isPartial", Bool(true)), ("missingSubtasks", Long(3)), ("expectedSubtasks", Long(4))]
        Some(Failure { ts_millis: 10100, message: "3 of 4 subtasks did not report" }), 0 links
    "#]]
    .assert_eq(&formatted(&span));
}

fn restored() -> RestoredCheckpoint {
    RestoredCheckpoint::new(7, 2_000, false).with_state_size(4096)
}

#[test]
fn restore_names_and_links_checkpoint() {
    let tracker = CheckpointStatsTracker::new(10);
    tracker.report_pending(7, 1_000, CheckpointType::Checkpoint, &[]).unwrap();
    let checkpoint = tracker.report_completed(7, None, None).unwrap();

    assert_eq!(tracker.report_initialization_started(2_000, attempts("a0")), None);
    tracker.report_restored(restored()).unwrap();
    let report = metrics(Completed, 2_345, &[("InitializeStateDurationMs", 300)]);
    let stats = tracker.report_initialization_metrics(&attempt("a0"), &report).unwrap().unwrap();
    let span = job_initialization_span(JOB, &stats, stats.start_timestamp).build(&SystemClock);
    expect![[r#"
        JobInitialization 2000..2345
        [("initializationStatus", String("COMPLETED")), ("checkpointId", Long(7)), ("fullSize", Long(4096)), ("maxInitializeStateDurationMs", Long(300)), ("sumInitializeStateDurationMs", Long(300))]
        beyond Flink: []
        None, 1 links
    "#]]
    .assert_eq(&formatted(&span));
    let checkpoint = checkpoint_span(JOB, &checkpoint, Default::default()).build(&SystemClock);
    assert_eq!(span.extension().unwrap().links, [checkpoint.identity().unwrap().into()]);
}

#[test]
fn tracker_has_one_initialization_at_a_time() {
    let tracker = CheckpointStatsTracker::new(10);
    let report = |id: &str| tracker.report_initialization_metrics(&attempt(id), &metrics(Completed, 500, &[]));
    assert_eq!(report("a0"), Err(TrackerError::NoInitialization));
    assert_eq!(tracker.give_up_initialization(9), None);
    assert_eq!(tracker.ignored_initialization_reports(), IgnoredReports::default());

    assert_eq!(tracker.report_initialization_started(100, attempts("a0 a1")), None);
    assert_eq!(report("a0"), Ok(None));
    // The next initialization replaces this one and returns it.
    let replaced = tracker.report_initialization_started(700, attempts("a0.1")).unwrap();
    assert_eq!((replaced.stats.start_timestamp, replaced.stats.end_timestamp), (100, 700));
    assert_eq!(replaced.missing, attempts("a1"));
    assert_eq!(report("a1"), Ok(None));
    assert_eq!(report("a0.1").unwrap().unwrap().start_timestamp, 700);
    assert_eq!(tracker.ignored_initialization_reports(), ignored(1, 0, 0));
    // An initialization that has ended is not returned.
    assert_eq!(tracker.report_initialization_started(900, attempts("a0.2")), None);
    assert_eq!(tracker.give_up_initialization(950).unwrap().stats.end_timestamp, 950);
    assert_eq!(tracker.give_up_initialization(960), None);
}

type Values = Vec<(&'static str, i64)>;

fn any_attempt() -> impl Strategy<Value = ExecutionAttemptId> {
    ("[ab]", 0_u32..4, 0_u32..2).prop_map(|(job_vertex_id, subtask_index, attempt_number)| ExecutionAttemptId {
        job_vertex_id,
        subtask_index,
        attempt_number,
    })
}

fn any_report() -> impl Strategy<Value = (ExecutionAttemptId, bool, i64, Values)> {
    let name = prop_oneof![Just("X"), Just("Y"), Just("Z")];
    let values = proptest::collection::vec((name, -3_i64..100), 0..5);
    (any_attempt(), any::<bool>(), 100_i64..1_000, values)
}

/// Combines reports like Flink, which keeps all first reports until the end.
fn folded(reports: &BTreeMap<ExecutionAttemptId, (bool, i64, Values)>) -> (bool, i64, BTreeMap<String, (i64, i64)>) {
    let mut folded: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (_, _, values) in reports.values() {
        let mut of_subtask: BTreeMap<&str, i64> = BTreeMap::new();
        values.iter().for_each(|(name, value)| *of_subtask.entry(name).or_default() += value);
        for (name, value) in of_subtask {
            let (max, sum) = folded.entry(name.to_owned()).or_default();
            if value != -1 {
                (*max, *sum) = ((*max).max(value), *sum + value);
            }
        }
    }
    let has_failed = reports.values().any(|(has_failed, ..)| *has_failed);
    (has_failed, reports.values().map(|(_, end, _)| *end).max().unwrap_or(0), folded)
}

/// Returns the kept reports of subtasks, if they are kept.
fn subtasks(
    with_subtasks: bool,
    reports: &BTreeMap<ExecutionAttemptId, (bool, i64, Values)>,
) -> Vec<(ExecutionAttemptId, SubTaskInitializationMetrics)> {
    let report = |(has_failed, end, values): &(bool, i64, Values)| {
        metrics(if *has_failed { Failed } else { Completed }, *end, values)
    };
    let reports = reports.iter().filter(|_| with_subtasks);
    reports.map(|(id, reported)| (id.clone(), report(reported))).collect()
}

fn parts(stats: InitializationStats) -> (bool, i64, BTreeMap<String, (i64, i64)>) {
    let count = stats.metrics.len();
    let metrics: BTreeMap<_, _> =
        stats.metrics.into_iter().map(|metric| (metric.name, (metric.max, metric.sum))).collect();
    assert_eq!(metrics.len(), count, "a name twice");
    (stats.status == Failed, stats.end_timestamp, metrics)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_reports(
        expected in proptest::collection::btree_set(any_attempt(), 0..8),
        reports in proptest::collection::vec(any_report(), 0..60),
        given_up_after in 0_usize..60,
        with_subtasks in any::<bool>(),
    ) {
        let mut builder = JobInitializationMetricsBuilder::new(50, expected.clone());
        if with_subtasks {
            builder = builder.with_subtasks();
        }
        let mut kept = BTreeMap::new();
        let mut ignored = IgnoredReports::default();
        let mut has_ended = false;
        for (number, (id, has_failed, end, values)) in reports.into_iter().enumerate() {
            if number == given_up_after {
                let missing: BTreeSet<_> = expected.iter().filter(|id| !kept.contains_key(*id)).cloned().collect();
                let (_, last_end, folded) = folded(&kept);
                match builder.give_up(500) {
                    Some(partial) => {
                        prop_assert!(!has_ended);
                        prop_assert_eq!(partial.expected, expected.len());
                        prop_assert_eq!(partial.missing, missing.into_iter().collect::<Vec<_>>());
                        prop_assert_eq!(&partial.stats.subtasks, &subtasks(with_subtasks, &kept));
                        prop_assert_eq!(parts(partial.stats), (true, last_end.max(500), folded));
                        has_ended = true;
                    }
                    None => prop_assert!(has_ended || missing.is_empty()),
                }
            }
            let status = if has_failed { Failed } else { Completed };
            let found = builder.report(&id, &metrics(status, end, &values));
            let (is_expected, has_reported) = (expected.contains(&id), kept.contains_key(&id));
            match (is_expected, has_reported, has_ended) {
                (false, ..) => ignored.unknown += 1,
                (_, true, _) => ignored.duplicate += 1,
                (_, _, true) => ignored.late += 1,
                (true, false, false) => {
                    kept.insert(id, (has_failed, end, values));
                    has_ended = kept.len() == expected.len();
                    let rendered = found.as_ref().map(|stats| stats.subtasks.clone());
                    prop_assert_eq!(rendered, has_ended.then(|| subtasks(with_subtasks, &kept)));
                    prop_assert_eq!(found.map(parts), has_ended.then(|| folded(&kept)));
                    continue;
                }
            }
            prop_assert_eq!(found, None);
        }
        prop_assert_eq!(builder.ignored(), ignored);
    }
}
