//! Chunks: encoded requests, which can be split and shortened without decoding their records.

use std::rc::Rc;

use bytes::Bytes;
use flink_traces_api::Signal;
use flink_traces_api::proto::{Content, Fields, OpenMessage, Writer};

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
    for (number, content) in Fields::new(message).filter(|(number, _)| *number != 2) {
        if let Ok(number) = u8::try_from(number) {
            out.content(number, content);
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
    for (number, content) in Fields::new(message) {
        let field = u8::try_from(number).ok()?;
        let below: Vec<_> = texts.iter().filter_map(|path| path.strip_prefix(&[number])).collect();
        match content {
            content if below.is_empty() => out.content(field, content),
            Content::Bytes(bytes) if below.iter().all(|path| path.is_empty()) => {
                let text = String::from_utf8_lossy(bytes);
                let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
                out.bytes(field, text[..end].as_bytes());
            }
            Content::Bytes(bytes) => out.bytes(field, &shortened(bytes, &below)?),
            content => out.content(field, content),
        }
    }
    Some(out.into_vec())
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
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Returns an upper bound of the size with one more record of `len` bytes in this scope.
    pub(crate) fn size_with(&self, scope: &[u8], len: usize) -> usize {
        const LONGEST_HEAD: usize = 6;
        self.out.len() + scope.len() + 2 * LONGEST_HEAD + len
    }

    /// Adds the record that `encode` writes, in the encoded `scope`. Returns `false`, without a
    /// change, if the request would exceed `limit`.
    ///
    /// A record in the open group is written in place. `scratch` is for others.
    pub(crate) fn encode(
        &mut self,
        scope: &[u8],
        encode: impl Fn(&mut Writer),
        limit: usize,
        scratch: &mut Writer,
    ) -> bool {
        /// The lengths of most records take as many bytes as this one.
        const GUESS: usize = 1 << 9;
        if self.group.is_none() || self.scope != scope {
            scratch.clear();
            encode(scratch);
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
        encode(&mut self.out);
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
