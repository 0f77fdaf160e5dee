//! Reporters that hand Flink spans and events to any exporter of the OpenTelemetry SDK.
//!
//! Use this crate if you have an exporter that OTLP does not replace, such as one of a vendor or
//! your own. [`SpanExporterFactory`] creates trace reporters from an
//! `opentelemetry_sdk::trace::SpanExporter`, and [`LogExporterFactory`] creates event reporters
//! from a `LogExporter`. Ids, parents, times, links, status, scope and resource are the same as
//! those that `flink-traces-otlp` sends.
//!
//! A program may also configure reporters in code, with [`SdkExporters`].
//!
//! # Causes
//!
//! [`current_span`] returns the ids of OpenTelemetry's current span, so that a checkpoint or a span
//! of your own can stand in the trace of its cause. With the feature `tracing`,
//! `current_tracing_span` does this for the spans of `tracing`.
//!
//! # Configuration
//!
//! [`register`] registers reporters with the exporters of `opentelemetry-otlp` over gRPC as
//! [`FACTORY`]:
//!
//! ```yaml
//! traces.reporter.sdk.factory.class: flink-traces-opentelemetry
//! traces.reporter.sdk.exporter.endpoint: http://localhost:4317
//! events.reporter.sdk.factory.class: flink-traces-opentelemetry
//! events.reporter.sdk.exporter.endpoint: http://localhost:4317
//! ```
//!
//! - `exporter.endpoint` is the receiver. The default is that of `OTEL_EXPORTER_OTLP_*`, or else
//!   `http://localhost:4317`.
//! - `exporter.timeout` is the maximum duration of a request. The default is that of
//!   `OTEL_EXPORTER_OTLP_*`, or else 10 s.
//! - `service.name`, `service.version` and `resource.attributes` describe the resource.
//!
//! `opentelemetry-otlp` reads other settings, such as headers and certificates, from the
//! environment.
//!
//! # Limits
//!
//! For OTLP, `flink-traces-otlp` is the better choice, because it retries and knows the outcome of
//! every span. An exporter of the SDK only reports that it exported a batch or that it failed:
//!
//! - If a batch of up to 512 records fails, all of them count as dropped. There is no retry beyond
//!   that of the exporter.
//! - Records that a receiver rejects with a `partial_success` count as delivered, because the
//!   exporter does not report them.
//! - Records that are in flight at the deadline count as dropped, although they may still arrive.
//! - There is no spool. Records that cannot be delivered are dropped and counted.
//!
//! The types of the SDK lack some data:
//!
//! - A severity that is not one of OpenTelemetry's names is left out. Flink uses only these names.
//! - The memory of an event name is never freed. Therefore `eventName` is set only for the first 64
//!   names of a reporter, and only up to 256 bytes. The attribute `name` has all names.
//! - The number of dropped attributes of an event is left out.
//! - The spans of a batch keep their order only within a scope, since `opentelemetry-otlp` groups
//!   them by scope.
//!
//! # Features
//!
//! `otlp`, which is on by default, adds [`register`], [`FACTORY`] and the dependency on
//! `opentelemetry-otlp`.
//!
//! # Errors
//!
//! A factory fails if an option is invalid or the exporter cannot be created. A report fails if a
//! batch fails, and counts its records as dropped.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "otlp"), allow(rustdoc::broken_intra_doc_links, reason = "`register` needs the feature"))]

mod builder;
mod context;
mod convert;
#[cfg(feature = "otlp")]
mod otlp;
mod reporter;

pub use builder::SdkExporters;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use context::current_tracing_span;
pub use context::{context_span, current_span};
#[cfg(feature = "otlp")]
#[cfg_attr(docsrs, doc(cfg(feature = "otlp")))]
pub use otlp::{FACTORY, register};
pub use reporter::{LogExporterFactory, SpanExporterFactory};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
