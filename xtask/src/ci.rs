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
    step("every order of threads", || run_loom(root))?;
    step("cargo doc", || run_cargo(root, &["doc", "--workspace", "--no-deps"]))?;
    // Whether the packages also build takes minutes: to be seen before a release, without `--no-verify`.
    let package = ["package", "--quiet", "--workspace", "--no-verify", "--allow-dirty"];
    step("cargo package", || run_cargo(root, &package))
}

fn step(name: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("==> {name}");
    let start = Instant::now();
    action().with_context(|| format!("{name} failed"))?;
    println!("==> {name}: passed in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn run_cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    succeed(Command::new(cargo()).args(arguments).current_dir(root).env("RUSTDOCFLAGS", "-D warnings"))
}

/// The tests of the lane that loom runs: all is built for it, so it has a folder of its own.
fn run_loom(root: &Path) -> Result<()> {
    let mut test = Command::new(cargo());
    test.args(["test", "--package", "flink-traces-runtime", "--lib", "every_order"]).current_dir(root);
    succeed(test.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", root.join("target/loom")))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().context("cargo cannot be started")?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
