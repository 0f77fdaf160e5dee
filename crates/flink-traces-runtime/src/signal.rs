//! The two kinds of records.

use std::fmt;

/// What a reporter reports: in Flink what tells a `TraceReporter` from an `EventReporter`. The name begins the keys that configure it: `traces.reporter.…`, `events.reporter.…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Events.
    Events,
}

impl Signal {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Traces, Self::Events];

    /// What the keys begin with, without a dot.
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
