//! `cargo e2e plugin`: the reporters inside an unmodified Flink.
//!
//! Beside them run Flink's own OpenTelemetry reporter and a witness, which writes each record to a
//! file before Flink goes on.

mod cost;
mod jvm;
mod load;
mod record;

use std::env;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use flink_traces_testkit::{CollectorResponse, HttpResponse, OtlpCollector};
use harness::flink::Distribution;
use harness::{build, recreate, run as run_program, say, workspace_root};
use tokio::time::sleep;

use self::record::{Record, compare, count, ids, received, witnessed};
use crate::cluster::{Cluster, FURTHER_JAVA_OPTIONS, Mode};
use crate::compare::REPORTERS_OF_OLD_VERSIONS;
use crate::program::Program;
use crate::rest::{all_run, poll};
use crate::session::{STEP_TIMEOUT, run_until_interrupted};
use crate::{job, target};

/// The name of the cluster, for ids.
const CLUSTER: &str = "e2e";
/// The time that a slow collector takes for a request.
const SLOW: Duration = Duration::from_millis(300);
/// The time from the start of the job until its first attempt fails.
const FAILS_AFTER: &str = "12000";
/// The time between two actions of the session.
const UNDISTURBED: Duration = Duration::from_secs(4);
/// The time that `flink-traces` needs to report what it has seen.
const SETTLE: Duration = Duration::from_secs(8);

/// The option of a JVM that checks the calls of native code.
const CHECK_JNI: &str = "-Xcheck:jni";

/// A session of the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// A savepoint, a failure with a recovery, and SIGTERM, beside `flink-traces`.
    Session,
    /// SIGKILL for both processes while the collector is away, and a restart, with a spool.
    Kill,
    /// Options with errors, a filter, and a collector that refuses the credentials.
    Options,
    /// A library that cannot be unpacked, and one that is unpacked already.
    Library,
    /// Class loaders, mini clusters and random records in a JVM without a cluster.
    Jvm,
    /// The cost beside that of Flink's own reporter, on an idle machine. It runs only by its name.
    Cost,
    /// The memory under a load for `--minutes`. It runs only by its name.
    Load,
}

impl Scenario {
    /// Returns the scenarios that run if none is named.
    pub(crate) fn usual() -> Vec<Self> {
        Self::value_variants().iter().copied().filter(|scenario| !matches!(scenario, Self::Cost | Self::Load)).collect()
    }
}

/// The parts of a session that are prepared once.
struct Setup {
    version: String,
    distribution: Distribution,
    job: PathBuf,
    program: PathBuf,
    plugins: PathBuf,
    folder: PathBuf,
}

/// Runs sessions of one version.
///
/// `minutes` is the time of the scenario [`Scenario::Load`].
pub(crate) fn run(scenarios: &[Scenario], version: &str, jar: Option<PathBuf>, minutes: u64) -> Result<()> {
    let jar = jar.map_or_else(build_jar, Ok)?;
    let distribution = Distribution::prepare(version)?;
    if has_children(version) {
        test_encoder(&distribution)?;
    }
    for &scenario in scenarios {
        let name = scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        say(&format!("plugin in {version}: {name}"));
        let setup = Setup::prepare(version, &jar)?;
        let folder = setup.folder.clone();
        let session = async {
            match scenario {
                Scenario::Session => setup.session().await,
                Scenario::Kill => setup.kill().await,
                Scenario::Options => setup.options().await,
                Scenario::Library => setup.places_of_library().await,
                Scenario::Jvm => jvm::run(&setup).await,
                Scenario::Cost => cost::run(&setup).await,
                Scenario::Load => load::run(&setup, minutes).await,
            }
        };
        run_until_interrupted(session, &folder)?;
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

/// Builds the jar, optimized if this harness is, and returns its path.
fn build_jar() -> Result<PathBuf> {
    let root = workspace_root()?;
    let mut xtask = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    xtask.args(["xtask", "plugin"]).current_dir(&root);
    if cfg!(debug_assertions) {
        xtask.arg("--debug");
    }
    run_program(&mut xtask)?;
    Ok(root.join(format!("target/plugin/flink-traces-plugin-{}.jar", env!("CARGO_PKG_VERSION"))))
}

/// Runs the test of the Java side's encoder.
fn test_encoder(distribution: &Distribution) -> Result<()> {
    let root = workspace_root()?;
    let classes = target("encoder")?;
    recreate(&classes)?;
    let mut sources = files(&root.join("plugin/java/main/io/flinktraces"))?;
    sources.extend(files(&root.join("plugin/java/test/io/flinktraces"))?);
    let mut class_path = distribution.class_path().into_os_string();
    let mut javac = Command::new("javac");
    run_program(javac.arg("-nowarn").arg("-cp").arg(&class_path).arg("-d").arg(&classes).args(sources))?;
    class_path.push(":");
    class_path.push(&classes);
    let mut java = Command::new("java");
    java.arg("-cp").arg(class_path).arg("io.flinktraces.EncoderTest");
    run_program(java.arg(root.join("crates/flink-traces-plugin/testdata/wire.txt")))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// Returns major and minor of a version.
fn numbers(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn has_events(version: &str) -> bool {
    numbers(version) >= (2, 1)
}

fn has_children(version: &str) -> bool {
    numbers(version) >= (2, 2)
}

/// Returns `true` for a version whose job failures can be spans.
fn has_failure_spans(version: &str) -> bool {
    ((1, 20)..(2, 2)).contains(&numbers(version))
}

/// Returns the options of a reporter of both signals, which the version has.
fn reporter(version: &str, name: &str, class: [&str; 2], options: &[(&str, &str)]) -> Vec<(String, String)> {
    let signals = [("traces", "Trace"), ("events", "Event")].into_iter().zip(class);
    let signals = signals.take(if has_events(version) { 2 } else { 1 });
    signals
        .flat_map(|((signal, _), class)| {
            let key = move |key: &str| format!("{signal}.reporter.{name}.{key}");
            let class = (key("factory.class"), class.to_owned());
            [class].into_iter().chain(options.iter().map(move |(option, value)| (key(option), (*value).to_owned())))
        })
        .collect()
}

/// Returns the options of a reporter of ours.
fn ours(version: &str, name: &str, destination: &str, options: &[(&str, &str)]) -> Vec<(String, String)> {
    let class = ["Trace", "Event"].map(|signal| format!("io.flinktraces.{destination}{signal}ReporterFactory"));
    reporter(version, name, [&class[0], &class[1]], options)
}

impl Setup {
    fn prepare(version: &str, jar: &Path) -> Result<Self> {
        let folder = target("plugin-session")?;
        recreate(&folder)?;
        let distribution = Distribution::prepare(version)?;
        let reporters =
            Distribution::prepare(if version.starts_with("1.") { REPORTERS_OF_OLD_VERSIONS } else { version })?;
        let plugins = folder.join("plugins");
        let copies = [("flink-traces", jar.to_owned()), ("witness", compile_witness(&distribution)?)];
        for (name, jar) in copies {
            fs::create_dir_all(plugins.join(name))?;
            fs::copy(jar, plugins.join(name).join(format!("{name}.jar")))?;
        }
        fs::create_dir_all(plugins.join("metrics-otel"))?;
        for jar in files(&reporters.plugins().join("metrics-otel"))? {
            fs::copy(&jar, plugins.join("metrics-otel").join(jar.file_name().context("no name")?))?;
        }
        let job = job::compile(&distribution)?;
        Ok(Self { version: version.to_owned(), distribution, job, program: build("flink-traces")?, plugins, folder })
    }

    /// Returns the path of a plugin's jar.
    fn plugin_jar(&self, name: &str) -> PathBuf {
        self.plugins.join(name).join(format!("{name}.jar"))
    }

    /// Unpacks the jar of the plugin, and returns the path of its library.
    fn unpack_library(&self) -> Result<PathBuf> {
        let folder = self.folder.join("unpacked");
        fs::create_dir_all(&folder)?;
        let mut jar = Command::new("jar");
        run_program(jar.arg("--extract").arg("--file").arg(self.plugin_jar("flink-traces")).current_dir(&folder))?;
        let is_library = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "so");
        files(&folder)?.into_iter().find(is_library).context("the jar has no library")
    }

    fn witness_folder(&self) -> PathBuf {
        self.folder.join("witness")
    }

    /// Returns the options of every session: the witness, and all that the version can report.
    fn base_options(&self) -> Vec<(String, String)> {
        let classes = ["Trace", "Event"].map(|signal| format!("witness.Witness{signal}ReporterFactory"));
        let path = self.witness_folder().display().to_string();
        let mut options = reporter(&self.version, "witness", [&classes[0], &classes[1]], &[("path", &path)]);
        let mut set = |key: &str, value: &str| options.push((key.to_owned(), value.to_owned()));
        if has_children(&self.version) {
            set("traces.checkpoint.span-detail-level", "CHILDREN_SPANS_PER_SUBTASK");
        }
        if has_failure_spans(&self.version) {
            set("traces.report-events-as-spans", "true");
        }
        options
    }

    async fn start(&self, options: Vec<(String, String)>) -> Result<Cluster> {
        // The options live as long as the session, which is short.
        let options: Vec<_> = options.into_iter().map(|(key, value)| (&*key.leak(), value)).collect();
        Cluster::start_as(Mode::Session, &self.distribution, &self.plugins, &self.folder, &options).await
    }

    /// Runs a job that fails and recovers, and takes a savepoint of it.
    async fn run_job(&self, cluster: &Cluster) -> Result<String> {
        say("submitting the job");
        let job = cluster.rest.submit(&self.job, 2, &[FAILS_AFTER, "fail-once", "report"]).await?;
        let runs = async || Ok(all_run(&cluster.rest.job(&job).await?).then_some(()));
        poll("running tasks", STEP_TIMEOUT, runs).await?;
        sleep(UNDISTURBED / 4).await;
        say("taking a savepoint");
        cluster.rest.savepoint(&job, STEP_TIMEOUT).await?;
        say("waiting for the failure and the recovery");
        cluster.rest.wait_for_recovery(&job, STEP_TIMEOUT).await?;
        sleep(UNDISTURBED).await;
        Ok(job)
    }

    async fn session(&self) -> Result<()> {
        let [exact, standard, flinks, outside] =
            [OtlpCollector::start()?, OtlpCollector::start()?, OtlpCollector::start()?, OtlpCollector::start()?];
        let version = self.version.as_str();
        let mut options = self.base_options();
        let endpoint = exact.grpc_endpoint();
        options.extend(ours(version, "exact", "Otlp", &[("exporter.endpoint", &endpoint), ("compatibility", "flink")]));
        let endpoint = standard.http_endpoint();
        let of_standard =
            [("exporter.endpoint", endpoint.as_str()), ("exporter.protocol", "http"), ("cluster.name", CLUSTER)];
        options.extend(ours(version, "standard", "Otlp", &of_standard));
        let path = self.folder.display().to_string();
        options.extend(ours(version, "log", "Log", &[]));
        for signal in ["traces", "events"] {
            let records = format!("{path}/{signal}-%p.jsonl");
            let json = ours(version, "json", "Json", &[("path", &records)]);
            options.extend(json.into_iter().filter(|(key, _)| key.starts_with(signal)));
        }
        let classes = ["traces", "events"].map(|signal| {
            let name = if signal == "traces" { "Trace" } else { "Event" };
            format!("org.apache.flink.{signal}.otel.OpenTelemetry{name}ReporterFactory")
        });
        let endpoint = flinks.grpc_endpoint();
        options.extend(reporter(version, "otel", [&classes[0], &classes[1]], &[("exporter.endpoint", &endpoint)]));
        options.push((FURTHER_JAVA_OPTIONS.to_owned(), CHECK_JNI.to_owned()));
        say("starting the cluster");
        let cluster = self.start(options).await?;
        let url = format!("{CLUSTER}={}", cluster.rest.url());
        let arguments = ["--flink", &url, "--otlp", &outside.grpc_endpoint()];
        let detail = ["traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK"];
        let program = Program::start_with(&self.program, &self.folder, &arguments, &detail)?;
        let job = self.run_job(&cluster).await?;
        say("canceling the job");
        cluster.rest.cancel(&job, STEP_TIMEOUT).await?;
        let last = cluster.rest.submit(&self.job, 2, &["86400000", "fail-once", "report"]).await?;
        sleep(UNDISTURBED).await;
        ensure!(last != job, "the second job has the id of the first");
        sleep(SETTLE).await;
        program.stop().await?;
        say("ending both processes by SIGTERM");
        cluster.terminate(STEP_TIMEOUT).await?;

        let expected = witnessed(&self.witness_folder())?;
        let exact = received(&exact);
        let standard = received(&standard);
        println!("  witness: {}", count(&expected));
        println!("  Flink's own reporter: {}", count(&received(&flinks)));
        compare("compatibility: flink", &Record::as_flink(&expected), &Record::as_flink(&exact))?;
        compare(
            "compatibility: standard",
            &Record::without_extensions(&expected),
            &Record::without_extensions(&standard),
        )?;
        let (own, all) = (Record::as_flink(&received(&flinks)), Record::as_flink(&exact));
        let missing = all.iter().filter(|(key, count)| own.get(*key).is_none_or(|found| found < *count)).count();
        println!("  records that Flink's own reporter lacks: {missing} distinct");
        self.expect_content(&expected)?;
        self.expect_accounts(&["exact", "standard", "log", "json"])?;
        for process in ["jobmanager", "taskmanager"] {
            expect_silent_checks(&self.log(process)?)?;
        }
        self.expect_ids(&standard, &received(&outside))
    }

    /// Checks that the session was not empty.
    fn expect_content(&self, records: &[Record]) -> Result<()> {
        let mut expected = vec![("Checkpoint", 5), ("JobInitialization", 2), ("OpenedSpan", 2), ("ProgressSpan", 10)];
        if has_events(&self.version) {
            expected.extend([("OpenedEvent", 2), ("ProgressEvent", 10)]);
        }
        if has_children(&self.version) {
            expected.extend([("Checkpoint_Task", 15), ("Checkpoint_Subtask", 25), ("CheckpointEvent", 5)]);
            expected.extend([("JobStatusChangeEvent", 3), ("JobFailureEvent", 1), ("AllSubtasksStatusChangeEvent", 2)]);
        }
        if has_failure_spans(&self.version) {
            expected.push(("JobFailure", 1));
        }
        for (name, least) in expected {
            let found = records.iter().map(|record| record.named(name)).sum::<usize>();
            ensure!(found >= least, "expected at least {least} of {name}, found {found}");
        }
        Ok(())
    }

    /// Returns the log of a process.
    fn log(&self, process: &str) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join(format!("{process}.log")))?)
    }

    /// Returns the page for Prometheus of a process, whose address is in its log.
    fn metrics(&self, process: &str) -> Result<String> {
        let log = self.log(process)?;
        let address = log.split("serving metrics at http://").nth(1).and_then(|rest| rest.split('/').next());
        let mut stream = TcpStream::connect(address.context("no address of metrics in the log")?)?;
        stream.set_read_timeout(Some(STEP_TIMEOUT))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    }

    /// Checks the accounts that both processes printed at their end.
    fn expect_accounts(&self, names: &[&str]) -> Result<()> {
        let signals = if has_events(&self.version) { &["traces", "events"][..] } else { &["traces"] };
        for process in ["jobmanager", "taskmanager"] {
            let log = self.log(process)?;
            for name in names {
                for signal in signals {
                    let start = format!("flink-traces: {signal} {name}: ");
                    let account = log.lines().find_map(|line| line.strip_prefix(&start));
                    let account =
                        account.with_context(|| format!("{process} printed no account of {signal} {name}"))?;
                    println!("  {process}: {signal} {name}: {account}");
                    ensure!(account.ends_with("+ 0 rejected + 0 dropped + 0 queued"), "records were lost: {account}");
                }
            }
        }
        Ok(())
    }

    /// Compares the ids of the records that both the plugin and `flink-traces` reported.
    fn expect_ids(&self, inside: &[Record], outside: &[Record]) -> Result<()> {
        let (inside, outside) = (ids(inside), ids(outside));
        let mut kinds: std::collections::BTreeMap<&str, (usize, usize)> = std::collections::BTreeMap::new();
        for (key, id) in &outside {
            // Older versions do not report all kinds of records.
            let Some(found) = inside.get(key) else { continue };
            let (equal, all) = kinds.entry(&key.0).or_default();
            *all += 1;
            *equal += usize::from(found == id);
        }
        for (kind, (equal, all)) in &kinds {
            println!("  ids of {kind}: {equal} of {all} equal those of flink-traces");
        }
        let wrong: Vec<_> =
            outside.iter().filter(|(key, id)| inside.get(key).is_some_and(|found| found != *id)).collect();
        ensure!(wrong.is_empty(), "ids differ: {wrong:?}");
        ensure!(kinds.get("Checkpoint").is_some_and(|(equal, _)| *equal > 0), "no checkpoint was reported by both");
        Ok(())
    }

    async fn kill(&self) -> Result<()> {
        // A port on which a collector listens only later.
        let collector = OtlpCollector::start()?;
        let (port, endpoint) = (collector.address().port(), collector.grpc_endpoint());
        drop(collector);
        let spool = self.folder.join("spool").display().to_string();
        let options = || {
            let of_ours = [("exporter.endpoint", &*endpoint), ("compatibility", "flink"), ("spool.directory", &spool)];
            [self.base_options(), ours(&self.version, "ours", "Otlp", &of_ours)].concat()
        };
        say("starting the cluster without a collector");
        let cluster = self.start(options()).await?;
        self.run_job(&cluster).await?;
        // What was reported in the last moment may not be in the spool.
        let expected = witnessed(&self.witness_folder())?;
        sleep(Duration::from_secs(1)).await;
        say("ending both processes by SIGKILL");
        cluster.stop().await?;
        let all = witnessed(&self.witness_folder())?;
        say("starting the cluster with a collector");
        let collector = OtlpCollector::start_on(port)?;
        let cluster = self.start(options()).await?;
        sleep(SETTLE).await;
        cluster.terminate(STEP_TIMEOUT).await?;
        let found = Record::as_flink(&received(&collector));
        println!("  before the kill: {}", count(&all));
        let lost: Vec<_> =
            Record::as_flink(&expected).into_iter().filter(|(key, _)| !found.contains_key(key)).collect();
        let known = Record::as_flink(&all);
        let twice = known.iter().filter(|(key, count)| found.get(*key).is_some_and(|found| found > *count)).count();
        let last = known.iter().filter(|(key, _)| !found.contains_key(*key)).count();
        println!("  lost: {}, duplicates: {twice}, lost of the last second: {last}", lost.len());
        ensure!(lost.is_empty(), "lost: {lost:?}");
        Ok(())
    }

    async fn options(&self) -> Result<()> {
        let version = self.version.as_str();
        let collector = OtlpCollector::start()?;
        let endpoint = collector.grpc_endpoint();
        let mut options = self.base_options();
        options.extend(ours(
            version,
            "wrong",
            "Otlp",
            &[("exporter.endpoint", &endpoint), ("exporter.timeout", "soon")],
        ));
        options.extend(ours(version, "missing", "Otlp", &[]));
        let filtered = [("exporter.endpoint", endpoint.as_str()), ("filter.excludes", "'*:Checkpoint*,Progress*'")];
        options.extend(ours(version, "filtered", "Otlp", &filtered));
        let refusing = OtlpCollector::start()?;
        refusing.respond_by(|_| HttpResponse::new(401).into());
        let endpoint = refusing.grpc_endpoint();
        let refused = [
            ("exporter.endpoint", endpoint.as_str()),
            ("compatibility", "flink"),
            ("retry.max-backoff", "1 s"),
            ("metrics.listen", "0"),
        ];
        options.extend(ours(version, "refused", "Otlp", &refused));
        let slow = OtlpCollector::start()?;
        slow.respond_by(|_| {
            thread::sleep(SLOW);
            CollectorResponse::Accept
        });
        let endpoint = slow.grpc_endpoint();
        options.extend(ours(version, "slow", "Otlp", &[("exporter.endpoint", &endpoint), ("compatibility", "flink")]));
        let without_disk = OtlpCollector::start()?;
        let endpoint = without_disk.grpc_endpoint();
        let disk = [
            ("exporter.endpoint", endpoint.as_str()),
            ("compatibility", "flink"),
            // Not even root can create files there.
            ("spool.directory", "/proc/flink-traces"),
        ];
        options.extend(ours(version, "disk", "Otlp", &disk));
        say("starting the cluster with wrong options");
        let cluster = self.start(options).await?;
        self.run_job(&cluster).await?;
        ensure!(refusing.spans().is_empty(), "the collector accepted refused credentials");
        for process in ["jobmanager", "taskmanager"] {
            let page = self.metrics(process)?;
            let queued = "flink_traces_reporter_queued{signal=\"traces\",reporter=\"refused\"} ";
            let queued = page.lines().find_map(|line| line.strip_prefix(queued)).context("no queued spans")?;
            println!("  {process}: {queued} spans are queued on /metrics");
            ensure!(queued != "0", "expected queued spans while the credentials are refused");
        }
        refusing.respond_by(|_| CollectorResponse::Accept);
        sleep(SETTLE).await;
        cluster.terminate(STEP_TIMEOUT).await?;
        let expected = witnessed(&self.witness_folder())?;
        for (title, collector) in
            [("refused credentials", &refusing), ("slow collector", &slow), ("no disk for the spool", &without_disk)]
        {
            compare(title, &Record::as_flink(&expected), &Record::as_flink(&received(collector)))?;
        }
        let log = self.log("jobmanager")?;
        for line in [
            "traces.reporter.wrong.exporter.timeout: 'soon' is not a duration",
            "traces.reporter.missing.exporter.endpoint: is not set",
        ] {
            ensure!(log.matches(line).count() == 1, "expected one line {line}");
        }
        // Each signal has a spool.
        ensure!(
            log.contains("spool unavailable, delivering from memory reporter=disk"),
            "expected a line on the spool"
        );
        let found = received(&collector);
        let excluded: usize = ["Checkpoint", "CheckpointEvent", "ProgressSpan"]
            .iter()
            .map(|name| found.iter().map(|record| record.named(name)).sum::<usize>())
            .sum();
        ensure!(excluded == 0 && !found.is_empty(), "expected no excluded records, found {}", count(&found));
        println!("  found: {}", count(&found));
        Ok(())
    }

    /// Flink goes on if the library cannot be unpacked, and uses one that is unpacked already.
    async fn places_of_library(&self) -> Result<()> {
        let collector = OtlpCollector::start()?;
        let endpoint = collector.grpc_endpoint();
        let options = |key: &str, path: &str| {
            let of_ours = [("exporter.endpoint", &*endpoint), ("compatibility", "flink"), (key, path)];
            [self.base_options(), ours(&self.version, "ours", "Otlp", &of_ours)].concat()
        };
        say("starting the cluster with a directory that cannot be created");
        // Not even root can create files there.
        let cluster = self.start(options("library.directory", "/proc/flink-traces")).await?;
        let job = cluster.rest.submit(&self.job, 2, &["86400000", "fail-once", "report"]).await?;
        let runs = async || Ok(all_run(&cluster.rest.job(&job).await?).then_some(()));
        poll("running tasks", STEP_TIMEOUT, runs).await?;
        cluster.terminate(STEP_TIMEOUT).await?;
        for process in ["jobmanager", "taskmanager"] {
            let lines = self.log(process)?.matches("its native library cannot be loaded").count();
            ensure!(lines == 1, "expected one line in the log of the {process}, found {lines}");
        }
        ensure!(received(&collector).is_empty(), "expected no record without a library");
        fs::remove_dir_all(self.witness_folder())?;
        say("starting the cluster with a library that is unpacked already");
        let library = self.unpack_library()?.display().to_string();
        let cluster = self.start(options("library.path", &library)).await?;
        cluster.rest.submit(&self.job, 2, &["86400000", "fail-once", "report"]).await?;
        sleep(UNDISTURBED).await;
        cluster.terminate(STEP_TIMEOUT).await?;
        let expected = witnessed(&self.witness_folder())?;
        ensure!(!expected.is_empty(), "the witness saw nothing");
        compare("unpacked library", &Record::as_flink(&expected), &Record::as_flink(&received(&collector)))
    }
}

/// Checks that the JVM warned of no call of native code.
fn expect_silent_checks(log: &str) -> Result<()> {
    let is_warning = |line: &&str| ["in native method", "JNI local refs"].iter().any(|text| line.contains(text));
    match log.lines().find(is_warning) {
        Some(line) => bail!("{CHECK_JNI}: {line}"),
        None => Ok(()),
    }
}

/// Compiles the witness, and returns the path of its jar.
fn compile_witness(distribution: &Distribution) -> Result<PathBuf> {
    let sources = workspace_root()?.join("testing/e2e/java/witness");
    let classes = target("witness")?;
    recreate(&classes)?;
    let signals = if has_events(distribution.version()) { &["Trace", "Event"][..] } else { &["Trace"] };
    let mut javac = Command::new("javac");
    javac.arg("-cp").arg(distribution.class_path()).arg("-d").arg(&classes).arg(sources.join("WitnessFile.java"));
    let services = classes.join("META-INF/services");
    fs::create_dir_all(&services)?;
    for signal in signals {
        let class = format!("Witness{signal}ReporterFactory");
        javac.arg(sources.join(format!("{class}.java")));
        let package = if *signal == "Trace" { "traces" } else { "events" };
        let service = format!("org.apache.flink.{package}.reporter.{signal}ReporterFactory");
        fs::write(services.join(service), format!("witness.{class}\n"))?;
    }
    run_program(&mut javac)?;
    let jar = target(&format!("witness-{}.jar", distribution.version()))?;
    run_program(Command::new("jar").args(["--create", "--file"]).arg(&jar).arg("-C").arg(&classes).arg("."))?;
    Ok(jar)
}
