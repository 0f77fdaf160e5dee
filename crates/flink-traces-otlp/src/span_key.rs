//! The key of a span in an encoded record.

use flink_traces_api::proto::Fields;

/// A trace id, followed by a span id.
pub(crate) type SpanKey = [u8; 24];

/// Returns the key of an encoded span, or `None` for a log record.
pub(crate) fn own_key(record: &[u8]) -> Option<SpanKey> {
    key(record, 2)
}

/// Returns the key of an encoded span's parent, or `None` for a root span and for a log record.
pub(crate) fn parent_key(record: &[u8]) -> Option<SpanKey> {
    key(record, 4)
}

fn key(record: &[u8], span_id: u64) -> Option<SpanKey> {
    let trace_id: &[u8; 16] = Fields::all(record, 1).next()?.try_into().ok()?;
    let span_id: &[u8; 8] = Fields::all(record, span_id).next()?.try_into().ok()?;
    let mut key = [0; 24];
    key[..16].copy_from_slice(trace_id);
    key[16..].copy_from_slice(span_id);
    Some(key)
}
