//! Requests as they arrive, and what is in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flink_traces_api::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde::de::DeserializeOwned;

use crate::Answer;

/// How a request's message was encoded and carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Protobuf in a unary gRPC call.
    Grpc,
    /// Protobuf in an HTTP body.
    HttpProtobuf,
    /// JSON in an HTTP body.
    HttpJson,
}

/// A request that arrived, taken or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRequest {
    /// The path of its URL, with the query.
    pub path: String,
    /// Its headers, names in lower case; several values of one name joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// How it was encoded.
    pub encoding: Encoding,
    /// Whether its message was compressed.
    pub gzip: bool,
    /// The size of its body on the wire, in bytes.
    pub wire_size: usize,
    /// Its message, decompressed.
    pub message: Bytes,
    /// How many spans or log records it holds.
    pub records: usize,
    /// How many of them the collector took.
    pub taken: usize,
    /// Why it could not be understood, if so.
    pub error: Option<String>,
}

/// A span that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedSpan {
    /// The attributes of its resource, as [`attributes`] shows them.
    pub resource: Arc<BTreeMap<String, serde_json::Value>>,
    /// The name of its instrumentation scope.
    pub scope: String,
    /// The span itself.
    pub span: Span,
}

impl ReceivedSpan {
    /// Reads OTLP/JSON: a `TracesData`, such as a line of a file.
    ///
    /// # Errors
    /// When it is none: why.
    pub fn read_json(text: &str) -> Result<Vec<Self>, String> {
        decode(Encoding::HttpJson, text.as_bytes()).map(spans)
    }

    /// Its attributes, as [`attributes`] shows them.
    pub fn attributes(&self) -> BTreeMap<String, serde_json::Value> {
        attributes(&self.span.attributes)
    }
}

/// A log record that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedLog {
    /// The attributes of its resource, as [`attributes`] shows them.
    pub resource: Arc<BTreeMap<String, serde_json::Value>>,
    /// The name of its instrumentation scope.
    pub scope: String,
    /// The record itself.
    pub log: LogRecord,
}

impl ReceivedLog {
    /// Reads OTLP/JSON: a `LogsData`, such as a line of a file.
    ///
    /// # Errors
    /// When it is none: why.
    pub fn read_json(text: &str) -> Result<Vec<Self>, String> {
        decode(Encoding::HttpJson, text.as_bytes()).map(logs)
    }

    /// Its attributes, as [`attributes`] shows them.
    pub fn attributes(&self) -> BTreeMap<String, serde_json::Value> {
        attributes(&self.log.attributes)
    }
}

/// Attributes by key, values as in plain JSON: text, integers, floating point numbers (text where not finite), truth
/// values. Values of other kinds, which Flink never sends, are shown as Rust's debug text.
pub fn attributes(list: &[KeyValue]) -> BTreeMap<String, serde_json::Value> {
    list.iter()
        .map(|attribute| {
            let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
                None => serde_json::Value::Null,
                Some(Value::StringValue(text)) => text.as_str().into(),
                Some(Value::IntValue(number)) => (*number).into(),
                Some(Value::DoubleValue(number)) if number.is_finite() => (*number).into(),
                Some(Value::DoubleValue(number)) => number.to_string().into(),
                Some(Value::BoolValue(flag)) => (*flag).into(),
                Some(other) => format!("{other:?}").into(),
            };
            (attribute.key.clone(), value)
        })
        .collect()
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
    Logs(Vec<ReceivedLog>),
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
                Ok(Self::Logs(logs(request)))
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Spans(spans) => spans.len(),
            Self::Logs(logs) => logs.len(),
        }
    }
}

/// The message of a successful answer, partial if `answer` says so.
pub(crate) fn success(signal: Signal, encoding: Encoding, answer: &Answer) -> Bytes {
    let partial_success = match answer {
        Answer::PartialSuccess { rejected, message } => Some(PartialSuccess {
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
    let answer = match partial_success {
        Some(partial) => serde_json::json!({
            "partialSuccess": { rejected_key: partial.rejected.to_string(), "errorMessage": partial.error_message }
        }),
        None => serde_json::json!({}),
    };
    answer.to_string().into()
}

/// `ExportTraceServiceResponse` and `ExportLogsServiceResponse`, which are the same on the wire.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportTracePartialSuccess` and `ExportLogsPartialSuccess`.
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

fn logs(request: ExportLogsServiceRequest) -> Vec<ReceivedLog> {
    let mut received = Vec::new();
    for of_resource in request.resource_logs {
        let resource = resource(of_resource.resource);
        for of_scope in of_resource.scope_logs {
            let scope = of_scope.scope.unwrap_or_default().name;
            let logs = of_scope.log_records.into_iter();
            received.extend(logs.map(|log| ReceivedLog { resource: resource.clone(), scope: scope.clone(), log }));
        }
    }
    received
}

fn resource(resource: Option<Resource>) -> Arc<BTreeMap<String, serde_json::Value>> {
    Arc::new(resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default())
}
