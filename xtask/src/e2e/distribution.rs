//! Gets what a session needs: Flink's distribution, and our job compiled against it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The version that sessions run which compare with Flink.
pub(crate) const VERSION: &str = "2.3.0";
/// The versions that sessions of the REST API run, newest first.
pub(crate) const REST_VERSIONS: &[&str] = &[VERSION, "1.20.5"];
/// The package of Flink's Python distribution that holds all jars: a wheel, which is a zip archive, or a tarball of sources.
const PACKAGE: &str = "apache-flink-libraries";
/// The folder of the wheel that is a Flink home.
const HOME_IN_WHEEL: &str = "pyflink";
/// The folder of the sources that is one.
const HOME_IN_SOURCES: &str = "deps";
/// Parts of that folder that a session cluster without the Table API uses.
const UNPACKED: &[&str] = &["lib/flink-dist-", "lib/log4j-", "plugins/metrics-otel/", "plugins/metrics-slf4j/"];

/// Flink's jars and our job, unpacked and compiled.
#[derive(Debug)]
pub(crate) struct Distribution {
    version: String,
    home: PathBuf,
    /// The job, ready to be uploaded.
    pub(crate) job: PathBuf,
}

impl Distribution {
    /// Downloads that version of Flink into `cache` unless it is there, and compiles the job.
    pub(crate) fn prepare(version: &str, root: &Path, cache: &Path) -> Result<Self> {
        let home = cache.join(format!("flink-{version}"));
        if !home.exists() {
            download(version, cache, &home)?;
        }
        let job = cache.join(format!("streaming-job-{version}.jar"));
        let mut distribution = Self { version: version.to_owned(), home, job };
        distribution.compile(&root.join("xtask/e2e/StreamingJob.java"), &cache.join("classes"))?;
        Ok(distribution)
    }

    /// All jars of `lib`, as a class path.
    pub(crate) fn class_path(&self) -> PathBuf {
        self.home.join("lib/*")
    }

    /// The jar with most of Flink, and the files of its web UI in the folder `web`.
    pub(crate) fn dist_jar(&self) -> PathBuf {
        self.home.join(format!("lib/flink-dist-{}.jar", self.version))
    }

    /// Where Flink finds its OpenTelemetry reporters.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.home.join("plugins")
    }

    fn compile(&mut self, source: &Path, classes: &Path) -> Result<()> {
        recreate(classes)?;
        run(Command::new("javac").arg("-cp").arg(self.class_path()).arg("-d").arg(classes).arg(source))?;
        let mut jar = Command::new("jar");
        jar.args(["--create", "--main-class", "StreamingJob", "--file"]).arg(&self.job);
        run(jar.arg("-C").arg(classes).arg("."))
    }
}

/// Unpacks beside `home` and renames at the end, so that `home` is complete whenever it exists.
fn download(version: &str, cache: &Path, home: &Path) -> Result<()> {
    let partial = cache.join("partial");
    recreate(&partial)?;
    println!("downloading {PACKAGE} {version}");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"]).arg(&partial);
    run(pip.arg(format!("{PACKAGE}=={version}")))?;
    let archive = the_only_file(&partial)?;
    let (mut list, mut extract, prefix) = if archive.extension().is_some_and(|extension| extension == "whl") {
        (tool("jar", "--list", &archive), tool("jar", "--extract", &archive), HOME_IN_WHEEL.to_owned())
    } else {
        let folder = format!("{}-{version}/{HOME_IN_SOURCES}", PACKAGE.replace('-', "_"));
        (tool("tar", "--list", &archive), tool("tar", "--extract", &archive), folder)
    };
    let members = names(&mut list)?;
    let wanted = members.iter().filter(|member| is_unpacked(member, &prefix));
    run(extract.current_dir(&partial).args(wanted))?;
    fs::rename(partial.join(prefix), home).context("the package holds no Flink home")?;
    fs::remove_dir_all(partial)?;
    Ok(())
}

fn tool(program: &str, action: &str, archive: &Path) -> Command {
    let mut command = Command::new(program);
    command.args([action, "--file"]).arg(archive);
    command
}

fn is_unpacked(member: &str, prefix: &str) -> bool {
    let in_home = member.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
    in_home.is_some_and(|path| path.ends_with(".jar") && UNPACKED.iter().any(|start| path.starts_with(start)))
}

fn the_only_file(folder: &Path) -> Result<PathBuf> {
    let mut entries = folder.read_dir()?;
    match (entries.next(), entries.next()) {
        (Some(file), None) => Ok(file?.path()),
        _ => bail!("one file was expected in {}", folder.display()),
    }
}

fn names(list: &mut Command) -> Result<Vec<String>> {
    let output = list.output().with_context(|| format!("{list:?} cannot be started"))?;
    ensure!(output.status.success(), "{list:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// An empty folder, whatever was there.
pub(crate) fn recreate(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Runs a program, which must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("{program} cannot be started; see CONTRIBUTING.md"))?;
    ensure!(status.success(), "{program}: {status}");
    Ok(())
}
