//! One request to the collector and its response, over gRPC or HTTP.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, Write};
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use flink_traces_api::printable;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, TE};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::redirect::Policy;
use reqwest::{NoProxy, Proxy, Url};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::config::{Protocol, Target, TlsConfig};
use crate::credentials::Credentials;
use crate::diagnosis;
use crate::error::BoxError;
use crate::hint::Hint;
use crate::json;
use crate::redaction::Redaction;
use crate::response::{JSON, PROTOBUF, Response, Verdict};
use crate::tls;

const USER_AGENT: &str =
    concat!("flink-traces-otlp/", env!("CARGO_PKG_VERSION"), " OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Level 6, the default of flate2, costs twelve times as much CPU for 8 % fewer bytes.
const GZIP_LEVEL: u32 = 1;
/// The size limit of the OTLP specification for requests.
const MAX_REQUEST_BYTES: usize = 64 << 20;
/// The size limit of the OTLP specification for responses.
const MAX_RESPONSE_BYTES: usize = 4 << 20;
/// The number of bytes before a gRPC message: the compression flag and the length.
const GRPC_PREFIX: usize = 5;

/// The connection to a collector.
pub(crate) struct Transport {
    client: Client,
    target: Target,
    credentials: Credentials,
    redaction: Redaction,
}

enum Client {
    Grpc { dialer: Box<Dialer>, channel: RefCell<Channel>, uri: Uri, headers: HeaderMap },
    Http { client: reqwest::Client, url: Url },
}

impl Transport {
    /// Prepares connections, which are opened on first use. Needs the context of a tokio runtime.
    pub(crate) fn new(target: Target) -> Result<Self, BoxError> {
        let credentials = Credentials::new(target.authorization.clone())?;
        let redaction = Redaction::new(&target);
        let mut headers = target.headers.clone();
        let (content_type, content_encoding) = match target.protocol {
            Protocol::Grpc => ("application/grpc", GRPC_ENCODING),
            Protocol::Http => (PROTOBUF, CONTENT_ENCODING),
            Protocol::HttpJson => (JSON, CONTENT_ENCODING),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if target.gzip {
            headers.insert(content_encoding, HeaderValue::from_static("gzip"));
        }
        let client = match target.protocol {
            Protocol::Grpc => {
                headers.insert(TE, HeaderValue::from_static("trailers"));
                let endpoint = endpoint(&target.url, &target.tls)?;
                let dialer = Dialer { proxy: tunnel(&target.url, target.proxy.clone(), &target.no_proxy)?, endpoint };
                Client::Grpc {
                    channel: RefCell::new(dialer.dial()),
                    dialer: Box::new(dialer),
                    uri: target.url.path().parse()?,
                    headers,
                }
            }
            Protocol::Http | Protocol::HttpJson => {
                let mut client = reqwest::Client::builder()
                    .default_headers(headers)
                    .user_agent(USER_AGENT)
                    .connect_timeout(CONNECT_TIMEOUT)
                    .tcp_nodelay(true)
                    .tcp_keepalive(KEEP_ALIVE_INTERVAL)
                    // An abandoned request closes its connection, which no other request may share.
                    .http1_only()
                    // Following a redirect would send the credentials to another host.
                    .redirect(Policy::none())
                    .tls_backend_preconfigured(tls::client_config(&target.tls)?);
                client = match target.proxy.clone() {
                    None => client.no_proxy(),
                    Some(proxy) => {
                        let no_proxy = NoProxy::from_string(&target.no_proxy);
                        client.proxy(Proxy::all(proxy).map_err(reqwest::Error::without_url)?.no_proxy(no_proxy))
                    }
                };
                Client::Http { client: client.build()?, url: target.url.clone() }
            }
        };
        Ok(Self { client, target, credentials, redaction })
    }

    /// Returns the destination and the settings.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Returns `true` if the credentials differ from the ones that were used last.
    pub(crate) fn has_new_credentials(&self) -> bool {
        self.credentials.have_changed()
    }

    /// Builds the request body that carries `message`, which is copied only if it is compressed.
    pub(crate) fn pack(&self, message: &Bytes) -> io::Result<RequestBody> {
        if message.len() > MAX_REQUEST_BYTES {
            return Err(io::Error::other(format!(
                "request of {} bytes exceeds the OTLP limit of {MAX_REQUEST_BYTES} bytes",
                message.len()
            )));
        }
        let gzip = self.target.gzip;
        let json = (self.target.protocol == Protocol::HttpJson)
            .then(|| Bytes::from(json::from_request(self.target.signal, message)));
        let mut message = json.unwrap_or_else(|| message.clone());
        if gzip {
            let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 8), Compression::new(GZIP_LEVEL));
            encoder.write_all(&message)?;
            message = encoder.finish()?.into();
        }
        let prefix = match self.client {
            Client::Http { .. } => Bytes::new(),
            Client::Grpc { .. } => {
                let [a, b, c, d] = u32::try_from(message.len()).map_err(io::Error::other)?.to_be_bytes();
                Bytes::copy_from_slice(&[u8::from(gzip), a, b, c, d])
            }
        };
        Ok(RequestBody { prefix, message })
    }

    /// Abandons the connection after a request without a response, because the peer may be gone.
    ///
    /// Over HTTP the client has already closed it.
    pub(crate) fn abandon(&self) {
        if let Client::Grpc { dialer, channel, .. } = &self.client {
            channel.replace(dialer.dial());
        }
    }

    /// Sends a body once. The text of the response is redacted.
    pub(crate) async fn send(&self, body: RequestBody) -> Response {
        let authorization = self.credentials.authorization();
        let response = match &self.client {
            Client::Grpc { channel, uri, headers, .. } => {
                let mut request = Request::post(uri.clone());
                if let Some(slot) = request.headers_mut() {
                    slot.clone_from(headers);
                    slot.extend(authorization.map(|value| (AUTHORIZATION, value)));
                }
                match request.body(Body::new(body)) {
                    Ok(request) => {
                        let channel = channel.borrow().clone();
                        over_grpc(channel, request).await
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Client::Http { client, url } => {
                let request = client.post(url.clone()).body(body.message);
                let request = match authorization {
                    Some(value) => request.header(AUTHORIZATION, value),
                    None => request,
                };
                let expected = if self.target.protocol == Protocol::HttpJson { JSON } else { PROTOBUF };
                over_http(request, expected).await
            }
        };
        let response = response.unwrap_or_else(|error| Response::none(error.as_ref()));
        let reason = self.redaction.apply(&response.reason, self.credentials.token().as_deref());
        Response { reason: printable(&reason), ..response }
    }

    /// Returns the likely cause of a failed request.
    ///
    /// After a failed connection, this asks the port which protocol it speaks.
    pub(crate) async fn likely_cause(&self, response: &Response) -> Option<Hint> {
        match response.verdict {
            Verdict::NoResponse | Verdict::TlsFailed if response.hint.is_none() => diagnosis::ask(&self.target).await,
            _ => response.hint,
        }
    }
}

/// The body of a request, in two pieces, so that the message is not copied.
#[derive(Clone)]
pub(crate) struct RequestBody {
    /// The bytes before a gRPC message. Empty over HTTP.
    prefix: Bytes,
    message: Bytes,
}

impl RequestBody {
    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.prefix.len() + self.message.len()
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Self { prefix, message } = &mut *self;
        let piece = mem::take(if prefix.is_empty() { message } else { prefix });
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

/// Creates connections for gRPC.
struct Dialer {
    endpoint: Endpoint,
    proxy: Option<Tunnel<HttpConnector>>,
}

impl Dialer {
    /// Returns a connection that opens on first use.
    fn dial(&self) -> Channel {
        match &self.proxy {
            None => self.endpoint.connect_lazy(),
            Some(tunnel) => self.endpoint.connect_with_connector_lazy(tunnel.clone()),
        }
    }
}

fn endpoint(url: &Url, config: &TlsConfig) -> Result<Endpoint, BoxError> {
    let mut endpoint = Endpoint::from_shared(url.origin().ascii_serialization())?
        .user_agent(USER_AGENT)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if url.scheme() == "https" {
        endpoint = endpoint.tls_config_with_verifier(tls::tonic_config(config)?, tls::verifier(config)?)?;
    }
    Ok(endpoint)
}

/// Returns the tunnel through the proxy, if the URL needs one.
fn tunnel(url: &Url, proxy: Option<Url>, no_proxy: &str) -> Result<Option<Tunnel<HttpConnector>>, BoxError> {
    let Some(proxy) = proxy else { return Ok(None) };
    if proxy.scheme() != "http" {
        return Err("exporter.proxy: over gRPC, expected a URL that begins with http://".into());
    }
    let matcher = Matcher::builder().all(proxy.to_string()).no(no_proxy.to_owned()).build();
    let Some(proxy) = matcher.intercept(&url.origin().ascii_serialization().parse()?) else { return Ok(None) };
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let tunnel = Tunnel::new(proxy.uri().clone(), connector);
    Ok(Some(match proxy.basic_auth() {
        Some(value) => tunnel.with_auth(value.clone()),
        None => tunnel,
    }))
}

async fn over_http(request: reqwest::RequestBuilder, expected: &str) -> Result<Response, BoxError> {
    // The URL may hold a secret in its query.
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    let (head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    if !head.status.is_success() {
        return http_failure(&head, body).await;
    }
    let read = read_all(body).await?;
    Ok(read.response(Response::from_http_success(head.status, &head.headers, &read.bytes, expected)))
}

async fn over_grpc(mut channel: Channel, request: Request<Body>) -> Result<Response, BoxError> {
    poll_fn(|context| GrpcService::<Body>::poll_ready(&mut channel, context)).await?;
    let (head, body) = GrpcService::call(&mut channel, request).await?.into_parts();
    let from_status = |status: &Status| (status.code() != Code::Ok).then(|| Response::from_grpc_status(status));
    if let Some(response) = Status::from_header_map(&head.headers).as_ref().and_then(from_status) {
        return Ok(response);
    }
    if !head.status.is_success() {
        // The response comes from a proxy, not from the collector.
        return http_failure(&head, body).await;
    }
    let read = read_all(body).await?;
    let status = Status::from_header_map(&read.trailers).or_else(|| Status::from_header_map(&head.headers));
    match status {
        Some(status) => Ok(from_status(&status).unwrap_or_else(|| read.response(grpc_success(&read.bytes)))),
        None if read.too_long => Ok(read.response(Response::accepted(&[]))),
        None => Ok(Response::without_grpc_status(head.status, &head.headers, &read.bytes)),
    }
}

/// Interprets an HTTP response that is not a success.
async fn http_failure<B>(head: &Parts, body: B) -> Result<Response, BoxError>
where
    B: http_body::Body<Data = Bytes>,
    BoxError: From<B::Error>,
{
    let (read, error) = read(body).await;
    let response = Response::from_http(head.status, &head.headers, &read.bytes, SystemTime::now());
    match error {
        // A TLS port closes the connection before it reads a request in plain text, which may cut
        // its 400. So such a response is no verdict about the records.
        Some(error) if response.verdict == Verdict::Invalid => Err(error.into()),
        _ => Ok(response),
    }
}

/// Interprets the body of a gRPC success, which is exactly one uncompressed message.
///
/// Any other body is an odd success.
fn grpc_success(body: &[u8]) -> Response {
    match body.split_first_chunk::<GRPC_PREFIX>() {
        Some(([0, length @ ..], message)) if u32::from_be_bytes(*length) as usize == message.len() => {
            Response::accepted(message)
        }
        _ => Response { is_odd: true, ..Response::accepted(&[]) },
    }
}

/// The body of a response.
#[derive(Default)]
struct Read {
    bytes: Vec<u8>,
    trailers: HeaderMap,
    /// Set if the body is longer than the limit.
    too_long: bool,
}

impl Read {
    /// Returns `response`, unless it is a success with a body that is too long.
    fn response(&self, response: Response) -> Response {
        match response.verdict {
            Verdict::Accepted { .. } if self.too_long => {
                Response::new(Verdict::Dropped, format!("the response is longer than {MAX_RESPONSE_BYTES} bytes"))
            }
            _ => response,
        }
    }
}

/// Reads a body, which must be complete.
async fn read_all<B: http_body::Body<Data = Bytes>>(body: B) -> Result<Read, B::Error> {
    match read(body).await {
        (read, None) => Ok(read),
        (_, Some(error)) => Err(error),
    }
}

/// Reads a body up to its end or an error, and up to the limit.
async fn read<B: http_body::Body<Data = Bytes>>(body: B) -> (Read, Option<B::Error>) {
    let mut body = pin!(body);
    let mut read = Read::default();
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Err(error) => return (read, Some(error)),
            Ok(Ok(data)) if read.bytes.len() + data.len() > MAX_RESPONSE_BYTES => {
                read.too_long = true;
                break;
            }
            Ok(Ok(data)) => read.bytes.extend_from_slice(&data),
            Ok(Err(frame)) => read.trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    (read, None)
}
