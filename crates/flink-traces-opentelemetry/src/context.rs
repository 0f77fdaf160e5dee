//! The current span of OpenTelemetry or `tracing`, as the parent or a link of spans.

use flink_traces_api::{SpanContext, SpanId, TraceId};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;

/// Returns the ids of OpenTelemetry's current span.
///
/// See [`context_span`] for the cases without one.
///
/// # Examples
///
/// ```
/// use flink_traces_opentelemetry::current_span;
/// use flink_traces_runtime::checkpoint::{CheckpointType, TrackerError};
/// use flink_traces_runtime::{JobHandle, JobVertex};
///
/// /// Triggers a savepoint, whose span becomes a child of the current span.
/// fn savepoint(job: &JobHandle, id: i64, tasks: &[JobVertex]) -> Result<(), TrackerError> {
///     let savepoint = job.trigger(id, CheckpointType::Savepoint, tasks)?;
///     savepoint.set_parent(current_span())
/// }
/// # let (reporting, _recorded) = flink_traces_testkit::in_memory();
/// # savepoint(&reporting.job("5c4b", "orders"), 8, &[JobVertex::new("a0", "map", 1)]).unwrap();
/// ```
pub fn current_span() -> Option<SpanContext> {
    Context::map_current(context_span)
}

/// Returns the ids of the span of an OpenTelemetry context.
///
/// Returns `None` without a span, and if the span is not sampled: no store gets such a span, so it
/// would be a parent that is missing.
pub fn context_span(context: &Context) -> Option<SpanContext> {
    let span = context.span();
    let found = span.span_context();
    let trace_id = TraceId::from_bytes(found.trace_id().to_bytes()).filter(|_| found.is_sampled())?;
    Some(SpanContext { trace_id, span_id: SpanId::from_bytes(found.span_id().to_bytes())? })
}

/// Returns the ids of the current span of `tracing`.
///
/// The subscriber needs the layer of `tracing-opentelemetry`, which gives the ids to the spans of
/// `tracing`. See [`context_span`] for the cases without one.
///
/// # Examples
///
/// ```
/// use flink_traces_api::SpanBuilder;
/// use flink_traces_opentelemetry::current_tracing_span;
///
/// /// Makes a span the child of the function that calls this one.
/// fn caused(span: SpanBuilder) -> SpanBuilder {
///     span.parent(current_tracing_span())
/// }
/// # use flink_traces_api::{Span, SystemClock};
/// # assert_eq!(caused(Span::builder("s", "n")).build(&SystemClock).extension(), None);
/// ```
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub fn current_tracing_span() -> Option<SpanContext> {
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    context_span(&tracing::Span::current().context())
}
