//! The README of the workspace shows this program and its output.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::process::Command;

const README: &str = include_str!("../../../README.md");

/// Returns the README's only code block in `language`.
fn block(language: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("```{language}\n")).unwrap();
    assert!(!rest.contains(&format!("```{language}\n")), "expected one block in {language}");
    rest.split_once("```\n").unwrap().0
}

#[test]
fn readme_shows_the_program() {
    // Only the workspace has the lint that the program allows.
    let is_shown = |line: &&str| !line.starts_with("#![allow(clippy::print");
    let program: String = include_str!("../src/main.rs").split_inclusive('\n').filter(is_shown).collect();
    assert_eq!(block("rust"), program);
}

#[test]
fn program_prints_the_accounts_of_the_readme() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_embed")).current_dir(&directory).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), block("console").split_once('\n').unwrap().1);
    assert_eq!(fs::read_to_string(directory.path().join("spans.jsonl")).unwrap().lines().count(), 1);
}
