//! Processes that are killed while they write.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use flink_traces_history::History;

use crate::support::*;

/// The variable with the directory of the killed process.
const DIRECTORY: &str = "HISTORY_KILL_DIRECTORY";
/// The variable with the number of processes.
const KILLS: &str = "HISTORY_KILLS";

/// The process that is killed. It prints the id of each checkpoint that is committed.
#[test]
fn killed_process() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    let mut reporter = traces(path.as_ref(), &[]);
    let first: i64 = std::env::var("HISTORY_FIRST").unwrap().parse().unwrap();
    for id in first..first + 100_000 {
        report(&mut reporter, &[detailed(id)]).unwrap();
        println!("committed {id}");
        std::io::stdout().flush().unwrap();
    }
}

/// Scenario: processes are killed at random times while they write. Guarantees: what was committed
/// is in the history, which opens at once.
#[test]
fn killed_processes_lose_nothing_committed() {
    let kills: u64 = std::env::var(KILLS).map_or(8, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut committed: Vec<i64> = Vec::new();
    for kill in 0..kills {
        let first = kill as i64 * 100_000;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::killed_process", "--nocapture"])
            .env(DIRECTORY, &path)
            .env("HISTORY_FIRST", first.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            lines.filter_map(|line| line.rsplit_once("committed ")?.1.parse().ok()).collect::<Vec<i64>>()
        });
        std::thread::sleep(Duration::from_millis(150 + kill * 37 % 200));
        child.kill().unwrap();
        child.wait().unwrap();
        committed.extend(reader.join().unwrap());
    }
    assert!(!committed.is_empty());
    let found = ids(&path);
    let missing: Vec<_> = committed.iter().filter(|id| found.binary_search(id).is_err()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let history = History::open(&path).unwrap();
    for id in committed.iter().rev().take(100) {
        let view = history.checkpoint(1, START + id * 1_000, *id).unwrap().unwrap();
        assert_eq!(view.tasks.len(), 1, "{id}");
    }
}
