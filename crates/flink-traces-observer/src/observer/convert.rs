//! Conversion of REST responses to the runtime's statistics.

use flink_rest::types::{
    CheckpointStatistics, JobRescaleDetails, SubtaskCheckpointStatistics, TaskCheckpointStatistics,
    TaskCheckpointStatisticsWithSubtaskDetails,
};
use flink_rest::{CheckpointStatus as WireStatus, CheckpointType as WireType, JobVertexId};
use flink_traces_runtime::CheckpointStats;
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointStatus, CheckpointType, SubtaskMetric, SubtaskStats, Subtasks, TaskStats,
};
use flink_traces_runtime::extension::{Rescale, RescaledNumber, RescaledSlots, RescaledVertex, SchedulerState};

use super::text::{MAX_NAME_CHARS, MAX_TEXT_CHARS, bounded};

/// The number that Flink's spans have in place of an unset metric or time.
const UNSET: i64 = -1;

/// Returns `true` if the checkpoint is no longer in progress.
pub(super) fn has_ended(checkpoint: &CheckpointStatistics) -> bool {
    status(checkpoint) != CheckpointStatus::InProgress
}

fn status(checkpoint: &CheckpointStatistics) -> CheckpointStatus {
    match checkpoint.status {
        WireStatus::Completed => CheckpointStatus::Completed,
        WireStatus::Failed => CheckpointStatus::Failed,
        _ => CheckpointStatus::InProgress,
    }
}

/// Returns a rescale that has ended, without the initialization that it caused.
pub(super) fn rescale(rescale: &JobRescaleDetails) -> Rescale {
    let name = |text: &Option<String>| text.as_deref().map(|text| bounded(text, MAX_NAME_CHARS));
    let start = rescale.start_timestamp_in_millis.unwrap_or(0);
    let end = rescale.end_timestamp_in_millis.unwrap_or(start);
    let vertices = rescale.vertices.iter().map(|(id, vertex)| {
        let parallelism = RescaledNumber::new()
            .with_desired(vertex.desired_parallelism)
            .with_sufficient(vertex.sufficient_parallelism)
            .with_before(vertex.pre_rescale_parallelism)
            .with_after(vertex.post_rescale_parallelism);
        RescaledVertex::new(id.as_str(), name(&vertex.job_vertex_name), parallelism)
    });
    let slots = rescale.slots.iter().map(|(id, slots)| {
        let number = RescaledNumber::new()
            .with_desired(slots.desired_slots)
            .with_sufficient(slots.minimal_required_slots)
            .with_before(slots.pre_rescale_slots)
            .with_after(slots.post_rescale_slots);
        RescaledSlots::new(bounded(id, MAX_NAME_CHARS), name(&slots.slot_sharing_group_name), number)
    });
    let states = rescale.scheduler_states.iter().map(|state| {
        let entered = state.enter_timestamp_in_millis.unwrap_or(start);
        let left = state.leave_timestamp_in_millis.unwrap_or(end);
        let exception = state.stringified_exception.as_deref();
        SchedulerState::new(bounded(&state.state, MAX_NAME_CHARS), entered, left)
            .with_exception(exception.map(|text| bounded(text, MAX_TEXT_CHARS)))
    });
    let terminal_state = name(&rescale.terminal_state).unwrap_or_default();
    Rescale::new(rescale.rescale_uuid.as_str(), start, end, terminal_state)
        .with_resource_requirements_uuid(name(&rescale.resource_requirements_uuid))
        .with_attempt(rescale.rescale_attempt_id)
        .with_trigger_cause(name(&rescale.trigger_cause))
        .with_terminated_reason(name(&rescale.terminated_reason))
        .with_vertices(vertices.collect())
        .with_slots(slots.collect())
        .with_scheduler_states(states.collect())
}

/// Returns the type of a checkpoint.
///
/// REST has one word for two types in two cases, and the result is the more frequent one: a
/// checkpoint for a full checkpoint, and a savepoint that suspends the job for one that drains it.
fn checkpoint_type(checkpoint: &CheckpointStatistics) -> CheckpointType {
    match checkpoint.checkpoint_type {
        Some(WireType::SyncSavepoint) => CheckpointType::SuspendSavepoint,
        Some(WireType::Savepoint) => CheckpointType::Savepoint,
        None if checkpoint.is_savepoint => CheckpointType::Savepoint,
        _ => CheckpointType::Checkpoint,
    }
}

/// A function that returns the metrics of a vertex's subtasks.
pub(super) type Reports<'a> = dyn Fn(&JobVertexId) -> &'a [SubtaskStats] + 'a;

/// Returns the statistics of an ended checkpoint. Without `reported`, they have no tasks.
pub(super) fn checkpoint_stats<'a>(
    checkpoint: &CheckpointStatistics,
    reported: Option<&Reports<'a>>,
    names: &[(JobVertexId, String)],
) -> CheckpointStats {
    let status = status(checkpoint);
    let failed = status == CheckpointStatus::Failed;
    let failure = failed.then(|| {
        CheckpointFailure::new(
            checkpoint.failure_timestamp.or(checkpoint.latest_ack_timestamp).unwrap_or(UNSET),
            bounded(checkpoint.failure_message.as_deref().unwrap_or_default(), MAX_TEXT_CHARS),
        )
    });
    // Acknowledgements after the failure still change the statistics. Flink has reported its span
    // by then.
    let in_time =
        |subtask: &&SubtaskStats| failure.as_ref().is_none_or(|failure| subtask.ack_timestamp <= failure.timestamp);
    let tasks: Vec<TaskStats> = match reported {
        None => Vec::new(),
        Some(reported) => checkpoint
            .tasks
            .iter()
            .map(|(vertex, task)| {
                TaskStats::new(vertex.as_str())
                    .with_task_name(names.iter().find(|(id, _)| id == vertex).map(|(_, name)| name.clone()))
                    .with_latest_ack_timestamp(task.latest_ack_timestamp)
                    .with_num_subtasks(task.num_subtasks)
                    .with_subtasks(reported(vertex).iter().filter(in_time).cloned().collect::<Subtasks>())
            })
            .collect(),
    };
    let in_time_sum = |metric| {
        let subtasks = tasks.iter().flat_map(|task| task.subtasks.iter());
        (failed && reported.is_some())
            .then(|| subtasks.filter_map(|subtask| subtask.metric(metric)).fold(0, i64::saturating_add))
    };
    CheckpointStats::new(checkpoint.id, checkpoint.trigger_timestamp, checkpoint_type(checkpoint), status)
        .with_is_unaligned(is_unaligned(checkpoint, &tasks))
        .with_latest_ack_timestamp(checkpoint.latest_ack_timestamp)
        .with_state_size(in_time_sum(SubtaskMetric::StateSizeBytes).or(checkpoint.state_size))
        .with_checkpointed_size(
            checkpoint.checkpointed_size.map(|size| in_time_sum(SubtaskMetric::CheckpointedSizeBytes).unwrap_or(size)),
        )
        .with_metadata_size(failed.then_some(UNSET))
        .with_external_path(external_path(checkpoint))
        .with_incomplete(reported.is_none())
        .with_failure(failure)
        .with_tasks(tasks)
}

fn is_unaligned(checkpoint: &CheckpointStatistics, tasks: &[TaskStats]) -> Option<bool> {
    match checkpoint.checkpoint_type {
        // The type is sufficient since 1.17. Before, only the subtasks show it.
        Some(WireType::UnalignedCheckpoint) => Some(true),
        None => None,
        Some(_) => Some(tasks.iter().flat_map(|task| task.subtasks.iter()).any(|subtask| subtask.is_unaligned)),
    }
}

/// Returns the path of a checkpoint, if it has one.
fn external_path(checkpoint: &CheckpointStatistics) -> Option<String> {
    let path = checkpoint.external_path.as_deref().filter(|path| *path != CheckpointStatistics::NO_EXTERNAL_PATH);
    path.map(|path| bounded(path, MAX_TEXT_CHARS))
}

/// Returns the statistics of a task, as far as they are read.
pub(super) fn task_statistics(body: &TaskCheckpointStatisticsWithSubtaskDetails) -> TaskCheckpointStatistics {
    let mut task = TaskCheckpointStatistics::new(body.id, body.status.clone());
    task.latest_ack_timestamp = body.latest_ack_timestamp;
    task.end_to_end_duration = body.end_to_end_duration;
    task.num_subtasks = body.num_subtasks;
    task.num_acknowledged_subtasks = body.num_acknowledged_subtasks;
    task
}

/// Returns the metrics of a subtask; `None` if it has not acknowledged the checkpoint.
pub(super) fn subtask_stats(subtask: &SubtaskCheckpointStatistics) -> Option<SubtaskStats> {
    let ack_timestamp = subtask.ack_timestamp?;
    let (checkpoint, alignment) = (subtask.checkpoint.as_ref(), subtask.alignment.as_ref());
    let metric = |metric| match metric {
        SubtaskMetric::StateSizeBytes => subtask.state_size,
        SubtaskMetric::CheckpointedSizeBytes => subtask.checkpointed_size,
        SubtaskMetric::CheckpointStartDelayMs => subtask.start_delay,
        SubtaskMetric::AlignmentDurationMs => alignment.map(|alignment| alignment.duration.unwrap_or(UNSET)),
        SubtaskMetric::SyncCheckpointDurationMs => checkpoint.map(|checkpoint| checkpoint.sync.unwrap_or(UNSET)),
        SubtaskMetric::AsyncCheckpointDurationMs => checkpoint.map(|checkpoint| checkpoint.async_.unwrap_or(UNSET)),
        SubtaskMetric::ProcessedDataBytes => alignment.and_then(|alignment| alignment.processed),
        SubtaskMetric::PersistedDataBytes => alignment.and_then(|alignment| alignment.persisted),
        // Flink's REST API has no other metric.
        _ => None,
    };
    Some(
        SubtaskStats::new(subtask.index, ack_timestamp)
            .with_unaligned(subtask.unaligned_checkpoint.unwrap_or(false))
            .with_completed(!subtask.aborted.unwrap_or(false))
            .with_metrics(SubtaskMetric::ALL.map(|name| (name, metric(name)))),
    )
}
