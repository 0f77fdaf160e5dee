//! Requests that are already encoded, such as lines of OTLP/JSON files, and their delivery.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::iter::Peekable;

use flink_traces_api::{ConfigError, Deadline, ReportError, ReporterConfig, ReporterMeter, Signal};
use tokio::runtime::Runtime;

use crate::chunk::{Chunk, Draft, Entry, Role, entries};
use crate::delivery::Delivery;
use crate::json;
use crate::options::Options;
use crate::reporter::{delivery, warn_of_bare_credentials};
use crate::span_key::{own_key, parent_key};

/// An OTLP request: an `ExportTraceServiceRequest` or an `ExportLogsServiceRequest`.
///
/// Files of OTLP/JSON hold the same messages under the names `TracesData` and `LogsData`.
///
/// # Examples
///
/// ```
/// use flink_traces_otlp::ExportRequest;
///
/// let json = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}"#;
/// let request = ExportRequest::from_json(json)?;
/// assert_eq!(request.record_count(), 1);
///
/// let error = ExportRequest::from_json(b"{}").unwrap_err();
/// assert_eq!(error.to_string(), "neither `resourceSpans` nor `resourceLogs` at column 2");
/// # Ok::<(), flink_traces_otlp::InvalidRequest>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    signal: Signal,
    message: Vec<u8>,
    records: usize,
}

impl ExportRequest {
    /// Reads OTLP/JSON, such as a line of a file.
    ///
    /// All fields of OTLP 1.5 are preserved, including ids.
    /// Unknown fields are ignored, as OTLP requires.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not OTLP/JSON with spans or log records.
    /// The message names the problem and the column, and may quote the text.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidRequest> {
        let (signal, message) = json::to_request(json).map_err(InvalidRequest)?;
        let records = entries(&message).count();
        Ok(Self { signal, message, records })
    }

    /// Returns the signal of the records.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Returns the number of spans or log records.
    pub fn record_count(&self) -> usize {
        self.records
    }

    /// Returns the protobuf encoding.
    pub fn into_protobuf(self) -> Vec<u8> {
        self.message
    }

    /// Returns the size of the protobuf encoding, in bytes.
    pub fn size(&self) -> usize {
        self.message.len()
    }
}

/// The reason why a text is not an OTLP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRequest(String);

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidRequest {}

/// A sender of encoded requests, with the options of an OTLP reporter.
///
/// It batches, retries and counts the records as a reporter does.
/// The [crate documentation](crate) has the details.
/// It has no spool and ignores `spool.directory`.
///
/// The sender blocks its thread.
/// Do not use or drop it on a thread that runs asynchronous tasks.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{Deadline, ReporterConfig, Signal};
/// use flink_traces_otlp::{ExportRequest, RequestSender};
/// use flink_traces_testkit::OtlpCollector;
///
/// let line = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
///     {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331",
///      "name":"Compaction"}]}]}]}"#;
/// let request = ExportRequest::from_json(line.as_bytes())?;
///
/// let collector = OtlpCollector::start()?;
/// let endpoint = collector.grpc_endpoint();
/// let config = ReporterConfig::from_pairs("otel", [("exporter.endpoint", endpoint.as_str())]);
/// let mut sender = RequestSender::new(&config, Signal::Traces)?;
/// sender.send(&[request], &Deadline::unlimited())?;
/// assert_eq!(collector.spans()[0].name(), "Compaction");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RequestSender {
    runtime: Option<Runtime>,
    delivery: Delivery,
    signal: Signal,
    batch_bytes: usize,
}

impl RequestSender {
    /// Creates a sender for requests of one signal.
    ///
    /// # Errors
    ///
    /// Returns an error if an option is missing or invalid, or if the connection cannot be set up.
    pub fn new(config: &ReporterConfig, signal: Signal) -> Result<Self, ConfigError> {
        let values = config.values().filter(|(key, _)| *key != crate::SPOOL_DIRECTORY);
        let values: Vec<_> = values.map(|(key, value)| (key.to_owned(), value.clone())).collect();
        let options = Options::read(&ReporterConfig::new(config.key(""), config.name(), values), signal)?;
        warn_of_bare_credentials(&options);
        let (runtime, delivery) = delivery(&options, options.retry, &ReporterMeter::new())?;
        let batch_bytes = options.batch_bytes;
        Ok(Self { runtime: Some(runtime), delivery, signal, batch_bytes })
    }

    /// Delivers requests before returning, in order unless `exporter.concurrency` relaxes that.
    ///
    /// Small requests are sent together.
    /// A request starts only after each earlier one that holds an ancestor of its spans was
    /// answered or dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if records were rejected or dropped.
    /// If [`ReportError::is_retryable`] returns `true`, the dropped records may be sent again.
    /// Requests of another signal are dropped.
    pub fn send(&mut self, requests: &[ExportRequest], deadline: &Deadline) -> Result<(), ReportError> {
        let (ours, others): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.signal == self.signal);
        let count = |requests: &[&ExportRequest]| requests.iter().map(|request| request.records).sum();
        let sent = self.send_ours(&ours, count(&ours), deadline);
        match (sent, count(&others)) {
            (sent, 0) => sent,
            (sent, others) => {
                let error = ReportError::from_dropped(others, false, "the request has another signal");
                Err(match sent {
                    Ok(()) => error,
                    Err(sent) => sent.and(error),
                })
            }
        }
    }

    fn send_ours(&mut self, requests: &[&ExportRequest], total: usize, deadline: &Deadline) -> Result<(), ReportError> {
        let Some(runtime) = &self.runtime else {
            return Err(ReportError::from_dropped(total, false, "the sender is closed"));
        };
        let entries = requests.iter().flat_map(|request| entries(&request.message)).peekable();
        let chunks = Chunks { entries, limit: self.batch_bytes };
        runtime.block_on(self.delivery.report(chunks, deadline)).result(total)
    }
}

impl fmt::Debug for RequestSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSender").field("signal", &self.signal).finish_non_exhaustive()
    }
}

impl Drop for RequestSender {
    fn drop(&mut self) {
        // Dropping a runtime would wait for a DNS lookup that hangs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An iterator of chunks of at most `limit` bytes, or of one larger record.
///
/// A tree below half of `limit` stays in one chunk.
/// A chunk with children of a span in another chunk waits for all chunks before it.
struct Chunks<'a, I: Iterator<Item = Entry<'a>>> {
    entries: Peekable<I>,
    limit: usize,
}

impl<'a, I: Iterator<Item = Entry<'a>>> Iterator for Chunks<'a, I> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        self.entries.peek()?;
        let mut draft = Draft::default();
        let mut spans = HashSet::new();
        let mut waits = false;
        let limit = self.limit;
        loop {
            let entry = self.entries.next_if(|entry| {
                let limit = if parent_key(entry.record).is_none() && draft.has_children { limit / 2 } else { limit };
                draft.records == 0 || draft.size_with(entry.head(), entry.record.len()) <= limit
            });
            let Some(entry) = entry else { break };
            draft.add(entry.head(), entry.record);
            spans.extend(own_key(entry.record));
            if let Some(parent) = parent_key(entry.record) {
                draft.has_children = true;
                waits |= !spans.contains(&parent);
            }
        }
        Some(Chunk { role: if waits { Role::Continuation } else { Role::Root }, ..draft.finish() })
    }
}

#[cfg(test)]
mod tests;
