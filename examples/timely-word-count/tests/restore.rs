//! The word count continues from its checkpoint, and reports what happened.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use flink_traces_testkit::in_memory_with;
use timely_word_count::{Counts, run, word};

const ROUNDS: u64 = 7;

fn expected(rounds: u64) -> Counts {
    let mut counts = Counts::new();
    for (round, number) in (0..rounds).flat_map(|round| (0..1_000).map(move |number| (round, number))) {
        *counts.entry(word(round, number)).or_default() += 1;
    }
    counts
}

/// Scenario: a process counts 7 rounds, of which the last is in no checkpoint, and the next process
/// continues. Guarantees: each word is counted once, and the spans and events are complete.
#[test]
fn second_process_restores_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let count = |rounds| {
        let (reporting, recorded) = in_memory_with(|builder| builder.cluster("timely"));
        assert_eq!(run(&reporting, directory.path(), 3, rounds).unwrap(), expected(rounds));
        (recorded.spans(), recorded.events())
    };
    let (first, events) = count(ROUNDS);
    let checkpoints = first.named("Checkpoint");
    let ids: Vec<_> = checkpoints.iter().map(|span| span["checkpointId"].as_i64().unwrap()).collect();
    assert_eq!(ids, [2, 4, 6]);
    assert!(checkpoints.iter().all(|span| span.children()[0].children().len() == 3), "{checkpoints}");
    let names = ["JobStatusChangeEvent", "AllSubtasksStatusChangeEvent", "CheckpointEvent"];
    assert_eq!(names.map(|name| events.named(name).len()), [2, 1, 3], "{events}");

    let (second, _) = count(2 * ROUNDS);
    let restore = second.named("JobInitialization").one();
    assert_eq!(restore["checkpointId"], 6);
    let restored = checkpoints.with("checkpointId", 6).one();
    let [link] = restore.links() else { panic!("one link expected: {restore}") };
    assert_eq!((link.trace_id, link.span_id), (restored.trace_id(), restored.span_id()));
}

#[test]
fn reports_take_at_most_fifteen_lines() {
    let marked = include_str!("../src/lib.rs").lines().filter(|line| line.ends_with("// report"));
    assert!((1..=15).contains(&marked.count()));
}
