//! Spans and events become OTLP requests: one pass from the record to protobuf, cut into chunks by size.

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

use crate::span_key::{own_key, parent_key};
use crate::wire::{Content, Fields, write_field};
use crate::withheld::Withheld;

/// A whole request, the unit of sending, of storing and of trying again: an `ExportTraceServiceRequest` or an
/// `ExportLogsServiceRequest`, which are the same but for the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) message: Bytes,
    /// How many spans or log records it holds.
    pub(crate) records: usize,
    /// How many of the chunks right before it do not matter to it: all earlier ones hold parents of its spans, or may.
    pub(crate) overtakes: u32,
    /// Whether nothing is lost but its own records when it is dropped: it holds only parts that have none themselves.
    pub(crate) is_leaf: bool,
}

/// What stands before the records of a record's group, and the record.
type Entry<'a> = (Rc<[u8]>, &'a [u8]);

impl Chunk {
    /// The same records in two chunks; `None` if it holds only one.
    pub(crate) fn halve(&self) -> Option<[Chunk; 2]> {
        (self.records > 1).then(|| self.part_by(|place, _| place >= self.records / 2))?
    }

    /// The spans of it that may be sent, and those that may not, as they or what they are part of is in `withheld`, which those
    /// join: it is the chunk of that number, in a report whose first is `first`. `None` if all may be sent.
    pub(crate) fn without_orphans(&self, withheld: &mut Withheld, first: u64, number: u64) -> Option<[Chunk; 2]> {
        let is_orphan = |record: &[u8], withheld: &mut Withheld| {
            let is_orphan = parent_key(record).is_some_and(|parent| withheld.contains(parent, first));
            if let Some(span) = own_key(record).filter(|_| is_orphan) {
                withheld.insert(span, number);
            }
            is_orphan
        };
        if withheld.is_empty() || !self.entries()?.1.iter().any(|(_, record)| is_orphan(record, withheld)) {
            return None;
        }
        self.part_by(|_, record| is_orphan(record, withheld))
    }

    /// Adds its spans to `withheld`: it is the chunk of that number.
    pub(crate) fn withhold(&self, withheld: &mut Withheld, number: u64) {
        if let Some((_, entries)) = self.entries().filter(|_| !self.is_leaf) {
            for span in entries.iter().filter_map(|(_, record)| own_key(record)) {
                withheld.insert(span, number);
            }
        }
    }

    /// The same records with long texts cut; `None` if none was long.
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
        let chunk = Chunk { overtakes: self.overtakes, is_leaf: self.is_leaf, ..draft.finish() };
        (chunk.message.len() < self.message.len()).then_some(chunk)
    }

    /// Those of its records for which `second` does not hold, and those for which it does.
    fn part_by(&self, mut second: impl FnMut(usize, &[u8]) -> bool) -> Option<[Chunk; 2]> {
        let (resource, entries) = self.entries()?;
        let mut drafts = [Draft::new(&resource), Draft::new(&resource)];
        for (place, (scope, record)) in entries.iter().enumerate() {
            drafts[usize::from(second(place, record))].add(scope, record);
        }
        Some(drafts.map(|draft| Chunk { overtakes: self.overtakes, is_leaf: self.is_leaf, ..draft.finish() }))
    }

    /// What stands before the groups, and the records. `None` if they are not as many as they should be.
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

/// What of a `ResourceSpans`, a `ScopeSpans` and their likes holds for all that they contain: all fields but the contained.
pub(crate) fn head(message: &[u8]) -> Rc<[u8]> {
    let mut out = Writer::default();
    for (number, content) in Fields::of(message).filter(|(number, _)| *number != 2) {
        if let Ok(number) = u8::try_from(number) {
            write_field(&mut out, number, content);
        }
    }
    out.into_vec().into()
}

/// The message with the texts at those paths cut; `None` if it is damaged or has fields that nothing here writes.
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

/// What the envelope of records of a resource with those attributes begins with.
pub(crate) fn encode_resource(attributes: &[(String, String)]) -> Bytes {
    let mut resource = Writer::default();
    for (key, value) in attributes {
        resource.key_value(1, &KeyValue::new(key, ValueRef::String(value)));
    }
    let mut out = Writer::default();
    out.bytes(1, resource.as_slice());
    out.into_vec().into()
}

/// What a group of records of the scope of that name begins with.
fn encode_scope(name: &str) -> Vec<u8> {
    let mut scope = Writer::default();
    if !name.is_empty() {
        scope.bytes(1, name.as_bytes());
    }
    let mut out = Writer::default();
    out.bytes(1, scope.as_slice());
    out.into_vec()
}

/// The spans of the trees, tree by tree and in each level by level: what others depend on comes early.
pub(crate) fn span_records(trees: &[ReportedSpan]) -> impl Iterator<Item = SpanRecord<'_>> {
    let mut trees = trees.iter();
    let mut added: Option<Rc<Added<'_>>> = None;
    let mut parts = VecDeque::new();
    iter::from_fn(move || {
        let (depth, span) = loop {
            let Some((depth, siblings)) = parts.front_mut() else {
                let root = trees.next()?.root();
                if added.as_ref().is_none_or(|added| !ptr::eq(added.context, root.context())) {
                    added = Some(Rc::new(Added::new(root.context())));
                }
                break (0, root);
            };
            match Iterator::next(siblings) {
                Some(span) => break (*depth, span),
                None => parts.pop_front(),
            };
        };
        let children = span.children();
        let has_parts = children.len() > 0;
        if has_parts {
            parts.push_back((depth + 1, children));
        }
        Some(SpanRecord { span, depth, has_parts, added: added.clone()? })
    })
}

/// What a context adds to its spans, encoded once for all that follow each other.
#[derive(Debug)]
struct Added<'a> {
    context: &'a ReportContext,
    to_roots: (AddedAttributes, Vec<u8>),
    to_parts: (AddedAttributes, Vec<u8>),
}

impl<'a> Added<'a> {
    fn new(context: &'a ReportContext) -> Self {
        let [to_roots, to_parts] = [true, false].map(|to_roots| {
            let added = AddedAttributes::new(context, to_roots);
            let mut fields = Writer::default();
            added.iter().for_each(|(key, value)| {
                fields.key_value(SPAN_ATTRIBUTES, &KeyValue::new(key, ValueRef::String(value)))
            });
            (added, fields.into_vec())
        });
        Self { context, to_roots, to_parts }
    }
}

/// The number of a span's field of attributes.
const SPAN_ATTRIBUTES: u8 = 9;

/// What becomes one `Span` or one `LogRecord`.
pub(crate) trait Record {
    /// The name of its instrumentation scope.
    fn scope(&self) -> &str;

    /// How many others it is a part of, directly or not.
    fn depth(&self) -> usize {
        0
    }

    /// Whether it is a part that has none itself.
    fn is_leaf(&self) -> bool {
        false
    }

    /// Writes the fields of the message.
    fn encode(&self, out: &mut Writer);
}

/// A span and how to report it.
#[derive(Debug)]
pub(crate) struct SpanRecord<'a> {
    span: SpanRef<'a>,
    depth: usize,
    has_parts: bool,
    added: Rc<Added<'a>>,
}

impl SpanRecord<'_> {
    /// Appends the attributes as they are kept, if nothing has to be replaced, renamed or left out; answers whether that was so.
    fn copy_attributes(&self, out: &mut Writer) -> bool {
        let (added, fields) = if self.depth == 0 { &self.added.to_roots } else { &self.added.to_parts };
        let Some(own) = added.before(&self.span) else { return false };
        out.raw(own.as_span_fields());
        out.raw(fields);
        true
    }
}

impl Record for SpanRecord<'_> {
    fn scope(&self) -> &str {
        self.span.scope()
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn is_leaf(&self) -> bool {
        self.depth > 0 && !self.has_parts
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
        out.key_value(kept, &KeyValue::new(key, value));
    }
    if attributes.dropped > 0 {
        out.varint(dropped, attributes.dropped.into());
    }
}

/// The records as chunks of at most `limit` bytes, or of one record that is larger. A tree that is smaller than half of that lies in
/// one chunk, so that chunks of small trees do not depend on each other.
pub(crate) struct Chunks<I: Iterator> {
    records: I,
    /// The record for which the last chunk had no room.
    held: Option<I::Item>,
    resource: Bytes,
    limit: usize,
    /// How many records are still to come, as far as is known.
    left: usize,
    record: Writer,
    /// The scope of the last record, its name and what its group begins with.
    scope: (String, Vec<u8>),
    /// How many chunks there were.
    count: usize,
    /// The level of the last record.
    level: Level,
    /// The level above it.
    above: Level,
}

/// Where the spans of one depth of one tree lie.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    depth: usize,
    first_chunk: usize,
    last_chunk: usize,
}

impl<I: Iterator<Item: Record>> Chunks<I> {
    /// Of `count` records.
    pub(crate) fn new(records: I, count: usize, resource: Bytes, limit: usize) -> Self {
        let [level, above] = [Level::default(); 2];
        let scope = (String::new(), encode_scope(""));
        let record = Writer::default();
        Self { records, held: None, resource, limit, left: count, record, scope, count: 0, level, above }
    }

    /// Notes that a record of that depth is in the current chunk. Answers how many chunks, from the first on, have to be delivered
    /// before.
    fn place(&mut self, depth: usize) -> usize {
        if depth == 0 || depth != self.level.depth {
            self.above = self.level;
            self.level = Level { depth, first_chunk: self.count, last_chunk: self.count };
        }
        self.level.last_chunk = self.count;
        match depth > 0 && self.above.first_chunk < self.count {
            true => self.count.min(self.above.last_chunk + 1),
            false => 0,
        }
    }
}

impl<I: Iterator<Item: Record>> Iterator for Chunks<I> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let mut draft = Draft::new(&self.resource);
        let (mut after, mut is_leaf) = (0, true);
        while let Some(record) = self.held.take().or_else(|| self.records.next()) {
            self.record.clear();
            record.encode(&mut self.record);
            let limit = if record.depth() == 0 && draft.has_parts { self.limit / 2 } else { self.limit };
            if record.scope() != self.scope.0 {
                self.scope = (record.scope().to_owned(), encode_scope(record.scope()));
            }
            if draft.records > 0 && draft.size_with(&self.scope.1, self.record.len()) > limit {
                self.held = Some(record);
                break;
            }
            if draft.records == 0 {
                draft.reserve(self.limit.min(self.left.saturating_mul(self.record.len() + 16)));
            }
            self.left = self.left.saturating_sub(1);
            draft.add(&self.scope.1, self.record.as_slice());
            draft.has_parts |= record.depth() > 0;
            after = self.place(record.depth()).max(after);
            is_leaf &= record.is_leaf();
        }
        let before = self.count;
        self.count += 1;
        let overtakes = match after {
            0 => u32::MAX,
            _ => u32::try_from(before - after).unwrap_or(u32::MAX),
        };
        (draft.records > 0).then(|| Chunk { overtakes, is_leaf, ..draft.finish() })
    }
}

/// A request that is being written: one resource, and a group for each run of records of the same scope. Grouping runs only
/// keeps parents before their parts.
#[derive(Debug)]
pub(crate) struct Draft {
    out: Writer,
    envelope: OpenMessage,
    group: Option<OpenMessage>,
    /// What the group begins with.
    scope: Vec<u8>,
    pub(crate) records: usize,
    /// Whether one of the records is a part of another.
    pub(crate) has_parts: bool,
}

impl Draft {
    /// About the length of most chunks' envelopes and groups.
    const GUESS: usize = 1 << 20;

    /// With an envelope that begins with `resource`.
    pub(crate) fn new(resource: &[u8]) -> Self {
        let mut out = Writer::default();
        let envelope = out.open(1, Self::GUESS);
        out.raw(resource);
        Self { out, envelope, group: None, scope: Vec::new(), records: 0, has_parts: false }
    }

    /// Makes room for about so many bytes, so that they are not moved as it grows.
    fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// How large it would be, at most, with one more record of `len` bytes in a group that begins with `scope`.
    pub(crate) fn size_with(&self, scope: &[u8], len: usize) -> usize {
        const LONGEST_HEAD: usize = 6;
        self.out.len() + scope.len() + 2 * LONGEST_HEAD + len
    }

    /// Adds a record to a group that begins with `scope`.
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
        Chunk { message: self.out.into_vec().into(), records: self.records, overtakes: u32::MAX, is_leaf: false }
    }
}

#[cfg(test)]
mod tests;
