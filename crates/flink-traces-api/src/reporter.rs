//! What a reporter is.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::{ConfigError, OptionDoc, ReportedEvent, ReportedSpan, ReporterConfig};

/// Hands finished spans to one destination, as `org.apache.flink.traces.reporter.TraceReporter`.
///
/// Created, called, closed and dropped on one thread of its own: it may block, own a runtime and keep plain state, and a slow
/// one delays no other. A panic closes it and counts what it held as lost.
pub trait TraceReporter {
    /// Delivers `spans`, in order unless an option of its own gives that up, before it returns: `Ok` means that the destination has
    /// them or that they are stored where no crash loses them. Nothing may be held back, there is no flush. It may block and try
    /// again for as long as its own options say, but not beyond `deadline`.
    ///
    /// # Errors
    /// When some of the spans were refused or given up.
    fn report(&mut self, spans: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError>;

    /// Where it counts what the results of [`report`](Self::report) do not tell. Asked for once, when it was made.
    fn meter(&self) -> Option<ReporterMeter> {
        None
    }

    /// Called once, last, when no more spans come.
    ///
    /// # Errors
    /// When releasing the destination failed. Nothing is lost by it: [`report`](Self::report) delivered everything.
    fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        let _ = deadline;
        Ok(())
    }
}

/// Hands events to one destination, as `org.apache.flink.events.reporter.EventReporter`. The rules are [`TraceReporter`]'s.
pub trait EventReporter {
    /// Delivers `events`, in order, before it returns.
    ///
    /// # Errors
    /// When some of the events were refused or given up.
    fn report(&mut self, events: &[ReportedEvent], deadline: &Deadline) -> Result<(), ReportError>;

    /// Where it counts what the results of [`report`](Self::report) do not tell. Asked for once, when it was made.
    fn meter(&self) -> Option<ReporterMeter> {
        None
    }

    /// Called once, last, when no more events come.
    ///
    /// # Errors
    /// When releasing the destination failed.
    fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        let _ = deadline;
        Ok(())
    }
}

/// Makes trace reporters, as `org.apache.flink.traces.reporter.TraceReporterFactory`.
pub trait TraceReporterFactory: Send + Sync {
    /// Makes the reporter that `config` describes. Called on the thread that will call the reporter.
    ///
    /// # Errors
    /// When an option is missing or wrong, or the destination cannot be set up. One that is merely unreachable now is no
    /// reason: [`TraceReporter::report`] will find out.
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError>;

    /// The options that it reads, for documentation and for finding misspelt keys.
    fn options(&self) -> &'static [OptionDoc];
}

/// Makes event reporters, as `org.apache.flink.events.reporter.EventReporterFactory`.
pub trait EventReporterFactory: Send + Sync {
    /// Makes the reporter that `config` describes. Called on the thread that will call the reporter.
    ///
    /// # Errors
    /// As [`TraceReporterFactory::create_trace_reporter`].
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError>;

    /// The options that it reads, for documentation and for finding misspelt keys.
    fn options(&self) -> &'static [OptionDoc];
}

/// What of one [`report`](TraceReporter::report) did not reach its destination. Whatever it does not count was delivered.
/// Spans are counted one by one, children too.
#[derive(Debug)]
pub struct ReportError {
    rejected: usize,
    lost: usize,
    retryable: bool,
    source: Box<dyn Error + Send + Sync>,
}

impl ReportError {
    /// The destination took the request and refused `rejected` of its spans or events for good.
    pub fn rejected(rejected: usize, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { rejected, lost: 0, retryable: false, source: source.into() }
    }

    /// `lost` spans or events were given up; `retryable` says whether sending them later could have helped.
    pub fn lost(lost: usize, retryable: bool, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { rejected: 0, lost, retryable, source: source.into() }
    }

    /// Both together, when one batch met several answers; the reason told is `self`'s.
    #[must_use]
    pub fn and(mut self, other: ReportError) -> Self {
        self.rejected += other.rejected;
        self.lost += other.lost;
        self.retryable |= other.retryable;
        self
    }

    /// How many the destination refused.
    pub fn count_rejected(&self) -> usize {
        self.rejected
    }

    /// How many were given up.
    pub fn count_lost(&self) -> usize {
        self.lost
    }

    /// Whether a later attempt could have delivered what was lost.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rejected, {} lost", self.rejected, self.lost)
    }
}

impl Error for ReportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// What a reporter counts of itself while it lives. Flink's reporters count nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferStats {
    /// The bytes that went to the destination: of requests, as they went, each that was answered, also if it is sent again; of lines.
    pub bytes_sent: u64,
    /// When the destination last took something, by the system's clock.
    pub last_taken: Option<SystemTime>,
    /// What became of what the reporter stored to send it later; `None` if it does not store.
    pub spool: Option<SpoolStats>,
}

/// What became of the spans or events that a reporter stored, where `report` answered that they are stored. Since the reporter was made, and
/// including what it found then. It always holds that `stored = delivered + rejected + dropped + queued`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolStats {
    /// What was stored, or found.
    pub stored: u64,
    /// What the destination took from there.
    pub delivered: u64,
    /// What it refused for good.
    pub rejected: u64,
    /// What was given up: to make room, or because it cannot be read any more or nobody can tell what became of it.
    pub dropped: u64,
    /// What is still there.
    pub queued: u64,
    /// The bytes that it takes.
    pub bytes: u64,
}

/// Where a reporter counts and others read, at any time and from any thread.
#[derive(Debug, Clone, Default)]
pub struct ReporterMeter(Arc<Mutex<TransferStats>>);

impl ReporterMeter {
    /// At zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the counts at once; whoever reads sees all of the change or nothing.
    pub fn update(&self, change: impl FnOnce(&mut TransferStats)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The counts at this moment.
    pub fn read(&self) -> TransferStats {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer than any program runs.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Until when a reporter may go on trying. Unlimited until somebody shuts down; then everyone who waits on it wakes up.
#[derive(Debug, Clone, Default)]
pub struct Deadline(Arc<(Mutex<Option<Instant>>, Condvar)>);

impl Deadline {
    /// No limit yet.
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// Sets the limit, unless an earlier one is set.
    pub fn set(&self, at: Instant) {
        let mut limit = self.lock();
        if limit.is_none_or(|known| at < known) {
            *limit = Some(at);
            self.0.1.notify_all();
        }
    }

    /// The time that is left; `None` while there is no limit.
    pub fn remaining(&self) -> Option<Duration> {
        self.lock().map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether no time is left.
    pub fn is_over(&self) -> bool {
        self.remaining().is_some_and(|left| left.is_zero())
    }

    /// Waits for `pause`, but not beyond the limit; answers whether the whole pause was had.
    pub fn sleep(&self, pause: Duration) -> bool {
        // A pause beyond what the clock can tell is one for ever.
        let wanted = Instant::now().checked_add(pause).unwrap_or_else(|| Instant::now() + FOR_EVER);
        let mut limit = self.lock();
        loop {
            let now = Instant::now();
            let until = limit.map_or(wanted, |at| at.min(wanted));
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                return now >= wanted;
            }
            limit = match self.0.1.wait_timeout(limit, left) {
                Ok((limit, _)) => limit,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_wakes_who_sleeps() {
        let deadline = Deadline::unlimited();
        assert_eq!(deadline.remaining(), None);
        assert!(deadline.sleep(Duration::from_millis(1)));
        let sleeper = deadline.clone();
        let thread = std::thread::spawn(move || sleeper.sleep(Duration::from_secs(3600)));
        deadline.set(Instant::now() + Duration::from_millis(5));
        assert!(!thread.join().unwrap());
        assert!(deadline.is_over());
    }

    #[test]
    fn a_pause_for_ever_ends_with_the_deadline() {
        let deadline = Deadline::unlimited();
        deadline.set(Instant::now());
        assert!(!deadline.sleep(Duration::MAX));
    }

    #[test]
    fn the_earlier_deadline_stays() {
        let deadline = Deadline::unlimited();
        let now = Instant::now();
        deadline.set(now);
        deadline.set(now + Duration::from_secs(60));
        assert!(deadline.is_over());
    }
}
