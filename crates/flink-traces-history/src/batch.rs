//! The rows that spans and events become.

use std::borrow::Cow;

use flink_traces_api::{RECORD_UID, ReportedEvent, ReportedSpan, SpanContext, SpanRef, ValueRef, strip_angle_brackets};

use crate::codec::{encode_event, encode_span};
use crate::fingerprint::fingerprint;

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

/// The attributes of a record, without angle brackets. The last of a key wins.
struct Fields<'a>(Vec<(&'a str, ValueRef<'a>)>);

impl<'a> Fields<'a> {
    fn new(attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> Self {
        Self(attributes.map(|(key, value)| (strip_angle_brackets(key), value)).collect())
    }

    fn get(&self, key: &str) -> Option<ValueRef<'a>> {
        self.0.iter().rev().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    fn number(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            ValueRef::Long(number) => Some(number),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        match self.get(key)? {
            ValueRef::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the truth value, which Flink writes as text.
    fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            ValueRef::Bool(flag) => Some(flag),
            ValueRef::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn owned(&self, key: &str, limit: usize) -> Option<String> {
        self.text(key).map(|text| shortened(text, limit).into_owned())
    }

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

/// Returns at most `limit` characters of `text`.
fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

impl Batch {
    /// Adds a span tree. Trees that are not Flink's are kept as they are.
    pub(crate) fn add_span(&mut self, span: &ReportedSpan) {
        let (root, size) = (span.root(), span.span_count());
        let fields = Fields::new(root.attributes());
        let row = match root.name() {
            "Checkpoint" => checkpoint(root, &fields, size),
            "JobInitialization" => recovery(root, &fields, size),
            _ => None,
        };
        let has_children = size > 1;
        if row.is_none() || has_children {
            self.records.push(DayRecord {
                at_ms: root.start_ts_millis(),
                uid: Some(key_of(root)),
                name: shortened(root.name(), MAX_NAME).into_owned(),
                size,
                body: encode_span(span),
                counts: if row.is_some() { 0 } else { size },
            });
        }
        self.rows.extend(row);
    }

    /// Adds an event. Events that are not Flink's are kept as they are.
    pub(crate) fn add_event(&mut self, event: &ReportedEvent) {
        let fields = Fields::new(event.attributes());
        let uid = fields.text(RECORD_UID);
        let at_ms = event.ts_millis();
        let row = match (event.name(), uid) {
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
            ("JobFailureEvent", Some(uid)) => fields.row(at_ms, 1, Fact::Failure(Box::new(failure(&fields, uid)))),
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
            None => self.records.push(DayRecord {
                at_ms,
                uid: uid.map(|uid| uid.as_bytes().to_vec()),
                name: shortened(event.name(), MAX_NAME).into_owned(),
                size: 1,
                body: encode_event(event),
                counts: 1,
            }),
        }
    }
}

fn checkpoint(root: SpanRef<'_>, fields: &Fields<'_>, size: usize) -> Option<Row> {
    let checkpoint_id = fields.number("checkpointId")?;
    let status = fields.text("checkpointStatus")?;
    let (start, end) = (root.start_ts_millis(), root.end_ts_millis());
    let failure = root.failure().map(|failure| failure.message.as_str()).or_else(|| fields.text("failureMessage"));
    let checkpoint = Checkpoint {
        checkpoint_id,
        failed: status != "COMPLETED",
        kind: fields.owned("checkpointType", 100).filter(|kind| kind != "Checkpoint"),
        duration_ms: end.saturating_sub(start).max(0),
        full_size: fields.number("fullSize"),
        checkpointed_size: fields.number("checkpointedSize"),
        unaligned: fields.flag("isUnaligned"),
        incomplete: fields.flag("isIncomplete"),
        failure: failure.map(|message| shortened(message, MAX_MESSAGE).into_owned()),
        path: fields.owned("externalPath", MAX_NAME),
        interval_ms: fields.number("checkpointIntervalMs"),
        timeout_ms: fields.number("checkpointTimeoutMs"),
        critical: critical(root),
        trace: key_of(root),
    };
    fields.row(start, size, Fact::Checkpoint(Box::new(checkpoint)))
}

/// Returns the key of a tree: the trace, and the root if the trace may have several trees.
///
/// That is so for a tree with a parent. The id of any other root follows from that of its trace.
fn key(root: SpanContext) -> Vec<u8> {
    let mut key = root.trace_id.as_bytes().to_vec();
    if root.span_id != root.trace_id.root_span_id() {
        key.extend(root.span_id.as_bytes());
    }
    key
}

fn key_of(root: SpanRef<'_>) -> Vec<u8> {
    key(SpanContext { trace_id: root.trace_id(), span_id: root.span_id() })
}

/// Returns the subtask that acknowledged last, or the task if there are no subtasks.
fn critical(root: SpanRef<'_>) -> Option<Critical> {
    let tasks = root.children().filter(|task| task.name() == "Checkpoint_Task");
    let (task, subtask) = tasks
        .flat_map(|task| {
            let subtasks = task.children().filter(|subtask| subtask.name() == "Checkpoint_Subtask");
            let alone = (task.children().len() == 0).then_some((task, None));
            subtasks.map(move |subtask| (task, Some(subtask))).chain(alone)
        })
        .max_by_key(|(task, subtask)| subtask.unwrap_or(*task).end_ts_millis())?;
    let of_task = Fields::new(task.attributes());
    let name = of_task.owned("taskName", MAX_NAME).or_else(|| of_task.owned("jobVertexId", MAX_NAME));
    let fields = subtask.map(|subtask| Fields::new(subtask.attributes()));
    // The variable `<host>` is the host of the JobManager.
    let host = subtask.and_then(|subtask| subtask.attributes().find(|(key, _)| *key == "host")).map(|(_, value)| value);
    let number = |key: &str| fields.as_ref().and_then(|fields| fields.number(key)).map(|number| number.max(0));
    Some(Critical {
        task: name.unwrap_or_default(),
        subtask: number("subtaskId"),
        host: host.map(|host| shortened(&host.to_string(), MAX_NAME).into_owned()),
        ack_ms: subtask.unwrap_or(task).end_ts_millis().saturating_sub(root.start_ts_millis()).max(0),
        phases: [
            "CheckpointStartDelayMs",
            "AlignmentDurationMs",
            "SyncCheckpointDurationMs",
            "AsyncCheckpointDurationMs",
        ]
        .map(number),
    })
}

fn recovery(root: SpanRef<'_>, fields: &Fields<'_>, size: usize) -> Option<Row> {
    let status = fields.text("initializationStatus")?;
    let recovery = Recovery {
        end_ms: root.end_ts_millis().max(root.start_ts_millis()),
        failed: status != "COMPLETED",
        checkpoint_id: fields.number("checkpointId"),
        full_size: fields.number("fullSize"),
        restored: root.links().next().map(key),
        trace: key_of(root),
    };
    fields.row(root.start_ts_millis(), size, Fact::Recovery(recovery))
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
