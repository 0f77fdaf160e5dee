//! `docs/writing-a-reporter.md` shows this crate, and its statements hold.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

#[path = "../examples/load.rs"]
#[allow(dead_code, reason = "its `main` is for `cargo run`")]
mod load;

const DOCUMENT: &str = include_str!("../../../docs/writing-a-reporter.md");

/// Returns the contents of the document's code blocks in `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let code_after = |start: usize| DOCUMENT[start + fence.len()..].split_once("```\n").unwrap().0;
    DOCUMENT.match_indices(&fence).map(|(start, _)| code_after(start)).collect()
}

/// Returns `code` without the lints that it allows, which only the workspace has.
fn without_lints(code: &str) -> String {
    code.split_inclusive('\n').filter(|line| !line.starts_with("#![allow(clippy::print")).collect()
}

#[test]
fn document_shows_the_crate() {
    let library = include_str!("../src/lib.rs");
    let tests = include_str!("conformance.rs");
    let program = without_lints(include_str!("../examples/load.rs"));
    assert_eq!(blocks("rust"), [library, tests, &program]);
    assert!(library.lines().count() < 50);
}

#[test]
fn shown_keys_load_the_reporter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spans.txt");
    let [keys] = blocks("conf")[..] else { panic!("expected one block of keys") };
    let keys = keys.replace("/tmp/spans.txt", &path.display().to_string());
    let file = folder.path().join("flink-conf.yaml");
    fs::write(&file, keys).unwrap();

    let accounts = load::report(&file).unwrap();
    let printed: String = accounts.iter().map(|account| format!("{account}\n")).collect();
    let [command] = blocks("console")[..] else { panic!("expected one console block") };
    assert_eq!(printed, command.split_once('\n').unwrap().1);

    let text = fs::read_to_string(&path).unwrap();
    let [line] = blocks("text")[..] else { panic!("expected one line") };
    let without_id = |line: &str| line.split_once(' ').map(|(id, rest)| (id.len(), rest.to_owned()));
    assert_eq!(without_id(&text), without_id(line));
}
