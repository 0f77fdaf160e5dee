//! The log lines about a collector: one for each change of its state, and at most one a minute
//! about rejected records.

use std::fmt;
use std::io;
use std::mem;
use std::time::{Duration, Instant};

use crate::config::Target;
use crate::dead_letter::DeadLetters;
use crate::hint::Hint;
use crate::response::{Refusal, Response, Verdict};

/// The interval of the reminders of a destination that refuses every request.
const REMINDER: Duration = Duration::from_secs(3600);

/// The state of a collector, as far as it was logged.
#[derive(Debug)]
pub(crate) struct DeliveryLog {
    reporter: String,
    endpoint: String,
    failing: Option<Failing>,
    /// The time of the last line about rejected records.
    noticed: Option<Instant>,
    /// The records that were not delivered since that line.
    unnoticed: u64,
    /// `true` while dead letters cannot be saved.
    cannot_save: bool,
    /// `true` after the line about a success that is not OTLP.
    is_odd: bool,
}

/// Failures in a row.
#[derive(Debug)]
struct Failing {
    since: Instant,
    attempts: u32,
    /// The kind of the last failure.
    trouble: Trouble,
    /// The time of the last line.
    logged: Instant,
}

/// A kind of failure. Each needs another remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Collector,
    Refused(Refusal),
    Tls,
}

impl Trouble {
    fn new(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Refused(refusal) => Self::Refused(refusal),
            Verdict::TlsFailed => Self::Tls,
            _ => Self::Collector,
        }
    }
}

/// The line that a failure needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The first failure of a kind.
    First,
    /// The reminder of a destination that refuses every request.
    Reminder,
}

impl DeliveryLog {
    pub(crate) fn new(reporter: String, endpoint: impl fmt::Display) -> Self {
        let endpoint = endpoint.to_string();
        Self { reporter, endpoint, failing: None, noticed: None, unnoticed: 0, cannot_save: false, is_odd: false }
    }

    /// Logs the way to a collector that was found, and names it from now on.
    pub(crate) fn found(&mut self, target: &Target) {
        self.endpoint = target.shown_url().into();
        let (Self { reporter, endpoint, .. }, protocol) = (self, target.protocol.name());
        tracing::info!(target: "flink_traces_otlp", reporter, endpoint, protocol, "collector found");
    }

    /// Counts a failure. Returns the line that it needs.
    pub(crate) fn count(&mut self, verdict: Verdict, now: Instant) -> Option<Line> {
        let trouble = Trouble::new(verdict);
        let Some(failing) = &mut self.failing else {
            self.failing = Some(Failing { since: now, attempts: 1, trouble, logged: now });
            return Some(Line::First);
        };
        failing.attempts += 1;
        let is_other = mem::replace(&mut failing.trouble, trouble) != trouble;
        let is_due = now.saturating_duration_since(failing.logged) >= REMINDER;
        let line = match trouble {
            _ if is_other => Line::First,
            Trouble::Refused(_) if is_due => Line::Reminder,
            _ => return None,
        };
        failing.logged = now;
        Some(line)
    }

    /// Logs a failure. `hint` is its likely cause.
    pub(crate) fn failed(&self, line: Line, response: &Response, hint: Option<Hint>) {
        let Self { reporter, endpoint, .. } = self;
        let (reason, hint) = (&response.reason, hint.map(tracing::field::display));
        match (line, Trouble::new(response.verdict)) {
            (Line::Reminder, _) => {
                let after = self.failing.as_ref().map(|failing| failing.since.elapsed());
                tracing::error!(target: "flink_traces_otlp", reporter, endpoint, ?after, reason, hint, "requests still refused, keeping records");
            }
            (Line::First, Trouble::Collector) => {
                tracing::warn!(target: "flink_traces_otlp", reporter, endpoint, reason, hint, "collector failing, retrying");
            }
            (Line::First, Trouble::Refused(Refusal::Credentials)) => {
                tracing::error!(target: "flink_traces_otlp", reporter, endpoint, reason, hint, "credentials refused, keeping records until they are replaced");
            }
            (Line::First, Trouble::Refused(Refusal::Address)) => {
                tracing::error!(target: "flink_traces_otlp", reporter, endpoint, reason, hint, "every request refused, keeping records until one is accepted");
            }
            (Line::First, Trouble::Tls) => {
                tracing::error!(target: "flink_traces_otlp", reporter, endpoint, reason, hint, "TLS connection failed, retrying");
            }
        }
    }

    /// Logs the first success after failures, and the first that is not OTLP.
    pub(crate) fn succeeded(&mut self, is_odd: bool) {
        let Self { reporter, endpoint, .. } = &*self;
        if let Some(Failing { since, attempts, .. }) = &self.failing {
            let after = since.elapsed();
            tracing::info!(target: "flink_traces_otlp", reporter, endpoint, ?after, attempts, "collector recovered");
        }
        if is_odd && !self.is_odd {
            tracing::warn!(target: "flink_traces_otlp", reporter, endpoint, "response is not OTLP, counting the records as delivered");
        }
        self.failing = None;
        self.is_odd |= is_odd;
    }

    /// Logs the first dead letter that cannot be saved, and the first that can be again.
    pub(crate) fn saved(&mut self, dead_letters: &DeadLetters, result: io::Result<()>) {
        let (Self { reporter, cannot_save, .. }, file) = (self, dead_letters.path.display());
        match result {
            Err(error) if !mem::replace(cannot_save, true) => {
                tracing::warn!(target: "flink_traces_otlp", reporter, %file, %error, "dead letters cannot be saved");
            }
            Ok(()) if mem::replace(cannot_save, false) => {
                tracing::info!(target: "flink_traces_otlp", reporter, %file, "dead letters can be saved again");
            }
            _ => {}
        }
    }

    /// Logs records that the collector did not take, or its remark, at most once a minute.
    pub(crate) fn rejected(&mut self, undelivered: u64, reason: &str, hint: Option<Hint>) {
        const PAUSE: Duration = Duration::from_secs(60);
        self.unnoticed += undelivered;
        if self.noticed.is_none_or(|last| last.elapsed() >= PAUSE) {
            let undelivered = mem::take(&mut self.unnoticed);
            let (Self { reporter, endpoint, .. }, hint) = (&*self, hint.map(tracing::field::display));
            tracing::warn!(target: "flink_traces_otlp", reporter, endpoint, undelivered, reason, hint, "collector reports a problem");
            self.noticed = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_repeated_once_an_hour() {
        let later = Verdict::Later { delay: None };
        let [credentials, address] = [Refusal::Credentials, Refusal::Address].map(Verdict::Refused);
        let mut log = DeliveryLog::new("r".to_owned(), "http://h");
        let start = Instant::now();
        for (minute, verdict, line) in [
            (0, later, Some(Line::First)),
            (59, later, None),
            // An outage needs no reminder.
            (121, later, None),
            (130, credentials, Some(Line::First)),
            (189, credentials, None),
            (190, credentials, Some(Line::Reminder)),
            (249, credentials, None),
            (251, credentials, Some(Line::Reminder)),
            (252, address, Some(Line::First)),
            (312, address, Some(Line::Reminder)),
            (313, later, Some(Line::First)),
        ] {
            assert_eq!(log.count(verdict, start + Duration::from_secs(60 * minute)), line, "{minute}");
        }
        log.succeeded(false);
        assert_eq!(log.count(later, start), Some(Line::First));
    }
}
