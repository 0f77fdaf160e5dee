//! Tools for testing engines that report Flink spans and events, and reporters of them.
//!
//! - [`in_memory`] starts a reporting for the unit tests of an engine. It records spans and events
//!   in memory, with a [`ManualClock`].
//! - [`conformance`] is a test suite for any reporter. It checks the promises that the
//!   documentation of `flink-traces-api` makes about reporters and factories. To run it, implement
//!   a [`Destination`](conformance::Destination) for the place to which the reporter delivers.
//! - [`OtlpCollector`] is an OTLP collector for tests. It serves gRPC and HTTP with protobuf and
//!   JSON on one port of the loopback interface, records all requests, and fails on demand. It runs
//!   on a thread of its own, so the test needs no runtime.
//! - [`compare`] compares the records of Flink's own reporters with those of another source, such
//!   as the REST API of the same cluster.
//!
//! # Quick example
//!
//! A collector that rejects the first request:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//!
//! use flink_traces_testkit::{HttpResponse, OtlpCollector};
//!
//! let collector = OtlpCollector::start()?;
//! collector.respond(HttpResponse::new(503).header("retry-after", "7"));
//!
//! let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"Checkpoint"}]}]}]}"#;
//! let send = || -> std::io::Result<String> {
//!     let mut stream = TcpStream::connect(collector.address())?;
//!     write!(
//!         stream,
//!         "POST /v1/traces HTTP/1.1\r\nhost: collector\r\nconnection: close\r\n\
//!          content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
//!         body.len()
//!     )?;
//!     let mut response = String::new();
//!     stream.read_to_string(&mut response)?;
//!     Ok(response)
//! };
//! assert!(send()?.contains("retry-after: 7"));
//! assert_eq!(collector.spans(), []);
//!
//! assert!(send()?.starts_with("HTTP/1.1 200"));
//! assert_eq!(collector.spans()[0].name(), "Checkpoint");
//! assert_eq!(collector.requests().len(), 2);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Errors
//!
//! The suite returns [`Breaches`](conformance::Breaches), which lists all broken rules with their
//! findings.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod collector;
pub mod compare;
pub mod conformance;
mod otlp;
mod plain;
mod recorded;
mod response;
mod server;
mod state;

pub use clock::ManualClock;
pub use collector::OtlpCollector;
pub use otlp::{Encoding, ReceivedEvent, ReceivedRequest, ReceivedSpan};
pub use recorded::{Record, Recorded, RecordedEvent, RecordedSpan, Records, in_memory, in_memory_with};
pub use response::{CollectorResponse, GrpcStatus, HttpResponse};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
