//! The thread of the collector, which serves HTTP and gRPC.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::io::{self, Read};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use flink_traces_api::Signal;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::otlp::{Records, signal_of_path, success};
use crate::state::Shared;
use crate::{CollectorResponse, Encoding, GrpcStatus, HttpResponse, ReceivedRequest};

type Body = UnsyncBoxBody<Bytes, io::Error>;

const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Serves connections until the sender of `cuts` is dropped.
///
/// Each command closes all connections, including those that are not accepted yet, and is answered
/// when that is done. Connections are tasks of the caller's runtime and end with it.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut cuts: mpsc::Receiver<oneshot::Sender<()>>) {
    let Ok(waiting) = listener.try_clone() else { return };
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let epoch = Arc::new(AtomicU64::new(0));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, shared.clone(), epoch.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
            cut = cuts.recv() => {
                let Some(done) = cut else { return };
                // A stream of HTTP/2 is a task of its own, which may have received its request
                // already.
                epoch.fetch_add(1, Ordering::Relaxed);
                connections.shutdown().await;
                while waiting.accept().is_ok() {}
                let _ = done.send(());
            }
        }
    }
}

/// Serves one connection until one side closes it. The client chooses between HTTP/1.1 and HTTP/2.
async fn connection(stream: tokio::net::TcpStream, shared: Arc<Shared>, epoch: Arc<AtomicU64>) {
    // Without this, a response waits for the peer's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let close = Arc::new(Notify::new());
    let began = epoch.load(Ordering::Relaxed);
    let service = service_fn(|request| {
        let (shared, close, epoch) = (shared.clone(), close.clone(), epoch.clone());
        let is_cut = move || epoch.load(Ordering::Relaxed) != began;
        async move { Ok::<_, Infallible>(respond(request, &shared, &close, is_cut).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        // An error of the connection is of no interest here.
        _ = builder.serve_connection(TokioIo::new(stream), service) => {}
        () = close.notified() => {}
    }
}

async fn respond(
    request: Request<Incoming>,
    shared: &Shared,
    close: &Notify,
    is_cut: impl Fn() -> bool,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Some(body) = body.collect().await.ok().filter(|_| !is_cut()) else { return pending().await };
    let body = body.to_bytes();
    let encoding = match text(&head.headers, CONTENT_TYPE.as_str()) {
        Some(kind) if kind.starts_with("application/grpc") => Encoding::Grpc,
        Some(kind) if kind.starts_with("application/json") => Encoding::HttpJson,
        _ => Encoding::HttpProtobuf,
    };
    let mut request = ReceivedRequest {
        path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: plain(&head.headers),
        encoding,
        gzip: false,
        wire_size: body.len(),
        message: Bytes::new(),
        records: 0,
        accepted: 0,
        error: None,
    };
    match understand(&mut request, &head, body) {
        Ok((signal, records)) => match shared.receive(request, records) {
            CollectorResponse::Hang => pending().await,
            CollectorResponse::Close => {
                close.notify_one();
                pending().await
            }
            response => encode(encoding, signal, &response),
        },
        Err(refusal) => {
            request.error = Some(refusal.reason.clone());
            shared.refuse(request);
            match encoding {
                Encoding::Grpc => grpc(&GrpcStatus::new(refusal.grpc, refusal.reason)),
                _ => http(&HttpResponse::new(refusal.http).body(refusal.reason)),
            }
        }
    }
}

/// The response to a request that cannot be decoded.
struct Refusal {
    http: u16,
    grpc: u8,
    reason: String,
}

/// Decodes a request and sets the fields of `request` that depend on the body.
fn understand(request: &mut ReceivedRequest, head: &Parts, body: Bytes) -> Result<(Signal, Records), Refusal> {
    let invalid = |reason: String| Refusal { http: 400, grpc: 3, reason };
    let signal = signal_of_path(head.uri.path(), request.encoding).ok_or_else(|| Refusal {
        http: 404,
        grpc: 12,
        reason: "nothing is served here".to_owned(),
    })?;
    (request.gzip, request.message) =
        unpack(request.encoding, &head.headers, body).map_err(|error| invalid(error.to_string()))?;
    let records = Records::decode(signal, request.encoding, &request.message).map_err(invalid)?;
    Ok((signal, records))
}

/// Returns the message in the body of a request, and `true` if it was compressed.
fn unpack(encoding: Encoding, headers: &HeaderMap, body: Bytes) -> io::Result<(bool, Bytes)> {
    let (gzip, message) = match encoding {
        Encoding::Grpc => {
            let prefix = body.first_chunk::<5>().ok_or(io::ErrorKind::UnexpectedEof)?;
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
            if body.len() - prefix.len() != length as usize {
                return Err(io::Error::other("not exactly one gRPC message"));
            }
            (prefix[0] == 1, body.slice(prefix.len()..))
        }
        Encoding::HttpProtobuf | Encoding::HttpJson => {
            (text(headers, CONTENT_ENCODING.as_str()).is_some_and(|encoding| encoding == "gzip"), body)
        }
    };
    if !gzip {
        return Ok((gzip, message));
    }
    let mut plain = Vec::new();
    MultiGzDecoder::new(message.as_ref()).read_to_end(&mut plain)?;
    Ok((gzip, plain.into()))
}

fn encode(encoding: Encoding, signal: Signal, response: &CollectorResponse) -> Response<Body> {
    let message = match (response, encoding) {
        (CollectorResponse::Http(response), _) => return http(response),
        (CollectorResponse::Grpc(status), Encoding::Grpc) => return grpc(status),
        (CollectorResponse::Grpc(_), _) => return http(&HttpResponse::new(500)),
        _ => success(signal, encoding, response),
    };
    let (kind, message) = match encoding {
        Encoding::Grpc => ("application/grpc", framed(&message)),
        Encoding::HttpProtobuf => ("application/x-protobuf", message),
        Encoding::HttpJson => ("application/json", message),
    };
    let body = match (response, encoding) {
        (CollectorResponse::CloseInResponse, _) => Cut(Some(message)).boxed_unsync(),
        (_, Encoding::Grpc) => {
            let trailers = grpc_trailers(&GrpcStatus::new(0, ""));
            full(message).with_trailers(ready(Some(Ok(trailers)))).boxed_unsync()
        }
        _ => full(message),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Returns a response that is only a gRPC status.
fn grpc(status: &GrpcStatus) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.headers_mut() = grpc_trailers(status);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn http(scripted: &HttpResponse) -> Response<Body> {
    let mut response = Response::new(full(scripted.body.clone()));
    *response.status_mut() = StatusCode::from_u16(scripted.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &scripted.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Returns an uncompressed gRPC message with its prefix.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

fn grpc_trailers(status: &GrpcStatus) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(status.code)));
    if !status.message.is_empty() {
        let encoded: String = status.message.bytes().map(percent_encoded).collect();
        trailers.extend(HeaderValue::try_from(encoded).ok().map(|value| (GRPC_MESSAGE, value)));
    }
    if !status.details.is_empty() {
        let encoded = STANDARD_NO_PAD.encode(&status.details);
        trailers.extend(HeaderValue::try_from(encoded).ok().map(|value| (GRPC_STATUS_DETAILS, value)));
    }
    trailers
}

/// Returns a character of `grpc-message`, percent-encoded if gRPC demands it.
fn percent_encoded(byte: u8) -> String {
    match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn plain(headers: &HeaderMap) -> BTreeMap<String, String> {
    let values = |name| headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    headers.keys().map(|name| (name.to_string(), values(name).collect::<Vec<_>>().join(", "))).collect()
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A body that ends in an error, at which hyper closes the connection or resets the HTTP/2 stream.
struct Cut(Option<Bytes>);

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(Some(match self.0.take() {
            Some(bytes) => Ok(Frame::data(bytes)),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }))
    }
}
