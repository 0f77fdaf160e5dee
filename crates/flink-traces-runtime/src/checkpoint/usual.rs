//! The usual duration of a job's checkpoints, which distinguishes those that deserve attention.

use super::stats::{CheckpointStats, CheckpointStatus, CheckpointType};
use super::summary::StatsSummary;

/// The number of last checkpoints whose median is the usual duration.
const WINDOW: usize = 20;
/// The number of checkpoints from which a duration is usual.
const ENOUGH: u64 = 5;

/// The usual duration of the completed checkpoints of one job.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::CheckpointStats;
/// use flink_traces_runtime::checkpoint::{CheckpointStatus, CheckpointType, UsualDuration};
///
/// let completed = |id, duration| {
///     CheckpointStats::new(id, 0, CheckpointType::Checkpoint, CheckpointStatus::Completed)
///         .with_latest_ack_timestamp(duration)
/// };
/// let mut usual = UsualDuration::default();
/// for id in 1..=5 {
///     usual.is_ordinary(&completed(id, 100));
/// }
/// assert!(usual.is_ordinary(&completed(6, 200)));
/// assert!(!usual.is_ordinary(&completed(7, 201)));
/// ```
#[derive(Debug, Clone)]
pub struct UsualDuration(StatsSummary);

impl Default for UsualDuration {
    fn default() -> Self {
        Self(StatsSummary::with_window(WINDOW))
    }
}

impl UsualDuration {
    /// Takes the next checkpoint of the job into account, and returns `true` if it is ordinary.
    ///
    /// A checkpoint is ordinary if it completed and took at most twice the median of the last 20
    /// before it. Savepoints are no part of the median. A checkpoint with less than five before it
    /// is ordinary if it completed.
    pub fn is_ordinary(&mut self, stats: &CheckpointStats) -> bool {
        let (CheckpointStatus::Completed, Some(end)) = (stats.status, stats.latest_ack_timestamp) else {
            return stats.status == CheckpointStatus::Completed;
        };
        let duration = end.saturating_sub(stats.trigger_timestamp);
        let is_ordinary = self.0.count() < ENOUGH || duration as f64 <= 2.0 * self.0.quantile(0.5);
        if matches!(stats.checkpoint_type, CheckpointType::Checkpoint | CheckpointType::FullCheckpoint) {
            self.0.add(duration);
        }
        is_ordinary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(duration: i64) -> CheckpointStats {
        CheckpointStats::new(1, 1_000, CheckpointType::Checkpoint, CheckpointStatus::Completed)
            .with_latest_ack_timestamp(1_000 + duration)
    }

    #[test]
    fn median_of_the_last_twenty_is_usual() {
        let mut usual = UsualDuration::default();
        for duration in [100, 900, 100, 100] {
            assert!(usual.is_ordinary(&stats(duration)), "the usual duration is not known yet");
        }
        // The median is 100 throughout.
        for (duration, expected) in [(5_000, true), (201, false), (200, true), (100, true), (100, true)] {
            assert_eq!(usual.is_ordinary(&stats(duration)), expected, "{duration}");
        }
        for _ in 0..20 {
            usual.is_ordinary(&stats(1_000));
        }
        assert!(usual.is_ordinary(&stats(2_000)));
        assert!(!usual.is_ordinary(&stats(2_001)));
    }

    #[test]
    fn failures_are_never_ordinary() {
        let mut usual = UsualDuration::default();
        let failed = CheckpointStats { status: CheckpointStatus::Failed, ..stats(10) };
        for _ in 0..6 {
            assert!(!usual.is_ordinary(&failed));
        }
        // They are no part of the median, nor are savepoints.
        let savepoint = CheckpointStats { checkpoint_type: CheckpointType::Savepoint, ..stats(10) };
        for _ in 0..6 {
            assert!(usual.is_ordinary(&savepoint));
        }
        assert!(usual.is_ordinary(&stats(1_000)));
        assert!(usual.is_ordinary(&CheckpointStats { latest_ack_timestamp: None, ..stats(0) }));
    }
}
