//! Measurements of the OpenTelemetry SDK: its batch processor and its OTLP exporter, with defaults.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::prost::Message;
use anyhow::{Result, anyhow};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SdkTracer, SdkTracerProvider, SpanData, SpanEvents, SpanExporter as _, SpanLinks,
};

use super::{Numbers, each, exported, numbers, paced as at_pace, repeat, take};
use crate::{clock, sample, sink};

/// A number of spans that fits into the queue of the SDK, which holds 2,048.
const CHUNK: usize = 2000;
/// The batch size of the SDK.
const BATCH: usize = 512;

/// Creates the runtime that the threads of the SDK need.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

pub(super) fn exporter_to(sink: &str, protocol: &str) -> Result<SpanExporter> {
    Ok(match protocol {
        "grpc" => SpanExporter::builder().with_tonic().with_endpoint(format!("http://{sink}")).build()?,
        _ => {
            // The client needs a crypto provider. An error means that one is already installed.
            let _ = rustls::crypto::ring::default_provider().install_default();
            SpanExporter::builder().with_http().with_endpoint(format!("http://{sink}/v1/traces")).build()?
        }
    })
}

pub(super) fn resource() -> Resource {
    Resource::builder_empty().with_attribute(KeyValue::new("service.name", "flink")).build()
}

fn provider_to(exporter: SpanExporter) -> SdkTracerProvider {
    let processor = BatchSpanProcessor::builder(exporter).build();
    SdkTracerProvider::builder().with_resource(resource()).with_span_processor(processor).build()
}

/// The values that all spans share, in the form that is cheapest to clone.
struct Shared {
    job_id: Arc<str>,
    job_name: Arc<str>,
    host: Arc<str>,
}

impl Shared {
    fn new() -> Self {
        Self { job_id: sample::JOB_ID.into(), job_name: sample::JOB_NAME.into(), host: sample::HOST.into() }
    }

    fn attributes(&self, number: usize) -> Vec<KeyValue> {
        let [id, full_size, checkpointed_size, metadata_size] = sample::numbers(number);
        vec![
            KeyValue::new("checkpointId", id),
            KeyValue::new("fullSize", full_size),
            KeyValue::new("checkpointedSize", checkpointed_size),
            KeyValue::new("metadataSize", metadata_size),
            KeyValue::new("checkpointStatus", sample::COMPLETED),
            KeyValue::new("checkpointType", sample::TYPE),
            KeyValue::new("jobId", self.job_id.clone()),
            KeyValue::new("host", self.host.clone()),
            KeyValue::new("job_id", self.job_id.clone()),
            KeyValue::new("job_name", self.job_name.clone()),
        ]
    }
}

fn moment(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs())
}

/// Reports one span. The SDK requires a builder, a start and an end.
fn report(tracer: &SdkTracer, shared: &Shared, number: usize, parent: &Context) -> SpanContext {
    let builder = tracer
        .span_builder("Checkpoint")
        .with_kind(SpanKind::Internal)
        .with_start_time(moment(sample::START))
        .with_attributes(shared.attributes(number));
    let mut span = tracer.build_with_context(builder, parent);
    let context = span.span_context().clone();
    span.end_with_timestamp(moment(sample::START + 411));
    context
}

/// Measures the cost of reporting a span, for the caller.
pub(super) fn add(size: usize, sink: &str) -> Result<Numbers> {
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let provider = provider_to(exporter_to(sink, "grpc")?);
    let (tracer, shared, parent) = (provider.tracer(sample::SCOPE), Shared::new(), Context::new());
    let mut chunks = Vec::new();
    for chunk in 0..size.div_ceil(CHUNK) {
        let spans = chunk * CHUNK..(chunk + 1) * CHUNK;
        let (taken, ()) = take(|| spans.for_each(|number| drop(report(&tracer, &shared, number, &parent))));
        chunks.push(each(taken.thread, CHUNK));
        provider.force_flush()?;
    }
    chunks.sort_by(f64::total_cmp);
    Ok(numbers([("caller", chunks[chunks.len() / 2])]))
}

/// Measures the time of reporting a span, `rate` times a second.
pub(super) fn paced(rate: usize, sink: &str) -> Result<Numbers> {
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let provider = provider_to(exporter_to(sink, "grpc")?);
    let (tracer, shared, parent) = (provider.tracer(sample::SCOPE), Shared::new(), Context::new());
    at_pace(rate, sink, |number| drop(report(&tracer, &shared, number, &parent)))
}

/// Measures the delivered share of a tree and the time, with children that end before parents.
pub(super) fn tree(subtasks: usize, sink: &str) -> Result<Numbers> {
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let provider = provider_to(exporter_to(sink, "grpc")?);
    let (tracer, shared) = (provider.tracer(sample::SCOPE), Shared::new());
    drop(report(&tracer, &shared, 0, &Context::new()));
    provider.force_flush()?;
    let before = sink::count(sink)?;
    let start = Instant::now();
    let (taken, ()) = take(|| {
        let root = tracer.build_with_context(tracer.span_builder("Checkpoint"), &Context::new());
        let root = Context::new().with_span(root);
        for task in 0..subtasks / 1000 {
            let task = tracer.span_builder("Checkpoint_Task").with_attributes(shared.attributes(task));
            let task = root.with_span(tracer.build_with_context(task, &root));
            (0..1000).for_each(|subtask| drop(report(&tracer, &shared, subtask, &task)));
            task.span().end();
        }
        root.span().end();
    });
    // The flush may time out before the queue is empty.
    let _ = provider.force_flush();
    let drained = start.elapsed();
    let size = sample::tree_size(subtasks / 1000, 1000);
    let kept = (sink::count(sink)? - before) as f64 / size as f64 * 100.0;
    Ok(numbers([("caller", each(taken.thread, 1)), ("drained", each(drained, 1)), ("kept", kept)]))
}

/// Measures the cost of a span from the caller to the collector.
///
/// It never adds more spans at once than the queue holds, so that none is dropped.
pub(super) fn provider(size: usize, sink: &str, protocol: &str) -> Result<Numbers> {
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let provider = provider_to(exporter_to(sink, protocol)?);
    let (tracer, shared, parent) = (provider.tracer(sample::SCOPE), Shared::new(), Context::new());
    let go = |size: usize| {
        for chunk in 0..size.div_ceil(CHUNK) {
            let spans = chunk * CHUNK..size.min((chunk + 1) * CHUNK);
            spans.for_each(|number| drop(report(&tracer, &shared, number, &parent)));
            provider.force_flush()?;
        }
        anyhow::Ok(())
    };
    go(size / 10)?;
    let before = sink::count(sink)?;
    let (taken, result) = take(|| go(size));
    result?;
    Ok(exported(taken, size, sink::count(sink)? - before))
}

fn span_data(number: usize, shared: &Shared, scope: &InstrumentationScope) -> SpanData {
    let id = number as u64 + 1;
    let context = SpanContext::new(
        TraceId::from(u128::from(id) << 64 | 7),
        SpanId::from(id),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    SpanData {
        span_context: context,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "Checkpoint".into(),
        start_time: moment(sample::START),
        end_time: moment(sample::START + 411),
        attributes: shared.attributes(number),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    }
}

fn batch(from: usize, size: usize) -> Vec<SpanData> {
    let (shared, scope) = (Shared::new(), InstrumentationScope::builder(sample::SCOPE).build());
    (from..from + size).map(|number| span_data(number, &shared, &scope)).collect()
}

/// Measures the cost of a span that goes to the exporter without a processor.
pub(super) fn exporter(size: usize, sink: &str, protocol: &str) -> Result<Numbers> {
    let runtime = runtime()?;
    let mut exporter = {
        let _inside = runtime.enter();
        exporter_to(sink, protocol)?
    };
    exporter.set_resource(&resource());
    let go = |size: usize| {
        for from in (0..size).step_by(BATCH) {
            let spans = batch(from, BATCH.min(size - from));
            let sent = match protocol {
                "grpc" => runtime.block_on(exporter.export(spans)),
                // The client blocks, which is not allowed inside a runtime.
                _ => block_on(exporter.export(spans)),
            };
            sent.map_err(|error| anyhow!("{error}"))?;
        }
        anyhow::Ok(())
    };
    go(size / 10)?;
    let before = sink::count(sink)?;
    let (taken, result) = take(|| go(size));
    result?;
    Ok(exported(taken, size, sink::count(sink)? - before))
}

/// Runs a future that needs no wakeup.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return result;
        }
    }
}

/// Measures the encoding of requests as the exporter does it: clone for retries, convert, encode.
pub(super) fn encode(size: usize) -> Result<Numbers> {
    let spans = batch(0, size);
    let resource = ResourceAttributesWithSchema::from(&resource());
    Ok(repeat(size, || {
        let resource_spans = group_spans_by_resource_and_scope(spans.clone(), &resource);
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().len()
    }))
}

/// Measures only the encoding, without the clone and the conversion.
pub(super) fn prost(size: usize) -> Result<Numbers> {
    let resource = ResourceAttributesWithSchema::from(&resource());
    let resource_spans = group_spans_by_resource_and_scope(batch(0, size), &resource);
    let request = ExportTraceServiceRequest { resource_spans };
    Ok(repeat(size, || request.encode_to_vec().len()))
}

/// Measures the memory of a queued span.
pub(super) fn memory(size: usize) -> Result<Numbers> {
    let (shared, scope) = (Shared::new(), InstrumentationScope::builder(sample::SCOPE).build());
    let mut queued = Vec::with_capacity(size);
    let before = clock::resident("self");
    (0..size).for_each(|number| queued.push(span_data(number, &shared, &scope)));
    Ok(numbers([("bytes", (clock::resident("self") - before) / queued.len() as f64)]))
}
