//! Encodes spans and events as OTLP requests, in one pass from the record to chunks of protobuf.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::{iter, ptr};

use bytes::Bytes;
use flink_traces_api::otel::{event_scope, event_times, resource_of, severity_number, span_name, span_times};
use flink_traces_api::proto::{KeyValue, Writer, field_len};
use flink_traces_api::{
    AddedAttributes, Compatibility, OtelAttributes, ReportContext, ReportedEvent, ReportedSpan, SpanContext, SpanRef,
    ValueRef,
};

use crate::chunk::{Chunk, Draft, Head, Role};

/// The resource of a reporter.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    attributes: Arc<[(String, String)]>,
    encoded: Bytes,
}

impl Resource {
    pub(crate) fn new(attributes: &[(String, String)]) -> Self {
        Self { attributes: attributes.into(), encoded: encode_resource(attributes) }
    }

    /// Returns the encoding for the records of a source with these attributes.
    fn of(&self, source: &[(String, String)]) -> Bytes {
        match source {
            [] => self.encoded.clone(),
            _ => encode_resource(&resource_of(&self.attributes, source)),
        }
    }
}

/// Encodes a resource with these attributes, as the first field of an envelope.
fn encode_resource(attributes: &[(String, String)]) -> Bytes {
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

    /// Returns the data that the group and the reporter add.
    fn context(&self) -> &ReportContext;

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

    fn context(&self) -> &ReportContext {
        self.added.context
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
        for SpanContext { trace_id, span_id } in span.links() {
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

    fn context(&self) -> &ReportContext {
        ReportedEvent::context(self)
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
    resource: Resource,
    limit: usize,
    /// The expected number of remaining records.
    left: usize,
    record: Writer,
    /// The attributes of the last record's source, and the encoded resource.
    source: (Arc<[(String, String)]>, Bytes),
    /// The name of the last record's scope, and its encoding.
    scope: (String, Vec<u8>),
}

impl<I: Iterator<Item: EncodeOtlp>> Chunks<I> {
    /// Creates an iterator over `count` records.
    pub(crate) fn new(records: I, count: usize, resource: Resource, limit: usize) -> Self {
        let source = (Arc::default(), resource.of(&[]));
        let scope = (String::new(), encode_scope(""));
        Self { records, held: None, resource, limit, left: count, record: Writer::default(), source, scope }
    }
}

impl<I: Iterator<Item: EncodeOtlp>> Iterator for Chunks<I> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let mut draft = Draft::default();
        let (mut first_depth, mut is_detail) = (0, true);
        while let Some(record) = self.held.take().or_else(|| self.records.next()) {
            let limit = if record.depth() == 0 && draft.has_children { self.limit / 2 } else { self.limit };
            if record.scope() != self.scope.0 {
                self.scope = (record.scope().to_owned(), encode_scope(record.scope()));
            }
            let source = &record.context().resource;
            if !Arc::ptr_eq(source, &self.source.0) && *source != self.source.0 {
                self.source = (source.clone(), self.resource.of(source));
            }
            let head = Head { resource: &self.source.1, scope: &self.scope.1 };
            if draft.records == 0 {
                self.record.clear();
                record.encode(&mut self.record);
                draft.reserve(self.limit.min(self.left.saturating_mul(self.record.len() + 16)));
                draft.add(head, self.record.as_slice());
                first_depth = record.depth();
            } else if !draft.encode(head, |out| record.encode(out), limit, &mut self.record) {
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

#[cfg(test)]
mod tests;
