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

use std::collections::VecDeque;
use std::error::Error;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::{Instant, SystemTime};

use flink_traces_api::{
    ConfigError, Deadline, EventReporter, ReportError, ReportedEvent, ReportedSpan, ReporterMeter, Signal,
    TraceReporter, printable,
};

use super::stats::{DropReason, ReporterStats};
use super::sync::{Arc, Condvar, Mutex, MutexGuard, thread};

#[cfg(all(test, loom))]
mod every_order;

/// The maximum number of records in a batch.
const BATCH_RECORDS: usize = 2048;
/// The number of spans after which a batch takes no further record.
const BATCH_UNITS: u64 = 16 * 1024;

/// An item of a reporter queue.
pub(crate) trait QueueItem: Send + 'static {
    /// Returns the name, which filters match together with the scope.
    fn name(&self) -> &str;
    /// Returns the number of units of the capacity that the item takes. Each span of a tree is a
    /// unit.
    fn units(&self) -> u64;
}

impl QueueItem for ReportedSpan {
    fn name(&self) -> &str {
        ReportedSpan::name(self)
    }

    fn units(&self) -> u64 {
        self.span_count() as u64
    }
}

impl QueueItem for ReportedEvent {
    fn name(&self) -> &str {
        ReportedEvent::name(self)
    }

    fn units(&self) -> u64 {
        1
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
    /// Waits until all items queued before the call are finalized. Returns `true` if that happened
    /// before `until`.
    fn flush(&self, until: Instant) -> bool;
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

struct Shared<R> {
    signal: Signal,
    /// The name of the reporter, fit for a log.
    name: String,
    /// The maximum number of queued units.
    capacity: u64,
    state: Mutex<State<R>>,
    /// Wakes the worker thread after an item was queued or the queue was closed.
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
    /// The worker thread waits for an item, and no caller has woken it yet.
    asleep: bool,
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
        capacity: usize,
        create: impl FnOnce() -> Result<P, ConfigError> + Send + 'static,
    ) -> Result<Self, ConfigError> {
        let state = State {
            phase: Phase::Starting,
            refusal: None,
            queue: VecDeque::new(),
            spent: VecDeque::new(),
            asleep: false,
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
            capacity: capacity as u64,
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
        let units = record.units();
        let mut state = self.0.lock();
        state.stats.emitted += units;
        let Some(reason) = state.refuses(*capacity) else {
            state.accepted += units;
            state.stats.queued += units;
            state.queue.push_back(record);
            let spent = state.spent.pop_front();
            // A wake-up is a system call even if the thread does not sleep.
            let wakes = mem::take(&mut state.asleep);
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
        match reason {
            DropReason::QueueFull if is_first => {
                tracing::warn!(%signal, reporter = %name, capacity, "queue full, dropping records");
            }
            DropReason::Closed if is_first => {
                tracing::warn!(%signal, reporter = %name, "dispatcher shut down, dropping records");
            }
            // The panic was logged when it happened.
            _ => {}
        }
    }

    /// Counts units that the reporter's filter kept out.
    pub(crate) fn filtered(&self, units: u64) {
        self.0.lock().stats.filtered += units;
    }
}

impl<R: QueueItem> AnyQueue for ReporterQueue<R> {
    fn flush(&self, until: Instant) -> bool {
        let target = self.0.lock().accepted;
        let is_pending = |state: &State<R>| state.accepted - state.stats.queued < target;
        !is_pending(&self.0.wait(until, is_pending))
    }

    fn close(&self, until: Instant) -> bool {
        let was_closed = mem::replace(&mut self.0.lock().closed, true);
        self.0.deadline.set(until);
        self.0.arrived.notify_all();
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
    /// Returns the reason for which an item cannot be queued.
    ///
    /// A tree is taken whole while there is any room. Otherwise a tree larger than the queue could
    /// never be queued.
    fn refuses(&self, capacity: u64) -> Option<DropReason> {
        if self.closed {
            Some(DropReason::Closed)
        } else if self.phase == Phase::Panicked {
            Some(DropReason::Panicked)
        } else {
            (self.stats.queued >= capacity).then_some(DropReason::QueueFull)
        }
    }

    /// Drops the queued items, but not the reporter's batch. Free the result without the lock.
    #[must_use]
    fn drop_queue(&mut self, reason: DropReason) -> VecDeque<R> {
        let queue = mem::take(&mut self.queue);
        self.stats.drop_queued(units(&queue), reason);
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

    /// Runs the worker thread. Waiting callers are released even if something panics.
    fn live<P: Reporter<R>>(&self, create: impl FnOnce() -> Result<P, ConfigError>) {
        // The reporter lives outside of `caught`. A reporter that panics again while a panic drops
        // it would abort the process.
        let mut reporter = None;
        if let Err(panic) = caught(|| self.work(&mut reporter, create)) {
            self.abandon(&panic);
        }
    }

    fn work<P: Reporter<R>>(&self, slot: &mut Option<P>, create: impl FnOnce() -> Result<P, ConfigError>) {
        let reporter = match create() {
            Ok(reporter) => slot.insert(reporter),
            Err(error) => return self.enter(Phase::Ended, Some(error)),
        };
        let meter = reporter.meter();
        self.lock().meter = meter;
        self.enter(Phase::Running, None);
        let mut batch = VecDeque::new();
        while self.take(&mut batch) {
            let result = reporter.report(batch.make_contiguous(), &self.deadline);
            self.finalize(&mut batch, result);
        }
        if let Some(reporter) = slot.take()
            && let Err(error) = reporter.close(&self.deadline)
        {
            let error = with_causes(&error);
            tracing::warn!(signal = %self.signal, reporter = %self.name, error, "reporter failed to close");
            self.lock().stats.fail(error);
        }
        self.enter(Phase::Ended, None);
    }

    fn enter(&self, phase: Phase, refusal: Option<ConfigError>) {
        let mut state = self.lock();
        state.phase = phase;
        state.refusal = refusal;
        self.finalized.notify_all();
    }

    /// Fills `batch`, which is empty. Returns `false` when the queue is closed and has nothing to
    /// report.
    fn take(&self, batch: &mut VecDeque<R>) -> bool {
        let mut state = self.lock();
        while state.queue.is_empty() && !state.closed {
            state.asleep = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        if state.closed && self.deadline.is_over() {
            let dropped_items = state.drop_queue(DropReason::Shutdown);
            self.finalized.notify_all();
            drop(state);
            drop(dropped_items);
            return false;
        }
        // Only queued items are pending here, since the thread holds no batch. They usually fit
        // into one.
        if state.queue.len() <= BATCH_RECORDS && state.stats.queued <= BATCH_UNITS {
            mem::swap(&mut state.queue, batch);
            return !batch.is_empty();
        }
        let mut units = 0;
        while batch.len() < BATCH_RECORDS && units < BATCH_UNITS {
            let Some(record) = state.queue.pop_front() else { break };
            units += record.units();
            batch.push_back(record);
        }
        true
    }

    /// Counts the outcome of a batch and empties it.
    ///
    /// The log has one line when the reporter begins to fail and one when it recovers, none for
    /// each batch.
    fn finalize(&self, batch: &mut VecDeque<R>, result: Result<(), ReportError>) {
        let units = units(batch);
        let Self { signal, name, .. } = self;
        let error = result.as_ref().err().map(with_causes);
        let mut state = self.lock();
        match &result {
            Ok(()) => {
                state.stats.deliver(units);
                state.stats.last_success = Some(SystemTime::now());
            }
            Err(error) => {
                let (rejected, lost) = (error.rejected() as u64, error.dropped() as u64);
                state.stats.finalize(units, rejected, lost);
            }
        }
        if let Some(error) = &error {
            state.stats.fail(error.clone());
        }
        let was_failing = mem::replace(&mut state.failing, error.is_some());
        let has_room_again = state.overflowing && state.stats.queued <= self.capacity / 2;
        state.overflowing &= !has_room_again;
        let dropped = state.stats.dropped_by(DropReason::QueueFull);
        // Trees are freed by this thread, because they are large and take time to free.
        if state.spent.is_empty() && units == batch.len() as u64 {
            mem::swap(&mut state.spent, batch);
        }
        self.finalized.notify_all();
        drop(state);
        batch.clear();
        match &error {
            Some(error) if !was_failing => tracing::warn!(%signal, reporter = %name, error, "reporter failing"),
            None if was_failing => tracing::info!(%signal, reporter = %name, "reporter recovered"),
            _ => {}
        }
        if has_room_again {
            tracing::info!(%signal, reporter = %name, dropped, "queue has room again");
        }
    }

    /// Drops everything after a panic.
    fn abandon(&self, panic: &str) {
        let panicked = format!("panicked: {panic}");
        let mut state = self.lock();
        if state.phase == Phase::Starting {
            drop(state);
            return self.enter(Phase::Ended, Some(ConfigError::Setup(panicked.into())));
        }
        let queue = mem::take(&mut state.queue);
        let units = state.stats.queued;
        state.stats.drop_queued(units, DropReason::Panicked);
        state.stats.fail(panicked);
        state.stats.is_disabled = true;
        state.phase = Phase::Panicked;
        self.finalized.notify_all();
        drop(state);
        drop(queue);
        tracing::error!(signal = %self.signal, reporter = %self.name, panic, "reporter panicked, disabling it");
    }
}

fn units<R: QueueItem>(records: &VecDeque<R>) -> u64 {
    records.iter().map(QueueItem::units).sum()
}

/// Returns the result of `call`, or the message of its panic.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("no message").to_owned();
        // A panic payload can be of any type, and may panic when it is dropped.
        mem::forget(panic);
        text
    })
}

/// Returns the text of the error and of its causes.
///
/// The text is foreign code that may panic, which must not affect the account.
fn with_causes(error: &ReportError) -> String {
    let text = caught(|| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    });
    text.unwrap_or_else(|panic| format!("an error whose text panicked: {panic}"))
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
        let queue = ReporterQueue::start(Signal::Events, "r", 1, move || {
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
