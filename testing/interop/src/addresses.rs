//! `cargo interop addresses`: mistakes in the address of an OpenTelemetry Collector.
//!
//! None may reject a record, and each must be explained within ten seconds. Without a protocol, the
//! ports for gRPC and for HTTP both get everything.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::OtlpCollector;
use harness::{Collector, RECORDING, build_collector};
use serde_json::json;

use crate::Setup;
use crate::player::{PATIENCE, Program};
use crate::tls::Certificates;

/// The time until the log names the remedy.
const EXPLAINED: Duration = Duration::from_secs(10);
/// The value of `retry.timeout`.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);
/// The exit codes of `check` without a destination, and of a command that lost records.
const UNAVAILABLE: i32 = 69;
const LOST: i32 = 1;

/// An address that is almost right.
struct Mistake {
    name: &'static str,
    endpoint: String,
    protocol: &'static str,
    /// The text that must explain it.
    explanation: &'static str,
    /// `true` if the Collector responds, so that the records wait for another configuration.
    is_answered: bool,
}

pub(crate) fn run(setup: &Setup) -> Result<()> {
    let program = build_collector()?;
    let certificates = Certificates::create(&setup.folder)?;
    let behind = OtlpCollector::start()?;
    let (folder, destination) = (&setup.folder, behind.grpc_endpoint());
    let plain = Collector::start(&program, folder, "plain", &destination, |_| {})?;
    let tls = Collector::start(&program, folder, "tls", &destination, |configuration| {
        let files =
            json!({"cert_file": certificates.text("localhost.pem"), "key_file": certificates.text("localhost.key")});
        for protocol in ["grpc", "http"] {
            configuration["receivers"]["otlp"]["protocols"][protocol]["tls"] = files.clone();
        }
    })?;
    let files = Program::play(&setup.binary, &setup.root.join(RECORDING), folder).write(folder)?;
    for mistake in mistakes(&plain, &tls) {
        let name = mistake.name;
        check(setup, &mistake).with_context(|| format!("{name}: check"))?;
        let took = send(setup, &mistake, &files).with_context(|| format!("{name}: send"))?;
        ensure!(behind.requests().is_empty(), "{name}: a request arrived");
        println!("{name}: explained after {:.1} s, nothing rejected", took.as_secs_f64());
    }
    for endpoint in [plain.grpc_endpoint(), plain.http_endpoint()] {
        let before = behind.spans().len() + behind.events().len();
        send_files(setup, &files).to(&endpoint, "auto").run().with_context(|| endpoint.clone())?;
        let found = behind.spans().len() + behind.events().len() - before;
        println!("{endpoint}, without a protocol: {found} records arrived");
    }
    Ok(())
}

fn send_files(setup: &Setup, files: &[PathBuf]) -> Program {
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    Program::send(&setup.binary, &paths, &setup.folder)
}

fn mistakes(plain: &Collector, tls: &Collector) -> [Mistake; 6] {
    let mistake = |name, endpoint: String, protocol, explanation, is_answered| Mistake {
        name,
        endpoint,
        protocol,
        explanation,
        is_answered,
    };
    let (expects_tls, is_http, is_grpc) = ("this port expects TLS", "this port speaks HTTP/1", "this port speaks gRPC");
    let no_path = "no OTLP receiver at this path";
    [
        mistake("plain HTTP to a port with TLS", tls.http_endpoint(), "http", expects_tls, true),
        mistake("another path", format!("{}/spans", plain.http_endpoint()), "http", no_path, true),
        mistake("gRPC to the HTTP port", plain.http_endpoint(), "grpc", is_http, false),
        mistake("HTTP to the gRPC port", plain.grpc_endpoint(), "http", is_grpc, false),
        mistake("plain gRPC to a port with TLS", tls.grpc_endpoint(), "grpc", expects_tls, false),
        mistake(
            "TLS to a port without",
            plain.grpc_endpoint().replace("http://", "https://"),
            "grpc",
            "this port has no TLS",
            false,
        ),
    ]
}

/// Expects `check` to fail and to explain the mistake.
fn check(setup: &Setup, mistake: &Mistake) -> Result<()> {
    let Mistake { endpoint, protocol, explanation, .. } = mistake;
    let mut check = Command::new(&setup.binary);
    check.args(["check", "--otlp", endpoint]).stdin(Stdio::null());
    for signal in ["traces", "events"] {
        check.args(["-D", &format!("{signal}.reporter.otlp.exporter.protocol={protocol}")]);
    }
    let output = check.output().context("cannot start flink-traces")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let explained = text.lines().filter(|line| line.contains("FAILED") && line.contains(explanation)).count();
    ensure!(output.status.code() == Some(UNAVAILABLE), "expected exit code {UNAVAILABLE}: {}\n{text}", output.status);
    ensure!(explained == 2, "expected {explanation:?} for both signals:\n{text}");
    Ok(())
}

/// Sends files, and returns the time until the log explains the mistake.
fn send(setup: &Setup, mistake: &Mistake, files: &[PathBuf]) -> Result<Duration> {
    let letters = setup.folder.join("dead-letters");
    let program = send_files(setup, files).to(&mistake.endpoint, mistake.protocol);
    let program = program.otlp("retry.timeout", &format!("{} s", RETRY_TIMEOUT.as_secs()));
    let program = program.otlp("dead-letter.directory", &letters.display().to_string());
    let start = Instant::now();
    let mut running = program.option("flink-traces.shutdown-timeout", "1 s").start()?;
    running.wait_for(mistake.explanation, EXPLAINED)?;
    let took = start.elapsed();
    if mistake.is_answered {
        // A refusal of every request ignores `retry.timeout`, because the records are not at fault.
        sleep((RETRY_TIMEOUT + Duration::from_secs(5)).saturating_sub(start.elapsed()));
        ensure!(running.is_running()?, "the records did not wait");
        running.terminate()?;
    }
    let status = running.wait(PATIENCE)?;
    let log = running.log()?;
    ensure!(status.code() == Some(LOST), "expected exit code {LOST}: {status}");
    ensure!(mistake.is_answered || start.elapsed() >= RETRY_TIMEOUT, "given up before the end of retry.timeout");
    let accounts: Vec<_> = log.lines().filter(|line| line.contains(" read = ")).collect();
    ensure!(accounts.len() == 2, "expected two accounts:\n{log}");
    let is_dropped = |account: &&str| account.contains("= 0 delivered + 0 rejected + ");
    ensure!(accounts.iter().all(is_dropped), "expected only dropped records: {accounts:?}");
    let is_empty = !letters.exists() || letters.read_dir()?.next().is_none();
    ensure!(is_empty, "a record became a dead letter");
    Ok(took)
}
