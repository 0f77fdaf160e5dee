//! Tracks a checkpoint and prints its span and event.
//!
//! Run it with `cargo run --example track_checkpoint`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output of the example")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use flink_traces_api::{Registry, SystemClock};
use flink_traces_runtime::checkpoint::{CheckpointTask, CheckpointType, SubtaskMetric, SubtaskStats};
use flink_traces_runtime::config::SPAN_DETAIL_LEVEL;
use flink_traces_runtime::{
    CheckpointStatsTracker, Configuration, Dispatcher, JobIdentity, MetricGroup, checkpoint_event, checkpoint_span,
    discover,
};

fn main() -> Result<(), Box<dyn Error>> {
    // The log reporters write lines of `tracing`, which this subscriber prints.
    tracing_subscriber::fmt().with_ansi(false).init();

    let mut registry = Registry::new();
    flink_traces_log::register(&mut registry)?;
    let configuration = Configuration::from_pairs([
        ("traces.reporter.log.factory.class", flink_traces_log::TRACE_FACTORY),
        ("events.reporter.log.factory.class", flink_traces_log::EVENT_FACTORY),
        ("traces.checkpoint.span-detail-level", "CHILDREN_SPANS_PER_SUBTASK"),
    ]);
    let detail = configuration.get(&SPAN_DETAIL_LEVEL)?.unwrap_or_default();
    let (setups, mut problems) = discover(&configuration, &registry);
    let (dispatcher, more) = Dispatcher::start(setups, &registry, Arc::new(SystemClock), ".");
    problems.extend(more);
    for problem in problems {
        eprintln!("{problem}");
    }

    let job = JobIdentity { cluster: "example", job_id: "0a4480b1aa43ca25b4801a22462f387a" };
    let group = MetricGroup::job_manager(&dispatcher, "localhost").add_job(job.job_id, "word count");
    let tracker = CheckpointStatsTracker::builder(10).span_detail_level(detail).build();

    // A checkpoint of two tasks: the trigger, the subtasks' acknowledgements, the completion.
    let tasks = [
        CheckpointTask::new("cbc357ccb763df2852fee8c4fc7d55f2", 2).with_task_name("source".to_owned()),
        CheckpointTask::new("90bea66de1c231edf33913ecd54406c1", 1).with_task_name("sink".to_owned()),
    ];
    let trigger = 1_795_230_918_331;
    tracker.report_pending(7, trigger, CheckpointType::Checkpoint, &tasks)?;
    for task in &tasks {
        for index in 0..task.parallelism.into() {
            let metrics = [
                (SubtaskMetric::StateSizeBytes, 4_096),
                (SubtaskMetric::CheckpointedSizeBytes, 512),
                (SubtaskMetric::CheckpointStartDelayMs, 3),
                (SubtaskMetric::SyncCheckpointDurationMs, 2),
                (SubtaskMetric::AsyncCheckpointDurationMs, 90),
            ];
            let subtask = SubtaskStats::new(index, trigger + 120 + index).with_metrics(metrics);
            tracker.report_subtask(7, &task.job_vertex_id, subtask)?;
        }
    }
    let stats = tracker.report_completed(7, Some("file:///checkpoints/chk-7".into()), Some(1_234))?;
    group.add_event(checkpoint_event(job.named("word count"), &stats));
    group.add_span(checkpoint_span(job, &stats, detail));

    for reporter in dispatcher.shutdown(Duration::from_secs(10)) {
        println!("{reporter}");
    }
    for (name, value) in tracker.gauges().entries() {
        println!("{name} = {value:?}");
    }
    Ok(())
}
