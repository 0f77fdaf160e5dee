//! `cargo xtask trees`: the packages that a user of few crates compiles.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The crates of the smallest useful engine, and the number of packages that they must stay below.
const SMALLEST: &[&str] = &["flink-traces-api", "flink-traces-runtime", "flink-traces-json"];
const SMALLEST_LIMIT: usize = 30;

/// The client without TLS, and the starts of the names of packages that only TLS needs.
const WITHOUT_TLS: &[&str] = &["--no-default-features", "--features", "client"];
const ONLY_TLS: &[&str] = &["rustls", "ring", "hyper-rustls", "tokio-rustls"];

pub(crate) fn run(root: &Path) -> Result<()> {
    let smallest = packages(root, SMALLEST, &[])?;
    println!("{}: {} packages", SMALLEST.join(" + "), smallest.len());
    ensure!(smallest.len() < SMALLEST_LIMIT, "expected fewer than {SMALLEST_LIMIT} packages, found {smallest:?}");

    let client = packages(root, &["flink-rest"], WITHOUT_TLS)?;
    println!("flink-rest with the feature client: {} packages", client.len());
    let is_of_tls = |package: &&String| ONLY_TLS.iter().any(|start| package.starts_with(start));
    let found: Vec<_> = client.iter().filter(is_of_tls).collect();
    ensure!(found.is_empty(), "expected no TLS without the feature tls, found {found:?}");
    Ok(())
}

/// Returns the packages that a build of `crates` compiles, including these, as `name version`.
fn packages(root: &Path, crates: &[&str], features: &[&str]) -> Result<BTreeSet<String>> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--quiet", "--prefix", "none", "--edges", "normal,build"]).args(features).current_dir(root);
    tree.args(crates.iter().flat_map(|name| ["--package", name]));
    let output = tree.output().with_context(|| format!("cannot start {tree:?}"))?;
    ensure!(output.status.success(), "{tree:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    // A line has the name, the version, and marks such as `(proc-macro)` and `(*)`.
    let lines = text.lines().filter_map(|line| line.split_once(" v"));
    Ok(lines.map(|(name, rest)| format!("{name} {}", rest.split(' ').next().unwrap_or_default())).collect())
}
