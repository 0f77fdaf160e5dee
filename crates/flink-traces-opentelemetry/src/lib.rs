#![doc = include_str!("../README.md")]

mod convert;
#[cfg(feature = "otlp")]
mod otlp;
mod reporter;

#[cfg(feature = "otlp")]
pub use otlp::{FACTORY, register};
pub use reporter::{LogExporterFactory, SpanExporterFactory};
