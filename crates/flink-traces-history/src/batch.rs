//! The rows that spans and events become.

use flink_traces_api::{Identity, RECORD_UID, ReportedEvent, ReportedSpan, SpanContext};

use crate::codec::encode;
use crate::fingerprint::fingerprint;
use crate::item::{Fields, Item, item_of, items_of, shortened};

/// The maximum length of a message in a row, in characters.
const MAX_MESSAGE: usize = 1_000;
/// The maximum length of a stack trace, in characters.
const MAX_STACKTRACE: usize = 8_000;
/// The maximum length of a name, in characters.
const MAX_NAME: usize = 1_000;

/// The rows of a batch of records.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<Row>,
    pub(crate) records: Vec<DayRecord>,
}

/// A tree or an event for the file of its day.
#[derive(Debug)]
pub(crate) struct DayRecord {
    /// The time that selects the day, in milliseconds since the epoch.
    pub(crate) at_ms: i64,
    /// The identity, by which duplicates are one record.
    pub(crate) uid: Option<Vec<u8>>,
    pub(crate) name: String,
    /// The number of spans or events.
    pub(crate) size: usize,
    pub(crate) body: Vec<u8>,
    /// The number of records that are delivered with it. It is 0 if a row has them, too.
    pub(crate) counts: usize,
}

/// A row of `history.db`.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) at_ms: i64,
    pub(crate) cluster: String,
    pub(crate) job_name: String,
    pub(crate) job_id: String,
    /// The number of records that are delivered with it.
    pub(crate) counts: usize,
    pub(crate) fact: Fact,
}

/// The content of a row.
#[derive(Debug)]
pub(crate) enum Fact {
    Checkpoint(Box<Checkpoint>),
    Recovery(Recovery),
    State(String),
    Failure(Box<Failure>),
    Missed {
        uid: String,
        first_id: i64,
        last_id: i64,
        count: i64,
    },
    Seen {
        reachable: bool,
        jobs: Option<i64>,
    },
    Settings {
        interval_ms: Option<i64>,
        timeout_ms: Option<i64>,
    },
    /// The record says nothing that another does not say.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) checkpoint_id: i64,
    pub(crate) failed: bool,
    /// `None` for an ordinary checkpoint.
    pub(crate) kind: Option<String>,
    pub(crate) duration_ms: i64,
    pub(crate) full_size: Option<i64>,
    pub(crate) checkpointed_size: Option<i64>,
    pub(crate) unaligned: Option<bool>,
    pub(crate) incomplete: Option<bool>,
    pub(crate) failure: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) interval_ms: Option<i64>,
    pub(crate) timeout_ms: Option<i64>,
    pub(crate) critical: Option<Critical>,
    /// The key of its tree.
    pub(crate) trace: Vec<u8>,
}

/// The subtask that acknowledged last, with its phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Critical {
    pub(crate) task: String,
    pub(crate) subtask: Option<i64>,
    pub(crate) host: Option<String>,
    /// The time from the trigger to its acknowledgement, in milliseconds.
    pub(crate) ack_ms: i64,
    /// The start delay, the alignment, the synchronous and the asynchronous part, in milliseconds.
    pub(crate) phases: [Option<i64>; 4],
}

#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) end_ms: i64,
    pub(crate) failed: bool,
    pub(crate) checkpoint_id: Option<i64>,
    pub(crate) full_size: Option<i64>,
    /// The key of the restored checkpoint's tree.
    pub(crate) restored: Option<Vec<u8>>,
    /// The key of its tree.
    pub(crate) trace: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) uid: String,
    pub(crate) fingerprint: String,
    pub(crate) exception: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) stacktrace: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) can_restart: Option<bool>,
}

impl Fields<'_> {
    /// Returns the row of a job, or `None` if the record belongs to no job.
    fn row(&self, at_ms: i64, counts: usize, fact: Fact) -> Option<Row> {
        let job_id = self.text("jobId").or_else(|| self.text("job_id"))?;
        let job_id = shortened(job_id, MAX_NAME).into_owned();
        let job_name = self.owned("job_name", MAX_NAME).unwrap_or_else(|| job_id.clone());
        Some(Row { at_ms, cluster: self.cluster(), job_name, job_id, counts, fact })
    }

    fn cluster(&self) -> String {
        self.owned("flink.cluster.name", MAX_NAME).unwrap_or_default()
    }
}

impl Batch {
    /// Adds a span tree. Trees that are not Flink's are kept as they are.
    pub(crate) fn add_span(&mut self, span: &ReportedSpan) {
        let (root, items) = (span.root(), items_of(span));
        let trace = key(SpanContext { trace_id: root.trace_id(), span_id: root.span_id() });
        let row = row_of(&items, &trace, root.links().next(), items.len());
        let has_children = items.len() > 1;
        if row.is_none() || has_children {
            let counts = if row.is_some() { 0 } else { items.len() };
            self.add_record(Some(trace), &items, counts);
        }
        self.rows.extend(row);
    }

    /// Adds items as they are, which count as that many records.
    pub(crate) fn add_record(&mut self, uid: Option<Vec<u8>>, items: &[Item<'_>], counts: usize) {
        let Some(first) = items.first() else { return };
        self.records.push(DayRecord {
            at_ms: first.start_ms,
            uid,
            name: shortened(first.name, MAX_NAME).into_owned(),
            size: items.len(),
            body: encode(items),
            counts,
        });
    }

    /// Adds an event. Events that are not Flink's are kept as they are.
    pub(crate) fn add_event(&mut self, event: &ReportedEvent) {
        self.add_event_item(&item_of(event), None);
    }

    /// Adds an event, with an identity that it has if it has no uid.
    pub(crate) fn add_event_item(&mut self, event: &Item<'_>, identity: Option<Identity>) {
        let fields = Fields::new(event);
        let uid = fields.text(RECORD_UID);
        let hashed = identity.filter(|_| uid.is_none()).map(|identity| format!("{HASHED}{}", identity.trace_id()));
        let at_ms = event.start_ms;
        let row = match (event.name, uid) {
            // The span says all of it.
            ("CheckpointEvent", Some(_)) if fields.number("checkpointId").is_some() => {
                fields.row(at_ms, 1, Fact::Nothing)
            }
            ("JobStatusChangeEvent", _) => {
                fields.owned("newJobStatus", 100).and_then(|status| fields.row(at_ms, 1, Fact::State(status)))
            }
            ("AllSubtasksStatusChangeEvent", _) => {
                fields.owned("status", 100).and_then(|status| fields.row(at_ms, 1, Fact::State(status)))
            }
            ("JobVanishedEvent", _) => fields.row(at_ms, 1, Fact::State(vanished(&fields).to_owned())),
            ("JobFailureEvent", uid) => uid
                .or(hashed.as_deref())
                .and_then(|uid| fields.row(at_ms, 1, Fact::Failure(Box::new(failure(&fields, uid))))),
            ("CheckpointsMissedEvent", Some(uid)) => missed(&fields, uid).and_then(|fact| fields.row(at_ms, 1, fact)),
            ("JobObservedEvent", _) => {
                let (interval_ms, timeout_ms) =
                    (fields.number("checkpointIntervalMs"), fields.number("checkpointTimeoutMs"));
                fields.row(at_ms, 1, Fact::Settings { interval_ms, timeout_ms })
            }
            ("ObservationEvent", _) => seen(&fields, at_ms, true, fields.number("jobs")),
            ("ClusterReachableEvent", _) => seen(&fields, at_ms, true, None),
            ("ClusterUnreachableEvent", _) => seen(&fields, at_ms, false, None),
            _ => None,
        };
        match row {
            Some(row) => self.rows.push(row),
            None => {
                let uid = uid.or(hashed.as_deref()).map(|uid| uid.as_bytes().to_vec());
                self.add_record(uid, std::slice::from_ref(event), 1);
            }
        }
    }
}

/// The beginning of the uid of an event that its reporter gave none.
pub(crate) const HASHED: &str = "fields:";

/// Returns the row of a tree, or `None` if Flink's tables have none for it.
///
/// `trace` is the key of the tree, `link` the first link of its root, and `counts` the number of
/// records that are delivered with the row.
pub(crate) fn row_of(items: &[Item<'_>], trace: &[u8], link: Option<SpanContext>, counts: usize) -> Option<Row> {
    let root = items.first()?;
    match root.name {
        "Checkpoint" => checkpoint(items, trace, counts),
        "JobInitialization" => recovery(root, trace, link, counts),
        _ => None,
    }
}

fn checkpoint(items: &[Item<'_>], trace: &[u8], counts: usize) -> Option<Row> {
    let root = items.first()?;
    let fields = Fields::new(root);
    let checkpoint_id = fields.number("checkpointId")?;
    let status = fields.text("checkpointStatus")?;
    let failure = Some(root.text).filter(|_| root.is_failed).or_else(|| fields.text("failureMessage"));
    let checkpoint = Checkpoint {
        checkpoint_id,
        failed: status != "COMPLETED",
        kind: fields.owned("checkpointType", 100).filter(|kind| kind != "Checkpoint"),
        duration_ms: root.end_ms.saturating_sub(root.start_ms).max(0),
        full_size: fields.number("fullSize"),
        checkpointed_size: fields.number("checkpointedSize"),
        unaligned: fields.flag("isUnaligned"),
        incomplete: fields.flag("isIncomplete"),
        failure: failure.map(|message| shortened(message, MAX_MESSAGE).into_owned()),
        path: fields.owned("externalPath", MAX_NAME),
        interval_ms: fields.number("checkpointIntervalMs"),
        timeout_ms: fields.number("checkpointTimeoutMs"),
        critical: critical(items),
        trace: trace.to_vec(),
    };
    fields.row(root.start_ms, counts, Fact::Checkpoint(Box::new(checkpoint)))
}

/// Returns the key of a tree: the trace, and the root if the trace may have several trees.
///
/// That is so for a tree with a parent. The id of any other root follows from that of its trace.
pub(crate) fn key(root: SpanContext) -> Vec<u8> {
    let mut key = root.trace_id.as_bytes().to_vec();
    if root.span_id != root.trace_id.root_span_id() {
        key.extend(root.span_id.as_bytes());
    }
    key
}

/// Returns the subtask that acknowledged last, or the task if there are no subtasks.
fn critical(items: &[Item<'_>]) -> Option<Critical> {
    let root = items.first()?;
    let mut last: Option<(&Item<'_>, Option<&Item<'_>>)> = None;
    let end_ms = |(task, subtask): (&Item<'_>, Option<&Item<'_>>)| subtask.unwrap_or(task).end_ms;
    let mut task = None;
    let mut consider = |candidate| {
        // Of several with the same time, it is the last.
        if last.is_none_or(|last| end_ms(candidate) >= end_ms(last)) {
            last = Some(candidate);
        }
    };
    for (index, item) in items.iter().enumerate() {
        match (item.depth, item.name) {
            (1, "Checkpoint_Task") => {
                task = Some(item);
                if items.get(index + 1).is_none_or(|next| next.depth <= 1) {
                    consider((item, None));
                }
            }
            (1, _) => task = None,
            (2, "Checkpoint_Subtask") => {
                if let Some(task) = task {
                    consider((task, Some(item)));
                }
            }
            _ => {}
        }
    }
    let (task, subtask) = last?;
    let of_task = Fields::new(task);
    let name = of_task.owned("taskName", MAX_NAME).or_else(|| of_task.owned("jobVertexId", MAX_NAME));
    let fields = subtask.map(Fields::new);
    let number = |key: &str| fields.as_ref().and_then(|fields| fields.number(key)).map(|number| number.max(0));
    Some(Critical {
        task: name.unwrap_or_default(),
        subtask: number("subtaskId"),
        host: subtask.and_then(|subtask| host(root, subtask)).map(|host| shortened(host, MAX_NAME).into_owned()),
        ack_ms: subtask.unwrap_or(task).end_ms.saturating_sub(root.start_ms).max(0),
        phases: [
            "CheckpointStartDelayMs",
            "AlignmentDurationMs",
            "SyncCheckpointDurationMs",
            "AsyncCheckpointDurationMs",
        ]
        .map(number),
    })
}

/// Returns the host of a subtask.
///
/// The variable `<host>` is the host of the JobManager, which OTLP calls `host`, too. So what root
/// and subtask have in common is not the host of the subtask.
pub(crate) fn host<'a>(root: &'a Item<'_>, subtask: &'a Item<'_>) -> Option<&'a str> {
    let own = |item: &'a Item<'_>| match item.attributes.iter().find(|(key, _)| *key == "host")?.1.get() {
        flink_traces_api::ValueRef::String(host) => Some(host),
        _ => None,
    };
    own(subtask).filter(|host| own(root) != Some(host))
}

fn recovery(root: &Item<'_>, trace: &[u8], link: Option<SpanContext>, counts: usize) -> Option<Row> {
    let fields = Fields::new(root);
    let status = fields.text("initializationStatus")?;
    let recovery = Recovery {
        end_ms: root.end_ms.max(root.start_ms),
        failed: status != "COMPLETED",
        checkpoint_id: fields.number("checkpointId"),
        full_size: fields.number("fullSize"),
        restored: link.map(key),
        trace: trace.to_vec(),
    };
    fields.row(root.start_ms, counts, Fact::Recovery(recovery))
}

fn failure(fields: &Fields<'_>, uid: &str) -> Failure {
    let exception = fields.owned("exception.type", MAX_NAME);
    let message = fields.owned("exception.message", MAX_MESSAGE);
    let stacktrace = fields.owned("exception.stacktrace", MAX_STACKTRACE);
    Failure {
        uid: uid.to_owned(),
        fingerprint: fingerprint(exception.as_deref(), message.as_deref(), stacktrace.as_deref()),
        exception,
        message,
        stacktrace,
        task: fields.owned("taskName", MAX_NAME),
        endpoint: fields.owned("endpoint", MAX_NAME),
        can_restart: fields.flag("canRestart"),
    }
}

/// Returns the status of a job that its cluster does not show any more.
fn vanished(fields: &Fields<'_>) -> &'static str {
    match fields.text("outcome") {
        Some("RETURNED") => "RETURNED",
        Some("GONE") => "GONE",
        _ => "VANISHED",
    }
}

fn missed(fields: &Fields<'_>, uid: &str) -> Option<Fact> {
    let (first_id, last_id) = (fields.number("firstCheckpointId")?, fields.number("lastCheckpointId")?);
    Some(Fact::Missed { uid: uid.to_owned(), first_id, last_id, count: fields.number("missedCheckpoints")? })
}

fn seen(fields: &Fields<'_>, at_ms: i64, reachable: bool, jobs: Option<i64>) -> Option<Row> {
    let cluster = fields.text("flink.cluster.name").map(|_| fields.cluster())?;
    let fact = Fact::Seen { reachable, jobs };
    Some(Row { at_ms, cluster, job_name: String::new(), job_id: String::new(), counts: 1, fact })
}
