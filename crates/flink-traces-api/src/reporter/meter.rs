//! The counts that a reporter keeps of itself.

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
/// `stored = delivered + rejected + dropped + queued` always holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferStats {
    /// The number of records that were stored or found.
    pub stored: u64,
    /// The number of stored records that the destination accepted.
    pub delivered: u64,
    /// The number of stored records that the destination refused for good.
    pub rejected: u64,
    /// The number of stored records that were abandoned.
    ///
    /// They were dropped to make room, became unreadable, or have an unknown outcome.
    pub dropped: u64,
    /// The number of records that are still stored.
    pub queued: u64,
    /// The size of the buffer in bytes.
    pub bytes: u64,
    /// The maximum size of the buffer in bytes, or 0 without a limit.
    pub limit: u64,
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
