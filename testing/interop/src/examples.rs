//! `cargo interop examples`: the configurations of `examples/collector`, run as they are.
//!
//! Each runs in an OpenTelemetry Collector between the program and a collector of the test kit,
//! which must get exactly what the configuration passes on.

use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::{OtlpCollector, ReceivedEvent, ReceivedSpan};
use harness::{ProcessGuard, build_collector, free_ports};

use crate::Setup;
use crate::player::{PATIENCE, Program};

/// The severity number of warnings.
const WARN: i32 = 13;
/// The status code of a failed span in the plain form of the test kit.
const ERROR: i64 = 2;

/// The records that a configuration passes on.
struct Expected {
    file: &'static str,
    keeps_span: fn(&ReceivedSpan) -> bool,
    keeps_event: fn(&ReceivedEvent) -> bool,
    /// Checks a record by the host and the cluster of its attributes and of its resource.
    is_right: fn(host: Option<&str>, cluster: Option<&str>) -> bool,
}

const ANY: fn(Option<&str>, Option<&str>) -> bool = |_, _| true;

const EXAMPLES: [Expected; 5] = [
    Expected {
        file: "drop-subtasks.yaml",
        keeps_span: |span| span.name() != "Checkpoint_Subtask",
        keeps_event: |_| true,
        is_right: ANY,
    },
    Expected {
        file: "only-failures.yaml",
        keeps_span: |span| span.plain()["status"][0] == ERROR,
        keeps_event: |event| event.severity_number() >= WARN,
        is_right: ANY,
    },
    Expected { file: "batch.yaml", keeps_span: |_| true, keeps_event: |_| true, is_right: ANY },
    Expected {
        file: "redact-hosts.yaml",
        keeps_span: |_| true,
        keeps_event: |_| true,
        is_right: |host, _| host.is_none_or(|host| host.len() == 64),
    },
    Expected {
        file: "name-cluster.yaml",
        keeps_span: |_| true,
        keeps_event: |_| true,
        is_right: |_, cluster| cluster == Some("prod"),
    },
];

pub(crate) fn run(setup: &Setup) -> Result<()> {
    let program = build_collector()?;
    let session = setup.sessions().next().context("no session")??;
    let (spans, events) = (session.reference.spans(), session.reference.events());
    for example in &EXAMPLES {
        let file = example.file;
        let behind = OtlpCollector::start()?;
        let ports = free_ports()?;
        let _process = start(&program, setup, file, ports, &behind)?;
        let endpoint = format!("http://127.0.0.1:{}", ports[0]);
        Program::play(&setup.binary, &session.recording, &setup.folder).to(&endpoint, "grpc").run()?;
        let expected = (
            spans.iter().filter(|span| (example.keeps_span)(span)).count(),
            events.iter().filter(|event| (example.keeps_event)(event)).count(),
        );
        let end = Instant::now() + PATIENCE;
        let found = loop {
            let found = (behind.spans().len(), behind.events().len());
            // A batch arrives later.
            if found == expected || Instant::now() > end {
                break found;
            }
            sleep(Duration::from_millis(50));
        };
        ensure!(found == expected, "{file}: expected {expected:?} spans and events, found {found:?}");
        let of_spans =
            behind.spans().iter().map(|span| (span.attributes(), span.resource().clone())).collect::<Vec<_>>();
        let of_events =
            behind.events().iter().map(|event| (event.attributes(), event.resource().clone())).collect::<Vec<_>>();
        for (attributes, resource) in of_spans.iter().chain(&of_events) {
            let host = attributes.get("host").and_then(|host| host.as_str());
            let cluster = resource.get("flink.cluster.name").and_then(|cluster| cluster.as_str());
            ensure!((example.is_right)(host, cluster), "{file}: host {host:?}, cluster {cluster:?}");
        }
        println!("{file}: {} of {} spans, {} of {} events", found.0, spans.len(), found.1, events.len());
    }
    Ok(())
}

fn start(program: &Path, setup: &Setup, file: &str, ports: [u16; 2], behind: &OtlpCollector) -> Result<ProcessGuard> {
    let log = File::create(setup.folder.join(format!("{file}.log")))?;
    let address = |port: u16| format!("127.0.0.1:{port}");
    let mut command = Command::new(program);
    command.arg("--config").arg(setup.root.join("examples/collector").join(file));
    command.env("OTLP_GRPC", address(ports[0])).env("OTLP_HTTP", address(ports[1]));
    command.env("BACKEND", behind.address().to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let process = ProcessGuard::from(command.spawn().context("cannot start the Collector")?);
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).is_err() {
        ensure!(Instant::now() < end, "{file}: the Collector does not listen, see {file}.log");
        sleep(Duration::from_millis(50));
    }
    Ok(process)
}
