//! The trees that arrive in pieces: their keys in the file of a day, and the trees that they make.
//!
//! Spans that OTLP brings are stored as they come, since a tree may be divided among requests in
//! any order. A piece has the id of its trace at the start of its key, as a whole tree has. So all
//! that is known of a trace is one range of keys, and a reader puts it together.

use flink_traces_api::{Identity, TraceId};

use crate::codec::{StoredRecord, decode};
use crate::item::{Item, arranged, with_parents};

/// The byte between the trace and the hash in the key of a piece.
const PIECE: u8 = 0xff;

/// The keys of all that is known of a trace: at least the first, at most the second.
pub(crate) const OF_TRACE: &str = "SELECT body FROM record WHERE uid >= ? AND uid <= ? ORDER BY seq";

/// Returns the key of a piece. Pieces with the same spans have the same key.
pub(crate) fn piece_key(trace: &[u8; 16], items: &[Item<'_>]) -> Vec<u8> {
    let mut ids: Vec<u64> = items.iter().map(|item| item.span_id).collect();
    ids.sort_unstable();
    let texts: Vec<String> = ids.iter().map(|id| format!("{id:x}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut key = trace.to_vec();
    key.push(PIECE);
    key.extend(Identity::of(&texts).trace_id().as_bytes());
    key
}

/// Returns the bounds of the keys of a trace, for [`OF_TRACE`].
pub(crate) fn bounds(trace: &[u8]) -> [Vec<u8>; 2] {
    let mut last = trace.to_vec();
    last.extend([0xff; 32]);
    [trace.to_vec(), last]
}

/// Returns the tree of a key from all that is known of its trace.
pub(crate) fn tree(bodies: &[Vec<u8>], key: &[u8]) -> Option<Vec<StoredRecord>> {
    let lists: Vec<_> = bodies.iter().filter_map(|body| decode(body)).collect();
    let root = match key.get(16..24) {
        Some(span_id) => u64::from_be_bytes(span_id.try_into().ok()?),
        None => u64::from_be_bytes(*TraceId::from_bytes(key.try_into().ok()?)?.root_span_id().as_bytes()),
    };
    if let [list] = &lists[..]
        && list.first().is_some_and(|first| first.span_id == root)
        && list.iter().skip(1).all(|record| record.depth > 0)
    {
        return lists.into_iter().next();
    }
    let all = arranged(lists.iter().flat_map(|list| items(list)).collect());
    let start = all.iter().position(|item| item.span_id == root)?;
    let own_depth = all[start].depth;
    let below = all[start + 1..].iter().take_while(|item| item.depth > own_depth);
    let tree = all[start..=start].iter().chain(below);
    Some(tree.map(|item| StoredRecord::of(item, item.depth - own_depth)).collect())
}

/// Returns the items of a stored list, with their parents.
pub(crate) fn items(list: &[StoredRecord]) -> impl Iterator<Item = Item<'_>> {
    with_parents(list.iter().map(Item::from))
}
