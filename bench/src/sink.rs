//! A collector that only counts spans, in a process of its own, so that it is never the bottleneck.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

/// Runs the sink on a free port until standard input is closed. Prints the address.
pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    println!("{}", listener.local_addr()?);
    let received = Arc::new(Received::default());
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let received = received.clone();
            let service = service_fn(move |request| {
                let received = received.clone();
                async move { Ok::<_, Infallible>(respond(request, &received).await) }
            });
            tokio::spawn(async move {
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http2().initial_stream_window_size(8 << 20).initial_connection_window_size(64 << 20);
                builder.http2().max_frame_size(1 << 20);
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let _ = std::io::stdin().read(&mut [0]);
    runtime.shutdown_background();
    Ok(())
}

/// The counts of the sink.
#[derive(Default)]
struct Received {
    spans: AtomicU64,
    /// The number of export requests.
    requests: AtomicU64,
}

async fn respond(request: Request<Incoming>, received: &Received) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Response::default() };
    let count = match head.uri.path() {
        "/count" => Some(&received.spans),
        "/requests" => Some(&received.requests),
        _ => None,
    };
    if let Some(count) = count {
        return Response::new(Full::from(count.load(Ordering::SeqCst).to_string()).boxed_unsync());
    }
    let mut message = body.aggregate();
    let is_grpc = head.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        message.advance(5.min(message.remaining()));
    }
    let message = message.copy_to_bytes(message.remaining());
    received.spans.fetch_add(count_spans(&message), Ordering::SeqCst);
    received.requests.fetch_add(1, Ordering::SeqCst);
    let body = if is_grpc {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let success = Full::from(&[0_u8; 5][..]);
        success.with_trailers(async move { Some(Ok(trailers)) }).boxed_unsync()
    } else {
        Full::default().boxed_unsync()
    };
    let mut response = Response::new(body);
    let kind = if is_grpc { "application/grpc" } else { "application/x-protobuf" };
    response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    response
}

/// Counts the spans of an `ExportTraceServiceRequest` (field 2 of field 2 of field 1).
fn count_spans(request: &[u8]) -> u64 {
    let resources = fields(request, 1);
    let scopes = resources.flat_map(|resource| fields(resource, 2));
    scopes.map(|scope| fields(scope, 2).count() as u64).sum()
}

/// Returns the length-delimited fields with this number, up to the first field of another type.
fn fields(mut message: &[u8], number: u8) -> impl Iterator<Item = &[u8]> {
    let next = std::iter::from_fn(move || {
        let (tag, rest) = message.split_first()?;
        message = rest;
        let mut len = 0_usize;
        for shift in (0..28).step_by(7) {
            let (byte, rest) = message.split_first()?;
            message = rest;
            len |= usize::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                break;
            }
        }
        let (content, rest) = message.split_at_checked(len)?;
        message = rest;
        Some((*tag, content))
    });
    next.filter(move |(tag, _)| *tag == number << 3 | 2).map(|(_, content)| content)
}

/// A sink in a process of its own, which ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    process: Child,
    address: SocketAddr,
}

impl Sink {
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("sink").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let output = process.stdout.take().context("the sink has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("the sink listens on {line:?}"))?;
        Ok(Self { process, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the number of spans that the sink at this address has received.
pub(crate) fn count(address: &str) -> Result<u64> {
    get(address, "/count")
}

/// Returns the number of export requests that the sink at this address has received.
pub(crate) fn requests(address: &str) -> Result<u64> {
    get(address, "/requests")
}

fn get(address: &str, path: &str) -> Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: sink\r\nconnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let body = response.split("\r\n\r\n").nth(1).context("the sink sent no response")?;
    Ok(body.trim().parse()?)
}
