//! The workspace's packages as `cargo metadata` tells them, and what a package folder has to hold.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Finding;
use crate::cargo;

/// The first line of a library: its README is its documentation.
pub(super) const README_AS_DOC: &str = "#![doc = include_str!(\"../README.md\")]";

/// One member of the workspace.
#[derive(Debug, Default)]
pub(super) struct Package {
    pub(super) name: String,
    /// Relative to the workspace, as all paths here.
    pub(super) manifest: PathBuf,
    /// The names of normal and build dependencies, of every target and feature.
    pub(super) dependencies: Vec<String>,
    /// The root file of the library, where there is one.
    pub(super) library: Option<PathBuf>,
    pub(super) has_program: bool,
    pub(super) has_description: bool,
    pub(super) is_published: bool,
}

impl Package {
    pub(super) fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new(""))
    }
}

/// Asks cargo for all members.
pub(super) fn read_all(root: &Path) -> Result<Vec<Package>> {
    let output = Command::new(cargo())
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("cargo cannot be started")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    parse(&serde_json::from_slice(&output.stdout)?)
}

fn parse(metadata: &Value) -> Result<Vec<Package>> {
    let root = Path::new(text(&metadata["workspace_root"])?);
    let relative = |path: &Value| Ok::<_, anyhow::Error>(Path::new(text(path)?).strip_prefix(root)?.to_owned());
    list(&metadata["packages"])?
        .iter()
        .map(|package| {
            let mut parsed = Package {
                name: text(&package["name"])?.to_owned(),
                manifest: relative(&package["manifest_path"])?,
                has_description: package["description"].is_string(),
                // `publish = false` is an empty list of registries.
                is_published: package["publish"] != serde_json::json!([]),
                ..Package::default()
            };
            for dependency in list(&package["dependencies"])? {
                if dependency["kind"] != "dev" {
                    parsed.dependencies.push(text(&dependency["name"])?.to_owned());
                }
            }
            for target in list(&package["targets"])? {
                let kinds = list(&target["kind"])?;
                parsed.has_program |= kinds.iter().any(|kind| kind == "bin");
                if kinds.iter().any(|kind| kind == "lib") {
                    parsed.library = Some(relative(&target["src_path"])?);
                }
            }
            Ok(parsed)
        })
        .collect()
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("cargo metadata: a text was expected, not {value}"))
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("cargo metadata: a list was expected, not {value}"))
}

/// Folder, README and crate documentation of one package.
pub(super) fn check(
    package: &Package,
    exists: &dyn Fn(&Path) -> bool,
    read: &dyn Fn(&Path) -> Result<String>,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if package.folder().file_name().is_none_or(|folder| folder != package.name.as_str()) {
        let message = format!("package {} must lie in a folder of that name", package.name);
        findings.push(Finding::new(&package.manifest, 1, message));
    }
    if !package.has_description {
        findings.push(Finding::new(&package.manifest, 1, "`description` is missing"));
    }
    let is_example = package.folder().starts_with("examples");
    let readme = package.folder().join("README.md");
    if (package.folder().starts_with("crates") || is_example) && !exists(&readme) {
        findings.push(Finding::new(&readme, 1, "every crate has a README.md"));
    }
    if is_example && package.is_published {
        findings.push(Finding::new(&package.manifest, 1, "an example has `publish = false`"));
    }
    if let Some(library) = package.library.as_ref().filter(|_| !package.has_program && package.is_published)
        && read(library)?.lines().next() != Some(README_AS_DOC)
    {
        let message = format!("a library's first line is `{README_AS_DOC}`");
        findings.push(Finding::new(library, 1, message));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_package(package: &Package, readme: bool, library: &str) -> Vec<String> {
        let findings = check(package, &|_| readme, &|_| Ok(library.to_owned())).unwrap();
        findings.iter().map(Finding::to_string).collect()
    }

    fn package() -> Package {
        Package {
            name: "one".into(),
            manifest: "crates/one/Cargo.toml".into(),
            library: Some("crates/one/src/lib.rs".into()),
            has_description: true,
            is_published: true,
            ..Package::default()
        }
    }

    #[test]
    fn a_package_has_a_readme_a_description_and_its_own_folder() {
        assert_eq!(check_package(&package(), true, README_AS_DOC), [""; 0]);
        assert_eq!(
            check_package(&package(), false, README_AS_DOC),
            ["crates/one/README.md:1: every crate has a README.md"]
        );
        let renamed = Package { name: "two".into(), ..package() };
        assert_eq!(
            check_package(&renamed, true, README_AS_DOC),
            ["crates/one/Cargo.toml:1: package two must lie in a folder of that name"]
        );
        let silent = Package { has_description: false, ..package() };
        assert_eq!(check_package(&silent, true, README_AS_DOC), ["crates/one/Cargo.toml:1: `description` is missing"]);
    }

    #[test]
    fn an_example_has_a_readme_and_is_not_published() {
        let example = Package {
            name: "two".into(),
            manifest: "examples/two/Cargo.toml".into(),
            is_published: false,
            ..package()
        };
        assert_eq!(check_package(&example, true, "//! Shown."), [""; 0]);
        assert_eq!(check_package(&example, false, ""), ["examples/two/README.md:1: every crate has a README.md"]);
        let published = Package { is_published: true, library: None, ..example };
        assert_eq!(
            check_package(&published, true, ""),
            ["examples/two/Cargo.toml:1: an example has `publish = false`"]
        );
    }

    #[test]
    fn a_library_is_documented_by_its_readme() {
        let found = check_package(&package(), true, "//! Something else.");
        assert_eq!(found, [format!("crates/one/src/lib.rs:1: a library's first line is `{README_AS_DOC}`")]);
        let program = Package { has_program: true, ..package() };
        assert_eq!(check_package(&program, true, "//! Something else."), [""; 0]);
    }

    #[test]
    fn metadata_is_read() {
        let packages = parse(&json!({
            "workspace_root": "/somewhere",
            "packages": [{
                "name": "one",
                "manifest_path": "/somewhere/crates/one/Cargo.toml",
                "description": null,
                "publish": [],
                "dependencies": [
                    {"name": "normal", "kind": null},
                    {"name": "building", "kind": "build"},
                    {"name": "testing", "kind": "dev"},
                ],
                "targets": [
                    {"kind": ["lib"], "src_path": "/somewhere/crates/one/src/lib.rs"},
                    {"kind": ["bin"], "src_path": "/somewhere/crates/one/src/main.rs"},
                ],
            }],
        }))
        .unwrap();
        let [package] = packages.as_slice() else { panic!("one package expected: {packages:?}") };
        assert_eq!(package.dependencies, ["normal", "building"]);
        assert_eq!(package.library.as_deref(), Some(Path::new("crates/one/src/lib.rs")));
        assert!(package.has_program && !package.has_description && !package.is_published);
        assert_eq!(package.folder(), Path::new("crates/one"));
    }

    #[test]
    fn metadata_of_another_shape_is_an_error() {
        let error = parse(&json!({"workspace_root": "/", "packages": 3})).unwrap_err();
        assert_eq!(error.to_string(), "cargo metadata: a list was expected, not 3");
    }
}
