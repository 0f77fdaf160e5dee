#![doc = include_str!("../README.md")]

mod answer;
mod collector;
pub mod compare;
pub mod conformance;
mod otlp;
mod plain;
mod server;

pub use answer::{Answer, GrpcStatus, HttpAnswer};
pub use collector::OtlpCollector;
pub use opentelemetry_proto::tonic::logs::v1::LogRecord;
pub use opentelemetry_proto::tonic::trace::v1::Span;
pub use otlp::{Encoding, ReceivedLog, ReceivedRequest, ReceivedSpan, attributes};
