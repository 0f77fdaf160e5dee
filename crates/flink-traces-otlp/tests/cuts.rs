//! Connections that break after any number of bytes, of the request or of the response.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use flink_traces_api::Deadline;
use flink_traces_testkit::OtlpCollector;
use support::{PROTOCOLS, losses, options, trace_reporter, tree};

/// The number of bytes that pass to the collector, and back.
type Limits = [u64; 2];

/// A proxy that forwards connections, the next one only up to a limit.
struct Proxy {
    address: SocketAddr,
    next: Arc<Mutex<Option<Limits>>>,
}

impl Proxy {
    fn start(collector: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, next) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(None::<Limits>)));
        let limits = next.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let [there, back] = limits.lock().unwrap().take().unwrap_or([u64::MAX; 2]);
                let (client, server) = (client.unwrap(), TcpStream::connect(collector).unwrap());
                pass(client.try_clone().unwrap(), server.try_clone().unwrap(), there);
                pass(server, client, back);
            }
        });
        Self { address, next }
    }
}

/// Forwards up to `limit` bytes, then ends both connections.
fn pass(from: TcpStream, to: TcpStream, limit: u64) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut (&from).take(limit), &mut &to);
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}

/// Scenario: the first connection breaks after some bytes of the request or of the response.
/// Guarantees: the request is sent again with the same bytes, and everything is delivered.
#[test]
fn broken_connection_costs_nothing() {
    const FAR: u64 = 1_100;
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let proxy = Proxy::start(collector.address());
        let endpoint = format!("http://{}", proxy.address);
        let cuts = (0..FAR).step_by(61).flat_map(|length| [[length, u64::MAX], [u64::MAX, length / 4]]);
        let mut count = 0;
        for limits in cuts {
            *proxy.next.lock().unwrap() = Some(limits);
            let mut reporter = trace_reporter(&options(&endpoint, protocol, &[]));
            let result = reporter.report(&[tree(count)], &Deadline::unlimited());
            assert_eq!(losses(&result), (0, 0), "{protocol} {limits:?}");
            count += 1;
        }
        let mut trees: HashMap<Vec<u8>, HashSet<Vec<u8>>> = HashMap::new();
        for span in collector.spans() {
            trees.entry(span.trace_id().to_vec()).or_default().insert(span.span_id().to_vec());
        }
        assert_eq!((trees.len(), trees.values().map(HashSet::len).sum()), (count, 4 * count), "{protocol}");
        // What did not arrive whole could not be understood, if it came that far.
        let requests = collector.requests();
        let whole = requests.iter().filter(|request| request.error.is_none());
        let messages: HashSet<_> = whole.map(|request| &request.message).collect();
        assert_eq!(messages.len(), count, "{protocol}: sent again with other bytes");
    }
}
