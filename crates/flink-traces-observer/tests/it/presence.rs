//! Jobs that disappear and return, with and without their JobManager.

use expect_test::expect;
use flink_traces_observer::{Observation, RequestOutcome};
use serde_json::{Value, json};

use crate::session::{JOB, SINK, SOURCE, Session, completed};

const OVERVIEW: &str = "/jobs/overview";

/// A session with a running job, of which everything is reported.
fn running() -> Session {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.checkpoints(1_000, 1, &[completed(1, 500)], Value::Null);
    session.details(1_000, 1, 500).subtasks(1_000, 1, SOURCE, 510).subtasks(1_000, 1, SINK, 530);
    session.subtask_times(1_000, [(SOURCE, 300, 0), (SINK, 310, 0)]).overview(6_000, "RUNNING");
    assert_eq!(session.log.lines().count(), 4, "{}", session.log);
    session.log.clear();
    session
}

/// Feeds the same responses again.
fn repeat(session: &mut Session, at: i64) {
    session.overview(at, "RUNNING").job(at, "RUNNING", json!({"RUNNING": 200}));
    session.checkpoints(at, 1, &[completed(1, 500)], Value::Null);
    session.subtask_times(at, [(SOURCE, 300, 0), (SINK, 310, 0)]).overview(at + 10_000, "RUNNING");
}

/// Flink omits a job from the overview if its JobMaster is slow.
#[test]
fn job_omitted_from_overviews_is_not_reported_again() {
    for omitted in [1, 5] {
        let mut session = running();
        for second in 0..omitted {
            session.no_jobs(7_000 + second * 1_000);
        }
        let asked = session.requests(7_000 + omitted * 1_000);
        assert!(
            asked.contains(&format!("/jobs/{JOB}")) && asked.contains(&format!("/jobs/{JOB}/checkpoints")),
            "{asked:?}"
        );
        repeat(&mut session, 20_000);
        assert_eq!(session.finish().log, "", "{omitted}");
    }
}

#[test]
fn returned_job_is_not_reported_again() {
    let mut session = running();
    session.no_jobs(7_000).missing(7_100, &format!("/jobs/{JOB}"));
    assert!(session.requests(8_000).iter().all(|path| !path.contains(JOB)));
    repeat(&mut session, 20_000);
    session.finish().check(expect![[r#"
        7100: vanished RUNNING since 200, away since 7000: GONE
        20000: vanished RUNNING since 200, away since 7000: RETURNED
    "#]]);
}

/// A 404 for a job that the overview has may be a proxy's.
#[test]
fn job_in_the_overview_survives_a_404() {
    let mut session = running();
    session.missing(7_100, &format!("/jobs/{JOB}"));
    repeat(&mut session, 20_000);
    assert_eq!(session.finish().log, "");
}

/// Scenario: the JobManager is away, and its job does or does not survive. Guarantees: after a
/// minute the job has vanished. The next overviews show what became of it, in any case.
#[test]
fn job_that_vanishes_with_its_cluster_is_reported() {
    let mut session = running();
    session.fail(7_000, OVERVIEW, RequestOutcome::Unavailable).fail(66_000, OVERVIEW, RequestOutcome::Unavailable);
    assert_eq!(session.log, "");
    session.fail(67_000, OVERVIEW, RequestOutcome::Unavailable).fail(72_000, OVERVIEW, RequestOutcome::Unavailable);
    repeat(&mut session, 80_000);
    session.finish().check(expect![[r#"
        67000: vanished RUNNING since 200, away since 7000: UNKNOWN
        80000: vanished RUNNING since 200, away since 7000: RETURNED
    "#]]);

    let mut session = running();
    session.fail(7_000, OVERVIEW, RequestOutcome::Unavailable).no_jobs(9_000).missing(9_100, &format!("/jobs/{JOB}"));
    session.finish().check(expect![[r#"
        9100: vanished RUNNING since 200, away since 7000: GONE
    "#]]);

    let mut session = running();
    session.fail(7_000, OVERVIEW, RequestOutcome::Unavailable);
    repeat(&mut session, 9_000);
    assert_eq!(session.finish().log, "");
}

/// Scenario: the JobManager of an application ends with its job, before any response but the
/// overview shows the end. Guarantees: the end is reported, once.
#[test]
fn end_is_reported_from_the_overview_alone() {
    let mut session = running();
    session.overview_since(7_000, "FAILED", 100, 6_900);
    for second in 8..20 {
        session.fail(second * 1_000, OVERVIEW, RequestOutcome::Unavailable);
    }
    session.overview_since(20_000, "FAILED", 100, 6_900).overview(40_000, "FAILED").finish();
    session.check(expect![[r#"
        16000: FAILED 6900
    "#]]);
}

/// Scenario: an application fails, restarts, and fails for good. Guarantees: while it may be about
/// to end, nothing is requested that Flink would cache. Then the failures are requested first.
#[test]
fn failing_application_gets_no_cached_request() {
    let mut session = running();
    let configuration = json!([{"key": "execution.target", "value": "embedded"}]);
    session.answer(6_100, "/jobmanager/config", configuration);
    assert!(session.observer.is_application());
    let mut now = 20_000;
    let mut poll = |session: &mut Session, state: &str| {
        now += 250;
        let due = session.observer.next_request_at(now - 250);
        assert!(due <= now, "{due} at {now}");
        let mut asked = session.requests(now);
        assert!(asked.contains(&OVERVIEW.to_owned()), "{now}: {asked:?}");
        asked.retain(|path| path != OVERVIEW);
        session.overview_since(now, state, 100, -1);
        for path in &asked {
            session.fail(now, path, RequestOutcome::Unavailable);
        }
        let first = asked.len();
        asked.extend(session.requests(now));
        for path in &asked[first..] {
            session.fail(now, path, RequestOutcome::Unavailable);
        }
        asked
    };
    poll(&mut session, "RUNNING");
    for state in ["FAILING", "FAILING", "RESTARTING", "RESTARTING"] {
        assert_eq!(poll(&mut session, state), [""; 0], "{state}");
    }
    let asked = poll(&mut session, "RUNNING");
    assert_eq!(asked[0], format!("/jobs/{JOB}/exceptions"));
    assert_eq!(asked[1], format!("/jobs/{JOB}"));
    for state in ["FAILING", "FAILED"] {
        let asked = poll(&mut session, state);
        assert_eq!(asked.is_empty(), state == "FAILING", "{asked:?}");
    }
    // A job that restarts for ever is requested nevertheless.
    let asked: Vec<_> = (0..200).flat_map(|_| poll(&mut session, "RESTARTING")).collect();
    assert!(asked.contains(&format!("/jobs/{JOB}/exceptions")));
}

/// Scenario: the job of an application restarts, and its tasks come to run one after the other.
/// Guarantees: the graph is requested once, when all tasks run, and again if the response is old.
/// A response stays in the JobManager's cache, and would hide the end of the job.
#[test]
fn running_application_gets_one_request_a_change() {
    let mut session = Session::new();
    let mut poll = |now: i64, state: &str, running: i64, modified: i64| {
        let job = json!({"jid": JOB, "name": "job", "state": state, "start-time": 100, "end-time": -1, "duration": 0,
            "last-modification": modified, "tasks": {"total": 2, "running": running}});
        session.answer(now, OVERVIEW, json!({"jobs": [job]}));
        let mut graph = Vec::new();
        loop {
            let asked = session.requests(now);
            for path in &asked {
                match path.as_str() {
                    "/jobmanager/config" => {
                        session.answer(now, path, json!([{"key": "execution.target", "value": "embedded"}]))
                    }
                    path if path.ends_with(JOB) && now < 22_000 => {
                        session.job(now, "RESTARTING", json!({"RUNNING": 200, "RESTARTING": 20_000}))
                    }
                    path if path.ends_with(JOB) => {
                        session.job(now, "RUNNING", json!({"RUNNING": 20_500, "RESTARTING": 20_000}))
                    }
                    path if path.ends_with("/exceptions") => session.answer(
                        now,
                        path,
                        json!({"root-exception": null, "timestamp": null,
                            "all-exceptions": [], "truncated": false}),
                    ),
                    _ => session.fail(now, path, RequestOutcome::Missing),
                };
            }
            if asked.is_empty() {
                return graph;
            }
            graph.extend(asked.into_iter().filter_map(|path| path.strip_prefix("/jobs/").map(str::to_owned)));
            graph.retain(|path| path.ends_with(JOB) || path.ends_with("exceptions"));
        }
    };
    poll(10_000, "RUNNING", 2, 500);
    assert_eq!(poll(20_100, "RESTARTING", 0, 20_000), [""; 0]);
    assert_eq!(poll(20_600, "RUNNING", 1, 20_500), [""; 0]);
    let (failures, graph) = (format!("{JOB}/exceptions"), JOB.to_owned());
    assert_eq!(poll(21_000, "RUNNING", 2, 20_900), [failures, graph.clone()]);
    for now in (21_250..24_000).step_by(250) {
        assert_eq!(poll(now, "RUNNING", 2, 20_900), [""; 0], "{now}");
    }
    assert_eq!(poll(24_000, "RUNNING", 2, 20_900), [graph]);
    for now in (24_250..40_000).step_by(250) {
        assert_eq!(poll(now, "RUNNING", 2, 20_900), [""; 0], "{now}");
    }
}

/// Guarantees: when the last task of an application runs, a request is due at once.
#[test]
fn application_is_asked_as_soon_as_all_tasks_run() {
    let mut session = Session::new();
    let overview = |running: i64| {
        json!({"jobs": [{"jid": JOB, "name": "job", "state": "RUNNING", "start-time": 100, "end-time": -1, "duration": 0,
            "last-modification": 500, "tasks": {"total": 2, "running": running}}]})
    };
    let mut next = |now: i64, running: i64| {
        let is_asked = session.requests(now).iter().any(|path| path == OVERVIEW);
        if is_asked {
            session.answer(now, OVERVIEW, overview(running));
        }
        let due = session.observer.next_request_at(now);
        for path in session.requests(now) {
            match path.as_str() {
                "/jobmanager/config" => {
                    session.answer(now, &path, json!([{"key": "execution.target", "value": "embedded"}]))
                }
                _ => session.fail(now, &path, RequestOutcome::Missing),
            };
        }
        due - now
    };
    next(600, 1);
    assert_eq!([1_000, 1_250, 1_500].map(|now| next(now, 1)), [250; 3]);
    assert_eq!(next(1_750, 2), 50);
}

/// Restores of a job that never runs are kept up to a limit, and their paths, too.
#[test]
fn restores_of_a_job_that_never_runs_are_bounded() {
    let mut session = running();
    for number in 0..1_000 {
        let restored = json!({"id": 1, "restore_timestamp": 10_000 + number, "external_path": "x".repeat(100_000)});
        session.checkpoints(10_000 + number, 1, &[completed(1, 500)], restored);
    }
    let kept = format!("{:?}", session.observer);
    assert!(kept.len() < 1_000_000, "{}", kept.len());
}

/// Scenario: a recorded failover. The first response of the new JobManager comes when all subtasks
/// run again. Guarantees: the recovery restores a checkpoint, and no event is invented.
#[test]
fn failover_seen_late_is_a_restore() {
    let recording = crate::recording("flink-2.3.0-failover.jsonl.gz");
    let recording = flink_traces_observer::recording::RecordingReader::open(&recording).unwrap();
    let mut seen = Vec::new();
    flink_traces_observer::replay::replay(recording, |_, observations| {
        seen.extend(observations.iter().filter_map(|output| match &output.observation {
            Observation::Checkpoint(_) | Observation::Content { .. } => None,
            Observation::Initialization { stats, .. } => Some(format!(
                "initialization {}..{} from {:?}",
                stats.start_timestamp, stats.end_timestamp, stats.restored_checkpoint_id
            )),
            other => Some(crate::session::shown(other)),
        }));
    })
    .unwrap();
    expect![[r#"
        RUNNING 1795871843468
        AllRunningOrFinished 1795871845317
        initialization 1795871843468..1795871845317 from None
        missed 6 from 6 to 11, history Some(20)
        RUNNING 1795871899843
        AllRunningOrFinished 1795871900345
        initialization 1795871899784..1795871900345 from Some(8)
        CANCELLING 1795871924985
        NotAllRunningOrFinished 1795871924986
        CANCELED 1795871925115
    "#]]
    .assert_eq(&format!("{}\n", seen.join("\n")));
}
