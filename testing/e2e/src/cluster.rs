//! A real Flink cluster of one JobManager and one TaskManager, on loopback.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use harness::flink::Distribution;
use harness::free_ports;
use tokio::process::{Child, Command};

use crate::rest::Rest;

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The JVM options of Flink's start scripts that a DataStream job needs.
pub(crate) const JAVA_OPTIONS: &[&str] = &[
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.time=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
];

/// The key of a further JVM option, which Flink's start scripts would pass on.
pub(crate) const FURTHER_JAVA_OPTIONS: &str = "env.java.opts.all";

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
    // The same in Flink 1.19.
    ("state.backend.incremental", "true"),
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

/// The configuration of the log, which goes to standard output.
pub(crate) const LOGGING: &str = "\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c - %m%n
";

/// The way in which a cluster runs jobs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode<'a> {
    /// A session cluster.
    Session,
    /// A session cluster whose jobs survive the JobManager, with ZooKeeper beside it.
    HighAvailability,
    /// A cluster of one job, whose jar and arguments these are. It ends with the job.
    Application(&'a Path, &'a [&'a str]),
}

/// The processes of a cluster, which are killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    job_manager: Child,
    task_manager: Child,
    _zookeeper: Option<Child>,
    launcher: Launcher,
    pub(crate) rest: Rest,
}

impl Cluster {
    /// Starts a session cluster that keeps all its files in `folder`, and waits for its slots.
    pub(crate) async fn start(
        distribution: &Distribution,
        folder: &Path,
        options: &[(&'static str, String)],
    ) -> Result<Self> {
        Self::start_as(Mode::Session, distribution, &distribution.plugins(), folder, options).await
    }

    /// Starts a cluster with the plugins in the folder `plugins`. A session cluster is
    /// waited for until it has slots.
    pub(crate) async fn start_as(
        mode: Mode<'_>,
        distribution: &Distribution,
        plugins: &Path,
        folder: &Path,
        options: &[(&'static str, String)],
    ) -> Result<Self> {
        let [rpc_port, rest_port] = free_ports()?;
        let mut options = options.to_vec();
        let launcher = Launcher {
            folder: folder.to_owned(),
            class_path: distribution.class_path(),
            plugins: plugins.to_owned(),
            java_options: options
                .iter()
                .filter(|(key, _)| *key == FURTHER_JAVA_OPTIONS)
                .map(|(_, value)| value.clone())
                .collect(),
            job: match mode {
                Mode::Application(jar, arguments) => {
                    Some((jar.to_owned(), arguments.iter().map(|&argument| argument.to_owned()).collect()))
                }
                Mode::Session | Mode::HighAvailability => None,
            },
        };
        let configuration = folder.join("conf");
        fs::create_dir_all(&configuration)?;
        fs::create_dir_all(folder.join("tmp"))?;
        fs::write(configuration.join("log4j.properties"), LOGGING)?;
        let zookeeper = match mode {
            Mode::HighAvailability => {
                let [port, _] = free_ports()?;
                options.extend(high_availability(folder, port));
                Some(launcher.zookeeper(port)?)
            }
            Mode::Session | Mode::Application(..) => None,
        };
        fs::write(configuration.join("config.yaml"), config_yaml(folder, &options, rpc_port, rest_port))?;
        let mut cluster = Self {
            job_manager: launcher.job_manager()?,
            task_manager: launcher.task_manager()?,
            _zookeeper: zookeeper,
            launcher,
            rest: Rest::new(SocketAddr::from((Ipv4Addr::LOCALHOST, rest_port)))?,
        };
        if matches!(mode, Mode::Application(..)) {
            return Ok(cluster);
        }
        tokio::select! {
            slots = cluster.rest.wait_for_slots(START_TIMEOUT) => slots?,
            status = cluster.job_manager.wait() => bail!("the JobManager ended with {}", status?),
            status = cluster.task_manager.wait() => bail!("the TaskManager ended with {}", status?),
        }
        Ok(cluster)
    }

    /// Kills the JobManager and waits until it is gone.
    pub(crate) async fn kill_job_manager(&mut self) -> Result<()> {
        Ok(self.job_manager.kill().await?)
    }

    /// Starts the JobManager again after it was killed.
    pub(crate) fn restart_job_manager(&mut self) -> Result<()> {
        self.job_manager = self.launcher.job_manager()?;
        Ok(())
    }

    /// Kills the TaskManager, and starts another one after a pause.
    pub(crate) async fn restart_task_manager(&mut self, pause: Duration) -> Result<()> {
        self.task_manager.kill().await?;
        tokio::time::sleep(pause).await;
        self.task_manager = self.launcher.task_manager()?;
        Ok(())
    }

    /// Waits until the JobManager ends by itself, as that of an application does.
    pub(crate) async fn wait_for_end(&mut self, timeout: Duration) -> Result<()> {
        tokio::time::timeout(timeout, self.job_manager.wait()).await.context("the JobManager does not end")??;
        Ok(())
    }

    /// Ends all processes as a service manager does, the TaskManager first, and waits for their
    /// exits.
    pub(crate) async fn terminate(mut self, timeout: Duration) -> Result<()> {
        for process in [&mut self.task_manager, &mut self.job_manager] {
            let id = process.id().context("a process of Flink ended by itself")?;
            Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
            tokio::time::timeout(timeout, process.wait()).await.context("a process of Flink does not end")??;
        }
        Ok(())
    }

    /// Kills all processes and waits until Flink's are gone.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.task_manager.kill().await?;
        self.job_manager.kill().await?;
        Ok(())
    }
}

/// The parts of the command lines of a cluster's processes.
#[derive(Debug)]
struct Launcher {
    folder: PathBuf,
    class_path: PathBuf,
    plugins: PathBuf,
    /// The values of [`FURTHER_JAVA_OPTIONS`].
    java_options: Vec<String>,
    /// The jar and the arguments of an application's job.
    job: Option<(PathBuf, Vec<String>)>,
}

impl Launcher {
    fn job_manager(&self) -> Result<Child> {
        let memory = ["-Xmx400m"];
        match &self.job {
            None => {
                let class = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint";
                self.flink("jobmanager", &memory, class, &[])
            }
            Some((_, arguments)) => {
                let class = "org.apache.flink.container.entrypoint.StandaloneApplicationClusterEntryPoint";
                let job = ["--job-classname".to_owned(), "StreamingJob".to_owned()];
                self.flink("jobmanager", &memory, class, &[&job[..], arguments].concat())
            }
        }
    }

    fn task_manager(&self) -> Result<Child> {
        let class = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner";
        self.flink("taskmanager", &["-Xmx192m", "-XX:MaxDirectMemorySize=256m"], class, &[])
    }

    fn flink(&self, name: &str, memory: &[&str], class: &str, arguments: &[String]) -> Result<Child> {
        let options: Vec<_> = memory.iter().copied().chain(self.java_options.iter().map(String::as_str)).collect();
        let mut command = self.java(name, &options, class)?;
        command.arg("--configDir").arg(self.folder.join("conf")).args(arguments);
        command.env("FLINK_PLUGINS_DIR", &self.plugins).env("FLINK_CONF_DIR", self.folder.join("conf"));
        command.spawn().context("cannot start java")
    }

    /// Starts the ZooKeeper server that Flink's distribution contains.
    fn zookeeper(&self, port: u16) -> Result<Child> {
        let configuration = self.folder.join("conf/zoo.cfg");
        let data = self.folder.join("zookeeper");
        fs::write(
            &configuration,
            format!(
                "tickTime=2000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
                data.display()
            ),
        )?;
        let class = "org.apache.flink.shaded.zookeeper3.org.apache.zookeeper.server.ZooKeeperServerMain";
        self.java("zookeeper", &["-Xmx64m"], class)?.arg(configuration).spawn().context("cannot start java")
    }

    fn java(&self, name: &str, memory: &[&str], class: &str) -> Result<Command> {
        let mut class_path = self.class_path.clone().into_os_string();
        if let Some((jar, _)) = &self.job {
            class_path.push(":");
            class_path.push(jar);
        }
        let mut command = Command::new("java");
        command
            .args(memory)
            .args(JAVA_OPTIONS)
            .arg(format!("-Djava.io.tmpdir={}", self.folder.join("tmp").display()))
            .arg(format!("-Dlog4j.configurationFile={}", self.folder.join("conf/log4j.properties").display()))
            .arg("-cp")
            .arg(class_path)
            .arg(class)
            .stdin(Stdio::null())
            .stdout(log_file(&self.folder, name)?)
            .stderr(log_file(&self.folder, name)?)
            .kill_on_drop(true);
        Ok(command)
    }
}

/// Returns the options with which jobs survive the JobManager.
fn high_availability(folder: &Path, zookeeper_port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("high-availability.type", "zookeeper".to_owned()),
        ("high-availability.zookeeper.quorum", format!("127.0.0.1:{zookeeper_port}")),
        ("high-availability.storageDir", format!("file://{}", folder.join("ha").display())),
    ]
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
        // The same in Flink 1.19.
        ("state.checkpoints.dir", file("checkpoints")),
        ("state.savepoints.dir", file("savepoints")),
    ]);
    options.extend(more.iter().cloned());
    options.iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
}

/// Opens a log for appending, so that several processes and streams can share it.
pub(crate) fn log_file(folder: &Path, name: &str) -> io::Result<File> {
    File::options().create(true).append(true).open(folder.join(format!("{name}.log")))
}
