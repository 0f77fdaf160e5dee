//! The counts that a reporter keeps of itself.

use std::ops::AddAssign;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The counts that a reporter keeps of itself while it runs.
///
/// Flink's reporters have no counterpart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferStats {
    /// The number of bytes sent to the destination.
    ///
    /// For requests, this is their compressed size, counted each time that one is sent and
    /// answered. For files, it is the size of the lines.
    pub bytes_sent: u64,
    /// The last time that the destination accepted something, by the system clock.
    pub last_taken: Option<SystemTime>,
    /// The number of responses that count as a success, but are not what the protocol specifies.
    pub odd_responses: u64,
    /// The account of the reporter's buffer, or `None` if it has none.
    pub buffer: Option<BufferStats>,
}

/// The account of records that were persisted but not yet delivered.
///
/// A reporter that stores records to send them later, such as one with a spool on disk, returns
/// `Ok` from `report` as soon as they are stored. From then on they are counted here. The counts
/// begin when the reporter is created and include the records that it found in the buffer.
///
/// A record that was stored or found is either finalized or queued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferStats {
    /// The stored records that are finalized.
    ///
    /// Records were dropped to make room, became unreadable, or have an unknown outcome.
    pub finalized: RecordCounts,
    /// The number of records that are still stored.
    pub queued: u64,
    /// The size of the buffer in bytes.
    pub bytes: u64,
    /// The maximum size of the buffer in bytes, or 0 without a limit.
    pub limit: u64,
}

impl BufferStats {
    /// Returns the number of records that were stored or found.
    pub fn stored(&self) -> u64 {
        self.finalized.total() + self.queued
    }
}

/// The numbers of finalized records, by what became of them.
// Exhaustive: a record is delivered, rejected or dropped, and nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// The records that the destination accepted.
    pub delivered: u64,
    /// The records that the destination refused for good.
    pub rejected: u64,
    /// The records that this process abandoned.
    pub dropped: u64,
}

impl RecordCounts {
    /// Returns the number of all records.
    pub fn total(self) -> u64 {
        self.delivered + self.rejected + self.dropped
    }

    /// Returns what was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            delivered: self.delivered.saturating_sub(earlier.delivered),
            rejected: self.rejected.saturating_sub(earlier.rejected),
            dropped: self.dropped.saturating_sub(earlier.dropped),
        }
    }
}

impl AddAssign for RecordCounts {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.rejected += other.rejected;
        self.dropped += other.dropped;
    }
}

/// A shared cell in which a reporter counts and from which others read, at any time and on any
/// thread.
///
/// ```
/// use flink_traces_api::ReporterMeter;
///
/// let meter = ReporterMeter::new();
/// let reader = meter.clone();
/// meter.update(|stats| stats.bytes_sent += 512);
/// assert_eq!(reader.read().bytes_sent, 512);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ReporterMeter(Arc<Mutex<TransferStats>>);

impl ReporterMeter {
    /// Creates a meter with all counts at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the counts atomically, so that readers see all of the change or none of it.
    pub fn update(&self, change: impl FnOnce(&mut TransferStats)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the current counts.
    pub fn read(&self) -> TransferStats {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
