//! What became of what was emitted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use flink_traces_api::{Signal, TransferStats, printable};

/// One reporter's account, in spans (children counted one by one) or events. A copy, taken at one moment.
///
/// It always holds that `emitted = delivered + rejected + dropped + queued`: see [`is_balanced`](Self::is_balanced). Flink keeps no
/// such account; what its reporters lose, they lose without a number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
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
    /// What was given up, by reason; reasons that never occurred are absent.
    pub dropped: BTreeMap<DropReason, u64>,
    /// What waits, the batch in flight included.
    pub queued: u64,
    /// How often [`report`](flink_traces_api::TraceReporter::report) or `close` failed or panicked.
    pub failures: u64,
    /// Why it failed last, with all causes. May be several lines, and may quote what the destination answered.
    pub last_error: Option<String>,
    /// When a report last succeeded, by the system's clock.
    pub last_success: Option<SystemTime>,
    /// It panicked and is called no more.
    pub is_disabled: bool,
    /// What the reporter counts by itself: bytes, and what became of what it stored. Zero for one that counts nothing.
    pub transfer: TransferStats,
}

/// Why something did not reach its destination. Flink does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It came when as much as the option `queue.size` allows, or more, was waiting.
    QueueFull,
    /// The reporter took it and stopped trying.
    GivenUp,
    /// No time was left for it at the shutdown.
    Shutdown,
    /// It came after the shutdown.
    Closed,
    /// The reporter held it, or it waited or came, when the reporter panicked or after that.
    Panicked,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 5] = [Self::QueueFull, Self::GivenUp, Self::Shutdown, Self::Closed, Self::Panicked];

    /// The reason in one or two words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue full",
            Self::GivenUp => "given up",
            Self::Shutdown => "shutdown",
            Self::Closed => "closed",
            Self::Panicked => "panicked",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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
            last_success: None,
            is_disabled: false,
            transfer: TransferStats::default(),
        }
    }

    /// What was given up for `reason`.
    pub fn dropped_by(&self, reason: DropReason) -> u64 {
        self.dropped.get(&reason).copied().unwrap_or(0)
    }

    /// What was given up, for whatever reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether the law holds: `emitted = delivered + rejected + dropped + queued`.
    pub fn is_balanced(&self) -> bool {
        self.emitted == self.delivered + self.rejected + self.dropped_total() + self.queued
    }

    /// Counts what waited and was reported without an error.
    pub(crate) fn deliver(&mut self, units: u64) {
        self.queued -= units;
        self.delivered += units;
    }

    /// Counts what waited and was reported with an error that counts `rejected` and `lost`.
    pub(crate) fn deliver_in_part(&mut self, units: u64, rejected: u64, lost: u64) {
        // A reporter that counts more than it was given must not break the law.
        let rejected = rejected.min(units);
        let lost = lost.min(units - rejected);
        self.queued -= rejected + lost;
        self.rejected += rejected;
        self.drop_units(lost, DropReason::GivenUp);
        self.deliver(units - rejected - lost);
    }

    /// Counts what waited and will not be reported.
    pub(crate) fn drop_queued(&mut self, units: u64, reason: DropReason) {
        self.queued -= units;
        self.drop_units(units, reason);
    }

    /// Counts what was not even queued.
    pub(crate) fn drop_units(&mut self, units: u64, reason: DropReason) {
        if units > 0 {
            *self.dropped.entry(reason).or_default() += units;
        }
    }

    pub(crate) fn fail(&mut self, why: String) {
        self.failures += 1;
        self.last_error = Some(why);
    }
}

/// One line for people.
impl fmt::Display for ReporterStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signal, name, emitted, delivered, rejected, queued, .. } = self;
        let name = printable(name);
        write!(f, "{signal} {name}: {emitted} emitted = {delivered} delivered + {rejected} rejected + ")?;
        write!(f, "{} dropped", self.dropped_total())?;
        if !self.dropped.is_empty() {
            let reasons: Vec<_> = self.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            write!(f, " ({})", reasons.join(", "))?;
        }
        write!(f, " + {queued} queued")
    }
}
