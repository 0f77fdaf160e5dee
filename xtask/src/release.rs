//! `cargo xtask release`: the checks before a release, as RELEASING.md describes it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::ci::{package, step};

/// Checks version, changelog, tag and packages. Publishes nothing.
pub(crate) fn run(root: &Path) -> Result<()> {
    let read = |name: &str| std::fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"));
    let manifest = read("Cargo.toml")?;
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    let version = version.context("Cargo.toml: expected `version = \"…\"` in [workspace.package]")?;
    step("changelog", || check_changelog(&read("CHANGELOG.md")?, version))?;
    step("git", || {
        let git = |arguments: &[&str]| {
            let output = Command::new("git").args(arguments).current_dir(root).output().context("cannot start git")?;
            anyhow::Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        ensure!(git(&["status", "--porcelain"])?.is_empty(), "the checkout has uncommitted changes");
        let tag = format!("v{version}");
        ensure!(git(&["tag", "--list", &tag])?.is_empty(), "the tag {tag} exists");
        Ok(())
    })?;
    // Cargo keeps what it unpacked of a version, so the packages need a new folder.
    let target = root.join("target/release-check");
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    let folder = target.to_string_lossy();
    step("packages", || package(root, &["--quiet", "--target-dir", &folder]))?;
    println!("{version} is ready: continue with RELEASING.md");
    Ok(())
}

/// Checks that the changelog has a section for the version, and nothing unreleased.
fn check_changelog(changelog: &str, version: &str) -> Result<()> {
    let mut sections = changelog.split("\n## ").skip(1);
    let unreleased = sections.next().and_then(|section| section.strip_prefix("Unreleased"));
    ensure!(unreleased.is_some_and(|text| text.trim().is_empty()), "expected an empty section `Unreleased` first");
    let section = sections.next().and_then(|section| section.strip_prefix(version));
    ensure!(section.is_some(), "expected the section `{version}` next");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_a_section_in_the_changelog() {
        for (text, expected) in [
            ("# Log\n\n## Unreleased\n\n## 1.2.0\n\n- A.\n", true),
            ("# Log\n\n## Unreleased\n\n- B.\n\n## 1.2.0\n", false),
            ("# Log\n\n## Unreleased\n\n## 1.1.0\n", false),
            ("# Log\n\n## 1.2.0\n", false),
        ] {
            assert_eq!(check_changelog(text, "1.2.0").is_ok(), expected, "{text}");
        }
    }
}
