//! Records of Flink, reporters for a directory, and what is in it.

use std::path::Path;
use std::sync::Arc;

use flink_traces_api::{
    Deadline, EventBuilder, EventReporter, Registry, ReportContext, ReportError, ReportedEvent, ReportedSpan,
    ReporterConfig, SpanBuilder, SystemClock, TraceReporter,
};
use flink_traces_history::query::{CheckpointRow, Window};
use flink_traces_history::{FACTORY, History};
use flink_traces_runtime::checkpoint::{CheckpointStatus, CheckpointType, SubtaskMetric, SubtaskStats, TaskStats};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::{CheckpointStats, JobIdentity, checkpoint_span};

/// A time on November 21, 2026.
pub(crate) const START: i64 = 1_795_230_917_000;
/// The id of the job `orders`.
pub(crate) const JOB_ID: &str = "0a4480b1aa43ca25b4801a22462f387a";
pub(crate) const JOB: JobIdentity<'static> = JobIdentity { cluster: "prod", job_id: JOB_ID };

/// A window that contains every time of the tests.
pub(crate) fn always() -> Window {
    Window { from_ms: 0, to_ms: i64::MAX }
}

/// Options without retention, because the records are old.
pub(crate) const KEEP: [(&str, &str); 3] =
    [("retention.detail", "0 s"), ("retention.rows", "0 s"), ("retention.rollups", "0 s")];

fn config(path: &Path, more: &[(&str, &str)]) -> ReporterConfig {
    let path = path.to_str().unwrap();
    let kept = KEEP.iter().filter(|(key, _)| more.iter().all(|(other, _)| other != key));
    let options = [("path", path)].into_iter().chain(kept.copied()).chain(more.iter().copied());
    ReporterConfig::from_pairs("history", options)
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    flink_traces_history::register(&mut registry).unwrap();
    registry
}

pub(crate) fn traces(path: &Path, more: &[(&str, &str)]) -> Box<dyn TraceReporter> {
    registry().trace(FACTORY).unwrap().create_trace_reporter(&config(path, more)).unwrap()
}

pub(crate) fn events(path: &Path) -> Box<dyn EventReporter> {
    registry().event(FACTORY).unwrap().create_event_reporter(&config(path, &[])).unwrap()
}

/// Returns the error with which the factory refuses the options.
pub(crate) fn refusal(path: &Path, more: &[(&str, &str)]) -> String {
    let error = registry().trace(FACTORY).unwrap().create_trace_reporter(&config(path, more)).err().unwrap();
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}")
}

fn context(job_id: &str, name: &str) -> Arc<ReportContext> {
    let context = ReportContext::default().with_job_id(job_id.to_owned());
    Arc::new(context.with_variables([("<host>", "jm"), ("<job_id>", job_id), ("<job_name>", name)]))
}

/// Returns the span as the group of the job `orders` in the cluster `prod` reports it.
pub(crate) fn reported(span: SpanBuilder) -> ReportedSpan {
    reported_by("prod", JOB_ID, "orders", span)
}

pub(crate) fn reported_by(cluster: &str, job_id: &str, name: &str, span: SpanBuilder) -> ReportedSpan {
    let span = span.extension_attribute("flink.cluster.name", cluster.to_owned());
    ReportedSpan::new(Arc::new(span.build(&SystemClock)), context(job_id, name))
}

pub(crate) fn reported_event(event: EventBuilder) -> ReportedEvent {
    let event = event.extension_attribute("flink.cluster.name", "prod".to_owned());
    ReportedEvent::new(Arc::new(event.build(&SystemClock)), START, context(JOB_ID, "orders"))
}

/// Returns a completed checkpoint with one task of two subtasks. The second takes all the time.
pub(crate) fn stats(id: i64, trigger_ms: i64, duration_ms: i64) -> CheckpointStats {
    let subtask = |index: i64, took: i64| {
        let values = [4_096, 512, took / 2, 1, 2, took / 4, 0, 0];
        SubtaskStats::new(index, trigger_ms + took).with_metrics(SubtaskMetric::ALL.into_iter().zip(values))
    };
    let mut task = TaskStats::new("a0");
    task.task_name = Some("agg -> tail".to_owned());
    task.num_subtasks = Some(2);
    task.latest_ack_timestamp = Some(trigger_ms + duration_ms);
    task.subtasks = [subtask(0, duration_ms / 2), subtask(1, duration_ms)].into_iter().collect();
    let stats = CheckpointStats::new(id, trigger_ms, CheckpointType::Checkpoint, CheckpointStatus::Completed)
        .with_latest_ack_timestamp(trigger_ms + duration_ms)
        .with_state_size(1_000 * id)
        .with_checkpoint_interval_ms(1_000)
        .with_checkpoint_timeout_ms(600_000);
    stats.with_tasks(vec![task])
}

pub(crate) fn checkpoint(id: i64, trigger_ms: i64, duration_ms: i64, detail: SpanDetailLevel) -> ReportedSpan {
    reported(checkpoint_span(JOB, &stats(id, trigger_ms, duration_ms), detail))
}

/// Returns an ordinary checkpoint, one second after the one before it.
pub(crate) fn plain(id: i64) -> ReportedSpan {
    checkpoint(id, START + id * 1_000, 100, SpanDetailLevel::SpanPerCheckpoint)
}

pub(crate) fn detailed(id: i64) -> ReportedSpan {
    checkpoint(id, START + id * 1_000, 100, SpanDetailLevel::ChildrenSpansPerSubtask)
}

pub(crate) fn report(reporter: &mut Box<dyn TraceReporter>, spans: &[ReportedSpan]) -> Result<(), ReportError> {
    reporter.report(spans, &Deadline::unlimited())
}

/// Returns the checkpoints of the only job.
pub(crate) fn checkpoints(path: &Path) -> Vec<CheckpointRow> {
    let history = History::open(path).unwrap();
    let jobs = history.jobs().unwrap();
    assert!(jobs.len() <= 1, "{jobs:?}");
    let view = jobs.first().map(|job| history.job(job.job, always(), 1_000_000).unwrap().unwrap());
    view.map(|view| view.checkpoints).unwrap_or_default()
}

pub(crate) fn ids(path: &Path) -> Vec<i64> {
    checkpoints(path).iter().map(|checkpoint| checkpoint.id).collect()
}
