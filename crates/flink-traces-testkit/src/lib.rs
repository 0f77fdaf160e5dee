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
pub use otlp::{Encoding, ReceivedEvent, ReceivedRequest, ReceivedSpan};
