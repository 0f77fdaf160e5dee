//! Tests of the retry state machine.

use super::*;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Returns the waits after failures, each with a verdict and a time in milliseconds. Waits are at
/// their longest.
fn waits(failures: &[(Verdict, u64)]) -> Vec<Next> {
    let retry = Retry { initial_backoff: millis(100), max_backoff: millis(500), timeout: millis(3_600_000) };
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
    let retry = Retry { initial_backoff: millis(1), max_backoff: millis(1), timeout: Duration::ZERO };
    let now = Instant::now();
    assert_eq!(Backoff::new(retry).next(Verdict::NoResponse, now, now, 0.5), Next::GiveUp(1));
}

#[test]
fn unauthorized_retries_at_least_every_minute() {
    let failures: Vec<_> = (0..12).map(|hour| (Verdict::Unauthorized, hour * 3_600_000)).collect();
    let found = waits(&failures);
    let doubled = (0..10).map(|times| 100 << times).chain([60_000, 60_000]);
    assert_eq!(found, doubled.map(|wait| Next::After(millis(wait.min(60_000)))).collect::<Vec<_>>());
}

#[test]
fn failures_at_the_same_time_count_once() {
    let retry = Retry { initial_backoff: millis(100), max_backoff: millis(500), timeout: millis(3_600_000) };
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
