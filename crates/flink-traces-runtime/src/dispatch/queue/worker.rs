//! The worker thread of a reporter queue.

use std::collections::VecDeque;
use std::error::Error;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};

use flink_traces_api::{ConfigError, Receipt, ReportError};

use super::super::stats::DropReason;
use super::super::sync::now;
use super::{MARK_BYTES, Phase, QueueItem, Reporter, Shared, Sleep};

/// The time from one look at the queue to the next. Records that come meanwhile share a batch.
pub(super) const INTERVAL: Duration = Duration::from_millis(10);
/// The time after the last record until the thread rests.
const SILENCE: Duration = Duration::from_millis(30);

/// The maximum number of records in a batch.
const BATCH_RECORDS: usize = 2048;
/// The number of spans after which a batch takes no further record.
const BATCH_UNITS: u64 = 16 * 1024;

/// The records of one report.
struct Batch<R> {
    records: VecDeque<R>,
    units: u64,
    bytes: u64,
}

/// The times at which the worker thread looks at the queue.
struct Schedule {
    next_look: Instant,
    /// The time from which the thread rests if the queue stays empty.
    rests_from: Instant,
}

impl Schedule {
    /// Returns the schedule after a batch or a wake-up.
    fn after_activity(now: Instant) -> Self {
        Self { next_look: now + INTERVAL, rests_from: now + SILENCE }
    }
}

impl<R: QueueItem> Shared<R> {
    /// Runs the worker thread. Waiting callers are released even if something panics.
    pub(super) fn live<P: Reporter<R>>(&self, create: impl FnOnce() -> Result<P, ConfigError>) {
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
        let mut batch = Batch { records: VecDeque::new(), units: 0, bytes: 0 };
        let start = now();
        let mut schedule = Schedule { next_look: start, rests_from: start };
        while self.take(&mut batch, &mut schedule) {
            let result = reporter.report(batch.records.make_contiguous(), &self.deadline);
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

    /// Fills `batch`, which is empty, when it is time to. Returns `false` when the queue is closed
    /// and has nothing to report.
    fn take(&self, batch: &mut Batch<R>, schedule: &mut Schedule) -> bool {
        let mut state = self.lock();
        while !state.closed {
            let now = now();
            if !state.queue.is_empty()
                && (now >= schedule.next_look || state.is_urgent() || state.is_past_mark(self.capacity))
            {
                *schedule = Schedule::after_activity(now);
                break;
            }
            if state.queue.is_empty() && now >= schedule.rests_from {
                state.sleep = Sleep::UntilWoken;
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                *schedule = Schedule::after_activity(self::now());
            } else {
                if now >= schedule.next_look {
                    schedule.next_look = now + INTERVAL;
                }
                state.sleep = Sleep::UntilLook;
                let left = schedule.next_look - now;
                state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        state.sleep = Sleep::Awake;
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
            mem::swap(&mut state.queue, &mut batch.records);
            (batch.units, batch.bytes) = (state.stats.queued, state.stats.queued_bytes);
            return !batch.records.is_empty();
        }
        (batch.units, batch.bytes) = (0, 0);
        while batch.records.len() < BATCH_RECORDS && batch.units < BATCH_UNITS {
            let Some(record) = state.queue.pop_front() else { break };
            batch.units += record.units();
            batch.bytes += record.bytes();
            batch.records.push_back(record);
        }
        true
    }

    /// Counts the outcome of a batch and empties it.
    ///
    /// The log has one line when the reporter begins to fail and one when it recovers, none for
    /// each batch.
    fn finalize(&self, batch: &mut Batch<R>, result: Result<(), ReportError>) {
        let Batch { records, units, bytes } = batch;
        let (units, bytes) = (*units, *bytes);
        let Self { signal, name, .. } = self;
        let error = result.as_ref().err().map(with_causes);
        // An error does not say which records were dropped.
        if result.as_ref().map_or_else(ReportError::dropped, |()| 0) == 0 {
            records.iter().filter_map(QueueItem::receipt).for_each(Receipt::finalize);
        }
        let mut state = self.lock();
        state.stats.queued_bytes -= bytes;
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
        let has_room_again = state.overflowing && state.is_half_empty(self.capacity);
        state.overflowing &= !has_room_again;
        let dropped = state.stats.dropped_by(DropReason::QueueFull);
        // Trees are freed by this thread, because they are large and take time to free.
        if state.spent.is_empty() && units == records.len() as u64 && bytes <= MARK_BYTES {
            mem::swap(&mut state.spent, records);
        }
        self.finalized.notify_all();
        drop(state);
        records.clear();
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
        let (units, bytes) = (state.stats.queued, state.stats.queued_bytes);
        state.stats.drop_queued(units, bytes, DropReason::Panicked);
        state.stats.fail(panicked);
        state.stats.is_disabled = true;
        state.phase = Phase::Panicked;
        self.finalized.notify_all();
        drop(state);
        drop(queue);
        tracing::error!(signal = %self.signal, reporter = %self.name, panic, "reporter panicked, disabling it");
    }
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
