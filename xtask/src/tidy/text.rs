//! What no source file, manifest or document holds.

use std::path::Path;

use super::Finding;
use super::package::README_AS_DOC;

/// Texts that must not stand in files of an extension, and why. Put together here so that this file does not hold them.
const FORBIDDEN: &[(&[&str], &str, &str)] = &[
    (&["rs"], concat!("#[", "ignore"), "a test that never runs proves nothing"),
    (&["rs"], concat!("todo", "!("), "unfinished code is not committed"),
    (&["rs", "toml", "md"], concat!("TO", "DO"), "open ends go into issues"),
    (&["rs", "toml", "md"], concat!("FIX", "ME"), "open ends go into issues"),
];

/// Checks one file's text.
pub(super) fn check(path: &Path, text: &str) -> Vec<Finding> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let mut findings = Vec::new();
    if is_source(path) && !text.starts_with("//!") && !text.starts_with(README_AS_DOC) {
        findings.push(Finding::new(path, 1, "a source file begins with a `//!` line: what it is for"));
    }
    for (line, content) in (1..).zip(text.lines()) {
        if content.trim_end() != content {
            findings.push(Finding::new(path, line, "trailing whitespace"));
        }
        for (extensions, forbidden, why) in FORBIDDEN {
            if extensions.contains(&extension) && content.contains(forbidden) {
                findings.push(Finding::new(path, line, format!("`{forbidden}`: {why}")));
            }
        }
    }
    findings
}

/// Whether `path` is Rust code of a member: `crates/*/src/**.rs`, `examples/*/src/**.rs` or `xtask/src/**.rs`.
fn is_source(path: &Path) -> bool {
    let folders: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    path.extension().is_some_and(|extension| extension == "rs")
        && matches!(folders.as_slice(), ["crates" | "examples", _, "src", ..] | ["xtask", "src", ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_fires_where_it_holds() {
        let begins = "a source file begins with a `//!` line: what it is for";
        for (path, text, expected) in [
            ("crates/one/src/lib.rs", README_AS_DOC.to_owned(), vec![]),
            ("crates/one/src/deep/er.rs", "//! Doc.\n".to_owned(), vec![]),
            ("crates/one/src/deep/er.rs", "use std::fmt;\n".to_owned(), vec![(1, begins.to_owned())]),
            ("examples/one/src/main.rs", "fn main() {}\n".to_owned(), vec![(1, begins.to_owned())]),
            ("xtask/src/ci.rs", "\n//! Late.\n".to_owned(), vec![(1, begins.to_owned())]),
            ("crates/one/tests/all.rs", "use std::fmt;\n".to_owned(), vec![]),
            ("docs/one.md", "a\nb \n".to_owned(), vec![(2, "trailing whitespace".to_owned())]),
        ] {
            let found: Vec<_> =
                check(Path::new(path), &text).into_iter().map(|finding| (finding.line, finding.message)).collect();
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn each_forbidden_text_is_found_where_it_is_forbidden() {
        for (extensions, forbidden, _) in FORBIDDEN {
            for extension in ["rs", "toml", "md"] {
                let found = check(&Path::new("any").with_extension(extension), &format!("first\n{forbidden}\n"));
                assert_eq!(found.len(), usize::from(extensions.contains(&extension)), "{forbidden} in .{extension}");
                assert!(found.iter().all(|finding| finding.line == 2));
            }
        }
    }
}
