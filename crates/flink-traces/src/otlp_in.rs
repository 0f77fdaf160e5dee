//! The listeners for OTLP, which write what they take to the history and do nothing else with it.

mod answer;

use std::future::Future;
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use flink_rest::ServerOptions;
use flink_traces_api::{Clock, ConfigOption, Signal, SystemClock};
use flink_traces_history::{ReceiveError, Receiver, Taken};
use flink_traces_otlp::ExportRequest;
use flink_traces_runtime::Problem;
use flink_traces_runtime::metrics::{Format, Kind, Labels, NOT_LOOPBACK, Page, is_loopback_name};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::Semaphore;

use crate::cli::LogFormat;
use crate::listener::{self, Credentials};
use crate::load::{InvalidConfiguration, Settings};
use crate::metrics::Counts;
use crate::options::{OTLP_CLUSTER_NAME, OTLP_LISTEN_GRPC, OTLP_LISTEN_HTTP};
use crate::text::say;
use answer::{Encoding, Refusal};

/// The maximum number of connections to a listener.
const MAX_CONNECTIONS: usize = 256;
/// The maximum number of requests that are being taken. Their messages are in memory.
const MAX_IN_FLIGHT: usize = 16;
/// The time limit for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The time limit for the head of a request, and for the answer to a ping of HTTP/2.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between two warnings.
const WARNING_PAUSE: Duration = Duration::from_secs(60);
/// The header with the compression of a gRPC message.
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The listeners, which share one writer to the history.
pub(crate) struct OtlpIn {
    receiver: Mutex<Receiver>,
    permits: Semaphore,
    credentials: Credentials,
    max_message_size: usize,
    records: [RecordCounts; 2],
    refused_requests: [AtomicU64; RefusedRequest::ALL.len()],
    warned: Mutex<Option<Instant>>,
}

/// The counts of the records of one signal: received = stored + dropped + refused.
#[derive(Debug, Default)]
struct RecordCounts {
    received: AtomicU64,
    stored: AtomicU64,
    expired: AtomicU64,
    without_cluster: AtomicU64,
    invalid: AtomicU64,
    not_written: AtomicU64,
}

/// The reason why a whole request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RefusedRequest {
    Full,
    TooLarge,
    Unauthorized,
    Unreadable,
    History,
}

impl RefusedRequest {
    const ALL: [Self; 5] = [Self::Full, Self::TooLarge, Self::Unauthorized, Self::Unreadable, Self::History];

    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TooLarge => "too_large",
            Self::Unauthorized => "unauthorized",
            Self::Unreadable => "unreadable",
            Self::History => "history",
        }
    }
}

/// One of the two listeners.
struct Listener {
    shared: Arc<OtlpIn>,
    is_grpc: bool,
    local_only: bool,
}

/// Opens the listeners that are configured. Returns `None` if there are none.
pub(crate) fn open(settings: &Settings) -> anyhow::Result<Option<Arc<OtlpIn>>> {
    let options = &settings.otlp;
    let listeners: [(&ConfigOption<_>, _, bool); 2] =
        [(&OTLP_LISTEN_GRPC, options.grpc, true), (&OTLP_LISTEN_HTTP, options.http, false)];
    let Some((first, ..)) = listeners.iter().find(|(_, address, _)| address.is_some()) else { return Ok(None) };
    let invalid = |problem: Problem| InvalidConfiguration(vec![problem]);
    let history = settings.reporters.iter().find(|setup| setup.class == flink_traces_history::FACTORY);
    let Some(history) = history else {
        let message =
            "expected a history: give --history DIR, or configure a reporter with the class flink-traces-history";
        return Err(invalid(Problem::error(message).with_key(first.key().to_owned())).into());
    };
    let receiver = Receiver::new(&history.config, options.cluster_name.clone());
    let shared = Arc::new(OtlpIn {
        receiver: Mutex::new(receiver.map_err(|error| invalid(Problem::from(&error)))?),
        permits: Semaphore::new(MAX_IN_FLIGHT),
        credentials: options.credentials.clone(),
        max_message_size: usize::try_from(options.max_message_size).unwrap_or(usize::MAX),
        records: Default::default(),
        refused_requests: Default::default(),
        warned: Mutex::new(None),
    });
    for (option, address, is_grpc) in listeners {
        let Some(address) = address else { continue };
        let listener = Listener { shared: shared.clone(), is_grpc, local_only: address.ip().is_loopback() };
        let router = Router::new().fallback(handle).with_state(Arc::new(listener));
        let mut limits = ServerOptions::default();
        (limits.max_connections, limits.header_timeout, limits.http2) = (MAX_CONNECTIONS, HEADER_TIMEOUT, is_grpc);
        let bound = listener::bind(address, router, limits, settings.certificate.clone());
        let url = bound.with_context(|| option.key())?;
        tracing::info!("taking OTLP over {} at {url}", if is_grpc { "gRPC" } else { "HTTP" });
    }
    Ok(Some(shared))
}

async fn handle(State(listener): State<Arc<Listener>>, request: Request) -> Response {
    let shared = &listener.shared;
    let encoding = if listener.is_grpc { Ok(Encoding::Grpc) } else { Encoding::of_http(request.headers()) };
    let route = listener.route(&request);
    let answer = match (route, encoding) {
        // A wrong path is answered as such, whatever the body is.
        (Err(refusal), encoding) => (encoding.unwrap_or(Encoding::Protobuf), Err(refusal)),
        (Ok(_), Err(refusal)) => (Encoding::Protobuf, Err(refusal)),
        (Ok(signal), Ok(encoding)) => {
            (encoding, shared.take(signal, encoding, request).await.map(|taken| (signal, taken)))
        }
    };
    match answer {
        (encoding, Ok((signal, taken))) => answer::accepted(encoding, signal, &shared.refusal_of(signal, taken)),
        (encoding, Err(refusal)) => answer::refused(encoding, &refusal),
    }
}

impl Listener {
    /// Returns the signal that a request is for.
    fn route(&self, request: &Request) -> Result<Signal, Refusal> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
        if self.local_only && !is_loopback_name(host.unwrap_or_default()) {
            return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, NOT_LOOPBACK));
        }
        if !self.shared.credentials.accept(request.headers()) {
            self.shared.count(RefusedRequest::Unauthorized);
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "credentials are required"));
        }
        let paths = if self.is_grpc { answer::GRPC_PATHS } else { answer::HTTP_PATHS };
        let signal = [Signal::Traces, Signal::Events].into_iter().zip(paths);
        let found = signal.into_iter().find(|(_, path)| *path == request.uri().path());
        let (signal, _) = found.ok_or_else(|| {
            let known =
                if self.is_grpc { "the services of OTLP for traces and logs" } else { "/v1/traces and /v1/logs" };
            Refusal::new(StatusCode::NOT_FOUND, format!("expected {known}, found {}", request.uri().path()))
        })?;
        match *request.method() {
            Method::POST => Ok(signal),
            _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "expected POST")),
        }
    }
}

impl OtlpIn {
    /// Takes a request, and returns the counts of its records when they are in the history.
    async fn take(self: &Arc<Self>, signal: Signal, encoding: Encoding, request: Request) -> Result<Taken, Refusal> {
        let Ok(_permit) = self.permits.try_acquire() else {
            self.count(RefusedRequest::Full);
            return Err(Refusal::retryable(StatusCode::TOO_MANY_REQUESTS, "too many requests are in flight", 1));
        };
        let (head, body) = request.into_parts();
        let body = self.body(body).await?;
        let state = self.clone();
        // Decompression and the history block.
        let taken = tokio::task::spawn_blocking(move || {
            let message = state.message(signal, encoding, &head.headers, body)?;
            let mut receiver = state.receiver.lock().unwrap_or_else(PoisonError::into_inner);
            let result = receiver.receive(signal, &message, SystemClock.now_millis());
            drop(receiver);
            state.counted(signal, result)
        });
        taken.await.unwrap_or_else(|_| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed")))
    }

    /// Reads the body, of at most the size of a message.
    async fn body(&self, body: Body) -> Result<Bytes, Refusal> {
        let limited = Limited::new(body, self.max_message_size.saturating_add(answer::GRPC_PREFIX));
        match within(BODY_TIMEOUT, limited.collect()).await {
            Some(Ok(body)) => Ok(body.to_bytes()),
            Some(Err(error)) if error.is::<LengthLimitError>() => Err(self.too_large()),
            Some(Err(_)) => Err(self.unreadable("the body broke off")),
            None => {
                self.count(RefusedRequest::Unreadable);
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"))
            }
        }
    }

    /// Returns the message in a body, decompressed and in protobuf.
    fn message(
        &self,
        signal: Signal,
        encoding: Encoding,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Vec<u8>, Refusal> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
        let (compression, content) = match encoding {
            Encoding::Grpc => {
                let (is_compressed, content) =
                    answer::unframed(&body).ok_or_else(|| self.unreadable("expected one gRPC message"))?;
                (if is_compressed { text(GRPC_ENCODING) } else { "" }, content)
            }
            _ => (text(header::CONTENT_ENCODING), body),
        };
        let plain = match &*compression.to_ascii_lowercase() {
            "" | "identity" => content.into(),
            "gzip" | "x-gzip" => self.inflated(&content)?,
            other => {
                self.count(RefusedRequest::Unreadable);
                let reason = format!("expected no compression or gzip, found {other:.20}");
                return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
            }
        };
        if plain.len() > self.max_message_size {
            return Err(self.too_large());
        }
        if encoding != Encoding::Json {
            return Ok(plain);
        }
        // A request without records has neither of the two lists.
        if plain.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}") {
            return Ok(Vec::new());
        }
        let request = ExportRequest::from_json(&plain).map_err(|error| self.unreadable(&error.to_string()))?;
        if request.signal() != signal {
            return Err(self.unreadable("the request has the records of another path"));
        }
        Ok(request.into_protobuf())
    }

    fn inflated(&self, content: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut plain = Vec::new();
        // One byte more shows that there is more.
        let limit = self.max_message_size.saturating_add(1) as u64;
        match MultiGzDecoder::new(content).take(limit).read_to_end(&mut plain) {
            Ok(_) => Ok(plain),
            Err(_) => Err(self.unreadable("the body is not gzip")),
        }
    }

    fn unreadable(&self, reason: &str) -> Refusal {
        self.count(RefusedRequest::Unreadable);
        Refusal::new(StatusCode::BAD_REQUEST, reason)
    }

    fn too_large(&self) -> Refusal {
        self.count(RefusedRequest::TooLarge);
        let reason =
            format!("expected at most {} bytes, see flink-traces.otlp.max-message-size", self.max_message_size);
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
    }

    fn count(&self, reason: RefusedRequest) {
        self.refused_requests[reason as usize].fetch_add(1, Ordering::Relaxed);
        if reason != RefusedRequest::Full {
            self.warn(&format!("request refused: {}", reason.name()));
        }
    }

    /// Logs a warning, at most once a minute.
    fn warn(&self, message: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARNING_PAUSE) {
            *warned = Some(Instant::now());
            tracing::warn!("OTLP {message}");
        }
    }

    /// Counts what became of a request.
    fn counted(&self, signal: Signal, result: Result<Taken, ReceiveError>) -> Result<Taken, Refusal> {
        let counts = &self.records[signal as usize];
        let add = |counter: &AtomicU64, number: usize| counter.fetch_add(number as u64, Ordering::Relaxed);
        match result {
            Ok(taken) => {
                add(&counts.received, taken.received());
                add(&counts.stored, taken.stored);
                add(&counts.expired, taken.expired);
                add(&counts.without_cluster, taken.without_cluster);
                add(&counts.invalid, taken.invalid);
                Ok(taken)
            }
            Err(ReceiveError::History { records, error }) => {
                add(&counts.received, records);
                add(&counts.not_written, records);
                self.refused_requests[RefusedRequest::History as usize].fetch_add(1, Ordering::Relaxed);
                self.warn(&format!("request refused, the history cannot be written: {error}"));
                Err(Refusal::retryable(StatusCode::SERVICE_UNAVAILABLE, "the history cannot be written", 5))
            }
            Err(error) => Err(self.unreadable(&error.to_string())),
        }
    }

    /// Returns the number of records that were refused for good, and the reason.
    fn refusal_of(&self, signal: Signal, taken: Taken) -> Option<(usize, String)> {
        if taken.refused() == 0 {
            return None;
        }
        let mut reasons = Vec::new();
        if taken.without_cluster > 0 {
            let key = OTLP_CLUSTER_NAME.key();
            reasons.push(format!(
                "{} without a cluster, set the resource attribute flink.cluster.name or {key}",
                taken.without_cluster
            ));
        }
        if taken.invalid > 0 {
            reasons.push(format!("{} with an invalid trace id or span id", taken.invalid));
        }
        let reason = reasons.join("; ");
        self.warn(&format!("{} refused: {reason}", signal.name()));
        Some((taken.refused(), reason))
    }

    /// Returns the route `/metrics` of a program that has no other metrics.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        let page = async |State(otlp): State<Arc<Self>>, headers: HeaderMap| {
            let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            let format = Format::accepted(accept);
            let mut page = Page::new(format);
            otlp.add_to(&mut page);
            ([(header::CONTENT_TYPE, format.media_type())], page.finish()).into_response()
        };
        Router::new().route("/metrics", get(page)).with_state(self)
    }

    /// Prints the account of each signal, or logs it if the log is JSON.
    pub(crate) fn print_account(&self, format: LogFormat) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (signal, counts) in [Signal::Traces, Signal::Events].into_iter().zip(&self.records) {
            let RecordCounts { received, stored, expired, without_cluster, invalid, not_written } = counts;
            let (received, stored, dropped) = (load(received), load(stored), load(expired));
            let refused = load(without_cluster) + load(invalid) + load(not_written);
            match format {
                LogFormat::Text => say(&format!(
                    "otlp {}: {received} received = {stored} stored + {refused} refused + {dropped} dropped\n",
                    signal.name()
                )),
                LogFormat::Json => tracing::info!(%signal, received, stored, refused, dropped, "account of OTLP in"),
            }
        }
    }
}

impl Counts for OtlpIn {
    fn add_to(&self, page: &mut Page) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let signals = [Signal::Traces, Signal::Events];
        let counts = || signals.into_iter().zip(&self.records);
        let labels = |signal: Signal| Labels::new(&[("signal", signal.name())]);
        let name = "flink_traces_otlp_received_total";
        page.head(name, Kind::Counter, "Spans or log records in requests that could be read.");
        counts().for_each(|(signal, counts)| page.sample(name, &labels(signal), load(&counts.received)));
        let name = "flink_traces_otlp_stored_total";
        page.head(name, Kind::Counter, "Received spans or log records that the history has.");
        counts().for_each(|(signal, counts)| page.sample(name, &labels(signal), load(&counts.stored)));
        let name = "flink_traces_otlp_refused_total";
        page.head(name, Kind::Counter, "Received spans or log records that were refused, by reason.");
        for (signal, counts) in counts() {
            let RecordCounts { without_cluster, invalid, not_written, .. } = counts;
            for (reason, count) in [("no_cluster", without_cluster), ("invalid_id", invalid), ("history", not_written)]
            {
                page.sample(name, &labels(signal).with("reason", reason), load(count));
            }
        }
        let name = "flink_traces_otlp_dropped_total";
        page.head(name, Kind::Counter, "Received spans or log records that were dropped, by reason.");
        for (signal, counts) in counts() {
            page.sample(name, &labels(signal).with("reason", "expired"), load(&counts.expired));
        }
        let name = "flink_traces_otlp_refused_requests_total";
        page.head(name, Kind::Counter, "Requests over OTLP that were refused, by reason.");
        for reason in RefusedRequest::ALL {
            let count = load(&self.refused_requests[reason as usize]);
            page.sample(name, &Labels::new(&[("reason", reason.name())]), count);
        }
    }
}

/// Returns what a future returns within `time`, or `None`.
async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, future).await.ok()
}
