//! `cargo xtask ci`: what every change must pass, in order.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::{cargo, tidy};

/// Runs all steps; the first that fails ends the run.
pub(crate) fn run(root: &Path) -> Result<()> {
    step("cargo fmt", || run_cargo(root, &["fmt", "--all", "--check"]))?;
    step("cargo clippy", || run_cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    step("tidy", || tidy::run(root))?;
    step("cargo test", || run_cargo(root, &["test", "--workspace"]))?;
    step("cargo doc", || run_cargo(root, &["doc", "--workspace", "--no-deps"]))
}

fn step(name: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("==> {name}");
    let start = Instant::now();
    action().with_context(|| format!("{name} failed"))?;
    println!("==> {name}: passed in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn run_cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    let status = Command::new(cargo())
        .args(arguments)
        .current_dir(root)
        .env("RUSTDOCFLAGS", "-D warnings")
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "cargo {}: {status}", arguments.join(" "));
    Ok(())
}
