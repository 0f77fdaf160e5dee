//! The receivers of other projects: Python's OpenTelemetry protocol, and the collector rotel.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use flink_traces_testkit::Encoding;
use serde_json::Value;

use harness::{ProcessGuard, free_ports, recreate, run, workspace_root};

/// The packages, with the versions that a run stands for.
const PACKAGES: [&str; 3] = ["grpcio==1.85.3", "opentelemetry-proto==1.45.2", "rotel==0.0.1a15"];
/// The interpreter of a Python environment.
pub(super) const PYTHON: &str = "bin/python";
const DECODER: &str = "testing/interop/decoder.py";
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns the folder of a Python environment `name` below `folder`. Installs the packages if they
/// are missing.
pub(super) fn environment(folder: &Path, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let environment = folder.join(name);
    let complete = environment.join(packages.join(" "));
    if !complete.exists() {
        recreate(&environment)?;
        println!("installing {}", packages.join(", "));
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        let mut pip = Command::new(environment.join(PYTHON));
        run(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages))?;
        fs::write(complete, "")?;
    }
    Ok(environment)
}

/// A Python environment with all packages.
#[derive(Debug)]
pub(super) struct Peers {
    environment: PathBuf,
    decoder: PathBuf,
}

impl Peers {
    /// Installs the packages below `folder` if they are missing.
    pub(super) fn prepare(folder: &Path) -> Result<Self> {
        let environment = environment(folder, "python", &PACKAGES)?;
        Ok(Self { environment, decoder: workspace_root()?.join(DECODER) })
    }

    /// Returns the records that Python's decoder finds in OTLP/JSON files.
    pub(super) fn read_files(&self, files: &[PathBuf]) -> Result<Vec<Value>> {
        let output = self.python().arg("read").args(files).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the decoder: {}", output.status);
        records(&String::from_utf8(output.stdout)?)
    }

    /// Starts a collector that consists of the decoder.
    pub(super) fn start_decoder(&self) -> Result<Decoder> {
        let mut process: ProcessGuard =
            self.python().arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?.into();
        let mut output = BufReader::new(process.stdout.take().context("no standard output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let ports = serde_json::from_str(&line).context("the decoder does not start")?;
        Ok(Decoder { process, output, ports })
    }

    fn python(&self) -> Command {
        let mut python = Command::new(self.environment.join(PYTHON));
        python.arg(&self.decoder);
        python
    }

    /// Returns the path of rotel's program in the packages of this Python.
    fn rotel(&self) -> Result<PathBuf> {
        for entry in fs::read_dir(self.environment.join("lib"))? {
            let program = entry?.path().join("site-packages/rotel/rotel-agent");
            if program.exists() {
                return Ok(program);
            }
        }
        bail!("the package rotel does not contain a program")
    }
}

/// Python's decoder as a collector.
pub(super) struct Decoder {
    process: ProcessGuard,
    output: BufReader<ChildStdout>,
    /// The ports for gRPC and HTTP.
    ports: [u16; 2],
}

impl Decoder {
    pub(super) fn endpoint(&self, encoding: Encoding) -> String {
        endpoint(self.ports, encoding)
    }

    /// Stops the collector, and returns the received records.
    pub(super) fn finish(mut self) -> Result<Vec<Value>> {
        drop(self.process.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "the decoder: {status}");
        records(&text)
    }
}

/// A collector that forwards everything.
pub(super) struct Rotel {
    _process: ProcessGuard,
    ports: [u16; 2],
}

impl Rotel {
    /// Starts rotel with its log below `folder`.
    pub(super) fn start(peers: &Peers, to: &str, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let ports = free_ports()?;
        let [grpc, http] = ports.map(|port| format!("127.0.0.1:{port}"));
        let log = fs::File::create(folder.join("rotel.log"))?;
        let process = Command::new(peers.rotel()?)
            .args(["start", "--otlp-grpc-endpoint", &grpc, "--otlp-http-endpoint", &http])
            .args(["--exporter", "otlp", "--otlp-exporter-endpoint", to])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start rotel")?;
        let rotel = Self { _process: process.into(), ports };
        let end = Instant::now() + START_TIMEOUT;
        while ports.iter().any(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err()) {
            ensure!(Instant::now() < end, "rotel does not start; its log is in {}", folder.display());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(rotel)
    }

    pub(super) fn endpoint(&self, encoding: Encoding) -> String {
        endpoint(self.ports, encoding)
    }
}

fn endpoint([grpc, http]: [u16; 2], encoding: Encoding) -> String {
    let port = if encoding == Encoding::Grpc { grpc } else { http };
    format!("http://127.0.0.1:{port}")
}

fn records(lines: &str) -> Result<Vec<Value>> {
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
