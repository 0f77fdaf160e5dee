//! Gets what a session needs: Flink's distribution, and our job compiled against it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The version that the sessions run.
const VERSION: &str = "2.3.0";
/// The package of Flink's Python distribution that holds all jars: a wheel, which is a zip archive.
const PACKAGE: &str = "apache-flink-libraries";
/// The folder of the wheel that is a Flink home.
const HOME_IN_WHEEL: &str = "pyflink";
/// Parts of that folder that a session cluster without the Table API uses.
const UNPACKED: &[&str] = &["lib/flink-dist-", "lib/log4j-", "plugins/metrics-otel/"];

/// Flink's jars and our job, unpacked and compiled.
#[derive(Debug)]
pub(crate) struct Distribution {
    home: PathBuf,
    /// The job, ready to be uploaded.
    pub(crate) job: PathBuf,
}

impl Distribution {
    /// Downloads Flink into `cache` unless it is there, and compiles the job.
    pub(crate) fn prepare(root: &Path, cache: &Path) -> Result<Self> {
        let home = cache.join(format!("flink-{VERSION}"));
        if !home.exists() {
            download(cache, &home)?;
        }
        let mut distribution = Self { home, job: cache.join("streaming-job.jar") };
        distribution.compile(&root.join("xtask/e2e/StreamingJob.java"), &cache.join("classes"))?;
        Ok(distribution)
    }

    /// All jars of `lib`, as a class path.
    pub(crate) fn class_path(&self) -> PathBuf {
        self.home.join("lib/*")
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
fn download(cache: &Path, home: &Path) -> Result<()> {
    let partial = cache.join("partial");
    recreate(&partial)?;
    println!("downloading {PACKAGE} {VERSION}");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"]).arg(&partial);
    run(pip.arg(format!("{PACKAGE}=={VERSION}")))?;
    let wheel = the_only_file(&partial)?;
    let members = names(&wheel)?;
    let wanted = members.iter().filter(|member| is_unpacked(member));
    run(Command::new("jar").current_dir(&partial).args(["--extract", "--file"]).arg(&wheel).args(wanted))?;
    fs::rename(partial.join(HOME_IN_WHEEL), home).context("the wheel holds no Flink home")?;
    fs::remove_dir_all(partial)?;
    Ok(())
}

fn is_unpacked(member: &str) -> bool {
    let in_home = member.strip_prefix(HOME_IN_WHEEL).and_then(|rest| rest.strip_prefix('/'));
    in_home.is_some_and(|path| path.ends_with(".jar") && UNPACKED.iter().any(|start| path.starts_with(start)))
}

fn the_only_file(folder: &Path) -> Result<PathBuf> {
    let mut entries = folder.read_dir()?;
    match (entries.next(), entries.next()) {
        (Some(file), None) => Ok(file?.path()),
        _ => bail!("one wheel was expected in {}", folder.display()),
    }
}

fn names(archive: &Path) -> Result<Vec<String>> {
    let output =
        Command::new("jar").args(["--list", "--file"]).arg(archive).output().context("jar cannot be started")?;
    ensure!(output.status.success(), "jar --list: {}", String::from_utf8_lossy(&output.stderr));
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
