//! `cargo xtask tidy`: the rules of this workspace that the compiler does not know.
//!
//! A rule is a function from its subject (a package, the text of a file) to findings. Only this
//! file reads the disk.

mod arrows;
mod circles;
pub(crate) mod package;
mod prose;
mod source;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use package::Package;
use source::Line;

/// The number of lines from which on a function is long, and how many library sources may have.
const LONG: usize = 70;
const LONG_FUNCTIONS: usize = 3;

/// A breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// The file, relative to the workspace.
    path: PathBuf,
    /// The line, from 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

/// Checks all rules, and prints all findings and the figures.
pub(crate) fn run(root: &Path) -> Result<()> {
    let (findings, figures) = check(root)?;
    findings.iter().for_each(|finding| println!("{finding}"));
    println!("{figures}");
    ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}

fn check(root: &Path) -> Result<(Vec<Finding>, String)> {
    let packages = package::read_all(root)?;
    let mut files = BTreeMap::new();
    read_files(root, Path::new(""), &mut files)?;
    let mut findings = arrows::check(&packages);
    packages.iter().for_each(|package| findings.extend(package::check(package, &|path| files.get(path).cloned())));
    let (found, figures) = check_files(&files, &packages, &|path| root.join(path).exists());
    findings.extend(found);
    findings.sort();
    Ok((findings, figures))
}

/// Checks the rules for single files and for imports. Also returns the figures of all files.
fn check_files(
    files: &BTreeMap<PathBuf, String>,
    packages: &[Package],
    exists: &dyn Fn(&Path) -> bool,
) -> (Vec<Finding>, String) {
    let has_extension = |path: &Path, wanted: &str| path.extension().is_some_and(|extension| extension == wanted);
    let (mut findings, mut long) = (Vec::new(), Vec::new());
    let (mut headless, mut docs) = (0, 0);
    let mut sources: BTreeMap<PathBuf, BTreeMap<&Path, Vec<Line>>> = BTreeMap::new();
    for (path, text) in files {
        findings.extend(prose::text(path, text));
        if has_extension(path, "md") {
            findings.extend(prose::document(path, text));
            findings.extend(prose::links(path, text, exists));
        } else if has_extension(path, "rs") {
            let lines = source::read(text);
            let (found, count) = prose::doc_comments(path, &lines);
            (headless, docs) = (headless + found.len(), docs + count);
            findings.extend(found);
            findings.extend(prose::comments(path, &lines));
            let is_tests = path.iter().any(|part| part == "tests" || part == "tests.rs");
            let mut published = packages.iter().filter(|package| package.is_published && !is_tests);
            if let Some(package) = published.find(|package| path.starts_with(package.folder().join("src"))) {
                long.extend(source::long_functions(path, &lines, LONG));
                sources.entry(package.folder().join("src")).or_default().insert(path, lines);
            }
        }
    }
    for (src, files) in &sources {
        findings.extend(circles::check(src, files));
    }
    findings.sort();
    findings.dedup();
    let count = long.len();
    findings.extend(long.into_iter().filter(|_| count > LONG_FUNCTIONS));
    let rate = 100.0 * headless as f64 / docs.max(1) as f64;
    (
        findings,
        format!("headless doc comments: {headless} of {docs} ({rate:.1} %), functions over {LONG} lines: {count}"),
    )
}

/// Reads all `.rs`, `.toml` and `.md` files below `folder`, without those of git and builds.
fn read_files(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in root.join(folder).read_dir()? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if !matches!(entry.file_name().to_str(), Some("target" | ".git")) {
                read_files(root, &path, files)?;
            }
        } else if matches!(path.extension().and_then(|extension| extension.to_str()), Some("rs" | "toml" | "md")) {
            let text = fs::read_to_string(entry.path()).with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(path, text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the cases of `tidy/cases.txt`: a name, files, and the findings.
    #[test]
    fn each_rule_finds_its_breaches() {
        let mut package =
            Package { name: "one".into(), manifest: "crates/one/Cargo.toml".into(), ..Package::default() };
        package.examples.push("any".into());
        (package.has_library, package.has_description, package.is_published) = (true, true, true);
        let packages = [package];
        for case in include_str!("tidy/cases.txt").split("\n=== ").skip(1) {
            let (inputs, expected) = case.split_once("\n--- findings\n").unwrap();
            let mut files = BTreeMap::new();
            for file in inputs.split("\n--- ").skip(1) {
                let (path, text) = file.split_once('\n').unwrap();
                files.insert(
                    PathBuf::from(path),
                    text.replace("<inherited>", &package::INHERITED.join("\n"))
                        .replace("<70 lines>", &"        x();\n".repeat(70))
                        .replace('~', "x"),
                );
            }
            let (mut findings, _) = check_files(&files, &packages, &|path| files.contains_key(path));
            if files.contains_key(&packages[0].manifest) {
                findings.extend(package::check(&packages[0], &|path| files.get(path).cloned()));
            }
            let findings: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
            assert_eq!(findings.trim(), expected.trim(), "{}", inputs.lines().next().unwrap());
        }
    }
}
