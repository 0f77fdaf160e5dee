//! The workspace's own commands; `cargo xtask` lists them.
#![allow(clippy::print_stdout, reason = "a command line program answers on standard output")]

mod ci;
mod tidy;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  ci     everything a change must pass: formatting, lints, tidy, tests, documentation, packages
  tidy   what this workspace asks of its manifests, sources and documents, beyond the compiler
";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = workspace_root()?;
    match arguments.as_slice() {
        ["ci"] => ci::run(&root),
        ["tidy"] => tidy::run(&root),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        unknown => bail!("unknown command {:?}\n{USAGE}", unknown.join(" ")),
    }
}

/// Where the workspace was checked out.
fn workspace_root() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?)
}

/// The cargo that runs this program, else the one on `PATH`.
fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
