//! Loads the reporter from a configuration file, and reports one span.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows its results")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flink_traces_api::{Registry, Span, SystemClock};
use flink_traces_runtime::dispatch::ReporterStats;
use flink_traces_runtime::{Configuration, Dispatcher, MetricGroup, discover};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("expected a configuration file")?;
    for account in report(Path::new(&file))? {
        println!("{account}");
    }
    Ok(())
}

/// Reports one span to the reporters of `file`, and returns their accounts.
pub(crate) fn report(file: &Path) -> Result<Vec<ReporterStats>, Box<dyn Error>> {
    let mut registry = Registry::new();
    text_file_reporter::register(&mut registry)?;
    let (configuration, mut problems) = Configuration::load(Some(file), &[]);
    let (reporters, more) = discover(&configuration, &registry);
    problems.extend(more);
    let (dispatcher, more) = Dispatcher::start(reporters, &registry, Arc::new(SystemClock), ".");
    problems.extend(more);
    for problem in problems {
        eprintln!("{problem}");
    }

    let group = MetricGroup::task_manager(&dispatcher, "host-1", "tm-1").add_job("4711", "orders");
    group.add_span(Span::builder("org.example.Compactor", "Compaction").attribute("files", 12));
    Ok(dispatcher.shutdown(Duration::from_secs(10)))
}
