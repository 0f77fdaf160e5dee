//! `demo` and `play`: output, files and delivery, also of damaged and hostile recordings.

use crate::support::flink::{FakeFlink, Port};
use crate::support::process::{Place, Running, command};
use crate::support::session::{self, EVENTS, NAME, SPANS};
use flink_traces_testkit::OtlpCollector;
use serde_json::Value;

const SUBTASKS: &str = "-Dtraces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK";

/// Returns the number of printed checkpoints.
fn checkpoints(lines: &str) -> usize {
    lines.lines().filter(|line| line.contains("Z  Checkpoint  ")).count()
}

#[test]
fn demo_needs_no_cluster_and_prints_everything() {
    let place = Place::new();
    let played = place.run(&["demo"]).expect_code(0);
    // Printed lines, a blank line, the summary.
    let (lines, summary) = played.stdout.split_once("\n\n").unwrap();
    assert_eq!(checkpoints(lines), 74, "{lines}");
    assert!(
        summary.starts_with("8 jobs\n\norders-recover (0b1d198cd84d58810f0faf9761017b2f), FINISHED\n"),
        "{summary}"
    );
    for told in [
        "  checkpoints: 20 completed (savepoints: 2), 3 failed; 192 ms on average\n",
        "    slow: Checkpoint 16 at 03:15:40.195, 2.0 s for 304.0 KiB; held back by agg -> tail, subtask 3: 2.0 s waiting for the barrier\n",
        "    failed: 1 × Checkpoint expired before completing.\n",
        "  initializations: 1 fresh, 2 from a checkpoint\n    at 03:15:28.887 from checkpoint 9, in 491 ms\n",
        "; caused by java.lang.RuntimeException: deliberate refusal of checkpoint 12\n",
        "; caused by java.lang.IllegalStateException: deliberate failure of guard in attempt 1; the job ended\n",
    ] {
        assert!(summary.contains(told), "{told}\nis not in:\n{summary}");
    }

    assert!(played.stderr.contains("flink-traces-demo/spans.jsonl and flink-traces-demo/events.jsonl"), "{played:?}");
    let [spans, events] = ["spans", "events"].map(|name| place.read(&format!("flink-traces-demo/{name}.jsonl")));
    let written = [&spans, &events].map(|lines| {
        let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        records.len() as u64
    });
    for (name, count) in [("traces json", written[0]), ("events json", written[1])] {
        assert!(played.counts().contains(&(name.to_owned(), [count, count, 0, 0, 0])), "{played:?}");
    }
    assert!(played.counts().iter().all(|(_, [emitted, delivered, ..])| emitted == delivered), "{played:?}");

    // The files contain one session, with the same ids as before.
    place.run(&["demo", "--quiet"]).expect_code(0);
    assert_eq!(
        [place.read("flink-traces-demo/spans.jsonl"), place.read("flink-traces-demo/events.jsonl")],
        [spans, events]
    );
}

/// Scenario: every list of jobs, checkpoints, vertices and subtasks has a null in front.
/// Guarantees: everything else is reported as ever, and each endpoint is warned about once.
#[test]
fn odd_entries_of_lists_cost_only_themselves() {
    let place = Place::new();
    let lists = ["jobs", "history", "vertices", "subtasks"].map(|name| format!("\"{name}\":["));
    let with_null = |line: &String| {
        lists
            .iter()
            .fold(line.clone(), |line, list| line.replace(list, &format!("{list}null,")).replace("[null,]", "[]"))
    };
    let lines: Vec<_> = session::lines().iter().map(with_null).collect();
    place.write("session.jsonl.gz", session::recording(&lines));
    let collector = OtlpCollector::start().unwrap();
    let play = ["play", "session.jsonl.gz", "--quiet", SUBTASKS, "--otlp", &collector.grpc_endpoint()];
    let played = place.run(&play).expect_code(0);
    assert_eq!((collector.spans().len(), collector.events().len()), (SPANS, EVENTS), "{played:?}");
    // The session has no failure.
    for endpoint in ["/jobs/overview", "/jobs/:jobid/checkpoints", "/jobs/:jobid"] {
        let warning = format!("endpoint=\"{endpoint}\"");
        let warnings =
            played.stderr.lines().filter(|line| line.contains("unreadable entry") && line.contains(&warning));
        assert_eq!(warnings.count(), 1, "{endpoint}: {}", played.stderr);
    }
    assert!(!played.stderr.contains("unreadable response"), "{}", played.stderr);
}

#[test]
fn play_delivers_at_any_speed() {
    let place = Place::new();
    place.write("session.jsonl.gz", session::recording(&session::lines()));
    let play = ["play", "session.jsonl.gz", "--quiet", SUBTASKS];
    let mut received = Vec::new();
    for more in [&[][..], &["--speed", "1000000", "--json", "out"]] {
        let collector = OtlpCollector::start().unwrap();
        let otlp = collector.grpc_endpoint();
        let played = place.run(&[&play[..], &["--otlp", &otlp], more].concat()).expect_code(0);
        assert!(played.stdout.starts_with("\n1 job\n\norders-recover "), "{played:?}");
        assert_eq!((collector.spans().len(), collector.events().len()), (SPANS, EVENTS));
        let [spans, events] = [SPANS, EVENTS].map(|count| [count as u64, count as u64, 0, 0, 0]);
        let counts = played.counts();
        let of_otlp: Vec<_> =
            counts.iter().filter(|(name, _)| name.ends_with("otlp")).map(|(_, counts)| *counts).collect();
        assert_eq!(of_otlp, [spans, events]);
        let ids =
            collector.spans().into_iter().map(|received| (received.trace_id().to_vec(), received.span_id().to_vec()));
        received.push(ids.collect::<Vec<_>>());
    }
    assert_eq!(received[0], received[1]);
    assert_eq!(place.read("out/spans.jsonl").lines().count(), SPANS);
}

#[test]
fn undeliverable_records_are_dropped_and_counted() {
    let place = Place::new();
    place.write("session.jsonl.gz", session::recording(&session::lines()));
    for protocol in ["grpc", "http"] {
        let nobody = Port::reserve();
        let options = ["traces", "events"].map(|signal| {
            let prefix = format!("-D{signal}.reporter.otlp.");
            [format!("{prefix}retry.timeout=20 ms"), format!("{prefix}exporter.protocol={protocol}")]
        });
        let options = options.iter().flatten().map(String::as_str).collect::<Vec<_>>();
        let otlp = ["play", "session.jsonl.gz", "--otlp", &nobody.url(), SUBTASKS];
        let played = place.run(&[&otlp[..], &options].concat()).expect_code(1);
        assert_eq!(checkpoints(&played.stdout), 3);
        let [spans, events] = [SPANS, EVENTS].map(|count| [count as u64, 0, 0, count as u64, 0]);
        assert_eq!(played.counts(), [("traces otlp".to_owned(), spans), ("events otlp".to_owned(), events)]);
        assert!(played.stderr.contains(&format!("({} {SPANS})", "given up")), "{}", played.stderr);
        assert!(played.stderr.contains("Connection refused"), "{}", played.stderr);
    }
}

#[test]
fn intact_parts_of_damaged_recording_are_played() {
    let lines = session::lines();
    let whole = session::recording(&lines);
    let mut garbage = lines.clone();
    garbage.insert(3, "{\"t_ms\":1,\"method\":\"GET\"}".to_owned());
    garbage.insert(20, "\u{1b}[2Jno JSON".to_owned());
    garbage.push("{}".to_owned());
    let hostile = [
        format!(
            "{{\"t_ms\":{},\"dur_ms\":{},\"method\":\"GET\",\"path\":\"/jobs/overview\",\"status\":200,\"body\":{{\"jobs\":[]}}}}",
            i64::MIN,
            -1
        ),
        format!(
            "{{\"t_ms\":{0},\"dur_ms\":{0},\"method\":\"GET\",\"path\":\"/jobs/overview\",\"status\":200,\"body\":7}}",
            i64::MAX
        ),
    ];
    let skipped = |count: usize| format!("skipped {count} lines that are not exchanges of a recording, first line ");
    for (name, content, found, said) in [
        ("whole", whole.clone(), 3..=3, ""),
        ("plain", lines.join("\n").into_bytes(), 3..=3, ""),
        ("cut", whole[..whole.len() * 9 / 10].to_vec(), 1..=3, "error: cut: line "),
        ("tail", [&whole[..], b"not gzip"].concat(), 3..=3, "error: tail: line "),
        ("garbage", session::recording(&garbage), 3..=3, &format!("error: garbage: {}4: ", skipped(3))),
        ("hostile", session::recording(&hostile), 0..=0, ""),
        ("foreign", b"a,b\n1,2\n".to_vec(), 0..=0, &format!("error: foreign: {}1: ", skipped(2))),
        ("empty", Vec::new(), 0..=0, "error: empty: the recording is empty\n"),
    ] {
        let place = Place::new();
        place.write(name, content);
        let code = i32::from(!said.is_empty());
        let played = place.run(&["play", name, "--speed", "1e300"]).expect_code(code);
        assert!(found.contains(&checkpoints(&played.stdout)), "{name}:\n{}", played.stdout);
        assert!(played.stdout.contains(" job"), "{name}: no summary");
        let error = played.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(format!("{error}\n").starts_with(said), "{name}: {}", played.stderr);
    }
    let place = Place::new();
    let refused = place.run(&["play", "away"]).expect_code(1);
    assert_eq!(refused.stderr, "error: away: cannot be opened: No such file or directory (os error 2)\n");
}

/// A name of a megabyte that would forge lines, color terminals and reverse text.
fn hostile_name() -> String {
    format!("evil\nINFO forged\r\u{1b}[31m\u{202e}\u{2028}\0{}", "x".repeat(1 << 20))
}

#[track_caller]
fn check_lines(text: &str) {
    for line in text.lines() {
        let unsafe_character = line.chars().find(|c| flink_traces_api::is_unsafe_to_print(*c));
        assert_eq!(unsafe_character, None, "{line}");
        assert!(line.chars().count() <= 4_000, "{} characters", line.chars().count());
        assert!(!line.starts_with("INFO forged"), "{line}");
    }
}

#[test]
fn hostile_name_stays_in_line_and_bounds() {
    let name = hostile_name();
    let place = Place::new();
    let lines: Vec<_> = session::lines().iter().map(|line| session::renamed(line, &name)).collect();
    place.write("session.jsonl.gz", session::recording(&lines));
    let collector = OtlpCollector::start().unwrap();
    let log = [
        "-Dtraces.reporter.log.factory.class=org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory",
        "-Devents.reporter.log.factory.class=org.apache.flink.events.slf4j.Slf4jEventReporterFactory",
    ];
    let play = ["play", "session.jsonl.gz", "--json", "out", "--otlp", &collector.grpc_endpoint()];
    let played = place.run(&[&play[..], &log].concat()).expect_code(0);
    assert_eq!(checkpoints(&played.stdout), 3);
    let written = place.read("out/spans.jsonl") + &place.read("out/events.jsonl");
    for text in [&played.stdout, &played.stderr, &written] {
        assert!(text.contains("evil"), "{text}");
        check_lines(text);
    }
    for line in written.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert!(record["attributes"]["job_name"].as_str().unwrap().starts_with("evil\nINFO forged"), "{record}");
    }
    let names = collector
        .spans()
        .iter()
        .map(|span| span.attributes()["job_name"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    assert!(names.iter().all(|name| name.starts_with("evil\nINFO") && name.chars().count() <= 1_100), "{names:?}");
    assert_eq!(names.len(), 4);

    let flink = FakeFlink::start(session::answers_with_name(&name));
    let table = place.run(&["once", "--flink", &flink.url()]).expect_code(0);
    assert!(table.stdout.lines().count() == 3 && table.stdout.contains("\nevil\\u{a}INFO"), "{}", table.stdout);
    check_lines(&table.stdout);
}

#[test]
fn closed_pipes_are_no_error() {
    let place = Place::new();
    place.write("session.jsonl.gz", session::recording(&session::lines()));
    let flink = FakeFlink::start(session::answers());
    let url = flink.url();
    let recording = session::full_recording();
    let full = ["play", recording.to_str().unwrap(), "--json", "full"];
    for arguments in [&full[..], &["once", "--flink", &url], &["check", "--flink", &url], &["demo"], &["--help"]] {
        let mut command = command(&place.path(""), arguments);
        // The read end of this pipe is closed at once.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer);
        let done = Running::start(command).finish().expect_code(0);
        assert!(!done.stderr.contains("panicked") && !done.stderr.contains("error"), "{}", done.stderr);
    }
    assert_eq!(place.read("full/spans.jsonl"), place.read("flink-traces-demo/spans.jsonl"));

    // The same holds for standard error.
    let mut command = command(&place.path(""), &["play", "session.jsonl.gz", "--json", "out"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stderr(writer);
    let done = Running::start(command).finish().expect_code(0);
    assert_eq!(checkpoints(&done.stdout), 3);
    assert!(place.read("out/spans.jsonl").contains(NAME));
}

#[test]
fn colors_are_for_terminals_only() {
    let place = Place::new();
    place.write("session.jsonl.gz", session::recording(&session::lines()));
    for environment in [None, Some(("CLICOLOR_FORCE", "1")), Some(("NO_COLOR", "1"))] {
        let mut command = command(&place.path(""), &["play", "session.jsonl.gz", "--log-level", "debug"]);
        command.envs(environment);
        let played = Running::start(command).finish().expect_code(0);
        assert!(!played.stdout.contains('\u{1b}') && !played.stderr.contains('\u{1b}'), "{played:?}");
    }
}

/// Unlike a closed pipe, a full disk is an error.
#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_reported_and_reporters_continue() {
    let place = Place::new();
    place.write("session.jsonl.gz", session::recording(&session::lines()));
    let mut command = command(&place.path(""), &["play", "session.jsonl.gz", "--json", "out"]);
    command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let played = Running::start(command).finish().expect_code(1);
    assert!(played.stderr.ends_with("error: standard output: No space left on device (os error 28)\n"), "{played:?}");
    assert!(played.counts().iter().all(|(_, [emitted, delivered, ..])| emitted == delivered), "{played:?}");
}
