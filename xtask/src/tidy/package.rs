//! The members of the workspace, their manifests, their READMEs and their examples.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Finding;

/// Lines of every member's manifest, which leave a value to the workspace.
pub(super) const INHERITED: [&str; 5] = [
    "version.workspace = true",
    "edition.workspace = true",
    "rust-version.workspace = true",
    "license.workspace = true",
    "[lints]\nworkspace = true",
];

/// A member of the workspace.
#[derive(Debug, Default, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// The path of the manifest, relative to the workspace.
    pub(crate) manifest: PathBuf,
    /// The names of normal and build dependencies, of every target and feature.
    pub(crate) dependencies: Vec<String>,
    pub(crate) features: Vec<String>,
    /// The names of the examples.
    pub(crate) examples: Vec<String>,
    pub(crate) has_library: bool,
    pub(crate) has_description: bool,
    pub(crate) is_published: bool,
}

impl Package {
    pub(crate) fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new(""))
    }
}

/// Reads all members from `cargo metadata`.
pub(crate) fn read_all(root: &Path) -> Result<Vec<Package>> {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(root);
    let output = metadata.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    parse(&serde_json::from_slice(&output.stdout)?).context("unexpected output of cargo metadata")
}

fn parse(metadata: &Value) -> Option<Vec<Package>> {
    let root = metadata["workspace_root"].as_str()?;
    let names = |list: &Value, wanted: &dyn Fn(&Value) -> bool| {
        let wanted = list.as_array()?.iter().filter(|value| wanted(value));
        wanted.map(|value| Some(value["name"].as_str()?.to_owned())).collect::<Option<Vec<_>>>()
    };
    let has_kind =
        |target: &Value, kind: &str| target["kind"].as_array().is_some_and(|kinds| kinds.contains(&kind.into()));
    let package = |package: &Value| {
        Some(Package {
            name: package["name"].as_str()?.to_owned(),
            manifest: Path::new(package["manifest_path"].as_str()?).strip_prefix(root).ok()?.to_owned(),
            dependencies: names(&package["dependencies"], &|dependency| dependency["kind"] != "dev")?,
            features: package["features"].as_object()?.keys().cloned().collect(),
            examples: names(&package["targets"], &|target| has_kind(target, "example"))?,
            has_library: !names(&package["targets"], &|target| has_kind(target, "lib"))?.is_empty(),
            has_description: package["description"].is_string(),
            // `publish = false` is an empty list of registries.
            is_published: package["publish"] != serde_json::json!([]),
        })
    };
    metadata["packages"].as_array()?.iter().map(package).collect()
}

/// Checks the files of a package. `read` returns `None` for a missing file.
pub(super) fn check(package: &Package, read: &dyn Fn(&Path) -> Option<String>) -> Vec<Finding> {
    let mut messages = Vec::new();
    let manifest = read(&package.manifest).unwrap_or_default();
    let mut require = |is_met: bool, message: String| messages.extend((!is_met).then_some(message));
    let name = &package.name;
    require(package.folder().ends_with(name), format!("package {name} must be in a folder of that name"));
    require(package.has_description, "`description` is missing".to_owned());
    for inherited in INHERITED {
        // A member that is never published may need a later compiler.
        let is_own =
            !package.is_published && inherited.starts_with("rust-version") && manifest.contains("\nrust-version = ");
        require(is_own || manifest.contains(inherited), format!("`{}` is missing", inherited.replace('\n', " ")));
    }
    for section in
        manifest.split("\n[").filter(|section| section.split(']').next().unwrap_or_default().contains("dependencies"))
    {
        for entry in section.lines().skip(1).filter(|line| line.contains('=') && !line.starts_with('#')) {
            // A member may depend on itself to enable its features in tests. Tests may name a
            // member by its path, because that one may be published later.
            let is_of_tests = section.split(']').next().unwrap_or_default().contains("dev-dependencies");
            let is_path = is_of_tests && entry.contains("{ path = \"") && !entry.contains("version");
            let is_inherited = is_path || entry.contains("workspace = true");
            require(is_inherited, format!("use `workspace = true` instead of a version: {entry}"));
        }
    }
    let is_crate = package.folder().starts_with("crates");
    // A library for another program, such as a plugin's, is linked and not published.
    let is_linked = is_crate && !package.is_published && !package.has_library;
    let is_in_place = is_crate == package.is_published || is_linked;
    require(is_in_place, "published packages are in `crates`, and only these".to_owned());
    let readme = read(&package.folder().join("README.md"));
    require(readme.is_some(), "README.md is missing".to_owned());
    if let (true, Some(readme)) = (is_crate && package.is_published, readme) {
        let commands = ["cargo add", "cargo add --dev", "cargo install"];
        let installs = commands.map(|command| format!("{command} {name}"));
        require(installs.iter().any(|line| readme.contains(line)), "README.md has no install line".to_owned());
        require(package.has_library == (name != "flink-traces"), "only flink-traces has no library".to_owned());
        if package.has_library {
            let blocks: Vec<_> = readme.split("```rust").skip(1).filter_map(|rest| rest.split("```").next()).collect();
            require(blocks.len() == 1, format!("README.md has {} `rust` blocks, expected 1", blocks.len()));
            let is_hidden = |line: &str| line.starts_with("# ") || line == "#";
            let has_hidden = blocks.iter().any(|block| block.lines().any(is_hidden));
            require(!has_hidden, "README.md has hidden lines in its `rust` block".to_owned());
            let library = read(&package.folder().join("src/lib.rs")).unwrap_or_default();
            let is_compiled = library.contains("doctest") && library.contains("include_str!(\"../README.md\")");
            require(is_compiled, "lib.rs does not compile README.md by `#[cfg(doctest)]`".to_owned());
            require(!package.examples.is_empty(), "the folder `examples` has no example".to_owned());
            require(manifest.contains("[package.metadata.docs.rs]"), "metadata for docs.rs is missing".to_owned());
        }
    }
    messages.into_iter().map(|message| Finding::new(&package.manifest, 1, message)).collect()
}
