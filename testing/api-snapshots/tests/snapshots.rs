//! The public API of each published library crate, compared with `crates/<crate>/public-api.txt`.
//!
//! `UPDATE_EXPECT=1 cargo test --package api-snapshots` writes the snapshots.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect_file;
use serde_json::Value;

/// The comment that says why a public type can never grow.
const REASON: &str = "// Exhaustive: ";

#[test]
fn public_apis_equal_their_snapshots() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut crates: Vec<PathBuf> =
        fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    // What is never published has no users whose code could break.
    crates.retain(|folder| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        folder.join("src/lib.rs").exists() && !manifest.contains("publish = false")
    });
    crates.sort();
    let names: Vec<&str> = crates.iter().map(|folder| folder.file_name().unwrap().to_str().unwrap()).collect();
    document(&root, &names);
    let mut frozen = Vec::new();
    for (folder, name) in crates.iter().zip(names) {
        let json = root.join(format!("target/doc/{}.json", name.replace('-', "_")));
        let api = public_api::Builder::from_rustdoc_json(&json).omit_auto_derived_impls(true);
        let api = api.omit_auto_trait_impls(true).omit_blanket_impls(true).build().unwrap();
        expect_file![folder.join("public-api.txt")].assert_eq(&api.to_string());
        let documentation = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        frozen.extend(types_that_cannot_grow(&documentation, &root));
    }
    assert!(frozen.is_empty(), "expected `#[non_exhaustive]` or `{REASON}…` above:\n{}", frozen.join("\n"));
}

/// Writes the rustdoc JSON of the crates to `target/doc`.
fn document(root: &Path, crates: &[&str]) {
    let mut doc = Command::new(env::var_os("CARGO").unwrap());
    doc.args(["doc", "--quiet", "--lib", "--no-deps", "--all-features", "--offline"]).current_dir(root);
    doc.args(crates.iter().flat_map(|name| ["--package", name]));
    doc.env("RUSTDOC", env!("CARGO_BIN_EXE_rustdoc-json"));
    doc.env("RUSTDOCFLAGS", "-Zunstable-options --output-format json --cap-lints allow");
    // The variables that cargo sets for the test would make it rebuild some dependencies.
    for (name, _) in env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
            doc.env_remove(name);
        }
    }
    assert!(doc.status().unwrap().success(), "cargo doc failed");
}

/// Returns the public enums, and the structs with public fields, that are neither
/// `#[non_exhaustive]` nor explained.
fn types_that_cannot_grow(documentation: &Value, root: &Path) -> Vec<String> {
    let index = documentation["index"].as_object().unwrap();
    let is_public = |id: &Value| index.get(&id.to_string()).is_some_and(|item| item["visibility"] == "public");
    let mut frozen = Vec::new();
    for item in index.values().filter(|item| item["crate_id"] == 0 && item["visibility"] == "public") {
        let kind = &item["inner"]["struct"]["kind"];
        let fields = kind["plain"]["fields"].as_array().or_else(|| kind["tuple"].as_array());
        let is_open = item["inner"]["enum"].is_object() || fields.is_some_and(|fields| fields.iter().any(is_public));
        let file = item["span"]["filename"].as_str();
        let line = item["span"]["begin"][0].as_u64();
        let (true, Some(file), Some(line)) = (is_open, file, line) else { continue };
        let source = fs::read_to_string(root.join(file)).unwrap();
        let lines: Vec<&str> = source.lines().take(usize::try_from(line).unwrap()).collect();
        if !item["attrs"].to_string().contains("non_exhaustive") && !has_reason(&lines) {
            frozen.push(format!("{file}:{line}: {}", item["name"].as_str().unwrap()));
        }
    }
    frozen.sort();
    frozen
}

/// Returns `true` if a reason is among the comments and attributes above the last line.
fn has_reason(lines: &[&str]) -> bool {
    let above = lines.iter().rev().skip(1).map(|line| line.trim());
    let mut above =
        above.take_while(|line| !line.is_empty() && (line.starts_with("//") || !line.ends_with(['}', ';', '{'])));
    above.any(|line| line.starts_with(REASON))
}

#[test]
fn a_reason_belongs_to_the_next_type() {
    for (source, expected) in [
        ("// Exhaustive: two sides.\n/// Doc.\n#[derive(Debug)]\npub enum A {", true),
        ("/// Doc;\n// Exhaustive: two sides.\n/// Doc.\npub enum A {", true),
        ("// Exhaustive: two sides.\npub enum A {}\n/// Doc.\npub enum B {", false),
        ("// Exhaustive: two sides.\n\n/// Doc.\npub enum B {", false),
        ("/// Doc.\npub enum A {", false),
    ] {
        assert_eq!(has_reason(&source.lines().collect::<Vec<_>>()), expected, "{source}");
    }
}
