//! What the documents say that a program can check: the tables of options, the examples, the tests that they name.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect_file;
use flink_traces::cli::ConfigurationArgs;
use flink_traces::settings::{OWN_OPTIONS, Settings, registry};
use flink_traces_api::{OptionDoc, Registry, SystemClock};
use flink_traces_runtime::{
    CORE_OPTIONS, CheckpointStatsTracker, CheckpointTask, CheckpointType, Configuration, Dispatcher, JobIdentity,
    MetricGroup, REPORTER_OPTIONS, SpanDetailLevel, SubtaskStats, checkpoint_event, checkpoint_span, discover,
};

/// What stands around a generated table.
const BEGIN: &str = "<!-- options: ";
const END: &str = "<!-- end of options -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The documents of the workspace, by their paths below its root.
fn documents() -> Vec<(String, String)> {
    let mut paths = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        paths.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(root().join(path)).unwrap())).collect()
}

/// The contents of a document's code blocks that are in that language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let begin = |part: &'a str| part.split_once("\n```").map(|(block, _)| block);
    document.split(fence.as_str()).skip(1).filter_map(begin).collect()
}

/// The options by the name of their table: the classes that read them, joined, or what else they belong to.
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
    let general = [("flink-traces", OWN_OPTIONS), ("Flink", CORE_OPTIONS), ("every reporter", REPORTER_OPTIONS)];
    general.map(|(name, options)| (name.to_owned(), options)).into_iter().chain(by_class).collect()
}

fn table(options: &[OptionDoc]) -> String {
    let mut table = "| Key | Value | Default | |\n|---|---|---|---|\n".to_owned();
    for OptionDoc { key, expected, default, description, is_map } in options {
        let below = if *is_map { ", or the keys below" } else { "" };
        let default = match default {
            None => String::new(),
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let row = format!("`{key}` | {expected}{below} | {default} | {description}").replace("  ", " ");
        writeln!(table, "| {row} |").unwrap();
    }
    table
}

/// `UPDATE_EXPECT=1` writes the tables anew.
#[test]
fn the_tables_of_options_are_those_of_the_code() {
    let mut document = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let options = options();
    assert_eq!(document.matches(BEGIN).count(), options.len(), "tables of {:?}", options.iter().map(|(name, _)| name));
    for (name, options) in options {
        let marker = format!("{BEGIN}{name} -->\n");
        let (before, rest) = document.split_once(&marker).unwrap_or_else(|| panic!("there is no {marker}"));
        let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("the table after {marker} has no end"));
        document = format!("{before}{marker}\n{}\n{END}{after}", table(options));
    }
    expect_file!["../../../docs/configuration.md"].assert_eq(&document);
}

/// Configurations in `yaml` blocks stand for `config.yaml`, those in `properties` blocks for `flink-conf.yaml`.
#[test]
fn configurations_in_documents_are_without_mistakes() {
    let mut count = 0;
    for (path, document) in documents() {
        for (language, name) in [("yaml", "config.yaml"), ("properties", "flink-conf.yaml")] {
            for block in blocks(&document, language) {
                let directory = tempfile::tempdir().unwrap();
                fs::write(directory.path().join(name), block).unwrap();
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

/// Tests are named as `crate/tests/file.rs::name`, without the folder `crates`.
#[test]
fn tests_that_documents_name_exist() {
    let mut count = 0;
    for (path, document) in documents() {
        for named in document.split('`').skip(1).step_by(2) {
            let Some((file, name)) = named.split_once(".rs::") else { continue };
            let source = fs::read_to_string(root().join("crates").join(format!("{file}.rs")));
            let source = source.unwrap_or_else(|error| panic!("{path}: {named}: {error}"));
            assert!(source.contains(&format!("fn {name}(")), "{path}: {named}: there is no such test");
            count += 1;
        }
    }
    assert!(count >= 30, "{count} tests");
}

/// A row that says that something is the same or different says what proves it.
#[test]
fn every_row_of_the_parity_tables_names_its_proof() {
    let document = fs::read_to_string(root().join("docs/flink-parity.md")).unwrap();
    let tables = document.split("| Flink | Status | Here | Proof |\n|---|---|---|---|\n").skip(1);
    let rows = tables.flat_map(|table| table.lines().take_while(|line| line.starts_with('|')));
    let mut known = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let ["", _, status, _, proof, ""] = cells.as_slice() else { panic!("four cells expected: {row}") };
        let is_claim = match *status {
            "same" | "different" => true,
            "not available" | "none" => false,
            unknown => panic!("unknown status {unknown:?}: {row}"),
        };
        assert!(!is_claim || proof.contains(".rs::"), "no test is named: {row}");
        known.insert(*status);
    }
    assert_eq!(known.len(), 4, "{known:?}");
}

/// Each line of the excerpt in the README is one that the demo prints, in its order.
#[test]
fn the_readme_shows_what_the_demo_prints() {
    let document = fs::read_to_string(root().join("README.md")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flink-traces")).arg("demo").current_dir(&directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    let [excerpt] = blocks(&document, "text")[..] else { panic!("one excerpt expected") };
    let mut lines = printed.lines();
    for line in excerpt.lines().filter(|line| *line != "…") {
        assert!(lines.any(|printed| printed == line), "not printed, or not there: {line}");
    }
}

/// The README shows this test from `// README` to `// end`.
#[test]
fn the_example_in_the_readme_works() -> Result<(), Box<dyn std::error::Error>> {
    let document = fs::read_to_string(root().join("README.md"))?;
    let (_, code) = include_str!("documentation.rs").split_once("\n    // README\n").unwrap();
    let (code, _) = code.split_once("\n    // end\n").unwrap();
    let code: Vec<&str> = code.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    assert_eq!(blocks(&document, "rust"), [code.join("\n")]);

    let directory = tempfile::tempdir()?;
    let spans = directory.path().join("spans.jsonl");
    let path = spans.to_str().unwrap();
    let pairs = [("traces.reporter.file.factory.class", "flink-traces-json"), ("traces.reporter.file.path", path)];
    let configuration = Configuration::from_pairs(pairs);

    // README
    // Once: the reporters that the configuration names, each with a queue and a thread.
    let mut registry = Registry::new();
    flink_traces_otlp::register(&mut registry);
    flink_traces_json::register(&mut registry);
    let (reporters, mut problems) = discover(&configuration, &registry);
    let (dispatcher, not_started) = Dispatcher::start(reporters, &registry, Arc::new(SystemClock), ".");
    problems.extend(not_started);

    // For each job: where its spans and events come from, and what its checkpoints do.
    let job_id = "0b1d198cd84d58810f0faf9761017b2f";
    let group = MetricGroup::job_manager(&dispatcher, "host-1").add_job(job_id, "orders");
    let tracker = CheckpointStatsTracker::new(10);

    // For each checkpoint: its trigger, its acknowledgements, its end.
    let tasks = [CheckpointTask { job_vertex_id: "a0".into(), task_name: Some("map".into()), parallelism: 1 }];
    tracker.report_pending(7, 1_795_230_918_331, CheckpointType::Checkpoint, &tasks)?;
    let subtask = SubtaskStats {
        index: 0,
        ack_timestamp: 1_795_230_918_498,
        is_completed: true,
        is_unaligned: false,
        metrics: [4_096, 512, 3, 1, 2, 90, 0, 0].map(Some),
    };
    tracker.report_subtask(7, "a0", subtask)?;
    let stats = tracker.report_completed(7, Some("file:///checkpoints/chk-7".into()), Some(1_234))?;

    // Its statistics become Flink's event and span. Neither call waits.
    group.add_event(checkpoint_event(&stats));
    let identity = JobIdentity { cluster: "prod", job_id };
    group.add_span(checkpoint_span(identity, &stats, SpanDetailLevel::ChildrenSpansPerSubtask));

    // At the end: what became of all that was reported.
    let accounts = dispatcher.shutdown(Duration::from_secs(10));
    // end
    assert_eq!(problems, []);
    assert_eq!((accounts.len(), accounts[0].delivered), (1, 3));
    assert!(fs::read_to_string(&spans)?.contains("\"name\":\"Checkpoint_Subtask\""));
    Ok(())
}
