//! Reports one checkpoint of a job as Flink would, into JSON Lines files.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows its results")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use flink_traces_api::{Registry, SystemClock};
use flink_traces_runtime::checkpoint::{CheckpointTask, CheckpointType, SubtaskMetric, SubtaskStats};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::{
    CheckpointStatsTracker, Configuration, Dispatcher, JobIdentity, MetricGroup, checkpoint_event, checkpoint_span,
    discover,
};

fn main() -> Result<(), Box<dyn Error>> {
    // The configuration. `Configuration::load` reads the same keys from a file.
    let configuration = Configuration::from_pairs([
        ("traces.reporter.file.factory.class", "flink-traces-json"),
        ("traces.reporter.file.path", "spans.jsonl"),
        ("events.reporter.file.factory.class", "flink-traces-json"),
        ("events.reporter.file.path", "events.jsonl"),
    ]);

    // Its reporters. Each one runs on its own thread, behind a queue.
    let mut registry = Registry::new();
    flink_traces_json::register(&mut registry)?;
    let (reporters, mut problems) = discover(&configuration, &registry);
    let (dispatcher, not_started) = Dispatcher::start(reporters, &registry, Arc::new(SystemClock), ".");
    problems.extend(not_started);
    for problem in problems {
        eprintln!("{problem}");
    }

    // A job. Its group adds the job's id, name and host to every span and event.
    let job_id = "0b1d198cd84d58810f0faf9761017b2f";
    let group = MetricGroup::job_manager(&dispatcher, "host-1").add_job(job_id, "orders");
    let tracker = CheckpointStatsTracker::new(10);

    // A checkpoint: its trigger, the acknowledgement of its only subtask, its completion.
    let tasks = [CheckpointTask::new("a0", 1).with_task_name("map".to_owned())];
    tracker.report_pending(7, 1_795_230_918_331, CheckpointType::Checkpoint, &tasks)?;
    let subtask = SubtaskStats::new(0, 1_795_230_918_498)
        .with_metrics(SubtaskMetric::ALL.into_iter().zip([4_096, 512, 3, 1, 2, 90, 0, 0]));
    tracker.report_subtask(7, "a0", subtask)?;
    let stats = tracker.report_completed(7, Some("file:///checkpoints/chk-7".into()), Some(1_234))?;

    // Flink's event and span for that checkpoint. Neither call blocks.
    let identity = JobIdentity { cluster: "prod", job_id };
    group.add_event(checkpoint_event(identity.named("orders"), &stats));
    group.add_span(checkpoint_span(identity, &stats, SpanDetailLevel::ChildrenSpansPerSubtask));

    // The end: the account of each reporter.
    for account in dispatcher.shutdown(Duration::from_secs(10)) {
        println!("{account}");
    }
    Ok(())
}
