//! The reporter: encodes records and delivers the chunks, on the calling thread or through a spool.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use flink_traces_api::{
    ConfigError, Deadline, EventReporter, RecordCounts, ReportError, ReportedEvent, ReportedSpan, ReporterMeter,
    TraceReporter,
};
use tokio::runtime::Runtime;

use crate::chunk::Chunk;
use crate::config::{Authorization, Retry};
use crate::delivery::{Delivery, DeliveryLog, RequestedDelay, Route};
use crate::encode::{Chunks, EncodeOtlp, span_records};
use crate::error::OpenError;
use crate::options::{AUTO, Options};
use crate::spool::{Destination, Forwarder};

/// A reporter of spans or of events, depending on the signal of its options.
pub(crate) struct OtlpReporter {
    /// The runtime, which runs only during a report. `None` only while the reporter is dropped.
    runtime: Option<Runtime>,
    delivery: Delivery,
    options: Options,
    /// The open spool. `None` if no spool is configured, or if it cannot be opened now.
    forwarder: Option<Forwarder>,
    /// Set while a configured spool cannot be used.
    is_without_disk: bool,
    meter: ReporterMeter,
}

impl OtlpReporter {
    pub(crate) fn new(options: Options) -> Result<Self, ConfigError> {
        warn_of_bare_credentials(&options);
        let meter = ReporterMeter::new();
        // With a spool, an attempt from memory ends early, and the reporter tries the disk again.
        let retry = match options.spool {
            Some(_) => options.retry.within(options.retry.max_backoff),
            None => options.retry,
        };
        let (runtime, delivery) = delivery(&options, retry, &meter)?;
        let (runtime, forwarder) = (Some(runtime), None);
        let mut reporter = Self { runtime, delivery, options, forwarder, is_without_disk: false, meter };
        match reporter.open_spool() {
            Ok(()) => {}
            Err(OpenError::Io(error)) => reporter.lose_disk(&error.to_string()),
            Err(OpenError::Config(error)) => return Err(error),
        }
        Ok(reporter)
    }

    fn open_spool(&mut self) -> Result<(), OpenError> {
        let Some(spool) = &self.options.spool else { return Ok(()) };
        // Chunks in a spool are retried without a time limit.
        let retry = self.options.retry.within(Duration::MAX);
        let delivery = || delivery(&self.options, retry, &self.meter);
        let target = &self.options.target;
        let protocol = if self.options.alternative.is_some() { AUTO } else { target.protocol.name() };
        let destination = Destination { endpoint: target.shown_url().into(), protocol };
        self.forwarder = Some(Forwarder::start(&self.options.name, spool, destination, &self.meter, delivery)?);
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
        if self.forwarder.is_none() && self.open_spool().is_err() {
            return false;
        }
        match self.forwarder.as_ref().map(|forwarder| forwarder.store(chunks)) {
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
            return runtime.block_on(self.delivery.report(chunks, deadline)).result(total);
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
        let (mut counts, mut reason) = (RecordCounts::default(), String::new());
        loop {
            let Some(runtime) = &self.runtime else {
                return Err(ReportError::from_dropped(total, false, "the reporter is closed"));
            };
            let mut report = runtime.block_on(self.delivery.report(chunks.iter().cloned(), deadline));
            counts += report.counts;
            if report.reason.is_empty() {
                report.reason = reason;
            }
            let finalized: BTreeSet<_> = report.finalized.iter().collect();
            let left = chunks.into_iter().enumerate().filter(|(index, _)| !finalized.contains(index));
            chunks = left.map(|(_, chunk)| chunk).collect();
            let is_over = report.given_up.is_none() || deadline.is_over();
            let is_stored = !chunks.is_empty() && self.store(&chunks);
            if is_stored {
                total -= chunks.iter().map(|chunk| chunk.records).sum::<usize>();
                (report.partial, report.given_up) = (RecordCounts::default(), None);
            }
            if is_stored || is_over {
                report.counts = counts;
                return report.result(total);
            }
            reason = report.reason;
        }
    }

    fn end(&mut self, deadline: &Deadline) {
        if let Some(forwarder) = self.forwarder.take() {
            forwarder.close(deadline);
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
    let route = {
        let _context = runtime.enter();
        Route::new(options.targets()).map_err(ConfigError::Setup)?
    };
    let delivery = Delivery {
        route,
        timeout: options.target.timeout,
        concurrency: options.concurrency,
        retry,
        poison_timeout: options.retry.timeout.max(options.retry.max_backoff),
        on_refusal: options.on_refusal,
        dead_letters: options.dead_letters.clone(),
        signal: options.target.signal,
        log: RefCell::new(DeliveryLog::new(options.name.clone(), options.target.shown_url())),
        requested: RequestedDelay::default(),
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
