//! Processes that a harness starts.

use std::env;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};

/// A child process that is killed when this is dropped.
#[derive(Debug)]
pub struct ProcessGuard(Child);

impl From<Child> for ProcessGuard {
    fn from(process: Child) -> Self {
        Self(process)
    }
}

impl Deref for ProcessGuard {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for ProcessGuard {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        // Both fail if the process has already been reaped, which is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end.
///
/// # Errors
///
/// Returns an error if the program cannot be started or does not exit with code 0.
pub fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program}: {status}");
    Ok(())
}

/// Builds a program of this workspace, optimized if the calling harness is, and returns its path.
///
/// # Errors
///
/// Returns an error if the program does not compile.
pub fn build(package: &str) -> Result<PathBuf> {
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--package", package]).current_dir(crate::workspace_root()?);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    // The variables that cargo sets for the harness would make it rebuild some dependencies.
    for (name, _) in env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
            build.env_remove(name);
        }
    }
    run(&mut build)?;
    // Cargo puts both programs of one profile into the same folder.
    Ok(env::current_exe()?.with_file_name(format!("{package}{}", env::consts::EXE_SUFFIX)))
}
