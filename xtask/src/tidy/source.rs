//! Rust sources, read line by line into code and comments.

use std::path::Path;

use super::Finding;

/// One line of a source file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The code, in which each string literal is empty.
    pub(super) code: String,
    /// The comment, from its `//` on.
    pub(super) comment: String,
}

impl Line {
    /// Returns the text of a doc comment.
    pub(super) fn doc(&self) -> Option<&str> {
        let text = ["/// ", "//! "].iter().find_map(|start| self.comment.strip_prefix(start));
        text.or_else(|| matches!(self.comment.as_str(), "///" | "//!").then_some(""))
    }
}

/// The literal or the comment that a line begins in.
enum State {
    Code,
    String,
    /// A raw string with this end.
    Raw(String),
}

/// Splits a file. Block comments are not supported, and not used in this workspace.
pub(super) fn read(text: &str) -> Vec<Line> {
    let mut state = State::Code;
    text.lines().map(|line| read_line(line, &mut state)).collect()
}

fn read_line(mut rest: &str, state: &mut State) -> Line {
    let mut line = Line::default();
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match state {
            State::Code if rest.starts_with("//") => {
                line.comment = rest.to_owned();
                break;
            }
            State::Code if first == '"' => *state = State::String,
            // The quotation mark as a character begins no string.
            State::Code if rest.starts_with("'\"'") => length = 3,
            State::Code => {
                line.code.push(first);
                let hashes = rest.strip_prefix('r').map(|rest| rest.len() - rest.trim_start_matches('#').len());
                if let Some(hashes) = hashes.filter(|hashes| rest[1 + hashes..].starts_with('"')) {
                    *state = State::Raw(format!("\"{}", "#".repeat(hashes)));
                    length = hashes + 2;
                }
            }
            State::String if first == '\\' => length = rest.chars().take(2).map(char::len_utf8).sum(),
            State::String if first == '"' => *state = State::Code,
            State::Raw(end) if rest.starts_with(end.as_str()) => {
                length = end.len();
                *state = State::Code;
            }
            State::String | State::Raw(_) => {}
        }
        rest = &rest[length..];
    }
    line
}

/// Returns the lines before the unit tests of a file.
pub(super) fn without_tests(lines: &[Line]) -> &[Line] {
    let is_tests = |pair: &[Line]| pair[0].code == "#[cfg(test)]" && pair[1].code.trim_end().ends_with('{');
    lines.windows(2).position(is_tests).map_or(lines, |end| &lines[..end])
}

/// Finds functions of more than `limit` lines, by the indent that rustfmt gives their ends.
pub(super) fn long_functions(path: &Path, lines: &[Line], limit: usize) -> Vec<Finding> {
    let lines = without_tests(lines);
    let indent = |line: &Line| line.code.len() - line.code.trim_start().len();
    let begins = |line: &Line| line.code.split_whitespace().take(6).any(|word| word == "fn");
    let length = |start: usize| {
        let ends = |line: &Line| indent(line) == indent(&lines[start]) && line.code.trim_end().ends_with(['}', ';']);
        lines[start..].iter().position(ends).map_or(0, |end| end + 1)
    };
    let lengths = (0..lines.len()).filter(|start| begins(&lines[*start])).map(|start| (start, length(start)));
    let long = lengths.filter(|(_, length)| *length > limit);
    long.map(|(start, length)| Finding::new(path, start + 1, format!("a function of {length} lines"))).collect()
}
