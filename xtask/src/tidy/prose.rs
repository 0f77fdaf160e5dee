//! Rules for comments and documents.

use std::path::{Component, Path, PathBuf};

use super::Finding;
use super::source::Line;

/// First words of a doc comment that make it a clause without a subject.
const HEADLESS: &str = "What Whether How Who Whom Whose Where When Why Which That";
/// Words and phrases that the guide for prose excludes. A finding quotes them.
const EXCLUDED: &str =
    "whoever,nobody,somebody,whom,anew,told,tells,untold,leisure,at the least,at the most,bit by bit,is no known";
/// The document that lists words to avoid.
const GLOSSARY: &str = "docs/glossary.md";
/// The width of a comment, in columns.
const WIDTH: usize = 100;
/// Texts that files with these extensions must not contain, and the reasons. `concat!` keeps them
/// out of this file.
const FORBIDDEN: &[(&[&str], &str, &str)] = &[
    (&["rs"], concat!("#[", "ignore"), "a test that never runs proves nothing"),
    (&["rs"], concat!("todo", "!("), "unfinished code is not committed"),
    (&["rs", "toml", "md"], concat!("TO", "DO"), "open ends go into issues"),
    (&["rs", "toml", "md"], concat!("FIX", "ME"), "open ends go into issues"),
];

/// Checks the text of any file.
pub(super) fn text(path: &Path, text: &str) -> Vec<Finding> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let mut findings = Vec::new();
    if extension == "rs" && path.components().any(|part| part.as_os_str() == "src") && !text.starts_with("//!") {
        findings.push(Finding::new(path, 1, "a source file begins with a `//!` line that says its purpose"));
    }
    for (line, content) in (1..).zip(text.lines()) {
        if content.trim_end() != content {
            findings.push(Finding::new(path, line, "trailing whitespace"));
        }
        for (_, forbidden, why) in FORBIDDEN.iter().filter(|(extensions, ..)| extensions.contains(&extension)) {
            if content.contains(forbidden) {
                findings.push(Finding::new(path, line, format!("`{forbidden}`: {why}")));
            }
        }
    }
    findings
}

/// Checks the first lines of doc comments. Also returns how many there are.
pub(super) fn doc_comments(path: &Path, lines: &[Line]) -> (Vec<Finding>, usize) {
    let mut findings = Vec::new();
    let mut count = 0;
    let mut before = None;
    for (number, line) in (1..).zip(lines) {
        if let (Some(doc), None) = (line.doc(), before) {
            count += 1;
            let word = doc.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            if HEADLESS.split(' ').any(|headless| headless == word) {
                findings.push(Finding::new(path, number, format!("a doc comment begins with `{word}`")));
            }
        }
        before = line.doc();
    }
    (findings, count)
}

/// Checks the words and the width of comments.
pub(super) fn comments(path: &Path, lines: &[Line]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, Line { code, comment }) in (1..).zip(lines) {
        findings.extend(excluded(comment).map(|word| Finding::new(path, number, format!("excluded: `{word}`"))));
        let width = code.chars().chain(comment.chars()).count();
        if code.trim().is_empty() && width > WIDTH && !comment.contains("://") {
            findings.push(Finding::new(path, number, format!("a comment is {width} columns wide, not {WIDTH}")));
        }
    }
    findings
}

/// Checks the words of a document and that each sentence has a line of its own.
pub(super) fn document(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    let mut lines = (1..).zip(text.lines().map(str::trim)).peekable();
    while let Some((number, line)) = lines.next() {
        let is_fence = line.starts_with("```");
        in_code ^= is_fence;
        if in_code || is_fence {
            continue;
        }
        if path != Path::new(GLOSSARY) {
            findings.extend(excluded(line).map(|word| Finding::new(path, number, format!("excluded: `{word}`"))));
        }
        if line.is_empty() || line.starts_with(['|', '#', '<']) || is_definition(line) {
            continue;
        }
        if ends_within(line) {
            findings.push(Finding::new(path, number, "more than one sentence on a line"));
        }
        let next = lines.peek().map_or("", |(_, next)| *next);
        let is_block = next.is_empty() || next.starts_with(['|', '#', '<', '>', '`', '-', '*']) || is_definition(next);
        let is_item = next.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        if !is_block && !is_item && !line.trim_end_matches(['"', ')', '*', '_', '`']).ends_with(['.', '!', '?', ':']) {
            findings.push(Finding::new(path, number, "a sentence goes on in the next line"));
        }
    }
    findings
}

/// Returns `true` for a link reference definition.
fn is_definition(line: &str) -> bool {
    line.starts_with('[') && line.contains("]: ")
}

/// Returns `true` if a sentence ends before the end of the line.
fn ends_within(line: &str) -> bool {
    // Code between backquotes has no sentences.
    let text: String = line.split('`').enumerate().map(|(n, part)| if n % 2 == 0 { part } else { "Code" }).collect();
    let text = ["e.g.", "i.e.", "etc.", "vs.", "cf."].iter().fold(text, |text, short| text.replace(short, ""));
    let item = text.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(". ");
    let text = item.unwrap_or(&text).trim_start_matches(['-', '*', ' ']);
    text.match_indices([' ']).any(|(space, _)| {
        let ends = text[..space].trim_end_matches(['"', ')', '*', '_']).ends_with(['.', '!', '?']);
        ends && text[space + 1..].starts_with(|c: char| c.is_uppercase() || matches!(c, '[' | '*'))
    })
}

/// Returns the excluded words and phrases in a text.
fn excluded(text: &str) -> impl Iterator<Item = &'static str> {
    let words = text.to_lowercase();
    let words: Vec<_> = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let words = format!(" {} ", words.join(" "));
    EXCLUDED.split(',').filter(move |phrase| words.contains(&format!(" {phrase} ")))
}

/// Checks the links of a document to local files. Those of crates are rustdoc's business.
pub(super) fn links(path: &Path, text: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<Finding> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut in_code = false;
    let mut findings = Vec::new();
    for (line, content) in (1..).zip(text.lines()).filter(|_| !folder.starts_with("crates")) {
        in_code ^= content.trim_start().starts_with("```");
        let targets = content.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
        let is_local = |target: &&str| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
        for target in targets.filter(|target| !in_code && is_local(target)) {
            if !exists(&normalize(&folder.join(target))) {
                findings.push(Finding::new(path, line, format!("there is no {target}")));
            }
        }
    }
    findings
}

/// Resolves `..` by the text of the path alone.
fn normalize(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, component| {
        if component == Component::ParentDir {
            normal.pop();
        } else {
            normal.push(component);
        }
        normal
    })
}
