//! Statements of the documents that a program can check: excerpts, and the names of tests.

#[path = "../../src/documents/files.rs"]
mod files;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use files::{blocks, documents, root};

/// A test is named `crate/tests/file.rs::name`, without the folder `crates`.
#[test]
fn tests_named_in_documents_exist() {
    let mut count = 0;
    for (path, document) in documents() {
        for named in document.split('`').skip(1).step_by(2) {
            let Some((file, name)) = named.split_once(".rs::") else { continue };
            let source = fs::read_to_string(root().join("crates").join(format!("{file}.rs")));
            let source = source.unwrap_or_else(|error| panic!("{path}: {named}: {error}"));
            assert!(source.contains(&format!("fn {name}(")), "{path}: {named}: no such test");
            count += 1;
        }
    }
    assert!(count >= 30, "{count} tests");
}

/// Every row with the status `same` or `different` names a proof.
#[test]
fn every_parity_row_names_its_proof() {
    let document = fs::read_to_string(root().join("docs/flink-parity.md")).unwrap();
    let tables = document.split("| Flink | Status | Here | Proof |\n|---|---|---|---|\n").skip(1);
    let rows = tables.flat_map(|table| table.lines().take_while(|line| line.starts_with('|')));
    let mut known = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let ["", _, status, _, proof, ""] = cells.as_slice() else { panic!("four cells expected: {row}") };
        let is_claim = match *status {
            "same" | "different" => true,
            "not available" | "none" => false,
            unknown => panic!("unknown status {unknown:?}: {row}"),
        };
        assert!(!is_claim || proof.contains(".rs::"), "no test is named: {row}");
        known.insert(*status);
    }
    assert_eq!(known.len(), 4, "{known:?}");
}

/// The demo prints each line of the excerpt in the README, in the same order.
#[test]
fn readme_excerpt_matches_demo_output() {
    let document = fs::read_to_string(root().join("README.md")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flink-traces")).arg("demo").current_dir(&directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    let [excerpt] = blocks(&document, "text")[..] else { panic!("one excerpt expected") };
    let mut lines = printed.lines();
    for line in excerpt.lines().filter(|line| *line != "…") {
        assert!(lines.any(|printed| printed == line), "not printed, or in another order: {line}");
    }
}

/// Appends the Rust sources below `directory` to `sources`.
fn read_sources(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// A symptom in backticks that contains a blank is a text of the log.
#[test]
fn troubleshooting_quotes_texts_of_the_log() {
    let document = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let (_, table) = document.split_once("\n## Troubleshooting\n").unwrap();
    let mut sources = String::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        read_sources(&entry.unwrap().path().join("src"), &mut sources);
    }
    let symptoms = table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    let texts: Vec<&str> = symptoms.filter(|symptom| symptom.contains(' ')).collect();
    assert!(texts.len() >= 8, "{texts:?}");
    for text in texts {
        assert!(sources.contains(text), "no source logs {text:?}");
    }
}
