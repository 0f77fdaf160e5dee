//! `run`, `once` and `check` with a cluster that is slow, broken or about to end.

use std::time::{Duration, Instant};

use flink_traces_testkit::OtlpCollector;
use serde_json::{Value, json};

use crate::support::LONG;
use crate::support::flink::{Answers, FakeFlink, Reply};
use crate::support::process::Place;
use crate::support::session::{self, JOB};

const OVERVIEW: &str = "/jobs/overview";

fn job_id(number: usize) -> String {
    format!("{number:032x}")
}

fn flink(body: &Value) -> Reply {
    Reply::Flink(200, body.to_string())
}

/// The responses of jobs that run, of which the first one triggers a checkpoint every 500 ms. All
/// others never respond.
fn hanging_jobs(hanging: usize, newest: i64) -> Answers {
    let job = |number: usize| {
        json!({"jid": job_id(number), "name": format!("job {number}"), "state": "RUNNING", "start-time": 100,
            "end-time": -1, "duration": 1, "last-modification": 200, "tasks": {"total": 0}})
    };
    let mut answers = Answers::new();
    answers.insert(OVERVIEW.to_owned(), flink(&json!({ "jobs": (0..=hanging).rev().map(job).collect::<Vec<_>>() })));
    for number in 1..=hanging {
        for endpoint in ["", "/exceptions", "/checkpoints", "/checkpoints/config"] {
            answers.insert(format!("/jobs/{}{endpoint}", job_id(number)), Reply::Never);
        }
    }
    let healthy = format!("/jobs/{}", job_id(0));
    let history: Vec<_> = (1..=newest).rev().take(10).map(|id| json!({"className": "completed", "id": id,
        "status": "COMPLETED", "is_savepoint": false, "trigger_timestamp": id * 500, "latest_ack_timestamp": id * 500 + 30,
        "state_size": 10, "end_to_end_duration": 30, "num_subtasks": 0, "num_acknowledged_subtasks": 0, "tasks": {},
        "external_path": format!("file:/chk-{id}"), "discarded": false})).collect();
    let statistics = json!({"counts": {"restored": 0, "total": newest, "in_progress": 0, "completed": newest,
        "failed": 0}, "latest": {}, "history": history});
    answers.insert(format!("{healthy}/checkpoints"), flink(&statistics));
    let interval = json!({"mode": "exactly_once", "interval": 500});
    answers.insert(format!("{healthy}/checkpoints/config"), flink(&interval));
    let details = json!({"jid": job_id(0), "name": "job 0", "state": "RUNNING", "start-time": 100,
        "timestamps": {"RUNNING": 200}, "vertices": []});
    answers.insert(healthy, flink(&details));
    answers
}

/// Scenario: five jobs never respond, and a sixth has a checkpoint every 500 ms and a history of
/// ten. Guarantees: all checkpoints of the sixth arrive, and the log names the slow requests.
#[test]
fn hanging_jobs_cost_a_healthy_job_nothing() {
    const HANGING: usize = 5;
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let flink = FakeFlink::start(hanging_jobs(HANGING, 1));
    let running = place.start(&["run", "--flink", &flink.url(), "--otlp", &collector.grpc_endpoint()]);
    flink.wait_for_requests(&format!("/jobs/{}/checkpoints", job_id(0)), 1);
    let start = Instant::now();
    let newest = || 1 + i64::try_from(start.elapsed().as_millis() / 500).unwrap();
    // This is longer than one request takes to time out.
    while start.elapsed() < Duration::from_secs(16) {
        flink.set(hanging_jobs(HANGING, newest()));
        std::thread::sleep(Duration::from_millis(100));
    }
    let last = newest();
    flink.set(hanging_jobs(HANGING, last));
    let roots =
        |collector: &OtlpCollector| collector.spans().iter().filter(|span| span.name() == "Checkpoint").count() as i64;
    let all_arrived = collector.wait_until(LONG, |collector| roots(collector) >= last);
    assert!(all_arrived, "{} of {last}", roots(&collector));
    let stopping = Instant::now();
    running.signal("TERM");
    let stopped = running.finish().expect_code(0);
    assert!(stopping.elapsed() < Duration::from_secs(20), "{:?}", stopping.elapsed());
    assert!(!stopped.stderr.contains("missed"), "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("no response, retrying"), "{}", stopped.stderr);
    for number in 1..=HANGING {
        let named = format!("/jobs/{}", job_id(number));
        let line = stopped.stderr.lines().find(|line| line.contains("slow response") && line.contains(&named));
        assert!(line.is_some(), "{}", stopped.stderr);
    }
}

/// Guarantees: the program stops after the settling time, even if the next poll is far away.
#[test]
fn stopping_does_not_wait_for_the_next_poll() {
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let flink = FakeFlink::start(session::answers());
    let interval = "-Dflink-traces.poll-interval=1 h";
    let running = place.start(&["run", "--flink", &flink.url(), "--otlp", &collector.grpc_endpoint(), interval]);
    assert!(collector.wait_until(LONG, |collector| !collector.spans().is_empty()));
    let stopping = Instant::now();
    running.signal("TERM");
    let stopped = running.finish().expect_code(0);
    assert!(stopping.elapsed() < Duration::from_secs(30), "{:?}", stopping.elapsed());
    assert_eq!(stopped.counts().len(), 2, "{}", stopped.stderr);
}

/// Scenario: an endpoint fails for good. Guarantees: the log has one line for each reason, the
/// requests count as failed, and `once` and `check` show the reason and fail.
#[test]
fn endpoint_that_fails_for_good_is_reported() {
    const PROBLEM: &str = "Could not compute the percentiles.";
    let place = Place::new();
    let path = format!("/jobs/{JOB}/checkpoints");
    let failing = |status: u16, problem: &str| {
        let mut answers = session::answers();
        answers.insert(path.clone(), Reply::Flink(status, json!({ "errors": [problem] }).to_string()));
        answers
    };
    let flink = FakeFlink::start(failing(500, PROBLEM));
    let url = flink.url();
    let shown = place.run(&["once", "--flink", &url]).expect_code(69);
    assert!(shown.stdout.contains("orders-recover") && shown.stderr.contains(PROBLEM), "{shown:?}");
    assert!(shown.stderr.contains(&path), "{shown:?}");
    let checked = place.run(&["check", "--flink", &url]).expect_code(69);
    assert!(checked.stdout.contains("/jobs/:jobid/checkpoints: ") && checked.stdout.contains(PROBLEM), "{checked:?}");

    flink.ignore_requests();
    let running = place.start(&["run", "--flink", &url]);
    flink.wait_for_requests(&path, 2);
    flink.set(failing(403, "Not for you."));
    running.wait_for_stderr("Not for you.");
    running.signal("TERM");
    let stopped = running.finish().expect_code(0);
    let failures: Vec<_> = stopped.stderr.lines().filter(|line| line.contains("request failed")).collect();
    assert_eq!(failures.len(), 2, "{}", stopped.stderr);
    assert!(failures.iter().all(|line| line.contains("/jobs/:jobid/checkpoints")), "{failures:?}");
}

/// Scenario: the JobManager of an application ends right after its job. Guarantees: the end is
/// reported.
#[test]
fn end_of_an_application_is_reported() {
    let place = Place::new();
    let overview = |state: &str, end: i64| {
        flink(&json!({"jobs": [{"jid": JOB, "name": "job", "state": state, "start-time": 100, "end-time": end,
            "duration": 1, "last-modification": end.max(200), "tasks": {"total": 0}}]}))
    };
    let mut answers = Answers::new();
    answers.insert(OVERVIEW.to_owned(), overview("RUNNING", -1));
    let configuration = json!([{"key": "execution.target", "value": "embedded"}]);
    answers.insert("/jobmanager/config".to_owned(), flink(&configuration));
    let cluster = FakeFlink::start(answers.clone());
    let running = place.start(&["run", "--flink", &cluster.url(), "-Dflink-traces.poll-interval=1 h"]);
    // The interval does not apply to an application.
    cluster.wait_for_requests(OVERVIEW, 4);
    answers.insert(OVERVIEW.to_owned(), overview("FAILED", 5_000));
    cluster.set(answers);
    cluster.ignore_requests();
    cluster.wait_for_requests(&format!("/jobs/{JOB}/exceptions"), 1);
    drop(cluster);
    running.wait_for_stdout("FAILED");
    running.signal("TERM");
    running.finish().expect_code(0);
}

/// Scenario: every list of jobs, checkpoints, vertices and subtasks has a null in front, in every
/// response. Guarantees: everything else is reported, and each endpoint is warned about once.
#[test]
fn odd_entries_are_logged_once_per_endpoint() {
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let lists = ["jobs", "history", "vertices", "subtasks"].map(|name| format!("\"{name}\":["));
    let mut answers = session::answers();
    for reply in answers.values_mut() {
        let Reply::Flink(200, body) = reply else { continue };
        let with_null = lists.iter().fold(body.clone(), |body, list| body.replace(list, &format!("{list}null,")));
        *reply = Reply::Strange(with_null.replace("[null,]", "[]"));
    }
    let flink = FakeFlink::start(answers);
    let running = place.start(&["run", "--flink", &flink.url(), "--otlp", &collector.grpc_endpoint()]);
    let count = |collector: &OtlpCollector| collector.spans().iter().filter(|span| span.name() == "Checkpoint").count();
    assert!(collector.wait_until(LONG, |collector| count(collector) == 3), "{}", count(&collector));
    flink.wait_for_requests(OVERVIEW, 3);
    running.signal("TERM");
    let stopped = running.finish().expect_code(0);
    for endpoint in ["/jobs/overview", "/jobs/:jobid", "/jobs/:jobid/checkpoints"] {
        let named = format!("endpoint=\"{endpoint}\"");
        let warnings = stopped.stderr.lines().filter(|line| line.contains("unreadable entry") && line.contains(&named));
        assert_eq!(warnings.count(), 1, "{endpoint}: {}", stopped.stderr);
    }
}
