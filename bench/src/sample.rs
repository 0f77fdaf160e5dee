//! The sample spans. All programs report the same names, attributes and numbers.

use flink_traces_api::{Span, SpanBuilder};
use flink_traces_runtime::{Dispatcher, MetricGroup};

pub(crate) const SCOPE: &str = "org.apache.flink.runtime.checkpoint.CheckpointStatsTracker";
pub(crate) const START: i64 = 1_795_230_917_019;
pub(crate) const JOB_ID: &str = "0a4480b1aa43ca25b4801a22462f387a";
pub(crate) const JOB_NAME: &str = "State machine job";
pub(crate) const HOST: &str = "jobmanager-0.internal";
pub(crate) const COMPLETED: &str = "COMPLETED";
pub(crate) const TYPE: &str = "Checkpoint";

/// Returns the id, full size, checkpointed size and metadata size of a checkpoint.
pub(crate) fn numbers(number: usize) -> [i64; 4] {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    [number, 187_221_004 + number, 426_117 + number, 9_241]
}

/// Returns the metric group of a job, which adds `jobId`, `host`, `job_id` and `job_name`.
pub(crate) fn group(dispatcher: &Dispatcher) -> MetricGroup {
    MetricGroup::job_manager(dispatcher, HOST).add_job(JOB_ID, JOB_NAME)
}

/// Returns a `Checkpoint` span with four numbers and two texts. The group adds four attributes.
pub(crate) fn checkpoint(number: usize) -> SpanBuilder {
    let [id, full_size, checkpointed_size, metadata_size] = numbers(number);
    Span::builder(SCOPE, "Checkpoint")
        .start_ts_millis(START)
        .end_ts_millis(START + 411)
        .attribute("checkpointId", id)
        .attribute("fullSize", full_size)
        .attribute("checkpointedSize", checkpointed_size)
        .attribute("metadataSize", metadata_size)
        .attribute("checkpointStatus", COMPLETED)
        .attribute("checkpointType", TYPE)
}

/// Returns the span tree of a checkpoint, with fourteen attributes per task and subtask.
pub(crate) fn tree(tasks: usize, subtasks: usize) -> SpanBuilder {
    let span = |name: &'static str, number: usize| {
        let [id, full_size, checkpointed_size, _] = numbers(number);
        Span::builder(SCOPE, name)
            .start_ts_millis(START)
            .end_ts_millis(START + 411)
            .attribute("checkpointId", id)
            .attribute("stateSizeBytes", full_size)
            .attribute("checkpointedSizeBytes", checkpointed_size)
            .attribute("checkpointStartDelayMs", 4)
            .attribute("alignmentDurationMs", 0)
            .attribute("syncCheckpointDurationMs", 3)
            .attribute("asyncCheckpointDurationMs", 17)
            .attribute("processedDataBytes", 0)
            .attribute("persistedDataBytes", 0)
            .attribute("e2eDurationMs", 23)
    };
    checkpoint(1).children((0..tasks).map(|task| {
        let subtasks = (0..subtasks).map(|subtask| span("Checkpoint_Subtask", subtask));
        span("Checkpoint_Task", task).children(subtasks)
    }))
}

/// Returns the number of spans in the tree.
pub(crate) fn tree_size(tasks: usize, subtasks: usize) -> usize {
    1 + tasks + tasks * subtasks
}
