//! Measurements of this workspace: a dispatcher with one reporter and default options.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use flink_traces_api::{
    Clock, Compatibility, ConfigError, Deadline, Identity, OptionDoc, Registry, ReportContext, ReportError,
    ReportedSpan, ReporterConfig, SpanBuilder, SystemClock, TraceReporter, TraceReporterFactory,
};
use flink_traces_json::FlatEncoder;
use flink_traces_runtime::checkpoint::{
    CheckpointTask, CheckpointType, InitializationStatus, JobInitializationMetricsBuilder,
    SubTaskInitializationMetrics, SubtaskMetric, SubtaskStats,
};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::ExecutionAttemptId;
use flink_traces_runtime::{
    CheckpointStatsTracker, Configuration, Dispatcher, JobIdentity, checkpoint_event, checkpoint_span, discover,
};

use super::{Numbers, each, exported, numbers, paced as at_pace, repeat, take};
use crate::{clock, sample, sink};

const PATIENCE: Duration = Duration::from_secs(120);

/// Creates a dispatcher with one reporter.
fn dispatcher(class: &str, options: &[(&str, &str)]) -> Result<Dispatcher> {
    let mut registry = Registry::new();
    flink_traces_otlp::register(&mut registry)?;
    flink_traces_json::register(&mut registry)?;
    registry.register_trace("nowhere", Nowhere)?;
    registry.register_trace("never", Never)?;
    let options = options.iter().map(|(key, value)| (format!("traces.reporter.r.{key}"), *value));
    let pairs: Vec<_> = options.chain([("traces.reporter.r.factory.class".to_owned(), class)]).collect();
    let configuration = Configuration::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), *value)));
    let (setups, problems) = discover(&configuration, &registry);
    ensure!(problems.is_empty(), "{problems:?}");
    let (dispatcher, problems) = Dispatcher::start(setups, &registry, Arc::new(SystemClock), ".");
    ensure!(problems.is_empty(), "{problems:?}");
    Ok(dispatcher)
}

fn otlp(sink: &str, protocol: &str) -> Result<Dispatcher> {
    let endpoint = format!("http://{sink}");
    let options = [("exporter.endpoint", endpoint.as_str()), ("exporter.protocol", protocol)];
    dispatcher(flink_traces_otlp::TRACE_FACTORY, &options)
}

/// Waits until all spans are delivered.
fn flush(dispatcher: &Dispatcher) -> Result<()> {
    let is_flushed = dispatcher.flush(PATIENCE);
    for reporter in dispatcher.stats() {
        ensure!(is_flushed && reporter.delivered == reporter.emitted, "undelivered spans: {reporter}");
    }
    Ok(())
}

/// Measures the cost of adding a span, for the caller.
pub(super) fn add(size: usize, sink: &str) -> Result<Numbers> {
    const CHUNK: usize = 2000;
    let dispatcher = otlp(sink, "grpc")?;
    let group = sample::group(&dispatcher);
    let mut chunks = Vec::new();
    for chunk in 0..size.div_ceil(CHUNK) {
        let spans: Vec<SpanBuilder> = (0..CHUNK).map(|number| sample::checkpoint(chunk * CHUNK + number)).collect();
        let (taken, ()) = take(|| spans.into_iter().for_each(|span| group.add_span(span)));
        chunks.push(each(taken.thread, CHUNK));
        flush(&dispatcher)?;
    }
    chunks.sort_by(f64::total_cmp);
    Ok(numbers([("caller", chunks[chunks.len() / 2])]))
}

/// Measures the time of building and adding a span, `rate` times a second.
pub(super) fn paced(rate: usize, sink: &str) -> Result<Numbers> {
    let dispatcher = otlp(sink, "grpc")?;
    let group = sample::group(&dispatcher);
    let numbers = at_pace(rate, sink, |number| group.add_span(sample::checkpoint(number)))?;
    flush(&dispatcher)?;
    Ok(numbers)
}

/// Measures the cost of adding a tree, for the caller, and the time until it is delivered.
///
/// Other spans come shortly before it.
pub(super) fn tree(subtasks: usize, sink: &str) -> Result<Numbers> {
    let dispatcher = otlp(sink, "grpc")?;
    let group = sample::group(&dispatcher);
    let (tasks, subtasks) = (subtasks / 1000, 1000);
    let tree = sample::tree(tasks, subtasks);
    group.add_span(sample::checkpoint(0));
    flush(&dispatcher)?;
    let before = sink::count(sink)?;
    let start = Instant::now();
    let (taken, ()) = take(|| group.add_span(tree));
    flush(&dispatcher)?;
    let drained = start.elapsed();
    let size = sample::tree_size(tasks, subtasks);
    let kept = (sink::count(sink)? - before) as f64 / size as f64 * 100.0;
    Ok(numbers([("caller", each(taken.thread, 1)), ("drained", each(drained, 1)), ("kept", kept)]))
}

/// Measures a checkpoint on the coordinator thread, from the acknowledgements to the dispatcher.
pub(super) fn checkpoint(subtasks: usize) -> Result<Numbers> {
    const METRICS: [Option<i64>; 8] = [Some(18_722), Some(426), Some(4), Some(0), Some(3), Some(17), Some(0), Some(0)];
    let tasks: Vec<_> = (0..subtasks / 1000).map(|task| CheckpointTask::new(format!("{task:032x}"), 1000)).collect();
    let dispatcher = dispatcher("nowhere", &[])?;
    let group = sample::group(&dispatcher);
    let tracker = CheckpointStatsTracker::new(10);
    let job = JobIdentity { cluster: "prod", job_id: sample::JOB_ID };
    let (mut acknowledged, mut completed) = (Vec::new(), Vec::new());
    for id in 0..40 {
        let at = sample::START + id * 1000;
        let (taken, result) = take(|| {
            tracker.report_pending(id, at, CheckpointType::Checkpoint, &tasks)?;
            for task in &tasks {
                for index in 0..1000 {
                    let subtask =
                        SubtaskStats::new(index, at + 23).with_metrics(SubtaskMetric::ALL.into_iter().zip(METRICS));
                    tracker.report_subtask(id, &task.job_vertex_id, subtask)?;
                }
            }
            anyhow::Ok(())
        });
        result?;
        acknowledged.push(each(taken.thread, 1));
        let (taken, result) = take(|| {
            let stats = tracker.report_completed(id, None, Some(9241))?;
            group.add_event(checkpoint_event(job.named("orders"), &stats));
            group.add_span(checkpoint_span(job, &stats, SpanDetailLevel::ChildrenSpansPerSubtask));
            anyhow::Ok(())
        });
        result?;
        completed.push(each(taken.thread, 1));
        flush(&dispatcher)?;
    }
    Ok(numbers([("acknowledged", median(acknowledged)), ("caller", median(completed))]))
}

/// Returns the median, without the first quarter.
fn median(mut samples: Vec<f64>) -> f64 {
    samples.drain(..samples.len() / 4);
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Measures the cost of a span from the caller to the collector.
pub(super) fn export(size: usize, sink: &str, protocol: &str) -> Result<Numbers> {
    let dispatcher = otlp(sink, protocol)?;
    let group = sample::group(&dispatcher);
    let go = |size: usize| {
        (0..size).for_each(|number| group.add_span(sample::checkpoint(number)));
        flush(&dispatcher)
    };
    go(size / 10)?;
    let before = sink::count(sink)?;
    let (taken, result) = take(|| go(size));
    result?;
    Ok(exported(taken, size, sink::count(sink)? - before))
}

fn reported(size: usize) -> Vec<ReportedSpan> {
    let variables = [("<host>", sample::HOST), ("<job_id>", sample::JOB_ID), ("<job_name>", sample::JOB_NAME)];
    let context =
        Arc::new(ReportContext::new(Compatibility::Standard).with_job_id(sample::JOB_ID).with_variables(variables));
    let clock: &dyn Clock = &SystemClock;
    let reported = |number: usize| {
        let span = sample::checkpoint(number).identity(Identity::numbered(number as u64)).build(clock);
        ReportedSpan::new(Arc::new(span), context.clone())
    };
    (0..size).map(reported).collect()
}

/// Measures the encoding of requests.
pub(super) fn encode(size: usize) -> Result<Numbers> {
    let spans = reported(size);
    let resource = [("service.name".to_owned(), "flink".to_owned())];
    Ok(repeat(size, || {
        flink_traces_otlp::encode_spans(&spans, &resource, 1 << 20).map(|request| request.len()).sum::<usize>()
    }))
}

/// Measures the encoding of a JSON line.
pub(super) fn json(size: usize) -> Result<Numbers> {
    let spans = reported(size);
    let mut text = String::new();
    let mut encoder = FlatEncoder::new();
    Ok(repeat(size, || {
        text.clear();
        spans.iter().for_each(|span| encoder.push_span(&mut text, span.root()));
        text.len()
    }))
}

/// Measures the cost of a span from the caller to a file.
pub(super) fn file(size: usize) -> Result<Numbers> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("spans.jsonl");
    let Some(path) = path.to_str() else { bail!("{} is not UTF-8", path.display()) };
    let dispatcher = dispatcher(flink_traces_json::FACTORY, &[("path", path), ("format", "flat")])?;
    let group = sample::group(&dispatcher);
    let go = |size: usize| {
        (0..size).for_each(|number| group.add_span(sample::checkpoint(number)));
        flush(&dispatcher)
    };
    go(size / 10)?;
    let (taken, result) = take(|| go(size));
    result?;
    let lines = lines(folder.path())?;
    ensure!(lines == size + size / 10, "{lines} lines");
    Ok(numbers([("cpu", each(taken.process, size)), ("per second", size as f64 / taken.wall.as_secs_f64())]))
}

fn lines(folder: &Path) -> Result<usize> {
    let mut lines = 0;
    for file in folder.read_dir()? {
        lines += std::fs::read(file?.path())?.iter().filter(|byte| **byte == b'\n').count();
    }
    Ok(lines)
}

/// Measures an initialization, from the reports of the subtasks to the statistics.
pub(super) fn initialization(subtasks: usize) -> Result<Numbers> {
    const DURATIONS: [&str; 6] = [
        SubTaskInitializationMetrics::MAILBOX_START_DURATION,
        SubTaskInitializationMetrics::READ_OUTPUT_DATA_DURATION,
        SubTaskInitializationMetrics::INITIALIZE_STATE_DURATION,
        SubTaskInitializationMetrics::GATE_RESTORE_DURATION,
        SubTaskInitializationMetrics::DOWNLOAD_STATE_DURATION,
        SubTaskInitializationMetrics::RESTORE_STATE_DURATION,
    ];
    let attempts: Vec<_> = (0..subtasks)
        .map(|number| ExecutionAttemptId {
            job_vertex_id: format!("{:032x}", number / 1000),
            subtask_index: (number % 1000) as u32,
            attempt_number: 0,
        })
        .collect();
    let reports: Vec<_> = (0..subtasks)
        .map(|number| {
            let mut report = SubTaskInitializationMetrics::new(InitializationStatus::Completed, sample::START + 40);
            let number = i64::try_from(number).unwrap_or_default();
            DURATIONS.iter().for_each(|name| report.add(*name, number % 97));
            report
        })
        .collect();
    let before = clock::resident("self");
    let kept = JobInitializationMetricsBuilder::new(sample::START, attempts.iter().cloned());
    let held = (clock::resident("self") - before).max(0.0) / subtasks as f64;
    drop(kept);
    let mut samples = Vec::new();
    for _ in 0..40 {
        let started = attempts.clone();
        let (taken, ended) = take(|| {
            let mut initialization = JobInitializationMetricsBuilder::new(sample::START, started);
            let reports = attempts.iter().zip(&reports);
            reports.filter_map(|(attempt, report)| initialization.report(attempt, report)).count()
        });
        ensure!(ended == 1, "{ended} initializations ended");
        samples.push(each(taken.thread, subtasks));
    }
    Ok(numbers([("cpu", median(samples)), ("held", held)]))
}

/// Measures the memory of a queued span.
pub(super) fn memory(size: usize) -> Result<Numbers> {
    let dispatcher = dispatcher("never", &[])?;
    let group = sample::group(&dispatcher);
    (0..1000).for_each(|number| group.add_span(sample::checkpoint(number)));
    let before = clock::resident("self");
    (0..size).for_each(|number| group.add_span(sample::checkpoint(number)));
    let held = (clock::resident("self") - before) / size as f64;
    let queued: u64 = dispatcher.stats().iter().map(|reporter| reporter.queued).sum();
    ensure!(queued == (size + 1000) as u64, "{queued} spans are queued");
    // The dispatcher could not be closed, because its reporter never returns.
    std::mem::forget(dispatcher);
    Ok(numbers([("bytes", held)]))
}

/// A reporter that looks at its spans and discards them.
struct Nowhere;

impl TraceReporterFactory for Nowhere {
    fn create_trace_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Box::new(Self))
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl TraceReporter for Nowhere {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        let seen: usize = spans.iter().map(|span| span.spans().count()).sum();
        let all = spans.iter().map(ReportedSpan::span_count).sum();
        if seen == all { Ok(()) } else { Err(ReportError::from_rejected(all, format!("{seen} of {all} spans"))) }
    }
}

/// A reporter that never returns.
struct Never;

impl TraceReporterFactory for Never {
    fn create_trace_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Box::new(Self))
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl TraceReporter for Never {
    fn report(&mut self, _: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        loop {
            std::thread::park();
        }
    }
}
