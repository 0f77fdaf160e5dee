//! The jobs of a cluster, by id and by the time of their next request.

use std::collections::{BTreeMap, BTreeSet};

use flink_rest::JobId;

use super::job::JobObserver;

/// The observers of the jobs that a cluster has.
///
/// A cluster has thousands of jobs, and each response makes one of them due. So the jobs are also
/// in the order of their next requests, and a change of a job keeps that order.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// In boxes, because a map has room for eleven entries, and many a cluster has one job.
    by_id: BTreeMap<JobId, Box<JobObserver>>,
    by_time: BTreeSet<(i64, JobId)>,
}

impl Jobs {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &JobObserver> {
        self.by_id.values().map(|job| &**job)
    }

    pub(super) fn contains(&self, id: &JobId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Adds a job.
    pub(super) fn insert(&mut self, id: JobId, job: JobObserver) {
        self.remove(&id);
        self.by_time.insert((job.next_request_at(), id.clone()));
        self.by_id.insert(id, Box::new(job));
    }

    pub(super) fn remove(&mut self, id: &JobId) -> Option<JobObserver> {
        let job = self.by_id.remove(id)?;
        self.by_time.remove(&(job.next_request_at(), id.clone()));
        Some(*job)
    }

    /// Calls `change` with a job, if the cluster has it.
    pub(super) fn change<T>(&mut self, id: &JobId, change: impl FnOnce(&mut JobObserver) -> T) -> Option<T> {
        let job = self.by_id.get_mut(id)?;
        let before = job.next_request_at();
        let result = change(job);
        let after = job.next_request_at();
        if after != before {
            self.by_time.remove(&(before, id.clone()));
            self.by_time.insert((after, id.clone()));
        }
        Some(result)
    }

    /// Calls `change` with each job, in the order of the ids.
    pub(super) fn change_each(&mut self, mut change: impl FnMut(&JobId, &mut JobObserver)) {
        for (id, job) in &mut self.by_id {
            change(id, job);
        }
        self.by_time = self.by_id.iter().map(|(id, job)| (job.next_request_at(), id.clone())).collect();
    }

    /// Returns the jobs with a request that may be due, in the order of the ids.
    pub(super) fn ready(&self, now: i64) -> Vec<JobId> {
        let ready = self.by_time.iter().take_while(|(at, _)| *at <= now);
        let mut ready: Vec<_> = ready.map(|(_, id)| id.clone()).collect();
        ready.sort_unstable();
        ready
    }

    /// Returns the time of the next request for any job.
    pub(super) fn next_request_at(&self) -> Option<i64> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use flink_rest::types::JobDetails;

    use super::*;
    use crate::observer::cluster::Cluster;
    use crate::observer::schedule::Turn;

    fn job(number: u32) -> (JobId, JobObserver) {
        let summary = format!(
            r#"{{"jid": "{number:032x}", "name": "job", "state": "RUNNING", "start-time": 1, "end-time": -1,
                "duration": 1, "last-modification": 1, "tasks": {{"total": 1, "running": 1}}}}"#
        );
        let summary: JobDetails = serde_json::from_str(&summary).unwrap();
        let mut job = JobObserver::new(&summary, 0, false);
        job.observe_summary(0, &summary, &mut Vec::new());
        (summary.jid, job)
    }

    /// Guarantees: after any changes, the jobs that are due are those that say so themselves.
    #[test]
    fn order_follows_every_change() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut jobs = Jobs::default();
            for now in (0..20_000).step_by(100) {
                let (id, new) = job(random.u32(0..8));
                match random.u32(0..10) {
                    0 => jobs.insert(id, new),
                    1 => drop(jobs.remove(&id)),
                    2 => jobs.change_each(|_, job| assert!(!job.observe_absent(now))),
                    _ => {
                        let mut wanted = Vec::new();
                        jobs.change(&id, |job| {
                            let turn = Turn { now, until: now, slack: 1_000 };
                            job.requests(turn, &Cluster::default(), &mut wanted);
                            job.detail_requests(turn, &Cluster::default(), 9, &mut wanted);
                            if let Some(resource) = wanted.first().filter(|_| random.bool()) {
                                job.note_slow(resource);
                            }
                        });
                    }
                }
                let ready = jobs.by_id.iter().filter(|(_, job)| job.is_ready(now)).map(|(id, _)| id.clone());
                assert_eq!(jobs.ready(now), ready.collect::<Vec<_>>());
                assert_eq!(jobs.next_request_at(), jobs.iter().map(JobObserver::next_request_at).min());
            }
        }
    }
}
