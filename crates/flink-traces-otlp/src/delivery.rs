//! Chunks are delivered: tried again, taken apart, given up, and every record accounted for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::iter::{Enumerate, Peekable};
use std::ops::AddAssign;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use flink_traces_api::{Deadline, ReportError, ReporterMeter, Signal};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use crate::config::{OnAuthFailure, Retry};
use crate::dead_letter::DeadLetters;
use crate::encode::Chunk;
use crate::response::{Response, Verdict};
use crate::transport::Transport;
use crate::withheld::Withheld;

/// How often a wait looks at the deadline, which somebody may set at any time.
const TICK: Duration = Duration::from_millis(50);

/// Delivers chunks to one collector.
pub(crate) struct Delivery {
    pub(crate) transport: Transport,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
    /// How many chunks may be on their way at once.
    pub(crate) concurrency: usize,
    pub(crate) retry: Retry,
    /// What becomes of chunks when the collector does not know or allow the sender.
    pub(crate) on_auth_failure: OnAuthFailure,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) signal: Signal,
    pub(crate) health: RefCell<Health>,
    pub(crate) meter: ReporterMeter,
}

/// Where chunks come from, and who is told what became of them.
pub(crate) trait Source {
    /// The next chunk that may go, and what tells it from others; `None` if there is none, or if it has to wait for what is on its way.
    fn next(&mut self) -> Option<(u64, Chunk)>;

    /// What became of a chunk.
    fn settle(&mut self, number: u64, outcome: Outcome);

    /// Nobody tries a chunk any longer, of which this became of some records.
    fn give_up(&mut self, number: u64, outcome: Outcome);

    /// The number of the first chunk of the report that a chunk is of, or an earlier one.
    fn first_of(&self, _: u64) -> u64 {
        0
    }

    /// Looks at the spans that the collector did not take, or adds to them: what they contain must not be sent.
    fn with_withheld<R>(&mut self, work: impl FnOnce(&mut Withheld) -> R) -> R;
}

/// What became of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) delivered: usize,
    pub(crate) rejected: usize,
    /// Nobody can tell.
    pub(crate) lost: usize,
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.rejected += other.rejected;
        self.lost += other.lost;
    }
}

impl Delivery {
    /// Delivers the records of one report, `total` of them. Several chunks go at once, but one whose spans are parts of others' only when
    /// these are settled: no span is ever sent before, or without, the one that it is a part of. `withheld` are those that the collector
    /// did not take.
    pub(crate) async fn report(
        &self,
        chunks: impl Iterator<Item = Chunk>,
        total: usize,
        withheld: &mut Withheld,
        deadline: &Deadline,
    ) -> Result<(), ReportError> {
        self.attempt(chunks, withheld, deadline).await.result(total)
    }

    /// As [`report`](Self::report), and tells which chunks were settled.
    pub(crate) async fn attempt(
        &self,
        chunks: impl Iterator<Item = Chunk>,
        withheld: &mut Withheld,
        deadline: &Deadline,
    ) -> Attempt {
        let (chunks, open) = (chunks.enumerate().peekable(), BTreeSet::new());
        let source = RefCell::new(Report { chunks, open, attempt: Attempt::default(), withheld });
        let (given_up, reason) = self.deliver(&source, deadline).await;
        Attempt { given_up, reason, ..source.into_inner().attempt }
    }

    /// Delivers what a source has until it has no more. Answers why it was given up, if it was, and why the last records that were not
    /// delivered were not.
    pub(crate) async fn deliver(&self, source: &RefCell<impl Source>, deadline: &Deadline) -> (Option<String>, String) {
        let backoff = RefCell::new(Backoff::new(self.retry));
        let run = Run { delivery: self, source, deadline, reason: RefCell::default(), backoff };
        let mut running = FuturesUnordered::new();
        let mut given_up = None;
        loop {
            while given_up.is_none() && running.len() < self.concurrency {
                let Some((number, chunk)) = source.borrow_mut().next() else { break };
                let run = &run;
                running.push(async move {
                    let mut outcome = Outcome::default();
                    let result = run.settle_chunk(number, chunk, &mut outcome).await;
                    (number, outcome, result)
                });
            }
            match running.next().await {
                Some((number, outcome, Ok(()))) => source.borrow_mut().settle(number, outcome),
                Some((number, outcome, Err(reason))) => {
                    source.borrow_mut().give_up(number, outcome);
                    given_up.get_or_insert(reason);
                }
                None => break,
            }
        }
        drop(running);
        (given_up, run.reason.into_inner())
    }
}

/// What became of the chunks of a report.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    /// The chunks of which all is known, by their place.
    pub(crate) settled: BTreeSet<usize>,
    /// What became of the records in these.
    pub(crate) became: Outcome,
    /// What became of records in others.
    pub(crate) partial: Outcome,
    /// Why the others were given up.
    pub(crate) given_up: Option<String>,
    /// Why the last records that were not delivered were not.
    pub(crate) reason: String,
}

impl Attempt {
    /// What it means for the report of `total` records, after which nothing more is tried.
    pub(crate) fn result(self, total: usize) -> Result<(), ReportError> {
        let Self { became, partial, given_up, reason, .. } = self;
        let rejected = became.rejected + partial.rejected;
        let lost = total.saturating_sub(became.delivered + partial.delivered + rejected);
        let rejected = (rejected > 0).then(|| ReportError::from_rejected(rejected, reason.clone()));
        let lost = (lost > 0).then(|| {
            let retryable = given_up.is_some();
            ReportError::from_dropped(lost, retryable, given_up.unwrap_or(reason))
        });
        match (lost, rejected) {
            (None, None) => Ok(()),
            (Some(error), None) | (None, Some(error)) => Err(error),
            (Some(lost), Some(rejected)) => Err(lost.and(rejected)),
        }
    }
}

/// The chunks of one report, as they are made.
struct Report<'a, I: Iterator<Item = Chunk>> {
    chunks: Peekable<Enumerate<I>>,
    /// Those on their way.
    open: BTreeSet<usize>,
    attempt: Attempt,
    withheld: &'a mut Withheld,
}

impl<I: Iterator<Item = Chunk>> Source for Report<'_, I> {
    fn next(&mut self) -> Option<(u64, Chunk)> {
        let oldest = self.open.first().copied();
        let may_go = |(number, chunk): &(usize, Chunk)| {
            oldest.is_none_or(|oldest| *number <= oldest.saturating_add(chunk.overtakes as usize))
        };
        let (number, chunk) = self.chunks.next_if(may_go)?;
        self.open.insert(number);
        Some((number as u64, chunk))
    }

    fn settle(&mut self, number: u64, outcome: Outcome) {
        if let Some(settled) = self.open.iter().copied().find(|open| *open as u64 == number) {
            self.open.remove(&settled);
            self.attempt.settled.insert(settled);
        }
        self.attempt.became += outcome;
    }

    fn give_up(&mut self, _: u64, outcome: Outcome) {
        self.attempt.partial += outcome;
    }

    fn with_withheld<R>(&mut self, work: impl FnOnce(&mut Withheld) -> R) -> R {
        work(self.withheld)
    }
}

/// One delivery.
struct Run<'a, S> {
    delivery: &'a Delivery,
    source: &'a RefCell<S>,
    deadline: &'a Deadline,
    /// Why the last records were not delivered.
    reason: RefCell<String>,
    /// Of all chunks together: they go to the same collector.
    backoff: RefCell<Backoff>,
}

impl<S: Source> Run<'_, S> {
    /// Sends the chunk, in parts if need be, until it is known what became of each record. Fails, saying why, when the time is over.
    async fn settle_chunk(&self, number: u64, chunk: Chunk, outcome: &mut Outcome) -> Result<(), String> {
        // A chunk that was halved because there was no room for it is not halved on and on, unless size may be the reason.
        const NEVER_TOO_LARGE: usize = 64 << 10;
        let first = self.source.borrow().first_of(number);
        let mut parts = vec![Part { chunk, is_half: false, is_shortened: false }];
        while let Some(mut part) = parts.pop() {
            let split = |withheld: &mut Withheld| part.chunk.without_orphans(withheld, first, number);
            let split = self.source.borrow_mut().with_withheld(split);
            if let Some([rest, orphans]) = split {
                self.refuse(number, &orphans, "what they are parts of was refused", outcome);
                part.chunk = rest;
                if part.chunk.records == 0 {
                    continue;
                }
            }
            let answer = self.settle(&part.chunk).await?;
            let size = part.chunk.message.len();
            let halves = match answer.verdict {
                Verdict::Invalid | Verdict::TooLarge => part.chunk.halve(),
                Verdict::Exhausted if !part.is_half || size > NEVER_TOO_LARGE => part.chunk.halve(),
                _ => None,
            };
            let shorter = match answer.verdict {
                Verdict::TooLarge if halves.is_none() && !part.is_shortened => {
                    part.chunk.shortened(self.delivery.signal)
                }
                _ => None,
            };
            match (halves, shorter) {
                (Some(halves), _) => {
                    let half = |chunk| Part { chunk, is_half: true, is_shortened: false };
                    parts.extend(halves.into_iter().rev().map(half));
                }
                (None, Some(chunk)) => {
                    let reason = format!("{}; its long texts are cut", answer.reason);
                    self.delivery.health.borrow_mut().notice(0, &reason);
                    parts.push(Part { chunk, is_half: false, is_shortened: true });
                }
                (None, None) => self.count(number, &part.chunk, answer, outcome),
            }
        }
        Ok(())
    }

    /// Counts what became of a chunk.
    fn count(&self, number: u64, chunk: &Chunk, answer: Response, outcome: &mut Outcome) {
        let health = &self.delivery.health;
        let rejected = match answer.verdict {
            Verdict::Accepted { rejected } => usize::try_from(rejected).unwrap_or(usize::MAX).min(chunk.records),
            Verdict::Dropped => {
                self.withhold(number, chunk);
                health.borrow_mut().notice(chunk.records, &answer.reason);
                outcome.lost += chunk.records;
                self.reason.replace(answer.reason);
                return;
            }
            _ => return self.refuse(number, chunk, &answer.reason, outcome),
        };
        outcome.delivered += chunk.records - rejected;
        outcome.rejected += rejected;
        if !answer.reason.is_empty() {
            health.borrow_mut().notice(rejected, &answer.reason);
        }
        if rejected > 0 {
            self.reason.replace(answer.reason);
        }
    }

    /// Counts a chunk that nobody will take, and keeps it for people to look at.
    fn refuse(&self, number: u64, chunk: &Chunk, reason: &str, outcome: &mut Outcome) {
        self.withhold(number, chunk);
        let mut health = self.delivery.health.borrow_mut();
        health.notice(chunk.records, reason);
        if let Some(dead_letters) = &self.delivery.dead_letters {
            health.keeps(dead_letters, dead_letters.keep(chunk));
        }
        outcome.rejected += chunk.records;
        self.reason.replace(reason.to_owned());
    }

    fn withhold(&self, number: u64, chunk: &Chunk) {
        self.source.borrow_mut().with_withheld(|withheld| chunk.withhold(withheld, number));
    }

    /// Counts a request of `size` bytes.
    fn meter(&self, answer: &Response, size: usize) {
        if matches!(answer.verdict, Verdict::NoResponse | Verdict::TlsFailed) {
            return;
        }
        self.delivery.meter.update(|stats| {
            stats.bytes_sent += size as u64;
            if let Verdict::Accepted { .. } = answer.verdict {
                stats.last_taken = Some(SystemTime::now());
            }
        });
    }

    /// Sends a chunk until the collector's answer settles what becomes of it. Fails, saying why, when the time is over.
    async fn settle(&self, chunk: &Chunk) -> Result<Response, String> {
        let Self { delivery: Delivery { transport, timeout, on_auth_failure, health, .. }, deadline, .. } = self;
        let body = match transport.pack(&chunk.message) {
            Ok(body) => body,
            Err(error) => return Ok(Response::new(Verdict::Dropped, error.to_string())),
        };
        let mut reason = String::new();
        loop {
            if deadline.is_over() {
                return Err(format!("shut down before it was delivered{reason}"));
            }
            let started = Instant::now();
            let answer = match within(transport.send(body.clone()), *timeout, deadline).await {
                Some(answer) => {
                    self.meter(&answer, body.len());
                    answer
                }
                None if deadline.is_over() => continue,
                None => {
                    transport.abandon();
                    Response::new(Verdict::Later { delay: None }, format!("no answer within {timeout:?}"))
                }
            };
            match answer.verdict {
                Verdict::Unauthorized if *on_auth_failure == OnAuthFailure::Drop => {
                    return Ok(Response { verdict: Verdict::Rejected, ..answer });
                }
                Verdict::Later { .. } | Verdict::Unauthorized | Verdict::NoResponse | Verdict::TlsFailed => {}
                _ => {
                    self.backoff.borrow_mut().reset();
                    if let Verdict::Accepted { .. } = answer.verdict {
                        health.borrow_mut().works();
                    }
                    return Ok(answer);
                }
            }
            reason = format!(": {}", answer.reason);
            let random = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
            let next = self.backoff.borrow_mut().next(answer.verdict, started, Instant::now(), random);
            match next {
                Next::AtOnce => {}
                Next::After(wait) => {
                    health.borrow_mut().fails(&answer);
                    let is_unauthorized = answer.verdict == Verdict::Unauthorized;
                    pause(wait, deadline, || is_unauthorized && transport.has_new_credentials()).await;
                }
                Next::GiveUp(attempts) => return Err(format!("given up after attempt {attempts}{reason}")),
            }
        }
    }
}

/// A chunk, or a part of one.
struct Part {
    chunk: Chunk,
    is_half: bool,
    is_shortened: bool,
}

/// How long to wait before the next attempt: exponential, random up to the full length, longer if the collector asks for it.
#[derive(Debug)]
struct Backoff {
    retry: Retry,
    longest: Duration,
    /// The first of the failures in a row, and the last.
    since: Option<Instant>,
    last: Option<Instant>,
    /// What the last failure asked for.
    wait: Duration,
    attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    AtOnce,
    After(Duration),
    GiveUp(u32),
}

impl Backoff {
    fn new(retry: Retry) -> Self {
        Self { retry, longest: retry.initial_backoff, since: None, last: None, wait: Duration::ZERO, attempts: 0 }
    }

    fn reset(&mut self) {
        *self = Self::new(self.retry);
    }

    /// After an attempt that began at `started` failed; `random` is from 0 to 1.
    fn next(&mut self, verdict: Verdict, started: Instant, now: Instant, random: f64) -> Next {
        const LONGEST_ASKED: Duration = Duration::from_secs(600);
        const LONGEST_UNAUTHORIZED: Duration = Duration::from_secs(60);
        // Of several requests that fail together, one counts.
        if let Some(last) = self.last.filter(|last| started < *last) {
            return match self.wait {
                Duration::ZERO => Next::AtOnce,
                wait => Next::After(wait.saturating_sub(now.saturating_duration_since(last))),
            };
        }
        self.attempts += 1;
        self.last = Some(now);
        self.wait = Duration::ZERO;
        let since = *self.since.get_or_insert(now);
        let left = match verdict {
            // Kept until somebody replaces the credentials.
            Verdict::Unauthorized => Duration::MAX,
            _ => self.retry.timeout.saturating_sub(now.saturating_duration_since(since)),
        };
        if left.is_zero() {
            return Next::GiveUp(self.attempts);
        }
        // A connection that was idle may be dead without anybody knowing; that is no failure of the collector.
        if verdict == Verdict::NoResponse && self.attempts == 1 {
            return Next::AtOnce;
        }
        let wait = match verdict {
            Verdict::Later { delay: Some(asked) } => {
                let asked = asked.min(LONGEST_ASKED).max(self.retry.initial_backoff);
                self.longest = asked;
                asked
            }
            _ => self.longest.mul_f64(random),
        };
        let limit = match verdict {
            Verdict::Unauthorized => LONGEST_UNAUTHORIZED.max(self.retry.max_backoff),
            _ => self.retry.max_backoff,
        };
        self.longest = (self.longest * 2).min(limit);
        self.wait = wait.min(left);
        Next::After(self.wait)
    }
}

/// What is said about a collector: one line when it begins to fail and one when it works again, and what it rejects at most
/// once a minute.
#[derive(Debug)]
pub(crate) struct Health {
    reporter: String,
    endpoint: String,
    /// Since when it fails, how many attempts did, and how.
    failing: Option<(Instant, u32, Trouble)>,
    /// The last line about what was rejected.
    noticed: Option<Instant>,
    /// What was not delivered since the last such line.
    unnoticed: usize,
    /// Whether what was refused cannot be kept.
    forgets: bool,
}

/// What kind of failure it is: each asks for somebody else to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Collector,
    Credentials,
    Tls,
}

impl Health {
    pub(crate) fn new(reporter: String, endpoint: impl fmt::Display) -> Self {
        Self { reporter, endpoint: endpoint.to_string(), failing: None, noticed: None, unnoticed: 0, forgets: false }
    }

    fn fails(&mut self, answer: &Response) {
        let trouble = match answer.verdict {
            Verdict::Unauthorized => Trouble::Credentials,
            Verdict::TlsFailed => Trouble::Tls,
            _ => Trouble::Collector,
        };
        let Self { reporter, endpoint, failing, .. } = self;
        let reason = &answer.reason;
        if failing.is_none_or(|(_, _, known)| known != trouble) {
            match trouble {
                Trouble::Collector => {
                    tracing::warn!(target: "flink_traces_otlp", reporter, endpoint, reason, "The collector fails, trying again");
                }
                Trouble::Credentials => {
                    tracing::error!(target: "flink_traces_otlp", reporter, endpoint, reason, "The collector refuses the credentials, keeping everything until they are replaced");
                }
                Trouble::Tls => {
                    tracing::error!(target: "flink_traces_otlp", reporter, endpoint, reason, "No encrypted connection to the collector, trying again");
                }
            }
        }
        let (since, attempts, _) = failing.unwrap_or((Instant::now(), 0, trouble));
        *failing = Some((since, attempts + 1, trouble));
    }

    fn works(&mut self) {
        if let Some((since, attempts, _)) = self.failing.take() {
            let (Self { reporter, endpoint, .. }, after) = (self, since.elapsed());
            tracing::info!(target: "flink_traces_otlp", reporter, endpoint, ?after, attempts, "The collector works again");
        }
    }

    /// One line when what was refused cannot be kept, and one when it can again.
    fn keeps(&mut self, dead_letters: &DeadLetters, result: io::Result<()>) {
        let (Self { reporter, forgets, .. }, file) = (self, dead_letters.path.display());
        match result {
            Err(error) if !std::mem::replace(forgets, true) => {
                tracing::warn!(target: "flink_traces_otlp", reporter, %file, %error, "What the collector refuses cannot be kept");
            }
            Ok(()) if std::mem::replace(forgets, false) => {
                tracing::info!(target: "flink_traces_otlp", reporter, %file, "What the collector refuses is kept again");
            }
            _ => {}
        }
    }

    fn notice(&mut self, undelivered: usize, reason: &str) {
        const PAUSE: Duration = Duration::from_secs(60);
        self.unnoticed += undelivered;
        if self.noticed.is_none_or(|last| last.elapsed() >= PAUSE) {
            let undelivered = std::mem::take(&mut self.unnoticed);
            let Self { reporter, endpoint, .. } = self;
            tracing::warn!(target: "flink_traces_otlp", reporter, endpoint, undelivered, reason, "The collector complains");
            self.noticed = Some(Instant::now());
        }
    }
}

/// What `work` gives, unless it takes longer than `limit` or until the deadline.
async fn within<T>(work: impl Future<Output = T>, limit: Duration, deadline: &Deadline) -> Option<T> {
    let mut work = pin!(work);
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = deadline.remaining().map_or(left, |remaining| remaining.min(left));
        match timeout(left.min(TICK), &mut work).await {
            Ok(value) => return Some(value),
            Err(_) if left <= TICK => return None,
            Err(_) => {}
        }
    }
}

/// Waits for `length` or until `is_over`, but before a deadline at most half of the time that is left: then another attempt is worth
/// more.
async fn pause(length: Duration, deadline: &Deadline, is_over: impl Fn() -> bool) {
    let start = Instant::now();
    loop {
        let length = deadline.remaining().map_or(length, |left| length.min((left / 2).max(TICK)));
        let left = length.saturating_sub(start.elapsed());
        if left.is_zero() || deadline.is_over() || is_over() {
            return;
        }
        sleep(left.min(TICK)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The waits after failures with these verdicts, each `at` that many milliseconds, random at its highest.
    fn waits(failures: &[(Verdict, u64)]) -> Vec<Next> {
        let retry = Retry { initial_backoff: millis(100), max_backoff: millis(500), timeout: millis(3_600_000) };
        let mut backoff = Backoff::new(retry);
        let start = Instant::now();
        let now = |at: &u64| start + millis(*at);
        failures.iter().map(|(verdict, at)| backoff.next(*verdict, now(at), now(at), 1.0)).collect()
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let later = Verdict::Later { delay: None };
        let found = waits(&[(later, 0); 5]);
        assert_eq!(found, [100, 200, 400, 500, 500].map(|wait| Next::After(millis(wait))));
    }

    #[test]
    fn what_the_collector_asks_for_is_had_within_bounds_and_grown_from() {
        let asked = |wait| (Verdict::Later { delay: Some(millis(wait)) }, 0);
        let later = (Verdict::Later { delay: None }, 0);
        let found = waits(&[asked(150), later, asked(0), later, asked(700), later, asked(86_400_000)]);
        assert_eq!(found, [150, 300, 100, 200, 700, 500, 600_000].map(|wait| Next::After(millis(wait))));
    }

    #[test]
    fn only_the_first_lost_connection_is_tried_again_at_once() {
        let (lost, later) = ((Verdict::NoResponse, 0), (Verdict::Later { delay: None }, 0));
        assert_eq!(waits(&[lost, lost]), [Next::AtOnce, Next::After(millis(100))]);
        assert_eq!(waits(&[later, lost]), [Next::After(millis(100)), Next::After(millis(200))]);
    }

    #[test]
    fn the_last_attempt_is_when_the_time_is_over() {
        let later = Verdict::Later { delay: Some(millis(600_000)) };
        let found = waits(&[(later, 0), (later, 3_500_000), (later, 3_600_000)]);
        assert_eq!(found, [Next::After(millis(600_000)), Next::After(millis(100_000)), Next::GiveUp(3)]);
    }

    #[test]
    fn no_time_is_no_second_attempt() {
        let retry = Retry { initial_backoff: millis(1), max_backoff: millis(1), timeout: Duration::ZERO };
        let now = Instant::now();
        assert_eq!(Backoff::new(retry).next(Verdict::NoResponse, now, now, 0.5), Next::GiveUp(1));
    }

    #[test]
    fn refused_credentials_are_never_given_up_and_asked_for_once_a_minute_at_the_least() {
        let failures: Vec<_> = (0..12).map(|hour| (Verdict::Unauthorized, hour * 3_600_000)).collect();
        let found = waits(&failures);
        let doubled = (0..10).map(|times| 100 << times).chain([60_000, 60_000]);
        assert_eq!(found, doubled.map(|wait| Next::After(millis(wait.min(60_000)))).collect::<Vec<_>>());
    }

    #[test]
    fn requests_that_fail_together_count_once() {
        let retry = Retry { initial_backoff: millis(100), max_backoff: millis(500), timeout: millis(3_600_000) };
        let mut backoff = Backoff::new(retry);
        let start = Instant::now();
        let mut next = |started, at| {
            backoff.next(Verdict::Later { delay: None }, start + millis(started), start + millis(at), 1.0)
        };
        assert_eq!(next(0, 10), Next::After(millis(100)));
        assert_eq!([next(0, 20), next(5, 50)], [90, 60].map(|wait| Next::After(millis(wait))));
        assert_eq!(next(110, 120), Next::After(millis(200)));
        let mut backoff = Backoff::new(retry);
        let mut next =
            |started, at| backoff.next(Verdict::NoResponse, start + millis(started), start + millis(at), 1.0);
        assert_eq!([next(0, 10), next(5, 11), next(12, 13)], [Next::AtOnce, Next::AtOnce, Next::After(millis(100))]);
    }
}
