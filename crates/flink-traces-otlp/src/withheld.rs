//! Spans that the collector did not take: what they contain must not be sent.

use std::collections::BTreeSet;

use crate::span_key::SpanKey;

/// Which spans were not taken, and in which chunks they were. Ids may come again, in another report, and be taken then; so a span is
/// looked for in the chunks of one report only.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    spans: BTreeSet<(SpanKey, u64)>,
    /// What of them nobody has stored.
    fresh: Vec<(SpanKey, u64)>,
}

impl Withheld {
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds a span of the chunk of that number.
    pub(crate) fn insert(&mut self, span: SpanKey, chunk: u64) {
        if self.spans.insert((span, chunk)) {
            self.fresh.push((span, chunk));
        }
    }

    /// Whether the span is one of a chunk of that number or a later one.
    pub(crate) fn contains(&self, span: SpanKey, first_chunk: u64) -> bool {
        self.spans.range((span, first_chunk)..=(span, u64::MAX)).next().is_some()
    }

    /// Forgets the spans of earlier chunks.
    pub(crate) fn forget_before(&mut self, first_chunk: u64) {
        self.spans.retain(|(_, chunk)| *chunk >= first_chunk);
        self.fresh.retain(|(_, chunk)| *chunk >= first_chunk);
    }

    /// What was added since [`stored`](Self::stored).
    pub(crate) fn fresh(&self) -> &[(SpanKey, u64)] {
        &self.fresh
    }

    /// All of it is stored now.
    pub(crate) fn stored(&mut self) {
        self.fresh.clear();
    }
}
