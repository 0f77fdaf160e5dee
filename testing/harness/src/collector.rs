//! A real OpenTelemetry Collector, built from Go modules.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{ProcessGuard, free_ports, run, say, workspace_root};

const SOURCES: &str = "testing/interop/collector";
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause between two checks of a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Builds the Collector into `target/interop`, and returns the path of the program.
///
/// The first build takes minutes and needs the network. Later ones find Go's cache.
///
/// # Errors
///
/// Returns an error if Go is missing or the program does not compile.
pub fn build_collector() -> Result<PathBuf> {
    let root = workspace_root()?;
    let program = root.join("target/interop/collector");
    if !program.exists() {
        say("building the OpenTelemetry Collector");
    }
    let mut build = Command::new("go");
    build.args(["build", "-buildvcs=false", "-o"]).arg(&program).arg(".").current_dir(root.join(SOURCES));
    run(&mut build)?;
    Ok(program)
}

/// A Collector that is killed when this is dropped, and can be started again on the same ports.
#[derive(Debug)]
pub struct Collector {
    binary: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
    /// The ports for gRPC and HTTP.
    ports: [u16; 2],
    process: Option<ProcessGuard>,
}

impl Collector {
    /// Starts a Collector whose files are in `folder` and begin with `name`.
    ///
    /// It passes each request on to the collector at `destination`, over gRPC, before it answers.
    /// So it acknowledges nothing that a kill would lose. `change` completes this configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the Collector does not listen after 30 seconds.
    pub fn start(
        binary: &Path,
        folder: &Path,
        name: &str,
        destination: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Self> {
        let ports = free_ports()?;
        let mut configuration = forwarding(ports, destination);
        change(&mut configuration);
        let path = folder.join(format!("{name}.yaml"));
        // YAML contains JSON.
        fs::write(&path, format!("{configuration:#}"))?;
        let log = folder.join(format!("{name}.log"));
        File::create(&log)?;
        let mut collector = Self { binary: binary.to_owned(), configuration: path, log, ports, process: None };
        collector.restart()?;
        collector.wait_until_ready()?;
        Ok(collector)
    }

    /// Returns the address for OTLP over gRPC.
    #[must_use]
    pub fn grpc_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Returns the address for OTLP over HTTP.
    #[must_use]
    pub fn http_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[1])
    }

    /// Kills the Collector as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the Collector after [`kill`](Self::kill), without waiting until it listens.
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        let log = File::options().append(true).open(&self.log)?;
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.configuration);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().context("cannot start the Collector")?.into());
        Ok(())
    }

    /// Returns everything that the Collector logged.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Waits until the Collector accepts connections on both ports.
    ///
    /// # Errors
    ///
    /// Returns an error if it ends, or does not listen after 30 seconds.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let end = Instant::now() + START_TIMEOUT;
        while self.ports.iter().any(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err()) {
            let ended = self.process.as_mut().context("the Collector was killed")?.try_wait()?;
            ensure!(ended.is_none() && Instant::now() < end, "the Collector does not start: {}", self.log.display());
            sleep(PAUSE);
        }
        Ok(())
    }
}

/// Returns an exporter without any queue, which waits for the response of the collector at
/// `destination`. It uses gRPC.
#[must_use]
pub fn exporter_to(destination: &str) -> Value {
    json!({
        "endpoint": destination.trim_start_matches("http://"),
        "tls": {"insecure": true},
        "compression": "none",
        "sending_queue": {"enabled": false},
        "retry_on_failure": {"enabled": false},
    })
}

/// Adds an exporter to pipelines of a configuration, behind those that they have.
pub fn add_exporter(configuration: &mut Value, name: &str, exporter: Value, pipelines: &[&str]) {
    configuration["exporters"][name] = exporter;
    for pipeline in pipelines {
        if let Some(exporters) = configuration["service"]["pipelines"][*pipeline]["exporters"].as_array_mut() {
            exporters.push(name.into());
        }
    }
}

/// Returns a configuration without any queue.
fn forwarding([grpc, http]: [u16; 2], destination: &str) -> Value {
    let pipeline = json!({"receivers": ["otlp"], "processors": [], "exporters": ["otlp_grpc"]});
    json!({
        "receivers": {"otlp": {"protocols": {
            "grpc": {"endpoint": format!("127.0.0.1:{grpc}")},
            "http": {"endpoint": format!("127.0.0.1:{http}")},
        }}},
        "processors": {},
        "exporters": {"otlp_grpc": exporter_to(destination)},
        "extensions": {},
        "service": {
            "extensions": [],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": pipeline, "logs": pipeline},
        },
    })
}
