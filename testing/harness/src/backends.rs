//! Stores of traces and of logs, built from Go modules.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{ProcessGuard, free_ports, recreate, run, say, workspace_root};

/// The packages, with the versions that a run stands for.
const JAEGER: (&str, &str) = ("github.com/jaegertracing/jaeger/cmd/jaeger", "v1.76.0");
const VICTORIA_LOGS: (&str, &str) = ("github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs", "v1.52.1");
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A Jaeger that keeps its spans in memory.
#[derive(Debug)]
pub struct Jaeger {
    _process: ProcessGuard,
    otlp: u16,
    query: u16,
}

impl Jaeger {
    /// Builds Jaeger into `target/interop`, and returns the path of the program.
    ///
    /// # Errors
    ///
    /// Returns an error if Go is missing or the program does not compile.
    pub fn build() -> Result<PathBuf> {
        build(JAEGER)
    }

    /// Starts a Jaeger whose files are in `folder`.
    ///
    /// # Errors
    ///
    /// Returns an error if Jaeger does not listen after a minute.
    pub fn start(program: &Path, folder: &Path) -> Result<Self> {
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

    /// Returns the address for OTLP over gRPC.
    #[must_use]
    pub fn grpc_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.otlp)
    }

    /// Returns the spans of a trace in the JSON of the query API. An unknown trace has none.
    ///
    /// # Errors
    ///
    /// Returns an error if the response is not JSON.
    pub fn spans(&self, trace: &str) -> Result<Vec<Value>> {
        let Ok(text) = get(self.query, &format!("/api/traces/{trace}")) else { return Ok(Vec::new()) };
        let response: Value = serde_json::from_str(&text)?;
        Ok(response["data"][0]["spans"].as_array().cloned().unwrap_or_default())
    }
}

/// A VictoriaLogs with its files below the folder of the run.
#[derive(Debug)]
pub struct VictoriaLogs {
    _process: ProcessGuard,
    port: u16,
}

impl VictoriaLogs {
    /// Builds VictoriaLogs into `target/interop`, and returns the path of the program.
    ///
    /// # Errors
    ///
    /// Returns an error if Go is missing or the program does not compile.
    pub fn build() -> Result<PathBuf> {
        build(VICTORIA_LOGS)
    }

    /// Starts a VictoriaLogs without any records, whose files are in `folder`.
    ///
    /// # Errors
    ///
    /// Returns an error if VictoriaLogs does not listen after a minute.
    pub fn start(program: &Path, folder: &Path) -> Result<Self> {
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

    /// Returns an exporter of the Collector that sends logs here, without any queue.
    #[must_use]
    pub fn exporter(&self) -> Value {
        let url = format!("http://127.0.0.1:{}/insert/opentelemetry/v1/logs", self.port);
        let no = json!({"enabled": false});
        json!({"logs_endpoint": url, "sending_queue": no, "retry_on_failure": no})
    }

    /// Returns all records in the JSON of the query API.
    ///
    /// # Errors
    ///
    /// Returns an error if the query fails, or if its response is not JSON.
    pub fn records(&self) -> Result<Vec<Value>> {
        let response = get(self.port, "/select/logsql/query?query=*&limit=100000")?;
        Ok(response.lines().map(serde_json::from_str).collect::<serde_json::Result<_>>()?)
    }
}

/// Returns the body of a successful response of a server on loopback.
///
/// # Errors
///
/// Returns an error if the server does not respond, or with another status than 200.
pub fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    // HTTP/1.0 needs no more than the end of the stream.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").context("no HTTP response")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200 "), "{path}: {status}");
    Ok(body.to_owned())
}

/// Builds a program of another project in a module of its own, and returns its path.
fn build((package, version): (&str, &str)) -> Result<PathBuf> {
    let target = workspace_root()?.join("target/interop");
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
    run(go().args(["mod", "init", "judge"]))?;
    // The module of a program with replacements cannot be installed directly.
    run(go().args(["get", "-tool", &format!("{package}@{version}")]))?;
    run(go().args(["build", "-o"]).arg(&program).arg(package))?;
    Ok(program)
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
