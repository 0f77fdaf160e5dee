//! Loss of power. Each prefix of the file operations of random histories, with what was not
//! synchronized missing: each operation alone, all of them, and 100 random subsets.
//!
//! `SPOOL_HISTORIES=10000 SPOOL_SEED=7 cargo test -p flink-traces-otlp --lib loss_of_power` runs
//! that many histories from a seed.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::thread;

use super::disk::{Files, Op, Replay, materialize, start_recording, stop_recording};
use super::history::{History, Random};
use super::*;

const HISTORIES: u64 = 200;
const STEPS: u64 = 8;
const SUBSETS: usize = 100;

pub(super) fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Returns a directory in memory, if there is one: only the recorded operations matter.
pub(in crate::spool) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    directory.unwrap()
}

#[test]
fn loss_of_power_loses_nothing_acknowledged() {
    let (histories, seed) = (variable("SPOOL_HISTORIES", HISTORIES), variable("SPOOL_SEED", 1));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let check_some = &|first: usize| {
        let numbers = (first as u64..histories).step_by(threads);
        numbers.map(|number| check_history(seed.wrapping_mul(1 << 32) ^ number)).sum::<u64>()
    };
    let states: u64 = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || check_some(first))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{histories} histories from seed {seed}: {states} states");
    assert!(states > histories * 20);
}

/// Names a history whose check panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("history {}", self.0);
        }
    }
}

/// Checks each state that a random history can leave. Returns their number.
fn check_history(seed: u64) -> u64 {
    let _named = Named(seed);
    let mut random = Random(seed);
    let place = scratch();
    let directory = place.path().join("spool");
    let limit = if random.below(2) == 0 { 2_500 } else { LIMIT };
    start_recording();
    let mut history = History::new(&directory, limit, random.next());
    (0..STEPS).for_each(|_| history.step());
    let ops = stop_recording();
    let replay = Replay::new(&ops);
    let mut subsets: Vec<_> = (0..SUBSETS).map(|_| (random.below(ops.len() as u64 + 1), random.next())).collect();
    subsets.sort_unstable();
    // Most states are those of the operation before.
    let (mut known, mut checked, mut found) = (HashSet::new(), HashSet::new(), HashMap::new());
    for end in 0..=ops.len() {
        let here = subsets.iter().filter(|(at, _)| *at == end as u64);
        let expectation = hash(&history.expectation(end));
        for lost in replay.states(end, here.map(|(_, subset)| *subset)) {
            if !known.insert(hash(&(&lost, expectation))) {
                continue;
            }
            let layout = replay.layout(&lost);
            let state = hash(&layout);
            if checked.insert((state, expectation)) {
                let find = || history.indices(&recovered(&replay.files(&layout), &directory));
                let found = found.entry(state).or_insert_with(find);
                history.check_crash(end, found);
            }
        }
    }
    checked.len() as u64
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Returns the chunks that a process finds that starts with these files.
fn recovered(files: &Files, directory: &Path) -> Vec<String> {
    let crashed = scratch();
    materialize(files, directory, crashed.path());
    let mut spool = open(crashed.path(), LIMIT);
    let mut found = Vec::new();
    loop {
        let before = found.len();
        while let Some((ticket, chunk)) = spool.next() {
            spool.finalize(ticket, RecordCounts { delivered: chunk.records as u64, ..RecordCounts::default() });
            found.push(text_of(&chunk));
        }
        // As if the cursor were written. That costs time, and nothing is read after this.
        for log in &mut spool.logs {
            (log.unpersisted, log.persisted) = (0, log.progress.finalized);
        }
        if found.len() == before {
            return found;
        }
    }
}

/// A crash leaves a directory only if its own name was synchronized into the one above.
#[test]
fn names_of_new_directories_are_synchronized() {
    let directory = tempfile::tempdir().unwrap();
    start_recording();
    drop(open(&directory.path().join("a/b"), LIMIT));
    let ops = stop_recording();
    let path = |name: &str| directory.path().join(name);
    for name in ["a", "a/b", "a/b/0.new"].map(path) {
        let created = ops.iter().position(|op| *op == Op::CreateDirectory(name.clone())).unwrap();
        assert_eq!(ops[created + 1], Op::SyncDirectory(name.parent().unwrap().to_owned()));
    }
    let named = ops.iter().position(|op| *op == Op::Rename(path("a/b/0.new"), path("a/b/0"))).unwrap();
    assert_eq!(ops[named + 1], Op::SyncDirectory(path("a/b")));
}

/// Otherwise a crash could leave a file under its name without its content, or the one before it.
#[test]
fn replaced_files_are_synchronized_with_names() {
    let directory = tempfile::tempdir().unwrap();
    start_recording();
    drop(open(directory.path(), LIMIT));
    let ops = stop_recording();
    let mut replaced = 0;
    for (index, op) in ops.iter().enumerate() {
        if let Op::Rename(from, to) = op
            && ops.contains(&Op::Create(from.clone()))
        {
            assert_eq!(ops[index - 1], Op::Sync(from.clone()));
            assert_eq!(ops[index + 1], Op::SyncDirectory(to.parent().unwrap().to_owned()));
            replaced += 1;
        }
    }
    // The manifest of the slot, and the cursor.
    assert_eq!(replaced, 2);
}
