//! Missed checkpoints.

use flink_rest::Resource;
use flink_traces_observer::{Observation, RequestOutcome};
use serde_json::{Value, json};

use crate::session::{JOB, Session, completed};

/// A checkpoint of a history.
fn entry(id: i64, status: &str) -> Value {
    let mut entry = completed(id, 1_000 + id % 1_000);
    entry["status"] = json!(status);
    entry
}

fn history(ids: impl DoubleEndedIterator<Item = i64>) -> Vec<Value> {
    ids.rev().map(|id| entry(id, "COMPLETED")).collect()
}

/// A session whose cluster had no job in its first overview.
fn watched_from_start() -> Session {
    let mut session = Session::new();
    session.no_jobs(50).overview(200, "RUNNING");
    session
}

fn watched_later() -> Session {
    let mut session = Session::new();
    session.overview(200_000, "RUNNING");
    session
}

impl Session {
    /// Returns the reports of missed checkpoints.
    fn missed(&self) -> Vec<&str> {
        self.log.lines().filter_map(|line| line.split_once(": missed ").map(|(_, missed)| missed)).collect()
    }
}

/// Scenario: the responses of one job, as completed, failed and pending checkpoints with a history.
/// Guarantees: each missed checkpoint is counted once, with its ids.
#[test]
fn each_missed_checkpoint_is_counted_once() {
    let pending = |id| entry(id, "IN_PROGRESS");
    let with = |mut history: Vec<Value>, first: Value| {
        history.insert(0, first);
        history
    };
    type Response = ([i64; 3], Vec<Value>);
    type Case = (&'static str, fn() -> Session, Vec<Response>, &'static [&'static str]);
    let cases: [Case; 13] = [
        ("nothing missed", watched_later, vec![([3, 0, 0], history(1..4)), ([13, 0, 0], history(4..14))], &[]),
        (
            "a gap between two polls",
            watched_later,
            vec![([3, 0, 0], history(1..4)), ([23, 0, 0], history(14..24))],
            &["10 from 4 to 13, history Some(30)"],
        ),
        (
            "seen in progress, and gone at the next poll",
            watched_later,
            vec![([3, 0, 1], with(history(1..4), pending(4))), ([24, 0, 0], history(15..25))],
            &["11 from 4 to 14, history Some(30)"],
        ),
        (
            "failed before it had an id",
            watched_later,
            vec![([3, 0, 0], history(1..4)), ([5, 40, 0], history(1..6))],
            &[],
        ),
        (
            "failed with an id",
            watched_later,
            vec![([3, 0, 0], history(1..4)), ([3 + 10, 5, 0], history(9..19))],
            &["5 from 4 to 8, history Some(20)"],
        ),
        (
            "before the first poll of a new job",
            watched_from_start,
            vec![([25, 2, 0], history(16..26))],
            &["15 from 1 to 15, history Some(30)"],
        ),
        ("before the first poll of an old job", watched_later, vec![([25, 2, 0], history(16..26))], &[]),
        (
            "without any history",
            watched_from_start,
            vec![([0, 0, 0], vec![]), ([0, 9, 0], vec![]), ([12, 9, 0], history(3..13))],
            &["2 from 1 to 2, history Some(20)"],
        ),
        (
            "an older response of another cache",
            watched_later,
            vec![([9, 0, 0], history(1..10)), ([8, 0, 0], history(1..9)), ([21, 0, 0], history(12..22))],
            &["2 from 10 to 11, history Some(20)"],
        ),
        (
            "a savepoint that outlives the history in progress",
            watched_later,
            vec![([3, 0, 1], with(history(1..4), pending(4))), ([13, 0, 1], history(5..15))],
            &[],
        ),
        (
            "ids that begin anew",
            watched_later,
            vec![([10, 0, 0], history(500..510)), ([3, 0, 0], history(1..4)), ([29, 0, 0], history(20..30))],
            &["16 from 4 to 19, history Some(30)"],
        ),
        (
            "ids that triggers used and no checkpoint has",
            watched_later,
            vec![([3, 0, 0], history([1, 2, 5].into_iter())), ([8, 0, 0], history([5, 7, 8, 9, 10, 11].into_iter()))],
            &[],
        ),
        (
            "extreme ids",
            watched_later,
            vec![
                ([1, 0, 0], vec![entry(i64::MIN, "COMPLETED"), entry(7, "COMPLETED")]),
                ([2, 0, 0], vec![entry(i64::MAX, "COMPLETED")]),
            ],
            &["1 from 8 to 9223372036854775806, history Some(9223372036854775800)"],
        ),
    ];
    for (name, session, responses, expected) in cases {
        let mut session = session();
        for (number, (counts, history)) in responses.into_iter().enumerate() {
            session.statistics(300_000 + 1_000 * number as i64, counts, &history, Value::Null);
        }
        assert_eq!(session.missed(), expected, "{name}");
    }
}

/// Scenario: checkpoints 7 to 9 complete, the JobManager is killed while 10 is in progress, and the
/// next one restores 9. Guarantees: three are missed, 10 is not, and no option is advised.
#[test]
fn failover_misses_up_to_the_restored_checkpoint() {
    let restored = |path: String| json!({"id": 9, "restore_timestamp": 205_500, "external_path": path});
    let own = format!("file:/state/{JOB}/chk-9");
    for (path, expected) in [(own, &["3 from 7 to 9, history None"][..]), ("file:/another/chk-9".to_owned(), &[])] {
        let mut session = watched_later();
        session.checkpoints(200_100, 6, &history(1..7), Value::Null);
        session.overview_since(210_000, "RUNNING", 205_000, -1);
        session.checkpoints(210_100, 5, &history(11..16), restored(path));
        assert_eq!(session.missed(), expected);
    }
}

/// Texts of any length come from a cluster. Guarantees: a record has at most 16 Ki characters of
/// each.
#[test]
fn texts_of_a_checkpoint_are_truncated() {
    let long = "é".repeat(1_000_000);
    let mut failed = entry(1, "FAILED");
    (failed["failure_message"], failed["external_path"]) = (json!(long), json!(long));
    failed["failure_timestamp"] = json!(2_000);
    let body = json!({"counts": {"restored": 0, "total": 1, "in_progress": 0, "completed": 0, "failed": 1},
        "latest": {}, "history": [failed]});
    let resource = Resource::parse(&format!("/jobs/{JOB}/checkpoints")).unwrap();
    let body = resource.parse_body(body.to_string().as_bytes()).unwrap();
    let mut session = watched_later();
    session.observer.observe(200_100, &resource, RequestOutcome::Found(Box::new(body)));
    let outputs = session.observer.finish();
    let Observation::Checkpoint(stats) = &outputs[0].observation else { panic!("{outputs:?}") };
    let message = &stats.failure.as_ref().unwrap().message;
    for text in [message, stats.external_path.as_ref().unwrap()] {
        assert!(text.ends_with("… (1000000 characters)"), "{}", text.len());
        assert!(text.chars().count() < 17_000);
    }
}

/// Sizes may have any value. Guarantees: their sum neither wraps nor panics.
#[test]
fn extreme_sizes_do_not_wrap() {
    let mut session = watched_later();
    let mut failed = entry(1, "FAILED");
    failed["failure_timestamp"] = json!(9_000);
    let body = json!({"counts": {"restored": 0, "total": 1, "in_progress": 0, "completed": 0, "failed": 1},
        "latest": {}, "history": [failed]});
    session.answer(200_100, &format!("/jobs/{JOB}/checkpoints"), body);
    let vertex = crate::session::SOURCE;
    failed["tasks"] = json!({vertex: {"id": 1, "status": "FAILED", "latest_ack_timestamp": 2_000, "num_subtasks": 2,
        "num_acknowledged_subtasks": 2}});
    session.answer(200_200, &format!("/jobs/{JOB}/checkpoints/details/1"), failed);
    let subtask = |index: i64| {
        json!({"className": "completed", "index": index, "status": "completed", "ack_timestamp": 2_000,
            "state_size": i64::MAX, "checkpointed_size": i64::MAX, "aborted": false})
    };
    session.missing(200_250, &format!("/jobs/{JOB}/vertices/{vertex}/subtasktimes"));
    let path = format!("/jobs/{JOB}/checkpoints/details/1/subtasks/{vertex}");
    let body =
        json!({"id": 1, "status": "FAILED", "latest_ack_timestamp": 2_000, "subtasks": [subtask(0), subtask(1)]});
    let resource = Resource::parse(&path).unwrap();
    let body = resource.parse_body(body.to_string().as_bytes()).unwrap();
    let outputs = session.observer.observe(200_300, &resource, RequestOutcome::Found(Box::new(body)));
    let Observation::Checkpoint(stats) = &outputs[0].observation else { panic!("{outputs:?}") };
    assert_eq!(stats.state_size, Some(i64::MAX));
}
