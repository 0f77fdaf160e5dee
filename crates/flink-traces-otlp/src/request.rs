//! Requests that somebody encoded already, such as lines of OTLP/JSON files, go the way of a report's.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::iter::Peekable;
use std::rc::Rc;

use flink_traces_api::{ConfigError, Deadline, ReportError, ReporterConfig, ReporterMeter, Signal};
use tokio::runtime::Runtime;

use crate::delivery::Delivery;
use crate::encode::{Chunk, Draft, head};
use crate::json;
use crate::options::Options;
use crate::reporter::{delivery, warn_of_bare_credentials};
use crate::span_key::{SpanKey, own_key, parent_key};
use crate::wire::Fields;
use crate::withheld::Withheld;

/// A request of OTLP, `ExportTraceServiceRequest` or `ExportLogsServiceRequest`, which are what files hold as `TracesData` and `LogsData`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    signal: Signal,
    message: Vec<u8>,
    records: usize,
}

impl ExportRequest {
    /// Reads OTLP/JSON, such as a line of a file. What OTLP 1.5 has arrives as it is, ids included; fields that it does not have are
    /// left out, as it demands.
    ///
    /// # Errors
    /// When it is not OTLP/JSON of spans or log records. The message says what is wrong and in which column, and may quote the text.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidRequest> {
        let (signal, message) = json::to_request(json).map_err(InvalidRequest)?;
        let records = entries(&message).count();
        Ok(Self { signal, message, records })
    }

    /// What it holds.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// How many spans or log records it holds.
    pub fn count_records(&self) -> usize {
        self.records
    }

    /// Its size in protobuf, in bytes.
    pub fn size(&self) -> usize {
        self.message.len()
    }
}

/// Why a text is no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRequest(String);

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidRequest {}

/// Sends requests as an OTLP reporter with the same options sends its own: cut by `batch.bytes`, several at once, tried again, taken
/// apart and accounted for, as the crate's documentation says. It has no spool; `spool.directory` is not looked at.
///
/// It blocks while it sends, and must not be used or dropped on a thread that runs asynchronous tasks.
///
/// ```
/// use flink_traces_api::{Deadline, ReporterConfig, Signal};
/// use flink_traces_otlp::{ExportRequest, RequestSender};
/// use flink_traces_testkit::OtlpCollector;
///
/// let line = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
///     {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"Compaction"}]}]}]}"#;
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
    /// Spans that the collector did not take, of trees that may go on.
    withheld: Withheld,
}

impl RequestSender {
    /// Makes a sender of requests of that signal, with the options of an OTLP reporter.
    ///
    /// # Errors
    /// As the reporter's factory: when an option is missing or wrong, or the connection cannot be set up.
    pub fn new(config: &ReporterConfig, signal: Signal) -> Result<Self, ConfigError> {
        let values = config.values().filter(|(key, _)| *key != crate::SPOOL_DIRECTORY);
        let values: Vec<_> = values.map(|(key, value)| (key.to_owned(), value.clone())).collect();
        let options = Options::read(&ReporterConfig::new(config.key(""), config.name(), values), signal)?;
        warn_of_bare_credentials(&options);
        let (runtime, delivery) = delivery(&options, options.retry, &ReporterMeter::new())?;
        let batch_bytes = options.batch_bytes;
        Ok(Self { runtime: Some(runtime), delivery, signal, batch_bytes, withheld: Withheld::default() })
    }

    /// Delivers requests, in order but for what `exporter.concurrency` lets overtake, before it returns. Requests that follow each other
    /// and have the same resource are sent together. Where parents come before their parts, no span is sent without the one that it is a
    /// part of, also if that one came with an earlier call and was refused.
    ///
    /// # Errors
    /// When some of the records were refused or given up; [`ReportError::is_retryable`] says whether the rest was given up, so that
    /// sending it again later could help. A request of another signal is given up.
    pub fn send(&mut self, requests: &[ExportRequest], deadline: &Deadline) -> Result<(), ReportError> {
        let (ours, others): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.signal == self.signal);
        let count = |requests: &[&ExportRequest]| requests.iter().map(|request| request.records).sum();
        let sent = self.send_ours(&ours, count(&ours), deadline);
        match (sent, count(&others)) {
            (sent, 0) => sent,
            (sent, others) => {
                let error = ReportError::from_dropped(others, false, "a request of another signal");
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
        let entries = requests.iter().flat_map(|request| entries(&request.message));
        let mut entries = entries.peekable();
        // A new tree has nothing to do with those before.
        if entries.peek().is_some_and(|entry| entry.parent().is_none()) {
            self.withheld = Withheld::default();
        }
        let chunks = Chunks { entries, limit: self.batch_bytes };
        runtime.block_on(self.delivery.report(chunks, total, &mut self.withheld, deadline))
    }
}

impl fmt::Debug for RequestSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSender").field("signal", &self.signal).finish_non_exhaustive()
    }
}

impl Drop for RequestSender {
    fn drop(&mut self) {
        // Dropping a runtime waits for a name lookup that hangs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A record, and what holds for it.
struct Entry<'a> {
    /// What its envelope begins with: the resource.
    resource: Rc<[u8]>,
    /// What its group begins with: the scope.
    scope: Rc<[u8]>,
    record: &'a [u8],
}

impl Entry<'_> {
    /// The span that it is a part of.
    fn parent(&self) -> Option<SpanKey> {
        parent_key(self.record)
    }
}

/// The records of a request, in order.
fn entries(message: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    Fields::all(message, 1).flat_map(|envelope| {
        let resource = head(envelope);
        Fields::all(envelope, 2).flat_map(move |group| {
            let (resource, scope) = (resource.clone(), head(group));
            let entry = move |record| Entry { resource: resource.clone(), scope: scope.clone(), record };
            Fields::all(group, 2).map(entry)
        })
    })
}

/// Records as chunks of at most `limit` bytes, or of one record that is larger, each of one resource. A tree that is smaller than half of
/// that lies in one chunk; a chunk with parts of a span in another waits for all before it.
struct Chunks<'a, I: Iterator<Item = Entry<'a>>> {
    entries: Peekable<I>,
    limit: usize,
}

impl<'a, I: Iterator<Item = Entry<'a>>> Iterator for Chunks<'a, I> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let resource = self.entries.peek()?.resource.clone();
        let mut draft = Draft::new(&resource);
        let mut spans = HashSet::new();
        let mut waits = false;
        let limit = self.limit;
        loop {
            let entry = self.entries.next_if(|entry| {
                let limit = if entry.parent().is_none() && draft.has_parts { limit / 2 } else { limit };
                let fits = draft.records == 0 || draft.size_with(&entry.scope, entry.record.len()) <= limit;
                fits && entry.resource == resource
            });
            let Some(entry) = entry else { break };
            draft.add(&entry.scope, entry.record);
            spans.extend(own_key(entry.record));
            if let Some(parent) = entry.parent() {
                draft.has_parts = true;
                waits |= !spans.contains(&parent);
            }
        }
        Some(Chunk { overtakes: if waits { 0 } else { u32::MAX }, ..draft.finish() })
    }
}

#[cfg(test)]
mod tests;
