//! What became of what was emitted.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use flink_traces_api::ReportError;

use crate::Signal;

/// One reporter's account, in spans (children counted one by one) or events.
///
/// It always holds that `emitted = delivered + rejected + dropped + queued`: see [`is_balanced`](Self::is_balanced).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReporterStats {
    /// Spans or events.
    pub signal: Signal,
    /// The reporter's name.
    pub name: String,
    /// What its filter kept out; not part of `emitted`.
    pub filtered: u64,
    /// What was meant for it.
    pub emitted: u64,
    /// What its destination has, or stored for it.
    pub delivered: u64,
    /// What its destination refused for good.
    pub rejected: u64,
    /// What was given up, by reason: `queue full`, `given up` (the reporter stopped trying), `shutdown` (no time was left), `closed`
    /// (emitted after the shutdown), `panicked`.
    pub dropped: BTreeMap<&'static str, u64>,
    /// What waits, the batch in flight included.
    pub queued: u64,
    /// How often [`report`](flink_traces_api::TraceReporter::report) failed.
    pub failures: u64,
    /// Why it failed last.
    pub last_error: Option<String>,
    pub(crate) panicked: bool,
    pub(crate) overflowing: bool,
}

impl ReporterStats {
    pub(crate) fn new(signal: Signal, name: impl Into<String>) -> Self {
        Self {
            signal,
            name: name.into(),
            filtered: 0,
            emitted: 0,
            delivered: 0,
            rejected: 0,
            dropped: BTreeMap::new(),
            queued: 0,
            failures: 0,
            last_error: None,
            panicked: false,
            overflowing: false,
        }
    }

    /// What was given up, for whatever reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether the law holds: `emitted = delivered + rejected + dropped + queued`.
    pub fn is_balanced(&self) -> bool {
        self.emitted == self.delivered + self.rejected + self.dropped_total() + self.queued
    }

    pub(crate) fn thread_name(&self) -> String {
        format!("{}-{}", self.signal, self.name)
    }

    pub(crate) fn drop_units(&mut self, units: usize, reason: &'static str) {
        if units > 0 {
            *self.dropped.entry(reason).or_default() += units as u64;
        }
    }

    /// Counts a batch of `units` that was reported with `result`.
    pub(crate) fn count(&mut self, units: usize, result: Result<(), ReportError>) {
        let Err(error) = result else {
            self.delivered += units as u64;
            return;
        };
        // A reporter that counts more than it was given must not break the law.
        let rejected = error.count_rejected().min(units);
        let lost = error.count_lost().min(units - rejected);
        self.rejected += rejected as u64;
        self.drop_units(lost, "given up");
        self.delivered += (units - rejected - lost) as u64;
        self.failed(&error);
    }

    pub(crate) fn failed(&mut self, error: &ReportError) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.failed_with(text);
    }

    pub(crate) fn failed_with(&mut self, why: String) {
        self.failures += 1;
        self.last_error = Some(why);
    }
}

/// One line for people.
impl fmt::Display for ReporterStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signal, name, emitted, delivered, rejected, queued, .. } = self;
        write!(f, "{signal} {name}: {emitted} emitted = {delivered} delivered + {rejected} rejected + ")?;
        write!(f, "{} dropped", self.dropped_total())?;
        if !self.dropped.is_empty() {
            let reasons: Vec<_> = self.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            write!(f, " ({})", reasons.join(", "))?;
        }
        write!(f, " + {queued} queued")
    }
}
