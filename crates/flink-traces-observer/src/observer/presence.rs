//! The presence of a job in the overview of its cluster.

use flink_traces_runtime::extension::VanishedJobOutcome;

/// The number of overviews in a row without a job that has ended, after which it is forgotten.
const ABSENT_POLLS: u32 = 3;

/// The presence of a job.
///
/// A JobManager may omit a running job from an overview, so one overview without the job means
/// nothing.
#[derive(Debug, Default)]
pub(super) struct Presence {
    absent_polls: u32,
    /// The time since which the cluster is away or lacks the job.
    gone_since: Option<i64>,
    /// The outcome in the last report that the job vanished, if it was reported.
    vanished: Option<Option<VanishedJobOutcome>>,
}

impl Presence {
    /// Notes that the overview has the job. If it was reported as vanished, returns the time since
    /// which it was gone.
    pub(super) fn observe_present(&mut self) -> Option<i64> {
        let Self { gone_since, vanished, .. } = std::mem::take(self);
        gone_since.filter(|_| vanished.is_some())
    }

    /// Notes that the overview at `at` lacks the job. Returns `true` if several in a row did.
    pub(super) fn observe_absent(&mut self, at: i64) -> bool {
        self.gone_since.get_or_insert(at);
        self.absent_polls = self.absent_polls.saturating_add(1);
        self.absent_polls >= ABSENT_POLLS
    }

    /// Notes that the cluster is away since then.
    pub(super) fn observe_away(&mut self, since: i64) {
        self.gone_since.get_or_insert(since);
    }

    pub(super) fn is_absent(&self) -> bool {
        self.absent_polls > 0
    }

    /// Notes that the job vanished. Returns the time since which it is gone, if that is new.
    pub(super) fn vanish(&mut self, outcome: Option<VanishedJobOutcome>) -> Option<i64> {
        let is_new = self.vanished.replace(outcome) != Some(outcome);
        self.gone_since.filter(|_| is_new)
    }
}
