//! The rescales of a job by the Adaptive scheduler.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flink_rest::RescaleId;
use flink_rest::types::{JobRescaleDetails, JobRescalesHistory};
use flink_traces_runtime::extension::{CausedInitialization, Rescale};

use super::{SETTLE_MS, convert};
use crate::observation::Observation;

/// The time between two requests for the history while nothing changes. A rescale that is ignored
/// changes nothing.
const IDLE_MS: i64 = 30_000;
/// The longest time for which a rescale waits for the initialization that it caused. A restore of a
/// large state takes its time.
const LONGEST_WAIT_MS: i64 = 600_000;
/// The largest time between the end of a rescale and the start of its initialization. The start of
/// one without a restore may be inferred.
const START_AFTER_MS: i64 = 1_000;
/// The maximum number of initializations that are remembered.
const MAX_INITIALIZATIONS: usize = 16;

/// The rescales of one job.
#[derive(Debug, Default)]
pub(super) struct Rescales {
    /// `true` if the cluster keeps no rescales, which it does only if it is configured to.
    is_missing: bool,
    /// `true` if one was in progress in the last response.
    is_in_progress: bool,
    /// The time at which the history is due although nothing has changed.
    due: i64,
    /// The rescales that ended and are not reported yet.
    ended: BTreeMap<RescaleId, Ended>,
    /// The reported rescales that are still in responses.
    reported: BTreeSet<RescaleId>,
    /// The last initializations.
    initializations: VecDeque<CausedInitialization>,
}

/// A rescale that ended.
#[derive(Debug)]
struct Ended {
    /// The rescale with its details, or without them as it is in the history.
    rescale: Rescale,
    /// `true` if no details are awaited.
    is_whole: bool,
    seen_at: i64,
}

impl Rescales {
    /// Starts with the rescales of another JobManager, which has none of the earlier ones.
    pub(super) fn begin_epoch(&mut self) {
        self.is_missing = false;
    }

    /// Returns `true` if the cluster may keep rescales.
    pub(super) fn may_exist(&self) -> bool {
        !self.is_missing
    }

    /// Returns `true` if the history is due although nothing has changed.
    pub(super) fn is_due(&self, now: i64) -> bool {
        self.is_in_progress || now >= self.due
    }

    pub(super) fn observe_history(&mut self, at: i64, history: &JobRescalesHistory) {
        self.due = at.saturating_add(IDLE_MS);
        self.is_in_progress = history.rescales.iter().any(|rescale| rescale.terminal_state.is_none());
        let shown: BTreeSet<&RescaleId> = history.rescales.iter().map(|rescale| &rescale.rescale_uuid).collect();
        self.reported.retain(|id| shown.contains(id));
        for rescale in history.rescales.iter().filter(|rescale| rescale.terminal_state.is_some()) {
            let id = &rescale.rescale_uuid;
            if !self.reported.contains(id) && !self.ended.contains_key(id) {
                let ended = Ended { rescale: convert::rescale(rescale), is_whole: false, seen_at: at };
                self.ended.insert(id.clone(), ended);
            }
        }
    }

    /// Notes that the cluster keeps no rescales of the job.
    pub(super) fn observe_missing_history(&mut self) {
        self.is_missing = true;
    }

    pub(super) fn observe_details(&mut self, at: i64, details: JobRescaleDetails) {
        // Details without a final state are those of a moment before the end.
        if details.terminal_state.is_some()
            && let Some(ended) = self.ended.get_mut(&details.rescale_uuid)
        {
            *ended = Ended { rescale: convert::rescale(&details), is_whole: true, seen_at: at };
        }
    }

    /// Notes that the cluster no longer has the details of a rescale.
    pub(super) fn observe_missing_details(&mut self, id: &RescaleId) {
        if let Some(ended) = self.ended.get_mut(id) {
            ended.is_whole = true;
        }
    }

    /// Takes an initialization that is reported now.
    pub(super) fn observe_initialization(&mut self, initialization: CausedInitialization) {
        self.initializations.push_back(initialization);
        if self.initializations.len() > MAX_INITIALIZATIONS {
            self.initializations.pop_front();
        }
    }

    /// Returns the rescales whose details are wanted.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &RescaleId> {
        self.ended.iter().filter(|(_, ended)| !ended.is_whole).map(|(id, _)| id)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.ended.is_empty()
    }

    /// Reports the rescales that are complete, and those whose details or whose initialization will
    /// not arrive. `awaits_subtasks` is `true` while the job initializes.
    pub(super) fn advance(&mut self, now: i64, awaits_subtasks: bool, emit: &mut impl FnMut(Observation)) {
        if self.ended.is_empty() {
            return;
        }
        let mut due: Vec<Rescale> = Vec::new();
        let (reported, initializations) = (&mut self.reported, &self.initializations);
        self.ended.retain(|id, Ended { rescale, is_whole, seen_at }| {
            let is_late = now >= seen_at.saturating_add(3 * SETTLE_MS);
            let initialization = caused(rescale, initializations);
            let is_linked = initialization.is_some() || rescale.terminal_state != COMPLETED;
            let is_given_up = is_late && !awaits_subtasks || now >= seen_at.saturating_add(LONGEST_WAIT_MS);
            let waits = !(*is_whole || is_late) || !(is_linked || is_given_up);
            if !waits {
                reported.insert(id.clone());
                due.push(rescale.clone().with_initialization(initialization));
            }
            waits
        });
        due.sort_by_key(|rescale| rescale.end_timestamp);
        due.into_iter().for_each(|rescale| emit(Observation::Rescale(Box::new(rescale))));
    }
}

/// The terminal state of a rescale that took place.
const COMPLETED: &str = "COMPLETED";

/// Returns the last initialization that began during the rescale.
fn caused(rescale: &Rescale, initializations: &VecDeque<CausedInitialization>) -> Option<CausedInitialization> {
    let period = rescale.start_timestamp..=rescale.end_timestamp.saturating_add(START_AFTER_MS);
    let began = initializations.iter().rev().find(|initialization| period.contains(&initialization.identity_timestamp));
    began.copied().filter(|_| rescale.terminal_state == COMPLETED)
}
