//! Spans in the trace of what caused them, as a collector receives them.

use std::collections::BTreeMap;
use std::time::Duration;

use flink_traces_api::{Identity, Span, SpanContext};
use flink_traces_opentelemetry::{SdkExporters, context_span, current_span, current_tracing_span};
use flink_traces_otlp::Otlp;
use flink_traces_runtime::checkpoint::{CheckpointType, RestoredCheckpoint};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::ExecutionAttemptId;
use flink_traces_runtime::reporting::{InitializedSubtask, ReportingBuilder};
use flink_traces_runtime::{JobHandle, JobVertex, Reporting, Subtask};
use flink_traces_testkit::{OtlpCollector, ReceivedSpan};
use opentelemetry::Context;
use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::prelude::*;

fn tasks() -> [JobVertex; 1] {
    [JobVertex::new("a0", "map", 1)]
}

/// Triggers and completes a checkpoint, caused by `parent` and linked to `link`.
fn checkpoint(job: &JobHandle, id: i64, parent: Option<SpanContext>, link: Option<SpanContext>) {
    let checkpoint = job.trigger(id, CheckpointType::Checkpoint, tasks()).unwrap();
    checkpoint.set_parent(parent).unwrap();
    checkpoint.add_link(link).unwrap();
    checkpoint.ack("a0", Subtask::new(0).state_size(4_096)).unwrap();
    checkpoint.complete("file:///checkpoints/1").unwrap();
    assert_eq!(checkpoint.trace_id(), parent.map(|parent| parent.trace_id));
}

fn restore(job: &JobHandle, id: i64) {
    let attempt = ExecutionAttemptId::new("a0", 0, 1);
    let initialization = job.initialization([attempt.clone()]);
    initialization.restored(RestoredCheckpoint::checkpoint(id)).unwrap();
    initialization.initialized(&attempt, InitializedSubtask::completed()).unwrap();
}

/// Returns what a collector receives of `report`, by the name of the span.
fn received(
    reporter: impl FnOnce(ReportingBuilder, &OtlpCollector) -> ReportingBuilder,
    report: impl FnOnce(&JobHandle),
) -> BTreeMap<String, ReceivedSpan> {
    let collector = OtlpCollector::start().unwrap();
    let builder = Reporting::builder().cluster("prod").span_detail_level(SpanDetailLevel::ChildrenSpansPerTask);
    let reporting = reporter(builder, &collector).shutdown_timeout(Duration::from_secs(60)).start().unwrap();
    report(&reporting.job("5c4b", "orders"));
    for account in reporting.shutdown_blocking() {
        assert_eq!(account.delivered, account.emitted, "{account}");
    }
    collector.spans().into_iter().map(|span| (span.name().to_owned(), span)).collect()
}

fn ids(span: &ReceivedSpan) -> (&[u8], &[u8]) {
    (span.trace_id(), span.parent_span_id())
}

fn links(span: &ReceivedSpan) -> Vec<(String, String)> {
    let plain = span.plain();
    let id = |link: &serde_json::Value, key: &str| link[key].as_str().unwrap().to_owned();
    plain["links"].as_array().unwrap().iter().map(|link| (id(link, "traceId"), id(link, "spanId"))).collect()
}

/// Scenario: a request with an OpenTelemetry span takes a checkpoint, which is restored later.
/// Guarantees: the checkpoint with its tasks is in the trace of the request, below its span. The
/// restore links to it there. Both OTLP reporters send that, and `compatibility: flink` hides it.
#[test]
fn checkpoint_stands_in_the_trace_of_its_cause() {
    let provider = SdkTracerProvider::builder().build();
    let tracer = provider.tracer("engine");
    type Reporter = fn(ReportingBuilder, &OtlpCollector) -> ReportingBuilder;
    let reporters: [Reporter; 2] = [
        |builder, collector| builder.reporter(Otlp::grpc(collector.grpc_endpoint())),
        |builder, collector| builder.reporter(SdkExporters::otlp(collector.grpc_endpoint())),
    ];
    for reporter in reporters {
        let mut request = None;
        let spans = received(reporter, |job| {
            tracer.in_span("request", |_| {
                request = current_span();
                checkpoint(job, 1, current_span(), None);
            });
            restore(job, 1);
        });
        let request = request.unwrap();
        let root = &spans["Checkpoint"];
        assert_eq!(ids(root), (&request.trace_id.as_bytes()[..], &request.span_id.as_bytes()[..]));
        assert_eq!(ids(&spans["Checkpoint_Task"]), (&request.trace_id.as_bytes()[..], root.span_id()));
        let restored = &spans["JobInitialization"];
        assert_ne!(restored.trace_id(), request.trace_id.as_bytes());
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(links(restored), [(hex(root.trace_id()), hex(root.span_id()))]);
    }

    let request = SpanContext::from(Identity::of(&["request"]));
    let flink = |builder: ReportingBuilder, collector: &OtlpCollector| {
        let otlp = Otlp::grpc(collector.grpc_endpoint());
        builder.reporter(flink_traces_api::ReporterBuilder::compatibility(otlp, flink_traces_api::Compatibility::Flink))
    };
    let spans = received(flink, |job| checkpoint(job, 1, Some(request), Some(request)));
    let root = &spans["Checkpoint"];
    assert_eq!((root.parent_span_id(), links(root).len()), (&[][..], 0));
    assert_ne!(root.trace_id(), request.trace_id.as_bytes());
}

/// Scenario: a span of `tracing` is current, and `tracing-opentelemetry` gives it its ids.
/// Guarantees: a checkpoint links to it and keeps its own trace, and a span of the engine's own can
/// be its child.
#[test]
fn current_span_of_tracing_is_a_link_or_a_parent() {
    let provider = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("engine"));
    let subscriber = tracing_subscriber::registry().with(layer);
    let (mut caller, otlp) = (None, |builder: ReportingBuilder, collector: &OtlpCollector| {
        builder.reporter(Otlp::grpc(collector.grpc_endpoint()))
    });
    let spans = received(otlp, |job| {
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("compact").in_scope(|| {
                caller = current_tracing_span();
                checkpoint(job, 1, None, current_tracing_span());
                job.metric_group().add_span(Span::builder("engine", "Compaction").parent(current_tracing_span()));
            });
        });
    });
    let caller = caller.unwrap();
    let root = &spans["Checkpoint"];
    assert_eq!(links(root), [(caller.trace_id.to_string(), caller.span_id.to_string())]);
    assert!(root.parent_span_id().is_empty());
    let compaction = &spans["Compaction"];
    assert_eq!(ids(compaction), (&caller.trace_id.as_bytes()[..], &caller.span_id.as_bytes()[..]));
}

#[test]
fn missing_and_unsampled_spans_are_none() {
    assert_eq!((current_span(), current_tracing_span(), context_span(&Context::new())), (None, None, None));
    let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
    provider.tracer("engine").in_span("unsampled", |context| {
        assert!(context.span().span_context().is_valid());
        assert_eq!(current_span(), None);
    });
}
