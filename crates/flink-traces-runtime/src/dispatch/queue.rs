//! One reporter's way out: a bounded queue and a thread of its own.
//!
//! ```text
//! callers ── push ──▶ queue (bounded) ── take ──▶ thread ── report ──▶ reporter
//!            never waits                          waits for the reporter
//! ```
//! There are no control messages that could be lost behind data: flush waits for a count, close sets a flag. Nothing foreign (factory,
//! reporter, error, log) is called while the lock is held.

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

/// The most records that a reporter is given at once.
const BATCH_RECORDS: usize = 2048;
/// No further record joins a batch of that many spans.
const BATCH_UNITS: u64 = 16 * 1024;

/// What a lane carries.
pub(crate) trait QueueItem: Send + 'static {
    /// What filters match, beside the scope.
    fn name(&self) -> &str;
    /// How much of the bound it takes, and how much is lost with it: spans are counted one by one.
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

/// What a lane's thread calls: either kind of reporter.
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

/// What is asked of every lane, whatever it carries.
pub(crate) trait AnyQueue {
    /// Waits until everything queued before the call is settled; answers whether it was, in time.
    fn flush(&self, until: Instant) -> bool;
    /// Takes no more, and gives the reporter until `until`. Answers whether the lane was open.
    fn close(&self, until: Instant) -> bool;
    /// Waits for the reporter to be closed, at the longest until `until`, which is not before the time that it was given. What it
    /// has not taken by then is given up.
    fn join(&self, until: Instant);
    fn stats(&self) -> ReporterStats;
}

/// The callers' end of a lane.
pub(crate) struct ReporterQueue<R: QueueItem>(Arc<Shared<R>>);

struct Shared<R> {
    signal: Signal,
    /// The reporter's, fit for a log.
    name: String,
    /// The units that may wait.
    capacity: u64,
    state: Mutex<State<R>>,
    /// Wakes the thread: something was queued, or the lane was closed.
    arrived: Condvar,
    /// Wakes who waits: something was settled, or the phase is another.
    settled: Condvar,
    deadline: Deadline,
}

struct State<R> {
    phase: Phase,
    /// Why there is no reporter.
    refusal: Option<ConfigError>,
    queue: VecDeque<R>,
    /// A batch that was reported. Callers free it, one record for each that they queue: so memory returns to the thread that
    /// asks for more, and the thread of the lane does not get in its way.
    spent: VecDeque<R>,
    /// The thread waits for something to be queued, and nobody has woken it.
    asleep: bool,
    /// Nothing is taken any more.
    closed: bool,
    /// The queue was full, and has not been half empty since.
    overflowing: bool,
    /// The last report failed.
    failing: bool,
    /// All that was ever queued.
    accepted: u64,
    stats: ReporterStats,
    /// What the reporter counts by itself.
    meter: Option<ReporterMeter>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The factory is at work.
    Starting,
    /// The reporter takes batches.
    Running,
    /// The reporter panicked and is not called any more.
    Panicked,
    /// The reporter was closed, or never made.
    Ended,
}

impl<R: QueueItem> ReporterQueue<R> {
    /// Starts the thread and, on it, the reporter that `create` makes; see [`started`](Self::started).
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
            settled: Condvar::new(),
            deadline: Deadline::unlimited(),
        });
        let on_thread = shared.clone();
        // A name from a configuration may hold anything, a thread's no NUL.
        let thread_name = format!("{signal}-{name}").replace('\0', "");
        let spawned = thread::Builder::new().name(thread_name).spawn(move || on_thread.live(create));
        spawned.map_err(|error| ConfigError::Setup(error.into()))?;
        Ok(Self(shared))
    }

    /// Waits until the reporter is made, at the longest until `until`.
    pub(crate) fn started(&self, until: Instant) -> Result<(), ConfigError> {
        let mut state = self.0.wait(until, |state| state.phase == Phase::Starting);
        match state.refusal.take() {
            Some(error) => Err(error),
            None if state.phase == Phase::Starting => Err(ConfigError::Setup("its factory does not return".into())),
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
            // Waking is a call of the operating system, whether anybody sleeps or not.
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
                tracing::warn!(%signal, reporter = %name, capacity, "queue full, dropping");
            }
            DropReason::Closed if is_first => {
                tracing::warn!(%signal, reporter = %name, "already shut down, dropping");
            }
            // Said when it panicked.
            _ => {}
        }
    }

    /// Counts what the reporter's filter kept out.
    pub(crate) fn filtered(&self, units: u64) {
        self.0.lock().stats.filtered += units;
    }
}

impl<R: QueueItem> AnyQueue for ReporterQueue<R> {
    fn flush(&self, until: Instant) -> bool {
        let target = self.0.lock().accepted;
        let is_unsettled = |state: &State<R>| state.accepted - state.stats.queued < target;
        !is_unsettled(&self.0.wait(until, is_unsettled))
    }

    fn close(&self, until: Instant) -> bool {
        let was_closed = mem::replace(&mut self.0.lock().closed, true);
        self.0.deadline.set(until);
        self.0.arrived.notify_all();
        !was_closed
    }

    fn join(&self, until: Instant) {
        let mut state = self.0.wait(until, |state| !matches!(state.phase, Phase::Panicked | Phase::Ended));
        let given_up = state.give_up_queue(DropReason::Shutdown);
        let (dropped, queued) = (state.stats.dropped_by(DropReason::Shutdown), state.stats.queued);
        self.0.settled.notify_all();
        drop(state);
        drop(given_up);
        if dropped + queued > 0 {
            let Shared { signal, name, .. } = &*self.0;
            tracing::warn!(%signal, reporter = %name, dropped, left_behind = queued, "out of time at the shutdown");
        }
    }

    fn stats(&self) -> ReporterStats {
        let state = self.0.lock();
        let transfer = state.meter.as_ref().map(ReporterMeter::read).unwrap_or_default();
        ReporterStats { transfer, ..state.stats.clone() }
    }
}

/// Nobody can use the lane any more: its thread is to end. It is not waited for.
impl<R: QueueItem> Drop for ReporterQueue<R> {
    fn drop(&mut self) {
        self.close(Instant::now());
    }
}

impl<R: QueueItem> State<R> {
    /// Why nothing can be queued now. A tree is taken whole while there is any room: one larger than the whole queue never could be
    /// otherwise.
    fn refuses(&self, capacity: u64) -> Option<DropReason> {
        if self.closed {
            Some(DropReason::Closed)
        } else if self.phase == Phase::Panicked {
            Some(DropReason::Panicked)
        } else {
            (self.stats.queued >= capacity).then_some(DropReason::QueueFull)
        }
    }

    /// Gives up what waits, but not what the reporter holds. What it answers is to be dropped without the lock.
    #[must_use]
    fn give_up_queue(&mut self, reason: DropReason) -> VecDeque<R> {
        let queue = mem::take(&mut self.queue);
        self.stats.drop_queued(units(&queue), reason);
        queue
    }
}

impl<R: QueueItem> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while `condition` holds, at the longest until `until`.
    fn wait(&self, until: Instant, condition: impl Fn(&State<R>) -> bool) -> MutexGuard<'_, State<R>> {
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !condition(&state) {
                return state;
            }
            state = self.settled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The thread's life. Whatever panics in it, the lane answers those who wait for it.
    fn live<P: Reporter<R>>(&self, create: impl FnOnce() -> Result<P, ConfigError>) {
        // Outside of the net, for a reporter that is dropped by a panic and panics again would end the process.
        let mut reporter = None;
        if let Err(panic) = caught(|| self.work(&mut reporter, create)) {
            self.abandon(&panic);
        }
    }

    fn work<P: Reporter<R>>(&self, place: &mut Option<P>, create: impl FnOnce() -> Result<P, ConfigError>) {
        let reporter = match create() {
            Ok(reporter) => place.insert(reporter),
            Err(error) => return self.enter(Phase::Ended, Some(error)),
        };
        let meter = reporter.meter();
        self.lock().meter = meter;
        self.enter(Phase::Running, None);
        let mut batch = VecDeque::new();
        while self.take(&mut batch) {
            let result = reporter.report(batch.make_contiguous(), &self.deadline);
            self.settle(&mut batch, result);
        }
        if let Some(reporter) = place.take()
            && let Err(error) = reporter.close(&self.deadline)
        {
            let error = with_causes(&error);
            tracing::warn!(signal = %self.signal, reporter = %self.name, error, "reporter did not close well");
            self.lock().stats.fail(error);
        }
        self.enter(Phase::Ended, None);
    }

    fn enter(&self, phase: Phase, refusal: Option<ConfigError>) {
        let mut state = self.lock();
        state.phase = phase;
        state.refusal = refusal;
        self.settled.notify_all();
    }

    /// Fills `batch`, which is empty; answers `false` once the lane is closed and has no more to report.
    fn take(&self, batch: &mut VecDeque<R>) -> bool {
        let mut state = self.lock();
        while state.queue.is_empty() && !state.closed {
            state.asleep = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        if state.closed && self.deadline.is_over() {
            let given_up = state.give_up_queue(DropReason::Shutdown);
            self.settled.notify_all();
            drop(state);
            drop(given_up);
            return false;
        }
        // All that is not settled waits here, as the thread holds nothing: mostly it is one batch.
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

    /// Counts what became of a batch, and empties it. One line when the reporter begins to fail and one when it works again, none per batch.
    fn settle(&self, batch: &mut VecDeque<R>, result: Result<(), ReportError>) {
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
                state.stats.deliver_in_part(units, rejected, lost);
            }
        }
        if let Some(error) = &error {
            state.stats.fail(error.clone());
        }
        let was_failing = mem::replace(&mut state.failing, error.is_some());
        let has_room_again = state.overflowing && state.stats.queued <= self.capacity / 2;
        state.overflowing &= !has_room_again;
        let dropped = state.stats.dropped_by(DropReason::QueueFull);
        // Trees are freed here: they are large, and freeing one takes its time.
        if state.spent.is_empty() && units == batch.len() as u64 {
            mem::swap(&mut state.spent, batch);
        }
        self.settled.notify_all();
        drop(state);
        batch.clear();
        match &error {
            Some(error) if !was_failing => tracing::warn!(%signal, reporter = %name, error, "reporter fails"),
            None if was_failing => tracing::info!(%signal, reporter = %name, "reporter works again"),
            _ => {}
        }
        if has_room_again {
            tracing::info!(%signal, reporter = %name, dropped, "queue has room again");
        }
    }

    /// Gives up everything, for something panicked.
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
        self.settled.notify_all();
        drop(state);
        drop(queue);
        tracing::error!(signal = %self.signal, reporter = %self.name, panic, "reporter panicked and is out of use");
    }
}

fn units<R: QueueItem>(records: &VecDeque<R>) -> u64 {
    records.iter().map(QueueItem::units).sum()
}

/// What `call` answers, or the message that it panicked with.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("no message").to_owned();
        // Anything can be thrown, also what panics when it is dropped.
        mem::forget(panic);
        text
    })
}

/// The error's text and that of all its causes. What cannot be told is no reason to miscount.
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

    /// Tells when it is closed.
    struct Closing(SyncSender<()>);

    impl Reporter<ReportedEvent> for Closing {
        fn report(&mut self, _: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
            Ok(())
        }

        fn close(self, _: &Deadline) -> Result<(), ReportError> {
            self.0.send(()).map_err(|error| ReportError::from_dropped(0, false, error))
        }
    }

    /// Scenario: a factory does not return in time, and later it does. Guarantees: nobody waits for it, and the reporter that nobody
    /// wants any more is closed.
    #[test]
    fn a_factory_that_hangs_is_given_up() {
        const LONG: Duration = Duration::from_secs(60);
        let (allow, allowed) = sync_channel::<()>(0);
        let (closing, closed) = sync_channel(1);
        let lane = ReporterQueue::start(Signal::Events, "r", 1, move || {
            allowed.recv_timeout(LONG).map_err(|error| ConfigError::Setup(error.into()))?;
            Ok(Closing(closing))
        })
        .unwrap();
        let error = lane.started(Instant::now()).unwrap_err();
        assert_eq!(error.to_string(), "its factory does not return");
        drop(lane);
        allow.send(()).unwrap();
        closed.recv_timeout(LONG).unwrap();
    }
}
