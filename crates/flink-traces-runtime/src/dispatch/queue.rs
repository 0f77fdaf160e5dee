//! The queue of one reporter and its worker thread.
//!
//! ```text
//! callers ── push ──▶ queue (bounded) ── take ──▶ worker thread ── report ──▶ reporter
//!            never waits                          waits for the reporter
//! ```
//!
//! There are no control messages that could be lost behind records: a flush waits for a count, and
//! a close sets a flag. No foreign code (factory, reporter, error, log) runs while the lock is
//! held.
//!
//! Waking a thread is a system call, which costs more than all else that a caller does. So the
//! worker thread looks at the queue by itself, every [`worker::INTERVAL`], while records come. A
//! caller wakes it only if it rests, if the queue is past its mark, or for a flush or a close.

use std::collections::VecDeque;
use std::mem;
use std::sync::PoisonError;
use std::time::Instant;

use flink_traces_api::{
    ConfigError, Deadline, EventReporter, Receipt, ReportError, ReportedEvent, ReportedSpan, ReporterMeter, Signal,
    TraceReporter, printable,
};

use super::stats::{DropReason, ReporterStats};
use super::sync::{Arc, Condvar, Mutex, MutexGuard, thread};

#[cfg(all(test, loom))]
mod every_order;
mod worker;

/// The size of the queue in bytes from which the worker thread reports without a pause.
const MARK_BYTES: u64 = 1 << 20;

/// An item of a reporter queue.
pub(crate) trait QueueItem: Send + 'static {
    /// Returns the name, which filters match together with the scope.
    fn name(&self) -> &str;
    /// Returns the number of units of the capacity that the item takes. Each span of a tree is a
    /// unit.
    fn units(&self) -> u64;
    /// Returns the number of bytes of memory that the item takes.
    fn bytes(&self) -> u64;
    /// Returns the receipt that the reporter finalizes.
    fn receipt(&self) -> Option<&Receipt>;
}

impl QueueItem for ReportedSpan {
    fn name(&self) -> &str {
        ReportedSpan::name(self)
    }

    fn units(&self) -> u64 {
        self.span_count() as u64
    }

    fn bytes(&self) -> u64 {
        self.memory_bytes() as u64
    }

    fn receipt(&self) -> Option<&Receipt> {
        ReportedSpan::receipt(self)
    }
}

impl QueueItem for ReportedEvent {
    fn name(&self) -> &str {
        ReportedEvent::name(self)
    }

    fn units(&self) -> u64 {
        1
    }

    fn bytes(&self) -> u64 {
        self.memory_bytes() as u64
    }

    fn receipt(&self) -> Option<&Receipt> {
        ReportedEvent::receipt(self)
    }
}

/// A reporter of either signal, as the worker thread sees it.
pub(crate) trait Reporter<R> {
    fn report(&mut self, batch: &[R], deadline: &Deadline) -> Result<(), ReportError>;
    fn meter(&self) -> Option<ReporterMeter> {
        None
    }
    fn close(self, deadline: &Deadline) -> Result<(), ReportError>;
}

impl Reporter<ReportedSpan> for Box<dyn TraceReporter> {
    fn report(&mut self, batch: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError> {
        self.as_mut().report(batch, deadline)
    }

    fn meter(&self) -> Option<ReporterMeter> {
        self.as_ref().meter()
    }

    fn close(self, deadline: &Deadline) -> Result<(), ReportError> {
        TraceReporter::close(self, deadline)
    }
}

impl Reporter<ReportedEvent> for Box<dyn EventReporter> {
    fn report(&mut self, batch: &[ReportedEvent], deadline: &Deadline) -> Result<(), ReportError> {
        self.as_mut().report(batch, deadline)
    }

    fn meter(&self) -> Option<ReporterMeter> {
        self.as_ref().meter()
    }

    fn close(self, deadline: &Deadline) -> Result<(), ReportError> {
        EventReporter::close(self, deadline)
    }
}

/// A reporter queue, independent of its items.
pub(crate) trait AnyQueue {
    /// Has the worker thread report all queued items without a pause. Returns the target of a
    /// [`flush`](Self::flush).
    fn hurry(&self) -> u64;
    /// Waits until all items queued before the call of [`hurry`](Self::hurry) that returned
    /// `target` are finalized. Returns `true` if that happened before `until`.
    fn flush(&self, target: u64, until: Instant) -> bool;
    /// Refuses further items and gives the reporter until `until`. Returns `true` if the queue was
    /// open.
    fn close(&self, until: Instant) -> bool;
    /// Waits until the reporter is closed, or until `until`, and then drops the remaining items.
    ///
    /// `until` must not be before the reporter's deadline.
    fn join(&self, until: Instant);
    fn stats(&self) -> ReporterStats;
}

/// The callers' side of a reporter queue.
pub(crate) struct ReporterQueue<R: QueueItem>(Arc<Shared<R>>);

/// The limits of a reporter queue, which include the batch in flight.
#[derive(Clone, Copy)]
pub(crate) struct Capacity {
    /// The number of units from which no further item is queued. The last item may exceed it.
    pub(crate) units: u64,
    /// The number of bytes that no item may exceed.
    pub(crate) bytes: u64,
}

struct Shared<R> {
    signal: Signal,
    /// The name of the reporter, fit for a log.
    name: String,
    capacity: Capacity,
    state: Mutex<State<R>>,
    /// Wakes the worker thread.
    arrived: Condvar,
    /// Wakes waiting callers after items were finalized or the phase changed.
    finalized: Condvar,
    deadline: Deadline,
}

struct State<R> {
    phase: Phase,
    /// The error of the factory.
    refusal: Option<ConfigError>,
    queue: VecDeque<R>,
    /// A reported batch. Callers free one of its items for each item that they queue.
    ///
    /// Memory thus returns to the thread that allocates, and the worker thread does not block it.
    spent: VecDeque<R>,
    sleep: Sleep,
    /// The value of `accepted` up to which items are reported without a pause.
    urgent_until: u64,
    /// The queue refuses further items.
    closed: bool,
    /// The queue was full, and has not been half empty since.
    overflowing: bool,
    /// The last report failed.
    failing: bool,
    /// The number of units that were ever queued.
    accepted: u64,
    stats: ReporterStats,
    /// The meter of the reporter.
    meter: Option<ReporterMeter>,
}

/// The state of the worker thread as far as callers may have to wake it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// The thread runs, or a caller has woken it.
    Awake,
    /// The thread sleeps until its next look at the queue.
    UntilLook,
    /// The thread sleeps until a caller wakes it, because nothing came for some time.
    UntilWoken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The factory runs.
    Starting,
    /// The reporter takes batches.
    Running,
    /// The reporter panicked and is not called again.
    Panicked,
    /// The reporter was closed, or was never created.
    Ended,
}

impl<R: QueueItem> ReporterQueue<R> {
    /// Starts the worker thread, on which `create` creates the reporter. See
    /// [`started`](Self::started).
    pub(crate) fn start<P: Reporter<R> + 'static>(
        signal: Signal,
        name: &str,
        capacity: Capacity,
        create: impl FnOnce() -> Result<P, ConfigError> + Send + 'static,
    ) -> Result<Self, ConfigError> {
        let state = State {
            phase: Phase::Starting,
            refusal: None,
            queue: VecDeque::new(),
            spent: VecDeque::new(),
            sleep: Sleep::Awake,
            urgent_until: 0,
            closed: false,
            overflowing: false,
            failing: false,
            accepted: 0,
            stats: ReporterStats::new(signal, name),
            meter: None,
        };
        let shared = Arc::new(Shared {
            signal,
            name: printable(name),
            capacity,
            state: Mutex::new(state),
            arrived: Condvar::new(),
            finalized: Condvar::new(),
            deadline: Deadline::unlimited(),
        });
        let on_thread = shared.clone();
        // A configured name may contain anything, but a thread's name must not contain NUL.
        let thread_name = format!("{signal}-{name}").replace('\0', "");
        let spawned = thread::Builder::new().name(thread_name).spawn(move || on_thread.live(create));
        spawned.map_err(|error| ConfigError::Setup(error.into()))?;
        Ok(Self(shared))
    }

    /// Waits until the reporter is created, or until `until`.
    pub(crate) fn started(&self, until: Instant) -> Result<(), ConfigError> {
        let mut state = self.0.wait(until, |state| state.phase == Phase::Starting);
        match state.refusal.take() {
            Some(error) => Err(error),
            None if state.phase == Phase::Starting => {
                Err(ConfigError::Setup("the factory did not return in time".into()))
            }
            None => Ok(()),
        }
    }

    /// Queues `record`, or drops and counts it. Never waits for the reporter.
    pub(crate) fn push(&self, record: R) {
        let Shared { signal, name, capacity, arrived, .. } = &*self.0;
        let (units, bytes) = (record.units(), record.bytes());
        let mut state = self.0.lock();
        state.stats.emitted += units;
        // The mark does not include this item. The next look is soon enough for a single tree, and
        // a caller that adds one does not pay for a wake-up.
        let wakes = match state.sleep {
            Sleep::Awake => false,
            Sleep::UntilLook => state.is_past_mark(*capacity),
            Sleep::UntilWoken => true,
        };
        if wakes {
            state.sleep = Sleep::Awake;
        }
        let Some(reason) = state.refuses(bytes, *capacity) else {
            state.accepted += units;
            state.stats.queued += units;
            state.stats.queued_bytes += bytes;
            state.queue.push_back(record);
            let spent = state.spent.pop_front();
            drop(state);
            drop(spent);
            if wakes {
                arrived.notify_one();
            }
            return;
        };
        let is_first = match reason {
            DropReason::QueueFull => !mem::replace(&mut state.overflowing, true),
            _ => state.stats.dropped_by(reason) == 0,
        };
        state.stats.drop_units(units, reason);
        drop(state);
        if wakes {
            arrived.notify_one();
        }
        match reason {
            DropReason::QueueFull if is_first => {
                let Capacity { units: capacity, bytes: max_bytes } = capacity;
                tracing::warn!(%signal, reporter = %name, capacity, max_bytes, "queue full, dropping records");
            }
            DropReason::Closed if is_first => {
                tracing::warn!(%signal, reporter = %name, "dispatcher shut down, dropping records");
            }
            // The panic was logged when it happened.
            _ => {}
        }
    }

    /// Drops and counts units that were added to a closed metric group.
    pub(crate) fn refuse(&self, units: u64) {
        let Shared { signal, name, .. } = &*self.0;
        let mut state = self.0.lock();
        let is_first = state.stats.dropped_by(DropReason::Closed) == 0;
        state.stats.emitted += units;
        state.stats.drop_units(units, DropReason::Closed);
        drop(state);
        if is_first {
            tracing::warn!(%signal, reporter = %name, "metric group closed, dropping records");
        }
    }

    /// Counts units that the reporter's filter kept out.
    pub(crate) fn filtered(&self, units: u64) {
        self.0.lock().stats.filtered += units;
    }
}

impl<R: QueueItem> AnyQueue for ReporterQueue<R> {
    fn hurry(&self) -> u64 {
        let mut state = self.0.lock();
        let target = state.accepted;
        state.urgent_until = target;
        let wakes = state.is_urgent() && mem::replace(&mut state.sleep, Sleep::Awake) != Sleep::Awake;
        drop(state);
        if wakes {
            self.0.arrived.notify_one();
        }
        target
    }

    fn flush(&self, target: u64, until: Instant) -> bool {
        let is_pending = |state: &State<R>| state.finalized() < target;
        !is_pending(&self.0.wait(until, is_pending))
    }

    fn close(&self, until: Instant) -> bool {
        let mut state = self.0.lock();
        let was_closed = mem::replace(&mut state.closed, true);
        state.sleep = Sleep::Awake;
        drop(state);
        self.0.deadline.set(until);
        self.0.arrived.notify_one();
        !was_closed
    }

    fn join(&self, until: Instant) {
        let mut state = self.0.wait(until, |state| !matches!(state.phase, Phase::Panicked | Phase::Ended));
        let dropped_items = state.drop_queue(DropReason::Shutdown);
        let (dropped, queued) = (state.stats.dropped_by(DropReason::Shutdown), state.stats.queued);
        self.0.finalized.notify_all();
        drop(state);
        drop(dropped_items);
        if dropped + queued > 0 {
            let Shared { signal, name, .. } = &*self.0;
            tracing::warn!(%signal, reporter = %name, dropped, left_behind = queued, "shutdown deadline passed, records dropped or left behind");
        }
    }

    fn stats(&self) -> ReporterStats {
        let state = self.0.lock();
        let transfer = state.meter.as_ref().map(ReporterMeter::read).unwrap_or_default();
        ReporterStats { transfer, ..state.stats.clone() }
    }
}

/// Ends the worker thread without waiting for it, because no caller is left.
impl<R: QueueItem> Drop for ReporterQueue<R> {
    fn drop(&mut self) {
        self.close(Instant::now());
    }
}

impl<R: QueueItem> State<R> {
    /// Returns the reason for which an item of that many bytes cannot be queued.
    ///
    /// A tree is taken whole while there is room for any unit. Otherwise a tree of more units than
    /// the queue could never be queued. The limit in bytes protects the process, so nothing exceeds
    /// it.
    fn refuses(&self, bytes: u64, capacity: Capacity) -> Option<DropReason> {
        if self.closed {
            Some(DropReason::Closed)
        } else if self.phase == Phase::Panicked {
            Some(DropReason::Panicked)
        } else {
            let is_full = self.stats.queued >= capacity.units || bytes > capacity.bytes - self.stats.queued_bytes;
            is_full.then_some(DropReason::QueueFull)
        }
    }

    /// Returns the number of accepted units that are finalized.
    fn finalized(&self) -> u64 {
        self.accepted - self.stats.queued
    }

    /// Returns `true` if a flush waits for queued items.
    fn is_urgent(&self) -> bool {
        self.finalized() < self.urgent_until
    }

    /// Returns `true` if so much is queued that the worker thread must not sleep.
    fn is_past_mark(&self, capacity: Capacity) -> bool {
        self.stats.queued_bytes >= MARK_BYTES.min(capacity.bytes.div_ceil(2))
            || self.stats.queued >= capacity.units.div_ceil(2)
    }

    /// Returns `true` if half of the capacity is free.
    fn is_half_empty(&self, capacity: Capacity) -> bool {
        self.stats.queued <= capacity.units / 2 && self.stats.queued_bytes <= capacity.bytes / 2
    }

    /// Drops the queued items, but not the reporter's batch. Free the result without the lock.
    #[must_use]
    fn drop_queue(&mut self, reason: DropReason) -> VecDeque<R> {
        let queue = mem::take(&mut self.queue);
        let units = queue.iter().map(QueueItem::units).sum();
        let bytes = queue.iter().map(QueueItem::bytes).sum();
        self.stats.drop_queued(units, bytes, reason);
        queue
    }
}

impl<R: QueueItem> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while `condition` holds, or until `until`.
    fn wait(&self, until: Instant, condition: impl Fn(&State<R>) -> bool) -> MutexGuard<'_, State<R>> {
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !condition(&state) {
                return state;
            }
            state = self.finalized.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};
    use std::time::Duration;

    use super::*;

    /// A reporter that sends a message when it is closed.
    struct Closing(SyncSender<()>);

    impl Reporter<ReportedEvent> for Closing {
        fn report(&mut self, _: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
            Ok(())
        }

        fn close(self, _: &Deadline) -> Result<(), ReportError> {
            self.0.send(()).map_err(|error| ReportError::from_dropped(0, false, error))
        }
    }

    /// Scenario: a factory does not return in time, but later. Guarantees: no caller waits for it,
    /// and its reporter is closed.
    #[test]
    fn a_factory_that_hangs_is_dropped_items() {
        const LONG: Duration = Duration::from_secs(60);
        let (allow, allowed) = sync_channel::<()>(0);
        let (closing, closed) = sync_channel(1);
        let queue = ReporterQueue::start(Signal::Events, "r", Capacity { units: 1, bytes: u64::MAX }, move || {
            allowed.recv_timeout(LONG).map_err(|error| ConfigError::Setup(error.into()))?;
            Ok(Closing(closing))
        })
        .unwrap();
        let error = queue.started(Instant::now()).unwrap_err();
        assert_eq!(error.to_string(), "the factory did not return in time");
        drop(queue);
        allow.send(()).unwrap();
        closed.recv_timeout(LONG).unwrap();
    }
}
