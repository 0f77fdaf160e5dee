//! Runs the conformance suite on the reporter, over all protocols.

use flink_traces_api::Registry;
use flink_traces_otlp::{EVENT_FACTORY, TRACE_FACTORY, register};
use flink_traces_testkit::conformance::{Behavior, Conformance, Destination, Received};
use flink_traces_testkit::{HttpResponse, OtlpCollector};

struct Collector {
    protocol: &'static str,
    /// The path of the endpoint, since `compatibility: flink` appends none.
    path: &'static str,
    collector: OtlpCollector,
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

impl Destination for Collector {
    fn options(&self) -> Vec<(String, String)> {
        pairs([
            ("exporter.endpoint", &format!("{}{}", self.collector.http_endpoint(), self.path)),
            ("exporter.protocol", self.protocol),
            ("batch.bytes", "16 kb"),
            // Concurrent requests would arrive in any order.
            ("exporter.concurrency", "1"),
            // A request in flight at the deadline may still arrive, so there are few.
            ("retry.initial-backoff", "50 ms"),
            ("retry.max-backoff", "50 ms"),
        ])
    }

    fn received(&self) -> Vec<Received> {
        let spans = self.collector.spans().into_iter().map(Received::from);
        spans.chain(self.collector.events().into_iter().map(Received::from)).collect()
    }

    fn wrong_options(&self) -> Vec<(String, String)> {
        pairs([
            ("exporter.endpoint", "localhost:4317"),
            ("exporter.protocol", "udp"),
            ("exporter.timeout", "0"),
            ("exporter.compression", "zip"),
            ("exporter.headers.authorization", "secret\nheader"),
            ("exporter.headers", "secret without a colon"),
            ("batch.bytes", "17 mb"),
            ("retry.timeout", "for ever"),
        ])
    }

    fn behave(&self, behavior: Behavior) -> bool {
        // The last attempt before a deadline may still be in flight.
        self.collector.cut_connections();
        match behavior {
            Behavior::Take => self.collector.respond_by(|_| Default::default()),
            Behavior::BeAway => self.collector.respond_by(|_| HttpResponse::new(503).into()),
            Behavior::Refuse => self.collector.respond_by(|_| HttpResponse::new(400).into()),
            _ => return false,
        }
        true
    }
}

#[test]
fn reporters_conform() {
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    for protocol in ["grpc", "http", "http/json"] {
        let suite =
            |path| Conformance::new(move || Collector { protocol, path, collector: OtlpCollector::start().unwrap() });
        suite("/v1/traces").check_traces(registry.trace(TRACE_FACTORY).unwrap()).unwrap();
        suite("/v1/logs").check_events(registry.event(EVENT_FACTORY).unwrap()).unwrap();
    }
}
