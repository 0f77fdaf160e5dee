//! Encodes spans and events as OTLP requests, in one pass from the record to chunks of protobuf.

use std::collections::VecDeque;
use std::rc::Rc;
use std::{iter, ptr};

use bytes::Bytes;
use flink_traces_api::otel::{event_scope, event_times, severity_number, span_name, span_times};
use flink_traces_api::proto::{KeyValue, OpenMessage, Writer, field_len};
use flink_traces_api::{
    AddedAttributes, Compatibility, OtelAttributes, ReportContext, ReportedEvent, ReportedSpan, Signal, SpanRef,
    ValueRef,
};

use crate::wire::{Content, Fields, write_field};

/// One encoded request, the unit that is stored, sent, retried and counted.
///
/// It is an `ExportTraceServiceRequest` or an `ExportLogsServiceRequest`.
/// Their structure is the same down to the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) message: Bytes,
    /// The number of spans or log records.
    pub(crate) records: usize,
    pub(crate) role: Role,
}

/// The position of a chunk in its tree, from which the order of requests follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It begins with a root or an event, so each of its spans descends from a root in it.
    Root,
    /// It begins inside a tree, and has a span that may have children.
    Continuation,
    /// It holds nothing but childless child spans of one tree.
    Detail,
}

/// The encoded fields of a record's group, such as the scope, and the record.
type Entry<'a> = (Rc<[u8]>, &'a [u8]);

impl Chunk {
    /// Splits the records into two chunks. Returns `None` if there is only one.
    pub(crate) fn halve(&self) -> Option<[Chunk; 2]> {
        (self.records > 1).then(|| self.partition(|index, _| index >= self.records / 2))?
    }

    /// Returns a chunk as it was stored.
    pub(crate) fn stored(message: Bytes, records: usize) -> Self {
        Self { message, records, role: Role::Root }
    }

    /// Truncates long texts. Returns `None` if no text is long.
    pub(crate) fn shortened(&self, signal: Signal) -> Option<Chunk> {
        let texts: &[&[u64]] = match signal {
            Signal::Traces => &[&[5], &[9, 2, 1], &[15, 2]],
            Signal::Events => &[&[5, 1], &[6, 2, 1]],
        };
        let (resource, entries) = self.entries()?;
        let mut draft = Draft::new(&resource);
        for (scope, record) in entries {
            draft.add(&scope, &shortened(record, texts)?);
        }
        let chunk = Chunk { role: self.role, ..draft.finish() };
        (chunk.message.len() < self.message.len()).then_some(chunk)
    }

    /// Splits the records into those for which `second` returns `false`, and the others.
    fn partition(&self, mut second: impl FnMut(usize, &[u8]) -> bool) -> Option<[Chunk; 2]> {
        let (resource, entries) = self.entries()?;
        let mut drafts = [Draft::new(&resource), Draft::new(&resource)];
        for (index, (scope, record)) in entries.iter().enumerate() {
            drafts[usize::from(second(index, record))].add(scope, record);
        }
        Some(drafts.map(|draft| Chunk { role: self.role, ..draft.finish() }))
    }

    /// Returns the encoded fields of the envelope, and the records.
    ///
    /// Returns `None` if the number of records is not the expected one, which means damage.
    fn entries(&self) -> Option<(Rc<[u8]>, Vec<Entry<'_>>)> {
        let envelope = Fields::all(&self.message, 1).next()?;
        let mut entries = Vec::with_capacity(self.records);
        for group in Fields::all(envelope, 2) {
            let scope = head(group);
            entries.extend(Fields::all(group, 2).map(|record| (scope.clone(), record)));
        }
        (entries.len() == self.records).then_some((head(envelope), entries))
    }
}

/// Returns the fields that apply to all children of a `ResourceSpans`, a `ScopeSpans` or the like.
///
/// These are all fields except field 2, which holds the children.
pub(crate) fn head(message: &[u8]) -> Rc<[u8]> {
    let mut out = Writer::default();
    for (number, content) in Fields::of(message).filter(|(number, _)| *number != 2) {
        if let Ok(number) = u8::try_from(number) {
            write_field(&mut out, number, content);
        }
    }
    out.into_vec().into()
}

/// Truncates the texts at the given paths.
///
/// Returns `None` if the message is damaged or has a field number above 255.
fn shortened(message: &[u8], texts: &[&[u64]]) -> Option<Vec<u8>> {
    const LONGEST: usize = 1024;
    let mut out = Writer::default();
    for (number, content) in Fields::of(message) {
        let field = u8::try_from(number).ok()?;
        let below: Vec<_> = texts.iter().filter_map(|path| path.strip_prefix(&[number])).collect();
        match content {
            content if below.is_empty() => write_field(&mut out, field, content),
            Content::Bytes(bytes) if below.iter().all(|path| path.is_empty()) => {
                let text = String::from_utf8_lossy(bytes);
                let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
                out.bytes(field, text[..end].as_bytes());
            }
            Content::Bytes(bytes) => out.bytes(field, &shortened(bytes, &below)?),
            content => write_field(&mut out, field, content),
        }
    }
    Some(out.into_vec())
}

/// Encodes a resource with these attributes, as the first field of an envelope.
pub(crate) fn encode_resource(attributes: &[(String, String)]) -> Bytes {
    let mut resource = Writer::default();
    for (key, value) in attributes {
        resource.key_value(1, &KeyValue::new(key, ValueRef::String(value)));
    }
    let mut out = Writer::default();
    out.bytes(1, resource.as_slice());
    out.into_vec().into()
}

/// Encodes a scope with this name, as the first field of a group.
fn encode_scope(name: &str) -> Vec<u8> {
    let mut scope = Writer::default();
    if !name.is_empty() {
        scope.bytes(1, name.as_bytes());
    }
    let mut out = Writer::default();
    out.bytes(1, scope.as_slice());
    out.into_vec()
}

/// Returns the spans of the trees, one tree after the other, each level by level.
///
/// This order places parents before their children.
pub(crate) fn span_records(trees: &[ReportedSpan]) -> impl Iterator<Item = SpanRecord<'_>> {
    let mut trees = trees.iter();
    let mut added: Option<Rc<Added<'_>>> = None;
    let mut levels = VecDeque::new();
    iter::from_fn(move || {
        let (depth, span) = loop {
            let Some((depth, siblings)) = levels.front_mut() else {
                let root = trees.next()?.root();
                if added.as_ref().is_none_or(|added| !ptr::eq(added.context, root.context())) {
                    added = Some(Rc::new(Added::new(root.context())));
                }
                break (0, root);
            };
            match Iterator::next(siblings) {
                Some(span) => break (*depth, span),
                None => levels.pop_front(),
            };
        };
        let children = span.children();
        let has_children = children.len() > 0;
        if has_children {
            levels.push_back((depth + 1, children));
        }
        Some(SpanRecord { span, depth, has_children, added: added.clone()? })
    })
}

/// The attributes that a context adds to its spans, encoded once for consecutive spans.
#[derive(Debug)]
struct Added<'a> {
    context: &'a ReportContext,
    to_roots: (AddedAttributes, Vec<u8>),
    to_children: (AddedAttributes, Vec<u8>),
}

impl<'a> Added<'a> {
    fn new(context: &'a ReportContext) -> Self {
        let [to_roots, to_children] = [true, false].map(|to_roots| {
            let added = AddedAttributes::new(context, to_roots);
            let mut fields = Writer::default();
            added.iter().for_each(|(key, value)| {
                fields.key_value(SPAN_ATTRIBUTES, &KeyValue::new(key, ValueRef::String(value)))
            });
            (added, fields.into_vec())
        });
        Self { context, to_roots, to_children }
    }
}

/// The field number of the attributes of a span.
const SPAN_ATTRIBUTES: u8 = 9;

/// A record that can be encoded as a `Span` or a `LogRecord`.
pub(crate) trait EncodeOtlp {
    /// Returns the name of the instrumentation scope.
    fn scope(&self) -> &str;

    /// Returns the number of ancestors.
    fn depth(&self) -> usize {
        0
    }

    /// Returns `true` if the record is a child span without children.
    fn is_leaf(&self) -> bool {
        false
    }

    /// Writes the fields of the message.
    fn encode(&self, out: &mut Writer);
}

/// A span, its position in the tree, and the attributes that the context adds.
#[derive(Debug)]
pub(crate) struct SpanRecord<'a> {
    span: SpanRef<'a>,
    depth: usize,
    has_children: bool,
    added: Rc<Added<'a>>,
}

impl SpanRecord<'_> {
    /// Appends the stored encoding of the attributes, if it needs no change.
    ///
    /// Returns `false`, without output, if an attribute has to be replaced, renamed or left out.
    fn copy_attributes(&self, out: &mut Writer) -> bool {
        let (added, fields) = if self.depth == 0 { &self.added.to_roots } else { &self.added.to_children };
        let Some(own) = added.before(&self.span) else { return false };
        out.raw(own.as_span_fields());
        out.raw(fields);
        true
    }
}

impl EncodeOtlp for SpanRecord<'_> {
    fn scope(&self) -> &str {
        self.span.scope()
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn is_leaf(&self) -> bool {
        self.depth > 0 && !self.has_children
    }

    fn encode(&self, out: &mut Writer) {
        const INTERNAL: u64 = 1;
        const ERROR: u64 = 2;
        let span = &self.span;
        let compatibility = self.added.context.compatibility;
        let (start, end) = span_times(span, compatibility);
        out.bytes(1, span.trace_id().as_bytes());
        out.bytes(2, span.span_id().as_bytes());
        if let Some(parent) = span.parent_span_id() {
            out.bytes(4, parent.as_bytes());
        }
        out.bytes(5, span_name(span.name()).as_bytes());
        out.varint(6, INTERNAL);
        out.fixed64(7, start);
        out.fixed64(8, end);
        if !self.copy_attributes(out) {
            attributes(out, [SPAN_ATTRIBUTES, 10], limited(span.otel_attributes(), compatibility));
        }
        for (trace_id, span_id) in span.links() {
            out.begin(13, field_len(16) + field_len(8));
            out.bytes(1, trace_id.as_bytes());
            out.bytes(2, span_id.as_bytes());
        }
        if let Some(failure) = span.failure() {
            out.begin(15, field_len(failure.message.len()) + 2);
            out.bytes(2, failure.message.as_bytes());
            out.varint(3, ERROR);
        } else if compatibility == Compatibility::Flink {
            out.begin(15, 0);
        }
    }
}

impl EncodeOtlp for &ReportedEvent {
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

/// Applies the limit of Flink's SDK under [`Compatibility::Flink`].
///
/// The SDK keeps an arbitrary selection, since its map has no order.
fn limited(mut attributes: OtelAttributes<'_>, compatibility: Compatibility) -> OtelAttributes<'_> {
    const FLINK_LIMIT: usize = 128;
    let beyond = attributes.list.len().saturating_sub(FLINK_LIMIT);
    if beyond > 0 && compatibility == Compatibility::Flink {
        attributes.list.truncate(FLINK_LIMIT);
        attributes.dropped = attributes.dropped.saturating_add(u32::try_from(beyond).unwrap_or(u32::MAX));
    }
    attributes
}

/// Writes the attributes and, unless it is zero, the number of dropped ones.
fn attributes(out: &mut Writer, [kept, dropped]: [u8; 2], attributes: OtelAttributes<'_>) {
    for (key, value) in attributes.list {
        out.key_value(kept, &KeyValue::new(key, value));
    }
    if attributes.dropped > 0 {
        out.varint(dropped, attributes.dropped.into());
    }
}

/// An iterator of chunks of at most `limit` bytes, or of one larger record.
///
/// A tree below half of `limit` stays in one chunk, so that chunks of small trees are independent.
pub(crate) struct Chunks<I: Iterator> {
    records: I,
    /// The record that did not fit into the last chunk.
    held: Option<I::Item>,
    resource: Bytes,
    limit: usize,
    /// The expected number of remaining records.
    left: usize,
    record: Writer,
    /// The name of the last record's scope, and its encoding.
    scope: (String, Vec<u8>),
}

impl<I: Iterator<Item: EncodeOtlp>> Chunks<I> {
    /// Creates an iterator over `count` records.
    pub(crate) fn new(records: I, count: usize, resource: Bytes, limit: usize) -> Self {
        let scope = (String::new(), encode_scope(""));
        Self { records, held: None, resource, limit, left: count, record: Writer::default(), scope }
    }
}

impl<I: Iterator<Item: EncodeOtlp>> Iterator for Chunks<I> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let mut draft = Draft::new(&self.resource);
        let (mut first_depth, mut is_detail) = (0, true);
        while let Some(record) = self.held.take().or_else(|| self.records.next()) {
            let limit = if record.depth() == 0 && draft.has_children { self.limit / 2 } else { self.limit };
            if record.scope() != self.scope.0 {
                self.scope = (record.scope().to_owned(), encode_scope(record.scope()));
            }
            if draft.records == 0 {
                self.record.clear();
                record.encode(&mut self.record);
                draft.reserve(self.limit.min(self.left.saturating_mul(self.record.len() + 16)));
                draft.add(&self.scope.1, self.record.as_slice());
                first_depth = record.depth();
            } else if !draft.encode(&self.scope.1, &record, limit, &mut self.record) {
                self.held = Some(record);
                break;
            }
            self.left = self.left.saturating_sub(1);
            draft.has_children |= record.depth() > 0;
            is_detail &= record.is_leaf();
        }
        let role = match first_depth {
            _ if is_detail => Role::Detail,
            0 => Role::Root,
            _ => Role::Continuation,
        };
        (draft.records > 0).then(|| Chunk { role, ..draft.finish() })
    }
}

/// A request under construction: one resource, and a group for each run of records of one scope.
///
/// Only consecutive records are grouped, which keeps parents before their children.
#[derive(Debug)]
pub(crate) struct Draft {
    out: Writer,
    envelope: OpenMessage,
    group: Option<OpenMessage>,
    /// The encoded scope of the open group.
    scope: Vec<u8>,
    pub(crate) records: usize,
    /// Set if one of the records is a child span.
    pub(crate) has_children: bool,
}

impl Draft {
    /// The expected length of envelopes and groups.
    const GUESS: usize = 1 << 20;

    /// Creates a draft with the encoded `resource`.
    pub(crate) fn new(resource: &[u8]) -> Self {
        let mut out = Writer::default();
        let envelope = out.open(1, Self::GUESS);
        out.raw(resource);
        Self { out, envelope, group: None, scope: Vec::new(), records: 0, has_children: false }
    }

    /// Reserves space for about `bytes` more bytes, which avoids moves as the request grows.
    fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Returns an upper bound of the size with one more record of `len` bytes in this scope.
    pub(crate) fn size_with(&self, scope: &[u8], len: usize) -> usize {
        const LONGEST_HEAD: usize = 6;
        self.out.len() + scope.len() + 2 * LONGEST_HEAD + len
    }

    /// Encodes a record in the encoded `scope`, unless the request would exceed `limit`. Returns
    /// `false`, without a change, if it would.
    ///
    /// A record in the open group is written in place. `scratch` is for others.
    fn encode(&mut self, scope: &[u8], record: &impl EncodeOtlp, limit: usize, scratch: &mut Writer) -> bool {
        /// The lengths of most records take as many bytes as this one.
        const GUESS: usize = 1 << 9;
        if self.group.is_none() || self.scope != scope {
            scratch.clear();
            record.encode(scratch);
            let fits = self.size_with(scope, scratch.len()) <= limit;
            if fits {
                self.add(scope, scratch.as_slice());
            }
            return fits;
        }
        let end = self.out.len();
        let longest = limit.saturating_sub(self.size_with(scope, 0));
        let message = self.out.open(2, GUESS);
        let start = self.out.len();
        record.encode(&mut self.out);
        let fits = self.out.len() - start <= longest;
        if fits {
            self.out.close(message);
            self.records += 1;
        } else {
            self.out.truncate(end);
        }
        fits
    }

    /// Adds a record in the encoded `scope`.
    pub(crate) fn add(&mut self, scope: &[u8], record: &[u8]) {
        if self.group.is_none() || self.scope != scope {
            self.close_group();
            self.group = Some(self.out.open(2, Self::GUESS));
            self.out.raw(scope);
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

    pub(crate) fn finish(mut self) -> Chunk {
        self.close_group();
        self.out.close(self.envelope);
        Chunk { message: self.out.into_vec().into(), records: self.records, role: Role::Root }
    }
}

#[cfg(test)]
mod tests;
