//! `cargo interop`: the output of `flink-traces`, read by decoders and a collector of other
//! projects.
//!
//! A recorded session of a real cluster is played once for each protocol and compression, to each
//! receiver ([`peers`]). Each must find the same records as our own collector, field by field.

#![allow(clippy::print_stdout, reason = "a command line program prints its results")]

mod peers;

use std::collections::BTreeMap;
use std::fs::{File, remove_dir_all};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::{Encoding, OtlpCollector, ReceivedRequest};
use serde_json::Value;

use clap::Parser;
use harness::{Prerequisites, RECORDING, build, recreate, run, workspace_root};
use peers::{Peers, Rotel};

/// The time limit for the last record at a receiver that forwards.
const PATIENCE: Duration = Duration::from_secs(30);
/// The values of `exporter.protocol`, and the encodings in which they arrive.
const PROTOCOLS: [(&str, Encoding); 3] =
    [("grpc", Encoding::Grpc), ("http/protobuf", Encoding::HttpProtobuf), ("http/json", Encoding::HttpJson)];
const COMPRESSIONS: [&str; 2] = ["none", "gzip"];

/// Records as plain JSON, sorted, because requests overtake each other.
type Records = Vec<Value>;

/// Plays a recorded session in every protocol to receivers of other projects, and compares what
/// they decode.
///
/// The first receiver that finds a difference ends the run.
#[derive(Debug, Parser)]
#[command(name = "interop", bin_name = "cargo interop")]
struct Arguments {}

fn main() -> Result<()> {
    let Arguments {} = Arguments::parse();
    Prerequisites::new("testing/interop/README.md").linux().python_module("venv").python_module("ensurepip").check()?;
    let root = workspace_root()?;
    let folder = root.join("target/interop");
    let peers = Peers::prepare(&folder)?;
    let session = folder.join("session");
    recreate(&session)?;
    let player = Player { binary: build("flink-traces")?, recording: root.join(RECORDING), folder: session.clone() };
    let mut expected: Option<Records> = None;
    for (protocol, encoding) in PROTOCOLS {
        for compression in COMPRESSIONS {
            let way = format!("{protocol}, {compression}");
            let ours = OtlpCollector::start()?;
            player.send(&ours.grpc_endpoint(), protocol, compression)?;
            let is_as_asked =
                |request: &ReceivedRequest| request.encoding == encoding && request.gzip == (compression == "gzip");
            ensure!(ours.requests().iter().all(is_as_asked), "{way}: sent in another encoding");
            let found = of_collector(&ours);
            let expected = expected.get_or_insert_with(|| found.clone());
            compare(&way, "our collector", expected, found)?;

            let python = peers.start_decoder()?;
            player.send(&python.endpoint(encoding), protocol, compression)?;
            compare(&way, "Python's opentelemetry-proto", expected, sorted(python.finish()?))?;

            let behind = OtlpCollector::start()?;
            let rotel = Rotel::start(&peers, &behind.grpc_endpoint(), &session)?;
            player.send(&rotel.endpoint(encoding), protocol, compression)?;
            let total = expected.len();
            behind.wait_until(PATIENCE, |behind| behind.spans().len() + behind.events().len() >= total);
            compare(&way, "rotel", expected, of_collector(&behind))?;
        }
    }
    let expected = expected.unwrap_or_default();
    let files = player.write()?;
    compare("OTLP/JSON files", "Python's opentelemetry-proto", &expected, sorted(peers.read_files(&files)?))?;
    println!("the same everywhere: {}", inventory(&expected)?);
    remove_dir_all(&session)?;
    Ok(())
}

/// A `flink-traces play` of the recording.
struct Player {
    binary: PathBuf,
    recording: PathBuf,
    /// The folder for the log and the files.
    folder: PathBuf,
}

impl Player {
    /// Sends the session, which must be delivered completely.
    fn send(&self, endpoint: &str, protocol: &str, compression: &str) -> Result<()> {
        let of = |signal: &str, option: &str, value: &str| format!("{signal}.reporter.otlp.exporter.{option}={value}");
        let options = ["traces", "events"].into_iter().flat_map(|signal| {
            [of(signal, "protocol", protocol), of(signal, "endpoint", endpoint), of(signal, "compression", compression)]
        });
        self.play(["--otlp".to_owned(), endpoint.to_owned()].into_iter().chain(dynamic(options)))
    }

    /// Writes the session as OTLP/JSON, and returns the paths of the files.
    fn write(&self) -> Result<[PathBuf; 2]> {
        let options = ["traces", "events"].map(|signal| format!("{signal}.reporter.json.format=otlp"));
        self.play(["--json".to_owned(), self.folder.display().to_string()].into_iter().chain(dynamic(options)))?;
        Ok(["spans.jsonl", "events.jsonl"].map(|file| self.folder.join(file)))
    }

    fn play(&self, arguments: impl IntoIterator<Item = String>) -> Result<()> {
        let mut play = Command::new(&self.binary);
        play.args(["--log-level", "warn", "play"]).arg(&self.recording).arg("--quiet").args(arguments);
        play.args(dynamic(["traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK".to_owned()]));
        let log = self.folder.join("flink-traces.log");
        play.stdout(Stdio::null()).stderr(File::create(&log)?);
        run(&mut play).with_context(|| log.display().to_string())
    }
}

fn dynamic(options: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
    options.into_iter().flat_map(|option| ["-D".to_owned(), option])
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
