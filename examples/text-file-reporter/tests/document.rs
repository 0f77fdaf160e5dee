//! `docs/writing-a-reporter.md` shows this crate as it is, and what it says of it is so.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use flink_traces_api::{Registry, Span, SystemClock};
use flink_traces_runtime::{Configuration, Dispatcher, MetricGroup, discover};

const DOCUMENT: &str = include_str!("../../../docs/writing-a-reporter.md");

/// The contents of the document's code blocks in that language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let code_after = |start: usize| DOCUMENT[start + fence.len()..].split_once("```\n").unwrap().0;
    DOCUMENT.match_indices(&fence).map(|(start, _)| code_after(start)).collect()
}

#[test]
fn the_document_shows_the_crate() {
    let library = include_str!("../src/lib.rs");
    let tests = include_str!("conformance.rs");
    let (_, loading) = include_str!("document.rs").split_once("    // SHOWN\n").unwrap();
    let (loading, _) = loading.split_once("    // END\n").unwrap();
    let loading: String =
        loading.lines().map(|line| line.strip_prefix("    ").unwrap_or(line).to_owned() + "\n").collect();
    assert_eq!(blocks("rust"), [library, tests, &loading]);
    assert!(library.lines().count() < 60);
}

#[test]
fn it_is_loaded_by_the_keys_that_the_document_shows() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("spans.txt");
    let [keys] = blocks("conf")[..] else { panic!("one block of keys expected") };
    let keys = keys.replace("/var/log/flink/spans.txt", &path.display().to_string());
    let file = folder.path().join("flink-conf.yaml");
    fs::write(&file, keys)?;

    // SHOWN
    let mut registry = Registry::new();
    text_file_reporter::register(&mut registry)?;
    let (configuration, mut problems) = Configuration::load(Some(&file), &[]);
    let (reporters, more) = discover(&configuration, &registry);
    problems.extend(more);
    let (dispatcher, more) = Dispatcher::start(reporters, &registry, Arc::new(SystemClock), ".");
    problems.extend(more);

    let group = MetricGroup::task_manager(&dispatcher, "host-1", "tm-1").add_job("4711", "orders");
    group.add_span(Span::builder("org.example.Compactor", "Compaction").attribute("files", 12));
    let accounts = dispatcher.shutdown(Duration::from_secs(10));
    // END
    assert_eq!(problems, []);
    assert_eq!(
        accounts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["traces notes: 1 emitted = 1 delivered + 0 rejected + 0 dropped + 0 queued"]
    );
    let text = fs::read_to_string(&path)?;
    let [line] = blocks("text")[..] else { panic!("one line expected") };
    let without_id = |line: &str| line.split_once(' ').map(|(id, rest)| (id.len(), rest.to_owned()));
    assert_eq!(without_id(&text), without_id(line));
    Ok(())
}
