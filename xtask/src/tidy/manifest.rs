//! What a member's `Cargo.toml` leaves to the workspace: metadata, lints and the versions of its dependencies.

use super::Finding;
use super::package::Package;

/// Lines that stand in every member's manifest, each in its section.
const REQUIRED: &[(&str, &str)] = &[
    ("package", "version.workspace = true"),
    ("package", "edition.workspace = true"),
    ("package", RUST_VERSION),
    ("package", "license.workspace = true"),
    ("lints", "workspace = true"),
];

const RUST_VERSION: &str = "rust-version.workspace = true";

/// Reads the manifest line by line; members' manifests are too plain to need a parser.
pub(super) fn check(package: &Package, manifest: &str) -> Vec<Finding> {
    let mut missing = REQUIRED.to_vec();
    let mut findings = Vec::new();
    let mut section = "";
    for (line, content) in (1..).zip(manifest.lines().map(str::trim)) {
        if let Some(header) = content.strip_prefix('[') {
            section = header.trim_end_matches(']');
            continue;
        }
        // What is never published may need a later compiler.
        let is_own_version = !package.is_published && content.starts_with("rust-version = ");
        let found = if is_own_version { RUST_VERSION } else { content };
        missing.retain(|required| *required != (section, found));
        let is_entry = !content.is_empty() && !content.starts_with('#');
        if is_entry && is_dependencies(section) && !is_inherited(content) {
            let message =
                "versions of dependencies stand in the workspace's manifest: use `workspace = true` on this line";
            findings.push(Finding::new(&package.manifest, line, message));
        }
    }
    findings.extend(missing.iter().map(|(section, required)| {
        Finding::new(&package.manifest, 1, format!("`{required}` is missing in [{section}]"))
    }));
    findings
}

/// `dependencies`, `dev-dependencies`, `target.….dependencies`, also of the form `dependencies.name`.
fn is_dependencies(section: &str) -> bool {
    section.split('.').any(|part| part.ends_with("dependencies"))
}

/// Also a member's own features in its tests: with a version, that would have to be published before.
fn is_inherited(entry: &str) -> bool {
    entry.ends_with(".workspace = true")
        || ["{ workspace = true", "{ path = \".\","].iter().any(|part| entry.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[package]\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
        license.workspace = true\n[lints]\nworkspace = true\n";

    fn check_manifest(manifest: &str) -> Vec<String> {
        let package = Package { manifest: "Cargo.toml".into(), ..Package::default() };
        check(&package, manifest).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn metadata_and_lints_are_inherited() {
        assert_eq!(check_manifest(HEAD), [""; 0]);
        for (section, required) in REQUIRED {
            // The lints line alone is a part of the others.
            let manifest = HEAD.replacen(&format!("\n{required}\n"), "\n", 1);
            assert_eq!(check_manifest(&manifest), [format!("Cargo.toml:1: `{required}` is missing in [{section}]")]);
        }
    }

    #[test]
    fn versions_stand_in_the_workspace() {
        let inherited = "[dependencies]\n# why\nserde.workspace = true\ntokio = { workspace = true, features = [] }\n\
            [dev-dependencies]\nitself = { path = \".\", features = [] }\n";
        assert_eq!(check_manifest(&format!("{HEAD}{inherited}")), [""; 0]);
        for literal in [
            "[dependencies]\nserde = \"1\"",
            "[dev-dependencies]\nserde = { version = \"1\" }",
            "[target.'cfg(unix)'.dependencies]\nserde = { path = \"../serde\" }",
            "[dependencies.serde]\nversion = \"1\"",
        ] {
            let found = check_manifest(&format!("{HEAD}{literal}"));
            assert_eq!(found.len(), 1, "{literal}: {found:?}");
            assert!(found[0].starts_with("Cargo.toml:9: versions of dependencies"), "{found:?}");
        }
    }
}
