//! Requests to a cluster that is away, slow or in a hurry.

use std::collections::BTreeMap;
use std::ops::Range;

use flink_rest::Resource;
use flink_traces_observer::RequestOutcome;
use serde_json::{Value, json};

use crate::session::{JOB, SINK, SOURCE, Session, completed};

const OVERVIEW: &str = "/jobs/overview";

/// Returns the times of the requests for the overview in a period, of which each has this outcome.
fn overviews_with(session: &mut Session, from: i64, to: i64, outcome: &RequestOutcome) -> Vec<i64> {
    let (mut now, mut asked) = (from, Vec::new());
    while now < to {
        for path in session.requests(now) {
            assert_eq!(path, OVERVIEW);
            asked.push(now);
            // A request without a response takes its timeout.
            now += if matches!(outcome, RequestOutcome::TimedOut) { 10_000 } else { 1 };
            session.fail(now, OVERVIEW, outcome.clone());
        }
        let next = session.observer.next_request_at(now);
        assert!(next > now, "{next} after {now}");
        now = next;
    }
    asked
}

/// A refused connection costs nothing, so it is repeated every second for a minute, and then every
/// five. A timeout is expensive. The same holds at the start.
#[test]
fn away_cluster_is_requested_every_second() {
    for is_known in [false, true] {
        let start = || {
            let mut session = Session::new();
            if is_known {
                session.overview(0, "RUNNING");
                session.requests(0);
                session.fail(1, &format!("/jobs/{JOB}"), RequestOutcome::Unavailable);
                session.fail(1, OVERVIEW, RequestOutcome::Unavailable);
            }
            session
        };
        let asked = overviews_with(&mut start(), 2_000, 182_000, &RequestOutcome::Unavailable);
        assert!((75..=90).contains(&asked.len()), "{asked:?}");
        let gaps: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps[..50].iter().all(|gap| (1_000..1_100).contains(gap)), "{gaps:?}");
        assert!(gaps[65..].iter().all(|gap| (5_000..5_100).contains(gap)), "{gaps:?}");
        let asked = overviews_with(&mut start(), 2_000, 602_000, &RequestOutcome::TimedOut);
        let gaps: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps[..4], [11_000, 12_000, 14_000, 18_000]);
        assert_eq!(gaps.last(), Some(&40_000));
    }
}

/// Returns the times of the requests for the overview of a cluster with so many jobs, of which the
/// first one has this state in a period.
fn overviews_of_changing_job(jobs: usize, state: &str, period: Range<i64>) -> Vec<i64> {
    let mut session = Session::new();
    let mut asked = Vec::new();
    for now in (0..20_000).step_by(50) {
        for path in session.requests(now) {
            if path == OVERVIEW {
                asked.push(now);
                let job = |number: usize| {
                    let is_other = number == 0 && period.contains(&now);
                    json!({"jid": format!("{number:032x}"), "name": "job", "start-time": 100, "end-time": -1,
                        "state": if is_other { state } else { "RUNNING" }, "duration": 0, "last-modification": 100,
                        "tasks": {"total": 2, "running": 2}})
                };
                session.answer(now, OVERVIEW, json!({"jobs": (0..jobs).map(job).collect::<Vec<_>>()}));
            } else {
                session.fail(now, &path, RequestOutcome::Missing);
            }
        }
    }
    asked
}

/// Guarantees: while a job changes its state, the overview is requested four times a second, unless
/// the cluster has many jobs.
#[test]
fn cluster_is_polled_more_often_while_a_job_changes() {
    let every_second: Vec<_> = (0..20_000).step_by(1_000).collect();
    let more_often: Vec<_> = (0..10_000).step_by(1_000).chain((10_000..12_000).step_by(250)).collect();
    let more_often: Vec<_> = more_often.into_iter().chain((12_000..20_000).step_by(1_000)).collect();
    assert_eq!(overviews_of_changing_job(1, "RUNNING", 10_000..12_000), every_second);
    assert_eq!(overviews_of_changing_job(1, "RESTARTING", 10_000..12_000), more_often);
    assert_eq!(overviews_of_changing_job(50, "RESTARTING", 10_000..12_000), more_often);
    assert_eq!(overviews_of_changing_job(51, "RESTARTING", 10_000..12_000), every_second);
    assert_eq!(overviews_of_changing_job(1, "FINISHED", 10_000..12_000), every_second);
}

/// Guarantees: a job that stays in a state is polled more often for 9 s only.
#[test]
fn job_that_waits_is_polled_as_usual() {
    let expected: Vec<_> = (0..9_000).step_by(250).chain((9_750..20_000).step_by(1_000)).collect();
    assert_eq!(overviews_of_changing_job(1, "CREATED", 0..20_000), expected);
}

/// Scenario: one request of a job is slow, and at last has no response. Guarantees: its job gets no
/// other request meanwhile, other jobs do, and it is repeated after a pause that doubles.
#[test]
fn slow_request_holds_back_its_own_job_only() {
    let other = JOB.replace('0', "f");
    let job = |id: &str| {
        json!({"jid": id, "name": "job", "state": "RUNNING", "start-time": 100, "end-time": -1, "duration": 0,
            "last-modification": 100, "tasks": {"total": 2}})
    };
    let mut session = Session::new();
    session.answer(0, OVERVIEW, json!({"jobs": [job(JOB), job(&other)]}));
    let slow = format!("/jobs/{JOB}/checkpoints");
    let of_job = |asked: &[String], id: &str| asked.iter().filter(|path| path.contains(id)).count();
    let mut now = 100;
    let mut times = Vec::new();
    for _ in 0..7 {
        // All but the slow one are answered at once.
        loop {
            let asked = session.requests(now);
            let is_asked = asked.contains(&slow);
            for path in asked.iter().filter(|path| **path != slow) {
                session.fail(now, path, RequestOutcome::Unavailable);
            }
            session.answer(now, OVERVIEW, json!({"jobs": [job(JOB), job(&other)]}));
            if is_asked {
                break;
            }
            now += 250;
        }
        times.push(now);
        session.observer.note_slow(&Resource::parse(&slow).unwrap());
        let asked = session.requests(now + 5_000);
        assert_eq!(of_job(&asked, JOB), 0, "{asked:?}");
        assert!(of_job(&asked, &other) > 0, "{asked:?}");
        for path in &asked {
            session.fail(now + 5_000, path, RequestOutcome::Unavailable);
        }
        now += 10_000;
        session.fail(now, &slow, RequestOutcome::TimedOut);
        session.answer(now, OVERVIEW, json!({"jobs": [job(JOB), job(&other)]}));
        assert!(!session.observer.is_away());
    }
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0] - 10_000) / 1_000).collect();
    assert_eq!(gaps, [3, 6, 12, 24, 48, 60]);
}

/// A cluster whose overview is slow is not away as long as it responds to other requests.
#[test]
fn slow_overview_does_not_stop_other_requests() {
    let mut session = Session::new();
    session.overview(0, "RUNNING");
    let checkpoints = format!("/jobs/{JOB}/checkpoints");
    let asked = session.requests(1_000);
    assert!(asked.contains(&OVERVIEW.to_owned()) && asked.contains(&checkpoints), "{asked:?}");
    session.observer.note_slow(&Resource::parse(OVERVIEW).unwrap());
    session.checkpoints(1_100, 1, &[completed(1, 500)], Value::Null);
    assert!(session.requests(4_200).contains(&checkpoints));
    session.checkpoints(4_300, 1, &[completed(1, 500)], Value::Null);
    session.fail(11_000, OVERVIEW, RequestOutcome::TimedOut);
    assert!(!session.observer.is_away());
    let asked = session.requests(11_000);
    assert!(!asked.contains(&OVERVIEW.to_owned()) && asked.contains(&checkpoints), "{asked:?}");
    // Without any response, it is.
    assert!(session.requests(12_100).contains(&OVERVIEW.to_owned()));
    session.fail(22_100, OVERVIEW, RequestOutcome::TimedOut);
    assert!(session.observer.is_away());
}

/// Scenario: a checkpoint every 100 ms, a history of ten, no cache. Guarantees: none is missed, and
/// the overview is not requested more often for that.
#[test]
fn fast_checkpoints_without_cache_are_all_seen() {
    const INTERVAL: i64 = 100;
    let mut session = Session::new();
    let configuration = json!([{"key": "rest.cache.checkpoint-statistics.timeout", "value": "0 ms"}, {"key": "web.checkpoints.history", "value": "10"}]);
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    let mut now = 1_000;
    while now < 31_000 {
        // Each checkpoint takes 30 ms.
        let newest = (now - 30) / INTERVAL;
        let history: Vec<_> = (1..=newest).rev().take(10).map(|id| completed(id, id * INTERVAL)).collect();
        for resource in std::iter::from_fn(|| Some(session.observer.requests(now)).filter(|wanted| !wanted.is_empty()))
            .flatten()
            .collect::<Vec<_>>()
        {
            *asked.entry(resource.template()).or_default() += 1;
            match &resource {
                Resource::JobsOverview(_) => session.overview(now, "RUNNING"),
                Resource::Job(_) => session.job(now, "RUNNING", json!({"RUNNING": 200})),
                Resource::JobManagerConfig(_) => session.answer(now, "/jobmanager/config", configuration.clone()),
                Resource::Checkpoints(_) => session.checkpoints(now, newest, &history, Value::Null),
                Resource::CheckpointConfig(_) => {
                    session.answer(now, &resource.path(), json!({"mode": "exactly_once", "interval": INTERVAL}))
                }
                Resource::CheckpointDetails(request) => {
                    session.details(now, request.checkpoint, request.checkpoint * INTERVAL)
                }
                Resource::CheckpointSubtasks(request) => {
                    let ack = if request.vertex.as_str() == SOURCE { 10 } else { 30 };
                    let (id, vertex) = (request.checkpoint, request.vertex.as_str());
                    session.subtasks(now, id, vertex, id * INTERVAL + ack)
                }
                Resource::SubtaskTimes(_) => session.subtask_times(now, [(SOURCE, 300, 0), (SINK, 310, 0)]),
                _ => session.fail(now, &resource.path(), RequestOutcome::Unavailable),
            };
        }
        // A wake-up may be late.
        now = session.observer.next_request_at(now) + 20;
    }
    session.finish();
    let missed: Vec<_> = session.log.lines().filter(|line| line.contains("missed")).collect();
    assert_eq!(missed, [""; 0]);
    let reported = session.log.lines().filter(|line| line.contains(": checkpoint ")).count();
    assert!(reported >= 300, "{reported}");
    assert!(asked[OVERVIEW] <= 31, "{asked:?}");
    let statistics = asked["/jobs/:jobid/checkpoints"];
    assert!((30..=60).contains(&statistics), "{asked:?}");
}
