//! The number of checkpoints that ended unseen.

use std::collections::BTreeSet;

use flink_rest::CheckpointStatus;
use flink_rest::types::{CheckpointStatistics, CheckpointingStatistics};

use crate::observation::MissedCheckpoints;

/// The history has room for a checkpoint in progress and for one that is triggered early.
pub(super) const SPARE_ENTRIES: i64 = 2;
/// The maximum number of ids between two others in a history that are unused.
const MAX_HOLES: usize = 100;
/// Advised sizes of the history are multiples of this.
const ADVICE_STEP: i64 = 10;

/// The ended checkpoints of a job that no response showed as ended.
///
/// Completed ones are known from the growth of `counts.completed`. Ids are consecutive, so a gap
/// between them also shows those that failed. `counts.failed` is not used, because it contains
/// triggers that failed before they had an id.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    epoch: Option<Epoch>,
    /// The ids of the previous epoch.
    previous: Option<Ids>,
    /// `true` if there was a previous epoch.
    has_previous: bool,
}

/// The statistics of one JobManager, which start with zero.
#[derive(Debug)]
struct Epoch {
    /// `None` until the history has an id.
    ids: Option<Ids>,
    /// `counts.completed` when no completed checkpoint had been missed.
    completed_before: i64,
    /// `counts.total` in the first response.
    first_total: i64,
    /// The number of checkpoints that were seen completed.
    seen_completed: i64,
    /// The number of completed checkpoints that had been missed by the first response.
    missed_before: i64,
    /// The number of missed ids since then.
    missed_ids: i64,
    reported: i64,
}

/// The statistics of a response.
#[derive(Clone, Copy)]
pub(super) struct SeenStatistics<'a> {
    /// The time of the response.
    pub(super) at: i64,
    pub(super) body: &'a CheckpointingStatistics,
    /// The checkpoints that were not seen ended before.
    pub(super) newly_ended: &'a [&'a CheckpointStatistics],
    /// `true` if the job started while the cluster was watched.
    pub(super) is_watched_from_start: bool,
    /// The id of the restored checkpoint if that is a checkpoint of this job.
    pub(super) own_restore: Option<i64>,
}

/// The ids up to which all checkpoints are known to be seen or missed.
#[derive(Debug)]
struct Ids {
    /// The first id that was considered.
    first: i64,
    /// The lowest id that may still be seen in the history.
    next: i64,
    /// The ids from `next` on that were seen ended.
    ended: BTreeSet<i64>,
}

impl Ids {
    fn new(first: i64) -> Self {
        Self { first, next: first, ended: BTreeSet::new() }
    }

    /// Notes the ids that no checkpoint has, because a history lacks them between others. Before
    /// 1.13, triggers that fail use an id.
    fn note_holes(&mut self, body: &CheckpointingStatistics) {
        let shown: BTreeSet<i64> = body.history.iter().map(|entry| entry.id).collect();
        for (id, next) in shown.iter().zip(shown.iter().skip(1)) {
            let holes = id.saturating_add(1).max(self.next)..*next;
            self.ended.extend(holes.take(MAX_HOLES));
        }
    }

    /// Considers all ids before `end`. Returns the number of those that were not seen ended, and
    /// the first of them.
    fn advance_to(&mut self, end: i64) -> (i64, i64) {
        if end <= self.next {
            return (0, self.next);
        }
        let later = self.ended.split_off(&end);
        let seen = std::mem::replace(&mut self.ended, later);
        let count = end.saturating_sub(self.next).saturating_sub(seen.len() as i64);
        let mut first = self.next;
        for id in seen {
            if id > first {
                break;
            }
            first = id + 1;
        }
        self.next = end;
        (count, first)
    }
}

impl Gaps {
    /// Starts a new epoch with the next response, because another JobManager has taken over.
    pub(super) fn begin_epoch(&mut self) {
        if let Some(epoch) = self.epoch.take() {
            self.previous = epoch.ids.or(self.previous.take());
            self.has_previous = true;
        }
    }

    /// Takes the statistics of a response.
    pub(super) fn observe(&mut self, seen: &SeenStatistics<'_>) -> Option<MissedCheckpoints> {
        let SeenStatistics { at, body, newly_ended, .. } = *seen;
        let is_completed = |entry: &&&CheckpointStatistics| entry.status == CheckpointStatus::Completed;
        let newly_completed = newly_ended.iter().filter(is_completed).count() as i64;
        let oldest = body.history.iter().map(|entry| entry.id).filter(|id| *id >= 0).min();
        let Some(epoch) = &mut self.epoch else {
            return self.begin(seen, oldest, newly_completed);
        };
        epoch.seen_completed += newly_completed;
        let ids = epoch.ids.take().or_else(|| oldest.map(Ids::new));
        let (mut gap, mut first_missed, mut end) = (0, 0, oldest);
        if let Some(mut ids) = ids {
            for entry in newly_ended {
                if entry.id >= ids.next {
                    ids.ended.insert(entry.id);
                } else if entry.id >= ids.first {
                    // It outlived the history in progress.
                    epoch.missed_ids -= 1;
                }
            }
            end = end.or(ids.ended.last().copied());
            ids.note_holes(body);
            (gap, first_missed) = ids.advance_to(oldest.unwrap_or(ids.next));
            epoch.ids = Some(ids);
        }
        // No more checkpoints can have an id than were counted.
        let growth = body.counts.total.saturating_sub(epoch.first_total).max(0);
        epoch.missed_ids = epoch.missed_ids.saturating_add(gap).min(growth);
        let missed = epoch.missed(body);
        let count = missed.saturating_sub(epoch.reported);
        if count <= 0 {
            return None;
        }
        epoch.reported = missed;
        let last_id = end.unwrap_or(1).saturating_sub(1);
        let first_id = if gap > 0 { first_missed } else { last_id.saturating_sub(count - 1) };
        let newest = body.history.iter().map(|entry| entry.id).max();
        let needed = newest.map(|newest| newest.saturating_sub(first_id).saturating_add(1));
        let missed = MissedCheckpoints::new(count, first_id.max(0).min(last_id), last_id, at);
        Some(missed.with_history_needed(needed.map(advised)))
    }

    /// Takes the first response of an epoch.
    fn begin(
        &mut self,
        seen: &SeenStatistics<'_>,
        oldest: Option<i64>,
        newly_completed: i64,
    ) -> Option<MissedCheckpoints> {
        let SeenStatistics { at, body, newly_ended, is_watched_from_start, own_restore } = *seen;
        let previous = self.previous.take();
        let is_new = is_watched_from_start || self.has_previous;
        let completed = body.counts.completed;
        let mut epoch = Epoch {
            ids: oldest.map(Ids::new),
            completed_before: if is_new { 0 } else { completed.saturating_sub(newly_completed) },
            first_total: body.counts.total,
            seen_completed: newly_completed,
            missed_before: 0,
            missed_ids: 0,
            reported: 0,
        };
        if let Some(ids) = &mut epoch.ids {
            ids.note_holes(body);
            ids.ended.extend(newly_ended.iter().map(|entry| entry.id).filter(|id| *id >= ids.next));
        }
        epoch.missed_before = epoch.missed(body).max(0);
        epoch.reported = epoch.missed_before;
        // The statistics of the previous JobManager are gone. Its last completed checkpoint is the
        // one that was restored.
        let (mut lost, mut first_id) = (0, None);
        if let (Some(mut ids), Some(restored)) = (previous, own_restore) {
            let (count, first_missed) = ids.advance_to(restored.saturating_add(1));
            (lost, first_id) = (count, Some(first_missed));
        }
        let count = lost.saturating_add(epoch.missed_before);
        let last_id = match (epoch.missed_before > 0, oldest, own_restore) {
            (true, Some(oldest), _) => oldest.saturating_sub(1),
            (_, _, Some(restored)) if lost > 0 => restored,
            _ => newly_ended.iter().map(|entry| entry.id).min().unwrap_or(1).saturating_sub(1),
        };
        let newest = body.history.iter().map(|entry| entry.id).max();
        let history_needed = newest.filter(|_| epoch.missed_before > 0).map(|newest| {
            let missed_since = last_id.saturating_sub(epoch.missed_before);
            advised(newest.saturating_sub(missed_since))
        });
        self.epoch = Some(epoch);
        let first_id = first_id.filter(|_| lost > 0).unwrap_or(last_id.saturating_sub(count.saturating_sub(1)));
        let missed = MissedCheckpoints::new(count, first_id.max(0).min(last_id), last_id, at);
        (count > 0).then_some(missed.with_history_needed(history_needed))
    }
}

impl Epoch {
    /// Returns the number of missed checkpoints so far.
    fn missed(&self, body: &CheckpointingStatistics) -> i64 {
        let shown = body.history.iter().filter(|entry| entry.status == CheckpointStatus::InProgress).count() as i64;
        // One that left the history in progress has not ended.
        let hidden = body.counts.in_progress.saturating_sub(shown).max(0);
        let by_counts = body.counts.completed.saturating_sub(self.completed_before).saturating_sub(self.seen_completed);
        by_counts.max(self.missed_before.saturating_add(self.missed_ids).saturating_sub(hidden))
    }
}

/// Returns the size of the history to advise, so that `checkpoints` fit with some spare entries.
fn advised(checkpoints: i64) -> i64 {
    let needed = checkpoints.saturating_add(SPARE_ENTRIES);
    (needed.saturating_add(ADVICE_STEP - 1) / ADVICE_STEP).saturating_mul(ADVICE_STEP)
}
