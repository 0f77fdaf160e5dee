//! Checkpoint statistics in the JSON types of Flink's REST API.

use std::collections::BTreeMap;

use flink_rest::types::{
    CheckpointAlignment, CheckpointCounts, CheckpointDuration, CheckpointStatistics, CheckpointSummary,
    CheckpointingStatistics, LatestCheckpoints, RestoredCheckpointStatistics, StatsSummaryDto,
    SubtaskCheckpointStatistics, SubtasksSummary, TaskCheckpointStatistics, TaskCheckpointStatisticsWithSubtaskDetails,
};
use flink_rest::{
    CheckpointStatus as WireStatus, CheckpointType as WireType, InvalidId, JobVertexId, SubtaskCheckpointStatus,
};

use super::job::UNSET;
use crate::checkpoint::{
    CheckpointStatsSnapshot, CheckpointStatus, CheckpointType, StatsSummary, SubtaskMetric, SubtaskStats,
    TrackedCheckpoint, TrackedTask,
};

/// The bytes that were buffered during alignment. Since 1.13, Flink always writes 0.
const ALIGNMENT_BUFFERED: i64 = 0;

pub(super) fn statistics(snapshot: &CheckpointStatsSnapshot) -> CheckpointingStatistics {
    let mut counts = CheckpointCounts::default();
    counts.restored = snapshot.counts.restored;
    counts.total = snapshot.counts.total;
    counts.in_progress = snapshot.counts.in_progress;
    counts.completed = snapshot.counts.completed;
    counts.failed = snapshot.counts.failed;
    let mut summary = CheckpointSummary::default();
    summary.checkpointed_size = Some(with_quantiles(&snapshot.summary.checkpointed_size));
    summary.state_size = Some(with_quantiles(&snapshot.summary.state_size));
    summary.end_to_end_duration = Some(with_quantiles(&snapshot.summary.end_to_end_duration));
    summary.alignment_buffered = Some(nothing_buffered());
    summary.processed_data = Some(with_quantiles(&snapshot.summary.processed_data));
    summary.persisted_data = Some(with_quantiles(&snapshot.summary.persisted_data));
    let mut latest = LatestCheckpoints::default();
    latest.completed = snapshot.latest_completed.as_deref().map(checkpoint);
    latest.savepoint = snapshot.latest_savepoint.as_deref().map(checkpoint);
    latest.failed = snapshot.latest_failed.as_deref().map(checkpoint);
    latest.restored = snapshot.latest_restored.as_ref().map(|known| {
        let mut restored = RestoredCheckpointStatistics::new(known.checkpoint_id, known.restore_timestamp);
        restored.is_savepoint = known.is_savepoint;
        restored.external_path = known.external_path.clone();
        restored
    });
    let history = snapshot.history.iter().map(|known| checkpoint(known)).collect();
    let mut statistics = CheckpointingStatistics::new(counts, history);
    statistics.summary = Some(summary);
    statistics.latest = latest;
    statistics
}

/// Returns a checkpoint without its tasks, as a history lists it.
fn checkpoint(known: &TrackedCheckpoint) -> CheckpointStatistics {
    let status = known.status();
    let is_completed = status == CheckpointStatus::Completed;
    let failure = known.failure();
    let mut statistics = CheckpointStatistics::new(
        known.checkpoint_id(),
        WireStatus::from(status.name().to_owned()),
        known.trigger_timestamp(),
    );
    statistics.class_name = Some(status.name().to_lowercase());
    statistics.is_savepoint = known.checkpoint_type().is_savepoint();
    statistics.savepoint_format = known.checkpoint_type().is_savepoint().then(|| "CANONICAL".to_owned());
    statistics.latest_ack_timestamp = known.latest_ack_timestamp();
    statistics.checkpointed_size = Some(known.checkpointed_size());
    statistics.state_size = Some(known.state_size());
    statistics.end_to_end_duration = known.end_to_end_duration();
    statistics.alignment_buffered = Some(ALIGNMENT_BUFFERED);
    statistics.processed_data = Some(known.processed_data());
    statistics.persisted_data = Some(known.persisted_data());
    statistics.num_subtasks = Some(known.number_of_subtasks() as i64);
    statistics.num_acknowledged_subtasks = Some(known.number_of_acknowledged_subtasks() as i64);
    statistics.checkpoint_type = Some(wire_type(known));
    statistics.external_path =
        is_completed.then(|| known.external_path().unwrap_or(CheckpointStatistics::NO_EXTERNAL_PATH).to_owned());
    statistics.discarded = is_completed.then(|| known.is_discarded());
    statistics.failure_timestamp = failure.map(|failure| failure.timestamp);
    statistics.failure_message = failure.map(|failure| failure.message.clone());
    statistics
}

/// Returns a checkpoint with its tasks.
pub(super) fn details(known: &TrackedCheckpoint) -> Result<CheckpointStatistics, InvalidId> {
    let tasks: Result<_, _> =
        known.tasks().map(|of| Ok((JobVertexId::new(of.info().job_vertex_id.as_str())?, task(known, of)))).collect();
    let mut statistics = checkpoint(known);
    statistics.tasks = tasks?;
    Ok(statistics)
}

fn task(known: &TrackedCheckpoint, task: &TrackedTask) -> TaskCheckpointStatistics {
    let sum = |metric| task.summary(metric).sum();
    let mut statistics =
        TaskCheckpointStatistics::new(known.checkpoint_id(), WireStatus::from(known.status().name().to_owned()));
    statistics.latest_ack_timestamp = task.latest_ack_timestamp();
    statistics.checkpointed_size = Some(sum(SubtaskMetric::CheckpointedSizeBytes));
    statistics.state_size = Some(sum(SubtaskMetric::StateSizeBytes));
    statistics.end_to_end_duration = task.latest_ack_timestamp().map(|ack| since_trigger(known, ack));
    statistics.alignment_buffered = Some(ALIGNMENT_BUFFERED);
    statistics.processed_data = Some(sum(SubtaskMetric::ProcessedDataBytes));
    statistics.persisted_data = Some(sum(SubtaskMetric::PersistedDataBytes));
    statistics.num_subtasks = Some(task.info().parallelism.into());
    statistics.num_acknowledged_subtasks = Some(task.number_of_acknowledged_subtasks() as i64);
    statistics
}

/// Returns a task of a checkpoint with its subtasks.
pub(super) fn subtasks(known: &TrackedCheckpoint, of: &TrackedTask) -> TaskCheckpointStatisticsWithSubtaskDetails {
    let numbers = task(known, of);
    let summary = |metric| without_quantiles(&of.summary(metric));
    let mut durations = StatsSummary::default();
    durations.extend(of.subtasks().map(|subtask| since_trigger(known, subtask.ack_timestamp)));
    let mut reported: BTreeMap<i64, &SubtaskStats> = of.subtasks().map(|subtask| (subtask.index, subtask)).collect();
    let all = (0..i64::from(of.info().parallelism)).map(|index| match reported.remove(&index) {
        Some(stats) => acknowledged(known, stats),
        None => pending(index),
    });
    let mut subtasks = SubtasksSummary::default();
    subtasks.checkpointed_size = Some(summary(SubtaskMetric::CheckpointedSizeBytes));
    subtasks.state_size = Some(summary(SubtaskMetric::StateSizeBytes));
    subtasks.end_to_end_duration = Some(without_quantiles(&durations));
    subtasks.checkpoint_duration = BTreeMap::from([
        ("sync".to_owned(), summary(SubtaskMetric::SyncCheckpointDurationMs)),
        ("async".to_owned(), summary(SubtaskMetric::AsyncCheckpointDurationMs)),
    ]);
    subtasks.alignment = BTreeMap::from([
        ("buffered".to_owned(), nothing_buffered()),
        ("processed".to_owned(), summary(SubtaskMetric::ProcessedDataBytes)),
        ("persisted".to_owned(), summary(SubtaskMetric::PersistedDataBytes)),
        ("duration".to_owned(), summary(SubtaskMetric::AlignmentDurationMs)),
    ]);
    subtasks.start_delay = Some(summary(SubtaskMetric::CheckpointStartDelayMs));
    let mut task = TaskCheckpointStatisticsWithSubtaskDetails::new(numbers.id, numbers.status, all.collect());
    task.latest_ack_timestamp = numbers.latest_ack_timestamp;
    task.checkpointed_size = numbers.checkpointed_size;
    task.state_size = numbers.state_size;
    // Flink writes −1 here, too. `None` would leave the field out.
    task.end_to_end_duration = Some(numbers.end_to_end_duration.unwrap_or(UNSET));
    task.alignment_buffered = numbers.alignment_buffered;
    task.processed_data = numbers.processed_data;
    task.persisted_data = numbers.persisted_data;
    task.num_subtasks = numbers.num_subtasks;
    task.num_acknowledged_subtasks = numbers.num_acknowledged_subtasks;
    task.summary = Some(subtasks);
    task
}

fn acknowledged(known: &TrackedCheckpoint, subtask: &SubtaskStats) -> SubtaskCheckpointStatistics {
    // Since these fields are absent in old versions, `None` would leave them out.
    let number = |metric| Some(subtask.metric(metric).unwrap_or(UNSET));
    let mut duration = CheckpointDuration::default();
    duration.sync = subtask.metric(SubtaskMetric::SyncCheckpointDurationMs);
    duration.async_ = subtask.metric(SubtaskMetric::AsyncCheckpointDurationMs);
    let mut alignment = CheckpointAlignment::default();
    alignment.buffered = Some(ALIGNMENT_BUFFERED);
    alignment.processed = number(SubtaskMetric::ProcessedDataBytes);
    alignment.persisted = number(SubtaskMetric::PersistedDataBytes);
    alignment.duration = subtask.metric(SubtaskMetric::AlignmentDurationMs);
    let mut statistics = SubtaskCheckpointStatistics::new(subtask.index, SubtaskCheckpointStatus::Completed);
    statistics.class_name = Some("completed".to_owned());
    statistics.ack_timestamp = Some(subtask.ack_timestamp);
    statistics.end_to_end_duration = Some(since_trigger(known, subtask.ack_timestamp));
    statistics.checkpointed_size = number(SubtaskMetric::CheckpointedSizeBytes);
    statistics.state_size = number(SubtaskMetric::StateSizeBytes);
    statistics.checkpoint = Some(duration);
    statistics.alignment = Some(alignment);
    statistics.start_delay = number(SubtaskMetric::CheckpointStartDelayMs);
    statistics.unaligned_checkpoint = Some(subtask.is_unaligned);
    statistics.aborted = Some(!subtask.is_completed);
    statistics
}

fn pending(index: i64) -> SubtaskCheckpointStatistics {
    let mut subtask = SubtaskCheckpointStatistics::new(index, SubtaskCheckpointStatus::PendingOrFailed);
    subtask.class_name = Some("pending".to_owned());
    subtask
}

fn since_trigger(known: &TrackedCheckpoint, ack_timestamp: i64) -> i64 {
    ack_timestamp.saturating_sub(known.trigger_timestamp()).max(0)
}

fn wire_type(known: &TrackedCheckpoint) -> WireType {
    match known.checkpoint_type() {
        CheckpointType::Savepoint => WireType::Savepoint,
        CheckpointType::TerminateSavepoint | CheckpointType::SuspendSavepoint => WireType::SyncSavepoint,
        CheckpointType::Checkpoint | CheckpointType::FullCheckpoint if known.is_unaligned() => {
            WireType::UnalignedCheckpoint
        }
        CheckpointType::Checkpoint | CheckpointType::FullCheckpoint => WireType::Checkpoint,
    }
}

fn with_quantiles(summary: &StatsSummary) -> StatsSummaryDto {
    let [p50, p90, p95, p99, p999] = summary.quantiles([0.5, 0.9, 0.95, 0.99, 0.999]);
    let mut summary = without_quantiles(summary);
    summary.p50 = p50;
    summary.p90 = p90;
    summary.p95 = p95;
    summary.p99 = p99;
    summary.p999 = p999;
    summary
}

fn without_quantiles(summary: &StatsSummary) -> StatsSummaryDto {
    let mut distribution = StatsSummaryDto::default();
    distribution.min = Some(summary.minimum());
    distribution.max = Some(summary.maximum());
    distribution.avg = Some(summary.average());
    distribution
}

fn nothing_buffered() -> StatsSummaryDto {
    let mut summary = StatsSummaryDto::default();
    summary.min = Some(0);
    summary.max = Some(0);
    summary.avg = Some(0);
    summary.p50 = 0.0;
    summary.p90 = 0.0;
    summary.p95 = 0.0;
    summary.p99 = 0.0;
    summary.p999 = 0.0;
    summary
}
