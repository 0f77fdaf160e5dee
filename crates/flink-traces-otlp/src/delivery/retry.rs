//! The waits between attempts.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use flink_traces_api::Deadline;
use tokio::time::{sleep, timeout};

use crate::config::Retry;
use crate::response::Verdict;

/// The interval at which a wait looks at the deadline, which another thread may set at any time.
const TICK: Duration = Duration::from_millis(50);
/// The longest delay that a collector can ask for.
const MAX_DELAY: Duration = Duration::from_secs(600);
/// The longest wait of a refused request.
const MAX_REFUSED: Duration = Duration::from_secs(60);

/// The exponential backoff of one delivery: random up to its full length, and longer if the
/// collector asks for it.
#[derive(Debug)]
pub(crate) struct Backoff {
    retry: Retry,
    longest: Duration,
    /// The time of the first failure in a row, and of the last.
    since: Option<Instant>,
    last: Option<Instant>,
    /// The wait after the last failure.
    wait: Duration,
    attempts: u32,
}

/// The step after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    AtOnce,
    After(Duration),
    GiveUp(u32),
}

impl Backoff {
    pub(crate) fn new(retry: Retry) -> Self {
        Self { retry, longest: retry.initial_backoff, since: None, last: None, wait: Duration::ZERO, attempts: 0 }
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.retry);
    }

    /// Returns the step after an attempt that began at `started` failed. `random` is from 0 to 1.
    pub(crate) fn next(&mut self, verdict: Verdict, started: Instant, now: Instant, random: f64) -> Next {
        // Of several requests that fail together, one counts.
        if let Some(last) = self.last.filter(|last| started < *last) {
            return match self.wait {
                Duration::ZERO => Next::AtOnce,
                wait => Next::After(wait.saturating_sub(now.saturating_duration_since(last))),
            };
        }
        self.attempts += 1;
        self.last = Some(now);
        self.wait = Duration::ZERO;
        let since = *self.since.get_or_insert(now);
        let timeout = match verdict {
            Verdict::Refused(_) => self.retry.refusal_timeout,
            _ => self.retry.timeout,
        };
        let left = timeout.saturating_sub(now.saturating_duration_since(since));
        if left.is_zero() {
            return Next::GiveUp(self.attempts);
        }
        // An idle connection may be dead without a sign, which is no failure of the collector.
        if verdict == Verdict::NoResponse && self.attempts == 1 {
            return Next::AtOnce;
        }
        let wait = match verdict {
            Verdict::Later { delay: Some(delay) } => {
                let delay = delay.min(MAX_DELAY).max(self.retry.initial_backoff);
                self.longest = delay;
                delay
            }
            Verdict::Refused(_) => self.longest.min(MAX_REFUSED).mul_f64(random).min(left),
            _ => self.longest.mul_f64(random).min(left),
        };
        let limit = match verdict {
            Verdict::Refused(_) => MAX_REFUSED,
            _ => self.retry.max_backoff,
        };
        self.longest = (self.longest * 2).min(limit);
        self.wait = wait;
        Next::After(wait)
    }
}

/// The delay that a collector asked for, such as with `Retry-After`.
#[derive(Debug, Default)]
pub(crate) struct RequestedDelay {
    until: Cell<Option<Instant>>,
    /// Set after a delay was cut short by the deadline.
    was_cut: Cell<bool>,
}

impl RequestedDelay {
    /// Starts a delay at `now`, unless a longer one is set.
    pub(crate) fn request(&self, delay: Duration, now: Instant) {
        self.until.set(self.until.get().max(Some(now + delay.min(MAX_DELAY))));
    }

    /// Waits for the rest of the delay. If the deadline comes first, one request goes before it.
    pub(crate) async fn wait(&self, deadline: &Deadline) {
        let left = || self.until.get().map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        while !left().is_zero() && !deadline.is_over() {
            let is_cut = deadline.remaining().is_some_and(|remaining| left() > remaining);
            if is_cut && !self.was_cut.replace(true) {
                return pause(left(), deadline, || false).await;
            }
            sleep(left().min(TICK)).await;
        }
    }
}

/// The evidence that one chunk fails while the collector takes others.
///
/// A chunk becomes a suspect when it fails although another one was taken since it was first
/// sent. The failure of a chunk that is no suspect clears all suspects: the collector itself is
/// in trouble.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// The time at which the collector last took a chunk.
    taken: Option<Instant>,
    /// The time at which a chunk that was no suspect last failed.
    trouble: Option<Instant>,
}

impl Evidence {
    pub(crate) fn note_taken(&mut self, now: Instant) {
        self.taken = Some(now);
    }

    /// Updates `suspect_since` of a chunk that was first sent at `first_sent` and failed again.
    pub(crate) fn note_failure(&mut self, first_sent: Instant, suspect_since: &mut Option<Instant>, now: Instant) {
        if self.trouble > *suspect_since {
            *suspect_since = None;
        }
        if suspect_since.is_none() && self.taken > self.trouble.max(Some(first_sent)) {
            *suspect_since = Some(now);
        }
        if suspect_since.is_none() {
            self.trouble = Some(now);
        }
    }
}

/// Runs `work` until `limit` or the deadline is over. Returns `None` if it did not end by then.
pub(crate) async fn within<T>(work: impl Future<Output = T>, limit: Duration, deadline: &Deadline) -> Option<T> {
    let mut work = pin!(work);
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = deadline.remaining().map_or(left, |remaining| remaining.min(left));
        match timeout(left.min(TICK), &mut work).await {
            Ok(value) => return Some(value),
            Err(_) if left <= TICK => return None,
            Err(_) => {}
        }
    }
}

/// Waits for `length` or until `is_over`. Before a deadline it waits for at most half of the time
/// that is left, because another attempt is worth more then.
pub(crate) async fn pause(length: Duration, deadline: &Deadline, is_over: impl Fn() -> bool) {
    let start = Instant::now();
    loop {
        let length = deadline.remaining().map_or(length, |left| length.min((left / 2).max(TICK)));
        let left = length.saturating_sub(start.elapsed());
        if left.is_zero() || deadline.is_over() || is_over() {
            return;
        }
        sleep(left.min(TICK)).await;
    }
}

#[cfg(test)]
mod tests;
