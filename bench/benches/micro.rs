//! Microbenchmarks of the steps of a span. Run them with `cargo bench -p bench`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flink_traces_api::{Compatibility, Identity, ReportContext, ReportedSpan, Span, SpanBuilder, SystemClock};

const JOB_ID: &str = "0a4480b1aa43ca25b4801a22462f387a";
const SCOPE: &str = "org.apache.flink.runtime.checkpoint.CheckpointStatsTracker";
const BATCH: usize = 512;

fn checkpoint(number: i64) -> SpanBuilder {
    Span::builder(SCOPE, "Checkpoint")
        .start_ts_millis(1_795_230_917_019)
        .end_ts_millis(1_795_230_917_430)
        .attribute("checkpointId", number)
        .attribute("fullSize", 187_221_004)
        .attribute("checkpointedSize", 426_117)
        .attribute("metadataSize", 9_241)
        .attribute("checkpointStatus", "COMPLETED")
        .attribute("checkpointType", "Checkpoint")
}

fn reported(number: usize) -> ReportedSpan {
    let variables = [("<host>", "jobmanager-0"), ("<job_id>", JOB_ID), ("<job_name>", "State machine job")];
    let context = ReportContext::new(Compatibility::Standard).with_job_id(JOB_ID).with_variables(variables);
    let span = checkpoint(number as i64).identity(Identity::numbered(number as u64)).build(&SystemClock);
    ReportedSpan::new(Arc::new(span), Arc::new(context))
}

fn spans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("span");
    group.bench_function("build", |bencher| bencher.iter(|| checkpoint(black_box(7)).build(&SystemClock)));
    group.bench_function("identity", |bencher| {
        bencher.iter(|| Identity::of(&["prod", JOB_ID, "checkpoint", black_box("7"), "1795230917019"]).trace_id())
    });
    let span = reported(7);
    group.bench_function("attributes for OpenTelemetry", |bencher| {
        bencher.iter(|| black_box(&span).root().otel_attributes().list.len())
    });
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    let spans: Vec<_> = (0..BATCH).map(reported).collect();
    let resource = [("service.name".to_owned(), "flink".to_owned())];
    let mut group = criterion.benchmark_group("batch");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("protobuf", |bencher| {
        bencher.iter(|| {
            flink_traces_otlp::encode_spans(&spans, &resource, 1 << 20).map(|request| request.len()).sum::<usize>()
        })
    });
    let mut text = String::new();
    let mut encoder = flink_traces_json::FlatEncoder::new();
    group.bench_function("flat JSON", |bencher| {
        bencher.iter(|| {
            text.clear();
            spans.iter().for_each(|span| encoder.push_span(&mut text, span.root()));
            text.len()
        })
    });
    group.finish();
}

criterion_group!(benches, spans, batches);
criterion_main!(benches);
