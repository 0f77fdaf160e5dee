//! Delivery of chunks to one collector: retries, splits, dead letters, and a count of each record.
//!
//! [`Delivery::deliver`] takes chunks from a [`ChunkQueue`], which decides their order, and sends
//! up to `exporter.concurrency` of them at once. Each ends in one of three ways:
//!
//! - The collector's responses finalize all its records.
//! - Retries fail until `retry.timeout` or the deadline. The queue gets the chunk back.
//! - The chunk alone fails while the collector takes others. After `retry.timeout` it becomes a
//!   dead letter, so that a poisonous chunk does not hold back a spool for ever.

mod log;
mod queue;
mod retry;
mod route;

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use flink_traces_api::{Deadline, RecordCounts, ReportError, ReporterMeter, Signal};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

use crate::chunk::Chunk;
use crate::config::{OnRefusal, Retry};
use crate::dead_letter::DeadLetters;
use crate::response::{Response, Verdict};
use crate::transport::{RequestBody, Transport};
pub(crate) use log::DeliveryLog;
pub(crate) use queue::ChunkQueue;
use queue::ReportQueue;
pub(crate) use retry::RequestedDelay;
use retry::{Backoff, Evidence, Next, pause, within};
pub(crate) use route::Route;

/// The interval at which a queue is asked for chunks while others are in flight.
const TICK: Duration = Duration::from_millis(20);
/// The time limit of the search for the likely cause of a failure.
const MAX_DIAGNOSIS: Duration = Duration::from_secs(4);

/// The connection to a collector, and the rules for using it.
pub(crate) struct Delivery {
    pub(crate) route: Route,
    /// The time limit of one attempt.
    pub(crate) timeout: Duration,
    /// The number of chunks that may be in flight at once.
    pub(crate) concurrency: usize,
    pub(crate) retry: Retry,
    /// The time for which one chunk alone may fail.
    pub(crate) poison_timeout: Duration,
    pub(crate) on_refusal: OnRefusal,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) signal: Signal,
    pub(crate) log: RefCell<DeliveryLog>,
    /// The delay that the collector asked for last. It applies to all chunks and later reports.
    pub(crate) requested: RequestedDelay,
    pub(crate) meter: ReporterMeter,
}

/// The result of delivering the chunks of a report.
#[derive(Debug, Default)]
pub(crate) struct DeliveryReport {
    /// The finalized chunks, by their position.
    pub(crate) finalized: Vec<usize>,
    /// The records of finalized chunks.
    pub(crate) counts: RecordCounts,
    /// The finalized records of other chunks.
    pub(crate) partial: RecordCounts,
    /// The reason why the other chunks were abandoned.
    pub(crate) given_up: Option<String>,
    /// The reason why the last undelivered records were not delivered.
    pub(crate) reason: String,
}

impl DeliveryReport {
    /// Returns the result of a report of `total` records, which is not tried again.
    pub(crate) fn result(self, total: usize) -> Result<(), ReportError> {
        let Self { mut counts, partial, given_up, reason, .. } = self;
        counts += partial;
        let count = |records: u64| usize::try_from(records).unwrap_or(usize::MAX);
        let rejected = count(counts.rejected);
        let dropped = total.saturating_sub(count(counts.delivered) + rejected);
        let rejected = (rejected > 0).then(|| ReportError::from_rejected(rejected, reason.clone()));
        let dropped = (dropped > 0).then(|| {
            let is_retryable = given_up.is_some();
            ReportError::from_dropped(dropped, is_retryable, given_up.unwrap_or(reason))
        });
        match (dropped, rejected) {
            (None, None) => Ok(()),
            (Some(error), None) | (None, Some(error)) => Err(error),
            (Some(dropped), Some(rejected)) => Err(dropped.and(rejected)),
        }
    }
}

impl Delivery {
    /// Delivers the chunks of a report from memory.
    pub(crate) async fn report(&self, chunks: impl Iterator<Item = Chunk>, deadline: &Deadline) -> DeliveryReport {
        let queue = RefCell::new(ReportQueue::new(chunks));
        let (given_up, reason) = self.deliver(&queue, deadline).await;
        let ReportQueue { finalized, counts, partial, .. } = queue.into_inner();
        DeliveryReport { finalized, counts, partial, given_up, reason }
    }

    /// Delivers chunks until the queue returns no more. Returns the reason why chunks were
    /// abandoned, if they were, and the reason why the last undelivered records were not delivered.
    pub(crate) async fn deliver(
        &self,
        queue: &RefCell<impl ChunkQueue>,
        deadline: &Deadline,
    ) -> (Option<String>, String) {
        let run = DeliveryRun {
            delivery: self,
            deadline,
            reason: RefCell::default(),
            backoff: RefCell::new(Backoff::new(self.retry)),
            evidence: RefCell::default(),
            stalled: Cell::new(0),
        };
        if let Err(reason) = run.find_collector().await {
            return (Some(reason.clone()), reason);
        }
        let mut running = FuturesUnordered::new();
        let mut given_up = None;
        loop {
            // If all requests in flight keep failing, one more shows whether it is their fault.
            let limit = self.concurrency + usize::from(run.stalled.get() == self.concurrency);
            while given_up.is_none() && running.len() < limit {
                let Some((ticket, chunk)) = queue.borrow_mut().next() else { break };
                let run = &run;
                running.push(async move {
                    let mut counts = RecordCounts::default();
                    let result = run.finalize(chunk, &mut counts).await;
                    (ticket, counts, result)
                });
            }
            match timeout(TICK, running.next()).await {
                Ok(Some((ticket, counts, Ok(())))) => queue.borrow_mut().finalize(ticket, counts),
                Ok(Some((ticket, counts, Err(reason)))) => {
                    queue.borrow_mut().abandon(ticket, counts);
                    given_up.get_or_insert(reason);
                }
                Ok(None) => break,
                // The queue may have got another chunk.
                Err(_) => {}
            }
        }
        drop(running);
        (given_up, run.reason.into_inner())
    }
}

/// One call of [`Delivery::deliver`].
struct DeliveryRun<'a> {
    delivery: &'a Delivery,
    deadline: &'a Deadline,
    /// The reason why the last undelivered records were not delivered.
    reason: RefCell<String>,
    /// Shared by all chunks, because they go to the same collector.
    backoff: RefCell<Backoff>,
    evidence: RefCell<Evidence>,
    /// The number of chunks that have failed for longer than `poison_timeout`.
    stalled: Cell<usize>,
}

/// A chunk that counts as stalled until this is dropped.
struct Stalled<'a>(&'a Cell<usize>);

impl<'a> Stalled<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A chunk, or a piece of one that is sent separately.
struct SubBatch {
    chunk: Chunk,
    is_half: bool,
    is_shortened: bool,
}

impl DeliveryRun<'_> {
    /// Sends a chunk, in pieces if necessary, until each of its records is finalized. Fails with
    /// the reason if the time is over.
    async fn finalize(&self, chunk: Chunk, counts: &mut RecordCounts) -> Result<(), String> {
        // A smaller request is never too large, so a full collector does not have it split further.
        const NEVER_TOO_LARGE: usize = 64 << 10;
        let mut pending = vec![SubBatch { chunk, is_half: false, is_shortened: false }];
        while let Some(SubBatch { chunk, is_half, is_shortened }) = pending.pop() {
            let response = self.send(&chunk).await?;
            let halves = match response.verdict {
                Verdict::Invalid | Verdict::TooLarge => chunk.halve(),
                Verdict::Exhausted if !is_half || chunk.message.len() > NEVER_TOO_LARGE => chunk.halve(),
                _ => None,
            };
            if let Some(halves) = halves {
                let half = |chunk| SubBatch { chunk, is_half: true, is_shortened: false };
                pending.extend(halves.into_iter().rev().map(half));
                continue;
            }
            let is_too_large = match response.verdict {
                Verdict::TooLarge => true,
                // gRPC servers have no other status for it.
                Verdict::Exhausted => chunk.records == 1 || chunk.message.len() > NEVER_TOO_LARGE,
                _ => false,
            };
            let shorter = (is_too_large && !is_shortened).then(|| chunk.shortened(self.delivery.signal)).flatten();
            match shorter {
                Some(chunk) => {
                    let reason = format!("{}; its long texts are cut", response.reason);
                    self.delivery.log.borrow_mut().rejected(0, &reason, None);
                    pending.push(SubBatch { chunk, is_half: false, is_shortened: true });
                }
                None => *counts += self.count(&chunk, response),
            }
        }
        Ok(())
    }

    /// Counts the records of a request that is not sent again.
    fn count(&self, chunk: &Chunk, response: Response) -> RecordCounts {
        let records = chunk.records as u64;
        let counts = match response.verdict {
            Verdict::Accepted { rejected } => {
                let rejected = rejected.min(records);
                RecordCounts { delivered: records - rejected, rejected, dropped: 0 }
            }
            Verdict::Dropped => RecordCounts { dropped: records, ..RecordCounts::default() },
            _ => RecordCounts { rejected: records, ..RecordCounts::default() },
        };
        let mut log = self.delivery.log.borrow_mut();
        let undelivered = counts.rejected + counts.dropped;
        if !response.reason.is_empty() {
            log.rejected(undelivered, &response.reason, response.hint);
        }
        if let Some(dead_letters) = &self.delivery.dead_letters
            && !matches!(response.verdict, Verdict::Accepted { .. } | Verdict::Dropped)
        {
            log.saved(dead_letters, dead_letters.keep(chunk));
        }
        if undelivered > 0 {
            self.reason.replace(response.reason);
        }
        counts
    }

    /// Counts a request of `size` bytes, if the collector responded to it.
    fn meter(&self, response: &Response, size: usize) {
        if matches!(response.verdict, Verdict::NoResponse | Verdict::TlsFailed) {
            return;
        }
        self.delivery.meter.update(|stats| {
            stats.bytes_sent += size as u64;
            stats.odd_responses += u64::from(response.is_odd);
            if let Verdict::Accepted { .. } = response.verdict {
                stats.last_taken = Some(SystemTime::now());
            }
        });
    }

    /// Sends empty requests over all ways until the collector accepts one, unless the way is known.
    async fn find_collector(&self) -> Result<(), String> {
        let Delivery { route, log, .. } = self.delivery;
        if route.is_known() {
            return Ok(());
        }
        self.retry(async || {
            let mut responses = Vec::new();
            for way in route.ways() {
                let Ok(body) = way.pack(&Bytes::new()) else { continue };
                let response = self.attempt(way, &body).await?;
                let is_accepted = matches!(response.verdict, Verdict::Accepted { .. });
                responses.push(response);
                if is_accepted {
                    break;
                }
            }
            Some(route.take(responses))
        })
        .await?;
        log.borrow_mut().found(route.transport().target());
        Ok(())
    }

    /// Sends a chunk until a response decides what becomes of it. Fails with the reason if the
    /// time is over.
    async fn send(&self, chunk: &Chunk) -> Result<Response, String> {
        let transport = self.delivery.route.transport();
        match transport.pack(&chunk.message) {
            Ok(body) => self.retry(async || self.attempt(transport, &body).await).await,
            Err(error) => Ok(Response::new(Verdict::TooLarge, error.to_string())),
        }
    }

    /// Repeats an attempt until its response needs no other. Fails with the reason if the time is
    /// over. An attempt returns `None` if the deadline came first.
    async fn retry(&self, attempt: impl AsyncFn() -> Option<Response>) -> Result<Response, String> {
        let Delivery { route, on_refusal, log, poison_timeout, requested, .. } = self.delivery;
        let mut reason = String::new();
        let (first_sent, mut suspect_since, mut stalled) = (Instant::now(), None, None);
        loop {
            requested.wait(self.deadline).await;
            if self.deadline.is_over() {
                return Err(format!("shut down before it was delivered{reason}"));
            }
            let started = Instant::now();
            let Some(response) = attempt().await else { continue };
            match response.verdict {
                Verdict::Refused(_) if *on_refusal == OnRefusal::Drop => {
                    return Ok(Response { verdict: Verdict::Rejected, ..response });
                }
                Verdict::Later { .. } | Verdict::Refused(_) | Verdict::NoResponse | Verdict::TlsFailed => {}
                _ => {
                    self.backoff.borrow_mut().reset();
                    if let Verdict::Accepted { .. } = response.verdict {
                        self.evidence.borrow_mut().note_taken(Instant::now());
                        log.borrow_mut().succeeded(response.is_odd);
                    }
                    return Ok(response);
                }
            }
            reason = format!(": {}", response.reason);
            let now = Instant::now();
            self.evidence.borrow_mut().note_failure(first_sent, &mut suspect_since, now);
            let has_stalled = now.saturating_duration_since(first_sent) >= *poison_timeout;
            if has_stalled && stalled.is_none() {
                stalled = Some(Stalled::new(&self.stalled));
            }
            let is_poison = suspect_since.is_some_and(|since| now.saturating_duration_since(since) >= *poison_timeout);
            let is_refused = matches!(response.verdict, Verdict::Refused(_));
            if is_poison && !is_refused {
                let reason = format!("fails while others are delivered{reason}");
                return Ok(Response::new(Verdict::Rejected, reason));
            }
            if let Verdict::Later { delay: Some(delay) } = response.verdict {
                requested.request(delay, now);
            }
            let random = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
            let next = self.backoff.borrow_mut().next(response.verdict, started, now, random);
            match next {
                // Another success in between makes the failure of a suspect a first one again.
                Next::AtOnce if suspect_since.is_none() => {}
                Next::AtOnce => pause(self.delivery.retry.initial_backoff, self.deadline, || false).await,
                Next::After(wait) => {
                    let line = log.borrow_mut().count(response.verdict, now);
                    if let Some(line) = line {
                        let hint = within(route.transport().likely_cause(&response), MAX_DIAGNOSIS, self.deadline);
                        let hint = hint.await.flatten();
                        log.borrow().failed(line, &response, hint);
                    }
                    if let Verdict::Later { delay: Some(_) } = response.verdict {
                        requested.request(wait, now);
                        continue;
                    }
                    pause(wait, self.deadline, || is_refused && route.transport().has_new_credentials()).await;
                }
                Next::GiveUp(attempts) => return Err(format!("given up after attempt {attempts}{reason}")),
            }
        }
    }

    /// Sends a body once. Returns `None` if the deadline came first.
    async fn attempt(&self, transport: &Transport, body: &RequestBody) -> Option<Response> {
        let timeout = &self.delivery.timeout;
        match within(transport.send(body.clone()), *timeout, self.deadline).await {
            Some(response) => {
                self.meter(&response, body.len());
                Some(response)
            }
            None if self.deadline.is_over() => None,
            None => {
                transport.abandon();
                Some(Response::unanswered(*timeout))
            }
        }
    }
}
