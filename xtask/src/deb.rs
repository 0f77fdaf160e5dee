//! `cargo xtask deb`: the Debian package of the program, by `cargo deb`.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::ci::{run_cargo, step};

/// The shells, and the names under which they look for completions.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "flink-traces"), ("zsh", "_flink-traces"), ("fish", "flink-traces.fish")];

/// Builds the package into `target/debian`. With `is_built`, the optimized program is there.
pub(crate) fn run(root: &Path, is_built: bool) -> Result<()> {
    if !is_built {
        step("program", || run_cargo(root, &["build", "--release", "--locked", "--package", "flink-traces"]))?;
    }
    let program = root.join("target/release/flink-traces");
    let folder = root.join("target/debian");
    let (pages, completions) = (folder.join("man"), folder.join("completions"));
    step("manual pages and completions", || {
        for folder in [&pages, &completions] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
            fs::create_dir_all(folder)?;
        }
        run_program(Command::new(&program).arg("man").arg(&pages))?;
        for (shell, name) in COMPLETIONS {
            let file = File::create(completions.join(name))?;
            run_program(Command::new(&program).args(["completions", shell]).stdout(Stdio::from(file)))?;
        }
        Ok(())
    })?;
    step("package", || run_cargo(root, &["deb", "--package", "flink-traces", "--no-build"]))
}

fn run_program(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(status.success(), "{}: {status}", command.get_program().display());
    Ok(())
}
