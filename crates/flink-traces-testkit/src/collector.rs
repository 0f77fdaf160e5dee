//! The collector.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::state::Shared;
use crate::{CollectorResponse, ReceivedEvent, ReceivedRequest, ReceivedSpan, server};

/// An OTLP collector on the loopback interface that records what it receives.
///
/// It serves gRPC and HTTP on one port, on a thread of its own. Dropping it closes all connections.
///
/// # Examples
///
/// ```
/// use flink_traces_testkit::{GrpcStatus, OtlpCollector};
///
/// let collector = OtlpCollector::start()?;
/// // The first request fails, and the next one is accepted.
/// collector.respond(GrpcStatus::new(14, "try again"));
///
/// let endpoint = collector.grpc_endpoint();
/// // Point a reporter at `endpoint` and report spans.
/// assert!(endpoint.starts_with("http://127.0.0.1:"));
/// assert!(collector.spans().is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct OtlpCollector {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The channel whose end stops the thread.
    cuts: Option<mpsc::Sender<oneshot::Sender<()>>>,
    thread: Option<JoinHandle<()>>,
}

impl OtlpCollector {
    /// Starts a collector on a free port.
    ///
    /// # Errors
    /// Fails if there is no free port or no thread.
    pub fn start() -> io::Result<Self> {
        Self::start_on(0)
    }

    /// Starts a collector on that port, for example the port of an earlier one.
    ///
    /// # Errors
    /// Fails if the port is in use or there is no thread.
    pub fn start_on(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (cuts, commands) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let serving = server::serve(listener, shared.clone(), commands);
        let thread = std::thread::Builder::new().name("otlp-collector".to_owned()).spawn(move || {
            runtime.block_on(serving);
        })?;
        Ok(Self { address, shared, cuts: Some(cuts), thread: Some(thread) })
    }

    /// Returns the address at which the collector listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the value of `exporter.endpoint` for `exporter.protocol: grpc`.
    pub fn grpc_endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the value of `exporter.endpoint` for `exporter.protocol: http`, without a signal's
    /// path.
    pub fn http_endpoint(&self) -> String {
        self.grpc_endpoint()
    }

    /// Answers the next request with `response`.
    ///
    /// Several calls queue responses for several requests. Requests that the collector cannot
    /// decode get a 400 or 404 and use up no response.
    pub fn respond(&self, response: impl Into<CollectorResponse>) {
        self.shared.lock().script.push_back(response.into());
    }

    /// Answers all requests for which no [response](Self::respond) is queued by calling `rule`.
    ///
    /// It is called on the thread of the collector.
    pub fn respond_by(&self, rule: impl FnMut(&ReceivedRequest) -> CollectorResponse + Send + 'static) {
        self.shared.lock().rule = Some(Box::new(rule));
    }

    /// Closes all connections. Requests that are in flight when this is called never arrive.
    pub fn cut_connections(&self) {
        let (done, is_done) = oneshot::channel();
        if self.cuts.as_ref().is_some_and(|cuts| cuts.blocking_send(done).is_ok()) {
            let _ = is_done.blocking_recv();
        }
    }

    /// Returns all requests in the order in which they arrived.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.lock().requests.clone()
    }

    /// Returns all spans that were accepted, in the order in which they arrived.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.shared.lock().spans.clone()
    }

    /// Returns all spans that were accepted since the last call, in the order in which they
    /// arrived.
    ///
    /// The collector forgets these spans and all requests, so more can pass than fit into memory.
    pub fn take_spans(&self) -> Vec<ReceivedSpan> {
        let mut state = self.shared.lock();
        state.requests.clear();
        std::mem::take(&mut state.spans)
    }

    /// Returns all events that were accepted, in the order in which they arrived.
    pub fn events(&self) -> Vec<ReceivedEvent> {
        self.shared.lock().events.clone()
    }

    /// Returns all events that were accepted since the last call, in the order in which they
    /// arrived, and forgets them as [`take_spans`](Self::take_spans) does.
    pub fn take_events(&self) -> Vec<ReceivedEvent> {
        let mut state = self.shared.lock();
        state.requests.clear();
        std::mem::take(&mut state.events)
    }

    /// Waits until `condition` is true, which is evaluated after each request.
    ///
    /// Returns `false` if that did not happen within `timeout`.
    pub fn wait_until(&self, timeout: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = Instant::now() + timeout;
        loop {
            let seen = self.shared.lock().requests.len();
            if condition(self) {
                return true;
            }
            let state = self.shared.lock();
            let left = end.saturating_duration_since(Instant::now());
            let waited = self.shared.arrived.wait_timeout_while(state, left, |state| state.requests.len() == seen);
            if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
                return condition(self);
            }
        }
    }
}

impl Drop for OtlpCollector {
    fn drop(&mut self) {
        self.cuts.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
