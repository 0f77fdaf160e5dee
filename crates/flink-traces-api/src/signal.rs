//! The two signals that a reporter can report.

use std::fmt;

/// The kind of record that a reporter reports, which is either spans or events.
///
/// Flink has an interface for each: `TraceReporter` and `EventReporter`. OTLP never mixes the two
/// in one request. The [name](Self::name) begins the configuration keys: `traces.reporter.…` and
/// `events.reporter.…`.
///
/// ```
/// use flink_traces_api::Signal;
///
/// assert_eq!(Signal::ALL.map(Signal::name), ["traces", "events"]);
/// assert_eq!(format!("{}.reporters", Signal::Traces), "traces.reporters");
/// ```
// Exhaustive: Flink has no third kind of reporter, and callers choose a code path for each signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Events, which OTLP carries as log records.
    Events,
}

impl Signal {
    /// Both signals, traces first.
    pub const ALL: [Self; 2] = [Self::Traces, Self::Events];

    /// Returns the first part of this signal's configuration keys, `traces` or `events`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Events => "events",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
