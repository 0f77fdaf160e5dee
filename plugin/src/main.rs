//! `cargo xtask plugin`: builds the jar of the Flink plugin.
//!
//! The jar has the classes of `java/main`, a native library for each target, and the licenses of
//! everything that is linked into the libraries.
#![allow(clippy::print_stdout, reason = "a command line program prints its results")]

mod licenses;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use harness::flink::{Distribution, VERSION};
use harness::{Prerequisites, recreate, run, workspace_root};

const PACKAGE: &str = "flink-traces-plugin";
const USAGE: &str = "\
usage: cargo xtask plugin [--debug] [<target>...]

Builds flink-traces-plugin-<version>.jar in target/plugin.

Without a target, the jar has a library for this machine, built by cargo.
Each target, such as x86_64-unknown-linux-gnu.2.17, is built by cargo-zigbuild.
--debug leaves out optimizations.
";

/// Targets of Rust, and the names of their libraries in the jar, which are those of RocksDB.
///
/// Only the first is tested.
const LIBRARIES: &[(&str, &str)] = &[
    ("x86_64-unknown-linux-gnu", "libflinktraces-linux64.so"),
    ("x86_64-unknown-linux-musl", "libflinktraces-linux64-musl.so"),
    ("aarch64-unknown-linux-gnu", "libflinktraces-linux-aarch64.so"),
    ("aarch64-unknown-linux-musl", "libflinktraces-linux-aarch64-musl.so"),
    ("x86_64-apple-darwin", "libflinktraces-osx-x86_64.jnilib"),
    ("aarch64-apple-darwin", "libflinktraces-osx-arm64.jnilib"),
];

/// The largest jar for one target, in bytes.
const LARGEST: u64 = 4_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (options, targets): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with('-'));
    if options.iter().any(|option| ["-h", "--help"].contains(option)) {
        print!("{USAGE}");
        return Ok(());
    }
    let is_debug = match options[..] {
        [] => false,
        ["--debug"] => true,
        _ => bail!("unknown options {options:?}\n{USAGE}"),
    };
    Prerequisites::new("plugin/README.md").jdk().python_module("pip").check()?;
    let root = workspace_root()?;
    let jar = build(&root, &targets, is_debug)?;
    let size = fs::metadata(&jar)?.len();
    println!("{}: {:.2} MB", jar.display(), size as f64 / 1e6);
    let limit = LARGEST * targets.len().max(1) as u64;
    ensure!(is_debug || size <= limit, "the jar has {size} bytes, expected at most {limit}");
    Ok(())
}

fn build(root: &Path, targets: &[&str], is_debug: bool) -> Result<PathBuf> {
    let content = root.join("target/plugin/jar");
    recreate(&content)?;
    if targets.is_empty() {
        let host = host()?;
        let library = build_library(root, &["build"], None, is_debug)?;
        fs::copy(library, content.join(name_in_jar(&host)?))?;
    }
    for target in targets {
        let (library_target, glibc) = match target.split_once(".2.") {
            Some((library_target, minor)) => (
                library_target,
                Some(minor.parse::<u32>().with_context(|| format!("{target}: expected a number after .2."))?),
            ),
            None => (*target, None),
        };
        let name = name_in_jar(library_target)?;
        let library = build_library(root, &["zigbuild", "--target", target], Some(library_target), is_debug)?;
        if let Some(glibc) = glibc {
            let found = newest_glibc(&fs::read(&library)?);
            ensure!(
                found <= Some(glibc),
                "{} needs glibc 2.{}, expected 2.{glibc}",
                library.display(),
                found.unwrap_or(0)
            );
        }
        fs::copy(library, content.join(name))?;
    }
    compile_java(root, &content)?;
    copy_all(&root.join("plugin/java/resources"), &content)?;
    let information = content.join("META-INF");
    fs::copy(root.join("LICENSE"), information.join("LICENSE"))?;
    fs::write(information.join("NOTICE"), licenses::notice(root)?)?;
    let jar = root.join(format!("target/plugin/{PACKAGE}-{}.jar", env!("CARGO_PKG_VERSION")));
    run(Command::new("jar").args(["--create", "--file"]).arg(&jar).arg("-C").arg(&content).arg("."))?;
    Ok(jar)
}

/// Returns the target that rustc compiles for by default.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

fn name_in_jar(target: &str) -> Result<&'static str> {
    let found = LIBRARIES.iter().find(|(known, _)| *known == target);
    let known: Vec<_> = LIBRARIES.iter().map(|(target, _)| *target).collect();
    Ok(found.with_context(|| format!("unknown target {target}; available: {}", known.join(", ")))?.1)
}

/// Compiles the library and returns its path.
fn build_library(root: &Path, command: &[&str], target: Option<&str>, is_debug: bool) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(command).args(["--package", PACKAGE, "--lib"]).current_dir(root);
    // The variables that cargo sets for this program would make it rebuild some dependencies.
    for (name, _) in env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
            cargo.env_remove(name);
        }
    }
    if !is_debug {
        cargo.arg("--release");
    }
    if let Some(target) = target.filter(|target| target.ends_with("musl")) {
        // Without it, there are no dynamic libraries for this target.
        let target = target.replace('-', "_").to_uppercase();
        cargo.env(format!("CARGO_TARGET_{target}_RUSTFLAGS"), "-C target-feature=-crt-static");
    }
    run(&mut cargo)?;
    let extension = if target.is_some_and(|target| target.contains("darwin")) { "dylib" } else { "so" };
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.map_or(folder.clone(), |target| folder.join(target));
    let profile = if is_debug { "debug" } else { "release" };
    Ok(folder.join(profile).join(format!("lib{}.{extension}", PACKAGE.replace('-', "_"))))
}

/// Returns the minor version of the newest glibc 2 whose symbols a library names.
fn newest_glibc(library: &[u8]) -> Option<u32> {
    const START: &[u8] = b"GLIBC_2.";
    let versions = library.windows(START.len()).enumerate().filter(|(_, bytes)| *bytes == START);
    let minor = |(start, _): (usize, &[u8])| {
        let rest = &library[start + START.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
    };
    versions.filter_map(minor).max()
}

/// Compiles the Java side for Java 8 against the newest Flink, whose jars the first call downloads.
fn compile_java(root: &Path, classes: &Path) -> Result<()> {
    let flink = Distribution::prepare(VERSION)?;
    let sources = root.join("plugin/java/main/io/flinktraces");
    let mut javac = Command::new("javac");
    javac.args(["--release", "8", "-Xlint:-options", "-nowarn", "-cp"]).arg(flink.class_path()).arg("-d").arg(classes);
    for source in fs::read_dir(&sources)? {
        javac.arg(source?.path());
    }
    // It also warns that the jars of Flink are for a later version of Java.
    let output = javac.output().context("cannot start javac")?;
    ensure!(output.status.success(), "javac: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_has_a_name_or_is_refused() {
        assert_eq!(name_in_jar("x86_64-unknown-linux-gnu").unwrap(), "libflinktraces-linux64.so");
        let error = name_in_jar("riscv64gc-unknown-linux-gnu").unwrap_err().to_string();
        assert!(error.starts_with("unknown target riscv64gc-unknown-linux-gnu; available: x86_64"), "{error}");
    }

    #[test]
    fn newest_glibc_is_that_of_the_newest_symbol() {
        for (library, expected) in [
            (&b"\0GLIBC_2.2.5\0GLIBC_2.17\0GLIBC_2.3\0"[..], Some(17)),
            (b"GLIBC_2.34", Some(34)),
            (b"GLIBC_2.", None),
            (b"GLIBC_PRIVATE\0GLIBCXX_3.4", None),
            (b"", None),
        ] {
            assert_eq!(newest_glibc(library), expected);
        }
    }
}
