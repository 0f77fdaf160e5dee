//! The notice of the jar: every crate that is linked in, with its license.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A crate that is linked in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Linked {
    name: String,
    version: String,
    license: String,
    /// The texts of its license files.
    texts: BTreeSet<String>,
}

/// Returns the notice of the library: a list of crates, then each text of a license once.
pub(crate) fn notice(root: &Path) -> Result<String> {
    let mut metadata = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    metadata.args(["metadata", "--format-version", "1", "--locked"]).current_dir(root);
    let output = metadata.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata = serde_json::from_slice(&output.stdout)?;
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tree.args(["tree", "--package", super::PACKAGE, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let output = tree.current_dir(root).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let linked = linked(&String::from_utf8_lossy(&output.stdout));
    let crates = crates(&metadata, &linked).context("unexpected output of cargo metadata")?;
    Ok(format(&crates))
}

/// Returns names and versions from the output of `cargo tree`.
fn linked(tree: &str) -> BTreeSet<(String, String)> {
    let pair = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    tree.lines().filter_map(pair).collect()
}

/// Returns the crates of `linked` that are not members of the workspace.
fn crates(metadata: &Value, linked: &BTreeSet<(String, String)>) -> Option<BTreeSet<Linked>> {
    let mut crates = BTreeSet::new();
    for package in metadata["packages"].as_array()?.iter().filter(|package| !package["source"].is_null()) {
        let (name, version) = (package["name"].as_str()?.to_owned(), package["version"].as_str()?.to_owned());
        if linked.contains(&(name.clone(), version.clone())) {
            let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
            let license = package["license"].as_str().unwrap_or("see the text").to_owned();
            crates.insert(Linked { name, version, license, texts: texts(folder) });
        }
    }
    Some(crates)
}

/// Returns the texts of the license files in a folder.
fn texts(folder: &Path) -> BTreeSet<String> {
    let is_license = |name: &str| {
        let name = name.to_uppercase();
        ["LICEN", "COPYING", "COPYRIGHT", "NOTICE"].iter().any(|start| name.starts_with(start))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| is_license(&entry.file_name().to_string_lossy()));
    files.filter_map(|file| fs::read_to_string(file.path()).ok()).map(|text| text.replace("\r\n", "\n")).collect()
}

fn format(crates: &BTreeSet<Linked>) -> String {
    let mut text = "flink-traces\n\nThis product is licensed under the Apache License 2.0, see LICENSE.\n\
                    Its native library contains the following crates.\n\n"
        .to_owned();
    let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for Linked { name, version, license, texts } in crates {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name} {version}: {license}");
        texts.iter().for_each(|license| users.entry(license.trim()).or_default().push(format!("{name} {version}")));
    }
    for (license, users) in users {
        let line = "-".repeat(80);
        let _ = write!(text, "\n{line}\n{}\n{line}\n\n{license}\n", users.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_becomes_names_and_versions() {
        let tree = "flink-traces-plugin v0.1.0 (/a)\nring v0.17.14\nserde v1.0.2 (*)\nlibc v0.2.1\nring v0.17.14\n";
        let expected = [("flink-traces-plugin", "0.1.0"), ("libc", "0.2.1"), ("ring", "0.17.14"), ("serde", "1.0.2")];
        assert!(linked(tree).into_iter().eq(expected.map(|(name, version)| (name.to_owned(), version.to_owned()))));
    }

    #[test]
    fn equal_texts_are_listed_once() {
        let linked = |name: &str, texts: &[&str]| Linked {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: "MIT".to_owned(),
            texts: texts.iter().map(|&text| text.to_owned()).collect(),
        };
        let text = format(&[linked("a", &["one", "two"]), linked("b", &["one\n"])].into());
        assert!(text.contains("\na 1.0.0: MIT\nb 1.0.0: MIT\n"), "{text}");
        assert!(text.contains("\na 1.0.0, b 1.0.0\n") && text.contains("\n\ntwo\n"), "{text}");
        assert_eq!(text.matches("\none\n").count(), 1, "{text}");
    }
}
