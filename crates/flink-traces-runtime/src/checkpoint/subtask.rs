//! The statistics of the subtasks of a checkpoint.

use std::fmt;
use std::slice;
use std::sync::Arc;

use crate::setters::setters;

/// The subtasks of a task that reported, by index.
///
/// A clone shares the subtasks with the original until one of the two changes. So the tracker
/// returns those of a checkpoint without a copy.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::checkpoint::{SubtaskStats, Subtasks};
///
/// let subtasks: Subtasks = (0..3).map(|index| SubtaskStats::new(index, 1_000)).collect();
/// assert_eq!(subtasks.len(), 3);
/// assert_eq!(subtasks.iter().next().map(|subtask| subtask.index), Some(0));
/// ```
#[derive(Clone, Default)]
pub struct Subtasks {
    /// The number of subtasks.
    len: usize,
    /// The subtasks by position, with gaps.
    slots: Arc<Vec<Option<SubtaskStats>>>,
}

impl Subtasks {
    /// Returns the number of subtasks.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if no subtask reported.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns an iterator over the subtasks.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SubtaskStats> + Clone {
        Iter { slots: self.slots.iter(), left: self.len }
    }

    /// Returns an iterator that shares the subtasks with the original, as a clone does.
    ///
    /// A late report copies those of its task once, if the iterator is still there.
    pub(super) fn shared_iter(&self) -> impl ExactSizeIterator<Item = SubtaskStats> + 'static {
        SharedIter { slots: self.slots.clone(), next: 0, left: self.len }
    }

    /// Returns an iterator that can change the subtasks. If they are shared, it copies all of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut SubtaskStats> {
        Arc::make_mut(&mut self.slots).iter_mut().flatten()
    }

    /// Returns `true` if the subtask at a position reported.
    pub(super) fn has(&self, slot: usize) -> bool {
        matches!(self.slots.get(slot), Some(Some(_)))
    }

    /// Adds the subtask at a position that is free.
    pub(super) fn fill(&mut self, slot: usize, subtask: SubtaskStats) {
        let slots = Arc::make_mut(&mut self.slots);
        if slots.len() <= slot {
            slots.resize_with(slot + 1, || None);
        }
        slots[slot] = Some(subtask);
        self.len += 1;
    }
}

impl FromIterator<SubtaskStats> for Subtasks {
    fn from_iter<I: IntoIterator<Item = SubtaskStats>>(subtasks: I) -> Self {
        let slots: Vec<_> = subtasks.into_iter().map(Some).collect();
        Self { len: slots.len(), slots: Arc::new(slots) }
    }
}

impl From<Vec<SubtaskStats>> for Subtasks {
    fn from(subtasks: Vec<SubtaskStats>) -> Self {
        subtasks.into_iter().collect()
    }
}

impl PartialEq for Subtasks {
    /// Compares the subtasks, without the gaps between them.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Subtasks {}

impl fmt::Debug for Subtasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An iterator over subtasks that knows their number.
#[derive(Clone)]
struct Iter<'a> {
    slots: slice::Iter<'a, Option<SubtaskStats>>,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a SubtaskStats;

    fn next(&mut self) -> Option<&'a SubtaskStats> {
        let next = self.slots.by_ref().flatten().next()?;
        self.left -= 1;
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// An [`Iter`] that shares the subtasks.
struct SharedIter {
    slots: Arc<Vec<Option<SubtaskStats>>>,
    next: usize,
    left: usize,
}

impl Iterator for SharedIter {
    type Item = SubtaskStats;

    fn next(&mut self) -> Option<SubtaskStats> {
        let (gap, next) =
            self.slots.get(self.next..)?.iter().enumerate().find_map(|(gap, slot)| Some((gap, slot.clone()?)))?;
        self.next += gap + 1;
        self.left -= 1;
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for SharedIter {}

/// The statistics of one subtask of a checkpoint. Flink's `SubtaskStateStats`.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::checkpoint::{SubtaskMetric, SubtaskStats};
///
/// let subtask = SubtaskStats::new(0, 1_795_230_921_354).with_metrics([
///     (SubtaskMetric::StateSizeBytes, 4096),
///     (SubtaskMetric::SyncCheckpointDurationMs, 2),
/// ]);
/// assert_eq!(subtask.metric(SubtaskMetric::StateSizeBytes), Some(4096));
/// assert_eq!(subtask.metric(SubtaskMetric::AlignmentDurationMs), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubtaskStats {
    /// The index within the task, from 0.
    pub index: i64,
    /// The time at which the report arrived, in milliseconds since the epoch.
    pub ack_timestamp: i64,
    /// `true` if in-flight data was persisted.
    pub is_unaligned: bool,
    /// `true` if the subtask acknowledged; `false` for an aborted snapshot and for a late report.
    pub is_completed: bool,
    /// The host on which the subtask ran, if the source knows it.
    pub host: Option<Arc<str>>,
    /// A bit for each metric that is known, in the order of [`SubtaskMetric::ALL`].
    known: u8,
    /// The metrics in that order; 0 if they are not known.
    metrics: [i64; SubtaskMetric::ALL.len()],
}

impl SubtaskStats {
    /// Creates the statistics of an aligned subtask that acknowledged at `ack_timestamp`, without
    /// metrics.
    pub fn new(index: i64, ack_timestamp: i64) -> Self {
        let metrics = [0; SubtaskMetric::ALL.len()];
        Self { index, ack_timestamp, is_unaligned: false, is_completed: true, host: None, known: 0, metrics }
    }

    setters! {
        with_unaligned: is_unaligned, bool;
        with_completed: is_completed, bool;
        with_host: host, into Option<Arc<str>>;
    }

    /// Sets each of `metrics`. A value of −1 means that the subtask left the metric unset.
    #[must_use]
    pub fn with_metrics<V: Into<Option<i64>>>(mut self, metrics: impl IntoIterator<Item = (SubtaskMetric, V)>) -> Self {
        for (metric, value) in metrics {
            let value = value.into();
            let (bit, is_known) = (1 << metric as u8, u8::from(value.is_some()) << metric as u8);
            self.known = self.known & !bit | is_known;
            self.metrics[metric as usize] = value.unwrap_or_default();
        }
        self
    }

    /// Returns the value of `metric`; `None` if the source does not know it.
    pub fn metric(&self, metric: SubtaskMetric) -> Option<i64> {
        (self.known >> metric as u8 & 1 == 1).then_some(self.metrics[metric as usize])
    }

    /// Returns a bit for each metric that is known, and all values, in the order of
    /// [`SubtaskMetric::ALL`].
    pub(super) fn metrics(&self) -> (u8, &[i64; SubtaskMetric::ALL.len()]) {
        (self.known, &self.metrics)
    }
}

/// A metric of a subtask's part in a checkpoint.
///
/// Flink's `CheckpointSpanMetric`s of `DefaultCheckpointStatsTracker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubtaskMetric {
    /// The bytes of state that the subtask refers to.
    StateSizeBytes,
    /// The bytes that the subtask wrote.
    CheckpointedSizeBytes,
    /// The time from the trigger to the start of the subtask's snapshot.
    CheckpointStartDelayMs,
    /// The time from the first to the last barrier.
    AlignmentDurationMs,
    /// The duration of the synchronous phase, which stops processing.
    SyncCheckpointDurationMs,
    /// The duration of the asynchronous phase, which runs beside processing.
    AsyncCheckpointDurationMs,
    /// The bytes that were processed during alignment.
    ProcessedDataBytes,
    /// The bytes of in-flight data that were persisted.
    PersistedDataBytes,
}

impl SubtaskMetric {
    /// All metrics, in Flink's order.
    pub const ALL: [Self; 8] = [
        Self::StateSizeBytes,
        Self::CheckpointedSizeBytes,
        Self::CheckpointStartDelayMs,
        Self::AlignmentDurationMs,
        Self::SyncCheckpointDurationMs,
        Self::AsyncCheckpointDurationMs,
        Self::ProcessedDataBytes,
        Self::PersistedDataBytes,
    ];
}

#[cfg(test)]
mod tests {
    use flink_traces_api::SystemClock;

    use super::super::spans::checkpoint_span;
    use super::super::{CheckpointStats, CheckpointStatus, CheckpointType, TaskStats};
    use super::*;
    use crate::JobIdentity;
    use crate::config::SpanDetailLevel;

    /// Guarantees: the tree of a large task shares the subtasks until its spans are built.
    #[test]
    fn spans_of_many_subtasks_are_built_later() {
        for (count, is_shared) in [(15, false), (16, true)] {
            let subtasks: Subtasks = (0..count).map(|index| SubtaskStats::new(index, 1)).collect();
            let task = TaskStats::new("a").with_subtasks(subtasks.clone());
            let stats = CheckpointStats::new(1, 1, CheckpointType::Checkpoint, CheckpointStatus::Completed);
            let job = JobIdentity { cluster: "prod", job_id: "5c4b" };
            let detail = SpanDetailLevel::ChildrenSpansPerSubtask;
            let span = checkpoint_span(job, &stats.with_tasks(vec![task]), detail).build(&SystemClock);
            assert_eq!(Arc::strong_count(&subtasks.slots), 1 + usize::from(is_shared), "{count}");
            assert_eq!(span.children()[0].children().len(), subtasks.len());
            assert_eq!(Arc::strong_count(&subtasks.slots), 1);
        }
    }

    #[test]
    fn iterators_skip_gaps_and_know_their_length() {
        for slots in [&[][..], &[0], &[3], &[0, 1, 5, 2], &[9, 4]] {
            let mut subtasks = Subtasks::default();
            slots.iter().for_each(|slot| subtasks.fill(*slot, SubtaskStats::new(*slot as i64, 1)));
            let mut expected: Vec<_> = slots.iter().map(|slot| *slot as i64).collect();
            expected.sort_unstable();
            let mut shared = subtasks.shared_iter();
            for (passed, (subtask, index)) in subtasks.iter().zip(expected).enumerate() {
                assert_eq!(shared.len(), slots.len() - passed);
                assert_eq!((subtask.index, shared.next()), (index, Some(subtask.clone())));
            }
            assert_eq!((shared.len(), shared.next(), subtasks.iter().len()), (0, None, slots.len()));
        }
    }
}
