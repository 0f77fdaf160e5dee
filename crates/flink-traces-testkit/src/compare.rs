//! The comparison of Flink's own records with those of another source.
//!
//! One side is what Flink's own reporters sent. The other side is derived from the REST API of the
//! same cluster, which is less exact, so the comparison has tolerances. It does no I/O: records go
//! in, and a table and a list of differences come out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{ReceivedEvent, ReceivedSpan};
use serde_json::Value;

/// The attributes that identify a record among those of its job and kind, if it has them.
const IDENTITY: &[&str] = &["checkpointId", "jobVertexId", "subtaskId", "newJobStatus", "status"];

/// The attributes that name the job of a record.
///
/// Roots and events have the first. Since Flink 2.1 all records have the second.
const JOB: &[&str] = &["jobId", "job_id"];

/// The maximum size of the state of the operator coordinators in the compared sessions.
const COORDINATOR_BYTES: i64 = 64;

/// A trace id and a span id.
type SpanId = (Vec<u8>, Vec<u8>);

/// A span or an event in the form in which it is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparable {
    /// The name of the span or event.
    kind: String,
    /// The values of the [`IDENTITY`] attributes.
    key: String,
    /// The start of a span, or the time at which an event was observed.
    start_nanos: i64,
    /// The end of a span.
    end_nanos: Option<i64>,
    /// The attributes and other compared fields, whose names are in parentheses.
    properties: BTreeMap<String, Value>,
    /// The ids of a span.
    id: Option<SpanId>,
    /// `true` for a record of a failed checkpoint.
    ///
    /// Flink's own span has the reports of subtasks that arrived before the failure. The REST API
    /// does not show which ones these are.
    of_failed: bool,
}

/// Converts the received records to the form in which they are compared.
pub fn records(spans: &[ReceivedSpan], logs: &[ReceivedEvent]) -> Vec<Comparable> {
    let names: BTreeMap<_, _> = spans.iter().map(|span| (span_id(span), name_of_span(span))).collect();
    let all = spans.iter().map(|span| of_span(span, &names)).chain(logs.iter().map(of_log));
    let mut records: Vec<Comparable> = all.collect();
    let is_failed =
        |record: &&Comparable| record.properties.get("checkpointStatus").is_some_and(|status| status == "FAILED");
    let checkpoint = |record: &Comparable| record.checkpoint().map(|(job, id)| (job.to_owned(), id));
    let failed: BTreeSet<_> = records.iter().filter(is_failed).filter_map(checkpoint).collect();
    for record in &mut records {
        record.of_failed = checkpoint(record).is_some_and(|checkpoint| failed.contains(&checkpoint));
    }
    records
}

fn of_span(received: &ReceivedSpan, names: &BTreeMap<SpanId, String>) -> Comparable {
    let span = &received.span;
    let parent = match span.parent_span_id.as_slice() {
        [] => "none",
        parent => names.get(&(span.trace_id.clone(), parent.to_vec())).map_or("unknown", String::as_str),
    };
    let mut properties = received.attributes();
    let key = key(&properties);
    properties.extend([
        ("(scope)".to_owned(), received.scope.as_str().into()),
        ("(parent)".to_owned(), parent.into()),
        ("(span kind)".to_owned(), span.kind.into()),
        ("(status)".to_owned(), span.status.as_ref().map_or(0, |status| status.code).into()),
        ("(links)".to_owned(), span.links.len().into()),
    ]);
    Comparable {
        kind: span.name.clone(),
        key,
        start_nanos: span.start_time_unix_nano.cast_signed(),
        end_nanos: Some(span.end_time_unix_nano.cast_signed()),
        properties,
        id: Some(span_id(received)),
        of_failed: false,
    }
}

fn of_log(received: &ReceivedEvent) -> Comparable {
    let log = &received.log;
    let mut properties = received.attributes();
    let kind = properties.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let key = key(&properties);
    properties.extend([
        ("(scope)".to_owned(), received.scope.as_str().into()),
        ("(severity)".to_owned(), log.severity_text.as_str().into()),
        ("(severity number)".to_owned(), log.severity_number.into()),
        ("(body)".to_owned(), format!("{:?}", log.body).into()),
    ]);
    let start_nanos = log.observed_time_unix_nano.cast_signed();
    Comparable { kind, key, start_nanos, end_nanos: None, properties, id: None, of_failed: false }
}

fn span_id(received: &ReceivedSpan) -> SpanId {
    (received.span.trace_id.clone(), received.span.span_id.clone())
}

fn name_of_span(received: &ReceivedSpan) -> String {
    format!("{} {}", received.span.name, key(&received.attributes()))
}

fn key(attributes: &BTreeMap<String, Value>) -> String {
    let job = JOB.iter().find_map(|name| attributes.get(*name)).map(|id| ("job", id));
    let known = IDENTITY.iter().filter_map(|name| Some((*name, attributes.get(*name)?)));
    job.into_iter().chain(known).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

impl Comparable {
    /// Returns the name of the span or event.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the id of the job.
    pub fn job(&self) -> Option<&str> {
        JOB.iter().find_map(|name| self.properties.get(*name))?.as_str()
    }

    /// Returns the job and the id of the checkpoint that the record belongs to.
    ///
    /// The restored checkpoint of a `JobInitialization` does not count.
    pub fn checkpoint(&self) -> Option<(&str, i64)> {
        let id = self.properties.get("checkpointId")?.as_i64()?;
        self.kind.starts_with("Checkpoint").then_some((self.job()?, id))
    }

    /// Returns the job and the id of the checkpoint that a `JobInitialization` restored.
    pub fn restored(&self) -> Option<(&str, i64)> {
        let id = self.properties.get("checkpointId")?.as_i64()?;
        (self.kind == "JobInitialization").then_some((self.job()?, id))
    }

    /// Removes the size of the restored checkpoint.
    ///
    /// The REST API does not show it with the restore, so it is lost with the checkpoint.
    #[must_use]
    pub fn without_restored_size(mut self) -> Self {
        if self.restored().is_some() {
            self.properties.remove("fullSize");
        }
        self
    }

    /// Returns `true` if `other` is the same record by its name and identifying attributes.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.kind, &self.key) == (&other.kind, &other.key)
    }

    /// Returns the end of a span or the time of an event, in milliseconds since the epoch.
    pub fn millis(&self) -> i64 {
        self.end_nanos.unwrap_or(self.start_nanos) / 1_000_000
    }

    /// Returns the tolerances for start and end in milliseconds.
    ///
    /// They are zero if the REST API shows the exact number.
    fn tolerance(&self) -> (u64, u64) {
        match self.kind.as_str() {
            // Without a restored checkpoint and without the metric with the start, it is derived
            // from the transition to RUNNING.
            // The end is measured by the TaskManager in Flink and by the JobManager over REST.
            "JobInitialization" if self.properties.contains_key("checkpointId") => (5, 75),
            "JobInitialization" => (104, 75),
            "AllSubtasksStatusChangeEvent" => (2, 0),
            // The failure that ends a job is derived from the transition to FAILING, which a busy
            // JobManager reaches later.
            "JobFailureEvent" if self.properties.get("canRestart").is_some_and(|value| value == "false") => (20, 0),
            // The first acknowledging subtask determines the start.
            "Checkpoint_Task" if self.of_failed => (u64::MAX, 0),
            _ => (0, 0),
        }
    }

    /// Returns `true` if the property may differ because the REST API does not show it or shows
    /// less.
    fn may_differ(&self, property: &str, native: Option<&Value>, ours: Option<&Value>) -> bool {
        let is_aggregate = property.starts_with("max") || property.starts_with("sum");
        match (self.kind.as_str(), property) {
            (_, "host" | "metadataSize") => true,
            // Flink's own value includes the state of operator coordinators, such as that of the
            // source. The REST API shows the sizes that the subtasks acknowledged.
            ("JobInitialization", "fullSize") => {
                let [native, ours] = [native, ours].map(|value| value.and_then(Value::as_i64));
                native.zip(ours).is_some_and(|(native, ours)| (0..=COORDINATOR_BYTES).contains(&(native - ours)))
            }
            // These are durations and restored bytes.
            ("JobInitialization", _) => is_aggregate && ours.is_none(),
            (_, "fullSize" | "checkpointedSize") => self.of_failed && self.kind != "Checkpoint_Subtask",
            _ => self.of_failed && is_aggregate,
        }
    }

    fn may_be_missing(&self) -> bool {
        self.of_failed && self.kind == "Checkpoint_Subtask"
    }

    /// Returns the unexpected differences between this native record and `ours`.
    fn differences(&self, ours: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let (start_tolerance, end_tolerance) = self.tolerance();
        for (what, native, ours, tolerance) in [
            ("start", Some(self.start_nanos), Some(ours.start_nanos), start_tolerance),
            ("end", self.end_nanos, ours.end_nanos, end_tolerance),
        ] {
            let Some((native, ours)) = native.zip(ours) else { continue };
            if native.abs_diff(ours) > tolerance.saturating_mul(1_000_000) {
                let milliseconds = ours.wrapping_sub(native) / 1_000_000;
                differences.push(format!("{what} is {milliseconds:+} ms off, {tolerance} ms are tolerated"));
            }
        }
        let properties: BTreeSet<&String> = self.properties.keys().chain(ours.properties.keys()).collect();
        for property in properties {
            let (native, ours) = (self.properties.get(property), ours.properties.get(property));
            if native != ours && !self.may_differ(property, native, ours) {
                differences.push(format!("{property} is {}, not {}", show(ours), show(native)));
            }
        }
        differences
    }

    /// Returns `true` if `ours` would differ from this native record had the checkpoint not failed.
    fn differs_by_failure(&self, ours: &Self) -> bool {
        self.of_failed && !Self { of_failed: false, ..self.clone() }.differences(ours).is_empty()
    }
}

fn show(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), Value::to_string)
}

impl fmt::Display for Comparable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {} ms", self.kind, self.key, self.start_nanos / 1_000_000)
    }
}

/// Removes the kinds and attributes from `ours` that the version of Flink in `native` does not
/// report.
pub fn restrict(ours: Vec<Comparable>, native: &[Comparable]) -> Vec<Comparable> {
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in native {
        known.entry(&record.kind).or_default().extend(record.properties.keys().map(String::as_str));
    }
    ours.into_iter()
        .filter_map(|mut record| {
            let attributes = known.get(record.kind.as_str())?;
            record.properties.retain(|name, _| attributes.contains(name.as_str()));
            Some(record)
        })
        .collect()
}

/// The result of a comparison.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Comparison {
    rows: BTreeMap<String, Row>,
    /// The differences, with one line each.
    pub differences: Vec<String>,
}

/// The counts for one kind of record.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    native: usize,
    ours: usize,
    /// The number of our records that arrived again.
    resent: usize,
    /// The number of records that differ as failed checkpoints may.
    unknown: usize,
    different: usize,
}

impl Comparison {
    /// Returns the number of records of that name that Flink's own reporters sent.
    pub fn native_count(&self, kind: &str) -> usize {
        self.rows.get(kind).map_or(0, |row| row.native)
    }

    fn row(&mut self, record: &Comparable) -> &mut Row {
        self.rows.entry(record.kind.clone()).or_default()
    }

    fn differ(&mut self, record: &Comparable, message: &str) {
        self.row(record).different += 1;
        self.differences.push(format!("{record}: {message}"));
    }

    fn miss(&mut self, record: &Comparable, message: &str) {
        if record.may_be_missing() { self.row(record).unknown += 1 } else { self.differ(record, message) }
    }

    fn pair(&mut self, native: &Comparable, ours: &Comparable) {
        let differences = native.differences(ours);
        if !differences.is_empty() {
            self.differ(native, &differences.join("; "));
        } else if native.differs_by_failure(ours) {
            self.row(native).unknown += 1;
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:30} {:>7} {:>7} {:>7} {:>7} {:>9}",
            "record", "native", "ours", "resent", "untold", "different"
        )?;
        for (kind, Row { native, ours, resent, unknown, different }) in &self.rows {
            writeln!(f, "{kind:30} {native:>7} {ours:>7} {resent:>7} {unknown:>7} {different:>9}")?;
        }
        self.differences.iter().try_for_each(|difference| writeln!(f, "{difference}"))
    }
}

/// Pairs each native record with ours of the same name and identity that is nearest in time.
pub fn compare(native: &[Comparable], ours: &[Comparable]) -> Comparison {
    let mut comparison = Comparison::default();
    let mut unpaired = without_resent(ours, &mut comparison);
    for record in native {
        comparison.row(record).native += 1;
        let nearest = unpaired
            .iter()
            .enumerate()
            .filter(|(_, other)| other.is_same(record))
            .min_by_key(|(_, other)| other.start_nanos.abs_diff(record.start_nanos))
            .map(|(index, _)| index);
        match nearest {
            Some(index) => comparison.pair(record, unpaired.swap_remove(index)),
            None => comparison.miss(record, "ours is missing"),
        }
    }
    for record in unpaired {
        comparison.miss(record, "Flink's own is missing");
    }
    comparison
}

/// Returns each of our records once.
///
/// A span may arrive again only unchanged, so that a store can remove duplicates.
fn without_resent<'a>(ours: &'a [Comparable], comparison: &mut Comparison) -> Vec<&'a Comparable> {
    let mut kept: Vec<&Comparable> = Vec::new();
    for record in ours {
        let is_same = |earlier: &Comparable| {
            earlier.is_same(record) && (record.id.is_some() || earlier.start_nanos == record.start_nanos)
        };
        let Some(earlier) = kept.iter().find(|earlier| is_same(earlier)) else {
            comparison.row(record).ours += 1;
            kept.push(record);
            continue;
        };
        comparison.row(record).resent += 1;
        if earlier.id != record.id {
            comparison.differ(record, "ours came again under another id");
        } else if *earlier != record && !record.of_failed {
            let differences = earlier.differences(record).join("; ");
            comparison.differ(record, &format!("ours came again as another: {differences}"));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Returns the root of a checkpoint with one task, as in OTLP/JSON.
    fn checkpoint(trace: &str) -> [Value; 2] {
        let attributes = json!([
            {"key": "checkpointId", "value": {"intValue": "7"}},
            {"key": "fullSize", "value": {"intValue": "1000"}},
            {"key": "job_id", "value": {"stringValue": "job"}},
            {"key": "host", "value": {"stringValue": trace}},
        ]);
        let root = json!({
            "name": "Checkpoint", "traceId": trace.repeat(16), "spanId": "0000000000000001",
            "startTimeUnixNano": "1000000000", "endTimeUnixNano": "2000000000", "attributes": attributes,
        });
        let mut task = root.clone();
        task["name"] = "Checkpoint_Task".into();
        task["spanId"] = "0000000000000002".into();
        task["parentSpanId"] = "0000000000000001".into();
        [root, task]
    }

    fn initialization(start_ms: i64, end_ms: i64, restored_bytes: Option<i64>) -> Value {
        let mut attributes = vec![json!({"key": "job_id", "value": {"stringValue": "job"}})];
        if let Some(size) = restored_bytes {
            attributes.push(json!({"key": "checkpointId", "value": {"intValue": "7"}}));
            attributes.push(json!({"key": "fullSize", "value": {"intValue": size.to_string()}}));
        }
        json!({
            "name": "JobInitialization", "traceId": "01".repeat(16), "spanId": "0000000000000001",
            "startTimeUnixNano": (start_ms * 1_000_000).to_string(), "endTimeUnixNano": (end_ms * 1_000_000).to_string(),
            "attributes": attributes,
        })
    }

    fn event(name: &str, observed_ms: i64, attribute: (&str, &str)) -> Value {
        json!({
            "observedTimeUnixNano": (observed_ms * 1_000_000).to_string(),
            "attributes": [
                {"key": "name", "value": {"stringValue": name}},
                {"key": "job_id", "value": {"stringValue": "job"}},
                {"key": attribute.0, "value": {"stringValue": attribute.1}},
            ],
        })
    }

    fn of_spans(spans: &[Value]) -> Vec<Comparable> {
        let spans: Vec<_> = spans
            .iter()
            .map(|span| ReceivedSpan {
                resource: Default::default(),
                scope: "scope".to_owned(),
                span: serde_json::from_value(span.clone()).unwrap(),
            })
            .collect();
        records(&spans, &[])
    }

    fn of_events(events: &[Value]) -> Vec<Comparable> {
        let logs: Vec<_> = events
            .iter()
            .map(|event| ReceivedEvent {
                resource: Default::default(),
                scope: "scope".to_owned(),
                log: serde_json::from_value(event.clone()).unwrap(),
            })
            .collect();
        records(&[], &logs)
    }

    #[test]
    fn ids_order_and_host_may_differ() {
        let [root, task] = checkpoint("0a");
        let outcome = compare(&of_spans(&checkpoint("0b")), &of_spans(&[task, root]));
        assert_eq!(outcome.differences, [""; 0]);
        let row = Row { native: 1, ours: 1, ..Row::default() };
        assert_eq!(
            outcome.rows,
            BTreeMap::from(["Checkpoint", "Checkpoint_Task"].map(|kind| { (kind.to_owned(), Row { ..row }) }))
        );
    }

    #[test]
    fn checkpoint_of_another_job_is_another_record() {
        let other = checkpoint("0a").map(|mut span| {
            span["attributes"][2]["value"]["stringValue"] = "another".into();
            span
        });
        let others = of_spans(&other);
        assert_eq!(others[0].checkpoint(), Some(("another", 7)));
        assert_eq!(compare(&of_spans(&checkpoint("0a")), &others).differences.len(), 4);
    }

    #[test]
    fn every_other_difference_is_listed() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change, &str); 5] = [
            ("start", |span| span["startTimeUnixNano"] = "999000000".into(), "start is -1 ms off, 0 ms are tolerated"),
            ("end", |span| span["endTimeUnixNano"] = "2002000000".into(), "end is +2 ms off, 0 ms are tolerated"),
            (
                "attribute",
                |span| span["attributes"][1]["value"] = json!({"stringValue": "1000"}),
                "fullSize is \"1000\", not 1000",
            ),
            (
                "absent attribute",
                |span| drop(span["attributes"].as_array_mut().unwrap().remove(1)),
                "fullSize is absent, not 1000",
            ),
            ("status", |span| span["status"] = json!({"code": 2}), "(status) is 2, not 0"),
        ];
        for (what, change, message) in cases {
            let mut ours = checkpoint("0a");
            change(&mut ours[0]);
            let outcome = compare(&of_spans(&checkpoint("0b")), &of_spans(&ours));
            assert_eq!(
                outcome.differences,
                [format!("Checkpoint job=\"job\" checkpointId=7 at 1000 ms: {message}")],
                "{what}"
            );
            assert_eq!(
                outcome.rows["Checkpoint"],
                Row { native: 1, ours: 1, different: 1, ..Row::default() },
                "{what}"
            );
        }
    }

    #[test]
    fn child_must_have_the_same_parent() {
        let mut ours = checkpoint("0a");
        ours[1]["parentSpanId"] = "00000000000000ff".into();
        let outcome = compare(&of_spans(&checkpoint("0b")), &of_spans(&ours));
        let message = "(parent) is \"unknown\", not \"Checkpoint job=\\\"job\\\" checkpointId=7\"";
        assert_eq!(outcome.differences, [format!("Checkpoint_Task job=\"job\" checkpointId=7 at 1000 ms: {message}")]);
    }

    #[test]
    fn missing_and_additional_records_are_named() {
        let outcome = compare(&of_spans(&checkpoint("0b")), &[]);
        assert_eq!(outcome.native_count("Checkpoint"), 1);
        assert_eq!(outcome.differences.len(), 2);
        assert_eq!(outcome.differences[0], "Checkpoint job=\"job\" checkpointId=7 at 1000 ms: ours is missing");
        let outcome = compare(&[], &of_spans(&checkpoint("0b")));
        assert_eq!(outcome.native_count("Checkpoint"), 0);
        assert_eq!(outcome.differences.len(), 2);
    }

    #[test]
    fn span_may_arrive_again_only_unchanged() {
        let native = of_spans(&checkpoint("0b"));
        let twice = |again: &[Value]| compare(&native, &[of_spans(&checkpoint("0a")), of_spans(again)].concat());
        let outcome = twice(&checkpoint("0a"));
        assert_eq!(outcome.differences, [""; 0]);
        assert_eq!(outcome.rows["Checkpoint"], Row { native: 1, ours: 1, resent: 1, ..Row::default() });

        let outcome = twice(&checkpoint("0c"));
        assert!(outcome.differences[0].ends_with("ours came again under another id"), "{outcome}");

        let mut larger = checkpoint("0a");
        larger[0]["attributes"][1]["value"] = json!({"intValue": "1001"});
        let outcome = twice(&larger);
        assert!(
            outcome.differences[0].ends_with("ours came again as another: fullSize is 1001, not 1000"),
            "{outcome}"
        );
    }

    #[test]
    fn failed_checkpoint_may_lack_subtask_reports() {
        let failed = |trace: &str| {
            let status = json!({"key": "checkpointStatus", "value": {"stringValue": "FAILED"}});
            let [mut root, mut task] = checkpoint(trace);
            root["attributes"].as_array_mut().unwrap().push(status);
            let mut subtask = task.clone();
            subtask["name"] = "Checkpoint_Subtask".into();
            subtask["spanId"] = "0000000000000003".into();
            task["startTimeUnixNano"] = "1500000000".into();
            [root, task, subtask]
        };
        let native = of_spans(&failed("0b"));
        let compared = |change: fn(&mut [Value; 3])| {
            let mut ours = failed("0a");
            change(&mut ours);
            compare(&native, &of_spans(&ours))
        };
        for (change, kind) in [
            (
                (|spans| spans[0]["attributes"][1]["value"] = json!({"intValue": "1"})) as fn(&mut [Value; 3]),
                "Checkpoint",
            ),
            (|spans| spans[1]["startTimeUnixNano"] = "1400000000".into(), "Checkpoint_Task"),
            (|spans| spans[2]["attributes"][0]["value"] = json!({"intValue": "8"}), "Checkpoint_Subtask"),
        ] {
            let outcome = compared(change);
            assert_eq!(outcome.rows[kind].unknown, 1, "{outcome}");
        }
        assert_eq!(compared(|_| ()).rows["Checkpoint"].unknown, 0);
        let outcome = compared(|spans| spans[0]["startTimeUnixNano"] = "999000000".into());
        assert_eq!(outcome.rows["Checkpoint"].different, 1, "{outcome}");
        let outcome = compared(|spans| spans[2]["endTimeUnixNano"] = "2001000000".into());
        assert_eq!(outcome.rows["Checkpoint_Subtask"].different, 1, "{outcome}");
    }

    #[test]
    fn inexact_rest_times_have_a_tolerance() {
        type Make = fn(i64, i64) -> Vec<Comparable>;
        let fresh: Make = |start, end| of_spans(&[initialization(5000 + start, 6000 + end, None)]);
        let restored: Make = |start, end| of_spans(&[initialization(5000 + start, 6000 + end, Some(1000))]);
        let tasks: Make =
            |observed, _| of_events(&[event("AllSubtasksStatusChangeEvent", 5000 + observed, ("status", "x"))]);
        let job: Make =
            |observed, _| of_events(&[event("JobStatusChangeEvent", 5000 + observed, ("newJobStatus", "x"))]);
        for (make, start, end, expected) in [
            (fresh, -104, 75, true),
            (fresh, -105, 0, false),
            (restored, 5, -75, true),
            (restored, 6, 0, false),
            (restored, 0, 76, false),
            (tasks, 2, 0, true),
            (tasks, 3, 0, false),
            (job, 0, 0, true),
            (job, 1, 0, false),
        ] {
            let outcome = compare(&make(0, 0), &make(start, end));
            assert_eq!(outcome.differences.is_empty(), expected, "{start} {end}: {outcome}");
        }
    }

    #[test]
    fn native_restored_size_may_include_coordinators() {
        let restored = |size| of_spans(&[initialization(0, 0, Some(size))]);
        for (size, expected) in [(1000, true), (984, true), (935, false), (1001, false)] {
            let outcome = compare(&restored(1000), &restored(size));
            assert_eq!(outcome.differences.is_empty(), expected, "{size}: {outcome}");
        }
        let fresh = of_spans(&[initialization(0, 0, None)]);
        assert!(!compare(&restored(1000), &fresh).differences.is_empty());
    }

    #[test]
    fn restore_may_lose_the_size_of_its_checkpoint() {
        let record = |size| of_spans(&[initialization(0, 0, size)]).remove(0);
        let (restored, fresh) = (record(Some(1000)), record(None));
        assert_eq!((restored.restored(), fresh.restored()), (Some(("job", 7)), None));
        let without_size = restored.clone().without_restored_size();
        assert!(without_size.is_same(&restored) && !without_size.properties.contains_key("fullSize"));
        let [checkpoint, _] = checkpoint("01");
        let checkpoint = of_spans(&[checkpoint]).remove(0).without_restored_size();
        assert!(checkpoint.restored().is_none() && checkpoint.properties.contains_key("fullSize"));
    }

    #[test]
    fn initialization_durations_may_be_absent_not_wrong() {
        let lasting = |millis: Option<&str>| {
            let mut span = initialization(0, 0, None);
            let attribute = |millis| json!({"key": "maxMailboxStartDurationMs", "value": {"intValue": millis}});
            span["attributes"].as_array_mut().unwrap().extend(millis.map(attribute));
            of_spans(&[span])
        };
        for (ours, expected) in [(None, true), (Some("3"), true), (Some("4"), false)] {
            let outcome = compare(&lasting(Some("3")), &lasting(ours));
            assert_eq!(outcome.differences.is_empty(), expected, "{ours:?}: {outcome}");
        }
    }

    #[test]
    fn similar_events_are_paired_with_the_nearest() {
        let at = |observed: [i64; 2]| {
            of_events(
                &observed.map(|ms| event("AllSubtasksStatusChangeEvent", ms, ("status", "ALL_RUNNING_OR_FINISHED"))),
            )
        };
        assert_eq!(compare(&at([5000, 9000]), &at([9001, 4999])).differences, [""; 0]);
    }
}
