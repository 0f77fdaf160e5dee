//! The conformance suite.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use flink_traces_api::Registry;
use flink_traces_testkit::conformance::{Conformance, Destination, Received};
use tempfile::TempDir;
use text_file_reporter::{FACTORY, register};

/// A directory for one file.
struct TextFile(TempDir);

impl Destination for TextFile {
    fn options(&self) -> Vec<(String, String)> {
        vec![("path".to_owned(), self.0.path().join("spans.txt").display().to_string())]
    }

    fn received(&self) -> Vec<Received> {
        let text = fs::read_to_string(self.0.path().join("spans.txt")).unwrap_or_default();
        text.lines().map(read).collect()
    }
}

/// Reads a line, which has an id, the name, and then keys and values in turn.
fn read(line: &str) -> Received {
    let (_id, texts) = line.split_once(' ').unwrap();
    let mut texts = unquoted(texts).into_iter();
    let mut received = Received { name: texts.next().unwrap(), ..Received::default() };
    while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
        received.attributes.insert(key, value.into());
    }
    received
}

/// Returns all quoted texts of the line, which are escaped as in Rust.
fn unquoted(mut line: &str) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some((_, quoted)) = line.split_once('"') {
        let (mut text, mut chars) = (String::new(), quoted.chars());
        loop {
            match chars.next().unwrap() {
                '"' => break,
                '\\' => text.push(match chars.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    '0' => '\0',
                    'u' => {
                        let (code, rest) = chars.as_str()[1..].split_once('}').unwrap();
                        chars = rest.chars();
                        char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap()
                    }
                    quote_or_backslash => quote_or_backslash,
                }),
                c => text.push(c),
            }
        }
        texts.push(text);
        line = chars.as_str();
    }
    texts
}

#[test]
fn reporter_conforms() {
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    let suite = Conformance::new(|| TextFile(tempfile::tempdir().unwrap()));
    suite.check_traces(registry.trace(FACTORY).unwrap()).unwrap();
}
