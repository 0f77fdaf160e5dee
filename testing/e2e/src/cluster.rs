//! A real Flink session cluster of one JobManager and one TaskManager, on loopback.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use harness::flink::Distribution;
use tokio::process::{Child, Command};

use crate::rest::Rest;

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The JVM options of Flink's start scripts that a DataStream job needs.
const JAVA_OPTIONS: &[&str] = &[
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.time=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
];

/// The options of every session. The sizes of memory are explicit because Flink's start scripts
/// would compute them. The TaskManager does not start without them.
const CONFIGURATION: &[(&str, &str)] = &[
    ("jobmanager.rpc.address", "127.0.0.1"),
    ("jobmanager.bind-host", "127.0.0.1"),
    ("rest.address", "127.0.0.1"),
    ("rest.bind-address", "127.0.0.1"),
    ("taskmanager.host", "127.0.0.1"),
    ("taskmanager.bind-host", "127.0.0.1"),
    ("taskmanager.numberOfTaskSlots", "2"),
    ("taskmanager.cpu.cores", "2"),
    ("taskmanager.memory.framework.heap.size", "64m"),
    ("taskmanager.memory.framework.off-heap.size", "64m"),
    ("taskmanager.memory.task.heap.size", "128m"),
    ("taskmanager.memory.task.off-heap.size", "0m"),
    ("taskmanager.memory.managed.size", "96m"),
    ("taskmanager.memory.network.min", "64m"),
    ("taskmanager.memory.network.max", "64m"),
    ("taskmanager.memory.jvm-metaspace.size", "192m"),
    ("taskmanager.memory.jvm-overhead.min", "64m"),
    ("taskmanager.memory.jvm-overhead.max", "64m"),
    ("state.backend.type", "rocksdb"),
    ("execution.checkpointing.interval", "1s"),
    ("execution.checkpointing.incremental", "true"),
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "3"),
    ("restart-strategy.fixed-delay.delay", "1s"),
];

/// Returns the options of a cluster that reports to the OTLP collector at `collector` over gRPC.
pub(crate) fn reporting_to(collector: &str) -> Vec<(&'static str, String)> {
    [
        ("traces.checkpoint.span-detail-level", "CHILDREN_SPANS_PER_SUBTASK"),
        ("traces.reporters", "otel"),
        ("traces.reporter.otel.factory.class", "org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory"),
        ("traces.reporter.otel.exporter.protocol", "grpc"),
        ("traces.reporter.otel.exporter.endpoint", collector),
        ("events.reporters", "otel"),
        ("events.reporter.otel.factory.class", "org.apache.flink.events.otel.OpenTelemetryEventReporterFactory"),
        ("events.reporter.otel.exporter.protocol", "grpc"),
        ("events.reporter.otel.exporter.endpoint", collector),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .into()
}

const LOGGING: &str = "\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c - %m%n
";

/// A JobManager and a TaskManager, which are killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    job_manager: Child,
    task_manager: Child,
    pub(crate) rest: Rest,
}

impl Cluster {
    /// Starts a cluster that keeps all its files in `folder`, and waits for its slots.
    pub(crate) async fn start(
        distribution: &Distribution,
        folder: &Path,
        options: &[(&'static str, String)],
    ) -> Result<Self> {
        let (rpc_port, rest_port) = free_ports()?;
        let configuration = folder.join("conf");
        fs::create_dir_all(&configuration)?;
        fs::create_dir_all(folder.join("tmp"))?;
        fs::write(configuration.join("config.yaml"), config_yaml(folder, options, rpc_port, rest_port))?;
        fs::write(configuration.join("log4j.properties"), LOGGING)?;

        let start = |name: &str, main_class: &str, memory: &[&str]| -> Result<Child> {
            java(distribution, folder, memory, main_class)
                .stdout(log_file(folder, name)?)
                .stderr(log_file(folder, name)?)
                .spawn()
                .context("cannot start java")
        };
        let mut cluster = Self {
            job_manager: start(
                "jobmanager",
                "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
                &["-Xmx400m"],
            )?,
            task_manager: start(
                "taskmanager",
                "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
                &["-Xmx192m", "-XX:MaxDirectMemorySize=256m"],
            )?,
            rest: Rest::new(SocketAddr::from((Ipv4Addr::LOCALHOST, rest_port)))?,
        };
        tokio::select! {
            slots = cluster.rest.wait_for_slots(START_TIMEOUT) => slots?,
            status = cluster.job_manager.wait() => bail!("the JobManager ended with {}", status?),
            status = cluster.task_manager.wait() => bail!("the TaskManager ended with {}", status?),
        }
        Ok(cluster)
    }

    /// Kills both processes and waits until they are gone.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.task_manager.kill().await?;
        self.job_manager.kill().await?;
        Ok(())
    }
}

fn java(distribution: &Distribution, folder: &Path, memory: &[&str], main_class: &str) -> Command {
    let configuration = folder.join("conf");
    let mut command = Command::new("java");
    command
        .args(memory)
        .args(JAVA_OPTIONS)
        .arg(format!("-Djava.io.tmpdir={}", folder.join("tmp").display()))
        .arg(format!("-Dlog4j.configurationFile={}", configuration.join("log4j.properties").display()))
        .arg("-cp")
        .arg(distribution.class_path())
        .arg(main_class)
        .arg("--configDir")
        .arg(&configuration)
        .env("FLINK_PLUGINS_DIR", distribution.plugins())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

fn config_yaml(folder: &Path, more: &[(&'static str, String)], rpc_port: u16, rest_port: u16) -> String {
    let file = |name: &str| format!("file://{}", folder.join(name).display());
    let mut options: BTreeMap<&str, String> =
        CONFIGURATION.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    options.extend([
        ("jobmanager.rpc.port", rpc_port.to_string()),
        ("rest.port", rest_port.to_string()),
        ("execution.checkpointing.dir", file("checkpoints")),
        ("execution.checkpointing.savepoint-dir", file("savepoints")),
    ]);
    options.extend(more.iter().cloned());
    options.iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
}

/// Opens a log for appending, so that several processes and streams can share it.
pub(crate) fn log_file(folder: &Path, name: &str) -> io::Result<File> {
    File::options().create(true).append(true).open(folder.join(format!("{name}.log")))
}

/// Returns two free ports, for programs that cannot choose them: the TaskManager must know the
/// JobManager's.
pub(crate) fn free_ports() -> io::Result<(u16, u16)> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // Both are held until both are chosen, so that they differ.
    let (first, second) = (listen()?, listen()?);
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}
