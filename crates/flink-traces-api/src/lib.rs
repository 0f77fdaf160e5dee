#![doc = include_str!("../README.md")]

mod attribute;
mod clock;
mod config;
mod event;
mod id;
pub mod otel;
pub mod proto;
mod record;
mod registry;
mod reporter;
mod signal;
mod span;
mod text;

pub use attribute::{AttributeEntry, AttributeValue, Attributes, Text};
pub use clock::{Clock, SystemClock};
pub use config::{
    COMPATIBILITY, ConfigError, ConfigOption, ConfigValue, OptionDoc, Origin, REDACTED, RawValue, ReporterConfig,
    is_sensitive, parse_bytes, parse_duration, printable,
};
pub use event::{Event, EventBuilder, EventExtension};
pub use id::{Identity, SpanId, TraceId};
pub use record::{
    AddedAttributes, Compatibility, JOB_ID, OtelAttributes, ReportContext, ReportedEvent, ReportedSpan, SpanRef,
    ValueRef, strip_angle_brackets,
};
pub use registry::{AlreadyRegistered, Registry};
pub use reporter::{
    BufferStats, Deadline, EventReporter, EventReporterFactory, ReportError, ReporterMeter, TraceReporter,
    TraceReporterFactory, TransferStats,
};
pub use signal::Signal;
pub use span::{Failure, Span, SpanBuilder, SpanExtension};
pub use text::is_unsafe_to_print;
