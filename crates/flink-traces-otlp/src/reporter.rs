//! The reporter: encodes records and delivers the chunks, on the calling thread or through a spool.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use flink_traces_api::{
    ConfigError, Deadline, EventReporter, ReportError, ReportedEvent, ReportedSpan, ReporterMeter, TraceReporter,
};
use tokio::runtime::Runtime;

use crate::config::{Authorization, Retry};
use crate::delivery::{Attempt, Delivery, Health};
use crate::encode::{Chunk, Chunks, EncodeOtlp, span_records};
use crate::error::OpenError;
use crate::options::Options;
use crate::spooler::Spooler;
use crate::transport::Transport;
use crate::withheld::Withheld;

/// A reporter of spans or of events, depending on the signal of its options.
pub(crate) struct OtlpReporter {
    /// The runtime, which runs only during a report. `None` only while the reporter is dropped.
    runtime: Option<Runtime>,
    delivery: Delivery,
    options: Options,
    /// The open spool. `None` if no spool is configured, or if it cannot be opened now.
    spooler: Option<Spooler>,
    /// Set while a configured spool cannot be used.
    is_without_disk: bool,
    meter: ReporterMeter,
}

impl OtlpReporter {
    pub(crate) fn new(options: Options) -> Result<Self, ConfigError> {
        warn_of_bare_credentials(&options);
        let meter = ReporterMeter::new();
        // With a spool, an attempt from memory ends early, and the reporter tries the disk again.
        let timeout = match options.spool {
            Some(_) => options.retry.max_backoff,
            None => options.retry.timeout,
        };
        let (runtime, delivery) = delivery(&options, Retry { timeout, ..options.retry }, &meter)?;
        let (runtime, spooler) = (Some(runtime), None);
        let mut reporter = Self { runtime, delivery, options, spooler, is_without_disk: false, meter };
        match reporter.open_spool() {
            Ok(()) => {}
            Err(OpenError::InUse(holder)) => {
                let directory = reporter.options.spool.as_ref().map(|spool| spool.directory.display().to_string());
                let directory = directory.unwrap_or_default();
                return Err(ConfigError::Setup(format!("the spool {directory} is used by process {holder}").into()));
            }
            Err(OpenError::Io(error)) => reporter.lose_disk(&error.to_string()),
            Err(OpenError::Config(error)) => return Err(error),
        }
        Ok(reporter)
    }

    fn open_spool(&mut self) -> Result<(), OpenError> {
        let Some(spool) = &self.options.spool else { return Ok(()) };
        // Chunks in a spool are retried without a time limit.
        let retry = Retry { timeout: Duration::MAX, ..self.options.retry };
        let delivery = || delivery(&self.options, retry, &self.meter);
        self.spooler = Some(Spooler::start(&self.options.name, spool, &self.meter, delivery)?);
        Ok(())
    }

    fn lose_disk(&mut self, error: &str) {
        if !std::mem::replace(&mut self.is_without_disk, true) {
            let reporter = &self.options.name;
            tracing::warn!(target: "flink_traces_otlp", reporter, error, "spool unavailable, delivering from memory");
        }
    }

    /// Stores chunks. Returns `true` if they are on disk.
    fn store(&mut self, chunks: &[Chunk]) -> bool {
        if self.spooler.is_none() && self.open_spool().is_err() {
            return false;
        }
        match self.spooler.as_ref().map(|spooler| spooler.store(chunks)) {
            Some(Err(error)) => {
                self.lose_disk(&error.to_string());
                false
            }
            Some(Ok(())) => {
                if std::mem::replace(&mut self.is_without_disk, false) {
                    let reporter = &self.options.name;
                    tracing::info!(target: "flink_traces_otlp", reporter, "spool available again");
                }
                true
            }
            None => false,
        }
    }

    fn deliver<R: EncodeOtlp>(
        &mut self,
        records: impl Iterator<Item = R>,
        total: usize,
        deadline: &Deadline,
    ) -> Result<(), ReportError> {
        let Some(runtime) = &self.runtime else {
            return Err(ReportError::from_dropped(total, false, "the reporter is closed"));
        };
        let chunks = Chunks::new(records, total, self.options.resource.clone(), self.options.batch_bytes);
        if self.options.spool.is_none() {
            return runtime.block_on(self.delivery.report(chunks, total, &mut Withheld::default(), deadline));
        }
        let chunks: Vec<_> = chunks.collect();
        if self.store(&chunks) { Ok(()) } else { self.deliver_without_disk(chunks, total, deadline) }
    }

    /// Delivers from memory until the collector has all records or the disk has stored the rest.
    ///
    /// Tries both in turn until the deadline.
    fn deliver_without_disk(
        &mut self,
        mut chunks: Vec<Chunk>,
        mut total: usize,
        deadline: &Deadline,
    ) -> Result<(), ReportError> {
        let mut withheld = Withheld::default();
        let mut became = Attempt::default();
        loop {
            let Some(runtime) = &self.runtime else {
                return Err(ReportError::from_dropped(total, false, "the reporter is closed"));
            };
            let attempt = self.delivery.attempt(chunks.iter().cloned(), &mut withheld, deadline);
            let attempt = runtime.block_on(attempt);
            let left = without(chunks, &attempt.settled);
            became.became += attempt.became;
            let is_over = attempt.given_up.is_none() || deadline.is_over();
            // The spool does not know the spans that were rejected here, so their descendants
            // stay here.
            if !left.is_empty() && withheld.is_empty() && self.store(&left) {
                total -= left.iter().map(|chunk| chunk.records).sum::<usize>();
                return became.result(total);
            }
            if is_over {
                return Attempt { became: became.became, ..attempt }.result(total);
            }
            became.reason = attempt.reason;
            chunks = left;
        }
    }

    fn end(&mut self, deadline: &Deadline) {
        if let Some(spooler) = self.spooler.take() {
            spooler.close(deadline);
        }
    }
}

/// Logs a warning if the credentials are sent without encryption.
pub(crate) fn warn_of_bare_credentials(options: &Options) {
    let target = &options.target;
    let has_credentials = !target.headers.is_empty() || !matches!(target.authorization, Authorization::None);
    if has_credentials && target.url.scheme() == "http" {
        tracing::warn!(
            target: "flink_traces_otlp",
            reporter = options.name,
            endpoint = %options.target.shown_url(),
            "credentials are sent without encryption"
        );
    }
}

/// Returns the chunks without those at the given indexes. The rest keep their order constraints.
fn without(chunks: Vec<Chunk>, settled: &BTreeSet<usize>) -> Vec<Chunk> {
    let left = |(place, chunk): (usize, Chunk)| {
        let begin = place.saturating_sub(chunk.overtakes as usize);
        let overtaken = settled.range(begin..place).count();
        let overtakes = match begin {
            0 => u32::MAX,
            _ => chunk.overtakes.saturating_sub(u32::try_from(overtaken).unwrap_or(u32::MAX)),
        };
        (!settled.contains(&place)).then_some(Chunk { overtakes, ..chunk })
    };
    chunks.into_iter().enumerate().filter_map(left).collect()
}

/// Creates a delivery and the runtime that it needs.
pub(crate) fn delivery(
    options: &Options,
    retry: Retry,
    meter: &ReporterMeter,
) -> Result<(Runtime, Delivery), ConfigError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| ConfigError::Setup(error.into()))?;
    let transport = {
        let _context = runtime.enter();
        Transport::new(options.target.clone()).map_err(ConfigError::Setup)?
    };
    let delivery = Delivery {
        transport,
        timeout: options.target.timeout,
        concurrency: options.concurrency,
        retry,
        on_auth_failure: options.on_auth_failure,
        dead_letters: options.dead_letters.clone(),
        signal: options.target.signal,
        health: RefCell::new(Health::new(options.name.clone(), options.target.shown_url())),
        meter: meter.clone(),
    };
    Ok((runtime, delivery))
}

impl TraceReporter for OtlpReporter {
    fn report(&mut self, spans: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError> {
        let total = spans.iter().map(ReportedSpan::span_count).sum();
        self.deliver(span_records(spans), total, deadline)
    }

    fn meter(&self) -> Option<ReporterMeter> {
        Some(self.meter.clone())
    }

    fn close(mut self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        self.end(deadline);
        Ok(())
    }
}

impl EventReporter for OtlpReporter {
    fn report(&mut self, events: &[ReportedEvent], deadline: &Deadline) -> Result<(), ReportError> {
        self.deliver(events.iter(), events.len(), deadline)
    }

    fn meter(&self) -> Option<ReporterMeter> {
        Some(self.meter.clone())
    }

    fn close(mut self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        self.end(deadline);
        Ok(())
    }
}

impl Drop for OtlpReporter {
    fn drop(&mut self) {
        // Dropping a runtime would wait for a DNS lookup that hangs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
