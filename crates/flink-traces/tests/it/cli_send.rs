//! `send`: files of OTLP/JSON lines arrive like reported records, and every line is accounted for.

use std::io::Write;
use std::process::Stdio;

use crate::support::LONG;
use crate::support::process::{Place, Running, command};
use crate::support::session;
use flate2::Compression;
use flate2::write::GzEncoder;
use flink_traces_testkit::{CollectorResponse, Encoding, HttpResponse, OtlpCollector};

const SUBTASKS: &str = "-Dtraces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK";

/// Returns the records of a collector as plain JSON, sorted. The order has no meaning.
fn received(collector: &OtlpCollector) -> (Vec<String>, Vec<String>) {
    let mut spans: Vec<_> = collector.spans().iter().map(|span| span.plain().to_string()).collect();
    let mut events: Vec<_> = collector.events().iter().map(|event| event.plain().to_string()).collect();
    spans.sort();
    events.sort();
    (spans, events)
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// Returns a line with one span.
fn line(name: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"{name}"}}]}}]}}]}}"#
    )
}

#[test]
fn a_file_arrives_as_the_reporter_would_have_sent_it() {
    let place = Place::new();
    let direct = OtlpCollector::start().unwrap();
    let recording = session::full_recording().display().to_string();
    let mut arguments = vec!["play", &recording, "--quiet", SUBTASKS, "--otlp"];
    let endpoint = direct.grpc_endpoint();
    arguments.push(&endpoint);
    for option in [
        "-Dtraces.reporter.file.factory.class=flink-traces-json",
        "-Dtraces.reporter.file.path=spans.jsonl",
        "-Devents.reporter.file.factory.class=flink-traces-json",
        "-Devents.reporter.file.path=events.jsonl",
    ] {
        arguments.push(option);
    }
    place.run(&arguments).expect_code(0);
    let expected = received(&direct);
    assert!(expected.0.len() > 1_000 && expected.1.len() > 100);
    place.write("packed.jsonl.gz", gzipped(&place.read("spans.jsonl")));

    for (protocol, encoding, spans) in [
        ("grpc", Encoding::Grpc, "spans.jsonl"),
        ("http/protobuf", Encoding::HttpProtobuf, "packed.jsonl.gz"),
        ("http/json", Encoding::HttpJson, "-"),
    ] {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        let protocols =
            ["traces", "events"].map(|signal| format!("-D{signal}.reporter.otlp.exporter.protocol={protocol}"));
        let batches = "-Dtraces.reporter.otlp.batch.bytes=20 kb";
        let arguments = ["send", spans, "events.jsonl", "--otlp", &endpoint, &protocols[0], &protocols[1], batches];
        let mut command = command(&place.path(""), &arguments);
        command.stdin(std::fs::File::open(place.path("spans.jsonl")).unwrap());
        let sent = Running::start(command).finish().expect_code(0);
        let found = received(&collector);
        for (found, expected) in found.0.iter().zip(&expected.0) {
            assert_eq!(found, expected, "{protocol}");
        }
        for (found, expected) in found.1.iter().zip(&expected.1) {
            assert_eq!(found, expected, "{protocol}");
        }
        assert_eq!((found.0.len(), found.1.len()), (expected.0.len(), expected.1.len()), "{protocol}");
        assert!(collector.requests().len() > 10);
        assert!(collector.requests().iter().all(|request| request.encoding == encoding));
        let (spans, events) = (expected.0.len(), expected.1.len());
        for said in [
            format!("traces otlp: {spans} read = {spans} delivered + 0 rejected + 0 dropped\n"),
            format!("events otlp: {events} read = {events} delivered + 0 rejected + 0 dropped\n"),
            format!("events.jsonl: {events} lines = {events} requests + 0 empty + 0 unreadable\n"),
        ] {
            assert!(sent.stderr.contains(&said), "{said}\nis not in:\n{}", sent.stderr);
        }
        assert_eq!(sent.stdout, "");
    }
}

#[test]
fn every_line_is_accounted_for() {
    let place = Place::new();
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    let long = "x".repeat(16 << 20);
    let lines = [
        &line("first"),
        "",
        "  ",
        r#"{"resourceMetrics":[]}"#,
        r#"{"type":"span","name":"Checkpoint"}"#,
        "torn\u{1b}[31m",
        &line(&long),
        &line("last"),
        r#"{"resourceSpans":["#,
    ];
    place.write("spans.jsonl", lines.join("\n"));
    let logs = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}]}]}]}"#;
    place.write("logs.jsonl", logs);
    let option = format!("-Dtraces.reporter.o.exporter.endpoint={endpoint}");
    let class = format!("-Dtraces.reporter.o.factory.class={}", flink_traces_otlp::TRACE_FACTORY);
    let arguments = ["send", "spans.jsonl", "missing", "logs.jsonl", &class, &option, "--log-level", "off"];
    let sent = place.run(&arguments).expect_code(1);
    let expected = "\
spans.jsonl:4: unreadable: neither `resourceSpans` nor `resourceLogs` at column 22
spans.jsonl:5: unreadable: written in the format `flat`; only the format `otlp` can be sent
spans.jsonl:6: unreadable: expected ident at column 2
spans.jsonl:7: unreadable: longer than 16 MiB
spans.jsonl:9: unreadable: EOF while parsing a list at column 18
spans.jsonl: 9 lines = 2 requests + 2 empty + 5 unreadable
missing: No such file or directory (os error 2)
missing: 0 lines = 0 requests + 0 empty + 0 unreadable
logs.jsonl: 1 line = 1 request + 0 empty + 0 unreadable
traces o: 2 read = 2 delivered + 0 rejected + 0 dropped
events: 2 read = 0 delivered + 0 rejected + 2 dropped (no destination 2)
";
    assert_eq!(sent.stderr, expected);
    let names: Vec<_> = collector.spans().into_iter().map(|received| received.name().to_owned()).collect();
    assert_eq!(names, ["first", "last"]);

    // A reason that repeats is printed once, and at most 20 reasons of a file are printed.
    for (lines, printed) in [("no\n".repeat(100), 1), ("no\n{\"type\":\"span\"}\n".repeat(50), 20)] {
        place.write("many.jsonl", lines);
        let sent = place.run(&["send", "many.jsonl", &class, &option]).expect_code(1);
        assert_eq!(sent.stderr.matches("unreadable: ").count(), printed);
        let more = 100 - printed;
        let account = "many.jsonl: 100 lines = 0 requests + 0 empty + 100 unreadable\n";
        let end = format!("many.jsonl: {more} more unreadable lines\n{account}");
        assert!(sent.stderr.ends_with(&end), "{}", sent.stderr);
    }
    // A truncated gzipped file.
    let packed = gzipped(&line("packed"));
    place.write("torn.gz", &packed[..packed.len() - 8]);
    let sent = place.run(&["send", "torn.gz", &class, &option]).expect_code(1);
    assert!(sent.stderr.contains("torn.gz: line 1 cannot be read: "), "{}", sent.stderr);
}

/// Scenario: files of other programs have a byte order mark, half a surrogate pair, invalid UTF-8,
/// or the fields of an old version of OTLP. Guarantees: a mark and a character cost nothing more,
/// and a line without records is named.
#[test]
fn files_of_other_programs_are_read() {
    let place = Place::new();
    let collector = OtlpCollector::start().unwrap();
    place.write("mark.jsonl", format!("\u{feff}{}\r\n{}", line("a"), line(r"b\ud800c")));
    place.write(
        "bytes.jsonl",
        line("d?e")
            .replace('?', "\u{1}")
            .into_bytes()
            .into_iter()
            .map(|byte| if byte == 1 { 0xff } else { byte })
            .collect::<Vec<_>>(),
    );
    place.write("old.jsonl", r#"{"resourceSpans":[{"instrumentationLibrarySpans":[{"spans":[{"name":"x"}]}]}]}"#);
    let endpoint = collector.grpc_endpoint();
    let send =
        |files: &[&str], code| place.run(&[&["send"], files, &["--otlp", &endpoint]].concat()).expect_code(code).stderr;
    send(&["mark.jsonl", "bytes.jsonl"], 0);
    let mut names: Vec<_> = collector.spans().into_iter().map(|received| received.name().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["a", "b\u{fffd}c", "d\u{fffd}e"]);
    let said = send(&["old.jsonl"], 1);
    assert!(said.starts_with("old.jsonl:1: unreadable: no spans\n"), "{said}");
}

#[test]
fn files_of_demo_can_be_sent() {
    let place = Place::new();
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    place.run(&["demo", "--quiet", "--json-format", "otlp"]).expect_code(0);
    let files = ["flink-traces-demo/spans.jsonl", "flink-traces-demo/events.jsonl"];
    place.run(&[&["send"], &files[..], &["--otlp", &endpoint]].concat()).expect_code(0);
    assert!(collector.spans().len() > 70 && collector.events().len() > 70);
    place.run(&["demo", "--quiet"]).expect_code(0);
    let refused = place.run(&["send", files[0], "--otlp", &endpoint]).expect_code(1);
    assert!(refused.stderr.contains("written in the format `flat`; only the format `otlp` can be sent"));
}

#[test]
fn failed_send_names_line_to_resume_from() {
    let place = Place::new();
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.http_endpoint() + "/v1/traces";
    place.write("a.jsonl", format!("{}\n{}\n", line("good"), line("bad")));
    place.write("b.jsonl", line("never"));
    collector.respond_by(|request| match request.message.windows(3).any(|bytes| bytes == b"bad") {
        true => HttpResponse::new(400).into(),
        false => CollectorResponse::Accept,
    });
    let letters = "-Dtraces.reporter.otlp.dead-letter.directory=letters";
    let sent = place.run(&["send", "a.jsonl", "--otlp", &endpoint, letters]).expect_code(1);
    let said = "traces otlp: 2 read = 1 delivered + 1 rejected + 0 dropped\n  last error: HTTP 400 Bad Request\n";
    assert!(sent.stderr.ends_with(said), "{}", sent.stderr);
    assert!(place.read("letters/traces-otlp-send.jsonl").contains("\"bad\""));

    collector.respond_by(|_| HttpResponse::new(503).into());
    let at_once = "-Dtraces.reporter.otlp.retry.timeout=0";
    let sent = place.run(&["send", "a.jsonl", "b.jsonl", "--otlp", &endpoint, at_once]).expect_code(1);
    let said = "traces otlp: 3 read = 0 delivered + 0 rejected + 3 dropped (given up 3)\n  \
                last error: given up after attempt 1: HTTP 503 Service Unavailable\n  not everything was sent from a.jsonl:1 on\n";
    assert!(sent.stderr.ends_with(said), "{}", sent.stderr);
}

#[test]
fn a_signal_stops_it_and_says_where() {
    let place = Place::new();
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| HttpResponse::new(503).into());
    // More than one batch.
    let spans = vec![line(&"x".repeat(1_000_000)); 12];
    place.write("a.jsonl", spans.join("\n"));
    place.write("b.jsonl", line("never"));
    let endpoint = collector.grpc_endpoint();
    let arguments = ["send", "a.jsonl", "b.jsonl", "--otlp", &endpoint, "-Dflink-traces.shutdown-timeout=0"];
    let running = place.start(&arguments);
    assert!(collector.wait_until(LONG, |collector| !collector.requests().is_empty()));
    running.signal("TERM");
    let sent = running.finish().expect_code(1);
    assert!(
        sent.stderr.contains("traces otlp: 5 read = 0 delivered + 0 rejected + 5 dropped (stopped 5)\n"),
        "{}",
        sent.stderr
    );
    assert!(
        sent.stderr.ends_with("  not everything was sent from a.jsonl:1 on\nb.jsonl: not read\n"),
        "{}",
        sent.stderr
    );
}

#[test]
fn it_needs_one_destination() {
    let place = Place::new();
    let refused = place.run(&["send", "-"]).expect_code(78);
    assert!(refused.stderr.contains("no destination: give --otlp URL"), "{}", refused.stderr);
    let class = format!("-Dtraces.reporter.b.factory.class={}", flink_traces_otlp::TRACE_FACTORY);
    let endpoint = "-Dtraces.reporter.b.exporter.endpoint=http://localhost:1";
    let mut command = command(&place.path(""), &["send", "-", "--otlp", "http://localhost:1", &class, endpoint]);
    command.stdin(Stdio::null());
    let refused = Running::start(command).finish().expect_code(78);
    let said = "expected one destination, found traces.reporter.b, traces.reporter.otlp: choose one with -D traces.reporters=b";
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
}
