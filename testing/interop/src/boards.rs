//! The Grafana boards, read by the types of Grafana's own SDK for Go.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::run as run_to_end;

use crate::Setup;

/// Checks every board of `dashboards`.
pub(crate) fn run(setup: &Setup) -> Result<()> {
    let entries = fs::read_dir(setup.root.join("dashboards"))?.map(|entry| Ok(entry?.path()));
    let mut boards = entries.collect::<Result<Vec<PathBuf>>>()?;
    boards.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    boards.sort();
    ensure!(!boards.is_empty(), "dashboards has no board");
    let mut check = Command::new("go");
    check.args(["run", "."]).args(&boards).current_dir(setup.root.join("testing/interop/boards"));
    run_to_end(&mut check).context("a board is invalid")
}
