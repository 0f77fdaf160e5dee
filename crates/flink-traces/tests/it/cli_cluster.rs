//! `run`, `once` and `record` with a scripted cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use crate::support::flink::{Answers, FakeFlink, Port, Reply};
use crate::support::process::{Finished, Place, Running, command};
use crate::support::session::{self, EVENTS, JOB, SPANS};
use crate::support::{LONG, Watched};
use flate2::read::GzDecoder;
use flink_traces_testkit::{CollectorResponse, HttpResponse, OtlpCollector, ReceivedSpan};

const SUBTASKS: &str = "-Dtraces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK";
const OFTEN: &str = "-Dflink-traces.poll-interval=20 ms";
const TIMEOUT: &str = "-Dflink-traces.rest.timeout=3 s";
const OVERVIEW: &str = "/jobs/overview";
const LOGIN_PAGE: &str = "<!DOCTYPE html><html><title>Log in</title></html>";

/// Runs until the collector has all checkpoints, and then stops the program, which drains its
/// queues.
fn run_until_reported(place: &Place, flink: &[&str], collector: &OtlpCollector) -> Finished {
    let running = start_run(place, flink, &collector.grpc_endpoint());
    wait_for_checkpoints(collector, 3);
    running.signal("TERM");
    running.finish()
}

fn start_run(place: &Place, flink: &[&str], otlp: &str) -> Running {
    let flink = flink.iter().flat_map(|url| ["--flink", *url]);
    place.start(&["run", "--otlp", otlp, SUBTASKS, OFTEN, TIMEOUT].into_iter().chain(flink).collect::<Vec<_>>())
}

fn wait_for_checkpoints(collector: &OtlpCollector, count: usize) {
    let is_root = |span: &&ReceivedSpan| span.parent_span_id().is_empty() && span.name() == "Checkpoint";
    let arrived = collector.wait_until(LONG, |collector| collector.spans().iter().filter(is_root).count() >= count);
    assert!(arrived, "{:?}", collector.spans());
}

/// Waits until the details of the last checkpoint were requested, and some responses later.
fn wait_for_details(flink: &FakeFlink) {
    let vertices = ["6bf01baa9d2ca23a3ef7ce311722523d", "b71731f1c0df9c3076c4a455334d0ad6"];
    for vertex in vertices.into_iter().chain(["96eed58e350a66c179f06330f5425345", "a196eece6af80922e24d9003a27340c9"]) {
        flink.wait_for_requests(&format!("/jobs/{JOB}/checkpoints/details/3/subtasks/{vertex}"), 1);
        flink.wait_for_requests(&format!("/jobs/{JOB}/vertices/{vertex}/subtasktimes"), 1);
    }
    flink.ignore_requests();
    flink.wait_for_requests(OVERVIEW, 10);
}

type Ids = (Vec<u8>, Vec<u8>);

/// Returns the spans of a collector by their ids, which are unique.
fn by_ids(collector: &OtlpCollector) -> BTreeMap<Ids, ReceivedSpan> {
    let spans = collector.spans();
    let count = spans.len();
    let by_ids: BTreeMap<Ids, ReceivedSpan> =
        spans.into_iter().map(|span| ((span.trace_id().to_vec(), span.span_id().to_vec()), span)).collect();
    assert_eq!(by_ids.len(), count);
    by_ids
}

fn delivered(spans: usize, events: usize) -> [(String, [u64; 5]); 2] {
    [("traces otlp", spans), ("events otlp", events)]
        .map(|(name, count)| (name.to_owned(), [count as u64, count as u64, 0, 0, 0]))
}

#[test]
fn run_drains_and_repeats_the_same_records_on_restart() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let mut runs = Vec::new();
    for _ in 0..2 {
        let collector = OtlpCollector::start().unwrap();
        let stopped = run_until_reported(&place, &[&flink.url()], &collector).expect_code(0);
        assert_eq!(stopped.stdout, "");
        assert_eq!(stopped.counts(), delivered(SPANS, EVENTS));
        assert_eq!(collector.events().len(), EVENTS);
        runs.push(by_ids(&collector));
    }
    assert_eq!(runs[0], runs[1]);
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn clusters_are_distinguished_by_name() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let collector = OtlpCollector::start().unwrap();
    let named = ["prod", "test"].map(|name| format!("{name}={}", flink.url()));
    let running = start_run(&place, &named.each_ref().map(String::as_str), &collector.grpc_endpoint());
    wait_for_checkpoints(&collector, 6);
    running.signal("INT");
    let stopped = running.finish().expect_code(0);
    assert_eq!(stopped.counts(), delivered(2 * SPANS, 2 * EVENTS));
    let spans = by_ids(&collector);
    let of = |name: &str| {
        spans.values().filter(|span| span.attributes().get("flink.cluster.name") == Some(&name.into())).count()
    };
    assert_eq!(
        [of("prod"), of("test")].iter().sum::<usize>(),
        spans.values().filter(|span| span.parent_span_id().is_empty()).count()
    );
    assert_eq!(of("prod"), 4);
}

#[test]
fn unreachable_cluster_is_logged_once_then_watched() {
    let place = Place::new();
    let collector = OtlpCollector::start().unwrap();
    let port = Port::reserve();
    let refused = place.run(&["once", "--flink", &port.url()]).expect_code(69);
    assert_eq!(refused.stdout, "");
    assert!(
        refused.stderr.starts_with("error: 127.0.0.1:") && refused.stderr.contains("connection refused"),
        "{refused:?}"
    );

    let running = start_run(&place, &[&port.url()], &collector.grpc_endpoint());
    running.wait_for_stderr("no response");
    let flink = port.start_flink(session::answers());
    wait_for_checkpoints(&collector, 3);
    // When the cluster goes away again, one more line is logged.
    let mut away = session::answers();
    away.insert(OVERVIEW.to_owned(), Reply::Flink(503, r#"{"errors":["Leader election."]}"#.to_owned()));
    flink.set(away);
    flink.ignore_requests();
    flink.wait_for_requests(OVERVIEW, 4);
    running.signal("TERM");
    let stopped = running.finish().expect_code(0);
    assert_eq!(stopped.stderr.matches("WARN").count(), 2, "{}", stopped.stderr);
    assert_eq!(stopped.stderr.matches("no response").count(), 2, "{}", stopped.stderr);
    assert!(stopped.stderr.contains("status 503: Leader election."), "{}", stopped.stderr);
    let events = collector.events();
    let names = events.iter().filter_map(|event| event.attributes()["name"].as_str().map(str::to_owned));
    let of_cluster: Vec<_> = names.filter(|name| name.starts_with("Cluster")).collect();
    assert_eq!(of_cluster, ["ClusterUnreachableEvent", "ClusterReachableEvent", "ClusterUnreachableEvent"]);
    assert_eq!(stopped.counts(), delivered(SPANS, EVENTS + of_cluster.len()));
}

#[test]
fn login_page_is_not_a_cluster() {
    let place = Place::new();
    let pages =
        Answers::from(["/config", OVERVIEW].map(|path| (path.to_owned(), Reply::Strange(LOGIN_PAGE.to_owned()))));
    let flink = FakeFlink::start(pages);
    let url = flink.url();
    let told = "expected JSON, found HTML (is this Flink's REST address?): <!DOCTYPE html>";
    let refused = place.run(&["once", "--flink", &url]).expect_code(69);
    assert!(refused.stderr.starts_with("error: ") && refused.stderr.contains(told), "{refused:?}");
    let checked = place.run(&["check", "--flink", &url]).expect_code(69);
    assert!(checked.stdout.contains("  FAILED  cluster ") && checked.stdout.contains(told), "{checked:?}");

    let collector = OtlpCollector::start().unwrap();
    let running = start_run(&place, &[&url], &collector.grpc_endpoint());
    flink.wait_for_requests(OVERVIEW, 4);
    flink.set(session::answers());
    wait_for_checkpoints(&collector, 3);
    running.signal("TERM");
    let stopped = running.finish().expect_code(0);
    assert_eq!(stopped.stderr.matches("WARN").count(), 1, "{}", stopped.stderr);
    assert!(stopped.stderr.contains(told), "{}", stopped.stderr);
    // The cluster became unreachable, and then reachable.
    assert_eq!(stopped.counts(), delivered(SPANS, EVENTS + 2));
}

/// Scenario: one response is unreadable, all others are good. Guarantees: the unreadable one is
/// logged once, and the others are reported.
#[test]
fn unreadable_response_does_not_affect_others() {
    let subtasks = format!("/jobs/{JOB}/checkpoints/details/2/subtasks/6bf01baa9d2ca23a3ef7ce311722523d");
    let exceptions = format!("/jobs/{JOB}/exceptions");
    let check = |path: &str, reply: Reply| {
        let place = Place::new();
        let is_missing = matches!(reply, Reply::Flink(404, _));
        let logged = match reply {
            Reply::Strange(_) => "unreadable response",
            Reply::Late(..) | Reply::Never => "slow response",
            Reply::Flink(..) => "request failed",
        };
        let expected = usize::from(!is_missing);
        let mut answers = session::answers();
        answers.insert(path.to_owned(), reply);
        let flink = FakeFlink::start(answers);
        let collector = OtlpCollector::start().unwrap();
        let stopped = run_until_reported(&place, &[&flink.url()], &collector).expect_code(0);
        assert_eq!(stopped.stderr.matches("WARN").count(), expected, "{}", stopped.stderr);
        assert_eq!(stopped.stderr.matches(logged).count(), expected, "{}", stopped.stderr);
        assert_eq!(collector.events().len(), EVENTS, "{path}");
    };
    // In parallel, because each program takes some seconds to stop.
    std::thread::scope(|scope| {
        let npe = r#"{"errors":["Internal server error.","java.lang.NullPointerException\n\tat a.B"]}"#;
        for (path, reply) in [
            (&exceptions, Reply::Strange("{\"exceptionHistory\":".to_owned())),
            (&exceptions, Reply::Strange(LOGIN_PAGE.to_owned())),
            (&exceptions, Reply::Flink(500, npe.to_owned())),
            (&exceptions, Reply::Never),
            (&subtasks, Reply::Flink(404, r#"{"errors":["Could not find it"]}"#.to_owned())),
        ] {
            scope.spawn(move || check(path, reply));
        }
    });
}

#[test]
fn run_without_reporter_prints_despite_closed_pipe() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let arguments = ["run", "--flink", &flink.url(), OFTEN];
    let running = place.start(&arguments);
    running.wait_for_stdout("checkpointId=3 ");
    running.signal("TERM");
    let stopped = running.finish().expect_code(0);
    assert_eq!(stopped.stdout.lines().count(), 4 + 3, "{}", stopped.stdout);

    let mut command = command(&place.path(""), &arguments);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    flink.ignore_requests();
    let running = Running::start(command);
    flink.wait_for_requests(OVERVIEW, 3);
    running.signal("TERM");
    let stopped = running.finish().expect_code(0);
    assert!(!stopped.stderr.contains("panicked") && !stopped.stderr.contains("WARN"), "{}", stopped.stderr);
}

/// Scenario: the collector accepts a request and never responds. Guarantees: the cluster is still
/// polled, another reporter gets everything, and the queue is bounded.
#[test]
fn slow_collector_does_not_delay_others() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let (slow, quick) = (OtlpCollector::start().unwrap(), OtlpCollector::start().unwrap());
    slow.respond_by(|_| CollectorResponse::Hang);
    let option = |option: &str, value: &str| format!("-Dtraces.reporter.quick.{option}={value}");
    let running = place.start(&[
        "run",
        "--flink",
        &flink.url(),
        "--otlp",
        &slow.grpc_endpoint(),
        SUBTASKS,
        OFTEN,
        "-Dtraces.reporter.otlp.exporter.timeout=1 h",
        "-Dtraces.reporter.otlp.queue.size=20",
        "-Dflink-traces.shutdown-timeout=0",
        &option("factory.class", flink_traces_otlp::TRACE_FACTORY),
        &option("exporter.endpoint", &quick.grpc_endpoint()),
    ]);
    assert!(slow.wait_until(LONG, |slow| !slow.requests().is_empty()));
    assert!(quick.wait_until(LONG, |quick| quick.spans().len() == SPANS));
    flink.ignore_requests();
    flink.wait_for_requests(OVERVIEW, 50);
    running.signal("TERM");
    let counts: BTreeMap<_, _> = running.finish().expect_code(1).counts().into_iter().collect();
    let [emitted, delivered, rejected, dropped, queued] = counts["traces otlp"];
    assert_eq!([emitted, delivered, rejected, queued], [SPANS as u64, 0, 0, 0]);
    assert_eq!(dropped, SPANS as u64);
    assert_eq!(counts["traces quick"], [SPANS as u64, SPANS as u64, 0, 0, 0]);
}

#[test]
fn second_signal_stops_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let place = Place::new();
        let flink = FakeFlink::start(session::answers());
        let collector = OtlpCollector::start().unwrap();
        collector.respond_by(|_| CollectorResponse::Hang);
        let arguments = [
            "run",
            "--flink",
            &flink.url(),
            "--otlp",
            &collector.grpc_endpoint(),
            OFTEN,
            "-Dflink-traces.shutdown-timeout=1 h",
        ];
        let running = place.start(&arguments);
        assert!(collector.wait_until(LONG, |collector| !collector.requests().is_empty()));
        running.signal(signal);
        running.wait_for_stderr("stopping");
        // A signal that arrives again within a second counts once.
        while !running.has_ended() {
            std::thread::sleep(Duration::from_millis(100));
            running.signal(signal);
        }
        let stopped = running.finish().expect_code(code);
        assert!(stopped.stderr.ends_with("stopped at once, queued records are lost\n"), "{}", stopped.stderr);
    }
}

/// Scenario: a supervisor signals the process and then its group. Guarantees: the queues are
/// drained, as after one signal.
#[test]
fn repeated_signal_drains_the_queues() {
    for signals in [&["TERM", "TERM"], &["INT", "INT"]] {
        let place = Place::new();
        let flink = FakeFlink::start(session::answers());
        let collector = OtlpCollector::start().unwrap();
        let running = start_run(&place, &[&flink.url()], &collector.grpc_endpoint());
        wait_for_checkpoints(&collector, 3);
        for signal in signals {
            running.signal(signal);
        }
        let stopped = running.finish().expect_code(0);
        assert_eq!(stopped.counts(), delivered(SPANS, EVENTS));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn hangup_is_ignored_under_nohup() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let collector = OtlpCollector::start().unwrap();
    let mut nohup = std::process::Command::new("sh");
    let script = "trap '' HUP; exec \"$0\" run --flink \"$1\" --otlp \"$2\" '-Dflink-traces.poll-interval=20 ms'";
    nohup.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_flink-traces")).args([flink.url(), collector.grpc_endpoint()]);
    nohup.current_dir(place.path(""));
    nohup.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::start(nohup);
    wait_for_checkpoints(&collector, 3);
    running.signal("HUP");
    flink.ignore_requests();
    flink.wait_for_requests(OVERVIEW, 10);
    running.signal("TERM");
    running.finish().expect_code(0);
}

#[test]
fn undrained_records_are_counted() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let port = Port::reserve();
    let arguments =
        ["run", "--flink", &flink.url(), "--otlp", &port.url(), OFTEN, "-Dflink-traces.shutdown-timeout=50 ms"];
    let running = place.start(&arguments);
    running.wait_for_stderr("collector failing, retrying");
    flink.wait_for_requests(OVERVIEW, 2);
    running.signal("TERM");
    let stopped = running.finish().expect_code(1);
    for (name, [emitted, delivered, rejected, _, _]) in stopped.counts() {
        assert!(emitted >= 4 && delivered == 0 && rejected == 0, "{name}: {}", stopped.stderr);
    }
}

#[test]
fn once_prints_a_table() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let shown = place.run(&["once", "--flink", &flink.url()]).expect_code(0);
    assert_eq!(shown.stderr, "");
    let lines: Vec<_> = shown.stdout.lines().collect();
    let address = format!("Flink 2.3.0 at {}: 1 TaskManager, 0 of 4 slots free, 1 job", flink.url());
    assert_eq!(lines[0], address);
    let words: Vec<_> = lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(words[1], ["JOB", "ID", "STATE", "FOR", "CHECKPOINTS", "FAILED", "LAST", "TOOK", "SIZE"]);
    // The omitted column is the time since the job started.
    assert_eq!(words[2][..3], ["orders-recover", JOB, "RUNNING"]);
    assert_eq!(words[2][words[2].len() - 7..], ["3", "1", "2026-11-21T03:15:20.330Z", "70", "ms", "204.0", "KiB"]);

    // A cluster that does not respond does not hide the next one.
    let away = Port::reserve();
    let shown = place.run(&["once", "--flink", &away.url(), "--flink", &flink.url()]).expect_code(69);
    assert!(shown.stdout.starts_with(&address) && shown.stderr.starts_with("error: "), "{shown:?}");
}

/// Returns the answers of a session with ended jobs, of which the numbers are their ages.
fn with_ended_jobs(count: usize) -> Answers {
    let mut answers = session::answers();
    let job = |name: &str, id: &str, state: &str, end: i64| {
        serde_json::json!({ "jid": id, "name": name, "state": state, "start-time": 1_795_230_900_000_i64,
            "end-time": end, "duration": 61_000, "last-modification": end, "tasks": {} })
    };
    let mut jobs: Vec<_> = (0..count)
        .map(|age| job(&format!("ended-{age}"), &format!("{age:032x}"), "FINISHED", 2_000_000_000_000 - age as i64))
        .collect();
    jobs.push(job("naïve, \"wide\" 表\u{1b}", JOB, "RUNNING", -1));
    answers.insert(OVERVIEW.to_owned(), Reply::Flink(200, serde_json::json!({ "jobs": jobs }).to_string()));
    answers
}

#[test]
fn once_shows_running_and_recent_jobs() {
    let place = Place::new();
    let flink = FakeFlink::start(with_ended_jobs(12));
    let once =
        |arguments: &[&str]| place.run(&[&["once", "--flink", &flink.url()], arguments].concat()).expect_code(0).stdout;
    for (arguments, ended, note) in [
        (&[][..], 10, "2 ended jobs not shown, see --all"),
        (&["--all"], 12, ""),
        (&["--running"], 0, "12 ended jobs not shown"),
    ] {
        let shown = once(arguments);
        assert_eq!(shown.matches("FINISHED").count(), ended, "{shown}");
        assert!(shown.contains("RUNNING") && shown.contains(note) && shown.contains(" 13 jobs"), "{shown}");
        assert_eq!(shown.contains("not shown"), !note.is_empty(), "{shown}");
    }
    // The ended jobs are those that ended last.
    assert!(once(&[]).contains("ended-9 ") && !once(&[]).contains("ended-10 "));
}

#[test]
fn once_prints_json_and_csv() {
    let place = Place::new();
    let flink = FakeFlink::start(with_ended_jobs(1));
    let away = Port::reserve();
    let clusters = ["once", "--flink", &format!("prod={}", flink.url()), "--flink", &format!("away={}", away.url())];
    let shown = place.run(&[&clusters[..], &["--format", "json"]].concat()).expect_code(69);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let [prod, away] = [&shown["clusters"][0], &shown["clusters"][1]];
    assert_eq!((prod["name"].as_str(), prod["version"].as_str()), (Some("prod"), Some("2.3.0")));
    assert_eq!(prod["slots"]["all"], 4);
    assert!(away["error"].as_str().unwrap().contains("connection refused"), "{away}");
    let job = &prod["jobs"][1];
    assert_eq!((job["name"].as_str(), job["state"].as_str()), (Some("naïve, \"wide\" 表\u{1b}"), Some("RUNNING")));
    assert_eq!(job["checkpoints"]["completed"], 3);
    assert_eq!(job["checkpoints"]["last"]["triggered"], "2026-11-21T03:15:20.330Z");
    assert_eq!(job["checkpoints"]["last"]["durationMs"], 70);

    let shown = place.run(&[&clusters[..3], &["--format", "csv"]].concat()).expect_code(0).stdout;
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(lines[0].starts_with("cluster,job,id,state,started,age_ms,completed,"), "{shown}");
    assert!(
        lines[1]
            .starts_with("prod,ended-0,00000000000000000000000000000000,FINISHED,2026-11-21T03:15:00.000Z,61000,,,,,"),
        "{shown}"
    );
    let job = format!("prod,\"naïve, \"\"wide\"\" 表\\u{{1b}}\",{JOB},RUNNING,");
    assert!(lines[2].starts_with(&job) && lines[2].ends_with(",3,1,2026-11-21T03:15:20.330Z,70,208860"), "{shown}");
}

/// Guarantees: what cannot be requested is named and empty, and the rest is shown.
#[test]
fn once_names_what_it_could_not_request() {
    let place = Place::new();
    let mut answers = session::answers();
    let npe = r#"{"errors":["Internal server error.","java.lang.NullPointerException\n\tat a.B"]}"#;
    answers.insert(format!("/jobs/{JOB}/checkpoints"), Reply::Flink(500, npe.to_owned()));
    answers.insert("/overview".to_owned(), Reply::Flink(403, r#"{"errors":["no"]}"#.to_owned()));
    let flink = FakeFlink::start(answers);
    let shown = place.run(&["once", "--flink", &flink.url()]).expect_code(69);
    assert!(shown.stdout.contains("orders-recover") && shown.stdout.contains(": 1 job\n"), "{shown:?}");
    assert!(shown.stderr.contains("/overview: status 403: no\n"), "{shown:?}");
    let reason = format!("/jobs/{JOB}/checkpoints: status 500: java.lang.NullPointerException\n");
    assert!(shown.stderr.contains(&reason), "{shown:?}");
}

/// Scenario: one entry of the job list is null. Guarantees: the others are shown, and the entry is
/// warned about.
#[test]
fn odd_entry_of_a_list_costs_only_itself() {
    let place = Place::new();
    let mut answers = session::answers();
    let Reply::Flink(_, overview) = &answers[OVERVIEW] else { panic!() };
    let odd = overview.replacen("{\"jobs\":[", "{\"jobs\":[null,", 1);
    assert!(odd.contains("[null,"), "{odd}");
    answers.insert(OVERVIEW.to_owned(), Reply::Strange(odd));
    let flink = FakeFlink::start(answers);
    let shown = place.run(&["once", "--flink", &flink.url()]).expect_code(0);
    assert!(shown.stdout.contains("orders-recover"), "{shown:?}");
    assert!(shown.stderr.contains("unreadable entry, skipping it") && shown.stderr.contains("at jobs[0]"), "{shown:?}");
}

/// Guarantees: `run` says what it reports where, which cluster it reached, and when the first
/// record arrived.
#[test]
fn run_says_what_it_does() {
    let place = Place::new();
    let collector = OtlpCollector::start().unwrap();
    let mut answers = session::answers();
    let options = serde_json::json!([
        { "key": "web.checkpoints.history", "value": "20" },
        { "key": "events.reporter.x.exporter.endpoint", "value": format!("{}/", collector.grpc_endpoint()) },
        { "key": "traces.reporter.x.exporter.endpoint", "value": "http://elsewhere:4317" },
    ]);
    answers.insert("/jobmanager/config".to_owned(), Reply::Flink(200, options.to_string()));
    let flink = FakeFlink::start(answers);
    for format in ["text", "json"] {
        let url = format!("prod={}", flink.url());
        let running = place.start(&[
            "run",
            "--flink",
            &url,
            "--otlp",
            &collector.grpc_endpoint(),
            OFTEN,
            "--log-format",
            format,
            "--json",
            "lines",
        ]);
        running.wait_for_stderr("cluster reached");
        running.wait_for_stderr("first delivery");
        running.signal("TERM");
        let stopped = running.finish().expect_code(0);
        let said = &stopped.stderr;
        assert_eq!(said.matches("the cluster reports to the same endpoint").count(), 1, "{said}");
        for file in ["lines/spans.jsonl", "lines/events.jsonl"] {
            assert!(place.path(file).exists());
        }
        if format == "text" {
            let reached = said.lines().find(|line| line.contains("cluster reached")).unwrap();
            for part in
                ["cluster=\"prod\"", "version=\"2.3.0\"", "jobs=1", "checkpoint_history=\"20\"", "graph_cache=\"3 s\""]
            {
                assert!(reached.contains(part), "{part}: {reached}");
            }
            assert!(said.contains(&format!("destination=\"{}\"", collector.grpc_endpoint())), "{said}");
            continue;
        }
        let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let reached = lines.iter().find(|line| line["message"] == "cluster reached").unwrap();
        assert_eq!((&reached["cluster"], &reached["jobs"]), (&"prod".into(), &1.into()));
        assert_eq!(lines.iter().filter(|line| line["message"] == "account").count(), 4);
    }
}

/// Returns the content of a span that is the same for a cluster and its recording.
fn content(span: &ReceivedSpan) -> String {
    let mut attributes = span.attributes();
    attributes.retain(|key, _| !["flink.cluster.name", "host"].contains(&key.as_str()));
    format!("{} {} {} {attributes:?}", span.name(), span.start_time_unix_nano(), span.end_time_unix_nano())
}

#[test]
fn recording_plays_like_the_live_cluster() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let recording = place.start(&["record", "--flink", &flink.url(), "--output", "session.jsonl.gz", OFTEN]);
    wait_for_details(&flink);
    recording.signal("TERM");
    let recorded = recording.finish().expect_code(0);
    assert!(recorded.stderr.ends_with(" responses in session.jsonl.gz\n"), "{}", recorded.stderr);

    let collectors = [(); 2].map(|()| OtlpCollector::start().unwrap());
    run_until_reported(&place, &[&flink.url()], &collectors[0]).expect_code(0);
    let play = ["play", "session.jsonl.gz", "--quiet", SUBTASKS, "--otlp", &collectors[1].grpc_endpoint()];
    place.run(&play).expect_code(0);
    let [run, played] =
        collectors.each_ref().map(|collector| by_ids(collector).values().map(content).collect::<BTreeSet<_>>());
    assert_eq!(run, played);
    assert_eq!(run.len(), SPANS);
}

#[test]
fn recording_has_no_secret_and_replaces_no_file() {
    let place = Place::new();
    let mut answers = session::answers();
    let failure = r#"{"exceptionHistory":{"entries":[{"exceptionName":"E","timestamp":1,"taskName":"t","endpoint":"e","taskManagerId":"m",
        "stacktrace":"E: jdbc:x://me:canary@db, password=canary\n\tat a.B"}],"truncated":false}}"#;
    answers.insert(format!("/jobs/{JOB}/exceptions"), Reply::Flink(200, failure.to_owned()));
    let flink = FakeFlink::start(answers);
    let address = flink.url().replace("http://", "http://me:canary@");
    let record = ["record", "--flink", &address, "--output", "session.jsonl.gz", OFTEN, "--log-level", "trace"];
    let recording = place.start(&record);
    wait_for_details(&flink);
    recording.signal("INT");
    let recorded = recording.finish().expect_code(0);
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(place.path("session.jsonl.gz")).unwrap()).read_to_string(&mut text).unwrap();
    assert!(text.contains("jdbc:x://******@db, password=******") && text.contains("checkpoints/details/3"), "{text}");
    assert!(!text.contains("canary") && !format!("{recorded:?}").contains("canary"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(place.path("session.jsonl.gz")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let refused = place.run(&record).expect_code(1);
    assert_eq!(refused.stderr, "error: session.jsonl.gz: File exists (os error 17)\n");

    let nobody = Port::reserve();
    let record = ["record", "--flink", &nobody.url(), "--output", "nothing.jsonl.gz", "--for", "50 ms"];
    let refused = place.run(&record).expect_code(1);
    assert!(refused.stderr.ends_with("\nerror: the cluster did not respond\n"), "{}", refused.stderr);
}

#[test]
fn secrets_are_sent_and_never_shown() {
    let flink = FakeFlink::start(session::answers());
    let collector = OtlpCollector::start().unwrap();
    // The first response of the collector repeats the request.
    let mut repeated = false;
    collector.respond_by(move |request| match request.headers.get("authorization") {
        Some(sent) if !std::mem::replace(&mut repeated, true) => {
            HttpResponse::new(401).body(format!("no: {sent}")).into()
        }
        _ => CollectorResponse::Accept,
    });
    let place = Place::new();
    place.write(
        "config.yaml",
        format!(
            "security.redaction.additional-keys: service.version
traces.reporter.otlp:
  exporter.headers: {{authorization: Bearer canary-in-header}}
  service.version: canary-by-key
  scope.variables.additional: {{token: canary-in-variable}}
events.reporter.otlp.exporter.headers.x-api-key: canary-in-key
flink-traces.clusters.prod: {}
flink-traces.clusters.test: {}
flink-traces.rest.bearer-token: canary-in-token
",
            flink.url().replace("http://", "http://me:canary-in-file@"),
            flink.url()
        ),
    );
    // At this level, the libraries log everything that they may log.
    let conf = ["--conf", "config.yaml", "--log-level", "trace", "--otlp", &collector.http_endpoint(), OFTEN];
    let by_address = flink.url().replace("http://", "http://me:canary-in-address@");
    let seen = Watched::<String>::default();
    let see = |done: &Finished| seen.change(|seen| *seen += &format!("{}{}", done.stdout, done.stderr));

    see(&place.run(&[&["check"], &conf[..]].concat()).expect_code(0));
    see(&place.run(&[&["check"], &conf[..], &["--flink", &by_address]].concat()).expect_code(0));
    see(&place.run(&["once", "--flink", &by_address, "--log-level", "trace"]).expect_code(0));
    let running = place.start(&[&["run"], &conf[..]].concat());
    wait_for_checkpoints(&collector, 2);
    running.signal("TERM");
    see(&running.finish().expect_code(0));
    // Problems of a secret, or next to one.
    for wrong in [
        &["-Dtraces.reporter.otlp.exporter.headers=canary"][..],
        &["-Dtraces.reporter.otlp.exporter.headerz.authorization=canary"],
        &["-Dflink-traces.rest.bearer-token=can\nary"],
        &["-Dflink-traces.clusters.prod=htp://me:canary@host"],
        &["--flink", "htp://me:canary@host"],
        &["--flink", "http://me:can?ary@host"],
        &["-D", "canary"],
    ] {
        see(&place.run(&[&["run"], &conf[..], wrong].concat()).expect_code(78));
    }
    see(&place.run(&["run", "--flink", &by_address, "--otlp", "http://me:canary@host"]).expect_code(78));

    seen.change(|seen| {
        for secret in ["canary", "ary@", "can\\n", "bWU6Y2FuYXJ5"] {
            let line = seen.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret}");
        }
        assert!(seen.contains("******"), "{seen}");
    });
    let authorizations: BTreeSet<_> = flink.authorizations().into_iter().flatten().collect();
    // A user in an address comes before the token of all clusters.
    let expected = ["Basic bWU6Y2FuYXJ5LWluLWFkZHJlc3M=", "Basic bWU6Y2FuYXJ5LWluLWZpbGU=", "Bearer canary-in-token"];
    assert_eq!(authorizations, BTreeSet::from(expected.map(str::to_owned)));
    let headers: BTreeSet<_> =
        collector.requests().iter().filter_map(|request| request.headers.get("authorization").cloned()).collect();
    assert_eq!(headers, BTreeSet::from(["Bearer canary-in-header".to_owned()]));
}

/// Scenario: two processes use one spool directory. Guarantees: each has a slot of its own, the
/// second says so, and both deliver. The slot of the second is gone when it ends. `check` needs no
/// spool.
#[test]
fn second_process_takes_the_next_spool_slot() {
    let flink = FakeFlink::start(session::answers());
    let collector = OtlpCollector::start().unwrap();
    let place = Place::new();
    let (url, endpoint) = (flink.url(), collector.http_endpoint());
    let common = ["--flink", &url, "--otlp", &endpoint, OFTEN, "-Dtraces.reporter.otlp.spool.directory=spool"];
    place.run(&[&["check"], &common[..]].concat()).expect_code(0);
    assert_eq!(place.names(), [""; 0]);
    let first = place.start(&[&["run"], &common[..]].concat());
    wait_for_checkpoints(&collector, 2);
    let second = place.start(&[&["run"], &common[..]].concat());
    let delivered = collector.wait_until(LONG, |_| place.path("spool/traces-otlp/1/cursor").exists());
    assert!(delivered);
    second.signal("TERM");
    let stopped = second.finish().expect_code(0);
    assert!(stopped.stderr.contains("spool slot in use, taking the next"), "{}", stopped.stderr);
    assert!(!place.path("spool/traces-otlp/1").exists());
    first.signal("TERM");
    first.finish().expect_code(0);
    let cursor = place.read("spool/traces-otlp/0/cursor");
    let blocks = cursor.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let newest = blocks.max_by_key(|block| block["writes"].as_u64()).unwrap();
    let summary = &newest["summary"];
    assert!(summary["delivered"] == summary["finalized"] && summary["rejected"] == 0, "{cursor}");
}
