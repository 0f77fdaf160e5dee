//! One request to the collector and its answer, over gRPC or HTTP.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use flink_traces_api::{Signal, printable};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::percent_decode_str;
use reqwest::redirect::Policy;
use reqwest::{NoProxy, Proxy, Url};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::answer::{Answer, Verdict};
use crate::config::{Protocol, Target, TlsConfig};
use crate::credentials::Credentials;
use crate::error::BoxError;
use crate::json;
use crate::tls;

const USER_AGENT: &str =
    concat!("flink-traces-otlp/", env!("CARGO_PKG_VERSION"), " OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Level 6, flate2's own default, costs twelve times as much for 8 % less.
const GZIP_LEVEL: u32 = 1;
/// What the OTLP specification allows a client to send.
const LONGEST_REQUEST: usize = 64 << 20;
/// What the OTLP specification allows a client to read.
const LONGEST_ANSWER: usize = 4 << 20;
/// The compression flag and the length of a gRPC message.
const GRPC_PREFIX: usize = 5;

/// The connection to a collector.
pub(crate) struct Transport {
    client: Client,
    gzip: bool,
    /// What requests hold, if they go as JSON.
    json: Option<Signal>,
    credentials: Credentials,
}

enum Client {
    Grpc { dialer: Box<Dialer>, channel: RefCell<Channel>, uri: Uri, headers: HeaderMap },
    Http { client: reqwest::Client, url: Url },
}

impl Transport {
    /// Sets up what is needed to connect, which happens later. Needs the context of a tokio runtime.
    pub(crate) fn new(target: Target) -> Result<Self, BoxError> {
        let credentials = Credentials::new(target.authorization, secrets(&target.headers, target.proxy.as_ref()))?;
        let mut headers = target.headers;
        let (content_type, content_encoding) = match target.protocol {
            Protocol::Grpc => ("application/grpc", GRPC_ENCODING),
            Protocol::Http => ("application/x-protobuf", CONTENT_ENCODING),
            Protocol::HttpJson => ("application/json", CONTENT_ENCODING),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if target.gzip {
            headers.insert(content_encoding, HeaderValue::from_static("gzip"));
        }
        let client = match target.protocol {
            Protocol::Grpc => {
                headers.insert(TE, HeaderValue::from_static("trailers"));
                let endpoint = endpoint(&target.url, &target.tls)?;
                let dialer = Dialer { proxy: tunnel(&target.url, target.proxy, &target.no_proxy)?, endpoint };
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
                    // A request that is given up takes its connection with it, and no other request.
                    .http1_only()
                    // Following would hand the headers to whoever is named.
                    .redirect(Policy::none())
                    .tls_backend_preconfigured(tls::client_config(&target.tls)?);
                client = match target.proxy {
                    None => client.no_proxy(),
                    Some(proxy) => {
                        let no_proxy = NoProxy::from_string(&target.no_proxy);
                        client.proxy(Proxy::all(proxy).map_err(reqwest::Error::without_url)?.no_proxy(no_proxy))
                    }
                };
                Client::Http { client: client.build()?, url: target.url }
            }
        };
        let json = (target.protocol == Protocol::HttpJson).then_some(target.signal);
        Ok(Self { client, gzip: target.gzip, json, credentials })
    }

    /// Whether there are other credentials than those that were used last.
    pub(crate) fn has_new_credentials(&self) -> bool {
        self.credentials.have_changed()
    }

    /// The body of the request that carries `message`.
    pub(crate) fn pack(&self, message: &Bytes) -> io::Result<Bytes> {
        if message.len() > LONGEST_REQUEST {
            return Err(io::Error::other(format!("{} bytes are more than OTLP carries", message.len())));
        }
        let json = self.json.map(|signal| Bytes::from(json::of_request(signal, message)));
        let message = json.as_ref().unwrap_or(message);
        let prefix = match self.client {
            Client::Http { .. } if !self.gzip => return Ok(message.clone()),
            Client::Http { .. } => 0,
            Client::Grpc { .. } => GRPC_PREFIX,
        };
        let mut body = Vec::with_capacity(prefix + message.len() / if self.gzip { 8 } else { 1 });
        body.resize(prefix, 0);
        if self.gzip {
            let mut encoder = GzEncoder::new(body, Compression::new(GZIP_LEVEL));
            encoder.write_all(message)?;
            body = encoder.finish()?;
        } else {
            body.extend_from_slice(message);
        }
        let length = u32::try_from(body.len() - prefix).map_err(io::Error::other)?;
        if let Some(prefix) = body[..prefix].first_chunk_mut::<GRPC_PREFIX>() {
            let [a, b, c, d] = length.to_be_bytes();
            *prefix = [u8::from(self.gzip), a, b, c, d];
        }
        Ok(body.into())
    }

    /// Gives up the connection after a request that was not answered: the peer may be gone without a word. Over HTTP that
    /// has happened already.
    pub(crate) fn abandon(&self) {
        if let Client::Grpc { dialer, channel, .. } = &self.client {
            channel.replace(dialer.dial());
        }
    }

    /// Sends a body once. The answer's text is safe to show.
    pub(crate) async fn send(&self, body: Bytes) -> Answer {
        let authorization = self.credentials.authorization();
        let answer = match &self.client {
            Client::Grpc { channel, uri, headers, .. } => {
                let mut request = Request::post(uri.clone());
                if let Some(slot) = request.headers_mut() {
                    slot.clone_from(headers);
                    slot.extend(authorization.map(|value| (AUTHORIZATION, value)));
                }
                match request.body(Body::new(Full::new(body))) {
                    Ok(request) => {
                        let channel = channel.borrow().clone();
                        over_grpc(channel, request).await
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Client::Http { client, url } => {
                let request = client.post(url.clone()).body(body);
                over_http(match authorization {
                    Some(value) => request.header(AUTHORIZATION, value),
                    None => request,
                })
                .await
            }
        };
        let answer = answer.unwrap_or_else(|error| Answer::unanswered(error.as_ref()));
        let reason = self.credentials.redact(&answer.reason);
        Answer { reason: printable(&reason), ..answer }
    }
}

/// Makes connections for gRPC.
struct Dialer {
    endpoint: Endpoint,
    proxy: Option<Tunnel<HttpConnector>>,
}

impl Dialer {
    /// A connection that is made when it is first used.
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

/// The tunnel through a proxy that an address needs.
fn tunnel(url: &Url, proxy: Option<Url>, no_proxy: &str) -> Result<Option<Tunnel<HttpConnector>>, BoxError> {
    let Some(proxy) = proxy else { return Ok(None) };
    if proxy.scheme() != "http" {
        return Err("over gRPC the address of a proxy has to begin with http://".into());
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

/// What must not be shown besides the credentials.
fn secrets(headers: &HeaderMap, proxy: Option<&Url>) -> impl Iterator<Item = String> {
    let values = headers.values().filter_map(|value| value.to_str().ok().map(str::to_owned));
    let password = proxy
        .and_then(Url::password)
        .map(|password| [password.to_owned(), percent_decode_str(password).decode_utf8_lossy().into_owned()]);
    values.chain(password.into_iter().flatten()).collect::<Vec<_>>().into_iter()
}

async fn over_http(request: reqwest::RequestBuilder) -> Result<Answer, BoxError> {
    // The URL may hold a secret in its query.
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    let (head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    if !head.status.is_success() {
        let read = read(body).await.unwrap_or_default();
        return Ok(Answer::of_http(head.status, &head.headers, &read.bytes, SystemTime::now()));
    }
    let read = read(body).await?;
    // Whatever else it is, it is a success: collectors label and fill these as they like.
    let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    Ok(match kind {
        _ if kind.starts_with(b"application/x-protobuf") => read.answer(Answer::taken),
        _ if kind.starts_with(b"application/json") => read.answer(Answer::taken_json),
        _ => read.answer(|_| Answer::taken(&[])),
    })
}

async fn over_grpc(mut channel: Channel, request: Request<Body>) -> Result<Answer, BoxError> {
    poll_fn(|context| GrpcService::<Body>::poll_ready(&mut channel, context)).await?;
    let (head, body) = GrpcService::call(&mut channel, request).await?.into_parts();
    let of_status = |status: &Status| (status.code() != Code::Ok).then(|| Answer::of_grpc(status));
    if let Some(answer) = Status::from_header_map(&head.headers).as_ref().and_then(of_status) {
        return Ok(answer);
    }
    if !head.status.is_success() {
        // Something in between answered.
        let read = read(body).await.unwrap_or_default();
        return Ok(Answer::of_http(head.status, &head.headers, &read.bytes, SystemTime::now()));
    }
    let read = read(body).await?;
    let status = Status::from_header_map(&read.trailers).or_else(|| Status::from_header_map(&head.headers));
    match status {
        _ if read.too_long => Ok(read.answer(Answer::taken)),
        Some(status) => Ok(of_status(&status).unwrap_or_else(|| read.answer(|body| Answer::taken(grpc_message(body))))),
        None => Ok(Answer::new(Verdict::Refused, "the answer is not gRPC: it has no status")),
    }
}

/// The message in the body of a gRPC answer; empty where it is not exactly one, uncompressed.
fn grpc_message(body: &[u8]) -> &[u8] {
    match body.split_first_chunk::<GRPC_PREFIX>() {
        Some(([0, length @ ..], message)) if u32::from_be_bytes(*length) as usize == message.len() => message,
        _ => &[],
    }
}

/// The body of an answer.
#[derive(Default)]
struct Read {
    bytes: Vec<u8>,
    trailers: HeaderMap,
    /// Whether more would have come than is read.
    too_long: bool,
}

impl Read {
    fn answer(&self, taken: impl FnOnce(&[u8]) -> Answer) -> Answer {
        match self.too_long {
            true => Answer::new(Verdict::Lost, format!("the answer is longer than {LONGEST_ANSWER} bytes")),
            false => taken(&self.bytes),
        }
    }
}

async fn read<B: http_body::Body<Data = Bytes>>(body: B) -> Result<Read, B::Error> {
    let mut body = pin!(body);
    let mut read = Read::default();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if read.bytes.len() + data.len() > LONGEST_ANSWER => {
                read.too_long = true;
                break;
            }
            Ok(data) => read.bytes.extend_from_slice(&data),
            Err(frame) => read.trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok(read)
}
