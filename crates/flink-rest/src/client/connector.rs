//! Connections: plain or over TLS, direct or through a proxy.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{Extensions, HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::tls::{MaybeTls, Secured, Tls, plain};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// A proxy and its credentials.
#[derive(Clone)]
pub(super) struct Proxy {
    /// The URL without user information.
    pub(super) uri: Uri,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<HeaderValue>,
}

/// Opens connections within a time limit, which includes the TLS handshake.
#[derive(Clone)]
pub(super) struct Connector {
    tls: Secured<Route>,
    limit: Duration,
}

impl Connector {
    /// Creates a connector. Without `proxy`, connections are direct.
    pub(super) fn new(tls: &Tls, proxy: Option<Proxy>, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let proxy = proxy.map(|proxy| (proxy, tls.over(tcp.clone())));
        Self { tls: tls.over(Route { tcp, proxy }), limit }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeTls<Stream>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tls.poll_ready(context)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let (connecting, limit) = (self.tls.call(target), self.limit);
        Box::pin(async move {
            let late = || io::Error::new(ErrorKind::TimedOut, format!("no connection within {limit:?}")).into();
            timeout(limit, connecting).await.unwrap_or_else(|_| Err(late()))
        })
    }
}

/// Opens the TCP connection to the target or, through a proxy, what takes its place.
#[derive(Clone)]
struct Route {
    tcp: HttpConnector,
    proxy: Option<(Proxy, Secured<HttpConnector>)>,
}

impl Service<Uri> for Route {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting<Stream>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some((proxy, connector)) = &mut self.proxy else {
            let connecting = self.tcp.call(target);
            return Box::pin(async move { Ok(Stream::new(plain(connecting.await?), false)) });
        };
        if target.scheme() == Some(&Scheme::HTTPS) {
            let mut tunnel = Tunnel::new(proxy.uri.clone(), connector.clone());
            if let Some(authorization) = &proxy.authorization {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let connecting = tunnel.call(target);
            Box::pin(async move { Ok(Stream::new(connecting.await?, false)) })
        } else {
            let connecting = connector.call(proxy.uri.clone());
            Box::pin(async move { Ok(Stream::new(connecting.await?, true)) })
        }
    }
}

/// A mark of connections that have carried a response.
#[derive(Clone, Default)]
struct Kept(Arc<AtomicBool>);

/// Marks the connection of a response as kept.
pub(super) fn mark_kept(extensions: &Extensions) {
    if let Some(Kept(kept)) = extensions.get() {
        kept.store(true, Ordering::Relaxed);
    }
}

/// Returns `true` if a kept connection broke before a response.
///
/// A server may close a kept connection just when a request is on its way.
pub(super) fn is_broken_kept_connection(error: &legacy::Error) -> bool {
    let mut extensions = Extensions::new();
    error.connect_info().inspect(|connection| connection.get_extras(&mut extensions));
    extensions.get().is_some_and(|Kept(kept)| kept.load(Ordering::Relaxed)) && is_closed(error)
}

fn is_closed(error: &(dyn std::error::Error + 'static)) -> bool {
    let of_hyper = error.downcast_ref::<hyper::Error>();
    of_hyper.is_some_and(|error| error.is_incomplete_message() || error.is_closed() || error.is_canceled())
        || error.is::<io::Error>()
        || error.source().is_some_and(is_closed)
}

/// A connection, possibly to a proxy.
pub(super) struct Stream {
    io: MaybeTls<TokioIo<TcpStream>>,
    /// The proxy forwards requests, so they name the whole URL.
    is_forwarded: bool,
    kept: Kept,
}

impl Stream {
    fn new(io: MaybeTls<TokioIo<TcpStream>>, is_forwarded: bool) -> Self {
        Self { io, is_forwarded, kept: Kept::default() }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.is_forwarded).extra(self.kept.clone())
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}
