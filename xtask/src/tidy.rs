//! `cargo xtask tidy`: what this workspace asks of itself and the compiler does not check.
//!
//! A rule is a function from what it looks at (a package, a file's text) to findings; only this file reads the disk.

mod arrows;
mod links;
mod manifest;
mod package;
mod text;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// The file, relative to the workspace.
    path: PathBuf,
    /// Its line, from 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

/// Checks all rules and lists all findings at once.
pub(crate) fn run(root: &Path) -> Result<()> {
    let findings = findings(root)?;
    findings.iter().for_each(|finding| println!("{finding}"));
    ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}

fn findings(root: &Path) -> Result<Vec<Finding>> {
    let packages = package::read_all(root)?;
    let exists = |path: &Path| root.join(path).exists();
    let mut findings = arrows::check(&packages);
    for package in &packages {
        findings.extend(manifest::check(package, &read(root, &package.manifest)?));
        findings.extend(package::check(package, &exists, &|path| read(root, path))?);
    }
    for path in files(root, Path::new(""))? {
        let text = read(root, &path)?;
        findings.extend(text::check(&path, &text));
        findings.extend(links::check(&path, &text, &exists));
    }
    findings.sort();
    Ok(findings)
}

fn read(root: &Path, path: &Path) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {}", path.display()))
}

/// All `.rs`, `.toml` and `.md` files under `folder`, build output and git's own excepted.
fn files(root: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = root.join(folder).read_dir().with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if !matches!(entry.file_name().to_str(), Some("target" | ".git")) {
                found.extend(files(root, &path)?);
            }
        } else if matches!(path.extension().and_then(|extension| extension.to_str()), Some("rs" | "toml" | "md")) {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_tidy() {
        let findings = findings(&crate::workspace_root().unwrap()).unwrap();
        let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(list.is_empty(), "\n{}", list.join("\n"));
    }
}
