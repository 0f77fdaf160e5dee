//! Any sequence of reports, against a model that keeps all of them and recomputes everything.

use std::sync::Arc;

use flink_traces_api::{AttributeValue, Timestamp};
use flink_traces_runtime::checkpoint::{
    CheckpointStatsSnapshot, CheckpointStatus, CheckpointType, SubtaskMetric, SubtaskStats, TaskStats,
    TrackedCheckpoint, TrackerError,
};
use flink_traces_runtime::{CheckpointStats, CheckpointStatsTracker};
use proptest::prelude::*;

use super::{failure, restored, tasks};

#[derive(Debug, Clone)]
enum Step {
    Trigger { id: i64, is_savepoint: bool },
    Subtask { id: i64, task: usize, report: SubtaskStats },
    Complete { id: i64 },
    Fail { id: i64, timestamp: i64 },
    Discard { id: i64 },
    FailBeforeTrigger,
    Start { timestamp: i64 },
    Restore { id: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0_i64..8;
    let report = (
        -1_i64..3,
        1_000_i64..2_000,
        any::<bool>(),
        any::<bool>(),
        [-1_i64..50, -1..50, -1..50, -1..50, -1..50, -1..50, -1..50, -1..50],
    );
    let report = report.prop_map(|(index, ack_timestamp, is_unaligned, is_completed, metrics)| {
        SubtaskStats::new(index, ack_timestamp)
            .with_unaligned(is_unaligned)
            .with_completed(is_completed)
            .with_metrics(SubtaskMetric::ALL.into_iter().zip(metrics.map(|value| (value != 49).then_some(value))))
    });
    prop_oneof![
        3 => (id(), any::<bool>()).prop_map(|(id, is_savepoint)| Step::Trigger { id, is_savepoint }),
        8 => (id(), 0_usize..3, report).prop_map(|(id, task, report)| Step::Subtask { id, task, report }),
        2 => id().prop_map(|id| Step::Complete { id }),
        2 => (id(), 900_i64..2_000).prop_map(|(id, timestamp)| Step::Fail { id, timestamp }),
        1 => id().prop_map(|id| Step::Discard { id }),
        1 => Just(Step::FailBeforeTrigger),
        1 => (3_000_i64..4_000).prop_map(|timestamp| Step::Start { timestamp }),
        1 => id().prop_map(|id| Step::Restore { id }),
    ]
}

#[derive(Debug, Clone)]
struct Checkpoint {
    id: i64,
    kind: CheckpointType,
    /// The reports in the order of arrival, each with its task.
    reports: Vec<(usize, SubtaskStats)>,
    status: CheckpointStatus,
    failed_at: Option<i64>,
    is_discarded: bool,
}

impl Checkpoint {
    fn sum(&self, metric: SubtaskMetric) -> i64 {
        self.reports.iter().filter_map(|(_, report)| report.metric(metric)).filter(|value| *value > 0).sum()
    }

    fn latest_ack(&self, of_task: impl Fn(usize) -> bool) -> Option<i64> {
        let completed = self.reports.iter().filter(|(task, report)| report.is_completed && of_task(*task));
        completed.map(|(_, report)| report.ack_timestamp).next_back()
    }

    fn task(&self, place: usize) -> TaskStats {
        let mut subtasks: Vec<_> =
            self.reports.iter().filter(|(task, _)| *task == place).map(|(_, report)| report.clone()).collect();
        subtasks.sort_by_key(|report| report.index);
        TaskStats::new(tasks()[place].job_vertex_id.clone())
            .with_task_name(tasks()[place].task_name.clone())
            .with_latest_ack_timestamp(self.latest_ack(|task| task == place))
            .with_num_subtasks(i64::from(tasks()[place].parallelism))
            .with_subtasks(subtasks)
    }

    fn stats(&self) -> CheckpointStats {
        CheckpointStats::new(self.id, 1_000, self.kind, self.status)
            .with_is_unaligned(self.reports.iter().any(|(_, report)| report.is_unaligned))
            .with_latest_ack_timestamp(self.latest_ack(|_| true))
            .with_state_size(self.sum(SubtaskMetric::StateSizeBytes))
            .with_checkpointed_size(self.sum(SubtaskMetric::CheckpointedSizeBytes))
            .with_metadata_size(match self.status {
                CheckpointStatus::InProgress => None,
                CheckpointStatus::Completed => Some(self.id * 10),
                CheckpointStatus::Failed => Some(-1),
            })
            .with_external_path((self.status == CheckpointStatus::Completed).then(|| format!("chk-{}", self.id)))
            .with_failure(self.failed_at.map(failure))
            .with_tasks(vec![self.task(0), self.task(1)])
    }

    fn duration(&self) -> Option<i64> {
        let end = self.failed_at.or(self.latest_ack(|_| true))?;
        Some((end - 1_000).max(0))
    }

    fn formatted(&self) -> String {
        let acknowledged = self.reports.iter().filter(|(_, report)| report.is_completed).count();
        let (processed, persisted) =
            (self.sum(SubtaskMetric::ProcessedDataBytes), self.sum(SubtaskMetric::PersistedDataBytes));
        let (stats, duration, is_discarded) = (self.stats(), self.duration(), self.is_discarded);
        format!("{stats:?} {acknowledged} of 3, {processed}, {persisted}, {duration:?}, {is_discarded}")
    }
}

fn formatted(found: &TrackedCheckpoint) -> String {
    let (acknowledged, subtasks) = (found.number_of_acknowledged_subtasks(), found.number_of_subtasks());
    let (processed, persisted) = (found.processed_data(), found.persisted_data());
    let (stats, duration, is_discarded) = (found.stats(), found.end_to_end_duration(), found.is_discarded());
    format!("{stats:?} {acknowledged} of {subtasks}, {processed}, {persisted}, {duration:?}, {is_discarded}")
}

#[derive(Default)]
struct Model {
    size: usize,
    /// All checkpoints that were ever triggered.
    checkpoints: Vec<Checkpoint>,
    /// The indexes of ended checkpoints, in the order of their ends.
    ended: Vec<usize>,
    failed_before_trigger: usize,
    /// The restored checkpoints, each with its trigger time, if it was known.
    restored: Vec<(i64, Option<i64>)>,
    /// The starts of the initializations.
    started: Vec<i64>,
    /// The number of restores before the last initialization.
    restored_before: usize,
}

/// The indexes of the latest checkpoints.
#[derive(Default, PartialEq)]
struct Latest {
    completed: Option<usize>,
    savepoint: Option<usize>,
    failed: Option<usize>,
}

impl Model {
    fn latest(&self) -> Latest {
        let mut latest = Latest::default();
        for &place in &self.ended {
            let ended = &self.checkpoints[place];
            let is_later = |known: Option<usize>| known.is_none_or(|known| ended.id > self.checkpoints[known].id);
            let slot = match (ended.status, ended.kind) {
                (CheckpointStatus::Failed, _) => &mut latest.failed,
                (_, CheckpointType::Savepoint) if is_later(latest.savepoint) => &mut latest.savepoint,
                _ => &mut latest.completed,
            };
            if is_later(*slot) {
                *slot = Some(place);
            }
        }
        latest
    }

    fn is_remembered(&self, place: usize) -> bool {
        place + self.size >= self.checkpoints.len()
    }

    fn in_progress(&self, id: i64) -> Option<usize> {
        let is = |known: &Checkpoint| known.id == id && known.status == CheckpointStatus::InProgress;
        self.checkpoints.iter().position(is)
    }

    /// Returns the last checkpoint of that id that the tracker must know.
    fn known(&self, id: i64) -> Option<usize> {
        let latest = self.latest();
        let is_latest = |place| [latest.completed, latest.savepoint, latest.failed].contains(&Some(place));
        (0..self.checkpoints.len()).rev().find(|&place| {
            let known = &self.checkpoints[place];
            let is_known =
                known.status == CheckpointStatus::InProgress || self.is_remembered(place) || is_latest(place);
            known.id == id && is_known
        })
    }

    /// Returns the error of a report of a checkpoint that takes none.
    fn refusal(&self, checkpoint_id: i64) -> TrackerError {
        let status = self.known(checkpoint_id).map(|place| self.checkpoints[place].status);
        let is_unknown = self.checkpoints.iter().all(|known| known.id < checkpoint_id);
        match status.filter(|status| *status != CheckpointStatus::InProgress) {
            Some(status) => TrackerError::CheckpointEnded { checkpoint_id, status },
            None if is_unknown => TrackerError::UnknownCheckpoint { checkpoint_id },
            None => TrackerError::NotInHistory { checkpoint_id },
        }
    }

    fn apply(&mut self, step: &Step) -> Result<Option<CheckpointStats>, TrackerError> {
        match step.clone() {
            Step::Trigger { id, is_savepoint } => {
                if self.in_progress(id).is_some() {
                    return Err(TrackerError::AlreadyInProgress { checkpoint_id: id });
                }
                self.checkpoints.push(Checkpoint {
                    id,
                    kind: kind(is_savepoint),
                    reports: Vec::new(),
                    status: CheckpointStatus::InProgress,
                    failed_at: None,
                    is_discarded: false,
                });
                Ok(None)
            }
            Step::Subtask { id, task, report } => self.subtask(id, task, report).map(|()| None),
            Step::Complete { id } => self.end(id, CheckpointStatus::Completed, None).map(Some),
            Step::Fail { id, timestamp } => self.end(id, CheckpointStatus::Failed, Some(timestamp)).map(Some),
            Step::Discard { id } => {
                let place = self.known(id).filter(|&at| self.checkpoints[at].status == CheckpointStatus::Completed);
                let place = place.ok_or(TrackerError::NotCompleted { checkpoint_id: id })?;
                self.checkpoints[place].is_discarded = true;
                Ok(None)
            }
            Step::FailBeforeTrigger => {
                self.failed_before_trigger += 1;
                Ok(None)
            }
            Step::Start { timestamp } => {
                self.started.push(timestamp);
                self.restored_before = self.restored.len();
                Ok(None)
            }
            Step::Restore { .. } if self.started.is_empty() => Err(TrackerError::NoInitialization),
            Step::Restore { id } => {
                let known = self.known(id).filter(|&at| self.checkpoints[at].status == CheckpointStatus::Completed);
                self.restored.push((id, known.map(|_| 1_000)));
                Ok(None)
            }
        }
    }

    fn subtask(&mut self, id: i64, task: usize, report: SubtaskStats) -> Result<(), TrackerError> {
        let open = self.known(id).filter(|&place| match self.checkpoints[place].status {
            CheckpointStatus::InProgress => report.is_completed || self.is_remembered(place),
            CheckpointStatus::Completed => false,
            CheckpointStatus::Failed => self.is_remembered(place),
        });
        let (checkpoint_id, index) = (id, report.index);
        let place = open.ok_or_else(|| self.refusal(id))?;
        let reports = &mut self.checkpoints[place].reports;
        let job_vertex_id = format!("v{task}");
        let Some(parallelism) = tasks().get(task).map(|task| task.parallelism) else {
            return Err(TrackerError::UnknownTask { checkpoint_id, job_vertex_id });
        };
        if !(0..i64::from(parallelism)).contains(&index) {
            return Err(TrackerError::SubtaskOutOfRange { checkpoint_id, job_vertex_id, index, parallelism });
        }
        if reports.iter().any(|(known, report)| *known == task && report.index == index) {
            return Err(TrackerError::DuplicateReport { checkpoint_id, job_vertex_id, index });
        }
        reports.push((task, report));
        Ok(())
    }

    fn end(
        &mut self,
        id: i64,
        status: CheckpointStatus,
        failed_at: Option<i64>,
    ) -> Result<CheckpointStats, TrackerError> {
        let place = self.in_progress(id).ok_or_else(|| self.refusal(id))?;
        let ended = &mut self.checkpoints[place];
        (ended.status, ended.failed_at) = (status, failed_at);
        self.ended.push(place);
        Ok(self.checkpoints[place].stats().with_ordinary(self.is_last_ordinary()))
    }

    /// Returns `true` if the checkpoint that ended last completed in about the usual time.
    fn is_last_ordinary(&self) -> bool {
        let (last, before) = self.ended.split_last().unwrap();
        let duration = |place: &usize| Some(self.checkpoints[*place].latest_ack(|_| true)? - 1_000);
        let is_completed = |place: &&usize| self.checkpoints[**place].status == CheckpointStatus::Completed;
        let is_periodic = |place: &&usize| self.checkpoints[**place].kind == CheckpointType::Checkpoint;
        let of_periodic = before.iter().filter(is_completed).filter(is_periodic).filter_map(duration);
        let durations: Vec<_> = of_periodic.filter(|duration| *duration >= 0).collect();
        let mut usual = durations[durations.len().saturating_sub(20)..].to_vec();
        usual.sort_unstable();
        let middles = [usual.get(usual.len().saturating_sub(1) / 2), usual.get(usual.len() / 2)];
        let twice_median: i64 = middles.into_iter().flatten().sum();
        is_completed(&last) && (durations.len() < 5 || duration(last).is_none_or(|last| last <= twice_median))
    }

    fn check(&self, found: &CheckpointStatsSnapshot) {
        let count = |status| self.checkpoints.iter().filter(|known| known.status == status).count();
        let counts = found.counts;
        assert_eq!(
            [counts.total, counts.in_progress, counts.completed, counts.failed, counts.restored],
            [
                self.checkpoints.len() + self.failed_before_trigger,
                count(CheckpointStatus::InProgress),
                count(CheckpointStatus::Completed),
                count(CheckpointStatus::Failed) + self.failed_before_trigger,
                self.restored.len(),
            ]
            .map(|count| i64::try_from(count).unwrap())
        );

        let restored = self.restored[self.restored_before..]
            .last()
            .map(|(id, trigger)| restored(*id).with_trigger_timestamp(trigger.map(Timestamp::from_millis)));
        assert_eq!(found.latest_restored, restored);

        let remembered = (0..self.checkpoints.len()).rev().filter(|&place| self.is_remembered(place));
        let expected: Vec<_> = remembered.map(|place| self.checkpoints[place].formatted()).collect();
        assert_eq!(found.history.iter().map(|one| formatted(one)).collect::<Vec<_>>(), expected);

        let latest = self.latest();
        let pairs = [
            (latest.completed, &found.latest_completed),
            (latest.savepoint, &found.latest_savepoint),
            (latest.failed, &found.latest_failed),
        ];
        for (expected, found) in pairs {
            let expected = expected.map(|place| self.checkpoints[place].formatted());
            assert_eq!(found.as_deref().map(formatted), expected);
        }

        let completed: Vec<_> = self.ended.iter().map(|&place| &self.checkpoints[place]).collect();
        let completed = completed.into_iter().filter(|ended| ended.status == CheckpointStatus::Completed);
        let durations: Vec<_> = completed.clone().filter_map(Checkpoint::duration).collect();
        let summary = &found.summary.end_to_end_duration;
        assert_eq!(summary.count(), durations.len() as u64);
        assert_eq!(summary.sum(), durations.iter().sum::<i64>());
        let sums = [
            (&found.summary.state_size, SubtaskMetric::StateSizeBytes),
            (&found.summary.checkpointed_size, SubtaskMetric::CheckpointedSizeBytes),
            (&found.summary.processed_data, SubtaskMetric::ProcessedDataBytes),
            (&found.summary.persisted_data, SubtaskMetric::PersistedDataBytes),
        ];
        for (summary, metric) in sums {
            assert_eq!(summary.count(), completed.clone().count() as u64);
            assert_eq!(summary.sum(), completed.clone().map(|ended| ended.sum(metric)).sum::<i64>());
        }
    }

    fn check_gauges(&self, tracker: &CheckpointStatsTracker) {
        let completed = |&&place: &&usize| self.checkpoints[place].status == CheckpointStatus::Completed;
        let last = self.ended.iter().rev().find(completed).map(|&place| &self.checkpoints[place]);
        let of_last = |value: fn(&Checkpoint) -> Option<i64>| last.and_then(value).unwrap_or(-1);
        let counts = tracker.snapshot().counts;
        let expected: [(_, AttributeValue); 14] = [
            ("totalNumberOfCheckpoints", counts.total.into()),
            ("numberOfInProgressCheckpoints", counts.in_progress.into()),
            ("numberOfCompletedCheckpoints", counts.completed.into()),
            ("numberOfFailedCheckpoints", counts.failed.into()),
            ("lastCheckpointRestoreTimestamp", self.started.last().copied().unwrap_or(-1).into()),
            ("lastCheckpointSize", of_last(|last| last.stats().checkpointed_size).into()),
            ("lastCheckpointFullSize", of_last(|last| last.stats().state_size).into()),
            ("lastCheckpointMetadataSize", of_last(|last| last.stats().metadata_size).into()),
            ("lastCheckpointDuration", of_last(Checkpoint::duration).into()),
            ("lastCheckpointProcessedData", of_last(|last| Some(last.sum(SubtaskMetric::ProcessedDataBytes))).into()),
            ("lastCheckpointPersistedData", of_last(|last| Some(last.sum(SubtaskMetric::PersistedDataBytes))).into()),
            ("lastCheckpointExternalPath", last.map_or("n/a".to_owned(), |last| format!("chk-{}", last.id)).into()),
            ("lastCompletedCheckpointId", of_last(|last| Some(last.id)).into()),
            ("lastCheckpointCompletedTimestamp", of_last(|last| last.latest_ack(|_| true)).into()),
        ];
        assert_eq!(tracker.gauges().entries(), expected);
    }
}

fn kind(is_savepoint: bool) -> CheckpointType {
    if is_savepoint { CheckpointType::Savepoint } else { CheckpointType::Checkpoint }
}

fn apply(tracker: &CheckpointStatsTracker, step: &Step) -> Result<Option<CheckpointStats>, TrackerError> {
    match step.clone() {
        Step::Trigger { id, is_savepoint } => {
            tracker.report_pending(id, 1_000, kind(is_savepoint), &tasks()).map(|()| None)
        }
        Step::Subtask { id, task, report } => tracker.report_subtask(id, &format!("v{task}"), report).map(|()| None),
        Step::Complete { id } => tracker.report_completed(id, Some(format!("chk-{id}")), Some(id * 10)).map(Some),
        Step::Fail { id, timestamp } => tracker.report_failed(id, failure(timestamp)).map(Some),
        Step::Discard { id } => tracker.report_discarded(id).map(|()| None),
        Step::FailBeforeTrigger => {
            tracker.report_failed_before_trigger(failure(0));
            Ok(None)
        }
        Step::Start { timestamp } => {
            assert_eq!(tracker.report_initialization_started(timestamp, []), None);
            Ok(None)
        }
        Step::Restore { id } => tracker.report_restored(restored(id)).map(|()| None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_reports(size in 0_usize..5, steps in proptest::collection::vec(step(), 0..80)) {
        let tracker = CheckpointStatsTracker::new(size);
        let mut model = Model { size, ..Model::default() };
        for step in steps {
            let before = tracker.snapshot();
            let shown_before: Vec<_> = before.history.iter().map(|one| formatted(one)).collect();
            prop_assert_eq!(apply(&tracker, &step), model.apply(&step), "{:?}", step);
            model.check(&tracker.snapshot());
            model.check_gauges(&tracker);
            // An earlier snapshot does not change.
            let shown_after: Vec<_> = before.history.iter().map(|one: &Arc<_>| formatted(one)).collect();
            prop_assert_eq!(shown_before, shown_after);
        }
    }
}
