//! Received requests and their records.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flink_traces_api::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::CollectorResponse;

/// The encoding and the protocol of a request.
// Exhaustive: OTLP has these three encodings, and a test chooses among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The message is protobuf in a unary gRPC call.
    Grpc,
    /// The message is protobuf in an HTTP body.
    HttpProtobuf,
    /// The message is JSON in an HTTP body.
    HttpJson,
}

/// A request that arrived, whether it was accepted or not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// The path of the URL, with the query.
    pub path: String,
    /// The headers, with lower-case names. Several values of one name are joined with `, `.
    pub headers: BTreeMap<String, String>,
    /// The encoding.
    pub encoding: Encoding,
    /// `true` if the message was compressed.
    pub gzip: bool,
    /// The size of the body as received, in bytes.
    pub wire_size: usize,
    /// The decompressed message.
    pub message: Bytes,
    /// The number of spans or events in the message.
    pub records: usize,
    /// The number of accepted records.
    pub accepted: usize,
    /// The reason why the message could not be decoded, if so.
    pub error: Option<String>,
}

impl ReceivedRequest {
    /// Returns the message as one line of OTLP/JSON, which [`ReceivedSpan::read_json`] or
    /// [`ReceivedEvent::read_json`] decodes.
    ///
    /// # Errors
    /// Fails with a reason if the message is something else than spans or events.
    pub fn to_json(&self) -> Result<String, String> {
        let path = self.path.split('?').next().unwrap_or_default();
        match signal_of_path(path, self.encoding) {
            Some(Signal::Traces) => encode_json(&decode::<ExportTraceServiceRequest>(self.encoding, &self.message)?),
            Some(Signal::Events) => encode_json(&decode::<ExportLogsServiceRequest>(self.encoding, &self.message)?),
            None => Err(format!("neither spans nor events are served at {path}")),
        }
    }
}

/// A span that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedSpan {
    pub(crate) resource: Arc<BTreeMap<String, serde_json::Value>>,
    pub(crate) scope: String,
    pub(crate) span: Span,
}

impl ReceivedSpan {
    /// Decodes OTLP/JSON, which is a `TracesData` message such as a line of a file.
    ///
    /// # Errors
    /// Fails with a reason if the text is something else.
    pub fn read_json(text: &str) -> Result<Vec<Self>, String> {
        decode(Encoding::HttpJson, text.as_bytes()).map(spans)
    }

    /// Returns the attributes of the resource, with values as in [`attributes`](Self::attributes).
    pub fn resource(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.resource
    }

    /// Returns the name of the instrumentation scope.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Returns the name of the span.
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// Returns the trace id.
    pub fn trace_id(&self) -> &[u8] {
        &self.span.trace_id
    }

    /// Returns the span id.
    pub fn span_id(&self) -> &[u8] {
        &self.span.span_id
    }

    /// Returns the id of the parent, which is empty for a root span.
    pub fn parent_span_id(&self) -> &[u8] {
        &self.span.parent_span_id
    }

    /// Returns the start time in nanoseconds since the epoch.
    pub fn start_time_unix_nano(&self) -> u64 {
        self.span.start_time_unix_nano
    }

    /// Returns the end time in nanoseconds since the epoch.
    pub fn end_time_unix_nano(&self) -> u64 {
        self.span.end_time_unix_nano
    }

    /// Returns the attributes by key, with values as in plain JSON.
    ///
    /// A floating point number that is not finite becomes text. Values of other kinds, which Flink
    /// never sends, become Rust's debug text.
    pub fn attributes(&self) -> BTreeMap<String, serde_json::Value> {
        attributes(&self.span.attributes)
    }

    /// Returns the span as an encoded OTLP `Span` message.
    pub fn to_protobuf(&self) -> Vec<u8> {
        self.span.encode_to_vec()
    }
}

/// An event that was accepted, which OTLP carries as a log record.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedEvent {
    pub(crate) resource: Arc<BTreeMap<String, serde_json::Value>>,
    pub(crate) scope: String,
    pub(crate) log: LogRecord,
}

impl ReceivedEvent {
    /// Decodes OTLP/JSON, which is a `LogsData` message such as a line of a file.
    ///
    /// # Errors
    /// Fails with a reason if the text is something else.
    pub fn read_json(text: &str) -> Result<Vec<Self>, String> {
        decode(Encoding::HttpJson, text.as_bytes()).map(logs)
    }

    /// Returns the attributes of the resource, with values as in [`attributes`](Self::attributes).
    pub fn resource(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.resource
    }

    /// Returns the name of the instrumentation scope.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Returns the time of the event in nanoseconds since the epoch.
    pub fn time_unix_nano(&self) -> u64 {
        self.log.time_unix_nano
    }

    /// Returns the time at which the event was observed, in nanoseconds since the epoch.
    pub fn observed_time_unix_nano(&self) -> u64 {
        self.log.observed_time_unix_nano
    }

    /// Returns the severity number.
    pub fn severity_number(&self) -> i32 {
        self.log.severity_number
    }

    /// Returns the severity text.
    pub fn severity_text(&self) -> &str {
        &self.log.severity_text
    }

    /// Returns the body as plain JSON, or null if there is none.
    pub fn body(&self) -> serde_json::Value {
        value(self.log.body.as_ref())
    }

    /// Returns the attributes by key, as [`ReceivedSpan::attributes`] does.
    pub fn attributes(&self) -> BTreeMap<String, serde_json::Value> {
        attributes(&self.log.attributes)
    }

    /// Returns the event as an encoded OTLP `LogRecord` message.
    pub fn to_protobuf(&self) -> Vec<u8> {
        self.log.encode_to_vec()
    }
}

/// Returns the attributes by key, with values as in plain JSON.
pub(crate) fn attributes(list: &[KeyValue]) -> BTreeMap<String, serde_json::Value> {
    list.iter().map(|attribute| (attribute.key.clone(), value(attribute.value.as_ref()))).collect()
}

pub(crate) fn value(value: Option<&AnyValue>) -> serde_json::Value {
    match value.and_then(|value| value.value.as_ref()) {
        None => serde_json::Value::Null,
        Some(Value::StringValue(text)) => text.as_str().into(),
        Some(Value::IntValue(number)) => (*number).into(),
        Some(Value::DoubleValue(number)) if number.is_finite() => (*number).into(),
        Some(Value::DoubleValue(number)) => number.to_string().into(),
        Some(Value::BoolValue(flag)) => (*flag).into(),
        Some(other) => format!("{other:?}").into(),
    }
}

/// Returns the signal that is served at `path` in that encoding, or `None` if there is none.
pub(crate) fn signal_of_path(path: &str, encoding: Encoding) -> Option<Signal> {
    match (encoding, path) {
        (Encoding::Grpc, "/opentelemetry.proto.collector.trace.v1.TraceService/Export") => Some(Signal::Traces),
        (Encoding::Grpc, "/opentelemetry.proto.collector.logs.v1.LogsService/Export") => Some(Signal::Events),
        (Encoding::HttpProtobuf | Encoding::HttpJson, "/v1/traces") => Some(Signal::Traces),
        (Encoding::HttpProtobuf | Encoding::HttpJson, "/v1/logs") => Some(Signal::Events),
        _ => None,
    }
}

/// The records of one request, in order.
#[derive(Debug)]
pub(crate) enum Records {
    Spans(Vec<ReceivedSpan>),
    Events(Vec<ReceivedEvent>),
}

impl Records {
    pub(crate) fn decode(signal: Signal, encoding: Encoding, message: &[u8]) -> Result<Self, String> {
        match signal {
            Signal::Traces => {
                let request: ExportTraceServiceRequest = decode(encoding, message)?;
                Ok(Self::Spans(spans(request)))
            }
            Signal::Events => {
                let request: ExportLogsServiceRequest = decode(encoding, message)?;
                Ok(Self::Events(logs(request)))
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Spans(spans) => spans.len(),
            Self::Events(logs) => logs.len(),
        }
    }
}

/// Returns the message of a successful response, with a partial success if `response` demands one.
pub(crate) fn success(signal: Signal, encoding: Encoding, response: &CollectorResponse) -> Bytes {
    let partial_success = match response {
        CollectorResponse::PartialSuccess { rejected, message } => Some(PartialSuccess {
            rejected: i64::try_from(*rejected).unwrap_or(i64::MAX),
            error_message: message.clone(),
        }),
        _ => None,
    };
    if encoding != Encoding::HttpJson {
        return Response { partial_success }.encode_to_vec().into();
    }
    let rejected_key = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Events => "rejectedLogRecords",
    };
    let response = match partial_success {
        Some(partial) => serde_json::json!({
            "partialSuccess": { rejected_key: partial.rejected.to_string(), "errorMessage": partial.error_message }
        }),
        None => serde_json::json!({}),
    };
    response.to_string().into()
}

/// The messages `ExportTraceServiceResponse` and `ExportLogsServiceResponse`, which have one
/// encoding.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// The messages `ExportTracePartialSuccess` and `ExportLogsPartialSuccess`.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

fn decode<T: Message + Default + DeserializeOwned>(encoding: Encoding, message: &[u8]) -> Result<T, String> {
    match encoding {
        Encoding::HttpJson => serde_json::from_slice(message).map_err(|error| error.to_string()),
        Encoding::Grpc | Encoding::HttpProtobuf => T::decode(message).map_err(|error| error.to_string()),
    }
}

fn encode_json(message: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(message).map_err(|error| error.to_string())
}

fn spans(request: ExportTraceServiceRequest) -> Vec<ReceivedSpan> {
    let mut received = Vec::new();
    for of_resource in request.resource_spans {
        let resource = resource(of_resource.resource);
        for of_scope in of_resource.scope_spans {
            let scope = of_scope.scope.unwrap_or_default().name;
            let spans = of_scope.spans.into_iter();
            received.extend(spans.map(|span| ReceivedSpan { resource: resource.clone(), scope: scope.clone(), span }));
        }
    }
    received
}

fn logs(request: ExportLogsServiceRequest) -> Vec<ReceivedEvent> {
    let mut received = Vec::new();
    for of_resource in request.resource_logs {
        let resource = resource(of_resource.resource);
        for of_scope in of_resource.scope_logs {
            let scope = of_scope.scope.unwrap_or_default().name;
            let logs = of_scope.log_records.into_iter();
            received.extend(logs.map(|log| ReceivedEvent { resource: resource.clone(), scope: scope.clone(), log }));
        }
    }
    received
}

fn resource(resource: Option<Resource>) -> Arc<BTreeMap<String, serde_json::Value>> {
    Arc::new(resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default())
}
