//! The log lines about a collector: one for each change of its state, and at most one a minute
//! about rejected records.

use std::fmt;
use std::io;
use std::mem;
use std::time::{Duration, Instant};

use crate::dead_letter::DeadLetters;
use crate::response::{Response, Verdict};

/// The state of a collector, as far as it was logged.
#[derive(Debug)]
pub(crate) struct DeliveryLog {
    reporter: String,
    endpoint: String,
    /// The time of the first failure in a row, the number of failures, and the kind of the last.
    failing: Option<(Instant, u32, Trouble)>,
    /// The time of the last line about rejected records.
    noticed: Option<Instant>,
    /// The records that were not delivered since that line.
    unnoticed: u64,
    /// `true` while dead letters cannot be saved.
    cannot_save: bool,
}

/// A kind of failure. Each needs another remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Collector,
    Credentials,
    Tls,
}

impl DeliveryLog {
    pub(crate) fn new(reporter: String, endpoint: impl fmt::Display) -> Self {
        let endpoint = endpoint.to_string();
        Self { reporter, endpoint, failing: None, noticed: None, unnoticed: 0, cannot_save: false }
    }

    /// Logs the first failure of a kind.
    pub(crate) fn failed(&mut self, response: &Response) {
        let trouble = match response.verdict {
            Verdict::Unauthorized => Trouble::Credentials,
            Verdict::TlsFailed => Trouble::Tls,
            _ => Trouble::Collector,
        };
        let Self { reporter, endpoint, failing, .. } = self;
        let reason = &response.reason;
        if failing.is_none_or(|(_, _, known)| known != trouble) {
            match trouble {
                Trouble::Collector => {
                    tracing::warn!(target: "flink_traces_otlp", reporter, endpoint, reason, "collector failing, retrying");
                }
                Trouble::Credentials => {
                    tracing::error!(target: "flink_traces_otlp", reporter, endpoint, reason, "credentials refused, keeping records until they are replaced");
                }
                Trouble::Tls => {
                    tracing::error!(target: "flink_traces_otlp", reporter, endpoint, reason, "TLS connection failed, retrying");
                }
            }
        }
        let (since, attempts, _) = failing.unwrap_or((Instant::now(), 0, trouble));
        *failing = Some((since, attempts + 1, trouble));
    }

    /// Logs the first success after failures.
    pub(crate) fn succeeded(&mut self) {
        if let Some((since, attempts, _)) = self.failing.take() {
            let (Self { reporter, endpoint, .. }, after) = (self, since.elapsed());
            tracing::info!(target: "flink_traces_otlp", reporter, endpoint, ?after, attempts, "collector recovered");
        }
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
    pub(crate) fn rejected(&mut self, undelivered: u64, reason: &str) {
        const PAUSE: Duration = Duration::from_secs(60);
        self.unnoticed += undelivered;
        if self.noticed.is_none_or(|last| last.elapsed() >= PAUSE) {
            let undelivered = mem::take(&mut self.unnoticed);
            let Self { reporter, endpoint, .. } = self;
            tracing::warn!(target: "flink_traces_otlp", reporter, endpoint, undelivered, reason, "collector reports a problem");
            self.noticed = Some(Instant::now());
        }
    }
}
