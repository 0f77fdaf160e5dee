//! Reports Flink spans and events over OTLP.
//!
//! # Concepts
//!
//! - A *request* is one OTLP export request, over gRPC or HTTP.
//! - A *chunk* is one encoded request, the unit that is stored, sent, retried and counted.
//! - A *retry* sends a chunk again, unchanged, after a random pause that grows with each failure.
//! - A *spool* is a directory in which a reporter stores chunks until the collector has them.
//! - The *account* of a reporter counts its records:
//!   `emitted = delivered + rejected + dropped + queued`.
//!
//! # Quick start
//!
//! [`register`] adds both reporters to a registry, under the factory class names of Flink.
//! A configuration for Flink's OpenTelemetry reporters therefore selects these:
//!
//! ```yaml
//! traces.reporters: otel
//! traces.reporter.otel:
//!   factory.class: org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory
//!   exporter.endpoint: http://collector:4317
//! ```
//!
//! In code:
//!
//! ```
//! use std::sync::Arc;
//!
//! use flink_traces_api::{
//!     Deadline, Identity, Registry, ReportContext, ReportedSpan, ReporterConfig, Span,
//!     SystemClock,
//! };
//! use flink_traces_testkit::OtlpCollector;
//!
//! let collector = OtlpCollector::start()?;
//! let mut registry = Registry::new();
//! flink_traces_otlp::register(&mut registry)?;
//!
//! let factory = registry.trace(flink_traces_otlp::TRACE_FACTORY).ok_or("not registered")?;
//! let endpoint = collector.grpc_endpoint();
//! let options = [("exporter.endpoint", endpoint.as_str()), ("service.name", "orders")];
//! let mut reporter = factory.create_trace_reporter(&ReporterConfig::from_pairs("otel", options))?;
//!
//! let span = Span::builder("com.example.Compactor", "Compaction")
//!     .identity(Identity::of(&["orders", "compaction", "7"]))
//!     .attribute("files", 12)
//!     .build(&SystemClock);
//! let span = ReportedSpan::new(Arc::new(span), Arc::new(ReportContext::default()));
//! reporter.report(&[span], &Deadline::unlimited())?;
//!
//! assert_eq!(collector.spans()[0].name(), "Compaction");
//! assert_eq!(collector.spans()[0].resource()["service.name"], "orders");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Delivery
//!
//! A report is encoded into requests of at most `batch.bytes`, each tree level by level.
//! The limit is 3.5 MiB over gRPC and 16 MiB over HTTP; 200 KiB to 1 MiB are the most efficient.
//! A tree below half of `batch.bytes` stays in one request.
//!
//! Up to `exporter.concurrency` requests are in flight at once.
//! A request starts only after each earlier one that holds an ancestor of its spans was answered or
//! dropped.
//! A rejected or dropped span does not withhold its children.
//! `report` returns when each record is delivered, rejected or dropped.
//!
//! The response of the collector determines the outcome:
//!
//! - **Success**: delivered.
//!   Content that is not OTLP's is counted as odd.
//! - **A web page** (HTTP 2xx with HTML): retried.
//! - **Partial success**: the rest is counted as rejected and never sent again.
//! - **Invalid** (HTTP 400, gRPC `INVALID_ARGUMENT`): sent again in halves, until the invalid
//!   record is found.
//!   That record becomes a dead letter.
//! - **Rejected** (HTTP 500 and others, gRPC `UNKNOWN` and others): becomes a dead letter.
//! - **Too large** (HTTP 413): sent again in halves.
//!   The texts of a single record are cut to 1 KiB.
//!   After that, it becomes a dead letter.
//! - **Out of resources** (gRPC `RESOURCE_EXHAUSTED` without a delay): sent again in halves, once,
//!   or until a half is below 64 KiB, because gRPC also uses this status for large requests.
//!   The texts of a single record are cut to 1 KiB.
//!   After that, it becomes a dead letter.
//! - **Unavailable** (HTTP 429, 502, 503, 504, gRPC `UNAVAILABLE` and others that OTLP specifies):
//!   retried.
//! - **Refused** (HTTP 401, 403, 404, 405, 407, 415, 501 and others, a redirect, HTTP 400 of a TLS
//!   port, gRPC `UNAUTHENTICATED`, `PERMISSION_DENIED`, `UNIMPLEMENTED`): the reason concerns no
//!   single record, so it is retried with backoff, at least once a minute, until one is accepted.
//!   `retry.timeout` does not apply.
//!   With `on-auth-failure: drop` it becomes a dead letter, as OTLP specifies.
//! - **No response** (no connection, a closed connection, or nothing within `exporter.timeout`):
//!   retried.
//!   A request that fails like this for `retry.timeout` while others are delivered becomes a dead
//!   letter.
//! - **More than 4 MiB**: dropped.
//!
//! A dead letter is counted as rejected.
//! With `dead-letter.directory` it is also saved there, in a file of OTLP/JSON lines.
//! [`RequestSender`] can send these lines again.
//!
//! The pauses between retries grow from `retry.initial-backoff` to `retry.max-backoff`.
//! They are random up to that limit, and longer if the collector requests it, up to 10 minutes.
//! Pending records are dropped after `retry.timeout` without any delivery, or at the
//! [`Deadline`](flink_traces_api::Deadline).
//! A retried request has the same bytes, including ids, so a store that removes duplicates keeps
//! one copy.
//!
//! A request without a response closes its connection, so a silent peer costs `exporter.timeout`.
//! Over gRPC, the reporter also sends a keep-alive ping every 30 seconds.
//! The reporter never falls back from `https` to `http`, and does not follow redirects.
//!
//! # Spool
//!
//! With `spool.directory`, `report` stores the chunks in files, waits until they are on disk, and
//! returns `Ok`.
//! A thread of the reporter sends them until they are finalized; `retry.timeout` does not apply.
//! `close` lets it continue until the deadline.
//! The next process sends the rest.
//!
//! Chunks are appended to the segments of two logs, with a CRC-32C.
//! Chunks that hold only leaf spans are detail, which a full spool drops first.
//! The file `cursor` records which chunks are finalized, and the counts of their records.
//! Damage costs a chunk, or the rest of its segment, which is copied to `quarantine`.
//! A spool opens even if it is damaged.
//! Each process uses a slot of its own below the directory, and adopts slots that others left.
//! If the disk fails, the reporter delivers from memory, and retries both the disk and the
//! collector.
//!
//! # Options
//!
//! The factories list all options with their defaults and descriptions, through
//! [`TraceReporterFactory::options`].
//! [`environment_options`] translates OpenTelemetry's environment variables, such as
//! `OTEL_EXPORTER_OTLP_ENDPOINT`, to options.
//! The crate never reads the environment by itself.
//!
//! With `compatibility: flink` the requests equal those of Flink 2.3, including its mistakes,
//! except that:
//!
//! - trace ids follow from the identity of a span
//! - parents precede their children
//! - a start before 1970 is omitted instead of replaced by the current time
//! - `User-Agent` names this crate
//!
//! # Errors and logs
//!
//! A factory returns a [`ConfigError`] for an invalid option and for unusable certificates.
//! `report` returns a [`ReportError`](flink_traces_api::ReportError) with the numbers of rejected
//! and dropped records.
//!
//! [`check`] tests the endpoint and the directories of a reporter, and names the likely cause of a
//! failure.
//!
//! The log target is `flink_traces_otlp`.
//! The reporter logs when a collector begins to fail, when the kind of failure changes, and when
//! the collector works again.
//! A line about a failure has the likely cause in its field `hint`.
//! To find it, the reporter may open up to three connections to the endpoint, without a proxy only.
//! Rejections are logged at most once a minute, and refusals once an hour.
//! Header values, tokens, passwords and URL queries are never shown.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod builder;
mod check;
mod chunk;
mod config;
mod credentials;
mod dead_letter;
mod delivery;
mod diagnosis;
mod encode;
mod environment;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod hint;
mod json;
mod options;
mod redaction;
mod reporter;
mod request;
mod response;
mod span_key;
mod spool;
mod tls;
mod transport;

use flink_traces_api::{
    AlreadyRegistered, ConfigError, EventReporter, EventReporterFactory, OptionDoc, Registry, ReportedSpan,
    ReporterConfig, Signal, TraceReporter, TraceReporterFactory,
};

pub use builder::Otlp;
pub use check::{CheckResult, check};
use encode::{Chunks, Resource, span_records};
pub use environment::{EnvironmentOption, EnvironmentWarning, environment_options};
use options::{OPTIONS, Options};
use reporter::OtlpReporter;
pub use request::{ExportRequest, InvalidRequest, RequestSender};

/// The `factory.class` of the trace reporter, which is Flink's.
pub const TRACE_FACTORY: &str = "org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory";
/// The `factory.class` of the event reporter, which is Flink's.
pub const EVENT_FACTORY: &str = "org.apache.flink.events.otel.OpenTelemetryEventReporterFactory";

/// The key of the option that enables the spool.
///
/// A reporter with this option creates and locks the directory when it is created.
/// A program that creates a reporter only to validate its options should remove this one.
pub const SPOOL_DIRECTORY: &str = "spool.directory";

/// Registers both reporters under the class names of Flink's factories, [`TRACE_FACTORY`] and
/// [`EVENT_FACTORY`].
///
/// # Errors
///
/// Returns an error if the registry already has one of the two.
/// The factory that was registered first stays.
pub fn register(registry: &mut Registry) -> Result<(), AlreadyRegistered> {
    let traces = registry.register_trace(TRACE_FACTORY, OtlpReporterFactory);
    let events = registry.register_event(EVENT_FACTORY, OtlpReporterFactory);
    traces.and(events)
}

/// Encodes spans as OTLP requests, for a program that sends or stores them by other means.
///
/// Each item is an `ExportTraceServiceRequest` in protobuf, of at most `max_bytes` unless a single
/// span is larger.
/// Parents precede their children.
/// `resource` holds the attributes of the resource.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use flink_traces_api::{ReportContext, ReportedSpan, Span, SystemClock};
///
/// let span = Span::builder("com.example.Compactor", "Compaction").build(&SystemClock);
/// let span = ReportedSpan::new(Arc::new(span), Arc::new(ReportContext::default()));
/// let resource = [("service.name".to_owned(), "orders".to_owned())];
/// let requests: Vec<_> = flink_traces_otlp::encode_spans(&[span], &resource, 1 << 20).collect();
/// assert_eq!(requests.len(), 1);
/// ```
pub fn encode_spans<'a>(
    spans: &'a [ReportedSpan],
    resource: &[(String, String)],
    max_bytes: usize,
) -> impl Iterator<Item = Vec<u8>> + use<'a> {
    let count = spans.iter().map(ReportedSpan::span_count).sum();
    let mut chunks = Chunks::new(span_records(spans), count, Resource::new(resource), max_bytes);
    std::iter::from_fn(move || chunks.next().map(|chunk| chunk.message.into()))
}

struct OtlpReporterFactory;

impl TraceReporterFactory for OtlpReporterFactory {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Box::new(OtlpReporter::new(Options::read(config, Signal::Traces)?)?))
    }

    fn options(&self) -> &'static [OptionDoc] {
        OPTIONS
    }
}

impl EventReporterFactory for OtlpReporterFactory {
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(Box::new(OtlpReporter::new(Options::read(config, Signal::Events)?)?))
    }

    fn options(&self) -> &'static [OptionDoc] {
        OPTIONS
    }
}
