//! One reporter's way out: a bounded queue and a thread of its own.
//!
//! ```text
//! callers ── push ──▶ queue (bounded) ── take ──▶ thread ── report ──▶ reporter
//!            never waits                          waits for the reporter
//! ```
//! There are no control messages that could be lost behind data: flush waits for a count, close sets a flag.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use flink_traces_api::{ConfigError, Deadline, EventReporter, ReportError, ReportedEvent, ReportedSpan, TraceReporter};

use crate::stats::ReporterStats;

/// The most records that a reporter is given at once.
const BATCH_RECORDS: usize = 512;
/// No further record joins a batch of that many spans.
const BATCH_UNITS: usize = 16 * 1024;

/// What a lane carries.
pub(crate) trait Record: Send + 'static {
    /// How much of the bound it takes, and how much is lost with it: spans are counted one by one.
    fn units(&self) -> usize;
}

impl Record for ReportedSpan {
    fn units(&self) -> usize {
        self.span_count()
    }
}

impl Record for ReportedEvent {
    fn units(&self) -> usize {
        1
    }
}

/// What a lane's thread calls: either kind of reporter.
pub(crate) trait Reporter<R> {
    fn report(&mut self, batch: &[R], deadline: &Deadline) -> Result<(), ReportError>;
    fn close(self, deadline: &Deadline) -> Result<(), ReportError>;
}

impl Reporter<ReportedSpan> for Box<dyn TraceReporter> {
    fn report(&mut self, batch: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError> {
        self.as_mut().report(batch, deadline)
    }

    fn close(self, deadline: &Deadline) -> Result<(), ReportError> {
        TraceReporter::close(self, deadline)
    }
}

impl Reporter<ReportedEvent> for Box<dyn EventReporter> {
    fn report(&mut self, batch: &[ReportedEvent], deadline: &Deadline) -> Result<(), ReportError> {
        self.as_mut().report(batch, deadline)
    }

    fn close(self, deadline: &Deadline) -> Result<(), ReportError> {
        EventReporter::close(self, deadline)
    }
}

/// The callers' end of a lane.
pub(crate) struct Lane<R> {
    shared: Arc<Shared<R>>,
    worker: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared<R> {
    capacity: usize,
    state: Mutex<State<R>>,
    /// Wakes the thread: something was queued, or the lane was closed.
    arrived: Condvar,
    /// Wakes who waits in flush or shutdown: something was settled, or the thread ended.
    settled: Condvar,
    deadline: Deadline,
}

struct State<R> {
    queue: VecDeque<R>,
    closed: bool,
    /// The thread is gone, or its reporter is: nothing will be taken from the queue any more.
    ended: bool,
    /// What the queue held or a batch holds, counted since the start.
    accepted: u64,
    stats: ReporterStats,
}

impl<R: Record> Lane<R> {
    /// Starts the thread and, on it, the reporter that `create` makes.
    pub(crate) fn start<P: Reporter<R> + 'static>(
        stats: ReporterStats,
        capacity: usize,
        create: impl FnOnce() -> Result<P, ConfigError> + Send + 'static,
    ) -> Result<Self, ConfigError> {
        let shared = Arc::new(Shared {
            capacity,
            state: Mutex::new(State { queue: VecDeque::new(), closed: false, ended: false, accepted: 0, stats }),
            arrived: Condvar::new(),
            settled: Condvar::new(),
            deadline: Deadline::unlimited(),
        });
        let (created, outcome) = mpsc::sync_channel(1);
        let name = shared.lock().stats.thread_name();
        let on_thread = shared.clone();
        let worker = thread::Builder::new().name(name).spawn(move || {
            let reporter = catch_unwind(AssertUnwindSafe(create))
                .unwrap_or_else(|panic| Err(ConfigError::Setup(format!("panicked: {}", panic_text(&*panic)).into())));
            match reporter {
                Ok(reporter) => {
                    let _ = created.send(Ok(()));
                    on_thread.work(reporter);
                }
                Err(error) => {
                    let _ = created.send(Err(error));
                }
            }
        });
        let worker = worker.map_err(|error| ConfigError::Setup(error.into()))?;
        match outcome.recv() {
            Ok(Ok(())) => Ok(Self { shared, worker: Mutex::new(Some(worker)) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ConfigError::Setup("its thread ended before it was made".into())),
        }
    }

    /// Queues `record`, or drops and counts it. Never waits for the reporter.
    pub(crate) fn push(&self, record: R) {
        let units = record.units();
        let mut state = self.shared.lock();
        state.stats.emitted += units as u64;
        if state.ended || state.closed {
            let reason = if state.stats.panicked { "panicked" } else { "closed" };
            state.stats.drop_units(units, reason);
        } else if state.stats.queued as usize + units > self.shared.capacity {
            // One tree larger than the whole bound still passes an empty queue: otherwise it never could.
            if state.stats.queued > 0 {
                if !state.stats.overflowing {
                    state.stats.overflowing = true;
                    let ReporterStats { signal, name, .. } = &state.stats;
                    tracing::warn!(%signal, reporter = %name, capacity = self.shared.capacity, "queue full, dropping");
                }
                state.stats.drop_units(units, "queue full");
            } else {
                self.shared.enqueue(&mut state, record, units);
            }
        } else {
            self.shared.enqueue(&mut state, record, units);
        }
    }

    /// Counts what the reporter's filter kept out.
    pub(crate) fn filtered(&self, units: usize) {
        self.shared.lock().stats.filtered += units as u64;
    }

    /// Waits until everything queued before the call is settled; answers whether it was, in time.
    pub(crate) fn flush(&self, until: Instant) -> bool {
        let mut state = self.shared.lock();
        let target = state.accepted;
        while !state.ended && state.accepted - state.stats.queued < target {
            match self.shared.wait_settled(state, until) {
                Ok(next) => state = next,
                Err(()) => return false,
            }
        }
        state.accepted - state.stats.queued >= target
    }

    /// Takes no more, and gives the reporter until `until`.
    pub(crate) fn close(&self, until: Instant) {
        self.shared.lock().closed = true;
        self.shared.deadline.set(until);
        self.shared.arrived.notify_all();
    }

    /// Waits for the thread to end, at the longest until `until`; then leaves it to itself.
    pub(crate) fn join(&self, until: Instant) {
        let mut state = self.shared.lock();
        while !state.ended {
            match self.shared.wait_settled(state, until) {
                Ok(next) => state = next,
                Err(()) => return,
            }
        }
        drop(state);
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            // Its panics are caught and counted; there is nothing to learn here.
            let _ = worker.join();
        }
    }

    pub(crate) fn stats(&self) -> ReporterStats {
        self.shared.lock().stats.clone()
    }
}

impl<R: Record> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, state: &mut State<R>, record: R, units: usize) {
        state.accepted += units as u64;
        state.stats.queued += units as u64;
        state.queue.push_back(record);
        if state.queue.len() == 1 {
            self.arrived.notify_one();
        }
    }

    fn wait_settled<'a>(
        &self,
        state: MutexGuard<'a, State<R>>,
        until: Instant,
    ) -> Result<MutexGuard<'a, State<R>>, ()> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(());
        }
        match self.settled.wait_timeout(state, left) {
            Ok((state, _)) => Ok(state),
            Err(poisoned) => Ok(poisoned.into_inner().0),
        }
    }

    /// The thread's life.
    fn work(&self, mut reporter: impl Reporter<R>) {
        let mut failing = false;
        while let Some((batch, units)) = self.take() {
            if self.deadline.is_over() {
                self.settle(units, |stats| stats.drop_units(units, "shutdown"));
                continue;
            }
            match catch_unwind(AssertUnwindSafe(|| reporter.report(&batch, &self.deadline))) {
                Ok(result) => {
                    let failed = result.is_err();
                    self.settle(units, |stats| stats.count(units, result));
                    if failed != failing {
                        failing = failed;
                        self.log_turn(failed);
                    }
                }
                Err(panic) => {
                    let why = panic_text(&*panic);
                    // Whatever state the reporter is in, its drop may panic as well.
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(reporter)));
                    self.abandon(units, &why);
                    return;
                }
            }
        }
        let closed = catch_unwind(AssertUnwindSafe(|| reporter.close(&self.deadline)));
        let mut state = self.lock();
        match closed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => state.stats.failed(&error),
            Err(panic) => state.stats.failed_with(panic_text(&*panic)),
        }
        state.ended = true;
        self.settled.notify_all();
    }

    /// The next batch; `None` once the lane is closed and empty.
    fn take(&self) -> Option<(Vec<R>, usize)> {
        let mut state = self.lock();
        while state.queue.is_empty() {
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut batch = Vec::new();
        let mut units = 0;
        while batch.len() < BATCH_RECORDS && units < BATCH_UNITS {
            let Some(record) = state.queue.pop_front() else { break };
            units += record.units();
            batch.push(record);
        }
        Some((batch, units))
    }

    fn settle(&self, units: usize, count: impl FnOnce(&mut ReporterStats)) {
        let mut state = self.lock();
        state.stats.queued -= units as u64;
        count(&mut state.stats);
        if state.stats.overflowing && state.stats.queued as usize <= self.capacity / 2 {
            state.stats.overflowing = false;
            let ReporterStats { signal, name, .. } = &state.stats;
            tracing::info!(%signal, reporter = %name, "queue has room again");
        }
        self.settled.notify_all();
    }

    /// One line when a reporter begins to fail and one when it works again, none per batch.
    fn log_turn(&self, failed: bool) {
        let ReporterStats { signal, name, last_error, .. } = self.lock().stats.clone();
        match failed {
            true => tracing::warn!(%signal, reporter = %name, error = last_error, "reporter fails"),
            false => tracing::info!(%signal, reporter = %name, "reporter works again"),
        }
    }

    fn abandon(&self, in_flight: usize, why: &str) {
        let mut state = self.lock();
        let ReporterStats { signal, name, .. } = &state.stats;
        tracing::error!(%signal, reporter = %name, panic = why, "reporter panicked and is out of use");
        let units = state.stats.queued as usize;
        debug_assert!(units >= in_flight);
        state.queue.clear();
        state.stats.queued = 0;
        state.stats.panicked = true;
        state.stats.failed_with(format!("panicked: {why}"));
        state.stats.drop_units(units, "panicked");
        state.ended = true;
        self.settled.notify_all();
    }
}

/// Dropped without a shutdown, a lane takes no more and leaves its thread a second, as Flink does.
impl<R> Drop for Lane<R> {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.deadline.set(Instant::now() + Duration::from_secs(1));
        self.shared.arrived.notify_all();
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
