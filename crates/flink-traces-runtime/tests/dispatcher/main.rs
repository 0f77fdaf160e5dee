//! What the dispatcher does with reporters of every temper, and that it counts all of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

mod log;
mod model;
mod rig;

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

use rig::{CLASS, Gate, LONG, Rig, Script, registry};

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

/// A reporter that waits at `gate` with each batch.
fn gated(script: Script, gate: &Gate) -> Script {
    let gate = gate.clone();
    script.report(move |_, _| {
        gate.pass();
        Ok(())
    })
}

#[test]
fn spans_are_counted_with_their_children_and_filtered_ones_apart() {
    let rig = Rig::start([
        Script::traces("all"),
        Script::traces("some").option("filter.includes", "jobmanager:keep*").option("filter.excludes", "*:keep-not"),
        Script::traces("none").option("filter.includes", "taskmanager"),
        Script::events("events").option("filter.excludes", "*:*tick"),
    ]);
    for (name, units) in [("keep", 1), ("leave", 2), ("keep-not", 3), ("keep-too", 4)] {
        rig.add_span(name, units);
        rig.add_event(name);
    }
    rig.add_event("tick");
    assert!(rig.dispatcher.flush(LONG));
    assert_eq!(rig.destination("all").seen().names, ["keep", "leave", "keep-not", "keep-too"]);
    assert_eq!(rig.destination("some").seen().names, ["keep", "keep-too"]);
    expect![[r#"
        traces all: 10 emitted = 10 delivered + 0 rejected + 0 dropped + 0 queued
        traces none: 0 emitted = 0 delivered + 0 rejected + 0 dropped + 0 queued
          filtered: 10
        traces some: 5 emitted = 5 delivered + 0 rejected + 0 dropped + 0 queued
          filtered: 5
        events events: 4 emitted = 4 delivered + 0 rejected + 0 dropped + 0 queued
          filtered: 1
    "#]]
    .assert_eq(&shown(&rig.finish(LONG)));
}

#[test]
fn without_reporters_everything_is_at_once_done() {
    let rig = Rig::start([]);
    rig.add_spans(3);
    rig.add_event("event");
    assert!(rig.dispatcher.flush(Duration::ZERO));
    assert_eq!(rig.finish(Duration::ZERO), []);
}

/// Scenario: one reporter misbehaves while another one works. Guarantees: the other one has everything, and whoever reports was
/// never held up, for else this test would not end.
#[test]
fn a_bad_reporter_harms_neither_another_nor_the_caller() {
    let bad = || Script::traces("bad").option("queue.size", 10);
    let check = |gate: &Gate, bad: Script, queued: u64, error: Option<&str>| {
        let rig = Rig::start([bad, Script::traces("good")]);
        rig.add_span("first", 2);
        rig.destination("bad").wait(|seen| !seen.batches.is_empty());
        rig.add_spans(1_000);
        rig.destination("good").wait(|seen| seen.arrived == 1_002);
        let accounts = rig.finish(Duration::ZERO);
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

/// Guarantees: one line when it begins and one when half of the queue is free again, however often it is full in between.
#[test]
fn what_does_not_fit_into_the_queue_is_dropped_counted_and_logged_once() {
    log::capture();
    let gate = Gate::default();
    let rig = Rig::start([gated(Script::traces("narrow").option("queue.size", 4), &gate)]);
    for passed in [0, 3] {
        rig.add_spans(1);
        gate.wait_for(passed + 1);
        // Three of them fit beside the one that the reporter holds.
        rig.add_spans(8);
        assert!(!rig.dispatcher.flush(Duration::ZERO));
        assert_eq!(rig.account("narrow").queued, 4);
        gate.let_pass(passed + 1);
        gate.wait_for(passed + 2);
        // Now it holds three, and one fits.
        rig.add_spans(3);
        gate.let_pass(passed + 3);
        assert!(rig.dispatcher.flush(LONG));
    }
    expect![[r#"
        traces narrow: 24 emitted = 10 delivered + 0 rejected + 14 dropped (queue full 14) + 0 queued
    "#]]
    .assert_eq(&shown(&rig.finish(LONG)));
    expect![[r#"
        WARN message=queue full, dropping records signal=traces reporter=narrow capacity=4
        INFO message=queue has room again signal=traces reporter=narrow dropped=7
        WARN message=queue full, dropping records signal=traces reporter=narrow capacity=4
        INFO message=queue has room again signal=traces reporter=narrow dropped=14
    "#]]
    .assert_eq(&log::lines_of("narrow"));
}

/// Guarantees: a tree larger than the whole queue is not shut out for ever. It passes whole as soon as there is any room.
#[test]
fn a_tree_larger_than_the_queue_passes_when_there_is_room() {
    let gate = Gate::default();
    let rig = Rig::start([gated(Script::traces("narrow").option("queue.size", 4), &gate)]);
    rig.add_span("small", 1);
    gate.wait_for(1);
    rig.add_span("large", 100);
    rig.add_span("too late", 1);
    assert_eq!(rig.account("narrow").queued, 101);
    gate.open();
    assert!(rig.dispatcher.flush(LONG));
    rig.add_span("large again", 100);
    assert!(rig.dispatcher.flush(LONG));
    assert_eq!(rig.destination("narrow").seen().names, ["small", "large", "large again"]);
    expect![[r#"
        traces narrow: 202 emitted = 201 delivered + 0 rejected + 1 dropped (queue full 1) + 0 queued
    "#]]
    .assert_eq(&shown(&rig.finish(LONG)));
}

#[test]
fn batches_have_a_bound_in_records_and_in_spans() {
    let gate = Gate::default();
    let rig = Rig::start([gated(Script::traces("spans"), &gate), gated(Script::events("events"), &gate)]);
    rig.add_event("first");
    gate.wait_for(1);
    (0..5_000).for_each(|_| rig.add_event("event"));
    rig.add_span("first", 1);
    gate.wait_for(2);
    (0..5).for_each(|_| rig.add_span("tree", 10_000));
    gate.open();
    assert!(rig.dispatcher.flush(LONG));
    assert_eq!(rig.destination("events").seen().batches, [(1, 1), (2048, 2048), (2048, 2048), (904, 904)]);
    assert_eq!(rig.destination("spans").seen().batches, [(1, 1), (2, 20_000), (2, 20_000), (1, 10_000)]);
    rig.finish(LONG);
}

#[test]
fn flush_waits_for_every_reporter() {
    let gates = [Gate::default(), Gate::default()];
    let rig = Rig::start([gated(Script::traces("spans"), &gates[0]), gated(Script::events("events"), &gates[1])]);
    rig.add_span("span", 1);
    rig.add_event("event");
    thread::scope(|scope| {
        let flushing = scope.spawn(|| rig.dispatcher.flush(Duration::MAX));
        for gate in &gates {
            gate.wait_for(1);
            assert!(!rig.dispatcher.flush(Duration::ZERO));
            assert!(!flushing.is_finished());
            gate.open();
        }
        assert!(flushing.join().unwrap());
    });
    assert_eq!((rig.account("spans").delivered, rig.account("events").delivered), (1, 1));
    rig.finish(LONG);
}

/// Scenario: before a batch is settled the next span is there, so that the queue never runs empty. Guarantees: flush waits for what
/// came before it, and for no more.
#[test]
fn flush_ends_while_others_go_on_reporting() {
    let (rig, enough) = (Arc::<OnceLock<Arc<Rig>>>::default(), Arc::new(AtomicBool::new(false)));
    let (own, has_enough) = (rig.clone(), enough.clone());
    let script = Script::traces("busy").report(move |_, _| {
        if !has_enough.load(Ordering::Relaxed) {
            own.get().unwrap().add_span("next", 1);
        }
        Ok(())
    });
    let rig = rig.get_or_init(|| Arc::new(Rig::start([script])));
    for number in 1..=100 {
        rig.add_span("span", 1);
        assert!(rig.dispatcher.flush(LONG));
        let names = rig.destination("busy").seen().names;
        assert_eq!(names.iter().filter(|name| *name == "span").count(), number);
        assert_eq!(rig.dispatcher.stats()[0].dropped_total(), 0);
    }
    enough.store(true, Ordering::Relaxed);
    rig.finish(LONG);
}

#[test]
fn what_was_dropped_needs_no_waiting_for() {
    let rig = Rig::start([Script::traces("failing")
        .report(|batch, _| Err(ReportError::from_dropped(batch.units as usize, true, "connection refused")))]);
    rig.add_spans(7);
    assert!(rig.dispatcher.flush(LONG));
    assert_eq!(rig.account("failing").dropped_by(DropReason::GivenUp), 7);
    rig.finish(LONG);
}

#[test]
fn a_failed_report_is_counted_as_it_says() {
    let check = |rejected, lost, expected: [u64; 3]| {
        let rig = Rig::start([Script::traces("r").report(move |_, _| {
            Err(ReportError::from_rejected(rejected, "invalid").and(ReportError::from_dropped(lost, true, "late")))
        })]);
        rig.add_span("tree", 5);
        assert!(rig.dispatcher.flush(LONG));
        let stats = rig.account("r");
        let counts = [stats.delivered, stats.rejected, stats.dropped_by(DropReason::GivenUp)];
        assert_eq!((counts, stats.failures), (expected, 1), "{rejected} rejected, {lost} dropped");
        rig.finish(LONG);
    };
    check(0, 0, [5, 0, 0]);
    check(2, 0, [3, 2, 0]);
    check(0, 2, [3, 0, 2]);
    check(2, 3, [0, 2, 3]);
    // What cannot be: more than there was.
    check(9, 0, [0, 5, 0]);
    check(0, 9, [0, 0, 5]);
    check(3, 9, [0, 3, 2]);
    check(usize::MAX, 0, [0, 5, 0]);
    check(5, usize::MAX - 5, [0, 5, 0]);
}

#[test]
fn failing_is_logged_when_it_begins_and_when_it_ends() {
    log::capture();
    let mut calls = 0;
    let rig = Rig::start([Script::events("moody").report(move |_, _| {
        calls += 1;
        let refused = std::io::Error::other(Chain("no route", Some(Box::new(Chain("cable cut", None)))));
        if [2, 3, 6].contains(&calls) { Err(ReportError::from_dropped(1, true, refused)) } else { Ok(()) }
    })]);
    for _ in 0..7 {
        rig.add_event("event");
        assert!(rig.dispatcher.flush(LONG));
    }
    expect![[r#"
        events moody: 7 emitted = 4 delivered + 0 rejected + 3 dropped (given up 3) + 0 queued
          failures: 3
          last error: 0 rejected, 1 dropped: no route: cable cut
    "#]]
    .assert_eq(&shown(&rig.finish(LONG)));
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

/// Scenario: foreign code panics wherever it can. Guarantees: nothing hangs, all is counted, the reporter is not called again.
#[test]
fn whatever_panics_the_account_is_right() {
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
        let rig = Rig::start([script]);
        rig.add_span("first", 3);
        assert!(rig.dispatcher.flush(LONG));
        rig.destination("r").wait(|seen| seen.is_gone);
        rig.add_span("second", 4);
        assert!(rig.dispatcher.flush(LONG));
        let stats = rig.account("r");
        assert_eq!((stats.delivered, stats.dropped_by(DropReason::Panicked)), (delivered, 7 - delivered), "{error}");
        assert_eq!(stats.last_error.as_deref(), Some(error));
        let seen = rig.destination("r").seen();
        assert_eq!((seen.batches.len(), seen.closes), (1, 0));
        rig.dispatcher.shutdown(LONG);
    };
    let panics = |panic: fn() -> Result<(), ReportError>| Script::traces("r").report(move |_, _| panic());
    check(panics(|| panic!("a {}", "text")), 0, "panicked: a text");
    check(panics(|| panic!("literally")), 0, "panicked: literally");
    check(panics(|| panic_any(7)), 0, "panicked: no message");
    check(panics(|| panic_any(Undroppable)), 0, "panicked: no message");
    // By then the batch is settled.
    check(panics(|| Err(ReportError::from_rejected(0, Undroppable))), 3, "panicked: in Drop");
}

#[test]
fn an_error_that_cannot_be_told_is_counted() {
    #[derive(Debug)]
    struct Untellable;
    impl fmt::Display for Untellable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("in Display")
        }
    }
    impl std::error::Error for Untellable {}

    let rig = Rig::start([Script::traces("r").report(|_, _| Err(ReportError::from_dropped(1, true, Untellable)))]);
    rig.add_span("tree", 3);
    expect![[r#"
        traces r: 3 emitted = 2 delivered + 0 rejected + 1 dropped (given up 1) + 0 queued
          failures: 1
          last error: an error whose text panicked: in Display
    "#]]
    .assert_eq(&shown(&rig.finish(LONG)));
}

#[test]
fn reporters_that_cannot_be_made_are_problems_and_the_others_start() {
    let setup = |text: &'static str| move || Err(ConfigError::Setup(text.into()));
    let missing = || Err(ConfigError::Missing { key: "traces.reporter.a-missing.exporter.endpoint".to_owned() });
    let rig = Rig::start([
        Script::traces("a-missing").create(missing),
        Script::traces("b-good"),
        Script::traces("c-panics").create(|| panic!("no\nluck")),
        Script::events("d-setup").create(setup("no such directory")),
        Script::events("e-panics").create(|| panic_any(())),
        Script::events("f-good"),
    ]);
    let problems: String = rig.problems.iter().map(|problem| format!("{problem}\n")).collect();
    expect![[r#"
        code: traces.reporter.a-missing.exporter.endpoint: is not set
        code: traces.reporter.c-panics: panicked: no\nluck
        code: events.reporter.d-setup: no such directory
        code: events.reporter.e-panics: panicked: no message
    "#]]
    .assert_eq(&problems);
    rig.add_spans(2);
    rig.add_event("event");
    expect![[r#"
        traces b-good: 2 emitted = 2 delivered + 0 rejected + 0 dropped + 0 queued
        events f-good: 1 emitted = 1 delivered + 0 rejected + 0 dropped + 0 queued
    "#]]
    .assert_eq(&shown(&rig.finish(LONG)));
}

#[test]
fn an_unknown_class_is_a_problem_and_the_others_start() {
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

/// A name may hold what no thread's name may, and what no terminal should get to see.
#[test]
fn any_name_will_do() {
    log::capture();
    let rig = Rig::start([Script::traces("a\0b\u{1b}[31mü")]);
    rig.add_spans(1);
    let expected = "traces a\\u{0}b\\u{1b}[31mü: 1 emitted = 1 delivered + 0 rejected + 0 dropped + 0 queued\n";
    assert_eq!(shown(&rig.finish(LONG)), expected);
    rig.add_spans(1);
    let expected = "WARN message=dispatcher shut down, dropping records signal=traces reporter=a\\u{0}b\\u{1b}[31mü\n";
    assert_eq!(log::lines_of("a\\u{0}b\\u{1b}[31mü"), expected);
}

#[test]
fn shutdown_delivers_what_is_queued_and_closes_once() {
    log::capture();
    let gate = Gate::default();
    let rig = Rig::start([gated(Script::traces("orderly"), &gate), gated(Script::events("too"), &gate)]);
    rig.add_spans(2_000);
    (0..2_000).for_each(|_| rig.add_event("event"));
    gate.open();
    let accounts = rig.finish(Duration::MAX);
    expect![[r#"
        traces orderly: 2000 emitted = 2000 delivered + 0 rejected + 0 dropped + 0 queued
        events too: 2000 emitted = 2000 delivered + 0 rejected + 0 dropped + 0 queued
    "#]]
    .assert_eq(&shown(&accounts));
    for name in ["orderly", "too"] {
        let seen = rig.destination(name).seen();
        assert_eq!((seen.closes, seen.is_gone), (1, true));
    }

    // Afterwards everything still answers, and counts.
    rig.add_span("late", 3);
    rig.add_event("late");
    rig.add_event("late");
    assert!(rig.dispatcher.flush(Duration::ZERO));
    expect![[r#"
        traces orderly: 2003 emitted = 2000 delivered + 0 rejected + 3 dropped (closed 3) + 0 queued
        events too: 2002 emitted = 2000 delivered + 0 rejected + 2 dropped (closed 2) + 0 queued
    "#]]
    .assert_eq(&shown(&rig.finish(Duration::ZERO)));
    assert_eq!(rig.destination("orderly").seen().closes, 1);
    expect![[r#"
        WARN message=dispatcher shut down, dropping records signal=traces reporter=orderly
        WARN message=dispatcher shut down, dropping records signal=events reporter=too
    "#]]
    .assert_eq(&(log::lines_of("orderly") + &log::lines_of("too")));
}

/// Scenario: no time is left at the shutdown, and the reporter heeds its deadline. Guarantees: it is closed, and all that it did not
/// get to is counted.
#[test]
fn shutdown_out_of_time_counts_what_nobody_got_to() {
    log::capture();
    let rig = Rig::start([Script::traces("patient").report(|batch, deadline| {
        assert!(!deadline.sleep(LONG));
        Err(ReportError::from_dropped(batch.units as usize, true, "no time left"))
    })]);
    rig.add_span("in flight", 2);
    rig.destination("patient").wait(|seen| seen.batches.len() == 1);
    rig.add_spans(9);
    expect![[r#"
        traces patient: 11 emitted = 0 delivered + 0 rejected + 11 dropped (given up 2, shutdown 9) + 0 queued
          failures: 1
          last error: 0 rejected, 2 dropped: no time left
    "#]]
    .assert_eq(&shown(&rig.finish(Duration::ZERO)));
    assert_eq!(rig.destination("patient").seen().closes, 1);
    expect![[r#"
        WARN message=reporter failing signal=traces reporter=patient error="0 rejected, 2 dropped: no time left"
        WARN message=shutdown deadline passed, records dropped or left behind signal=traces reporter=patient dropped=9 left_behind=0
    "#]]
    .assert_eq(&log::lines_of("patient"));
}

/// Scenario: at the shutdown a reporter does not return at all. Guarantees: the shutdown does; what the reporter holds is known to be
/// with it, and is settled if it ever comes back.
#[test]
fn shutdown_leaves_behind_who_does_not_return() {
    log::capture();
    let gate = Gate::default();
    let rig = Rig::start([gated(Script::traces("lost"), &gate)]);
    rig.add_span("in flight", 2);
    gate.wait_for(1);
    rig.add_spans(9);
    expect![[r#"
        traces lost: 11 emitted = 0 delivered + 0 rejected + 9 dropped (shutdown 9) + 2 queued
    "#]]
    .assert_eq(&shown(&rig.finish(Duration::ZERO)));
    assert_eq!(rig.destination("lost").seen().closes, 0);
    expect![[r#"
        WARN message=shutdown deadline passed, records dropped or left behind signal=traces reporter=lost dropped=9 left_behind=2
    "#]]
    .assert_eq(&log::lines_of("lost"));

    gate.open();
    expect![[r#"
        traces lost: 11 emitted = 2 delivered + 0 rejected + 9 dropped (shutdown 9) + 0 queued
    "#]]
    .assert_eq(&shown(&rig.finish(LONG)));
    assert_eq!(rig.destination("lost").seen().closes, 1);
}

/// Guarantees: whoever waits in flush learns of the shutdown's end, and several shutdowns do not hinder each other.
#[test]
fn flush_and_shutdown_may_come_from_anywhere() {
    let gate = Gate::default();
    let rig = Rig::start([gated(Script::traces("r"), &gate)]);
    rig.add_spans(1);
    gate.wait_for(1);
    rig.add_spans(5);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.dispatcher.flush(LONG));
        let patient = scope.spawn(|| rig.dispatcher.shutdown(LONG));
        rig.dispatcher.shutdown(Duration::ZERO);
        gate.open();
        assert!(waiting.join().unwrap());
        let told = patient.join().unwrap();
        assert_eq!((told[0].delivered, told[0].dropped_by(DropReason::Shutdown), told[0].queued), (1, 5, 0));
    });
    rig.finish(LONG);
}

/// Scenario: all handles are dropped while spans wait. Guarantees: the last one, here a group's, waits for the reporter.
#[test]
fn a_forgotten_shutdown_is_made_up_for() {
    let Rig { dispatcher, group, destinations, .. } = Rig::start([Script::traces("r").report(|_, deadline| {
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
fn a_forgotten_shutdown_does_not_wait_for_ever() {
    let gate = Gate::default();
    let rig = Rig::start([gated(Script::traces("r"), &gate)]);
    rig.add_spans(1);
    gate.wait_for(1);
    let destination = rig.destinations["r"].clone();
    drop(rig);
    assert!(!destination.seen().is_gone);
    gate.open();
    destination.wait(|seen| seen.is_gone);
}

/// Scenario: a reporter uses the very dispatcher that calls it. Guarantees: no lock is held while it is called.
#[test]
fn a_reporter_may_report() {
    let group: Arc<OnceLock<(Dispatcher, MetricGroup)>> = Arc::default();
    let own = group.clone();
    let rig = Rig::start([
        Script::traces("reentrant").report(move |_, _| {
            let (dispatcher, group) = own.get().unwrap();
            assert!(!dispatcher.flush(Duration::ZERO));
            assert_eq!(dispatcher.stats()[0].queued, 1);
            group.add_event(Event::builder("scope", "from within"));
            Ok(())
        }),
        Script::events("events"),
    ]);
    assert!(group.set((rig.dispatcher.clone(), rig.group.clone())).is_ok());
    rig.add_spans(1);
    assert!(rig.dispatcher.flush(LONG));
    assert!(rig.dispatcher.flush(LONG));
    assert_eq!(rig.destination("events").seen().names, ["from within"]);
    let told = rig.dispatcher.shutdown(LONG);
    assert_eq!([told[0].delivered, told[1].delivered], [1, 1]);
}

/// Scenario: four threads report through small queues to reporters that deliver, fail and panic, a fifth looks on and flushes, and the
/// shutdown comes in the middle of it. Guarantees: every look at an account finds it balanced, and nothing is missing in the end.
#[test]
fn the_law_holds_at_every_moment() {
    const PER_THREAD: usize = 3_000;
    for shall_panic in [false, true] {
        let (mut calls, panics) = (0, Arc::new(AtomicBool::new(false)));
        let told_to_panic = panics.clone();
        let rig = Rig::start([
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
        let has_panicked = || rig.dispatcher.stats()[1].dropped_by(DropReason::Panicked) > 0;
        let reported = AtomicUsize::new(0);
        let look_on_until = |count| {
            while reported.load(Ordering::Relaxed) < count {
                assert!(rig.dispatcher.stats().iter().all(ReporterStats::is_balanced));
                assert!(rig.dispatcher.flush(LONG));
            }
        };
        thread::scope(|scope| {
            for thread in 0..4 {
                let (rig, reported) = (&rig, &reported);
                scope.spawn(move || {
                    for number in 0..PER_THREAD {
                        rig.add_span("span", 1 + ((thread + number) % 7) as u64);
                        rig.add_event("event");
                        reported.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            look_on_until(PER_THREAD);
            panics.store(shall_panic, Ordering::Relaxed);
            while shall_panic && !has_panicked() {
                rig.add_spans(1);
                assert!(rig.dispatcher.flush(LONG));
            }
            look_on_until(2 * PER_THREAD);
            let told = rig.dispatcher.shutdown(LONG);
            assert!(told.iter().all(|stats| stats.is_balanced() && stats.queued == 0), "{told:?}");
        });
        assert_eq!(has_panicked(), shall_panic);
        rig.finish(LONG);
    }
}

/// Spans without an identity are one trace each, the same at every reporter.
#[test]
fn every_anonymous_span_is_a_trace_of_its_own() {
    let rig = Rig::start([Script::traces("one"), Script::traces("two")]);
    rig.add_spans(1_000);
    assert!(rig.dispatcher.flush(LONG));
    let [one, two] = ["one", "two"].map(|name| rig.destination(name).seen().trace_ids);
    assert_eq!(one, two);
    assert_eq!(one.iter().collect::<BTreeSet<_>>().len(), 1_000);
    let other = Rig::start([Script::traces("one")]);
    other.add_spans(1);
    other.finish(LONG);
    assert!(!one.contains(&other.destination("one").seen().trace_ids[0]));
    rig.finish(LONG);
}
