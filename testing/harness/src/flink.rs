//! Flink's distribution, downloaded from PyPI and unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{recreate, run, workspace_root};

/// The version that comparisons with Flink run against.
pub const VERSION: &str = "2.3.0";
/// The versions that REST sessions run against, newest first.
pub const REST_VERSIONS: &[&str] = &[VERSION, "1.20.5"];
/// The package with all jars of Flink's Python distribution. It is a wheel (a zip archive) or a
/// source tarball.
const PACKAGE: &str = "apache-flink-libraries";
/// The Flink home inside the wheel.
const HOME_IN_WHEEL: &str = "pyflink";
/// The Flink home inside the source tarball.
const HOME_IN_SOURCES: &str = "deps";
/// The files of a Flink home that a session cluster without the Table API uses.
const UNPACKED: &[&str] = &["lib/flink-dist-", "lib/log4j-", "plugins/metrics-otel/", "plugins/metrics-slf4j/"];

/// The jars of one version of Flink, in `target/flink`.
#[derive(Debug)]
pub struct Distribution {
    version: String,
    home: PathBuf,
}

impl Distribution {
    /// Returns a version of Flink, which the first call downloads.
    ///
    /// # Errors
    ///
    /// Returns an error if the package cannot be downloaded or has an unexpected layout.
    pub fn prepare(version: &str) -> Result<Self> {
        let cache = workspace_root()?.join("target/flink");
        let home = cache.join(format!("flink-{version}"));
        if !home.exists() {
            download(version, &cache, &home)?;
        }
        Ok(Self { version: version.to_owned(), home })
    }

    /// The version of Flink.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns a class path with all jars of `lib`.
    #[must_use]
    pub fn class_path(&self) -> PathBuf {
        self.home.join("lib/*")
    }

    /// Returns the path of the jar with most of Flink, and its web UI in the folder `web`.
    #[must_use]
    pub fn dist_jar(&self) -> PathBuf {
        self.home.join(format!("lib/flink-dist-{}.jar", self.version))
    }

    /// Returns the folder in which Flink looks for its OpenTelemetry reporters.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.home.join("plugins")
    }
}

/// Downloads and unpacks a version. The last step renames, so that `home` is complete if it exists.
fn download(version: &str, cache: &Path, home: &Path) -> Result<()> {
    let partial = cache.join("partial");
    recreate(&partial)?;
    println!("downloading {PACKAGE} {version}");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"]).arg(&partial);
    run(pip.arg(format!("{PACKAGE}=={version}")))?;
    let archive = the_only_file(&partial)?;
    let is_wheel = archive.extension().is_some_and(|extension| extension == "whl");
    let program = if is_wheel { "jar" } else { "tar" };
    let (mut list, mut extract) = (tool(program, "--list", &archive), tool(program, "--extract", &archive));
    let members = names(&mut list)?;
    let prefix = if is_wheel {
        HOME_IN_WHEEL.to_owned()
    } else {
        // The folder has hyphens in some versions, and underscores in others.
        let folder = members.first().and_then(|member| member.split('/').next()).context("the package is empty")?;
        format!("{folder}/{HOME_IN_SOURCES}")
    };
    let wanted = members.iter().filter(|member| is_unpacked(member, &prefix));
    run(extract.current_dir(&partial).args(wanted))?;
    fs::rename(partial.join(prefix), home).context("the package does not contain a Flink home")?;
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
        _ => bail!("expected one file in {}", folder.display()),
    }
}

fn names(list: &mut Command) -> Result<Vec<String>> {
    let output = list.output().with_context(|| format!("cannot start {list:?}"))?;
    ensure!(output.status.success(), "{list:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
