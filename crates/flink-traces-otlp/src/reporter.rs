//! The reporter itself: records in, chunks out, on the calling thread.

use std::cell::RefCell;

use flink_traces_api::{ConfigError, Deadline, EventReporter, ReportError, ReportedEvent, ReportedSpan, TraceReporter};
use tokio::runtime::Runtime;

use crate::credentials::Authorization;
use crate::delivery::{Delivery, Health};
use crate::encode::{Chunks, Record, span_records};
use crate::options::Options;
use crate::transport::Transport;

/// Reports spans or events, whichever its options were read for.
pub(crate) struct OtlpReporter {
    /// Runs only while a report does. `None` only while it is dropped.
    runtime: Option<Runtime>,
    delivery: Delivery,
    resource: Vec<u8>,
    batch_bytes: usize,
}

impl OtlpReporter {
    pub(crate) fn new(options: Options) -> Result<Self, ConfigError> {
        let Options { name, signal, target, concurrency, retry, on_auth_failure, dead_letters, resource, batch_bytes } =
            options;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| ConfigError::Setup(error.into()))?;
        let mut shown = target.url.clone();
        shown.set_query(None);
        let has_credentials = !target.headers.is_empty() || !matches!(target.authorization, Authorization::None);
        if has_credentials && target.url.scheme() == "http" {
            tracing::warn!(
                target: "flink_traces_otlp",
                reporter = name,
                endpoint = %shown,
                "Sends credentials without encryption"
            );
        }
        let timeout = target.timeout;
        let transport = {
            let _context = runtime.enter();
            Transport::new(target).map_err(ConfigError::Setup)?
        };
        let health = RefCell::new(Health::new(name, shown));
        let delivery =
            Delivery { transport, timeout, concurrency, retry, on_auth_failure, dead_letters, signal, health };
        Ok(Self { runtime: Some(runtime), delivery, resource, batch_bytes })
    }

    fn deliver<R: Record>(
        &mut self,
        records: impl Iterator<Item = R>,
        total: usize,
        deadline: &Deadline,
    ) -> Result<(), ReportError> {
        let chunks = Chunks::new(records, &self.resource, self.batch_bytes);
        match &self.runtime {
            Some(runtime) => runtime.block_on(self.delivery.deliver(chunks, total, deadline)),
            None => Err(ReportError::lost(total, false, "the reporter is closed")),
        }
    }
}

impl TraceReporter for OtlpReporter {
    fn report(&mut self, spans: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError> {
        let total = spans.iter().map(ReportedSpan::span_count).sum();
        self.deliver(span_records(spans), total, deadline)
    }
}

impl EventReporter for OtlpReporter {
    fn report(&mut self, events: &[ReportedEvent], deadline: &Deadline) -> Result<(), ReportError> {
        self.deliver(events.iter(), events.len(), deadline)
    }
}

impl Drop for OtlpReporter {
    fn drop(&mut self) {
        // Dropping a runtime waits for a name lookup that hangs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
