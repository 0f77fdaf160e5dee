//! `cargo interop faults`: an OpenTelemetry Collector that fails, refuses, or is strict.
//!
//! Each session must arrive completely. Only what was in a request without an answer when the
//! Collector was killed may arrive twice.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use flink_traces_testkit::OtlpCollector;
use harness::{Collector, build_collector};
use serde_json::{Value, json};

use crate::Setup;
use crate::player::{PATIENCE, Program, Running};
use crate::records::{Request, Session, accepted_requests};
use crate::tls::Certificates;

/// The requests of a signal that may be in flight at once.
const CONCURRENCY: usize = 4;
/// The time for which the Collector is away.
const AWAY: Duration = Duration::from_secs(1);
/// The time in which the last request of a killed Collector arrives.
const SETTLE: Duration = Duration::from_millis(300);
const TOKEN: &str = "0123456789abcdef";
/// The largest messages that the Collector takes, over gRPC and over HTTP.
const LARGEST_MESSAGE: [usize; 2] = [1 << 20, 300_000];

/// The behavior of a Collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// It is killed three times, and flink-traces keeps its records in memory.
    Kill,
    /// It is killed three times, and flink-traces has a spool.
    KillSpool,
    /// Its memory limiter refuses requests.
    Memory,
    /// It closes connections after 300 ms, or over HTTP after each response.
    Connections,
    /// It accepts only small messages.
    Messages,
    /// It requires a token, which flink-traces gets later.
    Token,
    /// It requires TLS with a client certificate, and gets compressed requests.
    Tls,
}

/// The files of a run.
struct Files {
    certificates: Certificates,
    /// The file with the token of `flink-traces`.
    token: PathBuf,
    spool: PathBuf,
}

/// Causes one fault, or all of them, in each session and over each protocol.
pub(crate) fn run(setup: &Setup, fault: Option<Fault>) -> Result<()> {
    let program = build_collector()?;
    let files = Files {
        certificates: Certificates::create(&setup.folder)?,
        token: setup.folder.join("token"),
        spool: setup.folder.join("spool"),
    };
    let faults = fault.map_or_else(|| Fault::value_variants().to_vec(), |fault| vec![fault]);
    for session in setup.sessions() {
        let session = session?;
        for fault in &faults {
            for (protocol, _) in session.protocols {
                let way = format!("{}, {}, {protocol}", session.name, fault.name());
                let behind = OtlpCollector::start()?;
                let endpoint = behind.grpc_endpoint();
                let configure = |configuration: &mut Value| fault.configure(configuration, &files);
                let mut collector = Collector::start(&program, &setup.folder, "collector", &endpoint, configure)?;
                let twice = fault.cause(setup, &session, protocol, &files, &mut collector, &behind);
                let (twice, all) = (twice.with_context(|| way.clone())?, session.len());
                println!("{way}: all {all} records arrived, {twice} of them twice");
            }
        }
    }
    Ok(())
}

impl Fault {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn configure(self, configuration: &mut Value, files: &Files) {
        let certificate = |name: &str| files.certificates.text(name);
        let both = |receiver: &mut Value, key: &str, value: Value| {
            for protocol in ["grpc", "http"] {
                receiver[protocol][key] = value.clone();
            }
        };
        let receiver = &mut configuration["receivers"]["otlp"]["protocols"];
        match self {
            Self::Kill | Self::KillSpool => {}
            Self::Memory => {
                let limiter = json!({"check_interval": "20ms", "limit_mib": 18, "spike_limit_mib": 4});
                configuration["processors"]["memory_limiter"] = limiter;
                for signal in ["traces", "logs"] {
                    configuration["service"]["pipelines"][signal]["processors"] = json!(["memory_limiter"]);
                }
            }
            Self::Connections => {
                receiver["grpc"]["keepalive"] = json!({"server_parameters": {"max_connection_age": "300ms"}});
                receiver["http"]["keep_alives_enabled"] = false.into();
            }
            Self::Messages => {
                receiver["grpc"]["max_recv_msg_size_mib"] = (LARGEST_MESSAGE[0] >> 20).into();
                receiver["http"]["max_request_body_size"] = LARGEST_MESSAGE[1].into();
            }
            Self::Token => {
                both(receiver, "auth", json!({"authenticator": "bearertokenauth"}));
                configuration["extensions"]["bearertokenauth"] = json!({"token": TOKEN});
                configuration["service"]["extensions"] = json!(["bearertokenauth"]);
            }
            Self::Tls => both(
                receiver,
                "tls",
                json!({
                    "cert_file": certificate("localhost.pem"),
                    "key_file": certificate("localhost.key"),
                    "client_ca_file": certificate("authority.pem"),
                }),
            ),
        }
    }

    fn options(self, play: Program, files: &Files) -> Program {
        let certificate = |name: &str| files.certificates.text(name);
        match self {
            Self::Kill | Self::Memory | Self::Connections | Self::Messages => play,
            Self::KillSpool => play.otlp("spool.directory", &files.spool.display().to_string()),
            Self::Token => play.otlp("exporter.bearer-token-file", &files.token.display().to_string()),
            Self::Tls => play
                .otlp("exporter.compression", "gzip")
                .otlp("exporter.ca-certificates", &certificate("authority.pem"))
                .otlp("exporter.client-certificate", &certificate("client.pem"))
                .otlp("exporter.client-key", &certificate("client.key")),
        }
    }

    /// Plays a session during the fault, and returns how many records arrived twice.
    fn cause(
        self,
        setup: &Setup,
        session: &Session,
        protocol: &str,
        files: &Files,
        collector: &mut Collector,
        behind: &OtlpCollector,
    ) -> Result<usize> {
        let is_grpc = protocol == "grpc";
        let endpoint = if is_grpc { collector.grpc_endpoint() } else { collector.http_endpoint() };
        let endpoint = match self {
            Self::Tls => endpoint.replace("http://127.0.0.1", "https://localhost"),
            _ => endpoint,
        };
        fs::write(&files.token, "another")?;
        let play = Program::play(&setup.binary, &session.recording, &setup.folder).to(&endpoint, protocol);
        let play = play.otlp("exporter.concurrency", &CONCURRENCY.to_string());
        let play = play.otlp("retry.initial-backoff", "100 ms").otlp("retry.max-backoff", "1 s");
        let is_small = session.len() < 10_000;
        let play = match self {
            Self::Messages => play.otlp("batch.bytes", "3 mb"),
            // Small sessions need small requests, so that faults happen between them.
            _ if is_small => play.otlp("batch.bytes", "20 kb"),
            _ => play,
        };
        let running = self.options(play, files).option("flink-traces.shutdown-timeout", "2 min").start()?;
        let mut kills = Vec::new();
        match self {
            Self::Kill | Self::KillSpool => kills = kill(session, collector, behind)?,
            Self::Token => hand_over_token(&running, behind, files)?,
            Self::Memory | Self::Connections | Self::Messages | Self::Tls => {}
        }
        running.finish()?;
        if !is_small && self == Self::Memory {
            let refused = collector.log()?.matches("Refusing data").count();
            ensure!(refused > 0, "the memory limiter refused nothing");
        }
        if !is_small && self == Self::Messages {
            let largest = behind.requests().iter().map(|request| request.message.len()).max().unwrap_or_default();
            let limit = LARGEST_MESSAGE[usize::from(!is_grpc)];
            ensure!(largest > limit / 3, "no message was near the limit of {limit} bytes: {largest}");
        }
        // Requests arrive in order, so those without an answer are the last ones before a kill.
        let was_unanswered = |request: &Request| {
            let of_signal = kills.iter().map(|kill: &[usize; 2]| kill[usize::from(request.has_spans)]);
            of_signal.into_iter().any(|end| (end.saturating_sub(CONCURRENCY)..end).contains(&request.position))
        };
        session.compare(behind, was_unanswered)
    }
}

/// Kills the Collector when parts of the session arrived, and returns how many requests of each
/// signal had arrived at each kill.
fn kill(session: &Session, collector: &mut Collector, behind: &OtlpCollector) -> Result<Vec<[usize; 2]>> {
    let mut kills = Vec::new();
    for quarter in 1..=3 {
        let enough = session.len() * quarter / 4;
        let arrived = |behind: &OtlpCollector| behind.requests().iter().map(|request| request.accepted).sum::<usize>();
        ensure!(behind.wait_until(PATIENCE, |behind| arrived(behind) >= enough), "{enough} records do not arrive");
        collector.kill();
        sleep(SETTLE);
        kills.push(accepted_requests(behind));
        sleep(AWAY);
        collector.restart()?;
    }
    Ok(kills)
}

/// Replaces the token after the Collector refused the first one.
fn hand_over_token(running: &Running, behind: &OtlpCollector, files: &Files) -> Result<()> {
    running.wait_for("credentials refused", PATIENCE)?;
    ensure!(behind.requests().is_empty(), "the Collector accepted a wrong token");
    fs::write(&files.token, TOKEN)?;
    Ok(())
}
