//! Circles of imports between the files of one crate.
//!
//! The rule sees `use` declarations that begin with `crate`, `self` or `super`, outside unit tests.
//! A name that a module re-exports by `use` counts for the file that the re-export leads to, and a
//! glob for its module. Paths inside functions, macros, and a parent's paths to its children
//! without `self` are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Finding;
use super::source::{Line, without_tests};

/// A module by its names, such as `["delivery", "retry"]`.
type Module = Vec<String>;

/// Finds the files below `src` that import each other, directly or through others.
pub(super) fn check(src: &Path, files: &BTreeMap<&Path, Vec<Line>>) -> Vec<Finding> {
    let modules: BTreeMap<Module, &Path> =
        files.keys().filter_map(|path| Some((module(path.strip_prefix(src).ok()?), *path))).collect();
    let imports: BTreeMap<&Module, Vec<Vec<String>>> =
        modules.iter().map(|(module, path)| (module, uses(without_tests(&files[*path])))).collect();
    let mut reached: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, paths) in &imports {
        let targets = paths.iter().filter(|path| matches!(path[0].as_str(), "crate" | "self" | "super"));
        let targets = targets.map(|path| resolve(module, path, &imports, 8)).filter(|target| target != *module);
        reached.insert(module, targets.filter(|target| modules.contains_key(target)).collect());
    }
    for _ in 0..modules.len() {
        let before = reached.clone();
        for targets in reached.values_mut() {
            let more: Vec<_> = targets.iter().flat_map(|target| before[target].iter().cloned()).collect();
            targets.extend(more);
        }
        if before == reached {
            break;
        }
    }
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for (module, targets) in &reached {
        if targets.contains(*module) && !seen.contains(*module) {
            let circle: Vec<_> = targets.iter().filter(|target| reached[target].contains(*module)).collect();
            let names: Vec<_> = circle.iter().map(|module| format!("crate::{}", module.join("::"))).collect();
            let message = format!("import circle: {}", names.join(", "));
            findings.extend(circle.iter().map(|module| Finding::new(modules[*module], 1, message.clone())));
            seen.extend(circle.into_iter().cloned());
        }
    }
    findings
}

fn module(path: &Path) -> Module {
    let mut names: Module = path.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|last| last == "mod") || names == ["lib"] || names == ["main"] {
        names.pop();
    }
    names
}

/// Returns the module that defines the last name of a path in `from`, as far as files show it.
fn resolve(from: &Module, path: &[String], imports: &BTreeMap<&Module, Vec<Vec<String>>>, depth: u8) -> Module {
    let mut module = from.clone();
    for name in path {
        match name.as_str() {
            "crate" => module.clear(),
            "self" => {}
            "super" => drop(module.pop()),
            name => {
                module.push(name.to_owned());
                if !imports.contains_key(&module) {
                    module.pop();
                    let exports = imports.get(&module).into_iter().flatten();
                    let export =
                        exports.filter(|_| depth > 0).find(|path| path.last().is_some_and(|last| last == name));
                    return export.map_or(module.clone(), |export| resolve(&module, export, imports, depth - 1));
                }
            }
        }
    }
    module
}

/// Returns the paths of all `use` declarations, each group as several paths.
fn uses(lines: &[Line]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut lines = lines.iter().map(|line| line.code.as_str());
    while let Some(line) = lines.next() {
        let start = line.split_once("use ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        let Some((_, start)) = start.filter(|_| !line.starts_with(' ')) else { continue };
        let mut tree = start.to_owned();
        while !tree.contains(';') {
            let Some(more) = lines.next() else { break };
            tree.push_str(more);
        }
        let tree: String = tree.replace(" as ", "\u{1}").chars().filter(|c| !c.is_whitespace() && *c != ';').collect();
        expand("", &tree, &mut paths);
    }
    paths
}

fn expand(prefix: &str, tree: &str, paths: &mut Vec<Vec<String>>) {
    if let Some((head, group)) = tree.split_once('{') {
        let (mut depth, mut start) = (0, 0);
        let group = group.strip_suffix('}').unwrap_or(group);
        for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if c == ',' && depth == 0 {
                expand(&format!("{prefix}{head}"), &group[start..at], paths);
                start = at + 1;
            }
        }
    } else if !tree.is_empty() {
        // A renamed import counts by its first name.
        let path = format!("{prefix}{}", tree.split('\u{1}').next().unwrap_or_default());
        paths.push(
            path.split("::").filter(|name| *name != "self" || path.starts_with("self")).map(str::to_owned).collect(),
        );
    }
}
