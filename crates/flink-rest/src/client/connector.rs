//! Connections: plain or over TLS, direct or through a proxy.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::tls::{MaybeTls, Secured, Tls, plain};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A connection to the server, or to a proxy.
pub(super) type Stream = MaybeTls<MaybeTls<TokioIo<TcpStream>>>;
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
    type Response = Stream;
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
    type Response = MaybeTls<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some((proxy, connector)) = &mut self.proxy else {
            let connecting = self.tcp.call(target);
            return Box::pin(async move { Ok(plain(connecting.await?)) });
        };
        if target.scheme() == Some(&Scheme::HTTPS) {
            let mut tunnel = Tunnel::new(proxy.uri.clone(), connector.clone());
            if let Some(authorization) = &proxy.authorization {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let connecting = tunnel.call(target);
            Box::pin(async move { Ok(connecting.await?) })
        } else {
            let connecting = connector.call(proxy.uri.clone());
            Box::pin(async move {
                // Without the feature `tls`, the error has another type.
                let stream = connecting.await?;
                Ok(stream)
            })
        }
    }
}
