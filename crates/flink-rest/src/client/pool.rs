//! The connections of a client: those that are kept, and new ones.
//!
//! A request takes the kept connection that was used last, so the others become old and are closed.
//! A client has no more connections than it has requests at once.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Parts, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::client::legacy::connect::Connection as _;
use tower_service::Service as _;

use super::connector::{BoxError, Connector};

/// The body of a request: in memory, or read while it is sent.
pub(super) type Content = Either<Full<Bytes>, UnsyncBoxBody<Bytes, io::Error>>;

/// The time after which an unused connection is closed.
const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// The maximum number of unused connections.
const MAX_UNUSED: usize = 16;

/// The connections to one server that wait for a request.
pub(super) struct Pool {
    connector: Connector,
    /// The unused connections, and the times of their last responses, in the order of these.
    unused: Mutex<Vec<(Connection, Instant)>>,
}

/// An open connection.
pub(super) struct Connection {
    sender: SendRequest<Content>,
    /// A proxy forwards requests, so they name the whole URL.
    is_forwarded: bool,
}

/// The failure of a request on an open connection.
pub(super) struct Broken {
    pub(super) error: hyper::Error,
    /// `true` if the server cannot have received any part of the request.
    pub(super) is_unsent: bool,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, unused: Mutex::default() }
    }

    /// Takes the connection that was used last, unless the server has closed it.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        unused.retain(|(connection, since)| !connection.sender.is_closed() && since.elapsed() < LONGEST_IDLE);
        unused.pop().map(|(connection, _)| connection)
    }

    /// Keeps a connection whose response has been read.
    pub(super) fn keep(&self, connection: Connection) {
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len() < MAX_UNUSED {
            unused.push((connection, Instant::now()));
        }
    }

    /// Opens a connection to the server of `uri`.
    pub(super) async fn connect(&self, uri: &Uri) -> Result<Connection, BoxError> {
        let stream = self.connector.clone().call(uri.clone()).await?;
        let is_forwarded = stream.connected().is_proxied();
        let (sender, connection) = http1::handshake(stream).await?;
        // It ends with the sender, or when the server closes it.
        tokio::spawn(connection);
        Ok(Connection { sender, is_forwarded })
    }
}

impl Connection {
    /// Sends a request whose URI is absolute.
    pub(super) async fn send(&mut self, mut request: Request<Content>) -> Result<Response<Incoming>, Broken> {
        let host = host(request.uri());
        request.headers_mut().extend(host.map(|host| (HOST, host)));
        if !self.is_forwarded {
            let mut parts = Parts::default();
            parts.path_and_query = request.uri().path_and_query().cloned();
            *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        }
        self.sender.ready().await.map_err(|error| Broken { error, is_unsent: true })?;
        self.sender.try_send_request(request).await.map_err(|mut failure| {
            let is_unsent = failure.take_message().is_some();
            Broken { error: failure.into_error(), is_unsent }
        })
    }
}

/// Returns the value of `Host`, without the port if it is that of the scheme.
fn host(uri: &Uri) -> Option<HeaderValue> {
    let host = uri.host()?;
    let is_default = |port| match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => port == 443,
        _ => port == 80,
    };
    let port = uri.port_u16().filter(|port| !is_default(*port));
    let text = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::try_from(text).ok()
}
