//! The README of the workspace shows this program and its output.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use flink_traces_testkit::OtlpCollector;

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
fn program_reports_to_a_collector() {
    let collector = OtlpCollector::start().unwrap();
    let program = env!("CARGO_BIN_EXE_embed");
    let output = Command::new(program).arg(collector.grpc_endpoint()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), block("console").split_once('\n').unwrap().1);
    assert_eq!(collector.spans()[0].name(), "Checkpoint");
    assert_eq!(collector.events().len(), 1);
}
