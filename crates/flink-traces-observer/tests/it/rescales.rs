//! Rescales by the Adaptive scheduler, and the applications of jobs.

use expect_test::expect;
use flink_traces_observer::RequestOutcome;
use serde_json::{Value, json};

use crate::session::{JOB, SINK, SOURCE, Session};

const RESCALE: &str = "cccccccccccccccccccccccccccccccc";
const NEXT: &str = "dddddddddddddddddddddddddddddddd";

/// The configuration of a checkpoint a minute.
fn checkpoint_config() -> Value {
    json!({"mode": "exactly_once", "interval": 60_000, "timeout": 600_000, "min_pause": 0, "max_concurrent": 1,
        "externalization": {"enabled": false, "delete_on_cancellation": true}})
}

/// Feeds the details of a job of the Adaptive scheduler that went to `RUNNING` then.
fn adaptive(session: &mut Session, at: i64, running: i64) {
    let vertex = |id: &str, name: &str| json!({"id": id, "name": name, "parallelism": 1, "status": "RUNNING"});
    let body = json!({"jid": JOB, "application-id": RESCALE, "name": "job", "state": "RUNNING", "job-type": "STREAMING",
        "schedulerType": "Adaptive", "start-time": 100, "timestamps": {"CREATED": 100, "RUNNING": running},
        "vertices": [vertex(SOURCE, "source"), vertex(SINK, "sink")], "pending-operators": 0});
    session.answer(at, &format!("/jobs/{JOB}"), body);
}

/// A rescale as it is in the history, or with `end` `None` in progress.
fn rescale(id: &str, start: i64, end: Option<i64>, state: &str) -> Value {
    json!({"rescaleUuid": id, "resourceRequirementsUuid": NEXT, "rescaleAttemptId": 1, "vertices": {}, "slots": {},
        "schedulerStates": [], "startTimestampInMillis": start, "endTimestampInMillis": end,
        "terminalState": end.map(|_| state), "triggerCause": "UPDATE_REQUIREMENT",
        "terminatedReason": end.map(|_| "SUCCEEDED")})
}

/// The same with its details.
fn detailed(id: &str, start: i64, end: i64, state: &str) -> Value {
    let mut body = rescale(id, start, Some(end), state);
    body["schedulerStates"] = json!([
        {"state": "Restarting", "enterTimestampInMillis": start, "leaveTimestampInMillis": end - 5,
            "durationInMillis": end - start - 5, "stringifiedException": null},
        {"state": "CreatingExecutionGraph", "enterTimestampInMillis": end - 5, "leaveTimestampInMillis": end,
            "durationInMillis": 5, "stringifiedException": null}]);
    body
}

fn history() -> String {
    format!("/jobs/{JOB}/rescales/history")
}

fn details(id: &str) -> String {
    format!("/jobs/{JOB}/rescales/details/{id}")
}

/// Returns the paths of the due requests that are about rescales.
fn rescale_requests(session: &mut Session, now: i64) -> Vec<String> {
    session.requests(now).into_iter().filter(|path| path.contains("/rescales/")).collect()
}

/// A session with a job that runs since 1,000, and whose history of rescales is empty.
fn running() -> Session {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING");
    adaptive(&mut session, 1_010, 1_000);
    session.answer(1_020, &format!("/jobs/{JOB}/checkpoints/config"), checkpoint_config());
    session.checkpoints(1_020, 3, &[], Value::Null);
    session.subtask_times(1_030, [(SOURCE, 1_010, 0), (SINK, 1_020, 0)]);
    session
}

/// Scenario: a rescale ends, and the job comes up from a checkpoint. Guarantees: the details are
/// requested once, and the observation names the initialization, for which it waits.
#[test]
fn rescale_waits_for_its_initialization() {
    let mut session = running();
    assert_eq!(rescale_requests(&mut session, 1_040), [history()]);
    session.answer(1_050, &history(), json!([]));
    for now in (2_000..20_000).step_by(1_000) {
        session.overview(now, "RUNNING");
        session.requests(now);
    }
    let restored = json!({"id": 3, "restore_timestamp": 20_090, "is_savepoint": false, "external_path": "p/chk-3"});
    session.subtask_times(20_050, [(SOURCE, 1_010, 20_010), (SINK, 1_020, 20_010)]);
    adaptive(&mut session, 20_200, 20_100);
    session.checkpoints(20_210, 3, &[], restored);
    session.answer(20_220, &history(), json!([rescale(RESCALE, 20_000, Some(20_100), "COMPLETED")]));
    let requests = session.requests(20_230);
    assert!(requests.contains(&details(RESCALE)), "{requests:?}");
    session.answer(20_240, &details(RESCALE), detailed(RESCALE, 20_000, 20_100, "COMPLETED"));
    assert!(!session.requests(23_500).contains(&details(RESCALE)));
    assert!(!session.log.contains("rescale"), "{}", session.log);
    session.subtask_times(25_000, [(SOURCE, 20_300, 0), (SINK, 20_400, 0)]);
    session.overview(30_000, "RUNNING").overview(31_000, "RUNNING");
    let rescales: Vec<_> =
        session.log.lines().filter(|line| line.contains("rescale") || line.contains("came up 20")).collect();
    expect![[r#"
        30000: came up 20090..20400 from Some(3), None bytes
        30000: rescale COMPLETED 20000..20100 states 2 Some(CausedInitialization { restored_checkpoint_id: Some(3), identity_timestamp: 20090 })"#]].assert_eq(&rescales.join("\n"));
    // Reported once.
    session.answer(40_000, &history(), json!([rescale(RESCALE, 20_000, Some(20_100), "COMPLETED")]));
    session.finish();
    assert_eq!(session.log.matches("rescale").count(), 1, "{}", session.log);
}

/// Scenario: rescales that fail and that change nothing, and one without details. Guarantees: each
/// is reported, without an initialization.
#[test]
fn rescale_without_effect_is_reported_alone() {
    let mut session = running();
    let ended = [
        rescale(NEXT, 4_000, Some(4_100), "FAILED"),
        rescale(RESCALE, 2_000, Some(2_100), "IGNORED"),
        rescale(JOB, 5_000, None, ""),
    ];
    session.answer(6_000, &history(), json!(ended));
    session.answer(6_010, &details(NEXT), detailed(NEXT, 4_000, 4_100, "FAILED"));
    session.missing(6_020, &details(RESCALE));
    session.overview(20_000, "RUNNING");
    let rescales: Vec<_> = session.log.lines().filter(|line| line.contains("rescale")).collect();
    expect![[r#"
        6010: rescale FAILED 4000..4100 states 2 None
        6020: rescale IGNORED 2000..2100 states 0 None"#]]
    .assert_eq(&rescales.join("\n"));
}

/// Scenario: a cluster that keeps no rescales, and one with a rescale in progress. Guarantees: the
/// first is not asked again, the second every three seconds, and a quiet one every thirty.
#[test]
fn history_is_requested_while_it_may_change() {
    let mut session = running();
    assert_eq!(rescale_requests(&mut session, 1_040), [history()]);
    session.missing(1_050, &history());
    for now in (2_000..60_000).step_by(1_000) {
        session.overview(now, "RUNNING");
        assert!(rescale_requests(&mut session, now).is_empty(), "{now}");
    }

    let mut session = running();
    session.requests(1_040);
    session.answer(1_050, &history(), json!([rescale(RESCALE, 900, None, "")]));
    let mut asked = Vec::new();
    for now in (2_000..100_000).step_by(1_000) {
        session.overview(now, "RUNNING");
        if rescale_requests(&mut session, now).contains(&history()) {
            asked.push(now);
            let is_over = now > 20_000;
            let body = if is_over { json!([]) } else { json!([rescale(RESCALE, 900, None, "")]) };
            session.answer(now + 10, &history(), body);
        }
    }
    let early: Vec<_> = asked.iter().filter(|now| **now < 20_000).collect();
    let late: Vec<_> = asked.iter().filter(|now| **now > 24_000).collect();
    assert!((5..8).contains(&early.len()) && (2..4).contains(&late.len()), "{asked:?}");
}

/// Scenario: a job of another scheduler. Guarantees: no rescale is requested.
#[test]
fn job_of_default_scheduler_has_no_rescales() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_010, "RUNNING", json!({"RUNNING": 1_000}));
    assert!(rescale_requests(&mut session, 1_040).is_empty());
}

/// Scenario: the details of a job have the id of its application. Guarantees: the list of
/// applications is requested once, the job's records wait for it, and have id and name.
#[test]
fn records_wait_for_the_name_of_the_application() {
    let mut session = Session::new();
    session.requests(900);
    session.overview(1_000, "RUNNING");
    session.requests(1_005);
    let observe = |session: &mut Session, at: i64, path: &str, body: Value| {
        let resource = flink_rest::Resource::parse(path).unwrap();
        let body = resource.parse_body(body.to_string().as_bytes()).unwrap();
        session.observer.observe(at, &resource, RequestOutcome::Found(Box::new(body)))
    };
    adaptive(&mut session, 1_010, 1_000);
    assert!(session.requests(1_020).contains(&"/applications/overview".to_owned()));
    session.answer(1_025, &format!("/jobs/{JOB}/checkpoints/config"), checkpoint_config());
    assert_eq!(session.contents, "");
    let list = json!({"applications": [{"id": RESCALE, "name": "orders app", "start-time": 90, "end-time": -1,
        "duration": 9, "status": "RUNNING", "jobs": {"RUNNING": 1}}]});
    observe(&mut session, 1_030, "/applications/overview", list);
    assert!(!session.requests(4_500).contains(&"/applications/overview".to_owned()));
    let overview = json!({"jobs": [{"jid": JOB, "name": "job", "state": "RUNNING", "start-time": 100, "end-time": -1,
        "duration": 0, "last-modification": 100, "tasks": {"total": 2, "running": 2}}]});
    let seen = observe(&mut session, 9_000, "/jobs/overview", overview);
    assert!(!seen.is_empty());
    for observation in seen {
        let application = observation.application.as_deref().unwrap();
        assert_eq!((application.id.as_str(), application.name.as_deref()), (RESCALE, Some("orders app")));
    }
}

/// Scenario: the cluster has no list of applications, or does not respond to the request.
/// Guarantees: the records have the id only, at once or when no name can be expected.
#[test]
fn application_without_list_has_no_name() {
    for (outcome, reported_at) in [(RequestOutcome::Missing, 2_000), (RequestOutcome::TimedOut, 6_000)] {
        let mut session = Session::new();
        session.requests(900);
        session.overview(1_000, "RUNNING");
        session.requests(1_005);
        adaptive(&mut session, 1_010, 1_000);
        session.answer(1_015, &format!("/jobs/{JOB}/checkpoints/config"), checkpoint_config());
        session.missing(1_016, "/jobmanager/config").missing(1_017, "/config");
        session.requests(1_020);
        session.fail(1_030, "/applications/overview", outcome);
        for now in [2_000, 4_000, 6_000, 8_000] {
            session.overview(now, "RUNNING");
            assert_eq!(session.contents.is_empty(), now < reported_at, "{now}: {}", session.contents);
        }
    }
}
