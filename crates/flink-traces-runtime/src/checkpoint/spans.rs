//! The spans of Flink's checkpoint statistics tracker. Their attributes are named nowhere else.

use flink_traces_api::{Failure, Identity, Span, SpanBuilder, SpanContext, ValueRef};

use super::initialization::PartialInitialization;
use super::stats::{
    CheckpointStats, CheckpointStatus, InitializationStats, InitializationStatus, SubTaskInitializationMetrics,
    TaskStats,
};
use super::subtask::{SubtaskMetric, SubtaskStats};
use crate::config::SpanDetailLevel;
use crate::job::{ExecutionAttemptId, JobIdentity};
use crate::record::{TRACKER_SCOPE, text_of};

/// The number of subtasks of a task from which their spans are built on the threads of the
/// reporters. With fewer, the caller would gain little, and the process would lose more.
const DEFERRED_FROM: usize = 16;

/// The attribute names of one metric.
struct Names {
    metric: SubtaskMetric,
    bare: &'static str,
    max: &'static str,
    sum: &'static str,
    per_task_max: &'static str,
    per_task_sum: &'static str,
    /// The root has a sum of its own, except for the two sizes: theirs are `fullSize` and
    /// `checkpointedSize`.
    summed_in_root: bool,
}

macro_rules! names {
    ($($metric:ident $summed_in_root:literal),* $(,)?) => {
        [$(Names {
            metric: SubtaskMetric::$metric,
            bare: stringify!($metric),
            max: concat!("max", stringify!($metric)),
            sum: concat!("sum", stringify!($metric)),
            per_task_max: concat!("perTaskMax", stringify!($metric)),
            per_task_sum: concat!("perTaskSum", stringify!($metric)),
            summed_in_root: $summed_in_root,
        }),*]
    };
}

const NAMES: [Names; SubtaskMetric::ALL.len()] = names![
    StateSizeBytes false,
    CheckpointedSizeBytes false,
    CheckpointStartDelayMs true,
    AlignmentDurationMs true,
    SyncCheckpointDurationMs true,
    AsyncCheckpointDurationMs true,
    ProcessedDataBytes true,
    PersistedDataBytes true,
];

/// Builds the span `Checkpoint` of a checkpoint that completed or failed, with children by
/// `detail`.
///
/// Add it to the job's [`MetricGroup`](crate::MetricGroup), which adds `jobId` and the variables,
/// after [`checkpoint_event`](super::checkpoint_event).
///
/// The span begins at the trigger and ends at the last acknowledgement, or at −1 if there was none.
/// Its metrics are maxima and sums over all tasks. Tasks are ordered by the start of their first
/// subtask.
///
/// Mirrors the span that `CheckpointStatsTracker` reports in Flink 2.2 and later. A metric that
/// `stats` does not know has no attribute. Extensions, which `compatibility: flink` hides, are the
/// parent and the links, the failure, `failureMessage`, `externalPath`, `isIncomplete`,
/// `checkpointIntervalMs` and `checkpointTimeoutMs`, of tasks `taskName`, `numSubtasks`,
/// `numAcknowledgedSubtasks` and `unacknowledgedSubtasks`, and of subtasks `host`.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::checkpoint::{CheckpointStatus, CheckpointType};
/// use flink_traces_runtime::config::SpanDetailLevel;
/// use flink_traces_runtime::{CheckpointStats, JobIdentity, checkpoint_span};
///
/// let job = JobIdentity { cluster: "prod", job_id: "0a4480b1aa43ca25b4801a22462f387a" };
/// let stats = CheckpointStats::new(
///     7,
///     1_795_230_921_331,
///     CheckpointType::Checkpoint,
///     CheckpointStatus::Completed,
/// )
/// .with_latest_ack_timestamp(1_795_230_921_354);
/// let span = checkpoint_span(job, &stats, SpanDetailLevel::ChildrenSpansPerTask);
/// # let _ = span;
/// ```
pub fn checkpoint_span(job: JobIdentity<'_>, stats: &CheckpointStats, detail: SpanDetailLevel) -> SpanBuilder {
    let mut tasks: Vec<TaskSummary<'_>> = stats.tasks.iter().map(TaskSummary::new).collect();
    tasks.sort_by_key(|task| task.start_delay);

    let mut span = Span::builder(TRACKER_SCOPE, "Checkpoint")
        .identity(job.checkpoint(stats.checkpoint_id, stats.trigger_timestamp))
        .start_ts_millis(stats.trigger_timestamp)
        .end_ts_millis(stats.latest_ack_timestamp.unwrap_or(-1))
        .attribute("checkpointId", stats.checkpoint_id);
    span = span.optional_attribute("fullSize", stats.state_size);
    span = span.optional_attribute("checkpointedSize", stats.checkpointed_size);
    span = span.optional_attribute("metadataSize", stats.metadata_size);
    span = span.attribute("checkpointStatus", stats.status.name());
    if let Some(is_unaligned) = stats.is_unaligned {
        span = span.attribute("isUnaligned", text_of(is_unaligned));
    }
    span = span.attribute("checkpointType", stats.checkpoint_type.name());

    for (index, names) in NAMES.iter().enumerate() {
        let Some(values) = task_values(&tasks, index) else { continue };
        let max = values.iter().map(|value| value.max).max().unwrap_or(0).max(0);
        span = span.attribute(names.max, max);
        if names.summed_in_root {
            span = span.attribute(names.sum, values.iter().map(|value| value.sum).fold(0, i64::saturating_add));
        }
        if detail == SpanDetailLevel::SpanPerCheckpointWithTasks {
            span = span
                .attribute(names.per_task_max, java_list(values.iter().map(|value| value.max)))
                .attribute(names.per_task_sum, java_list(values.iter().map(|value| value.sum)));
        }
    }

    if let Some(path) = &stats.external_path {
        span = span.extension_attribute("externalPath", path.clone());
    }
    let config =
        [("checkpointIntervalMs", stats.checkpoint_interval_ms), ("checkpointTimeoutMs", stats.checkpoint_timeout_ms)];
    for (key, value) in config {
        if let Some(value) = value {
            span = span.extension_attribute(key, value);
        }
    }
    if stats.is_incomplete {
        span = span.extension_attribute("isIncomplete", true);
    }
    if let Some(failure) = &stats.failure {
        span = span.extension_attribute("failureMessage", failure.message.clone());
    }
    if let Some(failure) = failure_of(stats) {
        span = span.failure(failure);
    }
    span = stats.links.iter().fold(span.parent(stats.parent), |span, link| span.link(*link));
    let with_subtasks = detail == SpanDetailLevel::ChildrenSpansPerSubtask;
    if with_subtasks || detail == SpanDetailLevel::ChildrenSpansPerTask {
        span.children(tasks.iter().map(|task| task_span(stats, task, with_subtasks)))
    } else {
        span
    }
}

/// Returns the failure of a failed checkpoint, even if its time and cause are unknown.
fn failure_of(stats: &CheckpointStats) -> Option<Failure> {
    match &stats.failure {
        Some(failure) => Some(Failure::new(failure.timestamp, failure.message.clone())),
        None if stats.status == CheckpointStatus::Failed => {
            let ts_millis = stats.latest_ack_timestamp.unwrap_or(stats.trigger_timestamp);
            Some(Failure::new(ts_millis, String::new()))
        }
        None => None,
    }
}

fn task_span(stats: &CheckpointStats, summary: &TaskSummary<'_>, with_subtasks: bool) -> SpanBuilder {
    let task = summary.task;
    let metrics = NAMES.iter().zip(summary.metrics).filter_map(|(names, value)| Some((names, value?)));
    let mut span = Span::builder(TRACKER_SCOPE, "Checkpoint_Task")
        .identity(Identity::of(&[&task.job_vertex_id]))
        .start_ts_millis(stats.trigger_timestamp.saturating_add(summary.start_delay))
        .end_ts_millis(task.latest_ack_timestamp.unwrap_or(-1))
        .attribute("checkpointId", stats.checkpoint_id)
        .attributes([("jobVertexId", ValueRef::String(&task.job_vertex_id))])
        .attributes(metrics.flat_map(|(names, value)| {
            [(names.max, ValueRef::Long(value.max)), (names.sum, ValueRef::Long(value.sum))]
        }));
    if let Some(name) = &task.task_name {
        span = span.extension_attribute("taskName", name.clone());
    }
    if let Some(num_subtasks) = task.num_subtasks {
        let acknowledged = task.subtasks.iter().filter(|subtask| subtask.is_completed);
        let acknowledged: Vec<_> = acknowledged.map(|subtask| subtask.index).collect();
        span = span
            .extension_attribute("numSubtasks", num_subtasks)
            .extension_attribute("numAcknowledgedSubtasks", acknowledged.len() as i64);
        let missing = missing_ranges(num_subtasks, acknowledged);
        if !missing.is_empty() {
            span = span.extension_attribute("unacknowledgedSubtasks", missing);
        }
    }
    if with_subtasks {
        // The usual size, allocated at once because a checkpoint may have a hundred thousand
        // subtasks.
        const ATTRIBUTES: usize = 368;
        let shared = Span::builder(TRACKER_SCOPE, "Checkpoint_Subtask")
            .attribute_capacity(ATTRIBUTES)
            .attribute("checkpointId", stats.checkpoint_id)
            .attributes([("jobVertexId", ValueRef::String(&task.job_vertex_id))]);
        let trigger_timestamp = stats.trigger_timestamp;
        let subtasks = task.subtasks.shared_iter();
        let spans = subtasks.map(move |subtask| subtask_span(trigger_timestamp, shared.clone(), &subtask));
        if spans.len() < DEFERRED_FROM { span.children(spans) } else { span.deferred_children(spans) }
    } else {
        span
    }
}

/// Builds the span of a subtask. `shared` has what it shares with its siblings.
fn subtask_span(trigger_timestamp: i64, shared: SpanBuilder, subtask: &SubtaskStats) -> SpanBuilder {
    let start_delay = subtask.metric(SubtaskMetric::CheckpointStartDelayMs).unwrap_or(0).max(0);
    let metrics = NAMES.iter().filter_map(|names| Some((names.bare, ValueRef::Long(subtask.metric(names.metric)?))));
    let span = shared
        .identity(Identity::numbered(subtask.index.cast_unsigned()))
        .start_ts_millis(trigger_timestamp.saturating_add(start_delay))
        .end_ts_millis(subtask.ack_timestamp)
        .attributes([("subtaskId", ValueRef::Long(subtask.index))].into_iter().chain(metrics));
    match &subtask.host {
        Some(host) => span.extension_attribute("host", host.to_string()),
        None => span,
    }
}

/// Formats the indexes below `count` that `known` lacks as ranges, such as `0-3,17`.
///
/// The text has at most 1,024 characters. If some ranges do not fit, it ends with `…`.
fn missing_ranges(count: i64, mut known: Vec<i64>) -> String {
    const MAX_CHARS: usize = 1_024;
    known.sort_unstable();
    let mut text = String::new();
    let mut first = 0;
    for end in known.into_iter().filter(|index| (0..count).contains(index)).chain([count]) {
        if first < end {
            let separator = if text.is_empty() { "" } else { "," };
            let range = if first + 1 == end {
                format!("{separator}{first}")
            } else {
                format!("{separator}{first}-{}", end - 1)
            };
            // One character is for the ellipsis.
            if text.len() + range.len() >= MAX_CHARS {
                return text + "…";
            }
            text += &range;
        }
        first = end + 1;
    }
    text
}

/// Builds the span `JobInitialization` of an initialization that ended.
///
/// Add it to the job's [`MetricGroup`](crate::MetricGroup).
///
/// Mirrors the span that `CheckpointStatsTracker` reports in Flink 2.0 and later when the last
/// subtask reported. Extensions, which `compatibility: flink` hides, are the failure, a link to the
/// restored checkpoint's span, and a child `JobInitialization_Subtask` for each subtask in `stats`.
/// The link needs the trigger timestamp of the restored checkpoint.
///
/// `identity_timestamp` distinguishes the job's initializations in the ids. Use the start, unless
/// the source may later learn it more exactly. Then use a time that every poll of the job returns
/// unchanged.
pub fn job_initialization_span(
    job: JobIdentity<'_>,
    stats: &InitializationStats,
    identity_timestamp: i64,
) -> SpanBuilder {
    let restored = stats.restored_checkpoint_id;
    let mut span = Span::builder(TRACKER_SCOPE, "JobInitialization")
        .identity(job.initialization(restored, identity_timestamp))
        .start_ts_millis(stats.start_timestamp)
        .end_ts_millis(stats.end_timestamp)
        .attribute("initializationStatus", stats.status.name());
    span = span.optional_attribute("checkpointId", restored);
    span = span.optional_attribute("fullSize", stats.restored_state_size);
    for metric in &stats.metrics {
        span = span
            .attribute(format!("max{}", metric.name), metric.max)
            .attribute(format!("sum{}", metric.name), metric.sum);
    }
    if stats.status == InitializationStatus::Failed {
        span = span.failure(Failure::new(stats.end_timestamp, String::new()));
    }
    let subtasks = stats.subtasks.iter();
    span = span.extension_children(subtasks.map(|(attempt, report)| initialized_subtask_span(stats, attempt, report)));
    match (restored, stats.restored_trigger_timestamp) {
        (Some(id), Some(trigger_timestamp)) => {
            let checkpoint = SpanContext::from(job.checkpoint(id, trigger_timestamp));
            let trace_id = stats.restored_trace_id.unwrap_or(checkpoint.trace_id);
            span.link(SpanContext { trace_id, ..checkpoint })
        }
        _ => span,
    }
}

/// Builds the child of a subtask, in the style of `Checkpoint_Subtask`.
///
/// Flink has no such span.
fn initialized_subtask_span(
    stats: &InitializationStats,
    attempt: &ExecutionAttemptId,
    report: &SubTaskInitializationMetrics,
) -> SpanBuilder {
    let ExecutionAttemptId { job_vertex_id, subtask_index, attempt_number } = attempt;
    let mut span = Span::builder(TRACKER_SCOPE, "JobInitialization_Subtask")
        .identity(Identity::of(&[job_vertex_id, &subtask_index.to_string(), &attempt_number.to_string()]))
        .start_ts_millis(stats.start_timestamp)
        .end_ts_millis(report.end_timestamp())
        .attribute("initializationStatus", report.status().name());
    span = span
        .optional_attribute("checkpointId", stats.restored_checkpoint_id)
        .attribute("jobVertexId", job_vertex_id.clone())
        .attribute("subtaskId", i64::from(*subtask_index))
        .attribute("attemptNumber", i64::from(*attempt_number));
    // In Flink, −1 means that the metric was left unset.
    for (name, value) in report.metrics().filter(|(_, value)| *value != -1) {
        span = span.attribute(name.to_owned(), value);
    }
    match report.status() {
        InitializationStatus::Completed => span,
        InitializationStatus::Failed => span.failure(Failure::new(report.end_timestamp(), String::new())),
    }
}

/// Builds the span `JobInitialization` of an initialization that was given up.
///
/// It is the failed span of [`job_initialization_span`]. Extensions, which `compatibility: flink`
/// hides, are `isPartial`, `missingSubtasks`, `expectedSubtasks` and a message.
pub fn partial_job_initialization_span(
    job: JobIdentity<'_>,
    partial: &PartialInitialization,
    identity_timestamp: i64,
) -> SpanBuilder {
    let (missing, expected) = (partial.missing.len(), partial.expected);
    let message = format!("{missing} of {expected} subtasks did not report");
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    job_initialization_span(job, &partial.stats, identity_timestamp)
        .failure(Failure::new(partial.stats.end_timestamp, message))
        .extension_attribute("isPartial", true)
        .extension_attribute("missingSubtasks", count(missing))
        .extension_attribute("expectedSubtasks", count(expected))
}

/// The metrics of a task over its subtasks.
struct TaskSummary<'a> {
    task: &'a TaskStats,
    start_delay: i64,
    /// The summaries by metric; `None` if subtasks reported, but none of them with this metric.
    metrics: [Option<Summary>; NAMES.len()],
}

#[derive(Clone, Copy, Default)]
struct Summary {
    max: i64,
    sum: i64,
}

impl<'a> TaskSummary<'a> {
    fn new(task: &'a TaskStats) -> Self {
        let mut metrics = [task.subtasks.is_empty().then(Summary::default); NAMES.len()];
        let (mut all_known, mut summaries) = (0, [Summary::default(); NAMES.len()]);
        for subtask in task.subtasks.iter() {
            let (known, values) = subtask.metrics();
            all_known |= known;
            for (summary, value) in summaries.iter_mut().zip(values) {
                // Flink's statistics ignore −1, which means that the metric was left unset.
                summary.max = summary.max.max(*value);
                summary.sum = summary.sum.saturating_add((*value).max(0));
            }
        }
        for (index, (metric, summary)) in metrics.iter_mut().zip(summaries).enumerate() {
            if all_known >> index & 1 == 1 {
                *metric = Some(summary);
            }
        }
        Self { task, start_delay: task.min_start_delay(), metrics }
    }
}

/// Returns the summaries of a metric by task, with zeros for a task that does not know it.
///
/// Returns `None` if some subtasks reported, but none of them with this metric.
fn task_values(tasks: &[TaskSummary<'_>], metric: usize) -> Option<Vec<Summary>> {
    let of = |task: &TaskSummary<'_>| task.metrics[metric];
    let is_known = tasks.iter().any(|task| of(task).is_some() && !task.task.subtasks.is_empty());
    let is_empty = tasks.iter().all(|task| task.task.subtasks.is_empty());
    let is_shown = !tasks.is_empty() && (is_known || is_empty);
    is_shown.then(|| tasks.iter().map(|task| of(task).unwrap_or_default()).collect())
}

/// Formats a list like Java.
fn java_list(values: impl Iterator<Item = i64>) -> String {
    format!("[{}]", values.map(|value| value.to_string()).collect::<Vec<_>>().join(", "))
}
