//! Counts words and reports to JSON Lines files. See the README.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;
use std::path::PathBuf;

use flink_traces_json::JsonLines;
use flink_traces_runtime::Reporting;
use timely_word_count::{WORKERS, run};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("usage: timely-word-count DIRECTORY ROUNDS")?);
    let rounds = arguments.next().map_or(Ok(10), |rounds| rounds.parse())?;
    std::fs::create_dir_all(&directory)?;
    let json = JsonLines::new(directory.join("spans.jsonl"), directory.join("events.jsonl"));
    let reporting = Reporting::builder().cluster("timely").reporter(json).start()?;
    for (word, count) in run(&reporting, &directory, WORKERS, rounds)? {
        println!("{count:6} {word}");
    }
    reporting.shutdown_blocking().iter().for_each(|account| println!("{account}"));
    Ok(())
}
