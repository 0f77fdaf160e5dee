//! `cargo interop backends`: Jaeger and VictoriaLogs, behind an OpenTelemetry Collector.
//!
//! Both must have every record, and show it without a complaint.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use flink_traces_testkit::OtlpCollector;
use harness::{Collector, Jaeger, VictoriaLogs, add_exporter, build_collector, exporter_to};
use serde_json::Value;

use crate::Setup;
use crate::player::Program;
use crate::records::Session;

/// The time until a query finds the last record.
const VISIBLE: Duration = Duration::from_secs(60);

pub(crate) fn run(setup: &Setup) -> Result<()> {
    let program = build_collector()?;
    let [jaeger, victoria_logs] = [Jaeger::build()?, VictoriaLogs::build()?];
    for session in setup.sessions() {
        let session = session?;
        let jaeger = Jaeger::start(&jaeger, &setup.folder)?;
        let victoria_logs = VictoriaLogs::start(&victoria_logs, &setup.folder)?;
        let behind = OtlpCollector::start()?;
        let collector =
            Collector::start(&program, &setup.folder, "collector", &behind.grpc_endpoint(), |configuration| {
                add_exporter(configuration, "otlp_grpc/jaeger", exporter_to(&jaeger.grpc_endpoint()), &["traces"]);
                add_exporter(configuration, "otlp_http/victorialogs", victoria_logs.exporter(), &["logs"]);
            })?;
        let play = Program::play(&setup.binary, &session.recording, &setup.folder);
        play.to(&collector.grpc_endpoint(), "grpc").run()?;
        session.compare(&behind, |_| false)?;
        let name = session.name;
        let spans = compare_spans(&jaeger, &session).with_context(|| format!("{name}: Jaeger"))?;
        println!("{name}: Jaeger has {spans}");
        let events = compare_events(&victoria_logs, &session).with_context(|| format!("{name}: VictoriaLogs"))?;
        println!("{name}: VictoriaLogs has the same {events} events, each with its message");
    }
    Ok(())
}

/// Expects the spans of a session, each with its parent and links and without a warning.
fn compare_spans(jaeger: &Jaeger, session: &Session) -> Result<String> {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut traces: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for span in session.reference.spans() {
        let plain = span.plain();
        let links = plain["links"].as_array().map_or(0, Vec::len);
        let references = links + usize::from(!span.parent_span_id().is_empty());
        let text = format!("{} with {references} references", span.name());
        traces.entry(hex(span.trace_id())).or_default().insert((hex(span.span_id()), text));
    }
    let mut count = 0;
    for (trace, expected) in &traces {
        let end = Instant::now() + VISIBLE;
        let found = loop {
            let found = spans_of(jaeger, trace)?;
            if found.len() >= expected.len() || Instant::now() > end {
                break found;
            }
            sleep(Duration::from_millis(200));
        };
        ensure!(found == *expected, "trace {trace}: expected {} spans, found {}", expected.len(), found.len());
        count += found.len();
    }
    Ok(format!("the same {count} spans in {} traces, none with a warning", traces.len()))
}

/// Returns the ids, names and numbers of references of a trace's spans.
fn spans_of(jaeger: &Jaeger, trace: &str) -> Result<BTreeSet<(String, String)>> {
    let spans = jaeger.spans(trace)?;
    let mut all = BTreeSet::new();
    for span in &spans {
        ensure!(span["warnings"].as_array().is_none_or(Vec::is_empty), "a warning: {span}");
        let references = span["references"].as_array().map_or(0, Vec::len);
        let name = format!("{} with {references} references", text(&span["operationName"]));
        all.insert((text(&span["spanID"]), name));
    }
    ensure!(all.len() == spans.len(), "trace {trace} has spans twice");
    Ok(all)
}

/// Expects the events of a session, each with its body as the message.
fn compare_events(victoria_logs: &VictoriaLogs, session: &Session) -> Result<usize> {
    let events = session.reference.events();
    let mut expected: Vec<_> = events
        .iter()
        .map(|event| {
            let uid = event.attributes().get("log.record.uid").map(text).unwrap_or_default();
            (uid, text(&event.body()))
        })
        .collect();
    expected.sort_unstable();
    let end = Instant::now() + VISIBLE;
    loop {
        let records = victoria_logs.records()?;
        let mut found: Vec<_> =
            records.iter().map(|line| (text(&line["log.record.uid"]), text(&line["_msg"]))).collect();
        found.sort_unstable();
        if found == expected {
            return Ok(found.len());
        }
        if Instant::now() > end {
            let difference = expected.iter().zip(&found).find(|(expected, found)| expected != found);
            bail!("expected {} events, found {}; {difference:?}", expected.len(), found.len());
        }
        sleep(Duration::from_millis(500));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
