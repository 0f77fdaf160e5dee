//! The limit of detail requests, which are about one task or one checkpoint.

use flink_rest::{JobId, Resource};

use super::cluster::Cluster;
use super::jobs::Jobs;
use super::schedule::Turn;

/// The maximum number of detail requests to a cluster in a second. Their number is that of
/// vertices, and a JobManager needs about 50 µs for each.
const PER_SECOND: i64 = 2_000;
/// The time for which unused requests add up, in milliseconds.
const LONGEST_PAUSE_MS: i64 = 3_000;
/// The maximum number of detail requests that are returned at once, and of those for one job.
const PORTION: usize = 128;
const PORTION_OF_A_JOB: usize = 16;

/// The detail requests that a cluster may get now, and the jobs whose turn it is.
#[derive(Debug, Default)]
pub(super) struct DetailBudget {
    /// The time of the last refill.
    refilled_at: Option<i64>,
    /// The number of requests that are left, in thousandths.
    left: i64,
    /// The last jobs with detail requests, of those that are not urgent and of those that are.
    last_served: [Option<JobId>; 2],
    is_behind: bool,
}

impl DetailBudget {
    /// Adds the requests for the time since the last call.
    pub(super) fn refill(&mut self, now: i64) {
        let passed = self.refilled_at.map_or(1_000, |at| now.saturating_sub(at).clamp(0, LONGEST_PAUSE_MS));
        self.refilled_at = Some(now);
        self.left = (self.left + passed * PER_SECOND).min(LONGEST_PAUSE_MS * PER_SECOND);
    }

    /// Starts to note whether the limit is reached.
    pub(super) fn begin_poll(&mut self) {
        self.is_behind = false;
    }

    /// Returns `true` if the limit was reached since the begin of the poll.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Adds the detail requests of one job after the other, of those in `ready`. Urgent jobs get
    /// most of them.
    pub(super) fn requests(
        &mut self,
        turn: Turn,
        cluster: &Cluster,
        jobs: &mut Jobs,
        ready: Vec<JobId>,
        wanted: &mut Vec<Resource>,
    ) {
        let portion = PORTION.min(usize::try_from(self.left / 1_000).unwrap_or_default());
        for (is_urgent, limit) in [(true, portion * 3 / 4), (false, portion), (true, portion)] {
            let last_served = &mut self.last_served[usize::from(is_urgent)];
            let served = ready.partition_point(|id| Some(id) <= last_served.as_ref());
            let (before, after) = ready.split_at(served);
            for id in after.iter().chain(before) {
                let asked = wanted.len();
                jobs.change(id, |job| {
                    if job.is_urgent() == is_urgent {
                        job.detail_requests(turn, cluster, PORTION_OF_A_JOB.min(limit.saturating_sub(asked)), wanted);
                    }
                });
                if wanted.len() > asked {
                    *last_served = Some(id.clone());
                }
                if wanted.len() >= limit {
                    break;
                }
            }
        }
        self.left -= wanted.len() as i64 * 1_000;
        self.is_behind |= self.left < 1_000;
    }
}
