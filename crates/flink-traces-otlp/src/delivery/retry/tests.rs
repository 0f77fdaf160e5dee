//! Tests of the retry state machine.

use super::*;
use crate::response::Refusal;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn retry() -> Retry {
    Retry {
        initial_backoff: millis(100),
        max_backoff: millis(500),
        timeout: millis(3_600_000),
        refusal_timeout: Duration::MAX,
    }
}

/// Returns the waits after failures, each with a verdict and a time in milliseconds. Waits are at
/// their longest.
fn waits(failures: &[(Verdict, u64)]) -> Vec<Next> {
    let retry = retry();
    let mut backoff = Backoff::new(retry);
    let start = Instant::now();
    let now = |at: &u64| start + millis(*at);
    failures.iter().map(|(verdict, at)| backoff.next(*verdict, now(at), now(at), 1.0)).collect()
}

#[test]
fn waits_double_up_to_the_maximum() {
    let later = Verdict::Later { delay: None };
    let found = waits(&[(later, 0); 5]);
    assert_eq!(found, [100, 200, 400, 500, 500].map(|wait| Next::After(millis(wait))));
}

#[test]
fn requested_delay_is_bounded_and_grown_from() {
    let asked = |wait| (Verdict::Later { delay: Some(millis(wait)) }, 0);
    let later = (Verdict::Later { delay: None }, 0);
    let found = waits(&[asked(150), later, asked(0), later, asked(700), later, asked(86_400_000)]);
    assert_eq!(found, [150, 300, 100, 200, 700, 500, 600_000].map(|wait| Next::After(millis(wait))));
}

#[test]
fn first_lost_connection_is_retried_at_once() {
    let (lost, later) = ((Verdict::NoResponse, 0), (Verdict::Later { delay: None }, 0));
    assert_eq!(waits(&[lost, lost]), [Next::AtOnce, Next::After(millis(100))]);
    assert_eq!(waits(&[later, lost]), [Next::After(millis(100)), Next::After(millis(200))]);
}

#[test]
fn requested_delay_is_honored_beyond_the_timeout() {
    let later = Verdict::Later { delay: Some(millis(600_000)) };
    let found = waits(&[(later, 0), (later, 3_500_000), (later, 3_600_000)]);
    assert_eq!(found, [Next::After(millis(600_000)), Next::After(millis(600_000)), Next::GiveUp(3)]);
}

#[test]
fn without_time_there_is_one_attempt() {
    let retry = retry().within(Duration::ZERO);
    let now = Instant::now();
    for verdict in [Verdict::NoResponse, Verdict::Refused(Refusal::Address)] {
        assert_eq!(Backoff::new(retry).next(verdict, now, now, 0.5), Next::GiveUp(1));
    }
}

#[test]
fn refused_retries_at_least_every_minute() {
    for refusal in [Refusal::Credentials, Refusal::Address] {
        let failures: Vec<_> = (0..12).map(|hour| (Verdict::Refused(refusal), hour * 3_600_000)).collect();
        let found = waits(&failures);
        let doubled = (0..10).map(|times| 100 << times).chain([60_000, 60_000]);
        assert_eq!(found, doubled.map(|wait| Next::After(millis(wait.min(60_000)))).collect::<Vec<_>>());
        // A longer backoff is for other failures.
        let hour = millis(3_600_000);
        let mut backoff = Backoff::new(Retry { initial_backoff: hour, max_backoff: hour, ..retry() });
        let now = Instant::now();
        assert_eq!(backoff.next(Verdict::Refused(refusal), now, now, 1.0), Next::After(millis(60_000)));
    }
}

/// Scenario: the collector asks for delays of different lengths. Guarantees: the longest counts, up
/// to ten minutes.
#[test]
fn requested_delay_is_the_longest_and_bounded() {
    let (requested, now) = (RequestedDelay::default(), Instant::now());
    for (delay, expected) in [(7, 7), (3, 7), (u64::MAX, 600)] {
        requested.request(Duration::from_secs(delay), now);
        assert_eq!(requested.until.get(), Some(now + Duration::from_secs(expected)));
    }
}

#[test]
fn failures_at_the_same_time_count_once() {
    let retry = retry();
    let mut backoff = Backoff::new(retry);
    let start = Instant::now();
    let mut next =
        |started, at| backoff.next(Verdict::Later { delay: None }, start + millis(started), start + millis(at), 1.0);
    assert_eq!(next(0, 10), Next::After(millis(100)));
    assert_eq!([next(0, 20), next(5, 50)], [90, 60].map(|wait| Next::After(millis(wait))));
    assert_eq!(next(110, 120), Next::After(millis(200)));
    let mut backoff = Backoff::new(retry);
    let mut next = |started, at| backoff.next(Verdict::NoResponse, start + millis(started), start + millis(at), 1.0);
    assert_eq!([next(0, 10), next(5, 11), next(12, 13)], [Next::AtOnce, Next::AtOnce, Next::After(millis(100))]);
}

/// The suspicion of a chunk that was first sent at 0 and fails at these times, while others are
/// taken, and one that is no suspect fails.
fn suspicions(events: &[(u64, &str)]) -> Vec<Option<u64>> {
    let start = Instant::now();
    let (mut evidence, mut suspect) = (Evidence::default(), None);
    let mut found = Vec::new();
    for (at, event) in events {
        let now = start + millis(*at);
        match *event {
            "taken" => evidence.note_taken(now),
            "other fails" => evidence.note_failure(now, &mut None, now),
            _ => {
                evidence.note_failure(start, &mut suspect, now);
                found.push(suspect.map(|since| u64::try_from((since - start).as_millis()).unwrap()));
            }
        }
    }
    found
}

#[test]
fn chunk_is_suspect_while_others_are_taken() {
    assert_eq!(suspicions(&[(1, "fails"), (2, "fails")]), [None, None]);
    let alone = [(1, "fails"), (2, "taken"), (3, "fails"), (4, "fails"), (5, "taken"), (6, "fails")];
    assert_eq!(suspicions(&alone), [None, Some(3), Some(3), Some(3)]);
    let outage = [(1, "taken"), (2, "fails"), (3, "other fails"), (4, "fails"), (5, "taken"), (6, "fails")];
    assert_eq!(suspicions(&outage), [Some(2), None, Some(6)]);
}
