//! Spans and events become OTLP requests: one pass from the record to protobuf, cut into chunks by size.

use bytes::Bytes;
use flink_traces_api::otel::{event_scope, event_times, severity_number, span_name, span_times};
use flink_traces_api::{Compatibility, OtelAttributes, ReportedEvent, ReportedSpan, SpanRef, ValueRef};

use crate::wire::{Fields, Open, Writer, field_len, varint_len};

/// A whole request, the unit of sending and of trying again: an `ExportTraceServiceRequest` or an `ExportLogsServiceRequest`,
/// which are the same but for the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) message: Bytes,
    /// How many spans or log records it holds.
    pub(crate) records: usize,
}

impl Chunk {
    /// The same records in two chunks; `None` if it holds only one.
    pub(crate) fn halve(&self) -> Option<[Chunk; 2]> {
        let envelope = Fields::all(&self.message, 1).next().filter(|_| self.records > 1)?;
        let resource = Fields::all(envelope, 1).next()?;
        let mut halves = [Draft::new(resource), Draft::new(resource)];
        let mut seen = 0;
        for group in Fields::all(envelope, 2) {
            let scope = Fields::all(group, 1).next().map(|scope| Fields::text(scope, 1))?;
            for record in Fields::all(group, 2) {
                halves[usize::from(seen >= self.records / 2)].add(&scope, record);
                seen += 1;
            }
        }
        (seen == self.records).then(|| halves.map(Draft::finish))
    }
}

/// The `Resource` message of those attributes.
pub(crate) fn encode_resource(attributes: &[(String, String)]) -> Vec<u8> {
    let mut out = Writer::default();
    for (key, value) in attributes {
        attribute(&mut out, 1, key, ValueRef::String(value));
    }
    out.into_vec()
}

/// The spans of the trees, each before its parts.
pub(crate) fn span_records(trees: &[ReportedSpan]) -> impl Iterator<Item = SpanRecord<'_>> {
    trees.iter().flat_map(|tree| {
        let compatibility = tree.context().compatibility;
        let mut parts = Vec::new();
        let mut root = Some(tree.root());
        std::iter::from_fn(move || {
            let span = match root.take() {
                Some(root) => root,
                // No recursion: a tree may be as deep as it likes.
                None => loop {
                    match parts.last_mut().map(Iterator::next)? {
                        Some(span) => break span,
                        None => parts.pop(),
                    };
                },
            };
            parts.push(span.children());
            Some(SpanRecord { span, compatibility })
        })
    })
}

/// What becomes one `Span` or one `LogRecord`.
pub(crate) trait Record {
    /// The name of its instrumentation scope.
    fn scope(&self) -> &str;

    /// Writes the fields of the message.
    fn encode(&self, out: &mut Writer);
}

/// A span and how to report it.
#[derive(Debug)]
pub(crate) struct SpanRecord<'a> {
    span: SpanRef<'a>,
    compatibility: Compatibility,
}

impl Record for SpanRecord<'_> {
    fn scope(&self) -> &str {
        self.span.scope()
    }

    fn encode(&self, out: &mut Writer) {
        const INTERNAL: u64 = 1;
        const ERROR: u64 = 2;
        let span = &self.span;
        let (start, end) = span_times(span, self.compatibility);
        out.bytes(1, span.trace_id().as_bytes());
        out.bytes(2, span.span_id().as_bytes());
        if let Some(parent) = span.parent_span_id() {
            out.bytes(4, parent.as_bytes());
        }
        out.bytes(5, span_name(span.name()).as_bytes());
        out.varint(6, INTERNAL);
        out.fixed64(7, start);
        out.fixed64(8, end);
        attributes(out, [9, 10], limited(span.otel_attributes(), self.compatibility));
        for (trace_id, span_id) in span.links() {
            out.begin(13, field_len(16) + field_len(8));
            out.bytes(1, trace_id.as_bytes());
            out.bytes(2, span_id.as_bytes());
        }
        if let Some(failure) = span.failure() {
            out.begin(15, field_len(failure.message.len()) + 2);
            out.bytes(2, failure.message.as_bytes());
            out.varint(3, ERROR);
        } else if self.compatibility == Compatibility::Flink {
            out.begin(15, 0);
        }
    }
}

impl Record for &ReportedEvent {
    fn scope(&self) -> &str {
        event_scope(ReportedEvent::scope(self))
    }

    fn encode(&self, out: &mut Writer) {
        let compatibility = self.context().compatibility;
        let (time, observed) = event_times(self);
        out.fixed64(1, time);
        out.varint(2, severity_number(self.severity()).into());
        out.bytes(3, self.severity().as_bytes());
        out.begin(5, field_len(self.body().len()));
        out.bytes(1, self.body().as_bytes());
        let mut sorted = limited(self.otel_attributes(), compatibility);
        sorted.list.sort_unstable_by_key(|(key, _)| *key);
        attributes(out, [6, 7], sorted);
        out.fixed64(11, observed);
        if compatibility == Compatibility::Standard {
            out.bytes(12, self.name().as_bytes());
        }
    }
}

/// Under [`Compatibility::Flink`] as many attributes as its SDK keeps; which ones it keeps is a matter of chance there.
fn limited(mut attributes: OtelAttributes<'_>, compatibility: Compatibility) -> OtelAttributes<'_> {
    const FLINKS_LIMIT: usize = 128;
    let beyond = attributes.list.len().saturating_sub(FLINKS_LIMIT);
    if beyond > 0 && compatibility == Compatibility::Flink {
        attributes.list.truncate(FLINKS_LIMIT);
        attributes.dropped = attributes.dropped.saturating_add(u32::try_from(beyond).unwrap_or(u32::MAX));
    }
    attributes
}

/// The attributes, and how many were dropped if any.
fn attributes(out: &mut Writer, [kept, dropped]: [u8; 2], attributes: OtelAttributes<'_>) {
    for (key, value) in attributes.list {
        attribute(out, kept, key, value);
    }
    if attributes.dropped > 0 {
        out.varint(dropped, attributes.dropped.into());
    }
}

/// A `KeyValue`. Its lengths are computed: they are known, and most of a request is made of these.
fn attribute(out: &mut Writer, field: u8, key: &str, value: ValueRef<'_>) {
    let value_len = match value {
        ValueRef::String(text) => field_len(text.len()),
        ValueRef::Bool(_) => 2,
        ValueRef::Long(number) => 1 + varint_len(number.cast_unsigned()),
        ValueRef::Double(_) => 9,
    };
    out.begin(field, field_len(key.len()) + field_len(value_len));
    out.bytes(1, key.as_bytes());
    out.begin(2, value_len);
    match value {
        ValueRef::String(text) => out.bytes(1, text.as_bytes()),
        ValueRef::Bool(flag) => out.varint(2, flag.into()),
        ValueRef::Long(number) => out.varint(3, number.cast_unsigned()),
        ValueRef::Double(number) => out.fixed64(4, number.to_bits()),
    }
}

/// The records as chunks of at most `limit` bytes, or of one record that is larger.
pub(crate) struct Chunks<'a, I: Iterator> {
    records: I,
    /// The record for which the last chunk had no room.
    held: Option<I::Item>,
    resource: &'a [u8],
    limit: usize,
    record: Writer,
}

impl<'a, I: Iterator<Item: Record>> Chunks<'a, I> {
    pub(crate) fn new(records: I, resource: &'a [u8], limit: usize) -> Self {
        Self { records, held: None, resource, limit, record: Writer::default() }
    }
}

impl<I: Iterator<Item: Record>> Iterator for Chunks<'_, I> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let mut draft = Draft::new(self.resource);
        for record in self.held.take().into_iter().chain(self.records.by_ref()) {
            self.record.clear();
            record.encode(&mut self.record);
            if draft.records > 0 && draft.size_with(record.scope(), self.record.len()) > self.limit {
                self.held = Some(record);
                break;
            }
            draft.add(record.scope(), self.record.as_slice());
        }
        (draft.records > 0).then(|| draft.finish())
    }
}

/// A request that is being written: one resource, and a group for each run of records of the same scope. Grouping runs only
/// keeps parents before their parts.
#[derive(Debug)]
struct Draft {
    out: Writer,
    envelope: Open,
    group: Option<Open>,
    scope: String,
    records: usize,
}

impl Draft {
    /// About the length of most chunks' envelopes and groups.
    const GUESS: usize = 1 << 20;

    fn new(resource: &[u8]) -> Self {
        let mut out = Writer::default();
        let envelope = out.open(1, Self::GUESS);
        out.bytes(1, resource);
        Self { out, envelope, group: None, scope: String::new(), records: 0 }
    }

    /// How large it would be, at most, with one more record of `len` bytes.
    fn size_with(&self, scope: &str, len: usize) -> usize {
        const LONGEST_HEAD: usize = 6;
        self.out.len() + scope.len() + 4 * LONGEST_HEAD + len
    }

    fn add(&mut self, scope: &str, record: &[u8]) {
        if self.group.is_none() || self.scope != scope {
            self.close_group();
            self.group = Some(self.out.open(2, Self::GUESS));
            self.out.begin(1, if scope.is_empty() { 0 } else { field_len(scope.len()) });
            if !scope.is_empty() {
                self.out.bytes(1, scope.as_bytes());
            }
            scope.clone_into(&mut self.scope);
        }
        self.out.bytes(2, record);
        self.records += 1;
    }

    fn close_group(&mut self) {
        if let Some(group) = self.group.take() {
            self.out.close(group);
        }
    }

    fn finish(mut self) -> Chunk {
        self.close_group();
        self.out.close(self.envelope);
        Chunk { message: self.out.into_vec().into(), records: self.records }
    }
}

#[cfg(test)]
mod tests;
