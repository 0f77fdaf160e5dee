//! The allowed dependencies between members, and the crates that only some may name.

use super::Finding;
use super::package::Package;

/// Each member, and the members that it may depend on. Development dependencies are free.
const ARROWS: &[(&str, &str)] = &[
    ("api-snapshots", ""),
    (
        "bench",
        "flink-rest flink-traces-api flink-traces-history flink-traces-json flink-traces-otlp flink-traces-runtime harness",
    ),
    ("e2e", "flink-rest flink-traces-history flink-traces-testkit harness"),
    ("embed", "flink-traces-otlp flink-traces-runtime"),
    ("engine", "flink-rest flink-traces-api flink-traces-json flink-traces-log flink-traces-otlp flink-traces-runtime"),
    ("faults", "flink-traces-testkit harness"),
    ("flink-rest", "flink-traces-api"),
    (
        "flink-traces",
        "flink-rest flink-traces-api flink-traces-history flink-traces-json flink-traces-log flink-traces-observer \
         flink-traces-otlp flink-traces-runtime",
    ),
    ("flink-traces-api", ""),
    ("flink-traces-history", "flink-traces-api"),
    ("flink-traces-json", "flink-traces-api"),
    ("flink-traces-log", "flink-traces-api"),
    ("flink-traces-observer", "flink-rest flink-traces-api flink-traces-runtime"),
    ("flink-traces-opentelemetry", "flink-traces-api"),
    ("flink-traces-otlp", "flink-traces-api"),
    (
        "flink-traces-plugin",
        "flink-traces-api flink-traces-json flink-traces-log flink-traces-otlp flink-traces-runtime",
    ),
    ("flink-traces-runtime", "flink-rest flink-traces-api"),
    ("flink-traces-testkit", "flink-traces-api flink-traces-runtime"),
    ("harness", ""),
    ("interop", "flink-traces-testkit harness"),
    ("load", "flink-traces-api flink-traces-otlp flink-traces-runtime flink-traces-testkit harness"),
    ("page", "flink-traces-api flink-traces-history flink-traces-runtime harness"),
    ("parity", "flink-traces-api flink-traces-runtime harness"),
    ("plugin", "harness"),
    ("text-file-reporter", "flink-traces-api"),
    ("timely-word-count", "flink-traces-json flink-traces-runtime"),
    ("xtask", ""),
];

/// The member without any dependency.
const INDEPENDENT: &str = "flink-traces-api";

/// Libraries by the start of their names, and the only members that may name them.
const RESERVED: &[(&str, &str)] =
    &[("tonic", "flink-traces-otlp"), ("opentelemetry", "flink-traces-testkit flink-traces-opentelemetry bench")];

/// Compares the dependencies of every member with the tables above.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let is_member = |name: &str| packages.iter().any(|package| package.name == name);
    let contains = |names: &str, wanted: &str| names.split(' ').any(|name| name == wanted);
    let mut findings = Vec::new();
    for package in packages {
        let name = package.name.as_str();
        let mut report = |message: String| findings.push(Finding::new(&package.manifest, 1, message));
        let Some((_, allowed)) = ARROWS.iter().find(|(member, _)| *member == name) else {
            report(format!("{name} is missing in ARROWS of xtask/src/tidy/arrows.rs"));
            continue;
        };
        for dependency in package.dependencies.iter().map(String::as_str) {
            let reserved = RESERVED.iter().find(|(start, _)| dependency.starts_with(start));
            if name == INDEPENDENT {
                report(format!("{name} must have no dependencies, found {dependency}"));
            } else if is_member(dependency) && !contains(allowed, dependency) {
                report(format!("{name} must not depend on {dependency}"));
            } else if let Some((_, holders)) = reserved.filter(|(_, holders)| !contains(holders, name)) {
                report(format!("{name} must not name {dependency}, reserved for {}", holders.replace(' ', ", ")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_downwards() {
        for (member, dependency, expected) in [
            ("flink-traces", "flink-traces-runtime", ""),
            ("flink-traces", "flink-traces-testkit", "flink-traces must not depend on flink-traces-testkit"),
            ("flink-traces-runtime", "flink-traces-otlp", "flink-traces-runtime must not depend on flink-traces-otlp"),
            ("flink-traces-api", "serde", "flink-traces-api must have no dependencies, found serde"),
            ("newcomer", "serde", "newcomer is missing in ARROWS of xtask/src/tidy/arrows.rs"),
            ("flink-traces-otlp", "tonic", ""),
            ("flink-traces", "tonic-prost", "flink-traces must not name tonic-prost, reserved for flink-traces-otlp"),
            ("flink-traces-testkit", "opentelemetry-proto", ""),
        ] {
            let package = |name: &str, dependencies: &[&str]| Package {
                name: name.to_owned(),
                dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
                ..Package::default()
            };
            let others = ARROWS.iter().filter(|(name, _)| *name != member).map(|(name, _)| package(name, &[]));
            let packages: Vec<Package> = others.chain([package(member, &[dependency])]).collect();
            let found: Vec<_> = check(&packages).into_iter().map(|finding| finding.message).collect();
            assert_eq!(found.join("\n"), expected, "{member}");
        }
    }
}
