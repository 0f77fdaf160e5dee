//! The requests of one job: which were sent, which are in flight, and which are due.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use flink_rest::{Job, JobId, Resource};
use litemap::LiteMap;

use super::{REFRESH_MS, SETTLE_MS, hash, release};

/// The pause after a request without a response. It doubles with each one in a row.
const FIRST_BACKOFF_MS: i64 = REFRESH_MS;
const LONGEST_BACKOFF_MS: i64 = 60_000;

/// The time at which jobs are asked for requests.
///
/// Waking up for a request costs more than the request. So what can wait is sent when a poll of the
/// cluster begins, which takes up everything that would be due a little later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// The present time.
    pub(super) now: i64,
    /// The time up to which requests are sent now.
    pub(super) until: i64,
    /// The time for which requests wait for a poll, if they can wait.
    pub(super) slack: i64,
}

/// The requests of a job.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The times of the requests of the last three seconds, by the hash of each. Two requests with
    /// the same hash would only delay each other.
    asked_at: BTreeMap<u64, i64>,
    /// The requests without an outcome, with their times. A node of the map is small, because the
    /// requests are not in it.
    in_flight: BTreeMap<Box<Resource>, i64>,
    /// The requests in flight that take longer than they should.
    slow: BTreeSet<Resource>,
    /// The requests that had no response in time.
    timeouts: BTreeMap<Resource, Backoff>,
    pub(super) statistics_asked_at: Option<i64>,
    /// The time at which the checkpoints are due again.
    pub(super) statistics_due: i64,
    /// `true` if the checkpoint configuration is known, which never changes.
    pub(super) knows_config: bool,
    /// `true` if the overview has the time of the last change.
    is_dated: bool,
    /// The end of the time in which the job's statuses may have changed. Its details are the most
    /// expensive response for the JobManager, and contain nothing else.
    pub(super) details_until: i64,
    /// The end of the time in which failures and the times of subtasks are of interest.
    pub(super) active_until: i64,
    /// The time at which a change was last seen. Responses to requests after the caches expired
    /// show it.
    changed_at: i64,
    /// The times of the requests whose responses had the last statuses and failures, by template.
    answered: LiteMap<&'static str, i64>,
    /// The time at which a request that was wanted again too early may be sent again; the largest
    /// number without any.
    again_at: i64,
    /// The time until which no request is due, unless a response arrives.
    pub(super) idle_until: i64,
    /// `true` if nothing has changed since the job was first seen, nor shortly before that.
    pub(super) is_old: bool,
    /// `true` if one response after a change has to be sufficient, because each response fills the
    /// cache of a JobManager that may end before the cache expires.
    is_sparing: bool,
    /// The time between two checkpoints, in milliseconds; 0 if it is unknown.
    pub(super) checkpoint_interval: i64,
}

#[derive(Debug, Clone, Copy)]
struct Backoff {
    count: u32,
    until: i64,
}

impl Schedule {
    /// Creates the schedule of a job that is first seen at `at` and last changed at
    /// `last_modification`, if that is known.
    pub(super) fn new(at: i64, last_modification: Option<i64>) -> Self {
        // If a job has not changed for long, the first responses are sufficient.
        let is_old =
            last_modification.is_some_and(|modified| (0..at.saturating_sub(2 * SETTLE_MS)).contains(&modified));
        Self {
            asked_at: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            slow: BTreeSet::new(),
            timeouts: BTreeMap::new(),
            statistics_asked_at: None,
            statistics_due: i64::MAX,
            knows_config: false,
            is_dated: last_modification.is_some(),
            details_until: 0,
            active_until: at.saturating_add(2 * SETTLE_MS),
            changed_at: if is_old { at.saturating_sub(SETTLE_MS) } else { at },
            answered: LiteMap::new(),
            again_at: i64::MAX,
            idle_until: i64::MIN,
            is_old,
            is_sparing: false,
            checkpoint_interval: 0,
        }
    }

    pub(super) fn note_change(&mut self, at: i64) {
        self.changed_at = at;
        self.is_old = false;
    }

    /// Makes every request due, because cached responses may already show a change.
    pub(super) fn forget_requests(&mut self) {
        self.idle_until = i64::MIN;
        self.asked_at.clear();
        self.statistics_asked_at = None;
    }

    /// Notes that a request is slow. Until its outcome, the job gets no other request.
    pub(super) fn note_slow(&mut self, resource: &Resource) {
        if self.in_flight.contains_key(resource) {
            self.slow.insert(resource.clone());
        }
    }

    /// Returns `true` if a request is slow.
    pub(super) fn is_held(&self) -> bool {
        !self.slow.is_empty()
    }

    /// Notes the outcome of a request. Returns the time at which it was sent, or `at` for a
    /// response of a recording.
    pub(super) fn finish(&mut self, at: i64, resource: &Resource, has_timed_out: bool) -> i64 {
        self.idle_until = i64::MIN;
        self.slow.remove(resource);
        match has_timed_out {
            true => {
                let count = self.timeouts.get(resource).map_or(0, |backoff| backoff.count);
                let pause = FIRST_BACKOFF_MS.saturating_mul(1 << count.min(10)).min(LONGEST_BACKOFF_MS);
                let backoff = Backoff { count: count + 1, until: at.saturating_add(pause) };
                self.timeouts.insert(resource.clone(), backoff);
            }
            false => drop(self.timeouts.remove(resource)),
        }
        let sent_at = self.in_flight.remove(resource).unwrap_or(at);
        release(&mut self.in_flight);
        sent_at
    }

    /// Notes that the response to a request had all statuses or failures.
    pub(super) fn note_answered(&mut self, resource: &Resource, asked_at: i64) {
        self.answered.insert(resource.template(), asked_at);
    }

    /// Returns `true` if a response to a request at that time shows the last change, because
    /// responses cached before the change have expired.
    pub(super) fn shows_the_change(&self, asked_at: i64) -> bool {
        let settle_time = if self.is_sparing { 0 } else { SETTLE_MS };
        self.is_dated && asked_at >= self.changed_at.saturating_add(settle_time)
    }

    /// Makes one response after a change sufficient, if the overview shows every change.
    pub(super) fn set_sparing(&mut self, is_sparing: bool) {
        self.is_sparing = is_sparing && self.is_dated;
    }

    /// Returns `true` if one response after a change is sufficient.
    pub(super) fn is_sparing(&self) -> bool {
        self.is_sparing
    }

    /// Returns `true` if no change was seen since that time.
    pub(super) fn is_after_change(&self, asked_at: i64) -> bool {
        asked_at >= self.changed_at
    }

    /// Returns `true` if the subtasks of the job may have restarted since their times were
    /// requested: for some time after its status changed, and until its statuses are known after
    /// another change.
    pub(super) fn may_have_moved(&self, now: i64, job: &JobId) -> bool {
        let statuses = self.answered.get(Resource::from(Job { job: job.clone() }).template());
        let has_statuses = statuses.is_some_and(|asked| self.is_after_change(*asked));
        now < self.active_until || (now < self.details_until && !has_statuses)
    }

    pub(super) fn ask_unless_known(&mut self, now: i64, resource: Resource, wanted: &mut Vec<Resource>) {
        if !self.answered.get(resource.template()).is_some_and(|asked| self.shows_the_change(*asked)) {
            self.ask(now, resource, wanted);
        }
    }

    /// Adds a request, unless it was sent in the last three seconds.
    pub(super) fn ask(&mut self, now: i64, resource: Resource, wanted: &mut Vec<Resource>) {
        if self.is_pending(now, &resource) {
            return;
        }
        match self.asked_at.entry(hash(&resource)) {
            Entry::Vacant(entry) => {
                entry.insert(now);
                self.in_flight.insert(Box::new(resource.clone()), now);
                wanted.push(resource);
            }
            Entry::Occupied(asked) => self.again_at = self.again_at.min(asked.get().saturating_add(REFRESH_MS)),
        }
    }

    /// Adds the request for the checkpoints, if it is due.
    ///
    /// `due` returns the time of the next request from that of the last one.
    pub(super) fn ask_statistics(
        &mut self,
        turn: Turn,
        resource: Resource,
        due: impl Fn(i64) -> i64,
        wanted: &mut Vec<Resource>,
    ) {
        self.statistics_due = self.statistics_asked_at.map_or(turn.now, &due);
        if turn.until >= self.statistics_due && !self.is_pending(turn.now, &resource) {
            self.statistics_asked_at = Some(turn.now);
            self.statistics_due = due(turn.now);
            self.in_flight.insert(Box::new(resource.clone()), turn.now);
            wanted.push(resource);
        }
    }

    /// Returns `true` if a request has no outcome yet.
    pub(super) fn is_in_flight(&self, resource: &Resource) -> bool {
        self.in_flight.contains_key(resource)
    }

    /// Returns `true` if a request is in flight, or waits after it had no response in time.
    fn is_pending(&self, now: i64, resource: &Resource) -> bool {
        self.is_in_flight(resource) || self.timeouts.get(resource).is_some_and(|backoff| now < backoff.until)
    }

    pub(super) fn forget_expired(&mut self, now: i64) {
        if now >= self.again_at {
            self.again_at = i64::MAX;
        }
        self.asked_at.retain(|_, asked| now < asked.saturating_add(REFRESH_MS));
        release(&mut self.asked_at);
        let in_flight = &self.in_flight;
        self.timeouts.retain(|resource, backoff| {
            now < backoff.until.saturating_add(LONGEST_BACKOFF_MS) || in_flight.contains_key(resource)
        });
    }

    /// Notes that no request is due, and until when.
    pub(super) fn note_idle(&mut self, turn: Turn) {
        let now = turn.now;
        let backoff = self.timeouts.values().map(|backoff| backoff.until).filter(|until| *until > now).min();
        // Nothing else is urgent.
        let usual = now.saturating_add(turn.slack).saturating_add(REFRESH_MS);
        let due = usual.min(self.again_at).min(self.statistics_due).min(backoff.unwrap_or(i64::MAX));
        self.idle_until = due.max(now + 1);
    }
}

#[cfg(test)]
mod tests {
    use flink_rest::JobsOverview;

    use super::*;

    /// Guarantees: a request that is wanted again is due three seconds after the last one, also
    /// after a look at the job before that. Without such a request, nothing is due for longer.
    #[test]
    fn only_what_is_wanted_again_is_due_after_three_seconds() {
        let mut schedule = Schedule::new(0, Some(0));
        let mut wanted = Vec::new();
        let mut idle_until = |schedule: &mut Schedule, now: i64, is_wanted: bool| {
            schedule.forget_expired(now);
            if is_wanted {
                schedule.ask(now, JobsOverview.into(), &mut wanted);
                schedule.finish(now, &JobsOverview.into(), false);
            }
            schedule.note_idle(Turn { now, until: now, slack: 5_000 });
            schedule.idle_until
        };
        assert_eq!(idle_until(&mut schedule, 1_000, true), 9_000);
        assert_eq!(idle_until(&mut schedule, 1_500, true), 4_000);
        assert_eq!(idle_until(&mut schedule, 2_000, false), 4_000);
        assert_eq!(idle_until(&mut schedule, 4_000, false), 12_000);
        assert_eq!(wanted.len(), 1);
    }
}
