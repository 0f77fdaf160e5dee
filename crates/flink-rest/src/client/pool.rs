//! Connections, which are kept for later requests.
//!
//! A connection has no task of its own. The task that waits for a response lets the connection read
//! and write meanwhile. So a response wakes one task only, and an unused connection wakes none.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tower_service::Service as _;

use super::connector::{BoxError, Connector, Stream};

/// The body of a request: in memory, or read while it is sent.
pub(super) type Content = Either<Full<Bytes>, UnsyncBoxBody<Bytes, io::Error>>;

/// The time for which an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The connections to one server.
pub(super) struct Pool {
    connector: Connector,
    /// The scheme, host and port of the server.
    origin: Uri,
    max_idle: usize,
    idle: Mutex<Idle>,
}

/// The unused connections.
#[derive(Default)]
struct Idle {
    /// Each with the time of its last use, in that order.
    connections: Vec<(Instant, Connection)>,
    /// The task that closes old ones, while there are any.
    closing: Option<JoinHandle<()>>,
}

impl Pool {
    /// Creates a pool that keeps at most `max_idle` unused connections.
    pub(super) fn new(connector: Connector, origin: Uri, max_idle: usize) -> Self {
        Self { connector, origin, max_idle, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the kept connection that was used last.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let (_, mut connection) = self.idle().connections.pop()?;
            if connection.is_ready() {
                return Some(connection);
            }
        }
    }

    /// Opens a connection.
    pub(super) async fn open(&self) -> Result<Connection, BoxError> {
        let mut connector = self.connector.clone();
        poll_fn(|context| connector.poll_ready(context)).await?;
        let (sender, driver) = http1::handshake(connector.call(self.origin.clone()).await?).await?;
        Ok(Connection { sender, driver: Some(Box::pin(driver)) })
    }

    /// Keeps a connection for later requests, if it can carry another one.
    pub(super) fn keep(self: &Arc<Self>, mut connection: Connection) {
        if !connection.is_ready() {
            return;
        }
        let mut idle = self.idle();
        if idle.connections.len() < self.max_idle {
            idle.connections.push((Instant::now(), connection));
            if idle.closing.as_ref().is_none_or(JoinHandle::is_finished) {
                idle.closing = Some(tokio::spawn(close_old(Arc::downgrade(self))));
            }
        }
    }

    /// Closes the connections that have been unused for too long. Returns the time at which the
    /// next one will have been.
    fn close_old(&self) -> Option<Instant> {
        let mut idle = self.idle();
        idle.connections.retain(|(since, _)| since.elapsed() < IDLE_TIMEOUT);
        let next = idle.connections.first().map(|(since, _)| *since + IDLE_TIMEOUT);
        if next.is_none() {
            idle.closing = None;
        }
        next
    }
}

async fn close_old(pool: Weak<Pool>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.close_old()) {
        sleep_until(next).await;
    }
}

/// A connection, which carries one request at a time.
pub(super) struct Connection {
    sender: SendRequest<Content>,
    /// Reads and writes; `None` once the connection is closed.
    driver: Option<Pin<Box<http1::Connection<Stream, Content>>>>,
}

impl Connection {
    /// Sends a request and returns the response without its body.
    pub(super) async fn send(
        &mut self,
        request: Request<Content>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Content>>> {
        let sent = self.sender.try_send_request(request);
        self.drive(pin!(sent)).await
    }

    /// Waits for something that this connection transfers.
    pub(super) async fn drive<T>(&mut self, mut awaited: Pin<&mut impl Future<Output = T>>) -> T {
        poll_fn(|context| {
            if let Poll::Ready(done) = awaited.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            self.transfer(context);
            awaited.as_mut().poll(context)
        })
        .await
    }

    /// Returns `true` if the connection is open and carries no request.
    fn is_ready(&mut self) -> bool {
        self.transfer(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Reads and writes what is possible now.
    fn transfer(&mut self, context: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(context).is_ready()
        {
            // The wait for a response ends with the error.
            self.driver = None;
        }
    }
}
