//! Records of a witness and of collectors, in one form.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::{OtlpCollector, ReceivedEvent, ReceivedSpan};
use serde_json::{Value, json};

/// The attributes that only `compatibility: standard` adds.
const EXTENSIONS: [&str; 3] = ["flink.cluster.name", "log.record.uid", "name"];

/// A span tree or an event.
#[derive(Debug, Clone)]
pub(super) struct Record {
    scope: String,
    name: String,
    /// The start and the end of a span, or the time of an event, in nanoseconds.
    times: Vec<u64>,
    attributes: BTreeMap<String, Value>,
    /// The body and the severity of an event.
    texts: Vec<String>,
    children: Vec<Record>,
    /// The span id, or the `log.record.uid`.
    id: Option<String>,
}

/// Distinct records, as text, with the number of each.
pub(super) type Counts = BTreeMap<String, usize>;

impl Record {
    /// Returns the number of spans or events of that name in the tree.
    pub(super) fn named(&self, name: &str) -> usize {
        usize::from(self.name == name) + self.children.iter().map(|child| child.named(name)).sum::<usize>()
    }

    /// Returns the records as Flink's own reporter exports them.
    pub(super) fn as_flink(records: &[Self]) -> Counts {
        // Flink's reporter of spans drops booleans and nulls.
        let keep = |record: &Self, value: &Value| !record.texts.is_empty() || !(value.is_boolean() || value.is_null());
        counts(records.iter().map(|record| record.value(&keep, true, false).to_string()))
    }

    /// Returns the records without what `compatibility: standard` adds or corrects.
    pub(super) fn without_extensions(records: &[Self]) -> Counts {
        counts(records.iter().map(|record| record.value(&|_, _| true, false, false).to_string()))
    }

    fn value(&self, keep: &dyn Fn(&Self, &Value) -> bool, with_end: bool, is_below_failure: bool) -> Value {
        let attributes =
            self.attributes.iter().filter(|(key, value)| !EXTENSIONS.contains(&key.as_str()) && keep(self, value));
        let attributes: BTreeMap<_, _> = attributes.map(|(key, value)| (key, plain(value))).collect();
        let is_failed = self.attributes.values().any(|value| value == "FAILED");
        let mut children: Vec<_> = self.children.iter().map(|child| child.value(keep, with_end, is_failed)).collect();
        children.sort_by_cached_key(Value::to_string);
        // An end before the start, and a status other than Flink's, are corrected.
        let is_corrected = self.times.len() == 2 && self.times[1].cast_signed() < self.times[0].cast_signed();
        let count = if with_end || !is_corrected { self.times.len() } else { 1 };
        // A task of a failed checkpoint ends with it, if no subtask acknowledged.
        let is_unacknowledged = is_below_failure && self.name == "Checkpoint_Task" && self.children.is_empty();
        let count = if !with_end && (is_failed || is_unacknowledged) { 1 } else { count };
        let severity = if with_end { &self.texts[..] } else { &self.texts[..self.texts.len().min(1)] };
        json!([self.scope, self.name, self.times[..count], attributes, severity, children])
    }
}

/// Returns a value in the form of a collector, in which `null` is text.
fn plain(value: &Value) -> Value {
    if value.is_null() { "null".into() } else { value.clone() }
}

fn counts(texts: impl Iterator<Item = String>) -> Counts {
    texts.fold(Counts::new(), |mut counts, text| {
        *counts.entry(text).or_default() += 1;
        counts
    })
}

/// Returns all records of the files in `folder`.
pub(super) fn witnessed(folder: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for file in fs::read_dir(folder)? {
        for line in fs::read_to_string(file?.path())?.lines() {
            let value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
            records.push(witnessed_record(&value).with_context(|| format!("unexpected record: {line}"))?);
        }
    }
    Ok(records)
}

fn witnessed_record(value: &Value) -> Option<Record> {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let nanos = |key: &str| Some(value[key].as_i64()?.saturating_mul(1_000_000).cast_unsigned());
    let attributes = value["attributes"].as_object()?.iter().map(|(key, value)| (stripped(key), value.clone()));
    let is_event = value["children"].is_null();
    let times = if is_event { vec![nanos("observed")?] } else { vec![nanos("start")?, nanos("end")?] };
    let children = value["children"].as_array().into_iter().flatten();
    Some(Record {
        scope: text("scope"),
        name: text("name"),
        times,
        attributes: attributes.collect(),
        texts: if is_event { vec![text("body"), text("severity")] } else { Vec::new() },
        children: children.map(witnessed_record).collect::<Option<_>>()?,
        id: None,
    })
}

/// Returns a key without the angle brackets of Flink's variables.
fn stripped(key: &str) -> String {
    key.strip_prefix('<').and_then(|key| key.strip_suffix('>')).unwrap_or(key).to_owned()
}

/// Returns all records of a collector.
pub(super) fn received(collector: &OtlpCollector) -> Vec<Record> {
    let spans = collector.spans();
    let mut children: BTreeMap<&[u8], Vec<&ReceivedSpan>> = BTreeMap::new();
    for span in spans.iter() {
        children.entry(span.parent_span_id()).or_default().push(span);
    }
    let roots = children.get(&[][..]).into_iter().flatten();
    let mut records: Vec<_> = roots.map(|root| received_span(root, &children)).collect();
    records.extend(collector.events().iter().map(received_event));
    records
}

fn received_span(span: &ReceivedSpan, children: &BTreeMap<&[u8], Vec<&ReceivedSpan>>) -> Record {
    let below = children.get(span.span_id()).into_iter().flatten();
    Record {
        scope: span.scope().to_owned(),
        name: span.name().to_owned(),
        times: vec![span.start_time_unix_nano(), span.end_time_unix_nano()],
        attributes: span.attributes(),
        texts: Vec::new(),
        children: below.map(|child| received_span(child, children)).collect(),
        id: Some(hex(span.trace_id()) + &hex(span.span_id())),
    }
}

fn received_event(event: &ReceivedEvent) -> Record {
    let attributes = event.attributes();
    let text = |key: &str| attributes.get(key).and_then(Value::as_str).map(str::to_owned);
    Record {
        scope: event.scope().to_owned(),
        name: text("name").unwrap_or_default(),
        times: vec![event.observed_time_unix_nano()],
        texts: vec![event.body().as_str().unwrap_or_default().to_owned(), event.severity_text().to_owned()],
        children: Vec::new(),
        id: text("log.record.uid"),
        attributes,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the numbers of spans and events by name.
pub(super) fn count(records: &[Record]) -> String {
    fn add<'a>(records: &'a [Record], counts: &mut BTreeMap<&'a str, usize>) {
        for record in records {
            *counts.entry(&record.name).or_default() += 1;
            add(&record.children, counts);
        }
    }
    let mut counts = BTreeMap::new();
    add(records, &mut counts);
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// Requires that both sides have the same records the same number of times.
pub(super) fn compare(title: &str, expected: &Counts, found: &Counts) -> Result<()> {
    let lacks = |of: &Counts, other: &Counts| -> Vec<String> {
        let missing = of.iter().filter(|(key, count)| other.get(*key).is_none_or(|found| found < *count));
        missing.map(|(key, _)| key.clone()).collect()
    };
    let (missing, unexpected) = (lacks(expected, found), lacks(found, expected));
    let all: usize = expected.values().sum();
    println!("  {title}: {all} records expected, {} missing, {} unexpected", missing.len(), unexpected.len());
    for (sign, records) in [("-", &missing), ("+", &unexpected)] {
        records.iter().take(5).for_each(|record| println!("    {sign} {record}"));
    }
    ensure!(missing.is_empty() && unexpected.is_empty(), "{title}: the records differ");
    Ok(())
}

/// Returns the ids of Flink's own records, by the name and the attributes that identify them.
pub(super) fn ids(records: &[Record]) -> BTreeMap<(String, String), String> {
    fn add(records: &[Record], root: &str, ids: &mut BTreeMap<(String, String), String>) {
        for record in records {
            let keys: &[&str] = match record.name.as_str() {
                "Checkpoint" => &["jobId", "checkpointId"],
                "Checkpoint_Task" => &["jobVertexId"],
                "Checkpoint_Subtask" => &["jobVertexId", "subtaskId"],
                "JobInitialization" if record.attributes.contains_key("checkpointId") => &["jobId", "checkpointId"],
                "JobStatusChangeEvent" => &["jobId", "newJobStatus"],
                _ => continue,
            };
            let values: Vec<_> = keys.iter().map(|key| format!("{:?}", record.attributes.get(*key))).collect();
            // An event has the time that `standard` gives it, and a restored job may start twice.
            let time = record.times.first().filter(|_| !record.name.starts_with("Checkpoint"));
            let key = format!("{root} {values:?} {time:?}");
            if let Some(id) = &record.id {
                ids.insert((record.name.clone(), key.clone()), id.clone());
            }
            add(&record.children, &key, ids);
        }
    }
    let mut all = BTreeMap::new();
    add(records, "", &mut all);
    all
}
