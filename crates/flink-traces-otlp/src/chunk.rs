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

/// A record with its resource and its scope.
pub(crate) struct Entry<'a> {
    /// The encoded fields of the envelope, such as the resource.
    pub(crate) resource: Rc<[u8]>,
    /// The encoded fields of the group, such as the scope.
    pub(crate) scope: Rc<[u8]>,
    pub(crate) record: &'a [u8],
}

impl Entry<'_> {
    pub(crate) fn head(&self) -> Head<'_> {
        Head { resource: &self.resource, scope: &self.scope }
    }
}

/// Returns the records of a request in order.
pub(crate) fn entries(message: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    Fields::all(message, 1).flat_map(|envelope| {
        let resource = head(envelope);
        Fields::all(envelope, 2).flat_map(move |group| {
            let (resource, scope) = (resource.clone(), head(group));
            let entry = move |record| Entry { resource: resource.clone(), scope: scope.clone(), record };
            Fields::all(group, 2).map(entry)
        })
    })
}

impl Chunk {
    /// Splits the records into two chunks. Returns `None` if there is only one.
    pub(crate) fn halve(&self) -> Option<[Chunk; 2]> {
        (self.records > 1).then(|| self.partition(|index, _| index >= self.records / 2))?
    }

    /// Returns a chunk as it was stored.
    pub(crate) fn stored(message: Bytes, records: usize) -> Self {
        Self { message, records, role: Role::Root }
    }

    /// Truncates long texts. Returns `None` if no text is long or the records cannot be read.
    pub(crate) fn shortened(&self, signal: Signal) -> Option<Chunk> {
        let texts: &[&[u64]] = match signal {
            Signal::Traces => &[&[5], &[9, 2, 1], &[15, 2]],
            Signal::Events => &[&[5, 1], &[6, 2, 1]],
        };
        let mut draft = Draft::default();
        for entry in self.entries()? {
            draft.add(entry.head(), &shortened(entry.record, texts)?);
        }
        let chunk = Chunk { role: self.role, ..draft.finish() };
        (chunk.message.len() < self.message.len()).then_some(chunk)
    }

    /// Splits the records into those for which `second` returns `false`, and the others.
    fn partition(&self, mut second: impl FnMut(usize, &[u8]) -> bool) -> Option<[Chunk; 2]> {
        let mut drafts = [Draft::default(), Draft::default()];
        for (index, entry) in self.entries()?.iter().enumerate() {
            drafts[usize::from(second(index, entry.record))].add(entry.head(), entry.record);
        }
        Some(drafts.map(|draft| Chunk { role: self.role, ..draft.finish() }))
    }

    /// Returns the records. Returns `None` if their number is not the expected one, which means
    /// damage.
    fn entries(&self) -> Option<Vec<Entry<'_>>> {
        let entries: Vec<_> = entries(&self.message).collect();
        (entries.len() == self.records).then_some(entries)
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
    let fields = Fields::new(message);
    if !fields.is_whole() {
        return None;
    }
    let mut out = Writer::default();
    for (number, content) in fields {
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

/// The encoded fields of the envelope and of the group of a record, such as resource and scope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) resource: &'a [u8],
    pub(crate) scope: &'a [u8],
}

/// A request under construction: an envelope for each run of records of one resource, and in it a
/// group for each run of records of one scope.
///
/// Only consecutive records are grouped, which keeps parents before their children.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    out: Writer,
    envelope: Option<OpenMessage>,
    /// The encoded resource of the open envelope.
    resource: Vec<u8>,
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

    /// Reserves space for about `bytes` more bytes, which avoids moves as the request grows.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Returns an upper bound of the size with one more record of `len` bytes.
    pub(crate) fn size_with(&self, head: Head<'_>, len: usize) -> usize {
        const LONGEST_HEAD: usize = 6;
        let envelope = if self.is_in_envelope(head) { 0 } else { head.resource.len() + LONGEST_HEAD };
        self.out.len() + envelope + head.scope.len() + 2 * LONGEST_HEAD + len
    }

    fn is_in_envelope(&self, head: Head<'_>) -> bool {
        self.envelope.is_some() && self.resource == head.resource
    }

    fn is_in_group(&self, head: Head<'_>) -> bool {
        self.is_in_envelope(head) && self.group.is_some() && self.scope == head.scope
    }

    /// Adds the record that `encode` writes. Returns `false`, without a change, if the request
    /// would exceed `limit`.
    ///
    /// A record in the open group is written in place. `scratch` is for others.
    pub(crate) fn encode(
        &mut self,
        head: Head<'_>,
        encode: impl Fn(&mut Writer),
        limit: usize,
        scratch: &mut Writer,
    ) -> bool {
        /// The lengths of most records take as many bytes as this one.
        const GUESS: usize = 1 << 9;
        if !self.is_in_group(head) {
            scratch.clear();
            encode(scratch);
            let fits = self.size_with(head, scratch.len()) <= limit;
            if fits {
                self.add(head, scratch.as_slice());
            }
            return fits;
        }
        let end = self.out.len();
        let longest = limit.saturating_sub(self.size_with(head, 0));
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

    /// Adds a record.
    pub(crate) fn add(&mut self, head: Head<'_>, record: &[u8]) {
        if !self.is_in_envelope(head) {
            self.close_envelope();
            self.envelope = Some(self.out.open(1, Self::GUESS));
            self.out.raw(head.resource);
            head.resource.clone_into(&mut self.resource);
        }
        if !self.is_in_group(head) {
            self.close_group();
            self.group = Some(self.out.open(2, Self::GUESS));
            self.out.raw(head.scope);
            head.scope.clone_into(&mut self.scope);
        }
        self.out.bytes(2, record);
        self.records += 1;
    }

    fn close_group(&mut self) {
        if let Some(group) = self.group.take() {
            self.out.close(group);
        }
    }

    fn close_envelope(&mut self) {
        self.close_group();
        if let Some(envelope) = self.envelope.take() {
            self.out.close(envelope);
        }
    }

    pub(crate) fn finish(mut self) -> Chunk {
        self.close_envelope();
        Chunk { message: self.out.into_vec().into(), records: self.records, role: Role::Root }
    }
}

#[cfg(test)]
mod tests;
