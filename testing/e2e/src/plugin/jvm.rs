//! The plugin in a JVM without a cluster: class loaders, mini clusters, and random records.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::OtlpCollector;
use harness::{recreate, run as run_program, say, workspace_root};
use tokio::process::Command;
use tokio::time::timeout;

use super::record::{Record, compare, count, received, witnessed};
use super::{CHECK_JNI, Setup, expect_silent_checks, files, has_children};
use crate::cluster::{JAVA_OPTIONS, LOGGING, log_file};
use crate::session::STEP_TIMEOUT;
use crate::target;

/// The spans that each opening of a reporter gets.
const SPANS: usize = 100;
/// The records of a comparison with the witness.
const RECORDS: &str = "3000";
/// Mounts a file system without execution and one that is read-only, copies the library to the
/// first, and becomes the program that follows.
const MOUNTS: &str = "\
mount -t tmpfs -o noexec tmpfs \"$1\" && mount -t tmpfs -o ro tmpfs \"$2\" && cp \"$3\" \"$1\" && shift 3 && exec \"$@\"";

/// A class loader with one or several reporters.
struct Loader<'a> {
    /// For each reporter its name, its further options, and whether it can deliver.
    reporters: &'a [(&'a str, String, bool)],
}

/// A JVM without a cluster.
pub(super) struct Jvm<'a> {
    setup: &'a Setup,
    classes: PathBuf,
    plugin: PathBuf,
}

/// Runs all programs.
pub(super) async fn run(setup: &Setup) -> Result<()> {
    let jvm = Jvm::prepare(setup)?;
    jvm.loaders().await?;
    jvm.mini_clusters().await?;
    // The records implement the interfaces of the versions with children.
    if has_children(&setup.version) {
        jvm.random_records().await?;
    }
    Ok(())
}

impl<'a> Jvm<'a> {
    pub(super) fn prepare(setup: &'a Setup) -> Result<Self> {
        let root = workspace_root()?;
        let classes = target("jvm")?;
        recreate(&classes)?;
        let own = root.join("testing/e2e/java");
        let mut sources =
            ["jvm/Loaders.java", "jvm/MiniClusters.java", "UserReports.java"].map(|name| own.join(name)).to_vec();
        if has_children(&setup.version) {
            sources.extend(["jvm/RandomRecords.java", "jvm/Cost.java", "jvm/Load.java"].map(|name| own.join(name)));
            sources.extend(
                ["Node.java", "Happening.java"].map(|name| root.join("plugin/java/test/io/flinktraces").join(name)),
            );
            sources.push(root.join("bench/java/Spans.java"));
        }
        let mut javac = Command::new("javac").into_std();
        javac.arg("-nowarn").arg("-cp").arg(setup.distribution.class_path()).arg("-d").arg(&classes);
        run_program(javac.args(sources))?;
        fs::create_dir_all(setup.folder.join("tmp"))?;
        fs::write(setup.folder.join("log4j.properties"), LOGGING)?;
        Ok(Self { setup, classes, plugin: setup.plugin_jar("flink-traces") })
    }

    fn folder(&self) -> &Path {
        &self.setup.folder
    }

    /// Runs a program with checks to its end, behind the words in `before`, and returns its output.
    async fn run(&self, before: &[&str], class: &str, jars: &[&Path], arguments: &[String]) -> Result<String> {
        let java = [&[CHECK_JNI], JAVA_OPTIONS].concat();
        let output = self.run_with(before, &java, class, jars, arguments).await?;
        expect_silent_checks(&output)?;
        Ok(output)
    }

    /// Runs a program with `options` of the JVM to its end, and returns its output.
    pub(super) async fn run_with(
        &self,
        before: &[&str],
        options: &[&str],
        class: &str,
        jars: &[&Path],
        arguments: &[String],
    ) -> Result<String> {
        self.run_within(5 * STEP_TIMEOUT, before, options, class, jars, arguments).await
    }

    /// Runs a program with `options` of the JVM to its end, which must come within `limit`, and
    /// returns its output.
    pub(super) async fn run_within(
        &self,
        limit: Duration,
        before: &[&str],
        options: &[&str],
        class: &str,
        jars: &[&Path],
        arguments: &[String],
    ) -> Result<String> {
        let mut class_path = self.setup.distribution.class_path().into_os_string();
        for part in [&[self.classes.as_path()], jars].concat() {
            class_path.push(":");
            class_path.push(part);
        }
        let words: Vec<_> = before.iter().chain(&["java"]).copied().collect();
        let configuration = self.folder().join("log4j.properties");
        let status = Command::new(words[0])
            .args(&words[1..])
            .args(options)
            .arg(format!("-Djava.io.tmpdir={}", self.folder().join("tmp").display()))
            .arg(format!("-Dlog4j.configurationFile={}", configuration.display()))
            .arg("-cp")
            .arg(class_path)
            .arg(class)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log_file(self.folder(), class)?)
            .stderr(log_file(self.folder(), class)?)
            .kill_on_drop(true)
            .status();
        let status = timeout(limit, status).await.with_context(|| format!("{class} does not end"))??;
        ensure!(status.success(), "{class}: {status}");
        Ok(fs::read_to_string(self.folder().join(format!("{class}.log")))?)
    }

    /// Loads the library in many ways, each in a class loader of its own.
    async fn loaders(&self) -> Result<()> {
        say("loading the plugin by several class loaders");
        let collector = OtlpCollector::start()?;
        let (noexec, readonly) = (self.folder().join("noexec"), self.folder().join("readonly"));
        let created = self.folder().join("created/by/plugin");
        for folder in [&noexec, &readonly] {
            fs::create_dir_all(folder)?;
        }
        let library = self.setup.unpack_library()?;
        // The JVM loads a path into one class loader only.
        let other_library = library.with_extension("copy.so");
        fs::copy(&library, &other_library)?;
        let copy = noexec.join(library.file_name().context("no name")?);
        let option = |key: &str, path: &Path| format!("library.{key}={}", path.display());
        let ok = |name| (name, "cluster.name=c".to_owned(), true);
        let loaders = [
            Loader { reporters: &[ok("first"), ok("second")] },
            Loader { reporters: &[ok("other-loader")] },
            Loader { reporters: &[("created", option("directory", &created), true)] },
            Loader { reporters: &[("path", option("path", &library), true)] },
            Loader { reporters: &[("noexec", option("directory", &noexec), false)] },
            Loader { reporters: &[("readonly", option("directory", &readonly), false)] },
            Loader { reporters: &[("noexec-path", option("path", &copy), false)] },
            // The options of the first reporter do not keep the second from another place.
            Loader {
                reporters: &[
                    ("refused", option("directory", &readonly), false),
                    ("refused-again", option("directory", &readonly), false),
                    ("recovered", option("path", &other_library), true),
                ],
            },
        ];
        let text = |path: &Path| path.display().to_string();
        let arguments = [text(&self.plugin), SPANS.to_string()].into_iter();
        let arguments = arguments.chain(loaders.iter().map(|loader| loader.argument(&collector.grpc_endpoint())));
        let mounts = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNTS, "sh"].map(str::to_owned);
        let before: Vec<_> = mounts.into_iter().chain([text(&noexec), text(&readonly), text(&library)]).collect();
        let before: Vec<_> = before.iter().map(String::as_str).collect();
        let output = self.run(&before, "Loaders", &[], &arguments.collect::<Vec<_>>()).await?;

        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for span in collector.spans() {
            *found.entry(span.name().to_owned()).or_default() += 1;
        }
        let all = || loaders.iter().flat_map(|loader| loader.reporters);
        // Each reporter was opened twice.
        let expected: BTreeMap<_, _> =
            all().filter(|(.., delivers)| *delivers).map(|(name, ..)| ((*name).to_owned(), 2 * SPANS)).collect();
        println!("  spans by reporter: {found:?}");
        ensure!(found == expected, "expected {expected:?}");
        for (name, _, delivers) in all() {
            let spans = 2 * SPANS;
            let account =
                format!("traces {name}: {spans} emitted = {spans} delivered + 0 rejected + 0 dropped + 0 queued");
            let accounts = output.matches(&account).count();
            ensure!(accounts == usize::from(*delivers), "expected one account of a shared reporter: {account}");
        }
        let refused = loaders.iter().filter(|loader| loader.reporters.iter().any(|(.., delivers)| !delivers)).count();
        let lines: Vec<_> =
            output.lines().filter(|line| line.contains("its native library cannot be loaded")).collect();
        lines.iter().for_each(|line| println!("  {line}"));
        ensure!(lines.len() == refused, "expected one line for each of {refused} class loaders without a library");
        ensure!(files(&created)?.is_empty(), "the unpacked library is left in {}", created.display());
        Ok(())
    }

    /// Runs two mini clusters, one after the other, which share a reporter.
    async fn mini_clusters(&self) -> Result<()> {
        say("running two mini clusters in one JVM");
        let collector = OtlpCollector::start()?;
        let option = |key: &str, value: &str| format!("traces.reporter.mini.{key}={value}");
        let arguments = [
            option("factory.class", "io.flinktraces.OtlpTraceReporterFactory"),
            option("exporter.endpoint", &collector.grpc_endpoint()),
            option("name", "mini"),
        ];
        let output = self.run(&[], "MiniClusters", &[&self.plugin], &arguments).await?;
        let mut numbers: Vec<_> = collector
            .spans()
            .iter()
            .filter(|span| span.name() == "MiniSpan")
            .map(|span| span.attributes()["number"].clone())
            .collect();
        numbers.sort_by_key(ToString::to_string);
        ensure!(numbers == [0, 1], "expected a span of each mini cluster, found {numbers:?}");
        let accounts: Vec<_> = output.lines().filter(|line| line.starts_with("flink-traces: traces mini: ")).collect();
        println!("  {accounts:?}");
        let spans = collector.spans().len();
        let expected = format!("{spans} emitted = {spans} delivered + 0 rejected + 0 dropped + 0 queued");
        ensure!(matches!(accounts[..], [account] if account.ends_with(&expected)), "expected one account: {expected}");
        Ok(())
    }

    /// Compares random records, as the collector got them, with those of a witness.
    async fn random_records(&self) -> Result<()> {
        let collector = OtlpCollector::start()?;
        let witness = self.folder().join("random");
        let seed = fastrand::u32(..).to_string();
        say(&format!("reporting random records, seed {seed}"));
        let paths = [&self.plugin, &self.setup.plugin_jar("witness")].map(|path| path.display().to_string());
        let rest = [seed, RECORDS.to_owned(), collector.grpc_endpoint(), witness.display().to_string()];
        self.run(&[], "RandomRecords", &[], &[&paths[..], &rest].concat()).await?;
        let expected = Record::without_extensions(&witnessed(&witness)?);
        let found = received(&collector);
        println!("  distinct names: {}", count(&found).split(", ").count());
        compare("random records", &expected, &Record::without_extensions(&found))
    }
}

impl Loader<'_> {
    fn argument(&self, endpoint: &str) -> String {
        let of =
            |(name, option, _): &(&str, String, bool)| format!("name={name};exporter.endpoint={endpoint};{option}");
        self.reporters.iter().map(of).collect::<Vec<_>>().join("|")
    }
}
