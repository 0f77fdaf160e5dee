//! The workspace's own commands; `cargo xtask` lists them.
#![allow(clippy::print_stdout, reason = "a command line program answers on standard output")]

mod bench;
mod ci;
mod e2e;
mod faults;
mod interop;
mod load;
mod parity;
mod tidy;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  ci     everything a change must pass: formatting, lints, tidy, tests, documentation, packages
  bench  what tracing costs with this workspace and with others; [--rounds N] [--only WORK]... [--output FOLDER] [--java]
  e2e    what flink-traces reports of a real Flink cluster, compared with what Flink itself reports; see CONTRIBUTING.md
  rest-e2e
         real Flink clusters of several versions, driven by flink-rest's client alone; [--version V]; see CONTRIBUTING.md
  cli-e2e
         Flink's own command line, of several versions, on the REST API of the example engine; [--version V]
  web-e2e
         Flink's own web UI, of several versions, on the same, and the picture of it in docs; [--version V]
  parity what our trackers report, compared with what Flink's own classes do; [--sequences N] [--configurations N] [--seed S] [--record]
  interop
         a recorded session sent in every way, read by Python's opentelemetry-proto and by rotel; see CONTRIBUTING.md
  faults the program while its disk, its clock, its collector and its descriptors fail; [NAME], or day [HOURS]; see CONTRIBUTING.md
  scale  checkpoints of up to a million subtasks over OTLP; needs `cargo run --release --package xtask -- scale`
  outage a minute without a collector at 10,000 spans a second; needs `cargo run --release --package xtask -- outage`
  tidy   what this workspace asks of its manifests, sources and documents, beyond the compiler
";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = workspace_root()?;
    match arguments.as_slice() {
        ["ci"] => ci::run(&root),
        ["bench", arguments @ ..] => bench::run(&root, arguments),
        ["tidy"] => tidy::run(&root),
        ["e2e"] => e2e::run(&root),
        ["rest-e2e", arguments @ ..] => e2e::rest_session::run(&root, arguments),
        ["web-e2e", arguments @ ..] => e2e::web::run(&root, arguments),
        ["cli-e2e", arguments @ ..] => e2e::cli::run(&root, arguments),
        ["interop"] => interop::run(&root),
        ["faults", arguments @ ..] => faults::run(&root, arguments),
        ["scale"] => load::scale::run(),
        ["outage", names @ ..] => load::outage::run(names),
        // The process that these two look at.
        ["sender", arguments @ ..] => load::sender::run(arguments),
        ["parity", arguments @ ..] => parity::run(&root, arguments),
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
