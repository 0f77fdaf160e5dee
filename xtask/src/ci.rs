//! `cargo xtask ci`: the checks that every change must pass, in order.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::tidy::package::read_all;
use crate::{tidy, trees};

/// The time limit for an example.
const EXAMPLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs all steps. The first that fails ends the run.
pub(crate) fn run(root: &Path) -> Result<()> {
    let all = ["--workspace", "--all-features"];
    let with_all = |before: &[&str], after: &[&str]| run_cargo(root, &[before, &all, after].concat());
    step("cargo fmt", || run_cargo(root, &["fmt", "--all", "--check"]))?;
    step("cargo clippy", || with_all(&["clippy"], &["--all-targets", "--", "-D", "warnings"]))?;
    step("tidy", || tidy::run(root))?;
    step("trees", || trees::run(root))?;
    step("cargo test", || with_all(&["test"], &[]))?;
    step("examples", || {
        with_all(&["build"], &["--examples"])?;
        run_examples(root)
    })?;
    step("loom", || run_loom(root))?;
    step("each feature alone", || check_features(root))?;
    step("cargo doc", || with_all(&["doc"], &["--no-deps"]))?;
    // Compiling the packages takes minutes, so `cargo xtask release` does that.
    step("cargo package", || package(root, &["--quiet", "--no-verify", "--allow-dirty"]))?;
    step("typos", || run_if_installed(root, "typos", &[]))?;
    step("cargo deny", || run_if_installed(root, "cargo-deny", &["check", "bans", "licenses", "sources"]))
}

pub(crate) fn step(name: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("==> {name}");
    let start = Instant::now();
    action().with_context(|| format!("{name} failed"))?;
    println!("==> {name}: passed in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

pub(crate) fn run_cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    // Incremental builds cost gigabytes of disk and save nothing in a fresh checkout.
    cargo.args(arguments).current_dir(root).env("CARGO_INCREMENTAL", "0").env("RUSTDOCFLAGS", "-D warnings");
    succeed(&mut cargo)
}

/// Runs the tests of thread interleavings. loom needs a build of its own, in a folder of its own.
fn run_loom(root: &Path) -> Result<()> {
    let mut test = Command::new(env!("CARGO"));
    test.args(["test", "--package", "flink-traces-runtime", "--lib", "every_order"]).current_dir(root);
    test.env("CARGO_INCREMENTAL", "0");
    succeed(test.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", root.join("target/loom")))
}

/// Packages the published crates. The other members have no versions that a package could name.
pub(crate) fn package(root: &Path, options: &[&str]) -> Result<()> {
    let packages = read_all(root)?;
    let published = packages.iter().filter(|package| package.is_published);
    let names = published.flat_map(|package| ["--package", package.name.as_str()]);
    run_cargo(root, &["package"].into_iter().chain(options.iter().copied()).chain(names).collect::<Vec<_>>())
}

/// Runs every example of the published crates to its end, in an empty folder.
fn run_examples(root: &Path) -> Result<()> {
    let folder = root.join("target/examples");
    for package in read_all(root)?.iter().filter(|package| package.is_published) {
        for name in &package.examples {
            std::fs::create_dir_all(&folder)?;
            let mut example = Command::new(root.join("target/debug/examples").join(name));
            example.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null());
            let start = Instant::now();
            let mut process = example.spawn().with_context(|| format!("cannot start the example {name}"))?;
            let status = loop {
                if let Some(status) = process.try_wait()? {
                    break status;
                }
                if start.elapsed() > EXAMPLE_TIMEOUT {
                    process.kill()?;
                    bail!("the example {name} of {} did not end in {EXAMPLE_TIMEOUT:?}", package.name);
                }
                sleep(Duration::from_millis(20));
            };
            ensure!(status.success(), "the example {name} of {}: {status}", package.name);
            println!("{}: {name}", package.name);
            std::fs::remove_dir_all(&folder)?;
        }
    }
    Ok(())
}

/// Checks every published crate without features, and with each feature alone.
fn check_features(root: &Path) -> Result<()> {
    for package in read_all(root)?.iter().filter(|package| package.is_published && !package.features.is_empty()) {
        let check = ["check", "--quiet", "--package", &package.name, "--no-default-features"];
        run_cargo(root, &check)?;
        for feature in &package.features {
            println!("{}: {feature}", package.name);
            run_cargo(root, &[&check[..], &["--features", feature]].concat())?;
        }
    }
    Ok(())
}

/// Runs a tool that needs an installation of its own, or says that it was skipped.
fn run_if_installed(root: &Path, tool: &str, arguments: &[&str]) -> Result<()> {
    if Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        println!("skipped: {tool} is not installed");
        return Ok(());
    }
    succeed(Command::new(tool).args(arguments).current_dir(root))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
