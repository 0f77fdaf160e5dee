//! The parts that the test harnesses share: prerequisites, processes, a Flink distribution, a real
//! OpenTelemetry Collector and stores behind it.
#![allow(clippy::print_stdout, reason = "a harness reports its progress on standard output")]

mod backends;
mod collector;
pub mod flink;
mod prerequisites;
mod process;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use backends::{Jaeger, VictoriaLogs, get};
pub use collector::{Collector, add_exporter, build_collector, exporter_to};
pub use prerequisites::Prerequisites;
pub use process::{ProcessGuard, build, run};

/// The recorded session of a real cluster that `flink-traces demo` shows.
pub const RECORDING: &str = "crates/flink-traces/recordings/flink-2.3.0-full.jsonl.gz";

/// The options of Chromium for a browser without a window that does nothing but show its page.
pub const CHROMIUM_ALONE: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Returns the folder of the workspace's checkout.
///
/// # Errors
///
/// Returns an error if the checkout was moved after this crate was compiled.
pub fn workspace_root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().with_context(|| format!("cannot find {}", root.display()))
}

/// Creates `folder`, or empties it if it exists.
///
/// # Errors
///
/// Returns an error if the folder cannot be emptied or created.
pub fn recreate(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Returns two free ports of the loopback interface, for programs that cannot choose them.
///
/// # Errors
///
/// Returns an error if there is no free port.
pub fn free_ports() -> io::Result<[u16; 2]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // Both are held until both are chosen, so that they differ.
    let [first, second] = [listen()?, listen()?];
    Ok([first.local_addr()?.port(), second.local_addr()?.port()])
}

/// Prints the step that begins.
pub fn say(step: &str) {
    println!("==> {step}");
}
