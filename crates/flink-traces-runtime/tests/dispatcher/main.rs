//! The dispatcher with well-behaved and misbehaving reporters, and the accounts of all of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

mod harness;
mod log;
mod model;
mod wakeups;

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use expect_test::expect;
use flink_traces_api::{ConfigError, Event, ReportError, Span, SystemClock};
use flink_traces_runtime::dispatch::DropReason;
use flink_traces_runtime::{Configuration, Dispatcher, MetricGroup, ReporterStats, discover};

use harness::{CLASS, Gate, Harness, LONG, Script, memory_of, registry, tree};

fn shown(accounts: &[ReporterStats]) -> String {
    let mut text = String::new();
    for stats in accounts {
        writeln!(text, "{stats}").unwrap();
        for (what, count) in [("filtered", stats.filtered), ("failures", stats.failures)] {
            if count > 0 {
                writeln!(text, "  {what}: {count}").unwrap();
            }
        }
        if let Some(error) = &stats.last_error {
            writeln!(text, "  last error: {error}").unwrap();
        }
    }
    text
}

/// Creates a reporter that waits at `gate` with each batch.
fn gated(script: Script, gate: &Gate) -> Script {
    let gate = gate.clone();
    script.report(move |_, _| {
        gate.pass();
        Ok(())
    })
}

#[test]
fn spans_count_with_children_and_filtered_apart() {
    let harness = Harness::start([
        Script::traces("all"),
        Script::traces("some").option("filter.includes", "jobmanager:keep*").option("filter.excludes", "*:keep-not"),
        Script::traces("none").option("filter.includes", "taskmanager"),
        Script::events("events").option("filter.excludes", "*:*tick"),
    ]);
    for (name, units) in [("keep", 1), ("leave", 2), ("keep-not", 3), ("keep-too", 4)] {
        harness.add_span(name, units);
        harness.add_event(name);
    }
    harness.add_event("tick");
    assert!(harness.dispatcher.flush(LONG));
    assert_eq!(harness.destination("all").seen().names, ["keep", "leave", "keep-not", "keep-too"]);
    assert_eq!(harness.destination("some").seen().names, ["keep", "keep-too"]);
    expect![[r#"
        traces all: 10 emitted = 10 delivered + 0 rejected + 0 dropped + 0 queued
        traces none: 0 emitted = 0 delivered + 0 rejected + 0 dropped + 0 queued
          filtered: 10
        traces some: 5 emitted = 5 delivered + 0 rejected + 0 dropped + 0 queued
          filtered: 5
        events events: 4 emitted = 4 delivered + 0 rejected + 0 dropped + 0 queued
          filtered: 1
    "#]]
    .assert_eq(&shown(&harness.finish(LONG)));
}

#[test]
fn no_reporters_flush_at_once() {
    let harness = Harness::start([]);
    harness.add_spans(3);
    harness.add_event("event");
    assert!(harness.dispatcher.flush(Duration::ZERO));
    assert_eq!(harness.finish(Duration::ZERO), []);
}

/// Scenario: one reporter misbehaves while another works. Guarantees: the other one gets
/// everything. The caller never waits, because otherwise this test would not end.
#[test]
fn bad_reporter_affects_no_other_and_no_caller() {
    let bad = || Script::traces("bad").option("queue.size", 10);
    let check = |gate: &Gate, bad: Script, queued: u64, error: Option<&str>| {
        let harness = Harness::start([bad, Script::traces("good")]);
        harness.add_span("first", 2);
        harness.destination("bad").wait(|seen| !seen.batches.is_empty());
        harness.add_spans(1_000);
        harness.destination("good").wait(|seen| seen.arrived == 1_002);
        let accounts = harness.finish(Duration::ZERO);
        let bad = &accounts[0];
        assert_eq!((bad.name.as_str(), bad.emitted, bad.queued), ("bad", 1_002, queued));
        assert_eq!(bad.last_error.as_deref(), error);
        assert_eq!((accounts[1].delivered, accounts[1].failures), (1_002, 0));
        gate.open();
    };
    let gate = &Gate::default();
    check(gate, gated(bad(), gate), 2, None);
    let panics = || bad().report(|_, _| panic!("no luck"));
    check(gate, panics(), 0, Some("panicked: no luck"));
    check(gate, panics().on_drop(|| panic!("nor here")), 0, Some("panicked: no luck"));
    check(
        gate,
        bad().report(|_, _| Err(ReportError::from_rejected(1, "no luck"))),
        0,
        Some("1 rejected, 0 dropped: no luck"),
    );
    check(gate, bad().close(|_| panic!("no end")), 0, Some("panicked: no end"));
    check(
        gate,
        bad().close(|_| Err(ReportError::from_rejected(0, "no end"))),
        0,
        Some("0 rejected, 0 dropped: no end"),
    );
}

/// Guarantees: the log has one line when the queue is full and one when half of it is free again,
/// even if it was full in between.
#[test]
fn full_queue_drops_counts_and_logs_once() {
    log::capture();
    let gate = Gate::default();
    let harness = Harness::start([gated(Script::traces("narrow").option("queue.size", 4), &gate)]);
    for passed in [0, 3] {
        harness.add_spans(1);
        gate.wait_for(passed + 1);
        // Three of them fit besides the one that the reporter holds.
        harness.add_spans(8);
        assert!(!harness.dispatcher.flush(Duration::ZERO));
        assert_eq!(harness.account("narrow").queued, 4);
        gate.let_pass(passed + 1);
        gate.wait_for(passed + 2);
        // The reporter now holds three, and one fits.
        harness.add_spans(3);
        gate.let_pass(passed + 3);
        assert!(harness.dispatcher.flush(LONG));
    }
    expect![[r#"
        traces narrow: 24 emitted = 10 delivered + 0 rejected + 14 dropped (queue full 14) + 0 queued
    "#]]
    .assert_eq(&shown(&harness.finish(LONG)));
    expect![[r#"
        WARN message=queue full, dropping records signal=traces reporter=narrow capacity=4 max_bytes=1073741824
        INFO message=queue has room again signal=traces reporter=narrow dropped=7
        WARN message=queue full, dropping records signal=traces reporter=narrow capacity=4 max_bytes=1073741824
        INFO message=queue has room again signal=traces reporter=narrow dropped=14
    "#]]
    .assert_eq(&log::lines_of("narrow"));
}

/// Guarantees: a tree larger than the whole queue is queued whole as soon as there is any room.
#[test]
fn oversized_tree_passes_when_there_is_room() {
    let gate = Gate::default();
    let harness = Harness::start([gated(Script::traces("narrow").option("queue.size", 4), &gate)]);
    harness.add_span("small", 1);
    gate.wait_for(1);
    harness.add_span("large", 100);
    harness.add_span("too late", 1);
    assert_eq!(harness.account("narrow").queued, 101);
    gate.open();
    assert!(harness.dispatcher.flush(LONG));
    harness.add_span("large again", 100);
    assert!(harness.dispatcher.flush(LONG));
    assert_eq!(harness.destination("narrow").seen().names, ["small", "large", "large again"]);
    expect![[r#"
        traces narrow: 202 emitted = 201 delivered + 0 rejected + 1 dropped (queue full 1) + 0 queued
    "#]]
    .assert_eq(&shown(&harness.finish(LONG)));
}

/// Guarantees: a tree that does not fit is dropped whole and counted, even by an empty queue, and
/// does not keep others out.
#[test]
fn tree_beyond_the_byte_limit_is_dropped_whole() {
    log::capture();
    let max_bytes = memory_of(tree("exact", 50));
    let gate = Gate::default();
    let harness = Harness::start([gated(Script::traces("tight").option("queue.max-bytes", max_bytes), &gate)]);
    harness.add_span("large", 51);
    harness.add_span("exact", 50);
    gate.wait_for(1);
    // The batch in flight takes its memory until it is finalized.
    harness.add_span("late", 1);
    let account = harness.account("tight");
    assert_eq!((account.queued, account.queued_bytes), (50, max_bytes));
    gate.open();
    assert!(harness.dispatcher.flush(LONG));
    harness.add_span("exact", 50);
    assert!(harness.dispatcher.flush(LONG));
    assert_eq!(harness.destination("tight").seen().names, ["exact", "exact"]);
    assert_eq!(harness.account("tight").queued_bytes, 0);
    expect![[r#"
        traces tight: 152 emitted = 100 delivered + 0 rejected + 52 dropped (queue full 52) + 0 queued
    "#]]
    .assert_eq(&shown(&harness.finish(LONG)));
    let lines = log::lines_of("tight");
    let expected = format!(
        "WARN message=queue full, dropping records signal=traces reporter=tight capacity=1048576 max_bytes={max_bytes}\n\
        INFO message=queue has room again signal=traces reporter=tight dropped=52\n"
    );
    assert_eq!(lines, expected);
}

#[test]
fn batches_are_bounded_in_records_and_spans() {
    let gate = Gate::default();
    let harness = Harness::start([gated(Script::traces("spans"), &gate), gated(Script::events("events"), &gate)]);
    harness.add_event("first");
    gate.wait_for(1);
    (0..5_000).for_each(|_| harness.add_event("event"));
    harness.add_span("first", 1);
    gate.wait_for(2);
    (0..5).for_each(|_| harness.add_span("tree", 10_000));
    gate.open();
    assert!(harness.dispatcher.flush(LONG));
    assert_eq!(harness.destination("events").seen().batches, [(1, 1), (2048, 2048), (2048, 2048), (904, 904)]);
    assert_eq!(harness.destination("spans").seen().batches, [(1, 1), (2, 20_000), (2, 20_000), (1, 10_000)]);
    harness.finish(LONG);
}

#[test]
fn flush_waits_for_every_reporter() {
    let gates = [Gate::default(), Gate::default()];
    let harness =
        Harness::start([gated(Script::traces("spans"), &gates[0]), gated(Script::events("events"), &gates[1])]);
    harness.add_span("span", 1);
    harness.add_event("event");
    thread::scope(|scope| {
        let flushing = scope.spawn(|| harness.dispatcher.flush(Duration::MAX));
        for gate in &gates {
            gate.wait_for(1);
            assert!(!harness.dispatcher.flush(Duration::ZERO));
            assert!(!flushing.is_finished());
            gate.open();
        }
        assert!(flushing.join().unwrap());
    });
    assert_eq!((harness.account("spans").delivered, harness.account("events").delivered), (1, 1));
    harness.finish(LONG);
}

/// Scenario: the next span always arrives before a batch is finalized, so the queue is never empty.
/// Guarantees: a flush waits only for earlier spans.
#[test]
fn flush_ends_while_others_add() {
    let (harness, enough) = (Arc::<OnceLock<Arc<Harness>>>::default(), Arc::new(AtomicBool::new(false)));
    let (own, has_enough) = (harness.clone(), enough.clone());
    let script = Script::traces("busy").report(move |_, _| {
        if !has_enough.load(Ordering::Relaxed) {
            own.get().unwrap().add_span("next", 1);
        }
        Ok(())
    });
    let harness = harness.get_or_init(|| Arc::new(Harness::start([script])));
    for number in 1..=100 {
        harness.add_span("span", 1);
        assert!(harness.dispatcher.flush(LONG));
        let names = harness.destination("busy").seen().names;
        assert_eq!(names.iter().filter(|name| *name == "span").count(), number);
        assert_eq!(harness.dispatcher.stats()[0].dropped_total(), 0);
    }
    enough.store(true, Ordering::Relaxed);
    harness.finish(LONG);
}

#[test]
fn flush_ignores_dropped_records() {
    let harness = Harness::start([Script::traces("failing")
        .report(|batch, _| Err(ReportError::from_dropped(batch.units as usize, true, "connection refused")))]);
    harness.add_spans(7);
    assert!(harness.dispatcher.flush(LONG));
    assert_eq!(harness.account("failing").dropped_by(DropReason::GivenUp), 7);
    harness.finish(LONG);
}

#[test]
fn failed_report_counts_as_its_error_says() {
    let check = |rejected, lost, expected: [u64; 3]| {
        let harness = Harness::start([Script::traces("r").report(move |_, _| {
            Err(ReportError::from_rejected(rejected, "invalid").and(ReportError::from_dropped(lost, true, "late")))
        })]);
        harness.add_span("tree", 5);
        assert!(harness.dispatcher.flush(LONG));
        let stats = harness.account("r");
        let counts = [stats.delivered, stats.rejected, stats.dropped_by(DropReason::GivenUp)];
        assert_eq!((counts, stats.failures), (expected, 1), "{rejected} rejected, {lost} dropped");
        harness.finish(LONG);
    };
    check(0, 0, [5, 0, 0]);
    check(2, 0, [3, 2, 0]);
    check(0, 2, [3, 0, 2]);
    check(2, 3, [0, 2, 3]);
    // Counts that exceed the batch are impossible.
    check(9, 0, [0, 5, 0]);
    check(0, 9, [0, 0, 5]);
    check(3, 9, [0, 3, 2]);
    check(usize::MAX, 0, [0, 5, 0]);
    check(5, usize::MAX - 5, [0, 5, 0]);
}

#[test]
fn failure_is_logged_at_start_and_end() {
    log::capture();
    let mut calls = 0;
    let harness = Harness::start([Script::events("moody").report(move |_, _| {
        calls += 1;
        let refused = std::io::Error::other(Chain("no route", Some(Box::new(Chain("cable cut", None)))));
        if [2, 3, 6].contains(&calls) { Err(ReportError::from_dropped(1, true, refused)) } else { Ok(()) }
    })]);
    for _ in 0..7 {
        harness.add_event("event");
        assert!(harness.dispatcher.flush(LONG));
    }
    expect![[r#"
        events moody: 7 emitted = 4 delivered + 0 rejected + 3 dropped (given up 3) + 0 queued
          failures: 3
          last error: 0 rejected, 1 dropped: no route: cable cut
    "#]]
    .assert_eq(&shown(&harness.finish(LONG)));
    expect![[r#"
        WARN message=reporter failing signal=events reporter=moody error="0 rejected, 1 dropped: no route: cable cut"
        INFO message=reporter recovered signal=events reporter=moody
        WARN message=reporter failing signal=events reporter=moody error="0 rejected, 1 dropped: no route: cable cut"
        INFO message=reporter recovered signal=events reporter=moody
    "#]]
    .assert_eq(&log::lines_of("moody"));
}

/// An error with a cause.
#[derive(Debug)]
struct Chain(&'static str, Option<Box<Chain>>);

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Chain {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_ref().map(|cause| cause.as_ref() as _)
    }
}

/// Scenario: foreign code panics wherever it can. Guarantees: nothing hangs, everything is counted,
/// and the reporter is not called again.
#[test]
fn account_balances_after_any_panic() {
    #[derive(Debug)]
    struct Undroppable;
    impl Drop for Undroppable {
        fn drop(&mut self) {
            panic!("in Drop")
        }
    }
    impl fmt::Display for Undroppable {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("undroppable")
        }
    }
    impl std::error::Error for Undroppable {}

    let check = |script: Script, delivered: u64, error: &str| {
        let harness = Harness::start([script]);
        harness.add_span("first", 3);
        assert!(harness.dispatcher.flush(LONG));
        harness.destination("r").wait(|seen| seen.is_gone);
        harness.add_span("second", 4);
        assert!(harness.dispatcher.flush(LONG));
        let stats = harness.account("r");
        assert_eq!((stats.delivered, stats.dropped_by(DropReason::Panicked)), (delivered, 7 - delivered), "{error}");
        assert_eq!(stats.last_error.as_deref(), Some(error));
        let seen = harness.destination("r").seen();
        assert_eq!((seen.batches.len(), seen.closes), (1, 0));
        harness.dispatcher.shutdown(LONG);
    };
    let panics = |panic: fn() -> Result<(), ReportError>| Script::traces("r").report(move |_, _| panic());
    check(panics(|| panic!("a {}", "text")), 0, "panicked: a text");
    check(panics(|| panic!("literally")), 0, "panicked: literally");
    check(panics(|| panic_any(7)), 0, "panicked: no message");
    check(panics(|| panic_any(Undroppable)), 0, "panicked: no message");
    // The batch is finalized by then.
    check(panics(|| Err(ReportError::from_rejected(0, Undroppable))), 3, "panicked: in Drop");
}

#[test]
fn panicking_error_text_is_counted() {
    #[derive(Debug)]
    struct Untellable;
    impl fmt::Display for Untellable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("in Display")
        }
    }
    impl std::error::Error for Untellable {}

    let harness =
        Harness::start([Script::traces("r").report(|_, _| Err(ReportError::from_dropped(1, true, Untellable)))]);
    harness.add_span("tree", 3);
    expect![[r#"
        traces r: 3 emitted = 2 delivered + 0 rejected + 1 dropped (given up 1) + 0 queued
          failures: 1
          last error: an error whose text panicked: in Display
    "#]]
    .assert_eq(&shown(&harness.finish(LONG)));
}

#[test]
fn failed_factory_is_problem_and_others_start() {
    let setup = |text: &'static str| move || Err(ConfigError::Setup(text.into()));
    let missing = || Err(ConfigError::Missing { key: "traces.reporter.a-missing.exporter.endpoint".to_owned() });
    let harness = Harness::start([
        Script::traces("a-missing").create(missing),
        Script::traces("b-good"),
        Script::traces("c-panics").create(|| panic!("no\nluck")),
        Script::events("d-setup").create(setup("no such directory")),
        Script::events("e-panics").create(|| panic_any(())),
        Script::events("f-good"),
    ]);
    let problems: String = harness.problems.iter().map(|problem| format!("{problem}\n")).collect();
    expect![[r#"
        code: traces.reporter.a-missing.exporter.endpoint: is not set
        code: traces.reporter.c-panics: panicked: no\nluck
        code: events.reporter.d-setup: no such directory
        code: events.reporter.e-panics: panicked: no message
    "#]]
    .assert_eq(&problems);
    harness.add_spans(2);
    harness.add_event("event");
    expect![[r#"
        traces b-good: 2 emitted = 2 delivered + 0 rejected + 0 dropped + 0 queued
        events f-good: 1 emitted = 1 delivered + 0 rejected + 0 dropped + 0 queued
    "#]]
    .assert_eq(&shown(&harness.finish(LONG)));
}

#[test]
fn unknown_class_is_problem_and_others_start() {
    let registry = registry([Script::traces("good")]);
    let configuration = Configuration::from_pairs([
        ("traces.reporter.bad.factory.class", CLASS),
        ("traces.reporter.good.factory.class", CLASS),
    ]);
    let (mut setups, _) = discover(&configuration, &registry);
    setups[0].class = "skripted".to_owned();
    let (dispatcher, problems) = Dispatcher::start(setups, &registry, Arc::new(SystemClock), ".");
    let problems: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    expect![[r#"
        code: traces.reporter.bad.factory.class: unknown factory class 'skripted'; available: scripted; did you mean scripted?
    "#]]
    .assert_eq(&problems);
    expect![[r#"
        traces good: 0 emitted = 0 delivered + 0 rejected + 0 dropped + 0 queued
    "#]]
    .assert_eq(&shown(&dispatcher.shutdown(LONG)));
}

/// A name may contain characters that a thread's name must not, and that a terminal should not get.
#[test]
fn any_reporter_name_works() {
    log::capture();
    let harness = Harness::start([Script::traces("a\0b\u{1b}[31mü")]);
    harness.add_spans(1);
    let expected = "traces a\\u{0}b\\u{1b}[31mü: 1 emitted = 1 delivered + 0 rejected + 0 dropped + 0 queued\n";
    assert_eq!(shown(&harness.finish(LONG)), expected);
    harness.add_spans(1);
    let expected = "WARN message=dispatcher shut down, dropping records signal=traces reporter=a\\u{0}b\\u{1b}[31mü\n";
    assert_eq!(log::lines_of("a\\u{0}b\\u{1b}[31mü"), expected);
}

#[test]
fn shutdown_delivers_what_is_queued_and_closes_once() {
    log::capture();
    let gate = Gate::default();
    let harness = Harness::start([gated(Script::traces("orderly"), &gate), gated(Script::events("too"), &gate)]);
    harness.add_spans(2_000);
    (0..2_000).for_each(|_| harness.add_event("event"));
    gate.open();
    let accounts = harness.finish(Duration::MAX);
    expect![[r#"
        traces orderly: 2000 emitted = 2000 delivered + 0 rejected + 0 dropped + 0 queued
        events too: 2000 emitted = 2000 delivered + 0 rejected + 0 dropped + 0 queued
    "#]]
    .assert_eq(&shown(&accounts));
    for name in ["orderly", "too"] {
        let seen = harness.destination(name).seen();
        assert_eq!((seen.closes, seen.is_gone), (1, true));
    }

    // All calls still return and count.
    harness.add_span("late", 3);
    harness.add_event("late");
    harness.add_event("late");
    assert!(harness.dispatcher.flush(Duration::ZERO));
    expect![[r#"
        traces orderly: 2003 emitted = 2000 delivered + 0 rejected + 3 dropped (closed 3) + 0 queued
        events too: 2002 emitted = 2000 delivered + 0 rejected + 2 dropped (closed 2) + 0 queued
    "#]]
    .assert_eq(&shown(&harness.finish(Duration::ZERO)));
    assert_eq!(harness.destination("orderly").seen().closes, 1);
    expect![[r#"
        WARN message=dispatcher shut down, dropping records signal=traces reporter=orderly
        WARN message=dispatcher shut down, dropping records signal=events reporter=too
    "#]]
    .assert_eq(&(log::lines_of("orderly") + &log::lines_of("too")));
}

/// Scenario: the shutdown has no time, and the reporter respects its deadline. Guarantees: it is
/// closed, and the remaining records are counted.
#[test]
fn expired_shutdown_counts_remaining_records() {
    log::capture();
    let harness = Harness::start([Script::traces("patient").report(|batch, deadline| {
        assert!(!deadline.sleep(LONG));
        Err(ReportError::from_dropped(batch.units as usize, true, "no time left"))
    })]);
    harness.add_span("in flight", 2);
    harness.destination("patient").wait(|seen| seen.batches.len() == 1);
    harness.add_spans(9);
    expect![[r#"
        traces patient: 11 emitted = 0 delivered + 0 rejected + 11 dropped (given up 2, shutdown 9) + 0 queued
          failures: 1
          last error: 0 rejected, 2 dropped: no time left
    "#]]
    .assert_eq(&shown(&harness.finish(Duration::ZERO)));
    assert_eq!(harness.destination("patient").seen().closes, 1);
    expect![[r#"
        WARN message=reporter failing signal=traces reporter=patient error="0 rejected, 2 dropped: no time left"
        WARN message=shutdown deadline passed, records dropped or left behind signal=traces reporter=patient dropped=9 left_behind=0
    "#]]
    .assert_eq(&log::lines_of("patient"));
}

/// Scenario: a reporter does not return during the shutdown. Guarantees: the shutdown returns. The
/// reporter's batch stays queued, and is finalized if the reporter ever returns.
#[test]
fn shutdown_abandons_hanging_reporter() {
    log::capture();
    let gate = Gate::default();
    let harness = Harness::start([gated(Script::traces("lost"), &gate)]);
    harness.add_span("in flight", 2);
    gate.wait_for(1);
    harness.add_spans(9);
    expect![[r#"
        traces lost: 11 emitted = 0 delivered + 0 rejected + 9 dropped (shutdown 9) + 2 queued
    "#]]
    .assert_eq(&shown(&harness.finish(Duration::ZERO)));
    assert_eq!(harness.destination("lost").seen().closes, 0);
    expect![[r#"
        WARN message=shutdown deadline passed, records dropped or left behind signal=traces reporter=lost dropped=9 left_behind=2
    "#]]
    .assert_eq(&log::lines_of("lost"));

    gate.open();
    expect![[r#"
        traces lost: 11 emitted = 2 delivered + 0 rejected + 9 dropped (shutdown 9) + 0 queued
    "#]]
    .assert_eq(&shown(&harness.finish(LONG)));
    assert_eq!(harness.destination("lost").seen().closes, 1);
}

/// Guarantees: a flush returns when a shutdown ends, and several shutdowns do not block each other.
#[test]
fn flush_and_shutdown_run_on_any_thread() {
    let gate = Gate::default();
    let harness = Harness::start([gated(Script::traces("r"), &gate)]);
    harness.add_spans(1);
    gate.wait_for(1);
    harness.add_spans(5);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| harness.dispatcher.flush(LONG));
        let patient = scope.spawn(|| harness.dispatcher.shutdown(LONG));
        harness.dispatcher.shutdown(Duration::ZERO);
        gate.open();
        assert!(waiting.join().unwrap());
        let told = patient.join().unwrap();
        assert_eq!((told[0].delivered, told[0].dropped_by(DropReason::Shutdown), told[0].queued), (1, 5, 0));
    });
    harness.finish(LONG);
}

/// Scenario: all handles are dropped while spans are queued. Guarantees: the last drop, here of a
/// group, waits for the reporter.
#[test]
fn drop_without_shutdown_delivers() {
    let Harness { dispatcher, group, destinations, .. } =
        Harness::start([Script::traces("r").report(|_, deadline| {
            while deadline.remaining().is_none() {
                thread::yield_now();
            }
            Ok(())
        })]);
    let job = group.add_job("id", "name");
    job.add_span(Span::builder("scope", "in flight"));
    destinations["r"].wait(|seen| seen.batches.len() == 1);
    job.add_span(Span::builder("scope", "queued"));
    drop(dispatcher);
    drop(group);
    assert_eq!(destinations["r"].seen().arrived, 0);
    drop(job);
    let seen = destinations["r"].seen();
    assert_eq!((seen.arrived, seen.closes, seen.is_gone), (2, 1, true));
}

#[test]
fn drop_without_shutdown_ends() {
    let gate = Gate::default();
    let harness = Harness::start([gated(Script::traces("r"), &gate)]);
    harness.add_spans(1);
    gate.wait_for(1);
    let destination = harness.destinations["r"].clone();
    drop(harness);
    assert!(!destination.seen().is_gone);
    gate.open();
    destination.wait(|seen| seen.is_gone);
}

/// Scenario: a reporter adds records to the dispatcher that calls it. Guarantees: no lock is held
/// during the call.
#[test]
fn reporter_may_add_records() {
    let group: Arc<OnceLock<(Dispatcher, MetricGroup)>> = Arc::default();
    let own = group.clone();
    let harness = Harness::start([
        Script::traces("reentrant").report(move |_, _| {
            let (dispatcher, group) = own.get().unwrap();
            assert!(!dispatcher.flush(Duration::ZERO));
            assert_eq!(dispatcher.stats()[0].queued, 1);
            group.add_event(Event::builder("scope", "from within"));
            Ok(())
        }),
        Script::events("events"),
    ]);
    assert!(group.set((harness.dispatcher.clone(), harness.group.clone())).is_ok());
    harness.add_spans(1);
    assert!(harness.dispatcher.flush(LONG));
    assert!(harness.dispatcher.flush(LONG));
    assert_eq!(harness.destination("events").seen().names, ["from within"]);
    let told = harness.dispatcher.shutdown(LONG);
    assert_eq!([told[0].delivered, told[1].delivered], [1, 1]);
}

/// Scenario: four threads add records through small queues to reporters that deliver, fail and
/// panic. A fifth thread reads accounts and flushes, and the shutdown comes in between. Guarantees:
/// every account balances at every moment and is complete at the end.
#[test]
fn accounts_balance_at_every_moment() {
    const PER_THREAD: usize = 3_000;
    for shall_panic in [false, true] {
        let (mut calls, panics) = (0, Arc::new(AtomicBool::new(false)));
        let told_to_panic = panics.clone();
        let harness = Harness::start([
            Script::traces("good").option("queue.size", 64),
            Script::traces("moody").option("queue.size", 16).report(move |batch, _| {
                assert!(!told_to_panic.load(Ordering::Relaxed));
                calls += 1;
                match calls % 3 {
                    0 => Ok(()),
                    1 => Err(ReportError::from_rejected(1, "refused")),
                    _ => Err(ReportError::from_dropped(batch.units as usize + 1, true, "lost")),
                }
            }),
            Script::events("events").option("queue.size", 1),
        ]);
        let has_panicked = || harness.dispatcher.stats()[1].dropped_by(DropReason::Panicked) > 0;
        let reported = AtomicUsize::new(0);
        let look_on_until = |count| {
            while reported.load(Ordering::Relaxed) < count {
                assert!(harness.dispatcher.stats().iter().all(ReporterStats::is_balanced));
                assert!(harness.dispatcher.flush(LONG));
            }
        };
        thread::scope(|scope| {
            for thread in 0..4 {
                let (harness, reported) = (&harness, &reported);
                scope.spawn(move || {
                    for number in 0..PER_THREAD {
                        harness.add_span("span", 1 + ((thread + number) % 7) as u64);
                        harness.add_event("event");
                        reported.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            look_on_until(PER_THREAD);
            panics.store(shall_panic, Ordering::Relaxed);
            while shall_panic && !has_panicked() {
                harness.add_spans(1);
                assert!(harness.dispatcher.flush(LONG));
            }
            look_on_until(2 * PER_THREAD);
            let told = harness.dispatcher.shutdown(LONG);
            assert!(told.iter().all(|stats| stats.is_balanced() && stats.queued == 0), "{told:?}");
        });
        assert_eq!(has_panicked(), shall_panic);
        harness.finish(LONG);
    }
}

/// A span without an identity is a trace of its own, the same at every reporter.
#[test]
fn anonymous_spans_are_separate_traces() {
    let harness = Harness::start([Script::traces("one"), Script::traces("two")]);
    harness.add_spans(1_000);
    assert!(harness.dispatcher.flush(LONG));
    let [one, two] = ["one", "two"].map(|name| harness.destination(name).seen().trace_ids);
    assert_eq!(one, two);
    assert_eq!(one.iter().collect::<BTreeSet<_>>().len(), 1_000);
    let other = Harness::start([Script::traces("one")]);
    other.add_spans(1);
    other.finish(LONG);
    assert!(!one.contains(&other.destination("one").seen().trace_ids[0]));
    harness.finish(LONG);
}
