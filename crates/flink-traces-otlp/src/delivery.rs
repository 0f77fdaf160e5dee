//! Chunks are delivered: tried again, taken apart, given up, and every record accounted for.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::time::{Duration, Instant};

use flink_traces_api::{Deadline, ReportError};
use tokio::time::{sleep, timeout};

use crate::answer::{Answer, Verdict};
use crate::encode::Chunk;
use crate::options::Retry;
use crate::transport::Transport;

/// How often a wait looks at the deadline, which somebody may set at any time.
const TICK: Duration = Duration::from_millis(50);

/// Delivers chunks to one collector.
pub(crate) struct Delivery {
    pub(crate) transport: Transport,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
    pub(crate) health: Health,
}

impl Delivery {
    /// Delivers the chunks in order; together they hold `total` records.
    pub(crate) async fn deliver(
        &mut self,
        chunks: impl Iterator<Item = Chunk>,
        total: usize,
        deadline: &Deadline,
    ) -> Result<(), ReportError> {
        let mut tally = Tally { open: total, ..Tally::default() };
        let mut backoff = Backoff::new(self.retry);
        for chunk in chunks {
            let mut parts = vec![chunk];
            while let Some(part) = parts.pop() {
                let answer = match self.settle(&part, &mut backoff, deadline).await {
                    Ok(answer) => answer,
                    Err(given_up) => return tally.finish(Some(given_up)),
                };
                let halves = match answer.verdict {
                    Verdict::TooLarge => part.halve(),
                    _ => None,
                };
                match halves {
                    Some([first, second]) => parts.extend([second, first]),
                    None => self.count(&mut tally, part.records, answer),
                }
            }
        }
        tally.finish(None)
    }

    /// Counts what became of `records`.
    fn count(&mut self, tally: &mut Tally, records: usize, answer: Answer) {
        let (taken, rejected) = match answer.verdict {
            Verdict::Taken { rejected } => {
                let rejected = usize::try_from(rejected).unwrap_or(records).min(records);
                (records - rejected, rejected)
            }
            Verdict::Lost => (0, 0),
            _ => (0, records),
        };
        tally.open = tally.open.saturating_sub(taken + rejected);
        tally.rejected += rejected;
        if !answer.reason.is_empty() {
            self.health.notice(records - taken, &answer.reason);
        }
        if taken < records {
            tally.reason = answer.reason;
        }
    }

    /// Sends a chunk until the collector's answer settles what becomes of it. Fails, saying why, when the time is over.
    async fn settle(&mut self, chunk: &Chunk, backoff: &mut Backoff, deadline: &Deadline) -> Result<Answer, String> {
        let body = match self.transport.pack(&chunk.message) {
            Ok(body) => body,
            Err(error) => return Ok(Answer::new(Verdict::Lost, error.to_string())),
        };
        let mut reason = String::new();
        loop {
            if deadline.is_over() {
                return Err(format!("shut down before it was delivered{reason}"));
            }
            let answer = match within(self.transport.send(body.clone()), self.timeout, deadline).await {
                Some(answer) => answer,
                None if deadline.is_over() => continue,
                None => {
                    self.transport.abandon();
                    Answer::new(Verdict::Later { delay: None }, format!("no answer within {:?}", self.timeout))
                }
            };
            match answer.verdict {
                Verdict::Later { .. } | Verdict::Unanswered => {}
                _ => {
                    backoff.reset();
                    if let Verdict::Taken { .. } = answer.verdict {
                        self.health.works();
                    }
                    return Ok(answer);
                }
            }
            reason = format!(": {}", answer.reason);
            let random = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
            match backoff.next(answer.verdict, Instant::now(), random) {
                Next::AtOnce => {}
                Next::After(wait) => {
                    self.health.fails(&answer.reason);
                    pause(wait, deadline).await;
                }
                Next::GiveUp(attempts) => return Err(format!("given up after attempt {attempts}{reason}")),
            }
        }
    }
}

/// What became of the records of one report.
#[derive(Default)]
struct Tally {
    /// Neither delivered nor rejected.
    open: usize,
    rejected: usize,
    /// Why the last ones were not delivered.
    reason: String,
}

impl Tally {
    fn finish(self, given_up: Option<String>) -> Result<(), ReportError> {
        let rejected = (self.rejected > 0).then(|| ReportError::rejected(self.rejected, self.reason.clone()));
        let lost = (self.open > 0).then(|| {
            let retryable = given_up.is_some();
            ReportError::lost(self.open, retryable, given_up.unwrap_or(self.reason))
        });
        match (lost, rejected) {
            (None, None) => Ok(()),
            (Some(error), None) | (None, Some(error)) => Err(error),
            (Some(lost), Some(rejected)) => Err(lost.and(rejected)),
        }
    }
}

/// How long to wait before the next attempt: exponential, random up to the full length, longer if the collector asks for it.
#[derive(Debug)]
struct Backoff {
    retry: Retry,
    longest: Duration,
    /// The first of the failures in a row.
    since: Option<Instant>,
    attempts: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    AtOnce,
    After(Duration),
    GiveUp(u32),
}

impl Backoff {
    fn new(retry: Retry) -> Self {
        Self { retry, longest: retry.initial_backoff, since: None, attempts: 0 }
    }

    fn reset(&mut self) {
        *self = Self::new(self.retry);
    }

    /// After a failed attempt; `random` is from 0 to 1.
    fn next(&mut self, verdict: Verdict, now: Instant, random: f64) -> Next {
        const LONGEST_ASKED: Duration = Duration::from_secs(600);
        self.attempts += 1;
        let since = *self.since.get_or_insert(now);
        let left = self.retry.timeout.saturating_sub(now.saturating_duration_since(since));
        if left.is_zero() {
            return Next::GiveUp(self.attempts);
        }
        // A connection that was idle may be dead without anybody knowing; that is no failure of the collector.
        if verdict == Verdict::Unanswered && self.attempts == 1 {
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
        self.longest = (self.longest * 2).min(self.retry.max_backoff);
        Next::After(wait.min(left))
    }
}

/// What is said about a collector: one line when it begins to fail and one when it works again, and what it rejects at most
/// once a minute.
#[derive(Debug)]
pub(crate) struct Health {
    reporter: String,
    endpoint: String,
    /// Since when it fails, and how many attempts did.
    failing: Option<(Instant, u32)>,
    /// The last line about what was rejected.
    noticed: Option<Instant>,
    /// What was not delivered since the last such line.
    unnoticed: usize,
}

impl Health {
    pub(crate) fn new(reporter: String, endpoint: impl fmt::Display) -> Self {
        Self { reporter, endpoint: endpoint.to_string(), failing: None, noticed: None, unnoticed: 0 }
    }

    fn fails(&mut self, reason: &str) {
        if self.failing.is_none() {
            let Self { reporter, endpoint, .. } = self;
            tracing::warn!(target: "flink_traces_otlp", reporter, endpoint, reason, "The collector fails, trying again");
        }
        self.failing.get_or_insert((Instant::now(), 0)).1 += 1;
    }

    fn works(&mut self) {
        if let Some((since, attempts)) = self.failing.take() {
            let (Self { reporter, endpoint, .. }, after) = (self, since.elapsed());
            tracing::info!(target: "flink_traces_otlp", reporter, endpoint, ?after, attempts, "The collector works again");
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

/// Waits for `length`, but before a deadline at most half of the time that is left: then another attempt is worth more.
async fn pause(length: Duration, deadline: &Deadline) {
    let start = Instant::now();
    loop {
        let length = deadline.remaining().map_or(length, |left| length.min((left / 2).max(TICK)));
        let left = length.saturating_sub(start.elapsed());
        if left.is_zero() || deadline.is_over() {
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
        failures.iter().map(|(verdict, at)| backoff.next(*verdict, start + millis(*at), 1.0)).collect()
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
        let (lost, later) = ((Verdict::Unanswered, 0), (Verdict::Later { delay: None }, 0));
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
        assert_eq!(Backoff::new(retry).next(Verdict::Unanswered, Instant::now(), 0.5), Next::GiveUp(1));
    }
}
