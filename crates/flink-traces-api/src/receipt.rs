//! The receipt of a record, by which its dispatcher learns that all reporters are done with it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The receipt of a record that several reporters get.
///
/// The worker thread of each reporter [finalizes](Self::finalize) it once the reporter delivered,
/// stored or rejected the record. A record that a reporter drops leaves it open.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// use flink_traces_api::Receipt;
///
/// let done = Arc::new(AtomicBool::new(false));
/// let flag = done.clone();
/// let receipt = Receipt::new(2, move || flag.store(true, Ordering::Relaxed));
/// receipt.finalize();
/// assert!(!done.load(Ordering::Relaxed));
/// receipt.finalize();
/// assert!(done.load(Ordering::Relaxed));
/// ```
pub struct Receipt {
    open: AtomicUsize,
    done: Box<dyn Fn() + Send + Sync>,
}

impl Receipt {
    /// Creates the receipt of a record for that many reporters. The last one calls `done`.
    pub fn new(reporters: usize, done: impl Fn() + Send + Sync + 'static) -> Self {
        Self { open: AtomicUsize::new(reporters), done: Box::new(done) }
    }

    /// Counts one reporter that is done with the record.
    pub fn finalize(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            (self.done)();
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("open", &self.open).finish_non_exhaustive()
    }
}
