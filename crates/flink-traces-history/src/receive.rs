//! Records that OTLP brings, from a Collector, from Flink's own reporters or from this project's.

mod decode;

use std::collections::HashMap;
use std::fmt;

use flink_traces_api::{ConfigError, Identity, ReporterConfig, Signal, SpanContext, SpanId, TraceId, ValueRef};

use crate::HistoryReporterFactory;
use crate::batch::{Batch, key, row_of};
use crate::codec::{self, StoredRecord};
use crate::error::HistoryError;
use crate::item::{Item, Value, arranged};
use crate::pieces::{items, piece_key};
use crate::store::{Store, Written};
use decode::{CLUSTER, Malformed, Received, decode};

/// A writer of OTLP requests to a history.
///
/// It writes spans and log records of any source as the reporters of this crate write those of
/// their program. A record that is received again is one record.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{ReporterConfig, Signal};
/// use flink_traces_history::Receiver;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("history");
/// let path = path.to_str().ok_or("not UTF-8")?;
/// let config = ReporterConfig::from_pairs("history", [("path", path)]);
/// let mut receiver = Receiver::new(&config, Some("prod".to_owned()))?;
/// let taken = receiver.receive(Signal::Traces, b"", 1_795_230_917_000)?;
/// assert_eq!(taken.received(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Receiver {
    store: Store,
    cluster: Option<String>,
}

/// The numbers of records of a request, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The records that the history has.
    pub stored: usize,
    /// The records that are older than their retention.
    pub expired: usize,
    /// The records that were refused because nothing names their cluster.
    pub without_cluster: usize,
    /// The spans that were refused because their ids are invalid.
    pub invalid: usize,
}

impl Taken {
    /// Returns the number of all records.
    pub fn received(&self) -> usize {
        self.stored + self.expired + self.refused()
    }

    /// Returns the number of records that were refused.
    pub fn refused(&self) -> usize {
        self.without_cluster + self.invalid
    }
}

/// The reason why a request was not received.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The message is not OTLP. The same message will fail again.
    Malformed,
    /// The history cannot be written. The request may be sent again.
    History {
        /// The number of records in the request.
        records: usize,
        /// The error of the history.
        error: HistoryError,
    },
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the message is not an OTLP request in protobuf"),
            Self::History { error, .. } => error.fmt(f),
        }
    }
}

impl std::error::Error for ReceiveError {}

impl From<Malformed> for ReceiveError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The spans of one trace in a request.
#[derive(Default)]
struct Trace<'a> {
    items: Vec<Item<'a>>,
    links: HashMap<u64, SpanContext>,
}

impl Receiver {
    /// Creates a writer to the history of a reporter with these options.
    ///
    /// `cluster` is the cluster of records that do not name theirs by the attribute
    /// `flink.cluster.name`, nor does their resource.
    ///
    /// # Errors
    /// Fails if an option is missing or invalid, or if a newer version has written the history.
    pub fn new(config: &ReporterConfig, cluster: Option<String>) -> Result<Self, ConfigError> {
        Ok(Self { store: HistoryReporterFactory::store(config)?, cluster })
    }

    /// Writes a request in protobuf at `now_ms`, in milliseconds since the epoch.
    ///
    /// When it returns `Ok`, the records are committed, and those that are not are counted.
    ///
    /// # Errors
    /// Fails if the message is malformed or the history cannot be written.
    pub fn receive(&mut self, signal: Signal, message: &[u8], now_ms: i64) -> Result<Taken, ReceiveError> {
        let Self { store, cluster } = self;
        let records = decode(signal, message)?;
        let count = records.len();
        let mut taken = Taken::default();
        let mut batch = Batch::default();
        let mut traces: HashMap<TraceId, Trace<'_>> = HashMap::new();
        for record in records {
            match admitted(signal, record, cluster.as_deref(), &mut taken) {
                Some(record) if signal == Signal::Events => batch.add_event_item(&record.item, Some(identity(&record))),
                Some(Received { item, context: Some(context), link, .. }) => {
                    let trace = traces.entry(context.trace_id).or_default();
                    trace.links.extend(link.map(|link| (item.span_id, link)));
                    trace.items.push(item);
                }
                _ => {}
            }
        }
        let mut written = Written::default();
        let write = || {
            for (id, trace) in traces {
                let stored = store.trace(id.as_bytes(), earliest(&trace.items))?;
                add_trace(&mut batch, id, trace, &stored);
            }
            if batch.rows.is_empty() && batch.records.is_empty() {
                return Ok(());
            }
            store.write(batch, now_ms, &mut written)
        };
        write().map_err(|error| ReceiveError::History { records: count, error })?;
        (taken.stored, taken.expired) = (written.stored, written.expired);
        Ok(taken)
    }
}

/// Returns a record with the name of its cluster, unless it is refused.
///
/// A span with a parent belongs to the cluster of its root, unless it is a root of Flink's.
fn admitted<'a>(
    signal: Signal,
    mut record: Received<'a>,
    default_cluster: Option<&'a str>,
    taken: &mut Taken,
) -> Option<Received<'a>> {
    if signal == Signal::Traces && record.context.is_none() {
        taken.invalid += 1;
        return None;
    }
    let attributes = &mut record.item.attributes;
    match record.cluster.or(default_cluster) {
        Some(cluster) if attributes.iter().all(|(key, _)| *key != CLUSTER) => {
            attributes.push((CLUSTER, Value::Plain(ValueRef::String(cluster))));
        }
        None if record.item.parent_id == 0 || is_root(&record.item) => {
            taken.without_cluster += 1;
            return None;
        }
        _ => {}
    }
    Some(record)
}

/// Returns `true` for the root of a tree that Flink's tables have a row for.
fn is_root(item: &Item<'_>) -> bool {
    matches!(item.name, "Checkpoint" | "JobInitialization" | "Rescale")
}

fn earliest(items: &[Item<'_>]) -> i64 {
    items.iter().map(|item| item.start_ms).min().unwrap_or_default()
}

/// Adds a piece of a trace, and the rows that follow from it and from all that is known of the
/// trace.
fn add_trace(batch: &mut Batch, id: TraceId, trace: Trace<'_>, stored: &[Vec<u8>]) {
    let Trace { items: own, links } = trace;
    let known: Vec<Vec<StoredRecord>> = stored.iter().filter_map(|body| codec::decode(body)).collect();
    let count = own.len();
    let piece = arranged(own);
    batch.add_record(Some(piece_key(id.as_bytes(), &piece)), &piece, count);
    let all = if known.is_empty() {
        piece
    } else {
        arranged(known.iter().flat_map(|list| items(list)).chain(piece).collect())
    };
    for (index, root) in all.iter().enumerate().filter(|(_, item)| is_root(item)) {
        let below = all[index + 1..].iter().take_while(|item| item.depth > root.depth).count();
        let Some(span_id) = SpanId::from_bytes(root.span_id.to_be_bytes()) else { continue };
        let trace = key(SpanContext { trace_id: id, span_id });
        let mut tree = all[index..=index + below].to_vec();
        tree.iter_mut().for_each(|item| item.depth -= root.depth);
        batch.rows.extend(row_of(&tree, &trace, links.get(&root.span_id).copied(), 0));
    }
}

/// Returns the identity of an event without a uid: a hash of its fields.
fn identity(event: &Received<'_>) -> Identity {
    let Received { item, times, .. } = event;
    let times = times.map(|time| time.to_string());
    let mut attributes: Vec<_> = item.attributes.iter().map(|(key, value)| (*key, value.get().to_string())).collect();
    attributes.sort_unstable();
    let mut parts = vec![item.name, item.scope, item.severity, item.text, &times[0], &times[1]];
    parts.extend(attributes.iter().flat_map(|(key, value)| [*key, value.as_str()]));
    Identity::of(&parts)
}
