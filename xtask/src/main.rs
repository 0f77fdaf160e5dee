//! The tasks of the workspace; `cargo xtask` lists them.
#![allow(clippy::print_stdout, reason = "a command line program prints its results")]

mod ci;
mod deb;
mod release;
mod tidy;
mod trees;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  ci       all checks that a change must pass
  tidy     the rules for dependencies, manifests, comments, documents and imports
  plugin   the jar of the Flink plugin; `cargo xtask plugin --help` lists its options
  deb      the Debian package, by `cargo deb`; with `--no-build` of the program in target/release
  trees    the packages that a user of few crates compiles
  release  the checks before a release: versions, changelog, tag and packages

The test harnesses are commands of their own; see docs/testing.md.
";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let root = workspace_root()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["ci"] => ci::run(&root),
        ["tidy"] => tidy::run(&root),
        ["plugin", options @ ..] => {
            ci::run_cargo(&root, &[&["run", "--quiet", "--package", "plugin", "--"], options].concat())
        }
        ["deb"] => deb::run(&root, false),
        ["deb", "--no-build"] => deb::run(&root, true),
        ["trees"] => trees::run(&root),
        ["release"] => release::run(&root),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        unknown => bail!("unknown command {:?}\n{USAGE}", unknown.join(" ")),
    }
}

/// Returns the folder of the workspace's checkout.
fn workspace_root() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?)
}
