//! Tests of documents that need the options: their tables, and the examples of configurations.

mod files;

use std::fmt::Write;
use std::fs;

use expect_test::expect_file;
use flink_traces_api::OptionDoc;
use flink_traces_runtime::config::{CORE_OPTIONS, REPORTER_OPTIONS};

use crate::cli::ConfigurationArgs;
use crate::load::Settings;
use crate::options::{CLUSTER_OPTIONS, OWN_OPTIONS};
use crate::reporters::registry;
use files::{blocks, documents, root};

/// The comments around a generated table.
const BEGIN: &str = "<!-- options: ";
const END: &str = "<!-- end of options -->";

/// Returns the options by the name of their table.
///
/// The name of the table of a reporter's options is the list of its classes.
fn options() -> Vec<(String, &'static [OptionDoc])> {
    let registry = registry();
    let traces = registry.trace_classes().filter_map(|class| Some((class, registry.trace(class)?.options())));
    let events = registry.event_classes().filter_map(|class| Some((class, registry.event(class)?.options())));
    let mut by_class: Vec<(String, &'static [OptionDoc])> = Vec::new();
    for (class, options) in traces.chain(events) {
        match by_class.iter_mut().find(|(_, known)| *known == options) {
            Some((classes, _)) if classes.split(", ").any(|known| known == class) => {}
            Some((classes, _)) => *classes += &format!(", {class}"),
            None => by_class.push((class.to_owned(), options)),
        }
    }
    let general = [
        ("flink-traces", OWN_OPTIONS),
        ("a cluster", CLUSTER_OPTIONS),
        ("Flink", CORE_OPTIONS),
        ("every reporter", REPORTER_OPTIONS),
    ];
    general.map(|(name, options)| (name.to_owned(), options)).into_iter().chain(by_class).collect()
}

fn table(options: &[OptionDoc]) -> String {
    let mut table = "| Key | Value | Default | |\n|---|---|---|---|\n".to_owned();
    for OptionDoc { key, expected, default, description, is_map, .. } in options {
        let below = if *is_map { ", or the keys below" } else { "" };
        let default = match default {
            None => String::new(),
            Some("") => " empty".to_owned(),
            Some(default) => format!(" `{default}`"),
        };
        writeln!(table, "| `{key}` | {expected}{below} |{default} | {description} |").unwrap();
    }
    table
}

/// `UPDATE_EXPECT=1` rewrites the tables.
#[test]
fn option_tables_match_declarations() {
    let mut document = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let options = options();
    assert_eq!(document.matches(BEGIN).count(), options.len(), "tables of {:?}", options.iter().map(|(name, _)| name));
    for (name, options) in options {
        let marker = format!("{BEGIN}{name} -->\n");
        let (before, rest) = document.split_once(&marker).unwrap_or_else(|| panic!("missing: {marker}"));
        let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("the table after {marker} has no end"));
        document = format!("{before}{marker}\n{}\n{END}{after}", table(options));
    }
    expect_file!["../../../docs/configuration.md"].assert_eq(&document);
}

/// Replaces the classes of the plugin by those that the program has for the same reporters.
fn without_plugin(block: &str) -> String {
    [
        ("io.flinktraces.OtlpTrace", "org.apache.flink.traces.otel.OpenTelemetryTrace"),
        ("io.flinktraces.OtlpEvent", "org.apache.flink.events.otel.OpenTelemetryEvent"),
    ]
    .into_iter()
    .fold(block.to_owned(), |block, (of_plugin, of_program)| block.replace(of_plugin, of_program))
}

/// A `yaml` block is a `config.yaml`, and a `properties` block is a `flink-conf.yaml`.
#[test]
fn example_configurations_are_valid() {
    let mut count = 0;
    for (path, document) in documents() {
        for (language, name) in [("yaml", "config.yaml"), ("properties", "flink-conf.yaml")] {
            for block in blocks(&document, language) {
                let directory = tempfile::tempdir().unwrap();
                fs::write(directory.path().join(name), without_plugin(block)).unwrap();
                let conf = Some(directory.path().to_owned());
                let loaded = Settings::load(&ConfigurationArgs { conf, ..ConfigurationArgs::default() }, &[]);
                let problems = loaded.err().map(|error| error.0.iter().map(ToString::to_string).collect::<Vec<_>>());
                assert_eq!(problems, None, "{path}:\n{block}");
                count += 1;
            }
        }
    }
    assert!(count >= 3, "{count} configurations");
}
