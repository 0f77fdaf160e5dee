//! Measurements of fastrace with its OpenTelemetry reporter.

use std::borrow::Cow;

use anyhow::Result;
use fastrace::Span;
use fastrace::collector::{Config, SpanContext};
use fastrace_opentelemetry::OpenTelemetryReporter;
use opentelemetry::InstrumentationScope;

use super::opentelemetry::{exporter_to, resource};
use super::{Numbers, each, exported, numbers, take};
use crate::{sample, sink};

/// A number of spans that fits into all queues of fastrace.
const CHUNK: usize = 2000;

/// Starts fastrace. Needs the context of a tokio runtime.
fn start(sink: &str) -> Result<()> {
    let scope = InstrumentationScope::builder(sample::SCOPE).build();
    let handle = tokio::runtime::Handle::current();
    let reporter = OpenTelemetryReporter::new(exporter_to(sink, "grpc")?, Cow::Owned(resource()), scope);
    let reporter = reporter.with_block_on(move |export| handle.block_on(export));
    fastrace::set_reporter(reporter, Config::default());
    Ok(())
}

/// Reports a span with the same attributes, although fastrace has only text and the current time.
fn report(number: usize) {
    let [id, full_size, checkpointed_size, metadata_size] = sample::numbers(number);
    drop(Span::root("Checkpoint", SpanContext::random()).with_properties(|| {
        [
            ("checkpointId", Cow::from(id.to_string())),
            ("fullSize", full_size.to_string().into()),
            ("checkpointedSize", checkpointed_size.to_string().into()),
            ("metadataSize", metadata_size.to_string().into()),
            ("checkpointStatus", sample::COMPLETED.into()),
            ("checkpointType", sample::TYPE.into()),
            ("jobId", sample::JOB_ID.into()),
            ("host", sample::HOST.into()),
            ("job_id", sample::JOB_ID.into()),
            ("job_name", sample::JOB_NAME.into()),
        ]
    }));
}

/// Measures the cost of reporting a span, for the caller.
pub(super) fn add(size: usize, sink: &str) -> Result<Numbers> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _inside = runtime.enter();
    start(sink)?;
    let mut chunks = Vec::new();
    for chunk in 0..size.div_ceil(CHUNK) {
        let (taken, ()) = take(|| (chunk * CHUNK..(chunk + 1) * CHUNK).for_each(report));
        chunks.push(each(taken.thread, CHUNK));
        fastrace::flush();
    }
    chunks.sort_by(f64::total_cmp);
    Ok(numbers([("caller", chunks[chunks.len() / 2])]))
}

/// Measures the cost of a span from the caller to the collector.
pub(super) fn export(size: usize, sink: &str) -> Result<Numbers> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _inside = runtime.enter();
    start(sink)?;
    let go = |size: usize| {
        for chunk in 0..size.div_ceil(CHUNK) {
            (chunk * CHUNK..size.min((chunk + 1) * CHUNK)).for_each(report);
            fastrace::flush();
        }
    };
    go(size / 10);
    let before = sink::count(sink)?;
    let (taken, ()) = take(|| go(size));
    Ok(exported(taken, size, sink::count(sink)? - before))
}
