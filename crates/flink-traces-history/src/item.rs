//! The spans and events of a record, as the rows and the stored form are made of them.

use std::borrow::Cow;
use std::collections::HashMap;

use flink_traces_api::{ReportedEvent, ReportedSpan, ValueRef, strip_angle_brackets};

/// A span or an event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Item<'a> {
    /// The number of ancestors within the tree.
    pub(crate) depth: usize,
    pub(crate) name: &'a str,
    pub(crate) scope: &'a str,
    /// The id of a span, or 0 for an event.
    pub(crate) span_id: u64,
    /// The id of the parent, or 0 without one.
    pub(crate) parent_id: u64,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) severity: &'a str,
    /// The text of an event, or the message of a failed span.
    pub(crate) text: &'a str,
    pub(crate) is_failed: bool,
    pub(crate) attributes: Vec<(&'a str, Value<'a>)>,
}

/// The value of an attribute.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Plain(ValueRef<'a>),
    /// The text of a list or a map.
    Text(String),
}

impl Value<'_> {
    pub(crate) fn get(&self) -> ValueRef<'_> {
        match self {
            Self::Plain(value) => *value,
            Self::Text(text) => ValueRef::String(text),
        }
    }
}

/// Returns the spans of a tree, parents before their children.
pub(crate) fn items_of(span: &ReportedSpan) -> Vec<Item<'_>> {
    let mut path: Vec<u64> = Vec::new();
    span.spans()
        .map(|span| {
            let parent_id = span.parent_span_id().map_or(0, |id| u64::from_be_bytes(*id.as_bytes()));
            let span_id = u64::from_be_bytes(*span.span_id().as_bytes());
            let depth = path.iter().rposition(|id| *id == parent_id).map_or(0, |index| index + 1);
            path.truncate(depth);
            path.push(span_id);
            let failure = span.failure();
            Item {
                depth,
                name: span.name(),
                scope: span.scope(),
                span_id,
                parent_id,
                start_ms: span.start_ts_millis(),
                end_ms: span.end_ts_millis(),
                severity: "",
                text: failure.map_or("", |failure| &failure.message),
                is_failed: failure.is_some(),
                attributes: span.attributes().map(|(key, value)| (key, Value::Plain(value))).collect(),
            }
        })
        .collect()
}

/// Returns an event.
pub(crate) fn item_of(event: &ReportedEvent) -> Item<'_> {
    Item {
        name: event.name(),
        scope: event.scope(),
        start_ms: event.ts_millis(),
        end_ms: event.ts_millis(),
        severity: event.severity(),
        text: event.body(),
        attributes: event.attributes().map(|(key, value)| (key, Value::Plain(value))).collect(),
        ..Item::default()
    }
}

/// The attributes of an item, without angle brackets. The last of a key wins.
#[derive(Debug)]
pub(crate) struct Fields<'a>(&'a [(&'a str, Value<'a>)]);

impl<'a> Fields<'a> {
    pub(crate) fn new(item: &'a Item<'a>) -> Self {
        Self(&item.attributes)
    }

    pub(crate) fn get(&self, key: &str) -> Option<ValueRef<'a>> {
        let found = self.0.iter().rev().find(|(known, _)| strip_angle_brackets(known) == key);
        found.map(|(_, value)| value.get())
    }

    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            ValueRef::Long(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        match self.get(key)? {
            ValueRef::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the truth value, which Flink writes as text.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            ValueRef::Bool(flag) => Some(flag),
            ValueRef::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn owned(&self, key: &str, limit: usize) -> Option<String> {
        self.text(key).map(|text| shortened(text, limit).into_owned())
    }
}

/// Returns at most `limit` characters of `text`.
pub(crate) fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Restores the parents that a list of items in pre-order lost when it was stored.
pub(crate) fn with_parents<'a>(items: impl Iterator<Item = Item<'a>>) -> impl Iterator<Item = Item<'a>> {
    let mut path: Vec<u64> = Vec::new();
    items.map(move |mut item| {
        path.truncate(item.depth);
        if let Some(parent) = path.last() {
            item.parent_id = *parent;
        }
        path.push(item.span_id);
        item
    })
}

/// Returns the spans of one trace in pre-order, each once, with their depths.
///
/// A span whose parent is not among them is a root. The spans of a circle have one, too.
pub(crate) fn arranged(items: Vec<Item<'_>>) -> Vec<Item<'_>> {
    let mut index: HashMap<u64, usize> = HashMap::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        index.entry(item.span_id).or_insert(position);
    }
    let is_first = |position: usize, item: &Item<'_>| index.get(&item.span_id) == Some(&position);
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for (position, item) in items.iter().enumerate().filter(|(position, item)| is_first(*position, item)) {
        match index.get(&item.parent_id).filter(|parent| **parent != position && item.parent_id != 0) {
            Some(parent) => children.entry(*parent).or_default().push(position),
            None => roots.push(position),
        }
    }
    // A circle is not below any root: its first span becomes one.
    let others: Vec<usize> = (0..items.len()).filter(|position| is_first(*position, &items[*position])).collect();
    let mut pending: Vec<Option<Item<'_>>> = items.into_iter().map(Some).collect();
    let mut arranged = Vec::with_capacity(others.len());
    for root in roots.into_iter().chain(others) {
        let mut stack = vec![(root, 0)];
        while let Some((position, depth)) = stack.pop() {
            let Some(mut item) = pending[position].take() else { continue };
            item.depth = depth;
            arranged.push(item);
            let below = children.remove(&position).unwrap_or_default();
            stack.extend(below.into_iter().rev().map(|child| (child, depth + 1)));
        }
    }
    arranged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(span_id: u64, parent_id: u64) -> Item<'static> {
        Item { span_id, parent_id, ..Item::default() }
    }

    #[test]
    fn spans_of_a_trace_become_trees() {
        for (spans, expected) in [
            (&[(3, 2), (2, 1), (1, 0), (4, 1)][..], &[(1, 0), (2, 1), (3, 2), (4, 1)][..]),
            // A parent that is elsewhere, and a span that is there twice.
            (&[(3, 9), (4, 3), (3, 9)], &[(3, 0), (4, 1)]),
            // Circles, of one span and of three, and a span below one.
            (&[(1, 1), (2, 3), (3, 4), (4, 2), (5, 4)], &[(1, 0), (2, 0), (4, 1), (3, 2), (5, 2)]),
            (&[], &[]),
        ] {
            let found = arranged(spans.iter().map(|(id, parent)| span(*id, *parent)).collect());
            let found: Vec<_> = found.iter().map(|item| (item.span_id, item.depth)).collect();
            assert_eq!(found, expected, "{spans:?}");
        }
    }

    #[test]
    fn deep_chain_needs_no_stack() {
        let chain = (1..=200_000).map(|id| span(id, id - 1)).collect();
        let arranged = arranged(chain);
        assert_eq!(arranged.last().map(|item| item.depth), Some(199_999));
        let parents: Vec<_> = with_parents(arranged.into_iter()).map(|item| item.parent_id).collect();
        assert!(parents.iter().enumerate().all(|(index, parent)| *parent == index as u64));
    }
}
