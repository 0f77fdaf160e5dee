//! Links in documents lead somewhere.

use std::path::{Component, Path, PathBuf};

use super::Finding;

/// Checks the links to local files of a document at the workspace's root or under `docs`. READMEs of crates are
/// checked by rustdoc, whose links need not be files.
pub(super) fn check(path: &Path, text: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<Finding> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let is_document = path.extension().is_some_and(|extension| extension == "md")
        && (folder.as_os_str().is_empty() || folder.starts_with("docs"));
    if !is_document {
        return Vec::new();
    }
    let mut in_code = false;
    let mut findings = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        in_code ^= content.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        for target in local_targets(content) {
            if !exists(&normalize(&folder.join(target))) {
                findings.push(Finding::new(path, line, format!("there is no {target}")));
            }
        }
    }
    findings
}

/// The files that `[text](target)` names in one line, without anchors.
fn local_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
}

/// Resolves `..` by the path's text alone.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_document(path: &str, text: &str) -> Vec<String> {
        let exists = |path: &Path| path == Path::new("docs/there.md") || path == Path::new("README.md");
        check(Path::new(path), text, &exists).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn local_links_lead_somewhere() {
        for (path, text, expected) in [
            ("docs/one.md", "[a](there.md) and [b](../README.md#top \"title\")", &[][..]),
            ("docs/one.md", "first\n[a](there.md) and [b](gone.md)", &["docs/one.md:2: there is no gone.md"]),
            ("README.md", "[a](docs/there.md), [b](there.md#x)", &["README.md:1: there is no there.md"]),
            ("docs/one.md", "[a](https://example.com/gone.md) [b](#here) [c](mailto:a@example.com)", &[]),
            ("docs/one.md", "```\n[a](gone.md)\n```\n[b](lost.md)", &["docs/one.md:4: there is no lost.md"]),
            ("crates/one/README.md", "[Span](crate::Span)", &[]),
        ] {
            assert_eq!(check_document(path, text), expected, "{text}");
        }
    }
}
