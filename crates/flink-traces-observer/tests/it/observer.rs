//! The observer, with responses that no recording has.

use std::collections::BTreeMap;

use expect_test::expect;
use flink_rest::Resource;
use flink_traces_observer::recording::{Exchange, RecordingReader};
use flink_traces_observer::replay::Replay;
use flink_traces_observer::{JobObservation, Observation, RequestOutcome};
use flink_traces_runtime::CheckpointStats;
use flink_traces_runtime::checkpoint::{CheckpointStatus, CheckpointType};
use serde_json::{Value, json};

use crate::session::{JOB, SINK, SOURCE, Session, completed, restored};

#[test]
fn checkpoint_is_reported_once_when_complete() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING");
    session.job(1_100, "RUNNING", json!({}));
    for vertex in [SOURCE, SINK] {
        session.missing(1_200, &format!("/jobs/{JOB}/vertices/{vertex}/subtasktimes"));
    }
    session.checkpoints(2_000, 1, &[completed(1, 1_500)], Value::Null);
    session.details(2_010, 1, 1_500).subtasks(2_020, 1, SOURCE, 1_510).subtasks(2_030, 1, SINK, 1_530);
    session.checkpoints(5_000, 1, &[completed(1, 1_500)], Value::Null).finish();
    session.check(expect![[r#"
        2030: checkpoint 1 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
    "#]]);
}

/// Flink may respond with another job's checkpoint of the same id.
#[test]
fn responses_of_another_job_are_ignored() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_100, "RUNNING", json!({}));
    session.subtask_times(1_200, [(SOURCE, 300, 0), (SINK, 310, 0)]);
    session.checkpoints(2_000, 1, &[completed(1, 1_500)], Value::Null);
    session.details(2_010, 1, 777).subtasks(2_020, 1, SOURCE, 787).subtasks(2_030, 1, SINK, 807);
    session.details(3_010, 1, 1_500).subtasks(3_020, 1, SOURCE, 1_510).subtasks(3_030, 1, SINK, 9_999);
    session.subtasks(4_000, 1, SINK, 1_530);
    session.check(expect![[r#"
        4000: checkpoint 1 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
    "#]]);
}

/// Returns the due requests for a checkpoint, without those that are in flight.
fn checkpoint_requests(session: &mut Session, at: i64) -> Vec<String> {
    let prefix = format!("/jobs/{JOB}/checkpoints/details/");
    let requests = session.requests(at);
    requests.iter().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect()
}

/// Starts a session with a running job, whose first checkpoint is `entry`.
fn with_checkpoint(entry: Value) -> Session {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.subtask_times(1_000, [(SOURCE, 300, 0), (SINK, 310, 0)]);
    session.checkpoints(2_000, 1, &[entry], Value::Null);
    session
}

/// A completed checkpoint needs no details if the subtasks of the job's vertices are all that it
/// has. The first vertex is requested alone.
#[test]
fn completed_checkpoint_needs_no_details() {
    let [source, sink] = [SOURCE, SINK].map(|vertex| format!("1/subtasks/{vertex}"));
    let mut session = with_checkpoint(completed(1, 1_500));
    assert_eq!(checkpoint_requests(&mut session, 2_000), [source]);
    session.subtasks(2_010, 1, SOURCE, 1_510);
    assert_eq!(checkpoint_requests(&mut session, 2_010), [sink]);
    session.subtasks(2_020, 1, SINK, 1_530).overview(6_000, "RUNNING");
    assert_eq!(checkpoint_requests(&mut session, 6_000), [""; 0]);
    session.check(expect![[r#"
        2020: checkpoint 1 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        6000: RUNNING 200
    "#]]);
}

/// Scenario: the subtasks of the job's vertices are not certainly all that a checkpoint has.
/// Guarantees: its details are requested, then the subtasks that do not match them, and it is
/// reported once.
#[test]
fn details_are_requested_if_the_subtasks_are_in_doubt() {
    /// A change of a body.
    type Change = fn(&mut Value);
    let unchanged: Change = |_| {};
    // With the subtasks that are requested after the details.
    let cases: [(&str, Change, Change, &[&str]); 7] = [
        ("has another task", |entry| entry["num_subtasks"] = json!(3), unchanged, &[]),
        ("does not count its subtasks", |entry| entry["num_subtasks"] = Value::Null, unchanged, &[]),
        ("has uncounted subtasks", unchanged, |task| task["num_subtasks"] = Value::Null, &[]),
        ("is in progress elsewhere", unchanged, |task| task["status"] = json!("IN_PROGRESS"), &[SINK]),
        ("is another job's", unchanged, |task| task["end_to_end_duration"] = json!(29), &[SINK]),
        ("has no duration", unchanged, |task| task["end_to_end_duration"] = Value::Null, &[SINK]),
        ("was not acknowledged", unchanged, |task| task["latest_ack_timestamp"] = json!(-1), &[SINK]),
    ];
    for (case, entry_change, task_change, again) in cases {
        let mut entry = completed(1, 1_500);
        entry_change(&mut entry);
        let mut session = with_checkpoint(entry);
        checkpoint_requests(&mut session, 2_000);
        session.subtasks(2_010, 1, SOURCE, 1_510);
        checkpoint_requests(&mut session, 2_010);
        let mut task = json!({"id": 1, "status": "COMPLETED", "latest_ack_timestamp": 1_530, "end_to_end_duration": 30,
            "num_subtasks": 1, "num_acknowledged_subtasks": 1, "subtasks": [
            {"className": "completed", "index": 0, "status": "completed", "ack_timestamp": 1_530, "aborted": false}]});
        task_change(&mut task);
        session.answer(2_020, &format!("/jobs/{JOB}/checkpoints/details/1/subtasks/{SINK}"), task);
        assert_eq!(checkpoint_requests(&mut session, 2_020), ["1"], "{case}");
        assert_eq!(session.log, "", "{case}");
        session.details(2_030, 1, 1_500);
        let again: Vec<_> = again.iter().map(|vertex| format!("1/subtasks/{vertex}")).collect();
        assert_eq!(checkpoint_requests(&mut session, 6_000), again, "{case}");
        session.subtasks(6_010, 1, SINK, 1_530).overview(7_000, "RUNNING");
        let tasks = "checkpoint 1 COMPLETED tasks [(Some(\"source\"), 1), (Some(\"sink\"), 1)]";
        assert_eq!(session.log.matches(tasks).count(), 1, "{case}: {}", session.log);
    }
}

/// A completed checkpoint without the subtasks of a vertex is complete by its details, unless the
/// cluster has forgotten it. Details of another one do not replace what has been joined.
#[test]
fn missing_subtasks_and_details_are_told_apart() {
    let missing = |session: &mut Session, at, path: &str| {
        session.missing(at, &format!("/jobs/{JOB}/checkpoints/details/{path}"));
    };
    let sink = format!("1/subtasks/{SINK}");

    let mut session = with_checkpoint(completed(1, 1_500));
    session.subtasks(2_010, 1, SOURCE, 1_510);
    missing(&mut session, 2_020, &sink);
    assert_eq!(checkpoint_requests(&mut session, 2_020), ["1"]);
    missing(&mut session, 2_030, "1");
    session.check(expect![[r#"
        2030: checkpoint 1 COMPLETED tasks []
    "#]]);

    let mut session = with_checkpoint(completed(1, 1_500));
    session.subtasks(2_010, 1, SOURCE, 1_510);
    missing(&mut session, 2_020, &sink);
    session.details(2_030, 1, 1_500);
    missing(&mut session, 2_040, &sink);
    session.check(expect![[r#"
        2040: checkpoint 1 COMPLETED tasks []
    "#]]);

    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.checkpoints(2_000, 1, &[completed(1, 1_500)], Value::Null);
    session.subtasks(2_010, 1, SOURCE, 1_510).subtasks(2_020, 1, SINK, 1_530).details(2_030, 1, 777);
    session.subtask_times(2_040, [(SOURCE, 300, 0), (SINK, 310, 0)]);
    session.check(expect![[r#"
        2040: checkpoint 1 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
    "#]]);
}

/// The details are requested first if the checkpoint failed, and if the vertices are not known.
#[test]
fn other_checkpoints_need_details() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").checkpoints(2_000, 1, &[completed(1, 1_500)], Value::Null);
    assert_eq!(checkpoint_requests(&mut session, 2_000), ["1"]);

    let mut failed = completed(1, 1_500);
    failed["status"] = json!("FAILED");
    assert_eq!(checkpoint_requests(&mut with_checkpoint(failed), 2_000), ["1"]);
}

/// Scenario: a cluster names other vertices for each change of a job, and has them all in each
/// checkpoint. Guarantees: the details are requested once as many have arrived as the job has.
#[test]
fn changing_vertices_do_not_postpone_the_details() {
    let mut entry = completed(1, 1_500);
    entry["num_subtasks"] = json!(100);
    let mut session = with_checkpoint(entry);
    let mut requests = Vec::new();
    for number in 0..10 {
        let vertices = [2 * number, 2 * number + 1].map(|vertex| format!("{vertex:032x}"));
        let shown = vertices.each_ref().map(|id| json!({"id": id, "name": "v", "parallelism": 1, "status": "RUNNING"}));
        let body = json!({"jid": JOB, "name": "job", "state": "RUNNING", "start-time": 100,
            "timestamps": {"RUNNING": 200}, "vertices": shown, "pending-operators": 0});
        let at = 2_000 + number * 1_000;
        session.answer(at, &format!("/jobs/{JOB}"), body);
        requests.extend(checkpoint_requests(&mut session, at));
        session.subtasks(at, 1, &vertices[0], 1_530);
    }
    let details = requests.iter().filter(|path| *path == "1").count();
    assert_eq!((requests.len() - details, details > 0), (3, true), "{requests:?}");
}

#[test]
fn forgotten_checkpoint_is_reported_without_tasks() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_100, "RUNNING", json!({}));
    session.checkpoints(2_000, 2, &[completed(1, 1_500), completed(2, 1_600)], Value::Null);
    session.missing(2_010, &format!("/jobs/{JOB}/checkpoints/details/1"));
    // There is no response for the second one.
    session.overview(10_000, "RUNNING").overview(20_000, "RUNNING");
    session.check(expect![[r#"
        2010: checkpoint 1 COMPLETED tasks []
        20000: checkpoint 2 COMPLETED tasks []
    "#]]);
}

/// Scenario: the tasks of a checkpoint arrive after it was reported without them.
/// Guarantees: the observer keeps nothing of them.
#[test]
fn late_details_are_not_kept() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_100, "RUNNING", json!({}));
    session.checkpoints(2_000, 1, &[completed(1, 1_500)], Value::Null);
    session.overview(10_000, "RUNNING").overview(20_000, "RUNNING");
    let before = format!("{:?}", session.observer).len();
    session.details(20_010, 1, 1_500).subtasks(20_020, 1, SOURCE, 1_510);
    let grown = format!("{:?}", session.observer).len() - before;
    assert!(grown < 100, "{grown} characters of its state are new");
    session.check(expect![[r#"
        20000: checkpoint 1 COMPLETED tasks []
    "#]]);
}

#[test]
fn missed_checkpoints_are_counted() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING");
    session.checkpoints(2_000, 8, &[completed(8, 1_500)], Value::Null);
    session.checkpoints(5_000, 20, &[completed(20, 4_500), completed(19, 4_400)], Value::Null).finish();
    session.check(expect![[r#"
        5000: missed 10 from 9 to 18, history Some(20)
        end: checkpoint 8 COMPLETED tasks []
        end: checkpoint 19 COMPLETED tasks []
        end: checkpoint 20 COMPLETED tasks []
    "#]]);
}

/// An attempt that fails during its initialization has only states and a failure.
#[test]
fn attempt_that_fails_early_has_no_initialization() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING");
    session.job(1_100, "RUNNING", json!({"RUNNING": 200}));
    session.subtask_times(1_200, [(SOURCE, 300, 0), (SINK, 0, 500)]);
    session.job(2_000, "RUNNING", json!({"RUNNING": 700, "RESTARTING": 510}));
    let failure = json!({"exceptionName": "E", "stacktrace": "E: no", "timestamp": 505, "taskName": "sink (1/1)"});
    let exceptions = json!({"exceptionHistory": {"entries": [failure], "truncated": false}});
    session.answer(2_100, &format!("/jobs/{JOB}/exceptions"), exceptions);
    session.checkpoints(2_200, 0, &[], Value::Null);
    session.subtask_times(2_300, [(SOURCE, 800, 0), (SINK, 900, 0)]).overview(9_000, "RUNNING");
    session.check(expect![[r#"
        9000: RUNNING 200
        9000: failure 505 can restart true global Some(false)
        9000: RESTARTING 510
        9000: RUNNING 700
        9000: AllRunningOrFinished 900
        9000: came up 700..900 from None, None bytes
    "#]]);
}

/// Scenario: the next attempt has replaced a failed one before a poll. Guarantees: the end time
/// comes from the failed attempt itself.
#[test]
fn failed_attempt_is_requested_for_its_end() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.subtask_times(1_000, [(SOURCE, 300, 0), (SINK, 310, 0)]).overview(6_000, "RUNNING");
    session.job(7_000, "RUNNING", json!({"RUNNING": 6_500, "RESTARTING": 6_401}));
    session.subtask_times(7_000, [(SOURCE, 6_600, 0), (SINK, 6_900, 0)]);
    let failure = json!({"exceptionName": "E", "stacktrace": "E: no", "timestamp": 6_400,
        "taskName": "sink (1/1) - execution #0"});
    let exceptions = json!({"exceptionHistory": {"entries": [failure], "truncated": false}});
    session.answer(7_000, &format!("/jobs/{JOB}/exceptions"), exceptions);
    let attempt = format!("/jobs/{JOB}/vertices/{SINK}/subtasks/0/attempts/0");
    let asks_for = |session: &mut Session, at| {
        let wanted = std::iter::repeat_with(|| session.observer.requests(at)).take_while(|wanted| !wanted.is_empty());
        wanted.flatten().any(|wanted| wanted.path() == attempt)
    };
    assert!(asks_for(&mut session, 7_001));
    let body = json!({"subtask": 0, "status": "FAILED", "attempt": 0, "start-time": 290, "end-time": 6_380, "duration": 6_090});
    session.answer(7_002, &attempt, body);
    session.answer(7_002, &start_metric(), json!([{"id": "lastCheckpointRestoreTimestamp", "value": "6490"}]));
    assert!(!asks_for(&mut session, 10_500), "requested again");
    session.overview(15_000, "RUNNING");
    session.check(expect![[r#"
        6000: RUNNING 200
        6000: AllRunningOrFinished 310
        6000: came up 200..310 from None, None bytes
        15000: NotAllRunningOrFinished 6382
        15000: failure 6400 can restart true global Some(false)
        15000: RESTARTING 6401
        15000: RUNNING 6500
        15000: AllRunningOrFinished 6900
        15000: came up 6490..6900 from None, None bytes
    "#]]);
}

/// Scenario: responses from before and after a restart, mixed, look as if all subtasks ran.
/// Guarantees: the later responses win.
#[test]
fn mixed_responses_do_not_invent_a_start() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING");
    session.job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.subtask_times(1_000, [(SOURCE, 300, 0), (SINK, 310, 0)]);
    session.overview(6_000, "RUNNING");
    session.job(7_000, "RUNNING", json!({"RUNNING": 6_500, "RESTARTING": 6_400}));
    session.checkpoints(7_000, 0, &[], restored(3, 6_501));
    session.subtask_times(7_000, [(SOURCE, 6_600, 0), (SINK, 310, 0)]);
    session.subtask_times(10_000, [(SOURCE, 6_600, 0), (SINK, 6_900, 0)]).overview(15_000, "RUNNING");
    session.check(expect![[r#"
        6000: RUNNING 200
        6000: AllRunningOrFinished 310
        6000: came up 200..310 from None, None bytes
        15000: RESTARTING 6400
        15000: NotAllRunningOrFinished 6400
        15000: RUNNING 6500
        15000: AllRunningOrFinished 6900
        15000: came up 6501..6900 from Some(3), None bytes
    "#]]);
}

/// Scenario: another JobManager takes over. Counts start at zero, checkpoint ids continue, and no
/// response says that subtasks stopped.
#[test]
fn job_manager_failover_invents_nothing() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.subtask_times(1_000, [(SOURCE, 300, 0), (SINK, 310, 0)]);
    session.checkpoints(2_000, 15, &[completed(15, 1_500)], Value::Null);
    session.details(2_010, 15, 1_500).subtasks(2_020, 15, SOURCE, 1_510).subtasks(2_030, 15, SINK, 1_530);
    session.overview(6_000, "RUNNING");
    session.checkpoints(9_000, 0, &[], restored(15, 8_200)).job(9_000, "RUNNING", json!({"RUNNING": 8_300}));
    session.subtask_times(9_100, [(SOURCE, 8_500, 0), (SINK, 8_600, 0)]).overview(14_000, "RUNNING");
    session.check(expect![[r#"
        2030: checkpoint 15 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        6000: RUNNING 200
        6000: AllRunningOrFinished 310
        6000: came up 200..310 from None, None bytes
        14000: RUNNING 8300
        14000: AllRunningOrFinished 8600
        14000: came up 8200..8600 from Some(15), Some(10) bytes
    "#]]);
}

/// Returns the history of the last ten checkpoints, without paths. The first checkpoint has id 1.
fn last_ten(newest: i64, interval: i64) -> Vec<Value> {
    let entry = |id| {
        let mut entry = completed(id, id * interval);
        entry["external_path"] = Value::Null;
        entry
    };
    (1..=newest).rev().take(10).map(entry).collect()
}

/// Scenario: each response is followed by an older one, from the cache of another JobManager. With
/// fast checkpoints, most of its history is in no other response any more.
/// Guarantees: each checkpoint is reported once.
#[test]
fn older_histories_repeat_no_checkpoint() {
    for (interval, step) in [(100, 30), (60_000, 1), (86_400_000, 1)] {
        let mut session = Session::new();
        session.overview(1_000, "RUNNING");
        let mut newest = 5;
        for _ in 0..20 {
            let at = newest * interval + 50;
            for seen in [newest, newest - step] {
                session.checkpoints(at, seen.max(0), &last_ten(seen, interval), Value::Null);
                for id in (1..=newest).rev().take(50) {
                    session.missing(at, &format!("/jobs/{JOB}/checkpoints/details/{id}"));
                }
            }
            newest += step;
        }
        let reported: Vec<_> = session.log.lines().filter_map(|line| line.split_once(": checkpoint ")).collect();
        let mut once = reported.clone();
        once.sort_by_key(|(_, checkpoint)| *checkpoint);
        once.dedup_by_key(|(_, checkpoint)| *checkpoint);
        assert_eq!(reported.len(), once.len(), "{}", session.log);
        assert!(once.len() >= 24, "{interval}: {}", once.len());
    }
}

/// Scenario: a cluster is away for a day, and comes back with another JobManager, which waits for
/// TaskManagers and restores the last checkpoint. Later the job restarts from it again.
/// Guarantees: the facts about that checkpoint are still known.
#[test]
fn restored_checkpoint_stays_known() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.subtask_times(1_000, [(SOURCE, 300, 0), (SINK, 310, 0)]);
    session.checkpoints(2_000, 15, &last_ten(15, 100), Value::Null);
    for id in 6..=15 {
        session.missing(2_010, &format!("/jobs/{JOB}/checkpoints/details/{id}"));
    }
    session.overview(6_000, "RUNNING");
    let mut restored = restored(15, 86_400_000);
    restored["external_path"] = Value::Null;
    for at in [86_300_100, 86_399_900] {
        session.checkpoints(at, 0, &[], Value::Null);
    }
    session.checkpoints(86_400_200, 0, &[], restored.clone());
    for id in 16..=18 {
        let mut failed = completed(id, 86_400_000 + id * 60_000);
        failed["status"] = json!("FAILED");
        session.checkpoints(86_400_000 + id * 60_000, id - 15, &[failed], restored.clone());
    }
    restored["restore_timestamp"] = json!(88_000_000);
    session.checkpoints(88_000_200, 3, &[], restored);
    session.overview(88_000_200, "RUNNING").job(88_000_200, "RUNNING", json!({"RUNNING": 88_000_010}));
    session.subtask_times(88_000_300, [(SOURCE, 88_000_100, 0), (SINK, 88_000_110, 0)]).finish();
    let restores: Vec<_> = session.log.lines().filter(|line| line.contains("from Some")).collect();
    assert_eq!(restores, ["end: came up 88000000..88000110 from Some(15), Some(10) bytes"], "{}", session.log);
}

/// Scenario: the type of a checkpoint is known from its trigger, and its job starts from scratch,
/// with the same ids. Guarantees: the later checkpoint does not get that type.
#[test]
fn type_of_a_checkpoint_is_not_that_of_a_later_one() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING");
    session.observer.set_checkpoint_type(&JOB.parse().unwrap(), 1, CheckpointType::FullCheckpoint);
    let mut types = Vec::new();
    for trigger in [1_500, 5_500] {
        session.checkpoints(trigger + 500, 1, &[completed(1, trigger)], Value::Null);
        types.extend(session.observer.finish().into_iter().filter_map(|output| match output.observation {
            Observation::Checkpoint(stats) => Some((stats.trigger_timestamp, stats.checkpoint_type)),
            _ => None,
        }));
    }
    assert_eq!(types, [(1_500, CheckpointType::FullCheckpoint), (5_500, CheckpointType::Checkpoint)]);
}

/// Scenario: a job takes a checkpoint a minute for a day. Guarantees: the observer knows no more of
/// them at the end than after half an hour.
#[test]
fn memory_of_a_job_does_not_grow() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING");
    let mut known = Vec::new();
    for id in 1..=1_440 {
        let at = id * 60_000 + 50;
        let history: Vec<_> = (1..=id).rev().take(10).map(|id| completed(id, id * 60_000)).collect();
        session.checkpoints(at, id, &history, Value::Null);
        session.missing(at, &format!("/jobs/{JOB}/checkpoints/details/{id}"));
        let memory = format!("{:?}", session.observer);
        known.push(["Reported {", "RestorableCheckpoint {"].map(|fact| memory.matches(fact).count()));
    }
    assert_eq!((known[29], known[1_439]), ([12, 3], [12, 3]));
}

/// Scenario: several JobManagers with separate caches respond at one address, so a response may be
/// older than the previous one.
#[test]
fn job_managers_with_separate_caches_invent_nothing() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.subtask_times(1_000, [(SOURCE, 300, 0), (SINK, 310, 0)]);
    let checkpoint = |session: &mut Session, at: i64, id: i64| {
        session.details(at, id, id * 1_000).subtasks(at, id, SOURCE, id * 1_000 + 10).subtasks(
            at,
            id,
            SINK,
            id * 1_000 + 30,
        );
    };
    let newest_first =
        |ids: std::ops::RangeInclusive<i64>| ids.rev().map(|id| completed(id, id * 1_000)).collect::<Vec<_>>();
    for newest in 2..10 {
        let at = newest * 1_000 + 500;
        session.checkpoints(at, newest, &newest_first(1..=newest), Value::Null);
        checkpoint(&mut session, at, newest);
        // The other one does not know the last checkpoint yet.
        session
            .checkpoints(at + 200, newest - 1, &newest_first(1..=newest - 1), Value::Null)
            .overview(at + 300, "RUNNING");
        checkpoint(&mut session, at + 400, 1);
    }
    // The end is reported as usual, because the observer still knows that all subtasks ran.
    session.overview(20_000, "CANCELED").job(
        20_100,
        "CANCELED",
        json!({"RUNNING": 200, "CANCELLING": 19_000, "CANCELED": 19_100}),
    );
    session.subtask_times(20_200, [(SOURCE, 300, 19_050), (SINK, 310, 19_060)]).overview(30_000, "CANCELED").finish();
    session.check(expect![[r#"
        2500: checkpoint 2 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        2900: checkpoint 1 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        3500: checkpoint 3 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        4500: checkpoint 4 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        5500: RUNNING 200
        5500: AllRunningOrFinished 310
        5500: came up 200..310 from None, None bytes
        5500: checkpoint 5 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        6500: checkpoint 6 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        7500: checkpoint 7 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        8500: checkpoint 8 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        9500: checkpoint 9 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        30000: CANCELLING 19000
        30000: NotAllRunningOrFinished 19050
        30000: CANCELED 19100
    "#]]);
}

#[test]
fn final_failure_is_timed_at_the_start_of_failing() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.subtask_times(1_000, [(SOURCE, 300, 0), (SINK, 310, 0)]).overview(6_000, "FAILED");
    session.job(6_100, "FAILED", json!({"RUNNING": 200, "FAILING": 5_500, "FAILED": 5_600}));
    let failure = json!({"exceptionName": "org.apache.flink.runtime.JobException", "timestamp": 5_600,
        "stacktrace": "org.apache.flink.runtime.JobException: Recovery is suppressed by NoRestartBackoffTimeStrategy"});
    let exceptions = json!({"exceptionHistory": {"entries": [failure], "truncated": false}});
    session.answer(6_200, &format!("/jobs/{JOB}/exceptions"), exceptions).overview(11_000, "FAILED");
    session.check(expect![[r#"
        6000: RUNNING 200
        6000: AllRunningOrFinished 310
        6000: came up 200..310 from None, None bytes
        11000: NotAllRunningOrFinished 5500
        11000: failure 5500 can restart false global Some(false)
        11000: FAILING 5500
        11000: FAILED 5600
    "#]]);
}

/// A restore before the first poll, from a checkpoint that is no longer in the history, lacks a
/// size that an earlier observer reported.
#[test]
fn old_restore_is_reported_in_full_or_not_at_all() {
    for (history, expected) in
        [(vec![completed(3, 90)], "came up 6501..6900 from Some(3), Some(10) bytes"), (vec![completed(13, 90_000)], "")]
    {
        let mut session = Session::new();
        session.overview(100_000, "RUNNING").job(100_000, "RUNNING", json!({"RUNNING": 6_500, "RESTARTING": 6_400}));
        session.checkpoints(100_000, 13, &history, restored(3, 6_501));
        session.subtask_times(100_000, [(SOURCE, 6_600, 0), (SINK, 6_900, 0)]).finish();
        let told: Vec<_> = session.log.lines().filter(|line| line.contains("came up")).collect();
        assert_eq!(told.join(""), if expected.is_empty() { String::new() } else { format!("end: {expected}") });
    }
}

#[test]
fn forgotten_job_is_reported_to_its_end() {
    let mut session = Session::new();
    session.overview(1_000, "FINISHED").job(1_100, "FINISHED", json!({"RUNNING": 200, "FINISHED": 900}));
    session.no_jobs(1_200).no_jobs(1_300).no_jobs(1_400);
    session.check(expect![[r#"
        1400: RUNNING 200
        1400: FINISHED 900
    "#]]);
}

/// Guarantees: a status of a newer version causes no event and ends no job. Other records have it.
#[test]
fn unknown_status_has_no_event() {
    let mut session = Session::new();
    session.overview(1_000, "PAUSED").job(1_100, "PAUSED", json!({"RUNNING": 200, "PAUSED": 900}));
    session.no_jobs(1_200).missing(1_300, &format!("/jobs/{JOB}")).finish();
    session.check(expect![[r#"
        1300: RUNNING 200
        1300: vanished PAUSED since 100, away since 1200: GONE
    "#]]);
    expect![[r#"
        1300: seen at 1100: PAUSED since 900, started 100, [source*1 sink*1], interval ?, timeout ?, history ?, version ?
    "#]].assert_eq(&session.contents);
}

#[test]
fn long_name_is_truncated() {
    let mut session = Session::new();
    let name = "\u{1b}[31mé\n".repeat(200_000);
    let job = json!({"jid": JOB, "name": name, "state": "RUNNING", "start-time": 100});
    session.answer(1_000, "/jobs/overview", json!({ "jobs": [job] }));
    let resource = Resource::parse(&format!("/jobs/{JOB}")).unwrap();
    let body = json!({"jid": JOB, "name": name, "state": "RUNNING", "start-time": 100, "timestamps": {"RUNNING": 5}, "vertices": []});
    let answer = resource.parse_body(body.to_string().as_bytes()).unwrap();
    session.observer.observe(1_000, &resource, RequestOutcome::Found(Box::new(answer)));
    let outputs = session.observer.finish();
    let [JobObservation { job, .. }, ..] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert!(job.name.ends_with("… (1400000 characters)"), "{}", &job.name[job.name.len() - 40..]);
    assert!(job.name.chars().count() < 1_100);
}

/// A quiet job is requested again only when the caches of its JobManager may have changed.
#[test]
fn quiet_job_gets_one_request_every_three_seconds() {
    for restored in [Value::Null, restored(3, 150)] {
        let mut session = Session::new();
        session.overview(0, "RUNNING");
        let mut asked = BTreeMap::new();
        for second in 0..60 {
            let now = second * 1_000;
            // Every request gets a response at once.
            loop {
                let wanted = session.observer.requests(now);
                if wanted.is_empty() {
                    break;
                }
                for resource in wanted {
                    if second >= 30 {
                        *asked.entry(resource.template()).or_insert(0) += 1;
                    }
                    match resource {
                        Resource::JobsOverview(_) => session.overview(now, "RUNNING"),
                        Resource::Job(_) => session.job(now, "RUNNING", json!({"RUNNING": 200})),
                        Resource::Checkpoints(_) => session.checkpoints(now, 0, &[], restored.clone()),
                        Resource::CheckpointConfig(_) => {
                            session.answer(now, &resource.path(), json!({"mode": "exactly_once", "interval": 1_000}))
                        }
                        Resource::SubtaskTimes(_) => session.subtask_times(now, [(SOURCE, 300, 0), (SINK, 310, 0)]),
                        _ => &mut session,
                    };
                }
            }
        }
        let asked: Vec<_> = asked.into_iter().collect();
        assert_eq!(asked, [("/jobs/:jobid/checkpoints", 10), ("/jobs/overview", 30)], "{restored}");

        // States changed too fast for the overview, which has only the time of the change.
        let overview = json!({"jobs": [{"jid": JOB, "name": "orders", "start-time": 100, "end-time": -1, "duration": 1,
            "state": "RUNNING", "last-modification": 61_000, "tasks": {"total": 2}}]});
        session.answer(63_000, "/jobs/overview", overview);
        let templates: Vec<_> = session.observer.requests(63_001).iter().map(Resource::template).collect();
        assert!(templates.contains(&"/jobs/:jobid"), "{templates:?}");
    }
}

/// If checkpoints are rare, their statistics are requested when one is due, and each minute in
/// between for savepoints.
#[test]
fn rare_checkpoint_is_requested_when_due() {
    for (interval, requests_of_each) in [(30_000, 1), (60_000, 1), (180_000, 3)] {
        check_requests_of_rare_checkpoints(interval, requests_of_each);
    }
}

fn check_requests_of_rare_checkpoints(interval: i64, requests_of_each: usize) {
    const FIRST: i64 = 1_010_000;
    let mut session = Session::new();
    let mut asked_at = Vec::new();
    for now in (1_000_000..1_000_000 + 10 * interval).step_by(3_000) {
        let triggers = (FIRST..now - 30).step_by(interval as usize).zip(1..);
        let history: Vec<_> = triggers.map(|(trigger, id)| completed(id, trigger)).collect();
        loop {
            let wanted = session.observer.requests(now);
            if wanted.is_empty() {
                break;
            }
            for resource in wanted {
                match &resource {
                    Resource::JobsOverview(_) => session.overview(now, "RUNNING"),
                    Resource::Job(_) => session.job(now, "RUNNING", json!({"RUNNING": 200})),
                    Resource::Checkpoints(_) => {
                        asked_at.push(now);
                        session.checkpoints(now, history.len() as i64, &history, Value::Null)
                    }
                    Resource::CheckpointConfig(_) => {
                        session.answer(now, &resource.path(), json!({"mode": "exactly_once", "interval": interval}))
                    }
                    Resource::CheckpointDetails(request) => {
                        session.details(now, request.checkpoint, FIRST + (request.checkpoint - 1) * interval)
                    }
                    Resource::CheckpointSubtasks(request) => {
                        let ack = if request.vertex.as_str() == SOURCE { 10 } else { 30 };
                        let trigger = FIRST + (request.checkpoint - 1) * interval;
                        session.subtasks(now, request.checkpoint, request.vertex.as_str(), trigger + ack)
                    }
                    Resource::SubtaskTimes(_) => session.subtask_times(now, [(SOURCE, 300, 0), (SINK, 310, 0)]),
                    _ => &mut session,
                };
            }
        }
    }
    let told: Vec<i64> =
        session.log.lines().filter_map(|line| line.split_once(": checkpoint ")?.0.parse().ok()).collect();
    assert_eq!(told, (0..10).map(|number| FIRST + 2_000 + number * interval).collect::<Vec<_>>());
    asked_at.retain(|now| *now > told[1] && *now <= told[9]);
    assert_eq!(asked_at.len(), requests_of_each * 8, "{interval}: {asked_at:?}");
}

/// The same statistics as before need not be parsed, unless another response came in between.
#[test]
fn repeated_response_is_unchanged() {
    let mut session = Session::new();
    let checkpoints = Resource::parse(&format!("/jobs/{JOB}/checkpoints")).unwrap();
    assert!(
        !session.observer.is_unchanged(&checkpoints, b"of no job")
            && !session.observer.is_unchanged(&checkpoints, b"of no job")
    );
    session.overview(1_000, "RUNNING");
    for observation in [RequestOutcome::Missing, RequestOutcome::Unavailable] {
        assert!(
            !session.observer.is_unchanged(&checkpoints, b"an answer")
                && session.observer.is_unchanged(&checkpoints, b"an answer")
        );
        assert!(
            !session.observer.is_unchanged(&checkpoints, b"another")
                && !session.observer.is_unchanged(&checkpoints, b"an answer")
        );
        session.observer.observe(1_100, &checkpoints, observation);
    }
    // Other responses are never recognized: a graph contains times, and details are requested once.
    let job = Resource::parse(&format!("/jobs/{JOB}")).unwrap();
    assert!(!session.observer.is_unchanged(&job, b"an answer") && !session.observer.is_unchanged(&job, b"an answer"));
}

/// A proxy may respond with 404 once. That does not make a job a batch job.
#[test]
fn single_404_loses_no_later_checkpoint() {
    let mut session = Session::new();
    let checkpoints = format!("/jobs/{JOB}/checkpoints");
    session.overview(1_000, "RUNNING").missing(1_100, &checkpoints).job(1_200, "RUNNING", json!({"RUNNING": 200}));
    let asked = session.observer.requests(5_000);
    assert!(asked.iter().any(|resource| resource.path() == checkpoints), "{asked:?}");
    session.checkpoints(5_000, 1, &[completed(1, 1_500)], Value::Null);
    session.details(5_010, 1, 1_500).subtasks(5_020, 1, SOURCE, 1_510).subtasks(5_030, 1, SINK, 1_530);
    session.subtask_times(5_100, [(SOURCE, 300, 0), (SINK, 310, 0)]).finish();
    session.check(expect![[r#"
        5100: checkpoint 1 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 1)]
        end: RUNNING 200
        end: AllRunningOrFinished 310
        end: came up 200..310 from None, None bytes
    "#]]);
}

/// Lost and repeated responses cost detail. They never make a checkpoint appear twice, or
/// differently.
#[test]
fn lost_and_repeated_responses_invent_nothing() {
    let path = crate::recording("flink-2.3.0-full.jsonl.gz");
    let exchanges: Vec<_> = RecordingReader::open(&path).unwrap().map(Result::unwrap).collect();
    let whole = ended(&mut exchanges.iter());
    assert_eq!(whole.len(), 74);
    assert!(whole.values().any(|stats| stats.is_ordinary));
    assert!(whole.values().any(|stats| !stats.is_ordinary && stats.status == CheckpointStatus::Completed));
    for seed in 1..=16_u64 {
        // A linear congruential generator, so that the same responses are lost in every run.
        let mut state = seed;
        let mut draw = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % 100
        };
        let mut played = exchanges.iter().flat_map(|exchange| {
            let times = match draw() {
                0..30 => 0,
                30..40 => 2,
                _ => 1,
            };
            std::iter::repeat_n(exchange, times)
        });
        for (id, stats) in ended(&mut played) {
            let expected = &whole[&id];
            match stats.tasks.is_empty() {
                // The sizes of a failed checkpoint may have grown after its tasks were complete.
                true => assert_eq!(stats.trigger_timestamp, expected.trigger_timestamp, "seed {seed}: {id:?}"),
                false => {
                    let names = |stats: &CheckpointStats| {
                        let mut value = stats.clone();
                        value.checkpoint_type = CheckpointType::Checkpoint;
                        // The usual duration is that of the checkpoints that were seen.
                        value.is_ordinary = false;
                        [value.checkpoint_interval_ms, value.checkpoint_timeout_ms] = [None; 2];
                        value.tasks = stats
                            .tasks
                            .iter()
                            .cloned()
                            .map(|task| {
                                let mut value = task;
                                value.task_name = None;
                                value.subtasks.iter_mut().for_each(|subtask| subtask.host = None);
                                value
                            })
                            .collect();
                        value
                    };
                    assert_eq!(names(&stats), names(expected), "seed {seed}: {id:?}");
                }
            }
        }
    }
}

/// A checkpoint is the same whether its details arrive or not, if all its subtasks do.
#[test]
fn checkpoint_is_the_same_without_its_details() {
    for version in ["1.9.3", "1.13.6", "1.18.1", "1.20.5", "2.1.3", "2.2.1", "2.3.0"] {
        let path = crate::recording(&format!("flink-{version}-full.jsonl.gz"));
        let exchanges: Vec<_> = RecordingReader::open(&path).unwrap().map(Result::unwrap).collect();
        let whole = ended(&mut exchanges.iter());
        let is_details = |exchange: &&Exchange| {
            matches!(Resource::parse(&exchange.path), Some(Resource::CheckpointDetails(_)))
                && exchange.body.get().contains("COMPLETED")
        };
        let without = ended(&mut exchanges.iter().filter(|exchange| !is_details(exchange)));
        let complete = without.values().filter(|stats| !stats.is_incomplete && stats.failure.is_none()).count();
        assert!(complete > 50, "{version}: {complete}");
        for (id, stats) in &whole {
            assert_eq!(without.get(id), Some(stats), "{version}: {id:?}");
        }
        assert_eq!(without.len(), whole.len(), "{version}");
    }
}

/// Returns the reported checkpoints, by job and id. Checks that each is reported once.
fn ended(exchanges: &mut dyn Iterator<Item = &Exchange>) -> BTreeMap<(String, i64), CheckpointStats> {
    let mut replay = Replay::new();
    let mut outputs: Vec<JobObservation> = exchanges.flat_map(|exchange| replay.feed(exchange)).collect();
    outputs.extend(replay.finish());
    let mut ended = BTreeMap::new();
    for JobObservation { job, observation, .. } in outputs {
        if let Observation::Checkpoint(stats) = observation {
            let id = (job.id, stats.checkpoint_id);
            assert_eq!(ended.insert(id.clone(), *stats), None, "{id:?} twice");
        }
    }
    ended
}

/// Scenario: a job keeps its checkpoints in the memory of the JobManager, and restores one that was
/// not observed.
/// Guarantees: the placeholder that Flink returns is neither a path nor a link to another one.
#[test]
fn checkpoint_without_path_has_no_path() {
    const NO_PATH: &str = "<checkpoint-not-externally-addressable>";
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_100, "RUNNING", json!({"RUNNING": 900}));
    let mut entry = completed(1, 1_500);
    entry["external_path"] = json!(NO_PATH);
    entry["state_size"] = json!(777_777);
    session.checkpoints(2_000, 1, &[entry.clone()], Value::Null);
    let outputs = session.observer.finish();
    let paths: Vec<_> = outputs
        .iter()
        .filter_map(|output| match &output.observation {
            Observation::Checkpoint(stats) => Some((stats.external_path.clone(), stats.is_incomplete)),
            _ => None,
        })
        .collect();
    assert_eq!(paths, [(None, true)]);
    let restored = json!({"id": 42, "restore_timestamp": 2_500, "is_savepoint": false, "external_path": NO_PATH});
    session.checkpoints(3_000, 1, &[entry], restored);
    session.subtask_times(3_100, [(SOURCE, 2_600, 0), (SINK, 2_700, 0)]).finish();
    assert!(session.log.contains("from Some(42), None bytes"), "{}", session.log);
}

/// Scenario: a checkpoint completes although a region failed, whose subtasks refer to the state of
/// an earlier checkpoint. FLIP-600 proposes this, with these fields.
/// Guarantees: it is reported at once, with the subtasks that have acknowledged.
#[test]
fn regional_checkpoint_completes_without_a_region() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_100, "RUNNING", json!({}));
    let config = json!({"mode": "exactly_once", "interval": 1_000, "timeout": 600_000,
        "regional_checkpoint_enabled": true, "regional_max_failure_ratio": 0.5, "regional_max_consecutive_failures": 3});
    session.answer(1_150, &format!("/jobs/{JOB}/checkpoints/config"), config);
    session.subtask_times(1_200, [(SOURCE, 300, 0), (SINK, 310, 0)]);
    let mut entry = completed(7, 1_500);
    entry["num_acknowledged_subtasks"] = json!(1);
    entry["oldest_ref_checkpoint_id"] = json!(5);
    session.checkpoints(2_000, 1, std::slice::from_ref(&entry), Value::Null);
    let task = |ack: i64, acknowledged: i64| {
        json!({"id": 7, "status": "COMPLETED", "latest_ack_timestamp": ack, "num_subtasks": 1,
            "num_acknowledged_subtasks": acknowledged, "oldest_ref_checkpoint_id": 5})
    };
    entry["tasks"] = json!({SOURCE: task(1_510, 1), SINK: task(-1, 0)});
    session.answer(2_010, &format!("/jobs/{JOB}/checkpoints/details/7"), entry);
    session.subtasks(2_020, 7, SOURCE, 1_510).finish();
    session.check(expect![[r#"
        2020: checkpoint 7 COMPLETED tasks [(Some("source"), 1), (Some("sink"), 0)]
        end: AllRunningOrFinished 310
        end: came up 100..310 from None, None bytes
    "#]]);
}

/// Returns the hosts of the subtasks of all reported checkpoints, and the configuration.
fn hosts(outputs: &[JobObservation]) -> Vec<String> {
    let of = |output: &JobObservation| match &output.observation {
        Observation::Checkpoint(stats) => {
            let subtasks = stats.tasks.iter().flat_map(|task| task.subtasks.iter());
            let hosts: Vec<_> = subtasks.map(|subtask| subtask.host.as_deref().unwrap_or("-")).collect();
            let config = (stats.checkpoint_interval_ms, stats.checkpoint_timeout_ms);
            let counts: Vec<_> = stats.tasks.iter().map(|task| task.num_subtasks).collect();
            Some(format!("{} on {} {config:?} {counts:?}", stats.checkpoint_id, hosts.join(" ")))
        }
        _ => None,
    };
    outputs.iter().filter_map(of).collect()
}

/// Scenario: the times of subtasks arrive before or after the checkpoint. Before, they may be from
/// the time before a change.
/// Guarantees: the checkpoint is the same. A subtask has the host of the attempt that was running
/// at the trigger, and none if that is unknown.
#[test]
fn subtask_has_host_of_its_attempt() {
    const FRESH: [(&str, i64, i64); 2] = [(SOURCE, 1_000, 0), (SINK, 1_600, 0)];
    let config =
        json!({"mode": "exactly_once", "interval": 500, "timeout": 600_000, "min_pause": 0, "max_concurrent": 1});
    for early in [None, Some([(SOURCE, 900, 0), (SINK, 950, 0)])] {
        let mut session = Session::new();
        session.overview(1_000, "RUNNING").job(1_100, "RUNNING", json!({"RUNNING": 900}));
        session.answer(1_200, &format!("/jobs/{JOB}/checkpoints/config"), config.clone());
        if let Some(times) = early {
            session.subtask_times(1_050, times);
        }
        session.checkpoints(2_000, 1, &[completed(1, 1_500)], Value::Null);
        session.details(2_010, 1, 1_500).subtasks(2_020, 1, SOURCE, 1_510).subtasks(2_030, 1, SINK, 1_530);
        assert_eq!(session.log, "", "{early:?}");
        let mut found = Vec::new();
        for (vertex, running, _) in FRESH {
            let times = json!({"id": vertex, "name": "v", "now": 7_000, "subtasks": [{"subtask": 0, "duration": 9,
                "host": format!("host-of-{}", &vertex[..2]), "timestamps": {"RUNNING": running}}]});
            let resource = Resource::parse(&format!("/jobs/{JOB}/vertices/{vertex}/subtasktimes")).unwrap();
            let body = resource.parse_body(times.to_string().as_bytes()).unwrap();
            found.extend(session.observer.observe(7_000, &resource, RequestOutcome::Found(Box::new(body))));
        }
        let host = format!("host-of-{}", &SOURCE[..2]);
        assert_eq!(hosts(&found), [format!("1 on {host} - (Some(500), Some(600000)) [Some(1), Some(1)]")], "{early:?}");
    }
}

/// Scenario: a cluster does not have the times of subtasks.
/// Guarantees: a checkpoint does not wait for them once that is certain.
#[test]
fn missing_times_do_not_hold_back_checkpoints() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_100, "RUNNING", json!({"RUNNING": 900}));
    session.checkpoints(2_000, 1, &[completed(1, 1_500)], Value::Null);
    session.details(2_010, 1, 1_500).subtasks(2_020, 1, SOURCE, 1_510).subtasks(2_030, 1, SINK, 1_530);
    session.missing(6_000, &format!("/jobs/{JOB}/vertices/{SOURCE}/subtasktimes"));
    assert!(!session.log.contains("checkpoint"), "{}", session.log);
    session.missing(6_010, &format!("/jobs/{JOB}/vertices/{SINK}/subtasktimes"));
    assert!(session.log.contains("6010: checkpoint 1 COMPLETED"), "{}", session.log);
}

/// Feeds a job without a checkpoint whose subtasks run, and requests what is due. Returns `true` if
/// the metric with the start is requested.
fn fresh_start(session: &mut Session) -> bool {
    session.overview(1_000, "RUNNING").job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.checkpoints(1_000, 0, &[], Value::Null).subtask_times(1_000, [(SOURCE, 300, 0), (SINK, 310, 0)]);
    session.requests(1_000).contains(&start_metric())
}

fn start_metric() -> String {
    format!("/jobs/{JOB}/metrics?get=lastCheckpointRestoreTimestamp")
}

/// The metric has the exact start of an initialization without a restore. It is up to 10 s late.
#[test]
fn fresh_start_is_that_of_the_metric() {
    let metric = |value: &str| json!([{"id": "lastCheckpointRestoreTimestamp", "value": value}]);
    for (name, values, expected) in [
        ("known at once", &[metric("190")][..], "190..310"),
        ("late", &[json!([]), metric("-1"), metric("190")], "190..310"),
        ("never known", &[json!([]), metric("-1"), json!([])], "200..310"),
        ("of an earlier start", &[metric("99")], "200..310"),
    ] {
        let mut session = Session::new();
        assert!(fresh_start(&mut session), "{name}");
        for (number, value) in values.iter().enumerate() {
            let now = 1_001 + 3_000 * number as i64;
            session.answer(now, &start_metric(), value.clone());
            session.overview(now + 2_999, "RUNNING");
            let is_last = number + 1 == values.len();
            let asked = session.requests(now + 2_999);
            assert_eq!(asked.contains(&start_metric()), !(is_last && expected.starts_with("190")), "{name} {asked:?}");
        }
        session.overview(1_000 + 13_499, "RUNNING");
        assert_eq!(session.log.contains("came up"), expected.starts_with("190"), "{name}: {}", session.log);
        session.overview(1_000 + 13_500, "RUNNING");
        assert!(session.log.contains(&format!("came up {expected} from None")), "{name}: {}", session.log);
    }
}

/// Scenario: a job restarts before its first start is reported, so that the metric has another one.
/// Guarantees: the first start is kept if it was known, and nothing waits for it if it was not.
#[test]
fn fresh_start_survives_that_of_the_next_attempt() {
    let metric = |value: &str| json!([{"id": "lastCheckpointRestoreTimestamp", "value": value}]);
    for (first, expected) in [(Some("190"), "190..310"), (None, "200..310")] {
        let mut session = Session::new();
        assert!(fresh_start(&mut session));
        let first = first.map_or(json!([]), metric);
        session.answer(1_001, &start_metric(), first);
        session.overview(2_000, "RUNNING").job(2_000, "RUNNING", json!({"RUNNING": 1_700, "RESTARTING": 1_500}));
        session.subtask_times(2_000, [(SOURCE, 1_800, 0), (SINK, 1_810, 0)]);
        session.answer(2_001, &start_metric(), metric("1690"));
        session.overview(1_000 + 4_500, "RUNNING");
        assert!(session.log.contains(&format!("came up {expected} from None")), "{}", session.log);
        session.overview(2_000 + 4_500, "RUNNING");
        assert!(session.log.contains("came up 1690..1810 from None"), "{}", session.log);
    }
}

/// Scenario: a cluster goes away after a job restarted. Guarantees: unless a response showed before
/// whether a checkpoint was restored, the initialization waits, however long that lasts. So a
/// recovery is not taken for a fresh start. At the end, nothing waits.
#[test]
fn initialization_before_an_outage_waits_for_its_restore() {
    for (has_response, is_back, expected) in [
        (false, true, "64500: came up 6690..6810 from Some(9)"),
        (false, false, "end: came up 6700..6810 from None"),
        (true, true, "11500: came up 6700..6810 from None"),
    ] {
        let mut session = Session::new();
        assert!(fresh_start(&mut session));
        let metric = json!([{"id": "lastCheckpointRestoreTimestamp", "value": "190"}]);
        session.answer(1_001, &start_metric(), metric).checkpoints(1_002, 0, &[], Value::Null);
        session.overview(5_500, "RUNNING");
        let restarted = json!({"RUNNING": 6_700, "RESTARTING": 6_500});
        session.overview(7_000, "RUNNING").job(7_000, "RUNNING", restarted);
        session.subtask_times(7_000, [(SOURCE, 6_800, 0), (SINK, 6_810, 0)]);
        match has_response {
            true => session.checkpoints(7_001, 0, &[], Value::Null),
            false => session.fail(7_001, &format!("/jobs/{JOB}/checkpoints"), RequestOutcome::Unavailable),
        };
        for half_second in 15..120 {
            session.fail(500 * half_second, "/jobs/overview", RequestOutcome::Unavailable);
        }
        match is_back {
            true => session.overview(60_000, "RUNNING").checkpoints(60_001, 9, &[], restored(9, 6_690)),
            false => session.finish(),
        };
        session.overview(60_000 + 4_500, "RUNNING");
        assert!(session.log.contains(expected), "expected {expected} in {}", session.log);
    }
}

/// Scenario: a job is canceled within seconds of its restart. Guarantees: the ends of its new
/// subtasks belong to the cancellation, so that the restart keeps its start and waits for no other.
#[test]
fn cancellation_soon_after_a_restart_is_no_part_of_it() {
    let metric = |value: &str| json!([{"id": "lastCheckpointRestoreTimestamp", "value": value}]);
    let mut session = Session::new();
    assert!(fresh_start(&mut session));
    session.answer(1_001, &start_metric(), metric("190"));
    let restarted = json!({"RUNNING": 1_700, "RESTARTING": 1_500});
    session.overview(2_000, "RUNNING").job(2_000, "RUNNING", restarted);
    session.subtask_times(2_000, [(SOURCE, 1_800, 0), (SINK, 1_810, 0)]).answer(2_001, &start_metric(), metric("1690"));
    let canceling = json!({"RUNNING": 1_700, "RESTARTING": 1_500, "CANCELLING": 2_500});
    session.overview(3_000, "CANCELLING").job(3_000, "CANCELLING", canceling);
    session.subtask_times(3_000, [(SOURCE, 1_800, 2_550), (SINK, 1_810, 2_560)]);
    session.overview(3_000 + 4_500, "CANCELLING");
    assert!(session.log.contains("came up 1690..1810 from None"), "{}", session.log);
}

/// Nothing waits for a metric that the cluster does not have.
#[test]
fn missing_metric_holds_back_nothing() {
    let mut old = Session::new();
    old.overview(900, "RUNNING").answer(900, "/config", json!({"flink-version": "1.18.1"}));
    assert!(!fresh_start(&mut old));
    let mut missing = Session::new();
    assert!(fresh_start(&mut missing));
    missing.missing(1_010, &start_metric());
    for mut session in [old, missing] {
        session.overview(1_000 + 4_500, "RUNNING");
        assert!(session.log.contains("came up 200..310 from None"), "{}", session.log);
    }
}

/// The start of a restore is in the checkpoint statistics.
#[test]
fn restore_needs_no_metric() {
    let mut session = Session::new();
    session.overview(1_000, "RUNNING").job(1_000, "RUNNING", json!({"RUNNING": 200}));
    session.checkpoints(1_000, 3, &[completed(3, 50)], restored(3, 150));
    session.subtask_times(1_000, [(SOURCE, 300, 0), (SINK, 310, 0)]);
    assert!(!session.requests(1_000).contains(&start_metric()));
    session.overview(5_500, "RUNNING");
    assert!(session.log.contains("came up 150..310 from Some(3)"), "{}", session.log);
}
