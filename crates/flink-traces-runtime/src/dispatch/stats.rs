//! The account of a reporter.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use flink_traces_api::{Signal, TransferStats, printable};

/// The account of one reporter at one moment, in events or in spans including children.
///
/// `emitted = delivered + rejected + dropped + queued` always holds, see
/// [`is_balanced`](Self::is_balanced). Flink keeps no such account. Its reporters lose records
/// without counting them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReporterStats {
    /// The kind of record.
    pub signal: Signal,
    /// The name of the reporter.
    pub name: String,
    /// The records that the filter kept out. They are not part of `emitted`.
    pub filtered: u64,
    /// The records that passed the filter.
    pub emitted: u64,
    /// The records that the destination has, or that the reporter stored where a crash cannot lose
    /// them.
    pub delivered: u64,
    /// The records that the destination refused for good.
    pub rejected: u64,
    /// The records that were dropped, by reason. Reasons that never occurred are absent.
    pub dropped: BTreeMap<DropReason, u64>,
    /// The records that are not finalized, including the batch in flight.
    pub queued: u64,
    /// The bytes of memory that these records take.
    pub queued_bytes: u64,
    /// The number of calls of [`report`](flink_traces_api::TraceReporter::report) or `close` that
    /// failed or panicked.
    pub failures: u64,
    /// The last failure with all its causes. It may have several lines and may quote the
    /// destination's response.
    pub last_error: Option<String>,
    /// The time of the last successful report, by the system clock.
    pub last_success: Option<SystemTime>,
    /// `true` if the reporter panicked and is not called again.
    pub is_disabled: bool,
    /// The reporter's own counts of bytes and stored records. They are zero if the reporter has no
    /// meter.
    pub transfer: TransferStats,
}

/// The reason for which a record was dropped. Flink has no such reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The reporter queue had no room, by the options `queue.size` and `queue.max-bytes`.
    QueueFull,
    /// The reporter's retries ran out.
    GivenUp,
    /// The time for the shutdown ran out.
    Shutdown,
    /// The record was added after the shutdown, or to a closed metric group.
    Closed,
    /// The reporter panicked while the record was queued or in flight, or before it was added.
    Panicked,
    /// The record could not be read or decoded.
    Unreadable,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 6] =
        [Self::QueueFull, Self::GivenUp, Self::Shutdown, Self::Closed, Self::Panicked, Self::Unreadable];

    /// Returns the reason in one or two words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue full",
            Self::GivenUp => "given up",
            Self::Shutdown => "shutdown",
            Self::Closed => "closed",
            Self::Panicked => "panicked",
            Self::Unreadable => "unreadable",
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
            queued_bytes: 0,
            failures: 0,
            last_error: None,
            last_success: None,
            is_disabled: false,
            transfer: TransferStats::default(),
        }
    }

    /// Returns the number of records dropped for `reason`.
    pub fn dropped_by(&self, reason: DropReason) -> u64 {
        self.dropped.get(&reason).copied().unwrap_or(0)
    }

    /// Returns the number of records dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Returns `true` if `emitted = delivered + rejected + dropped + queued`.
    pub fn is_balanced(&self) -> bool {
        self.emitted == self.delivered + self.rejected + self.dropped_total() + self.queued
    }

    /// Counts queued units that were reported without an error.
    pub(crate) fn deliver(&mut self, units: u64) {
        self.queued -= units;
        self.delivered += units;
    }

    /// Counts queued units that were reported with an error, `rejected` and `dropped` of them
    /// unsuccessfully.
    pub(crate) fn finalize(&mut self, units: u64, rejected: u64, dropped: u64) {
        // A reporter that counts more than it was given must not unbalance the account.
        let rejected = rejected.min(units);
        let dropped = dropped.min(units - rejected);
        self.queued -= rejected + dropped;
        self.rejected += rejected;
        self.drop_units(dropped, DropReason::GivenUp);
        self.deliver(units - rejected - dropped);
    }

    /// Counts queued units that will not be reported.
    pub(crate) fn drop_queued(&mut self, units: u64, bytes: u64, reason: DropReason) {
        self.queued -= units;
        self.queued_bytes -= bytes;
        self.drop_units(units, reason);
    }

    /// Counts units that were not queued.
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

/// Formats the account in one line.
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
