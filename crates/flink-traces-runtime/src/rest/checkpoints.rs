//! Statistics of checkpoints in Flink's JSON.

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

/// What Flink writes for a checkpoint that has no path.
const NO_EXTERNAL_PATH: &str = "<checkpoint-not-externally-addressable>";
/// Bytes that were buffered while aligning: always 0 since 1.13, but always there.
const ALIGNMENT_BUFFERED: i64 = 0;

pub(super) fn statistics(snapshot: &CheckpointStatsSnapshot) -> CheckpointingStatistics {
    let counts = snapshot.counts;
    let summary = &snapshot.summary;
    CheckpointingStatistics {
        counts: CheckpointCounts {
            restored: counts.restored,
            total: counts.total,
            in_progress: counts.in_progress,
            completed: counts.completed,
            failed: counts.failed,
            other: Default::default(),
        },
        summary: Some(CheckpointSummary {
            checkpointed_size: Some(with_quantiles(&summary.checkpointed_size)),
            state_size: Some(with_quantiles(&summary.state_size)),
            end_to_end_duration: Some(with_quantiles(&summary.end_to_end_duration)),
            alignment_buffered: Some(nothing_buffered()),
            processed_data: Some(with_quantiles(&summary.processed_data)),
            persisted_data: Some(with_quantiles(&summary.persisted_data)),
            other: Default::default(),
        }),
        latest: LatestCheckpoints {
            completed: snapshot.latest_completed.as_deref().map(checkpoint),
            savepoint: snapshot.latest_savepoint.as_deref().map(checkpoint),
            failed: snapshot.latest_failed.as_deref().map(checkpoint),
            restored: snapshot.latest_restored.as_ref().map(|restored| RestoredCheckpointStatistics {
                id: restored.checkpoint_id,
                restore_timestamp: restored.restore_timestamp,
                is_savepoint: restored.is_savepoint,
                external_path: restored.external_path.clone(),
                other: Default::default(),
            }),
            other: Default::default(),
        },
        history: snapshot.history.iter().map(|known| checkpoint(known)).collect(),
        other: Default::default(),
    }
}

/// A checkpoint without its tasks, as it is in a history.
fn checkpoint(known: &TrackedCheckpoint) -> CheckpointStatistics {
    let status = known.status();
    let is_completed = status == CheckpointStatus::Completed;
    let failure = known.failure();
    CheckpointStatistics {
        class_name: Some(status.name().to_lowercase()),
        id: known.checkpoint_id(),
        status: WireStatus::from(status.name().to_owned()),
        is_savepoint: known.checkpoint_type().is_savepoint(),
        savepoint_format: known.checkpoint_type().is_savepoint().then(|| "CANONICAL".to_owned()),
        trigger_timestamp: known.trigger_timestamp(),
        latest_ack_timestamp: known.latest_ack_timestamp().unwrap_or(UNSET),
        checkpointed_size: Some(known.checkpointed_size()),
        state_size: known.state_size(),
        end_to_end_duration: known.end_to_end_duration().unwrap_or(UNSET),
        alignment_buffered: ALIGNMENT_BUFFERED,
        processed_data: Some(known.processed_data()),
        persisted_data: Some(known.persisted_data()),
        num_subtasks: known.number_of_subtasks() as i64,
        num_acknowledged_subtasks: known.number_of_acknowledged_subtasks() as i64,
        checkpoint_type: Some(wire_type(known)),
        tasks: BTreeMap::new(),
        external_path: is_completed.then(|| known.external_path().unwrap_or(NO_EXTERNAL_PATH).to_owned()),
        discarded: is_completed.then(|| known.is_discarded()),
        failure_timestamp: failure.map(|failure| failure.timestamp),
        failure_message: failure.map(|failure| failure.message.clone()),
        other: Default::default(),
    }
}

/// A checkpoint with its tasks.
pub(super) fn details(known: &TrackedCheckpoint) -> Result<CheckpointStatistics, InvalidId> {
    let tasks: Result<_, _> =
        known.tasks().map(|of| Ok((JobVertexId::new(of.info().job_vertex_id.as_str())?, task(known, of)))).collect();
    Ok(CheckpointStatistics { tasks: tasks?, ..checkpoint(known) })
}

fn task(known: &TrackedCheckpoint, task: &TrackedTask) -> TaskCheckpointStatistics {
    let sum = |metric| task.summary(metric).sum();
    TaskCheckpointStatistics {
        id: known.checkpoint_id(),
        status: WireStatus::from(known.status().name().to_owned()),
        latest_ack_timestamp: task.latest_ack_timestamp().unwrap_or(UNSET),
        checkpointed_size: Some(sum(SubtaskMetric::CheckpointedSizeBytes)),
        state_size: sum(SubtaskMetric::StateSizeBytes),
        end_to_end_duration: since_trigger(known, task.latest_ack_timestamp()),
        alignment_buffered: ALIGNMENT_BUFFERED,
        processed_data: Some(sum(SubtaskMetric::ProcessedDataBytes)),
        persisted_data: Some(sum(SubtaskMetric::PersistedDataBytes)),
        num_subtasks: task.info().parallelism.into(),
        num_acknowledged_subtasks: task.number_of_acknowledged_subtasks() as i64,
        other: Default::default(),
    }
}

/// A task of a checkpoint with its subtasks.
pub(super) fn subtasks(known: &TrackedCheckpoint, of: &TrackedTask) -> TaskCheckpointStatisticsWithSubtaskDetails {
    let numbers = task(known, of);
    let summary = |metric| without_quantiles(&of.summary(metric));
    let mut durations = StatsSummary::default();
    durations.extend(of.subtasks().map(|subtask| since_trigger(known, Some(subtask.ack_timestamp))));
    let mut reported: BTreeMap<i64, &SubtaskStats> = of.subtasks().map(|subtask| (subtask.index, subtask)).collect();
    let all = (0..i64::from(of.info().parallelism)).map(|index| match reported.remove(&index) {
        Some(stats) => acknowledged(known, stats),
        None => pending(index),
    });
    TaskCheckpointStatisticsWithSubtaskDetails {
        id: numbers.id,
        status: numbers.status,
        latest_ack_timestamp: numbers.latest_ack_timestamp,
        checkpointed_size: numbers.checkpointed_size,
        state_size: Some(numbers.state_size),
        end_to_end_duration: Some(numbers.end_to_end_duration),
        alignment_buffered: Some(numbers.alignment_buffered),
        processed_data: numbers.processed_data,
        persisted_data: numbers.persisted_data,
        num_subtasks: Some(numbers.num_subtasks),
        num_acknowledged_subtasks: Some(numbers.num_acknowledged_subtasks),
        summary: Some(SubtasksSummary {
            checkpointed_size: Some(summary(SubtaskMetric::CheckpointedSizeBytes)),
            state_size: Some(summary(SubtaskMetric::StateSizeBytes)),
            end_to_end_duration: Some(without_quantiles(&durations)),
            checkpoint_duration: BTreeMap::from([
                ("sync".to_owned(), summary(SubtaskMetric::SyncCheckpointDurationMs)),
                ("async".to_owned(), summary(SubtaskMetric::AsyncCheckpointDurationMs)),
            ]),
            alignment: BTreeMap::from([
                ("buffered".to_owned(), nothing_buffered()),
                ("processed".to_owned(), summary(SubtaskMetric::ProcessedDataBytes)),
                ("persisted".to_owned(), summary(SubtaskMetric::PersistedDataBytes)),
                ("duration".to_owned(), summary(SubtaskMetric::AlignmentDurationMs)),
            ]),
            start_delay: Some(summary(SubtaskMetric::CheckpointStartDelayMs)),
            other: Default::default(),
        }),
        subtasks: all.collect(),
        other: Default::default(),
    }
}

fn acknowledged(known: &TrackedCheckpoint, subtask: &SubtaskStats) -> SubtaskCheckpointStatistics {
    let number = |metric| subtask.metric(metric).unwrap_or(UNSET);
    SubtaskCheckpointStatistics {
        class_name: Some("completed".to_owned()),
        index: subtask.index,
        status: SubtaskCheckpointStatus::Completed,
        ack_timestamp: Some(subtask.ack_timestamp),
        end_to_end_duration: Some(since_trigger(known, Some(subtask.ack_timestamp))),
        checkpointed_size: Some(number(SubtaskMetric::CheckpointedSizeBytes)),
        state_size: Some(number(SubtaskMetric::StateSizeBytes)),
        checkpoint: Some(CheckpointDuration {
            sync: number(SubtaskMetric::SyncCheckpointDurationMs),
            async_: number(SubtaskMetric::AsyncCheckpointDurationMs),
            other: Default::default(),
        }),
        alignment: Some(CheckpointAlignment {
            buffered: ALIGNMENT_BUFFERED,
            processed: Some(number(SubtaskMetric::ProcessedDataBytes)),
            persisted: Some(number(SubtaskMetric::PersistedDataBytes)),
            duration: number(SubtaskMetric::AlignmentDurationMs),
            other: Default::default(),
        }),
        start_delay: Some(number(SubtaskMetric::CheckpointStartDelayMs)),
        unaligned_checkpoint: Some(subtask.is_unaligned),
        aborted: Some(!subtask.is_completed),
        other: Default::default(),
    }
}

fn pending(index: i64) -> SubtaskCheckpointStatistics {
    SubtaskCheckpointStatistics {
        class_name: Some("pending".to_owned()),
        index,
        status: SubtaskCheckpointStatus::PendingOrFailed,
        ack_timestamp: None,
        end_to_end_duration: None,
        checkpointed_size: None,
        state_size: None,
        checkpoint: None,
        alignment: None,
        start_delay: None,
        unaligned_checkpoint: None,
        aborted: None,
        other: Default::default(),
    }
}

fn since_trigger(known: &TrackedCheckpoint, ack_timestamp: Option<i64>) -> i64 {
    ack_timestamp.map_or(UNSET, |ack| ack.saturating_sub(known.trigger_timestamp()).max(0))
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
    StatsSummaryDto { p50, p90, p95, p99, p999, ..without_quantiles(summary) }
}

fn without_quantiles(summary: &StatsSummary) -> StatsSummaryDto {
    StatsSummaryDto {
        min: summary.minimum(),
        max: summary.maximum(),
        avg: summary.average(),
        p50: f64::NAN,
        p90: f64::NAN,
        p95: f64::NAN,
        p99: f64::NAN,
        p999: f64::NAN,
        other: Default::default(),
    }
}

fn nothing_buffered() -> StatsSummaryDto {
    StatsSummaryDto {
        min: 0,
        max: 0,
        avg: 0,
        p50: 0.0,
        p90: 0.0,
        p95: 0.0,
        p99: 0.0,
        p999: 0.0,
        other: Default::default(),
    }
}
