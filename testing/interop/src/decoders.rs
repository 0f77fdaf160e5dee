//! `cargo interop decoders`: our output, read by decoders and a collector of other projects.
//!
//! A recorded session of a real cluster is played once for each protocol and compression, to each
//! receiver ([`crate::peers`]). Each must find the same records as our own collector, field by
//! field.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::{OtlpCollector, ReceivedRequest};
use harness::RECORDING;
use serde_json::Value;

use crate::peers::{Peers, Rotel};
use crate::player::Program;
use crate::{PROTOCOLS, Setup};

/// The time limit for the last record at a receiver that forwards.
const PATIENCE: Duration = Duration::from_secs(30);
const COMPRESSIONS: [&str; 2] = ["none", "gzip"];

/// Records as plain JSON, sorted, because requests overtake each other.
type Records = Vec<Value>;

/// Plays the session in every protocol to each receiver. The first difference ends the run.
pub(crate) fn run(setup: &Setup) -> Result<()> {
    let peers = Peers::prepare(&setup.target)?;
    let recording = setup.root.join(RECORDING);
    let play = || Program::play(&setup.binary, &recording, &setup.folder);
    let send = |endpoint: &str, protocol: &str, compression: &str| {
        play().to(endpoint, protocol).otlp("exporter.compression", compression).run()
    };
    let mut expected: Option<Records> = None;
    for (protocol, encoding) in PROTOCOLS {
        for compression in COMPRESSIONS {
            let way = format!("{protocol}, {compression}");
            let ours = OtlpCollector::start()?;
            send(&ours.grpc_endpoint(), protocol, compression)?;
            let is_as_asked =
                |request: &ReceivedRequest| request.encoding == encoding && request.gzip == (compression == "gzip");
            ensure!(ours.requests().iter().all(is_as_asked), "{way}: sent in another encoding");
            let found = of_collector(&ours);
            let expected = expected.get_or_insert_with(|| found.clone());
            compare(&way, "our collector", expected, found)?;

            let python = peers.start_decoder()?;
            send(&python.endpoint(encoding), protocol, compression)?;
            compare(&way, "Python's opentelemetry-proto", expected, sorted(python.finish()?))?;

            let behind = OtlpCollector::start()?;
            let rotel = Rotel::start(&peers, &behind.grpc_endpoint(), &setup.folder)?;
            send(&rotel.endpoint(encoding), protocol, compression)?;
            let total = expected.len();
            behind.wait_until(PATIENCE, |behind| behind.spans().len() + behind.events().len() >= total);
            compare(&way, "rotel", expected, of_collector(&behind))?;
        }
    }
    let expected = expected.unwrap_or_default();
    let files = play().write(&setup.folder)?;
    compare("OTLP/JSON files", "Python's opentelemetry-proto", &expected, sorted(peers.read_files(&files)?))?;
    println!("the same everywhere: {}", inventory(&expected)?);
    Ok(())
}

fn of_collector(collector: &OtlpCollector) -> Records {
    let spans = collector.spans().into_iter().map(|span| span.plain());
    sorted(spans.chain(collector.events().iter().map(|log| log.plain())).collect())
}

fn sorted(mut records: Records) -> Records {
    records.sort_by_cached_key(Value::to_string);
    records
}

/// Counts the records of each kind. A kind without records would prove nothing.
fn inventory(records: &Records) -> Result<String> {
    let is_span = |record: &Value| record.get("startTimeUnixNano").is_some();
    let text = |record: &Value, field: &str| record[field].as_str().is_some_and(|text| !text.is_empty());
    let has_link = |record: &Value| record["links"].as_array().is_some_and(|links| !links.is_empty());
    let count = |is_of: &dyn Fn(&Value) -> bool| records.iter().filter(|record| is_of(record)).count();
    let counts = [
        (count(&is_span), "spans"),
        (count(&|record| text(record, "parentSpanId")), "with a parent"),
        (count(&has_link), "with a link"),
        (count(&|record| is_span(record) && record["status"][0] == 2 && record["status"][1] != ""), "with an error"),
        (count(&|record| text(record, "eventName") && record["severityNumber"] != 0), "events"),
    ];
    ensure!(counts.iter().all(|(count, _)| *count > 0), "the session shows too little: {counts:?}");
    Ok(counts.map(|(count, kind)| format!("{count} {kind}")).join(", "))
}

/// Reports that a receiver found the expected records, or the records and fields that differ.
fn compare(way: &str, receiver: &str, expected: &Records, found: Records) -> Result<()> {
    if *expected == found {
        println!("{way}: {receiver} found the same {} records", found.len());
        return Ok(());
    }
    let fields = fields_that_differ(expected, &found);
    let first = expected.iter().zip(&found).find(|(expected, found)| expected != found);
    let first = first.map(|(expected, found)| format!("\n{expected}\n{found}")).unwrap_or_default();
    let (expected, found) = (expected.len(), found.len());
    Err(anyhow::anyhow!("expected {expected} records, found {found}; fields that differ: {fields:?}{first}"))
        .with_context(|| format!("{way}: {receiver}"))
}

/// Counts the differing records of each field, comparing records at the same position.
fn fields_that_differ(expected: &Records, found: &Records) -> BTreeMap<String, usize> {
    let mut fields = BTreeMap::new();
    for (expected, found) in expected.iter().zip(found) {
        let Some(all) = expected.as_object() else { continue };
        for (field, _) in all.iter().filter(|(field, value)| found.get(field.as_str()) != Some(*value)) {
            *fields.entry(field.clone()).or_default() += 1;
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn difference_names_its_fields() {
        let record = |name: &str, flags: u32| json!({"name": name, "flags": flags});
        let expected = sorted(vec![record("b", 0), record("a", 0)]);
        assert!(compare("w", "r", &expected, sorted(vec![record("a", 0), record("b", 0)])).is_ok());
        for (found, expected_error) in [
            (vec![record("a", 0), record("b", 1)], r#"expected 2 records, found 2; fields that differ: {"flags": 1}"#),
            (vec![record("a", 0)], "expected 2 records, found 1; fields that differ: {}"),
        ] {
            let error = compare("w", "r", &expected, sorted(found)).unwrap_err();
            assert!(error.root_cause().to_string().starts_with(expected_error), "{error:#}");
        }
    }
}
