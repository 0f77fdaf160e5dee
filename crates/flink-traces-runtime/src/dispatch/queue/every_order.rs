//! A lane whose threads run in every order, up to two switches away from a thread that could go on: `cargo xtask ci` runs these with loom.
//!
//! Loom ends a test when threads wait for each other, or when something is never freed. Its waits have no time limit, so no scenario
//! here passes only because somebody stopped waiting.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::*;

/// As much as it counts.
struct Units(u64);

impl QueueItem for Units {
    fn name(&self) -> &str {
        ""
    }

    fn units(&self) -> u64 {
        self.0
    }
}

/// What reached the destination. Not one of loom's, for it is no part of what is tested.
#[derive(Default)]
struct Destination {
    delivered: AtomicU64,
    closed: AtomicU64,
}

/// Delivers, or panics at the first batch.
struct Delivering {
    to: std::sync::Arc<Destination>,
    panics: bool,
}

impl Reporter<Units> for Delivering {
    fn report(&mut self, batch: &[Units], _: &Deadline) -> Result<(), ReportError> {
        if self.panics {
            // A panic without its message on standard error.
            resume_unwind(Box::new("boom"));
        }
        self.to.delivered.fetch_add(batch.iter().map(Units::units).sum(), Relaxed);
        Ok(())
    }

    fn close(self, _: &Deadline) -> Result<(), ReportError> {
        self.to.closed.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// Longer than any test.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

struct Harness {
    lane: Arc<ReporterQueue<Units>>,
    destination: std::sync::Arc<Destination>,
}

impl Harness {
    fn start(capacity: usize, panics: bool) -> Self {
        let destination = std::sync::Arc::new(Destination::default());
        let reporter = Delivering { to: destination.clone(), panics };
        let lane = ReporterQueue::start(Signal::Traces, "r", capacity, move || Ok(reporter)).unwrap();
        Self { lane: Arc::new(lane), destination }
    }

    /// On a thread of its own.
    fn beside(&self, action: impl FnOnce(&ReporterQueue<Units>) + Send + 'static) -> thread::JoinHandle<()> {
        let lane = self.lane.clone();
        thread::spawn(move || action(&lane))
    }

    /// The account, which is right at every moment.
    fn stats(&self) -> ReporterStats {
        let stats = self.lane.stats();
        assert!(stats.is_balanced(), "{stats}");
        stats
    }

    /// Ends the lane with all the time it wants; the account at the end, and how often the reporter was closed.
    fn end(&self) -> (ReporterStats, u64) {
        self.lane.close(later());
        self.lane.join(later());
        let stats = self.stats();
        assert_eq!(stats.queued, 0, "{stats}");
        assert_eq!(stats.delivered, self.destination.delivered.load(Relaxed), "{stats}");
        (stats, self.destination.closed.load(Relaxed))
    }
}

fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(scenario);
}

/// Guarantees: whoever adds, the thread wakes up, and everything is delivered before the lane ends.
#[test]
fn all_is_delivered_before_the_end() {
    check(|| {
        let harness = Harness::start(10, false);
        let beside = harness.beside(|lane| lane.push(Units(2)));
        harness.lane.push(Units(1));
        harness.stats();
        beside.join().unwrap();
        let (stats, closed) = harness.end();
        assert_eq!((stats.emitted, stats.delivered, closed), (3, 3, 1));
    });
}

/// Guarantees: what is added while the lane closes is delivered or counted as too late.
#[test]
fn adding_races_closing() {
    check(|| {
        let harness = Harness::start(10, false);
        let beside = harness.beside(|lane| {
            lane.push(Units(1));
            lane.push(Units(1));
        });
        let (_, closed) = harness.end();
        assert_eq!(closed, 1);
        beside.join().unwrap();
        let (stats, closed) = harness.end();
        assert_eq!((stats.delivered + stats.dropped_by(DropReason::Closed), closed), (2, 1));
    });
}

/// Guarantees: a flush waits for what was added before it, whatever comes after.
#[test]
fn a_flush_waits_for_what_came_before() {
    check(|| {
        let harness = Harness::start(10, false);
        harness.lane.push(Units(1));
        let beside = harness.beside(|lane| lane.push(Units(1)));
        assert!(harness.lane.flush(later()));
        assert!(harness.stats().delivered >= 1);
        beside.join().unwrap();
        assert!(harness.lane.flush(later()));
        assert_eq!(harness.stats().delivered, 2);
        harness.end();
    });
}

/// Guarantees: everybody who waits is woken, not only one.
#[test]
fn many_wait_at_once() {
    check(|| {
        let harness = Harness::start(10, false);
        harness.lane.push(Units(1));
        let beside = harness.beside(|lane| assert!(lane.flush(later())));
        assert!(harness.lane.flush(later()));
        // Nothing more happens on the lane that could wake the other one.
        beside.join().unwrap();
        let beside = harness.beside(|lane| lane.join(later()));
        assert_eq!(harness.end().0.delivered, 1);
        beside.join().unwrap();
    });
}

/// Guarantees: what does not fit is counted, and what fits is delivered.
#[test]
fn a_full_queue_counts_what_it_drops() {
    check(|| {
        let harness = Harness::start(1, false);
        let beside = harness.beside(|lane| lane.push(Units(2)));
        harness.lane.push(Units(2));
        beside.join().unwrap();
        let (stats, _) = harness.end();
        assert!(stats.delivered >= 2, "{stats}");
        assert_eq!(stats.delivered + stats.dropped_by(DropReason::QueueFull), 4, "{stats}");
    });
}

/// Guarantees: a reporter that panics keeps nobody waiting, and all that it had or would have had is counted.
#[test]
fn a_panic_wakes_whoever_waits() {
    check(|| {
        let harness = Harness::start(10, true);
        let beside = harness.beside(|lane| {
            lane.push(Units(1));
            assert!(lane.flush(later()));
        });
        harness.lane.push(Units(1));
        assert!(harness.lane.flush(later()));
        beside.join().unwrap();
        let (stats, closed) = harness.end();
        assert_eq!((stats.dropped_by(DropReason::Panicked), stats.failures, closed), (2, 1, 0), "{stats}");
    });
}

/// Guarantees: a shutdown without time ends as well, and what it gave up is counted once, whichever thread gave it up.
#[test]
fn a_shutdown_without_time_counts_what_it_gives_up() {
    check(|| {
        let harness = Harness::start(10, false);
        harness.lane.push(Units(1));
        harness.lane.push(Units(1));
        harness.lane.close(Instant::now());
        let (stats, closed) = harness.end();
        assert_eq!((stats.delivered + stats.dropped_by(DropReason::Shutdown), closed), (2, 1), "{stats}");
    });
}

/// Guarantees: a lane that nobody ends ends by itself, and its thread with it.
#[test]
fn a_dropped_lane_ends() {
    check(|| {
        let Harness { lane, destination } = Harness::start(10, false);
        lane.push(Units(1));
        drop(lane);
        // Loom finds a thread that is left over; what was queued may have been given up.
        drop(destination);
    });
}

/// Guarantees: whoever waits for the start learns how it went.
#[test]
fn a_start_is_told() {
    check(|| {
        let harness = Harness::start(10, false);
        harness.lane.started(later()).unwrap();
        let failing = || Err::<Delivering, _>(ConfigError::Setup("no".into()));
        let lane = ReporterQueue::<Units>::start(Signal::Traces, "r", 10, failing).unwrap();
        assert_eq!(lane.started(later()).unwrap_err().to_string(), "no");
    });
}
