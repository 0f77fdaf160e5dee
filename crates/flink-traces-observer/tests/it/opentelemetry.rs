//! A recorded session, sent by our own sender and by OpenTelemetry's.

use std::sync::Arc;
use std::time::Duration;

use flink_traces_api::Registry;
use flink_traces_observer::Pipeline;
use flink_traces_observer::recording::RecordingReader;
use flink_traces_observer::replay::{ReplayClock, replay};
use flink_traces_otlp::{EVENT_FACTORY, TRACE_FACTORY};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::{Configuration, Dispatcher, discover};
use flink_traces_testkit::{OtlpCollector, ReceivedSpan};

/// Returns each span as text, sorted by id. Trace flags are removed: OpenTelemetry's sender sets
/// them, and ours does not.
fn spans(collector: &OtlpCollector) -> Vec<String> {
    let mut spans = collector.spans();
    spans.sort_by_key(|span| (span.trace_id().to_vec(), span.span_id().to_vec()));
    let text = |span: ReceivedSpan| {
        let mut plain = span.plain();
        plain["flags"] = 0.into();
        plain["links"].as_array_mut().unwrap().iter_mut().for_each(|link| link["flags"] = 0.into());
        plain.to_string()
    };
    spans.into_iter().map(text).collect()
}

/// Returns each event as text, sorted. The order of attributes has no meaning in OTLP.
fn logs(collector: &OtlpCollector) -> Vec<String> {
    let mut logs: Vec<_> = collector.events().iter().map(|event| event.plain().to_string()).collect();
    logs.sort();
    logs
}

#[test]
fn session_is_the_same_by_opentelemetry_sender() {
    let mut registry = Registry::new();
    flink_traces_otlp::register(&mut registry).unwrap();
    flink_traces_opentelemetry::register(&mut registry).unwrap();
    let collectors = [(); 2].map(|()| OtlpCollector::start().unwrap());
    let factories = [[TRACE_FACTORY, EVENT_FACTORY], [flink_traces_opentelemetry::FACTORY; 2]];
    let mut options = Vec::new();
    for (name, (collector, factories)) in ["ours", "theirs"].into_iter().zip(collectors.iter().zip(factories)) {
        for (signal, factory) in ["traces", "events"].into_iter().zip(factories) {
            let prefix = format!("{signal}.reporter.{name}");
            options.push(("-D", format!("{prefix}.factory.class={factory}")));
            options.push(("-D", format!("{prefix}.exporter.endpoint={}", collector.grpc_endpoint())));
            options.push(("-D", format!("{prefix}.service.name=a service")));
        }
    }
    let (configuration, problems) = Configuration::load(None, &options);
    assert!(problems.is_empty(), "{problems:?}");
    let (setups, problems) = discover(&configuration, &registry);
    assert!(problems.is_empty(), "{problems:?}");
    let clock = ReplayClock::default();
    let (dispatcher, problems) = Dispatcher::start(setups, &registry, Arc::new(clock.clone()), ".");
    assert!(problems.is_empty(), "{problems:?}");

    let mut pipeline =
        Pipeline::new(&dispatcher, "recording", "localhost", SpanDetailLevel::ChildrenSpansPerSubtask, []);
    let recording = RecordingReader::open(&crate::recording("flink-2.3.0-full.jsonl.gz")).unwrap();
    replay(recording, |now, outputs| {
        clock.set(now);
        outputs.iter().for_each(|output| pipeline.report(output));
    })
    .unwrap();
    let stats = dispatcher.shutdown(Duration::from_secs(60));
    for stats in &stats {
        assert!(stats.is_balanced() && stats.delivered == stats.emitted, "{stats}");
    }

    let [ours, theirs] = collectors.each_ref().map(spans);
    assert_eq!(ours, theirs);
    assert!(ours.len() > 1_000, "{}", ours.len());
    for text in ["\"links\":[{", "\"status\":[2,"] {
        assert!(ours.iter().any(|span| span.contains(text)), "{text}");
    }
    let [ours, theirs] = collectors.each_ref().map(logs);
    assert_eq!(ours, theirs);
    assert!(ours.len() > 100, "{}", ours.len());
}
