//! The failure of a report.

use std::error::Error;
use std::fmt;

/// The records of one [`report`](crate::TraceReporter::report) that did not reach the destination.
///
/// All other records of the report count as delivered. Spans are counted one by one, children
/// included.
///
/// ```
/// use flink_traces_api::ReportError;
///
/// let rejected = ReportError::from_rejected(2, "invalid trace id");
/// let error = rejected.and(ReportError::from_dropped(5, true, "timed out"));
/// assert_eq!((error.rejected(), error.dropped()), (2, 5));
/// assert_eq!(error.to_string(), "2 rejected, 5 dropped");
/// ```
#[derive(Debug)]
pub struct ReportError {
    rejected: usize,
    dropped: usize,
    retryable: bool,
    source: Box<dyn Error + Send + Sync>,
}

impl ReportError {
    /// Creates the error of `rejected` records that the destination refused for good.
    pub fn from_rejected(rejected: usize, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { rejected, dropped: 0, retryable: false, source: source.into() }
    }

    /// Creates the error of `dropped` records that the reporter abandoned.
    ///
    /// `retryable` is `true` if sending them later could have succeeded.
    pub fn from_dropped(dropped: usize, retryable: bool, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { rejected: 0, dropped, retryable, source: source.into() }
    }

    /// Adds the counts of `other`, for a batch that had several responses. The source is that of
    /// `self`.
    #[must_use]
    pub fn and(mut self, other: ReportError) -> Self {
        self.rejected += other.rejected;
        self.dropped += other.dropped;
        self.retryable |= other.retryable;
        self
    }

    /// Returns the number of records that the destination refused for good.
    pub fn rejected(&self) -> usize {
        self.rejected
    }

    /// Returns the number of records that the reporter abandoned.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Returns `true` if a later attempt could have delivered the dropped records.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rejected, {} dropped", self.rejected, self.dropped)
    }
}

impl Error for ReportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
