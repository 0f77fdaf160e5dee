//! The conformance suite with the exporters of `opentelemetry-otlp`.

use flink_traces_api::Registry;
use flink_traces_opentelemetry::{FACTORY, register};
use flink_traces_testkit::OtlpCollector;
use flink_traces_testkit::conformance::{Conformance, Destination, Received};

/// A collector that accepts every request.
///
/// An exporter does not distinguish a rejection from a failure, and it may continue to send after
/// the deadline. `exporters.rs` tests the behavior in these cases.
struct Collector(OtlpCollector);

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

impl Destination for Collector {
    fn options(&self) -> Vec<(String, String)> {
        vec![pair("exporter.endpoint", &self.0.grpc_endpoint())]
    }

    fn received(&self) -> Vec<Received> {
        let spans = self.0.spans().into_iter().map(Received::from);
        let logs = self.0.events().into_iter().map(|log| {
            let received = Received::from(log);
            // The SDK has no place for custom severities.
            Received { severity: received.severity.filter(|severity| !severity.is_empty()), ..received }
        });
        spans.chain(logs).collect()
    }

    fn wrong_options(&self) -> Vec<(String, String)> {
        vec![pair("exporter.endpoint", "not an address"), pair("exporter.timeout", "soon")]
    }
}

#[test]
fn reporters_conform() {
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    let suite = || Conformance::new(|| Collector(OtlpCollector::start().unwrap()));
    suite().check_traces(registry.trace(FACTORY).unwrap()).unwrap();
    suite().check_events(registry.event(FACTORY).unwrap()).unwrap();
}
