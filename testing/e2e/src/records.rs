//! The spans and events that a collector received.

use std::collections::{BTreeMap, BTreeSet};

use flink_traces_testkit::{OtlpCollector, ReceivedEvent, ReceivedSpan};

/// A checkpoint by the id of its job, its own id and its trigger time.
///
/// Ids continue after a failover, but one that died with its JobManager may be used again.
pub(crate) type Checkpoint = (String, i64, i64);
/// A trace id and a span id.
pub(crate) type SpanId = (Vec<u8>, Vec<u8>);

/// Everything that arrived.
pub(crate) struct Records {
    pub(crate) spans: Vec<ReceivedSpan>,
    pub(crate) events: Vec<ReceivedEvent>,
}

impl Records {
    /// Returns what a collector received.
    pub(crate) fn of(collector: &OtlpCollector) -> Self {
        Self { spans: collector.spans(), events: collector.events() }
    }

    /// Returns the ids of all spans.
    pub(crate) fn span_ids(&self) -> BTreeSet<(&[u8], &[u8])> {
        self.spans.iter().map(|span| (span.trace_id(), span.span_id())).collect()
    }

    /// Returns the spans that arrived again with other content, each as it was and as it is.
    pub(crate) fn changed(&self) -> Vec<String> {
        let mut known = BTreeMap::new();
        let mut changed = Vec::new();
        for span in &self.spans {
            let plain = span.plain().to_string();
            let earlier = known.insert((span.trace_id(), span.span_id()), plain.clone());
            changed
                .extend(earlier.filter(|earlier| *earlier != plain).map(|earlier| format!("{earlier}, now {plain}")));
        }
        changed
    }

    /// Returns the ids of all spans of each checkpoint.
    pub(crate) fn checkpoints(&self) -> BTreeMap<Checkpoint, BTreeSet<SpanId>> {
        let mut all: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for span in self.spans.iter().filter(|span| span.name() == "Checkpoint") {
            let attributes = span.attributes();
            let job = attributes.get("jobId").or_else(|| attributes.get("job_id")).and_then(|id| id.as_str());
            let (Some(job), Some(id)) = (job, attributes.get("checkpointId").and_then(serde_json::Value::as_i64))
            else {
                continue;
            };
            let trigger = i64::try_from(span.start_time_unix_nano() / 1_000_000).unwrap_or(i64::MAX);
            let ids = (span.trace_id().to_vec(), span.span_id().to_vec());
            all.entry((job.to_owned(), id, trigger)).or_default().insert(ids);
        }
        all
    }

    /// Returns the starts of all initializations, in milliseconds, with the restored checkpoint.
    pub(crate) fn initializations(&self) -> BTreeMap<u64, Option<i64>> {
        let all = self.spans.iter().filter(|span| span.name() == "JobInitialization");
        let restored = |span: &ReceivedSpan| span.attributes().get("checkpointId").and_then(serde_json::Value::as_i64);
        all.map(|span| (span.start_time_unix_nano() / 1_000_000, restored(span))).collect()
    }

    /// Returns the number of spans whose parent did not arrive.
    pub(crate) fn orphans(&self) -> usize {
        let ids = self.span_ids();
        let has_parent = |span: &&ReceivedSpan| !span.parent_span_id().is_empty();
        let children = self.spans.iter().filter(has_parent);
        children.filter(|span| !ids.contains(&(span.trace_id(), span.parent_span_id()))).count()
    }

    /// Returns the checkpoints with more than one span id, and the events with more than one uid.
    pub(crate) fn doubles(&self) -> Vec<String> {
        let checkpoints = self.checkpoints().into_iter().filter(|(_, ids)| ids.len() > 1);
        let events = self.uids().into_iter().filter(|(_, uids)| uids.len() > 1);
        checkpoints
            .map(|(checkpoint, _)| format!("{checkpoint:?}"))
            .chain(events.map(|(happening, _)| happening))
            .collect()
    }

    /// Returns the unique ids of the events of each happening: its name, job, time and status.
    fn uids(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut all: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for event in &self.events {
            let attributes = event.attributes();
            let Some(uid) = attributes.get("log.record.uid").and_then(|uid| uid.as_str()) else { continue };
            let identity = ["name", "flink.cluster.name", "jobId", "checkpointId", "newJobStatus", "status"]
                .map(|key| attributes.get(key));
            let happening = format!("{identity:?} at {}", event.time_unix_nano());
            all.entry(happening).or_default().insert(uid.to_owned());
        }
        all
    }
}
