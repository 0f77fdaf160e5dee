//! The bytes in which the Java side passes a record to the Rust side.
//!
//! ```text
//! record     = version:u8 (2)  kind:u8 (1 span, 2 event)  body
//! span       = scope:known name:known start:i64 end:i64 attributes children:varint span*
//! event      = scope:known name:known observed:i64 body:text severity:text attributes
//! attributes = count:varint (key:known value)*
//! value      = 0 null | 1 known | 2 i64 | 3 f64 | 4 true | 5 false
//! known      = 0 null | 1 text | 2 text, which gets the next reference | reference:u8 (from 3)
//! text       = varint (0 null, otherwise the length + 1) UTF-8
//! varint     = groups of seven bits, the lowest first, of a number below 2^32
//! ```
//!
//! Integers are little-endian. The first text of a record with a 2 before it has the reference 3,
//! the next one 4. Such a text takes at most 127 bytes, so the memory of a record follows from its
//! size. A span precedes its children, and reading does not recurse, so a
//! tree can have any depth. `testdata/wire.txt` has examples that both sides check.

use std::fmt;

use flink_traces_api::{Event, EventBuilder, Failure, Identity, JOB_ID, Span, SpanBuilder, Text, ValueRef};
use flink_traces_runtime::JobIdentity;
use flink_traces_runtime::job::CLUSTER_NAME;

/// The version of the format.
const VERSION: u8 = 2;
const KIND_SPAN: u8 = 1;
const KIND_EVENT: u8 = 2;
/// The first reference to a text.
const FIRST_REFERENCE: u8 = 3;
/// The size of the largest encoded text with a reference.
const MAX_REFERRED: usize = 127;
/// The size of the smallest encoded span.
const SMALLEST_SPAN: usize = 20;

/// The scope of Flink's own checkpoint and initialization spans.
const TRACKER_SCOPE: &str = "org.apache.flink.runtime.checkpoint.CheckpointStatsTracker";
/// The scope of Flink's own `JobStatusChangeEvent`.
const JOB_MASTER_SCOPE: &str = "org.apache.flink.runtime.jobmaster.JobMaster";

/// A decoded record.
#[derive(Debug)]
pub enum Record {
    /// A span with its descendants.
    Span(SpanBuilder),
    /// An event.
    Event(EventBuilder),
}

/// The error of bytes that are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// The description.
    pub problem: &'static str,
    /// The index of the first byte that was not read.
    pub position: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.problem, self.position)
    }
}

impl std::error::Error for Malformed {}

/// Decodes a record.
///
/// Flink's own records get the identities that an observer of the cluster `cluster` gives them. An
/// empty name is that of a cluster without a name. `now` is the time of a failure without a time,
/// in milliseconds since the epoch.
///
/// # Errors
///
/// Returns an error if `bytes` are not exactly one record.
pub fn decode(bytes: &[u8], cluster: &str, now: i64) -> Result<Record, Malformed> {
    let mut reader = Reader::new(bytes);
    let record = match reader.kind()? {
        KIND_SPAN => Record::Span(reader.tree(cluster, now)?),
        _ => Record::Event(reader.event(cluster)?),
    };
    if reader.position == bytes.len() { Ok(record) } else { Err(reader.malformed("bytes left over")) }
}

/// Returns the scope and the name of the record that begins with `bytes`, as far as they are there.
#[must_use]
pub fn title(bytes: &[u8]) -> Option<(&str, &str)> {
    let mut reader = Reader::new(bytes);
    reader.kind().ok()?;
    let (scope, name) = (reader.known().ok()?, reader.known().ok()?);
    Some((scope.unwrap_or_default(), name.unwrap_or_default()))
}

/// Reads a list of texts, such as the options of a reporter.
///
/// # Errors
///
/// Returns an error if `bytes` are not a list of texts.
pub fn texts(bytes: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut texts = Vec::new();
    while reader.position < bytes.len() {
        texts.push(reader.text()?.unwrap_or_default().to_owned());
    }
    Ok(texts)
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    /// The texts that have references, from the first one on.
    referred: Vec<&'a str>,
}

/// A span whose children are not complete.
struct Open {
    span: SpanBuilder,
    expected: usize,
    children: Vec<SpanBuilder>,
}

/// The attributes by which Flink's own records are identified.
#[derive(Default)]
struct Facts<'a> {
    job_id: Option<&'a str>,
    checkpoint_id: Option<i64>,
    job_vertex_id: Option<&'a str>,
    subtask_id: Option<i64>,
    status: Option<&'a str>,
}

impl<'a> Facts<'a> {
    fn note(&mut self, key: &str, value: ValueRef<'a>) {
        match (key, value) {
            (JOB_ID, ValueRef::String(id)) => self.job_id = Some(id),
            ("checkpointId", ValueRef::Long(id)) => self.checkpoint_id = Some(id),
            ("jobVertexId", ValueRef::String(id)) => self.job_vertex_id = Some(id),
            ("subtaskId", ValueRef::Long(id)) => self.subtask_id = Some(id),
            ("checkpointStatus" | "initializationStatus" | "newJobStatus", ValueRef::String(status)) => {
                self.status = Some(status);
            }
            _ => {}
        }
    }

    fn job<'b>(&'b self, cluster: &'b str) -> Option<JobIdentity<'b>> {
        Some(JobIdentity { cluster, job_id: self.job_id? })
    }

    /// Returns the identity of one of Flink's own spans.
    fn span_identity(&self, name: &str, start: i64, cluster: &str) -> Option<Identity> {
        match name {
            "Checkpoint" => Some(self.job(cluster)?.checkpoint(self.checkpoint_id?, start)),
            "JobInitialization" => Some(self.job(cluster)?.initialization(self.checkpoint_id, start)),
            "Checkpoint_Task" => Some(Identity::of(&[self.job_vertex_id?])),
            "Checkpoint_Subtask" => Some(Identity::numbered(self.subtask_id?.cast_unsigned())),
            _ => None,
        }
    }
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, referred: Vec::new() }
    }

    fn malformed(&self, problem: &'static str) -> Malformed {
        Malformed { problem, position: self.position }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..length).ok_or_else(|| self.malformed("incomplete record"))?;
        self.position += length;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn number(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default()))
    }

    fn varint(&mut self) -> Result<usize, Malformed> {
        let mut number = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let number = u32::try_from(number).map_err(|_| self.malformed("number too large"))?;
                return usize::try_from(number).map_err(|_| self.malformed("number too large"));
            }
        }
        Err(self.malformed("number too long"))
    }

    fn text(&mut self) -> Result<Option<&'a str>, Malformed> {
        let Some(length) = self.varint()?.checked_sub(1) else { return Ok(None) };
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(Some).map_err(|_| self.malformed("text is not UTF-8"))
    }

    /// Reads a text, or a reference to an earlier one.
    fn known(&mut self) -> Result<Option<&'a str>, Malformed> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.text(),
            2 => {
                let start = self.position;
                let text = self.text()?.unwrap_or_default();
                if self.position - start > MAX_REFERRED {
                    return Err(self.malformed("text too long for a reference"));
                }
                self.referred.push(text);
                Ok(Some(text))
            }
            reference => {
                let text = self.referred.get(usize::from(reference - FIRST_REFERENCE));
                text.copied().map(Some).ok_or_else(|| self.malformed("unknown reference"))
            }
        }
    }

    fn owned(&mut self) -> Result<Text, Malformed> {
        Ok(Text::Owned(self.text()?.unwrap_or_default().to_owned()))
    }

    /// Returns a scope, which is copied unless it is that of Flink's tracker.
    fn scope(&mut self) -> Result<Text, Malformed> {
        Ok(match self.known()?.unwrap_or_default() {
            TRACKER_SCOPE => Text::Borrowed(TRACKER_SCOPE),
            other => Text::Owned(other.to_owned()),
        })
    }

    fn kind(&mut self) -> Result<u8, Malformed> {
        if self.byte()? != VERSION {
            return Err(self.malformed("unknown version"));
        }
        match self.byte()? {
            kind @ (KIND_SPAN | KIND_EVENT) => Ok(kind),
            _ => Err(self.malformed("unknown kind of record")),
        }
    }

    /// Reads an attribute. A value without a type, which is Java's `null`, has the text of Java.
    fn attribute(&mut self) -> Result<(&'a str, ValueRef<'a>), Malformed> {
        let key = self.known()?.unwrap_or("null");
        let value = match self.byte()? {
            0 => ValueRef::String("null"),
            1 => ValueRef::String(self.known()?.unwrap_or("null")),
            2 => ValueRef::Long(self.number()?),
            3 => ValueRef::Double(f64::from_bits(self.number()?.cast_unsigned())),
            4 => ValueRef::Bool(true),
            5 => ValueRef::Bool(false),
            _ => return Err(self.malformed("unknown type of value")),
        };
        Ok((key, value))
    }

    fn tree(&mut self, cluster: &str, now: i64) -> Result<SpanBuilder, Malformed> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let (span, expected) = self.span(cluster, now, open.is_empty())?;
            let left = self.bytes.len() - self.position;
            if expected > left / SMALLEST_SPAN {
                return Err(self.malformed("more children than bytes"));
            }
            open.push(Open { span, expected, children: Vec::with_capacity(expected) });
            while let Some(Open { span, children, .. }) = open.pop_if(|last| last.children.len() == last.expected) {
                let span = if children.is_empty() { span } else { span.children(children) };
                match open.last_mut() {
                    Some(parent) => parent.children.push(span),
                    None => return Ok(span),
                }
            }
        }
    }

    /// Reads a span without its children, and the number of its children.
    fn span(&mut self, cluster: &str, now: i64, is_root: bool) -> Result<(SpanBuilder, usize), Malformed> {
        let scope = self.scope()?;
        let is_flinks = matches!(scope, Text::Borrowed(_));
        let name = self.known()?.unwrap_or_default();
        let (start, end) = (self.number()?, self.number()?);
        let mut span = Span::builder(scope, name.to_owned()).start_ts_millis(start).end_ts_millis(end);
        let (mut facts, mut failed) = (Facts::default(), None);
        let count = self.varint()?;
        span = span.attributes((0..count).map_while(|_| match self.attribute() {
            Ok((key, value)) => {
                if is_flinks {
                    facts.note(key, value);
                }
                Some((key, value))
            }
            Err(malformed) => {
                failed = Some(malformed);
                None
            }
        }));
        if let Some(malformed) = failed {
            return Err(malformed);
        }
        if is_flinks {
            if let Some(identity) = facts.span_identity(name, start, cluster) {
                span = span.identity(identity);
            }
            if is_root && facts.status == Some("FAILED") {
                span = span.failure(Failure::new(end.max(now), ""));
            }
            if is_root && !cluster.is_empty() {
                span = span.extension_attribute(CLUSTER_NAME, cluster.to_owned());
            }
        }
        Ok((span, self.varint()?))
    }

    fn event(&mut self, cluster: &str) -> Result<EventBuilder, Malformed> {
        let (scope, name) = (self.known()?.unwrap_or_default(), self.known()?.unwrap_or_default());
        let is_status = scope == JOB_MASTER_SCOPE && name == "JobStatusChangeEvent";
        let observed = self.number()?;
        let mut event = Event::builder(scope.to_owned(), name.to_owned()).observed_ts_millis(observed);
        event = event.body(self.owned()?).severity(self.owned()?);
        let mut facts = Facts::default();
        for _ in 0..self.varint()? {
            let (key, value) = self.attribute()?;
            facts.note(key, value);
            event = event.attribute(key.to_owned(), value);
        }
        if let (true, Some(job), Some(status)) = (is_status, facts.job(cluster), facts.status) {
            event = event.identity(job.status_change(status, observed));
        }
        if facts.job_id.is_some() && !cluster.is_empty() {
            event = event.extension_attribute(CLUSTER_NAME, cluster.to_owned());
        }
        Ok(event)
    }
}

#[cfg(test)]
pub(crate) mod tests;
