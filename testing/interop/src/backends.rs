//! `cargo interop backends`: Jaeger and VictoriaLogs, behind an OpenTelemetry Collector.
//!
//! Both must have every record, and show it without a complaint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use flink_traces_testkit::OtlpCollector;
use harness::{Collector, ProcessGuard, build_collector, free_ports, recreate, run as run_to_end, say};
use serde_json::{Value, json};

use crate::Setup;
use crate::player::Program;
use crate::records::Session;

/// The packages, with the versions that a run stands for.
const JAEGER: (&str, &str) = ("github.com/jaegertracing/jaeger/cmd/jaeger", "v1.76.0");
const VICTORIA_LOGS: (&str, &str) = ("github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs", "v1.52.1");
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The time until a query finds the last record.
const VISIBLE: Duration = Duration::from_secs(60);

pub(crate) fn run(setup: &Setup) -> Result<()> {
    let program = build_collector()?;
    let [jaeger, victoria_logs] = [build(JAEGER, &setup.target)?, build(VICTORIA_LOGS, &setup.target)?];
    for session in setup.sessions() {
        let session = session?;
        let jaeger = Jaeger::start(&jaeger, &setup.folder)?;
        let victoria_logs = VictoriaLogs::start(&victoria_logs, &setup.folder)?;
        let behind = OtlpCollector::start()?;
        let collector =
            Collector::start(&program, &setup.folder, "collector", &behind.grpc_endpoint(), |configuration| {
                let exporters = &mut configuration["exporters"];
                let mut to_jaeger = exporters["otlp_grpc"].clone();
                to_jaeger["endpoint"] = format!("127.0.0.1:{}", jaeger.otlp).into();
                exporters["otlp_grpc/jaeger"] = to_jaeger;
                let url = format!("http://127.0.0.1:{}/insert/opentelemetry/v1/logs", victoria_logs.port);
                let no = json!({"enabled": false});
                let to_victoria_logs = json!({"logs_endpoint": url, "sending_queue": no, "retry_on_failure": no});
                exporters["otlp_http/victorialogs"] = to_victoria_logs;
                let pipelines = &mut configuration["service"]["pipelines"];
                pipelines["traces"]["exporters"] = json!(["otlp_grpc", "otlp_grpc/jaeger"]);
                pipelines["logs"]["exporters"] = json!(["otlp_grpc", "otlp_http/victorialogs"]);
            })?;
        let play = Program::play(&setup.binary, &session.recording, &setup.folder);
        play.to(&collector.grpc_endpoint(), "grpc").run()?;
        session.compare(&behind, |_| false)?;
        let name = session.name;
        let spans = jaeger.compare(&session).with_context(|| format!("{name}: Jaeger"))?;
        println!("{name}: Jaeger has {spans}");
        let events = victoria_logs.compare(&session).with_context(|| format!("{name}: VictoriaLogs"))?;
        println!("{name}: VictoriaLogs has the same {events} events, each with its message");
    }
    Ok(())
}

/// Builds a program of another project in a module of its own, and returns its path.
fn build((package, version): (&str, &str), target: &Path) -> Result<PathBuf> {
    let name = package.rsplit('/').next().unwrap_or(package);
    let program = target.join(format!("{name}-{version}"));
    if program.exists() {
        return Ok(program);
    }
    say(&format!("building {name} {version}"));
    let module = target.join(format!("{name}-module"));
    recreate(&module)?;
    let go = || {
        let mut go = Command::new("go");
        go.current_dir(&module);
        go
    };
    run_to_end(go().args(["mod", "init", "judge"]))?;
    // The module of a program with replacements cannot be installed directly.
    run_to_end(go().args(["get", "-tool", &format!("{package}@{version}")]))?;
    run_to_end(go().args(["build", "-o"]).arg(&program).arg(package))?;
    Ok(program)
}

/// A Jaeger that keeps its spans in memory.
struct Jaeger {
    _process: ProcessGuard,
    otlp: u16,
    query: u16,
}

impl Jaeger {
    fn start(program: &Path, folder: &Path) -> Result<Self> {
        let [otlp, query] = free_ports()?;
        let [query_grpc, _] = free_ports()?;
        let address = |port: u16| json!({"endpoint": format!("127.0.0.1:{port}")});
        let configuration = json!({
            "extensions": {
                "jaeger_storage": {"backends": {"spans": {"memory": {"max_traces": 100_000}}}},
                "jaeger_query": {"storage": {"traces": "spans"}, "http": address(query), "grpc": address(query_grpc)},
            },
            "receivers": {"otlp": {"protocols": {"grpc": address(otlp)}}},
            "exporters": {"jaeger_storage_exporter": {"trace_storage": "spans"}},
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query"],
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            },
        });
        let path = folder.join("jaeger.yaml");
        fs::write(&path, format!("{configuration:#}"))?;
        let process = start(Command::new(program).arg("--config").arg(path), folder, "jaeger")?;
        let jaeger = Self { _process: process, otlp, query };
        wait_for_ports(&[otlp, query])?;
        Ok(jaeger)
    }

    /// Expects the spans of a session, each with its parent and links and without a warning.
    fn compare(&self, session: &Session) -> Result<String> {
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
                let found = self.spans(trace)?;
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
    fn spans(&self, trace: &str) -> Result<BTreeSet<(String, String)>> {
        let Ok(text) = get(self.query, &format!("/api/traces/{trace}")) else { return Ok(BTreeSet::new()) };
        let response: Value = serde_json::from_str(&text)?;
        let spans = response["data"][0]["spans"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
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
}

/// A VictoriaLogs with its files below the folder of the run.
struct VictoriaLogs {
    _process: ProcessGuard,
    port: u16,
}

impl VictoriaLogs {
    fn start(program: &Path, folder: &Path) -> Result<Self> {
        let [port, _] = free_ports()?;
        let data = folder.join("victoria-logs");
        recreate(&data)?;
        let mut command = Command::new(program);
        command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
        command.arg(format!("-storageDataPath={}", data.display()));
        // A recorded session is older than the default of a week.
        command.arg("-retentionPeriod=100y");
        let victoria_logs = Self { _process: start(&mut command, folder, "victoria-logs")?, port };
        wait_for_ports(&[port])?;
        Ok(victoria_logs)
    }

    /// Expects the events of a session, each with its body as the message.
    fn compare(&self, session: &Session) -> Result<usize> {
        let events = session.reference.events();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
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
            let response = get(self.port, "/select/logsql/query?query=*&limit=100000")?;
            let lines = response.lines().map(serde_json::from_str::<Value>);
            let mut found: Vec<_> = lines
                .map(|line| line.map(|line| (text(&line["log.record.uid"]), text(&line["_msg"]))))
                .collect::<serde_json::Result<_>>()?;
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
}

fn start(command: &mut Command, folder: &Path, name: &str) -> Result<ProcessGuard> {
    let log = File::create(folder.join(format!("{name}.log")))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command.spawn().with_context(|| format!("cannot start {name}"))?.into())
}

fn wait_for_ports(ports: &[u16]) -> Result<()> {
    let end = Instant::now() + START_TIMEOUT;
    while ports.iter().any(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err()) {
        ensure!(Instant::now() < end, "no program listens on the ports {ports:?}");
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Returns the body of a successful response. HTTP/1.0 needs no more than the end of the stream.
fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").context("no HTTP response")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200 "), "{path}: {status}");
    Ok(body.to_owned())
}
