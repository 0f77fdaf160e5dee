//! Tests of a reporter queue in every order of its threads.
//!
//! `cargo xtask ci` runs them with loom, with up to two preemptions. Loom ends a test if threads
//! deadlock or if something is never freed. Its waits have no time limit, so no test passes because
//! of a timeout. Time stands still, so the worker thread never looks at the queue by itself, and
//! all progress comes from wake-ups.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::*;

/// An item of that many units. A unit takes a third of the mark, so three are past it.
struct Units(u64);

impl QueueItem for Units {
    fn name(&self) -> &str {
        ""
    }

    fn units(&self) -> u64 {
        self.0
    }

    fn bytes(&self) -> u64 {
        self.0 * MARK_BYTES.div_ceil(3)
    }

    fn receipt(&self) -> Option<&Receipt> {
        None
    }
}

/// The counts at the destination. They are not loom's, since they are not under test.
#[derive(Default)]
struct Destination {
    delivered: AtomicU64,
    closed: AtomicU64,
}

/// A reporter that delivers, or panics at the first batch.
struct Delivering {
    to: std::sync::Arc<Destination>,
    panics: bool,
}

impl Reporter<Units> for Delivering {
    fn report(&mut self, batch: &[Units], _: &Deadline) -> Result<(), ReportError> {
        if self.panics {
            // This panic prints no message on standard error.
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

/// Returns a time after the end of any test.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

struct Harness {
    queue: Arc<ReporterQueue<Units>>,
    destination: std::sync::Arc<Destination>,
}

impl Harness {
    fn start(units: u64, panics: bool) -> Self {
        let capacity = Capacity { units, bytes: units * 2 * MARK_BYTES };
        let destination = std::sync::Arc::new(Destination::default());
        let reporter = Delivering { to: destination.clone(), panics };
        let queue = ReporterQueue::start(Signal::Traces, "r", capacity, move || Ok(reporter)).unwrap();
        Self { queue: Arc::new(queue), destination }
    }

    /// Runs `action` on a thread of its own.
    fn beside(&self, action: impl FnOnce(&ReporterQueue<Units>) + Send + 'static) -> thread::JoinHandle<()> {
        let queue = self.queue.clone();
        thread::spawn(move || action(&queue))
    }

    /// Has everything reported that is queued, and waits for it.
    fn flush(&self) {
        flush(&self.queue);
    }

    /// Waits without a flush until `count` units are delivered.
    fn wait_for_delivered(&self, count: u64) {
        drop(self.queue.0.wait(later(), |state| state.stats.delivered < count));
        assert!(self.stats().delivered >= count);
    }

    /// Returns the account, which must balance at every moment.
    fn stats(&self) -> ReporterStats {
        let stats = self.queue.stats();
        assert!(stats.is_balanced(), "{stats}");
        stats
    }

    /// Ends the queue without a time limit. Returns the final account and the number of closes.
    fn end(&self) -> (ReporterStats, u64) {
        self.queue.close(later());
        self.queue.join(later());
        let stats = self.stats();
        assert_eq!((stats.queued, stats.queued_bytes), (0, 0), "{stats}");
        assert_eq!(stats.delivered, self.destination.delivered.load(Relaxed), "{stats}");
        (stats, self.destination.closed.load(Relaxed))
    }
}

fn flush(queue: &ReporterQueue<Units>) {
    assert!(queue.flush(queue.hurry(), later()));
}

fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(scenario);
}

/// Guarantees: the worker thread wakes up for any caller, and everything is delivered before the
/// end.
#[test]
fn everything_is_delivered_before_the_end() {
    check(|| {
        let harness = Harness::start(10, false);
        let beside = harness.beside(|queue| queue.push(Units(2)));
        harness.queue.push(Units(1));
        harness.stats();
        beside.join().unwrap();
        let (stats, closed) = harness.end();
        assert_eq!((stats.emitted, stats.delivered, closed), (3, 3, 1));
    });
}

/// Guarantees: an item that is added during the close is delivered or counted as too late.
#[test]
fn push_races_close() {
    check(|| {
        let harness = Harness::start(10, false);
        let beside = harness.beside(|queue| {
            queue.push(Units(1));
            queue.push(Units(1));
        });
        let (_, closed) = harness.end();
        assert_eq!(closed, 1);
        beside.join().unwrap();
        let (stats, closed) = harness.end();
        assert_eq!((stats.delivered + stats.dropped_by(DropReason::Closed), closed), (2, 1));
    });
}

/// Guarantees: a flush waits for the items before it, whatever follows.
#[test]
fn flush_waits_for_earlier_items() {
    check(|| {
        let harness = Harness::start(10, false);
        harness.queue.push(Units(1));
        let beside = harness.beside(|queue| queue.push(Units(1)));
        harness.flush();
        assert!(harness.stats().delivered >= 1);
        beside.join().unwrap();
        harness.flush();
        assert_eq!(harness.stats().delivered, 2);
        harness.end();
    });
}

/// Scenario: no caller flushes or closes. Guarantees: a caller that finds the queue past its mark
/// wakes the worker thread, in whatever state that is.
#[test]
fn mark_wakes_the_worker_thread() {
    check(|| {
        let harness = Harness::start(100, false);
        let beside = harness.beside(|queue| queue.push(Units(3)));
        harness.queue.push(Units(3));
        beside.join().unwrap();
        harness.queue.push(Units(3));
        harness.wait_for_delivered(3);
        harness.end();
    });
}

/// Guarantees: a flush without time has all earlier items reported.
#[test]
fn hurry_needs_no_waiting_caller() {
    check(|| {
        let harness = Harness::start(100, false);
        let beside = harness.beside(|queue| {
            queue.push(Units(1));
            queue.hurry();
        });
        harness.queue.push(Units(1));
        harness.queue.hurry();
        beside.join().unwrap();
        harness.wait_for_delivered(2);
        harness.end();
    });
}

/// Guarantees: all waiting callers are woken, not only one.
#[test]
fn close_and_flush_wake_all_waiters() {
    check(|| {
        let harness = Harness::start(10, false);
        harness.queue.push(Units(1));
        let beside = harness.beside(flush);
        harness.flush();
        // Nothing else happens on the queue that could wake the other thread.
        beside.join().unwrap();
        let beside = harness.beside(|queue| queue.join(later()));
        assert_eq!(harness.end().0.delivered, 1);
        beside.join().unwrap();
    });
}

/// Guarantees: items that do not fit are counted, and the others are delivered.
#[test]
fn full_queue_counts_drops() {
    check(|| {
        let harness = Harness::start(1, false);
        let beside = harness.beside(|queue| queue.push(Units(2)));
        harness.queue.push(Units(2));
        beside.join().unwrap();
        let (stats, _) = harness.end();
        assert!(stats.delivered >= 2, "{stats}");
        assert_eq!(stats.delivered + stats.dropped_by(DropReason::QueueFull), 4, "{stats}");
    });
}

/// Guarantees: a panic releases all waiting callers, and every item is counted.
#[test]
fn panic_wakes_all_waiters() {
    check(|| {
        let harness = Harness::start(10, true);
        let beside = harness.beside(|queue| {
            queue.push(Units(1));
            flush(queue);
        });
        harness.queue.push(Units(1));
        harness.flush();
        beside.join().unwrap();
        let (stats, closed) = harness.end();
        assert_eq!((stats.dropped_by(DropReason::Panicked), stats.failures, closed), (2, 1, 0), "{stats}");
    });
}

/// Guarantees: a shutdown without time ends, and each dropped item is counted once.
#[test]
fn expired_shutdown_counts_drops_once() {
    check(|| {
        let harness = Harness::start(10, false);
        harness.queue.push(Units(1));
        harness.queue.push(Units(1));
        harness.queue.close(Instant::now());
        let (stats, closed) = harness.end();
        assert_eq!((stats.delivered + stats.dropped_by(DropReason::Shutdown), closed), (2, 1), "{stats}");
    });
}

/// Guarantees: a queue that is dropped without a close ends, and so does its thread.
#[test]
fn dropped_queue_ends() {
    check(|| {
        let Harness { queue, destination } = Harness::start(10, false);
        queue.push(Units(1));
        drop(queue);
        // Loom finds a thread that is left over. The item may have been dropped.
        drop(destination);
    });
}

/// Guarantees: a caller that waits for the start learns its outcome.
#[test]
fn start_reports_its_outcome() {
    check(|| {
        let harness = Harness::start(10, false);
        harness.queue.started(later()).unwrap();
        let failing = || Err::<Delivering, _>(ConfigError::Setup("no".into()));
        let capacity = Capacity { units: 10, bytes: u64::MAX };
        let queue = ReporterQueue::<Units>::start(Signal::Traces, "r", capacity, failing).unwrap();
        assert_eq!(queue.started(later()).unwrap_err().to_string(), "no");
    });
}
