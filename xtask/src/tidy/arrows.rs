//! Who may depend on whom. Development dependencies are free.

use super::Finding;
use super::package::Package;

/// Each member, and the members that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "bench",
        &[
            "flink-rest",
            "flink-traces-api",
            "flink-traces-json",
            "flink-traces-otlp",
            "flink-traces-runtime",
            "harness",
        ],
    ),
    ("e2e", &["flink-rest", "flink-traces-testkit", "harness"]),
    ("embed", &["flink-traces-api", "flink-traces-json", "flink-traces-runtime"]),
    (
        "engine",
        &[
            "flink-rest",
            "flink-traces-api",
            "flink-traces-json",
            "flink-traces-log",
            "flink-traces-otlp",
            "flink-traces-runtime",
        ],
    ),
    ("faults", &["flink-traces-testkit", "harness"]),
    ("flink-rest", &[]),
    (
        "flink-traces",
        &[
            "flink-rest",
            "flink-traces-api",
            "flink-traces-json",
            "flink-traces-log",
            "flink-traces-observer",
            "flink-traces-otlp",
            "flink-traces-runtime",
        ],
    ),
    ("flink-traces-api", &[]),
    ("flink-traces-json", &["flink-traces-api"]),
    ("flink-traces-log", &["flink-traces-api"]),
    ("flink-traces-observer", &["flink-rest", "flink-traces-api", "flink-traces-runtime"]),
    ("flink-traces-opentelemetry", &["flink-traces-api"]),
    ("flink-traces-otlp", &["flink-traces-api"]),
    ("flink-traces-runtime", &["flink-rest", "flink-traces-api"]),
    ("flink-traces-testkit", &["flink-traces-api"]),
    ("harness", &[]),
    ("interop", &["flink-traces-testkit", "harness"]),
    ("load", &["flink-traces-api", "flink-traces-otlp", "flink-traces-runtime", "flink-traces-testkit", "harness"]),
    ("parity", &["flink-traces-api", "flink-traces-runtime", "harness"]),
    ("text-file-reporter", &["flink-traces-api"]),
    ("xtask", &[]),
];

/// Members without any dependency.
const INDEPENDENT: &[&str] = &["flink-traces-api"];

/// Libraries, by the beginning of their names, and the only members that may name them.
const RESERVED: &[(&str, &[&str])] = &[
    ("tonic", &["flink-traces-otlp"]),
    ("opentelemetry", &["flink-traces-testkit", "flink-traces-opentelemetry", "bench"]),
];

/// Compares every member's dependencies with the tables above.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let is_member = |name: &str| packages.iter().any(|package| package.name == name);
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
            if INDEPENDENT.contains(&name) {
                report(format!("{name} has no dependencies, yet names {dependency}"));
            } else if is_member(dependency) && !allowed.contains(&dependency) {
                report(format!("{name} must not depend on {dependency}"));
            } else if let Some((_, holders)) = reserved.filter(|(_, holders)| !holders.contains(&name)) {
                report(format!("only {} may name {dependency}", holders.join(" and ")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_dependencies(member: &str, dependencies: &[&str]) -> Vec<String> {
        let package = |name: &str, dependencies: &[&str]| Package {
            name: name.to_owned(),
            manifest: format!("crates/{name}/Cargo.toml").into(),
            dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
            ..Package::default()
        };
        let others = ARROWS.iter().filter(|(name, _)| *name != member).map(|(name, _)| package(name, &[]));
        let packages: Vec<Package> = others.chain([package(member, dependencies)]).collect();
        check(&packages).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn arrows_point_downwards() {
        for (member, dependencies, expected) in [
            ("flink-traces", &["flink-rest", "flink-traces-runtime", "tokio"][..], &[][..]),
            ("flink-traces", &["flink-traces-testkit"], &["flink-traces must not depend on flink-traces-testkit"]),
            (
                "flink-traces-json",
                &["flink-traces-api", "flink-traces-runtime"],
                &["flink-traces-json must not depend on flink-traces-runtime"],
            ),
            ("flink-traces-runtime", &["flink-rest"], &[]),
            (
                "flink-traces-runtime",
                &["flink-traces-otlp"],
                &["flink-traces-runtime must not depend on flink-traces-otlp"],
            ),
            ("flink-rest", &["flink-traces-api"], &["flink-rest must not depend on flink-traces-api"]),
            ("flink-traces-api", &["serde"], &["flink-traces-api has no dependencies, yet names serde"]),
            ("newcomer", &[], &["newcomer is missing in ARROWS of xtask/src/tidy/arrows.rs"]),
        ] {
            assert_eq!(check_dependencies(member, dependencies), expected, "{member}");
        }
    }

    #[test]
    fn libraries_of_the_wire_stay_where_they_are_wrapped() {
        for (member, dependency, expected) in [
            ("flink-traces-otlp", "tonic", &[][..]),
            ("flink-traces", "tonic-prost", &["only flink-traces-otlp may name tonic-prost"]),
            ("flink-traces-testkit", "opentelemetry-proto", &[]),
            ("flink-traces-opentelemetry", "opentelemetry_sdk", &[]),
            (
                "flink-traces-otlp",
                "opentelemetry_sdk",
                &["only flink-traces-testkit and flink-traces-opentelemetry and bench may name opentelemetry_sdk"],
            ),
        ] {
            assert_eq!(check_dependencies(member, &[dependency]), expected, "{member}");
        }
    }
}
