//! The collector as a test sees it.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::otlp::Records;
use crate::{Answer, ReceivedEvent, ReceivedRequest, ReceivedSpan, server};

/// An OTLP collector on the loopback interface that remembers what it received. Dropping it closes all connections.
#[derive(Debug)]
pub struct OtlpCollector {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped, it ends the thread.
    cuts: Option<mpsc::Sender<oneshot::Sender<()>>>,
    thread: Option<JoinHandle<()>>,
}

impl OtlpCollector {
    /// Starts a collector on a free port.
    ///
    /// # Errors
    /// When no port or no thread can be had.
    pub fn start() -> io::Result<Self> {
        Self::start_on(0)
    }

    /// Starts a collector on that port, such as the one that an earlier collector had.
    ///
    /// # Errors
    /// When the port is taken or no thread can be had.
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `exporter.endpoint` needs for `exporter.protocol: grpc`.
    pub fn grpc_endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What `exporter.endpoint` needs for `exporter.protocol: http`: the URL without a signal's path.
    pub fn http_endpoint(&self) -> String {
        self.grpc_endpoint()
    }

    /// Answers the next request with `answer`; called again before it came, the one after it, and so on. Requests that it cannot
    /// understand get their 400 or 404 and use up none.
    pub fn answer(&self, answer: impl Into<Answer>) {
        self.shared.lock().script.push_back(answer.into());
    }

    /// Lets `rule` decide all requests that [`answer`](Self::answer) leaves. It is called on the collector's thread.
    pub fn answer_by(&self, rule: impl FnMut(&ReceivedRequest) -> Answer + Send + 'static) {
        self.shared.lock().rule = Some(Box::new(rule));
    }

    /// Closes all connections. What is on its way on one of them has not arrived when this returns, and never will.
    pub fn cut_connections(&self) {
        let (done, is_done) = oneshot::channel();
        if self.cuts.as_ref().is_some_and(|cuts| cuts.blocking_send(done).is_ok()) {
            let _ = is_done.blocking_recv();
        }
    }

    /// All requests so far, in the order in which they arrived.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.lock().requests.clone()
    }

    /// All spans that were taken, in the order in which they arrived.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.shared.lock().spans.clone()
    }

    /// All spans that were taken since the last call, in the order in which they arrived. The collector forgets them, and all requests: for
    /// more than fits into memory.
    pub fn take_spans(&self) -> Vec<ReceivedSpan> {
        let mut state = self.shared.lock();
        state.requests.clear();
        std::mem::take(&mut state.spans)
    }

    /// Returns all events that were accepted, in the order in which they arrived.
    pub fn events(&self) -> Vec<ReceivedEvent> {
        self.shared.lock().events.clone()
    }

    /// Waits until `condition` holds, which is looked at after each request; answers whether it came to hold in time.
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

/// What the collector's thread and the test share.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

type Rule = Box<dyn FnMut(&ReceivedRequest) -> Answer + Send>;

#[derive(Default)]
struct State {
    script: VecDeque<Answer>,
    rule: Option<Rule>,
    requests: Vec<ReceivedRequest>,
    spans: Vec<ReceivedSpan>,
    events: Vec<ReceivedEvent>,
}

impl Shared {
    /// Decides on a request and remembers it, with what of it was taken.
    pub(crate) fn receive(&self, mut request: ReceivedRequest, records: Records) -> Answer {
        request.records = records.len();
        let mut state = self.lock();
        let answer = match state.script.pop_front() {
            Some(answer) => answer,
            None => state.rule.as_mut().map(|rule| rule(&request)).unwrap_or_default(),
        };
        request.taken = answer.takes(request.records);
        match records {
            Records::Spans(spans) => state.spans.extend(spans.into_iter().take(request.taken)),
            Records::Events(events) => state.events.extend(events.into_iter().take(request.taken)),
        }
        state.requests.push(request);
        self.arrived.notify_all();
        answer
    }

    /// Remembers a request that could not be understood.
    pub(crate) fn refuse(&self, request: ReceivedRequest) {
        self.lock().requests.push(request);
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("Shared").field("requests", &state.requests.len()).finish_non_exhaustive()
    }
}
