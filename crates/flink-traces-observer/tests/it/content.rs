//! The content of a job: its status, its vertices and its checkpoint configuration.

use expect_test::expect;
use flink_traces_observer::RequestOutcome;
use serde_json::{Value, json};

use crate::session::{JOB, Session};

fn checkpoint_config() -> String {
    format!("/jobs/{JOB}/checkpoints/config")
}

/// Feeds a session the facts about its cluster, which it must have requested.
fn facts(session: &mut Session, at: i64) {
    let asked = session.requests(at);
    assert!(asked.contains(&"/config".to_owned()) && asked.contains(&"/jobmanager/config".to_owned()), "{asked:?}");
    session.answer(at, "/jobmanager/config", json!([{"key": "web.checkpoints.history", "value": "25"}]));
    session.answer(at, "/config", json!({"flink-version": "2.3.0"}));
}

fn config() -> Value {
    json!({"mode": "exactly_once", "interval": 10_000, "timeout": 600_000})
}

/// A change waits for all parts, whatever their order is, and is reported once.
#[test]
fn content_is_reported_when_it_changes() {
    for job_is_first in [true, false] {
        let mut session = Session::new();
        session.overview(1_000, "RUNNING");
        let job = |session: &mut Session, at| {
            session.job(at, "RUNNING", json!({"CREATED": 100, "RUNNING": 200}));
        };
        if job_is_first {
            job(&mut session, 1_050);
        }
        session.answer(1_100, &checkpoint_config(), config());
        facts(&mut session, 1_150);
        if !job_is_first {
            job(&mut session, 1_050);
        }
        session.overview(1_200, "RUNNING");
        // The same, and then another status.
        job(&mut session, 4_200);
        session.job(9_000, "RESTARTING", json!({"CREATED": 100, "RUNNING": 200, "RESTARTING": 8_500}));
        session.job(12_000, "RUNNING", json!({"CREATED": 100, "RUNNING": 11_000, "RESTARTING": 8_500}));
        let contents: Vec<_> =
            session.contents.lines().map(|line| line.split_once(": ").map_or(line, |(_, line)| line)).collect();
        expect![[r#"
            seen at 1050: RUNNING since 200, started 100, [source*1 sink*1], interval 10000, timeout 600000, history 25, version 2.3.0
            seen at 9000: RESTARTING since 8500, started 100, [source*1 sink*1], interval 10000, timeout 600000, history 25, version 2.3.0
            seen at 12000: RUNNING since 11000, started 100, [source*1 sink*1], interval 10000, timeout 600000, history 25, version 2.3.0
        "#]]
        .assert_eq(&(contents.join("\n") + "\n"));
    }
}

/// A job without checkpoints has no checkpoint configuration. Other facts may never arrive.
#[test]
fn content_does_not_wait_for_missing_parts() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING");
    session.job(1_050, "RUNNING", json!({"RUNNING": 200}));
    session.overview(5_500, "RUNNING");
    assert_eq!(session.contents, "");
    assert!(!session.observer.is_settled());
    session.overview(5_550, "RUNNING");
    session.missing(5_600, &checkpoint_config());
    facts(&mut session, 5_650);
    session.job(6_000, "FINISHED", json!({"RUNNING": 200, "FINISHED": 5_900}));
    expect![[r#"
        5550: seen at 1050: RUNNING since 200, started 100, [source*1 sink*1], interval ?, timeout ?, history ?, version ?
        6000: seen at 6000: FINISHED since 5900, started 100, [source*1 sink*1], interval ?, timeout ?, history 25, version 2.3.0
    "#]]
    .assert_eq(&session.contents);
}

/// Another JobManager may have another version and another configuration.
#[test]
fn facts_are_requested_again_after_an_outage() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING");
    facts(&mut session, 1_050);
    session.fail(2_000, "/jobs/overview", RequestOutcome::Unavailable);
    session.overview_since(9_000, "RUNNING", 8_000, -1);
    let asked = session.requests(9_000);
    assert!(asked.contains(&"/config".to_owned()), "{asked:?}");
    session.answer(9_010, &checkpoint_config(), config());
    session.job(9_020, "RUNNING", json!({"RUNNING": 8_100}));
    assert_eq!(session.contents, "");
    session.missing(9_030, "/jobmanager/config");
    session.answer(9_040, "/config", json!({"flink-version": "2.4.0"}));
    session.overview_since(9_050, "RUNNING", 8_000, -1);
    assert!(session.contents.contains("history 25, version 2.4.0"), "{}", session.contents);
}
