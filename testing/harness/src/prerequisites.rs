//! A check of everything that a harness needs, before it starts anything.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

/// The prerequisites of one harness. All that are missing are reported at once.
#[derive(Debug)]
pub struct Prerequisites {
    readme: &'static str,
    path: Vec<PathBuf>,
    missing: Vec<String>,
}

impl Prerequisites {
    /// Starts a check. `readme` names the document that lists the prerequisites.
    #[must_use]
    pub fn new(readme: &'static str) -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        Self { readme, path: env::split_paths(&path).collect(), missing: Vec::new() }
    }

    /// Requires Linux.
    #[must_use]
    pub fn linux(self) -> Self {
        self.require(cfg!(target_os = "linux"), "Linux")
    }

    /// Requires a JDK with its tools on the `PATH`.
    #[must_use]
    pub fn jdk(self) -> Self {
        ["java", "javac", "jar"].into_iter().fold(self, |all, tool| all.program(tool, "a JDK 17 or later"))
    }

    /// Requires the Go toolchain, which builds the programs of other projects.
    #[must_use]
    pub fn go(self) -> Self {
        self.program("go", "Go 1.26 or later")
    }

    /// Requires a program on the `PATH`, and says which package has it.
    #[must_use]
    pub fn program(self, name: &str, package: &str) -> Self {
        let is_there = self.path.iter().any(|folder| folder.join(name).is_file());
        self.require(is_there, &format!("`{name}` on the PATH ({package})"))
    }

    /// Requires a module of `python3`, such as `pip`.
    #[must_use]
    pub fn python_module(self, module: &str) -> Self {
        let mut python = Command::new("python3");
        python.args(["-c", &format!("import {module}")]).stdout(Stdio::null()).stderr(Stdio::null());
        let is_there = python.status().is_ok_and(|status| status.success());
        self.require(is_there, &format!("`python3` with the module `{module}`"))
    }

    /// Requires that one of these files exists.
    #[must_use]
    pub fn file<P: AsRef<Path>>(self, candidates: &[P], package: &str) -> Self {
        let is_there = candidates.iter().any(|path| path.as_ref().exists());
        let names: Vec<_> = candidates.iter().map(|path| path.as_ref().display().to_string()).collect();
        self.require(is_there, &format!("{} ({package})", names.join(" or ")))
    }

    /// Requires an optimized build, without which times mean nothing.
    #[must_use]
    pub fn optimized(self, command: &str) -> Self {
        self.require(!cfg!(debug_assertions), &format!("an optimized build: `{command}`"))
    }

    /// Requires `is_met`, which `name` describes.
    #[must_use]
    pub fn require(mut self, is_met: bool, name: &str) -> Self {
        if !is_met {
            self.missing.push(name.to_owned());
        }
        self
    }

    /// Ends the check.
    ///
    /// # Errors
    ///
    /// Returns an error that lists all missing prerequisites.
    pub fn check(self) -> Result<()> {
        let Self { readme, missing, .. } = self;
        ensure!(missing.is_empty(), "missing prerequisites: {}; see {readme}", missing.join(", "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_missing_prerequisites_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there"), "").unwrap();
        let start = || Prerequisites { readme: "README.md", path: vec![folder.path().into()], missing: Vec::new() };
        start().program("there", "any").require(true, "root").check().unwrap();
        let error = start().program("strace", "Debian: strace").program("there", "").require(false, "root").check();
        assert_eq!(
            error.unwrap_err().to_string(),
            "missing prerequisites: `strace` on the PATH (Debian: strace), root; see README.md"
        );
    }
}
