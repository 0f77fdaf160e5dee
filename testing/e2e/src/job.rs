//! The job of the sessions, compiled against Flink.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use harness::flink::Distribution;
use harness::{recreate, run, workspace_root};

use crate::target;

/// Compiles the job, and returns the path of a jar that a cluster can run.
pub(crate) fn compile(distribution: &Distribution) -> Result<PathBuf> {
    let sources = workspace_root()?.join("testing/e2e/java");
    let classes = target("classes")?;
    recreate(&classes)?;
    let mut javac = Command::new("javac");
    javac.arg("-cp").arg(distribution.class_path()).arg("-d").arg(&classes);
    run(javac.args(["StreamingJob.java", "UserReports.java"].map(|source| sources.join(source))))?;
    let job = target(&format!("streaming-job-{}.jar", distribution.version()))?;
    let mut jar = Command::new("jar");
    jar.args(["--create", "--main-class", "StreamingJob", "--file"]).arg(&job);
    run(jar.arg("-C").arg(classes).arg("."))?;
    Ok(job)
}
