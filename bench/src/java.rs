//! The benchmark program for Flink's reporters.

use std::process::Command;

use anyhow::Result;
use harness::flink::{Distribution, VERSION};
use harness::{recreate, run, workspace_root};

/// Compiles the Java program against Flink, and returns the class path that runs it.
pub(crate) fn compile() -> Result<String> {
    let root = workspace_root()?;
    let distribution = Distribution::prepare(VERSION)?;
    let classes = root.join("target/bench/classes");
    recreate(&classes)?;
    let plugins = distribution.plugins();
    let jars =
        [distribution.class_path(), plugins.join("metrics-otel/*"), plugins.join("metrics-slf4j/*"), classes.clone()];
    let class_path = jars.map(|jar| jar.display().to_string()).join(":");
    let mut javac = Command::new("javac");
    let sources = ["Bench.java", "Spans.java"].map(|name| root.join("bench/java").join(name));
    javac.args(["-nowarn", "-cp", &class_path, "-d"]).arg(&classes).args(sources);
    run(&mut javac)?;
    Ok(class_path)
}
