//! `cargo xtask bench`: builds the benchmark and the program for release, Flink's side of it if that is asked for, and runs them all.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cargo;
use crate::e2e::distribution::{Distribution, VERSION, recreate, run as succeed};

/// Hands all arguments on but `--java`, for which it gets Flink from PyPI and compiles our harness against it.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    let with_flink = arguments.contains(&"--java");
    let target = root.join("target");
    let mut build = Command::new(cargo());
    build.args(["build", "--release", "--package", "flink-traces", "--package", "bench"]).current_dir(root);
    succeed(&mut build)?;
    let mut bench = Command::new(target.join("release/bench"));
    bench.args(arguments.iter().filter(|argument| **argument != "--java")).current_dir(root);
    bench.arg("--program").arg(target.join("release/flink-traces"));
    if with_flink {
        bench.arg("--class-path").arg(compile(root, &target)?);
    }
    succeed(&mut bench)
}

/// The class path of Flink's side.
fn compile(root: &Path, target: &Path) -> Result<String> {
    let distribution = Distribution::prepare(VERSION, root, &target.join("e2e"))?;
    let classes = target.join("bench/classes");
    recreate(&classes)?;
    let plugins = distribution.plugins();
    let jars =
        [distribution.class_path(), plugins.join("metrics-otel/*"), plugins.join("metrics-slf4j/*"), classes.clone()];
    let class_path = jars.map(|jar| jar.display().to_string()).join(":");
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-cp", &class_path, "-d"]).arg(&classes).arg(root.join("bench/java/Bench.java"));
    succeed(&mut javac)?;
    Ok(class_path)
}
