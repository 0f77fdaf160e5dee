//! The API that Flink trace and event reporters implement, and the records that they report.
//!
//! The crate has no dependencies. A reporter needs no other crate of the workspace, apart from
//! [`flink-traces-testkit`] in its tests.
//!
//! # Concepts
//!
//! - A [`Span`] has a start, an end, attributes and children. An [`Event`] happens at one moment.
//!   Both have the fields of Flink's classes of these names. Builders create them.
//! - A reporter hands records to one destination. It is a [`TraceReporter`] or an
//!   [`EventReporter`], and it runs on a thread of its own, so it may block.
//! - Reporters see spans and events as [`ReportedSpan`] and [`ReportedEvent`], which add the
//!   variables of the group that reported them. [`SpanRef`] is one span of such a tree, with its
//!   ids.
//! - A factory creates reporters from a [`ReporterConfig`]. Each option is declared once, as a
//!   [`ConfigOption`], from which parsing, checks and documentation follow.
//! - A [`Registry`] has the factories that the option `factory.class` can select.
//! - A [`ReporterBuilder`] sets the same options in code, by typed methods.
//! - [`JobStatus`] and [`ExecutionState`] are Flink's states of jobs and of subtasks. The other
//!   crates of the workspace use them, so that each state has one type everywhere.
//! - A [`Deadline`] limits how long a reporter may retry when the program shuts down.
//!
//! # Quick example
//!
//! A reporter with an option, and its factory:
//!
//! ```
//! use flink_traces_api::{
//!     ConfigError, ConfigOption, Deadline, OptionDoc, Registry, ReportError, ReportedSpan,
//!     ReporterConfig, TraceReporter, TraceReporterFactory,
//! };
//!
//! const PREFIX: ConfigOption<String> =
//!     ConfigOption::string("prefix", "The beginning of each line.").or("");
//!
//! struct Counting {
//!     prefix: String,
//!     total: usize,
//! }
//!
//! impl TraceReporter for Counting {
//!     fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
//!         for span in spans {
//!             self.total += span.span_count();
//!             println!("{}{}: {} spans so far", self.prefix, span.root().name(), self.total);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! struct CountingFactory;
//!
//! impl TraceReporterFactory for CountingFactory {
//!     fn create_trace_reporter(
//!         &self,
//!         config: &ReporterConfig,
//!     ) -> Result<Box<dyn TraceReporter>, ConfigError> {
//!         Ok(Box::new(Counting { prefix: config.require(&PREFIX)?, total: 0 }))
//!     }
//!
//!     fn options(&self) -> &'static [OptionDoc] {
//!         const { &[PREFIX.doc()] }
//!     }
//! }
//!
//! let mut registry = Registry::new();
//! registry.register_trace("counting", CountingFactory)?;
//! # Ok::<(), flink_traces_api::AlreadyRegistered>(())
//! ```
//!
//! # Modules
//!
//! - [`otel`] maps spans and events to OpenTelemetry as Flink does.
//! - [`proto`] is the protobuf writer that [`Attributes`] and the OTLP reporter share.
//!
//! # Errors
//!
//! A factory returns a [`ConfigError`], which names the option and the place where it is
//! configured. A report returns a [`ReportError`], which counts the records that were rejected or
//! dropped.
//!
//! [`flink-traces-testkit`]: https://docs.rs/flink-traces-testkit

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attribute;
mod clock;
mod config;
mod declaration;
mod event;
mod id;
pub mod otel;
pub mod proto;
mod receipt;
mod record;
mod registry;
mod reporter;
mod signal;
mod span;
mod state;
mod text;
mod value;

pub use attribute::{AttributeEntry, Attributes};
pub use clock::{Clock, SystemClock, Timestamp};
pub use config::{
    COMPATIBILITY, ConfigError, ConfigOption, ConfigValue, OptionDoc, Origin, REDACTED, RawValue, ReporterConfig,
    is_sensitive, parse_bytes, parse_duration, printable,
};
pub use declaration::{ReporterBuilder, ReporterDeclaration};
pub use event::{Event, EventBuilder, EventExtension, EventSeverity, RECORD_UID};
pub use id::{Identity, SpanContext, SpanId, TraceId};
pub use receipt::Receipt;
pub use record::{
    AddedAttributes, Compatibility, JOB_ID, OtelAttributes, ReportContext, ReportedEvent, ReportedSpan, SpanRef,
    strip_angle_brackets,
};
pub use registry::{AlreadyRegistered, Registry};
pub use reporter::{
    BufferStats, Deadline, EventReporter, EventReporterFactory, RecordCounts, ReportError, ReporterMeter,
    TraceReporter, TraceReporterFactory, TransferStats,
};
pub use signal::Signal;
pub use span::{Failure, Span, SpanBuilder, SpanExtension};
pub use state::{ExecutionState, JobStatus};
pub use text::{is_unsafe_to_print, readable_duration, readable_size};
pub use value::{AttributeValue, Text, ValueRef};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
