//! The times at which a reporter gets its records.
//!
//! A busy machine can delay a thread at any moment. So a test of promptness takes the fastest of
//! many tries, and a test of batches relates their number to the time that passed.

use std::thread;
use std::time::{Duration, Instant};

use flink_traces_api::Span;

use crate::harness::{Harness, LONG, Script};

/// The time in which the delivery of a record begins.
const PROMPT: Duration = Duration::from_millis(20);
/// Less than the time for which a reporter collects records.
const IMMEDIATE: Duration = Duration::from_millis(3);

fn harness() -> Harness {
    Harness::start([Script::traces("r")])
}

/// Returns the shortest time that `action` takes, without the first.
fn fastest(mut action: impl FnMut()) -> Duration {
    (0..30).map(|_| timed(&mut action)).skip(1).min().unwrap()
}

fn timed(action: impl FnOnce()) -> Duration {
    let start = Instant::now();
    action();
    start.elapsed()
}

/// Adds spans one by one, with pauses of `pause`, and asserts that few batches result.
fn check_batches(count: usize, pause: Duration) {
    let harness = harness();
    let start = Instant::now();
    for number in 1..=count {
        harness.add_spans(1);
        let due = start + pause * number as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let seen = harness.destination("r").wait(|seen| seen.arrived == count as u64);
    let at_most = 3 + start.elapsed().as_millis() as usize / 10;
    assert!(seen.batches.len() <= at_most, "{} batches, at most {at_most}", seen.batches.len());
    harness.finish(LONG);
}

#[test]
fn burst_becomes_few_reports() {
    check_batches(1_000, Duration::ZERO);
}

#[test]
fn steady_records_share_reports() {
    check_batches(300, Duration::from_millis(1));
}

#[test]
fn lone_record_is_delivered_promptly() {
    let harness = harness();
    let mut count = 0;
    let fastest = fastest(|| {
        count += 1;
        harness.add_spans(1);
        harness.destination("r").wait(|seen| seen.arrived == count);
    });
    assert!(fastest < PROMPT, "{fastest:?}");
    harness.finish(LONG);
}

#[test]
fn flush_and_shutdown_are_immediate() {
    let harness = harness();
    let flushed = fastest(|| {
        harness.add_spans(1);
        assert!(harness.dispatcher.flush(LONG));
    });
    harness.finish(LONG);
    let shut_down = (0..30).map(|_| {
        let harness = self::harness();
        harness.add_spans(1);
        harness.destination("r").wait(|seen| seen.arrived == 1);
        harness.add_spans(1);
        timed(|| drop(harness.finish(LONG)))
    });
    let shut_down = shut_down.min().unwrap();
    assert!(flushed < IMMEDIATE && shut_down < IMMEDIATE, "{flushed:?}, {shut_down:?}");
}

/// Scenario: one reporter hangs while all are flushed. Guarantees: the others do not wait for it.
#[test]
fn flush_hurries_all_reporters() {
    let harness = Harness::start([
        Script::traces("hangs").report(|_, deadline| {
            deadline.sleep(LONG);
            Ok(())
        }),
        Script::traces("works"),
    ]);
    let mut count = 0;
    let fastest = fastest(|| {
        count += 1;
        harness.add_spans(1);
        assert!(!harness.dispatcher.flush(Duration::ZERO));
        harness.destination("works").wait(|seen| seen.arrived == count);
    });
    assert!(fastest < IMMEDIATE, "{fastest:?}");
    harness.dispatcher.shutdown(Duration::ZERO);
}

/// Guarantees: a large or long queue is reported at once, so that neither memory grows nor a small
/// queue overflows before the next look.
#[test]
fn queue_past_its_mark_is_reported_at_once() {
    let check = |size: u64, attribute: usize| {
        let harness = Harness::start([Script::traces("r").option("queue.size", size)]);
        let text = "x".repeat(attribute);
        let fastest = fastest(|| {
            let before = harness.destination("r").seen().batches.len();
            let add = || harness.add(Span::builder("scope", "span").attribute("text", text.clone()), 1);
            // A busy machine may let the reporter look between them, so some more are added.
            while harness.destination("r").seen().batches.len() == before {
                add();
            }
        });
        assert!(fastest < IMMEDIATE, "queue of {size}, {attribute} bytes: {fastest:?}");
        assert!(harness.dispatcher.flush(LONG));
        harness.finish(LONG);
    };
    check(1 << 20, 100_000);
    check(20, 1);
}

/// Scenario: nothing happens. Guarantees: the reporter's thread sleeps and is not woken, until a
/// record comes.
#[cfg(target_os = "linux")]
#[test]
fn reporter_at_rest_does_not_wake() {
    let harness = Harness::start([Script::traces("resting")]);
    for count in 1..=3 {
        harness.add_spans(1);
        harness.destination("resting").wait(|seen| seen.arrived == count);
        let end = Instant::now() + LONG;
        let mut before = switches("traces-resting");
        loop {
            assert!(Instant::now() < end, "the thread never rests");
            thread::sleep(Duration::from_millis(300));
            let after = switches("traces-resting");
            if after == before {
                break;
            }
            before = after;
        }
    }
    harness.finish(LONG);
}

/// Returns the number of times that the thread of this name gave up its processor.
#[cfg(target_os = "linux")]
fn switches(thread: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let task = tasks.map(|task| task.unwrap().path()).find(|task| {
        // A name has at most fifteen characters.
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == &thread[..thread.len().min(15)])
    });
    let status = std::fs::read_to_string(task.unwrap().join("status")).unwrap();
    let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
    counts.map(|line| line.rsplit('\t').next().unwrap().parse::<u64>().unwrap()).sum()
}
