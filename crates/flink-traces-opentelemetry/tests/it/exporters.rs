//! Reporters with exporters that fail, hang and refuse to shut down.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flink_traces_api::{
    Compatibility, Deadline, Event, EventReporterFactory, Failure, Identity, ReportContext, ReportError, ReportedEvent,
    ReportedSpan, ReporterConfig, Span, SystemClock, TraceReporterFactory,
};
use flink_traces_opentelemetry::{LogExporterFactory, SpanExporterFactory};
use opentelemetry::trace::Status;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLogRecord};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// An exporter that records its input and fails on demand.
#[derive(Debug, Clone, Default)]
struct Destination {
    spans: Arc<Mutex<Vec<Vec<SpanData>>>>,
    logs: Arc<Mutex<Vec<Vec<SdkLogRecord>>>>,
    resource: Arc<Mutex<Vec<String>>>,
    closed: Arc<Mutex<bool>>,
    /// The batches that fail, counted from 0.
    failing: Vec<usize>,
    /// A deadline that the exporter sets before it hangs.
    ends: Option<Deadline>,
}

impl Destination {
    async fn answer(&self, batch: usize) -> OTelSdkResult {
        if let Some(deadline) = &self.ends {
            deadline.set(Instant::now());
            pending::<()>().await;
        }
        if self.failing.contains(&batch) {
            Err(OTelSdkError::InternalFailure(format!("no batch {batch}")))
        } else {
            Ok(())
        }
    }

    fn learn(&self, resource: &Resource) {
        self.resource.lock().unwrap().extend(resource.iter().map(|(key, value)| format!("{key}={value}")));
    }
}

impl SpanExporter for Destination {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let place = self.spans.lock().unwrap().len();
        self.spans.lock().unwrap().push(batch);
        self.answer(place).await
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.learn(resource);
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        *self.closed.lock().unwrap() = true;
        Err(OTelSdkError::AlreadyShutdown)
    }
}

impl LogExporter for Destination {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let place = self.logs.lock().unwrap().len();
        self.logs.lock().unwrap().push(batch.iter().map(|(record, _)| record.clone()).collect());
        self.answer(place).await
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.learn(resource);
    }
}

fn context() -> Arc<ReportContext> {
    let context = ReportContext::new(Compatibility::Standard);
    Arc::new(context.with_job_id("4711").with_variables([("<host>", "jm")]))
}

/// Returns a tree of that many spans with a root, children and grandchildren.
fn tree(spans: usize) -> ReportedSpan {
    let part = |number: usize| Span::builder("scope", format!("part {number}")).start_ts_millis(2).end_ts_millis(3);
    let parts = (0..(spans - 1) / 2).map(|number| part(number).child(part(number).attribute("deep", true)));
    let root = Span::builder("scope", "root")
        .start_ts_millis(1)
        .end_ts_millis(-1)
        .identity(Identity::of(&["this"]))
        .attribute("count", 7)
        .attribute("ratio", 0.5)
        .failure(Failure::new(9, "disk full".to_owned()))
        .link(Identity::of(&["before"]))
        .children(parts)
        .build(&SystemClock);
    let tree = ReportedSpan::new(Arc::new(root), context());
    assert_eq!(tree.span_count(), spans);
    tree
}

fn event(severity: &'static str) -> ReportedEvent {
    let event = Event::builder("", "Something").observed_ts_millis(5).severity(severity).body("text");
    ReportedEvent::new(Arc::new(event.build(&SystemClock)), 6, context())
}

fn report_spans(destination: &Destination, trees: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError> {
    let made = destination.clone();
    let factory = SpanExporterFactory::new(&[], move |_| Ok(made.clone()));
    let config = ReporterConfig::from_pairs("r", [("service.name", "mine")]);
    factory.create_trace_reporter(&config).unwrap().report(trees, deadline)
}

#[test]
fn tree_arrives_whole_with_parents_first() {
    let destination = Destination::default();
    report_spans(&destination, &[tree(2_001), tree(1)], &Deadline::unlimited()).unwrap();
    let batches = destination.spans.lock().unwrap();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [512, 512, 512, 466]);
    let spans: Vec<_> = batches.iter().flatten().collect();
    for (place, span) in spans.iter().enumerate() {
        let is_parent = |other: &&&SpanData| other.span_context.span_id() == span.parent_span_id;
        let is_root = span.name == "root";
        assert_eq!(spans[..place].iter().any(|other| is_parent(&other)), !is_root, "{place}: {}", span.name);
    }
    let root = spans[0];
    let attributes: Vec<_> = root.attributes.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
    assert_eq!(attributes, ["count=7", "ratio=0.5", "jobId=4711", "host=jm"]);
    assert_eq!((root.status.clone(), root.links.len()), (Status::error("disk full"), 1));
    let millis = |at: std::time::SystemTime| at.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert_eq!((millis(root.start_time), millis(root.end_time)), (1, 9));
    assert_eq!(root.instrumentation_scope.name(), "scope");
    assert!(destination.resource.lock().unwrap().contains(&"service.name=mine".to_owned()));
}

#[test]
fn failed_batches_are_counted_and_others_exported() {
    for (failing, lost) in [(vec![], 0), (vec![0], 512), (vec![1, 3], 512 + 465), (vec![0, 1, 2, 3], 2_001)] {
        let destination = Destination { failing, ..Destination::default() };
        let result = report_spans(&destination, &[tree(2_001)], &Deadline::unlimited());
        assert_eq!(destination.spans.lock().unwrap().len(), 4);
        let counted = result.as_ref().err().map_or((0, 0), |error| (error.dropped(), error.rejected()));
        assert_eq!(counted, (lost, 0));
        assert!(result.err().is_none_or(|error| error.is_retryable()));
    }
}

#[test]
fn hanging_exporter_stops_at_the_deadline() {
    let deadline = Deadline::unlimited();
    let destination = Destination { ends: Some(deadline.clone()), ..Destination::default() };
    let error = report_spans(&destination, &[tree(2_001)], &deadline).unwrap_err();
    assert_eq!(error.dropped(), 2_001);
    assert_eq!(destination.spans.lock().unwrap().len(), 1, "no batch is begun without time");
}

#[test]
fn shutdown_error_of_exporter_is_returned() {
    let destination = Destination::default();
    let made = destination.clone();
    let factory = SpanExporterFactory::new(&[], move |_| Ok(made.clone()));
    let reporter = factory.create_trace_reporter(&ReporterConfig::from_pairs("r", [])).unwrap();
    let error = reporter.close(&Deadline::unlimited()).unwrap_err();
    assert_eq!((error.dropped(), *destination.closed.lock().unwrap()), (0, true));
}

#[test]
fn events_have_all_fields_of_the_sdk() {
    let destination = Destination::default();
    let made = destination.clone();
    let factory = LogExporterFactory::new(&[], move |_| Ok(made.clone()));
    let mut reporter = factory.create_event_reporter(&ReporterConfig::from_pairs("r", [])).unwrap();
    let events: Vec<_> = ["WARN3", "free text"].iter().cycle().take(600).map(|severity| event(severity)).collect();
    reporter.report(&events, &Deadline::unlimited()).unwrap();
    let batches = destination.logs.lock().unwrap();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [512, 88]);
    let shown = |record: &SdkLogRecord| {
        let attributes: Vec<_> = record.attributes_iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        assert_eq!(record.timestamp(), record.observed_timestamp());
        (
            record.event_name(),
            record.severity_number().map(|severity| severity as u8),
            record.severity_text(),
            attributes,
        )
    };
    let attributes =
        ["name=String(Owned(\"Something\"))", "jobId=String(Owned(\"4711\"))", "host=String(Owned(\"jm\"))"];
    let (name, number, text, found) = shown(&batches[0][0]);
    assert_eq!((name, number, text), (Some("Something"), Some(15), Some("WARN3")));
    assert_eq!(found, attributes);
    // The SDK does not accept another text here.
    assert_eq!(shown(&batches[0][1]).2, None);
}
