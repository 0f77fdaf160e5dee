//! The stored form of a span tree or an event: a compressed list of records in pre-order.
//!
//! The form is read back leniently: damage yields `None`, never a panic.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use flink_traces_api::{AttributeValue, ValueRef};

use crate::item::{Item, Value};

/// The first byte, which names the version of the form.
const VERSION: u8 = 2;
/// The version without the parents of roots.
const VERSION_WITHOUT_PARENT: u8 = 1;
/// The maximum size of the uncompressed form, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// A stored span or event.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StoredRecord {
    /// The number of ancestors within the tree. It is 0 for a root and for an event.
    pub depth: usize,
    /// The name.
    pub name: String,
    /// The class that reported the record.
    pub scope: String,
    /// The id of the span, or 0 for an event.
    pub span_id: u64,
    /// The id of a root's parent in another trace, or 0 without one.
    pub parent_id: u64,
    /// The start of a span or the time of an event, in milliseconds since the epoch.
    pub start_ms: i64,
    /// The end of a span, in milliseconds since the epoch.
    pub end_ms: i64,
    /// The severity of an event.
    pub severity: String,
    /// The text of an event, or the message of a failed span.
    pub text: String,
    /// `true` for a failed span.
    pub is_failed: bool,
    /// The attributes, with Flink's keys.
    pub attributes: Vec<(String, AttributeValue)>,
}

impl StoredRecord {
    /// Copies an item, at that depth.
    pub(crate) fn of(item: &Item<'_>, depth: usize) -> Self {
        let attributes = item.attributes.iter();
        Self {
            depth,
            name: item.name.to_owned(),
            scope: item.scope.to_owned(),
            span_id: item.span_id,
            parent_id: if depth == 0 { item.parent_id } else { 0 },
            start_ms: item.start_ms,
            end_ms: item.end_ms,
            severity: item.severity.to_owned(),
            text: item.text.to_owned(),
            is_failed: item.is_failed,
            attributes: attributes.map(|(key, value)| ((*key).to_owned(), value.get().into())).collect(),
        }
    }

    /// Returns the integer of that key.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        self.attributes.iter().find(|(known, _)| known == key)?.1.as_i64()
    }

    /// Returns the text of that key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == key)?.1.as_str()
    }
}

impl<'a> From<&'a StoredRecord> for Item<'a> {
    fn from(record: &'a StoredRecord) -> Self {
        let value = |value: &'a AttributeValue| match value {
            AttributeValue::String(text) => ValueRef::String(text),
            AttributeValue::Long(number) => ValueRef::Long(*number),
            AttributeValue::Double(number) => ValueRef::Double(*number),
            AttributeValue::Bool(flag) => ValueRef::Bool(*flag),
        };
        Self {
            depth: record.depth,
            name: &record.name,
            scope: &record.scope,
            span_id: record.span_id,
            parent_id: record.parent_id,
            start_ms: record.start_ms,
            end_ms: record.end_ms,
            severity: &record.severity,
            text: &record.text,
            is_failed: record.is_failed,
            attributes: record.attributes.iter().map(|(key, own)| (key.as_str(), Value::Plain(value(own)))).collect(),
        }
    }
}

/// Encodes a tree or an event, which is a list of items in pre-order.
pub(crate) fn encode(items: &[Item<'_>]) -> Vec<u8> {
    let mut out = Writer::default();
    for item in items {
        out.number(item.depth as u64);
        out.text(item.name);
        out.text(item.scope);
        out.0.extend(item.span_id.to_le_bytes());
        if item.depth == 0 {
            out.0.extend(item.parent_id.to_le_bytes());
        }
        out.signed(item.start_ms);
        out.signed(item.end_ms);
        out.text(item.severity);
        out.text(item.text);
        out.0.push(u8::from(item.is_failed));
        out.attributes(item.attributes.iter().map(|(key, value)| (*key, value.get())));
    }
    out.compressed()
}

/// Decodes a tree or an event. Returns `None` if it is damaged or of an unknown version.
pub(crate) fn decode(blob: &[u8]) -> Option<Vec<StoredRecord>> {
    let (version, rest) = blob.split_first()?;
    if ![VERSION_WITHOUT_PARENT, VERSION].contains(version) {
        return None;
    }
    let mut bytes = Vec::new();
    DeflateDecoder::new(rest).take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    let mut input = Reader(&bytes);
    let mut records = Vec::new();
    while !input.0.is_empty() {
        records.push(input.record(*version)?);
    }
    Some(records)
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn attributes<'a>(&mut self, attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) {
        for (key, value) in attributes {
            match value {
                ValueRef::String(text) => {
                    self.0.push(1);
                    self.text(key);
                    self.text(text);
                }
                ValueRef::Long(number) => {
                    self.0.push(2);
                    self.text(key);
                    self.signed(number);
                }
                ValueRef::Double(number) => {
                    self.0.push(3);
                    self.text(key);
                    self.0.extend(number.to_le_bytes());
                }
                ValueRef::Bool(flag) => {
                    self.0.push(4 + u8::from(flag));
                    self.text(key);
                }
            }
        }
        self.0.push(0);
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn signed(&mut self, value: i64) {
        self.number((value << 1 ^ value >> 63).cast_unsigned());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn compressed(self) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(vec![VERSION], Compression::fast());
        // Writing to memory cannot fail.
        let _ = encoder.write_all(&self.0);
        encoder.finish().unwrap_or_default()
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn record(&mut self, version: u8) -> Option<StoredRecord> {
        let depth = usize::try_from(self.number()?).ok()?;
        let (name, scope) = (self.text()?, self.text()?);
        let span_id = u64::from_le_bytes(self.bytes(8)?.try_into().ok()?);
        let has_parent = depth == 0 && version > VERSION_WITHOUT_PARENT;
        let parent_id = if has_parent { u64::from_le_bytes(self.bytes(8)?.try_into().ok()?) } else { 0 };
        let (start_ms, end_ms) = (self.signed()?, self.signed()?);
        let (severity, text) = (self.text()?, self.text()?);
        let is_failed = self.byte()? != 0;
        let mut attributes = Vec::new();
        loop {
            let value = match self.byte()? {
                0 => break,
                1 => (self.text()?, AttributeValue::from(self.text()?)),
                2 => (self.text()?, self.signed()?.into()),
                3 => (self.text()?, f64::from_le_bytes(self.bytes(8)?.try_into().ok()?).into()),
                4 => (self.text()?, false.into()),
                5 => (self.text()?, true.into()),
                _ => return None,
            };
            attributes.push(value);
        }
        Some(StoredRecord {
            depth,
            name,
            scope,
            span_id,
            parent_id,
            start_ms,
            end_ms,
            severity,
            text,
            is_failed,
            attributes,
        })
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn text(&mut self) -> Option<String> {
        let len = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.bytes(len)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flink_traces_api::{Identity, ReportContext, ReportedSpan, Span, SpanContext, SystemClock};

    use super::*;
    use crate::item::items_of;

    fn tree() -> ReportedSpan {
        let leaf = |name: &'static str| Span::builder("s", name).start_ts_millis(i64::MIN).end_ts_millis(i64::MAX);
        let span = leaf("root")
            .attribute("long", i64::MIN)
            .attribute("double", 0.1)
            .attribute("yes", true)
            .child(leaf("a").child(leaf("a1").attribute("text", "ä\0")))
            .child(leaf("b"))
            .build(&SystemClock);
        ReportedSpan::new(Arc::new(span), Arc::new(ReportContext::default()))
    }

    #[test]
    fn tree_survives_the_round_trip() {
        let records = decode(&encode(&items_of(&tree()))).unwrap();
        let names: Vec<_> = records.iter().map(|record| (record.depth, record.name.as_str())).collect();
        assert_eq!(names, [(0, "root"), (1, "a"), (2, "a1"), (1, "b")]);
        assert_eq!((records[0].number("long"), records[2].text("text")), (Some(i64::MIN), Some("ä\0")));
        assert_eq!((records[0].start_ms, records[0].end_ms), (i64::MIN, i64::MAX));
        assert_eq!(records[0].attributes[1..], [("double".to_owned(), 0.1.into()), ("yes".to_owned(), true.into())]);
    }

    #[test]
    fn root_has_its_parent_unless_the_form_is_old() {
        let caller = SpanContext::from(Identity::of(&["caller"]));
        let root = Span::builder("s", "root").parent(caller).child(Span::builder("s", "child")).build(&SystemClock);
        let tree = ReportedSpan::new(Arc::new(root), Arc::new(ReportContext::default()));
        let parents: Vec<_> =
            decode(&encode(&items_of(&tree))).unwrap().iter().map(|record| record.parent_id).collect();
        assert_eq!(parents, [u64::from_be_bytes(*caller.span_id.as_bytes()), 0]);

        let mut old = Writer::default();
        old.number(0);
        ["root", "s"].into_iter().for_each(|text| old.text(text));
        old.0.extend(7_u64.to_le_bytes());
        [5, 6].into_iter().for_each(|millis| old.signed(millis));
        ["", "text"].into_iter().for_each(|text| old.text(text));
        old.0.extend([0, 0]);
        let mut old = old.compressed();
        old[0] = VERSION_WITHOUT_PARENT;
        let [record] = &decode(&old).unwrap()[..] else { panic!("one record expected") };
        assert_eq!((record.span_id, record.parent_id, record.end_ms, record.text.as_str()), (7, 0, 6, "text"));
    }

    #[test]
    fn damage_yields_nothing_or_a_prefix() {
        let blob = encode(&items_of(&tree()));
        for end in 0..blob.len() {
            let _ = decode(&blob[..end]);
        }
        for index in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[index] ^= 0x55;
            let _ = decode(&damaged);
        }
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[9, 0]), None);
    }
}
