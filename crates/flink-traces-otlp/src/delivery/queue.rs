//! The queues that chunks come from, and that count what became of their records.

use std::iter::Peekable;

use flink_traces_api::RecordCounts;

use crate::chunk::{Chunk, Role};

/// A source of chunks, which takes back what became of them.
pub(crate) trait ChunkQueue {
    /// A name for a chunk that is in flight.
    type Ticket: Copy;

    /// Returns a chunk whose request may start now. `None` if the queue is empty, or if each of
    /// its chunks waits for one that is in flight.
    fn next(&mut self) -> Option<(Self::Ticket, Chunk)>;

    /// Ends a chunk. `counts` covers all its records.
    fn finalize(&mut self, ticket: Self::Ticket, counts: RecordCounts);

    /// Returns a chunk that is not finalized. `counts` covers the records that are.
    fn abandon(&mut self, ticket: Self::Ticket, counts: RecordCounts);
}

/// The chunks of one report, sent from memory in the report's order.
pub(crate) struct ReportQueue<I: Iterator<Item = Chunk>> {
    chunks: Peekable<I>,
    /// The number of chunks that were taken.
    taken: usize,
    /// The last summary chunk that was taken.
    last_summary: usize,
    /// The summary chunks in flight.
    in_flight: Vec<usize>,
    /// The chunks that are finalized, by their position in the report, in no order.
    pub(crate) finalized: Vec<usize>,
    /// The records of finalized chunks.
    pub(crate) counts: RecordCounts,
    /// The finalized records of other chunks.
    pub(crate) partial: RecordCounts,
}

impl<I: Iterator<Item = Chunk>> ReportQueue<I> {
    pub(crate) fn new(chunks: I) -> Self {
        Self {
            chunks: chunks.peekable(),
            taken: 0,
            last_summary: 0,
            in_flight: Vec::new(),
            finalized: Vec::new(),
            counts: RecordCounts::default(),
            partial: RecordCounts::default(),
        }
    }
}

impl<I: Iterator<Item = Chunk>> ChunkQueue for ReportQueue<I> {
    type Ticket = usize;

    fn next(&mut self) -> Option<(usize, Chunk)> {
        let Self { in_flight, last_summary, .. } = self;
        let chunk = self.chunks.next_if(|chunk| match chunk.role {
            Role::Root => true,
            // In requests that were encoded elsewhere, the parents may be in any of them.
            Role::Continuation => in_flight.is_empty(),
            Role::Detail => !in_flight.contains(last_summary),
        })?;
        let number = self.taken;
        self.taken += 1;
        if chunk.role != Role::Detail {
            self.last_summary = number;
            self.in_flight.push(number);
        }
        Some((number, chunk))
    }

    fn finalize(&mut self, number: usize, counts: RecordCounts) {
        self.in_flight.retain(|open| *open != number);
        self.finalized.push(number);
        self.counts += counts;
    }

    fn abandon(&mut self, _: usize, counts: RecordCounts) {
        self.partial += counts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_a_report_wait_for_their_ancestors() {
        let roles = [Role::Root, Role::Continuation, Role::Detail, Role::Detail, Role::Root, Role::Detail];
        let chunks = roles.map(|role| Chunk { message: Vec::new().into(), records: 1, role });
        let mut queue = ReportQueue::new(chunks.into_iter());
        let mut in_flight = Vec::new();
        let mut order = Vec::new();
        loop {
            while let Some((number, _)) = queue.next() {
                in_flight.push(number);
            }
            if in_flight.is_empty() {
                break;
            }
            order.push(in_flight.clone());
            let number = in_flight.remove(0);
            queue.finalize(number, RecordCounts { delivered: 1, ..RecordCounts::default() });
        }
        let expected: [&[usize]; 6] = [&[0], &[1], &[2, 3, 4], &[3, 4], &[4], &[5]];
        assert_eq!(order, expected);
        assert_eq!((queue.finalized.len(), queue.counts.delivered), (6, 6));
    }

    /// Guarantees: the finalized records of an abandoned chunk count apart, and what descends from
    /// it is not sent.
    #[test]
    fn abandoned_chunk_withholds_its_descendants() {
        let chunks =
            [Role::Root, Role::Continuation].map(|role| Chunk { message: Vec::new().into(), records: 2, role });
        let mut queue = ReportQueue::new(chunks.into_iter());
        let (number, _) = queue.next().unwrap();
        let counts = RecordCounts { delivered: 1, ..RecordCounts::default() };
        queue.abandon(number, counts);
        assert_eq!(queue.next(), None);
        assert_eq!((queue.partial, queue.counts, &queue.finalized[..]), (counts, RecordCounts::default(), &[][..]));
    }
}
